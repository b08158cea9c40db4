/**
 * A `tokenizer.json` as GGUF metadata: byte-level BPE ("gpt2" in GGUF) and SentencePiece's BPE ("llama").
 *
 * What llama.cpp's converter does, with two differences. The pre-tokenizer is recognised by its rules rather than by hashing
 * what it does to a text; and SentencePiece's scores, which `tokenizer.json` no longer has, follow from the merges' order,
 * where the converter without `tokenizer.model` gives every token the same (and llama.cpp then merges in the wrong order).
 */

import { NudgeError } from '../../errors.ts';
import { quote } from '../files/index.ts';
import type { HfConfig } from './config.ts';
import { flag, type GgufValue, text, texts, u32 } from './metadata.ts';
import { flatten, preTokenizer, type Rule } from './preTokenizer.ts';

export interface GgufTokenizerOptions {
  /** The model's `config.json`: size of the vocabulary, and special ids that are named nowhere else. */
  config?: HfConfig;
  /** `tokenizer_config.json`: which tokens are special, whether they are added, the chat template. */
  tokenizerConfig?: Readonly<Record<string, unknown>>;
  /** The contents of `chat_template.jinja`; it comes before the template of `tokenizerConfig`. */
  chatTemplate?: string;
  /** llama.cpp's name for the pre-tokenizer, where it is not recognised. */
  pre?: string;
}

/** Kinds of tokens, `tokenizer.ggml.token_type`. */
const TYPES = { normal: 1, unknown: 2, control: 3, userDefined: 4, unused: 5, byte: 6 } as const;

interface AddedToken {
  readonly id: number;
  readonly content: string;
  readonly special?: boolean;
}

/** The parts of a `tokenizer.json` that are used here. */
interface TokenizerJson {
  readonly model?: {
    readonly type?: string;
    readonly vocab?: unknown;
    readonly merges?: unknown;
    readonly unk_token?: string | null;
    readonly ignore_merges?: unknown;
  };
  readonly added_tokens?: readonly AddedToken[] | null;
  readonly normalizer?: Rule | null;
  readonly pre_tokenizer?: Rule | null;
  readonly post_processor?: Rule | null;
}

/**
 * The `tokenizer.*` entries for a model's tokenizer.
 *
 * @param tokenizerJson the parsed `tokenizer.json`.
 * @throws NudgeError BAD_ARGUMENT for another kind of tokenizer, an unknown pre-tokenizer or a broken vocabulary.
 */
export function ggufTokenizerMetadata(
  tokenizerJson: object,
  options: GgufTokenizerOptions = {},
): Map<string, GgufValue> {
  const json = tokenizerJson as TokenizerJson;
  if (json.model?.type !== 'BPE') {
    throw unsupported('model.type', '"BPE"', quote(String(json.model?.type)));
  }
  const sentencePiece = isSentencePiece(json);
  const vocabulary = readVocabulary(json, sentencePiece, options);
  const merges = readMerges(json.model.merges);
  const metadata = new Map<string, GgufValue>([
    ['tokenizer.ggml.model', text(sentencePiece ? 'llama' : 'gpt2')],
    [
      'tokenizer.ggml.pre',
      text(options.pre ?? (sentencePiece ? 'default' : preTokenizer(json.pre_tokenizer, json.model))),
    ],
    ['tokenizer.ggml.tokens', texts(vocabulary.tokens)],
  ]);
  if (sentencePiece) {
    const scores = mergeScores(vocabulary.tokens, vocabulary.types, merges);
    metadata.set('tokenizer.ggml.scores', { type: 'array', of: 'float32', value: scores });
  }
  metadata.set('tokenizer.ggml.token_type', { type: 'array', of: 'int32', value: vocabulary.types });
  if (!sentencePiece) {
    // A space would end the first half: GPT-2's alphabet has another character for it.
    const joined = merges.map(([a, b]) => `${a.replaceAll(' ', 'Ġ')} ${b.replaceAll(' ', 'Ġ')}`);
    metadata.set('tokenizer.ggml.merges', texts(joined));
  }
  for (const [key, value] of specialTokens(json, vocabulary.tokens, options)) metadata.set(key, value);
  if (sentencePiece) metadata.set('tokenizer.ggml.add_space_prefix', flag(addsSpace(json)));
  for (const [key, value] of chatTemplates(options)) metadata.set(key, value);
  return metadata;
}

const METASPACE = '▁';

function isSentencePiece(json: TokenizerJson): boolean {
  const replaces = (rule: Rule) => rule.type === 'Replace' && rule.content === METASPACE;
  return (
    flatten(json.normalizer).some(replaces) || flatten(json.pre_tokenizer).some(({ type }) => type === 'Metaspace')
  );
}

function addsSpace(json: TokenizerJson): boolean {
  const metaspace = flatten(json.pre_tokenizer).find(({ type }) => type === 'Metaspace');
  if (metaspace !== undefined) return metaspace.prepend_scheme !== 'never' && metaspace.add_prefix_space !== false;
  return flatten(json.normalizer).some(({ type, prepend }) => type === 'Prepend' && prepend === METASPACE);
}

interface Vocabulary {
  readonly tokens: string[];
  readonly types: Int32Array<ArrayBuffer>;
}

function readVocabulary(
  { model, added_tokens: added }: TokenizerJson,
  sentencePiece: boolean,
  options: GgufTokenizerOptions,
): Vocabulary {
  const vocab = model?.vocab;
  if (typeof vocab !== 'object' || vocab === null || Array.isArray(vocab)) {
    throw unsupported('model.vocab', 'an object of tokens and ids', typeof vocab);
  }
  const entries = [...Object.entries(vocab), ...(added ?? []).map(({ content, id }) => [content, id] as const)];
  const count = entries.reduce((most, [, id]) => Math.max(most, Number(id) + 1), 0);
  const size = typeof options.config?.vocab_size === 'number' ? options.config.vocab_size : count;
  if (count > size) throw unsupported('model.vocab', `ids below the config's vocab_size, ${size}`, `id ${count - 1}`);
  const tokens: (string | undefined)[] = new Array(size).fill(undefined);
  const types = new Int32Array(size).fill(TYPES.unused);
  for (const [content, id] of entries) {
    if (!Number.isInteger(id) || id < 0)
      throw unsupported('model.vocab', 'whole numbers as ids', `${id} for ${quote(content)}`);
    tokens[id] = content;
    types[id] = sentencePiece && /^<0x[0-9A-F]{2}>$/.test(content) ? TYPES.byte : TYPES.normal;
  }
  for (const { id, special } of added ?? []) types[id] = special === true ? TYPES.control : TYPES.userDefined;
  const unknown = tokens.indexOf(model?.unk_token ?? undefined);
  if (sentencePiece && model?.unk_token != null && unknown >= 0) types[unknown] = TYPES.unknown;
  // Ids that the embedding has and the tokenizer has not.
  return { tokens: tokens.map((token, id) => token ?? `[PAD${id}]`), types };
}

/** Pairs, from either spelling: `"a b"`, or `["a", "b"]` since tokenizers 0.20. */
function readMerges(merges: unknown): [string, string][] {
  if (!Array.isArray(merges)) throw unsupported('model.merges', 'an array', typeof merges);
  return merges.map((merge: unknown) => {
    const pair = typeof merge === 'string' ? merge.split(' ') : merge;
    if (Array.isArray(pair) && pair.length === 2 && typeof pair[0] === 'string' && typeof pair[1] === 'string') {
      return [pair[0], pair[1]];
    }
    throw unsupported('model.merges', 'pairs of tokens', quote(JSON.stringify(merge) ?? 'nothing'));
  });
}

/** The first merge that makes a token gives it its rank; what no merge makes comes after all that do. */
function mergeScores(tokens: readonly string[], types: Int32Array, merges: readonly [string, string][]) {
  const ranks = new Map<string, number>();
  for (const [a, b] of merges) if (!ranks.has(a + b)) ranks.set(a + b, ranks.size);
  let last = ranks.size;
  return Float32Array.from(tokens, (token, id) => {
    if (types[id] !== TYPES.normal) return 0;
    const rank = ranks.get(token);
    return rank === undefined ? -last++ : -rank;
  });
}

const SPECIAL = [
  ['bos', 'bos_token_id'],
  ['eos', 'eos_token_id'],
  ['unk', 'unknown_token_id'],
  ['pad', 'padding_token_id'],
] as const;

function* specialTokens(
  json: TokenizerJson,
  tokens: readonly string[],
  { config, tokenizerConfig = {} }: GgufTokenizerOptions,
): Generator<[string, GgufValue]> {
  const ids = new Map<string, number>();
  for (const [kind, key] of SPECIAL) {
    const named = tokenizerConfig[`${kind}_token`];
    const content = typeof named === 'object' && named !== null ? (named as Partial<AddedToken>).content : named;
    const ofConfig = config?.[`${kind}_token_id`];
    const listed = Array.isArray(ofConfig) ? ofConfig[0] : ofConfig;
    const id = typeof content === 'string' ? tokens.indexOf(content) : listed;
    if (typeof id !== 'number' || id < 0) continue;
    ids.set(kind, id);
    yield [`tokenizer.ggml.${key}`, u32(id)];
  }
  const template = flatten(json.post_processor).find(({ type }) => type === 'TemplateProcessing');
  const single = Array.isArray(template?.single) ? template.single : [];
  const isSpecial = (node: unknown, kind: string) => {
    const id = (node as { SpecialToken?: { id?: string } } | undefined)?.SpecialToken?.id;
    return id !== undefined && ids.has(kind) && tokens.indexOf(id) === ids.get(kind);
  };
  for (const [kind, node] of [
    ['bos', single[0]],
    ['eos', single.at(-1)],
  ] as const) {
    const told = tokenizerConfig[`add_${kind}_token`];
    yield [`tokenizer.ggml.add_${kind}_token`, flag(typeof told === 'boolean' ? told : isSpecial(node, kind))];
  }
}

function* chatTemplates({ chatTemplate, tokenizerConfig }: GgufTokenizerOptions): Generator<[string, GgufValue]> {
  const template = chatTemplate ?? tokenizerConfig?.chat_template;
  if (typeof template === 'string') yield ['tokenizer.chat_template', text(template)];
  if (!Array.isArray(template)) return;
  const others: string[] = [];
  for (const choice of template as readonly { name?: unknown; template?: unknown }[]) {
    if (typeof choice.name !== 'string' || typeof choice.template !== 'string') continue;
    const name = choice.name.replaceAll(/[^A-Za-z0-9]/g, '_');
    if (name === 'default') yield ['tokenizer.chat_template', text(choice.template)];
    else {
      others.push(name);
      yield [`tokenizer.chat_template.${name}`, text(choice.template)];
    }
  }
  if (others.length > 0) yield ['tokenizer.chat_templates', texts(others)];
}

function unsupported(path: string, expected: string, received: string): NudgeError {
  return new NudgeError('BAD_ARGUMENT', 'This tokenizer cannot be saved as GGUF.', {
    path: `tokenizer.json, ${path}`,
    expected,
    received,
    remedy: "Take the tokenizer's metadata from a GGUF file of the same model.",
  });
}
