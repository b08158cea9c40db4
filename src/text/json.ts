/** A value inside a JSON file together with the way to it, so that every complaint names file and field. */

import { NudgeError } from '../errors.ts';

export class Json {
  readonly value: unknown;
  /** `tokenizer.json: model.vocab` */
  readonly path: string;

  constructor(value: unknown, path: string) {
    this.value = value;
    this.path = path;
  }

  static parse(text: string, file: string): Json {
    try {
      return new Json(JSON.parse(text), file);
    } catch (cause) {
      throw new NudgeError('BAD_FILE', 'This file is not JSON.', {
        path: file,
        received: (cause as Error).message,
        remedy: 'Fetch the file again; an interrupted download or a Git LFS pointer looks like this.',
        cause,
      });
    }
  }

  get(key: string): Json {
    return new Json(this.object()[key], this.path.includes(': ') ? `${this.path}.${key}` : `${this.path}: ${key}`);
  }

  get isMissing(): boolean {
    return this.value === undefined || this.value === null;
  }

  object(): Record<string, unknown> {
    if (typeof this.value !== 'object' || this.value === null || Array.isArray(this.value)) this.fail('an object');
    return this.value as Record<string, unknown>;
  }

  list(): unknown[] {
    if (!Array.isArray(this.value)) this.fail('a list');
    return this.value as unknown[];
  }

  items(): Json[] {
    return this.list().map((value, i) => new Json(value, `${this.path}[${i}]`));
  }

  string(): string {
    if (typeof this.value !== 'string') this.fail('a string');
    return this.value as string;
  }

  /** A token's id or another count. */
  index(): number {
    if (!Number.isSafeInteger(this.value) || (this.value as number) < 0) this.fail('a whole number, 0 or more');
    return this.value as number;
  }

  number(): number {
    if (typeof this.value !== 'number' || Number.isNaN(this.value)) this.fail('a number');
    return this.value as number;
  }

  boolean(missing: boolean): boolean {
    if (this.isMissing) return missing;
    if (typeof this.value !== 'boolean') this.fail('true or false');
    return this.value as boolean;
  }

  fail(expected: string, remedy?: string): never {
    throw new NudgeError('BAD_FILE', 'A field of this file is not what it should be.', {
      path: this.path,
      expected,
      received: brief(this.value),
      ...(remedy === undefined ? {} : { remedy }),
    });
  }
}

/** What a value looks like, cut short. */
export function brief(value: unknown): string {
  if (value === undefined) return 'nothing';
  const text = typeof value === 'string' ? JSON.stringify(value) : (JSON.stringify(value) ?? String(value));
  return text.length > 80 ? `${text.slice(0, 77)}...` : text;
}
