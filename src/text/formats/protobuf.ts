/** As much of protobuf's wire format as SentencePiece's files need: fields by number, as they come. */

import { NudgeError } from '../../errors.ts';

export interface Field {
  number: number;
  /** A varint's value, a fixed field's float, or the bytes of a string or message. */
  value: number | Uint8Array;
}

export function* readFields(bytes: Uint8Array, path: string): Generator<Field> {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  let at = 0;
  const varint = (): number => {
    let value = 0;
    for (let shift = 0; shift < 70; shift += 7) {
      const byte = bytes[at++];
      if (byte === undefined) break;
      value += (byte & 0x7f) * 2 ** shift;
      if (byte < 0x80) return value;
    }
    return damaged(path, at, 'an unfinished number');
  };
  while (at < bytes.length) {
    const key = varint();
    const number = Math.floor(key / 8);
    const length = { 0: 0, 1: 8, 2: -1, 5: 4 }[key % 8];
    if (length === undefined || number === 0) damaged(path, at, `field ${number} of type ${key % 8}`);
    if (length === 0) {
      yield { number, value: varint() };
      continue;
    }
    const size = length === -1 ? varint() : (length as number);
    if (at + size > bytes.length) damaged(path, at, `${size} bytes announced, ${bytes.length - at} there`);
    if (length === -1) yield { number, value: bytes.subarray(at, at + size) };
    else yield { number, value: size === 4 ? view.getFloat32(at, true) : view.getFloat64(at, true) };
    at += size;
  }
}

function damaged(path: string, at: number, received: string): never {
  throw new NudgeError('BAD_FILE', 'This file is not a SentencePiece model, or it is damaged.', {
    path: `${path}: byte ${at}`,
    received,
    remedy: 'Fetch the file again; an interrupted download or a Git LFS pointer looks like this.',
  });
}
