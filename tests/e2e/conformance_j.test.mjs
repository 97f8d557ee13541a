// The conformance actor of group J (schedule), as far as it needs no SQL, through the stock client in every encoding,
// each test in a namespace that nobody has used before.

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { ENCODINGS, actionPath, fresh, isAsleep, range, startHost, until, useHost } from './harness.mjs';
import { listen, ready } from './sockets.mjs';

const host = useHost({ components: ['conformance'] });

// Between being due and having run. A busy machine needs its time; that it is not early is the strict part.
const LATE_MAX_MS = 2_000;

/** Checks that something ran at its time: the host's clock and this one are the same. */
function isInTime(ran, planned) {
  assert.ok(ran >= planned, `it ran ${planned - ran} ms early`);
  assert.ok(ran < planned + LATE_MAX_MS, `it ran ${ran - planned} ms late`);
}

for (const encoding of ENCODINGS) {
  describe(`scheduled in ${encoding}`, () => {
    function setUp() {
      const namespace = fresh('conformance');
      const client = host.client({ encoding, namespace, disableMetadataLookup: true });
      return { namespace, client, actor: client.scheduled.getOrCreate(['k']) };
    }

    const only = () => setUp().actor;
    const hasRun = (actor, times) => until(`it has run ${times} times`, async () => (await actor.getScheduledCount()) === times);

    test('begins with nothing', async () => {
      const actor = only();
      assert.equal(await actor.getLastRun(), 0);
      assert.equal(await actor.getScheduledCount(), 0);
      assert.deepEqual(await actor.getTaskHistory(), []);
    });

    test('runs an action at a time', async () => {
      const actor = only();
      const at = Date.now() + 150;
      assert.equal(await actor.scheduleTaskAt(at), at);
      const count = await actor.getScheduledCount();
      if (Date.now() < at) assert.equal(count, 0);
      await hasRun(actor, 1);
      isInTime(await actor.getLastRun(), at);
    });

    test('runs an action after a delay', async () => {
      const actor = only();
      const before = Date.now();
      const at = await actor.scheduleTaskAfter(150);
      assert.ok(at >= before + 150 && at <= Date.now() + 150);
      await hasRun(actor, 1);
      isInTime(await actor.getLastRun(), at);
    });

    test('runs an action at a time that it has reckoned itself', async () => {
      const actor = only();
      const at = await actor.scheduleTask(120);
      await hasRun(actor, 1);
      isInTime(await actor.getLastRun(), at);
    });

    test('runs at once what is past', async () => {
      const actor = only();
      await actor.scheduleTaskAt(Date.now() - 60_000);
      await hasRun(actor, 1);
    });

    test('runs in the order of time, whatever the order of asking', async () => {
      const actor = only();
      const planned = [];
      for (const [id, ms] of [['third', 1_000], ['first', 400], ['second', 700]]) {
        const before = Date.now();
        const { taskId, scheduledFor } = await actor.scheduleTaskAfterWithId(id, ms);
        assert.equal(taskId, id);
        assert.ok(scheduledFor >= before + ms && scheduledFor <= Date.now() + ms);
        planned.push({ id, scheduledFor });
      }
      await hasRun(actor, 3);
      // First, second, third, unless it took long to ask.
      const inOrder = planned.toSorted((a, b) => a.scheduledFor - b.scheduledFor);
      assert.deepEqual(await actor.getTaskHistory(), inOrder.map(({ id }) => id));
    });

    test('runs each once, however many there are', async () => {
      const actor = only();
      const ids = range(20).map((n) => `task ${n}`);
      await Promise.all(ids.map((id, n) => actor.scheduleTaskAfterWithId(id, 100 + 10 * n)));
      await hasRun(actor, 20);
      assert.deepEqual((await actor.getTaskHistory()).toSorted(), ids.toSorted());
    });

    test('tells listeners when it runs', async () => {
      const actor = only();
      const connection = await ready(actor.connect());
      const [plain, named] = [listen(connection, 'scheduled'), listen(connection, 'scheduledWithId')];
      await connection.getLastRun();
      const at = await connection.scheduleTaskAfter(50);
      const first = await plain.next();
      assert.deepEqual(first, { time: await actor.getLastRun(), count: 1 });
      isInTime(first.time, at);
      await connection.scheduleTaskAfterWithId('x', 20);
      const { taskId, time, count } = await named.next();
      assert.deepEqual({ taskId, time, count }, { taskId: 'x', time: await actor.getLastRun(), count: 2 });
      assert.deepEqual(plain.items, []);
    });

    test('wakes a sleeper', async () => {
      const { actor, namespace } = setUp();
      const id = await actor.resolve();
      const at = await actor.scheduleTaskAfter(2_000);
      await host.putToSleep(id, namespace);
      assert.ok(isAsleep(await host.actor(id, namespace)));
      // Nobody calls it meanwhile.
      await until('it is awake', async () => !isAsleep(await host.actor(id, namespace)));
      assert.ok(Date.now() >= at, 'it woke early');
      await hasRun(actor, 1);
      isInTime(await actor.getLastRun(), at);
    });

    test('forgets what has been when it is told to, and goes on', async () => {
      const actor = only();
      await actor.scheduleTaskAfterWithId('old', 10);
      await hasRun(actor, 1);
      assert.equal(await actor.clearHistory(), true);
      assert.equal(await actor.getLastRun(), 0);
      assert.equal(await actor.getScheduledCount(), 0);
      assert.deepEqual(await actor.getTaskHistory(), []);
      await actor.scheduleTaskAfterWithId('new', 10);
      await hasRun(actor, 1);
      assert.deepEqual(await actor.getTaskHistory(), ['new']);
    });
  });
}

test('what came due while the host was down runs after its start, once', async (t) => {
  const host = await startHost(t, { components: ['conformance'] });
  const call = (action, ...args) => host.callAt(actionPath('scheduled', ['k'], action), ...args);
  const { scheduledFor: later } = await call('scheduleTaskAfterWithId', 'later', 3_500);
  const { scheduledFor: at } = await call('scheduleTaskAfterWithId', 'due', 1_500);
  await host.kill();
  await until('it is due', () => Date.now() > at);
  const started = Date.now();
  await host.startAgain();
  await until('it has run', async () => (await call('getTaskHistory')).length > 0);
  assert.ok((await call('getLastRun')) >= started);
  await until('the other has run', async () => (await call('getTaskHistory')).length > 1);
  assert.deepEqual(await call('getTaskHistory'), ['due', 'later']);
  assert.ok((await call('getLastRun')) >= later);
});
