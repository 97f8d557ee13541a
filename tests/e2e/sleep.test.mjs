// Actors that leave memory when nobody calls, and come back as they were.

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { actionPath, fresh, inParallel, isAsleep, range, until, useHost } from './harness.mjs';

describe('an actor', () => {
  const host = useHost({ components: ['counter', 'bench', 'fixtures'] });

  const idOf = async (type, key, namespace = 'default') => (await host.actors({ name: type, key, namespace }))[0].actor_id;
  const asleep = (id) => until('it sleeps', async () => isAsleep(await host.actor(id)));
  /** The generation of the activation that answers a call. */
  const generation = async (type, key) => {
    const { headers, status } = await host.request('POST', actionPath(type, [key], 'count'), { body: { args: [] } });
    assert.equal(status, 200);
    return Number(headers['x-rivet-actor-generation']);
  };

  test('goes to sleep when idle for as long as its type says, and a call wakes it with its state', async () => {
    const key = fresh();
    const call = (action, ...args) => host.call('napper', [key], action, ...args);
    assert.equal(await call('increment', 5), 5);
    let last = { generation: await call('generationId'), wakes: await call('wakes') };
    const id = await idOf('napper', key);

    for (const round of range(3)) {
      await asleep(id);
      const next = { generation: await call('generationId'), wakes: await call('wakes') };
      assert.notEqual(next.generation, last.generation);
      assert.ok(next.wakes > last.wakes, `${next.wakes} wakes after ${last.wakes}`);
      assert.equal(await call('increment', 1), 6 + round);
      last = next;
    }
  });

  test('does not sleep while a call is in progress, however long it takes', async () => {
    const key = fresh();
    await host.call('napper', [key], 'wakes');
    const id = await idOf('napper', key);
    let isOver = false;
    const call = host.call('napper', [key], 'wait', 1_500).finally(() => (isOver = true));
    await until('it has begun', async () => (await host.call('napper', [key], 'waits')) === 1);
    // Five times its idle time. The call may end between a look and its answer, so a look counts only before; after a
    // pause, an answer that came before the look has been read.
    let looks = 0;
    while (!isOver) {
      const actor = await host.actor(id);
      await pause(20);
      if (isOver) break;
      assert.ok(!isAsleep(actor), `it sleeps in the middle of a call (look ${looks})`);
      looks += 1;
    }
    assert.equal(await call, 'done');
    assert.ok(looks > 0);
  });

  test('wakes once for many calls at the same time', async () => {
    const key = fresh();
    // It sleeps only when it is asked to.
    const before = await generation('bench', key);
    await host.putToSleep(await idOf('bench', key));
    const generations = await Promise.all(range(50).map(() => generation('bench', key)));
    assert.equal(new Set(generations).size, 1);
    assert.ok(generations[0] > before);
  });

  test('says with a higher generation that it has slept', async () => {
    const key = fresh();
    const first = await generation('counter', key);
    assert.equal(await generation('counter', key), first);
    await host.putToSleep(await idOf('counter', key));
    assert.ok((await generation('counter', key)) > first);
  });

  test('that is asked to sleep finishes its calls first', async () => {
    const key = fresh();
    await host.call('napper', [key], 'wakes');
    const id = await idOf('napper', key);
    const call = host.call('napper', [key], 'wait', 700);
    // Answered by the same generation, so the wait before it has begun.
    await host.call('napper', [key], 'increment', 1);
    await host.manage('POST', `/actors/${id}/sleep?namespace=default`, {});
    assert.equal(await call, 'done');
    await asleep(id);
    assert.equal(await host.call('napper', [key], 'increment', 0), 1);
  });

  test('loses no call and no count when it is asked to sleep all the time', async () => {
    const keys = range(10).map(() => fresh('storm'));
    await Promise.all(keys.map((key) => host.call('bench', [key], 'count')));
    const ids = await Promise.all(keys.map((key) => idOf('bench', key)));
    let isOver = false;
    let sleeps = 0;
    const storm = (async () => {
      while (!isOver) {
        await host.manage('POST', `/actors/${ids[sleeps % ids.length]}/sleep?namespace=default`, {});
        sleeps += 1;
      }
    })();
    const CALLS = 1_500;
    await inParallel(20, CALLS, (n) => host.call('bench', [keys[n % keys.length]], 'increment', 1));
    isOver = true;
    await storm;
    const counts = await Promise.all(keys.map((key) => host.call('bench', [key], 'count')));
    assert.deepEqual(counts, keys.map(() => CALLS / keys.length));
    assert.ok(sleeps >= keys.length, `it was asked ${sleeps} times`);
  });
});

describe('a host', () => {
  const AWAKE_MAX = 8;
  const host = useHost({ components: ['counter'], flags: ['--sleep-after', '200ms', '--awake-max', `${AWAKE_MAX}`] });

  test('puts actors to sleep after its own time where their type says none', async () => {
    const key = fresh();
    await host.call('counter', [key], 'increment', 2);
    const [{ actor_id: id }] = await host.actors({ name: 'counter', key });
    await until('it sleeps', async () => isAsleep(await host.actor(id)));
    assert.equal(await host.call('counter', [key], 'count'), 2);
  });

  test('serves more actors than it may have awake, and forgets none', async () => {
    const namespace = fresh('crowd');
    const call = (n, action, ...args) => host.callAt(actionPath('counter', [`${n}`], action, { namespace }), ...args);
    const CROWD = 10 * AWAKE_MAX;
    await inParallel(2 * AWAKE_MAX, CROWD, (n) => call(n, 'increment', n));
    const counts = await inParallel(2 * AWAKE_MAX, CROWD, (n) => call(n, 'count'));
    assert.deepEqual(counts, range(CROWD));
  });
});
