// The page of the chat example in a real browser.

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { useBrowser, useExamplePage } from './browser.mjs';
import { actionPath, fresh, isAsleep, range, sameAgain, until, useHost } from './harness.mjs';
import { upTo } from './sockets.mjs';

const ADA = 'ada-1815';
const GRACE = 'grace-1906';
const ALAN = 'alan-1912';

const page = useExamplePage(fileURLToPath(new URL('../../examples/chat/page/', import.meta.url)));
const browser = useBrowser();

/** A page of the chat, as somebody sees and uses it. */
class Visitor {
  #page;
  /** The WebSockets that it has opened so far, as Playwright knows them. */
  sockets = [];

  constructor(page) {
    this.#page = page;
    page.on('websocket', (socket) => this.sockets.push(socket));
  }

  /** Fills in the form and submits it. */
  async enter(host, room, token) {
    await this.#page.fill('#endpoint', host.url);
    await this.#page.fill('#room', room);
    await this.#page.fill('#token', token);
    await this.#page.click('#door button');
  }

  async say(text) {
    await this.#page.fill('#text', text);
    // Not by a click: lines that come in move the button.
    await this.#page.press('#text', 'Enter');
  }

  /** All that it shows: the status, the error, and the lines without the time of day. */
  async look() {
    const [status, error, texts] = await Promise.all([
      this.#page.textContent('#status'),
      this.#page.textContent('#error'),
      this.#page.locator('#messages li').allTextContents(),
    ]);
    return { status, error, lines: texts.map((text) => text.replace(/^\d.*?(?=[A-Z][a-z]+: )/, '')) };
  }

  /** Waits until it shows these lines, and no others. */
  async shows(...lines) {
    await this.#sees(`lines ${JSON.stringify(lines)}`, (seen) => JSON.stringify(seen.lines) === JSON.stringify(lines));
  }

  /** Waits until it shows so many lines, and gives what it shows. */
  async showsCount(count) {
    return this.#sees(`${count} lines`, (seen) => seen.lines.length === count);
  }

  async showsStatus(status) {
    await this.#sees(`status ${status}`, (seen) => seen.status === status);
  }

  async showsError(error) {
    await this.#sees(`error ${error}`, (seen) => seen.error === error);
  }

  async #sees(what, isSo) {
    let seen;
    await until(what, async () => isSo((seen = await this.look()))).catch((error) => {
      error.message += `; it shows ${JSON.stringify(seen)}`;
      throw error;
    });
    return seen;
  }

  /** Checks that it is connected by the one WebSocket that it has opened first, and complains of nothing. */
  async assertNeverReconnected() {
    const { status, error } = await this.look();
    assert.deepEqual({ status, error }, { status: 'connected', error: '' });
    assert.equal(this.sockets.length, 1, 'it has connected again');
    assert.ok(!this.sockets[0].isClosed(), 'it has lost its connection');
  }
}

const visitor = async (t, options) => new Visitor(await browser.open(t, page.url(), options));

/** Ada and Grace, who know of each other. */
async function twoIn(t, host, room) {
  const [ada, grace] = await Promise.all([visitor(t), visitor(t)]);
  await ada.enter(host, room, ADA);
  await ada.shows('here: Ada');
  await grace.enter(host, room, GRACE);
  await grace.shows('here: Ada, Grace');
  await ada.shows('here: Ada', 'Grace joined');
  return [ada, grace];
}

const idOf = async (host, room) => (await host.actors({ name: 'chat', key: room }))[0].actor_id;

/** Both say something, and both see it after what they see already. */
async function talk(ada, grace, about) {
  const [before, beforeGrace] = [(await ada.look()).lines, (await grace.look()).lines];
  const said = [];
  for (const n of range(2)) {
    await grace.say(`${about} ${n}`);
    said.push(`Grace: ${about} ${n}`);
    await ada.shows(...before, ...said);
    await ada.say(`${about} ${n}, too`);
    said.push(`Ada: ${about} ${n}, too`);
    await grace.shows(...beforeGrace, ...said);
  }
  await ada.shows(...before, ...said);
}

describe('the page', () => {
  const host = useHost({ components: ['chat'] });

  test('shows who is there, who comes and who goes', async (t) => {
    const room = fresh('room');
    const [ada, grace] = await twoIn(t, host, room);
    const alan = await visitor(t);
    await alan.enter(host, room, ALAN);
    await alan.shows('here: Ada, Alan, Grace');
    await ada.shows('here: Ada', 'Grace joined', 'Alan joined');
    await grace.shows('here: Ada, Grace', 'Alan joined');

    // By way of another room.
    await grace.enter(host, fresh('room'), GRACE);
    await grace.shows('here: Grace');
    await ada.shows('here: Ada', 'Grace joined', 'Alan joined', 'Grace left');
    await alan.shows('here: Ada, Alan, Grace', 'Grace left');
  });

  test('shows somebody leave whose page is closed', async (t) => {
    const room = fresh('room');
    const ada = await visitor(t);
    await ada.enter(host, room, ADA);
    await ada.shows('here: Ada');
    const open = await browser.open(t, page.url());
    await new Visitor(open).enter(host, room, GRACE);
    await ada.shows('here: Ada', 'Grace joined');
    await open.close();
    await ada.shows('here: Ada', 'Grace joined', 'Grace left');
  });

  test('shows the messages of both, in one order', async (t) => {
    const [ada, grace] = await twoIn(t, host, fresh('room'));
    const said = [];
    for (const n of upTo(3)) {
      await ada.say(`question ${n}`);
      await grace.shows('here: Ada, Grace', ...said, `Ada: question ${n}`);
      await grace.say(`answer ${n}`);
      said.push(`Ada: question ${n}`, `Grace: answer ${n}`);
      await ada.shows('here: Ada', 'Grace joined', ...said);
      await grace.shows('here: Ada, Grace', ...said);
    }

    const all = 2 * 10;
    await Promise.all([ada, grace].map(async (each, index) => {
      for (const n of upTo(10)) await each.say(`at once ${index} ${n}`);
    }));
    const { lines } = await ada.showsCount(2 + said.length + all);
    await grace.shows('here: Ada, Grace', ...lines.slice(2));
    for (const [index, name] of ['Ada', 'Grace'].entries()) {
      const own = lines.filter((line) => line.includes(`at once ${index}`));
      assert.deepEqual(own, upTo(10).map((n) => `${name}: at once ${index} ${n}`));
    }
  });

  test('shows what was said before to who comes later', async (t) => {
    const room = fresh('room');
    const ada = await visitor(t);
    await ada.enter(host, room, ADA);
    await ada.shows('here: Ada');
    const texts = ['first', '<b>second</b>', 'the third, é 日本 😀'];
    for (const text of texts) await ada.say(text);
    await ada.shows('here: Ada', ...texts.map((text) => `Ada: ${text}`));

    const alan = await visitor(t);
    await alan.enter(host, room, ALAN);
    await alan.shows(...texts.map((text) => `Ada: ${text}`), 'here: Ada, Alan');
  });

  test('shows nothing of another room', async (t) => {
    const [ada, grace] = await Promise.all([visitor(t), visitor(t)]);
    await ada.enter(host, fresh('room'), ADA);
    await grace.enter(host, fresh('room'), GRACE);
    await ada.shows('here: Ada');
    await grace.shows('here: Grace');
    await ada.say('hello');
    await grace.say('is there anybody?');
    await ada.shows('here: Ada', 'Ada: hello');
    await grace.shows('here: Grace', 'Grace: is there anybody?');
  });

  test('shows why a token is refused, and lets a better one in', async (t) => {
    const room = fresh('room');
    const ada = await visitor(t);
    await ada.enter(host, room, ADA);
    await ada.shows('here: Ada');

    const guest = await visitor(t);
    await guest.enter(host, room, 'mallory');
    await guest.showsError('invalid_token: nobody here knows this token');
    const { lines, status } = await guest.look();
    assert.deepEqual(lines, []);
    assert.notEqual(status, 'connected');

    await guest.enter(host, room, GRACE);
    await guest.shows('here: Ada, Grace');
    await guest.showsError('');
    await ada.shows('here: Ada', 'Grace joined');
  });

  test('says what is missing when something is said too early', async (t) => {
    const ada = await visitor(t);
    await ada.say('hello');
    await ada.showsError('error: connect first');
  });
});

describe('a connected page', () => {
  const host = useHost({ components: ['chat'] });

  let deploys = 0;
  /** Deploys another revision of the same. */
  async function deploy() {
    deploys += 1;
    const { revision, isNew } = await host.deploy(await sameAgain('chat', deploys));
    assert.deepEqual({ revision, isNew }, { revision: deploys + 1, isNew: true });
  }

  /** The generation of the actor of a room, which this wakes if it sleeps. */
  async function generation(room) {
    const headers = { 'x-rivet-conn-params': JSON.stringify({ token: ALAN }) };
    const answer = await host.request('POST', actionPath('chat', [room], 'who'), { headers, body: { args: [] } });
    assert.equal(answer.status, 200, answer.text());
    return Number(answer.headers['x-rivet-actor-generation']);
  }

  test('stays connected while the actor sleeps, is woken by its next message, and misses none', async (t) => {
    const room = fresh('room');
    const [ada, grace] = await twoIn(t, host, room);
    await talk(ada, grace, 'before');
    const id = await idOf(host, room);
    for (const round of upTo(3)) {
      await host.putToSleep(id);
      await talk(ada, grace, `after sleep ${round}`);
    }
    // Who was there is not forgotten, either.
    await host.putToSleep(id);
    const alan = await visitor(t);
    await alan.enter(host, room, ALAN);
    await until('Alan sees who is there', async () => (await alan.look()).lines.at(-1) === 'here: Ada, Alan, Grace');
    for (const each of [ada, grace]) await each.assertNeverReconnected();
  });

  test('stays connected while new revisions are deployed, and misses no message', async (t) => {
    const room = fresh('room');
    const [ada, grace] = await twoIn(t, host, room);
    await talk(ada, grace, 'before');
    for (const round of upTo(3)) {
      const before = await generation(room);
      await deploy();
      await until('the actor runs on it', async () => (await generation(room)) > before);
      await talk(ada, grace, `after deploy ${round}`);
    }

    // Deployed in the actor's sleep.
    await host.putToSleep(await idOf(host, room));
    await deploy();
    await talk(ada, grace, 'after the last');
    for (const each of [ada, grace]) await each.assertNeverReconnected();
  });

  test('misses nothing that is said during deploys and sleep', async (t) => {
    const room = fresh('room');
    const [ada, grace] = await twoIn(t, host, room);
    const id = await idOf(host, room);
    const said = [];
    const disturb = async () => {
      for (const _ of range(3)) {
        const goal = said.length + 2;
        await deploy();
        await host.manage('POST', `/actors/${id}/sleep?namespace=default`, {});
        await until('more is said', () => said.length > goal);
      }
    };
    let isOver = false;
    const disturbing = disturb().finally(() => (isOver = true));
    while (!isOver) {
      said.push(`Grace: message ${said.length}`);
      await grace.say(`message ${said.length - 1}`);
    }
    await disturbing;
    assert.ok(said.length > 3, `only ${said.length} messages were said`);
    await ada.shows('here: Ada', 'Grace joined', ...said);
    await grace.shows('here: Ada, Grace', ...said);
    for (const each of [ada, grace]) await each.assertNeverReconnected();
  });
});

describe('a connected page of which nothing is heard', () => {
  const host = useHost({ components: ['chat'], flags: ['--sleep-after', '300ms'] });

  test('stays connected while the actor sleeps, which it does by itself', async (t) => {
    const room = fresh('room');
    const [ada, grace] = await twoIn(t, host, room);
    const id = await idOf(host, room);
    for (const round of upTo(2)) {
      await until('the actor sleeps', async () => isAsleep(await host.actor(id)));
      await talk(ada, grace, `after sleep ${round}`);
    }
    for (const each of [ada, grace]) await each.assertNeverReconnected();
  });
});
