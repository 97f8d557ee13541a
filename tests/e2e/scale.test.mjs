// Many more actors than can be awake: each is created, sleeps, and wakes with its state, and memory goes
// back to where it was.
//
// `SCALE_ACTORS` sets how many (default 100,000).

import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { test } from 'node:test';
import { inParallel, startHost, until } from './harness.mjs';

const ACTORS = Number(process.env.SCALE_ACTORS ?? 100_000);
const CALLS_AT_ONCE = 64;
// So few awake that nearly every actor has to make room for another.
const AWAKE_MAX = 2_000;
// What the host may keep for an actor that sleeps: its name in the directory, and what the allocator keeps.
const BYTES_PER_SLEEPER_MAX = 2_000;
const BYTES_MAX = 150 * 2 ** 20;

async function residentBytes(pid) {
  const status = await readFile(`/proc/${pid}/status`, 'utf8');
  return Number(/^VmRSS:\s+(\d+) kB$/m.exec(status)[1]) * 1024;
}

test(`${ACTORS} actors sleep in little memory and wake with their state`, { timeout: 600_000 }, async (t) => {
  const flags = ['--awake-max', `${AWAKE_MAX}`, '--sleep-after', '1s'];
  const host = await startHost(t, { components: ['bench'], flags });
  await host.call('bench', ['first'], 'increment', 1);
  const before = await residentBytes(host.pid);

  await inParallel(CALLS_AT_ONCE, ACTORS, async (index) => {
    assert.equal(await host.call('bench', [`${index}`], 'increment', index), index);
  });
  // The last ones sleep when they have been idle; a page of the listing has the newest at its end.
  const newest = `${ACTORS - 1}`;
  await until('the last one sleeps', async () => {
    const [actor] = await host.actors({ name: 'bench', key: newest });
    return !actor.awake;
  });
  await until('memory goes back', async () => {
    const grown = (await residentBytes(host.pid)) - before;
    return grown < ACTORS * BYTES_PER_SLEEPER_MAX + BYTES_MAX;
  }, { within: 30_000, every: 200 });

  await inParallel(CALLS_AT_ONCE, ACTORS, async (index) => {
    assert.equal(await host.call('bench', [`${index}`], 'count'), index);
  });
});
