// The management routes, as scripts, dashboards and the stock client use them.

import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { describe, test } from 'node:test';
import {
  HostError, actionPath, actionPathById, assertRefusal, failsWith, fresh, guestBytes, isAsleep, range, until, useHost,
} from './harness.mjs';

// `{mode: "ranked", big: 5n}` as the stock client writes an input.
const INPUT = 'uQACZG1vZGVmcmFua2VkY2JpZ4JnJEJpZ0ludGE1';

const TIMES = ['create_ts', 'start_ts', 'pending_allocation_ts', 'connectable_ts', 'sleep_ts', 'reschedule_ts', 'destroy_ts'];

const creation = (name, key, more = {}) => ({ name, key, runner_name_selector: 'default', crash_policy: 'sleep', ...more });

function assertActorShape(actor, name, key) {
  assert.equal(typeof actor.actor_id, 'string');
  assert.equal(actor.name, name);
  assert.equal(actor.key, key);
  assert.equal(typeof actor.namespace_id, 'string');
  assert.equal(typeof actor.datacenter, 'string');
  assert.equal(actor.runner_name_selector, 'default');
  assert.equal(actor.crash_policy, 'sleep');
  for (const time of TIMES) {
    assert.ok(actor[time] === null || Number.isInteger(actor[time]), `${time} is ${actor[time]}`);
  }
  assert.ok(Math.abs(actor.create_ts - Date.now()) < 60_000, `create_ts is ${actor.create_ts}`);
  assert.equal(actor.destroy_ts, null);
  assert.equal(typeof actor.awake, 'boolean');
}

describe('without a token', () => {
  const host = useHost({ components: ['counter', 'fixtures'] });
  const send = (method, path, body) => host.request(method, path, { body });

  for (const prefix of ['', '/api/rivet']) {
    test(`PUT ${prefix}/actors creates once and then finds`, async () => {
      const body = creation('counter', fresh('put'));
      const first = await send('PUT', `${prefix}/actors?namespace=default`, body);
      assert.equal(first.status, 200);
      assert.equal(first.json().created, true);
      assertActorShape(first.json().actor, 'counter', body.key);

      const second = await send('PUT', `${prefix}/actors?namespace=default`, body);
      assert.equal(second.status, 200);
      assert.equal(second.json().created, false);
      assert.equal(second.json().actor.actor_id, first.json().actor.actor_id);
    });

    test(`POST ${prefix}/actors creates, and refuses a key that is taken`, async () => {
      const key = fresh('post');
      const path = `${prefix}/actors?namespace=default`;
      const first = await send('POST', path, creation('echoer', key, { input: INPUT }));
      assert.equal(first.status, 200);
      assert.deepEqual(Object.keys(first.json()), ['actor']);
      const { actor } = first.json();
      assertActorShape(actor, 'echoer', key);
      assert.deepEqual(await host.callAt(actionPathById(actor.actor_id, 'input')), { mode: 'ranked', big: ['$BigInt', '5'] });

      const second = await send('POST', path, creation('echoer', key));
      assert.equal(second.status, 400);
      assert.deepEqual(second.json(), {
        group: 'actor',
        code: 'duplicate_key',
        message: `Actor key '${key}' already in use for actor '${actor.actor_id}'`,
        metadata: { existing_actor_id: actor.actor_id, key },
      });
    });

    test(`GET ${prefix}/actors finds by name and key, and by id`, async () => {
      const key = `${fresh('get')}/a\\/b`;
      const { actor } = await host.manage('PUT', '/actors?namespace=default', creation('counter', key));
      for (const query of [{ name: 'counter', key }, { actor_ids: actor.actor_id }]) {
        const answer = await send('GET', `${prefix}/actors?${new URLSearchParams({ namespace: 'default', ...query })}`);
        assert.equal(answer.status, 200);
        const { actors, pagination } = answer.json();
        assert.equal(actors.length, 1);
        assertActorShape(actors[0], 'counter', key);
        assert.equal(actors[0].actor_id, actor.actor_id);
        assert.deepEqual(pagination, { cursor: null });
      }
    });

    test(`DELETE ${prefix}/actors/{id} removes an actor, once`, async () => {
      const key = fresh('delete');
      const { actor } = await host.manage('PUT', '/actors?namespace=default', creation('counter', key));
      const path = `${prefix}/actors/${actor.actor_id}?namespace=default`;
      assert.equal((await send('DELETE', path)).status, 200);
      assert.deepEqual(await host.actors({ name: 'counter', key }), []);
      await failsWith('actor.not_found', host.callAt(actionPathById(actor.actor_id, 'count')));
      assertRefusal(await send('DELETE', path), 404, 'actor.not_found');
    });

    test(`POST ${prefix}/actors/{id}/sleep puts an actor to sleep, which a call ends`, async () => {
      const key = fresh('sleep');
      const { actor } = await host.manage('PUT', '/actors?namespace=default', creation('counter', key));
      const call = (action, ...args) => host.callAt(actionPathById(actor.actor_id, action), ...args);
      assert.equal(await call('increment', 4), 4);
      assert.equal((await host.actor(actor.actor_id)).awake, true);

      const path = `${prefix}/actors/${actor.actor_id}/sleep?namespace=default`;
      assert.equal((await send('POST', path, {})).status, 200);
      await until('the listing shows it asleep', async () => isAsleep(await host.actor(actor.actor_id)));
      assert.equal((await send('POST', path, {})).status, 200, 'asking a sleeping actor to sleep changes nothing');

      assert.equal(await call('count'), 4);
      assert.equal((await host.actor(actor.actor_id)).awake, true);
    });
  }

  test('what is not there is an empty list, or not found', async () => {
    const nowhere = '0'.repeat(32);
    assert.deepEqual(await host.actors({ name: 'counter', key: fresh() }), []);
    assert.deepEqual(await host.actors({ name: 'nobody', key: 'k' }), []);
    assert.deepEqual(await host.actors({ actor_ids: nowhere }), []);
    assert.deepEqual(await host.actors({ actor_ids: 'nonsense' }), []);
    assertRefusal(await send('DELETE', `/actors/${nowhere}?namespace=default`), 404, 'actor.not_found');
    assertRefusal(await send('POST', `/actors/${nowhere}/sleep?namespace=default`, {}), 404, 'actor.not_found');
    assertRefusal(await send('DELETE', '/actors/nonsense?namespace=default'), 404, 'actor.not_found');
  });

  test('the serialized key of a listing is the one that creates, commas apart', async () => {
    const namespace = fresh('serialized');
    for (const [sent, kept] of [['/', '/'], ['\\0', '\\0'], ['a\\/b/c', 'a\\/b/c'], ['a,b/c', 'a/b/c'], ['é/日本', 'é/日本']]) {
      const { actor } = await host.manage('PUT', `/actors?namespace=${namespace}`, creation('counter', sent));
      assert.equal(actor.key, kept);
    }
  });

  test('a listing shows every actor of a type once, page by page, oldest first', async () => {
    const namespace = fresh('pages');
    const made = [];
    for (const n of range(23)) {
      made.push((await host.manage('PUT', `/actors?namespace=${namespace}`, creation('counter', `k${n}`))).actor.actor_id);
    }
    await host.manage('PUT', `/actors?namespace=${namespace}`, creation('echoer', 'other type'));

    const seen = [];
    const sizes = [];
    let cursor = null;
    do {
      const query = new URLSearchParams({ namespace, name: 'counter', limit: 10, ...(cursor && { cursor }) });
      const page = await host.manage('GET', `/actors?${query}`);
      sizes.push(page.actors.length);
      seen.push(...page.actors.map((actor) => actor.actor_id));
      cursor = page.pagination.cursor;
      assert.ok(sizes.length < 10, 'the pages do not end');
    } while (cursor !== null);

    assert.deepEqual(sizes.filter((size) => size > 0), [10, 10, 3]);
    assert.deepEqual(seen, made);
  });

  test('several actors can be looked up at once', async () => {
    const namespace = fresh('several');
    const create = async (key) => (await host.manage('PUT', `/actors?namespace=${namespace}`, creation('counter', key))).actor.actor_id;
    const ids = [await create('a'), await create('b')];
    const found = await host.actors({ actor_ids: [ids[1], '0'.repeat(32), ids[0]].join(','), namespace });
    assert.deepEqual(found.map((actor) => actor.actor_id).toSorted(), ids.toSorted());
    assertRefusal(await send('GET', `/actors?namespace=default&actor_ids=${range(1_000).join(',')}`), 400, 'api.bad_request');
  });

  test('listings of one namespace show nothing of another', async () => {
    const [here, there] = [fresh('here'), fresh('there')];
    const { actor } = await host.manage('PUT', `/actors?namespace=${here}`, creation('counter', 'k'));
    assert.equal((await host.actors({ name: 'counter', namespace: here })).length, 1);
    assert.deepEqual(await host.actors({ name: 'counter', namespace: there }), []);
    assertRefusal(await send('DELETE', `/actors/${actor.actor_id}?namespace=${there}`), 404, 'actor.not_found');
    assert.equal((await host.actors({ name: 'counter', namespace: here })).length, 1);
  });

  const BAD_CREATIONS = {
    'that is no JSON': ['{"name":', 'api.bad_request'],
    'that is no object': ['[]', 'api.bad_request'],
    'without a name': [{ key: 'k', runner_name_selector: 'default', crash_policy: 'sleep' }, 'api.bad_request'],
    'with a name that is a number': [creation(5, 'k'), 'api.bad_request'],
    'with an input that is no base64': [creation('counter', 'k', { input: '***' }), 'api.bad_request'],
    'with an input that is no CBOR': [creation('counter', 'k', { input: '/w==' }), 'api.bad_request'],
    'with an input that goes on after its end': [creation('counter', 'k', { input: 'AQE=' }), 'api.bad_request'],
    'with a key that is wrongly escaped': [creation('counter', 'a\\x'), 'actor.invalid_key'],
    'with a key that is too long': [creation('counter', 'x'.repeat(1025)), 'actor.invalid_key'],
    'with a name that can be none': [creation('a b', 'k'), 'actor.invalid_name'],
    'of a type that nobody has': [creation('nobody', 'k'), 'actor.type_not_found'],
  };
  for (const [what, [body, code]] of Object.entries(BAD_CREATIONS)) {
    test(`a creation ${what} is refused, and creates nothing`, async () => {
      const namespace = fresh('bad');
      for (const method of ['PUT', 'POST']) {
        const answer = await send(method, `/actors?namespace=${namespace}`, body);
        assert.ok(answer.status >= 400 && answer.status < 500, `${answer.status}`);
        assertRefusal(answer, answer.status, code);
      }
      assert.deepEqual(await host.actors({ name: 'counter', namespace }), []);
    });
  }

  test('an input over its bound is refused', async () => {
    const input = Buffer.concat([Buffer.from([0x5a, 0, 0x50, 0, 0]), Buffer.alloc(5 << 20)]).toString('base64');
    const answer = await send('PUT', '/actors?namespace=default', creation('counter', fresh(), { input }));
    assertRefusal(answer, 400, 'message.incoming_too_long');
  });

  test('a listing with a limit or a cursor that is none is refused', async () => {
    for (const query of ['limit=many', 'limit=-1', 'cursor=%00%ff']) {
      assertRefusal(await send('GET', `/actors?namespace=default&name=counter&${query}`), 400, 'api.bad_request');
    }
  });

  test('GET /components describes what is deployed', async () => {
    const bytes = await guestBytes('counter');
    const { components } = await host.manage('GET', '/components');
    assert.deepEqual(components.map((component) => component.component).toSorted(), ['counter', 'fixtures']);
    const counter = components.find((component) => component.component === 'counter');
    assert.equal(counter.revision, 1);
    assert.equal(counter.hash, createHash('sha256').update(bytes).digest('hex'));
    assert.equal(counter.sizeBytes, bytes.length);
    assert.deepEqual(counter.actorTypes.map((type) => type.name), ['counter']);
    const actions = Object.fromEntries(counter.actorTypes[0].actions.map((action) => [action.name, action]));
    assert.ok(actions.increment && actions.count, `actions: ${Object.keys(actions)}`);
    assert.equal(actions.increment.parameters.length, 1);
    assert.equal(actions.increment.parameters[0].optional, false);
    assert.deepEqual(actions.count.parameters, []);

    const { revisions } = await host.manage('GET', '/components/counter');
    assert.equal(revisions.length, 1);
    assert.equal(revisions[0].hash, counter.hash);
    assertRefusal(await send('GET', '/components/nobody'), 404, 'component.not_found');
  });
});

describe('with a token', () => {
  const token = 'a-long-enough-secret';
  const host = useHost({ components: ['counter'], token });

  const GUARDED = {
    'listing actors': ['GET', '/actors?namespace=default&name=counter'],
    'creating actors': ['PUT', '/actors?namespace=default', creation('counter', 'k')],
    'destroying actors': ['DELETE', `/actors/${'0'.repeat(32)}?namespace=default`],
    'putting actors to sleep': ['POST', `/actors/${'0'.repeat(32)}/sleep?namespace=default`, {}],
    'listing components': ['GET', '/components'],
    'the history of a component': ['GET', '/components/counter'],
    'a deploy': ['POST', '/components', 'not a component'],
  };
  for (const [what, [method, path, body]] of Object.entries(GUARDED)) {
    test(`${what} needs it`, async () => {
      const wrong = [undefined, 'Bearer wrong', `Bearer ${token}x`, `Bearer ${token.slice(0, -1)}`, `Basic ${token}`, token, 'Bearer '];
      for (const prefix of ['', '/api/rivet']) {
        for (const authorization of wrong) {
          const headers = authorization === undefined ? {} : { authorization };
          assertRefusal(await host.request(method, prefix + path, { headers, body }), 401, 'api.unauthorized');
        }
        const answer = await host.request(method, prefix + path, { headers: { authorization: `Bearer ${token}` }, body });
        assert.notEqual(answer.status, 401);
      }
    });
  }

  test('only the default namespace is there, unless the operator lists others', async () => {
    const headers = { authorization: `Bearer ${token}` };
    const namespace = fresh('unlisted');
    const refusals = [
      await host.request('GET', `/actors?namespace=${namespace}&name=counter`, { headers }),
      await host.request('PUT', `/actors?namespace=${namespace}`, { headers, body: creation('counter', 'k') }),
      await host.request('POST', actionPath('counter', ['k'], 'count', { namespace }), { body: { args: [] } }),
    ];
    for (const refusal of refusals) assertRefusal(refusal, 400, 'namespace.not_found');
  });

  test('calls, health and metadata do not need it', async () => {
    assert.equal(await host.call('counter', [fresh()], 'increment', 2), 2);
    for (const path of ['/health', '/metadata?namespace=default']) {
      assert.equal((await host.request('GET', path)).status, 200);
    }
  });

  test('the stock client manages with it, and without it is told so', async () => {
    const key = [fresh()];
    const { counter } = host.client({ token });
    assert.equal(await (await counter.create(key)).increment(2), 2);
    assert.equal(await counter.get(key).increment(1), 3);

    const stranger = host.client({ disableMetadataLookup: true });
    await failsWith('api.unauthorized', stranger.counter.create([fresh()]));
  });

  test('a wrong one is refused before the upload is read', async () => {
    const error = await host.request('POST', '/components', { body: Buffer.alloc(1 << 20) }).then(
      (answer) => new HostError(answer.status, answer.json()),
      (error) => error,
    );
    // The host may close the connection while the client still writes; then there is no answer to read.
    if (error instanceof HostError) assert.equal(error.code, 'unauthorized');
    else assert.match(error.code, /ECONNRESET|EPIPE/);
  });

  test('it stands nowhere in the log', () => {
    assert.ok(!host.log.includes(token));
  });
});
