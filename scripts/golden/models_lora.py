"""Makes tiny LoRA adapters with PEFT over the models of models.py, and what they compute:

    pip install torch==2.13.0 transformers==5.23.0 peft==0.21.2
    python scripts/golden/models.py && python scripts/golden/models_lora.py

A directory an adapter, `<family>/<adapter>/`, as PEFT saves it, and beside its files `expected.safetensors`:

    logits (or scores)   of the sequences of the family's own expected.safetensors
    gradient.NAME        of the loss by each of the adapter's matrices, under the file's names
"""

import json
from pathlib import Path
from typing import Any

import torch
import transformers
from peft import LoraConfig, get_peft_model, get_peft_model_state_dict
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification

DATA = Path(__file__).resolve().parents[2] / "tests" / "golden" / "data" / "models"

ADAPTERS: dict[str, dict[str, dict[str, Any]]] = {
    "llama": {
        "adapter": {"task_type": "CAUSAL_LM", "r": 2, "lora_alpha": 6, "lora_dropout": 0.1, "target_modules": ["q_proj", "v_proj", "down_proj"]},
        "adapter-score": {"task_type": "SEQ_CLS", "r": 2, "lora_alpha": 4, "target_modules": r".*\.1\.mlp\.(up|down)_proj"},
    },
    "gpt2": {"adapter": {"task_type": "CAUSAL_LM", "r": 1, "lora_alpha": 3, "use_rslora": True, "target_modules": "all-linear", "fan_in_fan_out": True}},
}


def main() -> None:
    torch.set_num_threads(1)
    transformers.logging.set_verbosity_error()
    for family, adapters in ADAPTERS.items():
        for name, config in adapters.items():
            torch.manual_seed(len(name))
            make(DATA / family, DATA / family / name, config)


def make(base: Path, directory: Path, config: dict[str, Any]) -> None:
    scores = config["task_type"] == "SEQ_CLS"
    extra = {"num_labels": 1} if scores else {}
    auto = AutoModelForSequenceClassification if scores else AutoModelForCausalLM
    plain = auto.from_pretrained(base, dtype=torch.float32, attn_implementation="eager", **extra)
    model = get_peft_model(plain, LoraConfig(**config)).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter.copy_(torch.randn(parameter.shape) * 0.3)
    model.save_pretrained(directory)
    (directory / "README.md").unlink()
    # The path of whoever ran this is nobody's business.
    path = directory / "adapter_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"base_model_name_or_path": "../"}, indent=2) + "\n")

    golden = load_file(base / "expected.safetensors")
    sequences = golden["ids"].split(golden["lengths"].tolist())
    rows = [model(input_ids=ids[None]).logits[0] for ids in sequences]
    expected = {"scores" if scores else "logits": torch.cat(rows).detach()}
    if not scores:
        total = sum(torch.nn.functional.cross_entropy(row[:-1], ids[1:], reduction="sum") for row, ids in zip(rows, sequences, strict=True) if len(ids) > 1)
        (total / sum(len(ids) - 1 for ids in sequences)).backward()
        gradients = {name: parameter.grad for name, parameter in model.named_parameters() if parameter.grad is not None}
        names = get_peft_model_state_dict(model)
        for name, gradient in gradients.items():
            short = name.replace(".default", "")
            assert short in names, short
            expected[f"gradient.{short}"] = gradient.clone()
    save_file(expected, directory / "expected.safetensors")


if __name__ == "__main__":
    main()
