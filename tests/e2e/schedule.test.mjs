// What actors have scheduled: when it runs, how often, in which order, and what it survives. Failures and kills are in
// `schedule_kept.test.mjs`.

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { actionPath, assertRefusal, failsWith, fresh, isAsleep, range, until, useHost, within } from './harness.mjs';
import { staysAwake } from './living.mjs';
import { listen, ready } from './sockets.mjs';

// Between being due and running. A busy machine needs its time; that nothing is early is the strict part.
const LATE_MAX_MS = 2_000;

/** A planner of its own, and what there is to do with it. */
function newPlanner(host, key = fresh('planner')) {
  const call = (action, ...args) => host.call('planner', [key], action, ...args);
  const plan = (entry) => call('plan', { label: 'x', ...entry });
  const id = async () => (await host.actors({ name: 'planner', key }))[0].actor_id;
  const operate = async (method, rest) => host.manage(method, `/actors/${await id()}/${rest}?namespace=default`);
  const labels = async () => (await call('runs')).map(({ label }) => label);
  const hasRun = async (count) => {
    await until(`${count} have run`, async () => (await call('runs')).length >= count);
    return call('runs');
  };
  return { key, call, plan, id, operate, labels, hasRun };
}

/** Checks that something ran at its time, by the actor's own clock. */
function isInTime(at, due) {
  assert.ok(at >= due, `it ran ${due - at} ms early`);
  assert.ok(at < due + LATE_MAX_MS, `it ran ${at - due} ms late`);
}

describe('an entry', () => {
  const host = useHost({ components: ['fixtures'] });

  test('runs once, at its time or after its delay, and not early', async () => {
    const { call, plan, hasRun } = newPlanner(host);
    const start = await call('now');
    await plan({ label: 'at', at: start + 200 });
    const { now } = await plan({ label: 'after', after: 350 });
    const [first, second] = await hasRun(2);
    assert.deepEqual([first.label, second.label], ['at', 'after']);
    isInTime(first.at, start + 200);
    isInTime(second.at, now + 350);
    assert.deepEqual(await call('entries'), []);
    assert.equal((await call('runs')).length, 2);
  });

  test('whose time has passed runs at once', async () => {
    const { plan, hasRun } = newPlanner(host);
    const { now } = await plan({ at: 0 });
    const [{ at }] = await hasRun(1);
    isInTime(at, now);
  });

  test('can be looked at until it has run', async () => {
    const { call, plan, operate } = newPlanner(host);
    const { id, now } = await plan({ label: 'later', number: 7, after: 3_600_000 });
    const entry = await call('entry', id);
    const { nextMs, ...rest } = entry;
    assert.ok(nextMs >= now + 3_600_000 && nextMs <= Date.now() + 3_600_000);
    assert.deepEqual(rest, { id, action: 'note', args: ['later', 7], everyMs: null, cron: null, timeZone: null, failures: 0 });
    assert.deepEqual(await call('entries'), [entry]);
    const { entries, history } = await operate('GET', 'schedule');
    assert.deepEqual(entries, [{ id, action: 'note', nextMs, dueMs: nextMs, failures: 0 }]);
    assert.deepEqual(history, []);
    assert.strictEqual(await call('entry', 'none'), null);
  });

  test('is listed with the others, next first', async () => {
    const { call, operate } = newPlanner(host);
    const hours = [5, 1, 4, 2, 3];
    await call('planAll', hours.map((hour) => ({ id: `${hour}`, label: 'x', after: hour * 3_600_000 })));
    assert.deepEqual((await call('entries')).map(({ id }) => id), ['1', '2', '3', '4', '5']);
    assert.deepEqual((await operate('GET', 'schedule')).entries.map(({ id }) => id), ['1', '2', '3', '4', '5']);
  });

  test('with an id replaces the one that had it', async () => {
    const { call, plan, hasRun } = newPlanner(host);
    // In one turn, so that the first cannot have run.
    const both = [{ id: 'only', label: 'first', after: 100 }, { id: 'only', label: 'second', after: 3_600_000 }];
    assert.deepEqual(await call('planAll', both), ['only', 'only']);
    const [{ args }, ...others] = await call('entries');
    assert.deepEqual([args, others], [['second', null], []]);
    const { now } = await plan({ id: 'only', label: 'third', after: 200 });
    const [{ label, at }] = await hasRun(1);
    assert.equal(label, 'third');
    isInTime(at, now + 200);
    assert.deepEqual(await call('entries'), []);
  });

  test('that is cancelled does not run, whoever cancels it', async () => {
    const { call, plan, operate, hasRun } = newPlanner(host);
    const { id } = await plan({ label: 'by the actor', after: 2_500 });
    await plan({ id: 'an id / with #', label: 'by an operator', after: 2_500 });
    await plan({ label: 'last', after: 2_700 });
    assert.equal(await call('cancel', id), true);
    assert.equal(await call('cancel', id), false);
    assert.deepEqual(await operate('DELETE', `schedule/${encodeURIComponent('an id / with #')}`), { ok: true });
    await failsWith('api.not_found', operate('DELETE', `schedule/${encodeURIComponent('an id / with #')}`));
    assert.deepEqual((await hasRun(1)).map(({ label }) => label), ['last']);
    assert.deepEqual((await call('history')).length, 1);
  });

  test('that is cancelled or replaced while it runs goes on, and does not come again', async () => {
    const { call, plan, hasRun } = newPlanner(host);
    for (const id of ['cancelled', 'replaced']) await plan({ id, action: 'linger', label: id, number: 2_000, every: 100 });
    await hasRun(2);
    assert.equal(await call('cancel', 'cancelled'), true);
    await plan({ id: 'replaced', label: 'replacement', after: 50 });
    const labels = (await hasRun(5)).map(({ label }) => label);
    const wanted = ['cancelled begins', 'replaced begins', 'replacement', 'cancelled ends', 'replaced ends'];
    assert.deepEqual(labels.toSorted(), wanted.toSorted());
    assert.deepEqual(await call('entries'), []);
  });

  test('can be planned by one that runs', async () => {
    const { plan, hasRun } = newPlanner(host);
    await plan({ action: 'again', label: 'step', number: 5, after: 0 });
    const runs = await hasRun(5);
    assert.deepEqual(runs.map(({ label }) => label), ['step 5', 'step 4', 'step 3', 'step 2', 'step 1']);
    for (const n of range(4)) isInTime(runs[n + 1].at, runs[n].at + 20);
  });

  test('tells listeners of what it does', async () => {
    const { key } = newPlanner(host);
    const connection = await ready(host.client().planner.getOrCreate([key]).connect());
    const noted = listen(connection, 'noted');
    await connection.plan({ label: 'heard', after: 50 });
    assert.equal(await noted.next(), 'heard');
  });
});

describe('many entries', () => {
  const host = useHost({ components: ['fixtures'] });

  test('run in the order of their times, whatever the order of planning', async () => {
    const { call, hasRun } = newPlanner(host);
    const start = await call('now');
    const order = range(30).map((n) => (n * 7) % 30);
    await call('planAll', order.map((n) => ({ label: `${n}`, at: start + 300 + 5 * n })));
    const runs = await hasRun(30);
    assert.deepEqual(runs.map(({ label }) => label), range(30).map(String));
    for (const { label, at } of runs) isInTime(at, start + 300 + 5 * Number(label));
  });

  test('that are overdue when the actor wakes run in the order of their times', async () => {
    const { call, hasRun } = newPlanner(host);
    const start = await call('now');
    const order = range(20).map((n) => (n * 7) % 20);
    await call('planAll', order.map((n) => ({ label: `${n}`, at: start - 1_000 + n })));
    assert.deepEqual((await hasRun(20)).map(({ label }) => label), range(20).map(String));
  });

  test('of many sleepers wake each in time', async () => {
    const planners = range(60).map(() => newPlanner(host));
    const planned = await Promise.all(planners.map(({ plan }, n) => plan({ after: 1_200 + 10 * n })));
    const runs = await Promise.all(planners.map(async ({ hasRun }) => (await hasRun(1))[0]));
    runs.forEach(({ at }, n) => isInTime(at, planned[n].now + 1_200 + 10 * n));
  });
});

describe('an actor', () => {
  const host = useHost({ components: ['fixtures'] });

  test('sleeps meanwhile, and is woken in time, not early', async () => {
    const { call, plan, id, key } = newPlanner(host);
    const { now } = await plan({ action: 'fall', label: key, number: 0, after: 2_000 });
    const planner = await id();
    await until('it sleeps', async () => isAsleep(await host.actor(planner)));
    // Nobody calls it meanwhile: its run tells another actor.
    await until('it has run', async () => (await host.call('trapper', [key], 'increment', 0)) === 1);
    assert.ok(Date.now() >= now + 2_000, 'it was woken early');
    await until('it sleeps again', async () => isAsleep(await host.actor(planner)));
    const [{ at }] = await call('runs');
    isInTime(at, now + 2_000);
    // When it was created, for its run, and for the calls.
    assert.ok((await call('wakes')) >= 3, 'it did not sleep until its run');
  });

  test('stays awake while a run goes on', async () => {
    const { plan, hasRun, id } = newPlanner(host);
    await plan({ action: 'linger', label: 'it', number: 2_500, after: 0 });
    await hasRun(1);
    // Longer than it stays awake without work, and nobody calls it.
    await staysAwake(host, await id(), 1_000);
    assert.deepEqual((await hasRun(2)).map(({ label }) => label), ['it begins', 'it ends']);
  });

  test('that is destroyed does nothing more, also under the same key', async () => {
    const { call, plan, labels, id } = newPlanner(host);
    await plan({ label: 'of the first', after: 300 });
    await plan({ label: 'of the first again', every: 100 });
    const first = await id();
    await call('destroy');
    await until('it is gone', async () => (await host.actor(first)) === undefined);
    const { now } = await plan({ label: 'of the second', after: 600 });
    await until('all times have passed', async () => (await labels()).includes('of the second'));
    assert.deepEqual(await labels(), ['of the second']);
    isInTime((await call('runs'))[0].at, now + 600);
    assert.equal((await call('history')).length, 1);
  });

  test('that is destroyed by an operator in its sleep is not woken any more', async () => {
    const { plan, id } = newPlanner(host);
    await plan({ every: 400 });
    const planner = await id();
    await until('it sleeps', async () => isAsleep(await host.actor(planner)));
    await host.manage('DELETE', `/actors/${planner}?namespace=default`);
    const other = newPlanner(host);
    await other.plan({ after: 600 });
    await other.hasRun(1);
    assert.equal(await host.actor(planner), undefined);
  });
});

describe('what recurs', () => {
  const host = useHost({ components: ['fixtures'] });

  test('at an interval does not drift, and ends when it is cancelled', async () => {
    const { call, plan, hasRun } = newPlanner(host);
    const { id, now } = await plan({ every: 150 });
    const plannedBy = Date.now();
    const { nextMs, everyMs } = await call('entry', id);
    assert.equal(everyMs, 150);
    await hasRun(4);
    assert.equal(await call('cancel', id), true);
    const due = (await call('history')).map(({ dueMs }) => dueMs);
    const runs = await hasRun(due.length);
    assert.ok(due[0] >= now + 150 && due[0] <= plannedBy + 150);
    assert.equal((nextMs - due[0]) % 150, 0);
    for (const [n, ms] of due.entries()) {
      assert.equal((ms - due[0]) % 150, 0, `run ${n} was due ${ms - due[0]} ms after the first`);
      assert.ok(runs[n].at >= ms, `run ${n} was ${ms - runs[n].at} ms early`);
      if (n > 0) assert.ok(ms > due[n - 1]);
    }
    const { length } = await call('runs');
    await plan({ label: 'last', after: 400 });
    await until('the last has run', async () => (await call('runs')).some(({ label }) => label === 'last'));
    assert.ok((await call('runs')).length <= length + 1, 'it went on');
  });

  test('at an interval wakes its actor each time', async () => {
    const { call, plan, id } = newPlanner(host);
    const { now } = await plan({ id: 'tick', every: 900 });
    const planner = await id();
    const asleep = (is) => until(is ? 'it sleeps' : 'it is woken', async () => isAsleep(await host.actor(planner)) === is);
    for (const round of range(2)) {
      await asleep(true);
      await asleep(false);
      assert.ok(Date.now() >= now + 900 * (round + 1), 'it was woken early');
    }
    assert.equal(await call('cancel', 'tick'), true);
    assert.ok((await call('wakes')) >= 3);
    const due = (await call('history')).map(({ dueMs }) => dueMs);
    for (const [n, ms] of due.slice(1).entries()) assert.ok(ms > due[n] && (ms - due[n]) % 900 === 0, `${due}`);
  });

  test('by a cron expression runs at whole seconds', async () => {
    const { call, plan, hasRun } = newPlanner(host);
    const { now } = await plan({ id: 'clock', cron: '* * * * * *' });
    const plannedBy = Date.now();
    const { nextMs, cron, timeZone } = await call('entry', 'clock');
    assert.deepEqual([cron, timeZone, nextMs % 1_000], ['* * * * * *', null, 0]);
    await hasRun(2);
    assert.equal(await call('cancel', 'clock'), true);
    const due = (await call('history')).map(({ dueMs }) => dueMs);
    const runs = await hasRun(due.length);
    assert.ok(due.length >= 2);
    assert.ok(due[0] > now && due[0] <= plannedBy + 1_000);
    for (const [n, ms] of due.entries()) {
      assert.equal(ms % 1_000, 0);
      isInTime(runs[n].at, ms);
      if (n > 0) assert.ok(ms > due[n - 1]);
    }
  });

  test('by a cron expression can mean the time of some place', async () => {
    const { call, plan, operate } = newPlanner(host);
    await plan({ id: 'morning', cron: '30 9 * * 1-5', timeZone: 'America/New_York' });
    const { nextMs, timeZone } = await call('entry', 'morning');
    assert.equal(timeZone, 'America/New_York');
    const fields = { weekday: 'short', hour: '2-digit', minute: '2-digit', hourCycle: 'h23' };
    const there = new Intl.DateTimeFormat('en-US', { timeZone, ...fields });
    const parts = Object.fromEntries(there.formatToParts(nextMs).map(({ type, value }) => [type, value]));
    assert.deepEqual([parts.hour, parts.minute], ['09', '30']);
    assert.ok(!['Sat', 'Sun'].includes(parts.weekday));
    const [shown] = (await operate('GET', 'schedule')).entries;
    assert.deepEqual([shown.cron, shown.timeZone], ['30 9 * * 1-5', timeZone]);
  });
});

describe('bounds', () => {
  const host = useHost({ components: ['fixtures'], flags: ['--schedule-entries-max', '50', '--schedule-bytes-max', '64KiB'] });

  test('are on what an entry may be', async () => {
    const { key, call } = newPlanner(host);
    const refused = async (status, code, entry) => {
      const body = { args: [{ label: 'x', after: 1, ...entry }] };
      const target = actionPath('planner', [key], 'plan');
      assertRefusal(await host.request('POST', target, { headers: { 'x-rivet-encoding': 'json' }, body }), status, code);
    };
    await refused(404, 'actor.action_not_found', { action: 'nothing' });
    await refused(400, 'schedule.invalid_name', { id: '' });
    await refused(400, 'schedule.invalid_name', { id: 'x'.repeat(129) });
    await refused(400, 'schedule.invalid_interval', { after: undefined, every: 9 });
    await refused(400, 'schedule.invalid_interval', { after: undefined, every: 0 });
    for (const cron of ['', 'every day', '* * *', '61 * * * *', '0 0 30 2 *']) {
      await refused(400, 'schedule.invalid_cron_expression', { after: undefined, cron });
    }
    await refused(400, 'schedule.invalid_timezone', { after: undefined, cron: '0 9 * * *', timeZone: 'Europe/Atlantis' });
    assert.deepEqual(await call('entries'), []);
    assert.equal((await call('plan', { id: 'x'.repeat(128), label: 'x', after: 3_600_000 })).id, 'x'.repeat(128));
  });

  test('are on their number, and what is cancelled or replaced makes room', async () => {
    const { call, plan } = newPlanner(host);
    await plan({ id: 'named', after: 3_600_000 });
    const [planned, error] = await call('planMany', 60);
    assert.equal(planned, 49);
    assert.match(error, /^schedule\.max_schedules_exceeded: .*50/);
    const full = await failsWith('schedule.max_schedules_exceeded', plan({ after: 1 }));
    assert.equal(full.status, 507);
    await plan({ id: 'named', label: 'replaced', after: 3_600_000 });
    assert.equal(await call('cancel', 'named'), true);
    await plan({ after: 3_600_000 });
    assert.equal((await call('entries')).length, 50);
  });

  test('are on their bytes', async () => {
    const { plan, call } = newPlanner(host);
    await plan({ label: 'x'.repeat(40_000), after: 3_600_000 });
    await failsWith('schedule.max_schedules_exceeded', plan({ label: 'x'.repeat(40_000), after: 3_600_000 }));
    await within('it goes on', plan({ label: 'short', after: 3_600_000 }));
    assert.equal((await call('entries')).length, 2);
  });
});
