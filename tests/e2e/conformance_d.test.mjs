// The conformance actors of group D (connections), and what those of groups A to C do over a connection or with the
// state hook, through the stock client in every encoding, each test in a namespace that nobody has used before.

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { INTERNAL_ERROR_DESCRIPTION } from 'rivetkit/errors';
import { ENCODINGS, actionPath, failsWith, fresh, range, until, useHost, within } from './harness.mjs';
import { Socket, listen, ready, upTo, watch } from './sockets.mjs';

const host = useHost({ components: ['conformance'] });

for (const encoding of ENCODINGS) {
  describe(`in ${encoding}`, () => {
    /** A handle on a new actor of a type, in a namespace of its own, and what is needed beside it. */
    function setUp(type, { key = ['k'], ...options } = {}) {
      const namespace = fresh('conformance');
      const client = host.client({ encoding, namespace, disableMetadataLookup: true });
      const handle = (params) => client[type].getOrCreate(key, { ...options, params });
      return { namespace, client, handle, actor: handle() };
    }

    /** A connection that is open. */
    const connected = (handle, params) => ready(handle.connect(params));

    describe('counter', () => {
      test('tells a subscriber of every new count, in order, and before the answer', async () => {
        const { actor } = setUp('counter');
        const connection = actor.connect();
        const counts = listen(connection, 'newCount');
        assert.equal(await connection.increment(5), 5);
        assert.deepEqual(counts.items, [5], 'the event had not arrived when the answer did');
        assert.equal(await connection.increment(-2), 3);
        assert.equal(await connection.setCount(40), 40);
        assert.deepEqual(await counts.several(3), [5, 3, 40]);
      });

      test('tells subscribers of what other clients do by stateless calls', async () => {
        const { actor } = setUp('counter');
        const connection = actor.connect();
        const counts = listen(connection, 'newCount');
        await connection.getCount();
        for (const n of upTo(20)) assert.equal(await actor.increment(1), n);
        assert.deepEqual(await counts.several(20), upTo(20));
      });

      test('tells every subscriber, and nobody else', async () => {
        const { actor, client } = setUp('counter');
        const subscribers = await Promise.all(range(5).map(() => connected(actor)));
        const inboxes = subscribers.map((connection) => listen(connection, 'newCount'));
        await Promise.all(subscribers.map((connection) => connection.getCount()));
        const elsewhere = await connected(client.counter.getOrCreate(['other']));
        const others = listen(elsewhere, 'newCount');
        const others2 = listen(subscribers[0], 'oldCount');
        await elsewhere.getCount();

        for (const n of upTo(3)) assert.equal(await subscribers[n].increment(1), n);
        for (const inbox of inboxes) assert.deepEqual(await inbox.several(3), [1, 2, 3]);
        // Answered later on the same connections, so nothing is on its way any more.
        await elsewhere.getCount();
        assert.deepEqual(others.items, []);
        assert.deepEqual(others2.items, []);
      });

      test('tells a listener once that asked for once, and one that has left no more', async () => {
        const { actor } = setUp('counter');
        const connection = await connected(actor);
        const once = [];
        const left = [];
        connection.once('newCount', (count) => once.push(count));
        const leave = connection.on('newCount', (count) => left.push(count));
        const counts = listen(connection, 'newCount');
        await connection.increment(1);
        leave();
        await connection.increment(1);
        await connection.increment(1);
        assert.deepEqual(await counts.several(3), [1, 2, 3]);
        assert.deepEqual(once, [1]);
        assert.deepEqual(left, [1]);
      });

      test('tells a listener again that left and came back', async () => {
        const { actor } = setUp('counter');
        const connection = await connected(actor);
        const first = [];
        const leave = connection.on('newCount', (count) => first.push(count));
        await connection.increment(1);
        leave();
        await connection.increment(1);
        const counts = listen(connection, 'newCount');
        await connection.increment(1);
        assert.deepEqual(await counts.several(1), [3]);
        assert.deepEqual(first, [1]);
      });

      test('answers calls that were made before the connection was open, in order', async () => {
        const { actor } = setUp('counter');
        const connection = actor.connect();
        const counts = await Promise.all(upTo(10).map(() => connection.increment(1)));
        assert.deepEqual(counts, upTo(10));
      });

      test('answers hundreds of calls at once on one connection, each with its own answer', async () => {
        const { actor } = setUp('counter');
        const connection = await connected(actor);
        const counts = await Promise.all(range(500).map(() => connection.increment(1)));
        assert.deepEqual(counts.toSorted((a, b) => a - b), upTo(500));
      });

      test('is reached by id as well, and knows its key', async () => {
        const { actor, client } = setUp('counter');
        await actor.increment(3);
        const connection = client.counter.getForId(await actor.resolve()).connect();
        assert.equal(await connection.getCount(), 3);
        assert.deepEqual(await connection.getKey(), ['k']);
        assert.equal(connection.actorId, await actor.resolve());
      });
    });

    describe('what an action comes to on a connection', () => {
      test('is what it comes to without one: nothing, a text, an error with metadata, a hidden one', async () => {
        const { actor, client } = setUp('errorHandlingActor');
        const connection = await connected(actor);
        assert.equal(await connection.successfulAction(), 'success');
        const simple = await failsWith('user.user_error', connection.throwSimpleError());
        assert.equal(simple.message, 'Simple error message');
        assert.equal(simple.metadata ?? undefined, undefined);
        const detailed = await failsWith('user.detailed_error', connection.throwDetailedError());
        assert.equal(detailed.message, 'Detailed error message');
        assert.equal(detailed.metadata.reason, 'test');
        const internal = await failsWith('rivetkit.internal_error', connection.throwInternalError());
        assert.equal(internal.message, INTERNAL_ERROR_DESCRIPTION);
        assert.strictEqual(await client.syncActionActor.getOrCreate(['n']).connect().reset(), undefined);
        assert.equal(await connection.successfulAction(), 'success');
      });

      test('is an error when there is no such action, or its arguments do not fit, and the connection goes on', async () => {
        const { actor } = setUp('nestedActionActor');
        const connection = await connected(actor);
        const seen = watch(connection);
        assert.equal(await connection.action({ name: 'calculator.add', args: [5] }), 5);
        await failsWith('actor.action_not_found', connection.action({ name: 'calculator.none', args: [] }));
        await failsWith('actor.validation_error', connection.action({ name: 'calculator.add', args: ['x'] }));
        assert.equal(await connection.action({ name: 'calculator.read', args: [] }), 5);
        assert.equal(seen.closes, 0);
      });

      test('is an error when it takes too long, and the connection goes on', async () => {
        // It would take ten seconds, and may take half a second.
        const connection = await connected(setUp('errorHandlingActor').actor);
        const seen = watch(connection);
        const error = await failsWith('actor.action_timed_out', connection.timeoutAction());
        assert.match(error.message, /Action timed out/);
        assert.equal(await connection.successfulAction(), 'success');
        assert.equal(seen.closes, 0);
      });

      test('does not wait for what a call before it waits for', async () => {
        const connection = await connected(setUp('concurrentActionActor').actor);
        const answered = [];
        const calls = [['long', 1_000], ['short', 10]].map(([name, ms]) =>
          connection.runWithDelay(name, ms).then((answer) => answered.push(answer)),
        );
        await Promise.all(calls);
        assert.deepEqual(answered, ['short', 'long']);
        assert.deepEqual(await connection.getEvents(), ['start:long', 'start:short', 'finish:short', 'finish:long']);
      });
    });

    describe('largePayloadConnActor', () => {
      const items = (count) => range(count).map((n) => `item ${n} and some more text to fill the space`);

      test('takes large requests and gives large responses on a connection, and remembers the size', async () => {
        const connection = await connected(setUp('largePayloadConnActor').actor);
        assert.equal(await connection.getLastRequestSize(), 0);
        const sent = items(1_000);
        assert.deepEqual(await connection.processLargeRequest({ items: sent }), {
          itemCount: 1_000,
          firstItem: sent[0],
          lastItem: sent[999],
        });
        assert.equal(await connection.getLastRequestSize(), 1_000);
        assert.equal((await connection.getLargeResponse(5_000)).items.length, 5_000);
        assert.deepEqual(await connection.echo({ items: sent }), { items: sent });
      });

      test('remembers no size of another connection', async () => {
        const { actor } = setUp('largePayloadConnActor');
        const [first, second] = await Promise.all([connected(actor), connected(actor)]);
        await first.processLargeRequest({ items: items(7) });
        await second.processLargeRequest({ items: items(3) });
        assert.equal(await first.getLastRequestSize(), 7);
        assert.equal(await second.getLastRequestSize(), 3);
        assert.equal(await actor.getLastRequestSize(), 0);
      });

      test('loses the connection to a request over the bound, with every call under way, and then connects again', async () => {
        const connection = await connected(setUp('largePayloadConnActor').actor);
        const before = connection.connId;
        await connection.processLargeRequest({ items: items(2) });
        const calls = [connection.processLargeRequest({ items: items(5_000) }), connection.echo('behind it')];
        for (const call of calls) await failsWith('message.incoming_too_long', call);
        assert.equal(await within('a call on the next connection', connection.getLastRequestSize()), 0);
        assert.notEqual(connection.connId, before);
      });

      test('fails only the call whose response is over the bound', async () => {
        const connection = await connected(setUp('largePayloadConnActor').actor);
        const seen = watch(connection);
        const large = connection.getLargeResponse(30_000);
        const small = connection.echo('small');
        await failsWith('message.outgoing_too_long', large);
        assert.equal(await small, 'small');
        assert.equal(await connection.echo('later'), 'later');
        assert.equal(seen.closes, 0);
      });
    });

    describe('onStateChangeActor', () => {
      test('counts the calls that changed the state, not the changes', async () => {
        const { actor } = setUp('onStateChangeActor');
        await actor.resetChangeCount();
        assert.equal(await actor.setValue(5), 5);
        assert.equal(await actor.getChangeCount(), 1);
        assert.equal(await actor.incrementMultiple(4), 9);
        assert.equal(await actor.getChangeCount(), 2);
      });

      test('does not count reading, computing, connecting and disconnecting', async () => {
        const { actor } = setUp('onStateChangeActor');
        await actor.setValue(21);
        await actor.resetChangeCount();
        assert.equal(await actor.getValue(), 21);
        assert.equal(await actor.getDoubled(), 42);
        assert.strictEqual(await actor.stateIdentityStable(), true);
        const connection = await connected(actor);
        assert.equal(await connection.getValue(), 21);
        await connection.dispose();
        assert.equal(await actor.getChangeCount(), 0);
      });

      test('counts what calls on a connection change', async () => {
        const connection = await connected(setUp('onStateChangeActor').actor);
        await connection.resetChangeCount();
        await connection.setValue(1);
        await connection.setValue(2);
        assert.equal(await connection.getChangeCount(), 2);
      });

      test('makes hundreds of changes beside much state quickly', async () => {
        const { actor } = setUp('onStateChangeActor');
        assert.equal(await actor.seedLarge(20_000), 20_000);
        // A busy machine slows down one round or another, but not all of them.
        const times = [];
        for (const _ of range(5)) times.push(await actor.churn(200));
        assert.ok(Math.min(...times) < 250, `the rounds took ${times} ms`);
        assert.equal(await actor.getValue(), 1_000);
      });
    });

    describe('counterWithParams', () => {
      test('knows each stateless caller by its params', async () => {
        const { handle } = setUp('counterWithParams');
        assert.equal(await handle({ name: 'ann' }).increment(1), 1);
        assert.equal(await handle({ name: 'bob' }).increment(1), 2);
        await handle({ name: '' }).increment(1);
        await handle({}).increment(1);
        assert.deepEqual(await handle().getInitializers(), ['ann', 'bob', 'anonymous', 'anonymous', 'anonymous']);
      });

      test('lets a connection in once, however many calls it makes', async () => {
        const { actor } = setUp('counterWithParams');
        const connection = await connected(actor, { name: 'ann' });
        for (const n of upTo(3)) assert.equal(await connection.increment(1), n);
        assert.deepEqual(await connection.getInitializers(), ['ann']);
      });

      test('says in its event who has counted, whichever way', async () => {
        const { handle, actor } = setUp('counterWithParams');
        const [ann, bob] = await Promise.all([connected(actor, { name: 'ann' }), connected(actor, { name: 'bob' })]);
        const inboxes = [ann, bob].map((connection) => listen(connection, 'newCount'));
        await Promise.all([ann.getInitializers(), bob.getInitializers()]);
        await ann.increment(1);
        await bob.increment(2);
        await handle({ name: 'cid' }).increment(3);
        for (const inbox of inboxes) {
          assert.deepEqual(await inbox.several(3), [
            { count: 1, by: 'ann' },
            { count: 3, by: 'bob' },
            { count: 6, by: 'cid' },
          ]);
        }
      });

      test('understands names that are not ASCII', async () => {
        const { handle, actor } = setUp('counterWithParams');
        const connection = await connected(actor, { name: 'é 日本 😀, "quoted"' });
        assert.deepEqual(await connection.getInitializers(), ['é 日本 😀, "quoted"']);
        // Over HTTP the client can send no more than Latin-1.
        assert.deepEqual((await handle({ name: 'Zoë' }).getInitializers()).at(-1), 'Zoë');
      });

      test('asks for params again when the client connects again', async () => {
        const { client } = setUp('connStateActor');
        const names = ['first', 'second'];
        const handle = client.connStateActor.getOrCreate(['k'], { getParams: async () => ({ username: names.shift() ?? 'more' }) });
        const connection = await connected(handle);
        assert.equal((await connection.getConnectionState()).username, 'first');
        const opens = watch(connection);
        await connection.disconnectSelf();
        await until('it has connected again', () => opens.closes === 1 && connection.isConnected);
        assert.equal((await connection.getConnectionState()).username, 'second');
      });
    });

    describe('counterWithLifecycle', () => {
      const TRACKED = { trackLifecycle: true };

      test('runs its hooks in order: wake, before-connect, connect, disconnect', async () => {
        const { actor } = setUp('counterWithLifecycle');
        const connection = await connected(actor, TRACKED);
        assert.deepEqual(await connection.getEvents(), ['onWake', 'onBeforeConnect', 'onConnect']);
        assert.equal(await connection.increment(2), 2);
        await connection.dispose();
        const events = await until('the disconnect hook has run', async () => {
          const events = await actor.getEvents();
          return events.length > 3 && events;
        });
        assert.deepEqual(events, ['onWake', 'onBeforeConnect', 'onConnect', 'onDisconnect']);
      });

      test('runs them around a stateless call, with its params', async () => {
        const { handle, actor } = setUp('counterWithLifecycle');
        assert.deepEqual(await handle(TRACKED).getEvents(), ['onWake', 'onBeforeConnect', 'onConnect']);
        await until('the disconnect hook has run', async () => (await actor.getEvents()).includes('onDisconnect'));
        assert.deepEqual(await actor.getEvents(), ['onWake', 'onBeforeConnect', 'onConnect', 'onDisconnect']);
      });

      test('runs them around a stateless call that fails', async () => {
        const { handle, actor } = setUp('counterWithLifecycle');
        await failsWith('actor.action_not_found', handle(TRACKED).nope());
        // Whether the call got as far as the hooks or not: whoever was let in is let out.
        const count = (events, name) => events.filter((event) => event === name).length;
        await until('who was let in was let out', async () => {
          const events = await actor.getEvents();
          return count(events, 'onConnect') === count(events, 'onDisconnect');
        });
      });

      test('tracks nobody who does not ask for it', async () => {
        const { handle, actor } = setUp('counterWithLifecycle');
        for (const params of [undefined, {}, { trackLifecycle: false }]) {
          const connection = await connected(handle(params));
          await connection.increment(1);
          await connection.dispose();
          await handle(params).increment(1);
        }
        assert.deepEqual(await actor.getEvents(), ['onWake']);
      });

      test('lets many in and the same many out', async () => {
        const { actor } = setUp('counterWithLifecycle');
        const connections = await Promise.all(range(20).map(() => connected(actor, TRACKED)));
        await Promise.all(connections.map((connection) => connection.dispose()));
        const events = await until('all have left', async () => {
          const events = await actor.getEvents();
          return events.filter((event) => event === 'onDisconnect').length === 20 && events;
        });
        for (const name of ['onBeforeConnect', 'onConnect']) {
          assert.equal(events.filter((event) => event === name).length, 20, name);
        }
      });
    });

    describe('connStateActor', () => {
      const OBSERVER = { noCount: true };

      test('makes a state for each connection out of its params', async () => {
        const { actor } = setUp('connStateActor');
        const begun = Date.now();
        const plain = await (await connected(actor)).getConnectionState();
        assert.ok(Math.abs(plain.createdAt - begun) < 60_000, `createdAt is ${plain.createdAt}`);
        assert.deepEqual(plain, {
          id: plain.id, username: 'anonymous', role: 'user', counter: 0, createdAt: plain.createdAt, noCount: false,
        });
        const ann = await (await connected(actor, { username: 'ann', role: 'admin', noCount: true })).getConnectionState();
        assert.deepEqual(ann, { id: ann.id, username: 'ann', role: 'admin', counter: 0, createdAt: ann.createdAt, noCount: true });
        assert.notEqual(ann.id, plain.id);
      });

      test('knows a connection by the id that its client knows', async () => {
        const connection = await connected(setUp('connStateActor').actor);
        assert.equal((await connection.getConnectionState()).id, connection.connId);
      });

      test('keeps the state of a connection apart from that of others, and from its own', async () => {
        const { actor } = setUp('connStateActor');
        const [first, second] = await Promise.all([connected(actor), connected(actor)]);
        await first.incrementConnCounter();
        await first.incrementConnCounter(4);
        await second.incrementConnCounter(10);
        assert.equal((await first.getConnectionState()).counter, 5);
        assert.equal((await second.getConnectionState()).counter, 10);
        assert.equal((await actor.getConnectionState()).counter, 0);
        assert.equal(await first.incrementSharedCounter(), 1);
        assert.equal(await second.incrementSharedCounter(5), 6);
      });

      test('lists its connections with their states, those that do not count apart', async () => {
        const { actor, handle } = setUp('connStateActor');
        const observer = handle(OBSERVER);
        const [ann, bob] = [await connected(actor, { username: 'ann' }), await connected(actor, { username: 'bob' })];
        assert.deepEqual(await observer.getConnectionIds(), [ann.connId, bob.connId]);
        const states = await observer.getAllConnectionStates();
        const named = states.filter(({ noCount }) => !noCount).map(({ id, username }) => ({ id, username }));
        assert.deepEqual(named, [{ id: ann.connId, username: 'ann' }, { id: bob.connId, username: 'bob' }]);
        await ann.dispose();
        await until('who left is in no list', async () => (await observer.getConnectionIds()).length === 1);
        assert.deepEqual(await observer.getConnectionIds(), [bob.connId]);
      });

      test('changes a state when its connection asks, for all to see', async () => {
        const { actor, handle } = setUp('connStateActor');
        const connection = await connected(actor, { username: 'ann' });
        const changed = await connection.updateConnection({ role: 'admin' });
        assert.equal(changed.username, 'ann');
        assert.equal(changed.role, 'admin');
        assert.equal((await connection.updateConnection({ username: 'eve' })).username, 'eve');
        const states = await handle(OBSERVER).getAllConnectionStates();
        const own = states.find(({ id }) => id === connection.connId);
        assert.deepEqual({ username: own.username, role: own.role }, { username: 'eve', role: 'admin' });
      });

      test('greets a connection from the connect hook, first directly and then by way of the list', async () => {
        const connection = setUp('connStateActor').actor.connect({ username: 'ann' });
        const order = [];
        const greetings = ['connectedFromOnConnect', 'connectedFromOnConnectConns'].map((name) => {
          connection.on(name, () => order.push(name));
          return listen(connection, name);
        });
        await ready(connection);
        for (const greeting of greetings) {
          assert.deepEqual(await greeting.next(), { id: connection.connId, username: 'ann' });
        }
        assert.deepEqual(order, ['connectedFromOnConnect', 'connectedFromOnConnectConns']);
      });

      test('tells the others who comes and who goes', async () => {
        const { actor, handle } = setUp('connStateActor');
        const connection = await connected(actor, OBSERVER);
        const comes = listen(connection, 'userConnected');
        const goes = listen(connection, 'userDisconnected');
        await connection.getConnectionState();

        const guest = await connected(actor, { username: 'ann', role: 'admin' });
        const id = guest.connId;
        assert.deepEqual(await comes.take((event) => event.id === id), { id, username: 'anonymous', role: 'user' });
        await guest.dispose();
        assert.deepEqual(await goes.take((event) => event.id === id), { id });
        assert.equal(await handle(OBSERVER).getDisconnectionCount(), 1);
        assert.deepEqual(goes.items, []);
      });

      test('counts stateless calls as connections that come and go', async () => {
        const { actor, handle } = setUp('connStateActor');
        const observer = handle(OBSERVER);
        for (const n of upTo(3)) {
          await actor.incrementSharedCounter();
          await until('the call has left', async () => (await observer.getDisconnectionCount()) === n);
        }
        assert.deepEqual(await observer.getConnectionIds(), []);
      });

      test('sends a message to one connection, from whoever', async () => {
        const { actor, handle } = setUp('connStateActor');
        const [ann, bob] = [await connected(actor), await connected(actor)];
        const [toAnn, toBob] = [ann, bob].map((connection) => listen(connection, 'directMessage'));
        assert.strictEqual(await ann.sendToConnection(bob.connId, 'hello'), true);
        assert.deepEqual(await toBob.next(), { from: ann.connId, message: 'hello' });
        assert.strictEqual(await handle().sendToConnection(bob.connId, 'from outside'), true);
        assert.equal((await toBob.next()).message, 'from outside');
        assert.strictEqual(await bob.sendToConnection('nobody', 'hello'), false);
        await ann.getConnectionState();
        assert.deepEqual(toAnn.items, []);
      });

      test('does not find a connection that has left', async () => {
        const { actor } = setUp('connStateActor');
        const [ann, bob] = [await connected(actor), await connected(actor)];
        const id = bob.connId;
        await bob.dispose();
        await until('it has left', async () => (await ann.sendToConnection(id, 'hello')) === false);
      });

      test('disconnects a connection that asks for it, which then connects again as a new one', async () => {
        const { actor, handle } = setUp('connStateActor');
        const connection = await connected(actor, { username: 'ann' });
        const before = connection.connId;
        await connection.incrementConnCounter(3);
        const seen = watch(connection);
        const comes = listen(connection, 'directMessage');
        assert.strictEqual(await connection.disconnectSelf(), true);
        await until('it has connected again', () => seen.closes === 1 && connection.isConnected);
        assert.ok(seen.errors.includes('test.disconnect'), `its errors: ${seen.errors}`);
        assert.notEqual(connection.connId, before);
        const state = await connection.getConnectionState();
        assert.deepEqual({ username: state.username, counter: state.counter }, { username: 'ann', counter: 0 });
        // Its listeners are still subscribed.
        await handle(OBSERVER).sendToConnection(connection.connId, 'welcome back');
        assert.equal((await comes.next()).message, 'welcome back');
        await until('the first has left', async () => (await handle(OBSERVER).getDisconnectionCount()) === 1);
        assert.deepEqual(await handle(OBSERVER).getConnectionIds(), [connection.connId]);
      });

      test('disconnects with the reason that the caller gives', async () => {
        const connection = await connected(setUp('connStateActor').actor);
        const seen = watch(connection);
        assert.strictEqual(await connection.disconnectSelf('lobby.closed'), true);
        await until('its user is told', () => seen.errors.includes('lobby.closed'));
      });
    });

    describe('connPreflightVisibilityActor', () => {
      /** A connection that is there first and looks on: its calls run no hooks. */
      async function setUpWithObserver() {
        const scene = setUp('connPreflightVisibilityActor');
        const observer = await connected(scene.actor, { label: 'observer' });
        return { ...scene, observer, snapshot: () => observer.snapshot() };
      }

      test('lists a connection only after both slow steps, and before its connect hook', async () => {
        const { actor, snapshot } = await setUpWithObserver();
        const connection = actor.connect({ label: 'slow', beforeDelayMs: 800, createDelayMs: 800 });
        const seenAt = { before: false, create: false };
        await until('it is connected', async () => {
          const now = await snapshot();
          if (now.connectSnapshots.length === 2) return true;
          assert.deepEqual(now.visibleLabels, ['observer'], 'it is listed before its connect hook has run');
          if (now.beforeStarted === 2) seenAt.before = true;
          if (now.createStarted === 2) seenAt.create = true;
          return false;
        });
        assert.deepEqual(seenAt, { before: true, create: true }, 'the two steps were over too soon to see');
        await ready(connection);
        const { beforeStarted, createStarted, visibleLabels, ...lists } = await snapshot();
        assert.deepEqual({ beforeStarted, createStarted }, { beforeStarted: 2, createStarted: 2 });
        assert.deepEqual(visibleLabels, ['observer', 'slow']);
        assert.deepEqual(lists.beforeVisibleLabels, [[], ['observer']]);
        assert.deepEqual(lists.createVisibleLabels, [[], ['observer']]);
        assert.deepEqual(lists.connectSnapshots, [
          { label: 'observer', ownVisible: true, visibleLabels: ['observer'] },
          { label: 'slow', ownVisible: true, visibleLabels: ['observer', 'slow'] },
        ]);
        assert.deepEqual(lists.disconnectSnapshots, []);
      });

      test('takes a connection out of the list for its disconnect hook', async () => {
        const { actor, snapshot } = await setUpWithObserver();
        await (await connected(actor, { label: 'guest' })).dispose();
        await until('its hook has run', async () => (await snapshot()).disconnectSnapshots.length === 1);
        const { disconnectSnapshots, visibleLabels } = await snapshot();
        assert.deepEqual(disconnectSnapshots, [{ label: 'guest', otherLabels: ['observer'] }]);
        assert.deepEqual(visibleLabels, ['observer']);
      });

      test('shows two that are on their way to nobody, not even to each other', async () => {
        const { actor, snapshot } = await setUpWithObserver();
        const pair = ['one', 'two'].map((label) => actor.connect({ label, beforeDelayMs: 1_000 }));
        await Promise.all(pair.map(ready));
        const { beforeVisibleLabels, visibleLabels } = await snapshot();
        assert.deepEqual(beforeVisibleLabels, [[], ['observer'], ['observer']]);
        assert.deepEqual(visibleLabels.toSorted(), ['observer', 'one', 'two']);
      });

      const REFUSED = [
        ['before-connect hook', { rejectBefore: true }, 1],
        ['connection state', { rejectCreate: true }, 2],
      ];
      for (const [step, params, created] of REFUSED) {
        test(`never had a connection whose ${step} fails, and its client is told`, async () => {
          const { actor, handle, snapshot } = await setUpWithObserver();
          const connection = actor.connect({ label: 'refused', ...params });
          const seen = watch(connection);
          const error = await failsWith('rivetkit.internal_error', within('its call is answered', connection.snapshot()));
          assert.equal(error.message, INTERNAL_ERROR_DESCRIPTION);
          assert.equal(seen.opens, 0);
          const { createStarted, connectSnapshots, disconnectSnapshots, visibleLabels } = await snapshot();
          assert.equal(createStarted, created);
          assert.deepEqual(connectSnapshots.map(({ label }) => label), ['observer']);
          assert.deepEqual(disconnectSnapshots, []);
          assert.deepEqual(visibleLabels, ['observer']);

          await failsWith('rivetkit.internal_error', handle({ label: 'refused', ...params }).snapshot());
          assert.deepEqual((await snapshot()).disconnectSnapshots, []);
        });
      }

      test('is not held up by a client that goes away while it is let in', async () => {
        const { actor, snapshot } = await setUpWithObserver();
        const connection = actor.connect({ label: 'gone', beforeDelayMs: 500 });
        await until('it is on its way', async () => (await snapshot()).beforeStarted === 2);
        await connection.dispose();
        // Either it was never there, or it came and went: it does not stay.
        await until('whoever came has gone', async () => {
          const { createStarted, connectSnapshots, disconnectSnapshots, visibleLabels } = await snapshot();
          const came = connectSnapshots.length - 1;
          return createStarted === 1 + came && disconnectSnapshots.length === came && visibleLabels.length === 1;
        });
      });
    });

    describe('requestAccessActor', () => {
      const TRACKED = { trackRequest: true };
      const EMPTY = { hasRequest: false, requestUrl: null, requestMethod: null, requestHeaders: {} };

      function assertRequest(record, method) {
        assert.strictEqual(record.hasRequest, true);
        assert.equal(record.requestMethod, method);
        assert.ok(URL.canParse(record.requestUrl), `its URL is ${record.requestUrl}`);
        assert.doesNotMatch(record.requestUrl, /rvt-/);
        for (const name of Object.keys(record.requestHeaders)) assert.equal(name, name.toLowerCase());
      }

      test('shows the request of a connection to both steps of letting it in', async () => {
        const connection = await connected(setUp('requestAccessActor').actor, TRACKED);
        assert.equal(await connection.ping(), 'pong');
        const info = await connection.getRequestInfo();
        for (const record of [info.onBeforeConnect, info.createConnState]) {
          assertRequest(record, 'GET');
          assert.match(record.requestHeaders['sec-websocket-protocol'], new RegExp(`rivet_encoding\\.${encoding}`));
          assert.equal(record.requestHeaders.upgrade?.toLowerCase(), 'websocket');
        }
        assert.deepEqual(info.onRequest, EMPTY);
        assert.deepEqual(info.onWebSocket, EMPTY);
      });

      test('shows the request of a stateless call', async () => {
        const { handle } = setUp('requestAccessActor');
        const info = await handle(TRACKED).getRequestInfo();
        for (const record of [info.onBeforeConnect, info.createConnState]) {
          assertRequest(record, 'POST');
          assert.equal(record.requestHeaders['x-rivet-encoding'], encoding);
          assert.deepEqual(JSON.parse(record.requestHeaders['x-rivet-conn-params']), TRACKED);
        }
      });

      test('records nothing of who does not ask for it', async () => {
        const { actor } = setUp('requestAccessActor');
        const info = await (await connected(actor)).getRequestInfo();
        assert.deepEqual(info, { onBeforeConnect: EMPTY, createConnState: EMPTY, onRequest: EMPTY, onWebSocket: EMPTY });
        assert.deepEqual(await actor.getRequestInfo(), info);
      });

      test('shows a raw request to its handler as well', async () => {
        const { handle } = setUp('requestAccessActor');
        const answer = await handle(TRACKED).fetch('info/1?x=1&y=a%20b', { method: 'PUT', headers: { 'X-Own': 'yes' }, body: 'x' });
        assert.equal(answer.status, 200);
        const record = await answer.json();
        assertRequest(record, 'PUT');
        assert.ok(record.requestUrl.endsWith('/info/1?x=1&y=a%20b'), record.requestUrl);
        assert.equal(record.requestHeaders['x-own'], 'yes');
        const info = await handle().getRequestInfo();
        assert.deepEqual(info.onRequest, record);
        assertRequest(info.onBeforeConnect, 'PUT');
        assert.deepEqual(info.onWebSocket, EMPTY);
      });

      test('shows the request of a raw WebSocket to its handler as well', async () => {
        const { handle } = setUp('requestAccessActor');
        const socket = new Socket(await handle(TRACKED).webSocket('room/1?x=1'));
        const record = await socket.nextJson();
        assertRequest(record, 'GET');
        assert.ok(record.requestUrl.endsWith('/websocket/room/1?x=1'), record.requestUrl);
        assert.match(record.requestHeaders['sec-websocket-protocol'], /rivet/);
        socket.send('echoed');
        assert.equal(await socket.messages.next(), 'echoed');
        const info = await handle().getRequestInfo();
        assert.deepEqual(info.onWebSocket, record);
        assertRequest(info.onBeforeConnect, 'GET');
        await socket.close();
      });

      test('lets its hooks see that a caller does not want to wait, by whichever way it comes', async () => {
        const { namespace, actor } = setUp('requestAccessActor');
        const client = host.client({ encoding, namespace, disableMetadataLookup: true, gateway: { skipReadyWait: true } });
        const byKey = client.requestAccessActor.getOrCreate(['k'], { params: TRACKED });
        const byId = client.requestAccessActor.getForId(await actor.resolve(), { params: TRACKED });
        for (const handle of [byKey, byId]) {
          const { onBeforeConnect: call } = await handle.getRequestInfo();
          assert.equal(call.requestHeaders['x-rivet-skip-ready-wait'], '1');
          const answer = await handle.fetch('x');
          assert.equal((await answer.json()).requestHeaders['x-rivet-skip-ready-wait'], '1');
          const { onBeforeConnect: connection } = await (await connected(handle)).getRequestInfo();
          assert.match(connection.requestHeaders['sec-websocket-protocol'], /rivet_skip_ready_wait/);
          const socket = new Socket(await handle.webSocket('x'));
          assert.match((await socket.nextJson()).requestHeaders['sec-websocket-protocol'], /rivet_skip_ready_wait/);
          await socket.close();
        }
      });

      test('shows headers as they were sent to plain HTTP callers', async () => {
        const { namespace, actor } = setUp('requestAccessActor');
        const answer = await host.request('POST', actionPath('requestAccessActor', ['k'], 'ping', { namespace }), {
          headers: { origin: 'https://example.com', 'X-Token': 'secret', 'x-rivet-conn-params': JSON.stringify(TRACKED) },
          body: { args: [] },
        });
        assert.equal(answer.status, 200, answer.text());
        const { onBeforeConnect } = await actor.getRequestInfo();
        assert.equal(onBeforeConnect.requestHeaders.origin, 'https://example.com');
        assert.equal(onBeforeConnect.requestHeaders['x-token'], 'secret');
      });
    });
  });
}
