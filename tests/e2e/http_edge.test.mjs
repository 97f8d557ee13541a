// The HTTP edge itself: both versions of the protocol, odd and hostile clients, and the way out.

import assert from 'node:assert/strict';
import http2 from 'node:http2';
import { connect } from 'node:net';
import { describe, test } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { actionPath, deferred, fresh, range, startHost, until, useHost } from './harness.mjs';

const JSON_HEADERS = { 'content-type': 'application/json', 'x-rivet-encoding': 'json' };

/** A TCP connection that collects what it is told: `{socket, closed}`; `closed` gives everything received. */
function openSocket(host) {
  const socket = connect(host.port, '127.0.0.1');
  const received = [];
  const { promise: closed, resolve } = deferred();
  socket.on('data', (part) => received.push(part));
  // A reset is a way to close; what was received before it counts.
  socket.on('error', () => {});
  socket.on('close', () => resolve(Buffer.concat(received).toString('latin1')));
  return { socket, closed, received: () => Buffer.concat(received).toString('latin1') };
}

/** One request on an HTTP/2 session: `{status, headers, body}`. */
function requestOn(session, headers, body) {
  const { promise, resolve, reject } = deferred();
  const stream = session.request(headers);
  let head;
  const parts = [];
  stream.on('response', (received) => (head = received));
  stream.on('data', (part) => parts.push(part));
  stream.on('end', () => resolve({ status: head?.[':status'], headers: head, body: Buffer.concat(parts).toString() }));
  stream.on('error', reject);
  stream.end(body);
  return promise;
}

const actionOn = (session, type, key, action, ...args) =>
  requestOn(session, { ':method': 'POST', ':path': actionPath(type, key, action), ...JSON_HEADERS }, JSON.stringify({ args }));

describe('both HTTP versions on one port', () => {
  const host = useHost({ components: ['counter', 'fixtures'] });

  async function withSession(use) {
    const session = http2.connect(host.url);
    try {
      return await use(session);
    } finally {
      session.destroy();
    }
  }

  test('HTTP/2 without negotiation calls actions', async () => {
    const key = [fresh()];
    await withSession(async (session) => {
      const answer = await actionOn(session, 'counter', key, 'increment', 5);
      assert.equal(answer.status, 200);
      assert.equal(answer.body, '{"output":5}');
      const refusal = await actionOn(session, 'counter', key, 'nope');
      assert.equal(refusal.status, 404);
      assert.equal(JSON.parse(refusal.body).code, 'action_not_found');
    });
    assert.equal(await host.call('counter', key, 'increment', 1), 6);
  });

  test('one HTTP/2 connection carries a hundred calls at once', async () => {
    await withSession(async (session) => {
      const key = [fresh()];
      const answers = await Promise.all(range(100).map(() => actionOn(session, 'counter', key, 'increment', 1)));
      const counts = answers.map(({ body }) => JSON.parse(body).output);
      assert.deepEqual(counts.toSorted((a, b) => a - b), range(100).map((n) => n + 1));
    });
  });

  test('a short call on an HTTP/2 connection passes a long one', async () => {
    await withSession(async (session) => {
      const key = [fresh()];
      let isOver = false;
      const long = actionOn(session, 'echoer', key, 'slow', 3_000).finally(() => (isOver = true));
      assert.equal((await actionOn(session, 'echoer', key, 'echo', 1)).body, '{"output":1}');
      assert.ok(!isOver);
      assert.equal((await long).body, '{"output":3000}');
    });
  });

  test('a body over its bound is refused over HTTP/2, and the connection goes on', async () => {
    await withSession(async (session) => {
      const answer = await actionOn(session, 'echoer', [fresh()], 'echo', 'x'.repeat(100_000));
      assert.equal(answer.status, 400);
      assert.equal(JSON.parse(answer.body).code, 'incoming_too_long');
      assert.equal((await actionOn(session, 'counter', [fresh()], 'increment', 1)).body, '{"output":1}');
    });
  });

  test('a client that gives up a stream harms nobody', async () => {
    await withSession(async (session) => {
      const key = [fresh()];
      const headers = { ':method': 'POST', ':path': actionPath('echoer', key, 'slow'), ...JSON_HEADERS };
      const stream = session.request(headers);
      stream.on('error', () => {});
      stream.end('{"args":[3000]}');
      assert.equal((await actionOn(session, 'echoer', key, 'echo', 1)).status, 200);
      stream.close(http2.constants.NGHTTP2_CANCEL);
      assert.equal((await actionOn(session, 'echoer', key, 'echo', 2)).status, 200);
    });
  });

  test('a chunked body may come byte by byte', async () => {
    async function* byByte() {
      for (const byte of Buffer.from('{"args":[42]}')) yield Buffer.from([byte]);
    }
    const answer = await host.request('POST', actionPath('counter', [fresh()], 'increment'), { chunks: byByte() });
    assert.deepEqual(answer.json(), { output: 42 });
  });

  test('requests that come together on one connection are answered in order', async () => {
    const { socket, received } = openSocket(host);
    const target = actionPath('counter', [fresh()], 'increment');
    const request = `POST ${target} HTTP/1.1\r\nhost: x\r\ncontent-length: 12\r\n\r\n{"args":[1]}`;
    socket.write(request.repeat(3));
    await until('all are answered', () => received().includes('{"output":3}'));
    assert.deepEqual(received().match(/\{"output":\d\}/g), ['{"output":1}', '{"output":2}', '{"output":3}']);
    socket.destroy();
  });

  test('a request that ends early is not carried out', async () => {
    const key = fresh('early');
    const { socket, closed } = openSocket(host);
    socket.end(`POST ${actionPath('counter', [key], 'increment')} HTTP/1.1\r\nhost: x\r\ncontent-length: 100\r\n\r\n{"args":[1]}`);
    await closed;
    assert.deepEqual(await host.actors({ name: 'counter', key }), []);
  });

  const GARBAGE = {
    'text': 'hello\r\n\r\n',
    'a TLS greeting': Buffer.from('160301020001000001fc0303', 'hex'),
    'a request without a version': 'GET /health\r\n\r\n',
    'a header with a space in its name': 'GET /health HTTP/1.1\r\nho st: x\r\n\r\n',
    'two lengths that differ': `POST /x HTTP/1.1\r\nhost: x\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nab`,
    'a length that is none': 'POST /x HTTP/1.1\r\nhost: x\r\ncontent-length: many\r\n\r\n',
    'an HTTP/2 greeting that goes on as text': 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\nhello hello hello hello',
  };
  for (const [what, bytes] of Object.entries(GARBAGE)) {
    test(`${what} is refused, and others are served`, async () => {
      const { socket, closed } = openSocket(host);
      socket.end(bytes);
      const answer = await closed;
      assert.doesNotMatch(answer, /^HTTP\/1\.1 [23]/);
      assert.equal((await host.request('GET', '/health')).status, 200);
    });
  }

  test('headers over their bound are a 431', async () => {
    const { socket, closed } = openSocket(host);
    socket.write(`GET /health HTTP/1.1\r\nhost: x\r\nx-huge: ${'x'.repeat(100 * 1024)}\r\n\r\n`);
    assert.match(await closed, /^HTTP\/1\.1 431/);
  });

  test('thousands of headers are a 431', async () => {
    const { socket, closed } = openSocket(host);
    socket.write(`GET /health HTTP/1.1\r\nhost: x\r\n${range(5_000).map((n) => `x-${n}: y\r\n`).join('')}\r\n`);
    assert.match(await closed, /^HTTP\/1\.1 431/);
  });

  test('a URL over its bound is refused', async () => {
    const { socket, closed } = openSocket(host);
    socket.write(`GET /${'x'.repeat(100 * 1024)} HTTP/1.1\r\nhost: x\r\n\r\n`);
    assert.match(await closed, /^HTTP\/1\.1 4(14|31)/);
  });
});

describe('a slow client', () => {
  // Idle connections are closed after the same two seconds, so none is kept for reuse.
  const host = useHost({ components: ['counter'], flags: ['--head-timeout', '2s', '--body-timeout', '2s'], keepAlive: false });
  const CUT_OFF_MAX_MS = 15_000;

  /** Sends text byte by byte until the host closes the connection, and gives what it said. */
  async function drip(text) {
    const { socket, closed } = openSocket(host);
    const begun = performance.now();
    let isClosed = false;
    closed.then(() => (isClosed = true));
    for (let at = 0; !isClosed; at += 1) {
      assert.ok(performance.now() - begun < CUT_OFF_MAX_MS, 'it was not cut off');
      if (socket.writable) socket.write(text[at % text.length]);
      await Promise.race([closed, pause(100)]);
    }
    return closed;
  }

  test('that drips its head is cut off, while others are served', async () => {
    const dripping = drip('GET /health HTTP/1.1\r\nhost: x\r\nx-slow: '.padEnd(10_000, 'x'));
    const key = [fresh()];
    assert.equal(await host.call('counter', key, 'increment', 1), 1);
    const answer = await dripping;
    assert.doesNotMatch(answer, /^HTTP\/1\.1 200/);
    assert.equal(await host.call('counter', key, 'increment', 1), 2);
  });

  test('that says nothing is cut off', async () => {
    const { closed } = openSocket(host);
    const end = await Promise.race([closed, pause(CUT_OFF_MAX_MS, 'still open')]);
    assert.notEqual(end, 'still open');
    assert.doesNotMatch(end, /^HTTP\/1\.1 2/);
  });

  test('that drips its body is cut off and told why, if at all, by guard.request_timeout', async () => {
    const key = fresh('drip');
    const head = `POST ${actionPath('counter', [key], 'increment')} HTTP/1.1\r\nhost: x\r\ncontent-length: 10000\r\n\r\n`;
    const { socket, closed } = openSocket(host);
    socket.write(head);
    const writing = setInterval(() => socket.writable && socket.write('x'), 100);
    const end = await Promise.race([closed, pause(CUT_OFF_MAX_MS, 'still open')]);
    clearInterval(writing);
    assert.notEqual(end, 'still open');
    if (end !== '') {
      assert.match(end, /^HTTP\/1\.1 408/);
      assert.match(end, /request_timeout/);
    }
    assert.deepEqual(await host.actors({ name: 'counter', key }), []);
  });

  test('of a hundred leaves room for others', async () => {
    const slow = range(100).map(() => openSocket(host));
    for (const { socket } of slow) socket.write('GET /hea');
    assert.equal(await host.call('counter', [fresh()], 'increment', 1), 1);
    const ends = await Promise.race([Promise.all(slow.map(({ closed }) => closed)), pause(CUT_OFF_MAX_MS, 'still open')]);
    assert.notEqual(ends, 'still open');
  });
});

describe('a stop', () => {
  for (const signal of ['SIGTERM', 'SIGINT']) {
    test(`by ${signal} finishes a running call, takes no new one, and ends with 0`, async (t) => {
      const host = await startHost(t, { components: ['fixtures'] });
      host.expectEnd();
      const running = host.call('echoer', ['k'], 'slow', 1_500);
      // Sent later and answered, so the slow call has begun.
      for (const _ of range(3)) await host.call('echoer', ['k'], 'echo', 1);

      host.signal(signal);
      await until('new connections are refused', () => refuses(host));
      assert.equal(await running, 1_500);
      assert.deepEqual(await host.exited(), { code: 0, signal: null });
    });
  }

  test('with nothing to do, and clients that keep connections open, is quick', async (t) => {
    const host = await startHost(t, { components: ['counter'] });
    host.expectEnd();
    await host.call('counter', ['k'], 'increment', 1);
    const idle = openSocket(host);
    const session = http2.connect(host.url);
    session.on('error', () => {});
    assert.equal((await requestOn(session, { ':path': '/health' })).status, 200);

    const begun = performance.now();
    assert.deepEqual(await host.stop(), { code: 0, signal: null });
    const took = performance.now() - begun;
    assert.ok(took < 5_000, `it took ${took.toFixed()} ms`);
    await idle.closed;
    session.destroy();
  });

  test('that is asked for twice ends at once, and not with 0', async (t) => {
    const host = await startHost(t, { components: ['fixtures'] });
    host.expectEnd();
    const running = host.call('echoer', ['k'], 'slow', 60_000).then(() => 'answered', () => 'cut off');
    for (const _ of range(3)) await host.call('echoer', ['k'], 'echo', 1);

    host.signal('SIGTERM');
    await until('it is stopping', () => refuses(host));
    assert.ok(host.running, 'it did not wait for the running call');
    const begun = performance.now();
    const { code } = await host.stop('SIGTERM');
    assert.ok(performance.now() - begun < 15_000);
    assert.notEqual(code, 0);
    assert.equal(await running, 'cut off');
  });

  /** Whether the host takes no more requests: no connection, or one that answers 503. */
  async function refuses(host) {
    try {
      const { status } = await host.request('GET', '/health', { agent: false });
      return status === 503;
    } catch {
      return true;
    }
  }
});
