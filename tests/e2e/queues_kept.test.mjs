// What queues survive: guests that break down over a message, sleeps, new code, and `kill -9`.

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import {
  HostError,
  actionPath,
  failsWith,
  fresh,
  gatewayPath,
  inParallel,
  isAsleep,
  range,
  sameAgain,
  startHost,
  until,
  useHost,
  within,
} from './harness.mjs';
import { awakeUntil } from './living.mjs';

const LETTERS = { names: ['letters'] };

/** An actor with queues, and what there is to do with it. */
function newActor(host, type, key = fresh(type)) {
  const call = (action, ...args) => host.call(type, [key], action, ...args);
  const post = async (name, message) => {
    const headers = { 'x-rivet-encoding': 'json' };
    const answer = await host.request('POST', gatewayPath(type, [key], `/queue/${name}`), { headers, body: message });
    if (answer.status !== 200) throw new HostError(answer.status, answer.json());
    return answer.json();
  };
  const id = async () => (await host.actors({ name: type, key }))[0].actor_id;
  const operate = async (method, rest) => host.manage(method, `/actors/${await id()}/${rest}?namespace=default`);
  const generation = async () => {
    const { headers } = await host.request('POST', actionPath(type, [key], 'size'), { body: { args: [] } });
    return Number(headers['x-rivet-actor-generation']);
  };
  return { key, call, post, id, operate, generation };
}

/**
 * Does what may fail because the guest breaks down meanwhile, as often as it takes. What failed so was not kept, and may
 * be done again.
 */
async function inSpite(work) {
  for (;;) {
    try {
      return await work();
    } catch (error) {
      if (error.code !== 'crashed') throw error;
    }
  }
}

/** How much of this a trapper was told. */
const reported = (host, key) => host.call('trapper', [key], 'increment', 0);

describe('a message', () => {
  // Its clerks sleep when they are told to, and not in the middle of a test that is slow.
  const host = useHost({ components: ['fixtures'] });
  // Here they sleep by themselves.
  const idle = useHost({ components: ['fixtures'], flags: ['--sleep-after', '200ms'] });

  for (const how of ['received', 'taken', 'given back']) {
    test(`that no guest survives is a dead letter in the end, if it is ${how}`, async () => {
      const desk = newActor(host, 'desk');
      await desk.post('letters', { body: 'poison' });
      await desk.post('letters', { body: 'harmless' });
      for (const _ of range(3)) {
        const one = { ...LETTERS, timeout: 5_000 };
        // It is delayed after a while; the harmless one must not be taken for it.
        await until('it can be had', async () => {
          const [first] = (await desk.operate('GET', 'queue')).messages;
          return first.notBeforeMs <= Date.now();
        });
        await failsWith('actor.crashed', desk.call('panicOver', one, how));
      }
      const dead = await desk.call('dead');
      assert.deepEqual(dead.map(({ message }) => [message.body, message.attempts]), [['poison', 3]]);
      const [{ body, attempts }, ...others] = await desk.call('collect', { count: 10, timeout: 0 });
      assert.deepEqual([body, attempts, others], ['harmless', 1, []]);
    });
  }

  test('that breaks a run loop ends as a dead letter, and the others are dealt with, though nobody calls', async () => {
    const clerk = newActor(host, 'clerk');
    const report = fresh('report');
    const poison = { name: 'poison', ms: 50, isPoison: true };
    const jobs = [{ name: 'before', report }, poison, { name: 'after', report }, { name: 'last', report }];
    for (const job of jobs) await inSpite(() => clerk.post('jobs', { body: job }));
    await until('the others are done', async () => (await reported(host, report)) >= 3, { within: 30_000 });
    await until('it is given up', async () => (await inSpite(() => clerk.call('dead'))).length === 1);
    // A job is reported before it is done.
    await until('the last is kept', async () => (await clerk.call('size')) === 0);
    const [{ message }] = await clerk.call('dead');
    assert.deepEqual([message.body.name, message.attempts, message.queue], ['poison', 3, 'jobs']);
    assert.deepEqual((await clerk.call('done')).toSorted(), ['after', 'before', 'last']);
  });

  test('that broke a run loop is dealt with when the guest is mended and an operator puts it back', async () => {
    const clerk = newActor(host, 'clerk');
    await clerk.post('jobs', { body: { name: 'poison', ms: 50, isPoison: true } });
    const dead = () => inSpite(() => clerk.operate('GET', 'dead-letters'));
    await until('it is given up', async () => (await dead()).size === 1);
    await clerk.call('mend');
    const [{ id }] = (await dead()).messages;
    assert.deepEqual(await clerk.operate('POST', `dead-letters/${id}/retry`), { ok: true, id: '2' });
    await until('it is done', async () => (await clerk.call('done')).length === 1);
    assert.deepEqual(await clerk.call('done'), ['poison']);
    assert.equal((await dead()).size, 0);
  });

  test('that is refused by a run loop ends as a dead letter as well, and nobody breaks down', async () => {
    const clerk = newActor(host, 'clerk');
    const generation = await clerk.generation();
    await clerk.post('jobs', { body: { name: 'refused', isRefused: true } });
    await clerk.post('jobs', { body: { name: 'fine' }, wait: true, timeout: 10_000 });
    await until('it is given up', async () => (await clerk.call('dead')).length === 1);
    assert.equal((await clerk.call('dead'))[0].message.attempts, 3);
    assert.deepEqual(await clerk.call('done'), ['fine']);
    assert.equal(await clerk.generation(), generation);
  });

  test('that is no job ends as a dead letter', async () => {
    const clerk = newActor(host, 'clerk');
    await clerk.post('jobs', { body: ['not', 'a', 'job'] });
    await clerk.post('jobs', { body: { name: 'fine' }, wait: true, timeout: 10_000 });
    await until('it is given up', async () => (await clerk.call('dead')).length === 1);
    assert.deepEqual((await clerk.call('dead'))[0].message.body, ['not', 'a', 'job']);
  });

  test('that comes while the actor sleeps wakes it, also when it was delayed', async () => {
    const clerk = newActor(idle, 'clerk');
    const report = fresh('report');
    await clerk.call('plan', 3_000, { name: 'delayed', report });
    const id = await clerk.id();
    await until('it sleeps', async () => isAsleep(await idle.actor(id)));
    assert.equal(await reported(idle, report), 0);
    await until('it is done', async () => (await reported(idle, report)) === 1);
    await until('it sleeps', async () => isAsleep(await idle.actor(id)));
    await clerk.post('jobs', { body: { name: 'at once', report } });
    await until('it is done', async () => (await reported(idle, report)) === 2);
    await until('it is kept', async () => (await clerk.call('size')) === 0);
    assert.deepEqual(await clerk.call('done'), ['delayed', 'at once']);
  });

  test('that is being dealt with keeps the actor awake, and one that is waited for does not', async () => {
    const clerk = newActor(idle, 'clerk');
    const report = fresh('report');
    // Longer than it stays awake without work.
    const job = { name: 'long', ms: 1_500, report };
    const asked = clerk.post('jobs', { body: job, wait: true, timeout: 10_000 });
    asked.catch(() => {});
    await until('it is sent', async () => (await clerk.call('size')) === 1);
    const id = await clerk.id();
    await awakeUntil(idle, id, async () => (await reported(idle, report)) === 1);
    assert.deepEqual((await asked).response, { name: 'long', attempts: 1 });
    await until('it sleeps', async () => isAsleep(await idle.actor(id)));
  });
});

describe('a sleep that was asked for', () => {
  const host = useHost({ components: ['fixtures'] });

  test('cuts a message off that takes longer than the grace, and it is dealt with later, though nobody calls', async () => {
    const clerk = newActor(host, 'clerk');
    const report = fresh('report');
    await clerk.post('jobs', { body: { name: 'too long', ms: 5_000, report } });
    await clerk.post('jobs', { body: { name: 'behind it', report } });
    await host.putToSleep(await clerk.id());
    assert.equal(await reported(host, report), 0);
    await until('both are dealt with', async () => (await reported(host, report)) >= 2, { within: 20_000 });
    await until('the last is kept', async () => (await clerk.call('size')) === 0);
    assert.deepEqual(await clerk.call('done'), ['too long', 'behind it']);
  });
});

describe('a sender who waits', () => {
  const host = useHost({ components: ['fixtures'] });

  test('has the answer though the actor slept meanwhile', async () => {
    const desk = newActor(host, 'desk');
    const asked = desk.post('letters', { body: 'a question', wait: true, timeout: 30_000 });
    await until('it is sent', async () => (await desk.call('size')) === 1);
    const generation = await desk.generation();
    await until('it sleeps', async () => isAsleep(await host.actor(await desk.id())));
    const [{ body }] = await desk.call('deal', LETTERS, 1, 'an answer');
    assert.equal(body, 'a question');
    assert.deepEqual(await within('it is told', asked), { status: 'completed', response: 'an answer' });
    assert.ok((await desk.generation()) > generation);
  });

  test('has the answer though the actor moved to new code meanwhile', async () => {
    const [desk, clerk] = [newActor(host, 'desk'), newActor(host, 'clerk')];
    const generations = [await desk.generation(), await clerk.generation()];
    const asked = desk.post('letters', { body: 'a question', wait: true, timeout: 60_000 });
    const done = [];
    let isOver = false;
    const working = (async () => {
      for (let n = 0; !isOver; n += 1) {
        const name = `${n}`;
        const answer = await clerk.post('jobs', { body: { name, ms: 100 }, wait: true, timeout: 60_000 });
        assert.deepEqual(answer, { status: 'completed', response: { name, attempts: 1 } });
        done.push(name);
      }
    })();
    await until('it is sent', async () => (await desk.call('size')) === 1);
    await host.deploy(await sameAgain('fixtures', 1));
    for (const [n, actor] of [desk, clerk].entries()) {
      await until('it has moved', async () => (await actor.generation()) > generations[n]);
    }
    await desk.call('deal', LETTERS, 1, 'an answer');
    assert.deepEqual(await within('it is told', asked), { status: 'completed', response: 'an answer' });
    isOver = true;
    await within('the other is told', working);
    assert.deepEqual(await clerk.call('done'), done);
  });

  test('has the answer though the guest broke down meanwhile', async () => {
    const [desk, clerk] = [newActor(host, 'desk'), newActor(host, 'clerk')];
    const asked = desk.post('letters', { body: 'a question', wait: true, timeout: 30_000 });
    await until('it is sent', async () => (await desk.call('size')) === 1);
    await failsWith('actor.crashed', desk.call('panicOver', LETTERS, 'taken'));
    await desk.call('deal', LETTERS, 1, 'an answer');
    assert.deepEqual(await within('it is told', asked), { status: 'completed', response: 'an answer' });
    // Sent before the one in front of it breaks the guest, and dealt with long after.
    await clerk.post('jobs', { body: { name: 'poison', ms: 300, isPoison: true } });
    const { status, response } = await clerk.post('jobs', { body: { name: 'fine' }, wait: true, timeout: 30_000 });
    assert.deepEqual([status, response.name], ['completed', 'fine']);
  });

  test('is told that time is over when the message is a dead letter', async () => {
    const clerk = newActor(host, 'clerk');
    const answer = await clerk.post('jobs', { body: { name: 'refused', isRefused: true }, wait: true, timeout: 1_500 });
    assert.deepEqual(answer, { status: 'timedOut' });
    assert.equal((await clerk.call('dead')).length, 1);
  });
});

test('a graceful stop of the host finishes the message in hand, and those behind it follow when it is back', async (t) => {
  const host = await startHost(t, { components: ['fixtures'] });
  const clerk = newActor(host, 'clerk', 'k');
  const report = fresh('report');
  const jobs = range(4).map((n) => ({ name: `${n}`, ms: 400, report }));
  for (const job of jobs) await clerk.post('jobs', { body: job });
  assert.deepEqual(await host.stop(), { code: 0, signal: null });
  await host.startAgain();
  // Nobody calls the clerk.
  await until('all are done', async () => (await reported(host, report)) >= 4);
  await until('the last is kept', async () => (await clerk.call('size')) === 0);
  assert.deepEqual(await clerk.call('done'), ['0', '1', '2', '3']);
});

describe('kill -9', () => {
  /** The name of a job, which is only once. */
  const name = (round, clerk, n) => `round ${round}, clerk ${clerk}, job ${n}`;

  test('loses no message that was sent, and lets none be dealt with twice in the state', { timeout: 120_000 }, async (t) => {
    const host = await startHost(t, { components: ['fixtures'] });
    const CLERKS = 12;
    const sent = range(CLERKS).map(() => ({ acknowledged: new Set(), tried: new Set() }));
    for (const round of range(4)) {
      let isKilled = false;
      const load = range(CLERKS).map(async (index) => {
        const clerk = newActor(host, 'clerk', `${index}`);
        for (let n = 0; ; n += 1) {
          const job = name(round, index, n);
          sent[index].tried.add(job);
          try {
            await clerk.post('jobs', { body: { name: job, ms: n % 5 } });
            sent[index].acknowledged.add(job);
          } catch (error) {
            assert.ok(isKilled && /^(ECONN|EPIPE)/.test(error.code), `a send failed, and not by the kill: ${error.stack}`);
            return;
          }
        }
      });
      // Where in the load the kill falls is what the rounds are for; the moment itself proves nothing.
      await Promise.race([Promise.all(load), pause(200 + 200 * round)]);
      isKilled = true;
      await host.kill();
      await Promise.all(load);
      await host.startAgain();
    }
    for (const index of range(CLERKS)) {
      const clerk = newActor(host, 'clerk', `${index}`);
      const { acknowledged, tried } = sent[index];
      await until('everything is done', async () => (await clerk.call('size')) === 0, { within: 60_000 });
      const done = await clerk.call('done');
      const isDone = new Set(done);
      assert.equal(isDone.size, done.length, 'a job was done twice');
      assert.deepEqual([...acknowledged].filter((job) => !isDone.has(job)), [], 'jobs were lost');
      assert.deepEqual(done.filter((job) => !tried.has(job)), []);
      assert.deepEqual(await clerk.call('dead'), []);
    }
    t.diagnostic(`${sent.reduce((sum, { acknowledged }) => sum + acknowledged.size, 0)} jobs were acknowledged`);
  });

  test('leaves messages that are dealt with after the restart, though nobody calls', async (t) => {
    const host = await startHost(t, { components: ['fixtures'] });
    for (const round of range(5)) {
      const keys = range(20).map((n) => `${round}-${n}`);
      const reports = keys.map((key) => `report of ${key}`);
      // Awake, and waiting for a message.
      await Promise.all(keys.map((key) => newActor(host, 'clerk', key).call('size')));
      // Killed as soon as all are acknowledged: some have been taken, some have not.
      const job = (n) => ({ name: keys[n], report: reports[n], ms: 20 });
      await Promise.all(keys.map((key, n) => newActor(host, 'clerk', key).post('jobs', { body: job(n) })));
      await host.kill();
      await host.startAgain();
      await inParallel(5, keys.length, (n) =>
        until(`the job of ${keys[n]} is done`, async () => (await reported(host, reports[n])) > 0, { within: 20_000 }));
    }
  });

  test('keeps dead letters, delays and attempts', async (t) => {
    const host = await startHost(t, { components: ['fixtures'] });
    const desk = newActor(host, 'desk', 'k');
    await desk.post('letters', { body: 'dead' });
    for (const _ of range(3)) await desk.call('deal', LETTERS, 0, null);
    await desk.post('letters', { body: 'tried' });
    await desk.call('deal', LETTERS, 0, null);
    const sentAt = await desk.call('postAfter', 2_000, 'parcels', 'delayed');
    await host.kill();
    await host.startAgain();
    assert.deepEqual((await desk.call('dead')).map(({ message }) => message.body), ['dead']);
    const [{ body, attempts }] = await desk.call('collect', LETTERS);
    assert.deepEqual([body, attempts], ['tried', 2]);
    const at = await desk.call('collectAt', { names: ['parcels'] });
    assert.ok(at >= sentAt + 2_000, `it came ${sentAt + 2_000 - at} ms early`);
  });

  test('cannot part a message from what was done about it', async (t) => {
    const host = await startHost(t, { components: ['fixtures'] });
    const desk = newActor(host, 'desk', 'k');
    let next = 0;
    for (const _ of range(5)) {
      for (const n of range(20)) await desk.post('letters', { body: next + n });
      next += 20;
      const noting = (async () => {
        try {
          for (;;) await desk.call('note', { ...LETTERS, timeout: 0 });
        } catch (error) {
          assert.match(`${error.code}`, /^(ECONN|EPIPE)/);
        }
      })();
      const goal = next - 15;
      await until('some are noted', async () => (await desk.call('noted')).length >= goal).catch(() => {});
      await host.kill();
      await noting;
      await host.startAgain();
      const noted = await desk.call('noted');
      const left = await desk.call('collect', { count: 1_000, timeout: 0 });
      const all = [...noted, ...left.map(({ body }) => body)];
      assert.deepEqual(all.toSorted((a, b) => a - b), [...new Set(all)].toSorted((a, b) => a - b));
      for (const { body } of left) await desk.post('letters', { body });
    }
    await desk.call('note', { ...LETTERS, count: 1_000, timeout: 0 });
    assert.deepEqual((await desk.call('noted')).toSorted((a, b) => a - b), range(next));
  });
});

// The contract has a second way to receive, which the SDK has no use for.
describe('a message that is received without being taken', () => {
  test('is gone with the commit that has its receipt, and there again without it', async (t) => {
    const host = await startHost(t, { components: ['plain'] });
    const { post, call, id } = newActor(host, 'plain');
    const send = (body, more = {}) => post('letters', { body, ...more });
    for (const body of ['a', 'b', 'c']) await send(body);
    assert.deepEqual(await call('receive'), [2, ['a', 'b'], [1, 1]]);
    await host.kill();
    await host.startAgain();
    await failsWith('actor.crashed', call('receiveAndBreak'));
    assert.deepEqual(await call('receive'), [3, ['c'], [2]], 'what was not committed did not come again');
    assert.deepEqual(await call('receive'), [3, [], []]);

    // It completes the message for whoever waits for that.
    const asked = send('d', { wait: true, timeout: 60_000 });
    assert.deepEqual(await call('wait'), [4, ['d'], [1]]);
    assert.deepEqual(await asked, { status: 'completed' });
    const waiting = call('wait');
    waiting.catch(() => {});
    assert.deepEqual(await call('receive'), [4, [], []]);
    await host.putToSleep(await id());
    await failsWith('actor.aborted', waiting);
    await send('e');
    assert.deepEqual(await call('receive'), [5, ['e'], [1]]);
  });
});
