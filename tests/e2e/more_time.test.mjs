// What takes its time, and what time may be taken: pairs in bulk, replies that are too large, scheduled actions and run
// loops that go on for long, and what is kept of all that when the host is killed.

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { HostError, failsWith, fresh, gatewayPath, range, startHost, until, useHost, within } from './harness.mjs';
import { gone, staysAwake, subject } from './living.mjs';

/** Sends a message to a queue; with `timeout`, waits for its completion and gives what became of it. */
async function send(host, { type, key }, body, timeout) {
  const wait = timeout === undefined ? {} : { wait: true, timeout };
  const target = gatewayPath(type, key, '/queue/letters');
  const answer = await host.request('POST', target, { headers: { 'x-rivet-encoding': 'json' }, body: { body, ...wait } });
  if (answer.status !== 200) throw new HostError(answer.status, answer.json());
  return answer.json();
}

const bodies = (messages) => messages.map(({ body }) => body);

describe('a change that is to be kept within a time', () => {
  /** Less than the time after which a host looks at what goes on for long anyway. */
  const WITHIN_MS = 400;
  /** For the disk of a slow machine. */
  const MORE_MS = 150;

  test('is kept though its action never ends, nobody calls, and the host is killed when the time is over', async (t) => {
    const host = await startHost(t, { components: ['fixtures'] });
    const keys = range(8).map(() => fresh('lasting'));
    const calls = keys.map((key) => host.call('lasting', [key], 'change_and_stay', WITHIN_MS).catch((error) => error));
    // The log is what can be seen of it without asking for anything to be kept.
    const haveChanged = () => keys.every((key) => host.log.includes(`${key} has changed and stays`));
    await until('all have changed something', haveChanged, { every: 2 });
    await pause(WITHIN_MS + MORE_MS);
    await host.kill();
    for (const { code } of await Promise.all(calls)) assert.match(code, /^(ECONN|EPIPE)/, 'an action has ended');
    await host.startAgain();
    for (const key of keys) assert.equal(await host.call('lasting', [key], 'count'), 1, key);
  });
});

/** A hoard of its own, and what there is to do with it. */
function newHoard(host) {
  const key = fresh('hoard');
  const call = (action, ...args) => host.call('hoard', [key], action, ...args);
  const id = async () => (await host.actors({ name: 'hoard', key }))[0].actor_id;
  /** Fills it with all numbers up to `count`; where there is no room, again and again until there is. */
  const fill = async (prefix, count, bytes) => {
    let from = 0;
    const isFull = async () => {
      from = await call('fill', prefix, from, count, bytes);
      return from === count;
    };
    await until(`there is room for ${count} values of ${bytes} bytes`, isFull, { within: 60_000, every: 200 });
  };
  return { key, call, id, fill };
}

/** Calls another actor again and again; `stop` gives how long the slowest answer took. */
function watchOthers(host) {
  const key = [fresh('other')];
  let isOver = false;
  const calls = (async () => {
    let slowest = 0;
    while (!isOver) {
      const begun = performance.now();
      await host.call('trapper', key, 'increment', 1);
      slowest = Math.max(slowest, performance.now() - begun);
      await pause(5);
    }
    return slowest;
  })();
  // Looked at in the end.
  calls.catch(() => {});
  return async function stop() {
    isOver = true;
    return calls;
  };
}

/** How long anybody waits for an answer because others have much to do, on a slow machine. */
const HELD_UP_MAX_MS = 2_000;

async function assertNobodyWaited(t, stop) {
  const slowest = await stop();
  t.diagnostic(`the slowest answer of another actor took ${slowest.toFixed()} ms`);
  assert.ok(slowest < HELD_UP_MAX_MS, `another actor's answer took ${slowest.toFixed()} ms`);
}

describe('many values that are read at once', () => {
  const host = useHost({ components: ['fixtures'] });
  const LARGEST = 131_072;

  test('are read up to 16 MiB, and refused beyond; others are answered meanwhile', async (t) => {
    const { call, fill } = newHoard(host);
    await fill('v/', 140, LARGEST);
    await host.call('trapper', ['warm'], 'ping');
    const stop = watchOthers(host);
    for (const _ of range(3)) {
      assert.equal(await call('fetch', 'v/', 120), 120 * LARGEST);
      await failsWith('actor.invalid_request', call('fetch', 'v/', 140));
    }
    // What was refused has done no harm.
    assert.equal(await call('fetch', 'v/', 100), 100 * LARGEST);
    assert.deepEqual(await call('tally', 'v/'), [140, 140 * LARGEST]);
    await assertNobodyWaited(t, stop);
  });

  test('are refused as well if they are not in the store yet, or too many keys', async () => {
    const { call, fill } = newHoard(host);
    // The last hundred wait to be committed, or do not, as it comes.
    await fill('w/', 140, LARGEST);
    const both = await Promise.allSettled([call('fill', 'w/', 100, 140, LARGEST), call('fetch', 'w/', 140)]);
    assert.equal(both[0].value, 140);
    assert.equal(`${both[1].reason?.group}.${both[1].reason?.code}`, 'actor.invalid_request');
    assert.equal(await call('fetch', 'nothing/', 10_000), 0);
    await failsWith('actor.invalid_request', call('fetch', 'nothing/', 10_001));
  });
});

describe('a span of many pairs that is removed', () => {
  const COUNT = 3_000;
  const BYTES = 10_000;
  /** Room for one such span, but not for two. */
  const host = useHost({ components: ['fixtures'], flags: ['--kv-bytes-max', '40MiB'] });
  const NUMBERS = [7, 500, COUNT - 1];
  const LEFT = ['first', 'second', null];

  /** What is seen of the span once it is removed, and two values have been written into it. */
  const assertIsGone = async ({ call }) => {
    assert.deepEqual(await call('tally', 'p/'), [2, 'firstsecond'.length]);
    assert.deepEqual(await call('found', 'p/', NUMBERS), LEFT);
  };

  test('is gone at once but for what is written afterwards, holds nobody up, and makes room', { timeout: 120_000 }, async (t) => {
    const hoard = newHoard(host);
    await hoard.fill('p/', COUNT, BYTES);
    assert.deepEqual(await hoard.call('tally', 'p/'), [COUNT, COUNT * BYTES]);
    const stop = watchOthers(host);
    await hoard.call('replace', 'p/', NUMBERS[0], LEFT[0]);
    assert.deepEqual(await hoard.call('tally', 'p/'), [1, LEFT[0].length]);
    await hoard.call('put', 'p/', NUMBERS[1], LEFT[1]);
    await assertIsGone(hoard);
    await hoard.fill('q/', COUNT, BYTES);
    await assertNobodyWaited(t, stop);
    await assertIsGone(hoard);
    assert.deepEqual(await hoard.call('tally', 'q/'), [COUNT, COUNT * BYTES]);
    assert.ok((await hoard.call('fill', 'r/', 0, COUNT, BYTES)) < COUNT, 'there is room for two');
  });

  test('stays gone, and what was written into it stays there, though the host is killed', { timeout: 120_000 }, async () => {
    const hoard = newHoard(host);
    await hoard.fill('p/', COUNT, BYTES);
    await hoard.call('replace', 'p/', NUMBERS[0], LEFT[0]);
    await hoard.call('put', 'p/', NUMBERS[1], LEFT[1]);
    for (const _ of range(2)) {
      await host.kill();
      await host.startAgain();
      await assertIsGone(hoard);
    }
    // The same keys again, while what they had may still be about to be cleared away.
    await hoard.fill('p/', COUNT, BYTES - 1);
    assert.deepEqual(await hoard.call('tally', 'p/'), [COUNT, COUNT * (BYTES - 1)]);
    await host.kill();
    await host.startAgain();
    assert.deepEqual(await hoard.call('tally', 'p/'), [COUNT, COUNT * (BYTES - 1)]);
  });

  test('with its actor is gone at once, and another of its key has nothing of it', { timeout: 120_000 }, async (t) => {
    const hoard = newHoard(host);
    await hoard.fill('p/', COUNT, BYTES);
    const id = await hoard.id();
    const stop = watchOthers(host);
    await within('it is destroyed', host.manage('DELETE', `/actors/${id}?namespace=default`), 5_000);
    assert.equal(await host.actor(id), undefined);
    assert.deepEqual(await hoard.call('tally', 'p/'), [0, 0]);
    assert.notEqual(await hoard.id(), id);
    await hoard.call('put', 'p/', NUMBERS[0], LEFT[0]);
    await assertNobodyWaited(t, stop);
    await host.kill();
    await host.startAgain();
    assert.equal(await host.actor(id), undefined);
    assert.deepEqual(await hoard.call('found', 'p/', NUMBERS), [LEFT[0], null, null]);
    await hoard.fill('q/', COUNT, BYTES);
    assert.deepEqual(await hoard.call('tally', 'p/'), [1, LEFT[0].length]);
  });
});

describe('a message', () => {
  const host = useHost({ components: ['fixtures'] });
  const postbox = () => subject(host, 'postbox', [fresh('postbox')]);

  /** Sends a message and lets it become a dead letter; gives its id. */
  const die = async (actor, body) => {
    const id = await actor.call('post', body);
    await until('it is a dead letter', async () => {
      await actor.call('give_back');
      return (await actor.call('dead')).some(({ message }) => message.id === id);
    });
    return id;
  };

  test('that is completed with too much is not completed, and can be with less', async () => {
    const actor = postbox();
    const sending = send(host, actor, 'a question', 30_000);
    assert.match(await actor.call('answer_too_much'), /^queue\.message_too_large: /);
    assert.deepEqual(await sending, { status: 'completed', response: 'little' });
    assert.equal(await actor.call('size'), 0);
    assert.deepEqual(await actor.call('dead'), []);
  });

  test('whose completion fails for that, and nobody minds, comes again', async () => {
    const actor = postbox();
    const sending = send(host, actor, 'a question', 30_000);
    await failsWith('queue.message_too_large', actor.call('fail_with_too_much'));
    const [{ body, attempts }] = await until('it comes again', async () => {
      const messages = await actor.call('collect');
      return messages.length > 0 && messages;
    });
    assert.deepEqual([body, attempts], ['a question', 2]);
    assert.deepEqual(await sending, { status: 'completed' });
  });

  test('that is put back has a new id, under which it comes', async () => {
    const actor = postbox();
    const id = await die(actor, 'dead');
    const again = await actor.call('put_back', id);
    assert.equal(typeof again, 'string');
    assert.notEqual(again, id);
    assert.strictEqual(await actor.call('put_back', id), null, 'it is there twice');
    assert.deepEqual(await actor.call('dead'), []);
    const messages = await actor.call('collect');
    assert.deepEqual(messages.map((message) => [message.id, message.body, message.attempts]), [[again, 'dead', 1]]);
  });

  test('is not put back into a full queue, and stays a dead letter until there is room', async () => {
    const actor = postbox();
    const id = await die(actor, 'dead');
    const MOST = 3;
    for (const n of range(MOST)) await send(host, actor, n);
    await failsWith('queue.full', send(host, actor, 'one too many'));
    await failsWith('queue.full', actor.call('put_back', id));
    const retry = async () => host.manage('POST', `/actors/${await actor.id()}/dead-letters/${id}/retry?namespace=default`);
    await failsWith('queue.full', retry());
    assert.deepEqual((await actor.call('dead')).map(({ message }) => message.id), [id]);
    assert.equal(await actor.call('size'), MOST);
    assert.deepEqual(bodies(await actor.call('collect')), range(MOST));
    assert.notEqual((await retry()).id, id);
    assert.deepEqual(bodies(await actor.call('collect')), ['dead']);
  });
});

describe('a call that receives while its actor stops', () => {
  const host = useHost({ components: ['fixtures'] });

  /** Begins calls that receive when the actor stops, puts it to sleep, and gives what they came to. */
  async function receive(letters, timeouts) {
    const actor = subject(host, 'postbox', [fresh('postbox')]);
    assert.equal(await actor.call('size'), 0);
    for (const letter of letters) await actor.call('post', letter);
    const calls = timeouts.map((timeout) => actor.call('collect_when_stopping', timeout));
    const all = Promise.allSettled(calls);
    const wait = async () => (await actor.notes()).length === timeouts.length;
    await until('they all wait', wait);
    await host.putToSleep(await actor.id());
    const results = await within('they are answered', all);
    const left = bodies(await actor.call('collect'));
    return { results: results.map(({ value, reason }) => value ?? `${reason.group}.${reason.code}`), left };
  }

  test('without waiting gets the message that is there, for good', async () => {
    assert.deepEqual(await receive(['there'], [0]), { results: [['there']], left: [] });
  });

  test('without waiting gets nothing if there is nothing', async () => {
    assert.deepEqual(await receive([], [0]), { results: [[]], left: [] });
  });

  test('gets the message that is there, too, if it would wait', async () => {
    assert.deepEqual(await receive(['there'], [null]), { results: [['there']], left: [] });
  });

  for (const timeout of [null, 60_000]) {
    test(`is aborted if it has to wait, ${timeout ? 'for some time' : 'for as long as it takes'}`, async () => {
      assert.deepEqual(await receive([], [timeout]), { results: ['actor.aborted'], left: [] });
    });
  }

  test('gets a message of its own, where there are several', async () => {
    const { results, left } = await receive(['a', 'b'], [0, 0, 0]);
    assert.deepEqual(results.flat().toSorted(), ['a', 'b']);
    assert.equal(results.length, 3);
    assert.deepEqual(left, []);
  });
});

describe('a scheduled action that takes longer than an action may', () => {
  const host = useHost({ components: ['fixtures'] });
  const TIMEOUT_MS = 1_000;
  const CUT_OFF = ['failed', 'Action timed out'];
  const outcomes = (history) => history.map(({ outcome, error }) => [outcome, error]);

  test('is cut off and tried again later, and comes to its end once', async () => {
    const actor = subject(host, 'hurried', [fresh('hurried')]);
    await actor.call('plan', 1, 3 * TIMEOUT_MS);
    await until('it has come to its end', async () => (await actor.call('seen')).done > 0, { within: 20_000 });
    const history = await actor.call('history');
    assert.deepEqual(outcomes(history), [CUT_OFF, ['done', null]]);
    const [cutOff, done] = history;
    assert.equal(done.dueMs, cutOff.dueMs, 'the same run');
    const later = done.startedMs - cutOff.startedMs;
    assert.ok(later > 1.5 * TIMEOUT_MS, `it was tried again ${later} ms after it had begun`);
    // By then what was cut off would have come to its end, had it gone on.
    await until('it is time', () => Date.now() > cutOff.startedMs + 4 * TIMEOUT_MS);
    assert.deepEqual(await actor.call('seen'), { begun: 2, running: 0, running_max: 1, done: 1 });
    assert.deepEqual(await actor.call('entries'), []);
    assert.equal((await actor.call('history')).length, 2);
  });

  test('every time is never carried out twice at the same time, nor to its end', async () => {
    const actor = subject(host, 'hurried', [fresh('hurried')]);
    await actor.call('plan', 100, 3 * TIMEOUT_MS);
    const tried = async () => (await actor.call('history')).length >= 3;
    await until('it has been cut off three times', tried, { within: 30_000 });
    assert.deepEqual(outcomes(await actor.call('history')).slice(0, 3), [CUT_OFF, CUT_OFF, CUT_OFF]);
    const { running_max: most, done } = await actor.call('seen');
    assert.deepEqual([most, done], [1, 0]);
    const [{ failures }] = await actor.call('entries');
    assert.ok(failures >= 3, `${failures} failures are counted`);
  });
});

describe('a run loop', () => {
  const host = useHost({ components: ['fixtures'] });
  const metronome = (how) => subject(host, 'metronome', [how, fresh()]);
  const SLEEP_AFTER_MS = 200;
  const TICK_MS = 500;

  for (const how of ['until-tick', 'select-tick']) {
    test(`that waits for a message and for a time stays awake, and its time comes: ${how}`, async () => {
      const actor = metronome(how);
      await actor.call('seen');
      const id = await actor.id();
      await staysAwake(host, id, 3 * TICK_MS + SLEEP_AFTER_MS);
      const { runs, ticks, heard } = await actor.call('seen');
      assert.deepEqual([runs, heard], [1, 0]);
      assert.ok(ticks >= 2, `it has ticked ${ticks} times`);
      assert.equal((await send(host, actor, 'a letter', 10_000)).status, 'completed');
      // It goes on as before.
      await staysAwake(host, id, TICK_MS + 2 * SLEEP_AFTER_MS);
      const later = await until('it ticks', async () => {
        const seen = await actor.call('seen');
        return seen.ticks > ticks && seen;
      });
      assert.deepEqual([later.runs, later.heard], [1, 1]);
      const begun = performance.now();
      await host.putToSleep(id);
      const took = performance.now() - begun;
      assert.ok(took < 5_000, `its stop took ${took.toFixed()} ms`);
    });
  }

  for (const how of ['letters', 'until-aborted', 'select-aborted', 'until-token']) {
    test(`that waits for a message and nothing else that would come by itself sleeps: ${how}`, async () => {
      const actor = metronome(how);
      await actor.call('seen');
      for (const n of range(2)) {
        await actor.asleep();
        assert.equal((await send(host, actor, `letter ${n}`, 10_000)).status, 'completed');
      }
      await actor.asleep();
      const { runs, ticks, heard } = await actor.call('seen');
      assert.deepEqual({ runs, ticks, heard }, { runs: 4, ticks: 0, heard: 2 });
    });
  }

  test('that waits for a time no more, because a message came first, sleeps', async () => {
    const actor = metronome('until-hour');
    await actor.call('seen');
    await staysAwake(host, await actor.id(), 5 * SLEEP_AFTER_MS);
    assert.equal((await send(host, actor, 'a letter', 10_000)).status, 'completed');
    await actor.asleep();
    const { runs, ticks, heard } = await actor.call('seen');
    assert.deepEqual({ runs, ticks, heard }, { runs: 2, ticks: 0, heard: 1 });
  });
});

describe('actors that have asked for their destruction when the host is killed', () => {
  test('are gone in the end, their hooks have run, and others of their keys begin afresh', { timeout: 90_000 }, async (t) => {
    const host = await startHost(t, { components: ['fixtures'] });
    const actors = range(20).map(() => subject(host, 'living', [fresh('living')]));
    await Promise.all(actors.map((actor) => actor.call('slow', 0, 'a step')));
    const ids = await Promise.all(actors.map((actor) => actor.id()));
    await Promise.all(actors.map((actor) => actor.call('askToBeDestroyed')));
    await host.kill();
    await host.startAgain();
    // Nobody calls them.
    await Promise.all(ids.map((id) => gone(host, id)));
    for (const actor of actors) {
      assert.deepEqual(await host.actors({ name: 'living', key: actor.key[0] }), []);
      await failsWith('actor.not_found', host.callAt(actor.path('steps', { method: 'get' })));
      assert.ok(await actor.hasNoted('destroy hook'), 'its hook has not run');
      assert.deepEqual(await actor.call('steps'), ['wake']);
    }
    const others = await Promise.all(actors.map((actor) => actor.id()));
    assert.ok(others.every((id) => !ids.includes(id)));
  });
});
