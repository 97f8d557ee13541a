// No half of a turn is ever kept: the host is aborted at every moment of every commit, and what is found afterwards fits
// together.
//
// The fixture `atomic` does everything by steps. Each one changes the state, pairs, messages, the schedule and the states
// of connections, and writes the number of the step into all of them.

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { inspect } from 'node:util';
import { HostError, fresh, gatewayPath, isAsleep, range, startHost, until, within } from './harness.mjs';
import { FrameError, connect, connectPath, upTo } from './sockets.mjs';

const POINTS = ['before', 'middle', 'written', 'durable'];
/** Commits at which the host is aborted while many things are done at once. */
const COMMITS = [2, 5, 9, 16, 25, 40, 70];
/** More commits than what is done here takes. */
const COMMITS_MAX = 60;

/** What its clients know of one actor. */
class Story {
  /** The last step that anybody has been told of. */
  told = 0;
  /** What was sent to be worked off, and what of it was acknowledged. */
  sent = 0;
  acknowledged = [];

  constructor(host) {
    this.host = host;
    this.key = fresh('atomic');
  }

  hear(step) {
    assert.ok(Number.isInteger(step) && step > 0, `a step is ${step}`);
    this.told = Math.max(this.told, step);
  }

  async call(action, ...args) {
    return this.host.call('atomic', [this.key], action, ...args);
  }

  async step(action, ...args) {
    this.hear(await this.call(action, ...args));
  }

  /** Opens a connection that hears of every step. */
  async connect() {
    const connection = await connect(this.host, connectPath('atomic', [this.key]));
    connection.subscribe('stepped');
    return connection;
  }

  /** Takes the steps that the connection has heard of. */
  async listen(connection) {
    for (;;) this.hear((await connection.event('stepped'))[0]);
  }

  async send() {
    const body = (this.sent += 1);
    const headers = { 'x-rivet-encoding': 'json' };
    const target = gatewayPath('atomic', [this.key], '/queue/work');
    const answer = await this.host.request('POST', target, { headers, body: { body } });
    if (answer.status !== 200) throw new HostError(answer.status, answer.json());
    this.acknowledged.push(body);
  }

  /** Works off one message; whether there was one. */
  async work() {
    const step = await this.call('work');
    if (step !== null) this.hear(step);
    return step !== null;
  }

  async id() {
    return (await this.host.actors({ name: 'atomic', key: this.key }))[0]?.actor_id;
  }

  /** Everything that is kept, read back. */
  async kept() {
    const kept = await this.call('kept');
    const path = `/actors/${await this.id()}/queue?namespace=default&bodies=true&limit=1000`;
    const { messages } = await this.host.manage('GET', path);
    const bodies = (queue) => messages.filter(({ name }) => name === queue).map(({ body }) => body);
    return { ...kept, notes: bodies('notes'), work: bodies('work') };
  }
}

/** The numbers, or ids, of the steps of a kind. */
const stepsOf = ({ steps }, kind) => steps.filter((step) => step.startsWith(`${kind} `)).map((step) => step.slice(kind.length + 1));

/** What is scheduled to ring and has not rung. */
const toRing = ({ schedule }) => schedule.filter(({ id }) => id.startsWith('ring ')).map(({ id }) => id.slice(5));

const sorted = (list) => [...list].sort();

/** Checks that all parts are of the same step, and that nothing is lost that somebody was told of. */
function assertWhole(story, kept, when) {
  const last = kept.steps.length;
  const all = upTo(last);
  const key = (step) => `step/${`${step}`.padStart(6, '0')}`;
  const pairs = [['one', last], ['two', last], [`only/${last}`, last], ...all.map((step) => [key(step), step])];
  assert.deepEqual(kept.pairs, Object.fromEntries(pairs.map(([name, step]) => [name, `${step}`])), `pairs ${when}`);
  assert.deepEqual(kept.notes, all, `messages ${when}`);
  assert.deepEqual(kept.torn, [], `states of connections ${when}`);
  const marks = kept.schedule.filter(({ id }) => !id.startsWith('ring '));
  const found = marks.map(({ id, args }) => [id, ...args]);
  assert.deepEqual(sorted(found), sorted([['last', last], [`only ${last}`, last]]), `the schedule ${when}`);
  assert.ok(last >= story.told, `${when} there are ${last} steps, but somebody was told of step ${story.told}`);

  for (const kind of ['ring', 'work', 'connect', 'leave']) {
    const steps = stepsOf(kept, kind);
    assert.deepEqual(steps, [...new Set(steps)], `${when}, something was done twice: ${kind}`);
  }
  const rung = stepsOf(kept, 'ring');
  assert.deepEqual(sorted([...rung, ...toRing(kept)]), sorted(stepsOf(kept, 'soon')), `what rang and what is to ring ${when}`);
  const histories = kept.history.map(({ id, outcome }) => `${id} ${outcome}`);
  assert.deepEqual(sorted(histories), sorted(rung.map((number) => `ring ${number} done`)), `the history ${when}`);
  const dealtWith = stepsOf(kept, 'work').map(Number);
  const known = [...dealtWith, ...kept.work];
  assert.deepEqual(known, [...new Set(known)], `a message is there though it was worked off ${when}`);
  const lost = story.acknowledged.filter((number) => !known.includes(number));
  assert.deepEqual(lost, [], `messages that were acknowledged and are not there ${when}`);
  const invented = known.filter((number) => number > story.sent);
  assert.deepEqual(invented, [], `messages that nobody sent ${when}`);
}

/** Everything that an actor goes through, one thing after the other. */
async function liveOneLife(story) {
  const { host } = story;
  const connection = await story.connect();
  // Ends when the connection does.
  const listening = story.listen(connection).catch(() => {});
  try {
    story.hear(await connection.call('turn'));
    story.hear(await connection.call('turn'));
    await story.send();
    await story.send();
    assert.ok(await story.work());
    story.hear(await connection.call('soon', 20));
    await until('it rings', async () => toRing(await story.call('kept')).length === 0);
    await story.step('turn');
    await connection.close();
    await until('it is told of the end of the connection', async () => stepsOf(await story.call('kept'), 'leave').length === 1);
    const id = await story.id();
    const begun = performance.now();
    await story.step('soon', 400);
    await host.putToSleep(id);
    // On a slow machine it may ring before that. If it slept before it was due, it is certain to be woken for it.
    if (performance.now() - begun < 400) await until('it wakes by itself', async () => !isAsleep(await host.actor(id)));
    await until('it rings', async () => toRing(await story.call('kept')).length === 0);
    await host.putToSleep(id);
    await story.step('turn');
    assert.ok(await story.work());
  } finally {
    connection.cut();
    await listening;
  }
}

/** The same and more, by many at once, until the host is gone. */
async function liveManyLives(story) {
  const again = async (work) => {
    for (;;) await work();
  };
  const visit = async () => {
    const connection = await story.connect();
    const listening = story.listen(connection).catch(() => {});
    try {
      for (const _ of range(3)) story.hear(await connection.call('turn'));
      await connection.close();
    } finally {
      connection.cut();
      await listening;
    }
  };
  const lives = [
    again(() => story.step('turn')),
    again(() => story.step('turn')),
    again(() => story.step('soon', 1)),
    again(() => story.step('soon', 15)),
    again(() => story.send()),
    again(() => story.work()),
    again(visit),
    again(visit),
  ];
  const reasons = (await Promise.allSettled(lives)).map(({ reason }) => reason);
  throw reasons.find((reason) => !isCutOff(reason)) ?? reasons[0];
}

/** Whether something failed because the host was gone: it has said nothing, neither yes nor no. */
const isCutOff = (error) => ![assert.AssertionError, HostError, FrameError].some((kind) => error instanceof kind) || /^not within/.test(error.message);

/** Lives until the host aborts, as it was told to; whether it did. Any other failure fails the test. */
async function livesUntilAbort(story, live) {
  const { host } = story;
  try {
    await live(story);
  } catch (error) {
    if (!isCutOff(error)) throw error;
    const end = await within('the host aborts', host.exited()).catch(() => null);
    if (end?.signal !== 'SIGABRT') throw error;
    return true;
  }
  // The last commits are made while it stops.
  const { code, signal } = await host.stop();
  assert.ok(code === 0 || signal === 'SIGABRT', `it ended with ${code ?? signal}`);
  return signal !== null;
}

/** Starts without a fault, and checks what is there: at once, and again when everything that was begun is over. */
async function assertWholeAfter(story, when) {
  const { host } = story;
  await host.startAgain();
  if ((await story.id()) === undefined) {
    assert.equal(story.told, 0, `${when} the actor is not there, but somebody was told of step ${story.told}`);
    assert.deepEqual(story.acknowledged, [], `${when} the actor is not there, but messages were acknowledged`);
  }
  await until(`what was begun is over ${when}`, async () => {
    const kept = await story.call('kept');
    return toRing(kept).length === 0 && stepsOf(kept, 'connect').length <= stepsOf(kept, 'leave').length;
  }).catch(async (error) => {
    throw new Error(`${error.message}: ${inspect((await story.kept()).steps)}`);
  });
  const kept = await story.kept();
  assertWhole(story, kept, when);
  const [come, gone] = ['connect', 'leave'].map((kind) => sorted(stepsOf(kept, kind)));
  assert.deepEqual(gone, come, `who came and who left ${when}`);
  await host.manage('DELETE', `/actors/${await story.id()}?namespace=default`);
  const end = await host.stop();
  assert.deepEqual(end, { code: 0, signal: null });
}

describe('a host that dies', { timeout: 600_000 }, () => {
  for (const point of POINTS) {
    test(`at the moment "${point}" of any commit leaves no half of a turn`, { timeout: 200_000 }, async (t) => {
      const host = await startHost(t, { components: ['fixtures'] });
      await host.stop();
      host.expectEnd();
      let commit = 0;
      for (;;) {
        commit += 1;
        assert.ok(commit < COMMITS_MAX, `after ${commit} commits it is not over`);
        await host.startAgain({ GREENROOM_FAULT: `${point}:${commit}` });
        const story = new Story(host);
        const isAborted = await livesUntilAbort(story, liveOneLife);
        await assertWholeAfter(story, `after ${point}:${commit}`);
        if (!isAborted) break;
      }
      t.diagnostic(`${commit - 1} commits`);
      assert.ok(commit > 10, `there were only ${commit - 1} commits`);
    });
  }

  test('while many things are done at once leaves no half of a turn', { timeout: 200_000 }, async (t) => {
    const host = await startHost(t, { components: ['fixtures'] });
    await host.stop();
    host.expectEnd();
    for (const commit of COMMITS) {
      for (const point of POINTS) {
        await host.startAgain({ GREENROOM_FAULT: `${point}:${commit}` });
        const story = new Story(host);
        assert.ok(await livesUntilAbort(story, liveManyLives));
        await assertWholeAfter(story, `after ${point}:${commit}`);
      }
    }
  });
});
