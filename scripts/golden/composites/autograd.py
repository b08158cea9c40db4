"""What the gradient machinery itself must get right: views, writes in place, higher orders, accumulation, gradients of non-leaves."""

import torch
from torch import Tensor

from inputs import bools, c64, f32, f64, ids, unit

from .registry import composite

aten = torch.ops.aten


@composite("x weight", x=lambda: f32(3, 4), weight=lambda: f32(4, 2))
def gradient_penalty(x: Tensor, weight: Tensor) -> Tensor:
    [gradient] = torch.autograd.grad([x.matmul(weight).tanh().sum()], [x], create_graph=True)
    return gradient.pow(2).sum()


@composite("x", x=lambda: f64(5))
def third_derivative(x: Tensor) -> Tensor:
    value = x.pow(4).mul(x.sin())
    for _ in range(3):
        [value] = torch.autograd.grad([value.sum()], [x], create_graph=True)
    return value


@composite("x", x=lambda: f32(4), direction=lambda: f32(4))
def hessian_vector_product(x: Tensor, direction: Tensor) -> Tensor:
    [gradient] = torch.autograd.grad([x.exp().sum().log().mul(x.prod())], [x], create_graph=True)
    [product] = torch.autograd.grad([gradient], [x], [direction], create_graph=True)
    return product


@composite("x weight", x=lambda: f32(3, 2), weight=lambda: f32(2))
def accumulated_over_two_backwards(x: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
    x.matmul(weight).sum().backward()
    first = weight.grad.clone()
    x.matmul(weight).square().sum().backward()
    return first, weight.grad


@composite("x", x=lambda: f32(4))
def backward_twice_through_one_graph(x: Tensor) -> Tensor:
    y = x.sigmoid().prod()
    y.backward(retain_graph=True)
    y.backward()
    return x.grad


@composite("x", x=lambda: f32(2, 3), upstream=lambda: f32(2, 3))
def backward_with_upstream_gradient(x: Tensor, upstream: Tensor) -> Tensor:
    x.tanh().backward(upstream)
    return x.grad


@composite("x weight", x=lambda: f32(3, 4), weight=lambda: f32(4, 4))
def gradient_of_a_non_leaf(x: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
    hidden = x.matmul(weight)
    gradients = torch.autograd.grad([hidden.relu().square().sum()], [hidden, weight])
    return gradients[0], gradients[1]


@composite("x", x=lambda: f32(3, 5))
def in_place_on_views(x: Tensor) -> Tensor:
    y = x.mul(2)
    y.narrow(1, 1, 2).mul_(3)
    y.select(0, 0).add_(1)
    return y.sin_()


@composite("x values", x=lambda: f32(4, 3), values=lambda: f32(2, 3))
def index_put_in_place(x: Tensor, values: Tensor) -> Tensor:
    y = x.clone()
    y.index_put_([ids(2, 0)], values)
    return y.square()


@composite("x values", x=lambda: f32(3, 4), values=lambda: f32(2, 4))
def index_add_and_copy(x: Tensor, values: Tensor) -> Tensor:
    added = x.index_add(0, ids(1, 1), values, alpha=0.5)
    return added.index_copy(1, ids(3), x.sum([1], keepdim=True))


@composite("x source", x=lambda: f32(3, 4), source=lambda: f32(3, 2), index=lambda: ids(0, 3, 1, 2, 3, 0).view(3, 2))
def gather_and_scatter(x: Tensor, source: Tensor, index: Tensor) -> Tensor:
    return x.scatter(1, index, source).scatter_add(1, index, x.gather(1, index).square())


@composite("x y", x=lambda: f32(3, 1), y=lambda: f32(2, 1, 4))
def broadcasting(x: Tensor, y: Tensor) -> Tensor:
    return x.mul(y).add(x.div(y.square().add(1)))


@composite("x", x=lambda: f32(6), condition=lambda: bools(6))
def where_and_detach(x: Tensor, condition: Tensor) -> Tensor:
    return torch.where(condition, x.exp(), x.detach().mul(x))


@composite("x", x=lambda: f32(2, 3, 4))
def shapes(x: Tensor) -> Tensor:
    y = x.permute([2, 0, 1]).reshape([4, 6]).unsqueeze(0).expand([2, 4, 6])
    return torch.stack([y.transpose(1, 2).flatten(1), y.flip([0]).reshape([2, 24]).roll([1], [1])]).squeeze(0)


@composite("x y", x=lambda: f32(2, 6), y=lambda: f32(3, 6))
def joined_and_split(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    left, right = torch.cat([x, y]).split([2, 4], 1)
    return left.square(), right.repeat_interleave(2, 0)


@composite("z", z=lambda: c64(3))
def complex_magnitude(z: Tensor) -> Tensor:
    return z.mul(z).abs().sum()


@composite("x", x=lambda: unit(3, 4))
def reductions(x: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    return x.max(1).values, x.median(0).values, x.prod(), x.norm(2, [0])


@composite("x", x=lambda: f32(4))
def without_a_graph(x: Tensor) -> tuple[Tensor, Tensor]:
    with torch.no_grad():
        frozen = x.mul(2)
    return frozen, x.mul(frozen)
