// Refusals and failures as every client must be able to read them.

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { INTERNAL_ERROR_DESCRIPTION } from 'rivetkit/errors';
import { ENCODINGS, actionPath, actionPathById, fresh, useHost } from './harness.mjs';
import { CONTENT_TYPES, bareBody, bareData, bareText, bareUint, bareVersion, cborRequest, hex, readError } from './wire.mjs';

const host = useHost({ components: ['bench', 'fixtures', 'conformance'] });

function post(target, encoding, body) {
  return host.request('POST', target, { headers: { 'content-type': CONTENT_TYPES[encoding], 'x-rivet-encoding': encoding }, body });
}

// userError("Username is too long", "username_too_long", {maxLength: 32})
const MESSAGE = '74 557365726e616d6520697320746f6f206c6f6e67';
const CODE = '71 757365726e616d655f746f6f5f6c6f6e67';
const METADATA = 'a1 69 6d61784c656e677468 18 20';
const USER_ERROR_ARGS = `83 ${MESSAGE} ${CODE} ${METADATA}`;

function bareError(version, group, code, message, metadata) {
  const metadataBytes = metadata ? Buffer.concat([hex('01'), bareData(hex(metadata))]) : hex('00');
  return Buffer.concat([bareVersion(version), bareText(group), bareText(code), bareText(message), metadataBytes]);
}

/** The optional last field of an error in version 4, from what the answer's headers say. */
function bareActor({ headers }) {
  const id = bareText(headers['x-rivet-actor']);
  const generation = bareUint(Number(headers['x-rivet-actor-generation']));
  return Buffer.concat([hex('01'), id, generation, hex('01'), bareText(headers['x-rivet-actor-key'])]);
}

describe('a user error in bare', () => {
  const expected = (version) => bareError(version, 'user', 'username_too_long', 'Username is too long', METADATA);

  for (const version of [1, 2, 3]) {
    test(`of version ${version} has group, code, message and metadata`, async () => {
      const answer = await post(actionPath('echoer', [fresh()], 'userError'), 'bare', bareBody(version, USER_ERROR_ARGS));
      assert.equal(answer.status, 500);
      assert.equal(answer.headers['content-type'], 'application/octet-stream');
      assert.equal(answer.body.toString('hex'), expected(version).toString('hex'));
    });
  }

  test('of version 4 also says which actor it comes from', async () => {
    const answer = await post(actionPath('echoer', [fresh(), 'bare'], 'userError'), 'bare', bareBody(4, USER_ERROR_ARGS));
    assert.equal(answer.status, 500);
    assert.equal(answer.body.toString('hex'), Buffer.concat([expected(4), bareActor(answer)]).toString('hex'));
  });
});

test('an internal error in bare has the fixed description and no metadata', async () => {
  for (const version of [1, 2, 3]) {
    const answer = await post(actionPath('echoer', [fresh()], 'internalError'), 'bare', bareBody(version, '80'));
    const expected = bareError(version, 'rivetkit', 'internal_error', INTERNAL_ERROR_DESCRIPTION);
    assert.equal(answer.status, 500);
    assert.equal(answer.body.toString('hex'), expected.toString('hex'));
  }
});

for (const encoding of ENCODINGS) {
  describe(`in ${encoding}`, () => {
    const bodyOf = (args, argsHex) => {
      if (encoding === 'json') return JSON.stringify({ args });
      return encoding === 'bare' ? bareBody(4, argsHex) : cborRequest(argsHex);
    };
    const noArguments = bodyOf([], '80');

    test('a user error is a 500 with the same five fields', async () => {
      const key = [fresh(), 'a/b'];
      const body = bodyOf(['Username is too long', 'username_too_long', { maxLength: 32 }], USER_ERROR_ARGS);
      const answer = await post(actionPath('echoer', key, 'userError'), encoding, body);
      assert.equal(answer.status, 500);
      assert.ok(answer.headers['content-type'].startsWith(CONTENT_TYPES[encoding]));
      const { generation, ...actor } = readError(answer, encoding).actor;
      assert.equal(Number(generation), Number(answer.headers['x-rivet-actor-generation']));
      assert.deepEqual({ ...readError(answer, encoding), actor }, {
        group: 'user',
        code: 'username_too_long',
        message: 'Username is too long',
        metadata: { maxLength: 32 },
        actor: { actorId: answer.headers['x-rivet-actor'], key: `${key[0]}/a\\/b` },
      });
    });

    const FAILURES = {
      'an internal error': [() => actionPath('echoer', [fresh()], 'internalError'), 500, 'rivetkit.internal_error'],
      'an unknown action': [() => actionPath('bench', [fresh()], 'nope'), 404, 'actor.action_not_found'],
      'a missing argument': [() => actionPath('bench', [fresh()], 'increment'), 400, 'actor.validation_error'],
      'a missing actor': [() => actionPath('bench', [fresh()], 'count', { method: 'get' }), 404, 'actor.not_found'],
      'an unknown id': [() => actionPathById('0'.repeat(32), 'count'), 404, 'actor.not_found'],
      'an unknown actor type': [() => actionPath('nobody', [fresh()], 'count'), 404, 'actor.type_not_found'],
      'an action over its time': [() => actionPath('errorHandlingActor', [fresh()], 'timeoutAction'), 408, 'actor.action_timed_out'],
      'a bad query': [() => `${actionPath('bench', [fresh()], 'count')}&rvt-x=1`, 400, 'guard.query_invalid_params'],
      'a key that is too long': [() => actionPath('bench', ['x'.repeat(2_000)], 'count'), 400, 'actor.invalid_key'],
    };
    for (const [what, [target, status, name]] of Object.entries(FAILURES)) {
      test(`${what} is a ${status} that says ${name}`, async () => {
        const answer = await post(target(), encoding, noArguments);
        const error = readError(answer, encoding);
        assert.equal(`${error.group}.${error.code}`, name, JSON.stringify(error));
        assert.equal(answer.status, status);
        assert.notEqual(error.message, '');
        // The stock client fails over an actor or a key that is null; they must be left out.
        assert.notStrictEqual(error.actor, null);
        assert.notStrictEqual(error.actor?.key, null);
      });
    }
  });
}

test('what an internal error hides is nowhere in the answer', async () => {
  for (const encoding of ENCODINGS) {
    const body = { bare: bareBody(4, '80'), cbor: cborRequest('80'), json: '{"args":[]}' }[encoding];
    const answer = await post(actionPath('echoer', [fresh()], 'internalError'), encoding, body);
    assert.ok(!answer.body.includes('secret') && !JSON.stringify(answer.headers).includes('secret'));
  }
});
