"""What tiny models of each architecture become in GGUF: names by Python's gguf, arrangement by llama.cpp's rules.

    python scripts/golden/gguf_models.py          (numpy, torch, transformers and gguf 0.19 installed)

Output: tests/golden/data/gguf/models.json. Weights are counters, so that the file needs to hold only hashes: element i of
tensor number n (in the order of `tensors`) is (i * 31 + n * 7) % 251 - 125.
"""

import hashlib
import json
import pathlib

import gguf
import numpy as np
from transformers import AutoConfig, AutoModelForCausalLM

OUT = pathlib.Path(__file__).parents[2] / "tests" / "golden" / "data" / "gguf" / "models.json"

COMMON = {"vocab_size": 40, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4,
          "max_position_embeddings": 64}  # fmt: skip
MODELS = {
    "llama": ("llama", "LLAMA", {**COMMON, "num_key_value_heads": 2, "rms_norm_eps": 1e-5, "rope_theta": 1e5, "attention_bias": True, "tie_word_embeddings": False}),
    "qwen2": ("qwen2", "QWEN2", {**COMMON, "num_key_value_heads": 2, "rms_norm_eps": 1e-6, "rope_theta": 1e6, "tie_word_embeddings": True}),
    "qwen3": ("qwen3", "QWEN3", {**COMMON, "num_key_value_heads": 2, "head_dim": 16, "rms_norm_eps": 1e-6, "rope_theta": 1e6, "tie_word_embeddings": True}),
    "gpt2": ("gpt2", "GPT2", {"vocab_size": 40, "n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 64}),
    "gptneox": ("gpt_neox", "GPTNEOX", {**COMMON, "rotary_pct": 0.25, "use_parallel_residual": False}),
}  # fmt: skip


def permute(weights, heads):
    """LlamaModel.permute in convert_hf_to_gguf.py."""
    return weights.reshape(heads, 2, weights.shape[0] // heads // 2, *weights.shape[1:]).swapaxes(1, 2).reshape(weights.shape)


def fused(weights, heads):
    """GPTNeoXModel.modify_tensors: q, k and v of each head in turn, to all q, all k, all v."""
    parts = weights.reshape(heads, 3, -1, *weights.shape[1:])
    return np.concatenate([parts[:, i].reshape(-1, *weights.shape[1:]) for i in range(3)])


def arranged(kind, name, weights, config):
    if kind == "llama" and ".q_proj." in name:
        return permute(weights, config["num_attention_heads"])
    if kind == "llama" and ".k_proj." in name:
        return permute(weights, config["num_key_value_heads"])
    if kind == "gpt2" and name.endswith((".c_attn.weight", ".c_proj.weight", ".c_fc.weight")):
        return weights.T
    if kind == "gptneox" and ".query_key_value." in name:
        return fused(weights, config["num_attention_heads"])
    return weights


def describe(kind):
    model_type, arch, options = MODELS[kind]
    model = AutoModelForCausalLM.from_config(AutoConfig.for_model(model_type, **options))
    mapping = gguf.get_tensor_name_map(gguf.MODEL_ARCH[arch], 2)
    tied = {} if not model.config.tie_word_embeddings else {"lm_head.weight"}
    tensors = []
    for name, parameter in model.state_dict().items():
        if name in tied:
            continue
        if kind == "gptneox":
            name = name.replace("lm_head.", "embed_out.")  # its name in checkpoints
        number, shape = len(tensors), list(parameter.shape)
        weights = ((np.arange(parameter.numel()) * 31 + number * 7) % 251 - 125).astype(np.float32).reshape(shape)
        stored = np.ascontiguousarray(arranged(kind, name, weights, options))
        tensors.append({
            "hf": name, "gguf": mapping.get_name(name, try_suffixes=(".weight", ".bias")), "shape": shape,
            "stored": list(stored.shape), "sha256": hashlib.sha256(stored.tobytes()).hexdigest(),
        })  # fmt: skip
    return {"config": {"model_type": model_type, **options}, "tensors": tensors}


def main():
    OUT.write_text(json.dumps({kind: describe(kind) for kind in MODELS}, indent=1) + "\n")
    print(OUT.stat().st_size, OUT.name)


if __name__ == "__main__":
    main()
