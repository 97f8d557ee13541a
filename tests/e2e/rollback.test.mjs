// The way back: from a revision that does badly by itself, from any by an operator; and nothing that was committed is lost.

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { Deposits, NAME, accounts, arrived, rolledBack } from './accounts.mjs';
import { failsWith, inParallel, range, sameAgain, startHost, until } from './harness.mjs';

describe('a rollback after commits', () => {
  for (const isUnderWay of [true, false]) {
    const when = isUnderWay ? 'while the rollout is under way' : 'after it has arrived';

    test(`gives those their state back who have committed nothing, and keeps the others, ${when}`, async (t) => {
      const flags = ['--rollout-window', isUnderWay ? '1h' : '100ms'];
      const host = await startHost(t, { components: ['account_v1'], flags });
      const [still, sleeps, busy, busyAndSleeps, untouched] = await accounts(host, 5);
      const old = [still, sleeps, busy, busyAndSleeps, untouched];
      await Promise.all(old.map((each, n) => each.call('deposit', n + 1)));
      const before = await Promise.all(old.map((each) => each.state()));
      await untouched.sleep();
      await host.deploy('account_v3');
      await until('all who are awake are migrated', async () => (await host.rollout(NAME)).onNewest === 4);
      if (!isUnderWay) await arrived(host);
      await busy.call('deposit', 10);
      await busyAndSleeps.send(20);
      await until('it has worked that off', async () => (await busyAndSleeps.call('balance')) === 24);
      await Promise.all([sleeps, busyAndSleeps].map((each) => each.sleep()));
      // One that there was not before.
      const [young] = await accounts(host, 1);
      await young.call('deposit', 30);

      const ordered = await host.order(NAME, 'rollback', { reason: 'it rounds' });
      assert.deepEqual([ordered.state, ordered.current, ordered.target], ['none', 1, null]);
      const status = await rolledBack(host);
      const { revision, reason, migrated } = status.rolledBack;
      assert.deepEqual([revision, reason], [2, 'it rounds']);
      const ids = await Promise.all([busy, busyAndSleeps].map((each) => each.id()));
      assert.deepEqual(migrated.committedSince.map(({ actorId }) => actorId).toSorted(), ids.toSorted());
      assert.equal(migrated.committedSinceCount, 2);
      const { namespace, actorType, key } = migrated.committedSince.find(({ actorId }) => actorId === ids[0]);
      assert.deepEqual([namespace, actorType, key], ['default', NAME, busy.key]);

      // Those that have committed nothing since are as they were before.
      for (const each of [still, sleeps, untouched]) {
        assert.equal(await each.version(), 1);
        assert.deepEqual(await each.state(), before[old.indexOf(each)]);
        const { runsOn, stateVersion, pin } = await each.code();
        assert.deepEqual([runsOn, stateVersion, pin], [1, 1, null]);
      }
      // The others stay, and say why.
      const kept = { busy: 13, busyAndSleeps: 24, young: 30 };
      for (const [name, balance] of Object.entries(kept)) {
        const each = { busy, busyAndSleeps, young }[name];
        assert.deepEqual([await each.version(), await each.call('balance')], [3, balance], name);
        const { runsOn, stateVersion, pin } = await each.code();
        assert.deepEqual([runsOn, stateVersion, pin.by, pin.revision], [2, 2, 'host', 2], name);
        assert.notEqual(pin.reason, '');
      }
      await Promise.all([still, busy, young].map((each) => each.call('deposit', 100)));
      await host.kill();
      await host.startAgain();
      const all = [still, sleeps, busy, busyAndSleeps, untouched, young];
      const balances = () => Promise.all(all.map((each) => each.call('balance')));
      const after = [101, 2, 113, 24, 5, 130];
      assert.deepEqual(await balances(), after);
      assert.deepEqual((await host.rollout(NAME)).rolledBack.reason, 'it rounds');

      // A better revision takes them all.
      await host.deploy(await sameAgain('account_v3', 1));
      const codes = () => Promise.all(all.map((each) => each.code()));
      await until('everybody is on it', async () => (await codes()).every(({ runsOn }) => runsOn === 3));
      assert.deepEqual(await balances(), after);
      assert.deepEqual(await host.pins(NAME), []);
    });
  }

  test('goes back further and further, to what there was before, and no further', async (t) => {
    const host = await startHost(t, { components: ['account_v1'], flags: ['--rollout-window', '100ms'] });
    const [one] = await accounts(host, 1);
    for (const n of [1, 2]) {
      await host.deploy(await sameAgain('account_v2', n));
      await arrived(host);
    }
    for (const [current, version] of [[2, 2], [1, 1]]) {
      assert.equal((await host.order(NAME, 'rollback')).current, current);
      await until('it is back', async () => (await one.code()).runsOn === current);
      assert.equal(await one.version(), version);
    }
    const error = await failsWith('component.no_earlier_revision', host.order(NAME, 'rollback'));
    assert.equal(error.status, 409);
    assert.deepEqual((await host.revisions(NAME)).map(({ status }) => status), ['rolled back', 'rolled back', 'current']);
    assert.equal((await host.revisions(NAME))[0].rolledBack, 'an operator went back');

    // The same bytes may be tried again.
    const again = await host.deploy(await sameAgain('account_v2', 2));
    assert.deepEqual([again.revision, again.isNew], [4, true]);
    await arrived(host);
    assert.equal(await one.version(), 2);
    assert.equal((await host.rollout(NAME)).rolledBack, null);
  });

  test('under load fails no call and loses no deposit, whoever goes back and whoever stays', async (t) => {
    const host = await startHost(t, { components: ['account_v1'], flags: ['--rollout-window', '1h'] });
    const all = await accounts(host, 200);
    const load = new Deposits(t, all, { callers: 16 });
    await load.more(200);
    for (const round of range(3)) {
      await host.deploy(await sameAgain('account_v3', round));
      // In the middle of it, so that some have not gone over, and some have and were called since.
      await until('some are migrated', async () => (await host.rollout(NAME)).migrated.count > 20 * round);
      await load.more(10 * round);
      await host.order(NAME, 'rollback');
      await rolledBack(host);
      await load.more(100);
    }
    await load.end();
    const versions = await inParallel(16, all.length, (n) => all[n].version());
    const stay = versions.filter((version) => version === 3).length;
    t.diagnostic(`${stay} of ${all.length} have stayed`);
    assert.equal((await host.pins(NAME, { limit: 1_000 })).filter(({ pin }) => pin.revision !== 1).length, stay);
  });

  test('behind a revision whose migration can no longer be undone leaves the actors there, and they work', async (t) => {
    const host = await startHost(t, { components: ['account_v1'], flags: ['--rollout-window', '100ms'] });
    const [one] = await accounts(host, 1);
    await one.call('deposit', 5);
    for (const component of ['account_v3', await sameAgain('account_v3', 1)]) {
      await host.deploy(component);
      await arrived(host);
    }
    assert.equal((await host.order(NAME, 'rollback')).current, 2);
    assert.equal((await host.order(NAME, 'rollback')).current, 1);
    const { pin } = await until('it is told to stay', async () => {
      const code = await one.code();
      return code.pin && code;
    });
    assert.deepEqual([pin.by, pin.refused], ['host', 1]);
    assert.deepEqual([await one.version(), await one.call('deposit', 1)], [3, 6]);
    await one.sleep();
    assert.deepEqual(await one.state(), { cents: 600, owner: { name: 'ann' }, history: [500, 100] });
  });

  test('of nothing is refused, as are other orders without a rollout', async (t) => {
    const host = await startHost(t, { components: ['counter'] });
    for (const order of ['pause', 'resume', 'promote']) await failsWith('component.no_rollout', host.order('counter', order));
    await failsWith('component.no_earlier_revision', host.order('counter', 'rollback'));
    await failsWith('component.not_found', host.order('nobody', 'rollback'));
    await failsWith('component.not_found', host.rollout('nobody'));
    await failsWith('api.not_found', host.order('counter', 'explode'));
  });
});

describe('a rollback by itself', () => {
  test('ends a revision that traps on 20 % of calls within its window while the load runs, and says why', async (t) => {
    const WINDOW_MS = 20_000;
    const host = await startHost(t, { components: ['account_v3'], flags: ['--rollout-window', `${WINDOW_MS}ms`] });
    const all = await accounts(host, 64);
    const load = new Deposits(t, all, { callers: 32, apart: true });
    await load.more(300);
    assert.deepEqual(load.failures.map(String), []);
    const { revision, report } = await host.deploy('account_v4');
    const began = performance.now();
    assert.equal(report.isMigrating, false);
    const status = await rolledBack(host);
    assert.ok(performance.now() - began < WINDOW_MS, 'it took longer than the window');
    // Until the answers to calls that were under way have been read.
    await load.more(64);
    const failures = load.failures.length;
    await load.more(500);
    await load.stop();

    // The API and the log say why.
    assert.deepEqual([status.current, status.target, status.rolledBack.revision], [1, null, revision]);
    const { reason } = status.rolledBack;
    assert.match(reason, /^\d+ of \d+ actors failed within 20s \(10 % may\), \d+ times: \d+ could not start, \d+ broke down/);
    assert.match(reason, /a deposit that breaks down/);
    const [newest] = await host.revisions(NAME);
    assert.deepEqual([newest.status, newest.rolledBack], ['rolled back', reason]);
    assert.match(host.log, /a rollout was rolled back by itself/);

    // Callers have been told of what broke down, and of nothing else; afterwards of nothing at all.
    assert.ok(failures > 0);
    assert.equal(load.failures.length, failures, 'it goes on breaking down');
    const codes = new Set(load.failures.map(({ group, code }) => `${group}.${code}`));
    assert.deepEqual([...codes], ['actor.crashed'], `${load.failures[0]}`);
    await load.check();
    const codeNow = await Promise.all(all.map((each) => each.code()));
    assert.deepEqual(new Set(codeNow.map(({ runsOn }) => runsOn)), new Set([1]));
    assert.ok(codeNow.every(({ pin }) => pin === null), 'somebody is pinned');
  });

  test('is noticed by no caller, however many start at once on a revision that does not start', async (t) => {
    const flags = ['--rollout-window', '1h', '--rollout-moves-max', '64'];
    const host = await startHost(t, { components: ['account_v1'], flags });
    const all = await accounts(host, 200);
    const ids = await Promise.all(all.map((each) => each.id()));
    const load = new Deposits(t, all, { callers: 64 });
    for (const round of range(5)) {
      // Some wake on it, others go over.
      await Promise.all(ids.slice(100).map((id) => host.manage('POST', `/actors/${id}/sleep?namespace=default`, {})));
      await host.deploy('account_broken');
      await load.more(200);
      assert.equal((await rolledBack(host)).rolledBack.revision, round + 2);
    }
    await load.more(100);
    await load.end();
    assert.deepEqual(new Set(await inParallel(16, all.length, (n) => all[n].version())), new Set([1]));
    assert.deepEqual(await host.pins(NAME), []);
  });

  test('gives states back that were migrated, and keeps those that have committed since', async (t) => {
    const flags = ['--rollout-window', '20s', '--rollout-failures-min', '3', '--sleep-after', '1h'];
    const host = await startHost(t, { components: ['account_v1'], flags });
    const all = await accounts(host, 60);
    const [calm, busy] = [all.slice(0, 30), all.slice(30)];
    await host.deploy('account_v4');
    await until('all are migrated', async () => (await host.rollout(NAME)).onNewest === 60, { within: 60_000 });
    const load = new Deposits(t, busy, { callers: 10, apart: true });
    const status = await rolledBack(host);
    await load.more(50);
    await load.stop();
    const { migrated } = status.rolledBack;
    assert.ok(migrated.committedSinceCount > 0);
    const ids = new Set(await Promise.all(busy.map((each) => each.id())));
    assert.ok(migrated.committedSince.every(({ actorId }) => ids.has(actorId)), 'one is listed that was left alone');
    assert.deepEqual(new Set(await Promise.all(calm.map((each) => each.version()))), new Set([1]));
    await load.check();
    // Whoever was kept is pinned; whoever was not has its old state.
    const codes = await Promise.all(busy.map((each) => each.code()));
    for (const { runsOn, stateVersion, pin } of codes) {
      assert.deepEqual([stateVersion, pin?.by], runsOn === 1 ? [1, undefined] : [2, 'host']);
    }
  });

  test('is not made by a few failures among many', async (t) => {
    const flags = ['--rollout-window', '8s', '--rollout-failures-min', '4'];
    const host = await startHost(t, { components: ['account_v1'], flags });
    const all = await accounts(host, 40);
    const bad = all.slice(0, 3);
    await Promise.all(bad.map((each) => each.call('open', '')));
    const load = new Deposits(t, all, { callers: 8 });
    await host.deploy('account_v3', { force: true });
    const status = await until('all have been tried', async () => {
      const status = await host.rollout(NAME);
      return status.failedStarts === 3 && status.toMove === 0 && status;
    });
    assert.match(status.reasons.join(), /account has no owner/);
    const { current, rolledBack } = await arrived(host);
    assert.deepEqual([current, rolledBack], [2, null]);
    await load.end();
    // They go on where they were.
    assert.deepEqual(await Promise.all(all.map((each) => each.version())), all.map((each) => (bad.includes(each) ? 1 : 3)));
    for (const each of bad) assert.equal((await each.code()).pin.by, 'host');
  });
});
