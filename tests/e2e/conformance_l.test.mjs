// The conformance actors of group L (sleep), through the stock client in every encoding, each test in a namespace that
// nobody has used before.

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { ENCODINGS, until, useHost, within } from './harness.mjs';
import { awakeUntil, scenes } from './living.mjs';
import { assertCloses, listen, ready, upTo, watch } from './sockets.mjs';

const host = useHost({ components: ['conformance'] });

/** The time after which most of them sleep, and what surely is longer. */
const IDLE_MS = 1_000;
const LONGER_MS = 1_400;

for (const encoding of ENCODINGS) {
  describe(`in ${encoding}`, { concurrency: 4 }, () => {
    const setUp = scenes(host, encoding);

    /** A raw WebSocket that has been told that it is connected. */
    async function connected({ open }) {
      const socket = await open();
      assert.equal((await socket.nextJson()).type, 'connected');
      return socket;
    }

    /** Waits until a call that is on its way has come. It has made the actor, and nobody else wakes it. */
    async function comes(type, { namespace }) {
      await until('the call has come', async () => (await host.actors({ name: type, key: 'k', namespace }))[0]?.awake);
    }

    describe('sleep', () => {
      test('sleeps when nobody has called for its time, not sooner and not much later, and wakes for a call', async () => {
        const { actor, asleep } = setUp('sleep');
        assert.deepEqual(await actor.getCounts(), { startCount: 1, sleepCount: 0 });
        // Taken before the call, it is before the time from which the actor is idle.
        const calledAt = performance.now();
        const { startCount, sleepCount } = await actor.getCounts();
        await asleep();
        const after = performance.now() - calledAt;
        assert.ok(after >= IDLE_MS - 1 && after < 10 * IDLE_MS, `it slept after ${after} ms`);
        assert.deepEqual(await actor.getCounts(), { startCount: startCount + 1, sleepCount: sleepCount + 1 });
      });

      test('does not sleep while it is called often enough', async () => {
        const { actor, staysAwake } = setUp('sleep');
        for (const _ of upTo(6)) {
          await actor.getCounts();
          await staysAwake(0.3 * IDLE_MS);
        }
        assert.deepEqual(await actor.getCounts(), { startCount: 1, sleepCount: 0 });
      });

      test('sleeps when it is asked to, by itself or by the management, once however often', async () => {
        const { actor, asleep, putToSleep } = setUp('sleep');
        assert.strictEqual(await actor.triggerSleep(), undefined);
        await asleep();
        assert.deepEqual(await actor.getCounts(), { startCount: 2, sleepCount: 1 });
        await putToSleep();
        assert.deepEqual(await actor.getCounts(), { startCount: 3, sleepCount: 2 });
        await Promise.all([putToSleep(), putToSleep(), putToSleep()]);
        assert.deepEqual(await actor.getCounts(), { startCount: 4, sleepCount: 3 });
      });

      test('does not sleep while somebody is connected, and does when the last has left', async () => {
        const { actor, staysAwake, asleep } = setUp('sleep');
        const connection = await ready(actor.connect());
        await staysAwake(LONGER_MS);
        assert.deepEqual(await connection.getCounts(), { startCount: 1, sleepCount: 0 });
        await connection.dispose();
        await asleep();
        assert.deepEqual(await actor.getCounts(), { startCount: 2, sleepCount: 1 });
      });

      test('is woken by its alarm, and sleeps again', async () => {
        const { actor, asleep, id, namespace } = setUp('sleep');
        assert.strictEqual(await actor.setAlarm(2 * IDLE_MS), undefined);
        await asleep();
        await until('the alarm wakes it', async () => (await host.actor(await id(), namespace)).awake);
        await asleep();
        assert.deepEqual(await actor.getCounts(), { startCount: 3, sleepCount: 2 });
      });

      test('is idle anew after an alarm that comes while it is awake', async () => {
        const { actor, asleep } = setUp('sleep');
        const begun = performance.now();
        await actor.setAlarm(0.6 * IDLE_MS);
        await asleep();
        const after = performance.now() - begun;
        assert.ok(after >= 1.5 * IDLE_MS, `it slept after ${after} ms`);
        assert.deepEqual(await actor.getCounts(), { startCount: 2, sleepCount: 1 });
      });
    });

    describe('sleepWithLongRpc', () => {
      test('does not sleep while a call is in progress', async () => {
        const { actor, staysAwake, asleep } = setUp('sleepWithLongRpc');
        const connection = actor.connect();
        const waiting = listen(connection, 'waiting');
        await connection.getCounts();
        const call = connection.longRunningRpc();
        await waiting.next();
        await staysAwake(LONGER_MS);
        assert.strictEqual(await connection.finishLongRunningRpc(), undefined);
        assert.strictEqual(await call, undefined);
        assert.deepEqual(await connection.getCounts(), { startCount: 1, sleepCount: 0 });
        await connection.dispose();
        await asleep();
        assert.deepEqual(await actor.getCounts(), { startCount: 2, sleepCount: 1 });
      });

      test('does not sleep for a call without a connection either', async () => {
        const scene = setUp('sleepWithLongRpc');
        const { actor, staysAwake } = scene;
        const call = actor.longRunningRpc();
        await comes('sleepWithLongRpc', scene);
        await staysAwake(LONGER_MS);
        await actor.finishLongRunningRpc();
        await call;
        assert.deepEqual(await actor.getCounts(), { startCount: 1, sleepCount: 0 });
      });
    });

    describe('sleepWithWaitUntilMessage', () => {
      test('says a last word from the background before it sleeps, and keeps what that has changed', async () => {
        const { actor, asleep } = setUp('sleepWithWaitUntilMessage');
        const connection = actor.connect();
        const seen = watch(connection);
        const words = listen(connection, 'sleeping');
        await connection.getCounts();
        assert.strictEqual(await connection.triggerSleep(), undefined);
        const { startCount, sleepCount } = await words.next();
        assert.equal(startCount, 1);
        assert.ok([0, 1].includes(sleepCount), `sleepCount is ${sleepCount}`);
        await asleep();
        assert.deepEqual(await connection.getCounts(), { startCount: 2, sleepCount: 1, waitUntilMessageCount: 1 });
        assert.deepEqual(seen, { opens: 1, closes: 0, errors: [], hasGivenUp: false });
      });
    });

    describe('sleepWithRawHttp', () => {
      test('does not sleep while a raw request is in progress', async () => {
        const scene = setUp('sleepWithRawHttp');
        const { actor, staysAwake, asleep } = scene;
        const request = actor.fetch(`long-request?duration=${LONGER_MS + 300}`);
        await comes('sleepWithRawHttp', scene);
        await staysAwake(LONGER_MS);
        const response = await request;
        assert.equal(response.status, 200);
        assert.deepEqual(await response.json(), { completed: true });
        assert.deepEqual(await actor.getCounts(), { startCount: 1, sleepCount: 0, requestCount: 1 });
        await asleep();
        assert.deepEqual(await actor.getCounts(), { startCount: 2, sleepCount: 1, requestCount: 1 });
      });

      test('has nothing anywhere else', async () => {
        const { actor } = setUp('sleepWithRawHttp');
        assert.equal((await actor.fetch('other')).status, 404);
        assert.equal((await actor.getCounts()).requestCount, 1);
      });
    });

    describe('sleepWithRawWebSocket', () => {
      test('does not sleep while a raw WebSocket is open', async () => {
        const scene = setUp('sleepWithRawWebSocket');
        const socket = await scene.open();
        assert.deepEqual(await socket.nextJson(), { type: 'connected', connectionCount: 1 });
        await scene.staysAwake(LONGER_MS);
        assert.deepEqual(await socket.ask({ type: 'getCounts' }), {
          type: 'counts', startCount: 1, sleepCount: 0, connectionCount: 1,
        });
        await socket.close();
        await scene.asleep();
        assert.deepEqual(await scene.actor.getCounts(), { startCount: 2, sleepCount: 1, connectionCount: 0 });
      });

      test('answers on it, and echoes what is no JSON', async () => {
        const socket = await connected(setUp('sleepWithRawWebSocket'));
        assert.deepEqual(await socket.ask({ type: 'keepAlive' }), { type: 'ack' });
        socket.send('not {json');
        assert.equal(await socket.messages.next(), 'not {json');
        await socket.close();
      });

      test('closes it with a close frame when it has to sleep, and hears of that', async () => {
        const scene = setUp('sleepWithRawWebSocket');
        const socket = await connected(scene);
        await scene.putToSleep();
        await assertCloses(socket, 1000, 'actor.stopped');
        assert.deepEqual(await scene.actor.getCounts(), { startCount: 2, sleepCount: 1, connectionCount: 0 });
      });
    });

    describe('sleepWithNoSleepOption', () => {
      test('does not sleep for want of work', async () => {
        const { actor, staysAwake } = setUp('sleepWithNoSleepOption');
        assert.deepEqual(await actor.getCounts(), { startCount: 1, sleepCount: 0 });
        await staysAwake(LONGER_MS);
        assert.deepEqual(await actor.getCounts(), { startCount: 1, sleepCount: 0 });
      });

      test('sleeps when it is put to sleep', async () => {
        const { actor, putToSleep } = setUp('sleepWithNoSleepOption');
        await putToSleep();
        assert.deepEqual(await actor.getCounts(), { startCount: 2, sleepCount: 1 });
      });
    });

    describe('sleepWithWaitUntilInOnWake', () => {
      test('may begin background work in its wake hook, at every start', async () => {
        const { actor, asleep } = setUp('sleepWithWaitUntilInOnWake');
        for (const n of upTo(3)) {
          const status = await until('the work is done', async () => {
            const status = await actor.getStatus();
            return status.waitUntilCompleted && status;
          });
          assert.deepEqual(status, { startCount: n, sleepCount: n - 1, waitUntilCalled: true, waitUntilCompleted: true });
          await actor.triggerSleep();
          await asleep();
        }
      });
    });

    describe('counterWaitUntilProbe', () => {
      test('goes on after background work, whatever it comes to', async () => {
        const { actor, asleep } = setUp('counterWaitUntilProbe');
        const actions = [
          'triggerWaitUntilVoid', 'triggerWaitUntilWithValue', 'triggerWaitUntilRejectVoid', 'triggerKeepAwakeVoid',
          'triggerKeepAwakeWithValue',
        ];
        for (const [index, name] of actions.entries()) {
          assert.equal(await actor.action({ name, args: [] }), index + 1, name);
        }
        assert.equal(await actor.getCount(), 5);
        await asleep();
        assert.equal(await actor.getCount(), 5);
      });
    });

    for (const type of ['sleepRawWsAddEventListenerMessage', 'sleepRawWsOnMessage']) {
      describe(type, () => {
        test('does not sleep while a message is being handled, even when its socket is gone', async () => {
          const scene = setUp(type);
          const socket = await connected(scene);
          // Before the handler has begun, which takes 250 ms.
          const begun = performance.now();
          assert.deepEqual(await socket.ask('track-message'), { type: 'message-started' });
          await socket.close();
          // Each look at the status would keep it awake.
          await awakeUntil(host, await scene.id(), () => performance.now() > begun + 230, scene.namespace);
          await scene.asleep();
          assert.deepEqual(await scene.actor.getStatus(), {
            startCount: 2, sleepCount: 1, messageStarted: 1, messageFinished: 1, closeStarted: 0, closeFinished: 0,
          });
        });

        test('is waited for by a stop', async () => {
          const scene = setUp(type);
          const socket = await connected(scene);
          await socket.ask('track-message');
          await scene.putToSleep();
          const { messageStarted, messageFinished, sleepCount } = await scene.actor.getStatus();
          assert.deepEqual({ messageStarted, messageFinished, sleepCount }, { messageStarted: 1, messageFinished: 1, sleepCount: 1 });
          await assertCloses(socket, 1000, 'actor.stopped');
        });
      });
    }

    for (const type of ['sleepRawWsAddEventListenerClose', 'sleepRawWsOnClose']) {
      describe(type, () => {
        test('sleeps after about 100 ms, not a second', async () => {
          const { actor, asleep } = setUp(type);
          assert.equal((await actor.getStatus()).startCount, 1);
          // A busy machine may be late, but not every time.
          await until('it sleeps in less than a second', async () => {
            const calledAt = performance.now();
            await actor.getStatus();
            await asleep();
            const after = performance.now() - calledAt;
            assert.ok(after >= 99, `it slept after ${after} ms`);
            return after < 900;
          });
        });

        test('does not sleep while a close is being handled', async () => {
          const scene = setUp(type);
          const id = await scene.id();
          const socket = await connected(scene);
          // Before the handler has begun, which takes 250 ms.
          const begun = performance.now();
          await socket.close();
          await awakeUntil(host, id, () => performance.now() > begun + 230, scene.namespace);
          await scene.asleep();
          assert.deepEqual(await scene.actor.getStatus(), {
            startCount: 2, sleepCount: 1, messageStarted: 0, messageFinished: 0, closeStarted: 1, closeFinished: 1,
          });
        });

        test('that has to sleep handles the close of its sockets to the end', async () => {
          const scene = setUp(type);
          const socket = await connected(scene);
          await scene.actor.triggerSleep();
          await assertCloses(socket, 1000, 'actor.stopped');
          await scene.asleep();
          const { closeStarted, closeFinished } = await scene.actor.getStatus();
          assert.deepEqual({ closeStarted, closeFinished }, { closeStarted: 1, closeFinished: 1 });
        });
      });
    }

    for (const type of ['sleepRawWsSendOnSleep', 'sleepRawWsDelayedSendOnSleep']) {
      describe(type, () => {
        test('tells every raw WebSocket that it falls asleep, and closes it then', async () => {
          const scene = setUp(type);
          for (const n of upTo(2)) {
            const sockets = await Promise.all(upTo(3).map(() => connected(scene)));
            assert.deepEqual(await scene.actor.getCounts(), { startCount: n, sleepCount: n - 1 });
            assert.strictEqual(await scene.actor.triggerSleep(), undefined);
            for (const socket of sockets) {
              assert.deepEqual(await socket.nextJson(), { type: 'sleeping', sleepCount: n });
              await assertCloses(socket, 1000, 'actor.stopped');
            }
            await scene.asleep();
          }
        });
      });
    }

    describe('sleepAbortListenerVarsActor', () => {
      test('reaches its vars from an abort listener, in every generation', async () => {
        const scene = setUp('sleepAbortListenerVarsActor');
        for (const n of upTo(3)) {
          const socket = await connected(scene);
          assert.deepEqual(await scene.actor.getStatus(), {
            startCount: n,
            sleepCount: n - 1,
            abortVarsSeenPerWake: [...upTo(n - 1).map(() => 'object'), 'unset'],
          });
          await scene.actor.triggerSleep();
          await within('its socket is closed', socket.closed);
          await scene.asleep();
        }
      });
    });

    describe('sleepWaitUntilVarsDuringGrace', () => {
      test('may begin background work in its sleep hook, which is waited for', async () => {
        const { actor, id, namespace, asleep } = setUp('sleepWaitUntilVarsDuringGrace');
        // The first call: after one before it, it might have slept by itself.
        const begun = performance.now();
        await actor.triggerSleep();
        await awakeUntil(host, await id(), () => performance.now() > begun + 140, namespace);
        await asleep();
        assert.deepEqual(await actor.getStatus(), { startCount: 2, sleepCount: 1, waitUntilStarted: 1 });
      });
    });

    describe('sleepRawWsVarsExceedsGrace', () => {
      test('is cut off in a handler that takes longer than the grace, and its hook has run all the same', async () => {
        const scene = setUp('sleepRawWsVarsExceedsGrace');
        const socket = await connected(scene);
        assert.deepEqual(await socket.ask('slow-vars-work'), { type: 'started' });
        await scene.actor.triggerSleep();
        const { code } = await within('its socket is closed', socket.closed);
        assert.notEqual(code, 1006, 'it was cut without a close frame');
        await scene.asleep();
        // If the handler, which takes two seconds, had been waited for, it would have finished.
        assert.deepEqual(await scene.actor.getStatus(), { startCount: 2, sleepCount: 1, handlerStarted: 1, handlerFinished: 0 });
      });
    });

    describe('hibernationActor', () => {
      test('keeps its connections and their states over a sleep, and runs no hook for it', async () => {
        const { actor, asleep } = setUp('hibernationActor');
        const connection = await ready(actor.connect());
        const seen = watch(connection);
        assert.equal(await connection.ping(), 'pong');
        assert.equal(await connection.connIncrement(), 1);
        const before = connection.connId;
        for (const n of upTo(3)) {
          assert.strictEqual(await connection.triggerSleep(), undefined);
          await asleep();
          assert.equal(await connection.ping(), 'pong');
          assert.equal(await connection.getConnCount(), n);
          assert.equal(await connection.connIncrement(), n + 1);
          assert.deepEqual(await connection.getConnLifecycleCounts(), { connectCount: 1, disconnectCount: 0 });
          assert.deepEqual(await connection.getConnectionIds(), [before]);
          assert.deepEqual(await connection.getActorCounts(), { sleepCount: n, wakeCount: n + 1 });
        }
        assert.deepEqual(seen, { opens: 1, closes: 0, errors: [], hasGivenUp: false });
      });

      test('lists those no more that left while it slept', async () => {
        const { actor, asleep } = setUp('hibernationActor');
        const [stays, leaves] = await Promise.all([ready(actor.connect()), ready(actor.connect())]);
        assert.deepEqual((await stays.getConnectionIds()).toSorted(), [stays.connId, leaves.connId].toSorted());
        await stays.triggerSleep();
        await asleep();
        await leaves.dispose();
        await until('it lists one', async () => (await stays.getConnectionIds()).length === 1);
        assert.deepEqual(await stays.getConnectionIds(), [stays.connId]);
      });

      test('is kept awake by a connection, and sleeps when it has left', async () => {
        const { actor, staysAwake, asleep } = setUp('hibernationActor');
        const connection = await ready(actor.connect());
        await staysAwake(900);
        await connection.dispose();
        await asleep();
        assert.deepEqual(await actor.getActorCounts(), { sleepCount: 1, wakeCount: 2 });
      });
    });

    describe('fileSystemHibernationCleanupActor', () => {
      test('hears in its next generation of a client that left while it slept', async () => {
        const { actor, asleep } = setUp('fileSystemHibernationCleanupActor');
        const connection = await ready(actor.connect());
        assert.equal(await connection.ping(), 'pong');
        assert.strictEqual(await connection.triggerSleep(), undefined);
        await asleep();
        await connection.dispose();
        assert.equal(await actor.ping(), 'pong');
        await until('its hook has run', async () => (await actor.getDisconnectWakeCounts()).length > 0);
        assert.deepEqual(await actor.getDisconnectWakeCounts(), [2]);
        // It sleeps after half a second, so it may have done that meanwhile.
        const { wakeCount, sleepCount } = await actor.getCounts();
        assert.ok(wakeCount >= 2 && wakeCount === sleepCount + 1, `it has woken ${wakeCount} times and slept ${sleepCount} times`);
      });

      test('does not count short connections', async () => {
        const { actor } = setUp('fileSystemHibernationCleanupActor');
        await actor.ping();
        await actor.ping();
        assert.deepEqual(await actor.getDisconnectWakeCounts(), []);
      });
    });
  });
}
