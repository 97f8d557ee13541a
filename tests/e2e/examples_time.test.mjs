// The examples that do something without being called: `reminder`, `worker_pool` and `ai_agent`, used as they say that
// they are.

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { assertRefusal, failsWith, fresh, gatewayPath, isAsleep, range, sameAgain, startHost, until, useHost } from './harness.mjs';
import { Inbox, ready } from './sockets.mjs';

const idOf = async (host, name, key) => (await host.actors({ name, key }))[0].actor_id;

/** A connection, and an inbox for each of these events. */
async function listen(handle, ...events) {
  const connection = await ready(handle.connect());
  const inboxes = events.map((event) => {
    const inbox = new Inbox(`event ${event}`);
    connection.on(event, (argument) => inbox.push(argument));
    return inbox;
  });
  return [connection, ...inboxes];
}

/** What a command prints, which must work. */
async function output(host, ...args) {
  const { code, stdout, stderr } = await host.cli(...args);
  assert.equal(code, 0, `greenroom ${args.join(' ')}: ${stderr}`);
  return stdout;
}

describe('reminder', () => {
  const host = useHost({ components: ['reminder'] });
  const call = (key, action, ...args) => host.call('reminder', [key], action, ...args);

  test('reminds once, not before the time, whoever is connected; and keeps it for who is not', async () => {
    const key = fresh();
    const [connection, reminders] = await listen(host.client().reminder.getOrCreate([key]), 'reminder');
    const begun = Date.now();
    const id = await connection.remind(3, 'milk');
    const [entry, ...others] = await connection.upcoming();
    assert.deepEqual(others, []);
    assert.deepEqual([entry.id, entry.action, entry.args, entry.failures], [id, 'ring', ['milk'], 0]);
    assert.ok(entry.nextMs >= begun + 3_000 && entry.nextMs <= Date.now() + 3_000, `${entry.nextMs} after ${begun}`);
    assert.equal(await reminders.next(), 'milk');
    assert.ok(Date.now() >= entry.nextMs, 'it came too early');
    assert.deepEqual(await connection.upcoming(), []);
    assert.deepEqual(await connection.read(), ['milk']);
    assert.deepEqual(await connection.read(), []);
    assert.deepEqual(reminders.items, []);
  });

  test('reminds in the order of the times, and not of what was cancelled', async () => {
    const key = fresh();
    await call(key, 'remind', 5, 'second');
    await call(key, 'remind', 3, 'first');
    const id = await call(key, 'remind', 3, 'never');
    assert.equal(await call(key, 'cancel', id), true);
    assert.equal(await call(key, 'cancel', id), false);
    await until('both have come', async () => (await call(key, 'upcoming')).length === 0);
    assert.deepEqual(await call(key, 'read'), ['first', 'second']);
  });

  test('sleeps until the time and wakes by itself, under an open connection', async () => {
    const key = fresh();
    const [connection, reminders] = await listen(host.client().reminder.getOrCreate([key]), 'reminder');
    await connection.remind(4, 'tea');
    const id = await idOf(host, 'reminder', key);
    await until('it sleeps', async () => isAsleep(await host.actor(id)));
    assert.deepEqual(reminders.items, []);
    assert.equal(await reminders.next(), 'tea');
  });

  test('nags until it is told to stop', async () => {
    const key = fresh();
    const [connection, reminders] = await listen(host.client().reminder.getOrCreate([key]), 'reminder');
    const id = await connection.nag(1, 'tidy up');
    assert.equal((await connection.upcoming())[0].everyMs, 1_000);
    assert.deepEqual(await reminders.several(3), ['tidy up', 'tidy up', 'tidy up']);
    assert.equal(await connection.cancel(id), true);
    assert.deepEqual(await connection.upcoming(), []);
    await failsWith('schedule.invalid_interval', connection.nag(0, 'no'));
  });

  test('has one time of the day, in a time zone', async () => {
    const key = fresh();
    for (const [hour, minute] of [[7, 0], [9, 30]]) {
      assert.equal(await call(key, 'daily', hour, minute, 'Asia/Tokyo', 'get up'), 'daily');
    }
    const [{ cron, timeZone, nextMs }, ...others] = await call(key, 'upcoming');
    assert.deepEqual([cron, timeZone, others], ['30 9 * * *', 'Asia/Tokyo', []]);
    // There is no daylight saving there: 9:30 is half past midnight in UTC.
    assert.equal(nextMs % 86_400_000, 30 * 60_000);
    assert.ok(nextMs > Date.now() && nextMs <= Date.now() + 86_400_000);
    for (const [code, ...time] of [['invalid_cron_expression', 24, 0, 'UTC'], ['invalid_timezone', 9, 0, 'Berlin']]) {
      await assert.rejects(call(key, 'daily', ...time, 'no'), (error) => `${error.group}.${error.code}` === `schedule.${code}`);
    }
    assert.equal((await call(key, 'upcoming')).length, 1);
  });

  test('keeps its word over a power cut and a new revision, without being called', async (t) => {
    const own = await startHost(t, { components: ['reminder'] });
    const remind = (seconds, text) => own.call('reminder', ['k'], 'remind', seconds, text);
    await remind(1, 'during the power cut');
    await remind(4, 'after it');
    const [{ nextMs }] = await own.call('reminder', ['k'], 'upcoming');
    const id = await idOf(own, 'reminder', 'k');
    await own.kill();
    await pause(nextMs + 1 - Date.now());
    await own.startAgain();
    await until('it is awake', async () => !isAsleep(await own.actor(id)));
    await own.deploy(await sameAgain('reminder', 1));
    await until('it has been reminded', async () => (await own.call('reminder', ['k'], 'upcoming')).length === 0);
    assert.deepEqual(await own.call('reminder', ['k'], 'read'), ['during the power cut', 'after it']);
  });

  test('shows what is to come, and what came, on the command line', async () => {
    const key = fresh();
    await call(key, 'remind', 1, 'milk');
    await call(key, 'daily', 9, 0, 'Europe/Berlin', 'get up');
    await until('the first has come', async () => (await call(key, 'upcoming')).length === 1);
    const listed = await output(host, 'schedule', 'list', 'reminder', key);
    assert.match(listed, /daily +ring .*0 9 \* \* \* \(Europe\/Berlin\)/);
    assert.match(listed, /ring .*done/);
    await output(host, 'schedule', 'cancel', 'reminder', key, 'daily');
    assert.deepEqual(await call(key, 'upcoming'), []);
  });
});

describe('worker_pool', () => {
  const host = useHost({ components: ['worker_pool'] });
  const pool = (on, key) => on.client().workerPool.getOrCreate([key]);
  const totals = (on, key) => on.call('workerPool', [key], 'totals');
  const texts = (count) => range(count).map((n) => `${'word '.repeat(n)}end`);
  /** How many words `texts(count)` are. */
  const words = (count) => (count * (count + 1)) / 2;

  test('shares a job among its workers, and gives back the sum', async () => {
    const key = fresh();
    const done = await pool(host, key).send('jobs', texts(20), { wait: true, timeout: 20_000 });
    assert.deepEqual(done, { status: 'completed', response: words(20) });
    assert.deepEqual(await totals(host, key), { jobs: 1, words: words(20) });
    const pieces = await Promise.all(range(4).map((n) => host.call('worker', [key, `${n}`], 'pieces')));
    assert.deepEqual(pieces, [1, 1, 1, 1]);
  });

  test('does a job of any size: of nothing, of less than it has workers, of a thousand', async () => {
    const key = fresh();
    for (const count of [0, 1, 3, 1_000]) {
      const job = range(count).map(() => 'two words');
      const done = await pool(host, key).send('jobs', job, { wait: true, timeout: 20_000 });
      assert.deepEqual(done, { status: 'completed', response: 2 * count });
    }
  });

  test('does every job once that is sent to it, also while it sleeps', async () => {
    const key = fresh();
    await pool(host, key).send('jobs', texts(3));
    await until('it has done the first', async () => (await totals(host, key)).jobs === 1);
    await host.putToSleep(await idOf(host, 'workerPool', key));
    await Promise.all(range(10).map(() => pool(host, key).send('jobs', texts(5))));
    await until('it has done all', async () => (await totals(host, key)).jobs === 11);
    assert.deepEqual(await totals(host, key), { jobs: 11, words: words(3) + 10 * words(5) });
  });

  test('does every job once over a power cut and new revisions in the middle of them', async (t) => {
    const own = await startHost(t, { components: ['worker_pool'] });
    for (const _ of range(20)) await pool(own, 'k').send('jobs', texts(4));
    const reaches = (jobs) => until(`${jobs} jobs are done`, async () => (await totals(own, 'k')).jobs >= jobs);
    await reaches(3);
    await own.kill();
    await own.startAgain();
    await reaches(8);
    await own.deploy(await sameAgain('worker_pool', 1));
    await reaches(13);
    await own.deploy(await sameAgain('worker_pool', 2));
    await reaches(20);
    assert.deepEqual(await totals(own, 'k'), { jobs: 20, words: 20 * words(4) });
    assert.equal(JSON.parse(await output(own, 'queue', 'list', 'workerPool', 'k', '--json')).size, 0);
  });

  test('puts aside what is no job, where operators find it, and goes on with the next', async () => {
    const key = fresh();
    await pool(host, key).send('jobs', { no: 'job' });
    assert.equal((await pool(host, key).send('jobs', ['one'], { wait: true, timeout: 20_000 })).response, 1);
    const dead = async () => JSON.parse(await output(host, 'queue', 'dead', 'workerPool', key, '--bodies', '--json'));
    const [letter] = (await until('it is a dead letter', async () => (await dead()).size === 1 && dead())).messages;
    assert.deepEqual([letter.name, letter.attempts, letter.body], ['jobs', 3, { no: 'job' }]);

    await output(host, 'queue', 'retry', 'workerPool', key, letter.id);
    const [again] = (await until('it is one again', async () => (await dead()).size === 1 && dead())).messages;
    assert.notEqual(again.id, letter.id);
    await output(host, 'queue', 'discard', 'workerPool', key, again.id);
    assert.equal((await dead()).size, 0);
  });

  test('lets nobody but actors send pieces to workers', async () => {
    const path = gatewayPath('worker', [fresh()], '/queue/pieces');
    const answer = await host.request('POST', path, { headers: { 'x-rivet-encoding': 'json' }, body: { body: ['mine'] } });
    assertRefusal(answer, 403, 'auth.forbidden');
  });
});

describe('ai_agent', () => {
  const host = useHost({ components: ['ai_agent'] });
  const agent = (on, key) => on.client().aiAgent.getOrCreate([key]);
  const answerTo = (prompt) => `You said: ${prompt}. I have nothing to add to that.`;
  const lengthOf = (prompt) => answerTo(prompt).split(' ').length;
  const ask = (handle, prompt) => handle.send('prompts', prompt, { wait: true, timeout: 20_000 });
  const conversation = (on, key) => on.call('aiAgent', [key], 'conversation', 100);
  /** A prompt whose answer takes some seconds: it has so many words, and some more. */
  const longPrompt = (count) => 'word '.repeat(count).trim();

  test('is heard word by word while it answers, and then gives the whole', async () => {
    const key = fresh();
    const [connection, words, answers] = await listen(agent(host, key), 'word', 'answer');
    const prompt = longPrompt(20);
    const asked = ask(agent(host, key), prompt);
    assert.equal(await words.next(), 'You');
    assert.deepEqual(answers.items, [], 'the answer was over at its first word');
    const answer = { text: answerTo(prompt), isCancelled: false };
    assert.deepEqual(await asked, { status: 'completed', response: answer });
    assert.deepEqual(await answers.next(), answer);
    assert.equal(['You', ...(await words.several(lengthOf(prompt) - 1))].join(' '), answer.text);
    assert.deepEqual(await connection.conversation(1), [prompt, answer.text]);
  });

  test('answers one after another, in the order of the prompts, and remembers all', async () => {
    const key = fresh();
    for (const prompt of ['a', 'b', 'c']) await agent(host, key).send('prompts', prompt);
    await until('all are answered', async () => (await conversation(host, key)).length === 6);
    assert.deepEqual(await conversation(host, key), ['a', 'b', 'c'].flatMap((prompt) => [prompt, answerTo(prompt)]));
    assert.deepEqual(await host.call('aiAgent', [key], 'conversation', 1), ['c', answerTo('c')]);
  });

  test('stops when it is told to, keeps what it has said, and goes on with the next prompt', async () => {
    const key = fresh();
    const [connection, words, answers] = await listen(agent(host, key), 'word', 'answer');
    const prompt = longPrompt(60);
    const asked = ask(agent(host, key), prompt);
    await words.several(2);
    await connection.cancel();
    const { response } = await asked;
    assert.equal(response.isCancelled, true);
    assert.ok(answerTo(prompt).startsWith(response.text), response.text);
    assert.notEqual(response.text, answerTo(prompt));
    assert.deepEqual(await answers.next(), response);

    assert.deepEqual((await ask(agent(host, key), 'b')).response, { text: answerTo('b'), isCancelled: false });
    assert.deepEqual(await conversation(host, key), [prompt, response.text, 'b', answerTo('b')]);
    // With nothing to be cancelled, nothing is.
    await connection.cancel();
    assert.equal((await ask(agent(host, key), 'c')).response.isCancelled, false);
  });

  test('says no word twice and leaves none out when new code takes over in the middle of an answer', async (t) => {
    const own = await startHost(t, { components: ['ai_agent'] });
    const [, words] = await listen(agent(own, 'k'), 'word', 'answer');
    const asked = ask(agent(own, 'k'), 'hello');
    const heard = await words.several(3);
    await own.deploy(await sameAgain('ai_agent', 1));
    assert.deepEqual((await asked).response, { text: answerTo('hello'), isCancelled: false });
    heard.push(...(await words.several(lengthOf('hello') - 3)));
    assert.equal(heard.join(' '), answerTo('hello'));
    assert.deepEqual(words.items, []);
  });

  test('finishes its answer after a power cut, without being called', async (t) => {
    const own = await startHost(t, { components: ['ai_agent'] });
    const [, words] = await listen(agent(own, 'k'), 'word');
    const prompt = longPrompt(20);
    await agent(own, 'k').send('prompts', prompt);
    await words.several(3);
    const id = await idOf(own, 'aiAgent', 'k');
    await own.kill();
    await own.startAgain();
    await until('it is awake', async () => !isAsleep(await own.actor(id)));
    await until('it has answered', async () => (await conversation(own, 'k')).length === 2, { within: 20_000 });
    assert.deepEqual(await conversation(own, 'k'), [prompt, answerTo(prompt)]);
  });

  test('sleeps when there is nothing to answer, under a connection, and wakes for a prompt', async () => {
    const key = fresh();
    const [, words] = await listen(agent(host, key), 'word');
    await ask(agent(host, key), 'a');
    await host.putToSleep(await idOf(host, 'aiAgent', key));
    await ask(agent(host, key), 'b');
    const heard = await words.several(lengthOf('a') + lengthOf('b'));
    assert.equal(heard.join(' '), `${answerTo('a')} ${answerTo('b')}`);
  });
});
