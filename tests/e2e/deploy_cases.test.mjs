// What may be going on while new code is deployed, case by case: nobody notices anything.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Deposits, NAME, account, accounts, arrived, rolledBack } from './accounts.mjs';
import { ENCODINGS, actionPath, failsWith, isAsleep, range, sameAgain, until, useHost } from './harness.mjs';
import { connect, connectPath, listen, openSocket, ready, upTo, watch, websocketPath } from './sockets.mjs';

const host = useHost({ components: ['account_v1', 'echo_socket'], flags: ['--rollout-window', '200ms'] });

/** Deploys, and waits until everybody has gone over; the number of the revision. */
async function standOn(component) {
  const { revision } = await host.deploy(component);
  await arrived(host);
  return revision;
}

test('a deploy while idle: who sleeps stays asleep, who is awake goes over without being called', async () => {
  const before = await standOn('account_v1');
  const [awake, asleep] = await accounts(host, 2);
  await asleep.sleep();
  const revision = await standOn('account_v2');

  const { runsOn, writtenBy } = await awake.code();
  assert.deepEqual({ runsOn, writtenBy }, { runsOn: revision, writtenBy: before });
  assert.ok(isAsleep(await host.actor(await asleep.id())), 'the deploy woke it');
  assert.equal((await asleep.code()).runsOn, null);
  for (const each of [awake, asleep]) {
    assert.equal(await each.version(), 2);
    assert.equal(await each.call('owner'), 'ann');
    assert.equal((await each.code()).runsOn, revision);
  }
});

test('a deploy while a turn runs: it ends on the code it began on, and others wait for it no longer than that', async () => {
  await standOn('account_v1');
  const busy = account(host);
  const begun = busy.call('slow', 1_000);
  // Sent later and answered, so the slow call has begun.
  assert.equal(await busy.version(), 1);
  const deploy = host.deploy('account_v2');
  const balances = [];
  for (const _ of range(5)) balances.push(await busy.call('deposit', 1));
  await deploy;
  assert.equal(await begun, 1);
  await until('it runs on the new code', async () => (await busy.version()) === 2);
  assert.deepEqual(balances, upTo(5));
});

test('a deploy with clients connected: every connection stays open and no event is lost', async () => {
  await standOn('account_v1');
  const { key, call } = account(host);
  const clients = ENCODINGS.map((encoding) => host.client({ encoding }).account.getOrCreate(key).connect());
  const seen = clients.map(watch);
  const inboxes = clients.map((client) => listen(client, 'deposited'));
  await Promise.all(clients.map(ready));
  const raw = await connect(host, connectPath(NAME, key));
  raw.subscribe('deposited');
  // An answer on the same connection says that the subscription has arrived.
  for (const each of clients) await each.balance();
  await raw.call('balance');

  const socket = await openSocket(host, websocketPath('echoSocket', key));
  await socket.nextJson();
  const ROUNDS = 4;
  for (const round of range(ROUNDS)) {
    const deploys = [host.deploy(`account_v${2 - (round % 2)}`), host.deploy(await sameAgain('echo_socket', round))];
    socket.send(Buffer.from([round]));
    for (const n of range(5)) assert.equal(await call('deposit', 1), 10 * round + n + 1);
    await Promise.all(deploys);
    for (const n of range(5)) assert.equal(await raw.call('deposit', 1), 10 * round + n + 6);
    assert.deepEqual(await socket.messages.next(), Buffer.from([round]));
  }
  const all = upTo(10 * ROUNDS);
  for (const inbox of inboxes) assert.deepEqual(await inbox.several(all.length), all);
  for (const n of all) assert.deepEqual(await raw.event('deposited'), [n]);
  for (const each of seen) assert.deepEqual(each, { opens: 1, closes: 0, errors: [], hasGivenUp: false });
  assert.ok(raw.isOpen && socket.isOpen);
});

test('a deploy with a queue being consumed: each message is worked off once, in order', async () => {
  await standOn('account_v1');
  const worker = account(host);
  const MESSAGES = 400;
  const sending = (async () => {
    for (const n of range(MESSAGES)) await worker.send(n);
  })();
  const posted = async () => (await worker.state()).posts;
  for (const component of ['account_v2', 'account_v1', 'account_v2']) {
    const goal = Math.min((await posted()).length + 60, MESSAGES);
    await until('the queue is consumed', async () => (await posted()).length >= goal);
    await host.deploy(component);
  }
  await sending;
  await until('all is worked off', async () => (await posted()).length >= MESSAGES);
  assert.deepEqual(await posted(), range(MESSAGES));
});

test('a deploy with an alarm due: it rings once, on time, for who is awake and who sleeps', async () => {
  await standOn('account_v1');
  const LATE_MAX_MS = 5_000;
  const awake = range(10).map(() => account(host));
  const asleep = range(10).map(() => account(host));
  const listeners = await Promise.all(awake.map(({ key }) => connect(host, connectPath(NAME, key))));
  for (const each of listeners) each.subscribe('deposited');
  await Promise.all(listeners.map((each) => each.call('balance')));

  const began = performance.now();
  const dueAt = (n) => 8_000 + 100 * n;
  const left = (n) => Math.round(dueAt(n) - (performance.now() - began));
  await Promise.all([...awake.entries(), ...asleep.entries()].map(([n, each]) => each.call('later', left(n), 7)));
  await Promise.all(asleep.map((each) => each.sleep()));
  assert.ok(left(0) > 0, 'it took too long to set up');
  const late = async (n, whatever) => {
    await whatever;
    return performance.now() - began - dueAt(n);
  };
  const rang = listeners.map((each, n) => late(n, each.event('deposited')));
  const woke = asleep.map(async (each, n) => {
    const id = await each.id();
    return late(n, until('it wakes by itself', async () => !isAsleep(await host.actor(id))));
  });
  for (let n = 0; left(awake.length) > 0; n += 1) {
    await host.deploy(`account_v${2 - (n % 2)}`);
    await until('everybody has gone over', async () => (await host.rollout(NAME)).toMove === 0);
  }
  const lateness = await Promise.all([...rang, ...woke]);
  const isOnTime = (ms) => ms > -50 && ms < LATE_MAX_MS;
  assert.ok(lateness.every(isOnTime), `so many ms late: ${lateness.map(Math.round)}`);
  for (const each of [...awake, ...asleep]) {
    await until('it has rung', async () => (await each.call('balance')) !== 0);
    assert.deepEqual((await each.state()).posts, [7]);
  }
});

test('a deploy of a revision that fails to start: callers notice nothing, it is rolled back, and the status says why', async (t) => {
  const good = await standOn('account_v1');
  const all = await accounts(host, 40);
  const asleep = await accounts(host, 5);
  await Promise.all(asleep.map((each) => each.sleep()));
  const load = new Deposits(t, [...all, ...asleep]);
  await load.more(100);
  const { revision } = await host.deploy('account_broken');
  await load.more(100);
  const status = await rolledBack(host);
  await load.more(100);
  await load.end();

  assert.deepEqual([status.current, status.target, status.rolledBack.revision], [good, null, revision]);
  assert.match(status.rolledBack.reason, /could not start.*this revision does not start/);
  const [newest] = await host.revisions(NAME);
  assert.deepEqual([newest.revision, newest.status], [revision, 'rolled back']);
  assert.equal(newest.rolledBack, status.rolledBack.reason);
  assert.match(host.log, /rolled back by itself/);
  const runsOn = await Promise.all(all.map(async (each) => (await each.code()).runsOn));
  assert.deepEqual(new Set(runsOn), new Set([good]));

  const next = await standOn('account_v2');
  const code = await Promise.all(all.map((each) => each.code()));
  assert.deepEqual(new Set(code.map(({ runsOn }) => runsOn)), new Set([next]));
  assert.ok(code.every(({ pin }) => pin === null), 'it is still pinned');
});

test('a deploy of the same bytes: nothing happens, whether they have arrived or are on their way', async () => {
  const revision = await standOn('account_v1');
  const one = account(host);
  const generation = async () => {
    const { headers } = await host.request('POST', actionPath(NAME, one.key, 'balance'), { body: { args: [] } });
    return headers['x-rivet-actor-generation'];
  };
  const before = [await generation(), await host.revisions(NAME)];
  const again = await host.deploy('account_v1', { by: 'somebody else', message: 'again' });
  assert.deepEqual([again.revision, again.isNew], [revision, false]);
  assert.deepEqual([await generation(), await host.revisions(NAME)], before);

  const first = await host.deploy('account_v2', { percent: 50 });
  const second = await host.deploy('account_v2', { percent: 1 });
  assert.deepEqual([first.isNew, second.isNew, second.revision], [true, false, first.revision]);
  assert.equal((await host.rollout(NAME)).plan.percent, 50);
  await host.order(NAME, 'promote');
  await arrived(host);
  assert.equal(await one.version(), 2);
});

test('a deploy of bytes that there were before is a revision of its own', async () => {
  const first = await standOn('account_v1');
  await standOn('account_v2');
  const again = await host.deploy('account_v1');
  assert.deepEqual([again.revision, again.isNew], [first + 2, true]);
  const hashes = Object.fromEntries((await host.revisions(NAME)).map(({ revision, hash }) => [revision, hash]));
  assert.equal(hashes[first], hashes[again.revision]);
});

test('two deploys at once: both are answered, one after the other', async (t) => {
  const before = await standOn('account_v1');
  const load = new Deposits(t, await accounts(host, 20));
  const both = await Promise.all([host.deploy('account_v2'), host.deploy(await sameAgain('account_v1', 1))]);
  assert.deepEqual(both.map(({ isNew }) => isNew), [true, true]);
  assert.deepEqual(new Set(both.map(({ revision }) => revision)), new Set([before + 1, before + 2]));
  await arrived(host);
  assert.equal((await host.rollout(NAME)).current, before + 2);
  await load.more(50);
  await load.end();
});

test('two deploys of the same bytes at once: they are one revision', async () => {
  const before = await standOn('account_v1');
  const both = await Promise.all([host.deploy('account_v2'), host.deploy('account_v2')]);
  assert.deepEqual(both.map(({ revision }) => revision), [before + 1, before + 1]);
  assert.deepEqual(both.map(({ isNew }) => isNew).toSorted(), [false, true]);
});

test('two deploys at once to a part of the actors: one is told that the other is under way', async () => {
  await standOn('account_v1');
  const how = { percent: 50 };
  const both = await Promise.allSettled([host.deploy('account_v2', how), host.deploy(await sameAgain('account_v1', 2), how)]);
  const taken = both.filter(({ status }) => status === 'fulfilled').map(({ value }) => value);
  const refused = both.filter(({ status }) => status === 'rejected').map(({ reason }) => reason);
  assert.equal(taken.length, 1, both.map(({ reason }) => `${reason}`).join());
  const error = await failsWith('component.rollout_active', Promise.reject(refused[0]));
  assert.equal(error.status, 409);
  assert.match(error.text, new RegExp(`revision ${taken[0].revision} is under way`));
  await host.order(NAME, 'rollback');
  await arrived(host);
});
