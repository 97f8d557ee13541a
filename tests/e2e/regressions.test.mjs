// What has gone wrong once, each named for it.

import assert from 'node:assert/strict';
import { readdir, readFile, writeFile } from 'node:fs/promises';
import http from 'node:http';
import path from 'node:path';
import { describe, test } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { failsWith, guestBytes, inParallel, range, startHost, until, useHost } from './harness.mjs';

/** A component with other bytes and the same meaning: a custom section is added. */
function variant(bytes, number) {
  const content = Buffer.concat([Buffer.from([1]), Buffer.from('v'), Buffer.from(String(number))]);
  return Buffer.concat([bytes, Buffer.from([0, content.length]), content]);
}

describe('actors that call back into one that waits for them', () => {
  const host = useHost({ components: ['order', 'inventory'] });
  const skus = range(8).map((index) => `sku-${index}`);
  const lines = skus.map((sku) => ({ sku, count: 1 }));

  test('finish while their component is replaced', async () => {
    const order = await guestBytes('order');
    const inventory = await guestBytes('inventory');
    for (const sku of skus) await host.call('inventory', [sku], 'restock', 1_000_000);
    let isOver = false;
    const deploys = (async () => {
      for (const round of range(4)) {
        await host.deploy(variant(order, round));
        await host.deploy(variant(inventory, round));
      }
      isOver = true;
    })();
    let placed = 0;
    await inParallel(16, 16, async (worker) => {
      for (let round = 0; !isOver || round === 0; round += 1) {
        const receipt = await host.call('order', [`o-${worker}-${round}`], 'place', lines);
        assert.equal(receipt.status, 'confirmed');
        placed += 1;
      }
    });
    await deploys;
    for (const sku of skus) {
      assert.equal(await host.call('inventory', [sku], 'stock'), 1_000_000 - placed);
    }
  });

  test('finish while they are put to sleep', async () => {
    for (const round of range(20)) {
      const key = [`s-${round}`];
      await host.call('order', key, 'status');
      const [{ actor_id: id }] = await host.actors({ name: 'order', key: key[0] });
      const placing = host.call('order', key, 'place', lines);
      await pause(round % 5);
      const [receipt] = await Promise.all([placing, host.manage('POST', `/actors/${id}/sleep?namespace=default`, {})]);
      assert.equal(receipt.status, 'confirmed');
    }
  });
});

describe('a guest that blocks all of itself', () => {
  const host = useHost({ components: ['fixtures'], flags: ['--start-timeout', '1s'] });

  test('does not keep others waiting for ever', async () => {
    await failsWith('actor.action_timed_out', host.call('blocker', ['a'], 'block', 600_000));
    const began = performance.now();
    assert.equal(await host.call('blocker', ['a'], 'ping'), 'pong');
    assert.ok(performance.now() - began < 10_000);
  });

  test('can be destroyed', async () => {
    await host.call('blocker', ['b'], 'ping');
    const [{ actor_id: id }] = await host.actors({ name: 'blocker', key: 'b' });
    const blocked = failsWith('actor.action_timed_out', host.call('blocker', ['b'], 'block', 600_000));
    await pause(50);
    await host.manage('DELETE', `/actors/${id}?namespace=default`);
    await blocked;
    assert.equal(await host.actor(id), undefined);
  });
});

test('an actor whose first start fails after it has saved is created again', async (t) => {
  const host = await startHost(t, { components: ['fixtures'] });
  await failsWith('user.fussy', host.call('fussy', ['a'], 'creates'));
  assert.equal(await host.call('fussy', ['a'], 'creates'), 2);
});

test('a deploy whose client goes away is carried out all the same', async (t) => {
  const host = await startHost(t, { components: ['rollout_v1'] });
  const versions = [await guestBytes('rollout_v2'), await guestBytes('rollout_v1')];
  for (const round of range(30)) {
    const bytes = versions[round % 2];
    const url = new URL(host.url);
    const request = http.request({ method: 'POST', path: '/components', host: url.hostname, port: url.port });
    request.on('error', () => {});
    request.end(bytes);
    await pause(round * 2);
    request.destroy();
    // Whatever became of it, what the host says is current is what runs.
    await until('what is current runs', async () => {
      const { components } = await host.manage('GET', '/components');
      const version = await host.call('rollout', [`${round}`], 'version');
      return components[0].revision % 2 === version % 2;
    });
  }
});

test('a huge BigInt is refused at once', async (t) => {
  const host = await startHost(t, { components: ['fixtures'] });
  const digits = '9'.repeat(60_000);
  // Nothing else is to take time.
  await host.call('echoer', ['a'], 'echo', 1);
  const began = performance.now();
  await failsWith('actor.invalid_request', host.call('echoer', ['a'], 'echo', ['$BigInt', digits]));
  assert.ok(performance.now() - began < 5_000);
});

test('a web page of another site may call actors, but not deploy in development mode', async (t) => {
  const host = await startHost(t, { components: ['fixtures'] });
  const headers = { origin: 'http://evil.example' };
  const deployed = await host.request('POST', '/components', { headers, body: await guestBytes('counter') });
  assert.equal(deployed.status, 403);
  assert.equal(deployed.json().code, 'forbidden');
  const created = await host.request('PUT', '/actors?namespace=default', { headers, body: { name: 'echoer', key: 'a' } });
  assert.equal(created.status, 200);
});

test('a damaged or missing compiled component is compiled again', async (t) => {
  const host = await startHost(t, { components: ['bench'] });
  assert.equal(await host.call('bench', ['a'], 'increment', 1), 1);
  const cache = path.join(host.data, 'cache');
  const compiled = async () => (await readdir(cache)).filter((name) => name.endsWith('.cwasm'));
  const [name] = await compiled();
  const whole = await readFile(path.join(cache, name));

  await host.kill();
  const damaged = Buffer.from(whole);
  damaged.fill(0xa5, damaged.length / 2, damaged.length / 2 + 64);
  await writeFile(path.join(cache, name), damaged);
  await host.startAgain();
  assert.equal(await host.call('bench', ['a'], 'increment', 1), 2);
  assert.deepEqual(await readFile(path.join(cache, name)), whole);

  // Another wasmtime looks for another name: what the old one left is of no use, and goes.
  await host.kill();
  const ofAnotherEngine = name.replace(/-[0-9a-f]{16}\.cwasm$/, '-0123456789abcdef.cwasm');
  assert.notEqual(ofAnotherEngine, name);
  await writeFile(path.join(cache, ofAnotherEngine), damaged);
  await writeFile(path.join(cache, name), '');
  await host.startAgain();
  assert.equal(await host.call('bench', ['a'], 'increment', 1), 3);
  assert.deepEqual(await compiled(), [name]);
});
