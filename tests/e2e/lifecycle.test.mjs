// How actors start and how they stop: in what order, for which causes, within what time, and what keeps them awake.

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { actionPath, actionPathById, failsWith, fresh, gatewayPath, range, useHost } from './harness.mjs';
import { asleep, awakeUntil, gone, subject } from './living.mjs';
import { listen, openSocket, ready, upTo, websocketPath } from './sockets.mjs';

// Its actors sleep when they are told to, and not in the middle of a test that is slow.
const host = useHost({ components: ['fixtures'] });
// Here they sleep by themselves.
const idle = useHost({ components: ['fixtures'], flags: ['--sleep-after', '200ms'] });

const living = (on = host) => subject(on, 'living');
const count = (steps, what) => steps.filter((step) => step === what).length;

describe('an actor that starts', () => {
  const LATER = ['vars', 'wake begins', 'wake ends', 'run'];

  test('makes its state, its vars, runs its wake hook and then its run loop, and only then lets calls in', async () => {
    const client = host.client();
    const handle = client.ordered.getOrCreate([fresh()], { createWithInput: 'input' });
    const calls = await Promise.all(range(5).map(() => handle.call()));
    for (const steps of calls) {
      const started = steps.slice(0, 4);
      assert.match(started[0], /^create .*input/);
      assert.deepEqual(started.slice(1), LATER.slice(0, 3));
    }
    assert.deepEqual((await handle.steps()).slice(1), LATER);
    assert.equal(await handle.drawn(), 2, 'the vars did not see the state');
  });

  test('makes no state when it starts again', async () => {
    const actor = subject(host, 'ordered');
    const [first, ...steps] = await actor.call('steps');
    assert.match(first, /^create/);
    for (const round of upTo(3)) {
      await host.putToSleep(await actor.id());
      // Calls that come early wait.
      const calls = await Promise.all(range(10).map(() => actor.call('call')));
      for (const call of calls) assert.equal(count(call, 'wake ends'), round + 1);
      steps.push(...LATER);
      assert.deepEqual((await actor.call('steps')).slice(1).slice(0, LATER.length * (round + 1)), range(round + 1).flatMap(() => LATER));
    }
  });
});

describe('an actor that stops', () => {
  const SLEEPS = {
    'is idle': [idle, async () => []],
    'asks for it, twice': [host, async (actor) => {
      assert.deepEqual(await actor.call('askToSleep'), [false, false]);
      return ['asked'];
    }],
    'is asked by the management': [host, async (actor) => {
      await host.manage('POST', `/actors/${await actor.id()}/sleep?namespace=default`, {});
      return [];
    }],
  };
  for (const [cause, [on, end]] of Object.entries(SLEEPS)) {
    test(`because it ${cause} runs its sleep hook once, keeps its state, and starts with the next call`, async () => {
      const actor = living(on);
      assert.deepEqual(await actor.call('steps'), ['wake']);
      const id = await actor.id();
      const said = await end(actor);
      await actor.asleep();
      assert.deepEqual(await actor.call('steps'), ['wake', ...said, 'sleep', 'wake']);
      assert.equal(await actor.id(), id);
    });
  }

  const DESTRUCTIONS = {
    'asks for it': async (actor) => assert.deepEqual(await actor.call('askToBeDestroyed'), [false, false]),
    'is destroyed by the management': async (actor) => host.manage('DELETE', `/actors/${await actor.id()}?namespace=default`),
    'is destroyed in its sleep': async (actor) => {
      await host.putToSleep(await actor.id());
      await host.manage('DELETE', `/actors/${await actor.id()}?namespace=default`);
    },
  };
  for (const [cause, end] of Object.entries(DESTRUCTIONS)) {
    test(`because it ${cause} runs its destroy hook, and is gone with its key and its id`, async () => {
      const actor = living();
      await actor.call('tell', 'before');
      const id = await actor.id();
      await end(actor);
      await gone(host, id);
      assert.deepEqual(await actor.notes(), ['before', 'destroy hook']);
      await failsWith('actor.not_found', host.callAt(actionPathById(id, 'steps')));
      await failsWith('actor.not_found', host.callAt(actionPath('living', actor.key, 'steps', { method: 'get' })));
      assert.deepEqual(await actor.call('steps'), ['wake'], 'the next of that key has something of it');
      assert.notEqual(await actor.id(), id);
    });
  }

  test('sleeps though its hook fails', async () => {
    const actor = living();
    await actor.call('failNext', 50);
    await host.putToSleep(await actor.id());
    assert.deepEqual(await actor.call('steps'), ['wake', 'sleep', 'wake']);
  });

  test('tells who waits for that, and its listeners, before its hook', async () => {
    const actor = living();
    await actor.call('listen');
    const waits = actor.call('untilAborted');
    await actor.call('steps');
    await host.putToSleep(await actor.id());
    assert.equal(await waits, 'aborted');
    const steps = await actor.call('steps');
    assert.deepEqual(steps, ['wake', 'listener after 1', 'aborted', 'sleep', 'heard', 'wake']);
  });

  test('tells who waits for that when it is destroyed, too', async () => {
    const actor = living();
    const waits = range(3).map(() => actor.call('untilAborted'));
    await actor.call('steps');
    await actor.call('askToBeDestroyed');
    assert.deepEqual(await Promise.all(waits), ['aborted', 'aborted', 'aborted']);
  });

  test('sends its last events before it sleeps, and its connections get them', async () => {
    const actor = living();
    const connection = host.client().living.getOrCreate(actor.key).connect();
    const events = listen(connection, 'fallsAsleep');
    await connection.steps();
    for (const _ of upTo(3)) {
      await host.putToSleep(await actor.id());
      assert.strictEqual(await events.next(), true);
      await connection.steps();
    }
  });

  for (const forgives of [false, true]) {
    test(`gives up its receives, ${forgives ? 'and what their callers make of that is answered' : 'which their callers are told'}`, async () => {
      const ends = [(id) => host.putToSleep(id), (id) => host.manage('DELETE', `/actors/${id}?namespace=default`)];
      for (const end of ends) {
        const actor = subject(host, 'workshop');
        const call = actor.call('waitForLetter', forgives);
        call.catch(() => {});
        await actor.noted('waits');
        await end(await actor.id());
        if (forgives) assert.equal(await call, 'given up');
        else await failsWith('actor.aborted', call);
      }
    });
  }
});

describe('the grace of a stop (2 s here)', () => {
  const GRACE_MS = 2_000;

  /** Puts an actor to sleep, which takes as long as its grace, about. */
  async function sleepsInTime(actor) {
    const begun = performance.now();
    await host.putToSleep(await actor.id());
    const took = performance.now() - begun;
    assert.ok(took > 0.9 * GRACE_MS, `it took ${took} ms`);
    assert.ok(took < 5 * GRACE_MS, `it took ${took} ms`);
  }

  for (const kind of ['wait-until', 'keep-awake']) {
    test(`keeps what ${kind} work has done within it, cuts the rest, and harms nobody else`, async () => {
      const [actor, other] = [living(), living()];
      const begun = performance.now();
      await actor.call('work', { kind, name: 'tick', ms: 50, times: 1_000 });
      await sleepsInTime(actor);
      const most = (performance.now() - begun) / 50;
      const ticks = count(await actor.call('steps'), 'tick');
      assert.ok(ticks >= 5 && ticks <= most, `${ticks} ticks, of ${most} at most`);
      assert.deepEqual(await other.call('steps'), ['wake']);
      await actor.call('slow', 200, 'later');
      const steps = await actor.call('steps');
      assert.deepEqual(steps.filter((step) => step !== 'tick'), ['wake', 'sleep', 'wake', 'later']);
      assert.equal(count(steps, 'tick'), ticks, 'it went on');
    });
  }

  test('ends a call that takes longer, whose caller is told, and keeps what it had changed', async () => {
    const actor = living();
    const call = actor.call('slow', 60_000, 'never');
    call.catch(() => {});
    await actor.call('tell', 'before');
    await sleepsInTime(actor);
    await failsWith('actor.aborted', call);
    assert.deepEqual(await actor.call('steps'), ['wake', 'before', 'sleep', 'wake']);
  });

  test('ends a hook that takes longer', async () => {
    const actor = living();
    await actor.call('failNext', 60_000);
    await sleepsInTime(actor);
    assert.deepEqual(await actor.call('steps'), ['wake', 'sleep', 'wake']);
  });

  test('is one for calls, the hook and background work together', async () => {
    const actor = living();
    // Each would be in time by itself.
    await actor.call('plan', { kind: 'wait-until', name: 'too late', ms: 1_900 });
    const call = actor.call('slow', 1_000, 'in time');
    await actor.call('steps');
    await sleepsInTime(actor);
    assert.equal(await call, 2);
    assert.deepEqual(await actor.call('steps'), ['wake', 'in time', 'sleep', 'wake']);
  });

  test('leaves time for the hook even if a call takes longer', async () => {
    const actor = living();
    // So the chronicle is there, and the hook need not wait for it.
    await actor.call('tell', 'before');
    const call = actor.call('slow', 60_000, 'never');
    call.catch(() => {});
    await actor.call('steps');
    const id = await actor.id();
    await host.manage('DELETE', `/actors/${id}?namespace=default`);
    await failsWith('actor.aborted', call);
    assert.deepEqual(await actor.notes(), ['before', 'destroy hook']);
  });
});

describe('work in the background', () => {
  /** What it has done, and when it slept, when it has slept once. */
  async function steps(work, action = 'work') {
    const actor = living(idle);
    await actor.call(action, work);
    await actor.asleep();
    const [first, ...rest] = await actor.call('steps');
    assert.deepEqual([first, rest.pop()], ['wake', 'wake']);
    return rest;
  }

  test('that may be waited for does not keep an actor awake, and is finished before it sleeps', async () => {
    assert.deepEqual(await steps({ kind: 'wait-until', name: 'done', ms: 1_000 }), ['sleep', 'done']);
  });

  test('that keeps an actor awake does', async () => {
    assert.deepEqual(await steps({ kind: 'keep-awake', name: 'done', ms: 1_000 }), ['done', 'sleep']);
  });

  test('that nobody has announced does neither', async () => {
    assert.deepEqual(await steps({ kind: 'spawn', name: 'done', ms: 1_000 }), ['sleep']);
  });

  test('keeps an actor awake that was begun by work that did', async () => {
    const then = { kind: 'keep-awake', name: 'third', ms: 300 };
    const work = { kind: 'keep-awake', name: 'first', ms: 300, then: { kind: 'keep-awake', name: 'second', ms: 300, then } };
    assert.deepEqual(await steps(work), ['first', 'second', 'third', 'sleep']);
  });

  test('is waited for when it was begun by work that a stop waits for', async () => {
    for (const kind of ['wait-until', 'keep-awake']) {
      const work = { kind: 'wait-until', name: 'first', ms: 800, then: { kind, name: 'second', ms: 500 } };
      assert.deepEqual(await steps(work), ['sleep', 'first', 'second'], kind);
    }
  });

  test('is waited for when it was begun by the sleep hook, and what it begins as well', async () => {
    for (const kind of ['wait-until', 'keep-awake']) {
      const work = { kind, name: 'first', ms: 200, then: { kind, name: 'second', ms: 200 } };
      assert.deepEqual(await steps(work, 'plan'), ['sleep', 'first', 'second'], kind);
    }
  });
});

describe('an idle actor (after 200 ms here) stays awake for', () => {
  const target = (actor, path) => gatewayPath(actor.type, actor.key, path);
  const socketOf = (actor, path) => openSocket(host, websocketPath(actor.type, actor.key, path));

  const WORK = {
    'a call': (actor) => void actor.call('slow').catch(() => {}),
    'a raw request': (actor) => void host.request('GET', target(actor, '/request/slow')),
    'a response that is on its way': (actor) => void host.request('GET', target(actor, '/request/stream')),
    'a scheduled action': (actor) => actor.call('scheduleSlow', 20),
    'work that keeps it awake': (actor) => actor.call('work', 'keep-awake'),
    'a message of a raw WebSocket, though that is closed': async (actor) => {
      const socket = await socketOf(actor);
      socket.send('slow');
      await actor.noted('begun');
      await socket.close();
    },
    'a message of a raw WebSocket, though that has vanished': async (actor) => {
      const socket = await socketOf(actor);
      socket.send('slow');
      await actor.noted('begun');
      socket.cut();
    },
    'the close of a raw WebSocket': async (actor) => {
      const socket = await socketOf(actor, 'slow');
      await socket.close();
    },
    'the leaving of a connection': async (actor) => {
      const handle = host.client().watchful.getOrCreate(actor.key);
      const connection = await ready(handle.connect({ leavesSlowly: true }));
      await connection.dispose();
    },
    'the leaving of a short connection': async (actor) => {
      const headers = { 'x-rivet-conn-params': JSON.stringify({ leavesSlowly: true }), 'x-rivet-encoding': 'json' };
      const answer = await host.request('POST', actor.path('ping'), { headers, body: { args: [] } });
      assert.equal(answer.status, 200, answer.text());
    },
  };
  for (const [what, begin] of Object.entries(WORK)) {
    test(`${what}, and is idle from its end on`, async () => {
      const actor = subject(host, 'watchful');
      await begin(actor);
      await actor.noted('begun');
      const id = await actor.id();
      await awakeUntil(host, id, () => actor.hasNoted('done'));
      await asleep(host, id);
      const sleptAt = Date.now();
      const { done } = await host.call('chronicle', actor.key, 'times');
      const after = sleptAt - done;
      // The host's own time would be 30 seconds.
      assert.ok(after >= 199 && after < 5_000, `it slept after ${after} ms`);
      assert.deepEqual(await actor.notes(), ['begun', 'done']);
    });
  }

  test('nothing that it does without having announced it', async () => {
    const actor = subject(host, 'watchful');
    await actor.call('work', 'spawn');
    await actor.noted('begun');
    await actor.asleep();
    assert.deepEqual(await actor.notes(), ['begun']);
  });
});
