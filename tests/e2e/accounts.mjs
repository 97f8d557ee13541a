// What the tests of new code have in common: accounts, which are there in several revisions, deposits without end, and
// how long a rollout is to be waited for.
//
// `account_v1` and `account_v2` have a state of version 1, `account_v3` and `account_v4` of version 2; an account without an
// owner, or with a balance of -13, cannot be migrated. On `account_v4` every fifth deposit breaks down, and
// `account_broken` never starts.
//
// `account_v5` has a state of version 3, which those of versions 1 and 2 are migrated to. `account_fragile` is as
// `account_v4`, but every deposit breaks down. On `account_hanging` no start ever ends. The migrations of `account_looping`,
// `account_greedy` and `account_slow` compute for ever, want all the memory there is, and take a while. On
// `account_swelling` a state grows very large with every wake.

import assert from 'node:assert/strict';
import { fresh, gatewayPath, inParallel, range, until } from './harness.mjs';

export const NAME = 'account';

/** The account of this key. */
export function account(host, key = [fresh('account')]) {
  const call = (action, ...args) => host.call(NAME, key, action, ...args);
  let known;
  const id = async () => (known ??= (await host.actors({ name: NAME, key: key.join(',') }))[0].actor_id);
  return {
    key,
    call,
    id,
    code: async () => host.codeOf(await id()),
    sleep: async () => host.putToSleep(await id()),
    /** Which revision's code answers. */
    version: () => call('version'),
    state: () => call('raw_state'),
    send: async (n) => {
      const headers = { 'x-rivet-encoding': 'json' };
      const answer = await host.request('POST', gatewayPath(NAME, key, '/queue/jobs'), { headers, body: { body: { n } } });
      assert.equal(answer.status, 200, answer.text());
    },
  };
}

/** So many accounts, each with an owner. */
export async function accounts(host, count, owner = 'ann') {
  const all = range(count).map(() => account(host));
  await inParallel(16, count, (n) => all[n].call('open', owner));
  return all;
}

/** Waits until no rollout is under way. */
export async function arrived(host, component = NAME, within = 30_000) {
  const isOver = async () => {
    const status = await host.rollout(component);
    return status.state === 'none' && status.toMove === 0 && status;
  };
  return until(`no rollout of ${component} is under way`, isOver, { within });
}

/** Waits until the newest revision was rolled back and everybody who is awake has gone back. */
export async function rolledBack(host, component = NAME) {
  const status = await arrived(host, component);
  assert.ok(status.rolledBack, `nothing was rolled back: ${JSON.stringify(status)}`);
  return status;
}

/** Deposits of 1, one after another, of several callers, until it is told to stop, or the test `t` is over. */
export class Deposits {
  /** Those that were acknowledged, by account. */
  made;
  answered = 0;
  failures = [];
  #isOver = false;
  #work;

  /** With `apart`, no two callers deposit in the same account. */
  constructor(t, accounts, { callers = 16, apart = false } = {}) {
    this.accounts = accounts;
    this.made = new Array(accounts.length).fill(0);
    this.#work = Promise.all(range(callers).map((caller) => this.#deposit(caller, apart ? callers : 1)));
    t.after(() => this.stop());
  }

  async #deposit(caller, every) {
    const mine = range(this.accounts.length).filter((index) => index % every === caller % every);
    for (let n = caller; !this.#isOver; n += 1) {
      const index = mine[n % mine.length];
      try {
        await this.accounts[index].call('deposit', 1);
        this.made[index] += 1;
      } catch (error) {
        this.failures.push(error);
      }
      this.answered += 1;
    }
  }

  /** Waits until so many more have been answered. */
  async more(count) {
    const goal = this.answered + count;
    await until(`${count} more deposits are answered`, () => this.answered >= goal, { within: 30_000 });
  }

  async stop() {
    this.#isOver = true;
    await this.#work;
  }

  /** Checks that nothing that was acknowledged is lost, and nothing is there twice. */
  async check() {
    const balances = await inParallel(16, this.accounts.length, (n) => this.accounts[n].call('balance'));
    assert.deepEqual(balances, this.made);
  }

  /** Stops, and checks that nobody has noticed anything. */
  async end() {
    await this.stop();
    assert.deepEqual(this.failures.map(String), []);
    await this.check();
  }
}

/**
 * The bytes of a component in which words stand for others of the same length. That goes for what it says of itself; short
 * words that its code compares with are part of the code.
 */
export function reworded(bytes, words) {
  const copy = Buffer.from(bytes);
  for (const [from, to] of Object.entries(words)) {
    assert.equal(from.length, to.length, `${from} and ${to}`);
    let at = copy.indexOf(from);
    assert.ok(at >= 0, `there is no ${from} in it`);
    for (; at >= 0; at = copy.indexOf(from, at + 1)) copy.write(to, at);
  }
  return copy;
}
