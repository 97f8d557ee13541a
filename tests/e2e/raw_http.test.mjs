// Raw HTTP on the wire: what a guest says of the transport, bodies over their bound, and clients and actors that go
// away in the middle. What the conformance actors do is in `conformance_f.test.mjs`.

import assert from 'node:assert/strict';
import http from 'node:http';
import http2 from 'node:http2';
import { connect } from 'node:net';
import { describe, test } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { assertRefusal, fresh, gatewayPath, isAsleep, range, sameAgain, startHost, until, useHost, within } from './harness.mjs';

const BOUND = 64 * 1024;
// More than fits on the way, so a guest that gives it back is not done before it is read.
const LARGE = Buffer.alloc(12_000_000, 'x');
const COUNTDOWN = '10\n9\n8\n7\n6\n5\n4\n3\n2\n1\n0\n';

const at = (type, key, rest) => gatewayPath(type, [key], `/request${rest}`);
const idOf = async (host, type, key) => (await host.actors({ name: type, key }))[0].actor_id;
const asleep = (host, id) => until('the actor sleeps', async () => isAsleep(await host.actor(id)));

/** An agent with one connection at a time, which counts how many it has opened. */
function countingAgent(t) {
  const agent = new http.Agent({ keepAlive: true, maxSockets: 1 });
  const open = agent.createConnection.bind(agent);
  agent.opened = 0;
  agent.createConnection = (...args) => {
    agent.opened += 1;
    return open(...args);
  };
  t.after(() => agent.destroy());
  return agent;
}

/** A TCP connection, and what has been received on it: `{socket, received, closed}`. */
function openRaw(host) {
  const socket = connect(host.port, '127.0.0.1');
  let text = '';
  // A reset is a way to close; what was received before it counts.
  socket.setEncoding('latin1').on('data', (part) => (text += part)).on('error', () => {});
  const closed = new Promise((resolve) => socket.once('close', resolve));
  return { socket, received: () => text, closed };
}

/** A request by HTTP/2 of which nothing is read until `read` is called: `{stream, head, read}`. */
async function beginOnHttp2(t, host, method, target, { body, headers } = {}) {
  const session = http2.connect(host.url);
  t.after(() => session.destroy());
  const stream = session.request({ ':method': method, ':path': target, ...headers });
  const head = new Promise((resolve, reject) => stream.once('response', resolve).once('error', reject));
  head.catch(() => {});
  stream.end(body);
  const read = async () => {
    const parts = [];
    for await (const part of stream) parts.push(part);
    return Buffer.concat(parts);
  };
  return { session, stream, head, read };
}

/** The same, to its end: `{status, body}`. */
async function requestOnHttp2(t, host, method, target, options) {
  const { session, head, read } = await beginOnHttp2(t, host, method, target, options);
  const body = await within('the answer is over', read());
  session.close();
  return { status: (await head)[':status'], body };
}

/** What an answer that must not look whole came to: an error, or an error answer. */
function assertNotWhole(end) {
  assert.ok(end instanceof Error || end === 'error 500', `${end.byteLength ?? end.length} bytes, as if it were whole`);
}

/** How a read ended: `whole` with so many bytes, or the error. */
const outcome = (reading) => reading.then((bytes) => `whole, ${bytes.length} bytes`, (error) => error);

describe('a guest that speaks of the transport', () => {
  const host = useHost({ components: ['conformance'] });

  // The actor answers with all the headers of the request.
  const HEADERS = {
    connection: 'keep-alive, x-hop',
    'keep-alive': 'timeout=99',
    'proxy-connection': 'close',
    te: 'trailers',
    'x-kept': 'yes',
  };

  test('is not listened to, and the connection goes on', async (t) => {
    const agent = countingAgent(t);
    const target = at('rawHttpActor', fresh(), '/api/echo');
    async function* chunks() {
      yield 'in ';
      yield 'chunks';
    }
    for (const _ of range(3)) {
      for (const [options, expected] of [[{ body: 'with a length' }, 'with a length'], [{ chunks: chunks() }, 'in chunks']]) {
        const { status, headers, text } = await host.request('POST', target, { headers: HEADERS, agent, ...options });
        assert.equal(status, 200);
        assert.equal(text(), expected);
        assert.equal(headers['x-kept'], 'yes');
        for (const name of ['keep-alive', 'proxy-connection', 'te', 'content-length']) {
          assert.equal(headers[name], undefined, name);
        }
        assert.doesNotMatch(headers.connection ?? '', /x-hop|close/);
        // Said once, so by the host alone.
        assert.equal(headers['transfer-encoding'], 'chunked');
      }
    }
    assert.equal(agent.opened, 1);
  });

  test('says no other length than the body has', async (t) => {
    const { status, headers, body } = await host.request('POST', at('rawHttpActor', fresh(), '/api/echo'), {
      // Two lengths, of which the chunks are right; the actor sees, or does not see, the other one.
      headers: { 'content-length': '3', 'transfer-encoding': 'chunked' },
      chunks: (async function* chunks() { yield 'longer than that'; })(),
      agent: countingAgent(t),
    });
    // A host may also refuse such a request.
    if (status === 200) {
      assert.equal(headers['content-length'], undefined);
      assert.equal(body.toString(), 'longer than that');
    } else {
      assert.equal(status, 400);
    }
  });

  test('may do so over HTTP/2', async (t) => {
    const target = at('rawHttpActor', fresh(), '/api/echo');
    const { head, read } = await beginOnHttp2(t, host, 'POST', target, {
      headers: { te: 'trailers', trailer: 'x-trailer', 'content-length': '5', 'x-kept': 'yes' }, body: 'hello',
    });
    const headers = await head;
    assert.equal(headers[':status'], 200);
    assert.equal(headers['x-kept'], 'yes');
    for (const name of ['te', 'trailer']) assert.equal(headers[name], undefined, name);
    assert.equal((await read()).toString(), 'hello');
  });
});

describe('HEAD', () => {
  const host = useHost({ components: ['conformance'], flags: ['--sleep-after', '200ms'] });

  // This actor answers HEAD with a body, as many handlers do.
  const hello = (key) => at('rawHttpActor', key, '/api/hello');

  test('is answered without the body that the guest gives, and the connection goes on', async () => {
    const key = fresh();
    const { socket, received } = openRaw(host);
    const line = (method) => `${method} ${hello(key)} HTTP/1.1\r\nhost: x\r\n\r\n`;
    socket.write(line('HEAD') + line('HEAD') + line('GET'));
    await until('all three are answered', () => received().includes('Hello from actor!'));
    socket.destroy();
    const [first, second, third] = received().split(/\r\n\r\n(?=HTTP)/);
    for (const head of [first, second]) assert.match(head, /^HTTP\/1\.1 200 OK\r\n[^{}]*$/);
    assert.match(third, /^HTTP\/1\.1 200 OK\r\n[^{}]*\r\n\r\n[^{}]*\{"message":"Hello from actor!"\}/);
  });

  test('is answered without the body over HTTP/2 as well', async (t) => {
    const { status, body } = await requestOnHttp2(t, host, 'HEAD', hello(fresh()));
    assert.deepEqual([status, body.length], [200, 0]);
  });

  test('that is refused has no body over HTTP/2, either', async (t) => {
    const { status, body } = await requestOnHttp2(t, host, 'HEAD', at('nobody', fresh(), '/'));
    assert.deepEqual([status, body.length], [404, 0]);
  });

  test('does not keep the actor awake', async () => {
    const key = fresh();
    assert.equal((await host.request('HEAD', hello(key))).status, 200);
    await asleep(host, await idOf(host, 'rawHttpActor', key));
  });
});

describe('a body and its bound', () => {
  const host = useHost({ components: ['conformance', 'api'], flags: ['--raw-body-bytes-max', `${BOUND / 1024}KiB`] });

  const echo = (key) => at('rawHttpActor', key, '/api/echo');
  /** An actor that answers with twice the text that it gets. */
  const twice = (key) => at('rawHttpRequestPropertiesActor', key, '/x');
  const TEXT = { 'content-type': 'text/plain' };
  const HALF_AND_MORE = 'x'.repeat(BOUND / 2 + 1_000);

  async function* inPieces(size) {
    for (let left = size; left > 0; left -= 10_000) yield Buffer.alloc(Math.min(left, 10_000), 'x');
  }

  test('passes with as many bytes as there may be, both ways', async () => {
    const body = Buffer.alloc(BOUND, 'x');
    assert.ok((await host.request('POST', echo(fresh()), { body })).body.equals(body));
    assert.ok((await host.request('POST', echo(fresh()), { chunks: inPieces(BOUND) })).body.equals(body));
  });

  for (const [size, what] of [[BOUND + 1, 'one byte over it'], [4 * BOUND, 'far over it']]) {
    test(`${what} breaks off at the guest, which can tell`, async () => {
      const key = fresh();
      for (const options of [{ body: Buffer.alloc(size) }, { chunks: inPieces(size) }]) {
        assertRefusal(await host.request('POST', echo(key), options), 500, 'user.body_broken');
      }
      assertRefusal(await host.request('POST', at('api', key, '/lines'), { body: Buffer.alloc(size) }), 500, 'user.body_broken');
      assert.equal((await host.request('POST', echo(key), { body: 'as before' })).text(), 'as before');
    });
  }

  test('far over it breaks off at the guest over HTTP/2, and the connection goes on', async (t) => {
    const session = http2.connect(host.url);
    t.after(() => session.destroy());
    const post = async (body) => {
      const stream = session.request({ ':method': 'POST', ':path': echo('h2') });
      const head = new Promise((resolve, reject) => stream.once('response', resolve).once('error', reject));
      stream.end(body);
      const parts = [];
      for await (const part of stream) parts.push(part);
      return { status: (await head)[':status'], text: Buffer.concat(parts).toString() };
    };
    const refusal = await post(Buffer.alloc(5_000_000));
    assert.equal(refusal.status, 500);
    assert.equal(JSON.parse(refusal.text).code, 'body_broken');
    assert.deepEqual(await post('as before'), { status: 200, text: 'as before' });
  });

  // Most clients look for an answer when they have sent all, and would see a broken pipe instead.
  for (const [what, rest, status] of [
    ['over it', '/api/echo', 500],
    ['that the guest does not read', '/api/hello', 200],
  ]) {
    test(`${what} leaves the answer to a client that first sends all of it`, async () => {
      const size = 3_000_000;
      const { socket, received, closed } = openRaw(host);
      socket.write(`POST ${at('rawHttpActor', fresh(), rest)} HTTP/1.1\r\nhost: x\r\ncontent-length: ${size}\r\n\r\n`);
      socket.write(Buffer.alloc(2 * BOUND));
      // The guest has answered meanwhile.
      await pause(500);
      const failure = await new Promise((resolve) => socket.write(Buffer.alloc(size - 2 * BOUND), resolve));
      assert.equal(failure?.code, undefined, 'the rest could not be sent');
      await Promise.race([closed, until('it is answered', () => received().includes('\r\n\r\n'))]);
      socket.destroy();
      assert.match(received(), new RegExp(`^HTTP/1\\.1 ${status} `));
    });
  }

  test('of an answer over it ends in an error, and not as if it were whole', async (t) => {
    const key = fresh();
    const options = { headers: TEXT, body: HALF_AND_MORE };
    // One that is over it from the first is an error answer; one that has begun breaks off.
    const whole = (status, bytes) => (status === 500 ? `error ${status}` : bytes);
    const reading = fetch(host.url + twice(key), { method: 'POST', ...options })
      .then(async (answer) => whole(answer.status, await answer.arrayBuffer()));
    assertNotWhole(await reading.catch((error) => error));

    const { head, read } = await beginOnHttp2(t, host, 'POST', twice(key), options);
    const end = await within('the answer is over', read()).then(async (bytes) => whole((await head)[':status'], bytes), (error) => error);
    assertNotWhole(end);

    const { status, body } = await host.request('POST', twice(key), { headers: TEXT, body: 'short' });
    assert.equal(status, 200);
    assert.equal(JSON.parse(body).bodyText, 'short');
  });

  // Browsers and curl send a request again, also a POST, if a connection that they have used before ends without a word.
  test('of an answer over it does not keep its head from the client', async () => {
    const { socket, received, closed } = openRaw(host);
    socket.write(`POST ${twice(fresh())} HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-type: text/plain\r\ncontent-length: ${HALF_AND_MORE.length}\r\n\r\n`);
    socket.write(HALF_AND_MORE);
    await within('the host closes the connection', closed);
    assert.match(received(), /^HTTP\/1\.1 \d{3} /);
    assert.doesNotMatch(received(), /\r\n0\r\n\r\n$/);
  });
});

describe('a client that goes away', () => {
  const IDLE_MS = 200;
  const host = useHost({ components: ['conformance', 'api', 'fixtures'], flags: ['--sleep-after', `${IDLE_MS}ms`] });

  /** Looks for as long as an actor must have slept, if it could, and fails when it does. */
  async function staysAwake(id) {
    const end = performance.now() + 5 * IDLE_MS;
    while (performance.now() < end) {
      assert.ok(!isAsleep(await host.actor(id)), 'it sleeps');
      await pause(20);
    }
  }

  /** An upload of which a part has been sent. */
  async function upload(key) {
    const { socket } = openRaw(host);
    socket.write(`POST ${at('api', key, '/lines')} HTTP/1.1\r\nhost: x\r\ncontent-length: 1000\r\n\r\nbegun\n`);
    await until('the actor is awake', async () => (await host.actors({ name: 'api', key }))[0]?.awake);
    return { socket, id: await idOf(host, 'api', key) };
  }

  for (const [how, leave] of [['with a word', (socket) => socket.end()], ['without a word', (socket) => socket.resetAndDestroy()]]) {
    test(`in the middle of its request, ${how}, lets the actor sleep, which was awake so far`, async () => {
      const { socket, id } = await upload(fresh());
      await staysAwake(id);
      leave(socket);
      await asleep(host, id);
      socket.destroy();
    });
  }

  for (const [how, leave] of [
    ['gives up its request', ({ stream }) => stream.close(http2.constants.NGHTTP2_CANCEL)],
    ['closes its connection', ({ session }) => session.destroy()],
  ]) {
    test(`in the middle of an answer that it does not take, and ${how}, lets the actor sleep`, async (t) => {
      const key = fresh();
      const request = await beginOnHttp2(t, host, 'POST', at('rawHttpActor', key, '/api/echo'), { body: LARGE });
      request.stream.on('error', () => {});
      assert.equal((await within('the answer begins', request.head))[':status'], 200);
      const id = await idOf(host, 'rawHttpActor', key);
      await staysAwake(id);
      leave(request);
      await asleep(host, id);
      assert.equal((await host.request('GET', at('rawHttpActor', key, '/api/hello'))).status, 200);
    });
  }

  test('in the middle of an answer that is being made lets the actor sleep, though it would never be over', async () => {
    const key = fresh();
    const controller = new AbortController();
    const answer = await fetch(host.url + at('watchful', key, '/endless'), { signal: controller.signal });
    await answer.body.getReader().read();
    const id = await idOf(host, 'watchful', key);
    await staysAwake(id);
    controller.abort();
    await asleep(host, id);
  });

  test('and comes back slowly gets everything', async (t) => {
    const { head, read } = await beginOnHttp2(t, host, 'POST', at('rawHttpActor', fresh(), '/api/echo'), { body: LARGE });
    assert.equal((await head)[':status'], 200);
    await pause(5 * IDLE_MS);
    assert.ok((await within('it is read', read(), 30_000)).equals(LARGE));
  });
});

describe('an answer that is under way', () => {
  /** A countdown of which the first line has arrived: `{text}`, a promise of all that comes. */
  async function counting(host, key) {
    const answer = await fetch(host.url + at('api', key, '/countdown'));
    assert.equal(answer.status, 200);
    const pieces = answer.body[Symbol.asyncIterator]();
    const first = Buffer.from((await pieces.next()).value).toString();
    assert.ok(first.length < COUNTDOWN.length);
    const text = (async () => {
      let all = first;
      for (let piece; !(piece = await pieces.next()).done;) all += Buffer.from(piece.value).toString();
      return all;
    })();
    // Looked at later.
    text.catch(() => {});
    return { text };
  }

  const INTERRUPTIONS = {
    'is put to sleep': async (host, id) => host.manage('POST', `/actors/${id}/sleep?namespace=default`, {}),
    'is destroyed': async (host, id) => host.manage('DELETE', `/actors/${id}?namespace=default`),
    'gets a new revision': async (host) => host.deploy(await sameAgain('conformance', 1)),
  };
  /** An answer of which the head has arrived, and an actor that is told something. */
  async function interrupted(t, host, interrupt) {
    const request = await beginOnHttp2(t, host, 'POST', at('rawHttpActor', 'k', '/api/echo'), { body: LARGE });
    assert.equal((await request.head)[':status'], 200);
    const interruption = interrupt(host, await idOf(host, 'rawHttpActor', 'k'));
    return { ...request, interruption };
  }
  const hello = async (host) => (await host.request('GET', at('rawHttpActor', 'k', '/api/hello'))).status;

  for (const [what, interrupt] of Object.entries(INTERRUPTIONS)) {
    test(`is finished when its actor ${what}`, async (t) => {
      const host = await startHost(t, { components: ['conformance'] });
      const { interruption, read } = await interrupted(t, host, interrupt);
      // Some are answered only when it is done.
      await Promise.race([interruption, pause(1_000)]);
      assert.ok((await within('it is read', read())).equals(LARGE));
      await interruption;
      assert.equal(await hello(host), 200);
    });

    test(`that takes too long ends in an error, and not as if it were whole, when its actor ${what}`, async (t) => {
      const host = await startHost(t, { components: ['conformance'], flags: ['--stop-grace', '100ms'] });
      const { stream, interruption, read } = await interrupted(t, host, interrupt);
      // It may be told before it reads.
      let failure = null;
      stream.on('error', (error) => (failure = error));
      await interruption;
      assert.equal(await hello(host), 200);
      const end = failure ?? (await within('it ends', outcome(read())));
      assert.ok(end instanceof Error, end);
    });
  }

  test('that takes too long ends in an error over HTTP/1.1 as well', async (t) => {
    const host = await startHost(t, { components: ['api'], flags: ['--stop-grace', '100ms'] });
    const { text } = await counting(host, 'k');
    await host.putToSleep(await idOf(host, 'api', 'k'));
    const end = await within('it ends', outcome(text));
    assert.ok(end instanceof Error, end);
  });

  test('is finished when the host stops', async (t) => {
    const host = await startHost(t, { components: ['api'] });
    host.expectEnd();
    const { text } = await counting(host, 'k');
    host.signal('SIGTERM');
    assert.equal(await text, COUNTDOWN);
    assert.deepEqual(await host.exited(), { code: 0, signal: null });
  });

  test('ends in an error when the host is killed', async (t) => {
    const host = await startHost(t, { components: ['api'] });
    host.expectEnd();
    const { text } = await counting(host, 'k');
    await host.kill();
    const end = await outcome(text);
    assert.ok(end instanceof Error, end);
  });
});
