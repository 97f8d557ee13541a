// A queue that is worked off while the host is killed again and again: what was acknowledged is worked off, and what came
// of it is there once for each message.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { HostError, fresh, gatewayPath, range, startHost, until } from './harness.mjs';

const KILLS = 8;
const KILL_EVERY_MS = 1_000;
const SENDERS = 12;
/** Every so many senders wait until their messages are completed. */
const WAITS_EVERY = 3;

/** Senders of numbers, each of which sends until it is acknowledged. */
class Senders {
  /** By number: how often it was sent. */
  tries = new Map();
  /** Numbers of messages that are kept, and of those that are completed, as far as their senders know. */
  acknowledged = new Set();
  completed = new Set();
  cutOff = 0;
  refused = 0;
  #next = 0;
  #isOver = false;
  #isGivenUp = false;

  constructor(host, key) {
    Object.assign(this, { host, key });
  }

  /** Stops when what is under way is acknowledged. */
  end() {
    this.#isOver = true;
  }

  /** Stops, whatever is under way. */
  giveUp() {
    this.#isOver = this.#isGivenUp = true;
  }

  async run() {
    await Promise.all(range(SENDERS).map((sender) => this.#send(sender % WAITS_EVERY === 0)));
  }

  async #send(waits) {
    while (!this.#isOver) {
      const number = this.#next++;
      while (!(await this.#try(number, waits)) && !this.#isGivenUp) await pause(20);
    }
  }

  /** Sends once; whether that was acknowledged. */
  async #try(number, wait) {
    this.tries.set(number, (this.tries.get(number) ?? 0) + 1);
    // Some take time, so that a kill falls into the work on them.
    const body = { number, ms: number % 10 === 0 ? 20 : 0 };
    const target = gatewayPath('drain', [this.key], '/queue/pieces');
    const headers = { 'x-rivet-encoding': 'json' };
    let answer;
    try {
      answer = await this.host.request('POST', target, { headers, body: { body, wait } });
    } catch (error) {
      assert.match(error.code, /^(ECONN|EPIPE)/, error.stack);
      this.cutOff += 1;
      return false;
    }
    const value = answer.json();
    if (value.code === 'full') {
      // It is not there, then.
      this.tries.set(number, this.tries.get(number) - 1);
      this.refused += 1;
      return false;
    }
    if (answer.status !== 200) throw new HostError(answer.status, value);
    assert.equal(value.status, 'completed');
    this.acknowledged.add(number);
    if (wait) {
      assert.equal(value.response, number);
      this.completed.add(number);
    }
    return true;
  }
}

/** What the actor has noted: how often it did which number, in its state, and by which message, in its pairs. */
async function noted(host, key) {
  const { done, pairs } = await host.call('drain', [key], 'noted');
  return { done: new Map(Object.entries(done).map(([number, times]) => [Number(number), times])), pairs };
}

/**
 * Checks that each message was done once: its state and its pairs are committed together. While it is at work, the state
 * is newer, as it was read after the pairs.
 */
function assertOnce({ done, pairs }, senders, isAtWork, when) {
  const byMessages = new Map();
  for (const number of Object.values(pairs)) byMessages.set(number, (byMessages.get(number) ?? 0) + 1);
  const numbers = [...new Set([...done.keys(), ...byMessages.keys()])];
  const counts = numbers.map((number) => [number, done.get(number) ?? 0, byMessages.get(number) ?? 0]);
  const unequal = counts.filter(([, times, messages]) => times < messages || (times > messages && !isAtWork));
  assert.deepEqual(unequal, [], `${when}: numbers that were not done once for each of their messages`);
  const tooOften = counts.filter(([number, times]) => times > (senders.tries.get(number) ?? 0));
  assert.deepEqual(tooOften, [], `${when}: numbers that were done more often than they were sent`);
}

const missing = (wanted, { done }) => [...wanted].filter((number) => !done.has(number));

test(`nothing is lost and nothing is done twice in ${KILLS} kills of the host`, { timeout: 180_000 }, async (t) => {
  const host = await startHost(t, { components: ['fixtures'] });
  const key = fresh('drain');
  const senders = new Senders(host, key);
  const sending = senders.run();
  // Also if the test fails.
  t.after(() => senders.giveUp());
  for (const round of range(KILLS)) {
    // Where in the load the kill falls is what the rounds are for.
    await Promise.race([sending, pause(KILL_EVERY_MS)]);
    const completed = [...senders.completed];
    await host.kill();
    await host.startAgain();
    const now = await noted(host, key);
    assertOnce(now, senders, true, `after kill ${round + 1}`);
    assert.deepEqual(missing(completed, now), [], `completed before kill ${round + 1}, and undone by it`);
  }
  senders.end();
  await sending;
  await until('the queue is drained', async () => (await host.call('drain', [key], 'left')) === 0, { within: 60_000 });

  const all = await noted(host, key);
  assertOnce(all, senders, false, 'in the end');
  assert.deepEqual(missing(senders.acknowledged, all), [], 'acknowledged, and lost');
  const sent = [...senders.tries.values()].reduce((sum, tries) => sum + tries, 0);
  t.diagnostic(`${sent} sent, ${senders.acknowledged.size} acknowledged, ${senders.cutOff} cut off, ${senders.refused} times the queue was full`);
  assert.ok(senders.acknowledged.size > KILLS * SENDERS, `only ${senders.acknowledged.size} were acknowledged`);
  assert.ok(senders.cutOff > 0, 'no sender was cut off by a kill');
  const id = (await host.actors({ name: 'drain', key }))[0].actor_id;
  const dead = await host.manage('GET', `/actors/${id}/dead-letters?namespace=default`);
  assert.deepEqual(dead.messages, []);
});
