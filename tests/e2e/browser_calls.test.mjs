// What the stock client can do in a web page. Its calls without a connection send their arguments as a stream,
// which Chromium does over HTTP/2 only; and HTTP/2 it speaks over TLS only.

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { ask, trusting, useBrowser, usePages } from './browser.mjs';
import { ENCODINGS, fresh, useHost } from './harness.mjs';

// Chromium has had both names for it.
const NO_STREAMING = /ERR_ALPN_NEGOTIATION_FAILED|ERR_H2_OR_QUIC_REQUIRED/;
const pages = usePages('client.js');

// These run in the page.
const increment = ({ endpoint, encoding, key, by }) =>
  outcome(createClient({ endpoint, encoding }).counter.getOrCreate([key]).increment(by));
const incrementConnected = async ({ endpoint, encoding, key, by }) => {
  const connection = createClient({ endpoint, encoding }).counter.getOrCreate([key]).connect();
  const result = await outcome(connection.increment(by));
  await connection.dispose();
  return result;
};
const createAndResolve = async ({ endpoint, key }) => {
  const { counter } = createClient({ endpoint });
  const created = await (await counter.create([key])).resolve();
  return outcome(Promise.all([created, counter.get([key]).resolve(), counter.getOrCreate([key]).resolve()]));
};

describe('a page, over plain HTTP', () => {
  const host = useHost({ components: ['conformance'] });
  const browser = useBrowser();
  const open = (t, options) => browser.open(t, pages.url('client'), options);

  test('creates and finds actors', async (t) => {
    const { value: ids } = await ask(await open(t), createAndResolve, { endpoint: host.url, key: fresh() });
    assert.equal(new Set(ids).size, 1);
    assert.ok(await host.actor(ids[0]));
  });

  for (const encoding of ENCODINGS) {
    test(`calls actions over a connection, in ${encoding}`, async (t) => {
      const call = { endpoint: host.url, encoding, key: fresh(), by: 5 };
      assert.deepEqual(await ask(await open(t), incrementConnected, call), { value: 5 });
    });
  }

  test('has its calls without a connection refused by Chromium, at once and before they leave', async (t) => {
    const key = fresh();
    const page = await open(t, { expected: [NO_STREAMING] });
    const { name, message } = await ask(page, increment, { endpoint: host.url, key, by: 5 });
    assert.equal(name, 'rivetkit.internal_error');
    assert.match(message, /Failed to fetch/);
    assert.match(page.complaints.join('\n'), NO_STREAMING);
    assert.deepEqual(await host.actors({ name: 'counter', key }), []);
  });

  test('calls actions without a connection if it keeps fetch from streaming', async (t) => {
    const page = await open(t);
    await ask(page, () => {
      const native = globalThis.fetch;
      globalThis.fetch = async (input, init) => {
        if (!(init?.body instanceof ReadableStream)) return native(input, init);
        const { duplex, ...rest } = init;
        return native(input, { ...rest, body: await new Response(init.body).arrayBuffer() });
      };
    });
    assert.deepEqual(await ask(page, increment, { endpoint: host.url, key: fresh(), by: 5 }), { value: 5 });
  });
});

describe('a page, over TLS with HTTP/2', () => {
  const host = useHost({ components: ['conformance'], tls: true });
  const browser = useBrowser({ flags: async () => [await trusting(host.tlsUrl)] });
  const open = (t, options) => browser.open(t, pages.url('client'), options);

  for (const encoding of ENCODINGS) {
    test(`calls actions without a connection, in ${encoding}`, async (t) => {
      const call = { endpoint: host.tlsUrl, encoding, key: fresh(), by: 5 };
      const page = await open(t);
      assert.deepEqual(await ask(page, increment, call), { value: 5 });
      assert.deepEqual(await ask(page, increment, call), { value: 10 });
    });
  }

  test('calls actions over a connection', async (t) => {
    const call = { endpoint: host.tlsUrl, encoding: 'bare', key: fresh(), by: 5 };
    assert.deepEqual(await ask(await open(t), incrementConnected, call), { value: 5 });
  });

  test('creates and finds actors', async (t) => {
    const { value: ids } = await ask(await open(t), createAndResolve, { endpoint: host.tlsUrl, key: fresh() });
    assert.equal(new Set(ids).size, 1);
  });

  test('sees the errors of its calls', async (t) => {
    const page = await open(t, { expected: [/404/] });
    const missing = ({ endpoint, key }) => outcome(createClient({ endpoint }).nosuch.getOrCreate([key]).increment(1));
    const { name } = await ask(page, missing, { endpoint: host.tlsUrl, key: fresh() });
    assert.equal(name, 'actor.type_not_found');
  });
});
