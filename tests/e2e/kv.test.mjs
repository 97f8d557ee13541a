// Key-value pairs: what is written, read, listed and removed, what bounds there are, and what they survive.

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import {
  actionPath,
  assertRefusal,
  failsWith,
  fresh,
  inParallel,
  isAsleep,
  range,
  sameAgain,
  startHost,
  until,
  useHost,
} from './harness.mjs';

/** A ledger of its own, and what there is to do with it. */
function newLedger(host, key = fresh('ledger')) {
  const call = (action, ...args) => host.call('ledger', [key], action, ...args);
  const id = async () => (await host.actors({ name: 'ledger', key }))[0].actor_id;
  return { key, call, id };
}

/** Pairs whose values tell of their keys. */
const pairs = (...keys) => keys.map((key) => [key, `v-${key}`]);
const numbered = (prefix, n) => `${prefix}${`${n}`.padStart(5, '0')}`;

describe('pairs', () => {
  const host = useHost({ components: ['fixtures'] });

  test('are read, overwritten and removed, several at once', async () => {
    const { call } = newLedger(host);
    assert.deepEqual(await call('get', ['a', 'b']), [null, null]);
    await call('put', pairs('a', 'b', 'c'));
    assert.deepEqual(await call('get', ['c', 'none', 'a', 'a']), ['v-c', null, 'v-a', 'v-a']);
    await call('put', [['b', 'new'], ['d', '']]);
    await call('remove', ['a', 'none']);
    assert.deepEqual(await call('list', ''), [['b', 'new'], ['c', 'v-c'], ['d', '']]);
    await call('put', [['b', 'first'], ['b', 'last']]);
    assert.deepEqual(await call('get', ['b']), ['last']);
  });

  test('are seen by the turn that writes them, before they are committed', async () => {
    const { call } = newLedger(host);
    const listed = (...entries) => `[${entries.map(([key, value]) => `("${key}", "${value}")`).join(', ')}]`;
    const [b, c, d] = [['own/b', 'three'], ['own/c', 'four'], ['own/d', 'five']];
    assert.deepEqual(await call('seeOwnWrites'), ['one', 'two', null, listed(b, c), listed(d)]);
    assert.deepEqual(await call('list', 'own/'), [d]);
    // Now what the first has left is in the store.
    assert.deepEqual(await call('seeOwnWrites'), ['one', 'two', null, listed(b, c, d), listed(d)]);
    assert.deepEqual(await call('list', 'own/'), [d]);
  });

  test('are ordered by the bytes of their keys, of which any are allowed', async () => {
    const { call } = newLedger(host);
    const keys = [[0], [0, 0], [0, 255], [1], [127], [128], [255], [255, 0], [255, 255], [255, 255, 255]];
    for (const key of keys.toReversed()) await call('putBytes', key, [1, 0, 255]);
    assert.deepEqual(await call('keys', []), keys);
    assert.deepEqual(await call('keys', [255]), keys.slice(6));
    assert.deepEqual(await call('keys', [255, 255]), keys.slice(8));
    assert.deepEqual(await call('keys', [0]), keys.slice(0, 3));
    assert.deepEqual(await call('keys', [2]), []);
  });

  test('are listed from a start to an end or to the last, forwards, backwards, and no more than wanted', async () => {
    const { call } = newLedger(host);
    await call('put', pairs('a', 'b', 'b1', 'c', 'd'));
    assert.deepEqual(await call('range', 'b', 'c'), pairs('b', 'b1'));
    assert.deepEqual(await call('range', 'b', null), pairs('b', 'b1', 'c', 'd'));
    assert.deepEqual(await call('range', 'bb', null, { limit: 1 }), pairs('c'));
    assert.deepEqual(await call('range', '', null, { reverse: true, limit: 2 }), pairs('d', 'c'));
    assert.deepEqual(await call('range', 'a', 'c', { reverse: true }), pairs('b1', 'b', 'a'));
    assert.deepEqual(await call('range', 'c', 'a'), []);
    assert.deepEqual(await call('range', 'c', 'c'), []);
    assert.deepEqual(await call('range', '', null, { limit: 0 }), []);
    assert.deepEqual(await call('list', 'b', { reverse: true }), pairs('b1', 'b'));
  });

  test('are removed by range and by prefix', async () => {
    const { call } = newLedger(host);
    await call('put', pairs('a/1', 'a/2', 'a0', 'b/1', 'c'));
    await call('removePrefix', 'a/');
    assert.deepEqual(await call('list', ''), pairs('a0', 'b/1', 'c'));
    await call('removeRange', 'b', 'c');
    assert.deepEqual(await call('list', ''), pairs('a0', 'c'));
    await call('removeRange', 'b', 'a');
    assert.deepEqual(await call('list', ''), pairs('a0', 'c'));
    await call('removeRange', 'b', null);
    assert.deepEqual(await call('list', ''), pairs('a0'));
    await call('put', pairs('a/1'));
    assert.deepEqual(await call('list', ''), pairs('a/1', 'a0'));
  });

  test('are listed page by page without anybody noticing', async () => {
    const { call } = newLedger(host);
    const [COUNT, BYTES] = [45, 100_000];
    assert.deepEqual(await call('fill', 'p/', COUNT, BYTES), [COUNT, '']);
    await call('put', pairs('o', 'q'));
    const all = range(COUNT).map((n) => [numbered('p/', n), BYTES]);
    assert.deepEqual(await call('sizes', 'p/'), all);
    assert.deepEqual(await call('sizes', 'p/', { reverse: true }), all.toReversed());
    assert.deepEqual(await call('sizes', 'p/', { limit: 25 }), all.slice(0, 25));
    assert.deepEqual(await call('sizes', 'p/', { reverse: true, limit: 25 }), all.toReversed().slice(0, 25));
    assert.deepEqual(await call('sizes', ''), [['o', 3], ...all, ['q', 3]]);
  });

  test('are listed page by page with what was changed in the same turn', async () => {
    const { call } = newLedger(host);
    const [COUNT, BYTES] = [40, 100_000];
    await call('fill', 'p/', COUNT, BYTES);
    const left = range(COUNT).filter((n) => n % 3 !== 0).map((n) => [numbered('p/', n), n % 2 === 0 ? 'short'.length : BYTES]);
    const wanted = [['p/!', 5], ...left, ['p/00010-', 7], ['p/~', 4]];
    wanted.sort(([a], [b]) => (a < b ? -1 : 1));
    assert.deepEqual(await call('mix', 'p/'), wanted);
    assert.deepEqual(await call('sizes', 'p/'), wanted);
  });

  test('are seen as they are while they are being committed', async () => {
    const seen = await Promise.all(range(8).map(() => newLedger(host).call('churn', 150)));
    assert.deepEqual(seen.flat(), []);
  });

  test('can be very many', async () => {
    const { call } = newLedger(host);
    const COUNT = 12_000;
    assert.deepEqual(await call('fill', 'n/', COUNT, 5), [COUNT, '']);
    const sizes = await call('sizes', 'n/');
    assert.equal(sizes.length, COUNT);
    assert.deepEqual(sizes, range(COUNT).map((n) => [numbered('n/', n), 5]));
    assert.equal((await call('sizes', 'n/', { limit: 11_000, reverse: true })).length, 11_000);
    await call('removePrefix', 'n/1');
    assert.equal((await call('sizes', 'n/')).length, 10_000);
  });

  test('of one actor are no business of another, and are gone with it', async () => {
    const [one, other] = [newLedger(host), newLedger(host)];
    await one.call('put', pairs('a'));
    assert.deepEqual(await other.call('list', ''), []);
    await host.manage('DELETE', `/actors/${await one.id()}?namespace=default`);
    assert.deepEqual(await one.call('list', ''), []);
  });

  test('are kept by a turn that fails, as its state is, and not by one that panics', async () => {
    const { call } = newLedger(host);
    assert.equal(await call('add', 1), 1);
    await failsWith('user.user_error', call('add', 10, 'fail'));
    assert.deepEqual(await call('counts'), [11, 11]);
    await failsWith('actor.crashed', call('add', 100, 'panic'));
    assert.deepEqual(await call('counts'), [11, 11]);
  });

  test('survive a sleep and new code', async () => {
    const { call, id } = newLedger(host);
    await call('put', pairs('a', 'b'));
    await call('remove', ['b']);
    await until('it sleeps', async () => isAsleep(await host.actor(await id())));
    assert.deepEqual(await call('list', ''), pairs('a'));
    await host.deploy(await sameAgain('fixtures', 2));
    assert.deepEqual(await call('list', ''), pairs('a'));
  });
});

describe('bounds', () => {
  const host = useHost({ components: ['fixtures'], flags: ['--kv-bytes-max', '2MiB'] });
  const large = useHost({ components: ['fixtures'] });

  /** The raw answer of an action that must be refused. */
  const raw = (key, action, ...args) =>
    host.request('POST', actionPath('ledger', [key], action), { headers: { 'x-rivet-encoding': 'json' }, body: { args } });

  test('are on keys', async () => {
    const { key, call } = newLedger(host);
    await call('put', [['k'.repeat(2_048), 'v']]);
    assert.deepEqual(await call('get', ['k'.repeat(2_048)]), ['v']);
    assertRefusal(await raw(key, 'put', [['k'.repeat(2_049), 'v']]), 400, 'kv.key_too_large');
    assertRefusal(await raw(key, 'put', [['', 'v']]), 400, 'kv.key_too_large');
    assert.deepEqual(await call('get', ['', 'k'.repeat(2_049)]), [null, null]);
    await call('remove', ['', 'k'.repeat(2_049)]);
  });

  test('are on values', async () => {
    const { call } = newLedger(host);
    assert.deepEqual(await call('fill', 'v', 1, 131_072), [1, '']);
    const [written, error] = await call('fill', 'w', 1, 131_073);
    assert.equal(written, 0);
    assert.match(error, /^kv\.value_too_large: .*131072/);
    assert.deepEqual(await call('sizes', ''), [['v00000', 131_072]]);
  });

  test('refuse all pairs that were to be written together', async () => {
    const { key, call } = newLedger(host);
    assertRefusal(await raw(key, 'put', [['a', 'v'], ['k'.repeat(2_049), 'v'], ['b', 'v']]), 400, 'kv.key_too_large');
    assert.deepEqual(await call('list', ''), []);
  });

  test('are on all pairs of an actor, and what is removed makes room', async () => {
    const { key, call } = newLedger(host);
    const [written, error] = await call('fill', 'a', 100, 100_000);
    assert.ok(written >= 18 && written <= 20, `${written} were written`);
    assert.match(error, /^kv\.full: .*2097152 bytes/);
    assert.equal((await call('sizes', '')).length, written);
    const more = range(6).map((n) => [`b${n}`, 'x'.repeat(10_000)]);
    const refused = await until('it is full for less as well', async () => {
      const answer = await raw(key, 'put', more.map(([key, value]) => [fresh(key), value]));
      return answer.status === 200 ? null : answer;
    });
    assertRefusal(refused, 507, 'kv.full');
    await call('removeRange', 'a', 'a00002');
    assert.equal((await raw(key, 'put', more)).status, 200);
  });

  test('are on what waits to be committed, and the actor goes on', async () => {
    const { call } = newLedger(large);
    const [written, error] = await call('fill', 'a', 1_000, 100_000);
    assert.ok(written > 100 && written < 1_000, `${written} were written`);
    assert.match(error, /^kv\.full: .*16777216/);
    assert.equal((await call('sizes', 'a')).length, written);
    assert.deepEqual(await call('fill', 'b', 10, 100_000), [10, '']);
  });

  test('are on nothing that was removed', async () => {
    const { call } = newLedger(host);
    for (const _ of range(5)) {
      assert.deepEqual(await call('fill', 'a', 15, 100_000), [15, '']);
      await call('removePrefix', 'a');
    }
    assert.deepEqual(await call('list', ''), []);
  });
});

describe('kill -9', () => {
  test('keeps what was acknowledged, and never the state without the pairs or the other way round', { timeout: 120_000 }, async (t) => {
    const host = await startHost(t, { components: ['fixtures'] });
    const LEDGERS = 40;
    const ledgers = range(LEDGERS).map((n) => ({ ...newLedger(host, `${n}`), acknowledged: 0, sent: 0 }));
    for (const round of range(5)) {
      let isKilled = false;
      const load = ledgers.map(async (ledger) => {
        for (;;) {
          ledger.sent += 1;
          try {
            ledger.acknowledged = Math.max(ledger.acknowledged, await ledger.call('add', 1));
          } catch (error) {
            assert.ok(isKilled && /^(ECONN|EPIPE)/.test(error.code), `a call failed, and not by the kill: ${error.stack}`);
            return;
          }
        }
      });
      // Where in the load the kill falls is what the rounds are for; the moment itself proves nothing.
      await Promise.race([Promise.all(load), pause(150 + 100 * round)]);
      isKilled = true;
      await host.kill();
      await Promise.all(load);
      await host.startAgain();
      await inParallel(10, LEDGERS, async (n) => {
        const ledger = ledgers[n];
        const [state, stored] = await ledger.call('counts');
        assert.equal(state, stored, `ledger ${n} after kill ${round + 1}: the state and the pair are of different times`);
        assert.ok(state >= ledger.acknowledged && state <= ledger.sent, `${ledger.acknowledged} <= ${state} <= ${ledger.sent}`);
        ledger.acknowledged = ledger.sent = state;
      });
    }
    t.diagnostic(`${ledgers.reduce((sum, { acknowledged }) => sum + acknowledged, 0)} calls were acknowledged`);
  });

  test('keeps removals as well', async (t) => {
    const host = await startHost(t, { components: ['fixtures'] });
    const { call } = newLedger(host, 'k');
    await call('put', pairs('a/1', 'a/2', 'b', 'c', 'd'));
    await call('removePrefix', 'a/');
    await call('remove', ['c']);
    await call('put', [['b', 'new']]);
    await host.kill();
    await host.startAgain();
    assert.deepEqual(await call('list', ''), [['b', 'new'], ['d', 'v-d']]);
  });
});
