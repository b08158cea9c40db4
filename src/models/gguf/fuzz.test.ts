/**
 * Random damage to valid files: every outcome is either tensors that fit the file or a NudgeError, at once and without
 * reading past the file's end. Seeded, so a failure repeats; the message names the seed.
 */

import { describe, expect, it } from 'vitest';
import { NudgeError } from '../../errors.ts';
import { type GgufType, MAX_HEADER_BYTES, tensorSize, typeFacts } from './format.ts';
import { readGgufHeader } from './header.ts';
import { layOutGguf } from './layout.ts';
import type { GgufValue } from './metadata.ts';
import { GgufReader } from './reader.ts';
import { MemorySource, Random } from './testing.ts';

const MUTATIONS = 20_000;
// Each takes well under a millisecond; the rest is for a busy machine and the garbage collector.
const SLOWEST_MS = 1000;

const TYPES: readonly GgufType[] = ['F32', 'F16', 'I8', 'Q8_0', 'Q4_1', 'Q4_K', 'IQ4_XS'];

function randomValue(random: Random, depth = 0): GgufValue {
  const values: readonly (() => GgufValue)[] = [
    () => ({ type: 'uint8', value: random.below(256) }),
    () => ({ type: 'uint32', value: random.below(2 ** 32) }),
    () => ({ type: 'int64', value: -BigInt(random.below(2 ** 32)) }),
    () => ({ type: 'float32', value: 0.5 }),
    () => ({ type: 'bool', value: random.below(2) === 0 }),
    () => ({ type: 'string', value: random.pick(['', 'llama', 'é😀', '\ufffd']) }),
    () => ({
      type: 'array',
      of: 'string',
      value: Array.from({ length: random.below(4) }, () => random.pick(['', 'a', 'Ġb'])),
    }),
    () => ({ type: 'array', of: 'int32', value: new Int32Array(random.below(4)) }),
    () => ({ type: 'array', of: 'bool', value: new Uint8Array(random.below(3)).fill(1) }),
    () => {
      const inner = depth < 2 ? randomValue(random, depth + 1) : undefined;
      return { type: 'array', of: 'array', value: inner?.type === 'array' ? [inner] : [] };
    },
  ];
  return random.pick(values)();
}

function validFile(random: Random): Buffer {
  const metadata = new Map<string, GgufValue>();
  for (let i = random.below(5); i > 0; i--)
    metadata.set(random.pick(['general.name', 'x', '__proto__', 'é']) + i, randomValue(random));
  if (random.below(4) === 0) metadata.set('general.alignment', { type: 'uint32', value: 2 ** random.below(8) });
  const tensors = Array.from({ length: random.below(4) }, (_, i) => {
    const type = random.pick(TYPES);
    const shape = Array.from({ length: random.below(3) }, () => 1 + random.below(3));
    if (typeFacts(type).block > 1) shape.push(typeFacts(type).block);
    return [random.pick(['blk.0.w', 'é', '__proto__']) + i, { type, shape, bytes: new Uint8Array(0) }] as const;
  });
  const { header, tensors: planned } = layOutGguf(metadata, tensors);
  return Buffer.concat([header, ...planned.map(({ size, padding }, i) => Buffer.alloc(size + padding, i + 1))]);
}

const NUMBERS = [
  0n,
  1n,
  2n,
  3n,
  4n,
  7n,
  8n,
  9n,
  12n,
  13n,
  31n,
  32n,
  33n,
  255n,
  65_536n,
  2n ** 31n,
  2n ** 32n - 1n,
  2n ** 32n,
  2n ** 53n,
  2n ** 60n,
  2n ** 63n,
  2n ** 64n - 1n,
];

const EDITS: readonly ((file: Buffer, random: Random) => Buffer)[] = [
  (file, random) => flip(file, random, 1 + random.below(4), file.length),
  (file, random) => flip(file, random, 1, 24),
  (file, random) => file.subarray(0, random.below(file.length + 1)),
  (file, random) => Buffer.concat([file, Buffer.alloc(1 + random.below(64), random.below(256))]),
  // A number where a number stands: the first byte of a count, length, type or offset is mostly followed by zeros.
  (file, random) => overwrite(file, random, 8),
  (file, random) => overwrite(file, random, 4),
  (file, random) => {
    const copy = Buffer.from(file);
    copy.writeBigUInt64LE(random.pick(NUMBERS), random.pick([8, 16]));
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

function overwrite(file: Buffer, random: Random, size: 4 | 8): Buffer {
  const copy = Buffer.from(file);
  const places = Array.from({ length: Math.min(file.length, 600) - size }, (_, i) => i).filter(
    (i) => file[i + size - 1] === 0,
  );
  if (places.length === 0) return copy;
  const value = random.pick(NUMBERS);
  const at = random.pick(places);
  if (size === 8) copy.writeBigUInt64LE(value, at);
  else copy.writeUInt32LE(Number(value & 0xffffffffn), at);
  return copy;
}

function flip(file: Buffer, random: Random, count: number, within: number): Buffer {
  const copy = Buffer.from(file);
  for (let i = 0; i < count; i++) {
    const at = random.below(within);
    copy[at] = (copy[at] as number) ^ (1 << random.below(8));
  }
  return copy;
}

/** Opens a file and reads all of it; true when it was accepted. Throws when a promise is broken. */
async function checkFile(content: Uint8Array): Promise<boolean> {
  const source = new MemorySource(content);
  try {
    const header = await readGgufHeader(source);
    const reader = new GgufReader('fuzz', [{ source, header }]);
    let total = 0;
    for (const [name, { type, shape, begin, end }] of reader.tensors) {
      expect(tensorSize(type, shape)).toEqual({ bytes: end - begin });
      expect(begin % header.alignment).toBe(0);
      expect((await reader.read(name)).length).toBe(end - begin);
      total += end - begin;
    }
    expect(total).toBeLessThanOrEqual(content.length);
    return true;
  } catch (error) {
    if (!(error instanceof NudgeError)) throw error;
    expect(error.code).toBe('BAD_FILE');
    expect(error.message.length).toBeLessThan(2000);
    // The prefix, and the header once: it is smaller than the first piece.
    expect(source.bytesRead).toBeLessThanOrEqual(source.size + 24);
    return false;
  }
}

describe('a damaged file', () => {
  it(`is refused with a NudgeError or read within its bounds, ${MUTATIONS} times`, async () => {
    let accepted = 0;
    let slowest = 0;
    for (let seed = 1; seed <= MUTATIONS; seed++) {
      const random = new Random(seed);
      let content = validFile(random);
      for (let i = random.below(3); i >= 0 && content.length > 40; i--) content = random.pick(EDITS)(content, random);
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
    expect(accepted).toBeLessThan(MUTATIONS * 0.6);
  });

  it('is read whole when it is not damaged', async () => {
    for (let seed = 1; seed <= 1000; seed++) expect(await checkFile(validFile(new Random(seed)))).toBe(true);
  });

  it('costs no memory that its size does not justify', async () => {
    const before = process.memoryUsage().arrayBuffers;
    for (let seed = 1; seed <= 200; seed++) {
      const content = validFile(new Random(seed));
      for (const at of [8, 16]) {
        const copy = Buffer.from(content);
        copy.writeBigUInt64LE(BigInt(MAX_HEADER_BYTES), at);
        await checkFile(copy);
      }
    }
    expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(64 * 1024 * 1024);
  });
});
