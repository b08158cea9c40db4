"""PyTorch's side of `nudge bench ops`: the same work as in bench/ops/*.ts, as a user of PyTorch writes it."""

from itertools import repeat

import numpy
import torch
from torch.nn import functional as F


def add(size):
    a, b = torch.ones(size), torch.ones(size)

    def work(times):
        for _ in repeat(None, times):
            a + b

    return work


def multiply_by_number(size):
    a = torch.ones(size)

    def work(times):
        for _ in repeat(None, times):
            a * 2

    return work


def sum_last(size):
    a = torch.ones(size)

    def work(times):
        for _ in repeat(None, times):
            a.sum(-1, keepdim=True)

    return work


def split_heads(size, heads):
    a = torch.ones(size)
    rows, width = size
    shape = [rows, heads, width // heads]

    def work(times):
        for _ in repeat(None, times):
            a.reshape(shape).transpose(0, 1)

    return work


def concatenate(size, count):
    tensors = [torch.ones(size) for _ in range(count)]

    def work(times):
        for _ in repeat(None, times):
            torch.cat(tensors)

    return work


def mlp(batch, width):
    first, second = torch.nn.Linear(width, width), torch.nn.Linear(width, width)
    parameters = [*first.parameters(), *second.parameters()]
    x, y = torch.randn(batch, width), torch.randn(batch, width)

    def work(times):
        for _ in repeat(None, times):
            F.mse_loss(second(first(x).relu()), y).backward()
            for parameter in parameters:
                parameter.grad = None

    return work


def matmul(m, k, n, dtype):
    a, b = torch.randn(m, k).to(getattr(torch, dtype)), torch.randn(k, n).to(getattr(torch, dtype))

    def work(times):
        for _ in repeat(None, times):
            a.matmul(b)

    return work


def linear(m, k, n, dtype):
    x, weight = torch.randn(m, k).to(getattr(torch, dtype)), torch.randn(n, k).to(getattr(torch, dtype))

    def work(times):
        for _ in repeat(None, times):
            F.linear(x, weight)

    return work


def adamw(tensors, elements):
    parameters = [torch.nn.Parameter(torch.randn(elements)) for _ in range(tensors)]
    for parameter in parameters:
        parameter.grad = torch.randn(elements)
    optimizer = torch.optim.AdamW(parameters, fused=True)

    def work(times):
        for _ in repeat(None, times):
            optimizer.step()

    return work


def add_number(elements):
    a = torch.ones(elements)

    def work(times):
        for _ in repeat(None, times):
            a + 1

    return work


def create(size):
    def work(times):
        for _ in repeat(None, times):
            torch.empty(size)

    return work


def data_in(elements):
    array = numpy.ones(elements, dtype=numpy.float32)

    def work(times):
        for _ in repeat(None, times):
            torch.from_numpy(array).clone()

    return work


def data_out(elements):
    tensor = torch.ones(elements)

    def work(times):
        for _ in repeat(None, times):
            tensor.numpy().copy()

    return work
