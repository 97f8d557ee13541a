// The conformance actors of group H (queues), through the stock client in every encoding, each test in a namespace that
// nobody has used before.

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { ENCODINGS, actionPath, failsWith, fresh, isAsleep, range, until, useHost, within } from './harness.mjs';

const host = useHost({ components: ['conformance'] });

const COMPLETED = { status: 'completed' };
const TIMED_OUT = { status: 'timedOut' };

for (const encoding of ENCODINGS) {
  describe(`in ${encoding}`, () => {
    /**
     * A new actor of a type, in a namespace of its own. Each `handle()` is another caller: one handle of the stock
     * client sends one message at a time.
     */
    function setUp(type, options) {
      const namespace = fresh('conformance');
      const client = host.client({ encoding, namespace, disableMetadataLookup: true });
      const handle = (key = ['k']) => client[type].getOrCreate(key, options);
      return { namespace, client, handle, actor: handle() };
    }

    /** Sends without waiting for completion; the client gives nothing. */
    const send = async (handle, name, body) => assert.strictEqual(await handle.send(name, body), undefined);

    describe('queueActor', () => {
      const only = () => setUp('queueActor').actor;

      test('gives nothing to who sends, and the message to who receives', async () => {
        const actor = only();
        await send(actor, 'greeting', { hello: 'world' });
        const message = await actor.receiveOne('greeting');
        assert.deepEqual(message, { name: 'greeting', body: { hello: 'world' } });
        assert.strictEqual(await actor.receiveOne('greeting', { timeout: 0 }), null);
      });

      test('carries every kind of body, and nothing as nothing', async () => {
        const actor = only();
        const bodies = [null, 0, -1.5, 'text', true, [1, [2]], { deep: { n: null } }, 2n ** 70n, new Uint8Array([0, 255])];
        for (const body of bodies) await send(actor, 'greeting', body);
        const messages = await actor.receiveMany(['greeting'], { count: 100 });
        assert.deepEqual(messages.map(({ body }) => body), bodies);
        await send(actor, 'greeting', undefined);
        const { body } = await actor.receiveOne('greeting');
        assert.strictEqual(body, undefined);
      });

      test('gives messages in the order in which they were sent', async () => {
        const actor = only();
        for (const n of range(20)) await send(actor, 'a', n);
        for (const n of range(20)) assert.deepEqual(await actor.receiveOne('a'), { name: 'a', body: n });
      });

      test('waits for a message that has not been sent', async () => {
        const { actor, handle } = setUp('queueActor');
        const message = handle().receiveOne('greeting', { timeout: 8_000 });
        const without = handle().receiveOne('tasks');
        await until('both receive', async () => (await actor.receiveOne('a', { timeout: 0 })) === null);
        await send(actor, 'greeting', 'late');
        await send(actor, 'tasks', 'later');
        assert.deepEqual(await within('the message comes', message), { name: 'greeting', body: 'late' });
        assert.deepEqual(await within('the other comes', without), { name: 'tasks', body: 'later' });
      });

      test('gives up waiting after the timeout, and not before', async () => {
        const actor = only();
        await actor.receiveOne('a', { timeout: 0 });
        const begun = performance.now();
        assert.strictEqual(await actor.receiveOne('greeting', { timeout: 100 }), null);
        assert.ok(performance.now() - begun >= 99);
        assert.deepEqual(await actor.receiveMany(['greeting'], { count: 5, timeout: 20 }), []);
      });

      test('gives a batch over the given names in the order of sending, and leaves the others', async () => {
        const actor = only();
        for (const [name, body] of [['a', 1], ['c', 2], ['b', 3], ['a', 4], ['b', 5]]) await send(actor, name, body);
        assert.deepEqual(await actor.receiveMany(['b', 'a'], { count: 3, timeout: 1_000 }), [
          { name: 'a', body: 1 },
          { name: 'b', body: 3 },
          { name: 'a', body: 4 },
        ]);
        assert.deepEqual(await actor.receiveMany(['a', 'b'], { count: 10 }), [{ name: 'b', body: 5 }]);
        assert.deepEqual(await actor.receiveMany(['c'], { count: 10 }), [{ name: 'c', body: 2 }]);
      });

      test('gives one message to who does not say how many', async () => {
        const actor = only();
        for (const n of range(3)) await send(actor, 'one', n);
        assert.deepEqual(await actor.receiveMany(['one']), [{ name: 'one', body: 0 }]);
        assert.deepEqual(await actor.receiveRequest({ names: ['one'] }), [{ name: 'one', body: 1 }]);
        assert.deepEqual(await actor.tryReceiveMany({ names: ['one'] }), [{ name: 'one', body: 2 }]);
      });

      test('gives messages of all queues to who gives no names', async () => {
        const actor = only();
        for (const name of ['two', 'one', 'greeting']) await send(actor, name, name);
        const all = ['two', 'one', 'greeting'].map((name) => ({ name, body: name }));
        assert.deepEqual(await actor.receiveRequest({ count: 10, timeout: 1_000 }), all);
        await send(actor, 'b', 1);
        assert.deepEqual(await actor.tryReceiveMany({ count: 10 }), [{ name: 'b', body: 1 }]);
        assert.deepEqual(await actor.receiveRequest({ timeout: 0 }), []);
      });

      test('does not wait when it is not to', async () => {
        const actor = only();
        assert.deepEqual(await actor.tryReceiveMany({ names: ['missing'], count: 1 }), []);
        assert.deepEqual(await actor.tryReceiveMany({}), []);
        await send(actor, 'missing', 1);
        assert.deepEqual(await actor.tryReceiveMany({ names: ['missing'], count: 4 }), [{ name: 'missing', body: 1 }]);
      });

      test('gives what an iteration gives first', async () => {
        const actor = only();
        await send(actor, 'one', 1);
        await send(actor, 'two', 2);
        assert.deepEqual(await actor.receiveWithIterator('two'), { name: 'two', body: 2 });
        assert.deepEqual(await actor.receiveWithAsyncIterator(), { name: 'one', body: 1 });
        const promise = actor.receiveWithAsyncIterator();
        await send(only(), 'one', 'elsewhere');
        await send(actor, 'a', 'here');
        assert.deepEqual(await within('the iteration goes on', promise), { name: 'a', body: 'here' });
      });

      test('sends to itself by its own client', async () => {
        const actor = only();
        assert.equal(await actor.sendToSelf('self', { value: 42 }), true);
        assert.deepEqual(await actor.receiveOne('self'), { name: 'self', body: { value: 42 } });
      });

      test('keeps messages over a sleep', async () => {
        const { actor, namespace } = setUp('queueActor');
        await send(actor, 'greeting', 'kept');
        await host.putToSleep(await actor.resolve(), namespace);
        assert.deepEqual(await actor.receiveOne('greeting', { timeout: 0 }), { name: 'greeting', body: 'kept' });
      });

      test('fails a receive that waits when it is destroyed, also towards the caller', async () => {
        const { actor } = setUp('queueActor');
        await failsWith('actor.aborted', within('the call ends', actor.waitForAbort()));
      });

      test('can catch that a receive fails because it is destroyed', async () => {
        const failure = await within('the call ends', only().waitForActorAbortWithSignal());
        assert.deepEqual(failure, { group: 'actor', code: 'aborted' });
      });

      test('fails a receive whose signal is aborted from the beginning, even if there is a message', async () => {
        const actor = only();
        const aborted = { group: 'actor', code: 'aborted' };
        assert.deepEqual(await within('the call ends', actor.waitForSignalAbort()), aborted);
        await send(actor, 'abort', 1);
        assert.deepEqual(await within('the call ends', actor.waitForSignalAbort()), aborted);
        assert.deepEqual(await actor.receiveOne('abort', { timeout: 0 }), { name: 'abort', body: 1 });
      });

      test('ends an iteration whose signal is aborted', async () => {
        assert.deepEqual(await within('the call ends', only().iterWithSignalAbort()), { ok: true });
      });

      test('tells a waiting sender with what its message was completed', async () => {
        const { actor, handle } = setUp('queueActor');
        const sent = handle().send('tasks', { value: 123 }, { wait: true, timeout: 10_000 });
        assert.deepEqual(await actor.receiveAndComplete('tasks'), { name: 'tasks', body: { value: 123 } });
        assert.deepEqual(await sent, { status: 'completed', response: { echo: { value: 123 } } });
        assert.strictEqual(await actor.receiveOne('tasks', { timeout: 0 }), null);
      });

      test('tells a waiting sender that its message was received', async () => {
        const { actor, handle } = setUp('queueActor');
        const sent = handle().send('greeting', 1, { wait: true, timeout: 10_000 });
        assert.deepEqual(await actor.receiveOne('greeting'), { name: 'greeting', body: 1 });
        assert.deepEqual(await sent, COMPLETED);
      });

      test('tells a waiting sender that its time is over, and keeps the message', async () => {
        const actor = only();
        const begun = performance.now();
        assert.deepEqual(await actor.send('timeout', { value: 7 }, { wait: true, timeout: 60 }), TIMED_OUT);
        assert.ok(performance.now() - begun >= 59);
        assert.deepEqual(await actor.receiveOne('timeout', { timeout: 0 }), { name: 'timeout', body: { value: 7 } });
        assert.deepEqual(await actor.send('timeout', 8, { wait: true, timeout: 0 }), TIMED_OUT);
      });

      test('tells each of several waiting senders of its own message', async () => {
        const { actor, handle, namespace } = setUp('queueActor');
        const sent = range(5).map((n) => handle().send('tasks', n, { wait: true, timeout: 10_000 }));
        const queue = `/actors/${await actor.resolve()}/queue?namespace=${namespace}`;
        await until('all are sent', async () => (await host.manage('GET', queue)).size === 5);
        for (const _ of range(5)) await actor.receiveAndComplete('tasks');
        const answers = await Promise.all(sent);
        assert.deepEqual(answers, range(5).map((n) => ({ status: 'completed', response: { echo: n } })));
      });

      test('gives a message again that was not completed', async () => {
        const actor = only();
        await send(actor, 'tasks', { value: 5 });
        const message = { name: 'tasks', body: { value: 5 } };
        assert.deepEqual(await actor.receiveWithoutComplete('tasks'), message);
        assert.deepEqual(await within('it comes again', actor.receiveAndComplete('tasks')), message);
        assert.strictEqual(await actor.receiveOne('tasks', { timeout: 0 }), null);
      });

      test('gives a message that was not completed before those that were sent after it', async () => {
        const actor = only();
        await send(actor, 'tasks', 1);
        await send(actor, 'tasks', 2);
        assert.equal((await actor.receiveWithoutComplete('tasks')).body, 1);
        assert.equal((await actor.receiveOne('tasks')).body, 1);
        assert.equal((await actor.receiveOne('tasks')).body, 2);
      });

      test('refuses the next receive of a call that has not completed its message', async () => {
        const { actor, handle, namespace } = setUp('queueActor');
        await send(actor, 'tasks', 'first');
        await send(actor, 'tasks', 'second');
        const id = await actor.resolve();
        const failure = await actor.receiveManualThenNextWithoutComplete('tasks');
        assert.deepEqual(failure, { group: 'queue', code: 'previous_message_not_completed' });
        await until('it is destroyed', async () => (await host.actor(id, namespace)) === undefined);
        assert.notEqual(await handle().resolve(), id);
        assert.deepEqual(await handle().tryReceiveMany({ count: 10 }), [], 'its messages are gone with it');
      });

      test('refuses to complete a message twice, and the first completion counts', async () => {
        const { actor, handle } = setUp('queueActor');
        const sent = handle().send('twice', { value: 'v' }, { wait: true, timeout: 10_000 });
        const failure = await actor.receiveAndCompleteTwice('twice');
        assert.deepEqual(failure, { group: 'queue', code: 'already_completed' });
        assert.equal((await sent).status, 'completed');
        assert.strictEqual(await actor.receiveOne('twice', { timeout: 0 }), null);
      });

      test('can complete a message of a queue without a declared reply', async () => {
        const actor = only();
        await send(actor, 'nowait', { value: 'n' });
        assert.deepEqual(await actor.receiveWithoutCompleteMethod('nowait'), { hasComplete: true });
      });

      test('drops what is sent to a queue that it does not declare', async () => {
        const actor = only();
        await send(actor, 'undeclared', 1);
        assert.deepEqual(await actor.send('undeclared', 1, { wait: true, timeout: 10_000 }), COMPLETED);
        assert.equal(await actor.sendToSelf('undeclared', 1), true);
        assert.deepEqual(await actor.tryReceiveMany({ count: 10 }), []);
        assert.strictEqual(await actor.receiveOne('undeclared', { timeout: 0 }), null);
      });

      test('takes messages on a connection as well', async () => {
        const { actor } = setUp('queueActor');
        const connection = actor.connect();
        await connection.receiveOne('a', { timeout: 0 });
        const message = connection.receiveOne('greeting', { timeout: 8_000 });
        await send(actor, 'greeting', 'to a connection');
        assert.deepEqual(await within('it comes', message), { name: 'greeting', body: 'to a connection' });
      });
    });

    describe('queueLimitedActor', () => {
      test('refuses a message beyond its number', async () => {
        const { actor } = setUp('queueLimitedActor');
        await send(actor, 'message', 1);
        const full = await failsWith('queue.full', actor.send('message', 2));
        assert.match(full.message, /Queue is full\. Limit is/);
        await failsWith('queue.full', actor.send('oversize', 2));
        await failsWith('queue.full', actor.send('message', 3, { wait: true, timeout: 5_000 }));
      });

      test('refuses a message beyond its size', async () => {
        const { actor } = setUp('queueLimitedActor');
        await failsWith('queue.message_too_large', actor.send('oversize', 'x'.repeat(65)));
        await failsWith('queue.message_too_large', actor.send('oversize', 'x'.repeat(60_000), { wait: true, timeout: 5_000 }));
        await send(actor, 'oversize', 'x'.repeat(60));
      });

      test('drops what is sent to no queue, full or not', async () => {
        const { actor } = setUp('queueLimitedActor');
        await send(actor, 'message', 1);
        await send(actor, 'undeclared', 'x'.repeat(100));
      });
    });

    describe('manyQueueChildActor', () => {
      const names = range(32).map((n) => `cmd.${n}`);

      test('is made with its input, and deals with the messages of all its queues', async () => {
        const { actor, handle } = setUp('manyQueueChildActor', { createWithInput: 'the label' });
        assert.deepEqual(await actor.ping(), { label: 'the label', pong: true });
        const ask = (name, index) => handle().send(name, { index }, { wait: true, timeout: 10_000 });
        const answers = await Promise.all(names.map(ask));
        assert.deepEqual(answers, names.map((_, index) => ({ status: 'completed', response: { ok: true, index } })));
        const { label, started, processed } = await actor.getSnapshot();
        assert.deepEqual({ label, started }, { label: 'the label', started: true });
        assert.deepEqual(processed.toSorted(), names.toSorted());
      });

      test('deals with them in the order of sending', async () => {
        const { actor } = setUp('manyQueueChildActor');
        for (const name of [...names].reverse()) await send(actor, name, { index: 0 });
        await until('all are dealt with', async () => (await actor.getSnapshot()).processed.length === 32);
        assert.deepEqual((await actor.getSnapshot()).processed, [...names].reverse());
      });
    });

    for (const [type, spawn, answer] of [
      ['manyQueueActionParentActor', 'spawnChild', (key) => ({ key })],
      ['manyQueueRunParentActor', 'queueSpawn', () => ({ queued: true })],
    ]) {
      describe(type, () => {
        test('makes children that are there for others, with its input', async () => {
          const { actor, client } = setUp(type);
          const keys = ['first', 'second', 'third'];
          assert.deepEqual(await actor.getSpawned(), []);
          for (const key of keys) assert.deepEqual(await actor[spawn](key), answer(key));
          assert.deepEqual(await actor.getSpawned(), keys);
          for (const key of keys) {
            const child = client.manyQueueChildActor.getOrCreate([key]);
            assert.deepEqual(await child.ping(), { label: key, pong: true });
            const sent = await child.send('cmd.17', { index: 17 }, { wait: true, timeout: 10_000 });
            assert.deepEqual(sent, { status: 'completed', response: { ok: true, index: 17 } });
          }
        });

        test('makes many at the same time', async () => {
          const { actor, handle } = setUp(type);
          const keys = range(10).map((n) => `child ${n}`);
          await Promise.all(keys.map((key) => handle()[spawn](key)));
          assert.deepEqual((await actor.getSpawned()).toSorted(), keys.toSorted());
        });
      });
    }
  });
}

describe('a queue over plain HTTP', () => {
  /** Sends in JSON and gives the answer. */
  const post = (namespace, name, body) => {
    const target = actionPath('queueActor', ['k'], 'x', { namespace }).replace('/action/x', `/queue/${name}`);
    return host.request('POST', target, { headers: { 'x-rivet-encoding': 'json' }, body });
  };

  test('answers as the protocol says', async () => {
    const namespace = fresh('conformance');
    const call = (action, ...args) => host.callAt(actionPath('queueActor', ['k'], action, { namespace }), ...args);
    const sent = await post(namespace, 'tasks', { body: { a: 1 }, name: 'tasks', wait: false });
    assert.equal(sent.status, 200);
    assert.deepEqual(sent.json(), { status: 'completed' });
    const waiting = post(namespace, 'tasks', { body: { a: 2 }, name: 'tasks', wait: true, timeout: 5_000 });
    assert.deepEqual(await call('receiveAndComplete', 'tasks'), { name: 'tasks', body: { a: 1 } });
    assert.deepEqual(await call('receiveAndComplete', 'tasks'), { name: 'tasks', body: { a: 2 } });
    assert.equal((await waiting).text(), '{"response":{"echo":{"a":2}},"status":"completed"}');
  });

  test('lets the actor sleep while somebody waits for a message, and wakes it for the next', async () => {
    const namespace = fresh('conformance');
    const target = (action) => actionPath('queueActor', ['k'], action, { namespace });
    await host.callAt(target('tryReceiveMany'), {});
    const [{ actor_id: id }] = await host.actors({ name: 'queueActor', key: 'k', namespace });
    const waiting = post(namespace, 'tasks', { body: 1, wait: true, timeout: 20_000 });
    await until('it is sent', async () => (await host.manage('GET', `/actors/${id}/queue?namespace=${namespace}`)).size === 1);
    await host.putToSleep(id, namespace);
    assert.ok(isAsleep(await host.actor(id, namespace)));
    await host.callAt(target('receiveAndComplete'), 'tasks');
    assert.deepEqual((await waiting).json(), { response: { echo: 1 }, status: 'completed' });
  });
});
