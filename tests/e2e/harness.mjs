// Starts the real `greenroom` binary, speaks to it, and ends it.
//
// A test file says once which components it needs (`useHost`) and then only what it expects. Every
// file has a host, a port and a data directory of its own, so files may run side by side.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, rmSync } from 'node:fs';
import { copyFile, mkdtemp, readFile, readdir, rename, rm } from 'node:fs/promises';
import http from 'node:http';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { after, before } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { inspect } from 'node:util';
import { createClient } from 'rivetkit/client';

const START_MAX_MS = 30_000;
const STOP_MAX_MS = 30_000;
const LOG_BYTES_KEPT = 256 * 1024;

const BINARY = existing('GREENROOM_BIN', 'the greenroom binary');
const GUESTS = existing('GREENROOM_GUESTS', 'the folder with the built guests (*.wasm)');

// Beside the binary, so that it goes when the binary does.
const COMPILED = path.join(path.dirname(BINARY), 'e2e-compiled');
const COMPILED_FILES_MAX = 600;
mkdirSync(COMPILED, { recursive: true });
if (readdirSync(COMPILED).length > COMPILED_FILES_MAX) {
  rmSync(COMPILED, { recursive: true });
  mkdirSync(COMPILED, { recursive: true });
}

/** The encodings of the stock client. */
export const ENCODINGS = ['bare', 'cbor', 'json'];

function existing(name, what) {
  const value = process.env[name];
  if (!value) throw new Error(`${name} is not set; it must be the path of ${what}`);
  if (!existsSync(value)) throw new Error(`${name} is ${value}, where there is nothing; it must be the path of ${what}`);
  return path.resolve(value);
}

// What a developer may have set would change what the client and the binary do.
for (const name of Object.keys(process.env)) {
  if (/^(RIVET|GREENROOM)_/.test(name)) delete process.env[name];
}
// The client's own log lines would bury the test report.
process.env.RIVET_LOG_LEVEL = 'silent';

// A test process that ends early must not leave hosts or their data behind.
const children = new Set();
const folders = new Set();
process.on('exit', () => {
  children.forEach((child) => child.kill('SIGKILL'));
  folders.forEach((folder) => rmSync(folder, { recursive: true, force: true }));
});
for (const signal of ['SIGINT', 'SIGTERM']) process.on(signal, () => process.exit(1));

/** The path of a built component, by its name without `.wasm`. */
export function guestFile(name) {
  const file = path.join(GUESTS, `${name}.wasm`);
  if (!existsSync(file)) throw new Error(`there is no ${name}.wasm in the folder GREENROOM_GUESTS`);
  return file;
}

/**
 * Copies what a host has compiled from these bytes, unless it is there. A host finds it under the hash of the bytes and of
 * everything in the engine that matters, so hosts of many tests can have it from one: compiling is most of what they do.
 */
async function copyCompiled(from, to, hash) {
  const names = await readdir(from).catch(() => []);
  const there = new Set(await readdir(to).catch(() => []));
  const wanted = names.filter((name) => name.startsWith(hash) && /\.(sha256|cwasm)$/.test(name) && !there.has(name));
  // The sum first, as the host itself writes them, and each whole or not at all.
  for (const name of wanted.toSorted().toReversed()) {
    const unfinished = path.join(to, `${name}.${process.pid}`);
    const copied = copyFile(path.join(from, name), unfinished).then(() => rename(unfinished, path.join(to, name)));
    // Another test file may be tidying up; what is not there is compiled.
    if (!(await copied.then(() => true, () => false))) return;
  }
}

/** The bytes of a built component. */
export function guestBytes(name) {
  return readFile(guestFile(name));
}

/** A component that does just what another does, under a hash of its own: with a section that nobody reads. */
export async function sameAgain(component, mark) {
  const name = Buffer.from('again');
  const content = Buffer.concat([Buffer.from([name.length]), name, Buffer.from([mark])]);
  return Buffer.concat([await guestBytes(component), Buffer.from([0, content.length]), content]);
}

/**
 * A host for all the tests of a file (or of the `describe` around the call): started before the first, with
 * `components` deployed, and stopped after the last, which must work as well.
 */
export function useHost(options = {}) {
  const host = new Host(options);
  before(() => host.start());
  after(() => host.end());
  return host;
}

/** A host for one test, ended with it. */
export async function startHost(t, options = {}) {
  const host = new Host(options);
  t.after(() => host.end());
  await host.start();
  return host;
}

/** One `greenroom serve` process at a time, on one data directory. */
class Host {
  #child = null;
  #exit = null;
  #log = '';
  #agent = null;
  #clients = [];
  #listen = '127.0.0.1:0';
  #folder = null;

  /**
   * @param components names of guests to deploy at the first start
   * @param flags further flags of `serve`, e.g. `['--sleep-after', '200ms']`
   * @param token the management token, if there is to be one
   * @param tls whether it listens for TLS as well, at `tlsUrl`
   * @param keepAlive false where the host closes idle connections so soon that reuse would race it
   */
  constructor({ components = [], flags = [], token = null, tls = false, keepAlive = true } = {}) {
    Object.assign(this, { components, flags, token, tls, keepAlive });
  }

  /** Where its data lives. */
  get data() {
    return path.join(this.#folder, 'data');
  }

  get pid() {
    return this.#child.pid;
  }

  /** Everything it has written to stderr lately. */
  get log() {
    return this.#log;
  }

  /** Its data directory. */
  get data() {
    return path.join(this.#folder, 'data');
  }

  get running() {
    return this.#child !== null && this.#child.exitCode === null && this.#child.signalCode === null;
  }

  /** Starts for the first time. */
  async start() {
    this.#folder = await temporaryFolder();
    await this.startAgain();
    for (const component of this.components) await this.deploy(component);
  }

  /** Starts on the same data and, if it had one, on the same port; `env` are further variables for the process. */
  async startAgain(env = {}) {
    const token = this.token ? ['--token', this.token] : [];
    const tls = this.tls ? ['--tls-listen', this.tlsUrl ? new URL(this.tlsUrl).host : '127.0.0.1:0'] : [];
    const args = ['serve', '--listen', this.#listen, '--data', this.data, ...token, ...tls, ...this.flags];
    const child = spawn(BINARY, args, { stdio: ['ignore', 'pipe', 'pipe'], env: { ...process.env, ...env } });
    children.add(child);
    this.#child = child;
    this.#exit = new Promise((resolve) => {
      child.once('error', (error) => resolve({ error }));
      child.once('exit', (code, signal) => resolve({ code, signal }));
    }).finally(() => children.delete(child));
    child.stderr.setEncoding('utf8').on('data', (text) => {
      this.#log = (this.#log + text).slice(-LOG_BYTES_KEPT);
    });

    const ready = new Promise((resolve) => {
      createInterface({ input: child.stdout }).on('line', (line) => {
        this.tlsUrl = /^TLS (https:\/\/\S+)$/.exec(line)?.[1] ?? this.tlsUrl;
        const url = /^READY (http:\/\/\S+)$/.exec(line)?.[1];
        if (url) resolve(url);
      });
    });
    const deadline = pause(START_MAX_MS, 'late', { ref: false });
    const started = await Promise.race([ready, this.#exit, deadline]);
    if (typeof started !== 'string' || started === 'late') {
      child.kill('SIGKILL');
      this.expectEnd();
      const why = started === 'late'
        ? `printed no READY line within ${START_MAX_MS} ms`
        : `ended before it was ready (${started.error ?? started.code ?? started.signal})`;
      throw new Error(`\`greenroom ${args.join(' ')}\` ${why}; its log:\n${this.#log}`);
    }
    this.url = started;
    this.port = Number(new URL(started).port);
    this.#listen = `127.0.0.1:${this.port}`;
    this.#agent = this.keepAlive ? new http.Agent({ keepAlive: true }) : new http.Agent();
  }

  /** Sends a signal and waits for the end: `{code, signal}`. */
  async stop(signal = 'SIGTERM') {
    this.signal(signal);
    return this.exited();
  }

  signal(signal) {
    this.#child.kill(signal);
  }

  /** How the process ended: `{code, signal}`. */
  async exited() {
    const end = await Promise.race([this.#exit, pause(STOP_MAX_MS, null, { ref: false })]);
    assert.ok(end, `the host did not end within ${STOP_MAX_MS} ms; its log:\n${this.#log}`);
    this.#agent?.destroy();
    return end;
  }

  /** Ends it as a power cut would. */
  async kill() {
    return this.stop('SIGKILL');
  }

  /** Stops it for good and removes everything. A host that crashed before fails the file. */
  async end() {
    const wasRunning = this.running;
    try {
      await Promise.all(this.#clients.map((client) => client.dispose()));
      if (wasRunning) {
        const end = await this.stop();
        assert.deepEqual(end, { code: 0, signal: null }, `the host did not stop cleanly; its log:\n${this.#log}`);
      } else if (this.#exit) {
        const { code, signal } = await this.#exit;
        assert.ok(this.endExpected, `the host ended on its own (${code ?? signal}); its log:\n${this.#log}`);
      }
    } finally {
      if (this.running) await this.kill();
      if (this.#folder) await removeFolder(this.#folder);
    }
  }

  /** Says that a test ends the process itself and does not start it again. */
  expectEnd() {
    this.endExpected = true;
  }

  /** A stock client of this host. By default the newest, with every default that users get. */
  client({ create = createClient, ...options } = {}) {
    const client = create({ endpoint: this.url, ...options });
    this.#clients.push(client);
    return client;
  }

  /**
   * One HTTP request: `{status, headers, body}`, and `json()` for the body. A `body` that is not text or
   * bytes is sent as JSON; with `chunks`, an async iterable, it is streamed.
   */
  async request(method, target, { headers = {}, body, chunks, agent = this.#agent } = {}) {
    const isJson = body !== undefined && typeof body !== 'string' && !(body instanceof Uint8Array);
    const bytes = isJson ? JSON.stringify(body) : body;
    const { promise, resolve, reject } = deferred();
    const url = new URL(this.url);
    const options = { agent, method, path: target, host: url.hostname, port: url.port, headers: { ...headers } };
    if (bytes !== undefined) options.headers['content-length'] = Buffer.byteLength(bytes);
    if (isJson) options.headers['content-type'] ??= 'application/json';
    const request = http.request(options, (response) => {
      const parts = [];
      response.on('data', (part) => parts.push(part));
      response.on('error', reject);
      response.on('end', () => {
        const answer = { status: response.statusCode, headers: response.headers, body: Buffer.concat(parts) };
        answer.text = () => answer.body.toString();
        answer.json = () => parseJson(answer, `${method} ${target}`);
        resolve(answer);
      });
    });
    request.on('error', reject);
    if (chunks) {
      for await (const chunk of chunks) request.write(chunk);
      request.end();
    } else {
      request.end(bytes);
    }
    return promise;
  }

  /** One management request with the token, if there is one. Fails with a `HostError` if the host says no. */
  async manage(method, target, body) {
    const headers = this.token ? { authorization: `Bearer ${this.token}` } : {};
    const answer = await this.request(method, target, { headers, body });
    const value = answer.json();
    if (answer.status >= 300) throw new HostError(answer.status, value);
    return value;
  }

  /** Deploys a built guest, by name, or the given bytes; `how` is what the query says, as `{percent: 10, keys: ['eu/*']}`. */
  async deploy(component, how = {}) {
    const bytes = typeof component === 'string' ? await guestBytes(component) : component;
    const compiled = path.join(this.data, 'cache');
    const hash = createHash('sha256').update(bytes).digest('hex');
    await copyCompiled(COMPILED, compiled, hash);
    const deployed = await this.manage('POST', `/components?${queryOf(how)}`, bytes);
    await copyCompiled(compiled, COMPILED, hash);
    return deployed;
  }

  /** All revisions of a component, newest first. */
  async revisions(component) {
    return (await this.manage('GET', `/components/${component}`)).revisions;
  }

  /** How the rollout of a component stands. */
  async rollout(component) {
    return this.manage('GET', `/components/${component}/rollout`);
  }

  /** Tells the rollout of a component to `pause`, `resume`, `promote` or `rollback`, and gives how it stands then. */
  async order(component, order, how = {}) {
    return this.manage('POST', `/components/${component}/rollout/${order}?${queryOf(how)}`);
  }

  /** The actors of a component that stay where they are, and why: `{actor, pin}`, oldest first. */
  async pins(component, how = {}) {
    return (await this.manage('GET', `/components/${component}/pins?${queryOf(how)}`)).pins;
  }

  /** Pins an actor to a revision, or to the one that it is on. */
  async pin(id, how = {}) {
    return this.manage('PUT', `/actors/${id}/pin?${queryOf({ namespace: 'default', ...how })}`);
  }

  /** Lets an actor go with the others again. */
  async unpin(id, namespace = 'default') {
    return this.manage('DELETE', `/actors/${id}/pin?${queryOf({ namespace })}`);
  }

  /** What an actor runs on: `{runsOn, writtenBy, stateVersion, pin, actor}`. */
  async codeOf(id, namespace = 'default') {
    return this.manage('GET', `/actors/${id}?${queryOf({ namespace })}`);
  }

  /** The actor objects that a listing gives. */
  async actors(query) {
    const listing = await this.manage('GET', `/actors?${new URLSearchParams({ namespace: 'default', ...query })}`);
    return listing.actors;
  }

  /** The one actor with that id, or undefined. */
  async actor(id, namespace = 'default') {
    return (await this.actors({ actor_ids: id, namespace }))[0];
  }

  /** Puts an actor to sleep and waits until it does. */
  async putToSleep(id, namespace = 'default') {
    await this.manage('POST', `/actors/${id}/sleep?namespace=${namespace}`, {});
    await until('the actor sleeps', async () => isAsleep(await this.actor(id, namespace)));
  }

  /**
   * One action in the JSON encoding, by the gateway's query form. Much cheaper for this process than
   * the stock client, so load is made with it. Fails with a `HostError` if the host says no.
   */
  async call(type, key, action, ...args) {
    return this.callAt(actionPath(type, key, action), ...args);
  }

  /** The same, for a path that `actionPath` or `actionPathById` made. */
  async callAt(target, ...args) {
    const answer = await this.request('POST', target, { headers: { 'x-rivet-encoding': 'json' }, body: { args } });
    const value = answer.json();
    if (answer.status !== 200) throw new HostError(answer.status, value);
    return isUndefinedTag(value.output) ? undefined : value.output;
  }

  /** Runs one command of the CLI against this host: `{code, stdout, stderr}`. */
  cli(...args) {
    return runCli(args, { GREENROOM_HOST: this.url });
  }
}

/** A new folder outside the repository. It goes when the process ends, if not before. */
export async function temporaryFolder() {
  const folder = await mkdtemp(path.join(tmpdir(), 'greenroom-e2e-'));
  folders.add(folder);
  return folder;
}

async function removeFolder(folder) {
  await rm(folder, { recursive: true, force: true });
  folders.delete(folder);
}

/** What the host said instead of an answer. */
export class HostError extends Error {
  constructor(status, { group, code, message, metadata }) {
    super(`${status} ${group}.${code}: ${message}`);
    Object.assign(this, { status, group, code, metadata, text: message });
  }
}

/** Runs the binary as a command: `{code, stdout, stderr}`. */
export function runCli(args, env = {}) {
  return startCli(args, env).ended;
}

/** Starts the binary as a command: what it has written so far in `output`, how it ends in `ended`, `signal` to end it. */
export function startCli(args, env = {}) {
  const child = spawn(BINARY, args, { stdio: ['ignore', 'pipe', 'pipe'], env: { ...process.env, ...env } });
  children.add(child);
  const output = { stdout: '', stderr: '' };
  for (const stream of ['stdout', 'stderr']) {
    child[stream].setEncoding('utf8').on('data', (text) => (output[stream] += text));
  }
  const { promise, resolve, reject } = deferred();
  child.once('error', reject);
  child.once('close', (code) => resolve({ code, ...output }));
  const ended = promise.finally(() => children.delete(child));
  return { output, ended, signal: (name) => child.kill(name) };
}

/** The gateway's query form, as the stock client writes it. `key` is a list of parts. */
export function gatewayPath(type, key, rest = '', { namespace = 'default', method = 'getOrCreate', ...more } = {}) {
  const query = new URLSearchParams({ 'rvt-namespace': namespace, 'rvt-method': method });
  if (method === 'getOrCreate') query.set('rvt-runner', 'default');
  if (key.length > 0) query.set('rvt-key', key.join(','));
  if (more.input !== undefined) query.set('rvt-input', more.input);
  if (method === 'getOrCreate') query.set('rvt-crash-policy', 'sleep');
  return `/gateway/${encodeURIComponent(type)}${rest}?${query}`;
}

/** The path of an action, by type and key. */
export function actionPath(type, key, action, options) {
  return gatewayPath(type, key, `/action/${encodeURIComponent(action)}`, options);
}

/** The path of an action, by id. */
export function actionPathById(id, action) {
  return `/gateway/${encodeURIComponent(id)}/action/${encodeURIComponent(action)}`;
}

/** Whether an actor object of a listing is of one that sleeps. */
export function isAsleep(actor) {
  return actor?.awake === false;
}

/** Asks until the answer is yes; never longer than the deadline, never shorter than needed. What it waits for may be a function, if there is more to say of it in the end. */
export async function until(what, isSo, { within = 10_000, every = 20 } = {}) {
  const deadline = performance.now() + within;
  for (;;) {
    const answer = await isSo();
    if (answer) return answer;
    if (performance.now() >= deadline) assert.fail(`not within ${within} ms: ${typeof what === 'function' ? what() : what}`);
    await pause(every);
  }
}

/** What a promise comes to, which it must within the time. */
export async function within(what, promise, ms = 10_000) {
  const late = Symbol('late');
  const result = await Promise.race([promise, pause(ms, late, { ref: false })]);
  assert.ok(result !== late, `not within ${ms} ms: ${what}`);
  return result;
}

/** The error of a call that must fail with `name`, which is `group.code`. */
export async function failsWith(name, promise) {
  let value;
  try {
    value = await promise;
  } catch (error) {
    assert.equal(`${error.group}.${error.code}`, name, `it failed with another error: ${error.stack}`);
    return error;
  }
  assert.fail(`it should have failed with ${name}, but gave ${inspect(value)}`);
}

/** Checks a refusal over raw HTTP: its status, its code, and that any client can read it. */
export function assertRefusal(answer, status, name) {
  assert.match(answer.headers['content-type'] ?? '', /application\/json/, `${answer.status} ${answer.text()}`);
  const error = answer.json();
  assert.equal(`${error.group}.${error.code}`, name, answer.text());
  assert.equal(answer.status, status, answer.text());
  assert.equal(typeof error.message, 'string');
  assert.notEqual(error.message, '');
  // The stock client cannot read an error in which these are null.
  assert.notEqual(error.actor, null);
  assert.notEqual(error.actor?.key, null);
  return error;
}

/** Does `work(0)` to `work(count - 1)`, `workers` at a time, and gives the results in order. */
export async function inParallel(workers, count, work) {
  const results = new Array(count);
  let next = 0;
  const worker = async () => {
    while (next < count) {
      const index = next++;
      results[index] = await work(index);
    }
  };
  await Promise.all(Array.from({ length: Math.min(workers, count) }, worker));
  return results;
}

/** The numbers from 0 to `count - 1`. */
export function range(count) {
  return Array.from({ length: count }, (_, index) => index);
}

let names = 0;
/** A key part or namespace that no other test uses. */
export function fresh(prefix = 'k') {
  names += 1;
  return `${prefix}-${process.pid}-${names}`;
}

/** A promise and the functions that settle it. */
export function deferred() {
  const parts = {};
  parts.promise = new Promise((resolve, reject) => Object.assign(parts, { resolve, reject }));
  return parts;
}

/** A query; a list is a parameter for each of its items. */
function queryOf(parameters) {
  const pairs = Object.entries(parameters).flatMap(([name, value]) => [value].flat().map((item) => [name, `${item}`]));
  return new URLSearchParams(pairs);
}

function isUndefinedTag(value) {
  return Array.isArray(value) && value.length === 2 && value[0] === '$Undefined';
}

function parseJson(answer, what) {
  try {
    return JSON.parse(answer.body.toString());
  } catch {
    throw new Error(`${what} answered ${answer.status} with a body that is not JSON: ${answer.text()}`);
  }
}
