/**
 * A JSON reader for untrusted files, where `JSON.parse` says too little.
 *
 * `JSON.parse` keeps the last of two equal keys without a word (so two programs may read two different models from one
 * file), rounds integers past 2^53, turns `2.0` and `2e0` into 2, and lets `__proto__` be an ordinary object's key. Here a
 * repeated key is an error, an object is a `Map`, and a number that is not a plain non-negative integer keeps its text.
 * The grammar is RFC 8259's. Nesting is limited like the reference implementation's, so that the stack cannot overflow.
 */

import { quote } from '../files/index.ts';

/** A number that is not a non-negative safe integer in plain digits: `-1`, `2.0`, `1e3`, `18446744073709551615`. */
export class OtherNumber {
  readonly text: string;
  constructor(text: string) {
    this.text = text;
  }
}

/** A `number` here is always a non-negative safe integer. */
export type StrictJson = null | boolean | string | number | OtherNumber | StrictJson[] | Map<string, StrictJson>;

/** Why a text was refused, and where, as an offset in UTF-16 units. */
export class StrictJsonError extends Error {
  readonly position: number;
  constructor(problem: string, position: number) {
    super(`${problem} at character ${position}`);
    this.position = position;
  }
}

const MAX_DEPTH = 128;
const NUMBER = /-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?/y;
const PLAIN_INTEGER = /^(?:0|[1-9][0-9]{0,15})$/;
const HEX4 = /[0-9a-fA-F]{4}/y;
const LITERALS: readonly (readonly [string, null | boolean])[] = [
  ['true', true],
  ['false', false],
  ['null', null],
];
const ESCAPES: Readonly<Record<string, string>> = {
  '"': '"',
  '\\': '\\',
  '/': '/',
  b: '\b',
  f: '\f',
  n: '\n',
  r: '\r',
  t: '\t',
};

/**
 * Reads one JSON value; only whitespace may surround it.
 *
 * @throws StrictJsonError on anything that is not JSON, a repeated key, a lone surrogate or more than 128 levels.
 */
export function parseStrictJson(text: string): StrictJson {
  return new Parser(text).document();
}

class Parser {
  readonly #text: string;
  #at = 0;

  constructor(text: string) {
    this.#text = text;
  }

  document(): StrictJson {
    const value = this.#value(0);
    this.#skipSpace();
    if (this.#at < this.#text.length) throw this.#unexpected('the end of the text');
    return value;
  }

  #value(depth: number): StrictJson {
    if (depth >= MAX_DEPTH) throw new StrictJsonError(`More than ${MAX_DEPTH} levels of nesting`, this.#at);
    this.#skipSpace();
    switch (this.#text[this.#at]) {
      case '{':
        return this.#object(depth);
      case '[':
        return this.#array(depth);
      case '"':
        return this.#string();
      default:
        return this.#scalar();
    }
  }

  #object(depth: number): Map<string, StrictJson> {
    const object = new Map<string, StrictJson>();
    this.#at++;
    if (this.#take('}')) return object;
    do {
      this.#skipSpace();
      const keyAt = this.#at;
      if (this.#text[keyAt] !== '"') throw this.#unexpected('a key in double quotes');
      const key = this.#string();
      if (object.has(key)) throw new StrictJsonError(`The key ${quote(key)} occurs twice`, keyAt);
      if (!this.#take(':')) throw this.#unexpected('":"');
      object.set(key, this.#value(depth + 1));
    } while (this.#take(','));
    if (!this.#take('}')) throw this.#unexpected('"," or "}"');
    return object;
  }

  #array(depth: number): StrictJson[] {
    const array: StrictJson[] = [];
    this.#at++;
    if (this.#take(']')) return array;
    do array.push(this.#value(depth + 1));
    while (this.#take(','));
    if (!this.#take(']')) throw this.#unexpected('"," or "]"');
    return array;
  }

  #scalar(): null | boolean | number | OtherNumber {
    for (const [word, value] of LITERALS) {
      if (this.#text.startsWith(word, this.#at)) {
        this.#at += word.length;
        return value;
      }
    }
    NUMBER.lastIndex = this.#at;
    const number = NUMBER.exec(this.#text)?.[0];
    if (number === undefined) throw this.#unexpected('a value');
    this.#at += number.length;
    // The length is bounded before the conversion: a megabyte of digits must not cost a bignum.
    const value = PLAIN_INTEGER.test(number) ? Number(number) : Number.NaN;
    return Number.isSafeInteger(value) ? value : new OtherNumber(number);
  }

  #string(): string {
    let result = '';
    let start = ++this.#at;
    for (;;) {
      const code = this.#text.charCodeAt(this.#at);
      if (code === 0x22) break;
      if (Number.isNaN(code)) throw new StrictJsonError('A string without an end', start - 1);
      if (code < 0x20) throw this.#unexpected('an escape instead of a control character');
      if (code === 0x5c) {
        result += this.#text.slice(start, this.#at) + this.#escape();
        start = this.#at;
      } else this.#at++;
    }
    result += this.#text.slice(start, this.#at++);
    // Half a surrogate pair has no UTF-8 form: such a name could be neither compared nor written again.
    if (!result.isWellFormed()) throw new StrictJsonError('A string with half a surrogate pair', start - 1);
    return result;
  }

  #escape(): string {
    const letter = this.#text[this.#at + 1] ?? '';
    if (letter === 'u') {
      HEX4.lastIndex = this.#at + 2;
      const digits = HEX4.exec(this.#text)?.[0];
      if (digits === undefined) throw this.#unexpected('four hexadecimal digits after "\\u"');
      this.#at += 6;
      return String.fromCharCode(Number.parseInt(digits, 16));
    }
    const plain = Object.hasOwn(ESCAPES, letter) ? ESCAPES[letter] : undefined;
    if (plain === undefined) throw this.#unexpected('an escape that JSON knows');
    this.#at += 2;
    return plain;
  }

  #skipSpace(): void {
    for (;;) {
      const code = this.#text.charCodeAt(this.#at);
      if (code !== 0x20 && code !== 0x0a && code !== 0x0d && code !== 0x09) return;
      this.#at++;
    }
  }

  /** Moves past `mark` when it comes next. */
  #take(mark: string): boolean {
    this.#skipSpace();
    if (this.#text[this.#at] !== mark) return false;
    this.#at++;
    return true;
  }

  #unexpected(expected: string): StrictJsonError {
    const found = this.#text[this.#at];
    const received = found === undefined ? 'the end of the text' : quote(found);
    return new StrictJsonError(`Expected ${expected}, received ${received}`, this.#at);
  }
}
