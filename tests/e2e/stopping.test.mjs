// What comes while an actor stops, or is gone the next moment: calls, connections, alarms, the next of its key.

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { actionPathById, failsWith, gatewayPath, inParallel, range, until, useHost, within } from './harness.mjs';
import { subject } from './living.mjs';
import { connect, connectPathById, ready, upTo } from './sockets.mjs';

// Its actors sleep when they are told to, and not in the middle of a test that is slow.
const host = useHost({ components: ['fixtures'] });
// Here they sleep by themselves.
const idle = useHost({ components: ['fixtures'], flags: ['--sleep-after', '200ms'] });

const living = (on = host) => subject(on, 'living');
const count = (steps, what) => steps.filter((step) => step === what).length;

describe('what comes while an actor stops', () => {
  /** Puts an actor to sleep, which takes a while, again and again; returns how to end that. */
  function sleepAllTheTime(actor, id) {
    let isOver = false;
    let sleeps = 0;
    const storm = (async () => {
      while (!isOver) {
        await actor.call('failNext', 40);
        await host.manage('POST', `/actors/${id}/sleep?namespace=default`, {});
        sleeps += 1;
      }
    })();
    return async () => {
      isOver = true;
      await storm;
      return sleeps;
    };
  }

  /** What a call came to: whether it was carried out. Nothing else may happen to it. */
  async function isDone(call, refusals) {
    try {
      await call;
      return true;
    } catch (error) {
      const name = `${error.group}.${error.code}`;
      assert.ok(refusals.includes(name), `it failed with ${name}: ${error.stack}`);
      return false;
    }
  }

  const WAYS = {
    'a handle': (id) => {
      const handle = host.client().living.getForId(id);
      return (...args) => handle.slow(...args);
    },
    'a connection': async (id) => {
      const connection = await ready(host.client().living.getForId(id).connect());
      return (...args) => connection.slow(...args);
    },
    'plain HTTP': (id) => (...args) => host.callAt(actionPathById(id, 'slow'), ...args),
  };
  for (const [way, make] of Object.entries(WAYS)) {
    test(`over ${way} is carried out once or refused, never both`, async () => {
      const actor = living();
      await actor.call('steps');
      const id = await actor.id();
      const slow = await make(id);
      const end = sleepAllTheTime(actor, id);
      const CALLS = 200;
      const done = await inParallel(5, CALLS, (n) => isDone(slow(n % 30, `call ${n}`), ['actor.stopping']));
      const sleeps = await end();
      assert.ok(sleeps >= 5, `it slept ${sleeps} times`);
      const steps = await actor.call('steps');
      for (const n of range(CALLS)) assert.equal(count(steps, `call ${n}`), done[n] ? 1 : 0, `call ${n}`);
    });
  }

  test('is carried out once or refused when the actor is destroyed', async () => {
    for (const _ of range(5)) {
      const actor = living();
      await actor.call('steps');
      const id = await actor.id();
      let isOrdered = false;
      const calls = inParallel(5, 60, async (n) => {
        if (n === 20) {
          isOrdered = true;
          await host.manage('DELETE', `/actors/${id}?namespace=default`);
        }
        return isDone(host.callAt(actionPathById(id, 'tell'), `call ${n}`), ['actor.stopping', 'actor.not_found']);
      });
      const done = await calls;
      assert.ok(isOrdered);
      const notes = await actor.notes();
      assert.equal(count(notes, 'destroy hook'), 1);
      for (const n of range(60)) assert.equal(count(notes, `call ${n}`), done[n] ? 1 : 0, `call ${n}`);
    }
  });

  test('over a connection is carried out once or refused when the actor is destroyed', async () => {
    for (const _ of range(5)) {
      const actor = living();
      await actor.call('steps');
      const id = await actor.id();
      const connection = await connect(host, connectPathById(id));
      const calls = [];
      for (const n of range(60)) {
        if (n === 20) host.manage('DELETE', `/actors/${id}?namespace=default`).catch(() => {});
        if (!connection.isOpen) break;
        calls.push(connection.call('tell', `call ${n}`).then(() => true, (error) => error));
        await new Promise(setImmediate);
      }
      await within('the connection is closed', connection.closed);
      const done = await Promise.all(calls);
      const notes = await actor.notes();
      assert.equal(count(notes, 'destroy hook'), 1);
      for (const [n, result] of done.entries()) {
        const carriedOut = count(notes, `call ${n}`);
        // Without an answer, nobody knows.
        if (result === true) assert.equal(carriedOut, 1, `call ${n}`);
        if (result.code) {
          assert.equal(`${result.group}.${result.code}`, 'actor.stopping');
          assert.equal(carriedOut, 0, `call ${n}`);
        }
        assert.ok(carriedOut <= 1, `call ${n}`);
      }
    }
  });

  test('as an order to be destroyed lets both hooks run', async () => {
    const actor = living();
    await actor.call('failNext', 300);
    const id = await actor.id();
    const sleeps = host.manage('POST', `/actors/${id}/sleep?namespace=default`, {});
    await actor.call('tell', 'before').catch(() => {});
    await host.manage('DELETE', `/actors/${id}?namespace=default`);
    await sleeps;
    assert.equal(count(await actor.notes(), 'destroy hook'), 1);
    await failsWith('actor.not_found', host.callAt(actionPathById(id, 'steps')));
  });

  test('as a connection is let in by the next generation', async () => {
    const actor = living();
    await actor.call('failNext', 400);
    const id = await actor.id();
    const stopping = host.manage('POST', `/actors/${id}/sleep?namespace=default`, {});
    const connection = await connect(host, connectPathById(id));
    await stopping;
    assert.deepEqual(await connection.call('steps'), ['wake', 'sleep', 'wake']);
    assert.ok(connection.isOpen);
  });

  test('as an alarm waits for the next start, which it is the reason for', async () => {
    const actor = living(idle);
    // A stop that takes all of its grace of 2 s. It begins by itself, and the alarm is due in the middle of it.
    await actor.call('failNext', 60_000);
    await actor.call('tellLater', 1_800, 'alarm');
    await actor.noted('alarm');
    const steps = await actor.call('steps');
    assert.deepEqual(steps.slice(0, steps.indexOf('alarm') + 1).slice(-3), ['sleep', 'wake', 'alarm']);
    assert.deepEqual(await actor.notes(), ['alarm']);
  });
});

describe('what has begun when an actor stops', () => {
  const target = (actor, rest) => gatewayPath(actor.type, actor.key, rest);
  const ENDS = {
    'is put to sleep': (id) => host.manage('POST', `/actors/${id}/sleep?namespace=default`, {}),
    'is destroyed': (id) => host.manage('DELETE', `/actors/${id}?namespace=default`),
  };
  for (const [what, end] of Object.entries(ENDS)) {
    test(`is answered if it is a raw request, or a response on its way, and the actor ${what}`, async () => {
      for (const [rest, body] of [['/request/slow', 'done'], ['/request/stream', 'begundone']]) {
        const actor = subject(host, 'watchful');
        const request = host.request('GET', target(actor, rest));
        await actor.noted('begun');
        await end(await actor.id());
        const answer = await request;
        assert.deepEqual([answer.status, answer.text()], [200, body]);
        assert.deepEqual(await actor.notes(), ['begun', 'done']);
      }
    });
  }

  test('is aborted if its guest breaks down in its hook, and the state is that of before', async () => {
    const actor = living();
    const call = actor.call('untilAborted');
    await actor.call('failNext', 100, true);
    const id = await actor.id();
    await host.manage('POST', `/actors/${id}/sleep?namespace=default`, {});
    assert.equal(await call, 'aborted');
    const steps = await actor.call('steps');
    assert.equal(steps[0], 'wake');
    assert.ok(steps.includes('aborted'), 'what was answered was not kept');
  });
});

describe('an actor that asks for its end in its wake hook', () => {
  test('answers who has woken it, sleeps, and wakes again', async () => {
    const actor = living();
    await actor.call('wish', 'sleep');
    await host.putToSleep(await actor.id());
    assert.deepEqual(await actor.call('steps'), ['wake', 'sleep', 'wake']);
    await actor.asleep();
    assert.deepEqual(await actor.call('steps'), ['wake', 'sleep', 'wake', 'sleep', 'wake']);
  });

  test('answers who has woken it, and is destroyed', async () => {
    const actor = living();
    await actor.call('wish', 'destroy');
    const id = await actor.id();
    await host.putToSleep(id);
    assert.deepEqual(await host.callAt(actionPathById(id, 'steps')), ['wake', 'sleep', 'wake']);
    await until('it is gone', async () => (await host.actor(id)) === undefined);
    assert.deepEqual(await actor.notes(), ['destroy hook']);
  });
});

describe('ten quick rounds of creation and destruction', () => {
  test('leave nothing behind: no actor, no state, no alarm', async () => {
    const actor = living();
    const ids = new Set();
    for (const round of upTo(10)) {
      assert.deepEqual(await actor.call('steps'), ['wake']);
      await actor.call('tellLater', 2_000, `ghost ${round}`);
      await actor.call('slow', 0, 'step');
      ids.add(await actor.id());
      await actor.call('askToBeDestroyed');
      await until('it is gone', async () => (await actor.id()) === undefined);
    }
    assert.equal(ids.size, 10);
    // Whatever was to come of theirs is due before this.
    await actor.call('tellLater', 2_200, 'own');
    await actor.noted('own');
    assert.deepEqual((await actor.notes()).filter((note) => note !== 'destroy hook'), ['own']);
    assert.equal(count(await actor.notes(), 'destroy hook'), 10);
    for (const id of ids) await failsWith('actor.not_found', within('an answer', host.callAt(actionPathById(id, 'steps'))));
  });
});
