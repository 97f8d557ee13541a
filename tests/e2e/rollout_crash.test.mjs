// kill -9 in the middle of it all: what was decided holds, and nothing is ever half.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { Deposits, NAME, account, accounts, arrived, rolledBack } from './accounts.mjs';
import { inParallel, range, startHost, until } from './harness.mjs';

const ask = (all, action) => inParallel(16, all.length, (n) => all[n].call(action));

async function again(host) {
  await host.kill();
  await host.startAgain();
}

test('a partial rollout goes on with the same plan, and with the same actors', async (t) => {
  const host = await startHost(t, { components: ['account_v1'], flags: ['--rollout-window', '200ms'] });
  const all = await accounts(host, 100);
  await host.deploy('account_v2', { percent: 40, keys: 'account-*', by: 'ann' });
  await until('they have gone over', async () => (await host.rollout(NAME)).toMove === 0);
  const before = await ask(all, 'version');
  assert.deepEqual(new Set(before), new Set([1, 2]));
  const { plan, begunAtMs } = await host.rollout(NAME);
  for (const _ of range(2)) {
    await again(host);
    const now = await host.rollout(NAME);
    assert.deepEqual([now.state, now.current, now.target, now.plan, now.begunAtMs], ['waiting', 1, 2, plan, begunAtMs]);
    assert.deepEqual(await ask(all, 'version'), before);
  }
  await host.order(NAME, 'promote');
  await arrived(host);
  await again(host);
  assert.deepEqual(new Set(await ask(all, 'version')), new Set([2]));
});

test('of 500 awake actors on their way each is on the one revision or on the other, with its state', async (t) => {
  const ACTORS = 500;
  const flags = ['--rollout-window', '200ms', '--rollout-moves-max', '2'];
  const host = await startHost(t, { components: ['account_v1'], flags });
  const all = await accounts(host, ACTORS);
  await inParallel(16, ACTORS, (n) => all[n].call('deposit', n));
  await host.deploy('account_v3', { rehearse: 'no' });
  const { migrated } = await until('some have gone over', async () => {
    const status = await host.rollout(NAME);
    return status.migrated.count > 0 && status;
  });
  await host.kill();
  assert.ok(migrated.count < ACTORS, 'all had gone over already');
  await host.startAgain();

  const { current, target } = await host.rollout(NAME);
  // It goes on: to 2, or it has arrived there, as nobody is awake who is to be moved.
  assert.ok([1, 2].includes(current) && [2, null].includes(target), `${current} to ${target}`);
  const versions = (await inParallel(16, ACTORS, (n) => all[n].code())).map(({ stateVersion }) => stateVersion);
  const done = versions.filter((version) => version === 2).length;
  assert.ok(done >= migrated.count && done < ACTORS, `${done} of ${ACTORS} were migrated before the kill`);
  t.diagnostic(`${done} of ${ACTORS} were migrated before the kill`);
  assert.deepEqual(await ask(all, 'balance'), range(ACTORS));
  assert.deepEqual(new Set(await ask(all, 'version')), new Set([3]));
  const states = await ask(all, 'raw_state');
  assert.deepEqual(states.map(({ cents, history }) => [cents, history]), range(ACTORS).map((n) => [100 * n, [100 * n]]));
  assert.equal((await arrived(host)).current, 2);
});

test('a kill during the rehearsal leaves nothing of the deploy', async (t) => {
  const host = await startHost(t, { components: ['account_v1'] });
  const all = await accounts(host, 1_500);
  await Promise.all(all.slice(0, 50).map((each) => each.call('deposit', 5)));
  const look = async () => [await host.manage('GET', '/components'), await host.revisions(NAME)];
  const before = await look();
  // Its migrations take a while.
  const deploying = host.deploy('account_slow').then(() => 'deployed', () => 'cut off');
  await until('the rehearsal has begun', () => host.log.includes('rehearsing'), { every: 1 });
  await host.kill();
  assert.equal(await deploying, 'cut off');
  assert.doesNotMatch(host.log, /rehearsed/);
  await host.startAgain();
  assert.deepEqual(await look(), before);
  const { state, current, migrated } = await host.rollout(NAME);
  assert.deepEqual([state, current, migrated.count], ['none', 1, 0]);
  assert.deepEqual(await ask(all.slice(0, 100), 'balance'), range(100).map((n) => (n < 50 ? 5 : 0)));
  // It can be done again.
  await host.deploy('account_v3');
  await until('an actor is on it', async () => (await all[0].version()) === 3);
});

test('a kill right after a rollback: those that were to go back have gone, those that were to stay have stayed', async (t) => {
  const flags = ['--rollout-window', '1h', '--rollout-moves-max', '2', '--sleep-after', '1h'];
  const host = await startHost(t, { components: ['account_v1'], flags });
  const all = await accounts(host, 200);
  const [still, busy] = [all.slice(0, 150), all.slice(150)];
  await inParallel(16, 200, (n) => all[n].call('deposit', n));
  const states = await ask(still, 'raw_state');
  await host.deploy('account_v3');
  await until('all are migrated', async () => (await host.rollout(NAME)).onNewest === 200, { within: 60_000 });
  await inParallel(16, busy.length, (n) => busy[n].call('deposit', 1_000));
  await host.order(NAME, 'rollback', { reason: 'it is no good' });
  await again(host);

  const { rolledBack, current, target } = await host.rollout(NAME);
  assert.deepEqual([current, target, rolledBack.revision, rolledBack.reason], [1, null, 2, 'it is no good']);
  assert.equal(rolledBack.migrated.committedSinceCount, busy.length);
  assert.deepEqual(await ask(still, 'raw_state'), states);
  assert.deepEqual(new Set(await ask(still, 'version')), new Set([1]));
  assert.deepEqual(new Set(await ask(busy, 'version')), new Set([3]));
  assert.deepEqual(await ask(busy, 'balance'), range(busy.length).map((n) => 1_150 + n));
  await again(host);
  assert.deepEqual(await ask(still, 'raw_state'), states);
  assert.deepEqual(await ask(busy, 'balance'), range(busy.length).map((n) => 1_150 + n));
  const pinned = await host.pins(NAME, { limit: 1_000 });
  assert.equal(pinned.length, busy.length);
});

test('kills at any moment of deploys and rollbacks leave one or the other, and every actor with what it had', async (t) => {
  const host = await startHost(t, { components: ['account_v1'], flags: ['--rollout-window', '100ms'] });
  const all = await accounts(host, 40);
  let deposits = 0;
  const outcomes = [];
  for (const round of range(8)) {
    const before = await arrived(host);
    await Promise.all(all.map((each) => each.call('deposit', 1)));
    deposits += 1;
    const goesBack = before.current > 1 && round % 2 === 1;
    const doing = goesBack ? host.order(NAME, 'rollback') : host.deploy(`account_v${round % 4 === 0 ? 2 : 1}`);
    const answered = doing.catch(() => null);
    // Another moment each time.
    await pause(goesBack ? round : 5 * round);
    await host.kill();
    const answer = await answered;
    outcomes.push(answer ? 'done' : 'cut off');
    await host.startAgain();

    const { current, target } = await arrived(host);
    assert.equal(target, null);
    if (answer) assert.equal(current, goesBack ? answer.current : answer.revision);
    const known = await host.revisions(NAME);
    assert.deepEqual(known.filter(({ status }) => status === 'current').map(({ revision }) => revision), [current]);
    const versions = new Set(await ask(all, 'version'));
    assert.equal(versions.size, 1, `round ${round}: actors answer with the versions ${[...versions]}`);
    assert.deepEqual(new Set(await ask(all, 'balance')), new Set([deposits]), `round ${round}`);
    const code = await Promise.all(all.map((each) => each.code()));
    assert.deepEqual(new Set(code.map(({ runsOn }) => runsOn)), new Set([current]));
  }
  t.diagnostic(outcomes.join(', '));
});

test('a revision that does badly is rolled back also by a host that was killed meanwhile', async (t) => {
  const flags = ['--rollout-window', '20s', '--rollout-failures-min', '12'];
  const host = await startHost(t, { components: ['account_v3'], flags });
  const all = await accounts(host, 40);
  await host.deploy('account_v4');
  await again(host);
  assert.equal((await host.rollout(NAME)).target, 2);
  const load = new Deposits(t, all, { callers: 8, apart: true });
  const status = await rolledBack(host);
  await load.stop();
  assert.match(status.rolledBack.reason, /broke down/);
  await load.check();
  await again(host);
  await load.check();
  assert.equal((await host.rollout(NAME)).rolledBack.reason, status.rolledBack.reason);
  assert.equal(await account(host).version(), 3);
});
