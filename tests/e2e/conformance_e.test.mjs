// The conformance actors of group E (permissions), through the stock client in every encoding, each test in a namespace
// that nobody has used before.

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { ENCODINGS, actionPath, fresh, gatewayPath, until, useHost, within } from './harness.mjs';
import { Socket, listen, ready, refused, connectPath, watch } from './sockets.mjs';

const host = useHost({ components: ['conformance'] });

const REFUSED = [{ allowRequest: false }, { allowWebSocket: false }];

/** The error of a call that must fail with the code `forbidden`, of whatever group. */
async function isForbidden(promise) {
  const error = await within('the call is answered', promise).then(
    (value) => assert.fail(`it should have been forbidden, but gave ${JSON.stringify(value)}`),
    (error) => error,
  );
  assert.equal(error.code, 'forbidden', `it failed with another error: ${error.stack}`);
  return error;
}

for (const encoding of ENCODINGS) {
  describe(`accessControlActor in ${encoding}`, () => {
    function setUp() {
      const namespace = fresh('conformance');
      const client = host.client({ encoding, namespace, disableMetadataLookup: true });
      const handle = (params) => client.accessControlActor.getOrCreate(['k'], { params });
      return { namespace, handle, actor: handle() };
    }

    const connected = (handle) => ready(handle.connect());

    test('lets those in that nothing speaks against', async () => {
      const { actor, handle } = setUp();
      for (const params of [undefined, {}, { allowRequest: true, allowWebSocket: true }]) {
        assert.equal(await handle(params).allowedAction('v'), 'allowed:v');
        const connection = await connected(handle(params));
        assert.equal(await connection.allowedAction('w'), 'allowed:w');
      }
      assert.equal(await actor.allowedGetLastCanPublishConnId(), '');
      assert.equal(await actor.allowedGetLastCanSubscribeConnId(), '');
    });

    for (const params of REFUSED) {
      const what = JSON.stringify(params);

      test(`refuses a stateless call with ${what}`, async () => {
        const { handle } = setUp();
        await isForbidden(handle(params).allowedAction('v'));
      });

      test(`refuses a raw request with ${what}, with a 403 that says why`, async () => {
        const { handle } = setUp();
        const answer = await handle(params).fetch('status');
        assert.equal(answer.status, 403);
        const error = await answer.json();
        assert.equal(error.code, 'forbidden');
        assert.equal(typeof error.message, 'string');
      });

      test(`refuses a connection with ${what}, which gives up`, async () => {
        const { handle } = setUp();
        const connection = handle(params).connect();
        const seen = watch(connection);
        await isForbidden(connection.allowedAction('v'));
        await until('it has given up', () => seen.hasGivenUp);
        assert.equal(seen.opens, 0);
        assert.ok(seen.errors.length > 0);
        for (const error of seen.errors) assert.match(error, /\.forbidden$/);
      });

      test(`refuses a raw WebSocket with ${what}: it is never opened, or closed with 1011`, async () => {
        const { handle } = setUp();
        const socket = new Socket(await handle(params).webSocket());
        const { code, reason } = await within('it is closed', socket.closed);
        assert.deepEqual(socket.messages.items, []);
        if (code !== 1006) {
          assert.equal(code, 1011);
          assert.match(reason, /\.forbidden\b/);
        }
      });

      test(`refuses a hand-made connection with ${what} by a frame that says why, and a close`, async () => {
        const { namespace } = setUp();
        const target = connectPath('accessControlActor', ['k'], { namespace });
        const { frames, code, reason } = await refused(host, target, { encoding, params });
        assert.equal(code, 1011);
        assert.match(reason, /\.forbidden$/);
        assert.equal(frames.length, 1, 'a close alone loses the message');
        assert.equal(frames[0].code, 'forbidden');
        assert.equal(frames[0].actionId, null);
        assert.notEqual(frames[0].message, '');
      });
    }

    test('refuses a plain HTTP call by the params in its header', async () => {
      const { namespace } = setUp();
      const headers = { 'x-rivet-conn-params': '{"allowRequest":false}' };
      const call = actionPath('accessControlActor', ['k'], 'allowedAction', { namespace });
      const request = gatewayPath('accessControlActor', ['k'], '/request/status', { namespace });
      for (const answer of [
        await host.request('POST', call, { headers, body: { args: ['v'] } }),
        await host.request('GET', request, { headers }),
      ]) {
        assert.equal(answer.status, 403, answer.text());
        assert.equal(answer.json().code, 'forbidden');
      }
      assert.equal((await host.request('GET', request)).status, 200);
    });

    test('is not disturbed by those that it refuses', async () => {
      const { actor, handle } = setUp();
      const connection = await connected(actor);
      const seen = watch(connection);
      for (const params of REFUSED) await isForbidden(handle(params).allowedAction('v'));
      assert.equal(await connection.allowedAction('v'), 'allowed:v');
      assert.equal(seen.closes, 0);
    });

    test('answers raw requests that it allows', async () => {
      const { actor } = setUp();
      const status = await actor.fetch('/status');
      assert.equal(status.status, 200);
      assert.deepEqual(await status.json(), { ok: true });
      const other = await actor.fetch('/other');
      assert.equal(other.status, 404);
      assert.equal(await other.text(), 'Not Found');
    });

    test('welcomes raw WebSockets that it allows', async () => {
      const { actor } = setUp();
      const socket = new Socket(await actor.webSocket());
      assert.deepEqual(await socket.nextJson(), { type: 'welcome' });
      await socket.close();
    });

    test('lets a connection have the event that it may have, and knows which connection asked', async () => {
      const { actor } = setUp();
      const connection = await connected(actor);
      const events = listen(connection, 'allowedEvent');
      assert.equal(await connection.allowedAction('v'), 'allowed:v');
      assert.equal(await actor.allowedGetLastCanSubscribeConnId(), connection.connId);
      await actor.allowedBroadcastAllowedEvent(1);
      await connection.allowedBroadcastAllowedEvent({ deep: [2] });
      assert.deepEqual(await events.several(2), [{ value: 1 }, { value: { deep: [2] } }]);
    });

    test('fails the next call of a connection that asks for an event that it may not have', async () => {
      const { actor } = setUp();
      const connection = await connected(actor);
      const seen = watch(connection);
      listen(connection, 'blockedEvent');
      await isForbidden(connection.allowedAction('next'));
      assert.equal(await connection.allowedAction('after it'), 'allowed:after it');
      assert.equal(seen.closes, 0, 'the connection was closed');
      assert.equal(await actor.allowedGetLastCanSubscribeConnId(), connection.connId);
    });

    test('fails it as well when the connection asked before it was open', async () => {
      const { actor } = setUp();
      const connection = actor.connect();
      listen(connection, 'blockedEvent');
      await isForbidden(connection.allowedAction('first'));
      assert.equal(await connection.allowedAction('after it'), 'allowed:after it');
    });

    test('keeps an event from a connection that may not have it, whoever broadcasts it', async () => {
      const { actor } = setUp();
      const connection = await connected(actor);
      const blocked = listen(connection, 'blockedEvent');
      await isForbidden(connection.allowedAction('next'));
      const allowed = listen(connection, 'allowedEvent');
      await connection.allowedBroadcastBlockedEvent('secret');
      await actor.allowedBroadcastBlockedEvent('secret');
      await actor.allowedBroadcastAllowedEvent('open');
      // Sent after the others, so they would have arrived before it.
      assert.deepEqual(await allowed.next(), { value: 'open' });
      assert.deepEqual(blocked.items, []);
    });

    test('lets a connection have an event that was never declared, and asks nobody', async () => {
      const { actor } = setUp();
      const connection = await connected(actor);
      const events = listen(connection, 'undefinedEvent');
      await connection.allowedAction('v');
      await actor.allowedBroadcastUndefinedEvent(7);
      assert.deepEqual(await events.next(), { value: 7 });
      assert.equal(await actor.allowedGetLastCanSubscribeConnId(), '');
    });

    test('does not let one connection pay for what another asked', async () => {
      const { actor } = setUp();
      const [bold, meek] = [await connected(actor), await connected(actor)];
      const events = listen(meek, 'allowedEvent');
      await meek.allowedAction('v');
      listen(bold, 'blockedEvent');
      const [, answer] = await Promise.all([isForbidden(bold.allowedAction('next')), meek.allowedAction('w')]);
      assert.equal(answer, 'allowed:w');
      await actor.allowedBroadcastAllowedEvent(1);
      assert.deepEqual(await events.next(), { value: 1 });
    });

    test('takes a message for the queue that one may send to, and knows which connection sent it', async () => {
      const { actor } = setUp();
      assert.strictEqual(await actor.allowedReceiveQueue(), null);
      await actor.send('allowedQueue', { value: 'one' });
      const sender = await actor.allowedGetLastCanPublishConnId();
      assert.notEqual(sender, '');
      await actor.send('allowedQueue', { value: 'two' });
      assert.notEqual(await actor.allowedGetLastCanPublishConnId(), sender, 'each send has a connection of its own');
      assert.deepEqual(await actor.allowedReceiveQueue(), { value: 'one' });
      assert.deepEqual(await actor.allowedReceiveAnyQueue(), { value: 'two' });
      assert.strictEqual(await actor.allowedReceiveAnyQueue(), null);
    });

    test('refuses a message for the queue that one may not send to, waiting or not', async () => {
      const { actor } = setUp();
      await isForbidden(actor.send('blockedQueue', { value: 1 }));
      assert.notEqual(await actor.allowedGetLastCanPublishConnId(), '', 'it was not asked');
      await isForbidden(actor.send('blockedQueue', { value: 1 }, { wait: true, timeout: 5_000 }));
      assert.strictEqual(await actor.allowedReceiveAnyQueue(), null);
      assert.equal(await actor.allowedAction('v'), 'allowed:v');
    });

    test('drops a message for a queue that was never declared, and asks nobody', async () => {
      const { actor } = setUp();
      assert.strictEqual(await actor.send('undefinedQueue', { value: 1 }), undefined);
      const waited = await actor.send('undefinedQueue', { value: 1 }, { wait: true, timeout: 5_000 });
      assert.deepEqual(waited, { status: 'completed' });
      assert.equal(await actor.allowedGetLastCanPublishConnId(), '');
      assert.strictEqual(await actor.allowedReceiveAnyQueue(), null);
    });

    for (const params of REFUSED) {
      test(`refuses a message of a sender with ${JSON.stringify(params)}`, async () => {
        const { actor, handle } = setUp();
        await isForbidden(handle(params).send('allowedQueue', { value: 1 }));
        assert.strictEqual(await actor.allowedReceiveAnyQueue(), null);
      });
    }
  });

  describe(`accessControlNoQueuesActor in ${encoding}`, () => {
    test('has nothing to receive, whatever is sent', async () => {
      const namespace = fresh('conformance');
      const client = host.client({ encoding, namespace, disableMetadataLookup: true });
      const actor = client.accessControlNoQueuesActor.getOrCreate(['k']);
      assert.strictEqual(await actor.readAnyQueue(), null);
      assert.strictEqual(await actor.send('anything', { value: 1 }), undefined);
      assert.deepEqual(await actor.send('anything', 1, { wait: true, timeout: 5_000 }), { status: 'completed' });
      assert.strictEqual(await actor.readAnyQueue(), null);
    });
  });
}
