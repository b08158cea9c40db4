/** SmolLM2-135M with random weights: a product takes as long with them. */
export const SMOLLM2 = {
  model_type: 'llama',
  vocab_size: 49_152,
  hidden_size: 576,
  intermediate_size: 1536,
  num_hidden_layers: 30,
  num_attention_heads: 9,
  num_key_value_heads: 3,
  head_dim: 64,
  max_position_embeddings: 2048,
  rope_theta: 100_000,
  tie_word_embeddings: true,
};

/** A model of this family, of any size. */
export type LlamaShape = typeof SMOLLM2;
