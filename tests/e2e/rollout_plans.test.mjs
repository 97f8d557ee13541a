// A rollout as a plan: to a part of the actors, always the same ones; to some types, to some keys; held up, and let go on.

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { Deposits, NAME, account, accounts, arrived, reworded } from './accounts.mjs';
import { failsWith, fresh, guestBytes, inParallel, isAsleep, range, sameAgain, startHost, until, useHost } from './harness.mjs';

const FLAGS = ['--rollout-window', '200ms', '--sleep-after', '1h'];

/** Waits until all who are awake are where they are to be. */
async function settled(host, component = NAME) {
  return until('all have gone over', async () => {
    const status = await host.rollout(component);
    return status.toMove === 0 && status;
  });
}

const versions = (all) => inParallel(16, all.length, (n) => all[n].version());

/** Which of the accounts answer with this version, by their places. */
async function onVersion(all, version) {
  const found = await versions(all);
  return range(all.length).filter((n) => found[n] === version);
}

describe('a rollout to a percentage', () => {
  test('takes the same actors each time, and each larger one those of the smaller', async (t) => {
    const host = await startHost(t, { components: ['account_v1'], flags: FLAGS });
    const all = await accounts(host, 300);
    const asleep = all.slice(200);
    await Promise.all(asleep.map((each) => each.sleep()));
    await host.deploy('account_v2', { percent: 10 });
    const waiting = await settled(host);
    assert.deepEqual([waiting.state, waiting.plan.percent, waiting.current, waiting.target], ['waiting', 10, 1, 2]);
    assert.ok(isAsleep(await host.actor(await asleep[0].id())), 'it was woken');
    const ten = await onVersion(all, 2);
    assert.ok(ten.length >= 10 && ten.length <= 60, `${ten.length} of 300 are on 10 %`);
    assert.ok(ten.some((n) => n >= 200), 'none of those that slept');

    // It does not go on by itself, and is there again after a power cut.
    await host.kill();
    await host.startAgain();
    assert.deepEqual(await onVersion(all, 2), ten);
    await host.order(NAME, 'promote', { percent: 30 });
    await settled(host);
    const thirty = await onVersion(all, 2);
    assert.ok(thirty.length > ten.length && thirty.length <= 140, `${thirty.length} of 300 are on 30 %`);
    assert.ok(ten.every((n) => thirty.includes(n)), 'one of the 10 % is not among the 30 %');
    // Who has gone over is not sent back one by one.
    for (const percent of [10, 0, 101]) await failsWith('api.bad_request', host.order(NAME, 'promote', { percent }));
    assert.equal((await host.rollout(NAME)).plan.percent, 30);

    await host.order(NAME, 'rollback');
    await settled(host);
    assert.deepEqual(await onVersion(all, 2), []);
    await host.deploy(await sameAgain('account_v2', 1), { percent: '10%' });
    await settled(host);
    assert.deepEqual(await onVersion(all, 2), ten);

    await host.order(NAME, 'promote');
    assert.equal((await arrived(host)).current, 3);
    assert.equal((await onVersion(all, 2)).length, 300);
  });

  test('goes for new actors as well, and stays as they sleep and wake', async (t) => {
    const host = await startHost(t, { components: ['account_v1'], flags: FLAGS });
    await host.deploy('account_v2', { percent: 50 });
    const all = await accounts(host, 60);
    const half = await onVersion(all, 2);
    assert.ok(half.length > 10 && half.length < 50, `${half.length} of 60`);
    await inParallel(16, all.length, (n) => all[n].sleep());
    assert.deepEqual(await onVersion(all, 2), half);
    const { awake, onNewest } = await host.rollout(NAME);
    assert.deepEqual([awake, onNewest], [60, half.length]);
  });
});

test('a rollout to some keys goes to no others', async (t) => {
  const host = await startHost(t, { components: ['account_v1'], flags: FLAGS });
  const keys = [['eu', '1'], ['eu', 'x', '2'], ['test-7'], ['test-77'], ['us', '1'], ['europe'], ['a', 'eu', '1']];
  const all = keys.map((key) => account(host, key));
  await versions(all);
  await host.deploy('account_v2', { keys: ['eu/*', 'test-?'] });
  const { plan } = await settled(host);
  assert.deepEqual(plan.keys, ['eu/*', 'test-?']);
  assert.deepEqual(await onVersion(all, 2), [0, 1, 2]);
  assert.equal(await account(host, ['eu', 'new']).version(), 2);
  assert.equal(await account(host, ['us', 'new']).version(), 1);
  await host.order(NAME, 'promote');
  await arrived(host);
  assert.equal((await onVersion(all, 2)).length, all.length);
});

test('a rollout to one type leaves the others, and types of different revisions work together', async (t) => {
  const host = await startHost(t, { components: ['worker_pool'], flags: FLAGS });
  const pool = host.client().workerPool.getOrCreate(['k']);
  const words = async (text) => (await pool.send('jobs', [text], { wait: true, timeout: 20_000 })).response;
  assert.equal(await words('one two'), 2);
  await host.deploy(await sameAgain('worker_pool', 1), { types: 'worker' });
  const { state, awake, onNewest, plan } = await settled(host, 'worker_pool');
  assert.deepEqual([state, awake, onNewest, plan.actorTypes], ['waiting', 2, 1, ['worker']]);
  const runsOn = async (name) => (await host.codeOf((await host.actors({ name }))[0].actor_id)).runsOn;
  assert.deepEqual([await runsOn('workerPool'), await runsOn('worker')], [1, 2]);
  assert.equal(await words('one two three'), 3);
});

test('actors of different revisions call each other, or are told that there is no such action', async (t) => {
  const host = await startHost(t, { components: ['order', 'inventory'], flags: FLAGS });
  // The new inventory has no `restock`, which the order calls when it gives something back.
  const renamed = reworded(await guestBytes('inventory'), { restock: 'deliver' });
  const line = (sku, count) => ({ sku, count });
  const place = (...lines) => host.call('order', [fresh()], 'place', lines);
  for (const sku of ['old', 'new']) await host.call('inventory', [sku], 'restock', 10);
  await host.deploy(renamed, { keys: 'new' });
  await settled(host, 'inventory');

  // To both, and back from them to the order.
  const { status, reserved } = await place(line('old', 1), line('new', 2));
  assert.deepEqual([status, reserved.length], ['confirmed', 2]);
  assert.equal((await place(line('old', 1), line('old', 99))).status, 'rejected');
  // The order is told which action there is not; what it does not handle is not shown to its own callers.
  await failsWith('rivetkit.internal_error', place(line('new', 1), line('old', 99)));
  const isTold = () => /actor\.action_not_found: the actor type inventory has no action .{0,2}"restock/.test(host.log);
  await until('the log says so', isTold);
  await failsWith('actor.action_not_found', host.call('inventory', ['new'], 'restock', 1));
  await failsWith('actor.action_not_found', host.client().inventory.getOrCreate(['old']).deliver(1));
  assert.deepEqual([await host.call('inventory', ['new'], 'stock'), await host.call('inventory', ['old'], 'stock')], [7, 9]);
});

describe('a rollout that is held up', () => {
  const host = useHost({ components: ['account_v1'], flags: [...FLAGS, '--rollout-moves-max', '1'] });

  test('moves nobody and takes nobody back, until it goes on; another deploy is told so', async (t) => {
    // What was compiled once is deployed at once.
    for (const component of ['account_v2', 'account_v1']) {
      await host.deploy(component);
      await arrived(host);
    }
    const all = await accounts(host, 30);
    const asleep = await accounts(host, 5);
    await Promise.all(asleep.map((each) => each.sleep()));
    const load = new Deposits(t, all, { callers: 4 });
    // Each always has something to do, which is waited for when it is its turn, so that they go over slowly.
    let isOver = false;
    t.after(() => (isOver = true));
    const busy = Promise.all(all.map(async (each) => {
      while (!isOver) await each.call('slow', 300);
    }));
    await Promise.all(all.map((each) => each.call('balance')));
    await host.deploy('account_v2');
    const moving = await until('some have gone over', async () => {
      const status = await host.rollout(NAME);
      return status.onNewest > 0 && status;
    });
    assert.deepEqual([moving.state, moving.target], ['moving', 4]);
    assert.ok(moving.toMove > 0);
    const paused = await host.order(NAME, 'pause');
    assert.equal(paused.state, 'paused');
    // What had begun to go over has arrived when all that was under way is done.
    isOver = true;
    await busy;
    await load.more(100);
    const before = await onVersion(all, 2);
    assert.ok(before.length > 0 && before.length < 30, `${before.length} have gone over`);
    assert.deepEqual(await onVersion(asleep, 2), [], 'one went over as it woke');
    assert.equal(await account(host).version(), 1);

    const refused = await failsWith('component.rollout_active', host.deploy(await sameAgain('account_v1', 1)));
    assert.deepEqual([refused.status, refused.metadata.comparedWith], [409, 4]);
    await load.more(100);
    assert.deepEqual(await onVersion(all, 2), before);
    assert.equal((await host.rollout(NAME)).state, 'paused');
    await load.end();
    await host.kill();
    await host.startAgain();
    assert.equal((await host.rollout(NAME)).state, 'paused');

    await host.order(NAME, 'resume');
    await arrived(host);
    assert.equal((await onVersion(all, 2)).length, 30);
    assert.equal((await onVersion(asleep, 2)).length, 5);
    await load.check();
  });
});

describe('a pinned actor', () => {
  const host = useHost({ components: ['account_v1'], flags: FLAGS });

  test('stays where it is pinned over deploys, sleep and power cuts, until it is unpinned', async () => {
    const [here, asleep, other] = await accounts(host, 3);
    await asleep.sleep();
    const { pin } = await host.pin(await here.id(), { reason: 'it is being looked at' });
    assert.deepEqual([pin.by, pin.revision, pin.refused, pin.reason], ['operator', 1, null, 'it is being looked at']);
    await host.pin(await asleep.id());
    assert.ok(isAsleep(await host.actor(await asleep.id())), 'it was woken');
    await host.deploy('account_v2');
    await arrived(host);
    assert.deepEqual(await versions([here, asleep, other]), [1, 1, 2]);
    await here.call('deposit', 5);
    await here.sleep();
    await host.kill();
    await host.startAgain();
    assert.deepEqual(await versions([here, asleep, other]), [1, 1, 2]);
    assert.equal(await here.call('balance'), 5);
    assert.deepEqual((await host.pins(NAME)).map(({ pin }) => pin.revision), [1, 1]);
    assert.equal((await host.pins(NAME, { limit: 1 })).length, 1);

    for (const each of [here, asleep]) await host.unpin(await each.id());
    await until('they go over', async () => (await versions([here, asleep])).every((version) => version === 2));
    assert.equal(await here.call('balance'), 5);
    assert.deepEqual(await host.pins(NAME), []);
  });

  test('goes where it is pinned to, also back', async () => {
    const [one] = await accounts(host, 1);
    assert.equal(await one.version(), 2);
    await host.pin(await one.id(), { revision: 1 });
    await until('it has gone back', async () => (await one.code()).runsOn === 1);
    assert.equal(await one.version(), 1);
    await failsWith('component.revision_not_found', host.pin(await one.id(), { revision: 77 }));
    await failsWith('actor.not_found', host.pin('00000000000000000000000000'));
    await failsWith('actor.not_found', host.codeOf('00000000000000000000000000'));
  });

  test('is not pinned to code that cannot read its state', async (t) => {
    const own = await startHost(t, { components: ['account_v1'], flags: FLAGS });
    const [one, asleep] = await accounts(own, 2);
    await own.deploy('account_v3');
    await arrived(own);
    await one.call('deposit', 5);
    await asleep.sleep();
    for (const each of [one, asleep]) {
      const error = await failsWith('api.bad_request', own.pin(await each.id(), { revision: 1 }));
      assert.match(error.text, /cannot read the actor's state/);
      assert.deepEqual([await each.version(), (await each.code()).pin], [3, null]);
    }
    assert.equal(await one.call('deposit', 1), 6);
  });
});
