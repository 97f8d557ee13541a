// What the users of the stock client see when they call actions.

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { INTERNAL_ERROR_DESCRIPTION } from 'rivetkit/errors';
import { createClient as createClient20 } from 'rivetkit-2-0/client';
import { createClient as createClient21 } from 'rivetkit-2-1/client';
import { createClient as createClient22 } from 'rivetkit-2-2/client';
import { ENCODINGS, failsWith, fresh, range, until, useHost } from './harness.mjs';

const host = useHost({ components: ['counter', 'fixtures'] });

// Values that come back as they went, in every encoding.
const VALUES = {
  'small integers': [0, 1, -1, 23, 24, 255, 256, 65535, 65536, -65536],
  'large integers': [2 ** 31, -(2 ** 31), 2 ** 32 - 1, 2 ** 32, 2 ** 40, -(2 ** 40), Number.MAX_SAFE_INTEGER, Number.MIN_SAFE_INTEGER],
  floats: [1.5, -0.25, 0.1, 1e-7, 1e300, 2 ** 60, Number.MIN_VALUE],
  'texts': ['', 'x', 'é', '日本語', '😀', 'a\u0000b', '"\\/\n', 'long '.repeat(2_000)],
  'booleans and null': [true, false, null],
  'nested values': [
    [],
    {},
    [[], {}, [{}]],
    { a: { b: [1, { c: null }], 'ключ': [true] } },
    { '': 0, '1': 'one', 'with space': 2 },
    range(70).reduce((inner) => [inner], 'deep'),
  ],
  'arrays that look like tags': [
    ['$BigInt', '5'],
    ['$Uint8Array', 'AQID'],
    ['$Undefined', 0],
    ['$Foo', 1],
    ['$$BigInt', '5'],
    ['$', 'x'],
    ['$BigInt', '5', '6'],
    [['$BigInt', '5'], { tag: ['$Set', []] }],
  ],
  BigInts: [0n, 5n, -1n, 2n ** 53n, 2n ** 63n - 1n, -(2n ** 63n), 2n ** 64n - 1n],
  'BigInts inside': [{ a: [1n, { b: -2n }] }],
};

// Values that JSON, and so the json encoding, cannot say.
const BINARY_VALUES = {
  'what is not a number': [NaN, Infinity, -Infinity],
  'undefined properties and elements': [{ a: undefined, b: 1 }, [undefined, 1]],
  dates: [new Date(1_700_000_000_000), new Date(1_700_000_000_500), { at: new Date(0) }],
  maps: [new Map([['a', 1], ['b', [2]]])],
};

for (const encoding of ENCODINGS) {
  describe(`the stock client in ${encoding}`, () => {
    const actor = (type, key = fresh()) => host.client({ encoding })[type].getOrCreate([key]);

    test('counts', async () => {
      const counter = actor('counter');
      assert.equal(await counter.increment(5), 5);
      assert.equal(await counter.increment(-2), 3);
      assert.equal(await counter.count(), 3);
    });

    test('calls an action by name as well as by method', async () => {
      assert.equal(await actor('counter').action({ name: 'increment', args: [4] }), 4);
    });

    for (const [what, values] of Object.entries({ ...VALUES, ...(encoding === 'json' ? {} : BINARY_VALUES) })) {
      test(`gets back ${what} unchanged`, async () => {
        const echoer = actor('echoer');
        for (const value of values) assert.deepStrictEqual(await echoer.echo(value), value);
      });
    }

    test('gets back BigInts of any size', async () => {
      const echoer = actor('echoer');
      for (const value of [2n ** 64n, -(2n ** 64n) - 1n, 2n ** 127n, -(2n ** 200n), 10n ** 1_000n]) {
        assert.strictEqual(await echoer.echo(value), value);
      }
    });

    test('gets back bytes as bytes', async () => {
      const echoer = actor('echoer');
      for (const bytes of [[], [0, 1, 255], range(1_000).map((n) => n % 256)]) {
        const { inside } = await echoer.echo({ inside: Uint8Array.from(bytes) });
        assert.ok(inside instanceof Uint8Array);
        assert.deepEqual([...inside], bytes);
      }
    });

    test('tells nothing from null', async () => {
      const echoer = actor('echoer');
      assert.strictEqual(await echoer.nothing(), undefined);
      assert.strictEqual(await echoer.null_(), null);
      assert.strictEqual(await echoer.echo(null), null);
      // JSON has no undefined; JSON.stringify makes it null before it leaves the client.
      assert.strictEqual(await echoer.echo(undefined), encoding === 'json' ? null : undefined);
    });

    test('adds 64-bit integers, and sees a number where a number can say it', async () => {
      const echoer = actor('echoer');
      assert.strictEqual(await echoer.add(2, 40), 42);
      assert.strictEqual(await echoer.add(40n, 2n), 42);
      assert.strictEqual(await echoer.add(2 ** 40, 2 ** 40), 2 ** 41);
      assert.strictEqual(await echoer.add(Number.MAX_SAFE_INTEGER, 0), Number.MAX_SAFE_INTEGER);
      assert.strictEqual(await echoer.add(2n ** 62n, 1n), 2n ** 62n + 1n);
      assert.strictEqual(await echoer.add(-(2n ** 63n), 0n), -(2n ** 63n));
      for (const tooLarge of [2n ** 63n, -(2n ** 63n) - 1n, 2 ** 63, 0.5]) {
        await failsWith('actor.validation_error', echoer.add(tooLarge, 0));
      }
    });

    test('sees a user error whole', async () => {
      const metadata = { maxLength: 32, fields: ['name'], nested: { at: null } };
      const error = await failsWith(
        'user.username_too_long',
        actor('echoer').userError('Username is too long', 'username_too_long', metadata),
      );
      assert.equal(error.message, 'Username is too long');
      assert.deepEqual(error.metadata, metadata);
    });

    test('sees nothing of an internal error, while the log has the whole story', async () => {
      const echoer = actor('echoer');
      const error = await failsWith('rivetkit.internal_error', echoer.internalError());
      assert.equal(error.message, INTERNAL_ERROR_DESCRIPTION);
      assert.doesNotMatch(JSON.stringify(error) + error.message, /secret/);
      await until('the log tells why', () => host.log.includes('the secret reason'));
      assert.equal(await echoer.echo('still here'), 'still here');
    });

    test('is told that there is no such action', async () => {
      const error = await failsWith('actor.action_not_found', actor('counter').decrement(1));
      assert.match(error.message, /decrement/);
    });

    test('is told when arguments are not what the action takes, and nothing has changed', async () => {
      const counter = actor('counter');
      await counter.increment(7);
      for (const args of [[], ['x'], [1.5], [null], [[1]], [{}], [true], [1, 2], [2n ** 80n]]) {
        const what = `increment(${args.map((arg) => (typeof arg === 'bigint' ? `${arg}n` : JSON.stringify(arg)))})`;
        const error = await failsWith('actor.validation_error', counter.increment(...args)).catch((error) => {
          error.message = `${what}: ${error.message}`;
          throw error;
        });
        assert.notEqual(error.message, '', what);
      }
      assert.equal(await counter.count(), 7);
    });

    test('may leave optional arguments out, and send arguments that look like a tag together', async () => {
      const echoer = actor('echoer');
      assert.strictEqual(await echoer.echo(), undefined);
      const error = await failsWith('user.5', echoer.userError('$BigInt', '5'));
      assert.equal(error.message, '$BigInt');
      assert.strictEqual(error.metadata, undefined);
    });

    test('may send connection parameters with a call', async () => {
      const params = { token: 'é', long: 'x'.repeat(9_000), nested: { a: [1, null] } };
      const counter = host.client({ encoding }).counter.getOrCreate([fresh()], { params });
      assert.equal(await counter.increment(1), 1);
    });

    test('need not wait for an actor to be ready', async () => {
      const client = host.client({ encoding, gateway: { skipReadyWait: true } });
      const key = [fresh()];
      assert.equal(await client.counter.getOrCreate(key).increment(2), 2);
      const id = await client.counter.get(key).resolve();
      assert.equal(await client.counter.getForId(id).increment(1), 3);
    });

    test('can have many calls on one actor at once', async () => {
      const counter = actor('counter');
      const counts = await Promise.all(range(100).map(() => counter.increment(1)));
      assert.deepEqual(counts.toSorted((a, b) => a - b), range(100).map((n) => n + 1));
    });

    test('works below /api/rivet', async () => {
      const client = host.client({ encoding, endpoint: `${host.url}/api/rivet` });
      assert.equal(await client.counter.getOrCreate([fresh()]).increment(3), 3);
    });
  });
}

test('clients of all encodings meet in one actor', async () => {
  const key = fresh();
  const counts = [];
  for (const encoding of ENCODINGS) {
    counts.push(await host.client({ encoding }).counter.getOrCreate([key]).increment(1));
  }
  assert.deepEqual(counts, [1, 2, 3]);
});

test('a client made from nothing but the URL works', async () => {
  const { createClient } = await import('rivetkit/client');
  const client = createClient(host.url);
  assert.equal(await client.counter.getOrCreate('url-only').increment(2), 2);
  await client.dispose();
});

// The older clients speak older versions of the binary encoding and revive no tags in it.
const OLDER = { '2.0.33': createClient20, '2.1.7': createClient21, '2.2.1': createClient22 };

for (const [version, create] of Object.entries(OLDER)) {
  for (const encoding of ['bare', 'json']) {
    describe(`the older client ${version} in ${encoding}`, () => {
      const actor = (type, key = fresh()) => host.client({ create, encoding })[type].getOrCreate([key]);

      test('counts', async () => {
        const counter = actor('counter');
        assert.equal(await counter.increment(5), 5);
        assert.equal(await counter.increment(-2), 3);
        assert.equal(await counter.count(), 3);
      });

      test('gets back what it sends', async () => {
        const echoer = actor('echoer');
        for (const value of [0, -1, 2 ** 32, 2 ** 40, 1.5, 'é😀', null, true, [1, [2]], { a: { b: [null] } }, 5n, -(2n ** 63n)]) {
          assert.deepStrictEqual(await echoer.echo(value), value);
        }
        assert.deepEqual([...(await echoer.echo(Uint8Array.of(0, 1, 255)))], [0, 1, 255]);
      });

      if (encoding === 'bare') {
        test('sees nothing as undefined, and arrays that look like tags as arrays', async () => {
          const echoer = actor('echoer');
          assert.strictEqual(await echoer.nothing(), undefined);
          assert.deepEqual(await echoer.echo(['$BigInt', '5']), ['$BigInt', '5']);
        });
      }

      test('sees a user error whole', async () => {
        const error = await failsWith('user.too_long', actor('echoer').userError('Too long', 'too_long', { maxLength: 32 }));
        assert.equal(error.message, 'Too long');
        assert.deepEqual(error.metadata, { maxLength: 32 });
      });

      test('is told of internal errors and unknown actions by their codes', async () => {
        const echoer = actor('echoer');
        assert.equal((await failsWith('rivetkit.internal_error', echoer.internalError())).message, INTERNAL_ERROR_DESCRIPTION);
        await failsWith('actor.action_not_found', echoer.nope());
      });

      test('finds by get and by id what it has created', async () => {
        const key = [fresh(), 'doc/1'];
        const client = host.client({ create, encoding });
        await client.counter.create(key);
        assert.equal(await client.counter.getOrCreate(key).increment(2), 2);
        const id = await client.counter.get(key).resolve();
        assert.equal(await client.counter.getForId(id).increment(1), 3);
      });
    });
  }
}
