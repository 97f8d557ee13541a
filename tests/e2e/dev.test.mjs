// From nothing to an actor that changes under its clients: `greenroom new` and `greenroom dev`.
//
// Cargo builds the crate for real, without optimisation, so that this takes seconds.

import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { copyFile, mkdir, readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { before, test } from 'node:test';
import { createClient } from 'rivetkit/client';
import { runCli, startCli, startHost, temporaryFolder, until } from './harness.mjs';

const ROOT = path.resolve(import.meta.dirname, '../..');
const BUILD_MAX_MS = 200_000;
// However long a build takes, who was called before is awake after it.
const AWAKE = ['--sleep-after', '1h'];
const AWAKE_ENV = { GREENROOM_SLEEP_AFTER: '1h' };

let folder;
let project;
let build;

before(async () => {
  folder = await temporaryFolder();
  project = path.join(folder, 'tally-room');
  // The same for builds by hand and by `dev`, which so share what they have built.
  build = {
    CARGO_TARGET_DIR: path.join(folder, 'target'),
    CARGO_PROFILE_RELEASE_OPT_LEVEL: '0',
    CARGO_PROFILE_RELEASE_LTO: 'off',
    CARGO_PROFILE_RELEASE_CODEGEN_UNITS: '16',
    CARGO_PROFILE_RELEASE_INCREMENTAL: 'true',
    CARGO_PROFILE_RELEASE_STRIP: 'debuginfo',
  };
  const { code, stdout, stderr } = await runCli(['new', 'tally-room', '--path', project, '--sdk', path.join(ROOT, 'guest-sdk')]);
  assert.equal(code, 0, stderr);
  assert.match(stdout, /tally-room is made/);
  // The versions that the SDK is tested with.
  await copyFile(path.join(ROOT, 'Cargo.lock'), path.join(project, 'Cargo.lock'));
});

const source = () => path.join(project, 'src/lib.rs');

/** Changes the source as an editor would: all at once. */
async function edit(...changes) {
  let text = await readFile(source(), 'utf8');
  for (let n = 0; n < changes.length; n += 2) {
    assert.ok(text.includes(changes[n]), `${changes[n]} is not in ${text}`);
    text = text.replace(changes[n], changes[n + 1]);
  }
  await writeFile(source(), text);
}

/** `greenroom dev`, ended with the test. */
function dev(t, args, env = {}) {
  const running = startCli(['dev', project, ...args], { ...build, GREENROOM_LOG: 'warn', ...env });
  t.after(async () => {
    running.signal('SIGINT');
    await running.ended;
  });
  /** Waits for what it says next on stdout or stderr. */
  running.says = async (pattern) => {
    const text = () => running.output.stdout + running.output.stderr;
    await until(() => `dev says ${pattern}; it said: ${text()}`, () => pattern.test(text()), { within: BUILD_MAX_MS });
    return pattern.exec(text());
  };
  return running;
}

test('new refuses names that no crate can have, and to write over anything', async () => {
  for (const name of ['1st', 'a/b', 'fn', '']) {
    const { code, stderr } = await runCli(['new', name, '--path', path.join(folder, 'refused')]);
    assert.equal(code, 2, `${name}: ${stderr}`);
  }
  assert.equal(existsSync(path.join(folder, 'refused')), false);
  const again = await runCli(['new', 'other', '--path', project]);
  assert.equal(again.code, 2);
  assert.match(again.stderr, /is there already/);
  assert.match(await readFile(path.join(project, 'Cargo.toml'), 'utf8'), /name = "tally-room"/);
  const nowhere = await runCli(['new', 'other', '--path', path.join(folder, 'other'), '--sdk', folder]);
  assert.equal(nowhere.code, 2);
  assert.match(nowhere.stderr, /not the folder of greenroom-sdk/);
});

test('new finds the SDK of the checkout that it is called in', async () => {
  const found = path.join(folder, 'found');
  const { code, stderr } = await runCli(['new', 'found', '--path', found]);
  assert.deepEqual([code, stderr], [0, '']);
  assert.ok((await readFile(path.join(found, 'Cargo.toml'), 'utf8')).includes(`path = "${path.join(ROOT, 'guest-sdk')}"`));
});

test('dev starts a host, and a change of the source reaches a client that stays connected', async (t) => {
  const running = dev(t, ['--listen', '127.0.0.1:0'], AWAKE_ENV);
  const [, url] = await running.says(/started a host at (http:\S+)/);
  await running.says(/^revision 1 is ready after [\d.]+ s \(build [\d.]+ s, check and rehearse [\d.]+ s, swap [\d.]+ s\)$/m);

  const client = createClient({ endpoint: url });
  t.after(() => client.dispose());
  const connection = client.tallyRoom.getOrCreate(['k']).connect();
  const counts = [];
  let closes = 0;
  connection.on('changed', (count) => counts.push(count));
  connection.onClose(() => (closes += 1));
  assert.equal(await connection.increment(5), 5);
  await until('the event has come', () => counts.length === 1);

  await edit('self.count += by;', 'self.count += by * 10;');
  await running.says(/^revision 2 answers after [\d.]+ s \(build [\d.]+ s, check and rehearse [\d.]+ s, swap [\d.]+ s\)$/m);
  assert.equal(await connection.increment(1), 15);
  await until('the event has come on the same connection', () => counts.length === 2);
  assert.deepEqual([counts, closes], [[5, 15], 0]);

  await edit('self.count += by * 10;', 'self.count += nothing;');
  await running.says(/cannot find value `nothing`[^]*the build failed; what was deployed goes on/);
  assert.equal(await connection.increment(1), 25);
  await edit('self.count += nothing;', 'self.count += by * 100;');
  await running.says(/^revision 3 answers after /m);
  assert.equal(await connection.increment(1), 125);
  assert.equal(closes, 0);

  running.signal('SIGTERM');
  assert.equal((await running.ended).code, 0);
  await assert.rejects(fetch(url), 'the host has ended as well');
  assert.ok(existsSync(path.join(project, '.greenroom')));
  const next = dev(t, ['--listen', '127.0.0.1:0']);
  const [, nextUrl] = await next.says(/started a host at (http:\S+)/);
  await next.says(/^unchanged, still revision 3$/m);
  const { stdout } = await runCli(['call', 'tallyRoom', 'k', 'increment', '1', '--host', nextUrl]);
  assert.equal(stdout, '225\n');
});

test('dev uses the host that is there, grants what is asked for, and tells of a rollback', async (t) => {
  const host = await startHost(t, { flags: [...AWAKE, '--rollout-window', '60s', '--rollout-failures-min', '1'] });
  const running = dev(t, ['--host', host.url]);
  await running.says(/using the host at/);
  await running.says(/^revision 1 is ready after /m);
  const call = () => host.call('tallyRoom', ['k'], 'increment', 1);
  assert.equal(await call(), 100);

  // What a deploy by hand has to be granted.
  const asks = 'env.schedule().after(Duration::from_secs(3600), "increment", (by,)).expect("room");\n        self.count';
  await edit('env.broadcast(CHANGED, &self.count);\n        self.count', `env.broadcast(CHANGED, &self.count);\n        ${asks}`);
  await running.says(/^it can do what it could not: schedule$/m);
  await running.says(/^revision 2 answers after /m);
  assert.equal(await call(), 200);
  const file = path.join(build.CARGO_TARGET_DIR, 'wasm32-wasip2/release/tally_room.wasm');
  const asking = path.join(folder, 'asking.wasm');
  await copyFile(file, asking);

  await edit('self.count += by * 100;', 'assert!(by > 5, "nobody counts that little");\n        self.count += by;');
  await running.says(/^revision 3 answers after /m);
  await assert.rejects(call());
  await running.says(/^revision 3 was rolled back: .*broke down/m);
  assert.equal(await call(), 300);

  const other = await startHost(t);
  await edit('assert!(by > 5, "nobody counts that little");', '', 'env.schedule()', '// env.schedule()');
  await running.says(/^revision 4 answers after /m);
  const plain = await other.cli('deploy', file);
  assert.equal(plain.code, 0, plain.stderr);
  const refused = await other.cli('deploy', asking);
  assert.equal(refused.code, 1);
  assert.match(refused.stderr, /^component\.not_granted: .*schedule/m);
  assert.match(refused.stderr, /^it can do what it could not: schedule$/m);
  assert.match(refused.stderr, /--grant schedule/);
  assert.equal((await other.cli('deploy', asking, '--grant', 'schedule')).code, 0);
});

test('dev of what is no crate, or without a host that can be started, ends at once', async () => {
  const nothing = await runCli(['dev', path.join(folder, 'nothing')]);
  assert.equal(nothing.code, 2);
  assert.match(nothing.stderr, /is not the folder of a crate/);
  const elsewhere = await runCli(['dev', project, '--host', 'http://192.0.2.1:1'], build);
  assert.notEqual(elsewhere.code, 0);
  assert.match(elsewhere.stderr, /is not this machine/);
});

test('dev builds again when a crate changes that the actor depends on by path', async (t) => {
  const shared = path.join(folder, 'shared-prices');
  await mkdir(path.join(shared, 'src'), { recursive: true });
  await writeFile(path.join(shared, 'Cargo.toml'), '[package]\nname = "shared-prices"\nversion = "0.1.0"\nedition = "2024"\n');
  await writeFile(path.join(shared, 'src/lib.rs'), 'pub const PRICE: i64 = 7;\n');
  const host = await startHost(t, { flags: AWAKE });
  const running = dev(t, ['--host', host.url]);
  await running.says(/^revision 1 is ready after /m);

  const manifest = path.join(project, 'Cargo.toml');
  const text = await readFile(manifest, 'utf8');
  await edit('self.count += by;', 'self.count += by * shared_prices::PRICE;');
  await running.says(/the build failed; what was deployed goes on/);
  await writeFile(manifest, text.replace('[dependencies]', `[dependencies]\nshared-prices.path = "${shared}"`));
  await running.says(/^revision 2 is ready after /m);
  assert.equal(await host.call('tallyRoom', ['k'], 'increment', 1), 7);
  await writeFile(path.join(shared, 'src/lib.rs'), 'pub const PRICE: i64 = 10;\n');
  await running.says(/^revision 3 answers after /m);
  assert.equal(await host.call('tallyRoom', ['k'], 'increment', 1), 17);
});

test('dev says that actors stay where they were when the new code does not start them', async (t) => {
  const host = await startHost(t, { flags: [...AWAKE, '--rollout-window', '1h'] });
  const running = dev(t, ['--host', host.url]);
  await running.says(/^revision 1 is ready after /m);
  const count = () => host.call('tallyRoom', ['k'], 'increment', 0);
  assert.equal(await count(), 0);

  const fails = 'Err(Error::internal("it does not wake"))';
  // It takes its time to find that out, and does not count as one that answers meanwhile.
  const woken = `    #[on_wake]
    async fn woken(_cx: Context<Self>) -> Result<()> {
        greenroom_sdk::time::sleep(std::time::Duration::from_millis(500)).await;
        ${fails}
    }
`;
  await edit('    #[action]', `${woken}\n    #[action]`);
  await running.says(/^revision 2 is deployed, but .*could not start on it and stay.*\n +.*it does not wake/m);
  assert.doesNotMatch(running.output.stdout, /^revision 2 (answers|is ready) after /m);
  const [{ actor_id: id }] = await host.actors({ name: 'tallyRoom' });
  assert.equal((await host.codeOf(id)).runsOn, 1);
  assert.equal(await count(), 0);

  await edit(fails, 'Ok(())');
  await running.says(/^revision 3 answers after /m);
  assert.equal((await host.codeOf(id)).runsOn, 3);
  assert.equal(await count(), 0);
});
