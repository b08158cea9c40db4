"""Losses as TRL and PyTorch compute them, with gradients: pairs (DPO's family), KTO, and PPO over padded batches.

    pip install torch==2.13.0 && pip install --no-deps trl==0.15.2
    python scripts/golden/losses.py

TRL's methods are taken from its source by name and run as they stand, without importing TRL: that version (the last with PPO and
all pair losses in one trainer) does not load beside a current transformers.
"""

import ast
import importlib.util
import json
import math
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Optional

import torch
import torch.nn.functional as F
from torch import Tensor

OUT = Path(__file__).resolve().parents[2] / "tests" / "golden" / "data" / "losses.json"
PAIRS = 6

Json = dict[str, Any]


def trl_function(file: str, name: str, *helpers: str) -> Callable[..., Any]:
    """A function or method of TRL, compiled from its source together with the helpers that it calls."""
    spec = importlib.util.find_spec("trl")
    assert spec is not None and spec.submodule_search_locations, "pip install --no-deps trl==0.15.2"
    source = (Path(spec.submodule_search_locations[0]) / file).read_text()
    wanted = {name, *helpers}
    found = [n for n in ast.walk(ast.parse(source)) if isinstance(n, ast.FunctionDef) and n.name in wanted]
    assert len(found) == len(wanted), f"{wanted} in {file}"
    for function in found:
        function.decorator_list = []
    unused = SimpleNamespace(value="not used")
    scope: Json = {
        "torch": torch,
        "F": F,
        "Optional": Optional,
        "FDivergenceType": SimpleNamespace(ALPHA_DIVERGENCE=unused, JS_DIVERGENCE=unused),
    }
    exec(compile(ast.fix_missing_locations(ast.Module(body=list(found), type_ignores=[])), file, "exec"), scope)
    return scope[name]


def numbers(x: Tensor) -> list[Any]:
    return x.detach().tolist()


def draw(generator: torch.Generator, *shape: int, low: float = -1.0, high: float = 1.0) -> Tensor:
    return torch.rand(*shape, generator=generator, dtype=torch.float64) * (high - low) + low


ACCELERATOR = SimpleNamespace(device="cpu", gather_for_metrics=lambda x: x)


def with_gradients(losses: Tensor, leaves: list[Tensor]) -> list[list[Any]]:
    return [numbers(gradient) for gradient in torch.autograd.grad(losses.sum(), leaves, retain_graph=True)]


def direct() -> Json:
    generator = torch.Generator().manual_seed(1)
    chosen_lengths = torch.tensor([10.0, 3, 7, 1, 25, 8], dtype=torch.float64)
    rejected_lengths = torch.tensor([8.0, 5, 7, 2, 11, 30], dtype=torch.float64)
    chosen = (draw(generator, PAIRS, low=-2.5, high=-0.2) * chosen_lengths).requires_grad_()
    rejected = (draw(generator, PAIRS, low=-2.5, high=-0.2) * rejected_lengths).requires_grad_()
    ref_chosen = chosen.detach() + draw(generator, PAIRS, low=-3, high=3)
    ref_rejected = rejected.detach() + draw(generator, PAIRS, low=-3, high=3)
    dpo_loss = trl_function("trainer/dpo_trainer.py", "dpo_loss")
    cases: list[Json] = []

    def case(method: str, options: Json, losses: Tensor) -> None:
        gradients = with_gradients(losses, [chosen, rejected])
        cases.append({"method": method, "options": options, "losses": numbers(losses), "gradients": gradients})

    def pair_loss(method: str, loss_type: str, options: Json, by_length: bool = False, **settings: float) -> None:
        delta = settings.pop("delta", 0.0)
        trainer = SimpleNamespace(
            accelerator=ACCELERATOR,
            reference_free=False,
            f_divergence_type="reverse_kl",
            loss_type=loss_type,
            beta=options.get("beta", 0.1),
            label_smoothing=options.get("labelSmoothing", 0.0),
            args=SimpleNamespace(discopop_tau=options.get("discopopTau", 0.05)),
            running=SimpleNamespace(update=lambda rewards: None, mean=delta),
        )
        sums = [chosen, rejected, ref_chosen, ref_rejected]
        if by_length:
            lengths = [chosen_lengths, rejected_lengths] * 2
            sums = [x / length for x, length in zip(sums, lengths, strict=True)]
        losses, _, _ = dpo_loss(trainer, *sums)
        case(method, options, losses)

    for beta in (0.1, 0.5):
        options = {"beta": beta}
        for method, loss_type in (
            ("dpo", "sigmoid"),
            ("ipo", "ipo"),
            ("hinge", "hinge"),
            ("nca", "nca_pair"),
            ("sppo", "sppo_hard"),
            ("apoZero", "apo_zero"),
            ("apoDown", "apo_down"),
        ):
            pair_loss(method, loss_type, options)
        pair_loss("ipoMean", "ipo", options, by_length=True)
        pair_loss("lengthNormalisedDpo", "sigmoid", options, by_length=True)
        pair_loss("discopop", "discopop", {**options, "discopopTau": 0.05})
        pair_loss("bco", "bco_pair", {**options, "bcoDelta": 0.3}, delta=0.3)
        for epsilon in (0.05, 0.2):
            smoothed = {**options, "labelSmoothing": epsilon}
            pair_loss("cdpo", "sigmoid", smoothed)
            pair_loss("robustDpo", "robust", smoothed)
            pair_loss("exo", "exo_pair", smoothed)

    cpo_loss = trl_function("trainer/cpo_trainer.py", "cpo_loss")
    odds_ratio_loss = trl_function("trainer/orpo_trainer.py", "odds_ratio_loss")
    means = [chosen / chosen_lengths, rejected / rejected_lengths]
    simpo = SimpleNamespace(accelerator=ACCELERATOR, beta=2.0, loss_type="simpo", simpo_gamma=1.0, label_smoothing=0.0)
    case("simpo", {"beta": 2.0, "simpoGamma": 1.0}, cpo_loss(simpo, *means)[0])
    cpo = SimpleNamespace(accelerator=ACCELERATOR, beta=0.1, loss_type="sigmoid", label_smoothing=0.0)
    case("cpo", {"beta": 0.1, "cpoAlpha": 0.7}, cpo_loss(cpo, chosen, rejected)[0] - 0.7 * means[0])
    # TRL subtracts what odds_ratio_loss returns from the mean cross-entropy of the chosen.
    orpo = SimpleNamespace(accelerator=ACCELERATOR, beta=0.25)
    case("orpo", {"orpoLambda": 0.25}, -means[0] - odds_ratio_loss(orpo, *means)[0])
    return {
        "chosen": numbers(chosen),
        "rejected": numbers(rejected),
        "refChosen": numbers(ref_chosen),
        "refRejected": numbers(ref_rejected),
        "chosenLengths": numbers(chosen_lengths),
        "rejectedLengths": numbers(rejected_lengths),
        "cases": cases,
    }


def kto() -> Json:
    generator = torch.Generator().manual_seed(2)
    kto_loss = trl_function("trainer/kto_trainer.py", "kto_loss")
    ratios = draw(generator, 5, low=-4, high=4).requires_grad_()
    mismatched = draw(generator, 5, low=-1, high=2)
    zeros = torch.zeros_like(mismatched)
    trainer = SimpleNamespace(
        accelerator=ACCELERATOR,
        calculate_KL=True,
        loss_type="kto",
        beta=0.2,
        desirable_weight=1.0,
        undesirable_weight=1.3,
    )
    losses, _, _, kl = kto_loss(trainer, ratios[:3], ratios[3:], mismatched, zeros[:3], zeros[3:], zeros)
    return {
        "ratios": numbers(ratios),
        "desirable": [True, True, True, False, False],
        "mismatched": numbers(mismatched),
        "options": {"beta": 0.2, "undesirableWeight": 1.3},
        "baseline": kl.item(),
        "losses": numbers(losses),
        "gradient": with_gradients(losses, [ratios])[0],
    }


def ppo() -> Json:
    """TRL's lines of PPOTrainer.train over a padded batch, mask and all: what flat tokens must equal."""
    generator = torch.Generator().manual_seed(3)
    lengths = [4, 1, 6, 3]
    batch, time = len(lengths), max(lengths)
    mask = torch.arange(time)[None, :] < torch.tensor(lengths)[:, None]
    old = draw(generator, batch, time, low=-3, high=-0.1)
    new = (old + draw(generator, batch, time, low=-0.5, high=0.5)).requires_grad_()
    ref = old + draw(generator, batch, time, low=-0.5, high=0.5)
    old_values = draw(generator, batch, time)
    values = (old_values + draw(generator, batch, time, low=-0.4, high=0.4)).requires_grad_()
    scores = draw(generator, batch, low=-2, high=2)
    kl_coef, gamma, lam, cliprange, cliprange_value = 0.05, 0.97, 0.9, 0.2, 0.15

    # Where TRL differs from us, the difference is left out: values are 0 on padding, the score is on the last token.
    padded_values = old_values * mask
    rewards = -kl_coef * (old - ref) * mask
    rewards[torch.arange(batch), torch.tensor(lengths) - 1] += scores
    last, reversed_advantages = torch.zeros(batch, dtype=torch.float64), []
    for t in reversed(range(time)):
        following = padded_values[:, t + 1] if t < time - 1 else 0.0
        delta = rewards[:, t] + gamma * following - padded_values[:, t]
        last = delta + gamma * lam * last
        reversed_advantages.append(last)
    advantages = torch.stack(reversed_advantages[::-1], dim=1)
    returns = advantages + padded_values
    whitened = trl_function("core.py", "masked_whiten", "masked_mean", "masked_var")(advantages, mask)

    clipped_values = torch.clamp(values, old_values - cliprange_value, old_values + cliprange_value)
    value_losses, value_losses2 = torch.square(values - returns), torch.square(clipped_values - returns)
    value_loss = 0.5 * torch.max(value_losses, value_losses2)[mask].mean()
    ratio = torch.exp(new - old)
    policy_losses = -whitened * ratio
    policy_losses2 = -whitened * torch.clamp(ratio, 1.0 - cliprange, 1.0 + cliprange)
    policy_loss = torch.max(policy_losses, policy_losses2)[mask].mean()
    (policy_gradient,) = torch.autograd.grad(policy_loss, [new])
    (value_gradient,) = torch.autograd.grad(value_loss, [values])
    flat = {name: numbers(x[mask]) for name, x in {
        "oldLogProbs": old, "logProbs": new, "refLogProbs": ref, "oldValues": old_values, "values": values,
        "rewards": rewards, "advantages": advantages, "returns": returns, "whitened": whitened,
        "policyGradient": policy_gradient, "valueGradient": value_gradient,
    }.items()}  # fmt: skip
    return {
        **flat,
        "lengths": lengths,
        "scores": numbers(scores),
        "klCoef": kl_coef,
        "gamma": gamma,
        "lam": lam,
        "cliprange": cliprange,
        "cliprangeValue": cliprange_value,
        "policyLoss": policy_loss.item(),
        "valueLoss": value_loss.item(),
        "policyClipFraction": (policy_losses2 > policy_losses)[mask].double().mean().item(),
        "valueClipFraction": (value_losses2 > value_losses)[mask].double().mean().item(),
    }


def main() -> None:
    cases = {"direct": direct(), "kto": kto(), "ppo": ppo()}
    assert math.isfinite(cases["ppo"]["policyLoss"])
    OUT.write_text(json.dumps(cases, separators=(",", ":")) + "\n")
    print(f"{OUT.stat().st_size:,} bytes in {OUT.name}")


if __name__ == "__main__":
    main()
