/** Against `gguf.quants` of Python's gguf (scripts/golden/gguf_files.py): every bit. */

import { createHash } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { checkReadable, dequantiser, READABLE_TYPES } from './dequantise.ts';
import { GGUF_TYPES, type GgufType, isPlain, typeFacts } from './format.ts';
import { halfTable, toHalf } from './halves.ts';
import { bits, bytesOf, floatsOf, golden } from './testing.ts';

const blocks = await golden<Record<string, { bytes: string; weights: string; sha256: string }>>('blocks.json');
const quantised = READABLE_TYPES.filter((type) => !isPlain(type));

describe.each(quantised)('%s', (type) => {
  const { bytes, weights } = blocks[type] ?? expect.fail('no golden blocks');
  const source = bytesOf(bytes);
  const dequantise = dequantiser(type) ?? expect.fail('not understood');
  const count = source.length / typeFacts(type).bytes;

  it('gives the numbers that Python gives', () => {
    const target = new Float32Array(count * typeFacts(type).block);
    dequantise(source, target, count);
    expect(bits(target)).toEqual(bits(floatsOf(weights)));
  });

  it('takes as many blocks as it is told, from wherever they begin', () => {
    const { block, bytes: size } = typeFacts(type);
    const target = new Float32Array(3 * block).fill(7);
    const shifted = new Uint8Array(source.length + 1);
    shifted.set(source, 1);
    dequantise(shifted.subarray(1 + size), target, 2);
    expect(bits(target.subarray(0, 2 * block))).toEqual(bits(floatsOf(weights).slice(block, 3 * block)));
    expect(target.subarray(2 * block).every((value) => value === 7)).toBe(true);
  });
});

describe('float16', () => {
  const table = halfTable();

  it('has the values that Python gives', () => {
    const words = bits(table);
    expect(createHash('sha256').update(words).digest('hex')).toBe(blocks.F16?.sha256);
  });

  it('comes back from its value', () => {
    for (let half = 0; half < 65_536; half++) {
      if (!Number.isNaN(table[half])) expect(toHalf(table[half] as number)).toBe(half);
    }
    expect(table[toHalf(Number.NaN)]).toBeNaN();
  });

  it('rounds to nearest, ties to even', () => {
    for (let half = 0; half < 0x7bff; half++) {
      const [low, high] = [table[half] as number, table[half + 1] as number];
      const middle = (low + high) / 2;
      expect(toHalf(middle)).toBe(half % 2 === 0 ? half : half + 1);
      expect(toHalf(-middle)).toBe(0x8000 | (half % 2 === 0 ? half : half + 1));
      expect(toHalf(Math.fround(middle + (high - low) / 64))).toBe(half + 1);
    }
    expect(toHalf(65_519.99)).toBe(0x7bff);
    expect(toHalf(65_520)).toBe(0x7c00);
    expect(toHalf(1e-30)).toBe(0);
    expect(toHalf(-1e-30)).toBe(0x8000);
  });
});

describe('a type that is not understood', () => {
  const others = GGUF_TYPES.filter((type) => !READABLE_TYPES.includes(type));

  it('is refused by name, with the list of the others', () => {
    expect(others).toContain('IQ4_XS' satisfies GgufType);
    for (const type of others) {
      expect(() => checkReadable('m.gguf', 'blk.0.w', type)).toThrow(
        new RegExp(`cannot be read: ${type}.*m\\.gguf, tensor "blk\\.0\\.w".*F32, F16.*Q6_K`, 's'),
      );
    }
  });
});
