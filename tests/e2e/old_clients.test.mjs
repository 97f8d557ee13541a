// Connections, events, raw HTTP and raw WebSockets with the clients that came before, in the encoding that they choose.

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { createClient as createClient20 } from 'rivetkit-2-0/client';
import { createClient as createClient21 } from 'rivetkit-2-1/client';
import { createClient as createClient22 } from 'rivetkit-2-2/client';
import { createClient as createClient23 } from 'rivetkit/client';
import { failsWith, fresh, range, startHost, until, useHost, within } from './harness.mjs';
import { Socket, listen, upTo, watch } from './sockets.mjs';

const host = useHost({ components: ['conformance', 'fixtures'] });

// How a raw WebSocket is opened has another name in the oldest.
const CLIENTS = {
  '2.0.33': { create: createClient20, webSocket: 'websocket' },
  '2.1.7': { create: createClient21, webSocket: 'webSocket' },
  '2.2.1': { create: createClient22, webSocket: 'webSocket' },
};

for (const [version, { create, webSocket }] of Object.entries(CLIENTS)) {
  describe(`the older client ${version}`, () => {
    const handle = (type, { key = fresh(), ...options } = {}) => host.client({ create })[type].getOrCreate([key], options);

    /** A connection that has answered a call: these clients take an error of the very first call for one of the connection. */
    async function connected(actor, action, ...args) {
      const connection = actor.connect();
      await within('the first call is answered', connection[action](...args));
      return connection;
    }

    const openRaw = async (actor, path) => new Socket(await actor[webSocket](path));

    test('connects and calls', async () => {
      const connection = handle('counter').connect();
      assert.deepEqual(await within('the calls are answered', Promise.all(upTo(5).map(() => connection.increment(1)))), upTo(5));
      assert.equal(await connection.getCount(), 5);
      assert.equal(connection.connStatus, 'connected');
    });

    test('gets what it sends, and nothing as undefined', async () => {
      const connection = await connected(handle('echoer'), 'echo', 1);
      for (const value of [0, -1, 2 ** 32, 2 ** 40, 1.5, 'é😀', null, [1, [2]], { a: { b: [null] } }, 5n, ['$BigInt', '5']]) {
        assert.deepStrictEqual(await connection.echo(value), value);
      }
      assert.deepEqual([...(await connection.echo(Uint8Array.of(0, 1, 255)))], [0, 1, 255]);
      assert.strictEqual(await connection.nothing(), undefined);
    });

    test('is told of errors by their codes, with what belongs to them', async () => {
      const connection = await connected(handle('echoer'), 'echo', 1);
      const error = await failsWith('user.too_long', connection.userError('Too long', 'too_long', { maxLength: 32 }));
      assert.equal(error.message, 'Too long');
      assert.deepEqual(error.metadata, { maxLength: 32 });
      await failsWith('rivetkit.internal_error', connection.internalError());
      await failsWith('actor.action_not_found', connection.nope());
      assert.equal(await connection.echo('still here'), 'still here');
    });

    test('gets the events of its own calls and of others, until it has had enough', async () => {
      const key = fresh();
      const connection = handle('counter', { key }).connect();
      const counts = listen(connection, 'newCount');
      const once = [];
      connection.once('newCount', (count) => once.push(count));
      const left = [];
      const leave = connection.on('newCount', (count) => left.push(count));
      assert.equal(await within('the call is answered', connection.increment(1)), 1);
      leave();
      for (const n of [2, 3]) assert.equal(await host.call('counter', [key], 'increment', 1), n);
      assert.deepEqual(await counts.several(3), [1, 2, 3]);
      assert.deepEqual([once, left], [[1], [1]]);
    });

    test('gets events side by side with the newest client', async () => {
      const key = fresh();
      const older = await connected(handle('counter', { key }), 'getCount');
      const newer = host.client({ create: createClient23 }).counter.getOrCreate([key]).connect();
      const inboxes = [listen(older, 'newCount'), listen(newer, 'newCount')];
      await Promise.all([older.getCount(), newer.getCount()]);
      await older.increment(1);
      await newer.increment(1);
      for (const inbox of inboxes) assert.deepEqual(await inbox.several(2), [1, 2]);
    });

    test('gets large events and such with several arguments', async () => {
      const connection = handle('shouter').connect();
      const [noise, told] = [listen(connection, 'noise'), listen(connection, 'told')];
      await within('the calls are answered', Promise.all([connection.shout(2, 100_000), connection.tell('a', { b: [1] })]));
      assert.deepEqual((await noise.several(2)).map(({ n, text }) => [n, text.length]), [[1, 100_000], [2, 100_000]]);
      assert.deepEqual(await told.next(), ['a', { b: [1] }]);
    });

    test('connects with params, which its connection state is made of', async () => {
      const actor = handle('connStateActor', { params: { username: 'é ann', role: 'admin' } });
      const connection = actor.connect();
      const greetings = listen(connection, 'connectedFromOnConnect');
      const { id, username, role } = await within('the call is answered', connection.getConnectionState());
      assert.deepEqual([username, role], ['é ann', 'admin']);
      assert.deepEqual(await greetings.next(), { id, username: 'é ann' });
    });

    test('gets messages that are for it alone', async () => {
      const key = fresh();
      const connection = handle('connStateActor', { key }).connect();
      const messages = listen(connection, 'directMessage');
      const { id } = await within('the call is answered', connection.getConnectionState());
      assert.strictEqual(await host.call('connStateActor', [key], 'sendToConnection', id, 'hello'), true);
      assert.equal((await messages.next()).message, 'hello');
    });

    test('keeps its connection while the actor sleeps', async () => {
      const key = fresh();
      const connection = handle('counter', { key }).connect();
      const seen = watch(connection);
      const counts = listen(connection, 'newCount');
      await within('the call is answered', connection.increment(1));
      const [{ actor_id: id }] = await host.actors({ name: 'counter', key });
      await host.putToSleep(id);
      assert.equal(await connection.increment(1), 2);
      await host.putToSleep(id);
      await host.call('counter', [key], 'increment', 1);
      assert.deepEqual(await counts.several(3), [1, 2, 3]);
      assert.equal(seen.closes, 0);
    });

    test('is told when it is refused, and may stop trying', async () => {
      const connection = handle('accessControlActor', { params: { allowRequest: false } }).connect();
      const errors = [];
      connection.onError((error) => errors.push(`${error.code}`));
      await until('it is told', () => errors.includes('forbidden'));
      assert.notEqual(connection.connStatus, 'connected');
      await connection.dispose();
    });

    test('is told when it may not have an event, and goes on', async () => {
      const connection = await connected(handle('accessControlActor'), 'allowedAction', 'v');
      connection.on('blockedEvent', () => {});
      const error = await connection.allowedAction('next').then(() => null, (error) => error);
      assert.equal(error?.code, 'forbidden');
      assert.equal(await connection.allowedAction('after it'), 'allowed:after it');
    });

    test('connects again when its actor has closed the connection', async () => {
      const connection = await connected(handle('connStateActor'), 'getConnectionState');
      const { id } = await connection.getConnectionState();
      const seen = watch(connection);
      assert.strictEqual(await connection.disconnectSelf(), true);
      await until('it is connected again', () => seen.closes === 1 && connection.connStatus === 'connected');
      assert.notEqual((await connection.getConnectionState()).id, id);
    });

    test('disconnects, and the actor hears of it', async () => {
      const key = fresh();
      const observer = host.client().connStateActor.getOrCreate([key], { params: { noCount: true } });
      const connection = await connected(handle('connStateActor', { key }), 'getConnectionState');
      await connection.dispose();
      await until('it has left', async () => (await observer.getDisconnectionCount()) === 1);
    });

    test('fetches', async () => {
      const actor = handle('rawHttpActor');
      assert.deepEqual(await (await actor.fetch('api/hello')).json(), { message: 'Hello from actor!' });
      const headers = { 'content-type': 'text/plain', 'x-mine': '1' };
      const echo = await actor.fetch('api/echo', { method: 'POST', headers, body: 'hello é' });
      assert.equal(echo.status, 200);
      assert.equal(echo.headers.get('x-mine'), '1');
      assert.equal(await echo.text(), 'hello é');
      assert.equal((await actor.fetch('nowhere')).status, 404);
      assert.deepEqual(await (await actor.fetch('/api/state')).json(), { requestCount: 4 });
    });

    test('fetches with the path and the query that it asked for', async () => {
      const seen = await (await handle('rawHttpRequestPropertiesActor').fetch('some/path?a=1&b=x%20y')).json();
      assert.deepEqual([seen.pathname, seen.search], ['/some/path', '?a=1&b=x%20y']);
    });

    test('opens raw WebSockets', async () => {
      const socket = await openRaw(handle('rawWebSocketActor'), 'room/1?q=1');
      assert.deepEqual(await socket.nextJson(), { type: 'welcome', connectionCount: 1 });
      const { pathname, search } = await socket.ask({ type: 'getRequestInfo' });
      assert.deepEqual([pathname, search], ['/websocket/room/1', '?q=1']);
      socket.send('plain');
      assert.equal(await socket.messages.next(), 'plain');
      socket.send(Buffer.from([1, 2, 255]));
      assert.deepEqual(await socket.messages.next(), Buffer.from([1, 2, 255]));
      assert.equal((await socket.close(4001, 'bye')).code, 4001);
    });

    test('finds its way back to a host that was killed', async (t) => {
      const host = await startHost(t, { components: ['conformance'] });
      const connection = host.client({ create }).counter.getOrCreate(['k']).connect();
      const seen = watch(connection);
      const counts = listen(connection, 'newCount');
      assert.equal(await within('the call is answered', connection.increment(1)), 1);
      await host.kill();
      await until('it has noticed', () => seen.closes === 1);
      await host.startAgain();
      await until('it is connected again', () => connection.connStatus === 'connected', { within: 20_000 });
      assert.equal(await within('the call is answered', connection.increment(1)), 2);
      assert.deepEqual(await counts.several(2), [1, 2]);
    });

    test('stands among many of its kind in one room, and loses nothing', async () => {
      const key = fresh();
      const connections = range(30).map(() => handle('counter', { key }).connect());
      const inboxes = connections.map((connection) => listen(connection, 'newCount'));
      await within('all are connected', Promise.all(connections.map((connection) => connection.getCount())));
      for (const n of upTo(30)) assert.equal(await host.call('counter', [key], 'increment', 1), n);
      for (const inbox of inboxes) assert.deepEqual(await inbox.several(30), upTo(30));
    });
  });
}
