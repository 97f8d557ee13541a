// Calls of actions as bytes: what the stock clients send and can read, and what nobody should send.

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { actionPath, assertRefusal, fresh, useHost } from './harness.mjs';
import { CONTENT_TYPES, bareBody, bareData, bareVersion, cborAnswer, cborRequest, hex, readCbor, readError } from './wire.mjs';

const host = useHost({ components: ['counter', 'fixtures'] });

function post(type, action, encoding, body, { key = [fresh()], ...more } = {}) {
  const headers = { 'content-type': CONTENT_TYPES[encoding] ?? 'text/plain', 'x-rivet-encoding': encoding };
  return host.request('POST', actionPath(type, key, action), { headers, body, ...more });
}

const echo = (encoding, body) => post('echoer', 'echo', encoding, body);

function assertBytes(answer, expected) {
  assert.equal(answer.status, 200, answer.text());
  assert.equal(answer.body.toString('hex'), expected.toString('hex'));
}

describe('a call in bare', () => {
  for (const version of [1, 2, 3, 4]) {
    test(`of version ${version} is answered in version ${version}`, async () => {
      const answer = await post('counter', 'increment', 'bare', bareBody(version, '81 18 2a'));
      assertBytes(answer, bareBody(version, '18 2a'));
      assert.equal(answer.headers['content-type'], 'application/octet-stream');
      assert.equal(Number(answer.headers['content-length']), answer.body.length);
    });

    test(`of version ${version} may have no arguments`, async () => {
      assertBytes(await post('counter', 'count', 'bare', bareBody(version, '80')), bareBody(version, '00'));
    });

    test(`of version ${version} is answered with CBOR that every client reads`, async () => {
      const same = {
        'minus one': '20',
        'the largest short integer': '1a ffffffff',
        '2^40 as a float': 'fb 4270000000000000',
        null: 'f6',
        'a text': '63 c3a9 78',
        'an empty array': '80',
      };
      for (const [what, value] of Object.entries(same)) {
        const answer = await echo('bare', bareBody(version, `81 ${value}`));
        assert.equal(answer.body.toString('hex'), bareBody(version, value).toString('hex'), what);
      }
    });
  }

  for (const version of [1, 2, 3]) {
    test(`of version ${version} carries values as plain CBOR, and arrays that look like tags as arrays`, async () => {
      // A byte string, and the same with the tag that the clients put in front.
      assertBytes(await echo('bare', bareBody(version, '81 43 0102ff')), bareBody(version, '43 0102ff'));
      assertBytes(await echo('bare', bareBody(version, '81 d840 43 0102ff')), bareBody(version, '43 0102ff'));
      assertBytes(await echo('bare', bareBody(version, '81 f7')), bareBody(version, 'f7'));
      assertBytes(await post('echoer', 'nothing', 'bare', bareBody(version, '80')), bareBody(version, 'f7'));
      const likeTag = '82 67 24426967496e74 61 35';
      assertBytes(await echo('bare', bareBody(version, `81 ${likeTag}`)), bareBody(version, likeTag));
    });
  }

  test('of version 4 carries values as tags, and arrays that look like tags with one more $', async () => {
    const bytes = await echo('bare', bareBody(4, '81 82 6b 2455696e74384172726179 64 41514c2f'));
    assert.deepEqual([...readCbor(bytes.body.subarray(3))], [1, 2, 255]);

    const bigInt = await echo('bare', bareBody(4, '81 82 67 24426967496e74 61 35'));
    assert.equal(readCbor(bigInt.body.subarray(3)), 5n);

    const likeTag = '82 68 2424426967496e74 61 35';
    assertBytes(await echo('bare', bareBody(4, `81 ${likeTag}`)), bareBody(4, likeTag));
  });

  test('of version 4 that gives nothing is answered with undefined, in one of the two ways the client knows', async () => {
    const answer = await post('echoer', 'nothing', 'bare', bareBody(4, '80'));
    const known = [bareBody(4, 'f7'), bareBody(4, '82 6a 24556e646566696e6564 00')].map((body) => body.toString('hex'));
    assert.ok(known.includes(answer.body.toString('hex')), answer.body.toString('hex'));
  });

  test('understands maps as the clients write them', async () => {
    const answer = await echo('bare', bareBody(4, '81 b9 0001 61 61 01'));
    assert.deepEqual(readCbor(answer.body.subarray(3)), { a: 1 });
  });
});

describe('a call in cbor', () => {
  test('is answered in cbor', async () => {
    const answer = await post('counter', 'increment', 'cbor', cborRequest('81 18 2a'));
    assertBytes(answer, cborAnswer('18 2a'));
    assert.equal(answer.headers['content-type'], 'application/octet-stream');
  });

  test('may have no arguments', async () => {
    assertBytes(await post('counter', 'count', 'cbor', cborRequest('80')), cborAnswer('00'));
  });

  test('sends values as they are, and gets arrays that look like tags with one more $', async () => {
    assertBytes(await echo('cbor', cborRequest('81 82 67 24426967496e74 61 35')), cborAnswer('82 68 2424426967496e74 61 35'));
    const { output } = readCbor((await echo('cbor', cborRequest('81 d840 43 0102ff'))).body);
    assert.deepEqual([...output], [1, 2, 255]);
    assert.equal(readCbor((await echo('cbor', cborRequest('81 1b 0000000000000005'))).body).output, 5n);
  });

  test('that gives nothing is answered with undefined, in one of the two ways the client knows', async () => {
    const answer = await post('echoer', 'nothing', 'cbor', cborRequest('80'));
    const known = [cborAnswer('f7'), cborAnswer('82 6a 24556e646566696e6564 00')].map((body) => body.toString('hex'));
    assert.ok(known.includes(answer.body.toString('hex')), answer.body.toString('hex'));
  });

  test('may have fields that the host does not know', async () => {
    assertBytes(await echo('cbor', hex('a2 64 6d6f7265 f6 64 61726773 81 01')), cborAnswer('01'));
  });
});

describe('a call in json', () => {
  const echoed = async (args) => (await echo('json', JSON.stringify({ args: [args] }))).json();

  test('is answered in json', async () => {
    const answer = await post('counter', 'increment', 'json', '{"args":[42]}');
    assertBytes(answer, Buffer.from('{"output":42}'));
    assert.match(answer.headers['content-type'], /^application\/json/);
  });

  test('is what a call without x-rivet-encoding is', async () => {
    const target = actionPath('counter', [fresh()], 'increment');
    assertBytes(await host.request('POST', target, { body: '{"args":[42]}' }), Buffer.from('{"output":42}'));
  });

  test('carries what JSON cannot say in tags', async () => {
    const large = ['$BigInt', '-170141183460469231731687303715884105728'];
    for (const tagged of [['$BigInt', '5'], large, ['$Uint8Array', 'AQL/'], ['$$BigInt', '5'], ['$$$x', 1]]) {
      assert.deepEqual(await echoed(tagged), { output: tagged });
    }
    assert.deepEqual(await echoed(['$Undefined', 0]), { output: ['$Undefined', 0] });
    assert.deepEqual((await post('echoer', 'nothing', 'json', '{"args":[]}')).json(), { output: ['$Undefined', 0] });
  });

  test('keeps numbers apart from their neighbours', async () => {
    const answer = await echo('json', '{"args":[[9007199254740991,-0.5,1e300,0]]}');
    assert.deepEqual(JSON.parse(answer.text()), { output: [9007199254740991, -0.5, 1e300, 0] });
  });
});

describe('a body that cannot be read', () => {
  const deep = (count) => Buffer.concat([Buffer.alloc(count, 0x81), Buffer.from([0])]);

  const UNREADABLE = {
    bare: {
      'has no byte': hex(''),
      'ends within the version': hex('04'),
      'has version 0': hex('0000 01 80'),
      'has version 5': hex('0500 01 80'),
      'has version 260': hex('0401 01 80'),
      'ends after the version': hex('0400'),
      'ends within its data': hex('0400 05 8101'),
      'goes on after its data': hex('0400 01 80 00'),
      'has a length that never ends': hex('0400 ffffffffffffffffffff01 80'),
      'has a length of 2^63': hex('0400 80808080808080808001 80'),
      'has data without a value': hex('0400 00'),
      'has two values in its data': hex('0400 02 8080'),
      'has a value that is cut off': hex('0400 02 8119'),
      'has arguments that are no array': hex('0400 01 a0'),
      'has a text that is no UTF-8': hex('0400 03 8161ff'),
      'says that it has 2^64 arguments': hex('0400 09 9bffffffffffffffff'),
      'has arguments in arrays in arrays, 1,000 deep': Buffer.concat([bareVersion(4), bareData(deep(1_000))]),
      'has a BigInt that is none': hex('0400 0c 81 82 67 24426967496e74 61 78'),
    },
    cbor: {
      'has no byte': hex(''),
      'is no map': hex('80'),
      'is a map without args': hex('a1 61 61 80'),
      'has arguments that are no array': cborRequest('a0'),
      'is cut off': cborRequest('82 01'),
      'goes on after its end': cborRequest('80 00'),
      'has a text that is no UTF-8': cborRequest('81 61 ff'),
      'says that it has 2^64 arguments': cborRequest('9b ffffffffffffffff'),
      'has arguments in arrays in arrays, 1,000 deep': Buffer.concat([hex('b90001 64 61726773'), deep(1_000)]),
      'has a byte that begins nothing': cborRequest('81 1c'),
    },
    json: {
      'has no byte': '',
      'is cut off': '{"args":[1',
      'goes on after its end': '{"args":[]} []',
      'is no object': '[]',
      'has no args': '{}',
      'has arguments that are no array': '{"args":1}',
      'is no UTF-8': Buffer.concat([Buffer.from('{"args":["'), Buffer.from([0xff]), Buffer.from('"]}')]),
      'has arguments in arrays in arrays, 10,000 deep': `{"args":${'['.repeat(10_000)}${']'.repeat(10_000)}}`,
      'has a BigInt that is none': '{"args":[["$BigInt","x"]]}',
      'has bytes that are no base64': '{"args":[["$Uint8Array","***"]]}',
    },
  };

  for (const [encoding, bodies] of Object.entries(UNREADABLE)) {
    for (const [what, body] of Object.entries(bodies)) {
      test(`is refused: in ${encoding} it ${what}`, async () => {
        const answer = await echo(encoding, body);
        const error = readError(answer, encoding);
        assert.equal(`${error.group}.${error.code}`, 'actor.invalid_request', JSON.stringify(error));
        assert.equal(answer.status, 400);
      });
    }
  }

  test('is refused: it is in an encoding that nobody knows', async () => {
    assertRefusal(await echo('xml', '<args/>'), 400, 'actor.invalid_request');
  });

  test('changes nothing, not even that there is no such actor', async () => {
    const key = fresh('unreadable');
    await post('counter', 'increment', 'json', '{', { key: [key] });
    assert.deepEqual(await host.actors({ name: 'counter', key }), []);
  });
});

describe('size', () => {
  // `{"args":["` and `"]}` are 13 bytes.
  const bodyOf = (bytes) => `{"args":["${'x'.repeat(bytes - 13)}"]}`;

  async function* chunked(body) {
    for (let at = 0; at < body.length; at += 10_000) yield body.slice(at, at + 10_000);
  }

  test('a body of 65,536 bytes is taken, with its length said or in chunks', async () => {
    const body = bodyOf(65_536);
    assert.equal((await echo('json', body)).json().output.length, 65_536 - 13);
    const answer = await post('echoer', 'echo', 'json', undefined, { chunks: chunked(body) });
    assert.equal(answer.json().output.length, 65_536 - 13);
  });

  test('a longer body is refused, with its length said or in chunks', async () => {
    const body = bodyOf(65_537);
    assertRefusal(await echo('json', body), 400, 'message.incoming_too_long');
    const answer = await post('echoer', 'echo', 'json', undefined, { chunks: chunked(body) });
    assertRefusal(answer, 400, 'message.incoming_too_long');
  });

  for (const encoding of ['bare', 'cbor', 'json']) {
    test(`an answer over its bound is refused in ${encoding}, and the actor goes on`, async () => {
      const key = [fresh()];
      const bodies = {
        // [1000000] and [1100000] as 4-byte integers.
        bare: [bareBody(4, '81 1a 000f4240'), bareBody(4, '81 1a 0010c8e0')],
        cbor: [cborRequest('81 1a 000f4240'), cborRequest('81 1a 0010c8e0')],
        json: ['{"args":[1000000]}', '{"args":[1100000]}'],
      }[encoding];
      const fits = await post('echoer', 'big', encoding, bodies[0], { key });
      assert.equal(fits.status, 200);
      assert.ok(fits.body.length > 1_000_000);

      const tooLong = await post('echoer', 'big', encoding, bodies[1], { key });
      const error = readError(tooLong, encoding);
      assert.equal(`${error.group}.${error.code}`, 'message.outgoing_too_long');
      assert.equal(tooLong.status, 400);
      assert.equal(await host.call('echoer', key, 'echo', 'still here'), 'still here');
    });
  }
});
