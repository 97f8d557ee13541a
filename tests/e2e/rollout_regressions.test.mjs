// What has gone wrong once on the way from one revision to another.

import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import net from 'node:net';
import { test } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { account, accounts } from './accounts.mjs';
import { failsWith, range, sameAgain, startHost, until } from './harness.mjs';

const WATCHED = ['--rollout-window', '1h'];

test('the call that wakes an actor on new code is not lost when that code is rolled back', async (t) => {
  const host = await startHost(t, { components: ['account_v1'], flags: WATCHED });
  const all = await accounts(host, 6);
  for (const one of all) {
    assert.equal(await one.call('deposit', 5), 5);
    await one.sleep();
  }
  await host.deploy('account_v3');
  for (const one of all) assert.equal(await one.call('deposit', 7), 12);
  const { rolledBack } = await host.order('account', 'rollback');
  assert.equal(rolledBack.migrated.committedSinceCount, all.length);
  for (const one of all) {
    assert.equal(await one.call('balance'), 12);
    assert.equal(await one.version(), 3, 'its state cannot be read by what came before');
  }
});

test('an actor that is pinned to a revision which was rolled back keeps what it does there', async (t) => {
  const host = await startHost(t, { components: ['account_v1'], flags: WATCHED });
  const [one] = await accounts(host, 1);
  await one.call('deposit', 5);
  await host.deploy('account_v3');
  await until('it has gone over', async () => (await one.version()) === 3);
  await host.order('account', 'rollback');
  await until('it has gone back', async () => (await one.version()) === 1);
  await host.pin(await one.id(), { revision: 2 });
  await until('it is pinned', async () => (await one.version()) === 3);
  for (const wanted of [6, 7, 8]) {
    assert.equal(await one.call('deposit', 1), wanted);
    await one.sleep();
  }
  assert.equal(await one.call('balance'), 8);
});

test('a deploy starts each awake actor once, whatever else is in its way', async (t) => {
  const host = await startHost(t, { components: ['account_v1'], flags: WATCHED });
  const all = await accounts(host, 20);
  await host.deploy('account_v2');
  const status = await until('all have gone over', async () => {
    const status = await host.rollout('account');
    return status.toMove === 0 && status.onNewest === all.length && status.started >= all.length && status;
  });
  assert.equal(status.started, all.length);
});

test('an actor that falls asleep for long while a rollout waits for it costs no processor', async (t) => {
  const host = await startHost(t, { components: ['account_v1'], flags: WATCHED });
  const one = account(host);
  await one.call('open', 'ann');
  const slow = one.call('slow', 3_000);
  // A later call is answered, so the slow one has begun.
  await one.version();
  const asleep = one.sleep();
  await host.deploy(await sameAgain('account_v1', 1));
  const ticks = async () => {
    const [, , , , , , , , , , , user, system] = (await readFile(`/proc/${host.pid}/stat`, 'utf8')).split(/\) |\s/);
    return Number(user) + Number(system);
  };
  const before = await ticks();
  await slow;
  await asleep;
  // Ticks are hundredths of a second: far less than the two seconds or more that a loop would have run.
  const used = (await ticks()) - before;
  assert.ok(used < 100, `${used} hundredths of a second`);
  await until('nobody is left to move', async () => (await host.rollout('account')).toMove === 0);
});

test('an order holds for the host and for its data alike, whenever its client hangs up', async (t) => {
  const host = await startHost(t, { components: ['account_v1'], flags: WATCHED });
  await host.deploy('account_v2', { percent: 10 });
  for (const round of range(8)) {
    const before = await host.rollout('account');
    const order = before.state === 'paused' ? 'resume' : 'pause';
    const socket = net.connect(host.port, '127.0.0.1');
    socket.on('error', () => {});
    socket.write(`POST /components/account/rollout/${order} HTTP/1.1\r\nhost: localhost\r\ncontent-length: 0\r\n\r\n`);
    await pause(round % 4);
    socket.destroy();
    // Each of these waits for its turn behind what is under way, and is refused: it changes nothing.
    for (const _ of range(20)) await failsWith('api.bad_request', host.order('account', 'promote', { percent: 5 }));
    const { state, plan } = await host.rollout('account');
    await host.kill();
    await host.startAgain();
    const after = await host.rollout('account');
    assert.deepEqual([after.state, after.plan], [state, plan]);
  }
});

test('one actor that breaks down again and again brings no revision back', async (t) => {
  const host = await startHost(t, { components: ['account_v3'], flags: WATCHED });
  const all = await accounts(host, 30);
  await host.deploy('account_v4');
  await until('all have gone over', async () => (await host.rollout('account')).onNewest === all.length);
  const crashes = async () => (await host.rollout('account')).crashes;
  while ((await crashes()) < 8) await all[0].call('deposit', 1).catch(() => {});
  const { rolledBack, state } = await host.rollout('account');
  assert.deepEqual([rolledBack, state], [null, 'watching']);
});

test('a rehearsal tries what actors will begin with after a rollback, and not those that are pinned', async (t) => {
  const host = await startHost(t, { components: ['account_v1'], flags: WATCHED });
  const all = await accounts(host, 5);
  await host.deploy('account_v3');
  await until('all have gone over', async () => (await host.rollout('account')).migrated.count === all.length);
  for (const one of all) await one.sleep();
  await host.order('account', 'rollback');
  const { report } = await host.deploy('account_v2', { rehearse: 'all' });
  assert.deepEqual([report.rehearsal.fine, report.rehearsal.failed], [5, 0]);
  await host.order('account', 'rollback');

  const nobodys = account(host);
  await nobodys.call('deposit', 1);
  await failsWith('component.rehearsal_failed', host.deploy('account_v3'));
  await host.pin(await nobodys.id());
  const again = await host.deploy('account_v3');
  assert.deepEqual([again.report.rehearsal.tried, again.report.rehearsal.failed], [5, 0]);
  assert.equal(await nobodys.version(), 1);
});

test('what is deployed in a hurry does not become the way back', async (t) => {
  const host = await startHost(t, { components: ['account_v1'], flags: WATCHED });
  const [one] = await accounts(host, 1);
  await host.deploy('account_broken');
  await host.deploy('account_v2');
  const status = await host.rollout('account');
  assert.deepEqual([status.current, status.target], [1, 3]);
  assert.equal((await host.order('account', 'rollback')).current, 1);
  await until('it has gone back', async () => (await one.version()) === 1);
  const [, overtaken] = await host.revisions('account');
  assert.match(overtaken.rolledBack, /took its place/);
});

test('no more actors are on their way at once than may be, until they have started', async (t) => {
  const MOVES_MAX = 2;
  const COUNT = 40;
  const WAKE_MS = 60;
  const flags = [...WATCHED, '--rollout-moves-max', `${MOVES_MAX}`, '--sleep-after', '1h'];
  const host = await startHost(t, { components: ['fixtures'], flags });
  for (const n of range(COUNT)) await host.call('ordered', [`${n}`], 'steps');
  await host.deploy(await sameAgain('fixtures', 9));
  const { begunAtMs } = await until('all have moved', async () => {
    const status = await host.rollout('fixtures');
    return status.toMove === 0 && status;
  }, { within: 60_000 });
  // By the host's clock: some of it may have been over when the deploy was answered.
  const took = Date.now() - begunAtMs;
  // They start two by two, so that it cannot take less.
  const least = (COUNT / MOVES_MAX) * WAKE_MS;
  assert.ok(took >= least, `${took} ms, and no less than ${least} were to be expected`);
});
