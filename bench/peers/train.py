"""TRL's side of `nudge bench train`: its trainers as a user starts them, on the same ids in the same order.

A trainer runs in a thread of its own and waits after each step until it may go on. What is set differently from TRL's defaults is
what would make the comparison unfair or the times unsteady: no recomputation of activations, nothing saved, constant rates.
"""

import queue
import tempfile
import threading
import time

import datasets
import peft
import torch
import transformers
import trl
from tokenizers import AddedToken, Tokenizer, models
from torch.utils.data import SequentialSampler
from transformers import (
    LlamaConfig,
    LlamaForCausalLM,
    LlamaForSequenceClassification,
    PreTrainedTokenizerFast,
    TrainerCallback,
)

datasets.disable_progress_bars()
transformers.utils.logging.set_verbosity_error()
PACKAGES = {"TRL": trl.__version__, "transformers": transformers.__version__, "PEFT": peft.__version__}


class Stopped(Exception):
    pass


class Steps(TrainerCallback):
    """Lets a trainer take one step at a time, and takes the time of it."""

    def __init__(self):
        self.turns = queue.Queue()
        self.taken = queue.Queue()
        self.begun = 0.0

    def wait(self):
        if not self.turns.get():
            raise Stopped
        self.begun = time.perf_counter()

    def on_train_begin(self, *_, **__):
        self.taken.put(None)
        self.wait()

    def on_step_end(self, *_, **__):
        self.taken.put(time.perf_counter() - self.begun)
        self.wait()

    def next(self):
        answer = self.taken.get()
        if isinstance(answer, BaseException):
            raise answer
        return answer


class Training:
    """Called with a number of steps it returns their seconds; `factors` bring each step to the average one."""

    def __init__(self, make, factors):
        self.steps = Steps()
        self.factors = iter(factors)
        self.folder = tempfile.TemporaryDirectory(prefix="nudge-bench-trl-")
        threads = torch.get_num_threads()

        def run():
            try:
                torch.set_num_threads(threads)
                make(self.folder.name, [self.steps]).train()
                raise RuntimeError("the trainer has come to its end: ask for fewer rounds")
            except Stopped:
                pass
            except BaseException as error:
                self.steps.taken.put(error)

        self.thread = threading.Thread(target=run, daemon=True)
        self.thread.start()
        self.steps.next()

    def __call__(self, times):
        seconds = 0.0
        for _ in range(times):
            self.steps.turns.put(True)
            seconds += self.steps.next() * next(self.factors)
        return seconds

    def end(self):
        self.steps.turns.put(False)
        self.thread.join()
        self.folder.cleanup()


def common(folder, dtype, batch):
    return dict(
        output_dir=folder,
        per_device_train_batch_size=batch,
        learning_rate=1e-6,
        lr_scheduler_type="constant",
        warmup_steps=0,
        gradient_checkpointing=False,
        bf16=dtype == "bfloat16",
        use_cpu=True,
        dataloader_pin_memory=False,
        save_strategy="no",
        report_to="none",
        disable_tqdm=True,
    )


def lora(rank, task):
    if rank is None:
        return None
    return peft.LoraConfig(r=rank, lora_alpha=2 * rank, lora_dropout=0.0, target_modules="all-linear", task_type=task)


def model_of(kind, config, dtype, pad, eos):
    torch.manual_seed(0)
    settings = LlamaConfig(**config, pad_token_id=pad, eos_token_id=eos, bos_token_id=None, num_labels=1)
    return kind(settings).to(getattr(torch, dtype))


def tokenizer_of(characters, pad, eos):
    tokenizer = Tokenizer(models.BPE(vocab={character: i for i, character in enumerate(characters)}, merges=[]))
    tokenizer.add_special_tokens([AddedToken(characters[i], special=True, normalized=False) for i in (pad, eos)])
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token=characters[pad], eos_token=characters[eos], padding_side="left"
    )


def small_tokenizer(pad, eos):
    """Where the data has ids already, a tokenizer is asked for its special tokens only."""
    return tokenizer_of([chr(0x20000 + i) for i in range(1 + max(pad, eos))], pad, eos)


def in_order(trainer):
    """The rows come in the order in which Nudge takes them."""

    class InOrder(trainer):
        def _get_train_sampler(self, *_):
            return SequentialSampler(self.train_dataset)

    return InOrder


def sft(config, pad, eos, dtype, rank, rows, order, factors):
    def row_of(row):
        prompt, completion = row["prompt"], row["chosen"]
        mask = [0] * len(prompt) + [1] * len(completion)
        return {"input_ids": prompt + completion, "completion_mask": mask}

    data = datasets.Dataset.from_list([row_of(rows[row]) for step in order for row in step])

    def make(folder, callbacks):
        arguments = trl.SFTConfig(
            **common(folder, dtype, len(order[0])), completion_only_loss=True, max_length=config["max_position_embeddings"]
        )
        return in_order(trl.SFTTrainer)(
            model=model_of(LlamaForCausalLM, config, dtype, pad, eos),
            args=arguments,
            train_dataset=data,
            processing_class=small_tokenizer(pad, eos),
            peft_config=lora(rank, "CAUSAL_LM"),
            callbacks=callbacks,
        )

    return Training(make, factors)


def reward(config, pad, eos, dtype, rank, rows, order, factors):
    def row_of(row):
        return {"chosen_ids": row["prompt"] + row["chosen"], "rejected_ids": row["prompt"] + row["rejected"]}

    data = datasets.Dataset.from_list([row_of(rows[row]) for step in order for row in step])

    def make(folder, callbacks):
        arguments = trl.RewardConfig(
            **common(folder, dtype, len(order[0])),
            center_rewards_coefficient=0.01,
            max_length=config["max_position_embeddings"],
        )
        return in_order(trl.RewardTrainer)(
            model=model_of(LlamaForSequenceClassification, config, dtype, pad, eos),
            args=arguments,
            train_dataset=data,
            processing_class=small_tokenizer(pad, eos),
            peft_config=lora(rank, "SEQ_CLS"),
            callbacks=callbacks,
        )

    return Training(make, factors)


def grpo(config, pad, eos, dtype, rank, completions, tokens, steps, prompts, characters):
    # TRL's cheapest: no reference model (beta 0), one pass of learning, and a reward that costs nothing.
    def lengths(completion_ids, **_):
        return [float(sum(ids) % 97) for ids in completion_ids]

    data = datasets.Dataset.from_list([{"prompt": prompts[i % len(prompts)]} for i in range(steps)])

    def make(folder, callbacks):
        arguments = trl.GRPOConfig(
            **common(folder, dtype, completions),
            num_generations=completions,
            max_completion_length=tokens,
            # All are as long as they may be.
            generation_kwargs={"min_new_tokens": tokens},
        )
        return trl.GRPOTrainer(
            model=model_of(LlamaForCausalLM, config, dtype, pad, eos),
            reward_funcs=lengths,
            args=arguments,
            train_dataset=data,
            processing_class=tokenizer_of(list(characters), pad, eos),
            peft_config=lora(rank, "CAUSAL_LM"),
            callbacks=callbacks,
        )

    return Training(make, [1.0] * steps)
