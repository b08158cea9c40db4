/**
 * Random damage to valid files: every outcome is either tensors that fit the file or a NudgeError, at once and without
 * reading past the file's end. Seeded, so a failure repeats; the message names the seed.
 */

import { describe, expect, it } from 'vitest';
import { NudgeError } from '../../errors.ts';
import { Random } from '../files/testing.ts';
import { SAFETENSORS_DTYPES, tensorSize } from './format.ts';
import { readHeader } from './header.ts';
import { layOut, planTensors, type RawTensor } from './layout.ts';
import { parseIndex } from './locate.ts';
import { SafetensorsReader } from './reader.ts';
import { fileOf, MemorySource } from './testing.ts';

const MUTATIONS = 30_000;
// Each takes well under a millisecond; the rest is for a busy machine and the garbage collector.
const SLOWEST_MS = 1000;

interface File {
  header: string;
  data: Uint8Array;
}

function validFile(random: Random): File {
  const tensors = Array.from({ length: random.below(6) }, (_, i): [string, RawTensor] => {
    const dtype = random.pick(SAFETENSORS_DTYPES);
    const shape = Array.from({ length: random.below(4) }, () => 2 * random.below(4));
    if (dtype.startsWith('F4') || dtype.startsWith('F6')) shape.push(8);
    const size = tensorSize(dtype, shape);
    if (!('bytes' in size)) throw new Error('a shape of whole bytes was meant');
    return [
      random.pick(['weight', 'é', 'a"b', '__proto__', 'x\u0001']) + i,
      { dtype, shape, bytes: new Uint8Array(size.bytes).fill(i + 1) },
    ];
  });
  const metadata = random.below(2) === 0 ? null : new Map([['format', 'pt']]);
  const { header, tensors: ordered } = layOut(planTensors(tensors), metadata);
  return {
    header: Buffer.from(header).toString('utf8', 8),
    data: Buffer.concat(ordered.map(({ tensor }) => tensor.bytes as Uint8Array)),
  };
}

const NUMBERS = [
  '0',
  '1',
  '-1',
  '-0',
  '2',
  '7',
  '8',
  '255',
  '4294967296',
  '9007199254740991',
  '9007199254740992',
  '18446744073709551615',
  '1e3',
  '2.0',
  '1e400',
  '00',
  '',
  'null',
  '"8"',
  '[8]',
  '9'.repeat(400),
];
const TOKENS = [
  '{',
  '}',
  '[',
  ']',
  '"',
  ',',
  ':',
  '\\',
  '\\u',
  '\\ud800',
  ' ',
  '\n',
  '\0',
  '\u007f',
  '😀',
  'null',
  'true',
  '{}',
  '[]',
  '__metadata__',
  '"dtype"',
  '"shape":',
  '"a":{},',
  '[[[[',
];

/** Edits of the header that know its grammar. */
const TEXT_EDITS: readonly ((text: string, random: Random) => string)[] = [
  (text, random) =>
    replaceOne(text, /\d+/g, random, (digits) =>
      random.pick([random.pick(NUMBERS), String(Number(digits) + random.below(17) - 8)]),
    ),
  (text, random) =>
    replaceOne(
      text,
      /\[[^\]]*\]/g,
      random,
      () => `[${Array.from({ length: random.below(5) }, () => random.pick(NUMBERS)).join(',')}]`,
    ),
  (text, random) => replaceOne(text, /\[[^\]]*\]/g, random, (list) => list.replace(/\d+/, String(random.below(64)))),
  (text, random) =>
    replaceOne(text, /"[A-Z]+[0-9A-Z_]*"/g, random, () =>
      JSON.stringify(random.pick([...SAFETENSORS_DTYPES, 'F128', 'toString', ''])),
    ),
  (text, random) =>
    replaceOne(text, /"(?:dtype|shape|data_offsets|__metadata__)"/g, random, (key) =>
      random.pick(['"dtype"', '"shape"', '"data_offsets"', '"__metadata__"', key.toUpperCase(), '""']),
    ),
  // An entry again, under its own name or another one.
  (text, random) =>
    replaceOne(
      text,
      /"[^"]*":\{"dtype[^}]*\}/g,
      random,
      (entry) => `${entry},${random.pick([entry, entry.replace(/^"/, '"copy ')])}`,
    ),
  (text, random) => replaceOne(text, /,?"[^"]*":\{"dtype[^}]*\},?/g, random, () => random.pick(['', ','])),
  (text, random) => splice(text, random, random.pick(TOKENS)),
  (text, random) => {
    const from = random.below(text.length);
    return splice(text, random, text.slice(from, from + random.below(40)));
  },
  (text, random) => text.slice(0, random.below(text.length + 1)),
  (text, random) =>
    text.replace(
      '{',
      random.pick([
        '{"__metadata__":{"k":"v"},',
        '{"__metadata__":{"k":1},',
        '{"__metadata__":[],',
        '{"\\u005f":{},',
        ' {',
        '{{',
        '{"x":'.repeat(300),
      ]),
    ),
];

/** Edits of the whole file, blind to what it means. */
const BYTE_EDITS: readonly ((file: Buffer, random: Random) => Buffer)[] = [
  (file, random) => flip(file, random, 1 + random.below(4), file.length),
  (file, random) => flip(file, random, 1, 8),
  (file, random) => file.subarray(0, random.below(file.length + 1)),
  (file, random) => Buffer.concat([file, Buffer.alloc(1 + random.below(16), random.below(256))]),
  (file, random) => {
    const length = random.pick([
      0n,
      1n,
      2n,
      7n,
      BigInt(file.length),
      BigInt(file.length - 8),
      BigInt(file.length - 7),
      100_000_000n,
      100_000_001n,
      2n ** 32n,
      2n ** 53n,
      2n ** 63n,
      2n ** 64n - 1n,
    ]);
    const copy = Buffer.from(file);
    copy.writeBigUInt64LE(length);
    return copy;
  },
  (file, random) => {
    const [from, to] = [random.below(file.length), random.below(file.length)];
    return Buffer.concat([file.subarray(0, to), file.subarray(from, from + random.below(64)), file.subarray(to)]);
  },
  (file, random) => {
    const from = random.below(file.length);
    return Buffer.concat([file.subarray(0, from), file.subarray(from + 1 + random.below(32))]);
  },
];

function replaceOne(text: string, pattern: RegExp, random: Random, by: (found: string) => string): string {
  const found = [...text.matchAll(pattern)];
  if (found.length === 0) return text;
  const match = random.pick(found);
  return text.slice(0, match.index) + by(match[0]) + text.slice(match.index + match[0].length);
}

function splice(text: string, random: Random, insert: string): string {
  const at = random.below(text.length + 1);
  return text.slice(0, at) + insert + text.slice(at + random.below(3));
}

function flip(file: Buffer, random: Random, count: number, within: number): Buffer {
  const copy = Buffer.from(file);
  for (let i = 0; i < count; i++) {
    const at = random.below(within);
    copy[at] = (copy[at] as number) ^ (1 << random.below(8));
  }
  return copy;
}

function mutate({ header, data }: File, random: Random): Buffer {
  let text = header;
  const textual = random.below(3) > 0;
  if (textual) for (let i = random.below(3); i >= 0; i--) text = random.pick(TEXT_EDITS)(text, random);
  const file = Buffer.from(fileOf(text, data));
  return textual && random.below(8) > 0 ? file : random.pick(BYTE_EDITS)(file, random);
}

/** Opens a file and reads all of it; true when it was accepted. Throws when a promise is broken. */
async function checkFile(content: Uint8Array): Promise<boolean> {
  const source = new MemorySource(content);
  try {
    const header = await readHeader(source);
    const dataStart = source.bytesRead;
    const reader = new SafetensorsReader('fuzz', [{ source, header, names: null }]);
    let position = dataStart;
    for (const name of reader.names) {
      const { dtype, shape, begin, end } = reader.info(name);
      expect(begin).toBe(position);
      expect(tensorSize(dtype, shape)).toEqual({ bytes: end - begin });
      expect((await reader.read(name)).length).toBe(end - begin);
      position = end;
    }
    expect(position).toBe(content.length);
    return true;
  } catch (error) {
    if (!(error instanceof NudgeError)) throw error;
    expect(error.code).toBe('BAD_FILE');
    expect(error.message.length).toBeLessThan(2000);
    return false;
  } finally {
    expect(source.bytesRead).toBeLessThanOrEqual(source.size);
  }
}

describe('a damaged file', () => {
  it(`is refused with a NudgeError or read within its bounds, ${MUTATIONS} times`, async () => {
    let accepted = 0;
    let slowest = 0;
    for (let seed = 1; seed <= MUTATIONS; seed++) {
      const random = new Random(seed);
      const content = mutate(validFile(random), random);
      const started = performance.now();
      try {
        if (await checkFile(content)) accepted++;
      } catch (cause) {
        throw new Error(`seed ${seed}: ${JSON.stringify(content.toString('latin1'))}`, { cause });
      }
      slowest = Math.max(slowest, performance.now() - started);
    }
    expect(slowest).toBeLessThan(SLOWEST_MS);
    // Damage that is never accepted, or always, would test one half of the reader only.
    expect(accepted).toBeGreaterThan(MUTATIONS * 0.03);
    expect(accepted).toBeLessThan(MUTATIONS * 0.5);
  });

  it('is read whole when it is not damaged', async () => {
    for (let seed = 1; seed <= 1000; seed++) {
      const { header, data } = validFile(new Random(seed));
      expect(await checkFile(fileOf(header, data))).toBe(true);
    }
  });
});

describe('a damaged index', () => {
  it('is refused with a NudgeError or names plain files, 10000 times', () => {
    const index =
      '{"metadata":{"total_size":8},"weight_map":{"a.weight":"model-00001-of-00002.safetensors","b":"model-00002-of-00002.safetensors"}}';
    const inserts = [...TOKENS, '../', '/', '..\\', '\\u002e\\u002e\\u002f', 'C:', '"weight_map":{},'];
    for (let seed = 1; seed <= 10_000; seed++) {
      const random = new Random(seed);
      let text = index;
      for (let i = random.below(3); i >= 0; i--) text = splice(text, random, random.pick(inserts));
      const bytes = random.below(4) === 0 ? flip(Buffer.from(text), random, 2, text.length) : Buffer.from(text);
      try {
        for (const shard of parseIndex(bytes, 'index.json').values())
          expect(shard).toMatch(/^[^/\\:\0]+\.safetensors$/);
      } catch (error) {
        if (!(error instanceof NudgeError)) throw new Error(`seed ${seed}: ${text}`, { cause: error });
        expect(error.code).toBe('BAD_FILE');
      }
    }
  });
});
