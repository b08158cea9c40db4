/** One way to write each value as JSON, and a name made of what is in it. */
import { createHash } from 'node:crypto';
import { NudgeError } from '../../errors.ts';

/**
 * JSON with sorted keys and no white space (as RFC 8785 has it): equal values give equal texts. Fields that are undefined are
 * left out. Hostile strings are kept whole: NUL and lone surrogates become escapes.
 *
 * @throws NudgeError BAD_ARGUMENT for what JSON cannot hold: NaN, Infinity, bigints, functions, cycles.
 */
export function canonicalJson(value: unknown, path = 'value'): string {
  return write(value, path, 0);
}

/** A content address: SHA-256 of the canonical JSON, in hexadecimal. `kind` keeps equal contents of two tables apart. */
export function contentId(kind: string, content: unknown): string {
  return createHash('sha256')
    .update(canonicalJson([kind, content], kind))
    .digest('hex');
}

const DEEPEST = 100;

function write(value: unknown, path: string, depth: number): string {
  if (depth > DEEPEST) throw unfit(path, `nested deeper than ${DEEPEST} levels`);
  if (value === null || typeof value === 'boolean' || typeof value === 'string') return JSON.stringify(value);
  if (typeof value === 'number') {
    if (!Number.isFinite(value)) throw unfit(path, String(value));
    return JSON.stringify(value);
  }
  if (Array.isArray(value)) return `[${value.map((item, i) => write(item, `${path}[${i}]`, depth + 1)).join(',')}]`;
  if (isPlain(value)) {
    const fields = Object.keys(value)
      .filter((key) => value[key] !== undefined)
      .sort()
      .map((key) => `${JSON.stringify(key)}:${write(value[key], `${path}.${key}`, depth + 1)}`);
    return `{${fields.join(',')}}`;
  }
  throw unfit(path, typeof value === 'object' ? `a ${value?.constructor.name}` : typeof value);
}

function isPlain(value: unknown): value is Record<string, unknown> {
  if (typeof value !== 'object' || value === null) return false;
  const prototype = Object.getPrototypeOf(value);
  return prototype === null || prototype === Object.prototype;
}

function unfit(path: string, received: string): NudgeError {
  return new NudgeError('BAD_ARGUMENT', 'This cannot be stored as JSON.', {
    path,
    expected: 'null, true, false, a finite number, a string, a list or a plain object',
    received,
  });
}
