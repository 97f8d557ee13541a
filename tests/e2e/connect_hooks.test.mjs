// What an actor does to a connection that it has not let in yet, and to one that it has closed; and an actor that ends
// itself at a bad moment.

import assert from 'node:assert/strict';
import http from 'node:http';
import http2 from 'node:http2';
import { describe, test } from 'node:test';
import { ENCODINGS, assertRefusal, failsWith, fresh, gatewayPath, range, startHost, until, useHost, within } from './harness.mjs';
import { assertCloses, begin, connect, connectPath } from './sockets.mjs';

const to = (host, key, params, options) => connect(host, connectPath('doorman', [key]), { params, ...options });

describe('the state of a connection, set by a connect hook that goes on while others are served', () => {
  /** Lets somebody in whose hook waits, with calls and so commits meanwhile, in the middle of which the state is set. */
  async function letIn(host, key, encoding) {
    const letting = to(host, key, { label: 'ann', waitMs: 1_500 }, { encoding });
    const seen = await until('the hook has set it', async () => (await host.call('doorman', [key], 'visitors'))[0]);
    assert.deepEqual(seen, { label: 'ann', isGreeted: true });
    for (const n of range(5)) assert.equal(await host.call('doorman', [key], 'poke'), n + 1);
    return letting;
  }

  for (const encoding of ENCODINGS) {
    test(`is kept over a sleep, in ${encoding}`, async (t) => {
      const host = await startHost(t, { components: ['fixtures'] });
      const connection = await letIn(host, 'k', encoding);
      for (const _ of range(2)) {
        await host.putToSleep(connection.init.actorId);
        assert.deepEqual(await connection.call('visitors'), [{ label: 'ann', isGreeted: true }]);
      }
    });
  }

  for (const encoding of ENCODINGS) {
    test(`is kept when the host is killed, in ${encoding}: the disconnect hook has it`, async (t) => {
      const host = await startHost(t, { components: ['fixtures'] });
      const connection = await letIn(host, 'k', encoding);
      await host.kill();
      await within('the socket is gone', connection.closed);
      await host.startAgain();
      await until('it has left', async () => (await host.call('doorman', ['k'], 'left')).length === 1);
      // A state that was lost is made anew, and does not know of a greeting.
      assert.deepEqual(await host.call('doorman', ['k'], 'left'), [{ label: 'ann', isGreeted: true }]);
      assert.deepEqual(await host.call('doorman', ['k'], 'visitors'), []);
    });
  }
});

describe('a connection that its actor closes in the connect hook', () => {
  const host = useHost({ components: ['fixtures'] });

  for (const encoding of ENCODINGS) {
    for (const waitMs of [0, 300]) {
      test(`is let in and closed with code and reason, and leaves: in ${encoding}, after ${waitMs} ms`, async () => {
        const key = fresh();
        const params = { label: 'bob', sends: 2, bytes: 1, waitMs, close: [4_321, 'not.today'] };
        const connection = await begin(host, connectPath('doorman', [key]), { encoding, params });
        const frames = await connection.frames.several(3);
        assert.deepEqual(frames.map(({ tag }) => tag), ['Init', 'Event', 'Event']);
        await assertCloses(connection, 4_321, 'not.today');
        await until('it has left', async () => (await host.call('doorman', [key], 'left')).length === 1);
        assert.deepEqual(await host.call('doorman', [key], 'visitors'), []);
        // Once.
        await host.putToSleep((await host.actors({ name: 'doorman', key }))[0].actor_id);
        assert.deepEqual((await host.call('doorman', [key], 'left')).map(({ label }) => label), ['bob']);
      });
    }
  }

  for (const [what, sends, bytes] of [['many events', 1_025, 1], ['many bytes', 10, 1_000_000]]) {
    test(`because the hook sends too ${what} is closed with a reason, and loses nothing without a word`, async () => {
      const key = fresh();
      const connection = await begin(host, connectPath('doorman', [key]), { params: { sends, bytes } });
      assert.equal((await connection.frames.next()).tag, 'Init');
      await assertCloses(connection, 1011, 'message.too_slow');
      assert.deepEqual(connection.frames.items, []);
      await until('it has left', async () => (await host.call('doorman', [key], 'left')).length === 1);
    });
  }

  test('and that is sent as much as may wait gets all of it', async () => {
    for (const [sends, bytes] of [[1_024, 1], [8, 1_000_000]]) {
      const connection = await to(host, fresh(), { sends, bytes });
      const events = await connection.frames.several(sends);
      assert.ok(events.every(({ tag, args }) => tag === 'Event' && args[0].length === bytes));
      assert.deepEqual(await connection.call('left'), []);
    }
  });
});

describe('a connection that is shown out', () => {
  const host = useHost({ components: ['fixtures'] });

  test('with a call under way gets the answer to that, and its later calls refused', async () => {
    const key = fresh();
    const connection = await to(host, key, { label: 'eve' });
    const long = connection.request('wait', 1_500);
    await connection.call('kick', 4_000, 'out.now');
    for (const _ of range(5)) await failsWith('actor.stopped', connection.call('poke'));
    assert.equal(await connection.answer(long), 'done');
    await assertCloses(connection, 4_000, 'out.now');
    assert.equal(await host.call('doorman', [key], 'pokes'), 0);
    await until('it has left', async () => (await host.call('doorman', [key], 'left')).length === 1);
  });
});

describe('an actor that ends itself while it falls asleep', () => {
  const host = useHost({ components: ['fixtures'] });

  test('is gone, its destroy hook has run, and its connections are closed', async () => {
    const key = fresh();
    const connection = await to(host, key, {});
    const id = connection.init.actorId;
    connection.request('destroyAfter', 3_000);
    // Answered later, so the first has begun; falling asleep waits for it.
    assert.equal(await connection.call('pokes'), 0);
    await host.manage('POST', `/actors/${id}/sleep?namespace=default`, {});
    await until('it is gone', async () => (await host.actor(id)) === undefined);
    await assertCloses(connection, 1000, '');
    assert.equal(await host.call('trapper', [`${key}-destroyed`], 'increment', 0), 1);
    const next = await to(host, key, {});
    assert.notEqual(next.init.actorId, id);
  });
});

describe('a raw response with a status that is no answer yet', () => {
  const host = useHost({ components: ['fixtures'] });
  const at = (status) => gatewayPath('doorman', ['k'], `/request/status/${status}`);

  /** An agent with one connection at a time, and a check that there was only one. */
  function oneConnection(t) {
    const agent = new http.Agent({ keepAlive: true, maxSockets: 1 });
    const open = agent.createConnection.bind(agent);
    let opened = 0;
    agent.createConnection = (...args) => {
      opened += 1;
      return open(...args);
    };
    t.after(() => agent.destroy());
    return { agent, assertKept: () => assert.equal(opened, 1, 'the connection did not go on') };
  }

  for (const status of [100, 101, 103, 199]) {
    test(`as ${status} is a 500, and the connection goes on`, async (t) => {
      const { agent, assertKept } = oneConnection(t);
      for (const _ of range(2)) {
        const answer = await within('it is answered', host.request('GET', at(status), { agent }));
        assertRefusal(answer, 500, 'actor.no_response');
        assert.equal(answer.headers.upgrade, undefined);
      }
      assert.equal((await host.request('GET', at(200), { agent })).text(), 'and a body');
      assertKept();
    });

    test(`as ${status} is a 500 over HTTP/2`, async (t) => {
      const session = http2.connect(host.url);
      t.after(() => session.destroy());
      for (const [asked, expected] of [[status, 500], [200, 200]]) {
        const stream = session.request({ ':path': at(asked) });
        const head = new Promise((resolve, reject) => stream.once('response', resolve).once('error', reject));
        assert.equal((await within('it is answered', head))[':status'], expected);
        stream.resume();
      }
    });
  }

  for (const status of [204, 304]) {
    test(`is not ${status}, which has no body, and the connection goes on`, async (t) => {
      const { agent, assertKept } = oneConnection(t);
      for (const _ of range(2)) {
        const answer = await within('it is answered', host.request('GET', at(status), { agent }));
        assert.deepEqual([answer.status, answer.body.length], [status, 0]);
      }
      assertKept();
    });
  }
});
