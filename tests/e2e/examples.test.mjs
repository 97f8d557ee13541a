// The examples `api` and `echo_socket`, used as they say that they are, by programs that need not know the stock client.

import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { describe, test } from 'node:test';
import { fresh, isAsleep, range, sameAgain, startHost, until, useHost, within } from './harness.mjs';
import { Socket, openSocket, upTo, websocketPath } from './sockets.mjs';

describe('api', () => {
  const host = useHost({ components: ['api'] });

  /** The URL that the example gives, for a key of one part. */
  const at = (key, path) =>
    `/gateway/api/request${path}?rvt-namespace=default&rvt-method=getOrCreate&rvt-runner=default&rvt-key=${key}`;
  const client = (key) => host.client().api.getOrCreate(key);

  /** A body of lines, a megabyte of which is there at a time. */
  function linesOf(pieces) {
    const piece = Buffer.from('x'.repeat(99).concat('\n').repeat(10_000));
    let sent = 0;
    const body = new ReadableStream({
      pull(stream) {
        if (sent === pieces) return stream.close();
        sent += 1;
        stream.enqueue(piece);
      },
    });
    return { body, lines: pieces * 10_000, bytes: pieces * piece.length };
  }

  test('keeps notes: makes them, lists them, gives one, removes one', async () => {
    const key = fresh();
    const notes = at(key, '/notes');
    assert.deepEqual((await host.request('GET', notes)).json(), []);
    for (const [index, text] of ['first', 'second é'].entries()) {
      const made = await host.request('POST', notes, { body: { text } });
      assert.equal(made.status, 201);
      assert.match(made.headers['content-type'], /application\/json/);
      assert.deepEqual(made.json(), { id: index + 1, text });
    }
    const one = await host.request('GET', at(key, '/notes/2'));
    assert.deepEqual([one.status, one.json()], [200, { id: 2, text: 'second é' }]);

    const removed = await host.request('DELETE', at(key, '/notes/1'));
    assert.deepEqual([removed.status, removed.body.length], [204, 0]);
    assert.deepEqual((await host.request('GET', notes)).json(), [{ id: 2, text: 'second é' }]);
    // An id is not given twice.
    assert.deepEqual((await host.request('POST', notes, { body: { text: 'third' } })).json(), { id: 3, text: 'third' });
  });

  test('says no to what it does not know, and to a note that is none', async () => {
    const key = fresh();
    for (const [method, path] of [['GET', '/notes/7'], ['DELETE', '/notes/7'], ['GET', '/notes/x'], ['PUT', '/notes'], ['GET', '/'], ['GET', '']]) {
      const answer = await host.request(method, at(key, path));
      assert.deepEqual([answer.status, answer.text()], [404, 'there is nothing here\n'], `${method} ${path}`);
    }
    for (const body of ['{', '[]', '{"text":1}', '']) {
      const answer = await host.request('POST', at(key, '/notes'), { body });
      assert.deepEqual([answer.status, answer.text()], [400, 'a note is {"text": "..."}\n'], body);
    }
    assert.deepEqual((await host.request('GET', at(key, '/notes'))).json(), []);
  });

  test('is the same through the stock client', async () => {
    const key = fresh();
    await host.request('POST', at(key, '/notes'), { body: { text: 'over plain HTTP' } });
    const made = await client(key).fetch('/notes', { method: 'POST', body: '{"text":"over the client"}', duplex: 'half' });
    assert.equal(made.status, 201);
    const notes = await (await client(key).fetch('/notes')).json();
    assert.deepEqual(notes.map(({ text }) => text), ['over plain HTTP', 'over the client']);
  });

  test('keeps its notes over sleep, new revisions, and a power cut', async (t) => {
    const own = await startHost(t, { components: ['api'] });
    const count = async () => (await own.request('GET', at('k', '/notes'))).json().length;
    const make = async () => assert.equal((await own.request('POST', at('k', '/notes'), { body: { text: 'x' } })).status, 201);
    await make();
    const [{ actor_id: id }] = await own.actors({ name: 'api', key: 'k' });
    await own.putToSleep(id);
    assert.equal(await count(), 1);
    await make();
    await own.deploy(await sameAgain('api', 1));
    assert.equal(await count(), 2);
    await make();
    await own.kill();
    await own.startAgain();
    assert.equal(await count(), 3);
  });

  test('counts down piece by piece', async () => {
    const begun = performance.now();
    const answer = await fetch(host.url + at(fresh(), '/countdown'));
    assert.equal(answer.status, 200);
    assert.equal(answer.headers.get('content-type'), 'text/plain');
    assert.equal(answer.headers.get('content-length'), null);
    const pieces = [];
    for await (const piece of answer.body) pieces.push({ text: Buffer.from(piece).toString(), at: performance.now() });
    assert.equal(pieces.map(({ text }) => text).join(''), '10\n9\n8\n7\n6\n5\n4\n3\n2\n1\n0\n');

    // It takes a second; a machine with much to do may put some together.
    assert.ok(pieces.length >= 4, `it came in ${pieces.length} pieces`);
    const took = pieces.at(-1).at - begun;
    assert.ok(took > 900, `all of it came within ${took.toFixed()} ms`);
  });

  test('counts down to many at once, and takes notes meanwhile', async () => {
    const key = fresh();
    let over = 0;
    const counts = Promise.all(range(20).map(async () => {
      const text = await (await fetch(host.url + at(key, '/countdown'))).text();
      over += 1;
      return text;
    }));
    assert.equal((await host.request('POST', at(key, '/notes'), { body: { text: 'meanwhile' } })).status, 201);
    assert.equal(over, 0);
    for (const text of await counts) assert.ok(text.startsWith('10\n') && text.endsWith('\n0\n'), text);
  });

  test('goes on when a client goes away in the middle of the countdown', async () => {
    const key = fresh();
    const controller = new AbortController();
    const answer = await fetch(host.url + at(key, '/countdown'), { signal: controller.signal });
    assert.equal(Buffer.from((await answer.body.getReader().read()).value).toString().slice(0, 3), '10\n');
    controller.abort();
    assert.deepEqual((await host.request('GET', at(key, '/notes'))).json(), []);
  });

  test('counts the lines of a body that is streamed, of one with a length, and of none', async () => {
    const key = fresh();
    const { body, ...expected } = linesOf(5);
    const streamed = await fetch(host.url + at(key, '/lines'), { method: 'POST', body, duplex: 'half' });
    assert.equal(streamed.status, 200);
    assert.deepEqual(await streamed.json(), expected);

    const bytes = randomBytes(5_000_000);
    const said = await host.request('POST', at(key, '/lines'), { body: bytes });
    assert.deepEqual(said.json(), { lines: bytes.filter((byte) => byte === 10).length, bytes: bytes.length });
    assert.deepEqual((await host.request('POST', at(key, '/lines'))).json(), { lines: 0, bytes: 0 });
  });

  test('counts the lines of a body that is far larger than its memory', async (t) => {
    const own = await startHost(t, { components: ['api'], flags: ['--guest-memory-bytes-max', '4MiB'] });
    const { body, ...expected } = linesOf(15);
    const answer = await fetch(own.url + at('k', '/lines'), { method: 'POST', body, duplex: 'half' });
    assert.deepEqual(await answer.json(), expected);
  });

  test('is reached below the URL that the stock client gives, by key and by id', async () => {
    const key = fresh();
    const byKey = client([key, 'a/b']);
    const byId = host.client().api.getForId(await byKey.resolve());
    let notes = 0;
    for (const handle of [byKey, byId]) {
      const url = `${await handle.getGatewayUrl()}/request`;
      const made = await fetch(`${url}/notes`, { method: 'POST', body: '{"text":"x"}' });
      assert.equal(made.status, 201, `${url}/notes: ${await made.clone().text()}`);
      notes += 1;
      assert.deepEqual(await made.json(), { id: notes, text: 'x' });
      assert.deepEqual(await (await fetch(`${url}/notes/${notes}`)).json(), { id: notes, text: 'x' });

      const { body, ...expected } = linesOf(1);
      assert.deepEqual(await (await fetch(`${url}/lines`, { method: 'POST', body, duplex: 'half' })).json(), expected);
      assert.equal((await fetch(`${url}/notes/${notes}`, { method: 'PUT' })).status, 404);
      assert.equal((await fetch(url)).status, 404);
    }
    assert.equal((await (await byKey.fetch('notes')).json()).length, 2);
  });
});

describe('echo_socket', () => {
  const host = useHost({ components: ['echo_socket'] });

  const open = (on, key) => openSocket(on, websocketPath('echoSocket', [key]));
  const stats = (on, key) => on.call('echoSocket', [key], 'stats');
  const idOf = async (on, key) => (await on.actors({ name: 'echoSocket', key }))[0].actor_id;

  /** Sends each and gets each back. */
  async function echoes(socket, ...messages) {
    for (const message of messages) {
      socket.send(message);
      assert.deepEqual(await socket.messages.next(), message);
    }
  }

  test('welcomes, and sends back texts and bytes as what they are', async () => {
    const key = fresh();
    const socket = await open(host, key);
    assert.deepEqual(await socket.nextJson(), { type: 'welcome', messages: 0 });
    await echoes(socket, 'hello', '', 'é 日本 😀', Buffer.from([0, 255, 10]), Buffer.alloc(0), randomBytes(1_000_000));
    assert.deepEqual(await stats(host, key), { messages: 6, wakes: 1 });
    await socket.close(1000, 'done');
  });

  test('welcomes each, counts over all, and sends back to nobody else', async () => {
    const key = fresh();
    const first = await open(host, key);
    assert.deepEqual(await first.nextJson(), { type: 'welcome', messages: 0 });
    await echoes(first, 'one', 'two');
    const second = await open(host, key);
    assert.deepEqual(await second.nextJson(), { type: 'welcome', messages: 2 });
    for (const n of upTo(50)) first.send(`first ${n}`);
    for (const n of upTo(50)) second.send(`second ${n}`);
    assert.deepEqual(await first.messages.several(50), upTo(50).map((n) => `first ${n}`));
    assert.deepEqual(await second.messages.several(50), upTo(50).map((n) => `second ${n}`));
    assert.equal((await stats(host, key)).messages, 102);
    assert.deepEqual([...first.messages.items, ...second.messages.items], []);
  });

  test('keeps the count and the socket over sleep, and wakes for the next message', async () => {
    const key = fresh();
    const socket = await open(host, key);
    await socket.nextJson();
    await echoes(socket, 'before');
    const id = await idOf(host, key);
    for (const round of upTo(3)) {
      await host.putToSleep(id);
      await echoes(socket, `text ${round}`, Buffer.from([round]));
    }
    assert.deepEqual(await stats(host, key), { messages: 7, wakes: 4 });
    assert.deepEqual(socket.messages.items, [], 'it was welcomed again');
    assert.ok(socket.isOpen);
  });

  test('falls asleep by itself with its socket open', async () => {
    const key = fresh();
    const socket = await open(host, key);
    await socket.nextJson();
    const id = await idOf(host, key);
    for (const round of upTo(2)) {
      await until('it sleeps', async () => isAsleep(await host.actor(id)));
      await echoes(socket, `after sleep ${round}`);
    }
    assert.deepEqual(await stats(host, key), { messages: 2, wakes: 3 });
  });

  test('keeps the count and the socket over new revisions', async (t) => {
    const own = await startHost(t, { components: ['echo_socket'] });
    const socket = await open(own, 'k');
    await socket.nextJson();
    await echoes(socket, 'before');
    for (const round of upTo(2)) {
      await own.deploy(await sameAgain('echo_socket', round));
      await echoes(socket, `on revision ${round + 1}`, Buffer.from([round]));
    }
    await own.putToSleep(await idOf(own, 'k'));
    await own.deploy(await sameAgain('echo_socket', 9));
    await echoes(socket, 'on the last revision');
    assert.equal((await stats(own, 'k')).messages, 6);
    assert.ok(socket.isOpen);
  });

  test('is reached through the stock client', async () => {
    const handle = host.client().echoSocket.getOrCreate([fresh()]);
    const socket = new Socket(await handle.webSocket(), 'the WebSocket of the client');
    await within('it is opened', socket.opened);
    assert.deepEqual(await socket.nextJson(), { type: 'welcome', messages: 0 });
    await echoes(socket, 'hello', Buffer.from([1, 2, 3]));
    assert.deepEqual(await handle.stats(), { messages: 2, wakes: 1 });
    await socket.close();
  });

  test('is reached below the URL that the stock client gives, by key and by id', async () => {
    const byKey = host.client().echoSocket.getOrCreate([fresh(), 'a/b']);
    const byId = host.client().echoSocket.getForId(await byKey.resolve());
    let messages = 0;
    for (const handle of [byKey, byId]) {
      const url = (await handle.getGatewayUrl()).replace(/^http/, 'ws');
      for (const rest of ['/websocket/', '/websocket', '/websocket/some/path']) {
        const socket = await openSocket(host, url + rest);
        assert.deepEqual(await socket.nextJson(), { type: 'welcome', messages }, rest);
        await echoes(socket, `to ${rest}`);
        messages += 1;
        await socket.close();
      }
    }
    assert.equal((await byKey.stats()).messages, messages);
  });
});
