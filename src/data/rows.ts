/** A row of a file as a record: which format it is in, where its fields are, and the shapes that datasets come in. */

import { NudgeError } from '../errors.ts';
import type { ChatMessage } from '../text/index.ts';
import { splitPrompt } from './implicit.ts';
import {
  brief,
  checkRecord,
  type Fault,
  FORMATS,
  type Format,
  MESSAGE_ROLES,
  type RecordsByFormat,
} from './records.ts';
import { isTranscript, parseTranscript } from './transcript.ts';

export type Row = Readonly<Record<string, unknown>>;

/** The fields of a record, by format; those in `optional` may be missing. */
const FIELDS: Readonly<Record<Format, { required: readonly string[]; optional: readonly string[] }>> = {
  ranking: { required: ['prompt', 'completions', 'ranks'], optional: ['truncated'] },
  preference: { required: ['chosen', 'rejected'], optional: ['prompt', 'margin'] },
  unpaired: { required: ['prompt', 'completion', 'label'], optional: [] },
  'prompt-completion': { required: ['prompt', 'completion'], optional: [] },
  'prompt-only': { required: ['prompt'], optional: [] },
  text: { required: ['text'], optional: [] },
};

/** From the most particular to the least: a row with chosen and rejected may also have a column called text. */
const DETECTION_ORDER: readonly Format[] = [
  'ranking',
  'preference',
  'unpaired',
  'prompt-completion',
  'prompt-only',
  'text',
];

/** Other names of whole conversations. */
const CONVERSATIONS = ['messages', 'conversations', 'conversation'];

/** What columns are often called; used in remedies, never silently. */
const LIKELY: Readonly<Record<string, RegExp>> = {
  prompt: /^(question|instruction|query|input|prompt_text)$/i,
  completion: /^(answer|response|output|reply|target|solution)$/i,
  chosen: /^(preferred|winner|chosen_response|response_chosen|better)$/i,
  rejected: /^(dispreferred|loser|rejected_response|response_rejected|worse)$/i,
  text: /^(story|document|content|body)$/i,
};

/** The fields of all formats, in the order in which people read them. */
const FIELD_ORDER = [
  'text',
  'prompt',
  'completion',
  'completions',
  'chosen',
  'rejected',
  'ranks',
  'truncated',
  'margin',
  'label',
];

/** Where fields are: the record's field to the file's column, or to a path inside one such as `feedback.text`. */
export type FieldMap = Readonly<Record<string, string>>;

export interface RowOptions {
  map?: FieldMap;
  /** Which other columns to keep as `extra`: all, none, or these. Default: 'all'. */
  extra?: 'all' | 'none' | readonly string[];
  /** Read "\n\nHuman: ... \n\nAssistant: ..." as messages. Default: true. */
  transcripts?: boolean;
  /** Cells are text, as in CSV: "true" is true, "0.5" is a number, '[{"role": ...' are messages. Default: false. */
  cells?: boolean;
}

/** `prompt=question,completion=answer` or the same as a list, as a map. @throws NudgeError BAD_ARGUMENT. */
export function parseFieldMap(text: string | readonly string[]): FieldMap {
  const pairs = (typeof text === 'string' ? [text] : text).flatMap((part) => part.split(','));
  const entries = pairs.map((pair) => {
    const at = pair.indexOf('=');
    if (at > 0 && at < pair.length - 1) return [pair.slice(0, at).trim(), pair.slice(at + 1).trim()] as const;
    throw new NudgeError('BAD_ARGUMENT', 'This is not a field mapping.', {
      path: 'map',
      expected: 'FIELD=COLUMN, such as prompt=question,completion=answer',
      received: brief(pair),
    });
  });
  return checkFieldMap(Object.fromEntries(entries));
}

/** Refuses a mapping to a field that no format has. @throws NudgeError BAD_ARGUMENT. */
export function checkFieldMap(map: FieldMap): FieldMap {
  const known = [...FIELD_ORDER, 'messages'];
  for (const field of Object.keys(map)) {
    if (known.includes(field)) continue;
    throw new NudgeError('BAD_ARGUMENT', 'No record has this field.', {
      path: `map.${field}`,
      expected: `one of ${known.join(', ')}`,
      received: `${field}=${map[field]}`,
      remedy: "Write the record's field first, then the file's column: prompt=question.",
    });
  }
  return map;
}

/** The format that a row's fields say, or null. */
export function detectFormat(row: Row, map: FieldMap = {}): Format | null {
  const has = (field: string): boolean => isThere(fieldOf(row, field, map));
  const found = DETECTION_ORDER.find((format) =>
    format === 'text' ? isThere(conversationOf(row, map)) : FIELDS[format].required.every(has),
  );
  return found ?? null;
}

/** @throws NudgeError BAD_ARGUMENT for a name that no format has. */
export function checkFormat(name: string): Format {
  const found = FORMATS.find((format) => format === name);
  if (found !== undefined) return found;
  throw new NudgeError('BAD_ARGUMENT', 'There is no such format.', {
    path: 'format',
    expected: FORMATS.join(', '),
    received: brief(name),
  });
}

/** What to say where no format fits: the fields of each, and the columns that look like them. */
export function unknownFormat(row: Row, file: string): NudgeError {
  const columns = Object.keys(row);
  const guesses = Object.entries(LIKELY).flatMap(([field, names]) => {
    const column = columns.find((name) => names.test(name));
    return column === undefined ? [] : [`${field}=${column}`];
  });
  const expected = Object.entries(FIELDS).map(([format, { required }]) => `${required.join(', ')} (${format})`);
  return new NudgeError('BAD_FILE', "The rows' fields are those of no format.", {
    path: file,
    expected: expected.join('; '),
    received: columns.length === 0 ? 'no fields' : columns.slice(0, 20).map(brief).join(', '),
    remedy:
      guesses.length > 0
        ? `Say which columns they are: --map ${guesses.join(',')}`
        : 'Say which columns they are, as in --map prompt=question,completion=answer.',
  });
}

/** Reads one row as a record of the format, or says what is wrong with it. */
export function toRecord<F extends Format>(
  row: Row,
  format: F,
  options: RowOptions = {},
): { record: RecordsByFormat[F] } | { fault: Fault } {
  const { map = {}, transcripts = true, cells = false } = options;
  const fields: Record<string, unknown> = {};
  const { required, optional } = FIELDS[format];
  for (const field of [...required, ...optional]) {
    let value = format === 'text' ? conversationOf(row, map) : fieldOf(row, field, map);
    if (cells) value = readCell(field, value);
    const isAbsent = value === undefined || value === null || (cells && value === '' && optional.includes(field));
    if (!isAbsent) fields[field] = value;
    else if (Object.hasOwn(map, field))
      return { fault: { field, reason: `is missing: there is no ${brief(map[field])}` } };
  }
  const fault = transcripts ? readTranscripts(fields) : undefined;
  if (fault !== undefined) return { fault };
  for (const field of Object.keys(fields)) fields[field] = readMessages(fields[field]);
  const impossible = format === 'preference' ? separatePrompt(fields) : undefined;
  if (impossible !== undefined) return { fault: impossible };
  const extra = extraOf(row, format, options);
  const ordered = FIELD_ORDER.flatMap((field) => (field in fields ? [[field, fields[field]] as const] : []));
  return checkRecord(format, Object.fromEntries(extra === undefined ? ordered : [...ordered, ['extra', extra]]));
}

/** The columns that records may be made of, so that a reader can leave out the others. */
export function fieldColumns(map: FieldMap, extra: readonly string[]): string[] {
  // Of a path such as `model.solution`, the column is `model`, unless the column's own name has dots in it.
  const mapped = Object.values(map).flatMap((path) => [path, path.split('.')[0] as string]);
  return [...FIELD_ORDER, ...CONVERSATIONS, ...mapped, ...extra];
}

function isThere(value: unknown): boolean {
  return value !== undefined && value !== null;
}

function fieldOf(row: Row, field: string, map: FieldMap): unknown {
  return Object.hasOwn(map, field) ? lookUp(row, map[field] as string) : own(row, field);
}

/** The text format's field: `text`, or a whole conversation under one of its names. */
function conversationOf(row: Row, map: FieldMap): unknown {
  if (Object.hasOwn(map, 'messages')) return lookUp(row, map.messages as string);
  const text = fieldOf(row, 'text', map);
  if (isThere(text)) return text;
  return CONVERSATIONS.map((name) => own(row, name)).find(isThere);
}

function own(object: unknown, key: string): unknown {
  if (typeof object !== 'object' || object === null || !Object.hasOwn(object, key)) return undefined;
  return (object as Row)[key];
}

/** A column, or a path into one; a column whose name has dots in it comes first. */
function lookUp(row: Row, path: string): unknown {
  if (Object.hasOwn(row, path)) return row[path];
  return path.split('.').reduce<unknown>((at, key) => own(at, key), row);
}

function extraOf(row: Row, format: Format, options: RowOptions): Row | undefined {
  const { map = {}, extra = 'all' } = options;
  if (extra === 'none') return undefined;
  const used = new Set([...FIELDS[format].required, ...FIELDS[format].optional].map((field) => map[field] ?? field));
  if (format === 'text') for (const name of [...CONVERSATIONS, map.messages ?? 'messages']) used.add(name);
  const kept = Object.entries(row).filter(
    ([name, value]) => (extra === 'all' ? !used.has(name) : extra.includes(name)) && isThere(value),
  );
  return kept.length === 0 ? undefined : Object.fromEntries(kept);
}

/** A cell of a CSV file as what it stands for. What cannot be read stays text, and the schema says what was expected. */
function readCell(field: string, cell: unknown): unknown {
  if (typeof cell !== 'string') return cell;
  const text = cell.trim();
  if (field === 'label') return readBoolean(text);
  if (field === 'margin') return text === '' || Number.isNaN(Number(text)) ? cell : Number(text);
  if (field === 'completions' || field === 'ranks' || field === 'truncated' || /^\[\s*\{/.test(text)) {
    try {
      return JSON.parse(text);
    } catch {
      return cell;
    }
  }
  return cell;
}

function readBoolean(text: string): unknown {
  if (/^(true|1)$/i.test(text)) return true;
  return /^(false|0)$/i.test(text) ? false : text;
}

/** Replaces dialogues in one string by their messages. */
function readTranscripts(fields: Record<string, unknown>): Fault | undefined {
  const isDialogue = (value: unknown): value is string => typeof value === 'string' && isTranscript(value);
  const asked = fields.prompt;
  for (const field of ['text', 'prompt', 'chosen', 'rejected']) {
    const text = fields[field];
    // Beside a prompt, the answers of the same dialogue are bare: only whole dialogues are read as such.
    if (!isDialogue(text)) continue;
    const messages = parseTranscript(text, field === 'prompt' ? 'drop' : 'keep');
    if (typeof messages === 'string') return { field, reason: messages };
    if (field !== 'prompt' && messages.at(-1)?.role !== 'assistant') {
      return { field, reason: 'ends with "Human:": there is no answer' };
    }
    fields[field] = messages;
  }
  // The answers that stand beside a dialogue begin with the space after "Assistant:".
  for (const field of isDialogue(asked) ? ['completion', 'chosen', 'rejected'] : []) {
    const said = fields[field];
    if (typeof said === 'string') fields[field] = said.trim();
  }
  return undefined;
}

/** Messages as other tools write them: ShareGPT's { from, value }, OpenAI's content in parts. Everything else stays as it is. */
function readMessages(value: unknown): unknown {
  if (!Array.isArray(value)) return value;
  return value.map((item) => (Array.isArray(item) ? item.map(readMessage) : readMessage(item)));
}

const SHAREGPT_ROLES: Readonly<Record<string, string>> = { human: 'user', gpt: 'assistant', chatgpt: 'assistant' };

function readMessage(item: unknown): unknown {
  if (typeof item !== 'object' || item === null) return item;
  const from = own(item, 'from');
  if (typeof from === 'string' && !Object.hasOwn(item, 'role')) {
    const role = Object.hasOwn(SHAREGPT_ROLES, from) ? SHAREGPT_ROLES[from] : from;
    return { role, content: own(item, 'value') };
  }
  // Parquet gives every message every field; templates ask whether `tool_calls` is there, not whether it is null.
  const there = Object.entries(item).filter(([, value]) => isThere(value));
  const message: Row = there.length < Object.keys(item).length ? Object.fromEntries(there) : (item as Row);
  const { content: parts } = message;
  const isText = (part: unknown) => own(part, 'type') === 'text' && typeof own(part, 'text') === 'string';
  if (!Array.isArray(parts) || !parts.every(isText)) return message;
  return { ...message, content: parts.map((part) => own(part, 'text')).join('') };
}

/** Brings a preference to { prompt, chosen, rejected } with the answers alone. */
function separatePrompt(fields: Record<string, unknown>): Fault | undefined {
  const { prompt, chosen, rejected } = fields;
  if (prompt === undefined) {
    if (!isContent(chosen) || !isContent(rejected)) return undefined; // the schema says what is wrong
    const split = splitPrompt(chosen, rejected);
    if ('reason' in split) return split;
    Object.assign(fields, split);
    return undefined;
  }
  // Some datasets state the prompt, and repeat it at the beginning of both conversations.
  for (const field of ['chosen', 'rejected']) {
    const whole = fields[field];
    if (!Array.isArray(whole) || own(whole[0], 'role') === 'assistant') continue;
    const asked = typeof prompt === 'string' ? [{ role: 'user', content: prompt }] : prompt;
    if (!Array.isArray(asked)) return undefined;
    const begins = asked.every((message, i) => sameMessage(message, whole[i]));
    if (!begins) return { field, reason: 'begins with another conversation than the prompt' };
    fields[field] = whole.slice(asked.length);
    if (typeof prompt === 'string') fields.prompt = asked;
  }
  return undefined;
}

function sameMessage(a: unknown, b: unknown): boolean {
  return own(a, 'role') === own(b, 'role') && own(a, 'content') === own(b, 'content');
}

function isContent(value: unknown): value is string | ChatMessage[] {
  if (typeof value === 'string') return true;
  const roles: readonly unknown[] = MESSAGE_ROLES;
  return Array.isArray(value) && value.length > 0 && value.every((item) => roles.includes(own(item, 'role')));
}
