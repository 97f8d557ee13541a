// New code under live calls.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { actionPath, fresh, guestBytes, isAsleep, range, startHost, until } from './harness.mjs';

const CODE = ['rollout_v1', 'rollout_v2'];

test('calls go on and no count is lost while the code is replaced again and again', async (t) => {
  const host = await startHost(t, { components: ['rollout_v1'] });
  const ACTORS = 50;
  const WORKERS = 16;
  const DEPLOYS = 8;
  const acknowledged = new Array(ACTORS).fill(0);
  let calls = 0;
  let failure = null;
  let isOver = false;

  const load = Promise.all(
    range(WORKERS).map(async (worker) => {
      for (let n = worker; !isOver && !failure; n += 1) {
        const index = (n * 7) % ACTORS;
        try {
          await host.call('rollout', [`${index}`], 'increment', 1);
          acknowledged[index] += 1;
          calls += 1;
        } catch (error) {
          failure = error;
        }
      }
    }),
  );

  const callsAfter = async (more) => {
    const goal = calls + more;
    await until(`${more} more calls are answered`, () => calls >= goal || failure, { within: 30_000 });
  };
  await callsAfter(500);
  for (const deploy of range(DEPLOYS)) {
    await host.deploy(CODE[(deploy + 1) % 2]);
    await callsAfter(300);
  }
  isOver = true;
  await load;

  assert.ifError(failure);
  const counts = await Promise.all(range(ACTORS).map((n) => host.call('rollout', [`${n}`], 'count')));
  assert.deepEqual(counts, acknowledged);
  await until('all run on the newest code', async () => {
    const versions = await Promise.all(range(ACTORS).map((n) => host.call('rollout', [`${n}`], 'version')));
    return versions.every((version) => version === 1);
  });
});

test('a begun call finishes on the code it began on, calls after the deploy run on the new one', async (t) => {
  const host = await startHost(t, { components: ['rollout_v1'] });
  const call = (action, ...args) => host.call('rollout', ['k'], action, ...args);
  assert.equal(await call('increment', 3), 3);
  const begun = call('slow', 1_500);
  // Sent later and answered, so the slow call has begun.
  for (const _ of range(5)) assert.equal(await call('version'), 1);

  const deploy = host.deploy('rollout_v2');
  // Whichever code answers them, calls during the rollout are answered.
  assert.equal(await call('increment', 1), 4);
  await deploy;
  assert.equal(await begun, 1);
  await until('it runs on the new code', async () => (await call('version')) === 2);
  assert.equal(await call('count'), 4);
});

test('a sleeping actor stays asleep over a deploy and takes the new code when it wakes', async (t) => {
  const host = await startHost(t, { components: ['rollout_v1'] });
  assert.equal(await host.call('rollout', ['k'], 'increment', 7), 7);
  const [{ actor_id: id }] = await host.actors({ name: 'rollout', key: 'k' });
  await host.putToSleep(id);

  await host.deploy('rollout_v2');
  assert.ok(isAsleep(await host.actor(id)), 'the deploy woke it');
  assert.equal(await host.call('rollout', ['k'], 'version'), 2);
  assert.equal(await host.call('rollout', ['k'], 'count'), 7);
});

test('an awake actor takes the new code without being called', async (t) => {
  const host = await startHost(t, { components: ['rollout_v1'] });
  const generation = async () => {
    const { headers } = await host.request('POST', actionPath('rollout', ['k'], 'count'), { body: { args: [] } });
    return Number(headers['x-rivet-actor-generation']);
  };
  const before = await generation();
  await host.deploy('rollout_v2');
  await until('the next call runs on the new code', async () => (await host.call('rollout', ['k'], 'version')) === 2);
  assert.ok((await generation()) > before);
});

test('the stock client notices nothing of a deploy', async (t) => {
  const host = await startHost(t, { components: ['rollout_v1'] });
  const actor = host.client().rollout.getOrCreate([fresh()]);
  for (const deploy of range(4)) {
    assert.equal(await actor.increment(1), 2 * deploy + 1);
    const [count] = await Promise.all([actor.increment(1), host.deploy(CODE[(deploy + 1) % 2])]);
    assert.equal(count, 2 * deploy + 2);
    const newest = ((deploy + 1) % 2) + 1;
    await until('it runs on the new code', async () => (await actor.version()) === newest);
  }
});

test('a deploy of what is already there changes nothing', async (t) => {
  const host = await startHost(t, { components: ['rollout_v1'] });
  const bytes = await guestBytes('rollout_v2');
  const first = await host.deploy(bytes);
  assert.equal(first.component, 'rollout');
  assert.equal(first.revision, 2);
  assert.equal(first.isNew, true);
  assert.equal(first.sizeBytes, bytes.length);
  assert.match(first.hash, /^[0-9a-f]{64}$/);

  const generations = async () => {
    const { headers } = await host.request('POST', actionPath('rollout', ['k'], 'count'), { body: { args: [] } });
    return headers['x-rivet-actor-generation'];
  };
  const before = await generations();
  const second = await host.deploy(bytes);
  for (const field of ['component', 'revision', 'hash', 'createdAtMs']) assert.equal(second[field], first[field]);
  assert.equal(second.isNew, false);
  assert.equal(await generations(), before, 'the actor was started again');

  const { revisions } = await host.manage('GET', '/components/rollout');
  assert.deepEqual(revisions.map(({ revision }) => revision), [2, 1], 'newest first');
});
