// Realtime connections as frames: what the stock clients send and can read, and what nobody should send.

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { INTERNAL_ERROR_DESCRIPTION } from 'rivetkit/errors';
import { ENCODINGS, deferred, failsWith, fresh, gatewayPath, range, startHost, until, useHost, within } from './harness.mjs';
import {
  assertCloses, begin, connect, connectPath, connectPathById, openSocket, ready, refused, stockProtocols, upTo, websocketPath,
} from './sockets.mjs';
import {
  bareData, bareFrame, bareText, bareUint, bareVersion, hex, isNothing, readCbor, readFrame, writeCbor, writeFrame,
} from './wire.mjs';

const host = useHost({ components: ['conformance', 'fixtures'] });

/** A connection to a new actor of a type, or to the one with that key. */
const to = (type, { key = [fresh()], ...options } = {}) => connect(host, connectPath(type, key), options);

/** The id of a new actor. */
async function newId(type, key = fresh()) {
  const creation = { name: type, key, runner_name_selector: 'default', crash_policy: 'sleep' };
  const { actor } = await host.manage('PUT', '/actors?namespace=default', creation);
  return actor.actor_id;
}

/** The next message of a connection as it is on the wire, which must be the very next. */
function nextBytes(connection) {
  const { promise, resolve } = deferred();
  connection.ws.once('message', (data) => resolve(Buffer.from(data)));
  return within('the next frame', promise);
}

/** Does `work` between two calls on another connection, which must notice nothing of it. */
async function besideAnother(work) {
  const other = await to('counter');
  assert.equal(await other.call('increment', 1), 1);
  await work();
  assert.equal(await other.call('increment', 1), 2);
  assert.ok(other.isOpen);
  other.cut();
}

describe('the beginning of a connection', () => {
  for (const encoding of ENCODINGS) {
    test(`is the host's, in ${encoding}: it says which actor and which connection`, async () => {
      const key = fresh();
      const connection = await to('connStateActor', { key: [key], encoding });
      const [{ actor_id: id }] = await host.actors({ name: 'connStateActor', key });
      assert.equal(connection.init.actorId, id);
      assert.equal(typeof connection.init.connectionId, 'string');
      assert.equal((await connection.call('getConnectionState')).id, connection.init.connectionId);
      assert.equal(connection.ws.protocol, 'rivet');
    });
  }

  test('has a connection id of its own for each', async () => {
    const key = [fresh()];
    const connections = await Promise.all(range(20).map(() => to('counter', { key })));
    assert.equal(new Set(connections.map(({ init }) => init.connectionId)).size, 20);
    assert.equal(new Set(connections.map(({ init }) => init.actorId)).size, 1);
  });

  test('is in version 2 where the actor is named by id, since any client may come that way', async () => {
    const connection = await connect(host, connectPathById(await newId('counter')));
    assert.equal(connection.init.version, 2);
  });

  test('is in a version of which the newest clients know the layout where it is named by key', async () => {
    const { init } = await to('counter');
    assert.ok(init.version >= 2 && init.version <= 4, `version ${init.version}`);
  });

  test('is json where the client names no encoding', async () => {
    const key = [fresh()];
    for (const protocols of [['rivet'], []]) {
      const socket = await openSocket(host, connectPath('counter', key), { protocols });
      assert.equal(readFrame('json', await socket.messages.next(), false).tag, 'Init');
      socket.send('{"body":{"tag":"ActionRequest","val":{"id":["$BigInt","0"],"name":"getCount","args":[]}}}');
      assert.equal(readFrame('json', await socket.messages.next(), false).output, 0);
    }
  });

  test('is 1003 actor.unsupported_websocket_encoding where the client names one that there is not', async () => {
    const protocols = ['rivet', 'rivet_encoding.xml'];
    const socket = await openSocket(host, connectPath('counter', [fresh()]), { protocols });
    await assertCloses(socket, 1003, 'actor.unsupported_websocket_encoding');
  });

  test('hears params with any character, and none at all', async () => {
    for (const name of ['é 日本 😀', '"quoted"\\/,;', 'x'.repeat(2_000)]) {
      const connection = await to('counterWithParams', { params: { name } });
      assert.deepEqual(await connection.call('getInitializers'), [name]);
    }
    assert.deepEqual(await (await to('counterWithParams')).call('getInitializers'), ['anonymous']);
  });

  test('finds the actor by subprotocol, without a path to it', async () => {
    const id = await newId('counter');
    const targeted = (id) => ({ protocols: ['rivet_target.actor', `rivet_actor.${id}`] });
    const connection = await connect(host, '/connect', targeted(id));
    assert.equal(connection.init.actorId, id);
    assert.equal(await connection.call('increment', 1), 1);

    const { code, reason } = await refused(host, '/connect', targeted('0'.repeat(32)));
    assert.deepEqual({ code, reason }, { code: 1011, reason: 'actor.not_found' });
  });

  test('finds the actor by subprotocol for a raw WebSocket, too', async () => {
    const id = await newId('rawWebSocketActor');
    const protocols = [...stockProtocols('bare'), 'rivet_target.actor', `rivet_actor.${id}`];
    const socket = await openSocket(host, '/websocket/room?q=1', { protocols });
    assert.equal((await socket.nextJson()).type, 'welcome');
    assert.equal((await socket.ask({ type: 'getRequestInfo' })).search, '?q=1');
  });

  test('is the same below /api/rivet', async () => {
    const connection = await connect(host, `/api/rivet${connectPath('counter', [fresh()])}`);
    assert.equal(await connection.call('increment', 1), 1);
  });
});

describe('frames in bare', () => {
  // increment(43), with a subscription before it, then an action that there is not.
  const subscribe = (version) => bareFrame(version, 1, bareText('newCount'), 1);
  const increment = (version) => bareFrame(version, 0, bareUint(0), bareText('increment'), bareData(hex('81 18 2b')));
  const missing = (version) => bareFrame(version, 0, bareUint(1), bareText('nope'), bareData(hex('80')));

  for (const version of [1, 2, 3, 4]) {
    test(`of version ${version} are answered in version ${version}, byte for byte`, async () => {
      const connection = await connect(host, connectPathById(await newId('counter')), { version });
      const event = nextBytes(connection);
      connection.send(subscribe(version));
      connection.send(increment(version));
      const expected = bareFrame(version, 3, bareText('newCount'), bareData(hex('81 18 2b')));
      assert.equal((await event).toString('hex'), expected.toString('hex'));
      const answer = await connection.frames.take(({ tag }) => tag === 'ActionResponse');
      assert.deepEqual(answer, { tag: 'ActionResponse', id: 0, output: 43, version });

      connection.send(missing(version));
      const error = await connection.frames.take(({ tag }) => tag === 'Error');
      assert.deepEqual([error.group, error.code, error.actionId, error.version], ['actor', 'action_not_found', 1, version]);
    });

    test(`of version ${version} are answered with nothing, bytes and large numbers as that client reads them`, async () => {
      const connection = await to('echoer', { version });
      const nothing = await connection.call('nothing');
      assert.ok(isNothing(nothing), `${nothing}`);
      if (version < 4) assert.strictEqual(nothing, undefined, 'older clients take a tag array for an array');
      for (const value of [-1, 2 ** 40, null, 'é', [], { a: [1] }]) assert.deepEqual(await connection.call('echo', value), value);
      assert.deepEqual([...(await connection.call('echo', Buffer.from([1, 2, 255])))], [1, 2, 255]);
    });
  }

  test('carry any number of a call', async () => {
    const connection = await to('counter');
    for (const id of [300, 2 ** 32, Number.MAX_SAFE_INTEGER, 7, 7]) {
      connection.send({ tag: 'ActionRequest', id, name: 'increment', args: [1] });
      await connection.answer(id);
    }
    assert.equal(await connection.call('getCount'), 5);
  });

  test('may have tag arrays in version 4, which are arrays before it', async () => {
    const bigInt = ['$BigInt', '5'];
    assert.equal(await (await to('echoer', { version: 4 })).call('echo', bigInt), 5n);
    assert.deepEqual(await (await to('echoer', { version: 3 })).call('echo', bigInt), bigInt);
  });
});

describe('frames in cbor', () => {
  test('are answered with numbers of calls in 8 bytes', async () => {
    const connection = await to('counter', { encoding: 'cbor' });
    const bytes = nextBytes(connection);
    assert.equal(await connection.call('increment', 43), 43);
    assert.ok((await bytes).includes(hex('62 6964 1b 0000000000000000')), (await bytes).toString('hex'));
    await failsWith('actor.action_not_found', connection.call('nope'));
  });

  test('are answered with events, bytes and nothing as that client reads them', async () => {
    const connection = await to('counter', { encoding: 'cbor' });
    connection.subscribe('newCount');
    await connection.call('increment', 43);
    assert.deepEqual(await connection.event('newCount'), [43]);
    const echoer = await to('echoer', { encoding: 'cbor' });
    assert.ok(isNothing(await echoer.call('nothing')));
    assert.equal(await echoer.call('echo', 5n), 5n);
    // In requests nothing is a tag; in answers everything is, so it has one more $.
    assert.deepEqual(await echoer.call('echo', ['$BigInt', '5']), ['$$BigInt', '5']);
  });

  test('may have fields that the host does not know', async () => {
    const connection = await to('counter', { encoding: 'cbor' });
    const val = { id: 0n, name: 'increment', args: [1], more: null };
    connection.send(writeCbor({ more: 1, body: { tag: 'ActionRequest', val, more: [] } }));
    assert.equal(await connection.answer(0), 1);
  });
});

describe('frames in json', () => {
  test('are answered with numbers of calls as tags', async () => {
    const connection = await to('counter', { encoding: 'json' });
    const text = nextBytes(connection);
    connection.send({ tag: 'ActionRequest', id: 12, name: 'increment', args: [43] });
    assert.deepEqual(JSON.parse(await text), { body: { tag: 'ActionResponse', val: { id: ['$BigInt', '12'], output: 43 } } });
  });

  test('are answered with errors without null where the client cannot have it', async () => {
    const connection = await to('errorHandlingActor', { encoding: 'json' });
    const text = nextBytes(connection);
    await failsWith('user.detailed_error', connection.call('throwDetailedError'));
    const { tag, val } = JSON.parse(await text).body;
    assert.equal(tag, 'Error');
    assert.deepEqual(val.actionId, ['$BigInt', '0']);
    assert.deepEqual([val.group, val.code, val.message], ['user', 'detailed_error', 'Detailed error message']);
    assert.equal(val.metadata.reason, 'test');
    // `readFrame`, which has read it as well, refuses null in `actor`.
  });

  test('are answered with what JSON cannot say in tags', async () => {
    const connection = await to('echoer', { encoding: 'json' });
    assert.deepEqual(await connection.call('nothing'), ['$Undefined', 0]);
    for (const tagged of [['$BigInt', '5'], ['$Uint8Array', 'AQL/'], ['$$BigInt', '5']]) {
      assert.deepEqual(await connection.call('echo', tagged), tagged);
    }
  });

  test('may come as binary messages', async () => {
    const connection = await to('counter', { encoding: 'json' });
    const frame = writeFrame('json', 4, { tag: 'ActionRequest', id: 0, name: 'increment', args: [1] });
    connection.ws.send(Buffer.from(frame), { binary: true });
    assert.equal(await connection.answer(0), 1);
  });
});

for (const encoding of ENCODINGS) {
  describe(`a connection in ${encoding}`, () => {
    test('gets an event before the answer of the call that sent it', async () => {
      const connection = await to('counter', { encoding });
      connection.subscribe('newCount');
      connection.request('increment', 2);
      const [event, answer] = await connection.frames.several(2);
      assert.deepEqual([event.tag, event.name, event.args], ['Event', 'newCount', [2]]);
      assert.deepEqual([answer.tag, answer.output], ['ActionResponse', 2]);
    });

    test('gets an event once, however often it has subscribed, and no more when it has taken that back', async () => {
      const connection = await to('counter', { encoding });
      for (const _ of range(3)) connection.subscribe('newCount');
      connection.request('increment', 1);
      assert.deepEqual((await connection.frames.several(2)).map(({ tag }) => tag), ['Event', 'ActionResponse']);
      connection.subscribe('newCount', false);
      connection.subscribe('never subscribed', false);
      connection.request('increment', 1);
      connection.request('increment', 1);
      assert.deepEqual((await connection.frames.several(2)).map(({ tag }) => tag), ['ActionResponse', 'ActionResponse']);
    });

    test('gets no event that it has not subscribed to, except those sent to it', async () => {
      const key = [fresh()];
      const [sender, receiver] = [await to('connStateActor', { key, encoding }), await to('connStateActor', { key, encoding })];
      assert.equal(await sender.call('sendToConnection', receiver.init.connectionId, 'hello'), true);
      assert.deepEqual(await receiver.event('directMessage'), [{ from: sender.init.connectionId, message: 'hello' }]);
      await receiver.call('getConnectionState');
      const names = receiver.frames.items.map(({ name }) => name);
      assert.deepEqual(names, ['connectedFromOnConnect', 'connectedFromOnConnectConns']);
    });

    test('is told first that it is open, and then what its connect hook has sent', async () => {
      const connection = await begin(host, connectPath('connStateActor', [fresh()]), { encoding, params: { username: 'ann' } });
      const [init, ...events] = await connection.frames.several(3);
      assert.equal(init.tag, 'Init');
      const greeting = [{ id: init.connectionId, username: 'ann' }];
      assert.deepEqual(events.map(({ name, args }) => [name, args]), [
        ['connectedFromOnConnect', greeting],
        ['connectedFromOnConnectConns', greeting],
      ]);
    });

    test('gets events with several arguments', async () => {
      const connection = await to('shouter', { encoding });
      connection.subscribe('told');
      await connection.call('tell', 1, { three: [3] });
      assert.deepEqual(await connection.event('told'), [1, { three: [3] }]);
    });

    test('is answered by number, whatever order the answers come in', async () => {
      const connection = await to('concurrentActionActor', { encoding });
      const long = connection.request('runWithDelay', 'long', 1_500);
      const short = connection.request('runWithDelay', 'short', 1);
      const [first, second] = await connection.frames.several(2);
      assert.deepEqual([first.id, first.output], [short, 'short']);
      assert.deepEqual([second.id, second.output], [long, 'long']);
    });

    test('is closed by its actor with the reason that it gives, after the answer', async () => {
      const connection = await to('connStateActor', { encoding });
      const call = connection.request('disconnectSelf', 'bye now');
      assert.equal(await connection.answer(call), true);
      await assertCloses(connection, 1000, 'bye now');
    });

    test('is closed by its client with an answer that repeats what the client said', async () => {
      const connection = await to('counter', { encoding });
      const end = await connection.close(1000, 'Disposed');
      assert.deepEqual(end, { code: 1000, reason: 'Disposed' });
    });

    test('may go away with calls under way, and nobody else notices', async () => {
      const key = [fresh()];
      const [stays, goes] = await Promise.all(range(2).map(() => to('concurrentActionActor', { key, encoding })));
      for (const n of range(20)) goes.request('runWithDelay', `${n}`, 100);
      await until('they have begun', async () => (await stays.call('getEvents')).length >= 20);
      goes.cut();
      // Calls that have begun go on without their caller.
      await until('they are over', async () => (await stays.call('getEvents')).length === 40);
    });
  });

  describe(`size, in ${encoding}`, () => {
    /** A frame of so many bytes, which calls `echo`. */
    function frameOf(bytes, id = 0) {
      const make = (length) => writeFrame(encoding, 4, { tag: 'ActionRequest', id, name: 'echo', args: ['x'.repeat(length)] });
      // The text's own head grows with it, so twice.
      const [head] = range(2).reduce(([head]) => [make(bytes - head).length - (bytes - head)], [100]);
      const frame = make(bytes - head);
      assert.equal(frame.length, bytes);
      return frame;
    }

    test('a frame of 65,536 bytes is taken', async () => {
      const connection = await to('echoer', { encoding });
      connection.send(frameOf(65_536));
      assert.ok((await connection.answer(0)).length > 65_000);
    });

    test('one byte more closes the connection, whatever is under way on it, and no other', async () => {
      await besideAnother(async () => {
        const key = [fresh()];
        const connection = await to('echoer', { key, encoding });
        connection.request('slow', 5_000);
        connection.send(frameOf(65_537, 1));
        await assertCloses(connection, 1011, 'message.incoming_too_long');
        assert.deepEqual(connection.frames.items, []);
        assert.equal(await host.call('echoer', key, 'echo', 'still here'), 'still here');
      });
    });

    test('a frame of megabytes closes the connection, and no other', async () => {
      await besideAnother(async () => {
        const connection = await to('echoer', { encoding });
        connection.send(frameOf(8_000_000));
        await within('the connection is closed', connection.closed);
      });
    });

    test('an answer over its bound fails its call, and the connection goes on', async () => {
      const connection = await to('echoer', { encoding });
      const [large, small] = [connection.request('big', 1_100_000), connection.request('echo', 'small')];
      await failsWith('message.outgoing_too_long', connection.answer(large));
      assert.equal(await connection.answer(small), 'small');
      assert.equal((await connection.call('big', 1_000_000)).length, 1_000_000);
    });

    test('an event over its bound closes the connections that it is for, and no others', async () => {
      const key = [fresh()];
      const [listens, deaf] = [await to('shouter', { key, encoding }), await to('shouter', { key, encoding })];
      listens.subscribe('noise');
      await listens.call('listeners');
      await host.call('shouter', key, 'shout', 1, 1_100_000);
      await assertCloses(listens, 1011, 'message.outgoing_too_long');
      assert.equal(await deaf.call('listeners'), 1);
    });
  });
}

describe('a frame that cannot be read', () => {
  const text = (digits) => Buffer.concat([bareUint(hex(digits).length), hex(digits)]);
  const action = (...pieces) => bareFrame(4, 0, bareUint(0), ...pieces);
  const ofJson = (body) => JSON.stringify({ body });
  const ofCbor = (body) => writeCbor({ body });
  const val = { id: ['$BigInt', '0'], name: 'echo', args: [] };
  const cborVal = { id: 0n, name: 'echo', args: [] };

  const UNREADABLE = {
    bare: {
      'has no byte': Buffer.alloc(0),
      'ends within the version': hex('04'),
      'ends after the version': bareVersion(4),
      'has version 0': bareFrame(0, 1, bareText('e'), 1),
      'has version 5': bareFrame(5, 1, bareText('e'), 1),
      'has version 260': bareFrame(260, 1, bareText('e'), 1),
      'has a tag that there is not': bareFrame(4, 2, bareText('e'), 1),
      'has a tag of 255': bareFrame(4, 255),
      'is an action that ends after its number': action(),
      'is an action that ends within its name': action(hex('05 6563')),
      'is an action without arguments': action(bareText('echo')),
      'ends within its arguments': action(bareText('echo'), hex('05 8101')),
      'goes on after its end': action(bareText('echo'), bareData(hex('80')), 0),
      'has a number that never ends': bareFrame(4, 0, hex('ffffffffffffffffffffffff01'), bareText('echo'), bareData(hex('80'))),
      'has a name of 2^63 bytes': action(hex('80808080808080808001')),
      'has a name that is no UTF-8': action(text('ff'), bareData(hex('80'))),
      'has a subscription that is neither on nor off': bareFrame(4, 1, bareText('e'), 2),
      'is a subscription that ends early': bareFrame(4, 1, bareText('e')),
      'is text': 'hello',
    },
    cbor: {
      'has no byte': Buffer.alloc(0),
      'is no map': hex('80'),
      'has no body': hex('a1 61 61 01'),
      'is cut off': ofCbor({ tag: 'ActionRequest', val: cborVal }).subarray(0, -1),
      'goes on after its end': Buffer.concat([ofCbor({ tag: 'ActionRequest', val: cborVal }), hex('00')]),
      'has a tag that there is not': ofCbor({ tag: 'Nope', val: cborVal }),
      'is a tag that only the host sends': ofCbor({ tag: 'Init', val: { actorId: 'a', connectionId: 'c' } }),
      'has no number': ofCbor({ tag: 'ActionRequest', val: { name: 'echo', args: [] } }),
      'has a number that is a text': ofCbor({ tag: 'ActionRequest', val: { ...cborVal, id: '0' } }),
      'has a negative number': ofCbor({ tag: 'ActionRequest', val: { ...cborVal, id: -1n } }),
      'has a name that is a number': ofCbor({ tag: 'ActionRequest', val: { ...cborVal, name: 1 } }),
      'has a subscription that is neither on nor off': ofCbor({ tag: 'SubscriptionRequest', val: { eventName: 'e', subscribe: 1 } }),
      'has arrays in arrays, 1,000 deep': Buffer.concat([Buffer.alloc(1_000, 0x81), hex('00')]),
      'says that it has 2^64 fields': hex('bb ffffffffffffffff'),
      'is text': '{"body":{}}',
    },
    json: {
      'has no byte': '',
      'is no JSON': 'hello',
      'is cut off': ofJson({ tag: 'ActionRequest', val }).slice(0, -1),
      'goes on after its end': `${ofJson({ tag: 'ActionRequest', val })} {}`,
      'is no object': '[]',
      'has no body': '{}',
      'has a tag that there is not': ofJson({ tag: 'Nope', val }),
      'is a tag that only the host sends': ofJson({ tag: 'Event', val: { name: 'e', args: [] } }),
      'has no number': ofJson({ tag: 'ActionRequest', val: { name: 'echo', args: [] } }),
      'has a number that is none': ofJson({ tag: 'ActionRequest', val: { ...val, id: ['$BigInt', 'x'] } }),
      'has a negative number': ofJson({ tag: 'ActionRequest', val: { ...val, id: ['$BigInt', '-1'] } }),
      'has a name that is a number': ofJson({ tag: 'ActionRequest', val: { ...val, name: 1 } }),
      'has no event name': ofJson({ tag: 'SubscriptionRequest', val: { subscribe: true } }),
      'has arrays in arrays, 10,000 deep': `${'['.repeat(10_000)}${']'.repeat(10_000)}`,
    },
  };

  for (const [encoding, frames] of Object.entries(UNREADABLE)) {
    for (const [what, frame] of Object.entries(frames)) {
      test(`closes the connection, and no other: in ${encoding} it ${what}`, async () => {
        await besideAnother(async () => {
          const connection = await to('echoer', { encoding });
          connection.send(frame);
          await assertCloses(connection, 1011, 'actor.invalid_request');
        });
      });
    }
  }

  // The frame itself can be read, so its call may be refused instead of the connection.
  const BAD_ARGS = {
    bare: {
      'no array': action(bareText('echo'), bareData(hex('a0'))),
      'no value': action(bareText('echo'), bareData(hex(''))),
      'two values': action(bareText('echo'), bareData(hex('8080'))),
      'a value that is cut off': action(bareText('echo'), bareData(hex('8119'))),
      'a text that is no UTF-8': action(bareText('echo'), bareData(hex('8161ff'))),
    },
    cbor: { 'no array': ofCbor({ tag: 'ActionRequest', val: { ...cborVal, args: {} } }) },
    json: {
      'no array': ofJson({ tag: 'ActionRequest', val: { ...val, args: {} } }),
      'a BigInt that is none': ofJson({ tag: 'ActionRequest', val: { ...val, args: [['$BigInt', 'x']] } }),
    },
  };
  for (const [encoding, frames] of Object.entries(BAD_ARGS)) {
    for (const [what, frame] of Object.entries(frames)) {
      test(`is refused, itself or with its connection: in ${encoding} its arguments are ${what}`, async () => {
        await besideAnother(async () => {
          const connection = await to('echoer', { encoding });
          connection.send(frame);
          const said = await within('it is refused', Promise.race([connection.frames.next().catch(() => null), connection.closed]));
          if (said?.tag) assert.deepEqual([said.tag, said.group, said.code, said.actionId], ['Error', 'actor', 'invalid_request', 0]);
          else await assertCloses(connection, 1011, 'actor.invalid_request');
        });
      });
    }
  }

  test('does nothing, though it could be read up to its end', async () => {
    const key = [fresh()];
    const connection = await to('counter', { key });
    connection.send(bareFrame(4, 0, bareUint(0), bareText('increment'), bareData(hex('81 01')), 0));
    await within('the connection is closed', connection.closed);
    assert.equal(await host.call('counter', key, 'getCount'), 0);
  });
});

describe('a WebSocket that breaks the rules of WebSockets', () => {
  /** A frame's head for a client, masked with zeros: the payload stands for itself. */
  const masked = (first, payload = Buffer.alloc(0)) =>
    Buffer.concat([Buffer.from([first, 0x80 | payload.length]), Buffer.alloc(4), payload]);

  const BROKEN = {
    'is not masked': Buffer.from([0x82, 0x00]),
    'has a bit that nobody has given a meaning': masked(0xc2),
    'has a kind that there is not': masked(0x83),
    'is a ping in fragments': masked(0x09),
    'is a ping of 126 bytes': Buffer.concat([hex('89 fe 007e 00000000'), Buffer.alloc(126)]),
    'goes on with a message that has not begun': masked(0x80),
    'begins a message within another': Buffer.concat([masked(0x02, Buffer.from('a')), masked(0x82, Buffer.from('b'))]),
    'is text and no UTF-8': masked(0x81, hex('ff')),
    'says that it has 2^63 bytes': hex('82 ff 8000000000000000 00000000'),
    'closes with a code that there is not': masked(0x88, hex('03e7')),
  };

  for (const [what, bytes] of Object.entries(BROKEN)) {
    test(`is ended, and no other: a frame ${what}`, async () => {
      await besideAnother(async () => {
        const connection = await to('counter', { encoding: 'json' });
        connection.ws._socket.write(bytes);
        await within('the connection is closed', connection.closed);
      });
    });
  }

  test('may send a frame in fragments, with a ping in between: that is no breach', async () => {
    const connection = await to('counter');
    const frame = writeFrame('bare', 4, { tag: 'ActionRequest', id: 0, name: 'increment', args: [1] });
    connection.ws.send(frame.subarray(0, 5), { fin: false });
    connection.ws.ping();
    connection.ws.send(frame.subarray(5), { fin: true });
    assert.equal(await connection.answer(0), 1);
  });

  test('is ended when its fragments come to too much', async () => {
    const connection = await to('counter');
    for (const n of upTo(9)) connection.ws.send(Buffer.alloc(8_000), { fin: n === 9 });
    await assertCloses(connection, 1011, 'message.incoming_too_long');
  });
});

describe('an upgrade', () => {
  const key = ['k'];
  const query = (change) => connectPath('counter', key).replace(...change);
  const missing = { method: 'get' };
  const get = query(['rvt-method=getOrCreate&rvt-runner=default', 'rvt-method=get']);
  const REFUSED = {
    'for an actor type that there is not': [connectPath('nope', key), 'actor.type_not_found'],
    'for a key that is not there': [connectPath('counter', ['missing'], missing), 'actor.not_found'],
    'for an id that is not there': [connectPathById('0'.repeat(32)), 'actor.not_found'],
    'for an id that cannot be one': [connectPathById('..%2F%00'), 'actor.not_found'],
    'with a parameter that there is not': [`${connectPath('counter', key)}&rvt-mine=1`, 'guard.query_invalid_params'],
    'with a parameter given twice': [`${connectPath('counter', key)}&rvt-method=get`, 'guard.query_duplicate_param'],
    'with a method that there is not': [query(['rvt-method=getOrCreate', 'rvt-method=find']), 'guard.query_invalid_params'],
    'without a pool': [query(['&rvt-runner=default', '']), 'guard.query_missing_pool'],
    'to get with a policy': [get, 'guard.query_get_disallowed_params'],
    'with an input that is none': [`${connectPath('counter', ['input'])}&rvt-input=***`, 'guard.query_invalid_params'],
    'to a path that there is not': [gatewayPath('counter', key, '/nowhere'), /^\w+\.\w+$/],
    'for a raw WebSocket to nobody': [websocketPath('rawWebSocketActor', ['missing'], '', missing), 'actor.not_found'],
  };

  for (const [what, [target, name]] of Object.entries(REFUSED)) {
    test(`${what} is taken and then closed with the reason, never answered by an HTTP error`, async () => {
      await besideAnother(async () => {
        const { code, reason } = await refused(host, target);
        assert.equal(code, 1011);
        if (typeof name === 'string') assert.equal(reason, name);
        else assert.match(reason, name);
      });
    });
  }

  test('for a namespace that there is not is taken and then closed with the reason', async (t) => {
    const host = await startHost(t, { components: ['conformance'], flags: ['--namespaces', 'default,other'] });
    const target = (namespace) => connectPath('counter', ['k'], { namespace });
    const { code, reason } = await refused(host, target('nope'));
    assert.deepEqual({ code, reason }, { code: 1011, reason: 'namespace.not_found' });
    assert.equal(await (await connect(host, target('other'))).call('increment', 1), 1);
  });

  test('with params that are no JSON is taken and then closed', async () => {
    for (const params of ['%7B', '%FF', '%', 'x']) {
      const socket = await openSocket(host, connectPath('counter', [fresh()]), {
        protocols: ['rivet', 'rivet_encoding.json', `rivet_conn_params.${params}`],
      });
      const { code } = await within('it is closed', socket.closed);
      assert.equal(code, 1011);
    }
  });

  test('that is none is an HTTP error: a plain GET on the same path', async () => {
    const answer = await host.request('GET', connectPath('counter', [fresh()]));
    assert.ok(answer.status >= 400 && answer.status < 500, `${answer.status}`);
    const unknown = await host.request('GET', connectPath('counter', [fresh()]), {
      headers: {
        connection: 'Upgrade',
        upgrade: 'websocket',
        'sec-websocket-version': '99',
        'sec-websocket-key': 'AAAAAAAAAAAAAAAAAAAAAA==',
      },
      agent: false,
    });
    assert.ok(unknown.status >= 400 && unknown.status < 500, `${unknown.status}`);
  });

  test('may come while others are refused by the hundred', async () => {
    const refusals = range(100).map(() => refused(host, connectPathById('0'.repeat(32))));
    const begun = performance.now();
    const connection = await to('counter');
    assert.equal(await connection.call('increment', 1), 1);
    const took = performance.now() - begun;
    assert.ok(took < 5_000, `it took ${took.toFixed()} ms`);
    for (const { reason } of await Promise.all(refusals)) assert.equal(reason, 'actor.not_found');
  });
});

describe('a refusal by the actor', () => {
  for (const encoding of ENCODINGS) {
    test(`in ${encoding} is a frame that is about no call, and a close with its group and code`, async () => {
      const target = connectPath('connPreflightVisibilityActor', [fresh()]);
      const { frames, code, reason } = await refused(host, target, { encoding, params: { rejectBefore: true } });
      assert.deepEqual({ code, reason }, { code: 1011, reason: 'rivetkit.internal_error' });
      assert.equal(frames.length, 1);
      const [{ tag, group, code: name, message, actionId }] = frames;
      assert.deepEqual([tag, group, name, actionId], ['Error', 'rivetkit', 'internal_error', null]);
      assert.equal(message, INTERNAL_ERROR_DESCRIPTION, 'what has gone wrong inside is nobody\'s business');
    });
  }

  test('leaves nothing behind', async () => {
    const key = [fresh()];
    const target = connectPath('connPreflightVisibilityActor', key);
    for (const params of [{ rejectBefore: true }, { rejectCreate: true }]) await refused(host, target, { params });
    const connection = await connect(host, target, { params: { label: 'last' } });
    const { connectSnapshots, disconnectSnapshots, visibleLabels } = await connection.call('snapshot');
    assert.deepEqual(connectSnapshots.map(({ label }) => label), ['last']);
    assert.deepEqual(disconnectSnapshots, []);
    assert.deepEqual(visibleLabels, ['last']);
  });

  test('comes after the frames that the client has sent already, which are not carried out', async () => {
    const key = [fresh()];
    const target = connectPath('accessControlActor', key);
    const connection = await begin(host, target, { params: { allowRequest: false } });
    connection.request('allowedAction', 'v');
    const frame = await connection.frames.next();
    assert.deepEqual([frame.tag, frame.code, frame.actionId], ['Error', 'forbidden', null]);
    await within('it is closed', connection.closed);
    assert.deepEqual(connection.frames.items, []);
  });
});

describe('an actor with a connection', () => {
  test('hears that its client has gone, whichever way', async () => {
    const key = [fresh()];
    const observer = await to('connStateActor', { key, params: { noCount: true } });
    const ways = {
      'a close': (connection) => connection.close(1000, 'Disposed'),
      'a close without a code': (connection) => connection.ws.close(),
      'a cut': (connection) => connection.cut(),
      'a frame that cannot be read': (connection) => connection.send('x'),
      'a disconnect by the actor': (connection) => connection.call('disconnectSelf'),
    };
    for (const [index, [what, leave]] of Object.entries(ways).entries()) {
      const connection = await to('connStateActor', { key });
      await leave(connection);
      await until(`it hears of ${what}`, async () => (await observer.call('getDisconnectionCount')) === index + 1);
    }
    assert.deepEqual(await observer.call('getConnectionIds'), []);
  });

  test('keeps it when it breaks down: the call under way fails, the next is answered', async () => {
    const key = [fresh()];
    const connection = await to('trapper', { key });
    assert.equal(await connection.call('increment', 5), 5);
    await failsWith('actor.crashed', connection.call('panicAfter', 100));
    assert.equal(await connection.call('increment', 1), 6);
    assert.ok(connection.isOpen);
  });

  test('that is destroyed closes it, and is found no more', async () => {
    const key = [fresh()];
    const connection = await to('counter', { key });
    await host.manage('DELETE', `/actors/${connection.init.actorId}?namespace=default`);
    const { code } = await within('it is closed', connection.closed);
    assert.notEqual(code, 1006, 'it was cut without a close frame');
    const { reason } = await refused(host, connectPathById(connection.init.actorId));
    assert.equal(reason, 'actor.not_found');
  });

  test('answers the stock client and hand-made frames side by side', async () => {
    const key = fresh();
    const stock = await ready(host.client().counter.getOrCreate([key]).connect());
    const connection = await to('counter', { key: [key], version: 2 });
    connection.subscribe('newCount');
    await connection.call('getCount');
    for (const n of upTo(5)) assert.equal(await stock.increment(1), n);
    for (const n of upTo(5)) assert.deepEqual(await connection.event('newCount'), [n]);
  });

  test('answers five hundred calls that are sent without waiting, each once', async () => {
    const connection = await to('counter');
    const calls = range(500).map(() => connection.request('increment', 1));
    const counts = await Promise.all(calls.map((call) => connection.answer(call)));
    assert.deepEqual(counts.toSorted((a, b) => a - b), upTo(500));
    assert.deepEqual(connection.frames.items, []);
  });
});

test('the frames that this file trusts are those of the protocol\'s description', () => {
  const frames = {
    '0400 00 06 6163746f7231 05 636f6e6e31': { tag: 'Init', actorId: 'actor1', connectionId: 'conn1', version: 4 },
    '0200 00 06 6163746f7231 05 636f6e6e31': { tag: 'Init', actorId: 'actor1', connectionId: 'conn1', version: 2 },
    '0200 02 00 01 05': { tag: 'ActionResponse', id: 0, output: 5, version: 2 },
    '0200 01 01 67 01 63 01 6d 00 00': {
      tag: 'Error', group: 'g', code: 'c', message: 'm', metadata: undefined, actionId: null, version: 2,
    },
    '0400 01 01 67 01 63 01 6d 00 01 07 00': {
      tag: 'Error', group: 'g', code: 'c', message: 'm', metadata: undefined, actionId: 7, actor: undefined, version: 4,
    },
  };
  for (const [digits, frame] of Object.entries(frames)) assert.deepEqual(readFrame('bare', hex(digits), true), frame);
  const written = [
    [writeFrame('bare', 4, { tag: 'SubscriptionRequest', eventName: 'e', subscribe: false }), '0400 01 01 65 00'],
    [writeFrame('bare', 4, { tag: 'ActionRequest', id: 300, name: 'f', args: [] }), '0400 00 ac02 01 66 01 80'],
  ];
  for (const [bytes, digits] of written) assert.equal(bytes.toString('hex'), hex(digits).toString('hex'));
  assert.deepEqual(readCbor(writeCbor({ a: [1] })), { a: [1] });
});
