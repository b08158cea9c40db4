/**
 * Tensor names and arrangements: GGUF's and transformers', both ways.
 *
 * Where llama.cpp's converter rearranges weights, so do we, in reverse on loading:
 * - llama (with Mistral, SmolLM, TinyLlama): rows of q and k. Its RoPE turns neighbouring elements, transformers' turns an
 *   element with the one half a head away. Qwen's and GPT-NeoX's architectures keep transformers' order.
 * - gptneox: rows of the fused q, k, v, stored head by head in transformers, q of all heads first in GGUF.
 * - gpt2: transformers' Conv1D holds its matrices transposed.
 * Source: convert_hf_to_gguf.py of https://github.com/ggml-org/llama.cpp, and Python's gguf 0.19 (tensor_mapping.py).
 */

import { NudgeError } from '../../errors.ts';
import { quote } from '../files/index.ts';

/** What happens to the elements between the two, see above. */
export type Arrangement = 'same' | 'q' | 'k' | 'qkv' | 'transposed';

export interface MappedName {
  readonly name: string;
  readonly arrangement: Arrangement;
}

export interface NameMap {
  /** transformers' name for one of GGUF's; null when it has none there (`rope_freqs.weight`) or is not known. */
  toHf(gguf: string): MappedName | null;
  /** GGUF's name for one of transformers'; null when GGUF does not keep it (masks, inverse frequencies) or it is not known. */
  toGguf(hf: string): MappedName | null;
  /** True for what the other side does without, so that leaving it out loses nothing. */
  isDerived(name: string): boolean;
}

type Pair = readonly [gguf: string, hf: string, arrangement?: Arrangement];

interface Family {
  /** Name -> name, without a layer. */
  readonly whole: readonly Pair[];
  /** What stands before the number of a layer in transformers. */
  readonly layers: string;
  /** Within a layer, without `.weight` or `.bias`. */
  readonly inner: readonly Pair[];
}

const LLAMA: Family = {
  whole: [
    ['token_embd', 'model.embed_tokens'],
    ['output_norm', 'model.norm'],
    ['output', 'lm_head'],
  ],
  layers: 'model.layers.',
  inner: [
    ['attn_norm', 'input_layernorm'],
    ['attn_q', 'self_attn.q_proj', 'q'],
    ['attn_k', 'self_attn.k_proj', 'k'],
    ['attn_v', 'self_attn.v_proj'],
    ['attn_output', 'self_attn.o_proj'],
    ['ffn_norm', 'post_attention_layernorm'],
    ['ffn_gate', 'mlp.gate_proj'],
    ['ffn_up', 'mlp.up_proj'],
    ['ffn_down', 'mlp.down_proj'],
  ],
};

const QWEN2: Family = { ...LLAMA, inner: LLAMA.inner.map(([gguf, hf]) => [gguf, hf]) };

const QWEN3: Family = {
  ...QWEN2,
  inner: [...QWEN2.inner, ['attn_q_norm', 'self_attn.q_norm'], ['attn_k_norm', 'self_attn.k_norm']],
};

const GPT2: Family = {
  whole: [
    ['token_embd', 'transformer.wte'],
    ['position_embd', 'transformer.wpe'],
    ['output_norm', 'transformer.ln_f'],
    ['output', 'lm_head'],
  ],
  layers: 'transformer.h.',
  inner: [
    ['attn_norm', 'ln_1'],
    ['attn_qkv', 'attn.c_attn', 'transposed'],
    ['attn_output', 'attn.c_proj', 'transposed'],
    ['ffn_norm', 'ln_2'],
    ['ffn_up', 'mlp.c_fc', 'transposed'],
    ['ffn_down', 'mlp.c_proj', 'transposed'],
  ],
};

const GPTNEOX: Family = {
  whole: [
    ['token_embd', 'gpt_neox.embed_in'],
    ['output_norm', 'gpt_neox.final_layer_norm'],
    ['output', 'embed_out'],
  ],
  layers: 'gpt_neox.layers.',
  inner: [
    ['attn_norm', 'input_layernorm'],
    ['attn_qkv', 'attention.query_key_value', 'qkv'],
    ['attn_output', 'attention.dense'],
    ['ffn_norm', 'post_attention_layernorm'],
    ['ffn_up', 'mlp.dense_h_to_4h'],
    ['ffn_down', 'mlp.dense_4h_to_h'],
  ],
};

const FAMILIES = { llama: LLAMA, qwen2: QWEN2, qwen3: QWEN3, gpt2: GPT2, gptneox: GPTNEOX } as const;

/** An architecture as `general.architecture` spells it. */
export type Architecture = keyof typeof FAMILIES;
export const ARCHITECTURES = Object.keys(FAMILIES) as readonly Architecture[];

// Buffers of older transformers, and the factors that follow from the config.
const DERIVED = /^rope_freqs\.weight$|\.rotary_emb\.inv_freq$|\.(?:attn|attention)\.(?:masked_)?bias$/;

/** @throws NudgeError BAD_FILE for an architecture that is not known, with those that are. */
export function checkArchitecture(name: string): Architecture {
  if (Object.hasOwn(FAMILIES, name)) return name as Architecture;
  throw new NudgeError('BAD_FILE', 'This architecture is not known.', {
    path: 'general.architecture',
    expected: ARCHITECTURES.join(', '),
    received: quote(name),
    remedy: 'Use a model of one of these architectures.',
  });
}

/** The names of one architecture. */
export function hfNames(architecture: Architecture): NameMap {
  const { whole, layers, inner } = FAMILIES[architecture];
  return {
    toHf: (name) => map(name, 'blk.', layers, whole, inner),
    toGguf: (name) => map(checkpointName(architecture, name), layers, 'blk.', whole.map(swap), inner.map(swap)),
    isDerived: (name) => DERIVED.test(name),
  };
}

/** Checkpoints of GPT-2 on the hub leave a prefix out; transformers 5 calls GPT-NeoX's head as every other in memory. */
function checkpointName(architecture: Architecture, name: string): string {
  if (architecture === 'gpt2' && /^(?:wte|wpe|ln_f|h)\./.test(name)) return `transformer.${name}`;
  return architecture === 'gptneox' ? name.replace(/^lm_head\./, 'embed_out.') : name;
}

const swap = ([gguf, hf, arrangement]: Pair): Pair => [hf, gguf, arrangement ?? 'same'];

function map(
  name: string,
  from: string,
  to: string,
  whole: readonly Pair[],
  inner: readonly Pair[],
): MappedName | null {
  const kind = name.endsWith('.weight') ? '.weight' : '.bias';
  if (!name.endsWith(kind)) return null;
  let stem = name.slice(0, -kind.length);
  let prefix = '';
  const layer = stem.startsWith(from) ? /^\d+(?=\.)/.exec(stem.slice(from.length))?.[0] : undefined;
  if (layer !== undefined) {
    stem = stem.slice(from.length + layer.length + 1);
    prefix = `${to}${layer}.`;
  }
  const pair = (layer === undefined ? whole : inner).find(([known]) => known === stem);
  if (pair === undefined) return null;
  const [, mapped, arrangement = 'same'] = pair;
  // A bias has no columns to swap; the rows of q, k and qkv it shares.
  const kept = arrangement === 'transposed' && kind === '.bias' ? 'same' : arrangement;
  return { name: prefix + mapped + kind, arrangement: kept };
}
