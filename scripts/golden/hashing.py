"""Numbers that Python and TypeScript compute alike to the last bit, without a generator and without a file.

tests/golden/hashing.ts is the same programme.
"""

import math

import numpy as np
import torch


def hashed(stream: int, count: int) -> np.ndarray:
    """`count` integers of 32 bits (as int64): murmur3's finaliser over a Weyl sequence."""
    mask = np.uint64(0xFFFFFFFF)
    h = (np.arange(1, count + 1, dtype=np.uint64) * np.uint64(0x9E3779B9) + np.uint64(stream) * np.uint64(0x85EBCA6B)) & mask
    h ^= h >> np.uint64(16)
    h = (h * np.uint64(0x85EBCA6B)) & mask
    h ^= h >> np.uint64(13)
    h = (h * np.uint64(0xC2B2AE35)) & mask
    return (h ^ (h >> np.uint64(16))).astype(np.int64)


def uniform(stream: int, *shape: int) -> torch.Tensor:
    """float32 values uniform over [-1/8, 1/8): the top 24 bits of the hash, so that every value is exact."""
    top = hashed(stream, math.prod(shape)) >> 8
    return torch.from_numpy((top.astype(np.float32) / 2**24 - 0.5) / 4).view(shape)
