import { describe, expect, it } from 'vitest';
import { draw } from './draws.ts';
import { StopScanner } from './stops.ts';

/** The text let through, a piece a letter. */
function scan(text: string, stops: string[], size = 1): { text: string; found: boolean } {
  const scanner = new StopScanner(stops);
  let passed = '';
  for (let i = 0; i < text.length; i += size) passed += scanner.push(text.slice(i, i + size));
  return { text: passed + scanner.end(), found: scanner.found };
}

describe('StopScanner', () => {
  it.each([1, 2, 3, 50])('finds the first stop string, in pieces of %i', (size) => {
    expect(scan('one two three', ['three', 'two'], size)).toEqual({ text: 'one ', found: true });
    expect(scan('a\n\nUser: b', ['\nUser:'], size)).toEqual({ text: 'a\n', found: true });
    expect(scan('aabaabaab', ['aabaaab'], size)).toEqual({ text: 'aabaabaab', found: false });
    expect(scan('aabaaabaab', ['aabaab'], size)).toEqual({ text: 'aaba', found: true });
  });

  it('holds back only what may be the beginning of one', () => {
    const scanner = new StopScanner(['END']);
    expect(scanner.push('fine E')).toBe('fine ');
    expect(scanner.push('N')).toBe('');
    expect(scanner.push('ough')).toBe('ENough');
    expect(scanner.push('EN')).toBe('');
    expect(scanner.end()).toBe('EN');
  });
});

describe('draw', () => {
  it('is uniform, and depends on all that it is given', () => {
    const count = 20_000;
    const buckets = new Array<number>(10).fill(0);
    let product = 0;
    for (let i = 0; i < count; i++) {
      const value = draw(42, i % 7, i);
      buckets[Math.floor(value * 10)]!++;
      product += (value - 0.5) * (draw(42, i % 7, i + 1) - 0.5);
    }
    for (const bucket of buckets) expect(Math.abs(bucket - count / 10)).toBeLessThan(200); // 4.7 standard deviations
    expect(Math.abs((product / count) * 12)).toBeLessThan(0.03); // correlation of neighbours
    const values = [draw(1, 2, 3), draw(2, 2, 3), draw(1, 3, 3), draw(1, 2, 4), draw(1 + 2 ** 32, 2, 3)];
    expect(new Set(values).size).toBe(5);
    expect(draw(1, 2, 3)).toBe(values[0]);
  });
});
