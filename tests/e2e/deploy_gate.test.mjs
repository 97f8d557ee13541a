// What may be deployed, and what a refusal leaves behind: nothing.

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { assertRefusal, guestBytes, startHost, useHost } from './harness.mjs';

// The first bytes of a core module: `\0asm`, version 1. A component has another version.
const CORE_MODULE = Buffer.from([0, 0x61, 0x73, 0x6d, 1, 0, 0, 0]);
// The same of a component, with nothing in it.
const NOTHING_IN_IT = Buffer.from([0, 0x61, 0x73, 0x6d, 0x0d, 0, 1, 0]);
const NONSENSE_IN_IT = Buffer.concat([NOTHING_IN_IT, Buffer.from('f'.repeat(1_000))]);

const upload = (host, body, headers = {}) => host.request('POST', '/components', { headers, body });

describe('a deploy', () => {
  const host = useHost({ components: ['counter'] });

  const REFUSED = {
    'of nothing': [Buffer.alloc(0), 400, 'component.invalid', /./],
    'of text': [Buffer.from('not a component\n'.repeat(100)), 400, 'component.invalid', /./],
    'of nonsense after the right beginning': [NONSENSE_IN_IT, 400, 'component.invalid', /./],
    'of a core module': [CORE_MODULE, 400, 'component.invalid', /component/i],
    'of a component that was cut off': [async () => (await guestBytes('counter')).subarray(0, -1_000), 400, 'component.invalid', /./],
    'of a component with nothing in it': [NOTHING_IN_IT, 400, 'component.wrong_world', /./],
    'of a component without our exports': [() => guestBytes('empty'), 400, 'component.wrong_world', /./],
    'of a component that wants a file system': [() => guestBytes('greedy'), 400, 'component.not_granted', /filesystem/],
    'of a component with an actor type of another one': [() => guestBytes('thief'), 409, 'component.type_taken', /counter/],
  };

  for (const [what, [content, status, code, message]] of Object.entries(REFUSED)) {
    test(`${what} is refused with ${code}, says why, and changes nothing`, async () => {
      const counts = await host.call('counter', ['k'], 'increment', 1);
      const before = await host.manage('GET', '/components');
      const body = typeof content === 'function' ? await content() : content;
      for (const path of ['/components', '/api/rivet/components']) {
        const error = assertRefusal(await host.request('POST', path, { body }), status, code);
        assert.match(error.message, message);
      }
      assert.deepEqual(await host.manage('GET', '/components'), before);
      assert.equal(await host.call('counter', ['k'], 'increment', 1), counts + 1);
    });
  }

  test('may say any content type, or none', async () => {
    const bytes = await guestBytes('bench');
    for (const headers of [{}, { 'content-type': 'application/wasm' }, { 'content-type': 'text/plain' }]) {
      const answer = await upload(host, bytes, headers);
      assert.equal(answer.status, 200, answer.text());
      assert.equal(answer.json().component, 'bench');
    }
  });

  test('of a component whose types nobody has is taken, and then they are its own', async (t) => {
    // On an empty host nothing is taken, so the thief is an honest component.
    const empty = await startHost(t);
    assert.deepEqual((await empty.manage('GET', '/components')).components, []);
    const { component, actorTypes } = await empty.deploy('thief');
    assert.equal(component, 'thief');
    assert.deepEqual(actorTypes.map(({ name }) => name), ['counter']);
    assertRefusal(await upload(empty, await guestBytes('counter')), 409, 'component.type_taken');
  });

  test('describes itself with all its types and actions', async () => {
    const { component, revision, isNew, actorTypes } = await host.deploy('fixtures');
    assert.deepEqual({ component, revision, isNew }, { component: 'fixtures', revision: 1, isNew: true });
    const pool = await host.deploy('worker_pool');
    assert.deepEqual(pool.actorTypes.map(({ name }) => name).toSorted(), ['worker', 'workerPool']);
    const actionsOf = (type) => actorTypes.find(({ name }) => name === type).actions;
    const add = actionsOf('echoer').find(({ name }) => name === 'add');
    assert.deepEqual(add.parameters.map(({ name, optional }) => ({ name, optional })), [
      { name: 'a', optional: false },
      { name: 'b', optional: false },
    ]);
    for (const { typeName } of add.parameters) assert.match(typeName, /i64/);
    assert.match(add.result, /i64/);
  });
});

test('a component that begins with more memory than an actor may have is refused', async (t) => {
  const host = await startHost(t);
  /** A component with one instance of a module that does nothing but have a memory of so many pages. */
  const withPages = (pages) => {
    const limits = [0, 0x80 | (pages & 0x7f), pages >> 7];
    const memory = [5, limits.length + 1, 1, ...limits];
    const module = [0, 0x61, 0x73, 0x6d, 1, 0, 0, 0, ...memory];
    const component = [0, 0x61, 0x73, 0x6d, 0x0d, 0, 1, 0];
    return Buffer.from([...component, 1, module.length, ...module, 2, 4, 1, 0, 0, 0]);
  };
  const refused = await upload(host, withPages(1_025));
  assertRefusal(refused, 400, 'component.invalid');
  assert.match(refused.json().message, /memory has a minimum byte size of 67174400/);
  assertRefusal(await upload(host, withPages(1_024)), 400, 'component.wrong_world');
});

describe('a deploy over the bound', () => {
  const host = useHost({ flags: ['--component-bytes-max', '100KiB'] });
  const MAX = 100 * 1024;

  async function* inChunks(bytes) {
    for (let at = 0; at < bytes.length; at += 8_192) yield bytes.subarray(at, at + 8_192);
  }

  /** The host may refuse before it has read everything, and a client that still writes then sees a cut connection. */
  async function assertTooLarge(attempt) {
    const answer = await attempt.catch((error) => {
      assert.match(error.code ?? '', /ECONNRESET|EPIPE/, error.stack);
      return null;
    });
    if (answer) assertRefusal(answer, 413, 'component.too_large');
    assert.deepEqual((await host.manage('GET', '/components')).components, []);
  }

  test('is refused, with its length said or in chunks', async () => {
    const bytes = Buffer.alloc(MAX + 1);
    assertRefusal(await upload(host, bytes), 413, 'component.too_large');
    assertRefusal(await host.request('POST', '/components', { chunks: inChunks(bytes) }), 413, 'component.too_large');
  });

  test('is refused by its length alone, however large', async () => {
    await assertTooLarge(upload(host, Buffer.alloc(64 * MAX)));
    await assertTooLarge(host.request('POST', '/components', { chunks: inChunks(Buffer.alloc(64 * MAX)) }));
  });

  test('is not what a body of just the bound is', async () => {
    assertRefusal(await upload(host, Buffer.alloc(MAX)), 400, 'component.invalid');
  });
});
