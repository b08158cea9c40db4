/** A tiny model with random weights, and what a pass over a whole sequence says of it. Nothing here is part of the library. */
import { type CausalModel, createModel, PackedAttention } from '../../models/index.ts';
import { torch } from '../../tensor/index.ts';

export const VOCABULARY = 97;

/** A Llama whose logits have a standard deviation of about 1.5: every token has a chance. */
export function tinyModel(seed = 0): CausalModel {
  const model = createModel(
    {
      model_type: 'llama',
      vocab_size: VOCABULARY,
      hidden_size: 32,
      intermediate_size: 48,
      num_hidden_layers: 2,
      num_attention_heads: 4,
      num_key_value_heads: 2,
      head_dim: 16,
      max_position_embeddings: 256,
      tie_word_embeddings: true,
      initializer_range: 0.25,
    },
    { generator: new torch.Generator({ seed }) },
  );
  return model;
}

/** Log-probabilities of all tokens at each place from `start` on, by one pass over the sequence without a cache. */
export function logprobsFrom(model: CausalModel, ids: readonly number[], start: number, temperature = 1): number[][] {
  return torch.scope(() =>
    torch.noGrad(() => {
      const hidden = model.forward(torch.tensor([...ids], { dtype: 'int64' }), new PackedAttention([ids.length])); // [T, D]
      const rows = hidden.narrow(0, start - 1, ids.length - start); // [T - start, D]
      return model.logits(rows).float().div(temperature).logSoftmax(1).tolist() as number[][]; // [T - start, V]
    }),
  );
}

/** Log-probabilities of the sequence's own tokens from `start` on. */
export function score(model: CausalModel, ids: readonly number[], start: number, temperature = 1): number[] {
  return logprobsFrom(model, ids, start, temperature).map((row, i) => row[ids[start + i]!]!);
}
