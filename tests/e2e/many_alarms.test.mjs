// Ten thousand alarms within one second, and a thousand actors that wait for a message: none is lost, none rings early
// or twice, and nobody is awake who has nothing to do.

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { gatewayPath, inParallel, range, startHost, until } from './harness.mjs';

const ACTORS = 1_000;
const ALARMS_EACH = 10;
/** All are due within this time. */
const SPREAD_MS = 1_000;
const CALLS_AT_ONCE = 32;
/** So long before they are due the host is killed, once all sleep. */
const KILLED_BEFORE_MS = 1_500;
/** How long all of it may take, on a slow machine. */
const RING_MAX_MS = 60_000;

/** All actors of a type: how many are awake. */
async function awake(host, name) {
  let count = 0;
  let cursor;
  do {
    const query = new URLSearchParams({ namespace: 'default', name, ...(cursor && { cursor }) });
    const page = await host.manage('GET', `/actors?${query}`);
    count += page.actors.filter((actor) => actor.awake).length;
    cursor = page.pagination.cursor;
  } while (cursor);
  return count;
}

const allAsleep = (host, name) =>
  until(`all actors of the type ${name} sleep`, async () => (await awake(host, name)) === 0, { within: RING_MAX_MS, every: 100 });

/** The times at which the alarms of one actor are due: spread over the second, no two at the same time. */
const timesOf = (index, from) => range(ALARMS_EACH).map((nth) => from + ((nth * SPREAD_MS) / ALARMS_EACH + index) % SPREAD_MS);

/** Sets the alarms of all actors, which then sleep; gives the time from which they are due. */
async function setAll(host) {
  const set = (from) => inParallel(CALLS_AT_ONCE, ACTORS, (index) => host.call('alarm', [`${index}`], 'set', timesOf(index, from)));
  // The first time shows how long it takes, for alarms that nobody waits for.
  const begun = performance.now();
  await inParallel(CALLS_AT_ONCE, ACTORS, (index) => host.call('alarm', [`${index}`], 'set', []));
  await allAsleep(host, 'alarm');
  const took = performance.now() - begun;
  const from = Math.ceil(Date.now() + 3 * took + 4_000);
  await set(from);
  await allAsleep(host, 'alarm');
  assert.ok(Date.now() < from - KILLED_BEFORE_MS, 'it took too long to set the alarms');
  return from;
}

/** Waits until all have rung and sleep, and checks that each did so once, and not early; gives how late they were. */
async function assertAllRing(host, from) {
  await dueIn(SPREAD_MS, from);
  // An actor that has rung is awake for longer than it takes to look at all of them; so while some wait, some are seen.
  await allAsleep(host, 'alarm');
  await allAsleep(host, 'alarm');
  // From here on they are woken by calls.
  const asked = Date.now();
  const seen = await inParallel(CALLS_AT_ONCE, ACTORS, (index) =>
    until(
      `actor ${index} has rung ${ALARMS_EACH} times`,
      async () => {
        const { rang } = await host.call('alarm', [`${index}`], 'seen');
        return rang.length >= ALARMS_EACH && rang;
      },
      { within: RING_MAX_MS, every: 200 },
    ),
  );
  const sorted = (numbers) => [...numbers].sort((a, b) => a - b);
  seen.forEach((rang, index) => {
    const dues = sorted(rang.map(({ due }) => due));
    assert.deepEqual(dues, sorted(timesOf(index, from)), `what rang of actor ${index}`);
    const early = rang.filter(({ due, at }) => at < due);
    assert.deepEqual(early, [], `actor ${index} rang too early`);
    const woken = rang.filter(({ at }) => at > asked);
    assert.deepEqual(woken, [], `actor ${index} rang only when it was called, at ${asked}`);
  });
  const late = sorted(seen.flat().map(({ due, at }) => at - due));
  return { p50: late[late.length >> 1], p99: late[Math.floor(late.length * 0.99)], most: late.at(-1) };
}

const dueIn = async (ms, from) => pause(Math.max(0, from + ms - Date.now()));

describe(`${ACTORS * ALARMS_EACH} alarms of ${ACTORS} sleeping actors within one second`, { timeout: 240_000 }, () => {
  test('all ring once and none early', { timeout: 120_000 }, async (t) => {
    const host = await startHost(t, { components: ['fixtures'] });
    const from = await setAll(host);
    t.diagnostic(`late by ${JSON.stringify(await assertAllRing(host, from))} ms`);
  });

  test('all ring once and none early though the host is killed before and while they ring', { timeout: 120_000 }, async (t) => {
    const host = await startHost(t, { components: ['fixtures'] });
    const from = await setAll(host);
    await dueIn(-KILLED_BEFORE_MS, from);
    await host.kill();
    assert.ok(Date.now() < from, 'it was killed too late');
    await dueIn(SPREAD_MS / 4, from);
    for (const _ of range(3)) {
      await host.startAgain();
      await until('they ring', async () => (await awake(host, 'alarm')) > 0, { every: 5 });
      await host.kill();
    }
    await host.startAgain();
    await until('they ring', async () => (await awake(host, 'alarm')) > 0);
    t.diagnostic(`late by ${JSON.stringify(await assertAllRing(host, from))} ms`);
  });
});

test(`of ${ACTORS} actors that wait for a message, a message wakes one`, { timeout: 120_000 }, async (t) => {
  const host = await startHost(t, { components: ['fixtures'] });
  const send = (index, number) => {
    const headers = { 'x-rivet-encoding': 'json' };
    const body = { body: { number, ms: 0 }, wait: true };
    return host.request('POST', gatewayPath('drain', [`${index}`], '/queue/pieces'), { headers, body });
  };
  // The first message makes the actor, and its run loop takes it.
  await inParallel(CALLS_AT_ONCE, ACTORS, async (index) => {
    assert.equal((await send(index, 1)).json().response, 1);
  });
  await allAsleep(host, 'drain');
  // Nothing wakes them because the host is back.
  await host.kill();
  await host.startAgain();
  assert.equal(await awake(host, 'drain'), 0);

  const chosen = ACTORS >> 1;
  assert.equal((await send(chosen, 2)).json().response, 2);
  assert.ok((await awake(host, 'drain')) <= 1, 'more than one is awake');
  await allAsleep(host, 'drain');
  const wakes = await inParallel(CALLS_AT_ONCE, ACTORS, async (index) => (await host.call('drain', [`${index}`], 'noted')).wakes);
  // Created, and woken to be asked; the chosen one in between.
  wakes.forEach((count, index) => assert.equal(count, index === chosen ? 3 : 2, `actor ${index}`));
});
