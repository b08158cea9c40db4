"""Losses on logits and on pairs, and the statistics of masked batches."""

import math

import torch
from torch import Tensor

from inputs import bools, f32, ids, ints, unit

from .registry import composite

aten = torch.ops.aten


@composite("logits", logits=lambda: f32(6, 5), targets=lambda: ids(1, -100, 4, 0, -100, 2))
def cross_entropy_with_ignored(logits: Tensor, targets: Tensor) -> Tensor:
    return aten.cross_entropy_loss(logits, targets, ignore_index=-100)


@composite("hidden head", hidden=lambda: f32(6, 4), head=lambda: f32(7, 4), targets=lambda: ints(0, 7, 6))
def chunked_cross_entropy(hidden: Tensor, head: Tensor, targets: Tensor) -> Tensor:
    total = torch.zeros([])
    for start in range(0, 6, 2):
        logits = aten.linear(hidden.narrow(0, start, 2), head)
        chosen = logits.gather(-1, targets.narrow(0, start, 2).unsqueeze(-1)).squeeze(-1)
        total = total.add(logits.logsumexp([-1]).sub(chosen).sum())
    return total.div(6)


@composite("logits", logits=lambda: f32(2, 4, 6), tokens=lambda: ints(0, 6, 2, 4))
def log_probs_of_tokens(logits: Tensor, tokens: Tensor) -> Tensor:
    shifted = logits.narrow(1, 0, 3).log_softmax(-1)
    return shifted.gather(-1, tokens.narrow(1, 1, 3).unsqueeze(-1)).squeeze(-1)


@composite("log_probs", log_probs=lambda: unit(2, 5).log(), reference=lambda: unit(2, 5).log())
def kl_k1(log_probs: Tensor, reference: Tensor) -> Tensor:
    return log_probs.sub(reference)


@composite("log_probs", log_probs=lambda: unit(2, 5).log(), reference=lambda: unit(2, 5).log())
def kl_k2(log_probs: Tensor, reference: Tensor) -> Tensor:
    return reference.sub(log_probs).pow(2).mul(0.5)


@composite("log_probs", log_probs=lambda: unit(2, 5).log(), reference=lambda: unit(2, 5).log())
def kl_k3(log_probs: Tensor, reference: Tensor) -> Tensor:
    log_ratio = reference.sub(log_probs)
    return log_ratio.expm1().sub(log_ratio)


@composite("logits", logits=lambda: f32(3, 6), reference=lambda: f32(3, 6))
def exact_kl(logits: Tensor, reference: Tensor) -> Tensor:
    log_probs, log_reference = logits.log_softmax(-1), reference.log_softmax(-1)
    return log_probs.exp().mul(log_probs.sub(log_reference)).sum([-1])


@composite("logits", logits=lambda: f32(3, 6))
def entropy(logits: Tensor) -> Tensor:
    probs = logits.softmax(-1)
    return logits.logsumexp([-1]).sub(probs.mul(logits).sum([-1]))


@composite("chosen rejected", chosen=lambda: f32(5), rejected=lambda: f32(5), margin=lambda: unit(5))
def bradley_terry(chosen: Tensor, rejected: Tensor, margin: Tensor) -> Tensor:
    centring = chosen.add(rejected).pow(2).mean().mul(0.01)
    return aten.log_sigmoid(chosen.sub(rejected).sub(margin)).mean().neg().add(centring)


@composite("scores", scores=lambda: f32(2, 5))
def plackett_luce(scores: Tensor) -> Tensor:
    # best first: each place is a choice among those not yet placed
    remaining = scores.flip([-1]).logcumsumexp(-1).flip([-1])
    return remaining.sub(scores).sum([-1])


@composite("chosen rejected", chosen=lambda: f32(4), rejected=lambda: f32(4), reference_chosen=lambda: f32(4), reference_rejected=lambda: f32(4))
def direct_preference(chosen: Tensor, rejected: Tensor, reference_chosen: Tensor, reference_rejected: Tensor) -> tuple[Tensor, Tensor]:
    logits = chosen.sub(reference_chosen).sub(rejected.sub(reference_rejected)).mul(0.1)
    smoothed = aten.log_sigmoid(logits).mul(0.9).add(aten.log_sigmoid(logits.neg()).mul(0.1)).neg()
    return smoothed.mean(), logits.detach()


@composite("chosen rejected", chosen=lambda: unit(4).log(), rejected=lambda: unit(4).log())
def odds_ratio(chosen: Tensor, rejected: Tensor) -> Tensor:
    odds = chosen.sub(rejected).sub(chosen.exp().neg().log1p().sub(rejected.exp().neg().log1p()))
    return aten.log_sigmoid(odds).mul(-0.1).sub(chosen).mean()


@composite("log_ratios", log_ratios=lambda: f32(6), desirable=lambda: bools(6), mismatched=lambda: f32(6))
def kahneman_tversky(log_ratios: Tensor, desirable: Tensor, mismatched: Tensor) -> Tensor:
    point = mismatched.mean().clamp(min=0).detach()
    gain = torch.sigmoid(log_ratios.sub(point).mul(0.5))
    loss = torch.sigmoid(torch.sub(point, log_ratios).mul(0.5))
    return torch.where(desirable, gain, loss).neg().add(1).mean()


@composite("values", values=lambda: f32(3, 5), mask=lambda: ids(1, 1, 1, 0, 0, 1, 0, 0, 0, 0, 1, 1, 1, 1, 1).view(3, 5))
def masked_mean(values: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
    weights = mask.to(values.dtype)
    per_sequence = values.mul(weights).sum([1]).div(weights.sum([1]).clamp(min=1))
    return per_sequence, values.mul(weights).sum().div(weights.sum())


@composite("values", values=lambda: f32(3, 5), mask=lambda: bools(3, 5))
def masked_whitening(values: Tensor, mask: Tensor) -> Tensor:
    kept = values.masked_select(mask)
    centred = values.sub(kept.mean()).div(kept.std(correction=1).add(1e-8))
    return torch.where(mask, centred, 0)


@composite("logits", logits=lambda: f32(2, 8).mul(2))
def top_p_probabilities(logits: Tensor) -> Tensor:
    ordered, order = logits.softmax(-1).sort(descending=True)
    beyond = ordered.cumsum(-1).sub(ordered).gt(0.8)
    kept = ordered.masked_fill(beyond, 0)
    return torch.zeros_like(logits).scatter(-1, order, kept.div(kept.sum([-1], keepdim=True)))


@composite("x", x=lambda: f32(4, 6))
def top_k_log_probabilities(x: Tensor) -> tuple[Tensor, Tensor]:
    best, where = x.topk(3)
    masked = torch.full_like(x, -math.inf).scatter(-1, where, best)
    return masked.softmax(-1), best.log_softmax(-1)
