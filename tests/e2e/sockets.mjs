// WebSockets: those that tests make by hand, frame by frame, and those that the stock client opens.
//
// `ws` is what the stock clients use in Node. Here it only carries frames; `wire.mjs` makes and reads them.

import assert from 'node:assert/strict';
import { after } from 'node:test';
import { inspect } from 'node:util';
import { WebSocket } from 'ws';
import { deferred, gatewayPath, range, within } from './harness.mjs';
import { readFrame, writeFrame } from './wire.mjs';

// Whatever a test leaves open is cut before the file's host is stopped.
const open = new Set();
after(() => open.forEach((ws) => ws.terminate()));

/** What has arrived, in order, for whoever waits for it. Nothing is lost between two looks. */
export class Inbox {
  #what;
  #items = [];
  #waiting = [];
  #end = null;

  constructor(what) {
    this.#what = what;
  }

  /** What has arrived and has not been taken. */
  get items() {
    return [...this.#items];
  }

  push(item) {
    const waiting = this.#waiting.find(({ wanted }) => wanted(item));
    if (!waiting) return void this.#items.push(item);
    this.#waiting.splice(this.#waiting.indexOf(waiting), 1);
    waiting.resolve(item);
  }

  /** Says that nothing more will come, and why. Whoever waits in vain is told. */
  end(why) {
    this.#end ??= why;
    for (const { reject } of this.#waiting.splice(0)) reject(this.#missing(this.#end));
  }

  /** Takes the first item that has arrived or arrives and is `wanted`; the others stay. */
  async take(wanted, what = 'one more', ms = 10_000) {
    const index = this.#items.findIndex(wanted);
    if (index >= 0) return this.#items.splice(index, 1)[0];
    if (this.#end) throw this.#missing(`${this.#end} (waiting for ${what})`);
    const { promise, resolve, reject } = deferred();
    const waiting = { wanted, resolve, reject };
    this.#waiting.push(waiting);
    const timer = setTimeout(() => {
      this.#waiting.splice(this.#waiting.indexOf(waiting), 1);
      reject(this.#missing(`not within ${ms} ms: ${what}`));
    }, ms);
    return promise.finally(() => clearTimeout(timer));
  }

  /** Takes the next item. */
  async next(ms) {
    return this.take(() => true, 'the next one', ms);
  }

  /** Takes the next `count` items. */
  async several(count, ms) {
    const items = [];
    while (items.length < count) items.push(await this.next(ms));
    return items;
  }

  #missing(why) {
    return new Error(`${this.#what}: ${why}; what is there: ${inspect(this.#items, { breakLength: 120 }).slice(0, 1_000)}`);
  }
}

/** A WebSocket of any make, with its messages in an inbox: texts as texts, the rest as buffers. */
export class Socket {
  constructor(ws, what = 'the WebSocket') {
    this.ws = ws;
    this.messages = new Inbox(what);
    ws.binaryType = 'arraybuffer';
    const opened = deferred();
    const closed = deferred();
    let refusal = 'it was closed before it was open';
    ws.addEventListener('open', () => opened.resolve());
    ws.addEventListener('error', ({ message }) => (refusal = message ?? refusal));
    ws.addEventListener('message', ({ data }) => this.receive(data));
    ws.addEventListener('close', ({ code, reason }) => {
      opened.reject(new Error(`${what} was not opened: ${refusal}`));
      this.finish(`it was closed with ${code} ${reason}`);
      closed.resolve({ code, reason: `${reason}` });
    });
    opened.promise.catch(() => {});
    this.opened = opened.promise;
    this.closed = closed.promise;
  }

  get isOpen() {
    return this.ws.readyState === 1;
  }

  receive(data) {
    this.messages.push(typeof data === 'string' ? data : Buffer.from(data));
  }

  finish(why) {
    this.messages.end(why);
  }

  /** Sends text or bytes; anything else as JSON. */
  send(data) {
    this.ws.send(typeof data === 'string' || data instanceof Uint8Array ? data : JSON.stringify(data));
  }

  /** Takes the next message, which must be JSON. */
  async nextJson() {
    const message = await this.messages.next();
    assert.equal(typeof message, 'string', `a message is binary: ${inspect(message)}`);
    return JSON.parse(message);
  }

  /** Sends something and takes the next message. */
  async ask(data) {
    this.send(data);
    return this.nextJson();
  }

  /** Closes it and waits until both sides have. */
  async close(code = 1000, reason = '') {
    this.ws.close(code, reason);
    return within('the host answers the close', this.closed);
  }

  /** Goes away without a word, as a client does whose network fails. */
  cut() {
    this.ws.terminate();
  }
}

/** Waits until the host closes a socket, and checks the code and the `group.code` of the reason. */
export async function assertCloses(socket, code, reason) {
  const end = await within(`the host closes the WebSocket with ${code} ${reason}`, socket.closed);
  // Clients read what follows a # as the number of a request.
  assert.deepEqual({ ...end, reason: end.reason.split('#')[0] }, { code, reason });
}

/** Opens a WebSocket by hand. The upgrade must work. */
export async function openSocket(host, target, { protocols = [], headers = {}, make = Socket, ...more } = {}) {
  const url = new URL(target, host.url.replace(/^http/, 'ws'));
  const ws = new WebSocket(url, protocols, { headers, perMessageDeflate: false });
  open.add(ws);
  ws.once('close', () => open.delete(ws));
  const socket = new make(ws, more);
  ws.once('upgrade', ({ headers }) => (socket.headers = headers));
  await within(`the WebSocket ${target} is opened`, socket.opened);
  return socket;
}

/** The subprotocols that the stock client offers. */
export function stockProtocols(encoding, params) {
  const paramsToken = params === undefined ? [] : [`rivet_conn_params.${encodeURIComponent(JSON.stringify(params))}`];
  return ['rivet', `rivet_encoding.${encoding}`, ...paramsToken];
}

/** Where a realtime connection to an actor is opened, by type and key. */
export function connectPath(type, key, options) {
  return gatewayPath(type, key, '/connect', options);
}

/** The same, by id. */
export function connectPathById(id) {
  return `/gateway/${id}/connect`;
}

/** Where a raw WebSocket to an actor is opened. `rest` is the path, perhaps with a query. */
export function websocketPath(type, key, rest = '', options) {
  const [path, query] = rest.split('?');
  const target = gatewayPath(type, key, `/websocket/${path}`, options);
  return query === undefined ? target : target.replace('?', `?${query}&`);
}

/** What a call on a connection failed with. */
export class FrameError extends Error {
  constructor({ group, code, message, metadata }) {
    super(`${group}.${code}: ${message}`);
    Object.assign(this, { group, code, metadata, text: message });
  }
}

/** A realtime connection, made by hand. */
export class Realtime extends Socket {
  #encoding;
  #version;
  #calls = 0;

  constructor(ws, { encoding, version }) {
    super(ws, 'the connection');
    this.#encoding = encoding;
    this.#version = version;
    /** What the host has sent: `{tag, …fields}`. */
    this.frames = new Inbox('the frames of the connection');
  }

  receive(data) {
    const isBinary = typeof data !== 'string';
    try {
      this.frames.push(readFrame(this.#encoding, isBinary ? Buffer.from(data) : data, isBinary));
    } catch (error) {
      this.frames.end(`the host sent a frame that clients cannot read: ${error.message}`);
    }
  }

  finish(why) {
    this.frames.end(why);
  }

  /** Sends one frame: `{tag, …fields}`, or bytes or text as they are. */
  send(frame) {
    this.ws.send(frame.tag ? writeFrame(this.#encoding, this.#version, frame) : frame);
  }

  /** Subscribes to an event, or takes that back. */
  subscribe(eventName, subscribe = true) {
    this.send({ tag: 'SubscriptionRequest', eventName, subscribe });
  }

  /** Begins a call and gives its number. */
  request(name, ...args) {
    const id = this.#calls++;
    this.send({ tag: 'ActionRequest', id, name, args });
    return id;
  }

  /** Takes the answer to a call, whenever it arrives. */
  async answer(id) {
    const isAnswer = (frame) => ({ ActionResponse: frame.id, Error: frame.actionId })[frame.tag] === id;
    const frame = await this.frames.take(isAnswer, `the answer to call ${id}`);
    if (frame.tag === 'Error') throw new FrameError(frame);
    return frame.output;
  }

  /** One call with its answer. */
  async call(name, ...args) {
    return this.answer(this.request(name, ...args));
  }

  /** Takes the next event of a name and gives its arguments. */
  async event(eventName) {
    const isIt = ({ tag, name }) => tag === 'Event' && name === eventName;
    return (await this.frames.take(isIt, `the event ${eventName}`)).args;
  }
}

/** Opens a realtime connection by hand and gives it before anything is read from it. */
export async function begin(host, target, { encoding = 'bare', version = 4, params, protocols = [], headers } = {}) {
  const all = [...stockProtocols(encoding, params), ...protocols];
  return openSocket(host, target, { protocols: all, headers, make: Realtime, encoding, version });
}

/** Opens a realtime connection by hand and waits until it is let in. */
export async function connect(host, target, options) {
  const connection = await begin(host, target, options);
  connection.init = await connection.frames.next();
  assert.equal(connection.init.tag, 'Init', `the first frame is ${inspect(connection.init)}`);
  return connection;
}

/** What the host says to a connection that it does not let in: the frames, if any, and the close. */
export async function refused(host, target, options) {
  const connection = await begin(host, target, options);
  const end = await within('the host closes the connection', connection.closed);
  const frames = connection.frames.items;
  assert.ok(frames.every(({ tag }) => tag === 'Error'), `before it was closed, it was told ${inspect(frames)}`);
  return { frames, code: end.code, reason: end.reason.split('#')[0] };
}

/** The events of a name that a connection of the stock client receives: the argument, or all of them if there are more. */
export function listen(connection, event) {
  const inbox = new Inbox(`the event ${event}`);
  connection.on(event, (...args) => inbox.push(args.length === 1 ? args[0] : args));
  return inbox;
}

/**
 * What a connection of the stock client goes through, for its user: opens, closes, errors as `group.code`, and whether
 * it was ever idle, which is how it gives up.
 */
export function watch(connection) {
  const seen = { opens: 0, closes: 0, errors: [], hasGivenUp: false };
  connection.onOpen(() => (seen.opens += 1));
  connection.onClose(() => (seen.closes += 1));
  connection.onError((error) => seen.errors.push(`${error.group}.${error.code}`));
  connection.onStatusChange((status) => (seen.hasGivenUp ||= status === 'idle'));
  return seen;
}

/** Connects with the stock client and waits until it is let in. */
export async function ready(connection) {
  await within('the connection is open', connection.ready);
  return connection;
}

/** The numbers from 1 to `count`. */
export const upTo = (count) => range(count).map((n) => n + 1);
