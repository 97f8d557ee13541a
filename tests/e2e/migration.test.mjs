// States that change their shape: each is migrated once, and one that cannot be read is left alone.

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { Deposits, NAME, account, accounts, arrived } from './accounts.mjs';
import { failsWith, inParallel, isAsleep, range, sameAgain, startHost, until } from './harness.mjs';

const startOn = (t, component, window = '200ms') =>
  startHost(t, { components: [component], flags: ['--rollout-window', window, '--sleep-after', '1h'] });

/** The parts of what the host says about an actor's code that a test names. */
async function codeOf(account) {
  const { runsOn, writtenBy, stateVersion, pin } = await account.code();
  return { runsOn, writtenBy, stateVersion, pin };
}

test('states are migrated once, of actors that are awake at once and of others when they wake', async (t) => {
  // Long enough to be looked at meanwhile.
  const host = await startOn(t, 'account_v1', '5s');
  const all = await accounts(host, 20);
  await Promise.all(all.map((each, n) => each.call('deposit', n)));
  const [awake, asleep] = [all.slice(0, 10), all.slice(10)];
  await Promise.all(asleep.map((each) => each.sleep()));
  assert.deepEqual(await codeOf(awake[0]), { runsOn: 1, writtenBy: 1, stateVersion: 1, pin: null });

  const { report } = await host.deploy('account_v3');
  assert.equal(report.isMigrating, true);
  assert.deepEqual([report.rehearsal.tried, report.rehearsal.fine], [20, 20]);
  const { migrated } = await until('the awake ones are migrated', async () => {
    const status = await host.rollout(NAME);
    return status.toMove === 0 && status.migrated.count === 10 && status;
  });
  assert.equal(migrated.committedSinceCount, 0);
  await arrived(host);
  const untouched = { runsOn: null, writtenBy: 1, stateVersion: 1, pin: null };
  assert.deepEqual(await Promise.all(asleep.map(codeOf)), asleep.map(() => untouched));
  const done = { runsOn: 2, writtenBy: 2, stateVersion: 2, pin: null };
  assert.deepEqual(await Promise.all(awake.map(codeOf)), awake.map(() => done));

  const isMigrated = async (each, n) => {
    assert.deepEqual(await each.state(), { cents: 100 * n, owner: { name: 'ann' }, history: [100 * n] });
    assert.equal(await each.version(), 3);
  };
  await Promise.all(all.map(isMigrated));
  assert.deepEqual(await Promise.all(asleep.map(codeOf)), asleep.map(() => done));
  // What is in cents already is not made cents again, however often it starts.
  await Promise.all(all.map((each) => each.sleep()));
  await Promise.all(all.map(isMigrated));
  await host.deploy(await sameAgain('account_v3', 1));
  await arrived(host);
  await Promise.all(all.map(isMigrated));
  await host.kill();
  await host.startAgain();
  await Promise.all(all.map(isMigrated));
});

test('states are migrated under load: no call fails, and every deposit is in the state once', async (t) => {
  const host = await startOn(t, 'account_v1');
  const all = await accounts(host, 100);
  const load = new Deposits(t, all, { callers: 32 });
  await load.more(200);
  await host.deploy('account_v3');
  await load.more(400);
  await arrived(host);
  await load.end();
  const states = await Promise.all(all.map((each) => each.state()));
  const expected = load.made.map((count) => [100 * count, range(count).map(() => 100)]);
  assert.deepEqual(states.map(({ cents, history }) => [cents, history]), expected);
});

test('an actor that is new has a state of the new shape and is not migrated', async (t) => {
  const host = await startOn(t, 'account_v3');
  const [one] = await accounts(host, 1);
  assert.deepEqual(await one.state(), { cents: 0, owner: { name: 'ann' }, history: [] });
  assert.deepEqual(await codeOf(one), { runsOn: 1, writtenBy: 1, stateVersion: 2, pin: null });
});

describe('an actor whose migration fails', () => {
  const FAILS = {
    'with an error': { spoil: [5, ''], mend: [5, 'eve'], reason: /account has no owner/ },
    'with a trap': { spoil: [-13, 'ann'], mend: [5, 'eve'], reason: /a balance that nobody has thought of/ },
  };

  for (const [how, { spoil, mend, reason }] of Object.entries(FAILS)) {
    for (const isAwake of [true, false]) {
      test(`${how} stays where it is and works there, ${isAwake ? 'awake' : 'asleep'} when the deploy comes`, async (t) => {
        const host = await startOn(t, 'account_v1');
        const [bad, good] = await accounts(host, 2);
        await bad.call('set_raw', ...spoil);
        const before = await bad.state();
        if (!isAwake) await Promise.all([bad.sleep(), good.sleep()]);
        await host.deploy('account_v3', { force: true });
        await arrived(host);
        // It is what wakes it if it sleeps.
        assert.equal(await bad.version(), 1);
        assert.equal(await good.version(), 3);

        const { pin, ...code } = await codeOf(bad);
        assert.deepEqual(code, { runsOn: 1, writtenBy: 1, stateVersion: 1 });
        assert.deepEqual({ ...pin, reason: null, sinceMs: null }, { revision: 1, refused: 2, by: 'host', reason: null, sinceMs: null });
        assert.match(pin.reason, reason);
        assert.ok(Math.abs(pin.sinceMs - Date.now()) < 60_000);
        const [{ actor, pin: listed }, ...others] = await host.pins(NAME);
        assert.deepEqual([actor.actor_id, listed, others], [await bad.id(), pin, []]);
        assert.deepEqual(await bad.state(), before, 'its state was touched');

        // It works, also over a sleep and a power cut.
        const posted = async (posts) => until('it has posted', async () => (await bad.state()).posts.length === posts.length);
        await bad.call('deposit', 1);
        await bad.call('later', 50, 2);
        await posted([1, 2]);
        await bad.send(3);
        await posted([1, 2, 3]);
        await bad.sleep();
        await host.kill();
        await host.startAgain();
        await bad.send(4);
        await posted([1, 2, 3, 4]);
        assert.deepEqual((await bad.state()).posts, [1, 2, 3, 4]);
        assert.equal((await bad.state()).balance, before.balance + 10);
        assert.equal(await bad.version(), 1);

        // Another revision takes it, once it can read the state.
        await bad.call('set_raw', ...mend);
        assert.equal(await bad.version(), 1);
        await host.deploy(await sameAgain('account_v3', 1));
        await arrived(host);
        assert.deepEqual(await bad.state(), { cents: 500, owner: { name: 'eve' }, history: [100, 200, 300, 400] });
        assert.deepEqual(await codeOf(bad), { runsOn: 3, writtenBy: 3, stateVersion: 2, pin: null });
        assert.deepEqual(await host.pins(NAME), []);
      });
    }
  }

  test('is tried again when it is unpinned: it stays, with a new pin, or goes over', async (t) => {
    const host = await startOn(t, 'account_v1');
    const [bad] = await accounts(host, 1, '');
    await bad.call('deposit', 5);
    await host.deploy('account_v3', { force: true });
    await arrived(host);
    const first = (await bad.code()).pin;
    assert.equal(first.by, 'host');

    assert.deepEqual(await host.unpin(await bad.id()), { wasPinned: true });
    const second = await until('it is pinned again', async () => (await bad.code()).pin);
    assert.ok(second.sinceMs >= first.sinceMs);
    assert.match(second.reason, /account has no owner/);
    assert.equal(await bad.version(), 1);
    assert.equal(await bad.call('balance'), 5);

    await bad.call('open', 'eve');
    await host.unpin(await bad.id());
    await until('it has gone over', async () => (await bad.version()) === 3);
    assert.deepEqual(await bad.state(), { cents: 500, owner: { name: 'eve' }, history: [500] });
    assert.deepEqual(await host.unpin(await bad.id()), { wasPinned: false });
  });
});

test('a deploy that has to migrate what an earlier one has left behind is rehearsed as well', async (t) => {
  const host = await startOn(t, 'account_v1');
  const [bad] = await accounts(host, 1, '');
  await bad.sleep();
  await host.deploy('account_v3', { rehearse: 'no' });
  await arrived(host);
  const again = await sameAgain('account_v3', 1);
  const { metadata } = await failsWith('component.rehearsal_failed', host.deploy(again));
  assert.deepEqual(metadata.rehearsal.failures.map(({ actorId }) => actorId), [await bad.id()]);
});

test('a state of a later shape is never given to code that does not know it', async (t) => {
  const host = await startOn(t, 'account_v3');
  const [one] = await accounts(host, 1);
  await one.call('deposit', 5);
  // The rehearsal sees that, and says so.
  const refused = await failsWith('component.rehearsal_failed', host.deploy('account_v1'));
  assert.equal(refused.metadata.rehearsal.failed, 1);
  assert.equal((await host.revisions(NAME)).length, 1);

  await host.deploy('account_v1', { force: true });
  await arrived(host);
  assert.equal(await one.version(), 3);
  assert.deepEqual(await one.state(), { cents: 500, owner: { name: 'ann' }, history: [500] });
  const { pin, runsOn } = await one.code();
  assert.deepEqual([pin.by, pin.revision, pin.refused, runsOn], ['host', 1, 2, 1]);
  const fresh = account(host);
  assert.equal(await fresh.version(), 1);
});

test('of 1,200 actors those 3 stay that cannot be migrated, and the rehearsal names them before anything changes', async (t) => {
  const ACTORS = 1_200;
  const host = await startOn(t, 'account_v1');
  const all = await accounts(host, ACTORS);
  const bad = [all[17], all[600], all[1_199]];
  await bad[0].call('open', '');
  await bad[1].call('set_raw', -13, 'ann');
  await bad[2].call('open', '');
  await Promise.all(all.slice(1_000).map((each) => each.sleep()));
  const ids = await Promise.all(bad.map((each) => each.id()));
  const before = [await host.manage('GET', '/components'), await host.revisions(NAME), await host.rollout(NAME)];

  const refused = await failsWith('component.rehearsal_failed', host.deploy('account_v3'));
  assert.equal(refused.status, 409);
  assert.match(refused.text, /3 of 1200 actors/);
  const { actors, tried, fine, failed, failures, unclear, isIncomplete } = refused.metadata.rehearsal;
  assert.deepEqual({ actors, tried, fine, failed, unclear, isIncomplete }, {
    actors: ACTORS, tried: ACTORS, fine: ACTORS - 3, failed: 3, unclear: 0, isIncomplete: false,
  });
  assert.deepEqual(new Set(failures.map(({ actorId }) => actorId)), new Set(ids));
  const named = failures.find(({ actorId }) => actorId === ids[1]);
  assert.deepEqual([named.namespace, named.actorType, named.key], ['default', NAME, bad[1].key.join('/')]);
  assert.match(named.reason, /a balance that nobody has thought of/);
  for (const id of [ids[0], ids[2]]) {
    assert.match(failures.find(({ actorId }) => actorId === id).reason, /account has no owner/);
  }
  assert.deepEqual([await host.manage('GET', '/components'), await host.revisions(NAME), await host.rollout(NAME)], before);
  assert.ok(isAsleep(await host.actor(await all[1_100].id())), 'the rehearsal woke it');

  await host.deploy('account_v3', { force: true });
  const status = await arrived(host);
  assert.deepEqual([status.current, status.rolledBack], [2, null]);
  const versions = await inParallel(16, ACTORS, (n) => all[n].version());
  const isBad = range(ACTORS).filter((n) => versions[n] !== 3);
  assert.deepEqual(isBad, [17, 600, 1_199]);
  assert.deepEqual(new Set((await host.pins(NAME)).map(({ actor }) => actor.actor_id)), new Set(ids));
});
