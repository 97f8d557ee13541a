// The React hooks in a real browser.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { useBrowser, usePages } from './browser.mjs';
import { fresh, until, useHost } from './harness.mjs';

const host = useHost({ components: ['conformance'] });
const pages = usePages('react.jsx');
const browser = useBrowser();

const counterPage = (t, key) =>
  browser.open(t, pages.url('react', { endpoint: host.url, type: 'counter', key }));

async function shows(page, count) {
  const state = () => Promise.all(['#count', '#status', '#error'].map((place) => page.textContent(place)));
  await until(`the page shows ${count}`, async () => (await state())[0] === String(count)).catch(async (error) => {
    error.message += `; count, status and error are ${JSON.stringify(await state())}`;
    throw error;
  });
}

test('a click in one page shows in all', async (t) => {
  const key = fresh();
  const [one, other] = await Promise.all([counterPage(t, key), counterPage(t, key)]);
  for (const page of [one, other]) await shows(page, 0);

  await one.click('button');
  for (const page of [one, other]) await shows(page, 1);
  await other.click('button');
  for (const page of [one, other]) await shows(page, 2);

  assert.equal(await host.call('counter', [key], 'getCount'), 2);
});

test('a page of another actor shows nothing of it', async (t) => {
  const [one, other] = await Promise.all([counterPage(t, fresh()), counterPage(t, fresh())]);
  for (const page of [one, other]) await shows(page, 0);

  await one.click('button');
  await shows(one, 1);
  await other.click('button');
  await shows(other, 1);
});

test('a page that comes later shows what was counted before', async (t) => {
  const key = fresh();
  await host.call('counter', [key], 'increment', 41);
  const page = await counterPage(t, key);
  await shows(page, 41);

  // What others do without a connection is an event as well.
  await host.call('counter', [key], 'increment', 1);
  await shows(page, 42);

  await page.reload();
  await shows(page, 42);
});
