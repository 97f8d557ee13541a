// Clients that do not read what they are sent, and everybody else.

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { ENCODINGS, fresh, range, until, useHost, within } from './harness.mjs';
import { assertCloses, begin, connect, connectPath, openSocket, upTo, websocketPath } from './sockets.mjs';

// What the kernel and the host let wait for one client is far less.
const SENT_MAX = 128 * 1024 * 1024;
const EVENT_BYTES = 64 * 1024;
const AT_ONCE = 16;
const ANSWER_MAX_MS = 3_000;

const host = useHost({ components: ['conformance', 'fixtures'] });

/**
 * Shouts until no more than `listeners` are left, each time waiting until `hear` has heard all of it, and gives how many
 * events that took.
 */
async function shoutUntil(key, listeners, hear) {
  let count = 0;
  while ((await host.call('shouter', key, 'listeners')) > listeners) {
    assert.ok(count * EVENT_BYTES < SENT_MAX, `after ${SENT_MAX} bytes who does not read is still there`);
    const begun = performance.now();
    count = await host.call('shouter', key, 'shout', AT_ONCE, EVENT_BYTES);
    const took = performance.now() - begun;
    assert.ok(took < ANSWER_MAX_MS, `the sender waited ${took.toFixed()} ms for an answer`);
    await hear(count);
  }
  return count;
}

/** What a subscriber hears: takes the events up to a number, which must be there without a gap. */
function hearing(connection) {
  let heard = 0;
  return async (count) => {
    const events = await connection.frames.several(count - heard);
    assert.deepEqual(events.map(({ args }) => args[0].n), range(count - heard).map((n) => heard + n + 1));
    assert.ok(events.every(({ args }) => args[0].text.length === EVENT_BYTES));
    heard = count;
  };
}

async function subscriber(key, encoding) {
  const connection = await connect(host, connectPath('shouter', key), { encoding });
  connection.subscribe('noise');
  await connection.call('listeners');
  return connection;
}

for (const encoding of ENCODINGS) {
  describe(`a subscriber in ${encoding} that stops reading`, () => {
    test('is closed, while another gets everything and nobody waits for it', async () => {
      const key = [fresh()];
      const [slow, fast] = [await subscriber(key, encoding), await subscriber(key, encoding)];
      slow.ws.pause();
      const count = await shoutUntil(key, 1, hearing(fast));
      assert.ok(fast.isOpen);

      // What it finds when it reads again: the events up to somewhere, without a gap, and then the reason or a cut.
      slow.ws.resume();
      const { code, reason } = await within('the slow one notices', slow.closed);
      if (code !== 1006) assert.equal(reason.split('#')[0], 'message.too_slow');
      const heard = slow.frames.items.filter(({ tag }) => tag === 'Event').map(({ args }) => args[0].n);
      assert.ok(heard.length < count, 'it has heard everything');
      assert.deepEqual(heard, upTo(heard.length));
    });
  });
}

describe('clients that stop reading', () => {
  test('may be many: the fast ones among them get everything', async () => {
    const key = [fresh()];
    const slow = await Promise.all(range(10).map(() => subscriber(key, 'bare')));
    const fast = await Promise.all(range(3).map(() => subscriber(key, 'bare')));
    slow.forEach(({ ws }) => ws.pause());
    const hear = fast.map(hearing);
    await shoutUntil(key, fast.length, async (count) => {
      for (const each of hear) await each(count);
    });
    assert.ok(fast.every(({ isOpen }) => isOpen));
    slow.forEach((connection) => connection.cut());
  });

  test('are not closed for a pause that everything fits into', async () => {
    const key = [fresh()];
    const connection = await subscriber(key, 'bare');
    connection.ws.pause();
    for (const n of upTo(10)) assert.equal(await host.call('shouter', key, 'shout', 1, EVENT_BYTES), n);
    connection.ws.resume();
    await hearing(connection)(10);
    assert.ok(connection.isOpen);
  });

  test('do not hold up other actors', async () => {
    const key = [fresh()];
    const slow = await subscriber(key, 'bare');
    slow.ws.pause();
    const other = await connect(host, connectPath('counter', [fresh()]));
    let count = 0;
    await shoutUntil(key, 0, async () => {
      count += 1;
      const begun = performance.now();
      assert.equal(await other.call('increment', 1), count);
      const took = performance.now() - begun;
      assert.ok(took < ANSWER_MAX_MS, `a neighbour waited ${took.toFixed()} ms`);
    });
    slow.cut();
  });

  test('and go on calling are answered no more, at the latest when too much waits for them', async () => {
    const key = [fresh()];
    const greedy = await connect(host, connectPath('echoer', key));
    greedy.ws.pause();
    // A megabyte each.
    for (const _ of range(SENT_MAX / 1_000_000)) greedy.request('big', 1_000_000);
    assert.equal(await host.call('echoer', key, 'echo', 'still here'), 'still here');
    greedy.ws.resume();
    // Either it was made to wait, and gets everything in the end, or it was closed.
    const answers = async () => {
      for (const n of range(SENT_MAX / 1_000_000)) await greedy.answer(n);
    };
    const ends = Promise.race([answers().catch(() => 'closed'), greedy.closed]);
    const ending = await within('it ends one way or the other', ends, 60_000);
    if (ending === undefined) assert.ok(greedy.isOpen);
    assert.equal(await host.call('echoer', key, 'echo', 'still here'), 'still here');
  });

  test('of a raw WebSocket harm nobody, and their actor goes on', async () => {
    const key = [fresh()];
    const socket = await openSocket(host, websocketPath('rawWebSocketActor', key));
    await socket.nextJson();
    socket.ws.pause();
    // Each is echoed, and no echo is read.
    for (const _ of range(64)) socket.send(Buffer.alloc(1024 * 1024, 'x'));
    const other = await openSocket(host, websocketPath('rawWebSocketActor', key));
    assert.equal((await other.nextJson()).type, 'welcome');
    for (const _ of range(20)) {
      const begun = performance.now();
      assert.equal((await other.ask({ type: 'ping' })).type, 'pong');
      const took = performance.now() - begun;
      assert.ok(took < ANSWER_MAX_MS, `another client waited ${took.toFixed()} ms`);
    }
    socket.cut();
    await until('it has left', async () => (await other.ask({ type: 'getStats' })).connectionCount === 1);
  });
});

describe('a subscriber that reads', () => {
  test('and is sent more at once than may wait for it is closed with the reason, not left without a word', async () => {
    const key = [fresh()];
    const connection = await subscriber(key, 'bare');
    await host.call('shouter', key, 'shout', 20_000, 10);
    await assertCloses(connection, 1011, 'message.too_slow');
    await until('its actor knows', async () => (await host.call('shouter', key, 'listeners')) === 0);
  });
});

describe('clients that say a great deal when they connect', () => {
  const small = useHost({ components: ['conformance'], flags: ['--actor-openings-bytes-max', '128KiB'] });

  test('are refused when it comes to too much, and those who are there are well', async () => {
    const target = connectPath('connStateActor', [fresh()]);
    const headers = { 'x-much': 'x'.repeat(40_000) };
    const kept = await Promise.all(range(3).map(() => connect(small, target, { headers })));
    const { reason } = await within('it is closed', (await begin(small, target, { headers })).closed);
    assert.equal(reason, 'guard.service_unavailable');
    for (const connection of kept) assert.ok((await connection.call('getConnectionState')).id);
    kept.pop().ws.close();
    const again = await until('there is room again', () => connect(small, target, { headers }).catch(() => null));
    assert.equal((await again.call('getConnectionIds')).length, 3);
  });
});
