import { createHash } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { errorOf } from '../../../tests/support/errors.ts';
import { canonicalJson, contentId } from './canonical.ts';

describe('canonicalJson', () => {
  it('writes equal values alike: keys sorted, nothing undefined, no white space', () => {
    expect(canonicalJson({ b: [1, { d: null, c: undefined }], a: 'x' })).toBe('{"a":"x","b":[1,{"d":null}]}');
    expect(canonicalJson({ a: 1, b: 2 })).toBe(canonicalJson({ b: 2, a: 1 }));
    expect(canonicalJson(-0)).toBe('0');
  });

  it('keeps hostile strings whole', () => {
    for (const text of ['a\0b', '\ud800', '\udfff x', '"\\', '\u2028', '__proto__']) {
      expect(JSON.parse(canonicalJson(text))).toBe(text);
      expect(Buffer.from(canonicalJson(text)).toString()).toBe(canonicalJson(text));
    }
  });

  it.each([[Number.NaN], [Number.POSITIVE_INFINITY], [1n], [() => 1], [new Date()], [new Map()]])(
    'refuses %s, with the place',
    (value) => {
      expect(errorOf(() => canonicalJson({ a: [value] }, 'extra'))).toMatchObject({
        code: 'BAD_ARGUMENT',
        path: 'extra.a[0]',
      });
    },
  );

  it('refuses cycles', () => {
    const cycle: unknown[] = [];
    cycle.push(cycle);
    expect(errorOf(() => canonicalJson(cycle)).received).toMatch(/nested deeper/);
  });
});

describe('contentId', () => {
  it('is the SHA-256 of kind and content', () => {
    const hash = createHash('sha256').update('["prompt",{"a":1}]').digest('hex');
    expect(contentId('prompt', { a: 1 })).toBe(hash);
    expect(contentId('task', { a: 1 })).not.toBe(hash);
  });
});
