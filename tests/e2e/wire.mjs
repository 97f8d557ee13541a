// The stock client's wire, byte by byte, so that tests need not trust a codec they share with the host.

import assert from 'node:assert/strict';
import { Decoder, Encoder } from 'cbor-x';

/** The bytes that hexadecimal digits stand for; spaces are for reading. */
export function hex(digits) {
  return Buffer.from(digits.replaceAll(/\s/g, ''), 'hex');
}

/** One byte of length and the text, as BARE writes short texts and CBOR does not. */
export function bareText(text) {
  return Buffer.concat([bareUint(Buffer.byteLength(text)), Buffer.from(text)]);
}

/** An unsigned LEB128 number. */
export function bareUint(number) {
  const bytes = [];
  for (; number > 0x7f; number = Math.floor(number / 128)) bytes.push((number % 128) | 0x80);
  return Buffer.from([...bytes, number]);
}

/** A length and the bytes. */
export function bareData(bytes) {
  return Buffer.concat([bareUint(bytes.length), bytes]);
}

/** The two bytes of version that every BARE body begins with. */
export function bareVersion(version) {
  return Buffer.from([version & 0xff, version >> 8]);
}

/** An action's request or answer in BARE: the version and one piece of data, which is CBOR in hexadecimal. */
export function bareBody(version, cborHex) {
  return Buffer.concat([bareVersion(version), bareData(hex(cborHex))]);
}

/** An action's request in the cbor encoding, with the arguments in hexadecimal. */
export function cborRequest(argsHex) {
  return Buffer.concat([hex('b90001 64 61726773'), hex(argsHex)]);
}

/** An action's answer in the cbor encoding, with the output in hexadecimal. */
export function cborAnswer(outputHex) {
  return Buffer.concat([hex('a1 66 6f7574707574'), hex(outputHex)]);
}

const plain = new Decoder({ mapsAsObjects: true });

/** A CBOR value as plain objects. */
export function readCbor(bytes) {
  return plain.decode(bytes);
}

/** Reads an error body of any encoding into `{group, code, message, metadata?, actor?}`. */
export function readError(answer, encoding) {
  if (answer.headers['content-type'].includes('application/json')) return answer.json();
  return encoding === 'bare' ? readBareError(answer.body) : readCbor(answer.body);
}

function readBareError(bytes) {
  const bare = new BareReader(bytes);
  const version = bare.version();
  const error = { group: bare.text(), code: bare.text(), message: bare.text(), metadata: bare.optional(() => readCbor(bare.data())) };
  if (version >= 4) error.actor = bare.optional(() => readActor(bare));
  bare.end();
  return error;
}

const readActor = (bare) => ({ actorId: bare.text(), generation: bare.uint(), key: bare.optional(() => bare.text()) });

/** Reads BARE from the front of some bytes. */
class BareReader {
  #bytes;
  #at = 0;

  constructor(bytes) {
    this.#bytes = bytes;
  }

  byte() {
    if (this.#at >= this.#bytes.length) this.#fail('ends too early');
    return this.#bytes[this.#at++];
  }

  version() {
    return this.byte() + 256 * this.byte();
  }

  uint() {
    let number = 0;
    for (let scale = 1; ; scale *= 128) {
      const next = this.byte();
      number += (next & 0x7f) * scale;
      if (next < 0x80) return number;
    }
  }

  data() {
    const length = this.uint();
    this.#at += length;
    if (this.#at > this.#bytes.length) this.#fail('ends too early');
    return this.#bytes.subarray(this.#at - length, this.#at);
  }

  text() {
    return this.data().toString();
  }

  optional(read) {
    return this.byte() ? read() : undefined;
  }

  end() {
    if (this.#at !== this.#bytes.length) this.#fail('has bytes after its end');
  }

  #fail(how) {
    throw new Error(`a BARE body that ${how}: ${this.#bytes.toString('hex')}`);
  }
}

/** What `x-rivet-encoding` promises about a body. */
export const CONTENT_TYPES = {
  bare: 'application/octet-stream',
  cbor: 'application/octet-stream',
  json: 'application/json',
};

// Maps with 16 bits of length and BigInts of 8 bytes, as the stock client writes them.
const encoder = new Encoder({ useRecords: false, variableMapSize: false, mapsAsObjects: true });

/** A value as CBOR. */
export function writeCbor(value) {
  return encoder.encode(value);
}

/** A frame of the realtime protocol with its version, as BARE, out of pieces: bytes, and numbers for single bytes. */
export function bareFrame(version, ...pieces) {
  const bytes = pieces.map((piece) => (typeof piece === 'number' ? Buffer.from([piece]) : piece));
  return Buffer.concat([bareVersion(version), ...bytes]);
}

/**
 * A frame from client to server: bytes for bare and cbor, text for json. `frame` is `{tag, …fields}`; arguments
 * are written as they are, so who means a BigInt in json passes its tag array.
 */
export function writeFrame(encoding, version, { tag, ...fields }) {
  if (encoding === 'bare') return WRITE_BARE[tag](version, fields);
  const value = (id) => (encoding === 'json' ? ['$BigInt', `${id}`] : BigInt(id));
  const val = fields.id === undefined ? fields : { ...fields, id: value(fields.id) };
  const frame = { body: { tag, val } };
  return encoding === 'json' ? JSON.stringify(frame) : writeCbor(frame);
}

const WRITE_BARE = {
  ActionRequest: (version, { id, name, args }) =>
    bareFrame(version, 0, bareUint(id), bareText(name), bareData(writeCbor(args))),
  SubscriptionRequest: (version, { eventName, subscribe }) =>
    bareFrame(version, 1, bareText(eventName), subscribe ? 1 : 0),
};

/**
 * A frame from server to client as `{tag, …fields}`, with its `version` in bare. Numbers of calls become plain
 * numbers. Fails on everything that the stock client would not take, or would hang on.
 */
export function readFrame(encoding, data, isBinary) {
  assert.equal(isBinary, encoding !== 'json', `frames in ${encoding} are ${isBinary ? 'not binary' : 'binary'}`);
  if (encoding === 'bare') return readBareFrame(data);
  const { body } = encoding === 'json' ? JSON.parse(data.toString()) : readCbor(data);
  assert.ok(['Init', 'Error', 'ActionResponse', 'Event'].includes(body.tag), `a frame with the tag ${body.tag}`);
  const frame = { tag: body.tag, ...body.val };
  for (const field of { ActionResponse: ['id'], Error: ['actionId'] }[body.tag] ?? []) {
    assert.ok(field in frame, `${body.tag} without ${field}`);
    if (frame[field] !== null) frame[field] = CALL_NUMBER[encoding](frame[field]);
  }
  if (body.tag === 'Error') {
    assert.notEqual(frame.actor, null, 'the client cannot read an error whose actor is null');
    assert.notEqual(frame.actor?.key, null, 'the client cannot read an error whose actor.key is null');
  }
  return frame;
}

// The client drops frames with a number of any other shape.
const CALL_NUMBER = {
  json(value) {
    assert.ok(Array.isArray(value) && value.length === 2 && value[0] === '$BigInt', `${JSON.stringify(value)} is no BigInt tag`);
    assert.match(value[1], /^\d+$/);
    return Number(value[1]);
  },
  cbor(value) {
    assert.equal(typeof value, 'bigint', `${value} is no 8-byte integer`);
    return Number(value);
  },
};

function readBareFrame(bytes) {
  const bare = new BareReader(bytes);
  const version = bare.version();
  assert.ok(version >= 1 && version <= 4, `a frame of version ${version}`);
  const tag = bare.byte();
  const frame = READ_BARE[tag]?.(bare, version);
  assert.ok(frame, `a frame with the tag ${tag}`);
  bare.end();
  return { ...frame, version };
}

const READ_BARE = [
  (bare, version) => {
    const frame = { tag: 'Init', actorId: bare.text(), connectionId: bare.text() };
    return version === 1 ? { ...frame, connectionToken: bare.text() } : frame;
  },
  (bare, version) => {
    const frame = { tag: 'Error', group: bare.text(), code: bare.text(), message: bare.text() };
    frame.metadata = bare.optional(() => readCbor(bare.data()));
    frame.actionId = bare.optional(() => bare.uint()) ?? null;
    if (version >= 4) frame.actor = bare.optional(() => readActor(bare));
    return frame;
  },
  (bare) => ({ tag: 'ActionResponse', id: bare.uint(), output: readCbor(bare.data()) }),
  (bare) => ({ tag: 'Event', name: bare.text(), args: readCbor(bare.data()) }),
];

/** Whether a value of a frame is *nothing*, in one of the ways that the clients know. */
export function isNothing(value) {
  return value === undefined || (Array.isArray(value) && value.length === 2 && value[0] === '$Undefined');
}
