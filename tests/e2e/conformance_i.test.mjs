// The conformance actor of group I (key-value store), through the stock client in every encoding, each test in a
// namespace that nobody has used before.

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { ENCODINGS, actionPath, failsWith, fresh, range, startHost, useHost } from './harness.mjs';

const host = useHost({ components: ['conformance'] });

for (const encoding of ENCODINGS) {
  describe(`kvActor in ${encoding}`, () => {
    function setUp() {
      const namespace = fresh('conformance');
      const client = host.client({ encoding, namespace, disableMetadataLookup: true });
      return { namespace, client, actor: client.kvActor.getOrCreate(['k']) };
    }

    const only = () => setUp().actor;

    /** Puts texts whose values tell of their keys. */
    async function put(actor, ...keys) {
      for (const key of keys) assert.equal(await actor.putText(key, `v-${key}`), true);
    }

    const pairs = (...keys) => keys.map((key) => ({ key, value: `v-${key}` }));

    test('gives what was put, and null for what was not', async () => {
      const actor = only();
      assert.strictEqual(await actor.getText('a'), null);
      assert.equal(await actor.putText('a', 'one'), true);
      assert.equal(await actor.getText('a'), 'one');
      assert.equal(await actor.putText('a', 'two'), true);
      assert.equal(await actor.getText('a'), 'two');
      assert.equal(await actor.putText('empty', ''), true);
      assert.equal(await actor.getText('empty'), '');
      assert.equal(await actor.putText('ключ/1', 'значение 🌍'), true);
      assert.equal(await actor.getText('ключ/1'), 'значение 🌍');
    });

    test('lists by prefix in the order of the keys, and everything by an empty one', async () => {
      const actor = only();
      await put(actor, 'b:1', 'a:10', 'a:2', 'c', 'a:', 'a');
      assert.deepEqual(await actor.listText('a:'), pairs('a:', 'a:10', 'a:2'));
      assert.deepEqual(await actor.listText('b'), pairs('b:1'));
      assert.deepEqual(await actor.listText('zzz'), []);
      assert.deepEqual(await actor.listText(''), pairs('a', 'a:', 'a:10', 'a:2', 'b:1', 'c'));
    });

    test('orders by bytes, whatever the alphabet', async () => {
      const actor = only();
      const keys = ['é', 'z', 'Z', '~', '🌍', '日', '0'];
      await put(actor, ...keys);
      const byBytes = keys.toSorted((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b)));
      assert.deepEqual(await actor.listText(''), pairs(...byBytes));
    });

    test('lists a range from its start, which is included, to its end, which is not', async () => {
      const actor = only();
      await put(actor, 'a', 'b', 'c', 'd', 'e');
      assert.deepEqual(await actor.listTextRange('b', 'd'), pairs('b', 'c'));
      assert.deepEqual(await actor.listTextRange('b', 'd', {}), pairs('b', 'c'));
      assert.deepEqual(await actor.listTextRange('b', 'dd'), pairs('b', 'c', 'd'));
      assert.deepEqual(await actor.listTextRange('', 'b'), pairs('a'));
      assert.deepEqual(await actor.listTextRange('c', 'c'), []);
      assert.deepEqual(await actor.listTextRange('d', 'b'), []);
    });

    test('lists a range backwards, and no more than wanted', async () => {
      const actor = only();
      await put(actor, 'a', 'b', 'c', 'd', 'e');
      assert.deepEqual(await actor.listTextRange('a', 'e', { reverse: true }), pairs('d', 'c', 'b', 'a'));
      assert.deepEqual(await actor.listTextRange('a', 'e', { limit: 2 }), pairs('a', 'b'));
      assert.deepEqual(await actor.listTextRange('a', 'e', { reverse: true, limit: 2 }), pairs('d', 'c'));
      assert.deepEqual(await actor.listTextRange('a', 'e', { limit: 100 }), pairs('a', 'b', 'c', 'd'));
      assert.deepEqual(await actor.listTextRange('a', 'e', { limit: 0 }), []);
    });

    test('removes a range, its start included and its end not', async () => {
      const actor = only();
      await put(actor, 'a', 'b', 'c', 'd');
      assert.equal(await actor.deleteTextRange('b', 'd'), true);
      assert.deepEqual(await actor.listText(''), pairs('a', 'd'));
      assert.strictEqual(await actor.getText('b'), null);
      assert.equal(await actor.deleteTextRange('x', 'y'), true);
      await put(actor, 'c');
      assert.deepEqual(await actor.listText(''), pairs('a', 'c', 'd'));
    });

    test('gives bytes back as they were put', async () => {
      const actor = only();
      const bytes = range(256);
      assert.deepEqual(await actor.roundtripArrayBuffer('bytes', bytes), bytes);
      assert.deepEqual(await actor.roundtripArrayBuffer('bytes', [1, 2, 3]), [1, 2, 3]);
      assert.deepEqual(await actor.roundtripArrayBuffer('none', []), []);
    });

    test('keeps pairs over a sleep, for this actor alone', async () => {
      const { actor, client, namespace } = setUp();
      await put(actor, 'a', 'b');
      await host.putToSleep(await actor.resolve(), namespace);
      assert.deepEqual(await actor.listText(''), pairs('a', 'b'));
      assert.deepEqual(await client.kvActor.getOrCreate(['other']).listText(''), []);
    });

    test('refuses keys and values that are too large, and says so', async () => {
      const actor = only();
      assert.equal(await actor.putText('k'.repeat(2_048), 'v'), true);
      await failsWith('kv.key_too_large', actor.putText('k'.repeat(2_049), 'v'));
      await failsWith('kv.key_too_large', actor.putText('', 'v'));
      assert.equal((await actor.listText('')).length, 1);
    });
  });
}

test('what kvActor has put is there after a kill', async (t) => {
  const host = await startHost(t, { components: ['conformance'] });
  const call = (action, ...args) => host.callAt(actionPath('kvActor', ['k'], action), ...args);
  await call('putText', 'kept', 'one');
  await call('putText', 'removed', 'two');
  await call('deleteTextRange', 'r', 's');
  await host.kill();
  await host.startAgain();
  assert.deepEqual(await call('listText', ''), [{ key: 'kept', value: 'one' }]);
});
