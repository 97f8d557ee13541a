// What operators see of queues and schedules, and may do about them. What becomes of dead letters and cancelled entries is
// in the tests of queues and schedules.

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { assertRefusal, fresh, gatewayPath, isAsleep, range, until, useHost } from './harness.mjs';

const TOKEN = 'a-secret-of-operators';

/** Routes below an actor, each with the method that it takes. */
const ROUTES = [
  ['GET', 'queue'],
  ['GET', 'dead-letters'],
  ['POST', 'dead-letters/1/retry'],
  ['DELETE', 'dead-letters/1'],
  ['GET', 'schedule'],
  ['DELETE', 'schedule/some%20entry'],
];

describe('an operator', () => {
  const host = useHost({ components: ['fixtures'] });

  async function newDesk() {
    const key = fresh('desk');
    await host.call('desk', [key], 'size');
    const [{ actor_id: id }] = await host.actors({ name: 'desk', key });
    const call = (action, ...args) => host.call('desk', [key], action, ...args);
    const look = (rest, query = '') => host.manage('GET', `/actors/${id}/${rest}?namespace=default${query}`);
    return { key, id, call, look };
  }

  test('sees messages oldest first, as many as wanted, with bodies if wanted', async () => {
    const { call, look } = await newDesk();
    assert.deepEqual(await look('queue'), { size: 0, messages: [] });
    const before = Date.now();
    for (const n of range(120)) await call('post', n % 2 ? 'letters' : 'parcels', { n });
    const { size, messages } = await look('queue');
    assert.deepEqual([size, messages.length], [120, 100]);
    assert.deepEqual(messages.map(({ name }) => name), range(100).map((n) => (n % 2 ? 'letters' : 'parcels')));
    const { id, sentAtMs, ...rest } = messages[0];
    assert.deepEqual(rest, { name: 'parcels', attempts: 0, notBeforeMs: 0 });
    assert.equal(typeof id, 'string');
    assert.ok(sentAtMs >= before && sentAtMs <= Date.now());

    const two = await look('queue', '&limit=2&bodies=true');
    assert.deepEqual([two.size, two.messages.map(({ body }) => body)], [120, [{ n: 0 }, { n: 1 }]]);
    assert.equal((await look('queue', '&limit=1000')).messages.length, 120);
    assert.equal((await look('queue', '&limit=0')).messages.length, 1);
  });

  test('sees delays, and bodies as JSON answers have them', async () => {
    const { key, call, look } = await newDesk();
    const desk = host.client().desk.getOrCreate([key]);
    await desk.send('letters', new Uint8Array([1, 2]));
    await desk.send('letters', undefined);
    const sentAt = await call('postAfter', 3_600_000, 'letters', 'later');
    const { messages } = await look('queue', '&bodies=true');
    assert.deepEqual(messages.map(({ body }) => body), [['$Uint8Array', 'AQI='], ['$Undefined', 0], 'later']);
    assert.ok(messages[2].notBeforeMs >= sentAt + 3_600_000);
  });

  test('sees what a sleeper has, which goes back to sleep', async () => {
    const { id, call, look } = await newDesk();
    await call('post', 'letters', 'kept');
    await until('it sleeps', async () => isAsleep(await host.actor(id)));
    assert.equal((await look('queue')).size, 1);
    assert.deepEqual(await look('schedule'), { entries: [], history: [] });
    await until('it sleeps', async () => isAsleep(await host.actor(id)));
  });

  test('is told when there is no such actor, or no such thing', async () => {
    const { id } = await newDesk();
    for (const [method, rest] of ROUTES) {
      const nobody = `/actors/${'0'.repeat(32)}/${rest}`;
      assertRefusal(await host.request(method, `${nobody}?namespace=default`), 404, 'actor.not_found');
      assertRefusal(await host.request(method, `/actors/${id}/${rest}?namespace=${fresh('elsewhere')}`), 404, 'actor.not_found');
      const known = `/actors/${id}/${rest}?namespace=default`;
      assertRefusal(await host.request('PUT', known), 405, 'actor.method_not_allowed');
      if (method !== 'GET') assertRefusal(await host.request(method, known), 404, 'api.not_found');
    }
    assertRefusal(await host.request('GET', `/actors/${id}/queue?namespace=default&limit=many`), 400, 'api.bad_request');
    assertRefusal(await host.request('GET', `/actors/${id}/nothing?namespace=default`), 404, 'api.not_found');
  });
});

describe('a stranger', () => {
  const host = useHost({ components: ['fixtures'], token: TOKEN });

  test('may send, but neither look into queues and schedules nor change them', async () => {
    const sent = await host.request('POST', gatewayPath('desk', ['k'], '/queue/letters'), { body: { body: 1 } });
    assert.equal(sent.status, 200, sent.text());
    const [{ actor_id: id }] = await host.actors({ name: 'desk', key: 'k' });
    for (const [method, rest] of ROUTES) {
      const target = `/actors/${id}/${rest}?namespace=default`;
      const refused = await host.request(method, target);
      assert.ok([401, 403].includes(refused.status), `${method} ${rest}: ${refused.status} ${refused.text()}`);
      const wrong = await host.request(method, target, { headers: { authorization: 'Bearer guessed' } });
      assert.ok([401, 403].includes(wrong.status), `${method} ${rest}: ${wrong.status} ${wrong.text()}`);
    }
    assert.equal((await host.manage('GET', `/actors/${id}/queue?namespace=default`)).size, 1);
  });
});

describe('a web page of another site', () => {
  const host = useHost({ components: ['fixtures'] });

  test('may not look into queues and schedules either', async () => {
    await host.call('desk', ['k'], 'size');
    const [{ actor_id: id }] = await host.actors({ name: 'desk', key: 'k' });
    for (const [method, rest] of ROUTES) {
      const headers = { origin: 'https://elsewhere.example', 'sec-fetch-site': 'cross-site' };
      const refused = await host.request(method, `/actors/${id}/${rest}?namespace=default`, { headers });
      assertRefusal(refused, 403, 'api.forbidden');
    }
  });
});
