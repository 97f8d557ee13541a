// Queues: what is sent, received, completed and given up, and what bounds there are. What they survive is in
// `queues_kept.test.mjs`.

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { ENCODINGS, assertRefusal, failsWith, fresh, gatewayPath, range, until, useHost, within } from './harness.mjs';

const COMPLETED = { status: 'completed' };
const TIMED_OUT = { status: 'timedOut' };
const LETTERS = { names: ['letters'] };
const NOW = { timeout: 0 };

/** A desk of its own, and what there is to do with it. */
function newDesk(host, key = fresh('desk')) {
  const call = (action, ...args) => host.call('desk', [key], action, ...args);
  const post = (name, message, headers = {}) => {
    const target = gatewayPath('desk', [key], `/queue/${name}`);
    return host.request('POST', target, { headers: { 'x-rivet-encoding': 'json', ...headers }, body: message });
  };
  /** Sends, and waits for nothing but that the message is in its queue. */
  const send = async (body, name = 'letters') => {
    const answer = await post(name, { body });
    assert.equal(answer.status, 200, answer.text());
  };
  /** Sends and gives what became of the message. */
  const ask = async (body, timeout, name = 'letters') => (await post(name, { body, wait: true, timeout })).json();
  const id = async () => (await until('it is there', async () => (await host.actors({ name: 'desk', key }))[0])).actor_id;
  const operate = async (method, rest) => {
    const [path, query = ''] = rest.split('?');
    return host.manage(method, `/actors/${await id()}/${path}?namespace=default&${query}`);
  };
  return { key, call, post, send, ask, id, operate };
}

/** Waits until somebody has taken the desk's oldest message, and has not dealt with it. */
async function isTaken({ operate }) {
  await until('it is taken', async () => (await operate('GET', 'queue')).messages[0]?.attempts === 1);
}

const bodies = (messages) => messages.map(({ body }) => body);

describe('messages', () => {
  const host = useHost({ components: ['fixtures'] });

  test('tell where they come from, when they were sent, and how often they were taken', async () => {
    const { call, send } = newDesk(host);
    const before = Date.now();
    await send({ a: 1 });
    const after = Date.now();
    const [message, ...others] = await call('collect', LETTERS);
    assert.deepEqual(others, []);
    const { id, queue, body, sentMs, attempts } = message;
    assert.deepEqual({ queue, body, attempts }, { queue: 'letters', body: { a: 1 }, attempts: 1 });
    assert.ok(sentMs >= before && sentMs <= after, `sent at ${sentMs}, between ${before} and ${after}`);
    assert.equal(typeof id, 'string');
  });

  test('keep the order of each sender, and never share an id', async () => {
    const { call, send } = newDesk(host);
    const senders = range(8);
    await Promise.all(senders.map(async (sender) => {
      for (const n of range(25)) await send({ sender, n }, n % 2 ? 'letters' : 'parcels');
    }));
    const received = [];
    while (received.length < 200) received.push(...(await call('collect', { count: 30, ...NOW })));
    for (const sender of senders) {
      const own = bodies(received).filter((body) => body.sender === sender);
      assert.deepEqual(own.map(({ n }) => n), range(25));
    }
    assert.equal(new Set(received.map(({ id }) => id)).size, 200);
    await send('one more');
    const [{ id }] = await call('collect', LETTERS);
    assert.ok(received.every((message) => message.id !== id), 'an id was used again');
  });

  test('come one by one to many receivers who wait, and none comes twice', async () => {
    const { key, call, send } = newDesk(host);
    const waiting = range(10).map(() => call('collect', LETTERS));
    await call('size');
    for (const n of range(10)) await newDesk(host, key).send(n);
    const received = (await within('all receive', Promise.all(waiting))).flat();
    assert.deepEqual(bodies(received).toSorted(), range(10));
    await send('left');
    assert.deepEqual(bodies(await call('collect', { count: 10, ...NOW })), ['left']);
  });

  test('come in batches of a thousand at most, and of some megabytes at most', async () => {
    const { call } = newDesk(host);
    assert.deepEqual(await call('postMany', 1_200, 10), [1_200, null]);
    assert.deepEqual(await call('tally', { count: 5_000 }), [1_000, 10_000]);
    assert.deepEqual(await call('tally', { count: 5_000 }), [200, 2_000]);
    assert.deepEqual(await call('postMany', 100, 90_000), [100, null]);
    let count = 0;
    while (count < 100) {
      const [some, bytes] = await call('tally', { count: 100 });
      assert.ok(some > 0 && bytes <= 4 * 2 ** 20, `${some} messages of ${bytes} bytes at once`);
      count += some;
    }
    assert.equal(count, 100);
  });

  test('that were delayed come when it is time, not early, and others overtake them', async () => {
    const { call, send } = newDesk(host);
    const sentAt = await call('postAfter', 2_000, 'letters', 'late');
    await send('soon');
    assert.deepEqual(bodies(await call('collect', { count: 10, ...NOW })), ['soon']);
    assert.equal(await call('size'), 1);
    const at = await call('collectAt', LETTERS);
    assert.ok(at >= sentAt + 2_000, `it came ${sentAt + 2_000 - at} ms early`);
  });

  test('that were delayed have their old place when it is time', async () => {
    const { call, send } = newDesk(host);
    const sentAt = await call('postAfter', 200, 'letters', 'first');
    await send('second');
    await until('it is time', () => Date.now() > sentAt + 200);
    assert.deepEqual(bodies(await call('collect', { count: 10, ...NOW })), ['first', 'second']);
  });

  test('that are taken stay where they are until they are completed, and nobody else gets them', async () => {
    const desk = newDesk(host);
    const { call, send } = desk;
    await send('held');
    await send('free');
    const hold = call('hold', LETTERS, 2_500);
    await isTaken(desk);
    assert.deepEqual(bodies(await call('collect', { count: 10, ...NOW })), ['free']);
    assert.equal(await call('size'), 1);
    assert.equal((await hold).body, 'held');
    assert.equal(await call('size'), 0);
  });

  test('of a batch that are not completed come again, the others do not', async () => {
    const { call, send } = newDesk(host);
    for (const n of range(5)) await send(n);
    assert.deepEqual(bodies(await call('deal', { count: 5 }, 2, null)), [0, 1, 2, 3, 4]);
    const again = await call('collect', { count: 5, ...NOW });
    assert.deepEqual(again.map(({ body, attempts }) => [body, attempts]), [[2, 2], [3, 2], [4, 2]]);
  });

  test('come again when what took them fails', async () => {
    const { call, send } = newDesk(host);
    await send('tried');
    await failsWith('user.user_error', call('failOver', LETTERS));
    const [{ body, attempts }] = await call('deal', LETTERS, 1, null);
    assert.deepEqual({ body, attempts }, { body: 'tried', attempts: 2 });
    assert.equal(await call('size'), 0);
  });

  test('to a queue that is not declared are dropped, by whatever way', async () => {
    const { call, send, ask } = newDesk(host);
    assert.strictEqual(await call('post', 'postcards', 1), null);
    assert.deepEqual(await call('postAndWait', 'postcards', 1), { status: 'completed', response: null });
    await send(1, 'postcards');
    assert.deepEqual(await ask(1, 10_000, 'postcards'), COMPLETED);
    assert.deepEqual(await call('collect', { names: ['postcards'], ...NOW }), []);
    assert.equal(await call('size'), 0);
  });

  test('of one actor are no business of another', async () => {
    const [one, other] = [newDesk(host), newDesk(host)];
    await one.send('mine');
    assert.deepEqual(await other.call('collect', { count: 10, ...NOW }), []);
    assert.deepEqual(bodies(await one.call('collect', { count: 10, ...NOW })), ['mine']);
  });
});

describe('dead letters', () => {
  const host = useHost({ components: ['fixtures'] });

  /** Takes a message as often as it may be, and never completes it. */
  async function kill({ call, send }, body) {
    await send(body);
    const attempts = [];
    while (attempts.length < 3) {
      const [message] = await within('it comes again', call('deal', LETTERS, 0, null));
      assert.equal(message.body, body);
      attempts.push(message.attempts);
    }
    assert.deepEqual(attempts, [1, 2, 3]);
  }

  test('are messages that were taken too often, and are kept apart', async () => {
    const desk = newDesk(host);
    const before = Date.now();
    await kill(desk, 'unwanted');
    assert.deepEqual(await desk.call('collect', { count: 10, ...NOW }), []);
    assert.equal(await desk.call('size'), 0);
    const [{ message, diedMs }, ...others] = await desk.call('dead');
    assert.deepEqual(others, []);
    assert.deepEqual([message.body, message.queue, message.attempts], ['unwanted', 'letters', 3]);
    assert.ok(diedMs >= before && diedMs <= Date.now());
  });

  test('are shown to operators, put back and discarded by them', async () => {
    const desk = newDesk(host);
    await kill(desk, 'first');
    await kill(desk, 'second');
    const { size, messages } = await desk.operate('GET', 'dead-letters?bodies=true');
    assert.equal(size, 2);
    const shown = messages.map(({ body, name, attempts }) => [body, name, attempts]);
    assert.deepEqual(shown, [['first', 'letters', 3], ['second', 'letters', 3]]);
    const [first, second] = messages;
    assert.ok(first.diedAtMs >= first.sentAtMs);
    const retried = await desk.operate('POST', `dead-letters/${first.id}/retry`);
    assert.deepEqual(retried, { ok: true, id: retried.id });
    assert.deepEqual(await desk.operate('DELETE', `dead-letters/${second.id}`), { ok: true });
    assert.deepEqual(await desk.operate('GET', 'dead-letters'), { size: 0, messages: [] });

    const queue = await desk.operate('GET', 'queue?bodies=true');
    assert.equal(queue.size, 1);
    assert.deepEqual([queue.messages[0].body, queue.messages[0].attempts], ['first', 0]);
    const [{ body, attempts, id }] = await desk.call('collect', { count: 10, ...NOW });
    assert.deepEqual([body, attempts], ['first', 1]);
    assert.notEqual(id, first.id);
    assert.equal(id, retried.id);
  });

  test('that are not there cannot be put back or discarded', async () => {
    const desk = newDesk(host);
    await kill(desk, 'gone');
    const [{ message }] = await desk.call('dead');
    await desk.operate('DELETE', `dead-letters/${message.id}`);
    for (const id of [message.id, '9999', 'nonsense']) {
      await failsWith('api.not_found', desk.operate('POST', `dead-letters/${id}/retry`));
      await failsWith('api.not_found', desk.operate('DELETE', `dead-letters/${id}`));
      assert.equal(await desk.call('putBack', id), null);
      assert.equal(await desk.call('discard', id), false);
    }
  });

  test('are put back and discarded by the actor itself', async () => {
    const desk = newDesk(host);
    await kill(desk, 'first');
    await kill(desk, 'second');
    await desk.send('waits');
    const [first, second] = (await desk.call('dead')).map(({ message }) => message.id);
    const again = await desk.call('putBack', first);
    assert.equal(await desk.call('discard', second), true);
    assert.deepEqual(await desk.call('dead'), []);
    const received = await desk.call('collect', { count: 10, ...NOW });
    assert.deepEqual(bodies(received), ['waits', 'first'], 'behind those that wait');
    assert.equal(received[1].id, again);
  });

  test('survive a sleep', async () => {
    const desk = newDesk(host);
    await kill(desk, 'kept');
    await host.putToSleep(await desk.id());
    assert.deepEqual((await desk.call('dead')).map(({ message }) => message.body), ['kept']);
  });
});

describe('a sender who waits', () => {
  const host = useHost({ components: ['fixtures'] });

  for (const encoding of ENCODINGS) {
    test(`is told the reply in ${encoding}, whatever it is`, async () => {
      const client = host.client({ encoding });
      const key = [fresh('desk')];
      const [sender, receiver] = [client.desk.getOrCreate(key), client.desk.getOrCreate(key)];
      const plain = [{ deep: [1, { a: null }] }, 'text', 0, false, null];
      for (const reply of [...plain, 2n ** 70n, new Uint8Array([1, 255]), ['$BigInt', '5']]) {
        const sent = sender.send('letters', 'a question', { wait: true, timeout: 10_000 });
        await receiver.deal(LETTERS, 1, reply);
        assert.deepEqual(await sent, { status: 'completed', response: reply });
      }
      const sent = sender.send('letters', 'a question', { wait: true, timeout: 10_000 });
      await receiver.deal(LETTERS, 1);
      const { status, response } = await sent;
      assert.deepEqual([status, response], ['completed', undefined]);
    });

    test(`is told in ${encoding} that time is over, and the message can still be completed`, async () => {
      const client = host.client({ encoding });
      const desk = client.desk.getOrCreate([fresh('desk')]);
      const begun = performance.now();
      assert.deepEqual(await desk.send('letters', 'unheard', { wait: true, timeout: 80 }), TIMED_OUT);
      const took = performance.now() - begun;
      assert.ok(took >= 79 && took < 5_000, `after ${took} ms`);
      assert.deepEqual(bodies(await desk.deal({ ...LETTERS, ...NOW }, 1, 'too late')), ['unheard']);
      assert.equal(await desk.size(), 0);
    });
  }

  test('is told nothing before the message is completed', async () => {
    const desk = newDesk(host);
    let isTold = false;
    const asked = desk.ask('slow', 10_000).finally(() => (isTold = true));
    const hold = desk.call('hold', LETTERS, 2_500);
    await isTaken(desk);
    assert.equal(isTold, false);
    assert.deepEqual(await asked, { status: 'completed', response: 'held' });
    assert.equal((await hold).body, 'slow');
  });

  test('is told of its own message, out of many', async () => {
    const desk = newDesk(host);
    const asked = range(50).map((n) => desk.ask(n, 20_000));
    let dealt = 0;
    const replies = new Map();
    while (dealt < 50) {
      const messages = await desk.call('deal', { count: 7 }, 7, `batch at ${dealt}`);
      for (const { body } of messages) replies.set(body, `batch at ${dealt}`);
      dealt += messages.length;
    }
    const answers = await Promise.all(asked);
    assert.deepEqual(answers, range(50).map((n) => ({ status: 'completed', response: replies.get(n) })));
  });

  test('can be the actor itself, or another one', async () => {
    const [one, other] = [newDesk(host), newDesk(host)];
    const asked = one.call('postAndWait', 'letters', 'to myself', 10_000);
    assert.deepEqual(bodies(await one.call('deal', LETTERS, 1, 'from myself')), ['to myself']);
    assert.deepEqual(await asked, { status: 'completed', response: 'from myself' });
    const mailed = one.call('mailAndWait', other.key, 'letters', 'to the other', 10_000);
    assert.deepEqual(bodies(await other.call('deal', LETTERS, 1, { to: 'the first' })), ['to the other']);
    assert.deepEqual(await mailed, { status: 'completed', response: { to: 'the first' } });
    assert.deepEqual(await one.call('mailAndWait', other.key, 'letters', 'unheard', 30), { status: 'timedOut', response: null });
  });

  test('takes nothing back by going away', async () => {
    const { key, call } = newDesk(host);
    const leaving = new AbortController();
    const desk = host.client().desk.getOrCreate([key]);
    const asked = desk.send('letters', 'left behind', { wait: true, timeout: 60_000, signal: leaving.signal });
    asked.catch(() => {});
    await until('it is sent', async () => (await call('size')) === 1);
    leaving.abort();
    await assert.rejects(within('the client gives up', asked));
    assert.deepEqual(bodies(await call('collect', LETTERS)), ['left behind']);
  });

  test('is told when the actor is destroyed meanwhile', async () => {
    const { call, post } = newDesk(host);
    const asked = post('letters', { body: 1, wait: true, timeout: 60_000 });
    await until('it is sent', async () => (await call('size')) === 1);
    await call('destroy');
    assertRefusal(await within('it is told', asked), 500, 'actor.aborted');
  });
});

describe('bounds', () => {
  const flags = ['--queue-bytes-max', '512KiB', '--queue-wait-max', '300ms', '--queue-messages-max', '3'];
  const host = useHost({ components: ['fixtures'], flags });

  test('are on the number of messages, as the type says or the host', async () => {
    const { call, post, send } = newDesk(host);
    const [sent, error] = await call('postMany', 2_000, 1);
    assert.equal(sent, 1_500);
    assert.match(error, /^queue\.full: Queue is full\. Limit is 1500/);
    const refused = assertRefusal(await post('parcels', { body: 1 }), 400, 'queue.full');
    assert.match(refused.message, /Queue is full\. Limit is 1500/);
    await call('collect', LETTERS);
    await send('there is room again');
    // A clerk's type says nothing of it. All of its messages are delayed.
    const clerk = (action, ...args) => host.call('clerk', ['k'], action, ...args);
    for (const n of range(3)) await clerk('plan', 3_600_000, { name: `${n}` });
    await failsWith('queue.full', clerk('plan', 3_600_000, { name: 'one too many' }));
  });

  test('are on the size of one message', async () => {
    const { call, post } = newDesk(host);
    // Of CBOR: five bytes say that it is a text, and how long.
    assert.notEqual(await call('post', 'letters', 'x'.repeat(50_000)), null);
    assert.deepEqual(await call('postMany', 1, 99_995), [1, null]);
    assert.match((await call('postMany', 1, 99_996))[1], /^queue\.message_too_large: /);
    assertRefusal(await post('letters', { body: 'x'.repeat(70_000) }), 400, 'message.incoming_too_long');
    assert.equal(await call('size'), 2);
  });

  test('are on the bytes of all messages', async () => {
    const { call } = newDesk(host);
    const [sent, error] = await call('postMany', 10, 90_000);
    assert.equal(sent, 5);
    assert.match(error, /^queue\.full: Queue is full\. Limit is 524288 bytes/);
    await call('tally', { count: 2 });
    assert.deepEqual((await call('postMany', 10, 90_000))[0], 2);
  });

  test('are on the time that a sender waits', async () => {
    const { ask } = newDesk(host);
    assert.deepEqual(await within('it is told', ask('unheard', 600_000)), TIMED_OUT);
    assert.deepEqual(await within('it is told', ask('unheard', undefined)), TIMED_OUT);
  });

  test('are on what clients send', async () => {
    const { post, call } = newDesk(host);
    for (const message of ['nonsense', [], 5, { body: 1, wait: 'yes' }, { body: 1, wait: true, timeout: -1 }]) {
      assertRefusal(await post('letters', message), 400, 'actor.invalid_request');
    }
    assert.equal(await call('size'), 0);
    const get = await host.request('GET', gatewayPath('desk', ['k'], '/queue/letters'));
    assertRefusal(get, 405, 'actor.method_not_allowed');
    const missing = gatewayPath('desk', [fresh('none')], '/queue/letters', { method: 'get' });
    assertRefusal(await host.request('POST', missing, { body: { body: 1 } }), 404, 'actor.not_found');
    const unknown = gatewayPath('nobody', ['k'], '/queue/letters');
    assertRefusal(await host.request('POST', unknown, { body: { body: 1 } }), 404, 'actor.type_not_found');
  });
});
