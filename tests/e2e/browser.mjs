// Opens pages in a real Chromium, with the stock client bundled into them as users do it.
//
// `make npm` brings what this imports, `tests/browser-setup` the Chromium.

import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { accessSync, constants } from 'node:fs';
import { readFile } from 'node:fs/promises';
import http from 'node:http';
import path from 'node:path';
import { after, before } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import tls from 'node:tls';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild-wasm';
import { chromium } from 'playwright-core';

const START_MAX_MS = 60_000;
const WAIT_MAX_MS = 15_000;

const PAGES = fileURLToPath(new URL('pages/', import.meta.url));
// Where pages from elsewhere find what they import, if they have not installed it.
const PACKAGES = fileURLToPath(new URL('node_modules/', import.meta.url));

// The same list is in `tests/browser-setup`.
const NAMES = ['chromium', 'chromium-browser', 'google-chrome'];
// Root in a container has no sandbox. The rest keeps it from doing what nobody asked for.
const FLAGS = [
  '--headless',
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
];

/** The path of the Chromium to use: what the variable CHROMIUM says, or else the first in PATH. */
export function findChromium() {
  if (process.env.CHROMIUM) return process.env.CHROMIUM;
  const folders = (process.env.PATH ?? '').split(path.delimiter).filter(Boolean);
  const found = NAMES.flatMap((name) => folders.map((folder) => path.join(folder, name))).find(isProgram);
  if (!found) throw new Error(`there is no ${NAMES.join(', ')} in PATH; run tests/browser-setup or set CHROMIUM`);
  return found;
}

function isProgram(file) {
  try {
    accessSync(file, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

/**
 * A Chromium with a new profile for all the tests of a file (or of the `describe` around the call).
 *
 * @param flags gives further flags. Asked at the start, so in a `describe`, where one hook runs after the other, they
 *   may depend on a host that is there by then
 */
export function useBrowser({ flags = () => [] } = {}) {
  const browser = new Browser(flags);
  before(() => browser.start());
  after(() => browser.end());
  return browser;
}

class Browser {
  #flags;
  #start = null;

  constructor(flags) {
    this.#flags = flags;
  }

  start() {
    this.#start = this.#launch();
    return this.#start;
  }

  async #launch() {
    const args = [...FLAGS, ...(await this.#flags())];
    return chromium.launch({ executablePath: findChromium(), args, timeout: START_MAX_MS });
  }

  // The end may come before the start is over, where another hook has failed.
  async end() {
    const running = await this.#start?.catch(() => null);
    await running?.close();
  }

  /**
   * Opens a page that shares nothing with others, and closes it with the test. What it writes to the console as
   * an error, and what it throws, is in `page.complaints` and fails the test, unless one of `expected` matches.
   */
  async open(t, url, { expected = [] } = {}) {
    const context = await (await this.#start).newContext();
    context.setDefaultTimeout(WAIT_MAX_MS);
    const complaints = [];
    t.after(async () => {
      await context.close();
      const unexpected = complaints.filter((text) => !expected.some((pattern) => pattern.test(text)));
      assert.equal(unexpected.length, 0, `${url} complained:\n${unexpected.join('\n')}`);
    });
    const page = await context.newPage();
    page.on('console', (message) => {
      if (message.type() === 'error') complaints.push(`${message.text()} (${message.location().url})`);
    });
    page.on('pageerror', (error) => complaints.push(error.stack ?? String(error)));
    page.on('crash', () => complaints.push('it crashed'));
    await page.goto(url);
    return Object.assign(page, { complaints });
  }
}

/** What `question`, a function that runs in the page with one argument, answers. */
export async function ask(page, question, argument) {
  const late = Symbol('late');
  const answer = await Promise.race([page.evaluate(question, argument), pause(WAIT_MAX_MS, late, { ref: false })]);
  const complaints = page.complaints.join('\n');
  assert.notEqual(answer, late, `no answer within ${WAIT_MAX_MS} ms; the page complained: ${complaints}`);
  return answer;
}

/** The flag with which Chromium trusts the certificate that the server at `url` shows, and no other. */
export async function trusting(url) {
  const { hostname, port } = new URL(url);
  const certificate = await new Promise((resolve, reject) => {
    const options = { host: hostname, port, rejectUnauthorized: false, timeout: WAIT_MAX_MS };
    const socket = tls.connect(options, () => {
      resolve(socket.getPeerX509Certificate());
      socket.destroy();
    });
    socket.on('error', reject);
    socket.on('timeout', () => socket.destroy(new Error(`no TLS handshake within ${WAIT_MAX_MS} ms`)));
  });
  const spki = certificate.publicKey.export({ type: 'spki', format: 'der' });
  return `--ignore-certificate-errors-spki-list=${createHash('sha256').update(spki).digest('base64')}`;
}

/** A server for pages, each made of one file of `pages/`, for all the tests of a file. */
export function usePages(...files) {
  return useServer(async () => {
    const answers = new Map();
    for (const file of files) {
      const name = path.parse(file).name;
      answers.set(`/${name}`, ['text/html', html(name)]);
      answers.set(`/${name}.js`, ['text/javascript', await bundle(path.join(PAGES, file))]);
    }
    return answers;
  });
}

/** A server for the page of an example, by its folder: `index.html` as it is, and `main.js` built. */
export function useExamplePage(folder) {
  return useServer(async () => {
    const index = await readFile(path.join(folder, 'index.html'), 'utf8');
    const script = await bundle(path.join(folder, 'main.js'));
    return new Map([['/', ['text/html', index]], ['/main.js', ['text/javascript', script]]]);
  });
}

/** @param makeAnswers gives a media type and a text for each path */
function useServer(makeAnswers) {
  const pages = new Pages(makeAnswers);
  before(() => pages.start());
  after(() => pages.end());
  return pages;
}

class Pages {
  #makeAnswers;
  #start = null;
  #port = null;

  constructor(makeAnswers) {
    this.#makeAnswers = makeAnswers;
  }

  async start() {
    this.#start = this.#serve();
    this.#port = (await this.#start).address().port;
  }

  async #serve() {
    const answers = await this.#makeAnswers();
    const server = http.createServer((request, response) => {
      const [type, text] = answers.get(new URL(request.url, 'http://pages').pathname) ?? [];
      if (text === undefined) return response.writeHead(404).end();
      return response.writeHead(200, { 'content-type': `${type}; charset=utf-8` }).end(text);
    });
    await new Promise((resolve, reject) => {
      server.once('error', reject);
      server.listen(0, '127.0.0.1', resolve);
    });
    return server;
  }

  async end() {
    const server = await this.#start?.catch(() => null);
    server?.close();
    server?.closeAllConnections();
  }

  /** Where a page is: `react` for `pages/react.jsx`, nothing for that of an example. With a query for it to read. */
  url(name = '', query = {}) {
    return `http://127.0.0.1:${this.#port}/${name}?${new URLSearchParams(query)}`;
  }
}

// The icon keeps Chromium from asking for one, and from complaining that there is none.
function html(name) {
  return `<!doctype html>
<title>${name}</title>
<link rel="icon" href="data:,">
<div id="root"></div>
<script type="module" src="/${name}.js"></script>
`;
}

/** The text of one script with everything that `entry` imports. */
export async function bundle(entry) {
  const { outputFiles } = await build({
    entryPoints: [entry],
    bundle: true,
    write: false,
    format: 'esm',
    platform: 'browser',
    jsx: 'automatic',
    nodePaths: [PACKAGES],
    define: { 'process.env.NODE_ENV': '"production"' },
    logLevel: 'error',
  });
  return outputFiles[0].text;
}
