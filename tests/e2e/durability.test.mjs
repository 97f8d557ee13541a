// What was acknowledged is there after `kill -9` at any moment.
//
// `DURABILITY_ROUNDS` sets how often the long test kills (default 20); `DURABILITY_SEED` repeats a run's
// choices of actors and moments.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { actionPathById, failsWith, fresh, guestBytes, inParallel, range, startHost, until } from './harness.mjs';

const ROUNDS = Number(process.env.DURABILITY_ROUNDS ?? 20);
const SEED = Number(process.env.DURABILITY_SEED ?? Date.now() % 1_000_000);
const ACTORS = 1_000;
const CALLS_AT_ONCE = 64;

// The text "input" in CBOR, in base64.
const INPUT = 'ZWlucHV0';

/** Numbers from 0 to 1 that a seed repeats (mulberry32). */
function randomOf(seed) {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** What one actor may hold: at least what it has acknowledged, at most what it was asked for. */
class Ledger {
  acknowledged = 0;
  sent = 0;

  assertHolds(count, what) {
    assert.ok(count >= this.acknowledged, `${what}: ${this.acknowledged} acknowledged, but only ${count} kept`);
    assert.ok(count <= this.sent, `${what}: ${this.sent} asked for, but ${count} kept`);
    this.acknowledged = this.sent = count;
  }
}

/** Increments at random until the host is gone, and counts what it answered. Any other failure fails the test. */
async function incrementUntilGone(host, ledgers, random, noticed, isKilled) {
  for (;;) {
    const index = Math.floor(random() * ledgers.length);
    const ledger = ledgers[index];
    ledger.sent += 1;
    try {
      const count = await host.call('bench', [`${index}`], 'increment', 1);
      ledger.acknowledged = Math.max(ledger.acknowledged, count);
      noticed.acknowledged += 1;
    } catch (error) {
      assert.ok(isKilled() && /^(ECONN|EPIPE)/.test(error.code), `a call failed, and not by the kill: ${error.stack}`);
      noticed.cutOff += 1;
      return;
    }
  }
}

test(`no acknowledged increment is lost in ${ROUNDS} kills under load`, { timeout: 60_000 + ROUNDS * 30_000 }, async (t) => {
  t.diagnostic(`DURABILITY_SEED=${SEED}`);
  const random = randomOf(SEED);
  const host = await startHost(t, { components: ['bench'] });
  const ledgers = range(ACTORS).map(() => new Ledger());
  const noticed = { acknowledged: 0, cutOff: 0 };

  for (const round of range(ROUNDS)) {
    let killed = false;
    const load = Promise.all(range(CALLS_AT_ONCE).map(() => incrementUntilGone(host, ledgers, random, noticed, () => killed)));
    // Where in the load the kill falls is what the rounds are for; the moment itself proves nothing.
    const goal = noticed.acknowledged + CALLS_AT_ONCE + Math.floor(random() * 1_000);
    const enough = until('enough are acknowledged', () => noticed.acknowledged >= goal, { within: 60_000, every: 1 });
    await Promise.race([load, enough]);
    killed = true;
    await host.kill();
    await load;

    await host.startAgain();
    const counts = await inParallel(CALLS_AT_ONCE, ACTORS, (index) => host.call('bench', [`${index}`], 'count'));
    counts.forEach((count, index) => ledgers[index].assertHolds(count, `actor ${index} after kill ${round + 1}`));
  }

  t.diagnostic(`${noticed.acknowledged} acknowledged, ${noticed.cutOff} cut off`);
  assert.ok(noticed.acknowledged >= ROUNDS * CALLS_AT_ONCE, `only ${noticed.acknowledged} increments were acknowledged`);
  assert.ok(noticed.cutOff > 0, 'no call was cut off by a kill');
});

test('an increment is kept when the host is killed right after the answer', async (t) => {
  const host = await startHost(t, { components: ['counter'] });
  for (const round of range(5)) {
    assert.equal(await host.call('counter', ['one'], 'increment', 1), round + 1);
    await host.kill();
    await host.startAgain();
  }
  assert.equal(await host.call('counter', ['one'], 'count'), 5);
});

test('actors, input, destroys and deploys are kept when the host is killed right after the answer', async (t) => {
  const host = await startHost(t, { components: ['fixtures', 'rollout_v1'] });
  const create = async (key) => {
    const body = { name: 'echoer', key, input: INPUT, runner_name_selector: 'default', crash_policy: 'sleep' };
    return (await host.manage('POST', '/actors?namespace=default', body)).actor.actor_id;
  };
  const kept = await create('kept');
  const destroyed = await create('destroyed');
  await host.manage('DELETE', `/actors/${destroyed}?namespace=default`);
  await host.deploy('rollout_v2');
  await host.kill();
  await host.startAgain();

  assert.equal((await host.actor(kept)).key, 'kept');
  assert.equal(await host.callAt(actionPathById(kept, 'input')), 'input');
  assert.equal(await host.callAt(actionPathById(kept, 'id')), kept);
  assert.equal(await host.actor(destroyed), undefined);
  await failsWith('actor.not_found', host.callAt(actionPathById(destroyed, 'id')));
  assert.equal(await host.call('rollout', ['k'], 'version'), 2);
  const { revisions } = await host.manage('GET', '/components/rollout');
  assert.equal(revisions.length, 2);
});

test('a deploy that is killed in the middle leaves the old revision or the new one, whole', async (t) => {
  const host = await startHost(t, { components: ['rollout_v1'] });
  const bytes = await guestBytes('rollout_v2');
  await host.call('rollout', ['k'], 'increment', 3);
  const deploy = host.deploy(bytes).then(() => true, () => false);
  await Promise.race([deploy, pause(Math.random() * 200)]);
  await host.kill();
  const wasAcknowledged = await deploy;
  await host.startAgain();
  const version = await host.call('rollout', ['k'], 'version');
  assert.ok(version === 2 || (version === 1 && !wasAcknowledged), `version ${version}`);
  assert.equal(await host.call('rollout', ['k'], 'count'), 3);
});

test('a graceful stop keeps everything as well', async (t) => {
  const host = await startHost(t, { components: ['bench'] });
  const keys = range(100).map(() => [fresh()]);
  const counts = await Promise.all(keys.map((key, n) => host.call('bench', key, 'increment', n)));
  assert.deepEqual(await host.stop(), { code: 0, signal: null });
  await host.startAgain();
  assert.deepEqual(await Promise.all(keys.map((key) => host.call('bench', key, 'count'))), counts);
});
