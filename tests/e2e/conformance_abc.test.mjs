// The conformance actors of groups A (identity and input), B (actions and errors) and C (vars), through
// the stock client in every encoding, each test in a namespace that nobody has used before.

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { INTERNAL_ERROR_DESCRIPTION } from 'rivetkit/errors';
import { ENCODINGS, failsWith, fresh, range, startHost, until, useHost } from './harness.mjs';

const host = useHost({ components: ['conformance'] });

for (const encoding of ENCODINGS) {
  describe(`in ${encoding}`, () => {
    /** A handle on a new actor of a type, in a namespace of its own, and what is needed beside it. */
    function setUp(type, options) {
      const namespace = fresh('conformance');
      const client = host.client({ encoding, namespace, disableMetadataLookup: true });
      return { namespace, client, actor: client[type].getOrCreate(['k'], options) };
    }

    const only = (type, options) => setUp(type, options).actor;

    /** Puts an actor to sleep; the next call wakes it. */
    async function sleep({ actor, namespace }) {
      await host.putToSleep(await actor.resolve(), namespace);
    }

    describe('counter', () => {
      test('counts, is set, and knows its key', async () => {
        const actor = only('counter');
        assert.equal(await actor.getCount(), 0);
        assert.equal(await actor.increment(5), 5);
        assert.equal(await actor.setCount(-3), -3);
        assert.equal(await actor.getCount(), -3);
        assert.deepEqual(await actor.getKey(), ['k']);
      });
    });

    describe('inputActor', () => {
      test('sees one input in its initial state and in its create hook', async () => {
        for (const input of [{ mode: 'ranked', rounds: [1, 2], deep: { a: null } }, 'text', 0, false, null]) {
          const { initialInput, onCreateInput } = await only('inputActor', { createWithInput: input }).getInputs();
          assert.deepEqual(initialInput, input);
          assert.deepEqual(onCreateInput, input);
        }
      });

      test('sees nothing, which is not null, when there was no input', async () => {
        const { initialInput, onCreateInput } = await only('inputActor').getInputs();
        assert.strictEqual(initialInput, undefined);
        assert.strictEqual(onCreateInput, undefined);
      });

      test('sees the input of create, and no later one', async () => {
        const { client } = setUp('inputActor');
        const created = await client.inputActor.create(['c'], { input: { n: 1 } });
        assert.deepEqual((await created.getInputs()).onCreateInput, { n: 1 });
        const again = client.inputActor.getOrCreate(['c'], { createWithInput: { n: 2 } });
        assert.deepEqual((await again.getInputs()).initialInput, { n: 1 });
      });
    });

    describe('metadataActor', () => {
      test('knows its type name, and has stored it when it woke', async () => {
        const actor = only('metadataActor');
        assert.equal(await actor.getActorName(), 'metadataActor');
        assert.equal(await actor.getStoredActorName(), 'metadataActor');
      });

      test('begins without tags and region', async () => {
        const actor = only('metadataActor');
        assert.deepEqual(await actor.getTags(), {});
        assert.strictEqual(await actor.getTag('env'), null);
        assert.strictEqual(await actor.getRegion(), null);
        assert.strictEqual(await actor.getLastMetadata(), null);
        assert.deepEqual(await actor.getMetadata(), { name: 'metadataActor', tags: {}, region: null });
      });

      test('keeps tags, region and its last metadata, also over a sleep', async () => {
        const scene = setUp('metadataActor');
        const { actor } = scene;
        const tags = { env: 'test', 'with space': 'é' };
        assert.deepEqual(await actor.setupTestTags(tags), tags);
        assert.equal(await actor.setupTestRegion('eu-1'), 'eu-1');
        const metadata = { name: 'metadataActor', tags, region: 'eu-1' };
        assert.deepEqual(await actor.getMetadata(), metadata);
        await sleep(scene);
        assert.deepEqual(await actor.getTags(), tags);
        assert.equal(await actor.getTag('env'), 'test');
        assert.strictEqual(await actor.getTag('none'), null);
        assert.equal(await actor.getRegion(), 'eu-1');
        assert.deepEqual(await actor.getLastMetadata(), metadata);
      });
    });

    describe('statelessActor', () => {
      test('answers', async () => {
        const actor = only('statelessActor');
        assert.equal(await actor.ping(), 'pong');
        assert.equal(await actor.echo('text'), 'text');
        assert.equal(await actor.getActorId(), await actor.resolve());
      });

      test('has neither state nor database, and says which is missing', async () => {
        const actor = only('statelessActor');
        const state = await actor.tryGetState();
        assert.strictEqual(state.success, false);
        assert.match(state.error, /state/);
        const database = await actor.tryGetDb();
        assert.strictEqual(database.success, false);
        assert.match(database.error, /database/);
      });
    });

    describe('syncActionActor', () => {
      test('increments by one unless told otherwise, informs and resets', async () => {
        const actor = only('syncActionActor');
        assert.equal(await actor.increment(), 1);
        assert.equal(await actor.increment(5), 6);
        const before = Date.now();
        const { currentValue, timestamp } = await actor.getInfo();
        assert.equal(currentValue, 6);
        assert.equal(typeof timestamp, 'number');
        assert.ok(Math.abs(timestamp - before) < 60_000, `${timestamp}`);
        assert.strictEqual(await actor.reset(), undefined);
        assert.equal((await actor.getInfo()).currentValue, 0);
      });
    });

    describe('asyncActionActor', () => {
      test('answers after it has waited', async () => {
        const actor = only('asyncActionActor');
        assert.equal(await actor.delayedIncrement(), 1);
        assert.equal(await actor.delayedIncrement(4), 5);
        const data = await actor.fetchData('d1');
        assert.equal(data.id, 'd1');
        assert.equal(typeof data.timestamp, 'number');
      });

      test('fails when it is asked to', async () => {
        const actor = only('asyncActionActor');
        assert.equal(await actor.asyncWithError(false), 'Success');
        const error = await failsWith('user.user_error', actor.asyncWithError(true));
        assert.equal(error.message, 'Intentional error');
      });
    });

    describe('promiseActor', () => {
      test('resolves at once and later', async () => {
        const actor = only('promiseActor');
        assert.equal(await actor.resolvedPromise(), 'resolved value');
        assert.equal(await actor.delayedPromise(), 'delayed value');
        assert.deepEqual(await actor.getResults(), ['delayed']);
      });

      test('rejects with a user error that has no metadata', async () => {
        const error = await failsWith('user.user_error', only('promiseActor').rejectedPromise());
        assert.equal(error.message, 'promised rejection');
        assert.strictEqual(error.metadata, undefined);
      });
    });

    describe('concurrentActionActor', () => {
      test('runs a short call while a long one waits', async () => {
        const actor = only('concurrentActionActor');
        const long = actor.runWithDelay('long', 2_000);
        await until('the long one has begun', async () => (await actor.getEvents()).includes('start:long'));
        assert.equal(await actor.runWithDelay('short', 10), 'short');
        assert.equal(await long, 'long');
        assert.deepEqual(await actor.getEvents(), ['start:long', 'start:short', 'finish:short', 'finish:long']);
      });
    });

    describe('nestedActionActor', () => {
      test('has actions with dotted names', async () => {
        const actor = only('nestedActionActor');
        assert.equal(await actor.action({ name: 'calculator.add', args: [5] }), 5);
        assert.equal(await actor.action({ name: 'calculator.add', args: [2] }), 7);
        assert.equal(await actor.action({ name: 'calculator.read', args: [] }), 7);
      });

      test('takes exactly one number', async () => {
        const actor = only('nestedActionActor');
        for (const args of [[], ['x'], [1, 2], [null], [{}], [[1]]]) {
          await failsWith('actor.validation_error', actor.action({ name: 'calculator.add', args }));
        }
        assert.equal(await actor.action({ name: 'calculator.read', args: [] }), 0);
      });

      test('has no group as an action', async () => {
        const actor = only('nestedActionActor');
        for (const name of ['calculator', 'add', 'calculator.', 'calculator.none']) {
          await failsWith('actor.action_not_found', actor.action({ name, args: [] }));
        }
      });
    });

    describe('time limits', () => {
      const TIMELY = {
        shortTimeoutActor: ['quickAction', 'quick response'],
        longTimeoutActor: ['delayedAction', 'delayed response'],
        defaultTimeoutActor: ['normalAction', 'normal response'],
        syncTimeoutActor: ['syncAction', 'sync response'],
        customTimeoutActor: ['quickAction', 'Quick action completed'],
      };
      for (const [type, [action, answer]] of Object.entries(TIMELY)) {
        test(`${type}.${action} answers in time`, async () => {
          assert.equal(await only(type)[action](), answer);
        });
      }

      for (const [type, quick] of [['shortTimeoutActor', 'quick response'], ['customTimeoutActor', 'Quick action completed']]) {
        test(`${type}.slowAction is cut, and the actor goes on`, async () => {
          const actor = only(type);
          const error = await failsWith('actor.action_timed_out', actor.slowAction());
          assert.match(error.message, /Action timed out/);
          assert.equal(await actor.quickAction(), quick);
        });
      }
    });

    describe('errorHandlingActor', () => {
      test('fails with a simple user error', async () => {
        const error = await failsWith('user.user_error', only('errorHandlingActor').throwSimpleError());
        assert.equal(error.message, 'Simple error message');
        assert.strictEqual(error.metadata, undefined);
      });

      test('fails with a user error with code and metadata', async () => {
        const error = await failsWith('user.detailed_error', only('errorHandlingActor').throwDetailedError());
        assert.equal(error.message, 'Detailed error message');
        assert.equal(error.metadata.reason, 'test');
        assert.equal(typeof error.metadata.timestamp, 'number');
      });

      test('hides an ordinary failure', async () => {
        const actor = only('errorHandlingActor');
        const error = await failsWith('rivetkit.internal_error', actor.throwInternalError());
        assert.equal(error.message, INTERNAL_ERROR_DESCRIPTION);
        assert.equal(await actor.successfulAction(), 'success');
      });

      test('is cut after its limit, and not before', async () => {
        const actor = only('errorHandlingActor');
        assert.equal(await actor.delayedAction(50), 'Completed after 50ms');
        const begun = performance.now();
        const error = await failsWith('actor.action_timed_out', actor.timeoutAction());
        assert.match(error.message, /Action timed out/);
        assert.ok(performance.now() - begun >= 500);
        assert.ok(performance.now() - begun < 5_000);
        await failsWith('actor.action_timed_out', actor.delayedAction(2_000));
        assert.equal(await actor.successfulAction(), 'success');
      });

      test('keeps a log through its errors', async () => {
        const actor = only('errorHandlingActor');
        assert.deepEqual(await actor.getErrorLog(), []);
        assert.deepEqual(await actor.logError('one'), ['one']);
        await failsWith('rivetkit.internal_error', actor.throwInternalError());
        assert.deepEqual(await actor.logError('two'), ['one', 'two']);
        assert.deepEqual(await actor.getErrorLog(), ['one', 'two']);
        assert.strictEqual(await actor.clearErrorLog(), true);
        assert.deepEqual(await actor.getErrorLog(), []);
      });
    });

    describe('largePayloadActor', () => {
      const items = (count) => range(count).map((n) => `item ${n} and some more text to fill the space`);

      test('takes a large request and gives a large response', async () => {
        const actor = only('largePayloadActor');
        const sent = items(1_000);
        assert.deepEqual(await actor.processLargeRequest({ items: sent }), {
          itemCount: 1_000,
          firstItem: sent[0],
          lastItem: sent[999],
        });
        const response = await actor.getLargeResponse(5_000);
        assert.equal(response.items.length, 5_000);
        assert.equal(response.items[4_999], 'Item 4999 with some additional text to increase size');
        assert.deepEqual(await actor.echo({ items: sent }), { items: sent });
      });

      test('is not reached by a request over the bound', async () => {
        const actor = only('largePayloadActor');
        await failsWith('message.incoming_too_long', actor.processLargeRequest({ items: items(5_000) }));
        assert.equal(await actor.echo('still here'), 'still here');
      });

      test('cannot give a response over the bound', async () => {
        const actor = only('largePayloadActor');
        await failsWith('message.outgoing_too_long', actor.getLargeResponse(30_000));
        assert.equal(await actor.echo('still here'), 'still here');
      });
    });

    describe('vars', () => {
      const NESTED = { counter: 42, nested: { value: 'original', array: [1, 2, 3], obj: { key: 'value' } } };
      const MODIFIED = { counter: 42, nested: { value: 'modified', array: [1, 2, 3, 4], obj: { key: 'new-value' } } };

      test('of staticVarActor are its constants', async () => {
        const actor = only('staticVarActor');
        assert.deepEqual(await actor.getVars(), { counter: 42, name: 'test-actor' });
        assert.equal(await actor.getName(), 'test-actor');
      });

      test('of nestedVarActor are copied for each actor, and made anew when it wakes', async () => {
        const scene = setUp('nestedVarActor');
        const other = scene.client.nestedVarActor.getOrCreate(['other']);
        assert.deepEqual(await scene.actor.getVars(), NESTED);
        assert.deepEqual(await scene.actor.modifyNested(), MODIFIED);
        assert.deepEqual(await scene.actor.getVars(), MODIFIED);
        assert.deepEqual(await other.getVars(), NESTED);
        await sleep(scene);
        assert.deepEqual(await scene.actor.getVars(), NESTED);
      });

      test('of dynamicVarActor are computed once for each generation', async () => {
        const scene = setUp('dynamicVarActor');
        const vars = await scene.actor.getVars();
        assert.equal(typeof vars.random, 'number');
        assert.match(vars.computed, /^Actor-\d+$/);
        assert.deepEqual(await scene.actor.getVars(), vars);
        await sleep(scene);
        assert.notEqual((await scene.actor.getVars()).random, vars.random);
      });

      test('of driverCtxActor are there', async () => {
        assert.equal(typeof (await only('driverCtxActor').getVars()).hasDriverCtx, 'boolean');
      });

      test('of uniqueVarActor differ between actors', async () => {
        const { client } = setUp('uniqueVarActor');
        const ids = await Promise.all(range(5).map(async (n) => (await client.uniqueVarActor.getOrCreate([`${n}`]).getVars()).id));
        assert.ok(ids.every((id) => Number.isInteger(id) && id >= 0 && id < 1_000_000), `${ids}`);
        // Five equal draws out of a million do not happen.
        assert.ok(new Set(ids).size > 1, `${ids}`);
      });
    });
  });
}

describe('saveStateActor', () => {
  for (const [phase, action, args] of [['immediate', 'saveImmediateAndBlock', []], ['deferred', 'saveDeferredAndBlock', [2_000]]]) {
    test(`keeps over a kill what it has saved, while its action never ends: ${phase}`, async (t) => {
      const host = await startHost(t, { components: ['conformance'] });
      const saver = host.client().saveStateActor.getOrCreate(['saver', 'a']);
      const endless = saver[action](7, ...args).then(() => 'ended', () => 'cut off');
      const phaseOf = (key) => host.call('saveStateObserver', ['observer'], 'getPhase', key);
      await until('it has told the observer', async () => (await phaseOf('saver/a')) === phase);
      // What is saved within so many milliseconds is promised no sooner.
      await pause(args[0] ?? 0);
      await host.kill();
      assert.equal(await endless, 'cut off');
      await host.startAgain();
      assert.equal(await host.call('saveStateActor', ['saver', 'a'], 'getValue'), 7);
      assert.equal(await phaseOf('saver/a'), phase);
    });
  }
});
