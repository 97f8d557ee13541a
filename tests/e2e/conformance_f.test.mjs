// The conformance actors of group F (raw HTTP), through the stock client's `fetch` in every encoding (of which nothing
// must show) and as plain requests, each test in a namespace that nobody has used before.

import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { describe, test } from 'node:test';
import { ENCODINGS, assertRefusal, fresh, gatewayPath, isAsleep, range, until, useHost } from './harness.mjs';
import { upTo } from './sockets.mjs';

const host = useHost({ components: ['conformance'] });

/** A body that arrives in pieces, as a stream. */
function streamOf(...pieces) {
  return new ReadableStream({
    start(controller) {
      for (const piece of pieces) controller.enqueue(typeof piece === 'string' ? Buffer.from(piece) : piece);
      controller.close();
    },
  });
}

for (const encoding of ENCODINGS) {
  describe(`through a client in ${encoding}`, () => {
    function setUp(type) {
      const namespace = fresh('conformance');
      const client = host.client({ encoding, namespace, disableMetadataLookup: true });
      return { namespace, client, actor: client[type].getOrCreate(['k']) };
    }

    const only = (type) => setUp(type).actor;

    describe('rawHttpActor', () => {
      test('says hello', async () => {
        const answer = await only('rawHttpActor').fetch('api/hello');
        assert.equal(answer.status, 200);
        assert.match(answer.headers.get('content-type'), /application\/json/);
        assert.deepEqual(await answer.json(), { message: 'Hello from actor!' });
      });

      test('is reached whatever way the path is written', async () => {
        const actor = only('rawHttpActor');
        const ways = ['api/hello', '/api/hello', new URL('http://actor/api/hello'), new Request('http://example.com/api/hello')];
        for (const way of ways) {
          const answer = await actor.fetch(way);
          assert.equal(answer.status, 200, `${way}`);
          assert.deepEqual(await answer.json(), { message: 'Hello from actor!' });
        }
      });

      test('gives back bodies and headers: text, JSON, bytes, in pieces', async () => {
        const actor = only('rawHttpActor');
        const bytes = randomBytes(10_000);
        const bodies = [
          ['text/plain', 'hello é', Buffer.from('hello é')],
          ['application/json', '{"a":[1,2]}', Buffer.from('{"a":[1,2]}')],
          ['application/octet-stream', bytes, bytes],
          ['text/plain', streamOf('in ', 'three ', 'pieces'), Buffer.from('in three pieces')],
        ];
        for (const [type, body, expected] of bodies) {
          const headers = { 'content-type': type, 'x-mine': 'kept' };
          const answer = await actor.fetch('api/echo', { method: 'POST', headers, body, duplex: 'half' });
          assert.equal(answer.status, 200);
          assert.match(answer.headers.get('content-type'), new RegExp(`^${type}`));
          assert.equal(answer.headers.get('x-mine'), 'kept');
          assert.deepEqual(Buffer.from(await answer.arrayBuffer()), expected);
        }
      });

      test('takes a Request with a method, headers and a body', async () => {
        const request = new Request('http://example.com/api/echo', { method: 'POST', headers: { 'x-mine': '1' }, body: 'in a request' });
        const answer = await only('rawHttpActor').fetch(request);
        assert.equal(answer.status, 200);
        assert.equal(answer.headers.get('x-mine'), '1');
        assert.equal(await answer.text(), 'in a request');
      });

      test('gives back megabytes: the bounds of calls are none here', async () => {
        const actor = only('rawHttpActor');
        for (const size of [65_537, 1_048_577, 4_000_000]) {
          const body = randomBytes(size);
          const answer = await actor.fetch('api/echo', { method: 'POST', body, duplex: 'half' });
          assert.equal(answer.status, 200);
          assert.ok(Buffer.from(await answer.arrayBuffer()).equals(body), `${size} bytes came back changed`);
        }
      });

      test('counts every request in its state, which calls have no part in', async () => {
        const actor = only('rawHttpActor');
        for (const n of upTo(3)) assert.deepEqual(await (await actor.fetch('api/state')).json(), { requestCount: n });
        await (await actor.fetch('api/hello')).text();
        await (await actor.fetch('nowhere')).text();
        assert.deepEqual(await (await actor.fetch('api/state')).json(), { requestCount: 6 });
      });

      test('counts every one of many requests at once', async () => {
        const actor = only('rawHttpActor');
        await Promise.all(range(50).map(async () => (await actor.fetch('api/hello')).text()));
        assert.deepEqual(await (await actor.fetch('api/state')).json(), { requestCount: 51 });
      });

      test('gives back the request headers, names in lower case', async () => {
        const headers = { 'X-Custom': 'Value', authorization: 'Bearer t', cookie: 'a=1; b=2' };
        const seen = await (await only('rawHttpActor').fetch('api/headers', { headers })).json();
        assert.equal(seen['x-custom'], 'Value');
        assert.equal(seen.authorization, 'Bearer t');
        assert.equal(seen.cookie, 'a=1; b=2');
        for (const name of Object.keys(seen)) assert.equal(name, name.toLowerCase());
      });

      test('does not find other paths', async () => {
        const actor = only('rawHttpActor');
        for (const path of ['', '/', 'api', 'api/hello/more', 'nowhere?x=1']) {
          const answer = await actor.fetch(path);
          assert.equal(answer.status, 404, path);
          assert.equal(await answer.text(), 'Not Found', path);
        }
      });

      test('wakes for a request, with its state', async () => {
        const { actor, namespace } = setUp('rawHttpActor');
        await (await actor.fetch('api/hello')).text();
        const id = await actor.resolve();
        await host.putToSleep(id, namespace);
        assert.deepEqual(await (await actor.fetch('api/state')).json(), { requestCount: 2 });
      });

      test('is reached by id', async () => {
        const { actor, client } = setUp('rawHttpActor');
        await (await actor.fetch('api/hello')).text();
        const byId = client.rawHttpActor.getForId(await actor.resolve());
        assert.deepEqual(await (await byId.fetch('api/state')).json(), { requestCount: 2 });
      });

      test('is reached below the URL that the client gives, by key and by id', async () => {
        const { actor, client } = setUp('rawHttpActor');
        for (const handle of [actor, client.rawHttpActor.getForId(await actor.resolve())]) {
          const url = await handle.getGatewayUrl();
          const answer = await fetch(`${url}/request/api/hello`);
          assert.equal(answer.status, 200, `${url}/request/api/hello: ${await answer.clone().text()}`);
          assert.deepEqual(await answer.json(), { message: 'Hello from actor!' });
        }
      });
    });

    describe('rawHttpNoHandlerActor', () => {
      test('answers every request with a 404', async () => {
        const actor = only('rawHttpNoHandlerActor');
        for (const [method, path] of [['GET', ''], ['GET', 'api/hello'], ['POST', 'x'], ['DELETE', 'x?y=1']]) {
          const answer = await actor.fetch(path, { method });
          assert.equal(answer.status, 404, `${method} ${path}`);
          await answer.text();
        }
      });
    });

    describe('rawHttpVoidReturnActor', () => {
      test('answers with a 500 that says what the handler has forgotten', async () => {
        const answer = await only('rawHttpVoidReturnActor').fetch('anything');
        assert.equal(answer.status, 500);
        assert.match((await answer.json()).message, /onRequest handler must return a Response/);
      });
    });

    describe('rawHttpHonoActor', () => {
      const asJson = (body) => ({ headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) });

      async function assertAnswer(answer, status, value) {
        assert.equal(answer.status, status);
        assert.deepEqual(await answer.json(), value);
      }

      test('has a front page and a list', async () => {
        const actor = only('rawHttpHonoActor');
        await assertAnswer(await actor.fetch('/'), 200, { message: 'Welcome to Hono actor!' });
        await assertAnswer(await actor.fetch(''), 200, { message: 'Welcome to Hono actor!' });
        await assertAnswer(await actor.fetch('/users'), 200, [{ id: 1, name: 'Alice' }, { id: 2, name: 'Bob' }]);
      });

      test('reads one, makes one, changes one, removes one', async () => {
        const actor = only('rawHttpHonoActor');
        assert.equal((await (await actor.fetch('/users/1')).json()).name, 'Alice');
        assert.equal((await (await actor.fetch('/users/2')).json()).name, 'Bob');
        await assertAnswer(await actor.fetch('/users', { method: 'POST', ...asJson({ name: 'Cid' }) }), 201, { id: 3, name: 'Cid' });
        const changed = await actor.fetch('/users/1', { method: 'PUT', ...asJson({ name: 'Ann' }) });
        assert.equal(changed.status, 200);
        assert.equal((await changed.json()).name, 'Ann');
        await assertAnswer(await actor.fetch('/users/1', { method: 'DELETE' }), 200, { message: 'User 1 deleted' });
      });

      test('does not find what is not there', async () => {
        const actor = only('rawHttpHonoActor');
        assert.equal((await actor.fetch('/nowhere')).status, 404);
        assert.equal((await actor.fetch('/', { method: 'POST' })).status, 404);
      });
    });

    describe('rawHttpRequestPropertiesActor', () => {
      const properties = async (...args) => {
        const answer = await only('rawHttpRequestPropertiesActor').fetch(...args);
        assert.equal(answer.status, 200);
        return answer.json();
      };

      test('sees the URL that was asked for, and nothing of how it came there', async () => {
        const seen = await properties('some/path?a=1&b=x%20y&a=2&empty=');
        assert.equal(seen.pathname, '/some/path');
        assert.equal(seen.search, '?a=1&b=x%20y&a=2&empty=');
        assert.deepEqual(seen.searchParams, { a: '2', b: 'x y', empty: '' });
        assert.equal(seen.hash, '');
        assert.equal(seen.method, 'GET');
        const url = new URL(seen.url);
        assert.equal(url.pathname + url.search, '/some/path?a=1&b=x%20y&a=2&empty=');
      });

      test('sees a path with one slash in front, whatever the caller wrote', async () => {
        for (const path of ['', '/', 'x', '/x', 'a/b/', '/%C3%A9/%2F']) {
          const seen = await properties(path);
          assert.equal(seen.pathname, `/${path.replace(/^\//, '')}`, `for ${JSON.stringify(path)}`);
          assert.equal(seen.search, '');
        }
        const query = await properties('?only=query');
        assert.deepEqual([query.pathname, query.search], ['/', '?only=query']);
      });

      test('sees the whole URL that the client was given, and no header about it', async () => {
        for (const input of [new URL('https://example.com/some/path?x=1'), new Request('https://example.com/some/path?x=1')]) {
          const seen = await properties(input);
          assert.equal(seen.url, 'https://example.com/some/path?x=1');
          assert.equal(seen.headers['x-rivet-internal-original-request-url'], undefined);
        }
      });

      test('sees every method', async () => {
        for (const method of ['GET', 'POST', 'PUT', 'DELETE', 'PATCH']) {
          assert.equal((await properties('x', { method })).method, method);
        }
      });

      test('answers HEAD without a body, and OPTIONS with a 204', async () => {
        const actor = only('rawHttpRequestPropertiesActor');
        const head = await actor.fetch('x', { method: 'HEAD' });
        assert.equal(head.status, 200);
        assert.equal(await head.text(), '');
        const options = await actor.fetch('x', { method: 'OPTIONS' });
        assert.equal(options.status, 204);
        assert.equal(await options.text(), '');
      });

      test('sees headers, names in lower case', async () => {
        const { headers } = await properties('x', { headers: { 'X-Mixed': 'Case', accept: 'text/html' } });
        assert.equal(headers['x-mixed'], 'Case');
        assert.equal(headers.accept, 'text/html');
      });

      test('sees that there is no body', async () => {
        const { body, bodyText } = await properties('x');
        assert.deepEqual({ body, bodyText }, { body: null, bodyText: null });
      });

      test('sees a text as text and JSON as its value', async () => {
        const post = (type, body) => properties('x', { method: 'POST', headers: { 'content-type': type }, body });
        const text = await post('text/plain', 'plain é');
        assert.deepEqual([text.body, text.bodyText], ['plain é', 'plain é']);
        const json = await post('application/json', '{"a":{"b":[1,null]}}');
        assert.deepEqual([json.body, json.bodyText], [{ a: { b: [1, null] } }, null]);
        const piecewise = await properties('x', {
          method: 'PUT', headers: { 'content-type': 'text/plain' }, body: streamOf('a', 'b', 'c'), duplex: 'half',
        });
        assert.equal(piecewise.body, 'abc');
      });

      test('sees a body that is no JSON, though it says so, as none', async () => {
        const { body, bodyText } = await properties('x', {
          method: 'POST', headers: { 'content-type': 'application/json' }, body: '{"a":',
        });
        assert.deepEqual({ body, bodyText }, { body: null, bodyText: '' });
      });
    });
  });
}

describe('a plain request', () => {
  const at = (type, rest, namespace, key = 'k') => gatewayPath(type, [key], `/request${rest}`, { namespace });

  test('needs no client', async () => {
    const answer = await host.request('GET', at('rawHttpActor', '/api/hello', fresh()));
    assert.equal(answer.status, 200);
    assert.deepEqual(answer.json(), { message: 'Hello from actor!' });
  });

  test('may have its length said, or come in chunks', async () => {
    const target = at('rawHttpActor', '/api/echo', fresh());
    const said = await host.request('POST', target, { headers: { 'content-type': 'text/plain' }, body: 'with a length' });
    assert.equal(said.text(), 'with a length');
    async function* chunks() {
      for (const word of ['in ', 'many ', 'chunks']) yield word;
    }
    const chunked = await host.request('POST', target, { headers: { 'content-type': 'text/plain' }, chunks: chunks() });
    assert.equal(chunked.text(), 'in many chunks');
  });

  test('gets nothing back that belongs to the connection, though the guest says it', async () => {
    // The actor answers with all the headers of the request.
    const headers = {
      connection: 'close, x-hop',
      'x-hop': '1',
      'keep-alive': 'timeout=99',
      te: 'trailers',
      'transfer-encoding': 'chunked',
      upgrade: 'h2c',
      'x-kept': 'yes',
    };
    async function* chunks() {
      yield 'the body';
    }
    const answer = await host.request('POST', at('rawHttpActor', '/api/echo', fresh()), { headers, chunks: chunks(), agent: false });
    assert.equal(answer.status, 200);
    assert.equal(answer.text(), 'the body');
    assert.equal(answer.headers['x-kept'], 'yes');
    assert.notEqual(answer.headers['keep-alive'], 'timeout=99');
    assert.doesNotMatch(answer.headers.connection ?? '', /x-hop/);
    for (const name of ['te', 'upgrade']) assert.equal(answer.headers[name], undefined, name);
  });

  test('keeps its query byte for byte, without what leads to the actor', async () => {
    const namespace = fresh();
    const mine = 'a=1&b=x%20y&c=x+y&&d&e=%E9&f=a=b';
    const target = at('rawHttpRequestPropertiesActor', '/p', namespace).replace('?', `?${mine}&`);
    const seen = (await host.request('GET', target)).json();
    assert.equal(seen.search, `?${mine}`);
    assert.equal(seen.pathname, '/p');
  });

  test('is refused when it has parameters of the host that there are not, or has one twice', async () => {
    const target = at('rawHttpActor', '/api/hello', fresh());
    assertRefusal(await host.request('GET', `${target}&rvt-mine=1`), 400, 'guard.query_invalid_params');
    assertRefusal(await host.request('GET', `${target}&rvt-method=get`), 400, 'guard.query_duplicate_param');
  });

  test('sees a body that is empty, and one that is not there, as the two that they are', async () => {
    const target = at('rawHttpRequestPropertiesActor', '/p', fresh());
    async function* nothing() {}
    const empty = (await host.request('POST', target, { headers: { 'transfer-encoding': 'chunked' }, chunks: nothing() })).json();
    assert.deepEqual({ body: empty.body, bodyText: empty.bodyText }, { body: null, bodyText: '' });
    const none = (await host.request('DELETE', target)).json();
    assert.deepEqual({ body: none.body, bodyText: none.bodyText }, { body: null, bodyText: null });
  });

  test('finds the actor by id: in the path, or in headers', async () => {
    const namespace = fresh();
    const first = await host.request('GET', at('rawHttpActor', '/api/state', namespace));
    assert.deepEqual(first.json(), { requestCount: 1 });
    const [{ actor_id: id }] = await host.actors({ name: 'rawHttpActor', key: 'k', namespace });
    assert.deepEqual((await host.request('GET', `/gateway/${id}/request/api/state`)).json(), { requestCount: 2 });
    const headers = { 'x-rivet-target': 'actor', 'x-rivet-actor': id };
    assert.deepEqual((await host.request('GET', '/request/api/state', { headers })).json(), { requestCount: 3 });
  });

  test('fails when there is no actor of that id', async () => {
    const id = '0'.repeat(32);
    assertRefusal(await host.request('GET', `/gateway/${id}/request/api/hello`), 404, 'actor.not_found');
    const headers = { 'x-rivet-target': 'actor', 'x-rivet-actor': id };
    assertRefusal(await host.request('GET', '/request/api/hello', { headers }), 404, 'actor.not_found');
    const noId = await host.request('GET', '/request/api/hello', { headers: { 'x-rivet-target': 'actor' } });
    assert.ok(noId.status >= 400 && noId.status < 500, `${noId.status}`);
  });

  test('outside the paths of an actor is an error, and no raw request', async () => {
    const namespace = fresh();
    const count = async () => (await host.request('GET', at('rawHttpActor', '/api/state', namespace))).json().requestCount;
    assert.equal(await count(), 1);
    for (const rest of ['/api/state', '/requests/api/state', '/']) {
      const answer = await host.request('GET', gatewayPath('rawHttpActor', ['k'], rest, { namespace }));
      assert.ok(answer.status >= 400 && answer.status < 500, `${rest}: ${answer.status}`);
    }
    assert.equal(await count(), 2);
  });

  test('reaches the handler at /request, /request/ and /request?', async () => {
    const namespace = fresh();
    const target = at('rawHttpRequestPropertiesActor', '', namespace);
    for (const [written, search] of [[target, ''], [target.replace('?', '/?'), ''], [target.replace('?', '?x=1&'), '?x=1']]) {
      const seen = (await host.request('GET', written)).json();
      assert.deepEqual([seen.pathname, seen.search], ['/', search], written);
    }
  });

  test('by HEAD says nothing more than its head, and the connection can be used again', async () => {
    const namespace = fresh();
    const head = await host.request('HEAD', at('rawHttpRequestPropertiesActor', '/x', namespace));
    assert.equal(head.status, 200);
    assert.equal(head.body.length, 0);
    assert.equal((await host.request('GET', at('rawHttpActor', '/api/hello', namespace))).status, 200);
  });

  test('may be larger than any call, and is bounded all the same', async () => {
    const MORE_THAN_ANY = 256 * 1024 * 1024;
    let taken = 0;
    const piece = Buffer.alloc(256 * 1024);
    const body = new ReadableStream({
      pull(stream) {
        if (taken >= MORE_THAN_ANY) return stream.close();
        taken += piece.length;
        stream.enqueue(piece);
      },
    });
    const answered = fetch(host.url + at('rawHttpActor', '/api/echo', fresh()), { method: 'POST', body, duplex: 'half' });
    const end = await answered.then(async (answer) => (await answer.arrayBuffer(), answer.status)).catch((error) => error);
    assert.ok(taken < MORE_THAN_ANY, 'all of it was taken');
    assert.ok(end instanceof Error || end >= 400, `it was answered with ${end}`);
    assert.equal((await host.request('GET', at('rawHttpActor', '/api/hello', fresh()))).status, 200);
  });

  test('that its client gives up harms nobody', async () => {
    const namespace = fresh();
    const controller = new AbortController();
    const body = new ReadableStream({
      start: (stream) => stream.enqueue(Buffer.from('begun')),
    });
    const given = fetch(host.url + at('rawHttpActor', '/api/echo', namespace), {
      method: 'POST', body, duplex: 'half', signal: controller.signal,
    }).catch((error) => error.name);
    await until('the actor is there', async () => (await host.actors({ name: 'rawHttpActor', key: 'k', namespace })).length === 1);
    controller.abort();
    assert.equal(await given, 'AbortError');
    assert.equal((await host.request('GET', at('rawHttpActor', '/api/hello', namespace))).status, 200);
  });

  test('keeps an actor awake until it is answered', async () => {
    // Sleep that is asked for waits for what was begun.
    const namespace = fresh();
    await host.request('GET', at('rawHttpActor', '/api/state', namespace));
    const [{ actor_id: id }] = await host.actors({ name: 'rawHttpActor', key: 'k', namespace });
    const sent = { pieces: 0 };
    let finish;
    const over = new Promise((resolve) => (finish = resolve));
    async function* slowly() {
      yield 'first ';
      sent.pieces = 1;
      await over;
      yield 'last';
    }
    const answer = host.request('POST', at('rawHttpActor', '/api/echo', namespace), { chunks: slowly() });
    await until('it has begun', () => sent.pieces === 1);
    // Answered later, so the one before has reached the actor.
    await host.request('GET', at('rawHttpActor', '/api/state', namespace));
    // Answered when the actor sleeps, so not before the request is over.
    const sleeping = host.manage('POST', `/actors/${id}/sleep?namespace=${namespace}`, {});
    finish();
    assert.equal((await answer).text(), 'first last');
    await sleeping;
    await until('it sleeps', async () => isAsleep(await host.actor(id, namespace)));
  });
});

describe('a preflight', () => {
  const PREFLIGHT = {
    origin: 'https://app.example.com',
    'access-control-request-method': 'PUT',
    'access-control-request-headers': 'content-type,x-rivet-conn-params,x-own',
  };

  test('of a raw request is answered by the host, and the actor hears nothing of it', async () => {
    const namespace = fresh();
    const state = gatewayPath('rawHttpActor', ['k'], '/request/api/state', { namespace });
    assert.equal((await host.request('GET', state)).json().requestCount, 1);
    const answer = await host.request('OPTIONS', state, { headers: PREFLIGHT });
    assert.equal(answer.status, 204);
    assert.equal(answer.headers['access-control-allow-origin'], PREFLIGHT.origin);
    assert.equal(answer.headers['access-control-allow-credentials'], 'true');
    assert.match(answer.headers['access-control-allow-methods'], /PUT/);
    for (const name of PREFLIGHT['access-control-request-headers'].split(',')) {
      assert.ok(answer.headers['access-control-allow-headers'].toLowerCase().includes(name), name);
    }
    assert.match(answer.headers.vary, /origin/i);
    assert.equal((await host.request('GET', state)).json().requestCount, 2);
  });

  test('is kept: the answer to the request itself may be read by the page as well', async () => {
    const target = gatewayPath('rawHttpActor', ['k'], '/request/api/hello', { namespace: fresh() });
    const answer = await host.request('GET', target, { headers: { origin: PREFLIGHT.origin } });
    assert.equal(answer.headers['access-control-allow-origin'], PREFLIGHT.origin);
    assert.equal(answer.headers['access-control-allow-credentials'], 'true');
    assert.equal(answer.status, 200);
  });

  test('does not need to be one: an OPTIONS without its headers does not reach the actor either', async () => {
    const namespace = fresh();
    const target = (rest) => gatewayPath('rawHttpActor', ['k'], `/request/${rest}`, { namespace });
    assert.equal((await host.request('OPTIONS', target('api/hello'))).status, 204);
    assert.equal((await host.request('GET', target('api/state'))).json().requestCount, 1);
  });
});
