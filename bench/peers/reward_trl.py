"""TRL's RewardTrainer on what scripts/experiments/reward-hh.ts has prepared: same weights, same adapter, same rows in the same
order, same settings.

    python bench/peers/reward_trl.py OUT [--micro 8]

Prints one JSON object like the script's.
"""

import argparse
import json
import os
import pathlib
import resource
import sys
import time

parser = argparse.ArgumentParser()
parser.add_argument("out", type=pathlib.Path)
parser.add_argument("--micro", type=int, default=8, help="pairs computed at once")
arguments = parser.parse_args()
settings = json.loads((arguments.out / "settings.json").read_text())
os.environ.setdefault("OMP_NUM_THREADS", str(settings["threads"]))

import torch  # noqa: E402
import transformers  # noqa: E402
import trl  # noqa: E402
from datasets import Dataset  # noqa: E402
from peft import PeftModel  # noqa: E402
from torch.utils.data import SequentialSampler  # noqa: E402
from transformers import AutoModelForSequenceClassification, AutoTokenizer  # noqa: E402

torch.set_num_threads(settings["threads"])
base = AutoModelForSequenceClassification.from_pretrained(
    arguments.out / "base", num_labels=1, dtype=torch.float32
)
base.config.pad_token_id = settings["padId"]
tokenizer = AutoTokenizer.from_pretrained(arguments.out / "base")
tokenizer.pad_token_id = settings["padId"]
model = PeftModel.from_pretrained(base, str(arguments.out / "fresh"), is_trainable=True)


def rows(name):
    lines = (arguments.out / name).read_text().splitlines()
    return Dataset.from_list([json.loads(line) for line in lines])


class InOrder(trl.RewardTrainer):
    """Nudge has shuffled the rows already."""

    def _get_train_sampler(self, *_):
        return SequentialSampler(self.train_dataset)


batch = settings["batchSize"]
micro = min(arguments.micro, batch)
trainer = InOrder(
    model=model,
    args=trl.RewardConfig(
        output_dir=str(arguments.out / "trl"),
        per_device_train_batch_size=micro,
        per_device_eval_batch_size=micro,
        gradient_accumulation_steps=batch // micro,
        num_train_epochs=1,
        learning_rate=settings["learningRate"],
        lr_scheduler_type=settings["lrSchedulerType"],
        warmup_steps=0,
        weight_decay=settings["weightDecay"],
        adam_beta1=settings["adamBeta1"],
        adam_beta2=settings["adamBeta2"],
        adam_epsilon=settings["adamEpsilon"],
        max_grad_norm=settings["maxGradNorm"],
        center_rewards_coefficient=settings["centerRewardsCoefficient"] or None,
        max_length=None,
        bf16=False,
        gradient_checkpointing=False,
        logging_steps=1,
        save_strategy="no",
        eval_strategy="no",
        report_to="none",
        use_cpu=True,
        disable_tqdm=True,
        seed=settings["seed"],
        dataset_num_proc=None,
    ),
    train_dataset=rows("train.jsonl"),
    eval_dataset=rows("eval.jsonl"),
    processing_class=tokenizer,
)
begun, cpu_begun = time.perf_counter(), time.process_time()
trained = trainer.train()
train_seconds, cpu_seconds = time.perf_counter() - begun, time.process_time() - cpu_begun
evaluated = trainer.evaluate()
losses = [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]
print(
    json.dumps(
        {
            "side": "trl",
            "versions": {"trl": trl.__version__, "transformers": transformers.__version__, "torch": torch.__version__},
            "pairs": settings["rowsPerEpoch"],
            "heldOut": len(trainer.eval_dataset),
            "steps": trainer.state.global_step,
            "losses": losses,
            "evalLoss": evaluated["eval_loss"],
            "accuracy": {"value": evaluated["eval_accuracy"]},
            "margin": evaluated["eval_margin"],
            "seconds": time.perf_counter() - begun,
            "secondsPerStep": train_seconds / trainer.state.global_step,
            "cpuSecondsPerStep": cpu_seconds / trainer.state.global_step,
            "peakRssMiB": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        }
    ),
    file=sys.stdout,
)
