// The command line, as people and scripts use it.

import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import path from 'node:path';
import { before, describe, test } from 'node:test';
import { fresh, guestFile, runCli, temporaryFolder, useHost } from './harness.mjs';

const host = useHost({ components: ['fixtures'] });
const guarded = useHost({ components: ['counter'], token: 'cli-secret' });

let folder;
before(async () => (folder = await temporaryFolder()));

async function fileWith(name, content) {
  const file = path.join(folder, name);
  await writeFile(file, content);
  return file;
}

/** The stdout of a command that must work. */
async function output(...args) {
  const { code, stdout, stderr } = await host.cli(...args);
  assert.equal(code, 0, `greenroom ${args.join(' ')}: ${stderr}`);
  return stdout;
}

/** The value that a command prints, which must be JSON and nothing else. */
async function value(...args) {
  const stdout = await output(...args);
  try {
    return JSON.parse(stdout);
  } catch {
    assert.fail(`greenroom ${args.join(' ')} printed what is not JSON: ${stdout}`);
  }
}

/** The stderr of a command that must fail with this exit code, and print no result. */
async function refusal(exitCode, run) {
  const { code, stdout, stderr } = await run;
  assert.equal(code, exitCode, `it said: ${stdout}${stderr}`);
  assert.equal(stdout, '');
  assert.notEqual(stderr.trim(), '');
  assert.doesNotMatch(stderr, /panicked|RUST_BACKTRACE/);
  return stderr;
}

async function closedPort() {
  const server = createServer().listen(0, '127.0.0.1');
  await new Promise((resolve) => server.once('listening', resolve));
  const { port } = server.address();
  await new Promise((resolve) => server.close(resolve));
  return port;
}

describe('deploy', () => {
  test('says which component and which revision it has made', async () => {
    const stdout = await output('deploy', guestFile('counter'));
    assert.match(stdout, /counter/);
    assert.match(stdout, /\b1\b/);
  });

  test('takes several files, and prints one line of JSON for each with --json', async () => {
    const lines = (await output('deploy', '--json', guestFile('order'), guestFile('inventory'))).trim().split('\n');
    const deployed = lines.map((line) => JSON.parse(line));
    assert.deepEqual(deployed.map(({ component }) => component), ['order', 'inventory']);
    assert.ok(deployed.every(({ revision, hash }) => revision === 1 && /^[0-9a-f]{64}$/.test(hash)));
  });

  test('of what the host refuses ends with 1 and the reason', async () => {
    const file = await fileWith('garbage.wasm', 'not a component');
    assert.match(await refusal(1, host.cli('deploy', file)), /^component\.invalid: .+/m);
  });

  test('stops at the first file that is refused', async () => {
    const { code, stdout } = await host.cli('deploy', await fileWith('bad.wasm', 'x'), guestFile('liar'));
    assert.equal(code, 1);
    assert.equal(stdout, '');
    assert.doesNotMatch(await output('components'), /liar/);
  });

  test('of what is there already says that nothing has changed', async () => {
    assert.match(await output('deploy', guestFile('fixtures')), /unchanged/);
    assert.equal((await value('deploy', '--json', guestFile('fixtures'))).isNew, false);
  });

  test('of a file that is not there ends with 2 and names it', async () => {
    assert.match(await refusal(2, host.cli('deploy', path.join(folder, 'nowhere.wasm'))), /nowhere\.wasm/);
  });
});

describe('components', () => {
  test('lists what is deployed', async () => {
    assert.match(await output('components'), /fixtures/);
    const { components } = await value('components', '--json');
    const fixtures = components.find(({ component }) => component === 'fixtures');
    assert.equal(fixtures.revision, 1);
    assert.ok(fixtures.actorTypes.some(({ name }) => name === 'echoer'));
  });
});

describe('actors', () => {
  test('lists those of a type and a namespace', async () => {
    const [key, namespace] = [fresh('listed'), fresh('ns')];
    await host.call('echoer', [key], 'echo', 1);
    await host.client({ namespace }).echoer.getOrCreate(['elsewhere']).resolve();

    const human = await output('actors', '--type', 'echoer');
    assert.match(human, new RegExp(key));
    assert.doesNotMatch(human, /elsewhere/);

    const here = await value('actors', '--type', 'echoer', '--json');
    assert.ok(here.actors.some((actor) => actor.key === key && actor.name === 'echoer'));
    const there = await value('actors', '--type', 'echoer', '--namespace', namespace, '--json');
    assert.deepEqual(there.actors.map((actor) => actor.key), ['elsewhere']);
    assert.deepEqual(await value('actors', '--type', 'trapper', '--namespace', namespace, '--json'), { actors: [] });
  });
});

describe('call', () => {
  test('prints the result as JSON, with and without --json', async () => {
    const key = fresh();
    assert.equal(await value('call', 'trapper', key, 'increment', '5'), 5);
    assert.equal(await value('call', '--json', 'trapper', key, 'increment', '-2'), 3);
  });

  test('takes arguments as JSON, and what is no JSON as text', async () => {
    const echo = (argument) => value('call', 'echoer', 'k', 'echo', argument);
    assert.deepEqual(await echo('{"a":[1,null,true]}'), { a: [1, null, true] });
    assert.equal(await echo('"quoted"'), 'quoted');
    assert.equal(await echo('plain text'), 'plain text');
    assert.equal(await echo('12abc'), '12abc');
    assert.equal(await echo('1.5'), 1.5);
    assert.equal(await echo('é 日本'), 'é 日本');
    assert.equal(await echo(''), '');
    assert.equal(await value('call', 'echoer', 'k', 'add', '40', '2'), 42);
  });

  test('takes the key in its serialized form', async () => {
    const keyOf = (key) => value('call', 'echoer', key, 'key');
    assert.deepEqual(await keyOf('one'), ['one']);
    assert.deepEqual(await keyOf('org/doc\\/1'), ['org', 'doc/1']);
    assert.deepEqual(await keyOf('/'), []);
    assert.deepEqual(await keyOf('\\0'), ['']);
    assert.match(await refusal(2, host.cli('call', 'echoer', 'a\\x', 'key')), /backslash/);
  });

  test('of an action that gives nothing works', async () => {
    assert.equal(await value('call', 'echoer', 'k', 'nothing'), null);
    assert.equal(await value('call', 'echoer', 'k', 'null_'), null);
  });

  test('prints an error as JSON with --json', async () => {
    const refused = JSON.parse(await refusal(1, host.cli('call', '--json', 'echoer', 'k', 'nope')));
    assert.equal(`${refused.group}.${refused.code}`, 'actor.action_not_found');
    const unreachable = await runCli(['call', '--json', 'echoer', 'k', 'nope', '--host', `http://127.0.0.1:${await closedPort()}`]);
    assert.equal(unreachable.code, 3);
    assert.equal(typeof JSON.parse(unreachable.stderr).message, 'string');
  });

  test('takes a namespace', async () => {
    const [key, namespace] = [fresh(), fresh('ns')];
    assert.equal(await value('call', '--namespace', namespace, 'trapper', key, 'increment', '5'), 5);
    assert.equal(await value('call', 'trapper', key, 'increment', '1'), 1);
    await output('destroy', '--namespace', namespace, 'trapper', key);
    assert.equal(await value('call', 'trapper', key, 'increment', '1'), 2);
  });

  test('ends with 1 and the error of the actor or the host', async () => {
    const call = (...args) => refusal(1, host.cli('call', ...args));
    assert.match(await call('echoer', 'k', 'nope'), /^actor\.action_not_found: .+/m);
    assert.match(await call('nobody', 'k', 'x'), /^actor\.type_not_found: .+/m);
    assert.match(await call('echoer', 'k', 'add', '1'), /^actor\.validation_error: .+/m);
    assert.match(await call('echoer', 'k', 'userError', 'No room', 'no_room', 'null'), /^user\.no_room: No room/m);
    assert.match(await call('trapper', 'k', 'panic'), /^actor\.crashed: .+/m);
    const hidden = await call('echoer', 'k', 'internalError');
    assert.match(hidden, /^rivetkit\.internal_error: .+/m);
    assert.doesNotMatch(hidden, /secret/);
  });
});

describe('destroy', () => {
  test('removes an actor, once', async () => {
    const key = fresh();
    assert.equal(await value('call', 'trapper', key, 'increment', '5'), 5);
    await output('destroy', 'trapper', key);
    assert.match(await refusal(1, host.cli('destroy', 'trapper', key)), /^actor\.not_found: .+/m);
    assert.equal(await value('call', 'trapper', key, 'increment', '1'), 1);
    assert.match((await value('destroy', 'trapper', key, '--json')).destroyed, /^[0-9a-f]{32}$/);
    assert.match(await refusal(1, host.cli('destroy', 'trapper', key)), /^actor\.not_found: .+/m);
  });
});

describe('the host', () => {
  test('is the one that --host names, whatever the environment says', async () => {
    const { code, stdout } = await runCli(['components', '--host', host.url], { GREENROOM_HOST: 'http://127.0.0.1:1' });
    assert.equal(code, 0);
    assert.match(stdout, /fixtures/);
  });

  test('that cannot be reached ends every command with 3', async () => {
    const url = `http://127.0.0.1:${await closedPort()}`;
    const file = guestFile('counter');
    for (const args of [['deploy', file], ['components'], ['actors'], ['call', 'echoer', 'k', 'echo', '1'], ['destroy', 'echoer', 'k']]) {
      const stderr = await refusal(3, runCli([...args, '--host', url]));
      assert.match(stderr, new RegExp(url.replaceAll('.', '\\.').replace('http://', '')));
    }
  });

  test('that wants a token refuses commands without it and takes those with it', async () => {
    for (const args of [['components'], ['actors', '--type', 'counter'], ['deploy', guestFile('counter')]]) {
      assert.match(await refusal(1, guarded.cli(...args)), /^api\.unauthorized: .+/m);
      assert.match(await refusal(1, guarded.cli(...args, '--token', 'wrong')), /^api\.unauthorized: .+/m);
      const { code, stderr } = await guarded.cli(...args, '--token', 'cli-secret');
      assert.equal(code, 0, stderr);
    }
  });
});

describe('wrong usage', () => {
  const WRONG = {
    'no command': [],
    'a command that is none': ['dance'],
    'a deploy of no file': ['deploy'],
    'a call without an action': ['call', 'echoer', 'k'],
    'a destroy without a key': ['destroy', 'echoer'],
    'a flag that is none': ['components', '--colour', 'red'],
    'a host that is no URL': ['components', '--host', 'not a url'],
    'a listener that is none': ['serve', '--listen', 'nowhere'],
    'a duration that is none': ['serve', '--sleep-after', 'soon'],
    'a size that is none': ['serve', '--component-bytes-max', 'much'],
  };
  for (const [what, args] of Object.entries(WRONG)) {
    test(`ends with 2: ${what}`, async () => {
      await refusal(2, runCli(args));
    });
  }

  test('is answered by --help', async () => {
    const { code, stdout } = await runCli(['--help']);
    assert.equal(code, 0);
    for (const command of ['serve', 'deploy', 'components', 'actors', 'call', 'destroy']) {
      assert.match(stdout, new RegExp(`\\b${command}\\b`));
    }
    for (const command of ['serve', 'deploy', 'call']) assert.equal((await runCli([command, '--help'])).code, 0);
    const version = await runCli(['--version']);
    assert.equal(version.code, 0);
    assert.match(version.stdout, /\d+\.\d+\.\d+/);
  });
});

describe('serve', () => {
  test('refuses settings that make no sense, wherever they come from', async () => {
    assert.match(await refusal(2, runCli(['serve'], { GREENROOM_SLEEP_AFTER: 'soon' })), /sleep_after/);
    assert.match(await refusal(2, runCli(['serve', '--ping-every', '2m'])), /silence_max/);
    const config = await fileWith('config.toml', 'colour = "red"\n');
    assert.match(await refusal(2, runCli(['serve', '--config', config])), /colour/);
    assert.match(await refusal(2, runCli(['serve', '--config', path.join(folder, 'none.toml')])), /none\.toml/);
  });

  test('refuses to be open to the network without a token', async () => {
    assert.match(await refusal(2, runCli(['serve', '--listen', '0.0.0.0:0', '--data', path.join(folder, 'open')])), /token/);
  });

  test('refuses data that another host uses', async () => {
    const stderr = await refusal(1, runCli(['serve', '--listen', '127.0.0.1:0', '--data', host.data]));
    assert.ok(stderr.includes(host.data), stderr);
    assert.equal(await host.call('echoer', ['k'], 'echo', 'still here'), 'still here');
  });
});

test('a host cannot listen where another one does, and says so', async () => {
  const { code, stderr, stdout } = await runCli(['serve', '--listen', `127.0.0.1:${host.port}`, '--data', path.join(folder, 'second')]);
  assert.notEqual(code, 0);
  assert.doesNotMatch(stdout, /READY/);
  assert.match(stderr, new RegExp(`127\\.0\\.0\\.1:${host.port}`));
});
