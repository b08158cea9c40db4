import { describe, expect, it } from 'vitest';
import { OtherNumber, parseStrictJson, StrictJsonError } from './json.ts';

describe('parseStrictJson', () => {
  it('reads what JSON.parse reads', () => {
    const texts = [
      'null',
      'true',
      '[]',
      '{}',
      ' [1, "a" ,false,[{}]]\r\n',
      '"\\"\\\\\\/\\b\\f\\n\\r\\t\\u00e9\\ud83d\\ude00é😀"',
    ];
    for (const text of texts) expect(plain(parseStrictJson(text))).toEqual(JSON.parse(text));
  });

  it('keeps objects as maps, in order, so that __proto__ is only a key', () => {
    const value = parseStrictJson('{"b":1,"__proto__":{"polluted":true},"0":2}') as Map<string, unknown>;
    expect([...value.keys()]).toEqual(['b', '__proto__', '0']);
    expect(({} as Record<string, unknown>).polluted).toBeUndefined();
  });

  it('keeps the text of every number that is not a plain safe integer', () => {
    expect(parseStrictJson('[0,9007199254740991]')).toEqual([0, 9007199254740991]);
    for (const text of [
      '-1',
      '-0',
      '1.0',
      '1e3',
      '1E+3',
      '9007199254740992',
      '18446744073709551616',
      '9'.repeat(1000),
    ]) {
      expect(parseStrictJson(text)).toEqual(new OtherNumber(text));
    }
  });

  it.each([
    ['', /Expected a value, received the end/],
    ['{"a":1,"a":2}', /The key "a" occurs twice at character 7/],
    ['{"a":1,"\\u0061":2}', /The key "a" occurs twice/],
    ['{"x":{"b":1,"b":1}}', /The key "b" occurs twice/],
    ['{"a":1,}', /Expected a key in double quotes, received "}"/],
    ['{a:1}', /Expected a key/],
    ['{"a" 1}', /Expected ":", received "1"/],
    ['{"a":1', /Expected "," or "}", received the end/],
    ['[1,]', /Expected a value, received "]"/],
    ['[1 2]', /Expected "," or "]", received "2"/],
    ['[1]]', /Expected the end of the text, received "]"/],
    ['01', /Expected the end of the text, received "1"/],
    ['+1', /Expected a value/],
    ['.5', /Expected a value/],
    ['1.', /Expected the end of the text, received "\."/],
    ['NaN', /Expected a value/],
    ['nul', /Expected a value/],
    ['"a', /A string without an end at character 0/],
    ['"a\nb"', /Expected an escape instead of a control character, received "\\n"/],
    ['"\\x"', /Expected an escape that JSON knows/],
    ['"\\u00g0"', /four hexadecimal digits/],
    ['"\\u00"', /four hexadecimal digits/],
    ['"\\ud800"', /half a surrogate pair/],
    ['"\\ude00\\ud83d"', /half a surrogate pair/],
    ['\ufeff{}', /Expected a value, received "\\ufeff"/],
    ['/**/{}', /Expected a value/],
    ['[1]\0', /Expected the end of the text/],
  ])('refuses %j', (text, message) => {
    expect(() => parseStrictJson(text)).toThrow(StrictJsonError);
    expect(() => parseStrictJson(text)).toThrow(message);
  });

  it('refuses deep nesting instead of overflowing the stack', () => {
    expect(() => parseStrictJson('['.repeat(1_000_000))).toThrow(/More than 128 levels/);
    expect(() => parseStrictJson('{"a":'.repeat(1_000_000))).toThrow(/More than 128 levels/);
    expect(plain(parseStrictJson('['.repeat(100) + ']'.repeat(100)))).toHaveLength(1);
  });

  it('takes time in proportion to the text', () => {
    const started = performance.now();
    parseStrictJson(
      `{${Array.from({ length: 100_000 }, (_, i) => `"key\\n${i}":[${i},1.5,"${'x'.repeat(50)}"]`).join(',')}}`,
    );
    expect(() => parseStrictJson(`["${'\\\\'.repeat(1_000_000)}`)).toThrow(/without an end/);
    expect(performance.now() - started).toBeLessThan(10_000);
  });
});

function plain(value: unknown): unknown {
  if (value instanceof Map) return Object.fromEntries(Array.from(value, ([key, inner]) => [key, plain(inner)]));
  return Array.isArray(value) ? value.map(plain) : value;
}
