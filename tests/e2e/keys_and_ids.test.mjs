// Which actor a handle means.

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { ENCODINGS, actionPath, assertRefusal, failsWith, fresh, range, useHost } from './harness.mjs';

const host = useHost({ components: ['counter', 'fixtures'] });

// How a handle's key reads to the actor itself, whichever way the call came.
const KEYS = {
  'no part': [[], []],
  'one part': [['a'], ['a']],
  'several parts': [['a', 'b', 'c'], ['a', 'b', 'c']],
  slashes: [['org-acme', 'doc/1', '/'], ['org-acme', 'doc/1', '/']],
  backslashes: [['\\', 'a\\', '\\/'], ['\\', 'a\\', '\\/']],
  'what looks like an escape': [['\\0'], ['\\0']],
  'one empty part': [[''], ['']],
  'empty parts among others': [['', 'a', ''], ['', 'a', '']],
  'characters that URLs reserve': [['a b+c', '1%20&x=y', '?#@'], ['a b+c', '1%20&x=y', '?#@']],
  'letters of all kinds': [['ünïcödé', '日本', '😀'], ['ünïcödé', '日本', '😀']],
  'a comma, which separates parts': [['a,b', 'c'], ['a', 'b', 'c']],
  'nothing but commas': [[',,'], ['', '', '']],
};

for (const [what, [key, seen]] of Object.entries(KEYS)) {
  test(`a key with ${what} means one actor by call, by resolve and by create`, async () => {
    const client = host.client({ namespace: fresh('keys') });
    const created = await client.echoer.create(key);
    const id = await created.resolve();
    assert.deepEqual(await created.key(), seen);
    const handle = client.echoer.getOrCreate(key);
    assert.deepEqual(await handle.key(), seen);
    assert.equal(await handle.id(), id);
    assert.equal(await handle.resolve(), id);
    assert.equal(await client.echoer.get(key).id(), id);
    assert.equal(await client.echoer.get(seen).resolve(), id);
  });
}

test('no key, an undefined key and an empty key are one key; a text is a list of one', async () => {
  const { counter } = host.client({ namespace: fresh('keys') });
  const none = await counter.getOrCreate().resolve();
  assert.equal(await counter.getOrCreate(undefined).resolve(), none);
  assert.equal(await counter.getOrCreate([]).resolve(), none);
  assert.equal(await counter.getOrCreate('one').resolve(), await counter.getOrCreate(['one']).resolve());
  assert.notEqual(await counter.getOrCreate('').resolve(), none);
});

test('a prefix of a key is another actor', async () => {
  const { counter } = host.client({ namespace: fresh('keys') });
  const keys = [[], ['a'], ['a', 'b'], ['a', 'b', ''], ['ab'], ['a/b']];
  const ids = await Promise.all(keys.map((key) => counter.getOrCreate(key).resolve()));
  assert.equal(new Set(ids).size, keys.length);
});

test('actors of different types never meet, whatever their keys', async () => {
  const client = host.client({ namespace: fresh('keys') });
  assert.notEqual(await client.echoer.getOrCreate(['k']).resolve(), await client.counter.getOrCreate(['k']).resolve());
});

test('actors of different namespaces never meet, whatever their keys', async () => {
  const [here, there] = [fresh('here'), fresh('there')];
  const counterHere = host.client({ namespace: here }).counter.getOrCreate(['k']);
  const counterThere = host.client({ namespace: there }).counter.getOrCreate(['k']);
  assert.equal(await counterHere.increment(1), 1);
  assert.equal(await counterThere.increment(10), 10);
  assert.equal(await counterHere.count(), 1);

  const id = await counterHere.resolve();
  assert.notEqual(await counterThere.resolve(), id);
  assert.equal(await host.actor(id, there), undefined);
  assert.equal((await host.actor(id, here)).actor_id, id);
});

test('an actor knows its type, its key and its id', async () => {
  const echoer = host.client().echoer.getOrCreate(['who', 'am/i']);
  assert.equal(await echoer.typeName(), 'echoer');
  assert.deepEqual(await echoer.key(), ['who', 'am/i']);
  assert.equal(await echoer.id(), await echoer.resolve());
});

test('get never creates', async () => {
  const key = [fresh('missing')];
  const client = host.client();
  await failsWith('actor.not_found', client.counter.get(key).count());
  await failsWith('actor.not_found', client.counter.get(key).resolve());
  assert.deepEqual(await host.actors({ name: 'counter', key: key[0] }), []);
});

test('create refuses a key that is taken, and leaves the first actor as it was', async () => {
  const key = [fresh('taken'), 'a/b'];
  const { counter } = host.client();
  const first = await counter.create(key);
  await first.increment(5);
  const id = await first.resolve();
  const error = await failsWith('actor.duplicate_key', counter.create(key));
  assert.equal(error.metadata.existing_actor_id, id);
  assert.equal(await counter.get(key).count(), 5);
  assert.equal(await counter.get(key).resolve(), id);
});

test('many who create at the same time create one actor', async () => {
  const { echoer } = host.client();
  const key = [fresh('race')];
  const ids = await Promise.all(range(50).map(() => echoer.getOrCreate(key).id()));
  assert.equal(new Set(ids).size, 1);

  const other = [fresh('race')];
  const outcomes = await Promise.allSettled(range(20).map(() => echoer.create(other)));
  assert.equal(outcomes.filter(({ status }) => status === 'fulfilled').length, 1);
  const codes = outcomes.filter(({ status }) => status === 'rejected').map(({ reason }) => reason.code);
  assert.deepEqual(new Set(codes), new Set(['duplicate_key']));
});

test('an id leads to its actor only, and to nothing after a destroy', async () => {
  const key = [fresh('by-id')];
  const { counter } = host.client();
  const id = await counter.getOrCreate(key).resolve();
  assert.match(id, /^[0-9a-z-]+$/);
  assert.equal(await counter.getForId(id).increment(3), 3);
  assert.equal(await counter.getOrCreate(key).count(), 3);

  await host.manage('DELETE', `/actors/${id}?namespace=default`);
  await failsWith('actor.not_found', counter.getForId(id).count());

  const successor = counter.getOrCreate(key);
  assert.equal(await successor.count(), 0);
  assert.notEqual(await successor.resolve(), id);
  await failsWith('actor.not_found', counter.getForId(id).count());
});

test('what is no id of an actor is not found', async () => {
  const { counter } = host.client();
  for (const id of ['0'.repeat(32), 'nonsense', 'x'.repeat(300), 'ümläut', 'a/b']) {
    await failsWith('actor.not_found', counter.getForId(id).count());
  }
});

test('a name that no deployed component has is refused', async () => {
  const error = await failsWith('actor.type_not_found', host.client().juggler.getOrCreate(['k']).juggle());
  assert.match(error.message, /juggler/);
});

test('a name or a key that can be none is refused', async () => {
  const post = (target) => host.request('POST', target, { body: { args: [] } });
  assertRefusal(await post(actionPath('a b', ['k'], 'count')), 400, 'actor.invalid_name');
  assertRefusal(await post(actionPath('counter', ['x'.repeat(1025)], 'count')), 400, 'actor.invalid_key');
  assert.equal((await post(actionPath('counter', ['x'.repeat(1024)], 'count'))).status, 200);
});

describe('input', () => {
  const INPUTS = [{ mode: 'ranked', big: 5n }, { nested: [{ a: null }], tag: ['$BigInt', '5'] }, [1, 2], 'text', 7, true];
  const FALSY = [0, '', false, null];

  for (const encoding of ENCODINGS) {
    test(`reaches a new actor through getOrCreate in ${encoding}, also when it is falsy`, async () => {
      const { echoer } = host.client({ encoding });
      for (const createWithInput of [...INPUTS, ...FALSY]) {
        const handle = echoer.getOrCreate([fresh()], { createWithInput });
        assert.deepStrictEqual(await handle.input(), createWithInput);
      }
    });

    test(`reaches a new actor through create in ${encoding}`, async () => {
      const { echoer } = host.client({ encoding });
      for (const input of INPUTS) {
        const handle = await echoer.create([fresh()], { input });
        assert.deepStrictEqual(await handle.input(), input);
      }
    });
  }

  test('may be bytes', async () => {
    const handle = host.client().echoer.getOrCreate([fresh()], { createWithInput: Uint8Array.of(1, 2, 255) });
    assert.deepEqual([...(await handle.input())], [1, 2, 255]);
  });

  test('reaches a new actor through resolve', async () => {
    const { echoer } = host.client();
    const key = [fresh()];
    const id = await echoer.getOrCreate(key, { createWithInput: { by: 'resolve' } }).resolve();
    assert.deepEqual(await echoer.getForId(id).input(), { by: 'resolve' });
  });

  test('is nothing when there was none', async () => {
    const { echoer } = host.client();
    assert.strictEqual(await echoer.getOrCreate([fresh()]).input(), undefined);
    assert.strictEqual(await (await echoer.create([fresh()])).input(), undefined);
  });

  test('stays what it was at the creation', async () => {
    const { echoer } = host.client();
    const key = [fresh()];
    assert.equal(await echoer.getOrCreate(key, { createWithInput: 'first' }).input(), 'first');
    assert.equal(await echoer.getOrCreate(key, { createWithInput: 'second' }).input(), 'first');
    assert.equal(await echoer.getOrCreate(key).input(), 'first');
  });
});
