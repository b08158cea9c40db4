"""Makes tiny models of every family, and what transformers computes with them:

    pip install torch==2.13.0 transformers==5.23.0 peft==0.21.2
    python scripts/golden/models.py            # writes tests/golden/data/models
    python scripts/golden/models.py --exact    # gradients in float32, three times as large, to measure differences with

A directory a family: `config.json` and `model.safetensors` as transformers saves them (bfloat16 values, which float32 holds
exactly), and `expected.safetensors`:

    ids, lengths             the sequences, one after the other
    logits, loss             in float32, each sequence on its own, without padding; the loss is the mean over all predicted tokens
    logits.bfloat16          the same model in bfloat16
    gradient.NAME, scale.NAME  of the loss by each parameter: 16-bit integers times a scale (1.5e-5 of the largest element off)
    VARIANT.logits           with the changes to config.json that `variants.json` holds under that name
    score.weight, scores     a reward model's head over the same body, and its scores

models_lora.py makes the adapters.
"""

import argparse
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
import transformers
from safetensors.torch import save_file
from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForSequenceClassification

DATA = Path(__file__).resolve().parents[2] / "tests" / "golden" / "data" / "models"
VOCABULARY = 16
LENGTHS = [4, 7, 7, 1]
SMALL = {"vocab_size": VOCABULARY, "hidden_size": 32, "num_hidden_layers": 2, "max_position_embeddings": 64, "bos_token_id": 1, "eos_token_id": 2}
GROUPED = {**SMALL, "intermediate_size": 16, "num_attention_heads": 4, "num_key_value_heads": 2}

FAMILIES: dict[str, dict[str, Any]] = {
    "llama": {"model_type": "llama", **GROUPED, "tie_word_embeddings": False},
    "qwen2": {"model_type": "qwen2", **GROUPED, "tie_word_embeddings": True},
    "qwen3": {"model_type": "qwen3", **GROUPED, "num_attention_heads": 3, "num_key_value_heads": 1, "head_dim": 8, "tie_word_embeddings": True},
    "gpt2": {"model_type": "gpt2", "vocab_size": VOCABULARY, "n_embd": 32, "n_layer": 2, "n_head": 4, "n_inner": 16, "n_positions": 8, "bos_token_id": 1, "eos_token_id": 2},
    "gpt_neox": {"model_type": "gpt_neox", **SMALL, "intermediate_size": 16, "num_attention_heads": 2, "tie_word_embeddings": False},
}


def rope(kind: str, **parameters: Any) -> dict[str, Any]:
    return {"rope_parameters": {"rope_type": kind, "rope_theta": 10000.0} | parameters}


# Short contexts, so that the sequences of 7 tokens reach into what the scaling changes.
VARIANTS: dict[str, dict[str, dict[str, Any]]] = {
    "llama": {
        "mistral": {"model_type": "mistral", "sliding_window": None},
        "linear": rope("linear", factor=4.0),
        "dynamic": rope("dynamic", factor=2.0) | {"max_position_embeddings": 5},
        "llama3": rope("llama3", rope_theta=500000.0, factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0, original_max_position_embeddings=8),
        "yarn": rope("yarn", factor=4.0, original_max_position_embeddings=8),
        "yarn_mscale": rope("yarn", factor=8.0, original_max_position_embeddings=8, mscale=1.0, mscale_all_dim=0.5, beta_fast=8.0, truncate=False),
    },
    "gpt2": {"scaled_by_layer": {"scale_attn_by_inverse_layer_idx": True}},
    "gpt_neox": {"sequential": {"use_parallel_residual": False}},
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=DATA)
    parser.add_argument("--exact", action="store_true")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    transformers.logging.set_verbosity_error()
    for seed, (family, config) in enumerate(FAMILIES.items()):
        torch.manual_seed(seed)
        directory = arguments.out / family
        directory.mkdir(parents=True, exist_ok=True)
        model = make(config)
        save(model, directory)
        expected = expectations(model, exact=arguments.exact)
        variants = VARIANTS.get(family, {})
        for name, changes in variants.items():
            expected[f"{name}.logits"] = variant(model, changes)
        expected |= scores(model)
        (directory / "variants.json").write_text(json.dumps(variants, indent=1) + "\n")
        save_file(expected, directory / "expected.safetensors")
    total = sum(path.stat().st_size for path in arguments.out.rglob("*") if path.is_file())
    print(f"{total:,} bytes in {arguments.out}")


def make(config: dict[str, Any]) -> transformers.PreTrainedModel:
    """Larger weights than training starts from: every part of the model must matter to the result."""
    model = AutoModelForCausalLM.from_config(build_config(config), attn_implementation="eager").float().eval()
    with torch.no_grad():
        for name, weight in model.named_parameters():
            norm = "norm" in name or ".ln_" in name
            values = torch.randn(weight.shape) * (0.1 if weight.ndim == 1 else 0.25) + (1 if norm and name.endswith("weight") else 0)
            weight.copy_(values.bfloat16().float())
    return model


def build_config(config: dict[str, Any]) -> transformers.PreTrainedConfig:
    return AutoConfig.for_model(**config)


def save(model: transformers.PreTrainedModel, directory: Path) -> None:
    state = {name: weight.detach().bfloat16() for name, weight in model.state_dict().items()}
    if model.config.tie_word_embeddings:
        state.pop("lm_head.weight")
    save_file(state, directory / "model.safetensors", metadata={"format": "pt"})
    model.config.architectures = [type(model).__name__]
    model.config.dtype = "float32"
    model.config.save_pretrained(directory)


def sequences() -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(7)
    return [torch.randint(0, VOCABULARY, (length,), generator=generator) for length in LENGTHS]


def flat_logits(model: transformers.PreTrainedModel) -> torch.Tensor:
    """A sequence at a time; dynamic RoPE looks at the longest of a batch, so the longest goes first."""
    longest_first = sorted(range(len(LENGTHS)), key=lambda i: -LENGTHS[i])
    rows = {i: model(sequences()[i][None], use_cache=False).logits[0] for i in longest_first}
    return torch.cat([rows[i] for i in range(len(LENGTHS))])


def expectations(model: transformers.PreTrainedModel, *, exact: bool) -> dict[str, torch.Tensor]:
    logits = flat_logits(model)
    pieces = zip(logits.split(LENGTHS), sequences(), strict=True)
    losses = [torch.nn.functional.cross_entropy(rows[:-1], ids[1:], reduction="sum") for rows, ids in pieces if len(ids) > 1]
    loss = torch.stack(losses).sum() / sum(length - 1 for length in LENGTHS)
    loss.backward()
    expected = {"ids": torch.cat(sequences()), "lengths": torch.tensor(LENGTHS), "logits": logits.detach(), "loss": loss.detach()}
    for name, weight in model.named_parameters():
        expected |= dict(gradient(name, weight.grad, exact=exact))
    model.zero_grad()
    expected["logits.bfloat16"] = with_dtype(model, torch.bfloat16)
    return expected


def gradient(name: str, values: torch.Tensor, *, exact: bool) -> Iterator[tuple[str, torch.Tensor]]:
    if exact:
        yield f"gradient.{name}", values.clone()
        return
    scale = values.abs().max() / 32767
    yield f"gradient.{name}", (values / scale.clamp(min=1e-30)).round().to(torch.int16)
    yield f"scale.{name}", scale


@torch.no_grad()
def with_dtype(model: transformers.PreTrainedModel, dtype: torch.dtype) -> torch.Tensor:
    logits = flat_logits(model.to(dtype))
    model.float()  # exact: the weights are bfloat16 values
    return logits


@torch.no_grad()
def variant(model: transformers.PreTrainedModel, changes: dict[str, Any]) -> torch.Tensor:
    config = build_config({**model.config.to_dict(), **changes})
    other = AutoModelForCausalLM.from_config(config, attn_implementation="eager").float().eval()
    other.load_state_dict(model.state_dict())
    return flat_logits(other)


@torch.no_grad()
def scores(model: transformers.PreTrainedModel) -> dict[str, torch.Tensor]:
    config = build_config({**model.config.to_dict(), "num_labels": 1, "pad_token_id": 0})
    scorer = AutoModelForSequenceClassification.from_config(config, attn_implementation="eager").float().eval()
    getattr(scorer, scorer.base_model_prefix).load_state_dict(getattr(model, model.base_model_prefix).state_dict())
    scorer.score.weight.normal_()
    # One at a time and without padding, where no token is taken for padding.
    scorer.config.pad_token_id = None
    return {"score.weight": scorer.score.weight.detach(), "scores": torch.cat([scorer(ids[None]).logits[0] for ids in sequences()])}


if __name__ == "__main__":
    main()
