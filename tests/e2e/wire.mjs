// The stock client's wire, byte by byte, so that tests need not trust a codec they share with the host.

import { Decoder } from 'cbor-x';

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
  let at = 0;
  const byte = () => bytes[at++];
  const uint = () => {
    let number = 0;
    for (let scale = 1; ; scale *= 128) {
      const next = byte();
      number += (next & 0x7f) * scale;
      if (next < 0x80) return number;
    }
  };
  const data = () => {
    const length = uint();
    at += length;
    if (at > bytes.length) throw new Error(`an error body that ends too early: ${bytes.toString('hex')}`);
    return bytes.subarray(at - length, at);
  };
  const text = () => data().toString();
  const optional = (read) => (byte() ? read() : undefined);

  const version = byte() + 256 * byte();
  const error = { group: text(), code: text(), message: text(), metadata: optional(() => readCbor(data())) };
  if (version >= 4) {
    error.actor = optional(() => ({ actorId: text(), generation: uint(), key: optional(text) }));
  }
  if (at !== bytes.length) throw new Error(`an error body with bytes after its end: ${bytes.toString('hex')}`);
  return error;
}

/** What `x-rivet-encoding` promises about a body. */
export const CONTENT_TYPES = {
  bare: 'application/octet-stream',
  cbor: 'application/octet-stream',
  json: 'application/json',
};
