// What is easily forgotten about deploys: sockets over migrations, revisions that hang, few actors, code without bounds,
// states of three versions, and one order after another.

import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { describe, test } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { Deposits, NAME, account, accounts, arrived, rolledBack } from './accounts.mjs';
import {
  ENCODINGS, HostError, failsWith, guestBytes, guestFile, inParallel, isAsleep, range, sameAgain, startHost, until,
} from './harness.mjs';
import { connect, connectPath, listen, ready, watch } from './sockets.mjs';

const WATCHED = ['--rollout-window', '1h', '--sleep-after', '1h'];
const QUICK = ['--rollout-window', '200ms', '--sleep-after', '1h'];

/** Waits until nobody who is awake has still to move; how the rollout stands then. */
async function settled(host) {
  const isSettled = async () => {
    const status = await host.rollout(NAME);
    return status.toMove === 0 && status;
  };
  return until('everybody who is awake has gone over', isSettled, { within: 30_000 });
}

/** What all of these answer to an action without arguments. */
const ask = (all, action) => inParallel(16, all.length, (n) => all[n].call(action));

const idsOf = async (all) => new Set(await Promise.all(all.map((each) => each.id())));

/** Everything that a deploy may change of a component. */
async function look(host) {
  return [await host.manage('GET', '/components'), await host.revisions(NAME), await host.rollout(NAME)];
}

/** The deploy that is being carried out, or null. */
const deploying = async (host) => (await host.manage('GET', '/deploying')).deploy;

describe('a socket', () => {
  /** A connection of the stock client that is subscribed to deposits. */
  async function stock(host, { key }, encoding) {
    const connection = host.client({ encoding })[NAME].getOrCreate(key).connect();
    const seen = watch(connection);
    const inbox = listen(connection, 'deposited');
    await ready(connection);
    // An answer on the same connection says that the subscription has arrived.
    await connection.balance();
    return {
      call: (action, ...args) => connection[action](...args),
      event: () => inbox.next(),
      check: () => {
        assert.deepEqual(seen, { opens: 1, closes: 0, errors: [], hasGivenUp: false });
        assert.deepEqual(inbox.items, []);
      },
    };
  }

  /** The same, made by hand. */
  async function raw(host, { key }, encoding) {
    const connection = await connect(host, connectPath(NAME, key), { encoding });
    connection.subscribe('deposited');
    await connection.call('balance');
    return {
      call: (action, ...args) => connection.call(action, ...args),
      event: async () => (await connection.event('deposited'))[0],
      check: () => assert.deepEqual([connection.isOpen, connection.frames.items], [true, []]),
    };
  }

  test('stays open over a deploy that migrates, over the way back that restores, and over the next try', async (t) => {
    const host = await startHost(t, { components: ['account_v1'], flags: WATCHED });
    const all = await accounts(host, 10);
    // Two of each sort, one with the stock client and one by hand.
    const [calm, busy, asleep, wakes, wakesBusy] = range(5).map((sort) => [2 * sort, 2 * sort + 1]);
    const sockets = await Promise.all(all.map((each, n) => {
      const encoding = ENCODINGS[Math.floor(n / 2) % ENCODINGS.length];
      return n % 2 === 0 ? stock(host, each, encoding) : raw(host, each, encoding);
    }));
    const balances = all.map(() => 0);
    /** Two deposits, by the socket and by somebody else; it hears of both. */
    const deposit = async (n) => {
      for (const call of [sockets[n].call, all[n].call]) {
        balances[n] += 1;
        assert.equal(await call('deposit', 1), balances[n], `account ${n}`);
        assert.equal(await sockets[n].event(), balances[n], `account ${n}`);
      }
    };
    const each = (numbers, work) => Promise.all(numbers.map(work));
    const versions = () => ask(all, 'version');
    const everybody = range(all.length);

    await each(everybody, deposit);
    await each([...asleep, ...wakes, ...wakesBusy], (n) => all[n].sleep());
    await host.deploy('account_v3');
    assert.equal((await settled(host)).onNewest, 4);
    await each([...busy, ...wakesBusy], deposit);
    // Each of these is migrated as it wakes, and changes nothing.
    await each(wakes, async (n) => assert.equal(await sockets[n].call('version'), 3));
    await each([...wakes, ...wakesBusy], (n) => all[n].sleep());
    await until('all that are awake are migrated', async () => (await host.rollout(NAME)).migrated.count === 8);

    await host.order(NAME, 'rollback');
    const { migrated } = (await settled(host)).rolledBack;
    const changed = [...busy, ...wakesBusy];
    assert.deepEqual(new Set(migrated.committedSince.map(({ actorId }) => actorId)), await idsOf(changed.map((n) => all[n])));
    for (const n of asleep) assert.ok(isAsleep(await host.actor(await all[n].id())), 'it was woken');
    await each(everybody, deposit);
    assert.deepEqual(await versions(), everybody.map((n) => (changed.includes(n) ? 3 : 1)));
    const codes = await Promise.all(all.map((one) => one.code()));
    assert.deepEqual(codes.map(({ stateVersion }) => stateVersion), everybody.map((n) => (changed.includes(n) ? 2 : 1)));
    await each([...calm, ...wakesBusy], (n) => all[n].sleep());

    await host.deploy(await sameAgain('account_v3', 1));
    await settled(host);
    await each(everybody, deposit);
    assert.deepEqual(await versions(), everybody.map(() => 3));
    assert.deepEqual(await ask(all, 'balance'), balances);
    const histories = (await ask(all, 'raw_state')).map(({ history }) => history);
    assert.deepEqual(histories, balances.map((balance) => range(balance).map(() => 100)));
    for (const socket of sockets) socket.check();
  });
});

describe('a revision that hangs when it starts', () => {
  test('is rolled back, and those who were awake answer on the old code, with all that they had', async (t) => {
    const flags = ['--rollout-window', '20s', '--start-timeout', '3s', '--sleep-after', '1h'];
    const host = await startHost(t, { components: ['account_v1'], flags });
    const all = await accounts(host, 12);
    const load = new Deposits(t, all, { callers: 12 });
    await load.more(24);
    const { revision } = await host.deploy('account_hanging');
    const status = await rolledBack(host);
    assert.deepEqual([status.current, status.rolledBack.revision], [1, revision]);
    assert.match(status.rolledBack.reason, /could not start/);
    await load.more(24);
    await load.end();
    assert.deepEqual(new Set(await ask(all, 'version')), new Set([1]));
  });

  test('has nobody on it, and who is pinned to where it runs stays on the old code', async (t) => {
    const flags = [...WATCHED, '--start-timeout', '5s'];
    const host = await startHost(t, { components: ['account_v1'], flags });
    const [one] = await accounts(host, 1);
    assert.equal(await one.call('deposit', 7), 7);
    const id = await one.id();
    await host.deploy('account_hanging');
    await until('it is starting', async () => (await one.code()).runsOn === null);
    const { toMove, onNewest, failedStarts } = await host.rollout(NAME);
    assert.deepEqual([toMove, onNewest, failedStarts], [1, 0, 0]);
    await host.pin(id);
    const { runsOn, pin } = await one.code();
    assert.deepEqual([runsOn, pin.by, pin.revision], [null, 'operator', 1]);
    assert.deepEqual([await one.version(), await one.call('deposit', 1)], [1, 8]);
    const { toMove: left, failedStarts: failed } = await settled(host);
    assert.deepEqual([left, failed], [0, 1]);
    assert.equal((await one.code()).runsOn, 1);
  });

  test('does not arrive while actors still start on it: it is rolled back, and their callers are answered', async (t) => {
    // The window is over while they hang.
    const flags = ['--rollout-window', '1s', '--start-timeout', '3s', '--sleep-after', '1h'];
    const host = await startHost(t, { components: ['account_v1'], flags });
    const all = await accounts(host, 8);
    await Promise.all(all.map((each, n) => each.call('deposit', n)));
    await Promise.all(all.map((each) => each.sleep()));
    const { revision } = await host.deploy('account_hanging');
    const calls = all.map((each) => each.call('deposit', 100));
    const [status, ...balances] = await Promise.all([rolledBack(host), ...calls]);
    assert.deepEqual([status.current, status.rolledBack.revision], [1, revision]);
    assert.match(status.rolledBack.reason, /could not start/);
    assert.deepEqual(balances, range(8).map((n) => n + 100));
    assert.deepEqual(await ask(all, 'version'), all.map(() => 1));
    assert.deepEqual((await host.revisions(NAME)).map((each) => each.status), ['rolled back', 'current']);
  });
});

test('a state that grows too large as it is migrated is not kept, and counts as a start that failed', async (t) => {
  const flags = [...WATCHED, '--state-bytes-max', '64KiB', '--rollout-failures-min', '100'];
  const host = await startHost(t, { components: ['account_v1'], flags });
  const all = await accounts(host, 3);
  await Promise.all(all.map((each, n) => each.call('deposit', n)));
  await host.deploy('account_swelling', { rehearse: 'no' });
  const { started, failedStarts, crashes, onNewest, reasons, migrated } = await settled(host);
  assert.deepEqual({ started, failedStarts, crashes, onNewest }, { started: 0, failedStarts: 3, crashes: 0, onNewest: 0 });
  assert.match(reasons.join(), /state has \d+ bytes; at most 65536 are allowed/);
  assert.equal(migrated.count, 0);
  assert.deepEqual(await ask(all, 'version'), [1, 1, 1]);
  assert.deepEqual(await Promise.all(all.map((each) => each.call('deposit', 1))), [1, 2, 3]);
  for (const each of all) {
    const { runsOn, stateVersion, pin } = await each.code();
    assert.deepEqual([runsOn, stateVersion, pin.by, pin.refused], [1, 1, 'host', 2]);
  }
});

test('a revision that does not start is rolled back at the end of its window, however few actors there are', async (t) => {
  const host = await startHost(t, { components: ['account_v1'], flags: ['--rollout-window', '1s', '--sleep-after', '1h'] });
  const all = await accounts(host, 4);
  await Promise.all(all.map((each, n) => each.call('deposit', n)));
  const asleep = all[3];
  await asleep.sleep();
  const { code, stdout, stderr } = await host.cli('deploy', guestFile('account_broken'), '--wait');
  assert.equal(code, 1, stdout + stderr);
  assert.match(stdout, /revision 2 is deployed/);
  assert.match(stderr, /^account: revision 2 was rolled back: .*could not start.*this revision does not start/m);
  assert.ok(isAsleep(await host.actor(await asleep.id())), 'it was woken');
  const { current, target, rolledBack: back } = await host.rollout(NAME);
  assert.deepEqual([current, target, back.revision], [1, null, 2]);
  const stranger = account(host);
  assert.deepEqual(await ask([...all, stranger], 'version'), [1, 1, 1, 1, 1]);
  assert.deepEqual(await ask([...all, stranger], 'balance'), [0, 1, 2, 3, 0]);
  for (const each of [...all, stranger]) assert.equal((await each.code()).runsOn, 1);
});

test('a revision on which every call breaks down is rolled back, however few actors are called', async (t) => {
  const host = await startHost(t, { components: ['account_v3'], flags: ['--rollout-window', '10s', '--sleep-after', '1h'] });
  const all = await accounts(host, 40);
  const { revision } = await host.deploy('account_fragile');
  assert.equal((await settled(host)).onNewest, 40);
  const CALLERS = 3;
  const load = new Deposits(t, all.slice(0, CALLERS), { callers: CALLERS, apart: true });
  const { current, rolledBack: back } = await rolledBack(host);
  assert.deepEqual([current, back.revision], [1, revision]);
  assert.match(back.reason, /a deposit that breaks down/);
  // Until the answers to calls that were under way have been read.
  await load.more(2 * CALLERS);
  const failures = load.failures.length;
  await load.more(10 * CALLERS);
  await load.stop();
  assert.ok(failures > 0);
  assert.equal(load.failures.length, failures, 'it goes on breaking down');
  await load.check();
  const codes = await Promise.all(all.map((each) => each.code()));
  assert.deepEqual(codes.map(({ runsOn, pin }) => [runsOn, pin]), all.map(() => [1, null]));
});

describe('a migration without bounds', () => {
  const CASES = {
    'that computes for ever': { component: 'account_looping', reason: /computed for too long/, isLong: true },
    // Over in a moment, perhaps between two looks.
    'that wants all the memory there is': { component: 'account_greedy', reason: /more memory than it may have/ },
  };

  for (const [how, { component, reason, isLong }] of Object.entries(CASES)) {
    test(`${how} is told of by the rehearsal, while the host answers everybody and nothing changes`, async (t) => {
      const flags = [...QUICK, '--guest-burst-max', '500ms', '--guest-memory-bytes-max', '16MiB'];
      const host = await startHost(t, { components: ['account_v1'], flags });
      const all = await accounts(host, 6);
      await all[5].sleep();
      const before = await look(host);
      const load = new Deposits(t, all.slice(0, 5), { callers: 2 });
      await load.more(2);
      let isOver = false;
      const refused = failsWith('component.rehearsal_failed', host.deploy(component, { dryRun: true }));
      const watching = (async () => {
        // How many calls had been answered, whenever it was seen to be rehearsed.
        const answered = [];
        while (!isOver) {
          if ((await deploying(host))?.stage === 'rehearsing') answered.push(load.answered);
          await pause(2);
        }
        return answered;
      })();
      const { rehearsal } = (await refused.finally(() => (isOver = true))).metadata;
      const answered = await watching;
      if (isLong) {
        const meanwhile = answered.at(-1) - answered[0];
        assert.ok(meanwhile > 5, `${meanwhile} calls were answered meanwhile`);
      }
      await load.end();

      const { actors, tried, fine, failed, unclear, isIncomplete, failures } = rehearsal;
      assert.deepEqual({ actors, tried, fine, failed, unclear, isIncomplete }, {
        actors: 6, tried: 6, fine: 0, failed: 6, unclear: 0, isIncomplete: false,
      });
      assert.deepEqual(new Set(failures.map(({ actorId }) => actorId)), await idsOf(all));
      for (const each of failures) assert.match(each.reason, reason);
      assert.deepEqual(await look(host), before);
      assert.ok(isAsleep(await host.actor(await all[5].id())), 'the rehearsal woke it');
      const codes = await Promise.all(all.map((each) => each.code()));
      const isOld = ({ writtenBy, stateVersion, pin }) => [writtenBy, stateVersion, pin];
      assert.deepEqual(codes.map(isOld), all.map(() => [1, 1, null]));
    });
  }
});

test('states of every earlier version are brought to the newest, step by step, and back to what they were', async (t) => {
  const host = await startHost(t, { components: ['account_v1'], flags: QUICK });
  const all = await accounts(host, 4);
  const [second, secondAsleep, first, firstAsleep] = all;
  await Promise.all(all.map((each, n) => each.call('deposit', n + 1)));
  await firstAsleep.sleep();
  await host.pin(await first.id(), { revision: 1 });
  await host.deploy('account_v3');
  await arrived(host);
  await secondAsleep.sleep();
  const standing = async () => (await Promise.all(all.map((each) => each.code()))).map(({ stateVersion }) => stateVersion);
  assert.deepEqual(await standing(), [2, 2, 1, 1]);

  const { report } = await host.deploy('account_v5');
  // Nobody tries who is pinned.
  const { tried, fine, failed } = report.rehearsal;
  assert.deepEqual({ tried, fine, failed }, { tried: 3, fine: 3, failed: 0 });
  await arrived(host);
  assert.deepEqual(await standing(), [3, 2, 1, 1]);
  await host.unpin(await first.id());
  await until('it goes over, awake', async () => (await first.code()).runsOn === 3);
  for (const _ of range(2)) {
    const states = await ask(all, 'raw_state');
    assert.deepEqual(states, range(4).map((n) => {
      const cents = 100 * (n + 1);
      return { cents, currency: 'EUR', owners: ['ann'], history: [cents] };
    }));
    assert.deepEqual(await standing(), [3, 3, 3, 3]);
    // What has come there stays there.
    await Promise.all(all.map((each) => each.sleep()));
  }

  await second.version();
  await host.order(NAME, 'rollback');
  await settled(host);
  const back = await ask(all, 'raw_state');
  assert.deepEqual(back, range(4).map((n) => {
    const cents = 100 * (n + 1);
    return { cents, owner: { name: 'ann' }, history: [cents] };
  }));
  assert.deepEqual(await standing(), [2, 2, 2, 2]);
});

test('a hotfix after the way back is refused over just those that stay behind, and, forced, leaves them there', async (t) => {
  const host = await startHost(t, { components: ['account_v1'], flags: QUICK });
  // So many that those two are few.
  const all = await accounts(host, 24);
  const [busy, busyAsleep, calmAsleep] = all;
  await host.deploy('account_v3');
  await arrived(host);
  await Promise.all([busy, busyAsleep].map((each) => each.call('deposit', 7)));
  await Promise.all([busyAsleep, calmAsleep].map((each) => each.sleep()));
  await host.order(NAME, 'rollback');
  await rolledBack(host);

  const before = await host.revisions(NAME);
  const { metadata } = await failsWith('component.rehearsal_failed', host.deploy('account_v2'));
  const { failed, unclear, failures } = metadata.rehearsal;
  assert.deepEqual([failed, unclear], [2, 0]);
  assert.deepEqual(new Set(failures.map(({ actorId }) => actorId)), await idsOf([busy, busyAsleep]));
  for (const { reason } of failures) assert.match(reason, /version 2/);
  assert.deepEqual(await host.revisions(NAME), before);

  const { revision } = await host.deploy('account_v2', { force: true });
  const status = await arrived(host);
  assert.deepEqual([revision, status.current, status.rolledBack], [3, 3, null]);
  assert.deepEqual(await ask(all, 'version'), all.map((each) => ([busy, busyAsleep].includes(each) ? 3 : 2)));
  for (const each of [busy, busyAsleep]) {
    assert.equal(await each.call('deposit', 1), 8);
    const { pin, runsOn } = await each.code();
    assert.deepEqual([runsOn, pin.by, pin.revision], [2, 'host', 2]);
  }
  assert.equal(await calmAsleep.call('deposit', 1), 1);
});

test('a deploy that overtakes a rollout is rehearsed on the states that will be put back', async (t) => {
  const host = await startHost(t, { components: ['account_v1'], flags: [...WATCHED, '--guest-memory-bytes-max', '16MiB'] });
  const all = await accounts(host, 5);
  await Promise.all(all.map((each, n) => each.call('deposit', n)));
  await host.deploy('account_v3');
  // An actor counts as moved when its migrated state is kept, not before.
  assert.equal((await settled(host)).migrated.count, 5);
  await all[4].sleep();

  // This one cannot migrate, and has only to if states of version 1 are there again.
  const { metadata } = await failsWith('component.rehearsal_failed', host.deploy('account_greedy'));
  assert.deepEqual([metadata.rehearsal.tried, metadata.rehearsal.failed], [5, 5]);
  // This one does not know states of version 2.
  const plain = await host.deploy('account_v2', { dryRun: true });
  assert.equal(plain.report.rehearsal?.failed ?? 0, 0);
  assert.equal((await host.rollout(NAME)).target, 2);

  const { report } = await host.deploy(await sameAgain('account_v3', 1));
  assert.notEqual(report.rehearsal, null);
  const { tried, fine, failed } = report.rehearsal;
  assert.deepEqual({ tried, fine, failed }, { tried: 5, fine: 5, failed: 0 });
  const { current, target, onNewest } = await settled(host);
  assert.deepEqual([current, target, onNewest], [1, 3, 4]);
  const states = await ask(all, 'raw_state');
  assert.deepEqual(states.map(({ cents }) => cents), range(5).map((n) => 100 * n));
  assert.deepEqual(await ask(all, 'version'), all.map(() => 3));
});

test('of two rollbacks in a row the second is the one that the status tells of', async (t) => {
  const host = await startHost(t, { components: ['account_v1'], flags: QUICK });
  for (const mark of [1, 2]) {
    await host.deploy(await sameAgain('account_v2', mark));
    await arrived(host);
  }
  const told = async () => {
    const { revision, reason } = (await host.rollout(NAME)).rolledBack;
    return [revision, reason];
  };
  await host.order(NAME, 'rollback', { reason: 'the newest is slow' });
  assert.deepEqual(await told(), [3, 'the newest is slow']);
  await host.order(NAME, 'rollback', { reason: 'so is the one before' });
  assert.deepEqual(await told(), [2, 'so is the one before']);
  const { code, stdout } = await host.cli('rollout', 'status', NAME);
  assert.equal(code, 0);
  assert.match(stdout, /^revision 2 was rolled back: so is the one before$/m);
  assert.doesNotMatch(stdout, /the newest is slow/);
  await host.kill();
  await host.startAgain();
  assert.deepEqual(await told(), [2, 'so is the one before']);
  assert.deepEqual((await host.revisions(NAME)).map(({ rolledBack }) => rolledBack), [
    'the newest is slow', 'so is the one before', null,
  ]);
});

test('how far a deploy has got is shown while it is rehearsed, and nothing before or after', async (t) => {
  const ACTORS = 40;
  const host = await startHost(t, { components: ['account_v1'], flags: QUICK });
  await accounts(host, ACTORS);
  assert.equal(await deploying(host), null);
  const began = Date.now();
  let isOver = false;
  const deploy = host.deploy('account_slow', { dryRun: true }).finally(() => (isOver = true));
  const shown = [];
  while (!isOver) {
    const progress = await deploying(host);
    if (progress) shown.push(progress);
    await pause(5);
  }
  const { rehearsal } = (await deploy).report;
  assert.deepEqual([rehearsal.tried, rehearsal.fine], [ACTORS, ACTORS]);
  assert.equal(await deploying(host), null);

  const hash = createHash('sha256').update(await guestBytes('account_slow')).digest('hex');
  assert.deepEqual(new Set(shown.map((each) => each.hash)), new Set([hash]));
  assert.ok(shown.every(({ begunAtMs }) => Math.abs(begunAtMs - began) < 60_000));
  // It is checked first, and never again.
  const first = shown.findIndex(({ stage }) => stage === 'rehearsing');
  assert.ok(first >= 0, 'it was never shown to be rehearsed');
  for (const { stage, tried, found } of shown.slice(0, first)) {
    assert.deepEqual([stage, tried, found], ['checking', null, null]);
  }
  const rehearsing = shown.slice(first);
  for (const { stage, component, found } of rehearsing) {
    assert.deepEqual([stage, component, found], ['rehearsing', NAME, ACTORS]);
  }
  const tried = rehearsing.map((each) => each.tried);
  assert.deepEqual(tried, tried.toSorted((a, b) => a - b));
  assert.ok(tried.some((count) => count > 0 && count < ACTORS), `it was shown how many were tried: ${tried}`);
});

test('who is pinned while a rollout comes is where the pin says, and who cannot be pinned works as well', async (t) => {
  const ACTORS = 200;
  const host = await startHost(t, { components: ['account_v1'], flags: [...WATCHED, '--rollout-moves-max', '4'] });
  const all = await accounts(host, ACTORS);
  const ids = await Promise.all(all.map((each) => each.id()));
  const load = new Deposits(t, all, { callers: 8 });
  const pin = async (n) => {
    try {
      await host.pin(ids[n], { revision: 1 });
      return true;
    } catch (error) {
      if (!(error instanceof HostError)) throw error;
      assert.deepEqual([error.status, error.group, error.code], [400, 'api', 'bad_request'], error.text);
      return false;
    }
  };
  const pinAll = async () => {
    await until('it rolls out', async () => (await host.rollout(NAME)).target === 2, { within: 30_000, every: 1 });
    return inParallel(8, ACTORS, pin);
  };
  const [pinned] = await Promise.all([pinAll(), host.deploy('account_v3', { rehearse: 'no' })]);
  await settled(host);
  await load.more(ACTORS);
  await load.end();
  t.diagnostic(`${pinned.filter(Boolean).length} of ${ACTORS} were pinned`);
  const wanted = (one, other) => pinned.map((is) => (is ? one : other));
  assert.deepEqual(await ask(all, 'version'), wanted(1, 3));
  const codes = await inParallel(16, ACTORS, (n) => all[n].code());
  assert.deepEqual(codes.map(({ runsOn, stateVersion }) => [runsOn, stateVersion]), wanted([1, 1], [2, 2]));
  assert.deepEqual(codes.map(({ pin }) => pin && [pin.by, pin.revision]), wanted(['operator', 1], null));
  // Also after a sleep.
  const some = range(ACTORS).filter((n) => n % 10 === 0);
  await Promise.all(some.map((n) => all[n].sleep()));
  for (const n of some) assert.equal(await all[n].version(), pinned[n] ? 1 : 3);
});
