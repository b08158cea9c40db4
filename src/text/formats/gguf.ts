/** Tokenizers from the metadata of GGUF files: the `tokenizer.ggml.` keys, as llama.cpp reads them. */

import { NudgeError } from '../../errors.ts';
import { brief } from '../json.ts';
import { Tokenizer, type TokenizerOptions } from '../tokenizer.ts';
import { addedToken, byteLevelJson, type MadeFiles, templateJson } from './made.ts';
import { preTokenizerKind, preTokenizerKinds } from './patterns.ts';
import { filesFromPieces, PIECE, specialJson } from './pieces.ts';

/**
 * A GGUF file's metadata: values by key, bare or as `{ value }` beside their type, arrays as arrays or typed arrays, 64-bit
 * numbers as number or bigint.
 */
export type GgufTokenizerMetadata = ReadonlyMap<string, unknown> | Readonly<Record<string, unknown>>;

/** Tokens that end a turn wherever a vocabulary has them as control tokens; files often name one end alone. */
const END_TOKENS = ['<|im_end|>', '<|eot_id|>', '<|end|>', '<end_of_turn>', '<|endoftext|>', '<|end_of_text|>', '</s>'];

/**
 * The tokenizer that a GGUF file describes. Saved, it is a tokenizer.json that transformers reads.
 *
 * @param source the file's name, for messages
 */
export function tokenizerFromGguf(
  metadata: GgufTokenizerMetadata,
  source: string,
  options: TokenizerOptions = {},
): Tokenizer {
  const reader = new Reader(metadata, source);
  const kind = reader.string('tokenizer.ggml.model') ?? reader.fail('tokenizer.ggml.model', 'gpt2 or llama');
  if (kind !== 'gpt2' && kind !== 'llama') {
    reader.fail(
      'tokenizer.ggml.model',
      'gpt2 (byte-level BPE) or llama (SentencePiece)',
      'Load the model from its Hugging Face directory.',
    );
  }
  const made = kind === 'gpt2' ? fromBpe(reader) : fromSentencePiece(reader);
  const { template, named } = reader.templates();
  const config = {
    ...made.tokenizerConfig,
    ...(named.length === 0 ? {} : { chat_template: [{ name: 'default', template }, ...named] }),
  };
  const files = new Map([
    ['tokenizer.json', JSON.stringify(made.tokenizerJson)],
    ['tokenizer_config.json', JSON.stringify(config, null, 2)],
    ['generation_config.json', JSON.stringify({ eos_token_id: endIds(reader) })],
    ...(template === undefined || named.length > 0 ? [] : [['chat_template.jinja', template] as const]),
  ]);
  return Tokenizer.fromFiles(files, source, { ...options, ...made.readOptions });
}

function fromBpe(reader: Reader): MadeFiles {
  const tokens = reader.tokens();
  const types = reader.numbers('tokenizer.ggml.token_type', tokens.length);
  const name = reader.string('tokenizer.ggml.pre') ?? 'default';
  const kind = preTokenizerKind(name);
  if (kind === undefined) {
    return reader.fail(
      'tokenizer.ggml.pre',
      `one of ${preTokenizerKinds().join(', ')}`,
      'Load the model from its Hugging Face directory.',
    );
  }
  const merges = reader.strings('tokenizer.ggml.merges') ?? reader.fail('tokenizer.ggml.merges', 'a list of merges');
  const vocab = Object.fromEntries(tokens.map((token, id) => [token, id]));
  const added = tokens.flatMap((token, id) => {
    if (types?.[id] === PIECE.userDefined) return [addedToken(id, token, false)];
    return types?.[id] === PIECE.control || types?.[id] === PIECE.unknown ? [addedToken(id, token, true)] : [];
  });
  const [bos, eos] = [reader.id('bos', tokens), reader.id('eos', tokens)];
  const frame = (wanted: boolean, id: number | undefined): (readonly [string, number])[] =>
    wanted && id !== undefined ? [[tokens[id]!, id]] : [];
  const json = byteLevelJson({ vocab, merges, ignoreMerges: kind.ignoreMerges }, added, kind.patterns);
  const addBos = reader.boolean('tokenizer.ggml.add_bos_token') ?? kind.addBos;
  const addEos = reader.boolean('tokenizer.ggml.add_eos_token') ?? false;
  return {
    tokenizerJson: { ...json, post_processor: templateJson(frame(addBos, bos), frame(addEos, eos)) },
    tokenizerConfig: specialJson(reader.specialTokens(tokens)),
    readOptions: {},
  };
}

function fromSentencePiece(reader: Reader): MadeFiles {
  const pieces = reader.tokens();
  const scores = reader.numbers('tokenizer.ggml.scores', pieces.length);
  if (scores === undefined) return reader.fail('tokenizer.ggml.scores', 'a score for every token');
  const bytes = reader.numbers('tokenizer.ggml.precompiled_charsmap', 0);
  return filesFromPieces({
    pieces,
    scores,
    types: reader.numbers('tokenizer.ggml.token_type', pieces.length) ?? [],
    algorithm: 'bpe',
    addSpacePrefix: reader.boolean('tokenizer.ggml.add_space_prefix') ?? true,
    removeExtraSpaces: reader.boolean('tokenizer.ggml.remove_extra_whitespaces') ?? false,
    ...(bytes === undefined ? {} : { charactersBase64: Buffer.from(Uint8Array.from(bytes)).toString('base64') }),
    ids: {
      bos: reader.id('bos', pieces, 1),
      eos: reader.id('eos', pieces, 2),
      unk: reader.id('unknown', pieces, 0),
      pad: reader.id('padding', pieces),
    },
    addBos: reader.boolean('tokenizer.ggml.add_bos_token') ?? true,
    addEos: reader.boolean('tokenizer.ggml.add_eos_token') ?? false,
  });
}

function endIds(reader: Reader): number[] {
  const tokens = reader.tokens();
  const types = reader.numbers('tokenizer.ggml.token_type', tokens.length);
  const named = ['eos', 'eot', 'eom'].flatMap((name) => reader.id(name, tokens) ?? []);
  const known = END_TOKENS.map((token) => tokens.indexOf(token)).filter(
    (id) => id !== -1 && types?.[id] === PIECE.control,
  );
  return [...new Set([...named, ...known])];
}

/** Typed access to the metadata, with the key in every complaint. */
class Reader {
  readonly #metadata: GgufTokenizerMetadata;
  readonly #source: string;

  constructor(metadata: GgufTokenizerMetadata, source: string) {
    this.#metadata = metadata;
    this.#source = source;
  }

  fail(key: string, expected: string, remedy = 'Fetch the file again, or another conversion of the model.'): never {
    throw new NudgeError('BAD_FILE', "This GGUF file's tokenizer cannot be used.", {
      path: `${this.#source}: ${key}`,
      expected,
      received: brief(this.#get(key)),
      remedy,
    });
  }

  string(key: string): string | undefined {
    const value = this.#get(key);
    return value === undefined || typeof value === 'string' ? value : this.fail(key, 'a string');
  }

  boolean(key: string): boolean | undefined {
    const value = this.#get(key);
    return value === undefined || typeof value === 'boolean' ? value : this.fail(key, 'true or false');
  }

  strings(key: string): readonly string[] | undefined {
    const value = this.#get(key);
    if (value === undefined) return undefined;
    const isList = Array.isArray(value) && value.every((item) => typeof item === 'string');
    return isList ? (value as string[]) : this.fail(key, 'a list of strings');
  }

  numbers(key: string, atLeast: number): ArrayLike<number> | undefined {
    const value = this.#get(key);
    if (value === undefined) return undefined;
    const isList =
      (Array.isArray(value) && value.every((item) => typeof item === 'number')) || ArrayBuffer.isView(value);
    if (!isList) this.fail(key, 'a list of numbers');
    const list = value as ArrayLike<number>;
    return list.length >= atLeast ? list : this.fail(key, `${atLeast} numbers, one a token (here are ${list.length})`);
  }

  tokens(): readonly string[] {
    const tokens = this.strings('tokenizer.ggml.tokens') ?? [];
    const distinct = new Set(tokens).size;
    if (tokens.length === 0 || distinct < tokens.length) {
      this.fail(
        'tokenizer.ggml.tokens',
        `tokens that differ from one another (${tokens.length}, of which ${distinct} differ)`,
      );
    }
    return tokens;
  }

  /** The id of a special token; one that the vocabulary does not have counts as none. */
  id(name: string, tokens: readonly string[], missing?: number): number | undefined {
    const value = this.#get(`tokenizer.ggml.${name}_token_id`) ?? missing;
    const id = typeof value === 'bigint' ? Number(value) : value;
    return typeof id === 'number' && tokens[id] !== undefined ? id : undefined;
  }

  specialTokens(tokens: readonly string[]): Record<string, string | undefined> {
    const token = (name: string): string | undefined => {
      const id = this.id(name, tokens);
      return id === undefined ? undefined : tokens[id];
    };
    return { bos: token('bos'), eos: token('eos'), unk: token('unknown'), pad: token('padding') };
  }

  templates(): { template: string | undefined; named: { name: string; template: string }[] } {
    const names = this.strings('tokenizer.chat_templates') ?? [];
    const named = names.flatMap((name) => {
      const template = this.string(`tokenizer.chat_template.${name}`);
      return template === undefined ? [] : [{ name, template }];
    });
    return { template: this.string('tokenizer.chat_template'), named };
  }

  #get(key: string): unknown {
    const { value } = this.#entry(key);
    return value;
  }

  #entry(key: string): { value?: unknown } {
    const entry =
      this.#metadata instanceof Map ? this.#metadata.get(key) : (this.#metadata as Record<string, unknown>)[key];
    const isTyped = typeof entry === 'object' && entry !== null && !Array.isArray(entry) && !ArrayBuffer.isView(entry);
    return isTyped ? (entry as { value?: unknown }) : { value: entry };
  }
}
