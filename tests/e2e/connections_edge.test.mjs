// Connections at their edges: hooks that take too long, clients that are shown out, actors that are full, sleep or go
// while somebody is connected, and what is left of all that afterwards: nothing.

import assert from 'node:assert/strict';
import http2 from 'node:http2';
import { connect as connectTcp } from 'node:net';
import { describe, test } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { ENCODINGS, actionPath, fresh, gatewayPath, isAsleep, range, startHost, until, useHost, within } from './harness.mjs';
import {
  assertCloses, connect, connectPath, connectPathById, listen, openSocket, ready, refused, upTo, watch, websocketPath,
} from './sockets.mjs';
import { bareData, bareFrame, bareText, bareUint, hex } from './wire.mjs';

const asleep = (host, id) => until('the actor sleeps', async () => isAsleep(await host.actor(id)));
const idOf = async (host, type, key) => (await host.actors({ name: type, key }))[0].actor_id;

/** Longer than any test. */
const FOR_EVER = 3_600_000;

/** Many calls of one action at once, over as few TCP connections as possible: for each, later, `{status, generation, body}`. */
function callMany(t, host, target, bodies) {
  const ON_ONE = 200;
  const sessions = range(Math.ceil(bodies.length / ON_ONE)).map(() => http2.connect(host.url));
  t.after(() => sessions.forEach((session) => session.destroy()));
  const answers = bodies.map((args, n) => new Promise((resolve, reject) => {
    const headers = { ':method': 'POST', ':path': target, 'x-rivet-encoding': 'json', 'content-type': 'application/json' };
    const stream = sessions[Math.floor(n / ON_ONE)].request(headers);
    const parts = [];
    let head;
    stream.on('response', (received) => (head = received));
    stream.on('data', (part) => parts.push(part));
    stream.on('error', reject);
    stream.on('end', () => {
      const generation = head['x-rivet-actor-generation'];
      resolve({ status: head[':status'], generation, body: JSON.parse(Buffer.concat(parts)) });
    });
    stream.end(JSON.stringify({ args }));
  }));
  // Looked at later.
  answers.forEach((answer) => answer.catch(() => {}));
  return answers;
}

describe('an actor with as many turns under way as it may have', () => {
  const TURNS = 1_024;
  const WAITING = 1_024;
  const host = useHost({ components: ['fixtures'], flags: ['--action-timeout', '10m'] });

  /** Begins as many searches, which go on until they are stopped, and waits until all of them are under way. */
  async function search(t, key, count) {
    const bodies = range(count).map((n) => [FOR_EVER, `${n}`]);
    const answers = callMany(t, host, actionPath('searcher', key, 'search_for'), bodies);
    const begun = async () => (await host.call('searcher', key, 'counts')).begun >= count;
    await until('they have all begun', begun, { within: 60_000 });
    return answers;
  }

  test('answers a thousand that wait in it at once, each once', async (t) => {
    const key = [fresh()];
    const COUNT = 1_000;
    const searches = await search(t, key, COUNT);
    const counts = async () => host.call('searcher', key, 'counts');
    assert.deepEqual(await counts(), { begun: COUNT, done: 0, dropped: 0 }, 'they do not all wait at once');
    await host.call('searcher', key, 'stop');
    const answers = await Promise.all(searches);
    assert.deepEqual(answers.map(({ body }) => body.output), range(COUNT).map((n) => `${n}`));
    assert.deepEqual(await counts(), { begun: COUNT, done: 0, dropped: COUNT });
    assert.equal(new Set(answers.map(({ generation }) => generation)).size, 1, 'it was started again in between');
  });

  test('lets as many again wait, refuses the rest, and breaks down for none of them', async (t) => {
    const key = [fresh()];
    // Nothing else gets in when it is full, so what stops the searches is in it before.
    const stopper = [fresh()];
    const stopping = host.call('searcher', key, 'stop_with', stopper[0]);
    stopping.catch(() => {});
    await until('it looks for the word', async () => (await host.actors({ name: 'trapper', key: stopper[0] })).length === 1);
    // With one turn left over for those who come and look.
    const RUNNING = TURNS - 2;
    const running = await search(t, key, RUNNING);
    // Those that find room begin, one after the other; as many as may wait do.
    const COUNT = WAITING + 200;
    const coming = callMany(t, host, actionPath('searcher', key, 'search_for'), range(COUNT).map((n) => [1_000, `${n}`]));
    const refused = new Promise((resolve, reject) => {
      for (const answer of coming) answer.then(({ status }) => status === 200 || resolve(), reject);
    });
    await within('one is refused', refused, 60_000);
    assert.equal(await host.call('trapper', stopper, 'increment', 1), 1);
    await stopping;
    const answers = await Promise.all(coming);
    const refusals = answers.filter(({ status }) => status !== 200);
    for (const { status, body } of refusals) assert.deepEqual([status, body.group, body.code], [503, 'actor', 'overloaded']);
    assert.ok(refusals.length > 0, 'none was refused');
    assert.ok(COUNT - refusals.length >= WAITING, `${COUNT - refusals.length} were answered`);
    assert.ok(answers.every(({ status, body }, n) => status !== 200 || body.output === `${n}`));
    const first = await Promise.all(running);
    assert.deepEqual(first.map(({ body }) => body.output), range(RUNNING).map((n) => `${n}`));
    const generations = [...first, ...answers].map(({ generation }) => generation);
    assert.equal(new Set(generations).size, 1, 'it was started again in between');
    assert.equal(await host.call('searcher', key, 'search_for', 1, 'free again'), 'free again');
  });
});

describe('an actor whose hooks take longer than a client is made to wait', () => {
  const CONNS_MAX = 3;
  const flags = ['--connect-timeout', '1s', '--sleep-after', '200ms', '--actor-conns-max', `${CONNS_MAX}`];
  const to = (host, key, params, options) =>
    connect(host, connectPath('connPreflightVisibilityActor', key), { params, ...options });
  // A passing trouble, after which clients try again.
  const late = async (host, key, params, options) => {
    const { code, reason } = await refused(host, connectPath('connPreflightVisibilityActor', key), { params, ...options });
    assert.deepEqual({ code, reason }, { code: 1011, reason: 'guard.service_unavailable' });
  };
  const snapshot = (host, key) => host.call('connPreflightVisibilityActor', key, 'snapshot');
  const count = (snapshots, label) => snapshots.filter((snapshot) => snapshot.label === label).length;

  for (const encoding of ENCODINGS) {
    test(`lets go of who was let in too late, and tells the actor: in ${encoding}`, async (t) => {
      const host = await startHost(t, { components: ['conformance'], flags });
      const key = ['k'];
      const stays = await to(host, key, { label: 'stays' }, { encoding });
      // The hooks of both go on, and end well. The first is late before it has a state, the second with one.
      await late(host, key, { label: 'late', beforeDelayMs: 2_000 }, { encoding });
      await late(host, key, { label: 'late', createDelayMs: 2_000 }, { encoding });
      const noted = await until('the hooks have run to their end, and the actor has heard that nobody waited', async () => {
        const { connectSnapshots, disconnectSnapshots } = await stays.call('snapshot');
        return count(disconnectSnapshots, 'late') === 2 && { connectSnapshots };
      });
      assert.equal(count(noted.connectSnapshots, 'late'), 2);
      assert.deepEqual((await stays.call('snapshot')).visibleLabels, ['stays']);

      // Their places are free.
      const others = await Promise.all(upTo(CONNS_MAX - 1).map(() => to(host, key, { label: 'other' }, { encoding })));
      assert.deepEqual((await stays.call('snapshot')).visibleLabels.toSorted(), ['other', 'other', 'stays']);
      await asleep(host, stays.init.actorId);

      // Nor does a store that has been through a power cut know them.
      await host.kill();
      await Promise.all([stays, ...others].map(({ closed }) => within('the socket is gone', closed)));
      await host.startAgain();
      const left = await until('those who were there have left', async () => {
        const { disconnectSnapshots } = await snapshot(host, key);
        return count(disconnectSnapshots, 'other') === others.length && count(disconnectSnapshots, 'stays') === 1 && { disconnectSnapshots };
      });
      assert.equal(count(left.disconnectSnapshots, 'late'), 2);
    });
  }

  test('lets in who comes next, serves who is there, and sleeps, while a hook never ends', async (t) => {
    const host = await startHost(t, { components: ['conformance'], flags });
    const key = ['k'];
    await late(host, key, { label: 'never', createDelayMs: 3_600_000 });
    const stays = await to(host, key, { label: 'stays' });
    assert.deepEqual((await stays.call('snapshot')).visibleLabels, ['stays']);
    await asleep(host, stays.init.actorId);
    const { connectSnapshots, disconnectSnapshots, visibleLabels } = await stays.call('snapshot');
    assert.deepEqual(connectSnapshots.map(({ label }) => label), ['stays']);
    assert.deepEqual(disconnectSnapshots, []);
    assert.deepEqual(visibleLabels, ['stays']);
  });
});

describe('sockets that a stop of the host has ended', () => {
  const target = (type, options) => connectPath(type, ['k'], options);
  const observe = (host) => host.client().connStateActor.getOrCreate(['k'], { params: { noCount: true } });

  test('are no ghosts: who comes back after the restart is served, and is alone in the list', async (t) => {
    const host = await startHost(t, { components: ['conformance'] });
    const come = () => Promise.all(range(9).map((n) => {
      const options = { encoding: ENCODINGS[n % 3], params: { username: `${n}` } };
      return connect(host, target('connStateActor'), options);
    }));
    const comeRaw = async () => {
      const socket = await openSocket(host, websocketPath('rawWebSocketActor', ['k']));
      assert.equal((await socket.nextJson()).type, 'welcome');
      return socket;
    };
    let [connections, raw] = [await come(), await comeRaw()];
    for (const round of upTo(3)) {
      assert.deepEqual(await host.stop(), { code: 0, signal: null });
      await Promise.all([...connections, raw].map(({ closed }) => within('it is closed', closed)));
      await host.startAgain();
      [connections, raw] = [await come(), await comeRaw()];
      await until('the others have left', async () => (await observe(host).getDisconnectionCount()) === 9 * round);
      const ids = connections.map(({ init }) => init.connectionId);
      assert.deepEqual((await observe(host).getConnectionIds()).toSorted(), ids.toSorted());
      const [from, to] = connections;
      assert.equal(await from.call('sendToConnection', to.init.connectionId, `round ${round}`), true);
      assert.equal((await to.event('directMessage'))[0].message, `round ${round}`);
      await until('one raw WebSocket is counted', async () => (await raw.ask({ type: 'getStats' })).connectionCount === 1);
    }
  });
});

describe('a raw WebSocket that the sleep of its actor has ended', () => {
  const host = useHost({
    components: ['conformance'], flags: ['--sleep-after', '200ms', '--conn-queue-bytes-max', '64MiB'],
  });

  test('is no ghost of the next wake, even if its client does not read that it is over', async () => {
    const key = fresh();
    // Not one of those that hibernate; while one is there, the actor does not sleep of its own accord.
    const socket = await openSocket(host, websocketPath('requestAccessActor', [key]));
    await socket.nextJson();
    socket.ws.pause();
    // Each is echoed. More than fits on the way, so the close waits behind it.
    for (const _ of range(24)) socket.send(Buffer.alloc(1024 * 1024, 'x'));
    const id = await idOf(host, 'requestAccessActor', key);
    await host.putToSleep(id);
    assert.equal(await host.call('requestAccessActor', [key], 'ping'), 'pong');
    await asleep(host, id);

    const next = await openSocket(host, websocketPath('requestAccessActor', [key]));
    await next.nextJson();
    assert.deepEqual(await next.ask({ again: true }), { again: true });
    socket.ws.resume();
    await assertCloses(socket, 1000, 'actor.stopped');
    assert.ok(next.isOpen);
  });
});

describe('a connection that its actor has closed', () => {
  const host = useHost({ components: ['conformance'], flags: ['--conn-queue-bytes-max', '64MiB'] });

  test('has none of its later calls carried out, even if its client does not read that it is over', async () => {
    const key = [fresh()];
    const observer = host.client().connStateActor.getOrCreate(key, { params: { noCount: true } });
    const connection = await connect(host, connectPath('connStateActor', key));
    await connection.call('updateConnection', { username: 'x'.repeat(60_000) });
    connection.ws.pause();
    // More than fits on the way, so the close waits behind it.
    for (const _ of range(400)) connection.request('getConnectionState');
    const kicked = connection.request('disconnectSelf', 'out.now');
    const CALLS = 50;
    for (const _ of range(CALLS)) {
      connection.request('incrementSharedCounter');
      // While this is answered, the frame has arrived.
      await observer.getDisconnectionCount();
    }
    const carriedOut = await observer.incrementSharedCounter(0);
    // A few may have begun before.
    assert.ok(carriedOut < CALLS / 2, `${carriedOut} of its ${CALLS} later calls were carried out`);

    connection.ws.resume();
    assert.equal(await connection.answer(kicked), true);
    await assertCloses(connection, 1000, 'out.now');
    await until('its actor has heard', async () => (await observer.getDisconnectionCount()) === 1);
    assert.deepEqual(await observer.getConnectionIds(), []);
  });
});

describe('an actor that is destroyed while it falls asleep', () => {
  const host = useHost({ components: ['fixtures', 'conformance'] });

  test('is gone, and so are its connections; its key is free for another', async () => {
    for (const round of range(20)) {
      const key = [fresh()];
      const connection = await connect(host, connectPath('concurrentActionActor', key));
      const id = connection.init.actorId;
      const call = connection.request('runWithDelay', 'last', 200);
      // Answered later, so the first has begun; falling asleep waits for it.
      assert.ok((await connection.call('getEvents')).includes('start:last'));
      const sleeping = host.manage('POST', `/actors/${id}/sleep?namespace=default`, {});
      await pause(round * 15);
      await host.manage('DELETE', `/actors/${id}?namespace=default`);
      assert.equal(await host.actor(id), undefined);
      await sleeping;
      assert.equal(await connection.answer(call), 'last');
      await assertCloses(connection, 1000, '');
      assert.equal((await refused(host, connectPathById(id))).reason, 'actor.not_found');
      const next = await connect(host, connectPath('concurrentActionActor', key));
      assert.notEqual(next.init.actorId, id);
      assert.deepEqual(await next.call('getEvents'), []);
      next.cut();
    }
  });
});

describe('a subscription that does not reach its actor', () => {
  // There is no place for a second one while the first is busy.
  const host = useHost({ components: ['conformance', 'fixtures'], flags: ['--awake-max', '1', '--awake-wait-max', '1s'] });

  /** Keeps another actor busy; gives a function that ends that. */
  async function keepBusy() {
    const other = await connect(host, connectPath('searcher', [fresh()]));
    const call = other.request('search_for', FOR_EVER, 'busy');
    // Answered later, so it has begun.
    assert.equal((await other.call('counts')).begun, 1);
    return async () => {
      await other.call('stop');
      assert.equal(await other.answer(call), 'busy');
    };
  }

  for (const encoding of ENCODINGS) {
    test(`ends the connection with a reason that clients retry, in ${encoding}`, async () => {
      const connection = await connect(host, connectPath('counter', [fresh()]), { encoding });
      await host.putToSleep(connection.init.actorId);
      const over = await keepBusy();
      connection.subscribe('newCount');
      await assertCloses(connection, 1011, 'guard.service_unavailable');
      await over();
    });
  }

  test('is made again by the stock client, which hears the events when the actor can be woken', async () => {
    const key = [fresh()];
    const connection = await ready(host.client().counter.getOrCreate(key).connect());
    const seen = watch(connection);
    assert.equal(await connection.getCount(), 0);
    await host.putToSleep(connection.actorId);
    const over = await keepBusy();
    const counts = listen(connection, 'newCount');
    await until('it notices', () => seen.closes === 1);
    // Not while the other is busy, so nothing can have come in between.
    const opens = seen.opens;
    await over();
    await until('it is connected again', () => seen.opens > opens && connection.isConnected, { within: 20_000 });
    assert.equal(await connection.increment(1), 1);
    assert.equal(await counts.next(), 1);
    assert.ok(!seen.hasGivenUp);
  });
});

describe('an event with a number that JSON cannot say', () => {
  const host = useHost({ components: ['fixtures'] });

  test('closes the connections in json that it is for, and reaches the others', async () => {
    const key = [fresh()];
    const listeners = {};
    for (const encoding of ENCODINGS) {
      listeners[encoding] = await connect(host, connectPath('shouter', key), { encoding });
      listeners[encoding].subscribe('told');
    }
    const deaf = await connect(host, connectPath('shouter', key), { encoding: 'json' });
    for (const listener of Object.values(listeners)) await listener.call('listeners');
    // tell(a BigInt of 5,000 bytes, 1)
    const args = Buffer.concat([hex('82 c2 59 1388'), Buffer.alloc(5_000, 0xff), hex('01')]);
    const caller = await connect(host, connectPath('shouter', key));
    caller.send(bareFrame(4, 0, bareUint(7), bareText('tell'), bareData(args)));
    await caller.answer(7);
    await assertCloses(listeners.json, 1011, 'message.outgoing_too_long');
    assert.deepEqual(listeners.json.frames.items.filter(({ tag }) => tag === 'Event'), []);
    for (const encoding of ['bare', 'cbor']) {
      const [number, one] = await listeners[encoding].event('told');
      assert.deepEqual([number, one], [2n ** 40_000n - 1n, 1]);
    }
    await until('its actor knows', async () => (await deaf.call('listeners')) === 4);
  });
});

describe('a client of which nothing is heard', () => {
  const SILENCE_MS = 2_000;
  const host = useHost({ components: ['conformance'], flags: ['--ping-every', '100ms', '--silence-max', `${SILENCE_MS}ms`] });

  /** A WebSocket by hand that says nothing after the handshake: `{frames, closed}`, the frames by their opcodes. */
  function openSilent(target) {
    const socket = connectTcp(host.port, '127.0.0.1');
    const frames = [];
    let bytes = Buffer.alloc(0);
    let isUpgraded = false;
    socket.on('error', () => {});
    socket.on('data', (part) => {
      bytes = Buffer.concat([bytes, part]);
      if (!isUpgraded) {
        const end = bytes.indexOf('\r\n\r\n');
        if (end < 0) return;
        assert.match(bytes.toString('latin1'), /^HTTP\/1\.1 101 /);
        bytes = bytes.subarray(end + 4);
        isUpgraded = true;
      }
      // The first byte of each frame says what it is. None here is longer than 125 bytes, so the second is its length.
      while (bytes.length >= 2 && bytes.length >= 2 + bytes[1]) {
        assert.ok(bytes[1] < 126, 'a long frame');
        frames.push(bytes[0] & 0x0f);
        bytes = bytes.subarray(2 + bytes[1]);
      }
    });
    const closed = new Promise((resolve) => socket.once('close', resolve));
    socket.write(`GET ${target} HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\nupgrade: websocket\r\n`
      + 'sec-websocket-version: 13\r\nsec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==\r\n'
      + 'sec-websocket-protocol: rivet, rivet_encoding.bare\r\n\r\n');
    return { frames, closed };
  }

  const BINARY = 2;
  const PING = 9;

  test('is asked, and without an answer it is closed, and its actor told; who answers stays', async () => {
    const key = [fresh()];
    // This client answers pings, and says nothing else.
    const answers = await connect(host, connectPath('connStateActor', key), { params: { noCount: true } });
    answers.subscribe('userDisconnected');
    const begun = performance.now();
    const { frames, closed } = openSilent(connectPath('connStateActor', key));
    await within('the host closes the connection', closed);
    const took = performance.now() - begun;
    assert.ok(took >= SILENCE_MS, `it was closed after ${took.toFixed()} ms already`);
    assert.equal(frames[0], BINARY, 'it was not let in');
    assert.ok(frames.filter((opcode) => opcode === PING).length >= 2, 'it was not asked');
    await answers.event('userDisconnected');
    assert.ok(answers.isOpen);
    assert.equal(await answers.call('getDisconnectionCount'), 1);
  });

  test('on a raw WebSocket is closed as well', async () => {
    const key = [fresh()];
    const other = await openSocket(host, websocketPath('rawWebSocketActor', key));
    await other.nextJson();
    const { frames, closed } = openSilent(websocketPath('rawWebSocketActor', key));
    await until('it is let in', () => frames.length > 0);
    await within('the host closes the connection', closed);
    await until('its actor knows', async () => (await other.ask({ type: 'getStats' })).connectionCount === 1);
  });
});

describe('a raw response that names headers of the connection', () => {
  const host = useHost({ components: ['conformance'] });

  test('says nothing of the connection, which goes on; what it named is a header like any other', async () => {
    const target = gatewayPath('rawHttpActor', [fresh()], '/request/api/echo');
    // The actor answers with all the headers of the request.
    const request = (body) => `POST ${target} HTTP/1.1\r\nhost: x\r\nconnection: keep-alive, x-hop\r\nx-hop: 1\r\n`
      + `content-length: ${body.length}\r\n\r\n${body}`;
    const socket = connectTcp(host.port, '127.0.0.1');
    let text = '';
    socket.setEncoding('latin1').on('data', (part) => (text += part));
    for (const body of ['first', 'second']) {
      socket.write(request(body));
      const whole = new RegExp(`\\r\\n\\r\\n[0-9a-f]+\\r\\n${body}\\r\\n0\\r\\n\\r\\n$`);
      await until('it is answered', () => whole.test(text));
      const head = text.slice(0, text.indexOf('\r\n\r\n'));
      assert.match(head, /^HTTP\/1\.1 200 OK\r\n/);
      assert.doesNotMatch(head, /^connection:/im);
      assert.match(head, /^x-hop: 1$/m);
      assert.equal(head.match(/^(transfer-encoding|content-length):/gim).length, 1);
      text = '';
    }
    socket.destroy();
  });
});
