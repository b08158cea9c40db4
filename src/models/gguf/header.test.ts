/** Files that are broken in one place: refused with the place, what was expected and what was found, without reading on. */

import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import type { NudgeError } from '../../errors.ts';
import { NeedsMore } from './cursor.ts';
import { MAX_HEADER_BYTES, tensorSize } from './format.ts';
import { parseGgufHeader, readGgufHeader } from './header.ts';
import { GOLDEN, HeaderBuilder, MemorySource, nudgeError } from './testing.ts';

const file = () => new HeaderBuilder();
const F32 = 0;

async function refusal(content: Uint8Array): Promise<NudgeError> {
  const source = new MemorySource(content, 'test.gguf');
  const error = await nudgeError(readGgufHeader(source));
  expect(error.code).toBe('BAD_FILE');
  expect(error.path).toContain('test.gguf');
  expect(error.remedy).toBeTruthy();
  return error;
}

describe('a file that is no GGUF file of ours', () => {
  it.each<[string, Uint8Array, RegExp]>([
    ['nothing', Buffer.alloc(0), /not a GGUF file.*an empty file/s],
    ['three bytes', Buffer.from('GGU'), /not a GGUF file/],
    ['the magic alone', Buffer.from('GGUF'), /cut short.*at least 24 bytes.*received: 4 bytes/s],
    ['another magic', Buffer.alloc(100, 'x'), /begins with "xxxxxxxx"/],
    [
      'a Git LFS pointer',
      Buffer.from('version https://git-lfs.github.com/spec/v1\noid sha256:4d7a'),
      /a Git LFS pointer.*git lfs pull/s,
    ],
    ['a GGML file', Buffer.from('lmgg'.padEnd(40)), /the format before GGUF/],
    [
      'version 1',
      file().prefix(0, 0, 1).build(),
      /version 2 or 3.*received: version 1.*Convert the original model again/s,
    ],
    ['version 4', file().prefix(0, 0, 4).build(), /received: version 4.*update the program/s],
    [
      'a big-endian file',
      file()
        .prefix(0, 0, 3 << 24)
        .build(),
      /a big-endian file.*without --bigendian/s,
    ],
  ])('%s', async (_, content, message) => {
    expect((await refusal(content)).message).toMatch(message);
  });
});

describe('a count that cannot be', () => {
  it.each<[string, Buffer, RegExp]>([
    [
      '2^60 tensors',
      file()
        .prefix(2n ** 60n, 0)
        .data(100)
        .build(),
      /count of tensors.*at most 4,.*1152921504606846976/s,
    ],
    [
      '2^64 - 1 entries',
      file()
        .prefix(0, 2n ** 64n - 1n)
        .data(100)
        .build(),
      /count of metadata entries.*18446744073709551615/s,
    ],
    [
      'a key of 2^63 bytes',
      file()
        .prefix(0, 1)
        .u64(2n ** 63n)
        .data(100)
        .build(),
      /key 0.*9223372036854775808/s,
    ],
    [
      'a string of 2^63 bytes',
      file()
        .prefix(0, 1)
        .string('k')
        .u32(8)
        .u64(2n ** 63n)
        .data(64)
        .build(),
      /metadata "k"/,
    ],
    [
      'an array of 2^61 numbers',
      file()
        .prefix(0, 1)
        .string('k')
        .u32(9)
        .u32(4)
        .u64(2n ** 61n)
        .data(64)
        .build(),
      /metadata "k".*2305843009213693952/s,
    ],
    [
      'an array that is longer than the file',
      file().prefix(0, 1).string('k').u32(9).u32(10).u64(100).data(64).build(),
      /metadata "k".*received: 100/s,
    ],
    [
      'an array of 2^40 strings',
      file()
        .prefix(0, 1)
        .string('k')
        .u32(9)
        .u32(8)
        .u64(2n ** 40n)
        .data(64)
        .build(),
      /metadata "k"/,
    ],
    [
      '2^32 - 1 dimensions',
      file()
        .prefix(1, 0)
        .string('w')
        .u32(2 ** 32 - 1)
        .data(64)
        .build(),
      /tensor "w".*at most 4 dimensions/s,
    ],
  ])('%s', async (_, content, message) => {
    expect((await refusal(content)).message).toMatch(message);
  });
});

describe('metadata', () => {
  const entry = (type: number) => file().prefix(0, 1).string('k').u32(type);
  it.each<[string, Buffer, RegExp]>([
    ['a type that is none', entry(13).data(64).build(), /a value type from 0 to 12.*received: 13/s],
    ['a boolean of 2', entry(7).bytes(2).data(64).build(), /0 or 1 for a boolean.*received: 2/s],
    [
      'an array with a boolean of 2',
      entry(9).u32(7).u64(3).bytes(0, 1, 2).data(64).build(),
      /received: 2 at position 2/,
    ],
    ['a string that is not UTF-8', entry(8).u64(2).bytes(0xc3, 0x28).data(64).build(), /expected: UTF-8/],
    ['an overlong encoding', entry(8).u64(2).bytes(0xc0, 0x80).data(64).build(), /expected: UTF-8/],
    ['a surrogate', entry(8).u64(3).bytes(0xed, 0xa0, 0x80).data(64).build(), /expected: UTF-8/],
    ['a key that is not UTF-8', file().prefix(0, 1).u64(1).bytes(0xff).u32(4).u32(1).data(64).build(), /key 0.*UTF-8/s],
    ['an empty key', file().prefix(0, 1).string('').u32(4).u32(1).data(64).build(), /a key of 1 to 65535 bytes/],
    [
      'a key twice',
      file().prefix(0, 2).string('k').u32(0).bytes(1).string('k').u32(0).bytes(1).data(64).build(),
      /this key twice/,
    ],
    [
      'arrays five deep',
      Array.from({ length: 5 })
        .reduce<HeaderBuilder>((b) => b.u32(9).u64(1), entry(9))
        .data(64)
        .build(),
      /nested at most 4 deep/,
    ],
    ['an alignment of 0', file().prefix(0, 1).string('general.alignment').u32(4).u32(0).build(), /a power of two/],
    [
      'an alignment of 48',
      file().prefix(0, 1).string('general.alignment').u32(4).u32(48).build(),
      /a power of two.*48 \(uint32\)/s,
    ],
    [
      'an alignment as a text',
      file().prefix(0, 1).string('general.alignment').u32(8).string('32').build(),
      /a power of two.*32 \(string\)/s,
    ],
    ['an end in the middle', entry(8).u64(4).text('ab').build(), /at most 2, which is what can follow/],
  ])('%s', async (_, content, message) => {
    expect((await refusal(content)).message).toMatch(message);
  });

  it('keeps names that an object would lose, byte order marks and U+FFFD', async () => {
    const built = file()
      .prefix(0, 2)
      .string('__proto__')
      .u32(8)
      .string('\ufeff\ufffd\0')
      .string('x')
      .u32(9)
      .u32(9)
      .u64(1)
      .u32(8)
      .u64(1)
      .string('é');
    const { metadata } = await readGgufHeader(new MemorySource(built.build()));
    expect([...metadata]).toEqual([
      ['__proto__', { type: 'string', value: '\ufeff\ufffd\0' }],
      ['x', { type: 'array', of: 'array', value: [{ type: 'array', of: 'string', value: ['é'] }] }],
    ]);
  });
});

describe('tensors', () => {
  const one = (dims: (number | bigint)[], type: number, offset: number | bigint, size: number) =>
    file().prefix(1, 0).tensor('w', dims, type, offset).data(size).build();
  const two = (first: number, second: number, size: number, name = 'v') =>
    file().prefix(2, 0).tensor('w', [8], F32, first).tensor(name, [8], F32, second).data(size).build();
  it.each<[string, Buffer, RegExp]>([
    ['a dimension of 0', one([0], F32, 0, 64), /sizes from 1.*0 as dimension 0/s],
    ['a dimension of 2^63', one([2n ** 63n], F32, 0, 64), /sizes from 1/],
    ['a size that overflows', one([2 ** 27, 2 ** 27], F32, 0, 64), /its size overflows/],
    ['a size that wraps to 4', one([2n ** 32n, 2n ** 32n, 4n], F32, 0, 64), /its size overflows/],
    ['a type that was removed', one([32], 4, 0, 64), /type number 4, which was removed or is newer/],
    ['a type of the future', one([32], 1000, 0, 64), /a known type: F32, F16.*type number 1000/s],
    ['half a block', one([48], 8, 0, 64), /rows of 48 elements are not whole blocks of 32/],
    ['blocks across rows', one([16, 2], 8, 0, 64), /rows of 16 elements/],
    ['a misaligned offset', one([4], F32, 4, 64), /an offset aligned to 32.*received: 4/s],
    ['an offset past the end', one([4], F32, 64, 64), /cut short.*tensor "w".*144 bytes at least/s],
    ['an offset of 2^63', one([4], F32, 2n ** 63n, 64), /cut short/],
    ['data that is cut short', one([32], F32, 0, 127), /cut short.*"w".*received: 191 bytes/s],
    ['an empty name', file().prefix(1, 0).tensor('', [4], F32, 0).data(64).build(), /an empty string/],
    ['a name twice', two(0, 32, 64, 'w'), /a tensor twice/],
    ['tensors on top of each other', two(0, 0, 64), /overlap.*tensor "v".*128 bytes or later, after "w"/s],
  ])('%s', async (_, content, message) => {
    expect((await refusal(content)).message).toMatch(message);
  });

  it('may lie in any order, with gaps', async () => {
    const { tensors } = await readGgufHeader(new MemorySource(two(96, 0, 128)));
    const places = Array.from(tensors.values(), ({ name, begin, end }) => [name, begin % 32, end - begin]);
    expect(places).toEqual([
      ['w', 0, 32],
      ['v', 0, 32],
    ]);
  });

  it('may have no dimension, and up to four', async () => {
    const content = file()
      .prefix(2, 0)
      .tensor('scalar', [], F32, 0)
      .tensor('four', [2, 3, 1, 4], F32, 32)
      .data(128)
      .build();
    const { tensors } = await readGgufHeader(new MemorySource(content));
    expect(tensors.get('scalar')?.shape).toEqual([]);
    expect(tensors.get('four')?.shape).toEqual([4, 1, 3, 2]);
  });
});

describe('reading', () => {
  it('takes no more than the header of a small file twice', async () => {
    const source = new MemorySource(Buffer.concat([await readFile(join(GOLDEN, 'values.gguf'))]));
    await readGgufHeader(source);
    expect(source.bytesRead).toBeLessThanOrEqual(source.size + 24);
  });

  it('goes on where a header is longer than what was read', async () => {
    const content = await readFile(join(GOLDEN, 'values.gguf'));
    const whole = parseGgufHeader(content, content.length, 'x');
    const end = Math.min(...Array.from(whole.tensors.values(), ({ begin }) => begin));
    for (let length = 24; length < content.length; length++) {
      const parse = () => parseGgufHeader(content.subarray(0, length), content.length, 'x');
      if (length < end - 32) expect(parse).toThrow(NeedsMore);
      else if (length >= end) expect(parse()).toEqual(whole);
    }
  });

  it('reads a header of many megabytes', async () => {
    const long = 'x'.repeat(9_000_000);
    const content = file().prefix(0, 2).string('a').u32(8).string(long).string('b').u32(4).u32(7).build();
    const { metadata } = await readGgufHeader(new MemorySource(content));
    expect(metadata.get('a')?.value).toBe(long);
    expect(metadata.get('b')?.value).toBe(7);
  });

  it('refuses a header past the cap without reading it', async () => {
    const start = file().prefix(0, 1).string('a').u32(8).u64(MAX_HEADER_BYTES).build();
    const source = {
      label: 'test.gguf',
      size: 2 * MAX_HEADER_BYTES,
      read: async (target: Uint8Array, position: number) =>
        void target.set(start.subarray(position, position + target.length)),
      close: async () => {},
    };
    expect((await nudgeError(readGgufHeader(source))).message).toMatch(/metadata "a".*at most 134,217,/s);
  });
});

describe('tensorSize', () => {
  it('is exact, or says why there is none', () => {
    expect(tensorSize('F32', [])).toEqual({ bytes: 4 });
    expect(tensorSize('Q4_K', [3, 512])).toEqual({ bytes: 3 * 2 * 144 });
    expect(tensorSize('Q8_0', [])).toEqual({ problem: 'rows of 1 elements are not whole blocks of 32' });
    expect(tensorSize('I8', [2 ** 26, 2 ** 26, 2])).toEqual({ problem: 'its size overflows' });
    expect(tensorSize('I8', [2 ** 26, 2 ** 26])).toEqual({ bytes: 2 ** 52 });
  });
});
