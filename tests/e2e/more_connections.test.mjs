// Connections at their edges: very many that end at once, texts that are none, what a hook makes of answers, audiences
// that change between two events, and much that is sent at the same time.

import assert from 'node:assert/strict';
import net from 'node:net';
import { describe, test } from 'node:test';
import {
  ENCODINGS,
  actionPath,
  failsWith,
  fresh,
  gatewayPath,
  inParallel,
  range,
  startHost,
  until,
  useHost,
  within,
} from './harness.mjs';
import { connect, connectPath, openSocket, ready, upTo, watch, websocketPath } from './sockets.mjs';

/** The generation of an actor, by what an action is answered with; and the answer, and how long it took. */
async function look(host, type, key, action) {
  const begun = performance.now();
  const answer = await host.request('POST', actionPath(type, key, action), {
    headers: { 'x-rivet-encoding': 'json' }, body: { args: [] },
  });
  assert.equal(answer.status, 200, answer.text());
  const took = performance.now() - begun;
  return { generation: Number(answer.headers['x-rivet-actor-generation']), output: answer.json().output, took };
}

/** More than there may be turns under way in one actor, 1,024. */
const CLIENTS = 3_000;
const OPENED_AT_ONCE = 64;
/** What every call is answered within while so many leave, on a slow machine. */
const ANSWER_MAX_MS = 10_000;
const LEAVE_MAX_MS = 60_000;

/** Opens a realtime connection as cheaply as can be, and gives its TCP socket when it has been let in. */
async function openCheaply(host, target) {
  const socket = net.connect(host.port, '127.0.0.1');
  // How it ends is nobody's business.
  socket.on('error', () => {});
  const lines = [
    `GET ${target} HTTP/1.1`,
    `host: 127.0.0.1:${host.port}`,
    'connection: upgrade',
    'upgrade: websocket',
    'sec-websocket-version: 13',
    'sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==',
    'sec-websocket-protocol: rivet, rivet_encoding.json',
  ];
  socket.write(`${lines.join('\r\n')}\r\n\r\n`);
  const letIn = new Promise((resolve, reject) => {
    let received = '';
    socket.setEncoding('latin1').on('data', (text) => {
      if (received === null) return;
      received += text;
      if (!received.includes('"Init"')) return;
      received = null;
      resolve();
    });
    socket.on('close', () => reject(new Error(`a connection was not let in: ${received}`)));
  });
  await within('it is let in', letIn, 30_000);
  return socket;
}

describe('very many clients that leave one actor at once', () => {
  // They do not answer pings.
  const flags = ['--ping-every', '5m', '--silence-max', '10m'];
  const leave = { timeout: 240_000 };

  const gather = (host, key) =>
    inParallel(OPENED_AT_ONCE, CLIENTS, () => openCheaply(host, connectPath('gathering', key)));

  /** Waits until the hook has run for all of them; gives what was seen meanwhile. */
  const allLeave = async (host, key) => {
    const seen = [];
    const hasLeft = async () => {
      const now = await look(host, 'gathering', key, 'counts');
      assert.ok(now.took < ANSWER_MAX_MS, `a call was answered after ${now.took.toFixed()} ms`);
      seen.push(now);
      return now.output[1] >= CLIENTS;
    };
    await until('all hooks have run', hasLeft, { within: LEAVE_MAX_MS, every: 50 });
    return seen;
  };

  /** Checks that each hook has run once, and that none is still to come. */
  const assertEachOnce = async (host, key) => {
    const [{ actor_id: id }] = await host.actors({ name: 'gathering', key: key[0] });
    // It waits for hooks that have begun; others would run when it wakes.
    await host.putToSleep(id);
    assert.deepEqual(await host.call('gathering', key, 'counts'), [CLIENTS, CLIENTS]);
    assert.equal(await host.call('gathering', key, 'leavers'), CLIENTS, 'a hook has run twice, and another not at all');
  };

  test('do not bring it down: every hook runs once, and calls are answered meanwhile', leave, async (t) => {
    const host = await startHost(t, { components: ['fixtures'], flags });
    const key = [fresh('gathering')];
    const sockets = await gather(host, key);
    const before = await look(host, 'gathering', key, 'counts');
    assert.deepEqual(before.output, [0, 0]);
    sockets.forEach((socket) => socket.destroy());
    const seen = await allLeave(host, key);
    for (const { generation } of seen) assert.equal(generation, before.generation, 'it was started again');
    await assertEachOnce(host, key);
    const slowest = Math.max(...seen.map(({ took }) => took));
    t.diagnostic(`${seen.length} calls meanwhile, the slowest took ${slowest.toFixed()} ms`);
  });

  test('because the host was killed do not either: the first call wakes it, and every hook runs once', leave, async (t) => {
    const host = await startHost(t, { components: ['fixtures'], flags });
    const key = [fresh('gathering')];
    const sockets = await gather(host, key);
    assert.deepEqual(await host.call('gathering', key, 'counts'), [0, 0]);
    await host.kill();
    sockets.forEach((socket) => socket.destroy());
    await host.startAgain();
    const first = await look(host, 'gathering', key, 'counts');
    const seen = await allLeave(host, key);
    for (const { generation } of seen) assert.equal(generation, first.generation, 'it was started again');
    await assertEachOnce(host, key);
  });
});

test('goodbyes that never end do not keep others from being said', async (t) => {
  /** More than are said at once. */
  const HANGING = 70;
  const host = await startHost(t, { components: ['fixtures'], flags: ['--request-timeout', '1s'] });
  const key = [fresh('gathering')];
  const join = () => openCheaply(host, connectPath('gathering', key));
  const sockets = await inParallel(OPENED_AT_ONCE, HANGING, join);
  const last = await join();
  await host.call('gathering', key, 'hang', true);
  sockets.forEach((socket) => socket.destroy());
  const counts = () => host.call('gathering', key, 'counts');
  await until('hooks have begun for all of them', async () => (await counts())[0] === HANGING, { within: 30_000 });
  await host.call('gathering', key, 'hang', false);
  last.destroy();
  await until('who leaves now is said goodbye', async () => (await counts())[1] === 1, { within: 30_000 });
});

describe('half a surrogate pair', () => {
  const host = useHost({ components: ['fixtures'] });
  const HALF = '\ud83d';
  const OTHER_HALF = '\ude00';
  const NONE = '\ufffd';
  const LONG = 'y'.repeat(100);

  /** What is sent, and what comes back. */
  const TEXTS = {
    'at the end of a text': [`x${HALF}`, `x${NONE}`],
    'at the beginning': [`${OTHER_HALF}x`, `${NONE}x`],
    'in the middle': [`a${HALF}b`, `a${NONE}b`],
    'before the other one, in the wrong order': [`${OTHER_HALF}${HALF}`, `${NONE}${NONE}`],
    'beside a whole one': [`${HALF}${HALF}${OTHER_HALF}`, `${NONE}😀`],
    'in a long text': [`${LONG}${HALF}`, `${LONG}${NONE}`],
    'in the middle of a long text': [`${LONG}${HALF}${LONG}`, `${LONG}${NONE}${LONG}`],
    'in a key of an object': [{ [`k${HALF}`]: 1, whole: '😀' }, { [`k${NONE}`]: 1, whole: '😀' }],
    'deep inside': [[{ list: [`x${HALF}`, 1] }], [{ list: [`x${NONE}`, 1] }]],
  };

  for (const encoding of ENCODINGS) {
    const client = () => host.client({ encoding });

    test(`in an argument becomes a replacement character, over HTTP in ${encoding}`, async () => {
      const handle = client().echoer.getOrCreate([fresh()]);
      for (const [where, [sent, received]] of Object.entries(TEXTS)) assert.deepEqual(await handle.echo(sent), received, where);
    });

    test(`in an argument becomes a replacement character, and the connection stays open, in ${encoding}`, async () => {
      const connection = client().echoer.getOrCreate([fresh()]).connect();
      const seen = watch(connection);
      await ready(connection);
      for (const [where, [sent, received]] of Object.entries(TEXTS)) {
        assert.deepEqual(await within(where, connection.echo(sent)), received, where);
      }
      assert.equal(await connection.echo('whole'), 'whole');
      assert.deepEqual([seen.opens, seen.closes, seen.errors], [1, 0, []]);
      await connection.dispose();
    });

    test(`in the params becomes a replacement character, with and without a connection, in ${encoding}`, async () => {
      const params = { name: `x${HALF}`, [`k${HALF}`]: `${LONG}${HALF}` };
      const received = { name: `x${NONE}`, [`k${NONE}`]: `${LONG}${NONE}` };
      const handle = client().mirror.getOrCreate([fresh()], { params });
      assert.deepEqual(await handle.given_params(), received);
      const connection = handle.connect();
      const seen = watch(connection);
      await ready(connection);
      assert.deepEqual(await connection.given_params(), received);
      assert.deepEqual([seen.opens, seen.closes, seen.errors], [1, 0, []]);
      await connection.dispose();
    });

    test(`in a message to a queue becomes a replacement character, in ${encoding}`, async () => {
      const desk = client().desk.getOrCreate([fresh()]);
      for (const [where, [sent, received]] of Object.entries(TEXTS)) {
        await desk.send('letters', sent);
        const messages = await desk.collect({ names: ['letters'], timeout: 0 });
        assert.deepEqual(messages.map(({ body }) => body), [received], where);
      }
    });
  }
});

describe('a hook before the response', () => {
  const host = useHost({ components: ['fixtures'] });
  const wrap = (action, by, output) => ({ action, by, output });
  const WAYS = {
    'over HTTP': (handle) => handle,
    'on a connection': (handle) => handle.connect(),
  };

  for (const encoding of ENCODINGS) {
    for (const [way, to] of Object.entries(WAYS)) {
      /** A new actor, and the way to it. */
      const setUp = (type) => {
        const key = fresh(type);
        return { key, actor: to(host.client({ encoding })[type].getOrCreate([key])) };
      };

      test(`gives the caller what it likes, and is told the action and what that gave, ${way} in ${encoding}`, async () => {
        const { key, actor } = setUp('wrapper');
        for (const value of ['a text', 5, null, { a: [1, 2, { b: true }] }, new Uint8Array([0, 255])]) {
          const { action, by, output } = await actor.give(value);
          assert.deepEqual([action, by], ['give', key]);
          assert.deepEqual(output instanceof Uint8Array ? new Uint8Array(output) : output, value);
          assert.deepEqual(await actor.plain(5), 5);
        }
        assert.strictEqual(await actor.hide(), undefined);
        const { action, output } = await actor.nothing();
        assert.equal(action, 'nothing');
        assert.strictEqual(output, undefined);
      });

      test(`runs once for each action that succeeds, and keeps what it changes, ${way} in ${encoding}`, async () => {
        const { actor } = setUp('wrapper');
        await actor.give(1);
        await failsWith('user.user_error', actor.fail());
        await failsWith('actor.action_not_found', actor.nowhere());
        await actor.plain(1);
        await failsWith('auth.forbidden', actor.refuse());
        // What was refused to the caller has been done.
        assert.deepEqual(await actor.seen(), { shown: ['give', 'plain', 'refuse'], refused: 1 });
      });

      test(`may wait, for actions that do and for those that do not, ${way} in ${encoding}`, async () => {
        const { actor } = setUp('slowWrapper');
        const COUNT = 10;
        const actionOf = (n) => (n % 2 ? 'give' : 'give_later');
        const given = await Promise.all(range(COUNT).map((n) => actor[actionOf(n)](n)));
        assert.deepEqual(given.map(({ action, output }) => [action, output]), range(COUNT).map((n) => [actionOf(n), n]));
        // Each by a run of its own.
        assert.deepEqual(given.map(({ by }) => Number(by)).toSorted((a, b) => a - b), upTo(COUNT));
      });
    }
  }

  test('runs for calls of other actors, too', async () => {
    const [asks, gives] = [fresh('asks'), fresh('gives')];
    const answer = await host.call('wrapper', [asks], 'ask', gives, 'it');
    assert.deepEqual(answer, wrap('ask', asks, wrap('give', gives, 'it')));
  });

  test('is over before a stop, which waits for it', async () => {
    const key = fresh('slow');
    await host.call('slowWrapper', [key], 'give', 1);
    const [{ actor_id: id }] = await host.actors({ name: 'slowWrapper', key });
    for (const _ of range(5)) {
      const giving = host.call('slowWrapper', [key], 'give_later', 'late');
      await Promise.all([giving, host.manage('POST', `/actors/${id}/sleep?namespace=default`, {})]);
      assert.equal((await giving).output, 'late');
    }
    assert.equal((await host.call('slowWrapper', [key], 'give', 1)).by, '7');
  });
});

describe('subscribers in all encodings', () => {
  const host = useHost({ components: ['fixtures'] });
  const EACH = 6;
  const ROUNDS = 12;

  test('hear each event once, and only what they want, whoever comes, goes or changes their mind in between', async () => {
    const key = [fresh('shouter')];
    /** Who is there: what they want to hear, and what they should have heard. */
    const people = [];
    const turn = (person, event) => {
      const wants = !person.wants.delete(event);
      if (wants) person.wants.add(event);
      person.connection.subscribe(event, wants);
    };
    const join = async (encoding) => {
      const connection = await connect(host, connectPath('shouter', key), { encoding });
      const person = { connection, encoding, wants: new Set(), toHear: [] };
      people.push(person);
      turn(person, 'noise');
      if (people.length % 2) turn(person, 'told');
    };
    // When a connection's next call is answered, what it has said before is done, and what was sent to it has come.
    const settle = () => Promise.all(people.map(({ connection }) => connection.call('listeners')));
    const heard = ({ connection }) => connection.frames.items
      .filter(({ tag }) => tag === 'Event')
      .map(({ name, args }) => `${name} ${name === 'noise' ? args[0].n : args[0]}`);
    const tell = async (event, says) => {
      const number = await says();
      for (const { wants, toHear } of people) if (wants.has(event)) toHear.push(`${event} ${number}`);
    };
    const check = (person) => assert.deepEqual(heard(person), person.toHear, `one in ${person.encoding}`);

    await Promise.all(ENCODINGS.flatMap((encoding) => range(EACH).map(() => join(encoding))));
    for (const round of range(ROUNDS)) {
      await settle();
      await tell('noise', () => host.call('shouter', key, 'shout', 1, 20));
      // Twice without a change of those who are to hear it.
      await tell('noise', () => host.call('shouter', key, 'shout', 1, 20));
      await tell('told', async () => {
        await host.call('shouter', key, 'tell', round, 'x');
        return round;
      });
      await settle();
      people.forEach(check);

      for (const [index, person] of people.entries()) {
        if ((index + round) % 3 === 0) turn(person, 'noise');
        if ((index + 2 * round) % 4 === 0) turn(person, 'told');
        // There and back again.
        if ((index + round) % 5 === 0) [1, 2].forEach(() => turn(person, 'noise'));
        // What they have said already.
        if ((index + round) % 7 === 0 && person.wants.has('noise')) person.connection.subscribe('noise');
      }
      const [leaver] = people.splice((5 * round) % people.length, 1);
      await (round % 2 ? leaver.connection.close() : leaver.connection.cut());
      await join(ENCODINGS[round % ENCODINGS.length]);
    }
    assert.ok(people.some(({ toHear }) => toHear.length > ROUNDS), 'nobody has heard much');
    for (const { connection } of people) assert.ok(connection.isOpen);
  });
});

describe('an actor that says much to many at the same time', () => {
  const host = useHost({ components: ['fixtures'] });
  const COUNT = 20;
  const BYTES = 2 ** 20;
  const ROUNDS = 3;
  const content = (n) => Buffer.alloc(BYTES, `${n},`);

  test('is not ended by it, nor is any of their raw WebSockets', async () => {
    const key = [fresh('parrot')];
    const before = await look(host, 'parrot', key, 'said');
    const sockets = await Promise.all(range(COUNT).map(() => openSocket(host, websocketPath('parrot', key))));
    for (const round of range(ROUNDS)) {
      sockets.forEach((socket, n) => socket.send(content(n + round)));
      const echoes = await Promise.all(sockets.map(({ messages }) => messages.next(30_000)));
      echoes.forEach((echo, n) => assert.ok(content(n + round).equals(echo), `echo ${n} in round ${round}`));
    }
    assert.ok(sockets.every(({ isOpen }) => isOpen));
    const after = await look(host, 'parrot', key, 'said');
    assert.deepEqual([after.generation, after.output], [before.generation, ROUNDS * COUNT]);
    await Promise.all(sockets.map((socket) => socket.close()));
  });

  test('is not ended by it, and answers all of their raw requests', async () => {
    const key = [fresh('parrot')];
    const before = await look(host, 'parrot', key, 'said');
    for (const round of range(ROUNDS)) {
      const target = gatewayPath('parrot', key, '/request/echo');
      const answers = await Promise.all(range(COUNT).map((n) => host.request('POST', target, { body: content(n + round) })));
      answers.forEach(({ status, body }, n) => {
        assert.equal(status, 200, `request ${n} in round ${round}`);
        assert.ok(content(n + round).equals(body), `request ${n} in round ${round}`);
      });
    }
    const after = await look(host, 'parrot', key, 'said');
    assert.deepEqual([after.generation, after.output], [before.generation, ROUNDS * COUNT]);
  });
});
