// Scheduled actions that fail or break down, and what a schedule survives: restarts, new code, `kill -9`.

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { failsWith, fresh, inParallel, isAsleep, range, sameAgain, startHost, until, useHost } from './harness.mjs';

/** A planner of its own, and what there is to do with it. */
function newPlanner(host, key = fresh('planner')) {
  const call = (action, ...args) => host.call('planner', [key], action, ...args);
  const plan = (entry) => call('plan', { label: 'x', ...entry });
  const id = async () => (await host.actors({ name: 'planner', key }))[0].actor_id;
  const hasRun = async (count) => {
    await until(`${count} have run`, async () => (await call('runs')).length >= count, { within: 20_000 });
    return call('runs');
  };
  return { key, call, plan, id, hasRun };
}

const outcomes = (history) => history.map(({ outcome, error }) => [outcome, error]);

describe('a scheduled action', () => {
  const host = useHost({ components: ['fixtures'] });

  test('that fails is tried again after one second, then two, and what it changed is kept', async () => {
    const { call, plan, hasRun } = newPlanner(host);
    const { id } = await plan({ action: 'stumble', label: 'it', number: 2, after: 50 });
    await until('it has failed', async () => (await call('history')).length === 1);
    const entry = await call('entry', id);
    const [first] = await call('history');
    assert.equal(entry.failures, 1);
    assert.ok(entry.nextMs >= first.startedMs + 1_000, `tried again ${entry.nextMs - first.startedMs} ms after it began`);
    const runs = await hasRun(3);
    assert.ok(runs[1].at - runs[0].at >= 1_000, `after ${runs[1].at - runs[0].at} ms`);
    assert.ok(runs[2].at - runs[1].at >= 2_000, `after ${runs[2].at - runs[1].at} ms`);
    assert.ok(runs[2].at - runs[0].at < 6_000);
    const history = await call('history');
    assert.deepEqual(outcomes(history), [
      ['failed', 'user.stumbled: not at try 1'],
      ['failed', 'user.stumbled: not at try 2'],
      ['done', null],
    ]);
    assert.ok(history.every(({ id: its, dueMs, startedMs }) => its === id && dueMs === first.dueMs && startedMs >= dueMs));
    assert.deepEqual(await call('entries'), []);
  });

  test('that fails holds up no other', async () => {
    const { call, plan, hasRun } = newPlanner(host);
    await plan({ action: 'stumble', label: 'stumbles', number: 1, after: 0 });
    await plan({ label: 'goes', after: 100 });
    const runs = await hasRun(3);
    assert.deepEqual(runs.map(({ label }) => label), ['stumbles', 'goes', 'stumbles']);
    assert.deepEqual((await call('history')).map(({ outcome }) => outcome), ['failed', 'done', 'done']);
  });

  test('that recurs is tried again, and goes on at its times', async () => {
    const { call, plan, hasRun } = newPlanner(host);
    const { id } = await plan({ action: 'stumble', label: 'it', number: 1, every: 400 });
    await hasRun(4);
    await call('cancel', id);
    const history = await call('history');
    assert.deepEqual(history.slice(0, 3).map(({ outcome }) => outcome), ['failed', 'done', 'done']);
    const [failed, second, third] = history;
    assert.equal(second.dueMs, failed.dueMs, 'the same run');
    assert.ok(third.dueMs > second.startedMs && (third.dueMs - failed.dueMs) % 400 === 0);
  });

  test('that panics is tried again as well, though nobody calls, and that is noted', async () => {
    const { call, plan, key } = newPlanner(host);
    await plan({ id: 'it', action: 'fall', label: key, number: 2, after: 100 });
    const tries = () => host.call('trapper', [key], 'increment', 0);
    await until('it has been tried three times', async () => (await tries()) >= 3, { within: 20_000 });
    await until('it has run', async () => (await call('runs')).length === 1);
    const history = await call('history');
    assert.deepEqual(history.map(({ id, outcome }) => [id, outcome]), [['it', 'failed'], ['it', 'failed'], ['it', 'done']]);
    assert.ok(history[1].startedMs - history[0].startedMs >= 1_000);
    assert.ok(history[2].startedMs - history[1].startedMs >= 2_000);
    assert.deepEqual(await call('entries'), []);
  });

  test('that was planned by a turn that fails runs; one by a turn that panics does not', async () => {
    const { call, plan, hasRun } = newPlanner(host);
    await failsWith('user.user_error', call('planAndBreak', { label: 'kept', after: 200 }, false));
    await failsWith('actor.crashed', call('planAndBreak', { label: 'lost', after: 200 }, true));
    await plan({ label: 'last', after: 500 });
    assert.deepEqual((await hasRun(2)).map(({ label }) => label), ['kept', 'last']);
  });

  test('is remembered for a hundred runs', async () => {
    const { call, hasRun } = newPlanner(host);
    for (const batch of range(6)) {
      const numbers = range(20).map((n) => 20 * batch + n);
      await call('planAll', numbers.map((n) => ({ label: `${n}`, at: 1_000 + n })));
    }
    await hasRun(120);
    const history = await call('history');
    assert.deepEqual(history.map(({ dueMs }) => dueMs), range(100).map((n) => 1_020 + n));
  });

  test('goes on after a sleep and on new code', async () => {
    const { call, plan, hasRun, id } = newPlanner(host);
    await plan({ id: 'much later', label: 'much later', after: 3_600_000 });
    const { now } = await plan({ label: 'once', after: 2_000 });
    await until('it sleeps', async () => isAsleep(await host.actor(await id())));
    await host.deploy(await sameAgain('fixtures', 3));
    const [{ label, at }] = await hasRun(1);
    assert.equal(label, 'once');
    assert.ok(at >= now + 2_000, `it ran ${now + 2_000 - at} ms early`);
    assert.deepEqual((await call('entries')).map(({ id: its }) => its), ['much later']);
    assert.equal((await call('history')).length, 1);
  });
});

describe('a host that was down', () => {
  test('runs what came due, in the order of time, and recurring entries once for all that was missed', async (t) => {
    const host = await startHost(t, { components: ['fixtures'] });
    const { call, plan, id } = newPlanner(host, 'k');
    const start = await call('now');
    for (const n of [2, 0, 1]) await plan({ label: `missed ${n}`, at: start + 2_500 + 10 * n });
    const { id: tick } = await plan({ id: 'tick', label: 'tick', every: 500 });
    const { nextMs } = await call('entry', tick);
    const planner = await id();
    await host.stop();
    const stopped = Date.now();
    await until('they have been missed, and some ticks', () => Date.now() > start + 4_000);
    const restarted = Date.now();
    await host.startAgain();
    // Nobody calls it.
    await until('it is woken', async () => !isAsleep(await host.actor(planner)));
    const sinceThen = async () => (await call('runs')).filter(({ at }) => at >= restarted);
    await until('the tick goes on', async () => (await sinceThen()).length >= 5);
    await call('cancel', tick);
    const runs = await sinceThen();
    const missed = runs.filter(({ label }) => label !== 'tick');
    assert.deepEqual(missed.map(({ label }) => label), ['missed 0', 'missed 1', 'missed 2']);
    const ticks = (await call('history')).filter(({ id }) => id === tick).map(({ dueMs }) => dueMs);
    const down = ticks.filter((ms) => ms > stopped && ms < restarted);
    assert.ok(down.length <= 1, `${down.length} ticks were made up for`);
    for (const ms of ticks) assert.equal((ms - nextMs) % 500, 0);
  });

  test('has not fired what is not due when it is back', async (t) => {
    const host = await startHost(t, { components: ['fixtures'] });
    const { call, plan, hasRun } = newPlanner(host, 'k');
    const { now } = await plan({ after: 3_000 });
    await host.kill();
    await host.startAgain();
    assert.deepEqual(await call('runs'), []);
    const [{ at }] = await hasRun(1);
    assert.ok(at >= now + 3_000, `it ran ${now + 3_000 - at} ms early`);
    assert.equal((await call('history')).length, 1);
  });
});

test('kill -9 loses nothing that was planned, and what ran is in the state once', { timeout: 120_000 }, async (t) => {
  const host = await startHost(t, { components: ['fixtures'] });
  const [PLANNERS, ENTRIES] = [15, 40];
  const planners = range(PLANNERS).map((n) => newPlanner(host, `${n}`));
  const labels = range(ENTRIES).map(String);
  await Promise.all(planners.map(async ({ call }) => {
    const start = await call('now');
    await call('planAll', labels.map((label, n) => ({ id: label, label, at: start + 300 + 70 * n })));
  }));
  for (const _ of range(3)) {
    // Where among the runs the kill falls is what the rounds are for; the moment itself proves nothing.
    await pause(300 + Math.random() * 300);
    await host.kill();
    await host.startAgain();
  }
  await inParallel(5, PLANNERS, async (n) => {
    const { call, hasRun } = planners[n];
    const ran = (await hasRun(ENTRIES)).map(({ label }) => label);
    assert.deepEqual(ran.toSorted(), labels.toSorted(), `planner ${n} has run what it planned, each once`);
    assert.deepEqual(await call('entries'), []);
  });
});
