// Deploys and rollouts on the command line, as people and scripts see them.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { guestFile, range, runCli, startCli, startHost, until } from './harness.mjs';

const [V1, V2, V3, V4] = range(4).map((n) => guestFile(`account_v${n + 1}`));
const BROKEN = guestFile('account_broken');

/** A host with the first revision of the account, and its command line. */
async function accounts(t, flags = ['--rollout-window', '200ms']) {
  const host = await startHost(t, { components: ['account_v1'], flags });
  /** The stdout of a command that must work. */
  host.output = async (...args) => {
    const { code, stdout, stderr } = await host.cli(...args);
    assert.equal(code, 0, `greenroom ${args.join(' ')}: ${stdout}${stderr}`);
    return stdout;
  };
  /** The stderr of a command that the host must say no to. */
  host.refusal = async (...args) => {
    const { code, stdout, stderr } = await host.cli(...args);
    assert.equal(code, 1, `greenroom ${args.join(' ')}: ${stdout}${stderr}`);
    assert.equal(stdout, '');
    assert.doesNotMatch(stderr, /panicked/);
    return stderr;
  };
  host.json = async (...args) => JSON.parse(await host.output(...args, '--json'));
  host.account = (key, action, ...args) => host.call('account', [key], action, ...args);
  return host;
}

test('a deploy says what is different, and revisions say who deployed and why', async (t) => {
  const host = await accounts(t);
  const dry = await host.output('deploy', V2, '--dry-run');
  assert.match(dry, /^account: this would be a new revision; nothing has changed$/m);
  assert.match(dry, /^\+ action double\(\) -> i64$/m);
  assert.equal((await host.json('components')).components[0].revision, 1);

  const deployed = await host.output('deploy', V2, '--by', 'ann', '--message', 'can double', '--wait');
  assert.match(deployed, /^account: revision 2 is deployed/m);
  assert.match(deployed, /^\+ action double\(\) -> i64$/m);
  assert.match(deployed, /^account: revision 2 has arrived$/m);
  const lines = (await host.output('revisions', 'account')).trim().split('\n');
  assert.match(lines[0], /^REVISION +STATUS +DEPLOYED +BY/);
  assert.match(lines[1], /^2 +current +\d{4}-\d\d-\d\dT\S+ +ann +\d+ +[0-9a-f]{12} +can double$/);
  assert.match(lines[2], /^1 +superseded /);
  assert.deepEqual((await host.json('revisions', 'account')).revisions.map(({ revision }) => revision), [2, 1]);

  const back = await host.output('deploy', V1);
  assert.match(back, /^- action double\(\) -> i64 +breaking$/m);
});

test('a deploy whose rehearsal fails names the actors and the way on, and --force goes it', async (t) => {
  const host = await accounts(t);
  await host.account('owned', 'open', 'ann');
  await host.account('ownerless', 'deposit', 1);

  const stderr = await host.refusal('deploy', V3);
  assert.match(stderr, /^component\.rehearsal_failed: /m);
  assert.match(stderr, /^rehearsed 2 actors: 1 fine, 1 would not start:$/m);
  assert.match(stderr, /^ +account ownerless: account has no owner$/m);
  assert.match(stderr, /^~ state version: 1 → 2$/m);
  assert.match(stderr, /--force/);
  assert.doesNotMatch(stderr, /metadata/);
  assert.equal((await host.json('components')).components[0].revision, 1);
  const { code, stdout, stderr: json } = await host.cli('deploy', V3, '--json');
  assert.deepEqual([code, stdout], [1, '']);
  assert.equal(JSON.parse(json).metadata.rehearsal.failures[0].key, 'ownerless');

  const forced = await host.output('deploy', V3, '--force', '--wait');
  assert.match(forced, /would not start:\n +account ownerless: /);
  assert.match(forced, /has arrived$/m);
  assert.deepEqual([await host.account('owned', 'version'), await host.account('ownerless', 'version')], [3, 1]);
  assert.match(await host.output('pins', 'account'), /^account +ownerless +default +\d +host +\S+ +could not start on 2: account has no owner$/m);
});

test('a deploy is rehearsed as it says', async (t) => {
  const host = await accounts(t);
  for (const n of range(3)) await host.account(`ownerless-${n}`, 'deposit', 1);
  const dry = (...args) => host.output('deploy', V2, '--dry-run', ...args);
  assert.doesNotMatch(await dry(), /rehearsed/);
  assert.match(await dry('--rehearse'), /^rehearsed 3 actors: 3 fine$/m);
  assert.match(await dry('--rehearse', '2'), /^rehearsed 2 of 3 actors: 2 fine$/m);
  assert.doesNotMatch(await host.output('deploy', V3, '--rehearse', 'no'), /rehearsed/);
});

test('a deploy of several files stops at the first that is refused, and says what was not tried', async (t) => {
  const host = await accounts(t);
  await host.account('ownerless', 'deposit', 1);
  const { code, stdout, stderr } = await host.cli('deploy', guestFile('counter'), V3, V2);
  assert.equal(code, 1);
  assert.match(stdout, /^counter: revision 1 is deployed, .*\n$/);
  assert.match(stderr, /account_v3\.wasm was not deployed[^]*account_v2\.wasm was not tried/);
});

test('a deploy that waits ends with 1 and the reason when actors cannot start on it', async (t) => {
  const host = await accounts(t);
  for (const n of range(8)) await host.account(`a${n}`, 'deposit', n);
  const { code, stdout, stderr } = await host.cli('deploy', BROKEN, '--wait');
  assert.equal(code, 1, stdout + stderr);
  assert.match(stdout, /revision 2 is deployed/);
  assert.match(stderr, /^account: revision 2 was rolled back: .*this revision does not start/m);
  assert.match(await host.output('revisions', 'account'), /^2 +rolled back .*this revision does not start/m);
  assert.match(await host.output('rollout', 'status', 'account'), /^revision 2 was rolled back: /m);
  for (const n of range(8)) assert.equal(await host.account(`a${n}`, 'balance'), n);
});

test('a deploy that waits ends with 1 when actors break down on it', async (t) => {
  const host = await accounts(t, ['--rollout-window', '20s']);
  await host.output('deploy', V3);
  const deploy = startCli(['deploy', V4, '--wait', '--json', '--host', host.url]);
  let isOver = false;
  deploy.ended.then(() => (isOver = true));
  for (let n = 0; !isOver; n += 1) await host.account(`a${n % 20}`, 'deposit', 1).catch(() => {});
  const { code, stdout } = await deploy.ended;
  assert.equal(code, 1, stdout);
  const [deployed, status] = stdout.trim().split('\n').map((line) => JSON.parse(line));
  assert.equal(deployed.revision, 3);
  assert.equal(status.rolledBack.revision, 3);
  assert.match(status.rolledBack.reason, /broke down/);
});

test('a rollout to some actors waits, is promoted in steps, and can be watched to its end', async (t) => {
  const host = await accounts(t);
  await host.account('beta-1', 'deposit', 1);
  await host.account('other', 'deposit', 1);
  const deployed = await host.output('deploy', V2, '--types', 'account', '--keys', 'beta-*', '--keys', 'gamma', '--wait');
  assert.match(deployed, /^account: waiting, from revision 1 to revision 2$/m);
  assert.match(deployed, /plan +all actors of account whose keys match beta-\* or gamma$/m);
  const versions = async () => [await host.account('beta-1', 'version'), await host.account('other', 'version')];
  assert.deepEqual(await versions(), [2, 1]);
  const status = await host.output('rollout', 'status', 'account');
  assert.match(status, /awake +2, with 0 still to move and 1 on the newest revision$/m);
  assert.match(status, /starts +1 went well, 0 failed, 0 broke down later$/m);
  assert.equal((await host.json('rollout', 'status', 'account')).state, 'waiting');

  const refused = await host.refusal('deploy', V3);
  assert.match(refused, /^component\.rollout_active: /m);
  assert.match(refused, /greenroom rollout promote account/);

  const watching = startCli(['rollout', 'status', 'account', '--watch', '--host', host.url]);
  await until('it watches', () => watching.output.stdout.includes('waiting'));
  await host.output('rollout', 'promote', 'account', '--percent', '100');
  assert.deepEqual(await versions(), [2, 1]);
  await host.output('rollout', 'promote', 'account');
  const { code, stdout } = await watching.ended;
  assert.equal(code, 0);
  assert.match(stdout, /^account: on revision 2, and no rollout is under way$/m);
  assert.deepEqual(await versions(), [2, 2]);
});

test('a rollout is paused, goes on, and is rolled back for a reason', async (t) => {
  const host = await accounts(t, ['--rollout-window', '60s']);
  assert.match(await host.refusal('rollout', 'pause', 'account'), /^component\.no_rollout: /m);
  await host.output('deploy', V2);
  assert.match(await host.output('rollout', 'pause', 'account'), /^account: paused, from revision 1 to revision 2$/m);
  assert.match(await host.output('deploy', V2, '--wait'), /unchanged[^]*account: paused/);
  assert.match(await host.output('rollout', 'resume', 'account'), /^account: (moving|watching), /m);

  const watching = startCli(['rollout', 'status', 'account', '--watch', '--host', host.url]);
  await until('it watches', () => watching.output.stdout.includes('watching'));
  const back = await host.output('rollout', 'rollback', 'account', '--reason', 'it was a mistake');
  assert.match(back, /^account: on revision 1, /m);
  assert.match(back, /^revision 2 was rolled back: it was a mistake$/m);
  assert.equal((await watching.ended).code, 1);
  assert.match(await host.output('revisions', 'account'), /^2 +rolled back .*it was a mistake$/m);
  assert.match(await host.refusal('rollout', 'rollback', 'account'), /^component\.no_earlier_revision: /m);
});

test('a pinned actor stays where it is until it is unpinned', async (t) => {
  const host = await accounts(t);
  await host.account('stays', 'deposit', 1);
  assert.equal(await host.output('pin', 'account', 'stays', '--reason', 'an audit'), 'account stays stays on revision 1\n');
  await host.output('deploy', V2, '--wait');
  assert.equal(await host.account('stays', 'version'), 1);
  const pins = (await host.output('pins', 'account')).trim().split('\n');
  assert.equal(pins.length, 2);
  assert.match(pins[1], /^account +stays +default +1 +operator +\S+ +an audit$/);
  assert.match(await host.output('unpin', 'account', 'stays'), /goes with the others again/);
  assert.match(await host.output('unpin', 'account', 'stays'), /was not pinned/);
  await until('it has gone over', async () => (await host.account('stays', 'version')) === 2);

  const { actor } = await host.json('pin', 'account', 'stays', '--revision', '1');
  await until('it is back', async () => (await host.account('stays', 'version')) === 1);
  assert.deepEqual(await host.json('unpin', '--id', actor.actor_id), { wasPinned: true });
  assert.deepEqual(await host.json('pins', 'account'), { pins: [] });
  assert.match(await host.refusal('pin', 'account', 'stays', '--revision', '9'), /^component\.revision_not_found: /m);
  assert.match(await host.refusal('pin', 'account', 'nobody'), /^actor\.not_found: /m);
});

test('what names nothing ends with 1, what makes no sense with 2, and no host with 3', async (t) => {
  const host = await accounts(t);
  for (const args of [['revisions', 'nope'], ['pins', 'nope'], ['rollout', 'status', 'nope'], ['rollout', 'promote', 'nope']]) {
    assert.match(await host.refusal(...args), /^component\.not_found: /m);
  }
  assert.match(await host.refusal('deploy', V2, '--grant', 'root'), /^api\.bad_request: /m);
  assert.match(await host.refusal('deploy', V2, '--percent', '101'), /^api\.bad_request: /m);
  const WRONG = [['rollout'], ['rollout', 'dance', 'account'], ['pin', 'account'], ['unpin'], ['pins'], ['revisions'], ['revisions', '']];
  for (const args of [...WRONG, ['deploy', '--rehearse', V2], ['deploy', V2, '--percent', 'much']]) {
    assert.equal((await host.cli(...args)).code, 2, args.join(' '));
  }
  for (const args of [['revisions', 'a'], ['rollout', 'status', 'a', '--watch'], ['pins', 'a'], ['pin', 'a', 'b'], ['deploy', V2, '--wait']]) {
    assert.equal((await runCli([...args, '--host', 'http://127.0.0.1:1'])).code, 3, args.join(' '));
  }
});
