// The conformance actors of group K (life cycle, run loop, destroy), through the stock client in every encoding, each
// test in a namespace that nobody has used before.

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { ENCODINGS, failsWith, isAsleep, range, until, useHost, within } from './harness.mjs';
import { scenes } from './living.mjs';
import { Socket, upTo } from './sockets.mjs';

const host = useHost({ components: ['conformance'] });

/** The time after which actors of the second half sleep. */
const IDLE_MS = 1_000;

for (const encoding of ENCODINGS) {
  describe(`in ${encoding}`, () => {
    const setUp = scenes(host, encoding);

    /** What an observer has been told, as `key event`. */
    async function told(client, observer) {
      const events = await client.lifecycleObserver.getOrCreate([observer]).getEvents();
      return events.map(({ actorKey, event }) => `${actorKey} ${event}`);
    }

    const hasTold = (client, observer, what) =>
      until(`the observer is told "${what}"`, async () => (await told(client, observer)).includes(what));

    describe('lifecycleObserver', () => {
      test('remembers what it is told, and when, until it is told to forget', async () => {
        const { actor } = setUp('lifecycleObserver');
        const before = Date.now();
        assert.deepEqual(await actor.getEvents(), []);
        assert.strictEqual(await actor.recordEvent({ actorKey: 'a/b', event: 'started' }), undefined);
        await actor.recordEvent({ actorKey: 'c', event: 'destroy' });
        const events = await actor.getEvents();
        assert.deepEqual(events.map(({ actorKey, event }) => [actorKey, event]), [['a/b', 'started'], ['c', 'destroy']]);
        for (const { timestamp } of events) assert.ok(Math.abs(timestamp - before) < 60_000, `the timestamp is ${timestamp}`);
        assert.strictEqual(await actor.clearEvents(), undefined);
        assert.deepEqual(await actor.getEvents(), []);
      });
    });

    describe('startStopRaceActor', () => {
      test('answers who called before it had started, when it has', async () => {
        const { actor, client } = setUp('startStopRaceActor', { key: ['a', 'b'] });
        const [pong, state] = await Promise.all([actor.ping(), actor.getState()]);
        assert.equal(pong, 'pong');
        const { startTime, ...flags } = state;
        assert.deepEqual(flags, { initialized: true, destroyCalled: false, startCompleted: true });
        assert.ok(Math.abs(startTime - Date.now()) < 60_000, `startTime is ${startTime}`);
        assert.deepEqual(await told(client, 'observer'), ['a/b started']);
      });

      test('that is destroyed while it starts finishes that, answers who called before, and runs its hook', async () => {
        const { actor, client, namespace, destroy, gone } = setUp('startStopRaceActor');
        const early = actor.getState();
        // Nobody else makes it and wakes it.
        const own = await until('the call has come', async () => {
          const [found] = await host.actors({ name: 'startStopRaceActor', key: 'k', namespace });
          return found?.awake && found.actor_id;
        });
        await destroy();
        const { startCompleted, destroyCalled } = await early;
        assert.deepEqual([startCompleted, destroyCalled], [true, false]);
        await gone(own);
        assert.deepEqual(await told(client, 'observer'), ['k started', 'k destroy']);
        await failsWith('actor.not_found', client.startStopRaceActor.getForId(own).ping());
        assert.equal((await actor.getState()).destroyCalled, false, 'the next of that key is another');
      });

      test('that asks for its end while it starts is gone when it has', async () => {
        const { actor, client, gone, id } = setUp('startStopRaceActor');
        const own = await id();
        assert.strictEqual(await actor.destroy(), undefined);
        await gone(own);
        assert.deepEqual(await told(client, 'observer'), ['k started', 'k destroy']);
      });

      test('is created and destroyed ten times in quick succession, and nothing is left', async () => {
        const { client, namespace } = setUp('startStopRaceActor');
        const ids = new Set();
        for (const round of range(10)) {
          const handle = await client.startStopRaceActor.create(['quick', `${round % 2}`]);
          ids.add(await handle.resolve());
          await handle.destroy();
          await until('it is gone', async () => (await host.actors({ name: 'startStopRaceActor', namespace })).length === 0);
        }
        assert.equal(ids.size, 10);
        const events = await told(client, 'observer');
        for (const what of ['started', 'destroy']) {
          assert.equal(events.filter((event) => event.endsWith(` ${what}`)).length, 10, what);
        }
        for (const id of ids) await failsWith('actor.not_found', client.startStopRaceActor.getForId(id).ping());
      });
    });

    describe('destroyActor', () => {
      const wasDestroyed = (client, key) =>
        until('it has been destroyed', () => client.destroyObserver.getOrCreate(['observer']).wasDestroyed(key));

      const ENDS = {
        'itself': async ({ actor }) => assert.strictEqual(await actor.destroy(), undefined),
        'the management': ({ destroy }) => destroy(),
      };
      for (const [who, end] of Object.entries(ENDS)) {
        test(`that is destroyed by ${who} is gone with all it had, and its key is free`, async () => {
          const scene = setUp('destroyActor', { key: ['a', 'b'] });
          const { actor, client, id } = scene;
          assert.equal(await actor.getValue(), 0);
          assert.equal(await actor.setValue(42), 42);
          assert.equal(await actor.getEphemeral(), 'fresh');
          assert.equal(await actor.setEphemeral('stale'), 'stale');
          await actor.send('values', 7);
          const first = await id();
          const byId = client.destroyActor.getForId(first);
          assert.equal(await byId.getValue(), 42);

          await end(scene);
          await wasDestroyed(client, 'a/b');
          await scene.gone(first);
          await failsWith('actor.not_found', byId.getValue());
          await failsWith('actor.not_found', byId.resolve().then(() => byId.getEphemeral()));

          const again = await client.destroyActor.create(['a', 'b']);
          assert.notEqual(await again.resolve(), first);
          assert.equal(await again.getValue(), 0);
          assert.equal(await again.getEphemeral(), 'fresh');
          assert.strictEqual(await again.receiveValue(), null);
        });
      }

      test('that is destroyed in its sleep runs its hook as well', async () => {
        const { actor, client, putToSleep, destroy, gone, id } = setUp('destroyActor');
        await actor.setValue(1);
        const own = await id();
        await putToSleep();
        await destroy();
        await gone(own);
        await wasDestroyed(client, 'k');
      });

      test('shows its key and its value by raw HTTP and by a WebSocket, also the next of that key', async () => {
        const { actor, client, open, id, gone } = setUp('destroyActor', { key: ['a', 'b'] });
        await actor.setValue(5);
        const state = async (handle) => (await handle.fetch('state')).json();
        assert.deepEqual(await state(actor), { key: 'a/b', value: 5 });
        assert.equal((await actor.fetch('other')).status, 404);
        const socket = await open();
        assert.deepEqual(await socket.nextJson(), { type: 'welcome', key: 'a/b', value: 5 });
        const first = await id();
        await actor.destroy();
        const { code } = await within('its socket is closed', socket.closed);
        assert.notEqual(code, 1006, 'it was cut without a close frame');
        await gone(first);

        const again = client.destroyActor.getOrCreate(['a', 'b']);
        assert.deepEqual(await state(again), { key: 'a/b', value: 0 });
        const next = new Socket(await again.webSocket());
        assert.deepEqual(await next.nextJson(), { type: 'welcome', key: 'a/b', value: 0 });
        await next.close();
      });

      test('receives its messages in order, and null when there is none', async () => {
        const { actor } = setUp('destroyActor');
        assert.strictEqual(await actor.receiveValue(), null);
        for (const n of upTo(3)) await actor.send('values', n);
        for (const n of upTo(3)) assert.equal(await actor.receiveValue(), n);
        assert.strictEqual(await actor.receiveValue(), null);
      });

      test('closes the connection of who had one, which ends up with the next actor', async () => {
        const { actor, id, gone } = setUp('destroyActor');
        const connection = actor.connect();
        await connection.setValue(3);
        const first = await id();
        await actor.destroy();
        await gone(first);
        await until('the connection is one to the next', async () => {
          try {
            return (await connection.getValue()) === 0;
          } catch {
            return false;
          }
        });
      });
    });

    describe('destroyObserver', () => {
      test('remembers who was destroyed until it is reset', async () => {
        const { actor } = setUp('destroyObserver');
        assert.strictEqual(await actor.wasDestroyed('x'), false);
        assert.strictEqual(await actor.notifyDestroyed('x'), undefined);
        assert.strictEqual(await actor.wasDestroyed('x'), true);
        assert.strictEqual(await actor.wasDestroyed('y'), false);
        assert.strictEqual(await actor.reset(), undefined);
        assert.strictEqual(await actor.wasDestroyed('x'), false);
      });
    });

    describe('destroyAbortSignalActor', () => {
      test('is not aborted when its request to be destroyed returns, and is destroyed after its answer', async () => {
        const { actor, client, id, gone } = setUp('destroyAbortSignalActor', { key: ['a', 'b'] });
        const own = await id();
        assert.deepEqual(await actor.requestDestroy(), {
          beforeDestroyAborted: false,
          beforeDestroySignalAborted: false,
          afterDestroyAborted: false,
          afterDestroySignalAborted: false,
          abortEventCountAfterDestroy: 0,
        });
        await gone(own);
        assert.strictEqual(await client.destroyObserver.getOrCreate(['observer']).wasDestroyed('a/b'), true);
      });
    });

    describe('runWithTicks', () => {
      test('ticks by itself, which keeps it awake, until it is put to sleep; and again after that', async () => {
        const { actor, staysAwake, putToSleep } = setUp('runWithTicks');
        const first = await until('it ticks', async () => {
          const state = await actor.getState();
          return state.tickCount > 0 && state;
        });
        assert.deepEqual([first.runStarted, first.runExited], [true, false]);
        assert.ok(Math.abs(first.lastTickAt - Date.now()) < 60_000, `lastTickAt is ${first.lastTickAt}`);
        await staysAwake(1.4 * IDLE_MS);
        const later = await until('it has gone on', async () => {
          const state = await actor.getState();
          return state.tickCount >= first.tickCount + 10 && state;
        });
        // By its own clock, which tells whole milliseconds.
        const most = (later.lastTickAt - first.lastTickAt) / 50 + 1;
        assert.ok(later.tickCount - first.tickCount <= most, `${later.tickCount} ticks after ${first.tickCount}`);
        assert.equal(later.runExited, false);

        await putToSleep();
        const woken = await actor.getState();
        assert.equal(woken.runExited, true);
        await until('it ticks again', async () => (await actor.getState()).tickCount > woken.tickCount);
      });
    });

    describe('runWithQueueConsumer', () => {
      test('receives what is sent to it, whoever sends it, in order', async () => {
        const { actor } = setUp('runWithQueueConsumer');
        await actor.send('messages', { n: 1 });
        assert.strictEqual(await actor.sendMessage('two'), true);
        await actor.send('messages', [3]);
        const state = await until('it has received them', async () => {
          const state = await actor.getState();
          return state.messagesReceived.length === 3 && state;
        });
        assert.deepEqual(state, {
          messagesReceived: [{ n: 1 }, 'two', [3]].map((body) => ({ name: 'messages', body })),
          runStarted: true,
          wakeCount: 1,
        });
      });

      test('sleeps while it waits for a message, and a message wakes it', async () => {
        const { actor, asleep, id, namespace } = setUp('runWithQueueConsumer');
        await actor.send('messages', 'first');
        await asleep();
        await actor.send('messages', 'second');
        await asleep();
        assert.ok(isAsleep(await host.actor(await id(), namespace)));
        const { messagesReceived, wakeCount } = await actor.getState();
        assert.deepEqual(messagesReceived.map(({ body }) => body), ['first', 'second']);
        assert.equal(wakeCount, 3);
      });

      test('wakes once for many messages', async () => {
        const { actor, asleep } = setUp('runWithQueueConsumer');
        await actor.getState();
        await asleep();
        const begun = performance.now();
        await Promise.all(range(20).map((n) => actor.send('messages', n)));
        const { messagesReceived, wakeCount } = await until('it has received them', async () => {
          const state = await actor.getState();
          return state.messagesReceived.length === 20 && state;
        });
        assert.deepEqual(messagesReceived.map(({ body }) => body).toSorted((a, b) => a - b), range(20));
        // It can have slept again only if this took so long.
        const most = 2 + Math.floor((performance.now() - begun) / IDLE_MS);
        assert.ok(wakeCount >= 2 && wakeCount <= most, `it has woken ${wakeCount} times, ${most} at most`);
      });
    });

    describe('runWithEarlyExit', () => {
      const OBSERVER = 'run-with-early-exit';

      test('sleeps when its run loop is over, runs its hooks, and runs the loop again when it wakes', async () => {
        const { actor, client, asleep, id, gone } = setUp('runWithEarlyExit');
        assert.equal((await actor.getState()).runStarted, true);
        await until('its loop is over', async () => (await actor.getState()).runExited);
        await asleep();
        const own = await id();
        await hasTold(client, OBSERVER, `${own} sleep`);
        assert.deepEqual(await actor.getState(), {
          runStarted: true, runExited: true, destroyCalled: false, sleepCount: 1, wakeCount: 2,
        });
        assert.strictEqual(await actor.destroy(), undefined);
        await gone(own);
        assert.deepEqual(await told(client, OBSERVER), [`${own} sleep`, `${own} destroy`]);
      });
    });

    describe('runWithError', () => {
      test('goes on when its run loop has failed, and sleeps, with its hook', async () => {
        const { actor, asleep, byId, destroy, gone } = setUp('runWithError');
        assert.deepEqual(await actor.getState(), { runStarted: true, destroyCalled: false, sleepCount: 0, wakeCount: 1 });
        await asleep();
        assert.deepEqual(await actor.getState(), { runStarted: true, destroyCalled: false, sleepCount: 1, wakeCount: 2 });
        await asleep();
        const handle = await byId();
        assert.equal((await handle.getState()).sleepCount, 2);
        await destroy();
        await gone(await handle.resolve());
      });
    });

    describe('runWithoutHandler', () => {
      test('sleeps when idle, as ever', async () => {
        const { actor, asleep } = setUp('runWithoutHandler');
        assert.deepEqual(await actor.getState(), { wakeCount: 1 });
        await asleep();
        assert.deepEqual(await actor.getState(), { wakeCount: 2 });
      });
    });

    describe('runSelfInitiatedSleep', () => {
      test('sleeps because its run loop says so, once', async () => {
        const { actor, asleep } = setUp('runSelfInitiatedSleep');
        const state = await until('it has slept', async () => {
          const state = await actor.getState();
          return state.marker === 'slept' && state;
        });
        assert.deepEqual(state, { runCount: 2, wakeCount: 2, sleepCount: 1, marker: 'slept' });
        await asleep();
        assert.deepEqual(await actor.getState(), { runCount: 3, wakeCount: 3, sleepCount: 2, marker: 'slept' });
      });
    });

    describe('runSelfInitiatedDestroy', () => {
      test('is gone because its run loop says so', async () => {
        const { client, id, gone } = setUp('runSelfInitiatedDestroy');
        const own = await id();
        await gone(own);
        assert.deepEqual(await told(client, 'self-initiated-destroy'), [`${own} destroy`]);
        await failsWith('actor.not_found', client.runSelfInitiatedDestroy.getForId(own).getState());
      });
    });

    describe('runIgnoresAbortStopTimeout', () => {
      test('is kept awake by a loop that never ends, and stopped all the same, when the grace is over', async () => {
        const { actor, staysAwake, putToSleep } = setUp('runIgnoresAbortStopTimeout');
        assert.deepEqual(await actor.getState(), { wakeCount: 1, destroyCount: 0 });
        await staysAwake(300);
        const begun = performance.now();
        await putToSleep();
        const took = performance.now() - begun;
        assert.ok(took < 8_000, `it took ${took} ms`);
        assert.deepEqual(await actor.getState(), { wakeCount: 2, destroyCount: 0 });
      });

      test('is destroyed all the same', async () => {
        const { actor, client, id, gone } = setUp('runIgnoresAbortStopTimeout');
        const own = await id();
        assert.strictEqual(await actor.destroy(), undefined);
        await gone(own);
        assert.deepEqual(await actor.getState(), { wakeCount: 1, destroyCount: 0 });
        assert.notEqual(await client.runIgnoresAbortStopTimeout.getOrCreate(['k']).resolve(), own);
      });
    });
  });
}
