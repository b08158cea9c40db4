"""transformers' side of `nudge bench generate`: the same shape, dtype and prompts, through `generate` and `forward`."""

import torch
from transformers import LlamaConfig, LlamaForCausalLM

MODELS = {}


def model_of(shape, dtype):
    """One model for all cases: only its speed counts, so the weights are random."""
    key = (str(shape), dtype)
    if key not in MODELS:
        config = LlamaConfig(
            vocab_size=shape["vocabSize"],
            hidden_size=shape["hidden"],
            intermediate_size=shape["inner"],
            num_hidden_layers=shape["layers"],
            num_attention_heads=shape["heads"],
            num_key_value_heads=shape["kvHeads"],
            head_dim=shape["headDim"],
            max_position_embeddings=shape["maxPositions"],
            tie_word_embeddings=True,
        )
        torch.manual_seed(0)
        MODELS.clear()
        MODELS[key] = LlamaForCausalLM(config).to(getattr(torch, dtype)).eval()
    return MODELS[key]


def prompts_of(rows, length, shape):
    return torch.tensor([[(i * 77 + j * 13) % shape["vocabSize"] for j in range(length)] for i in range(rows)])


def decode(shape, dtype, rows, prompt, tokens):
    model = model_of(shape, dtype)
    ids = prompts_of(rows, prompt, shape)
    mask = torch.ones_like(ids)
    options = dict(do_sample=True, top_k=0, top_p=1.0, temperature=1.0, pad_token_id=0, eos_token_id=-1)

    def work(times):
        for _ in range(times):
            with torch.inference_mode():
                model.generate(ids, attention_mask=mask, max_new_tokens=tokens, min_new_tokens=tokens, **options)

    return work


def prefill(shape, dtype, rows, prompt):
    model = model_of(shape, dtype)
    ids = prompts_of(rows, prompt, shape)

    def work(times):
        for _ in range(times):
            with torch.inference_mode():
                model(ids, use_cache=True, logits_to_keep=1)

    return work
