// Connections that outlive the sleep of their actor, its code, and themselves.

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { ENCODINGS, actionPath, fresh, isAsleep, range, sameAgain, startHost, until, useHost, within } from './harness.mjs';
import { connect, connectPath, listen, openSocket, ready, upTo, watch, websocketPath } from './sockets.mjs';

const asleep = (host, id) => until('the actor sleeps', async () => isAsleep(await host.actor(id)));

/** The generation of the activation that answers a stateless call. */
async function generation(host, type, key, action) {
  const { headers, status } = await host.request('POST', actionPath(type, key, action), { body: { args: [] } });
  assert.equal(status, 200);
  return Number(headers['x-rivet-actor-generation']);
}

for (const encoding of ENCODINGS) {
  describe(`a connection in ${encoding}, while its actor sleeps`, () => {
    const host = useHost({ components: ['conformance'] });

    /** A connection of the stock client to a new connStateActor, and its id and state. */
    async function setUp(params) {
      const key = [fresh()];
      const handle = (more) => host.client({ encoding }).connStateActor.getOrCreate(key, { params: more });
      const connection = handle().connect(params);
      const seen = watch(connection);
      const greetings = listen(connection, 'connectedFromOnConnect');
      await ready(connection);
      return { handle, connection, seen, greetings, id: connection.actorId, observer: handle({ noCount: true }) };
    }

    test('stays open, and is woken up to with its id and its state by its own next call', async () => {
      const { connection, seen, greetings, id, observer } = await setUp({ username: 'ann', role: 'admin' });
      await connection.incrementConnCounter(3);
      const before = await connection.getConnectionState();
      assert.equal(before.counter, 3);
      await host.putToSleep(id);
      assert.deepEqual(await connection.getConnectionState(), before);
      await connection.incrementConnCounter(4);

      await host.putToSleep(id);
      assert.deepEqual(await connection.getConnectionState(), { ...before, counter: 7 });
      assert.deepEqual(await observer.getConnectionIds(), [before.id]);
      assert.equal(await observer.getDisconnectionCount(), 0, 'a disconnect hook has run');
      assert.equal((await greetings.next()).username, 'ann');
      assert.deepEqual(greetings.items, [], 'the connect hook has run again');
      assert.deepEqual(seen, { opens: 1, closes: 0, errors: [], hasGivenUp: false });
    });

    test('gets, without a word of its own, the events that another client\'s call has woken the actor for', async () => {
      const key = [fresh()];
      const handle = host.client({ encoding }).counter.getOrCreate(key);
      const connection = handle.connect();
      const seen = watch(connection);
      const counts = listen(connection, 'newCount');
      await connection.getCount();
      for (const n of upTo(3)) {
        await host.putToSleep(connection.actorId);
        assert.equal(await handle.increment(1), n);
        assert.equal(await counts.next(), n);
      }
      assert.deepEqual(seen, { opens: 1, closes: 0, errors: [], hasGivenUp: false });
    });

    test('is found in the list and sent to directly by whoever wakes the actor', async () => {
      const { handle, connection, id } = await setUp({ username: 'ann' });
      const messages = listen(connection, 'directMessage');
      // Answered after the subscription, which would wake the actor again.
      await connection.getConnectionState();
      await host.putToSleep(id);
      assert.strictEqual(await handle({ noCount: true }).sendToConnection(connection.connId, 'good morning'), true);
      assert.equal((await messages.next()).message, 'good morning');
    });

    test('may take back a subscription, and make a new one, and both are kept', async () => {
      const key = fresh();
      const connection = await connect(host, connectPath('counter', [key]), { encoding });
      connection.subscribe('newCount');
      await connection.call('getCount');
      await host.putToSleep(connection.init.actorId);
      connection.subscribe('newCount', false);
      await connection.call('getCount');
      await host.putToSleep(connection.init.actorId);
      await host.call('counter', [key], 'increment', 1);
      await connection.call('getCount');
      assert.deepEqual(connection.frames.items, [], 'it was told though it had taken its subscription back');
      await host.putToSleep(connection.init.actorId);
      connection.subscribe('newCount');
      await connection.call('getCount');
      await host.putToSleep(connection.init.actorId);
      await host.call('counter', [key], 'increment', 1);
      assert.deepEqual(await connection.event('newCount'), [2]);
    });

    test('may begin many calls at once, which wake the actor once and are all answered', async () => {
      const connection = await connect(host, connectPath('counter', [fresh()]), { encoding });
      await host.putToSleep(connection.init.actorId);
      const calls = upTo(50).map(() => connection.request('increment', 1));
      const counts = await Promise.all(calls.map((call) => connection.answer(call)));
      assert.deepEqual(counts.toSorted((a, b) => a - b), upTo(50));
      assert.ok(connection.isOpen);
    });
  });
}

describe('connections of an actor that is put to sleep', () => {
  const host = useHost({ components: ['conformance', 'fixtures'] });

  const OBSERVER = { params: { noCount: true } };
  const to = (type, key, options) => connect(host, connectPath(type, [key]), options);
  const observe = (key) => host.client().connStateActor.getOrCreate([key], OBSERVER);

  test('are told nothing of it: no second beginning, the version of their frames kept', async () => {
    for (const version of [1, 2, 3, 4]) {
      const connection = await to('counter', fresh(), { version });
      assert.equal(await connection.call('increment', 1), 1);
      await host.putToSleep(connection.init.actorId);
      connection.request('increment', 1);
      const frame = await connection.frames.next();
      assert.deepEqual([frame.tag, frame.output, frame.version], ['ActionResponse', 2, version]);
    }
  });

  test('are all kept, fifty of them in three encodings, in the order in which they came', async () => {
    const key = fresh();
    const connections = [];
    for (const n of range(50)) {
      const options = { encoding: ENCODINGS[n % 3], params: { username: `${n}` } };
      connections.push(await to('connStateActor', key, options));
    }
    for (const connection of connections) {
      connection.subscribe('directMessage');
      connection.subscribe('userConnected');
    }
    await Promise.all(connections.map((connection) => connection.call('incrementConnCounter', 1)));
    await host.putToSleep(connections[0].init.actorId);
    const states = await observe(key).getAllConnectionStates();
    const kept = states.filter(({ noCount }) => !noCount).map(({ id, username, counter }) => ({ id, username, counter }));
    assert.deepEqual(kept, connections.map(({ init }, n) => ({ id: init.connectionId, username: `${n}`, counter: 1 })));

    await host.putToSleep(connections[0].init.actorId);
    const late = await to('connStateActor', key);
    for (const connection of connections) {
      const isLate = ({ tag, name, args }) => tag === 'Event' && name === 'userConnected' && args[0].id === late.init.connectionId;
      await connection.frames.take(isLate, 'the event about the late one');
    }
  });

  test('lose no call and no event while it is put to sleep all the time', async () => {
    const key = fresh();
    const caller = await to('counter', key);
    const listener = await to('counter', key);
    listener.subscribe('newCount');
    await listener.call('getCount');
    let isOver = false;
    let sleeps = 0;
    const storm = (async () => {
      while (!isOver) {
        await host.manage('POST', `/actors/${caller.init.actorId}/sleep?namespace=default`, {});
        sleeps += 1;
      }
    })();
    const CALLS = 200;
    try {
      for (const n of upTo(CALLS)) assert.equal(await caller.call('increment', 1), n);
    } finally {
      isOver = true;
      await storm;
    }
    assert.ok(sleeps > 5, `it was asked ${sleeps} times`);
    const told = (await listener.frames.several(CALLS)).map(({ args }) => args[0]);
    assert.deepEqual(told, upTo(CALLS));
    assert.ok(caller.isOpen && listener.isOpen);
  });

  test('may go while it sleeps, in good order or not, and it hears of them when it wakes', async () => {
    const key = fresh();
    const [stays, closes, vanishes] = await Promise.all(range(3).map(() => to('connStateActor', key)));
    stays.subscribe('userDisconnected');
    await stays.call('getConnectionState');
    await host.putToSleep(stays.init.actorId);
    await closes.close(1000, 'Disposed');
    vanishes.cut();
    await until('both have left', async () => (await observe(key).getDisconnectionCount()) === 2);
    assert.deepEqual(await observe(key).getConnectionIds(), [stays.init.connectionId]);
    const gone = [(await stays.event('userDisconnected'))[0].id, (await stays.event('userDisconnected'))[0].id];
    assert.deepEqual(gone.toSorted(), [closes.init.connectionId, vanishes.init.connectionId].toSorted());
  });

  test('that went while it slept are heard of once', async () => {
    const key = fresh();
    const connection = await to('connStateActor', key);
    await host.putToSleep(connection.init.actorId);
    await connection.close();
    await until('it has left', async () => (await observe(key).getDisconnectionCount()) === 1);
    for (const _ of range(2)) {
      await host.putToSleep(connection.init.actorId);
      assert.equal(await observe(key).getDisconnectionCount(), 1);
    }
  });

  test('are let in by it when they come while it sleeps', async () => {
    const key = fresh();
    const first = await to('counter', key);
    await host.putToSleep(first.init.actorId);
    const second = await to('counter', key);
    assert.equal(second.init.actorId, first.init.actorId);
    assert.equal(await second.call('increment', 1), 1);
    assert.equal(await first.call('increment', 1), 2);
  });

  test('are closed by it after a sleep as before', async () => {
    const connection = await to('connStateActor', fresh());
    await host.putToSleep(connection.init.actorId);
    assert.equal(await connection.call('disconnectSelf', 'late.bye'), true);
    const { code, reason } = await within('it is closed', connection.closed);
    assert.deepEqual({ code, reason }, { code: 1000, reason: 'late.bye' });
  });

  test('are closed when it is destroyed in its sleep', async () => {
    const connection = await to('counter', fresh());
    await host.putToSleep(connection.init.actorId);
    await host.manage('DELETE', `/actors/${connection.init.actorId}?namespace=default`);
    const { code } = await within('it is closed', connection.closed);
    assert.notEqual(code, 1006, 'it was cut without a close frame');
  });

  test('are closed in its sleep for a frame that cannot be read, and it is not woken for it', async () => {
    const connection = await to('counter', fresh());
    const id = connection.init.actorId;
    await host.putToSleep(id);
    connection.send(Buffer.from([0xff]));
    assert.equal((await within('it is closed', connection.closed)).reason.split('#')[0], 'actor.invalid_request');
    assert.ok(isAsleep(await host.actor(id)));
  });
});

describe('an idle actor with open connections', () => {
  const IDLE_MS = 200;
  const host = useHost({ components: ['conformance', 'fixtures'], flags: ['--sleep-after', `${IDLE_MS}ms`] });

  /** Looks for as long as an actor must have slept, if it could, and fails when it does. */
  async function staysAwake(id) {
    const end = performance.now() + 5 * IDLE_MS;
    while (performance.now() < end) {
      assert.ok(!isAsleep(await host.actor(id)), 'it sleeps');
      await pause(20);
    }
  }

  test('sleeps, and wakes for their next frame', async () => {
    const connection = await connect(host, connectPath('counter', [fresh()]));
    connection.subscribe('newCount');
    for (const n of upTo(3)) {
      assert.equal(await connection.call('increment', 1), n);
      assert.deepEqual(await connection.event('newCount'), [n]);
      await asleep(host, connection.init.actorId);
    }
    assert.ok(connection.isOpen);
  });

  test('sleeps, and wakes for others with events for them', async () => {
    const key = [fresh()];
    const connection = host.client().counter.getOrCreate(key).connect();
    const seen = watch(connection);
    const counts = listen(connection, 'newCount');
    await connection.getCount();
    for (const n of upTo(3)) {
      await asleep(host, connection.actorId);
      await host.call('counter', key, 'increment', 1);
      assert.equal(await counts.next(), n);
    }
    assert.deepEqual(seen, { opens: 1, closes: 0, errors: [], hasGivenUp: false });
  });

  test('does not sleep while a call on one of them is under way', async () => {
    const connection = await connect(host, connectPath('concurrentActionActor', [fresh()]));
    const call = connection.call('runWithDelay', 'long', 5 * IDLE_MS);
    let isOver = false;
    call.finally(() => (isOver = true)).catch(() => {});
    await until('it has begun', async () => (await connection.call('getEvents')).length > 0);
    while (!isOver) {
      const actor = await host.actor(connection.init.actorId);
      // After that, an answer that came before the look has been read.
      await pause(20);
      if (isOver) break;
      assert.ok(!isAsleep(actor), 'it sleeps in the middle of a call');
    }
    assert.equal(await call, 'long');
    await asleep(host, connection.init.actorId);
  });

  test('stays awake if its type says so, until the last of them has gone', async () => {
    const key = [fresh()];
    const [first, second] = [await connect(host, connectPath('vigil', key)), await connect(host, connectPath('vigil', key))];
    const id = first.init.actorId;
    await staysAwake(id);
    await first.close();
    await staysAwake(id);
    await second.close();
    await asleep(host, id);
  });

  test('that must stay awake sleeps all the same when it is asked to, and keeps them', async () => {
    const connection = await connect(host, connectPath('vigil', [fresh()]));
    assert.equal(await connection.call('increment', 1), 1);
    await host.putToSleep(connection.init.actorId);
    assert.equal(await connection.call('increment', 1), 2);
  });

  test('stays awake for a raw WebSocket, unless its type lets those hibernate', async () => {
    const target = (type) => websocketPath(type, ['raw']);
    const ordinary = await openSocket(host, target('rawWebSocketConnContextActor'));
    const hibernates = await openSocket(host, target('rawWebSocketActor'));
    await Promise.all([ordinary.nextJson(), hibernates.nextJson()]);
    const idOf = async (name) => (await host.actors({ name, key: 'raw' }))[0].actor_id;
    const id = await idOf('rawWebSocketConnContextActor');
    await staysAwake(id);
    await asleep(host, await idOf('rawWebSocketActor'));
    assert.ok(hibernates.isOpen);
    await ordinary.close();
    await asleep(host, id);
  });
});

describe('a new revision', () => {
  test('is taken by an awake actor with its connections: their ids, states and subscriptions', async (t) => {
    const host = await startHost(t, { components: ['conformance'] });
    const handle = (type) => host.client()[type].getOrCreate(['k']);
    const connection = handle('connStateActor').connect({ username: 'ann' });
    const counter = handle('counter').connect();
    const [seen, seenCounter] = [watch(connection), watch(counter)];
    const counts = listen(counter, 'newCount');
    await connection.incrementConnCounter(3);
    await counter.increment(1);
    const before = await connection.getConnectionState();

    for (const round of upTo(3)) {
      const first = await generation(host, 'counter', ['k'], 'getCount');
      const { revision, isNew } = await host.deploy(await sameAgain('conformance', round));
      assert.deepEqual({ revision, isNew }, { revision: round + 1, isNew: true });
      await until('the actor runs on it', async () => (await generation(host, 'counter', ['k'], 'getCount')) > first);
      assert.deepEqual(await connection.getConnectionState(), before);
      // One by its own call, one by another's.
      assert.equal(await counter.increment(1), 2 * round);
      await host.call('counter', ['k'], 'increment', 1);
    }
    assert.deepEqual(await counts.several(7), upTo(7));
    const observer = host.client().connStateActor.getOrCreate(['k'], { params: { noCount: true } });
    assert.equal(await observer.getDisconnectionCount(), 0);
    for (const each of [seen, seenCounter]) assert.deepEqual(each, { opens: 1, closes: 0, errors: [], hasGivenUp: false });
  });

  test('is taken by a sleeping actor when a connection wakes it', async (t) => {
    const host = await startHost(t, { components: ['conformance'] });
    const connection = await connect(host, connectPath('counter', ['k']));
    connection.subscribe('newCount');
    assert.equal(await connection.call('increment', 1), 1);
    await host.putToSleep(connection.init.actorId);
    await host.deploy(await sameAgain('conformance', 1));
    assert.ok(isAsleep(await host.actor(connection.init.actorId)), 'the deploy woke it');
    assert.equal(await connection.call('increment', 1), 2);
    assert.deepEqual([await connection.event('newCount'), await connection.event('newCount')], [[1], [2]]);
  });

  test('keeps raw WebSockets open, of types that hibernate them and of those that do not', async (t) => {
    const host = await startHost(t, { components: ['conformance'] });
    const hibernates = await openSocket(host, websocketPath('rawWebSocketActor', ['k']));
    const ordinary = await openSocket(host, websocketPath('rawWebSocketBinaryActor', ['k']));
    assert.equal((await hibernates.nextJson()).type, 'welcome');
    assert.equal((await hibernates.ask({ type: 'indexedEcho' })).rivetMessageIndex, 1);
    await host.deploy(await sameAgain('conformance', 1));
    assert.equal((await hibernates.ask({ type: 'indexedEcho' })).rivetMessageIndex, 2);
    ordinary.send(Buffer.from([1, 2]));
    assert.deepEqual(await ordinary.messages.next(), Buffer.from([2, 1]));
  });

  test('loses no call and no event of a connection, deployed again and again', async (t) => {
    const host = await startHost(t, { components: ['conformance'] });
    const [caller, listener] = await Promise.all(range(2).map(() => connect(host, connectPath('counter', ['k']))));
    listener.subscribe('newCount');
    await listener.call('getCount');
    let isOver = false;
    let count = 0;
    const load = (async () => {
      while (!isOver) {
        assert.equal(await caller.call('increment', 1), count + 1);
        count += 1;
      }
    })();
    try {
      for (const round of range(5)) {
        const goal = count + 30;
        await host.deploy(await sameAgain('conformance', round));
        await until('more calls are answered', () => count >= goal);
      }
    } finally {
      isOver = true;
    }
    await load;
    const told = (await listener.frames.several(count)).map(({ args }) => args[0]);
    assert.deepEqual(told, upTo(count));
  });
});

describe('connections of a host that ends', () => {
  const observe = (host) => host.client().connStateActor.getOrCreate(['k'], { params: { noCount: true } });
  const ENDS = {
    'is killed': (host) => host.kill(),
    'is stopped': (host) => host.stop(),
  };

  for (const [what, end] of Object.entries(ENDS)) {
    for (const state of ['awake', 'asleep']) {
      test(`are heard to leave at the next wake, once, when it ${what} with their actor ${state}`, async (t) => {
        const host = await startHost(t, { components: ['conformance'] });
        const target = connectPath('connStateActor', ['k']);
        const connections = [await connect(host, target), await connect(host, target)];
        for (const connection of connections) await connection.call('incrementConnCounter', 1);
        if (state === 'asleep') await host.putToSleep(connections[0].init.actorId);
        await end(host);
        await Promise.all(connections.map(({ closed }) => within('the socket is gone', closed)));

        await host.startAgain();
        const observer = observe(host);
        await until('both have left', async () => (await observer.getDisconnectionCount()) === 2);
        assert.deepEqual(await observer.getConnectionIds(), []);
        await host.putToSleep(connections[0].init.actorId);
        assert.equal(await observer.getDisconnectionCount(), 2);

        // Who comes afterwards is somebody new.
        const connection = await connect(host, target);
        assert.ok(connections.every(({ init }) => init.connectionId !== connection.init.connectionId));
        assert.deepEqual(await observer.getConnectionIds(), [connection.init.connectionId]);
      });
    }
  }

  test('are heard to leave if they were there when it was killed under load', async (t) => {
    const host = await startHost(t, { components: ['conformance'] });
    const target = connectPath('connStateActor', ['k']);
    let connected = 0;
    const coming = Promise.allSettled(range(10).map(async () => {
      for (const _ of range(20)) {
        await connect(host, target);
        connected += 1;
      }
    }));
    await until('some are there', () => connected >= 50);
    await host.kill();
    await coming;
    const known = connected;
    await host.startAgain();
    const observer = observe(host);
    // Those that had heard that they were let in, and perhaps a few that had not heard it yet.
    await until('they have left', async () => (await observer.getDisconnectionCount()) >= known);
    await until('nobody is listed', async () => (await observer.getConnectionIds()).length === 0);
    assert.ok((await observer.getDisconnectionCount()) <= 200);
  });
});
