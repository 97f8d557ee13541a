// Run loops: when they begin, what they keep awake, how they end, and when they are taken up again.

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { failsWith, gatewayPath, isAsleep, range, sameAgain, startHost, until, useHost, within } from './harness.mjs';
import { asleep, awakeUntil, gone, staysAwake, subject } from './living.mjs';
import { upTo } from './sockets.mjs';

/** Sends a message to a queue by plain HTTP; with `timeout`, waits for its completion. */
async function send(host, actor, queue, body, timeout) {
  const target = gatewayPath(actor.type, actor.key, `/queue/${queue}`);
  const wait = timeout === undefined ? {} : { wait: true, timeout };
  const answer = await host.request('POST', target, { headers: { 'x-rivet-encoding': 'json' }, body: { body, ...wait } });
  assert.equal(answer.status, 200, answer.text());
  return answer.json();
}

const SLEEPS_SOON = ['--sleep-after', '200ms'];

const job = (name, ms = 0) => ({ name, ms });
const count = (notes, what) => notes.filter((note) => note === what).length;

describe('a run loop', () => {
  // Its workshops sleep when they are told to, and not in the middle of a test that is slow.
  const host = useHost({ components: ['fixtures'] });
  // Here they sleep by themselves.
  const idle = useHost({ components: ['fixtures'], flags: SLEEPS_SOON });
  const workshop = (on = host) => subject(on, 'workshop');

  test('works off a queue in order, and whoever waits for that is told', async () => {
    const actor = workshop();
    for (const n of upTo(3)) await send(host, actor, 'jobs', job(`job ${n}`));
    const { status, response } = await send(host, actor, 'jobs', job('last', 50), 10_000);
    assert.deepEqual([status, response], ['completed', 'last']);
    const { jobs, runs, wakes } = await actor.call('seen');
    assert.deepEqual({ jobs, runs, wakes }, { jobs: ['job 1', 'job 2', 'job 3', 'last'], runs: 1, wakes: 1 });
  });

  test('that only waits for a message lets its actor sleep, and a message wakes it', async () => {
    const actor = workshop(idle);
    for (const n of upTo(3)) {
      assert.equal((await send(idle, actor, 'jobs', job(`job ${n}`), 10_000)).status, 'completed');
      await actor.asleep();
    }
    const { jobs, runs } = await actor.call('seen');
    assert.deepEqual(jobs, ['job 1', 'job 2', 'job 3']);
    // By each message, and by this call.
    assert.equal(runs, 4);
  });

  test('that is at work on a message keeps its actor awake', async () => {
    const actor = workshop(idle);
    await send(idle, actor, 'jobs', job('long', 1_000));
    await actor.noted('begun long');
    const id = await actor.id();
    await awakeUntil(idle, id, () => actor.hasNoted('done long'));
    await asleep(idle, id);
    assert.deepEqual(await actor.notes(), ['run', 'begun long', 'done long']);
  });

  test('that waits for anything else keeps its actor awake', async () => {
    const actor = subject(host, 'ticker');
    const { ticks } = await actor.call('seen');
    await staysAwake(host, await actor.id(), 1_000);
    const later = await until('it has gone on', async () => {
      const seen = await actor.call('seen');
      return seen.ticks >= ticks + 15 && seen;
    });
    assert.deepEqual([later.runs, later.exits], [1, 0]);
  });

  test('of one sleeping actor among many is woken by a message for it, and no other', async () => {
    const actors = range(6).map(() => workshop(idle));
    await Promise.all(actors.map((actor) => actor.call('seen')));
    await Promise.all(actors.map((actor) => actor.asleep()));
    assert.equal((await send(idle, actors[3], 'jobs', job('only'), 10_000)).status, 'completed');
    const ids = await Promise.all(actors.map((actor) => actor.id()));
    for (const [index, id] of ids.entries()) {
      if (index !== 3) assert.ok(isAsleep(await idle.actor(id)), `actor ${index} is awake`);
    }
    for (const [index, actor] of actors.entries()) {
      assert.equal(count(await actor.notes(), 'run'), index === 3 ? 2 : 1, `actor ${index}`);
    }
  });

  test('is woken by a message that was sent for later, when its time has come', async () => {
    const actor = workshop(idle);
    const begun = performance.now();
    await actor.call('sendLater', job('late'), 2_500);
    await actor.asleep();
    await actor.noted('done late');
    const after = performance.now() - begun;
    assert.ok(after >= 2_450, `it came after ${after} ms`);
    assert.deepEqual(await actor.notes(), ['run', 'run', 'begun late', 'done late']);
  });

  test('begins anew at every start, from the beginning', async () => {
    const actor = subject(host, 'ticker');
    for (const n of upTo(3)) {
      await actor.call('seen');
      await actor.noted(`run ${n}`);
      await host.putToSleep(await actor.id());
    }
    const { runs, exits } = await actor.call('seen');
    assert.deepEqual({ runs, exits }, { runs: 4, exits: 3 });
  });

  test('is told of a stop, which waits for it, and what it does then is kept', async () => {
    const actor = subject(host, 'ticker');
    await actor.call('seen');
    await actor.noted('run 1');
    await host.putToSleep(await actor.id());
    assert.deepEqual(await actor.notes(), ['run 1', 'exit 1']);
    assert.equal((await actor.call('seen')).exits, 1);
  });

  test('of an actor that was put to sleep is not taken up before somebody wakes it', async () => {
    const actor = subject(host, 'ticker');
    await actor.call('seen');
    const id = await actor.id();
    await host.putToSleep(id);
    // Alarms are looked at every second, at the least.
    await pause(1_500);
    assert.ok(isAsleep(await host.actor(id)));
    assert.equal(count(await actor.notes(), 'run 2'), 0);
  });

  test('finishes the message that it is at before its actor stops', async () => {
    const actor = workshop();
    await send(host, actor, 'jobs', job('first', 1_200));
    await send(host, actor, 'jobs', job('second', 0));
    await actor.noted('begun first');
    await host.putToSleep(await actor.id());
    assert.deepEqual(await actor.notes(), ['run', 'begun first', 'done first']);
    // The second stays in its queue until somebody wakes the actor.
    assert.equal((await actor.call('seen')).wakes, 2);
    await actor.noted('done second');
    assert.deepEqual((await actor.call('seen')).jobs, ['first', 'second']);
  });

  test('gets a message again that it could not finish within the grace', async () => {
    const actor = workshop();
    await send(host, actor, 'jobs', job('long', 3_500));
    await actor.noted('begun long');
    await host.putToSleep(await actor.id());
    assert.deepEqual((await actor.call('seen')).jobs, []);
    await until('it is begun again', async () => count(await actor.notes(), 'begun long') === 2);
    await actor.noted('done long');
    assert.deepEqual((await actor.call('seen')).jobs, ['long']);
  });

  test('is taken up by a new revision, and tidied up by the old one', async () => {
    const actor = subject(host, 'ticker');
    await actor.call('seen');
    await actor.noted('run 1');
    await host.deploy(await sameAgain('fixtures', 1));
    await actor.noted('run 2');
    assert.deepEqual((await actor.notes()).slice(0, 3), ['run 1', 'exit 1', 'run 2']);
    const { runs, exits } = await actor.call('seen');
    assert.deepEqual({ runs, exits }, { runs: 2, exits: 1 });
  });

  for (const how of ['returns', 'fails']) {
    test(`that ${how} harms nothing: calls go on, the actor sleeps, wakes and ends with its hooks`, async () => {
      const client = host.client();
      const actor = subject(host, 'finisher');
      const handle = client.finisher.getOrCreate(actor.key, { createWithInput: how });
      assert.equal(await handle.increment(), 1);
      await actor.noted('run');
      const id = await actor.id();
      await asleep(host, id);
      assert.equal(await handle.increment(), 2);
      await asleep(host, id);
      const { runs, count, sleeps } = await handle.seen();
      assert.deepEqual({ runs, count, sleeps }, { runs: 3, count: 2, sleeps: 2 });
      await handle.destroy();
      await gone(host, id);
      assert.ok(await actor.hasNoted('destroy hook'));
    });
  }

  for (const how of ['hangs', 'sticks']) {
    const more = how === 'sticks' ? ', with its hook,' : '';
    test(`that does not end is cut off${more} when the grace is over, and not taken up before somebody calls`, async () => {
      const actor = subject(host, 'finisher');
      const handle = host.client().finisher.getOrCreate(actor.key, { createWithInput: how });
      await handle.increment();
      const id = await actor.id();
      await staysAwake(host, id, 500);
      const begun = performance.now();
      await host.putToSleep(id);
      const took = performance.now() - begun;
      assert.ok(took > 900 && took < 6_000, `it took ${took} ms`);
      await pause(1_200);
      assert.ok(isAsleep(await host.actor(id)));
      assert.deepEqual(await actor.notes(), ['run']);
      const { runs, count, sleeps } = await handle.seen();
      assert.deepEqual({ runs, count, sleeps }, { runs: 2, count: 1, sleeps: 1 });
    });
  }

  test('that breaks down again and again harms nobody else, and its actor can be destroyed', async () => {
    const actor = subject(host, 'finisher');
    const handle = host.client().finisher.getOrCreate(actor.key, { createWithInput: 'panics' });
    await handle.resolve();
    await until('it has broken down twice', async () => count(await actor.notes(), 'run') >= 2, { within: 20_000 });
    const other = workshop();
    assert.equal((await send(host, other, 'jobs', job('elsewhere'), 10_000)).status, 'completed');
    const before = count(await actor.notes(), 'run');
    await pause(1_000);
    const times = count(await actor.notes(), 'run') - before;
    assert.ok(times <= 10, `it was taken up ${times} times in a second`);
    const id = await actor.id();
    await host.manage('DELETE', `/actors/${id}?namespace=default`);
    assert.equal(await actor.id(), undefined);
    await failsWith('actor.not_found', host.client().finisher.getForId(id).seen());
  });
});

describe('a run loop of a host that ends', () => {
  const ENDS = {
    'is killed': (host) => host.kill(),
    'is stopped': (host) => host.stop(),
  };
  for (const [what, end] of Object.entries(ENDS)) {
    test(`is taken up by the next host, without any call, if it was at work when the host ${what}`, async (t) => {
      const host = await startHost(t, { components: ['fixtures'] });
      const actor = subject(host, 'ticker');
      const { ticks } = await actor.call('seen');
      await actor.noted('run 1');
      await until('it has done something', async () => (await actor.call('seen')).ticks > ticks + 5);
      const before = await actor.call('seen');
      await end(host);
      await host.startAgain();
      await until('it is taken up', async () => (await actor.notes()).some((note) => /^run [2-9]/.test(note)));
      assert.equal((await actor.notes())[1], 'run 2');
      const after = await actor.call('seen');
      // A host that stops waits for it, and keeps what it does then.
      assert.deepEqual([after.runs, after.exits], [2, what === 'is stopped' ? 1 : 0]);
      await until('it goes on', async () => (await actor.call('seen')).ticks > before.ticks);
    });

    test(`gets the message again that it was at when the host ${what}, without any call`, async (t) => {
      const host = await startHost(t, { components: ['fixtures'] });
      const actor = subject(host, 'workshop');
      // More than its grace.
      await send(host, actor, 'jobs', job('long', 3_500));
      await send(host, actor, 'jobs', job('next'));
      await actor.noted('begun long');
      await end(host);
      await host.startAgain();
      await actor.noted('done next');
      assert.deepEqual((await actor.call('seen')).jobs, ['long', 'next']);
      assert.deepEqual(await actor.notes(), ['run', 'begun long', 'run', 'begun long', 'done long', 'begun next', 'done next']);
    });

    test(`is left alone if it only waited for a message when the host ${what}`, async (t) => {
      const host = await startHost(t, { components: ['fixtures'], flags: SLEEPS_SOON });
      const actor = subject(host, 'workshop');
      assert.equal((await send(host, actor, 'jobs', job('first'), 10_000)).status, 'completed');
      await actor.noted('done first');
      await actor.asleep();
      await end(host);
      await host.startAgain();
      await pause(1_500);
      assert.equal(count(await actor.notes(), 'run'), 1);
      assert.equal((await within('it is woken by a message', send(host, actor, 'jobs', job('second'), 10_000))).status, 'completed');
      assert.deepEqual((await actor.call('seen')).jobs, ['first', 'second']);
    });
  }

  test('is taken up with all the others that were at work when the host was killed', async (t) => {
    const host = await startHost(t, { components: ['fixtures'] });
    const actors = range(20).map(() => subject(host, 'ticker'));
    await Promise.all(actors.map((actor) => actor.call('seen')));
    await Promise.all(actors.map((actor) => actor.noted('run 1')));
    await host.kill();
    await host.startAgain();
    await Promise.all(actors.map((actor) => actor.noted('run 2')));
    for (const actor of actors) assert.equal((await actor.call('seen')).runs, 2);
  });
});

describe('a host that is killed has kept', () => {
  for (const kind of ['wait-until', 'keep-awake']) {
    test(`what ${kind} work had changed a second ago`, async (t) => {
      const host = await startHost(t, { components: ['fixtures'] });
      const actor = subject(host, 'waiter');
      await actor.call('work', kind);
      await pause(3_200);
      await host.kill();
      await host.startAgain();
      assert.equal((await actor.call('seen')).changes, 11);
    });
  }

  test('what a run loop had changed before it waited for a message', async (t) => {
    const host = await startHost(t, { components: ['fixtures'] });
    const actor = subject(host, 'waiter');
    assert.equal((await actor.call('seen')).changes, 0);
    // The change comes half a second later, and has a second to become durable.
    await pause(3_000);
    await host.kill();
    await host.startAgain();
    assert.deepEqual(await actor.call('seen'), { runs: 2, changes: 1 });
  });
});
