// Actors that call actors: an order asks several inventories at once, and each calls back into the
// order while it waits.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ENCODINGS, fresh, range, startHost, useHost } from './harness.mjs';

const host = useHost({ components: ['order', 'inventory'] });

const line = (sku, count) => ({ sku, count });

for (const encoding of ENCODINGS) {
  test(`an order reserves from several inventories, which call back while it waits, in ${encoding}`, async () => {
    const { order, inventory } = host.client({ encoding, namespace: fresh('shop') });
    assert.equal(await inventory.getOrCreate(['apple']).restock(10), 10);
    assert.equal(await inventory.getOrCreate(['pear']).restock(5), 5);

    const placed = await order.getOrCreate(['first']).place([line('apple', 4), line('pear', 5)]);
    assert.equal(placed.status, 'confirmed');
    const bySku = (a, b) => a.sku.localeCompare(b.sku);
    assert.deepEqual(placed.reserved.toSorted(bySku), [line('apple', 4), line('pear', 5)]);
    assert.equal(await inventory.get(['apple']).stock(), 6);
    assert.equal(await inventory.get(['pear']).stock(), 0);
    assert.equal(await order.get(['first']).status(), 'confirmed');
  });
}

test('an order of more than there is is rejected whole', async () => {
  const { order, inventory } = host.client({ namespace: fresh('shop') });
  await inventory.getOrCreate(['apple']).restock(3);
  await inventory.getOrCreate(['pear']).restock(9);
  const placed = await order.getOrCreate(['greedy']).place([line('apple', 4), line('pear', 9)]);
  assert.deepEqual(placed, { status: 'rejected', reserved: [] });
  assert.equal(await inventory.get(['apple']).stock(), 3);
  assert.equal(await inventory.get(['pear']).stock(), 9);
});

test('an order is placed once', async () => {
  const { order, inventory } = host.client({ namespace: fresh('shop') });
  await inventory.getOrCreate(['apple']).restock(10);
  const handle = order.getOrCreate(['o']);
  assert.strictEqual(await handle.status(), null);
  const outcomes = await Promise.allSettled(range(5).map(() => handle.place([line('apple', 1)])));
  assert.equal(outcomes.filter(({ status }) => status === 'fulfilled').length, 1);
  const { reason } = outcomes.find(({ status }) => status === 'rejected');
  assert.equal(`${reason.group}.${reason.code}`, 'user.placed');
  assert.equal(await inventory.get(['apple']).stock(), 9);
});

test('an order of what nobody has ever stocked is rejected', async () => {
  const { order } = host.client({ namespace: fresh('shop') });
  assert.equal((await order.getOrCreate(['odd']).place([line('unheard-of', 1)])).status, 'rejected');
});

test('many orders at once over the same inventories block nobody and sell nothing twice', async () => {
  const namespace = fresh('rush');
  const { order, inventory } = host.client({ namespace });
  const skus = ['a', 'b', 'c'];
  const STOCK = 60;
  await Promise.all(skus.map((sku) => inventory.getOrCreate([sku]).restock(STOCK)));
  const ORDERS = 40;
  const placed = await Promise.all(
    range(ORDERS).map((n) => order.getOrCreate([`${n}`]).place([line(skus[n % 3], 3), line(skus[(n + 1) % 3], 3)])),
  );
  const left = await Promise.all(skus.map((sku) => inventory.get([sku]).stock()));
  const confirmed = placed.filter(({ status }) => status === 'confirmed').length;
  assert.ok(confirmed > 0);
  assert.ok(placed.every(({ status }) => ['confirmed', 'rejected'].includes(status)));
  assert.ok(left.every((stock) => stock >= 0), `${left}`);
  const sold = skus.length * STOCK - left.reduce((sum, stock) => sum + stock);
  assert.equal(sold, 6 * confirmed, `${confirmed} orders of 6 are confirmed`);
});

test('orders reach the inventories of their own namespace only', async () => {
  const [here, there] = [fresh('here'), fresh('there')].map((namespace) => host.client({ namespace }));
  await here.inventory.getOrCreate(['apple']).restock(10);
  await there.inventory.getOrCreate(['apple']).restock(10);
  assert.equal((await here.order.getOrCreate(['o']).place([line('apple', 7)])).status, 'confirmed');
  assert.equal(await here.inventory.get(['apple']).stock(), 3);
  assert.equal(await there.inventory.get(['apple']).stock(), 10);
});

test('an inventory can be called by others while it calls the order back', async () => {
  const { order, inventory } = host.client({ namespace: fresh('shop') });
  const apples = inventory.getOrCreate(['apple']);
  await apples.restock(1_000);
  const [stocks] = await Promise.all([
    Promise.all(range(50).map(() => apples.stock())),
    ...range(10).map((n) => order.getOrCreate([`${n}`]).place([line('apple', 10)])),
  ]);
  assert.ok(stocks.every((stock) => stock >= 900 && stock <= 1_000));
  assert.equal(await apples.stock(), 900);
});

test('what a confirmed order rests on is kept when the host is killed right after', async (t) => {
  const host = await startHost(t, { components: ['order', 'inventory'] });
  assert.equal(await host.call('inventory', ['apple'], 'restock', 10), 10);
  const placed = await host.call('order', ['o'], 'place', [line('apple', 4)]);
  assert.equal(placed.status, 'confirmed');
  await host.kill();
  await host.startAgain();
  assert.equal(await host.call('inventory', ['apple'], 'stock'), 6);
  assert.equal(await host.call('order', ['o'], 'status'), 'confirmed');
});

test('a call to a type that is not deployed fails, and works once it is', async (t) => {
  const host = await startHost(t, { components: ['order'] });
  assert.equal((await host.call('order', ['o'], 'place', [line('apple', 1)])).status, 'rejected');
  await host.deploy('inventory');
  assert.equal(await host.call('inventory', ['apple'], 'restock', 2), 2);
  assert.equal((await host.call('order', ['p'], 'place', [line('apple', 1)])).status, 'confirmed');
});
