/** Text to token ids and back. Made by `loadTokenizer`, `tokenizerFromGguf` and `Tokenizer.fromFiles`. */

import { NudgeError } from '../errors.ts';
import type { AddedToken } from './added.ts';
import { type ChatTemplate, chatTemplateOf } from './chat/template.ts';
import { type DecodeOptions, StreamDecoder, TokenBytes } from './decode.ts';
import { type Definition, type ReadOptions, readDefinition } from './definition.ts';
import { Json } from './json.ts';
import type { TokenSink } from './model.ts';
import { Pipeline } from './pipeline.ts';
import type { Frame } from './postprocess.ts';
import { type PadChoice, readEndIds, readSpecialTokens, resolvePad, type SpecialTokens } from './special.ts';

export interface EncodeOptions {
  /** Put the tokens around the text that the tokenizer puts there, such as `<s>` before it. Default: true. */
  addSpecialTokens?: boolean;
  /** Read `<|im_end|>` in the text as that token, and not as nine letters. Turn it off for text of strangers. Default: true. */
  parseSpecialTokens?: boolean;
  /**
   * What stands before the text. After 'text' no space is put before it, as SentencePiece does at the start of a text;
   * after a 'token' such as `<|assistant|>` it is as the tokenizer has it. Default: 'nothing'.
   */
  after?: 'nothing' | 'text' | 'token';
}

export interface Encoding {
  ids: number[];
  /**
   * For each id, the part of the text that it covers, in UTF-16 units: `text.slice(start, end)`. Tokens that share the
   * bytes of one character all have that character's place. Tokens that were put around the text have an empty place.
   */
  offsets: (readonly [start: number, end: number])[];
}

/** The files of a tokenizer, by name; contents as they are on disk. */
export type TokenizerFiles = ReadonlyMap<string, string>;

export interface TokenizerOptions {
  /**
   * Which token pads; needed where the files name none, or name one that also ends texts. A function chooses when the
   * vocabulary is known; undefined leaves it to the files.
   */
  pad?: PadChoice | ((tokenizer: Tokenizer) => PadChoice | undefined);
}

/** The files that belong to a tokenizer and are written back by `saveTokenizer`. */
export const TOKENIZER_FILES = [
  'tokenizer.json',
  'tokenizer_config.json',
  'special_tokens_map.json',
  'chat_template.jinja',
] as const;

export class Tokenizer {
  /** The files that it was read from or that say the same, byte for byte; `saveTokenizer` writes them. */
  readonly files: TokenizerFiles;
  /** Where it came from, for messages. */
  readonly source: string;
  /** The contents of the special tokens, as chat templates see them. */
  readonly special: Readonly<SpecialTokens>;
  /** All ids that end a text: the tokenizer's own and those of generation_config.json. */
  readonly eosIds: readonly number[];
  /** The model's own chat template, if it has one. */
  readonly chatTemplate: ChatTemplate | undefined;
  readonly #definition: Definition;
  readonly #frame: Frame;
  readonly #bytes: TokenBytes;
  readonly #specialIds: ReadonlySet<number>;
  readonly #addedIds: ReadonlySet<number>;
  readonly #pipeline: Pipeline;
  readonly #pad: TokenizerOptions['pad'];

  /** From the files' contents; only tokenizer.json is needed. `loadTokenizer` reads them from a directory. */
  static fromFiles(files: TokenizerFiles, source: string, options: TokenizerOptions & ReadOptions = {}): Tokenizer {
    return new Tokenizer(files, source, options);
  }

  private constructor(files: TokenizerFiles, source: string, options: TokenizerOptions & ReadOptions) {
    const parse = (name: string): Json | undefined => {
      const text = files.get(name);
      return text === undefined ? undefined : Json.parse(text, `${source}/${name}`);
    };
    const json = parse('tokenizer.json');
    if (json === undefined) {
      throw new NudgeError('BAD_FILE', 'There is no tokenizer.json.', {
        path: source,
        received: [...files.keys()].join(', ') || 'no files',
      });
    }
    const config = parse('tokenizer_config.json');
    this.files = files;
    this.source = source;
    this.#pad = options.pad;
    this.#definition = readDefinition(json, options);
    this.special = readSpecialTokens(config, parse('special_tokens_map.json'));
    for (const [name, token] of Object.entries(this.special)) this.#requireToken(name, token);
    const endIds = [...readEndIds(parse('generation_config.json')), ...readEndIds(parse('config.json'))];
    this.eosIds = [...new Set([...(this.eosId === undefined ? [] : [this.eosId]), ...endIds])];
    this.#frame = this.#readFrame(config);
    const { added, tokens, decoder } = this.#definition;
    const named = Object.values(this.special).map((token) => this.tokenToId(token) as number);
    this.#specialIds = new Set([...added.filter((token) => token.special).map((token) => token.id), ...named]);
    this.#addedIds = new Set(added.map((token) => token.id));
    this.#bytes = new TokenBytes(decoder, tokens, this.#addedIds);
    this.#pipeline = new Pipeline(this.#definition);
    this.chatTemplate = chatTemplateOf(files, config, source);
  }

  /** The number of ids, the highest plus one. A model may have more rows than that, never fewer. */
  get vocabSize(): number {
    return this.#definition.tokens.length;
  }

  get bosId(): number | undefined {
    return this.#idOfSpecial('bos');
  }

  /** The tokenizer's own end of text. To know when to stop, use `eosIds`. */
  get eosId(): number | undefined {
    return this.#idOfSpecial('eos');
  }

  get unkId(): number | undefined {
    return this.#definition.unk ?? this.#idOfSpecial('unk');
  }

  /**
   * The id that pads. Never the end of text that training teaches, `eosId`, unless `pad` said so: an error otherwise, with
   * what to choose from. Another of `eosIds` may pad, as in Qwen's files.
   */
  get padId(): number {
    return resolvePad({
      choice: typeof this.#pad === 'function' ? this.#pad(this) : this.#pad,
      declared: this.#idOfSpecial('pad'),
      ends: this.eosId === undefined ? this.eosIds : [this.eosId],
      idOf: (token) => this.tokenToId(token),
      tokenOf: (id) => this.idToToken(id),
      candidates: () => this.#padCandidates(),
      source: this.source,
    });
  }

  /** The ids that `encode` puts before and after a text. */
  get frame(): Frame {
    return this.#frame;
  }

  get addedTokens(): readonly AddedToken[] {
    return this.#definition.added;
  }

  isSpecial(id: number): boolean {
    return this.#specialIds.has(id);
  }

  /** Whether the id is a token that is found before the text is cut into words, special or not. */
  isAdded(id: number): boolean {
    return this.#addedIds.has(id);
  }

  idToToken(id: number): string | undefined {
    return this.#definition.tokens[id];
  }

  tokenToId(token: string): number | undefined {
    return this.#definition.ids.get(token);
  }

  encode(text: string, options: EncodeOptions = {}): number[] {
    const sink: TokenSink = { ids: [] };
    this.#encodeInto(text, options, sink);
    return sink.ids;
  }

  /** Like `encode`, with the part of the text that each id covers. Slower: nothing is remembered from word to word. */
  encodeWithOffsets(text: string, options: EncodeOptions = {}): Encoding {
    const spans: number[] = [];
    const sink: TokenSink = { ids: [], spans };
    this.#encodeInto(text, options, sink);
    return { ids: sink.ids, offsets: sink.ids.map((_, i) => [spans[2 * i]!, spans[2 * i + 1]!] as const) };
  }

  encodeBatch(texts: readonly string[], options: EncodeOptions = {}): number[][] {
    return texts.map((text) => this.encode(text, options));
  }

  decode(ids: Iterable<number>, options: DecodeOptions = {}): string {
    const decoder = this.decodeStream(options);
    return decoder.pushAll(ids) + decoder.end();
  }

  /** For ids that come one by one. */
  decodeStream(options: DecodeOptions = {}): StreamDecoder {
    return new StreamDecoder(this.#bytes, this.#specialIds, options);
  }

  #encodeInto(text: string, options: EncodeOptions, sink: TokenSink): void {
    const { addSpecialTokens = true, parseSpecialTokens = true, after = 'nothing' } = options;
    const { prefix, suffix } = this.#frame;
    if (addSpecialTokens) for (const id of prefix) put(sink, id, 0);
    const first = sink.ids.length;
    this.#pipeline.encode(text, { parseSpecialTokens, after }, sink);
    if (!addSpecialTokens) return;
    if (first > 0 && sink.ids[first - 1] === this.bosId && sink.ids[first] === this.bosId) this.#refuseTwoBeginnings();
    for (const id of suffix) put(sink, id, text.length);
  }

  #refuseTwoBeginnings(): never {
    throw new NudgeError('BAD_ARGUMENT', 'The text would begin with the beginning-of-text token twice.', {
      path: this.source,
      expected: `a text that does not say ${this.special.bos} itself`,
      remedy: 'Pass { addSpecialTokens: false }: a chat template has written it already.',
    });
  }

  /** tokenizer_config.json's add_bos_token and add_eos_token have the last word, as for transformers' Llama tokenizers. */
  #readFrame(config: Json | undefined): Frame {
    const { prefix, suffix } = this.#definition.frame;
    const { bosId, eosId } = this;
    const bos = config?.get('add_bos_token').value;
    const eos = config?.get('add_eos_token').value;
    const without = (ids: readonly number[], id: number): number[] => ids.filter((other) => other !== id);
    return {
      prefix:
        typeof bos !== 'boolean' || bosId === undefined ? prefix : [...(bos ? [bosId] : []), ...without(prefix, bosId)],
      suffix:
        typeof eos !== 'boolean' || eosId === undefined ? suffix : [...without(suffix, eosId), ...(eos ? [eosId] : [])],
    };
  }

  #idOfSpecial(name: keyof SpecialTokens): number | undefined {
    const token = this.special[name];
    return token === undefined ? undefined : this.tokenToId(token);
  }

  #requireToken(name: string, token: string): void {
    if (this.tokenToId(token) !== undefined) return;
    throw new NudgeError('BAD_FILE', 'A special token is not in the vocabulary.', {
      path: `${this.source}: ${name}_token`,
      received: JSON.stringify(token),
      remedy: 'Fetch the files again: tokenizer.json and tokenizer_config.json do not belong together.',
    });
  }

  /** Tokens that could pad: those that say so, then those set aside, then the unknown token. */
  #padCandidates(): string[] {
    const contents = this.addedTokens.filter((token) => token.id !== this.eosId).map((token) => token.content);
    const named = contents.filter((content) => /pad/i.test(content));
    const spare = contents.filter((content) => /reserved|unused|endoftext|finetune|unk/i.test(content));
    return [...new Set([...named, ...spare])].slice(0, 4).map((content) => JSON.stringify(content));
  }
}

function put(sink: TokenSink, id: number, at: number): void {
  sink.ids.push(id);
  sink.spans?.push(at, at);
}
