"""transformers' side of `nudge bench generate`: the same shape, dtype and prompts, through `generate` and `forward`."""

import torch
from transformers import LlamaConfig, LlamaForCausalLM

MODELS = {}


def model_of(config, dtype):
    """One model for all cases: only its speed counts, so the weights are random."""
    key = (str(config), dtype)
    if key not in MODELS:
        torch.manual_seed(0)
        MODELS.clear()
        MODELS[key] = LlamaForCausalLM(LlamaConfig(**config)).to(getattr(torch, dtype)).eval()
    return MODELS[key]


def prompts_of(rows, length, config):
    return torch.tensor([[(i * 77 + j * 13) % config["vocab_size"] for j in range(length)] for i in range(rows)])


def decode(config, dtype, rows, prompt, tokens):
    model = model_of(config, dtype)
    ids = prompts_of(rows, prompt, config)
    mask = torch.ones_like(ids)
    options = dict(do_sample=True, top_k=0, top_p=1.0, temperature=1.0, pad_token_id=0, eos_token_id=-1)

    def work(times):
        for _ in range(times):
            with torch.inference_mode():
                model.generate(ids, attention_mask=mask, max_new_tokens=tokens, min_new_tokens=tokens, **options)

    return work


def prefill(config, dtype, rows, prompt):
    model = model_of(config, dtype)
    ids = prompts_of(rows, prompt, config)

    def work(times):
        for _ in range(times):
            with torch.inference_mode():
                model(ids, use_cache=True, logits_to_keep=1)

    return work
