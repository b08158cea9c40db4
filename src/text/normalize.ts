/** The normalizers of tokenizer.json, with the way back: where in the text each unit of the result came from. */

import { CharacterMap } from './charsmap.ts';
import type { Json } from './json.ts';
import { compilePattern } from './pattern.ts';

/** A text on its way through the normalizers. `origin` is undefined while nothing has moved or nobody asks. */
export interface Normalized {
  text: string;
  /** For each UTF-16 unit, where it begins in the original; one more entry for the end. */
  origin?: Int32Array | undefined;
  /** How many units at the start were put there by the normalizer and stand for nothing in the text. */
  lead?: number;
}

interface Step {
  apply(input: Normalized, context: Context): Normalized;
}

interface Context {
  /** Whether the text goes on from earlier text: nothing is then put before it or stripped off its start. */
  continuing: boolean;
  tracked: boolean;
}

export class Normalizer {
  readonly #steps: readonly Step[];

  constructor(json: Json) {
    this.#steps = readSteps(json);
  }

  apply(text: string, context: Context): Normalized {
    return this.#steps.reduce<Normalized>((input, step) => step.apply(input, context), { text });
  }
}

function readSteps(json: Json): Step[] {
  const type = json.get('type').string();
  switch (type) {
    case 'Sequence':
      return json.get('normalizers').items().flatMap(readSteps);
    case 'Prepend':
      return [prepend(json.get('prepend').string())];
    case 'Replace':
      return [replace(compilePattern(json.get('pattern')), json.get('content').string())];
    case 'NFC':
    case 'NFD':
    case 'NFKC':
    case 'NFKD':
      return [piecewise((text) => text.normalize(type))];
    case 'Lowercase':
      return [piecewise((text) => text.toLowerCase())];
    case 'StripAccents':
      return [replace(/\p{Mn}/gu, '')];
    case 'Strip':
      return [strip(json.get('strip_left').boolean(true), json.get('strip_right').boolean(true))];
    case 'Precompiled':
      return [precompiled(json.get('precompiled_charsmap'))];
    default:
      return json
        .get('type')
        .fail('Sequence, Prepend, Replace, NFC, NFD, NFKC, NFKD, Lowercase, Strip, StripAccents or Precompiled');
  }
}

function prepend(prefix: string): Step {
  return {
    apply(input, { continuing, tracked }) {
      if (continuing || input.text === '') return input;
      const text = prefix + input.text;
      if (!tracked) return { text };
      const from = originOf(input);
      const origin = new Int32Array(text.length + 1).fill(from[0]!, 0, prefix.length);
      origin.set(from, prefix.length);
      return { text, origin, lead: prefix.length + (input.lead ?? 0) };
    },
  };
}

function replace(pattern: RegExp, content: string): Step {
  return {
    apply(input, { tracked }) {
      if (!tracked) return { text: input.text.replace(pattern, () => content) };
      const edits: Edit[] = [];
      for (const match of input.text.matchAll(pattern)) {
        edits.push({ start: match.index, end: match.index + match[0].length, content });
      }
      return applyEdits(input, edits);
    },
  };
}

function strip(left: boolean, right: boolean): Step {
  return {
    apply(input, { continuing }) {
      const { text } = input;
      const start = left && !continuing ? text.length - text.trimStart().length : 0;
      const end = right ? Math.max(start, text.trimEnd().length) : text.length;
      if (start === 0 && end === text.length) return input;
      return { text: text.slice(start, end), origin: input.origin?.slice(start, end + 1) ?? range(start, end) };
    },
  };
}

/** Normal forms and letter case act on a character and the marks after it, so that a text can be taken piece by piece. */
function piecewise(change: (text: string) => string): Step {
  return {
    apply(input, { tracked }) {
      const changed = change(input.text);
      if (changed === input.text) return input;
      if (!tracked) return { text: changed };
      const edits: Edit[] = [];
      for (const match of input.text.matchAll(/[\0-\x7f][^\0-\x7f]*|[^\0-\x7f]+/g)) {
        const content = change(match[0]);
        if (content !== match[0]) edits.push({ start: match.index, end: match.index + match[0].length, content });
      }
      return applyEdits(input, edits);
    },
  };
}

function precompiled(json: Json): Step {
  const map = new CharacterMap(Buffer.from(json.string(), 'base64'), json.path);
  const encoder = new TextEncoder();
  return {
    apply(input, { tracked }) {
      const bytes = encoder.encode(input.text);
      const edits: Edit[] = [];
      let unit = 0;
      for (let at = 0; at < bytes.length; ) {
        const match = map.match(bytes, at);
        const width = match?.length ?? sequenceLength(bytes[at]!);
        const units = utf16Length(bytes, at, at + width);
        if (match !== undefined) edits.push({ start: unit, end: unit + units, content: match.replacement });
        at += width;
        unit += units;
      }
      const result = applyEdits(input, edits);
      return tracked ? result : { text: result.text };
    },
  };
}

function sequenceLength(lead: number): number {
  return lead < 0x80 ? 1 : lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;
}

function utf16Length(bytes: Uint8Array, start: number, end: number): number {
  let units = 0;
  for (let i = start; i < end; i++) if ((bytes[i]! & 0xc0) !== 0x80) units += bytes[i]! >= 0xf0 ? 2 : 1;
  return units;
}

interface Edit {
  start: number;
  end: number;
  content: string;
}

/** Every unit of a replacement begins where the replaced text begins. */
function applyEdits(input: Normalized, edits: readonly Edit[]): Normalized {
  if (edits.length === 0) return input;
  const from = originOf(input);
  const parts: string[] = [];
  let length = input.text.length;
  for (const edit of edits) length += edit.content.length - (edit.end - edit.start);
  const origin = new Int32Array(length + 1);
  let done = 0;
  let written = 0;
  for (const { start, end, content } of edits) {
    parts.push(input.text.slice(done, start), content);
    origin.set(from.subarray(done, start), written);
    written += start - done;
    origin.fill(from[start]!, written, written + content.length);
    written += content.length;
    done = end;
  }
  parts.push(input.text.slice(done));
  origin.set(from.subarray(done), written);
  return { ...input, text: parts.join(''), origin };
}

function originOf(input: Normalized): Int32Array {
  return input.origin ?? range(0, input.text.length);
}

function range(start: number, end: number): Int32Array {
  return Int32Array.from({ length: end - start + 1 }, (_, i) => start + i);
}
