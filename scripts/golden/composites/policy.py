"""Policy gradients: advantages and the losses that use them."""

import torch
from torch import Tensor

from inputs import bools, f32, unit

from .registry import composite

aten = torch.ops.aten


@composite("log_probs", log_probs=lambda: unit(3, 4).log(), old=lambda: unit(3, 4).log(), advantages=lambda: f32(3, 4))
def clipped_policy_loss(log_probs: Tensor, old: Tensor, advantages: Tensor) -> tuple[Tensor, Tensor]:
    ratio = log_probs.sub(old).exp()
    clipped = ratio.clamp(0.8, 1.2)
    loss = torch.max(advantages.neg().mul(ratio), advantages.neg().mul(clipped))
    return loss.mean(), ratio.ne(clipped).to(torch.float32).mean()


@composite("values", values=lambda: f32(3, 4), old=lambda: f32(3, 4), returns=lambda: f32(3, 4))
def clipped_value_loss(values: Tensor, old: Tensor, returns: Tensor) -> Tensor:
    clipped = old.add(values.sub(old).clamp(-0.2, 0.2))
    return torch.maximum(values.sub(returns).square(), clipped.sub(returns).square()).mean().mul(0.5)


@composite("rewards values", rewards=lambda: f32(2, 5), values=lambda: f32(2, 5))
def generalized_advantages(rewards: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
    reward, value = rewards.unbind(1), values.unbind(1)
    advantage, following, reversed_advantages = torch.zeros([2]), torch.zeros([2]), []
    for t in range(4, -1, -1):
        delta = reward[t].add(following, alpha=0.99).sub(value[t])
        advantage = delta.add(advantage, alpha=0.99 * 0.95)
        following = value[t]
        reversed_advantages.append(advantage)
    advantages = torch.stack(reversed_advantages, 1).flip([1])
    return advantages, advantages.add(values)


@composite("rewards", rewards=lambda: f32(2, 6))
def discounted_returns(rewards: Tensor) -> Tensor:
    powers = torch.pow(0.9, torch.arange(6, dtype=torch.float32))
    return rewards.mul(powers).flip([1]).cumsum(1).flip([1]).div(powers)


@composite("log_probs", log_probs=lambda: unit(4, 5).log(), rewards=lambda: f32(4), mask=lambda: bools(4, 5))
def group_relative_loss(log_probs: Tensor, rewards: Tensor, mask: Tensor) -> Tensor:
    advantages = rewards.sub(rewards.mean()).div(rewards.std(correction=1).add(1e-4))
    per_token = log_probs.sub(log_probs.detach()).exp().mul(advantages.unsqueeze(1)).neg()
    weights = mask.to(torch.float32)
    return per_token.mul(weights).sum([1]).div(weights.sum([1]).clamp(min=1)).mean()


@composite("log_probs", log_probs=lambda: unit(4).log(), rewards=lambda: f32(4))
def leave_one_out(log_probs: Tensor, rewards: Tensor) -> tuple[Tensor, Tensor]:
    baseline = rewards.sum().sub(rewards).div(3)
    advantages = rewards.sub(baseline)
    return advantages.mul(log_probs).mean().neg(), advantages


@composite("logits", logits=lambda: f32(4), reference=lambda: f32(4), rewards=lambda: f32(4))
def regularised_bandit(logits: Tensor, reference: Tensor, rewards: Tensor) -> Tensor:
    log_probs = logits.log_softmax(0)
    kl = log_probs.exp().dot(log_probs.sub(reference.log_softmax(0)))
    return log_probs.exp().dot(rewards).sub(kl, alpha=0.3)
