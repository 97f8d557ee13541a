// The conformance actors of group G (raw WebSockets), through the stock client in every encoding (of which nothing must
// show) and with plain WebSockets, each test in a namespace that nobody has used before.

import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { describe, test } from 'node:test';
import { ENCODINGS, fresh, isAsleep, range, until, useHost, within } from './harness.mjs';
import { Socket, assertCloses, openSocket, stockProtocols, upTo, websocketPath } from './sockets.mjs';

const host = useHost({ components: ['conformance'] });

for (const encoding of ENCODINGS) {
  describe(`through a client in ${encoding}`, () => {
    function setUp(type) {
      const namespace = fresh('conformance');
      const client = host.client({ encoding, namespace, disableMetadataLookup: true });
      const actor = client[type].getOrCreate(['k']);
      const open = async (path, handle = actor) => {
        const socket = new Socket(await handle.webSocket(path), `the WebSocket ${type}`);
        await within('it is opened', socket.opened);
        return socket;
      };
      const sleep = async () => host.putToSleep(await actor.resolve(), namespace);
      return { namespace, client, actor, open, sleep };
    }

    describe('rawWebSocketActor', () => {
      /** A socket that has been welcomed. */
      async function welcomed(scene, path) {
        const socket = await scene.open(path);
        assert.equal((await socket.nextJson()).type, 'welcome');
        return socket;
      }

      const indexOf = async (socket) => (await socket.ask({ type: 'indexedEcho' })).rivetMessageIndex;

      test('welcomes, and counts who is there', async () => {
        const { open, actor } = setUp('rawWebSocketActor');
        const first = await open();
        assert.deepEqual(await first.nextJson(), { type: 'welcome', connectionCount: 1 });
        const second = await open();
        assert.deepEqual(await second.nextJson(), { type: 'welcome', connectionCount: 2 });
        await second.close();
        await until('it counts one', async () => (await actor.getStats()).connectionCount === 1);
        assert.deepEqual(await first.ask({ type: 'getStats' }), { type: 'stats', connectionCount: 1, messageCount: 1 });
        await first.close();
        await until('it counts none', async () => (await actor.getStats()).connectionCount === 0);
      });

      test('answers a ping', async () => {
        const socket = await welcomed(setUp('rawWebSocketActor'));
        const { type, timestamp } = await socket.ask({ type: 'ping' });
        assert.equal(type, 'pong');
        assert.equal(typeof timestamp, 'number');
      });

      test('echoes text that is no JSON, JSON of another type, and bytes', async () => {
        const socket = await welcomed(setUp('rawWebSocketActor'));
        for (const text of ['plain', '', 'é 日本 😀', '{"cut', 'x'.repeat(100_000)]) {
          socket.send(text);
          assert.equal(await socket.messages.next(), text);
        }
        assert.deepEqual(await socket.ask({ type: 'other', deep: [1, { a: null }] }), { type: 'other', deep: [1, { a: null }] });
        for (const bytes of [Buffer.from([0, 255, 1]), Buffer.from('{"type":"ping"}'), randomBytes(100_000)]) {
          socket.send(bytes);
          const echo = await socket.messages.next();
          assert.ok(Buffer.isBuffer(echo), 'bytes came back as text');
          assert.ok(echo.equals(bytes), `${bytes.length} bytes came back changed`);
        }
      });

      test('sees the path and the query that the caller asked for, and nothing of how it came there', async () => {
        const scene = setUp('rawWebSocketActor');
        const asked = [
          ['room/1?q=1&r=a%20b', '/websocket/room/1', '?q=1&r=a%20b'],
          ['/room/1', '/websocket/room/1', ''],
          ['?only=query', undefined, '?only=query'],
          [undefined, undefined, ''],
        ];
        for (const [path, pathname, search] of asked) {
          const socket = await welcomed(scene, path);
          const info = await socket.ask({ type: 'getRequestInfo' });
          assert.equal(info.type, 'requestInfo');
          assert.equal(info.search, search, `for ${path}`);
          assert.match(info.pathname, /^\/websocket/);
          if (pathname) assert.equal(info.pathname, pathname);
          const url = new URL(info.url);
          assert.equal(url.pathname + url.search, info.pathname + info.search);
          await socket.close();
        }
      });

      test('numbers the messages of each socket from 1', async () => {
        const scene = setUp('rawWebSocketActor');
        const [first, second] = [await welcomed(scene), await welcomed(scene)];
        assert.deepEqual(await first.ask({ type: 'indexedEcho', payload: { a: 1 } }), {
          type: 'indexedEcho', payload: { a: 1 }, rivetMessageIndex: 1,
        });
        assert.deepEqual(await first.ask({ type: 'indexedEcho' }), { type: 'indexedEcho', payload: null, rivetMessageIndex: 2 });
        assert.deepEqual(await second.ask({ type: 'indexedAckProbe', payload: 'four' }), {
          type: 'indexedAckProbe', rivetMessageIndex: 1, payloadSize: 4,
        });
        // Messages of every kind count.
        first.send(Buffer.from([1]));
        assert.ok(Buffer.isBuffer(await first.messages.next()));
        assert.equal(await indexOf(first), 4);
        assert.deepEqual((await first.ask({ type: 'getIndexedMessageOrder' })).order, [1, 2, 1, 4]);
      });

      test('handles messages in order, also those that are sent before it has said a word', async () => {
        const { open } = setUp('rawWebSocketActor');
        const socket = await open();
        for (const n of upTo(200)) socket.send({ type: 'indexedEcho', payload: n });
        assert.equal((await socket.nextJson()).type, 'welcome');
        const echoes = (await socket.messages.several(200)).map((text) => JSON.parse(text));
        assert.deepEqual(echoes.map(({ payload }) => payload), upTo(200));
        assert.deepEqual(echoes.map(({ rivetMessageIndex }) => rivetMessageIndex), upTo(200));
      });

      const SLEEPS = {
        'the management asks': ({ sleep }) => sleep(),
        'an action asks': async ({ actor }) => assert.strictEqual(await actor.triggerSleep(), true),
        'a message asks': async (_, socket) => assert.equal((await socket.ask({ type: 'scheduleSleep' })).type, 'sleepScheduled'),
        'nobody has called for long': async () => {},
      };
      for (const [what, sleep] of Object.entries(SLEEPS)) {
        test(`keeps the socket open when it sleeps because ${what}, and goes on counting when a message wakes it`, async () => {
          const scene = setUp('rawWebSocketActor');
          const socket = await welcomed(scene);
          const id = await scene.actor.resolve();
          for (const n of upTo(3)) assert.equal(await indexOf(socket), n);
          await sleep(scene, socket);
          await until('it sleeps', async () => isAsleep(await host.actor(id, scene.namespace)));
          assert.ok(socket.isOpen, 'the socket was closed');

          // A message that asks for sleep is a message, too.
          const next = what === 'a message asks' ? 5 : 4;
          assert.equal(await indexOf(socket), next);
          assert.equal((await socket.ask({ type: 'getStats' })).connectionCount, 1);
          assert.deepEqual((await socket.ask({ type: 'getIndexedMessageOrder' })).order, [1, 2, 3, next]);
          assert.deepEqual(socket.messages.items, [], 'it was opened again');
        });
      }

      test('takes messages that arrive together while it sleeps, each once and in order', async () => {
        const scene = setUp('rawWebSocketActor');
        const socket = await welcomed(scene);
        for (const round of range(3)) {
          await scene.sleep();
          for (const n of upTo(20)) socket.send({ type: 'indexedEcho', payload: n });
          const echoes = (await socket.messages.several(20)).map((text) => JSON.parse(text));
          assert.deepEqual(echoes.map(({ payload }) => payload), upTo(20));
          assert.deepEqual(echoes.map(({ rivetMessageIndex }) => rivetMessageIndex), upTo(20).map((n) => 20 * round + n));
        }
      });

      test('loses no message and none twice while it is put to sleep again and again', async () => {
        const scene = setUp('rawWebSocketActor');
        const socket = await welcomed(scene);
        const id = await scene.actor.resolve();
        let isOver = false;
        const storm = (async () => {
          while (!isOver) await host.manage('POST', `/actors/${id}/sleep?namespace=${scene.namespace}`, {});
        })();
        try {
          for (const n of upTo(100)) assert.equal(await indexOf(socket), n);
        } finally {
          isOver = true;
          await storm;
        }
        assert.ok(socket.isOpen);
      });

      test('hears a client leave that left while it slept', async () => {
        const scene = setUp('rawWebSocketActor');
        const [stays, leaves] = [await welcomed(scene), await welcomed(scene)];
        await scene.sleep();
        await leaves.close(1000, 'bye');
        await until('it is gone', async () => (await scene.actor.getStats()).connectionCount === 1);
        assert.equal(await indexOf(stays), 1);
      });

      test('closes with the code and the reason of its client', async () => {
        const scene = setUp('rawWebSocketActor');
        for (const [code, reason] of [[1000, ''], [1000, 'done'], [4001, 'custom bye'], [3000, 'é']]) {
          const socket = await welcomed(scene);
          const end = await socket.close(code, reason);
          assert.equal(end.code, code);
        }
        await until('all are gone', async () => (await scene.actor.getStats()).connectionCount === 0);
      });
    });

    describe('rawWebSocketBinaryActor', () => {
      test('sends bytes back the other way round', async () => {
        const socket = await setUp('rawWebSocketBinaryActor').open();
        for (const bytes of [Buffer.from([1, 2, 3]), Buffer.from([0]), Buffer.alloc(0), randomBytes(70_000)]) {
          socket.send(bytes);
          const answer = await socket.messages.next();
          assert.ok(Buffer.isBuffer(answer), 'bytes came back as text');
          assert.ok(answer.equals(Buffer.from(bytes).reverse()), `${bytes.length} bytes`);
        }
        await socket.close();
      });
    });

    describe('rawWebSocketAsyncOpenActor', () => {
      test('may take its time to open', async () => {
        const { open, actor } = setUp('rawWebSocketAsyncOpenActor');
        for (const n of upTo(3)) assert.deepEqual(await (await open()).nextJson(), { type: 'async-open', openCount: n });
        assert.equal(await actor.getOpenCount(), 3);
      });

      test('opens for many at once', async () => {
        const { open, actor } = setUp('rawWebSocketAsyncOpenActor');
        const sockets = await Promise.all(range(10).map(() => open()));
        await Promise.all(sockets.map((socket) => socket.nextJson()));
        assert.equal(await actor.getOpenCount(), 10);
      });

      test('closes its sockets when it has to sleep, with a close frame, and opens again', async () => {
        const { open, actor, namespace } = setUp('rawWebSocketAsyncOpenActor');
        const socket = await open();
        await socket.nextJson();
        const id = await actor.resolve();
        await host.manage('POST', `/actors/${id}/sleep?namespace=${namespace}`, {});
        await assertCloses(socket, 1000, 'actor.stopped');
        assert.deepEqual(await (await open()).nextJson(), { type: 'async-open', openCount: 2 });
      });

      test('closes them as well when it is destroyed', async () => {
        const { open, actor, namespace } = setUp('rawWebSocketAsyncOpenActor');
        const socket = await open();
        await socket.nextJson();
        await host.manage('DELETE', `/actors/${await actor.resolve()}?namespace=${namespace}`);
        const { code } = await within('it is closed', socket.closed);
        assert.notEqual(code, 1006, 'it was cut without a close frame');
      });
    });

    describe('rawWebSocketConnContextActor', () => {
      test('has a connection with an id and a state for each socket', async () => {
        const { open } = setUp('rawWebSocketConnContextActor');
        const ids = new Set();
        for (const _ of range(3)) {
          const { type, connId, state } = await (await open()).nextJson();
          assert.equal(type, 'conn-context');
          assert.equal(typeof connId, 'string');
          assert.notEqual(connId, '');
          assert.deepEqual(state, { opened: true, connId });
          ids.add(connId);
        }
        assert.equal(ids.size, 3);
      });
    });

    describe('a type without a handler', () => {
      test('closes WebSockets at once, and says why', async () => {
        const { open, actor } = setUp('counter');
        const socket = await open();
        const { code, reason } = await within('it is closed', socket.closed);
        assert.equal(code, 1011);
        assert.match(reason, /^actor\.\w+/);
        assert.equal(await actor.getCount(), 0);
      });
    });
  });
}

describe('a WebSocket that no stock client opens', () => {
  const target = (rest, namespace = fresh()) => websocketPath('rawWebSocketActor', ['k'], rest, { namespace });

  test('need not offer a subprotocol', async () => {
    const socket = await openSocket(host, target('room?q=1'));
    assert.equal(socket.ws.protocol, '');
    assert.equal((await socket.nextJson()).type, 'welcome');
    const { pathname, search } = await socket.ask({ type: 'getRequestInfo' });
    assert.deepEqual([pathname, search], ['/websocket/room', '?q=1']);
    await socket.close();
  });

  test('is answered with the subprotocol of the stock client if it offers it', async () => {
    const socket = await openSocket(host, target(''), { protocols: stockProtocols('bare', { p: 1 }) });
    assert.equal(socket.ws.protocol, 'rivet');
    assert.equal((await socket.nextJson()).type, 'welcome');
  });

  test('is opened below the URL that the client gives', async () => {
    const url = await host.client().rawWebSocketActor.getOrCreate([fresh()]).getGatewayUrl();
    const socket = await openSocket(host, `${url.replace(/^http/, 'ws')}/websocket/room`);
    assert.equal((await socket.nextJson()).type, 'welcome');
  });

  test('may send a message in fragments', async () => {
    const socket = await openSocket(host, target(''));
    await socket.nextJson();
    socket.ws.send('in ', { fin: false });
    socket.ws.send('three ', { fin: false });
    socket.ws.send('fragments', { fin: true });
    assert.equal(await socket.messages.next(), 'in three fragments');
  });

  test('gets an answer to its pings', async () => {
    const socket = await openSocket(host, target(''));
    const pong = new Promise((resolve) => socket.ws.once('pong', resolve));
    socket.ws.ping('are you there');
    assert.equal(`${await within('the pong', pong)}`, 'are you there');
  });

  for (const sleeps of [false, true]) {
    test(`that vanishes ${sleeps ? 'while its actor sleeps ' : ''}is heard to leave`, async () => {
      const namespace = fresh();
      const [stays, vanishes] = [await openSocket(host, target('', namespace)), await openSocket(host, target('', namespace))];
      await vanishes.nextJson();
      await stays.nextJson();
      const [{ actor_id: id }] = await host.actors({ name: 'rawWebSocketActor', key: 'k', namespace });
      if (sleeps) await host.putToSleep(id, namespace);
      vanishes.cut();
      await until('it counts one', async () => (await stays.ask({ type: 'getStats' })).connectionCount === 1);
    });
  }

  test('that sends far too much is closed, and nobody else', async () => {
    const namespace = fresh();
    const [stays, sends] = [await openSocket(host, target('', namespace)), await openSocket(host, target('', namespace))];
    await stays.nextJson();
    await sends.nextJson();
    sends.send(Buffer.alloc(64 * 1024 * 1024));
    await within('it is closed', sends.closed, 30_000);
    assert.equal((await stays.ask({ type: 'ping' })).type, 'pong');
  });
});
