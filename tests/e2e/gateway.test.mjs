// How requests find their actors over plain HTTP, and what else the host answers.

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { actionPath, actionPathById, assertRefusal, fresh, gatewayPath, useHost } from './harness.mjs';

const host = useHost({ components: ['counter', 'fixtures'] });

const post = (target, { headers = {}, args = [] } = {}) => host.request('POST', target, { headers, body: { args } });

/** A query of the gateway, written out. */
const query = (parts, { name = 'counter', action = 'count' } = {}) => `/gateway/${name}/action/${action}?${parts}`;

async function createdId(type = 'counter', key = fresh()) {
  const body = { name: type, key, runner_name_selector: 'default', crash_policy: 'sleep' };
  return (await host.manage('PUT', '/actors?namespace=default', body)).actor.actor_id;
}

describe('a call by name', () => {
  test('may create, as the stock client asks for it', async () => {
    const parts = `rvt-namespace=default&rvt-method=getOrCreate&rvt-runner=default&rvt-key=${fresh()}%2Cbare&rvt-crash-policy=sleep`;
    const answer = await post(query(parts, { action: 'increment' }), { args: [1] });
    assert.deepEqual(answer.json(), { output: 1 });
  });

  test('may come in any order, with the pool under either name, and with the skip flag in any spelling', async () => {
    const key = fresh();
    for (const parts of [
      `rvt-key=${key}&rvt-runner=default&rvt-method=getOrCreate&rvt-namespace=default`,
      `rvt-namespace=default&rvt-method=getOrCreate&rvt-pool=default&rvt-key=${key}`,
      ...['true', '1', 'false', '0'].map(
        (flag) => `rvt-namespace=default&rvt-method=getOrCreate&rvt-runner=default&rvt-key=${key}&rvt-skip-ready-wait=${flag}`,
      ),
      `rvt-namespace=default&rvt-method=get&rvt-key=${key}`,
      `rvt-namespace=default&rvt-method=get&rvt-key=${key}&rvt-token=anything`,
      `rvt-method=get&rvt-key=${key}`,
      `x=1&rvt-method=get&rvt-key=${key}&y=rvt-z`,
    ]) {
      const answer = await post(query(parts, { action: 'increment' }), { args: [1] });
      assert.equal(answer.status, 200, `${parts}: ${answer.text()}`);
    }
    assert.equal(await host.call('counter', [key], 'count'), 10);
  });

  test('reads its key as a form: a plus is a space', async () => {
    const namespace = fresh('form');
    const parts = `rvt-namespace=${namespace}&rvt-method=getOrCreate&rvt-runner=default&rvt-key=a+b%2Cc%2Bd`;
    const answer = await post(query(parts, { name: 'echoer', action: 'key' }));
    assert.deepEqual(answer.json(), { output: ['a b', 'c+d'] });
  });

  const create = 'rvt-namespace=default&rvt-method=getOrCreate&rvt-runner=default&rvt-key=k';
  const get = 'rvt-namespace=default&rvt-method=get&rvt-key=k';
  const REFUSED = {
    'has a parameter that nobody knows': [query(`${create}&rvt-colour=red`), 'guard.query_invalid_params'],
    'has no method': [query('rvt-namespace=default&rvt-key=k'), 'guard.query_invalid_params'],
    'has a method that nobody knows': [query('rvt-namespace=default&rvt-method=put&rvt-runner=default'), 'guard.query_invalid_params'],
    'has a crash policy that nobody knows': [query(`${create}&rvt-crash-policy=explode`), 'guard.query_invalid_params'],
    'has a skip flag that is neither true nor false': [query(`${create}&rvt-skip-ready-wait=maybe`), 'guard.query_invalid_params'],
    'has an input that is no base64': [query(`${create}&rvt-input=***`), 'guard.query_invalid_params'],
    'has an input that is no CBOR': [query(`${create}&rvt-input=_w`), 'guard.query_invalid_params'],
    'has an input that goes on after its end': [query(`${create}&rvt-input=AQE`), 'guard.query_invalid_params'],
    'has the namespace twice': [query(`${create}&rvt-namespace=default`), 'guard.query_duplicate_param'],
    'has the key twice': [query(`${create}&rvt-key=l`), 'guard.query_duplicate_param'],
    'has the pool under both names': [query(`${create}&rvt-pool=default`), 'guard.query_duplicate_param'],
    'has a namespace that can be none': [query('rvt-namespace=a%20b&rvt-method=get&rvt-key=k'), 'namespace.not_found'],
    'has a token in its path': [query(create, { name: 'counter@tok' }), 'guard.query_path_token_syntax'],
    'gets, with an input': [query(`${get}&rvt-input=AA`), 'guard.query_get_disallowed_params'],
    'gets, with a region': [query(`${get}&rvt-region=here`), 'guard.query_get_disallowed_params'],
    'gets, with a crash policy': [query(`${get}&rvt-crash-policy=sleep`), 'guard.query_get_disallowed_params'],
    'gets, with a pool': [query(`${get}&rvt-runner=default`), 'guard.query_get_disallowed_params'],
    'creates, without a pool': [query('rvt-namespace=default&rvt-method=getOrCreate&rvt-key=k'), 'guard.query_missing_pool'],
  };
  for (const [what, [target, code]] of Object.entries(REFUSED)) {
    test(`is refused when it ${what}`, async () => {
      for (const prefix of ['', '/api/rivet']) {
        const answer = await post(prefix + target);
        assertRefusal(answer, 400, code);
      }
    });
  }

  test('of an actor that is not there finds nothing', async () => {
    for (const namespace of ['default', fresh('new')]) {
      assertRefusal(await post(actionPath('counter', [fresh()], 'count', { method: 'get', namespace })), 404, 'actor.not_found');
    }
    assertRefusal(await post(actionPath('nobody', ['k'], 'count')), 404, 'actor.type_not_found');
    assertRefusal(await post(actionPath('counter', ['k'], 'nope')), 404, 'actor.action_not_found');
  });
});

describe('a call by id', () => {
  test('reaches the actor, with and without a token in the path', async () => {
    const id = await createdId();
    for (const name of [id, `${id}@tok`, `${id}@a%2Fb`, `${id}@`]) {
      const answer = await post(`/gateway/${name}/action/increment`, { args: [1], headers: { 'x-rivet-token': 'tok' } });
      assert.equal(answer.status, 200, `${name}: ${answer.text()}`);
    }
    assert.equal(await host.callAt(actionPathById(id, 'count')), 4);
  });

  test('finds nothing under an id that is none, or a type name', async () => {
    for (const id of ['0'.repeat(32), 'nonsense', 'counter', '%00', '%C3%A9', 'x'.repeat(1_000)]) {
      assertRefusal(await post(`/gateway/${id}/action/count`), 404, 'actor.not_found');
    }
  });

  test('may name the actor in headers instead of the path', async () => {
    const id = await createdId();
    const target = { 'x-rivet-target': 'actor', 'x-rivet-actor': id, 'x-rivet-token': 'tok', 'x-rivet-skip-ready-wait': '1' };
    assert.deepEqual((await post('/action/increment', { headers: target, args: [2] })).json(), { output: 2 });
    assertRefusal(await post('/action/count', { headers: { ...target, 'x-rivet-actor': '0'.repeat(32) } }), 404, 'actor.not_found');
  });

  test('may name the actor in both, as the stock client does when it need not wait', async () => {
    const id = await createdId();
    const headers = { 'x-rivet-target': 'actor', 'x-rivet-actor': id, 'x-rivet-skip-ready-wait': '1' };
    for (const prefix of ['', '/api/rivet']) {
      const answer = await post(`${prefix}/gateway/${id}/action/count`, { headers });
      assert.equal(answer.status, 200, answer.text());
    }
  });

  test('leads nowhere when the headers name no actor or another kind of target', async () => {
    const id = await createdId();
    assertRefusal(await post('/action/count', { headers: { 'x-rivet-target': 'actor' } }), 400, 'actor.invalid_request');
    assertRefusal(await post('/action/count', { headers: { 'x-rivet-target': 'moon', 'x-rivet-actor': id } }), 404, 'api.not_found');
  });
});

test('an answer says which actor gave it', async () => {
  const key = fresh();
  const { headers, status } = await post(actionPath('counter', [key, 'a/b'], 'count'));
  assert.equal(status, 200);
  assert.match(headers['x-rivet-actor'], /^[0-9a-z-]+$/);
  assert.match(headers['x-rivet-actor-generation'], /^\d+$/);
  assert.equal(headers['x-rivet-actor-key'], `${key}/a\\/b`);

  // Header values are bytes; Node reads them as Latin-1, and the key is UTF-8.
  const foreign = await post(actionPath('counter', [key, 'é日本'], 'count'));
  assert.equal(Buffer.from(foreign.headers['x-rivet-actor-key'], 'latin1').toString(), `${key}/é日本`);
});

test('a refusal by the gateway itself says so in a header', async () => {
  const { headers } = await post(actionPath('counter', [fresh()], 'count', { method: 'get' }));
  assert.equal(headers['x-rivet-error'], 'actor.not_found');
  assert.equal(headers['x-rivet-actor'], undefined);
});

test('an action is called by POST only', async () => {
  const id = await createdId();
  for (const method of ['GET', 'PUT', 'DELETE', 'PATCH']) {
    for (const target of [actionPathById(id, 'count'), actionPath('counter', [fresh()], 'count')]) {
      assertRefusal(await host.request(method, target), 405, 'actor.method_not_allowed');
    }
  }
});

test('the name of an action may be percent-encoded', async () => {
  const id = await createdId();
  assert.deepEqual((await post(`/gateway/${id}/action/incr%65ment`, { args: [1] })).json(), { output: 1 });
  for (const broken of ['%', '%zz', '%ff']) {
    const answer = await post(`/gateway/${id}/action/${broken}`);
    assert.ok(answer.status >= 400 && answer.status < 500, `${broken}: ${answer.status}`);
    assert.equal(typeof answer.json().code, 'string');
  }
});

describe('other routes', () => {
  for (const prefix of ['', '/api/rivet']) {
    test(`${prefix}/health and ${prefix}/metadata tell that the host is there`, async () => {
      const health = await host.request('GET', `${prefix}/health`);
      assert.equal(health.status, 200);
      assert.equal(health.json().status, 'ok');
      assert.equal(typeof health.json().runtime, 'string');
      assert.equal(typeof health.json().version, 'string');

      const metadata = await host.request('GET', `${prefix}/metadata?namespace=default`);
      assert.equal(metadata.status, 200);
      assert.equal(metadata.json().runtime, health.json().runtime);
      assert.equal(metadata.json().version, health.json().version);
    });

    test(`what is not below ${prefix || '/'} is not found`, async () => {
      for (const path of ['/nothing', '/actor', '/actors/x/y', '/actors/x/sleep/z', '/gateway', '/components/a/b']) {
        const answer = await host.request('GET', prefix + path);
        assertRefusal(answer, 404, 'api.not_found');
      }
    });
  }

  test('an actor answers for its own health and metadata', async () => {
    const id = await createdId();
    const health = await host.request('GET', `/gateway/${id}/health`);
    assert.equal(health.status, 200);
    assert.equal(health.text(), 'ok');
    const metadata = await host.request('GET', gatewayPath('counter', [fresh()], '/metadata'));
    assert.equal(metadata.status, 200);
    assert.equal(typeof metadata.json().version, 'string');
  });

  test('an actor has no other routes', async () => {
    const id = await createdId();
    for (const method of ['GET', 'POST', 'PUT']) {
      for (const path of ['', '/', '/x', '/action', '/action/', '/action/a/b']) {
        assertRefusal(await host.request(method, `/gateway/${id}${path}`), 404, 'guard.no_route');
      }
    }
    assertRefusal(await host.request('PUT', `/gateway/${id}/dynamic/reload`), 404, 'guard.no_route');
  });

  test('a management route by another method is refused', async () => {
    for (const [method, path] of [['PATCH', '/actors'], ['DELETE', '/components'], ['PUT', '/components/counter'], ['PATCH', '/actors/x']]) {
      assertRefusal(await host.request(method, path), 405, 'actor.method_not_allowed');
    }
  });
});

describe('for browsers', () => {
  const origin = 'https://app.example.com';
  const asked = 'content-type,user-agent,x-rivet-encoding,x-rivet-token,x-my-own';
  const list = (header) => (header ?? '').split(',').map((item) => item.trim().toLowerCase());

  test('every preflight is answered', async () => {
    const id = await createdId();
    for (const path of [
      '/metadata?namespace=default', '/actors?namespace=default', `/actors/${id}?namespace=default`, '/components', '/health',
      actionPathById(id, 'count'), actionPath('counter', ['k'], 'count'), `/gateway/${id}/request/x`,
    ]) {
      for (const prefix of ['', '/api/rivet']) {
        const { status, headers, body } = await host.request('OPTIONS', prefix + path, {
          headers: { origin, 'access-control-request-method': 'POST', 'access-control-request-headers': asked },
        });
        assert.equal(status, 204, path);
        assert.equal(body.length, 0);
        assert.equal(headers['access-control-allow-origin'], origin);
        assert.equal(headers['access-control-allow-credentials'], 'true');
        for (const method of ['get', 'post', 'put', 'delete']) {
          assert.ok(list(headers['access-control-allow-methods']).includes(method), `${path}: ${headers['access-control-allow-methods']}`);
        }
        assert.deepEqual(list(headers['access-control-allow-headers']).toSorted(), list(asked).toSorted());
        assert.ok(Number(headers['access-control-max-age']) > 0);
        assert.ok(list(headers.vary).includes('origin'));
      }
    }
  });

  test('every answer, also a refusal, may be read', async () => {
    const id = await createdId();
    const requests = [
      ['GET', '/health', 200],
      ['GET', '/metadata?namespace=default', 200],
      ['GET', '/actors?namespace=default&name=counter', 200],
      ['POST', actionPathById(id, 'count'), 200],
      ['POST', actionPathById(id, 'nope'), 404],
      ['POST', '/gateway/nonsense/action/count', 404],
      ['GET', actionPathById(id, 'count'), 405],
      ['GET', '/nothing', 404],
    ];
    for (const [method, path, status] of requests) {
      const body = method === 'POST' ? { args: [] } : undefined;
      const answer = await host.request(method, path, { headers: { origin }, body });
      assert.equal(answer.status, status, path);
      assert.equal(answer.headers['access-control-allow-origin'], origin, path);
      assert.equal(answer.headers['access-control-allow-credentials'], 'true', path);
      assert.ok(answer.headers['access-control-expose-headers'], path);
      assert.ok(list(answer.headers.vary).includes('origin'), path);
    }
  });

  test('an answer to no browser may be read by all', async () => {
    const { headers } = await host.request('GET', '/health');
    assert.equal(headers['access-control-allow-origin'], '*');
  });
});
