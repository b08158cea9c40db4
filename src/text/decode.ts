/**
 * From ids back to text. Every token is bytes; text is what their concatenation says in UTF-8. Bytes that are no UTF-8
 * become U+FFFD, as in the WHATWG decoder, so that a stream and a whole decode agree wherever the ids were cut.
 */

import { byteOfToken, readBytes } from './bytes.ts';
import type { Json } from './json.ts';

/** What tokenizer.json's decoders do, reduced to what a token's bytes are and what is taken off the start. */
export interface DecoderSpec {
  byteLevel: boolean;
  byteFallback: boolean;
  /** Replacements in every token's text. */
  replacements: readonly (readonly [from: string, to: string])[];
  /** How many spaces are taken off the start of a text. */
  stripStart: number;
}

export const PLAIN_DECODER: DecoderSpec = { byteLevel: false, byteFallback: false, replacements: [], stripStart: 0 };

export function readDecoder(json: Json): DecoderSpec {
  if (json.isMissing) return PLAIN_DECODER;
  const type = json.get('type').string();
  switch (type) {
    case 'Sequence':
      return json
        .get('decoders')
        .items()
        .map(readDecoder)
        .reduce(
          (all, one) => ({
            byteLevel: all.byteLevel || one.byteLevel,
            byteFallback: all.byteFallback || one.byteFallback,
            replacements: [...all.replacements, ...one.replacements],
            stripStart: all.stripStart + one.stripStart,
          }),
          PLAIN_DECODER,
        );
    case 'ByteLevel':
      return { ...PLAIN_DECODER, byteLevel: true };
    case 'ByteFallback':
      return { ...PLAIN_DECODER, byteFallback: true };
    case 'Fuse':
      return PLAIN_DECODER;
    case 'Replace':
      return {
        ...PLAIN_DECODER,
        replacements: [[json.get('pattern').get('String').string(), json.get('content').string()]],
      };
    case 'Strip':
      if (json.get('content').string() !== ' ' || json.get('stop').value !== 0)
        json.fail('a Strip of spaces at the start');
      return { ...PLAIN_DECODER, stripStart: json.get('start').index() };
    case 'Metaspace': {
      const replacement = json.get('replacement').isMissing ? '▁' : json.get('replacement').string();
      const scheme =
        json.get('prepend_scheme').value ?? (json.get('add_prefix_space').boolean(true) ? 'always' : 'never');
      return { ...PLAIN_DECODER, replacements: [[replacement, ' ']], stripStart: scheme === 'never' ? 0 : 1 };
    }
    default:
      return json.get('type').fail('Sequence, ByteLevel, ByteFallback, Fuse, Replace, Strip or Metaspace');
  }
}

export interface DecodeOptions {
  /** Leave special tokens out. Default: false. */
  skipSpecialTokens?: boolean;
  /** Whether the ids go on from earlier text, so that a space at their start is kept. Default: false. */
  continuing?: boolean;
}

/** The bytes of every token, made when first asked for. */
export class TokenBytes {
  readonly #spec: DecoderSpec;
  readonly #tokens: readonly (string | undefined)[];
  readonly #literal: ReadonlySet<number>;
  readonly #bytes: (Uint8Array | undefined)[] = [];

  /** @param literal ids whose tokens are text and are not spelled in bytes: the added tokens */
  constructor(spec: DecoderSpec, tokens: readonly (string | undefined)[], literal: ReadonlySet<number>) {
    this.#spec = spec;
    this.#tokens = tokens;
    this.#literal = literal;
  }

  get stripStart(): number {
    return this.#spec.stripStart;
  }

  /** An id that no token has has no bytes: models often have more rows than their tokenizer has tokens. */
  of(id: number): Uint8Array {
    let bytes = this.#bytes[id];
    if (bytes === undefined) {
      bytes = this.#make(id);
      this.#bytes[id] = bytes;
    }
    return bytes;
  }

  #make(id: number): Uint8Array {
    const token = this.#tokens[id];
    if (token === undefined) return new Uint8Array();
    const literal = this.#literal.has(id);
    if (this.#spec.byteLevel && !literal) {
      const bytes = readBytes(token);
      if (bytes !== undefined) return bytes;
    }
    const byte = this.#spec.byteFallback && !literal ? byteOfToken(token) : -1;
    if (byte !== -1) return Uint8Array.of(byte);
    return encoder.encode(this.#spec.replacements.reduce((text, [from, to]) => text.replaceAll(from, to), token));
  }
}

const encoder = new TextEncoder();
const SPACE = 0x20;

/** Text as ids arrive. What `push` and `end` return, joined, is what `decode` says of all ids at once. */
export class StreamDecoder {
  readonly #bytes: TokenBytes;
  readonly #skipped: ReadonlySet<number> | undefined;
  readonly #utf8 = new TextDecoder('utf-8', { ignoreBOM: true });
  #toStrip: number;

  constructor(bytes: TokenBytes, special: ReadonlySet<number>, options: DecodeOptions = {}) {
    this.#bytes = bytes;
    this.#skipped = options.skipSpecialTokens ? special : undefined;
    this.#toStrip = options.continuing ? 0 : bytes.stripStart;
  }

  /** The text that is certain now: a character comes when its last byte has come. */
  push(id: number): string {
    if (this.#skipped?.has(id)) return '';
    return this.#utf8.decode(this.#stripped(this.#bytes.of(id)), { stream: true });
  }

  pushAll(ids: Iterable<number>): string {
    const parts: Uint8Array[] = [];
    for (const id of ids) if (!this.#skipped?.has(id)) parts.push(this.#stripped(this.#bytes.of(id)));
    return this.#utf8.decode(Buffer.concat(parts), { stream: true });
  }

  /** What was left of an unfinished character, as U+FFFD. The decoder must not be used afterwards. */
  end(): string {
    return this.#utf8.decode();
  }

  #stripped(bytes: Uint8Array): Uint8Array {
    let start = 0;
    while (this.#toStrip > 0 && start < bytes.length) {
      if (bytes[start] !== SPACE) this.#toStrip = 0;
      else {
        start++;
        this.#toStrip--;
      }
    }
    return start === 0 ? bytes : bytes.subarray(start);
  }
}
