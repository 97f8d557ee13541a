// Guests that loop, leak, break down or lie, and what their neighbours notice of it.

import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { availableParallelism } from 'node:os';
import { describe, test } from 'node:test';
import { actionPath, failsWith, fresh, range, until, useHost } from './harness.mjs';

const BURST_MAX_MS = 2_000;

/**
 * Does `work` while one neighbour is called without a pause, and gives what the neighbour noticed: how
 * many calls it answered meanwhile, and the longest that one took.
 */
async function neighbourDuring(host, work) {
  const key = [fresh('neighbour')];
  await host.call('bench', key, 'count');
  let over = false;
  const noticed = { calls: 0, longest: 0, took: 0 };
  const neighbour = (async () => {
    while (!over) {
      const begun = performance.now();
      assert.equal(await host.call('bench', key, 'increment', 1), noticed.calls + 1);
      noticed.longest = Math.max(noticed.longest, performance.now() - begun);
      noticed.calls += 1;
    }
  })();
  const begun = performance.now();
  try {
    await work();
  } finally {
    noticed.took = performance.now() - begun;
    over = true;
    await neighbour;
  }
  return noticed;
}

describe('a guest', () => {
  const host = useHost({ components: ['bench', 'fixtures', 'liar'], flags: ['--guest-burst-max', `${BURST_MAX_MS}ms`] });

  const FAILING = {
    'that never gives control back': ['spinner', 'spin', 'actor.cpu_limit_exceeded'],
    'that wants memory without end': ['hog', 'grow', 'actor.memory_limit_exceeded'],
    'that panics': ['trapper', 'panic', 'actor.crashed'],
    'that answers with no value': ['liar', 'garbage', 'actor.invalid_output'],
  };

  for (const [what, [type, action, code]] of Object.entries(FAILING)) {
    test(`${what} fails with ${code}, again and again, and answers in between`, async () => {
      const key = [fresh()];
      for (const _ of range(2)) {
        const error = await failsWith(code, host.call(type, key, action));
        assert.equal(error.status, 500);
        assert.equal(await host.call(type, key, 'ping'), 'pong');
      }
    });

    test(`${what} is not noticed by its neighbours`, async () => {
      const { calls, longest } = await neighbourDuring(host, async () => {
        // Enough of them to take every processor, if they could.
        const actors = range(availableParallelism() + 1);
        await Promise.all(actors.map(() => failsWith(code, host.call(type, [fresh()], action))));
      });
      assert.ok(calls > 0);
      assert.ok(longest < 0.75 * BURST_MAX_MS, `the neighbour waited ${longest.toFixed()} ms for one answer`);
    });
  }

  test('that computes for long lets its neighbours be called all the while', async () => {
    const { calls, took } = await neighbourDuring(host, async () => {
      await failsWith('actor.cpu_limit_exceeded', host.call('spinner', [fresh()], 'spin'));
    });
    assert.ok(took >= BURST_MAX_MS, `it was stopped after ${took.toFixed()} ms already`);
    assert.ok(took < 10 * BURST_MAX_MS, `it was stopped after ${took.toFixed()} ms only`);
    assert.ok(calls >= 20, `the neighbour was called ${calls} times in ${took.toFixed()} ms`);
  });

  test('that panics goes on from its last commit', async () => {
    const key = [fresh()];
    assert.equal(await host.call('trapper', key, 'increment', 5), 5);
    await failsWith('actor.crashed', host.call('trapper', key, 'panicAfter', 100));
    assert.equal(await host.call('trapper', key, 'increment', 1), 6);
  });

  test('that fails without a panic keeps what it has changed', async () => {
    const key = [fresh()];
    assert.equal(await host.call('trapper', key, 'increment', 5), 5);
    await failsWith('rivetkit.internal_error', host.call('trapper', key, 'incrementThenFail', 10));
    assert.equal(await host.call('trapper', key, 'increment', 1), 16);
  });

  test('that panics fifty times in a row costs nobody anything, and works when it stops', async () => {
    const key = [fresh()];
    const { calls } = await neighbourDuring(host, async () => {
      for (const _ of range(50)) await failsWith('actor.crashed', host.call('trapper', key, 'panic'));
    });
    assert.ok(calls > 0);
    assert.equal(await host.call('trapper', key, 'ping'), 'pong');
  });

  test('that panics fails the calls in progress with it, and none twice', async () => {
    const key = [fresh()];
    const outcomes = await Promise.all(
      range(40).map((n) => {
        const call = n === 20 ? host.call('trapper', key, 'panic') : host.call('trapper', key, 'increment', 1);
        return call.then((count) => ({ count }), (error) => ({ error: `${error.group}.${error.code}` }));
      }),
    );
    const counts = outcomes.filter(({ count }) => count !== undefined).map(({ count }) => count);
    const errors = outcomes.filter(({ error }) => error).map(({ error }) => error);
    assert.equal(new Set(counts).size, counts.length, 'two calls were given the same count');
    assert.ok(errors.every((error) => error === 'actor.crashed'), `${new Set(errors)}`);
    const count = await host.call('trapper', key, 'increment', 0);
    assert.ok(count >= counts.length && count >= Math.max(0, ...counts), `${counts.length} calls succeeded, but the count is ${count}`);
  });

  test('that wanted all memory has given it back', { skip: process.platform !== 'linux' }, async () => {
    const resident = async () => {
      const status = await readFile(`/proc/${host.pid}/status`, 'utf8');
      return Number(/VmRSS:\s+(\d+) kB/.exec(status)[1]) / 1024;
    };
    await failsWith('actor.memory_limit_exceeded', host.call('hog', [fresh()], 'grow'));
    const before = await resident();
    await Promise.all(range(8).map(() => failsWith('actor.memory_limit_exceeded', host.call('hog', [fresh()], 'grow'))));
    await until('the memory is free again', async () => (await resident()) < before + 64);
  });

  test('that takes three seconds does not delay a hundred short calls on the same actor', async () => {
    const key = [fresh()];
    await host.call('echoer', key, 'echo', 0);
    let isOver = false;
    const long = host.call('echoer', key, 'slow', 3_000).then((ms) => {
      isOver = true;
      return ms;
    });
    const answers = await Promise.all(range(100).map((n) => host.call('echoer', key, 'echo', n)));
    assert.ok(!isOver, 'the long call was over first');
    assert.deepEqual(answers, range(100));
    assert.equal(await long, 3_000);
  });

  test('that a client gave up on goes on', async () => {
    const key = [fresh()];
    const abandoned = new AbortController();
    const call = fetch(host.url + actionPath('echoer', key, 'slow'), {
      method: 'POST',
      body: '{"args":[3000]}',
      signal: abandoned.signal,
    });
    assert.equal(await host.call('echoer', key, 'echo', 1), 1);
    abandoned.abort();
    await assert.rejects(call, { name: 'AbortError' });
    assert.equal(await host.call('echoer', key, 'echo', 2), 2);
  });
});

describe('an actor with too many calls', () => {
  const TURNS = 4;
  const WAITING = 8;
  const host = useHost({ components: ['fixtures'], flags: ['--turns-max', `${TURNS}`, '--mailbox-calls-max', `${WAITING}`] });

  test('refuses what it cannot hold, answers the others, and then takes calls again', async () => {
    const key = [fresh()];
    await host.call('echoer', key, 'echo', 0);
    const outcomeOf = (call) => call.then(() => 'answered', (error) => `${error.status} ${error.group}.${error.code}`);
    const outcomes = await Promise.all(range(50).map(() => outcomeOf(host.call('echoer', key, 'slow', 300))));
    const count = (outcome) => outcomes.filter((other) => other === outcome).length;
    assert.ok(count('answered') >= TURNS + WAITING, `${count('answered')} answered`);
    assert.ok(count('503 actor.overloaded') > 0, 'none was refused');
    assert.equal(count('answered') + count('503 actor.overloaded'), outcomes.length, `${new Set(outcomes)}`);
    assert.equal(await host.call('echoer', key, 'echo', 'free again'), 'free again');
  });
});
