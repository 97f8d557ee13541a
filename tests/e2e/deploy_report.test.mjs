// What a deploy says before anything changes: what is different, what the new code may do that the old could not.

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { NAME, accounts, arrived, reworded } from './accounts.mjs';
import { actionPath, assertRefusal, failsWith, guestBytes, range, sameAgain, startHost, useHost } from './harness.mjs';

/** A difference in a few words; `!` marks what may break clients. */
function told({ change, kind, actorType, name, before, after, isBreaking }) {
  const what = [change, isBreaking ? '!' : '', ' ', kind, ' ', actorType ? `${actorType}.` : '', name].join('');
  return before || after ? `${what}: ${before ?? '-'} > ${after ?? '-'}` : what;
}

describe('the report of a deploy', () => {
  const host = useHost({ components: ['account_v1', 'rollout_v1', 'echo_socket'], flags: ['--rollout-window', '200ms'] });
  const dryRun = async (component, how) => (await host.deploy(component, { dryRun: true, ...how })).report;
  const differences = async (component, how) => (await dryRun(component, how)).differences.map(told);

  test('tells of actions and events: which are new, gone, or take something else', async () => {
    assert.deepEqual(await differences('account_v2'), ['added action account.double: - > () -> i64']);
    const other = reworded(await guestBytes('account_v1'), { later: 'after', owner: 'donor', deposited: 'collected' });
    assert.deepEqual(new Set(await differences(other)), new Set([
      'removed! action account.later: (ms: u64, n: i64) -> String > -',
      'added action account.after: - > (ms: u64, n: i64) -> String',
      'removed! action account.owner: () -> String > -',
      'added action account.donor: - > () -> String',
      'changed! action account.open: (owner: String) > (donor: String)',
      'changed! action account.set_raw: (balance: i64, owner: String) > (balance: i64, donor: String)',
      'removed! event account.deposited: i64 > -',
      'added event account.collected: - > i64',
    ]));
  });

  test('tells of the version of the state, and rehearses then', async () => {
    const report = await dryRun('account_v3');
    assert.deepEqual(report.differences.map(told), ['changed state version account.state: 1 > 2']);
    assert.equal(report.isMigrating, true);
    assert.notEqual(report.rehearsal, null);
  });

  test('tells of queues, options, handlers, and of types that come and go', async () => {
    // The pool and its worker, as if they were a later revision of the socket.
    const other = reworded(await guestBytes('worker_pool'), { worker_pool: 'echo_socket', workerPool: 'echoSocket' });
    const all = await differences(other, { grant: 'all' });
    for (const one of [
      'added actor type worker',
      'added capability actors',
      'added handler echoSocket.run',
      'added queue echoSocket.jobs: - > Vec<String>',
      'removed! handler echoSocket.websocket',
      'added option echoSocket.queue-attempts-max: - > 3',
      'removed option echoSocket.websockets-hibernate: true > -',
      'removed option echoSocket.sleep-after-ms: 2000 > -',
    ]) {
      assert.ok(all.includes(one), `not told: ${one}; but\n${all.join('\n')}`);
    }
  });

  test('tells of nothing where nothing is different', async () => {
    assert.deepEqual(await differences(await sameAgain('account_v1', 1)), []);
  });

  test('tells of sizes and their bounds, in bytes', async () => {
    const bytes = await guestBytes('account_v2');
    const { limits, hash, component, comparedWith, capabilities, widened } = await dryRun(bytes);
    assert.equal(limits.sizeBytes, bytes.length);
    assert.equal(limits.sizeBytesMax, 64 * 1024 * 1024);
    assert.equal(limits.memoryBytesMax, 64 * 1024 * 1024);
    assert.equal(limits.memoryBytes % 65_536, 0);
    assert.ok(limits.memoryBytes > 0 && limits.memoryBytes < limits.memoryBytesMax);
    assert.match(hash, /^[0-9a-f]{64}$/);
    assert.deepEqual([component, comparedWith, capabilities, widened], [NAME, 1, ['background', 'schedule'], []]);
  });

  test('of a dry run is all there is: nothing changes', async () => {
    const [one] = await accounts(host, 1);
    const look = async () => {
      const { headers } = await host.request('POST', actionPath(NAME, one.key, 'version'), { body: { args: [] } });
      const known = [await host.manage('GET', '/components'), await host.revisions(NAME), await host.rollout(NAME)];
      return { generation: headers['x-rivet-actor-generation'], known };
    };
    const before = await look();
    for (const component of ['account_v1', 'account_v2', 'account_v3']) {
      const { isDryRun, isNew } = await host.deploy(component, { dryRun: true });
      assert.deepEqual([isDryRun, isNew], [true, false]);
    }
    await failsWith('component.invalid', host.deploy(Buffer.from('nothing'), { dryRun: true }));
    assert.deepEqual(await look(), before);
    const { report, ...rest } = await host.deploy('counter', { dryRun: true });
    assert.deepEqual([report.comparedWith, report.differences, report.widened], [null, [], []]);
    assert.deepEqual(rest, { isNew: false, isDryRun: true });
    await failsWith('component.not_found', host.revisions('counter'));
  });

  test('is the reason of a refusal where more is asked for than was granted', async () => {
    // The account, as if it were a later revision of the component `rollout`.
    const wider = reworded(await guestBytes('account_v1'), { account: 'rollout' });
    const before = await host.revisions('rollout');
    const both = 'background, schedule';
    for (const [how, missing] of [[{}, both], [{ grant: 'schedule,kv' }, 'background'], [{ dryRun: true }, both]]) {
      const error = await failsWith('component.not_granted', host.deploy(wider, how));
      assert.ok(error.text.endsWith(missing), error.text);
      const { widened, differences, comparedWith } = error.metadata;
      assert.deepEqual([widened, comparedWith], [['background', 'schedule'], 1]);
      assert.ok(differences.map(told).includes('removed! action rollout.increment: (n: i64) -> i64 > -'));
    }
    assert.deepEqual(await host.revisions('rollout'), before);
    assert.equal(await host.call('rollout', ['k'], 'version'), 1);

    // That this actor cannot start on it is accepted.
    const { revision, report } = await host.deploy(wider, { grant: 'background,schedule', force: true });
    assert.deepEqual([revision, report.widened], [2, ['background', 'schedule']]);
    await arrived(host, 'rollout');
    // What it was granted it has; and who asks for less need not be granted anything.
    const { report: narrower } = await host.deploy(await sameAgain('rollout_v1', 1));
    assert.ok(narrower.differences.map(told).includes('removed! queue rollout.jobs: Job > -'));
    await arrived(host, 'rollout');
  });

  test('is kept in the history: who deployed what and why, how large it was, and what became of it', async () => {
    const bytes = await guestBytes('account_v2');
    const message = 'twice as much, “doubled” & done';
    const deployed = await host.deploy(bytes, { by: 'ann@example.org', message });
    await arrived(host);
    const [newest, first] = await host.revisions(NAME);
    assert.deepEqual([newest.revision, first.revision], [2, 1]);
    assert.deepEqual([newest.deployedBy, newest.message, newest.sizeBytes], ['ann@example.org', message, bytes.length]);
    assert.deepEqual([newest.hash, newest.createdAtMs], [deployed.hash, deployed.createdAtMs]);
    assert.deepEqual([newest.status, first.status], ['current', 'superseded']);
    assert.deepEqual([newest.rolledBack, newest.isKept], [null, true]);
    assert.ok(newest.actorTypes[0].actions.some(({ name }) => name === 'double'));
    const long = await host.request('POST', `/components?message=${'x'.repeat(4_097)}`, { body: 'short' });
    assertRefusal(long, 400, 'api.bad_request');
  });
});

test('revisions are kept up to a bound, besides those that are in use', async (t) => {
  const host = await startHost(t, { components: ['account_v1'], flags: ['--rollout-window', '1ms', '--revisions-kept-max', '2'] });
  const [pinned, other] = await accounts(host, 2);
  await host.pin(await pinned.id());
  for (const n of range(5)) {
    await host.deploy(await sameAgain('account_v2', n));
    await arrived(host);
  }
  const kept = (await host.revisions(NAME)).map(({ revision, isKept }) => [revision, isKept]);
  const numbers = kept.filter(([, isKept]) => isKept).map(([revision]) => revision);
  assert.deepEqual(kept.map(([revision]) => revision), [6, 5, 4, 3, 2, 1], 'the history is as long as ever');
  assert.ok(numbers.includes(6) && numbers.includes(5) && numbers.includes(1), `kept: ${numbers}`);
  assert.ok(numbers.length <= 4, `kept: ${numbers}`);
  await pinned.sleep();
  assert.deepEqual([await pinned.version(), await other.version()], [1, 2]);
  await failsWith('component.revision_not_found', host.pin(await other.id(), { revision: 2 }));
  await failsWith('component.revision_not_found', host.pin(await other.id(), { revision: 99 }));
  await host.kill();
  await host.startAgain();
  assert.deepEqual([await pinned.version(), await other.version()], [1, 2]);
});
