// Calls that come to an early end: told so by another call, abandoned by their callers, or too late; and those that do
// not, because their type does not ask for it.

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import http from 'node:http';
import { failsWith, range, until, useHost, within } from './harness.mjs';
import { subject } from './living.mjs';
import { connect, connectPath, ready } from './sockets.mjs';

const host = useHost({ components: ['fixtures'] });

/** Longer than any test. */
const FOR_EVER = 3_600_000;

/** Waits until an actor's counts are these. */
async function counts(actor, expected) {
  let last;
  const areSo = async () => {
    last = await actor.call('counts');
    return Object.entries(expected).every(([name, value]) => last[name] === value);
  };
  await until(`the counts are ${JSON.stringify(expected)}`, areSo).catch((error) => {
    error.message += `; they are ${JSON.stringify(last)}`;
    throw error;
  });
  assert.deepEqual(last, { begun: 0, done: 0, dropped: 0, ...expected });
}

/** Begins an action by plain HTTP and gives what makes its client go away. */
function begin(actor, action, ...args) {
  const agent = new http.Agent();
  const body = JSON.stringify({ args });
  const headers = { 'x-rivet-encoding': 'json', 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) };
  const request = http.request(new URL(actor.path(action), host.url), { method: 'POST', agent, headers });
  request.on('error', () => {});
  request.end(body);
  return () => {
    request.destroy();
    agent.destroy();
  };
}

describe('a call that another cancels', () => {
  test('is dropped where it waits, and fails as aborted', async () => {
    const actor = subject(host, 'searcher');
    const search = actor.call('search', FOR_EVER);
    search.catch(() => {});
    await counts(actor, { begun: 1 });
    assert.strictEqual(await actor.call('stop'), undefined);
    const error = await failsWith('actor.aborted', search);
    assert.notEqual(error.text, '');
    await counts(actor, { begun: 1, dropped: 1 });
  });

  test('may answer all the same', async () => {
    const actor = subject(host, 'searcher');
    const search = actor.call('search_or_not', FOR_EVER);
    await counts(actor, { begun: 1 });
    await actor.call('stop');
    assert.equal(await search, 'stopped');
    await counts(actor, { begun: 1, dropped: 1 });
  });

  test('is one of many with one token, or of the next with another', async () => {
    const actor = subject(host, 'searcher');
    const searches = range(10).map(() => actor.call('search_or_not', FOR_EVER));
    await counts(actor, { begun: 10 });
    await actor.call('stop');
    assert.deepEqual(await Promise.all(searches), range(10).map(() => 'stopped'));
    assert.equal(await actor.call('search', 10), 'done');
    await counts(actor, { begun: 11, dropped: 10, done: 1 });
  });

  test('fails as aborted for the stock client, over a connection as well', async () => {
    const client = host.client();
    const actor = subject(host, 'searcher');
    const handle = client.searcher.getOrCreate(actor.key);
    const connection = await ready(handle.connect());
    const searches = [handle.search(FOR_EVER), connection.search(FOR_EVER)];
    searches.forEach((search) => search.catch(() => {}));
    await counts(actor, { begun: 2 });
    await connection.stop();
    for (const search of searches) await failsWith('actor.aborted', search);
    assert.equal(await connection.search(1), 'done');
  });
});

describe('a call whose type gives up what nobody waits for', () => {
  test('is dropped when its client goes away', async () => {
    const actor = subject(host, 'quitter');
    const goAway = begin(actor, 'work', FOR_EVER);
    await counts(actor, { begun: 1 });
    goAway();
    await counts(actor, { begun: 1, dropped: 1 });
  });

  test('is dropped when the stock client aborts it', async () => {
    const actor = subject(host, 'quitter');
    const handle = host.client().quitter.getOrCreate(actor.key);
    const abort = new AbortController();
    const call = handle.action({ name: 'work', args: [FOR_EVER], signal: abort.signal });
    await counts(actor, { begun: 1 });
    abort.abort();
    await assert.rejects(call);
    await counts(actor, { begun: 1, dropped: 1 });
  });

  for (const how of ['closes', 'vanishes']) {
    test(`is dropped when its connection ${how}, and those of others are not`, async () => {
      const actor = subject(host, 'quitter');
      const [leaves, stays] = await Promise.all(range(2).map(() => connect(host, connectPath('quitter', actor.key))));
      leaves.request('work', FOR_EVER);
      leaves.request('work', FOR_EVER);
      const call = stays.request('receive');
      await counts(actor, { begun: 3 });
      if (how === 'closes') await leaves.close();
      else leaves.cut();
      await counts(actor, { begun: 3, dropped: 2 });
      await host.client().quitter.getOrCreate(actor.key).send('letters', 'done');
      assert.equal(await stays.answer(call), 'done');
      await counts(actor, { begun: 3, dropped: 2, done: 1 });
    });
  }

  test('is dropped when it takes too long', async () => {
    const actor = subject(host, 'hastyQuitter');
    await failsWith('actor.action_timed_out', actor.call('work', FOR_EVER));
    await counts(actor, { begun: 1, dropped: 1 });
    assert.equal(await actor.call('work', 10), 'done');
    await counts(actor, { begun: 2, dropped: 1, done: 1 });
  });

  test('is dropped when it takes too long on a connection, which goes on', async () => {
    const actor = subject(host, 'hastyQuitter');
    const connection = await connect(host, connectPath('hastyQuitter', actor.key));
    await failsWith('actor.action_timed_out', connection.call('work', FOR_EVER));
    await counts(actor, { begun: 1, dropped: 1 });
    assert.equal(await connection.call('work', 10), 'done');
  });

  test('is finished if it does not take too long and its client stays', async () => {
    const actor = subject(host, 'quitter');
    const calls = range(20).map((n) => actor.call('work', 20 * n));
    assert.deepEqual(await Promise.all(calls), range(20).map(() => 'done'));
    await counts(actor, { begun: 20, done: 20 });
  });

  test('loses no message when it is dropped while it waits for one', async () => {
    const actor = subject(host, 'quitter');
    const goAways = range(5).map(() => begin(actor, 'receive'));
    await counts(actor, { begun: 5 });
    goAways.forEach((goAway) => goAway());
    await counts(actor, { begun: 5, dropped: 5 });
    const handle = host.client().quitter.getOrCreate(actor.key);
    for (const letter of ['first', 'second']) await handle.send('letters', letter);
    assert.deepEqual([await actor.call('receive'), await actor.call('receive')], ['first', 'second']);
  });

  test('is dropped without the work that it has begun in the background', async () => {
    const actor = subject(host, 'quitter');
    const goAway = begin(actor, 'work_behind', 2_000);
    await counts(actor, { begun: 1 });
    goAway();
    await counts(actor, { begun: 1, done: 1 });
  });

  test('does not begin if its client has gone while the actor started', async () => {
    const actor = subject(host, 'quitter');
    await actor.call('work', 0);
    const id = await actor.id();
    for (const _ of range(5)) {
      await host.putToSleep(id);
      begin(actor, 'work', FOR_EVER)();
    }
    // Perhaps some began before they were given up; none of them goes on.
    await until('none is at work', async () => {
      const { begun, done, dropped } = await actor.call('counts');
      return done === 1 && begun === done + dropped;
    });
    await within('it sleeps at once', host.putToSleep(id), 5_000);
  });

  test('no longer holds up a stop', async () => {
    const actor = subject(host, 'quitter');
    const goAway = begin(actor, 'work', FOR_EVER);
    await counts(actor, { begun: 1 });
    goAway();
    // Its grace is 15 seconds.
    await within('it sleeps', host.putToSleep(await actor.id()), 5_000);
    await counts(actor, { begun: 1, dropped: 1 });
  });

  test('is dropped when its client goes away during the stop that waits for it', async () => {
    const actor = subject(host, 'quitter');
    const goAway = begin(actor, 'work', FOR_EVER);
    await counts(actor, { begun: 1 });
    const stops = host.putToSleep(await actor.id());
    goAway();
    await within('it sleeps', stops, 5_000);
    await counts(actor, { begun: 1, dropped: 1 });
  });
});

describe('a call that waits for another actor', () => {
  const pair = (type) => [subject(host, type), subject(host, 'quitter')];

  test('takes that with it when its client goes away', async () => {
    const [caller, callee] = pair('quitter');
    const goAway = begin(caller, 'relay', callee.key[0], FOR_EVER);
    await counts(callee, { begun: 1 });
    goAway();
    await counts(caller, { begun: 1, dropped: 1 });
    await counts(callee, { begun: 1, dropped: 1 });
  });

  test('takes that with it when it takes too long', async () => {
    const [caller, callee] = pair('hastyQuitter');
    await failsWith('actor.action_timed_out', caller.call('relay', callee.key[0], FOR_EVER));
    await counts(caller, { begun: 1, dropped: 1 });
    await counts(callee, { begun: 1, dropped: 1 });
  });

  test('takes that with it when its connection closes', async () => {
    const [caller, callee] = pair('quitter');
    const connection = await connect(host, connectPath('quitter', caller.key));
    connection.request('relay', callee.key[0], FOR_EVER);
    await counts(callee, { begun: 1 });
    connection.cut();
    await counts(caller, { begun: 1, dropped: 1 });
    await counts(callee, { begun: 1, dropped: 1 });
  });

  test('leaves alone what others have asked the other for', async () => {
    const [caller, callee] = pair('quitter');
    const goAway = begin(caller, 'relay', callee.key[0], FOR_EVER);
    await counts(callee, { begun: 1 });
    const own = callee.call('work', 2_000);
    const relayed = caller.call('relay', callee.key[0], 2_000);
    await counts(callee, { begun: 3 });
    goAway();
    assert.equal(await own, 'done');
    assert.equal(await relayed, 'done');
    await counts(callee, { begun: 3, dropped: 1, done: 2 });
    await counts(caller, { begun: 2, dropped: 1, done: 1 });
  });

  test('ends with its host, and both serve again after that', async () => {
    const [caller, callee] = pair('quitter');
    const call = caller.call('relay', callee.key[0], FOR_EVER);
    call.catch(() => {});
    await counts(callee, { begun: 1 });
    await host.kill();
    await host.startAgain();
    await assert.rejects(call);
    assert.equal(await callee.call('work', 1), 'done');
  });
});

describe('a call whose type does not ask for that', () => {
  test('is finished though its client has gone', async () => {
    const actor = subject(host, 'stayer');
    const goAway = begin(actor, 'work', 1_200);
    await counts(actor, { begun: 1 });
    goAway();
    await counts(actor, { begun: 1, done: 1 });
  });

  test('is finished though its connection has closed', async () => {
    const actor = subject(host, 'stayer');
    const connection = await connect(host, connectPath('stayer', actor.key));
    connection.request('work', 1_200);
    await counts(actor, { begun: 1 });
    connection.cut();
    await counts(actor, { begun: 1, done: 1 });
  });

  test('is finished though it took too long', async () => {
    const actor = subject(host, 'stayer');
    await failsWith('actor.action_timed_out', actor.call('work', 2_500));
    await counts(actor, { begun: 1, done: 1 });
  });
});
