/**
 * Fused operators, written in C++ (native/src/kernels) and reached through the dispatcher like any other. Models call them always:
 * where there is no kernel for the device, dtype or processor, each is the plain ATen operators that it stands for. A pass that
 * scores and one that records gradients run the same ones and agree to the last bit. Inside `torch.inferenceMode` products are
 * made for single tokens: that generation rounds elsewhere is one more reason to score what was generated before training on it.
 * `NUDGE_KERNELS=none` turns them off.
 */
import { type DType, type Tensor, torch } from '../tensor/index.ts';

/** x Wᵀ + b: x [..., in], weight [out, in] -> [..., out]. */
export function linear(x: Tensor, weight: Tensor, bias: Tensor | null = null): Tensor {
  return torch.call('nudge::linear', x, weight, bias) as Tensor;
}

/**
 * The same with a LoRA update: x Wᵀ + b + scaling (x Aᵀ) Bᵀ, A [r, in] and B [out, r] in a dtype of their own. On the CPU, outside
 * inference mode, one operator with one rounding, whose backward pass sums both ways to x in place.
 */
export function loraLinear(
  x: Tensor,
  weight: Tensor,
  bias: Tensor | null,
  a: Tensor,
  b: Tensor,
  scaling: number,
): Tensor {
  return torch.call('nudge::lora_linear', x, weight, bias, a, b, scaling) as Tensor;
}

/** In inference mode, with so many rows and fewer, what `linear` gives for a row does not depend on the others, to the last bit. 0: it may depend always. */
export function linearRows(dtype: DType): number {
  return torch.call('nudge::linear_rows', dtype) as number;
}

/** Whether products of x are made in float32: bfloat16 on a processor without instructions for it. */
export function widens(x: Tensor): boolean {
  return torch.call('nudge::widens', x) as boolean;
}

/** x / √(mean(x²) + eps) · weight over the last dimension: [..., D] -> [..., D]. */
export function rmsNorm(x: Tensor, weight: Tensor, eps: number): Tensor {
  return torch.call('nudge::rms_norm', x, weight, eps) as Tensor;
}

/** x cos + roll(x, R/2) sin over the first R of each head's dimensions: x [N, H, Dh], cos and sin [N, 1, R] -> [N, H, Dh]. */
export function rope(x: Tensor, cos: Tensor, sin: Tensor): Tensor {
  return torch.call('nudge::rope', x, cos, sin) as Tensor;
}

/** silu(gate) · up, elementwise. */
export function swiglu(gate: Tensor, up: Tensor): Tensor {
  return torch.call('nudge::swiglu', gate, up) as Tensor;
}

/** Writes k and v [N, Hkv, Dh] into a cache [blocks, Hkv, S, Dh] at slots [N] int64, each block · S + place. */
export function cacheAppend_(keys: Tensor, values: Tensor, k: Tensor, v: Tensor, slots: Tensor): void {
  torch.call('nudge::cache_append_', keys, values, k, v, slots);
}

/**
 * One query a sequence against a cache: q [N, H, Dh], keys and values [blocks, Hkv, S, Dh], table [N, B] int32 with the blocks of
 * each sequence, lengths [N] int32 -> [N, H, Dh].
 */
export function cachedAttention(
  q: Tensor,
  keys: Tensor,
  values: Tensor,
  table: Tensor,
  lengths: Tensor,
  scale: number,
): Tensor {
  return torch.call('nudge::cached_attention', q, keys, values, table, lengths, scale) as Tensor;
}

/**
 * One token of each row of logits [B, V], as its row of choices says, [B, 5] float64 on the CPU: temperature (0: the likeliest),
 * topK (0: all), topP (1: all), minP (0: all), and a draw from [0, 1). Also log softmax(logits / temperature) at that token.
 */
export function choose(logits: Tensor, choices: Tensor): { tokens: Tensor; logprobs: Tensor } {
  const [tokens, logprobs] = torch.call('nudge::choose', logits, choices) as [Tensor, Tensor]; // [B], [B]
  return { tokens, logprobs };
}

/**
 * log softmax(logits / temperature) at the tokens, with gradients: logits [N, V] of any float dtype, tokens [N] int64 -> [N] float32
 * (float64 for float64). Reads the logits three times where the operators it stands for make four copies of them.
 */
export function tokenLogProbs(logits: Tensor, tokens: Tensor, temperature = 1): Tensor {
  return torch.call('nudge::token_log_probs', logits, tokens, temperature) as Tensor;
}

/** The instruction set whose kernels run: `avx512_bf16`, `avx512`, `avx2`, `base` or `none`. */
export function selected(): string {
  return torch.call('nudge::kernels') as string;
}

/** Chooses another one, or `auto`. False where this processor does not have it. For tests and comparisons. */
export function select(name: string): boolean {
  return torch.call('nudge::select_kernels', name) as boolean;
}
