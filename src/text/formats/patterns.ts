/**
 * Where byte-level vocabularies cut words, by the name that GGUF files carry in `tokenizer.ggml.pre`. The expressions are
 * those of the models' own tokenizer.json; a text is cut at the matches of the first, its parts at those of the second.
 */

/** What `ByteLevel` does by itself. */
export const GPT2 = "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+";
/** One digit at a time. */
export const DIGITS = '\\p{N}';
const SHORT_FORMS = "(?i:'s|'t|'re|'ve|'m|'ll|'d)";
const TAIL = '| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+';

/** Llama 3's: numbers in groups of three. Also cl100k's. */
export const LLAMA3 = `${SHORT_FORMS}|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}${TAIL}`;
const QWEN2 = `${SHORT_FORMS}|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}${TAIL}`;

const UPPER = '[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]';
const LOWER = '[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]';
const CASED_TAIL = '| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+';
const cased = (ending: string, numbers: string): string =>
  `[^\\r\\n\\p{L}\\p{N}]?${UPPER}*${LOWER}+${ending}|[^\\r\\n\\p{L}\\p{N}]?${UPPER}+${LOWER}*${ending}|${numbers}${CASED_TAIL}`;

const CJK = '[一-龥ࠀ-一가-퟿]+';
/** Letters of the alphabets that have two cases. */
const LATIN =
  'A-Za-zµÀ-ÖØ-öø-ƺƼ-ƿǄ-ʓʕ-ʯͰ-ͳͶͷͻ-ͽͿΆΈ-ΊΌΎ-ΡΣ-ϵϷ-ҁҊ-ԯԱ-ՖႠ-ჅᎠ-Ᏽᏸ-ᏽᲐ-ᲺᲽ-Ჿᴀ-ᴫᵫ-ᵷᵹ-ᶚḀ-ἕἘ-Ἕἠ-ὅὈ-Ὅὐ-ὗὙὛὝὟ-\u1f7dᾀ-ᾴᾶ-ᾼ\u1fbeῂ-ῄῆ-ῌῐ-\u1fd3ῖ-\u1fdbῠ-Ῥῲ-ῴῶ-ῼ' +
  'ℂℇℊ-ℓℕℙ-ℝℤ\u2126ℨ\u212a-ℭℯ-ℴℹℼ-ℿⅅ-ⅉⅎↃↄⰀ-ⱻⱾ-ⳤⳫ-ⳮⳲⳳꙀ-ꙭꚀ-ꚛꜢ-ꝯꝱ-ꞇꞋ-ꞎꭰ-ꮿﬀ-ﬆﬓ-ﬗＡ-Ｚａ-ｚ𐐀-𐑏𐒰-𐓓𐓘-𐓻𐲀-𐲲𐳀-𐳲𑢠-𑣟𞤀-𞥃';
const ASCII_SIGNS = '[!"#$%&\'()*+,\\-./:;<=>?@\\[\\\\\\]^_`{|}~]';

const PATTERNS: Readonly<Record<string, readonly string[]>> = {
  default: ['[\\p{P}\\$\\+<=>\\^~\\|]+', GPT2, '\\p{N}+', '[0-9][0-9][0-9]'],
  'gpt-2': [GPT2],
  'llama-bpe': [LLAMA3],
  qwen2: [QWEN2],
  starcoder: [DIGITS, GPT2],
  falcon: ['[\\p{P}\\$\\+<=>\\^~\\|`]+', GPT2, '[0-9][0-9][0-9]'],
  'deepseek-llm': ['[\\r\\n]', `\\s?[${LATIN}]+`, '\\s?[!-/:-~！-／：-～‘-‟　-。]+', '(?<!\\s)\\s+$', CJK, '\\p{N}+'],
  'deepseek-coder': ['[\\r\\n]', '\\s?\\p{L}+', '\\s?\\p{P}+', CJK, '\\p{N}'],
  'deepseek-v3': [
    '\\p{N}{1,3}',
    '[一-龥぀-ゟ゠-ヿ]+',
    `${ASCII_SIGNS}[A-Za-z]+|[^\\r\\n\\p{L}\\p{P}\\p{S}]?[\\p{L}\\p{M}]+| ?[\\p{P}\\p{S}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+`,
  ],
  tekken: [cased('', '\\p{N}')],
  'gpt-4o': [cased(`${SHORT_FORMS}?`, '\\p{N}{1,3}')],
};

/** Names of vocabularies that are cut as another one is. */
const SAME_AS: Readonly<Record<string, readonly string[]>> = {
  'gpt-2': [
    'mpt',
    'olmo',
    'jais',
    'phi-2',
    'trillion',
    'granite-docling',
    'exaone4',
    'mellum',
    'modern-bert',
    'gigachat',
  ],
  'llama-bpe': [
    'llama3',
    'llama-v3',
    'falcon3',
    'falcon-h1',
    'pixtral',
    'lfm2',
    'dbrx',
    'smaug-bpe',
    'chatglm-bpe',
    'glm4',
  ],
  qwen2: ['stablelm2', 'deepseek-r1-qwen', 'megrez', 'hunyuan', 'solar-open', 'grok-2'],
  starcoder: ['refact', 'command-r', 'smollm', 'codeshell', 'exaone', 'minerva-7b', 'mellum2'],
  'deepseek-v3': ['hunyuan-dense'],
  'gpt-4o': ['llama4', 'kanana2'],
};

const KINDS = new Map<string, readonly string[]>([
  ...Object.entries(PATTERNS),
  ...Object.entries(SAME_AS).flatMap(([kind, names]) => names.map((name) => [name, PATTERNS[kind]!] as const)),
]);

/** Vocabularies that take a word that is a token whole. */
const WHOLE_WORDS = new Set(['llama-bpe', 'llama3', 'llama-v3', 'falcon3', 'falcon-h1', 'pixtral', 'lfm2', 'tekken']);
/** Vocabularies that put the beginning-of-text token before a text unless the file says otherwise. */
const BEGIN_WITH_BOS = WHOLE_WORDS;

export interface PreTokenizerKind {
  patterns: readonly string[];
  ignoreMerges: boolean;
  addBos: boolean;
}

export function preTokenizerKind(name: string): PreTokenizerKind | undefined {
  const patterns = KINDS.get(name);
  return patterns && { patterns, ignoreMerges: WHOLE_WORDS.has(name), addBos: BEGIN_WITH_BOS.has(name) };
}

export function preTokenizerKinds(): string[] {
  return [...KINDS.keys()];
}
