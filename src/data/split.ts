/**
 * Held-out data by prompt, never by pair: two answers to one prompt in training and in the test set would let a model be
 * tested on what it has seen.
 */

import { createHash } from 'node:crypto';
import { NudgeError } from '../errors.ts';
import { promptKey } from './conversation.ts';
import type { AnyRecord } from './records.ts';

export interface SplitOptions {
  /** The share of each part, by its name; they add up to 1. Default: { train: 0.9, test: 0.1 }. */
  parts?: Readonly<Record<string, number>>;
  /** Another seed is another split. Default: 0. */
  seed?: number;
  /**
   * What else must not be torn apart: a column of `extra`, such as a debate or a user, or a function of the record. Rows with
   * the same prompt stay together as well; so a group can pull in another that shares a prompt with it.
   */
  group?: string | ((record: AnyRecord) => string);
}

/** What a record asks: two records with the same key belong to the same part. */
export function recordKey(record: AnyRecord): string {
  return 'prompt' in record ? promptKey(record.prompt) : promptKey(record.text);
}

/**
 * Splits records into parts. Where a prompt lands depends on the prompt and the seed alone, so that what was held out stays held
 * out when more rows come. The shares are therefore met only roughly: a part of 10% of 100 prompts holds 10, give or take 6.
 *
 * With groups, a prompt lands where the first name of its groups does.
 *
 * @throws NudgeError BAD_ARGUMENT for shares that do not add up to 1, a missing group, and a part that comes out empty.
 */
export function splitByPrompt<R extends AnyRecord>(
  records: readonly R[],
  options: SplitOptions = {},
): Record<string, R[]> {
  const { parts = { train: 0.9, test: 0.1 }, seed = 0, group } = options;
  checkParts(parts);
  const names = group === undefined ? records.map(recordKey) : groupNames(records, group);
  const split: Record<string, R[]> = Object.fromEntries(Object.keys(parts).map((name) => [name, []]));
  const partOf = new Map<string, string>();
  records.forEach((record, i) => {
    const name = names[i] as string;
    const part = partOf.get(name) ?? choosePart(name, parts, seed);
    partOf.set(name, part);
    (split[part] as R[]).push(record);
  });
  checkFilled(split, parts, partOf.size, group);
  return split;
}

function checkParts(parts: Readonly<Record<string, number>>): void {
  const shares = Object.values(parts);
  const sum = shares.reduce((total, share) => total + share, 0);
  if (shares.length > 0 && shares.every((share) => share >= 0) && Math.abs(sum - 1) < 1e-9) return;
  throw new NudgeError('BAD_ARGUMENT', 'The shares of a split have to add up to 1.', {
    path: 'parts',
    expected: 'shares from 0 to 1, such as { train: 0.9, test: 0.1 }',
    received: JSON.stringify(parts),
  });
}

function checkFilled(
  split: Readonly<Record<string, readonly unknown[]>>,
  parts: Readonly<Record<string, number>>,
  groups: number,
  group: SplitOptions['group'],
): void {
  const empty = Object.keys(parts).find((name) => parts[name] !== 0 && split[name]?.length === 0);
  if (empty === undefined || groups === 0) return;
  throw new NudgeError('BAD_ARGUMENT', 'A part of the split has no rows.', {
    path: `parts.${empty}`,
    expected: `${((parts[empty] ?? 0) * 100).toPrecision(3)}% of ${groups} ${group === undefined ? 'prompts' : 'groups'}`,
    received: 'none of them',
    remedy: 'Give it a larger share, add prompts, or take another seed.',
  });
}

/** A number from 0 to 1 that the name and the seed decide, and the part that it falls into. */
function choosePart(name: string, parts: Readonly<Record<string, number>>, seed: number): string {
  const digest = createHash('sha256').update(`${seed}\n`).update(name).digest();
  const place = digest.readUIntBE(0, 6) / 2 ** 48;
  const entries = Object.entries(parts).filter(([, share]) => share > 0);
  let sum = 0;
  for (const [part, share] of entries) {
    sum += share;
    if (place < sum) return part;
  }
  return (entries.at(-1) as [string, number])[0]; // the sum may be a rounding error below 1
}

/** One name a record: the same for all that share a group or a prompt, also by way of others. */
function groupNames(records: readonly AnyRecord[], group: NonNullable<SplitOptions['group']>): string[] {
  const parent = new Map<string, string>();
  const root = (key: string): string => {
    let at = key;
    for (let up = parent.get(at); up !== undefined && up !== at; up = parent.get(at)) {
      parent.set(at, parent.get(up) ?? up); // halves the way for the next time
      at = up;
    }
    return at;
  };
  const keys = records.map((record, i) => `group ${groupOf(record, i, group)}`);
  records.forEach((record, i) => {
    const [a, b] = [root(keys[i] as string), root(`prompt ${recordKey(record)}`)];
    // The smaller name stays: "group" is smaller than "prompt", and the order of rows decides nothing.
    if (a < b) parent.set(b, a);
    else if (b < a) parent.set(a, b);
  });
  return keys.map(root);
}

function groupOf(record: AnyRecord, index: number, group: NonNullable<SplitOptions['group']>): string {
  const value = typeof group === 'function' ? group(record) : record.extra?.[group];
  if (typeof value === 'string' || typeof value === 'number') return String(value);
  throw new NudgeError('BAD_ARGUMENT', 'A record has no group to split by.', {
    path: `records[${index}]${typeof group === 'string' ? `.extra.${group}` : ''}`,
    expected: 'a string or a number',
    received: value === undefined ? 'nothing' : JSON.stringify(value),
    remedy: 'Name a column that every row has, and keep it: { extra: ["..."] }.',
  });
}
