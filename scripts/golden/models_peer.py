"""What transformers and PEFT compute with what Nudge has saved, for src/models/peer.test.ts:

    python scripts/golden/models_peer.py < request.json

The request on standard input is `{"model": DIRECTORY, "adapter": DIRECTORY or null, "ids": [[...], ...]}`; the answer on standard
output is `{"logits": [[[...], ...], ...]}` in float32, or `{"scores": [...]}` of a reward model, and `"info"`, what loading said of
missing and unexpected tensors. With `"chats": [[message, ...], ...]` also `"chats"`, their ids by the tokenizer and the template in
the model's directory.
"""

import json
import sys
from typing import Any

import torch
import transformers
from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForSequenceClassification, AutoTokenizer


@torch.no_grad()
def answer(request: dict[str, Any]) -> dict[str, Any]:
    torch.set_num_threads(1)
    transformers.logging.set_verbosity_error()
    directory, adapter = request["model"], request["adapter"]
    is_scorer = AutoConfig.from_pretrained(directory).architectures[0].endswith("ForSequenceClassification")
    if adapter is not None:
        from peft import PeftConfig

        is_scorer = PeftConfig.from_pretrained(adapter).task_type == "SEQ_CLS"
    auto = AutoModelForSequenceClassification if is_scorer else AutoModelForCausalLM
    extra = {"num_labels": 1} if is_scorer else {}
    model, info = auto.from_pretrained(directory, dtype=torch.float32, attn_implementation="eager", output_loading_info=True, **extra)
    if adapter is not None:
        from peft import PeftModel

        model = PeftModel.from_pretrained(model, adapter)
    model.eval()
    rows = [model(input_ids=torch.tensor([ids])).logits[0] for ids in request["ids"]]
    result = {"scores": torch.cat(rows).tolist()} if is_scorer else {"logits": [row.tolist() for row in rows]}
    if "chats" in request:
        tokenizer = AutoTokenizer.from_pretrained(directory)
        asked = {"add_generation_prompt": True, "return_dict": False}
        result["chats"] = [tokenizer.apply_chat_template(chat, **asked) for chat in request["chats"]]
    kept = ("missing_keys", "unexpected_keys", "mismatched_keys")
    return result | {"info": {key: sorted(map(str, info[key])) for key in kept}}


if __name__ == "__main__":
    print(json.dumps(answer(json.load(sys.stdin))))
