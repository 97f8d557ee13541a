// Ten deploys in a row under load: no call fails, no increment is lost or doubled, no socket is dropped.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Deposits, NAME, accounts, arrived } from './accounts.mjs';
import { range, startHost, until } from './harness.mjs';
import { connect, connectPath } from './sockets.mjs';

const ACTORS = 1_000;
const CALLERS = 64;
const SUBSCRIBERS = 200;
const DEPLOYS = 10;
/** Answers between two deploys. */
const BETWEEN = 400;

/** A subscriber that only counts: how many events there were, and whether the last balance is as many. */
async function subscribe(host, key) {
  const connection = await connect(host, connectPath(NAME, key), { encoding: 'json' });
  connection.subscribe('deposited');
  // Its answer says that the subscription has arrived.
  await connection.call('balance');
  const seen = { events: 0, last: 0, outOfOrder: 0, isOpen: () => connection.isOpen };
  connection.receive = (data) => {
    const { body } = JSON.parse(data);
    if (body.tag !== 'Event') return;
    const [balance] = body.val.args;
    seen.outOfOrder += Number(balance !== seen.last + 1);
    seen.last = balance;
    seen.events += 1;
  };
  return seen;
}

const rank = (sorted, part) => sorted[Math.min(sorted.length - 1, Math.floor(part * sorted.length))];

test(`${DEPLOYS} deploys under ${CALLERS} callers, ${ACTORS} actors and ${SUBSCRIBERS} subscribers`, async (t) => {
  const host = await startHost(t, { components: ['account_v1'], flags: ['--rollout-window', '100ms'] });
  const all = await accounts(host, ACTORS);
  const subscribers = await Promise.all(range(SUBSCRIBERS).map((n) => subscribe(host, all[5 * n].key)));
  const times = [];
  const timed = all.map((each) => ({
    call: async (...what) => {
      const began = performance.now();
      const answer = await each.call(...what);
      times.push(performance.now() - began);
      return answer;
    },
  }));
  const load = new Deposits(t, timed, { callers: CALLERS });
  await load.more(BETWEEN);
  const began = performance.now();
  for (const n of range(DEPLOYS)) {
    const { isNew } = await host.deploy(`account_v${2 - (n % 2)}`);
    assert.ok(isNew);
    await load.more(BETWEEN);
  }
  const took = performance.now() - began;
  await arrived(host);
  await load.end();

  const sorted = times.toSorted((a, b) => a - b);
  const [median, most, longest] = [rank(sorted, 0.5), rank(sorted, 0.99), sorted.at(-1)].map(Math.round);
  t.diagnostic(`${load.answered} calls; ${DEPLOYS} deploys in ${Math.round(took)} ms`);
  t.diagnostic(`a call took ${median} ms, 99 % at most ${most} ms, the longest ${longest} ms`);
  await until('all events have arrived', () => subscribers.every(({ events }, n) => events >= load.made[5 * n]));
  assert.deepEqual(subscribers.map(({ events }) => events), range(SUBSCRIBERS).map((n) => load.made[5 * n]));
  assert.ok(subscribers.every(({ outOfOrder }) => outOfOrder === 0), 'events came out of order');
  assert.equal(subscribers.filter(({ isOpen }) => isOpen()).length, SUBSCRIBERS);
  const versions = new Set(await Promise.all(all.slice(0, 100).map((each) => each.version())));
  assert.deepEqual(versions, new Set([1]));
  assert.equal((await host.revisions(NAME)).length, DEPLOYS + 1);
});
