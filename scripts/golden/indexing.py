"""What Python's `x[...]` reads and writes, for `x.at(...)` and `x.put(...)` to match:

    python scripts/golden/indexing.py          # writes tests/golden/data/indexing.json

An index is a list: an integer, `{"slice": [start, stop, step]}`, null for None, "..." or a tensor. `out` is what was read, or x after
writing `value`; `{"error": ...}` is what Python said, where it refused.
"""

from pathlib import Path
from typing import Any

import torch

from encoding import encode, encode_result, write

OUT = Path(__file__).resolve().parents[2] / "tests" / "golden" / "data" / "indexing.json"

collected: list[dict[str, Any]] = []


class _Key:
    """`KEY[0, 1:3, None]` is the tuple that an indexed object is given."""

    def __getitem__(self, key: Any) -> tuple[Any, ...]:
        return key if isinstance(key, tuple) else (key,)


KEY = _Key()


def encode_entry(entry: Any) -> Any:
    if entry is Ellipsis:
        return "..."
    if isinstance(entry, slice):
        return {"slice": [entry.start, entry.stop, entry.step]}
    return encode(entry)


def counted(*shape: int, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    """Every element is its own place: a wrong one is told from the right one."""
    return torch.arange(torch.Size(shape).numel()).reshape(shape).to(dtype)


def ids(*values: Any) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.int64)


def mask(*values: Any) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.bool)


def read(x: torch.Tensor, key: tuple[Any, ...]) -> None:
    entry = {"x": encode(x), "index": [encode_entry(part) for part in key]}
    try:
        out: Any = encode_result(x[key])
    except (IndexError, ValueError, RuntimeError) as error:
        out = {"error": str(error)}
    collected.append(entry | {"out": out})


def put(x: torch.Tensor, key: tuple[Any, ...], value: Any) -> None:
    entry = {"x": encode(x), "index": [encode_entry(part) for part in key], "value": encode(value)}
    x = x.clone()
    try:
        x[key] = value
        out: Any = encode_result(x)
    except (IndexError, ValueError, RuntimeError) as error:
        out = {"error": str(error)}
    collected.append(entry | {"out": out})


def basic_reads() -> None:
    x = counted(4, 5)
    for key in (KEY[0], KEY[-1], KEY[3, 4], KEY[-4, -5], KEY[()], KEY[...], KEY[None], KEY[:], KEY[..., None], KEY[None, ..., None]):
        read(x, key)
    for key in (KEY[1:3], KEY[2:], KEY[:2], KEY[-3:-1], KEY[-3:], KEY[:-3], KEY[::2], KEY[1::3], KEY[:, ::2], KEY[:, -4:-1:2], KEY[::2, 1::2]):
        read(x, key)
    for key in (KEY[3:1], KEY[2:99], KEY[-99:2], KEY[99:], KEY[:0], KEY[-1:-3], KEY[:, 5:]):
        read(x, key)
    for key in (KEY[0, 1:3], KEY[1:3, 0], KEY[0, None], KEY[None, 0], KEY[0, None, 1:3], KEY[:, None, :], KEY[..., 0], KEY[0, ...], KEY[1, 2, ...]):
        read(x, key)
    y = counted(2, 3, 4)
    for key in (KEY[..., 1:, None, 0], KEY[0, ..., -1], KEY[1, ...], KEY[..., 1], KEY[:, ..., :], KEY[-1, :, ::3], KEY[None, 1, None, ..., None]):
        read(y, key)
    read(y.transpose(0, 2), KEY[1:3, -1])
    read(counted(4, 5)[:, ::2], KEY[1, 1:])
    read(torch.tensor(7.5), KEY[()])
    read(torch.tensor(7.5), KEY[...])
    read(torch.tensor(7.5), KEY[None, None])
    read(torch.empty(0, 3), KEY[:, 1])
    read(counted(3, dtype=torch.int64), KEY[-2])
    read(counted(3, dtype=torch.bfloat16), KEY[1:])
    read(mask(True, False, True), KEY[::2])


def gathering_reads() -> None:
    x = counted(4, 5)
    y = counted(2, 3, 4)
    z = counted(2, 3, 4, 5)
    for key in (KEY[ids(2, 0, 2)], KEY[ids(-1, -4)], KEY[ids([0, 1], [3, 2])], KEY[ids(1).int()], KEY[ids()], KEY[:, ids(4, 0)], KEY[ids(0, 3), ids(1, 2)]):
        read(x, key)
    for key in (KEY[ids([0], [3]), ids(1, 2)], KEY[..., ids(4, 4)], KEY[None, ids(0, 3)], KEY[ids(0, 3), None], KEY[1:, ids(0, 3)], KEY[ids(3, 1), ::2], KEY[ids(1), -2]):
        read(x, key)
    # Index tensors side by side stay in their place; apart from each other, their dimension comes first.
    for key in (KEY[:, ids(0, 2), ids(3, 1)], KEY[ids(1, 0), :, ids(3, 1)], KEY[ids(1, 0), None, ids(2, 1)], KEY[0, :, ids(3, 1)], KEY[:, 0, ids(3, 1)], KEY[ids(1, 0), 2, ids(0, 3)]):
        read(y, key)
    for key in (KEY[:, ids(0, 2), :, ids(4, 1)], KEY[:, ids(0, 2), ids(3, 1)], KEY[1:, ids(0, 2), 1, ::2], KEY[..., ids(0, 2), ids(4, 0)], KEY[ids(1), ..., ids(0, 4, 2)], KEY[0, ..., ids([1], [2])]):
        read(z, key)
    # A tensor without dimensions is an integer.
    one = torch.tensor(1)
    for key in (KEY[one], KEY[-one], KEY[:, one], KEY[one, :, ids(3, 1)], KEY[ids(1, 0), one, :], KEY[:, one, one], KEY[one, one, one]):
        read(y, key)


def mask_reads() -> None:
    x = counted(4, 5)
    y = counted(2, 3, 4)
    rows = mask(True, False, True, True)
    columns = mask(False, True, False, False, True)
    for key in (KEY[rows], KEY[:, columns], KEY[rows, 0], KEY[rows, 1:3], KEY[1, columns], KEY[None, rows], KEY[..., columns], KEY[rows & False], KEY[rows, ids(0, 2, 4)]):
        read(x, key)
    read(x, KEY[x > 7])
    read(x, KEY[x < 0])
    read(x, KEY[(x > 7).to(torch.uint8)])
    read(x, KEY[None, x > 15])
    read(y, KEY[y % 5 == 0])
    pairs = mask([True, False, True], [False, True, False])
    for key in (KEY[pairs], KEY[pairs, 0], KEY[pairs, 1:3], KEY[pairs, None], KEY[pairs, ids(1, 2, 3)], KEY[pairs, ids(2)], KEY[..., pairs[0], 1]):
        read(y, key)
    read(y, KEY[:, mask([True, False, True, False], [False] * 4, [True] * 4)])
    read(y, KEY[0, mask([True, False, True, False], [False] * 4, [True] * 4)])
    read(y, KEY[mask(True, False), :, mask(True, False, True, False)])
    read(x, KEY[torch.tensor(True)])
    read(x, KEY[torch.tensor(False)])


def refusals() -> None:
    x = counted(4, 5)
    for key in (KEY[4], KEY[-5], KEY[0, 5], KEY[0, 0, 0], KEY[0, 0, 0:1], KEY[ids(4)], KEY[:, ids(0, -6)]):
        read(x, key)
    for key in (KEY[mask(True, False)], KEY[:, mask(True, False, True, True)], KEY[x.t() > 3], KEY[ids(0, 1), ids(0, 1, 2)], KEY[torch.tensor([0.0])]):
        read(x, key)
    read(torch.tensor(1.0), KEY[0])
    read(torch.tensor(1.0), KEY[:])
    put(x, KEY[0], torch.ones(4))
    put(x, KEY[ids(0, 1)], torch.ones(3, 5))
    put(x, KEY[4], 1)
    put(x, KEY[ids(0)], ids(1))
    put(x, KEY[x > 3], torch.ones(2))


def basic_writes() -> None:
    x = counted(4, 5)
    for key in (KEY[0], KEY[-1, -1], KEY[1:3, ::2], KEY[...], KEY[()], KEY[:, None, 1:], KEY[3:1], KEY[..., -2]):
        put(x, key, -1)
    put(x, KEY[0], 0.5)
    put(x, KEY[1], True)
    put(x, KEY[2], float("-inf"))
    put(x, KEY[0], torch.tensor(-2.5))
    put(x, KEY[0], -counted(5))
    put(x, KEY[:, 0], -counted(4))
    put(x, KEY[:, 1:3], -counted(2))
    put(x, KEY[:, 1:3], -counted(4, 1))
    put(x, KEY[1:3], -counted(1, 2, 5))  # leading ones go
    put(x, KEY[0], -counted(1, 1, 5))
    put(x, KEY[0, 0], torch.tensor([[9.0]]))
    put(x, KEY[0], counted(5, dtype=torch.int64))
    put(x, KEY[0], counted(5, dtype=torch.float64))
    put(x, KEY[None, 0], -counted(5))
    put(torch.tensor(1.0), KEY[...], 3)
    put(counted(2, 3, 4).transpose(0, 2), KEY[1, :, 0], -1)
    integers = counted(2, 3, dtype=torch.int64)
    put(integers, KEY[0], -7)
    put(integers, KEY[0, 1], 2.75)
    put(integers, KEY[0], torch.tensor([1.5, -2.5, 3.0]))
    put(integers, KEY[1], 2**53 + 1)
    put(mask(False, False), KEY[1], True)
    put(mask(False, False), KEY[0], 5)
    put(counted(3, dtype=torch.bfloat16), KEY[1:], 0.1)


def scattering_writes() -> None:
    x = counted(4, 5)
    y = counted(2, 3, 4)
    put(x, KEY[ids(2, 0)], -1)
    put(x, KEY[ids(2, 0)], -counted(2, 5))
    put(x, KEY[ids(2, -4)], -counted(5))
    put(x, KEY[ids(2, 0)], -counted(2, 1))
    put(x, KEY[ids(2, 0)], -counted(1, 1, 5))
    put(x, KEY[:, ids(4, 1)], torch.tensor(0.5))
    put(x, KEY[ids(0, 3), ids(1, 2)], -counted(2))
    put(x, KEY[ids([0], [3]), ids(1, 2)], -1)
    put(x, KEY[1:3, ids(0, 4)], -counted(2, 2))
    put(x, KEY[1, ids(0, 4)], -counted(2))
    put(x, KEY[ids(3, 1), ::2], -1)
    put(y, KEY[:, ids(0, 2), ids(3, 1)], -counted(2, 2))
    put(y, KEY[ids(1, 0), :, ids(3, 1)], -counted(2, 3))
    put(y, KEY[0, :, ids(3, 1)], -counted(3, 2))
    put(y, KEY[torch.tensor(1), :, ids(3, 1)], -counted(3, 2))
    put(y, KEY[torch.tensor(1)], -1)
    put(y, KEY[..., ids(3, 1)], -counted(3, 2))
    put(x, KEY[x > 7], 0)
    put(x, KEY[x > 15], -counted(4))
    put(x, KEY[x < 0], 1)
    put(x, KEY[(x > 7).to(torch.uint8)], -1)
    put(x, KEY[mask(True, False, True, True)], -counted(5))
    put(x, KEY[:, mask(False, True, False, False, True)], -counted(4, 2))
    put(x, KEY[1:, mask(False, True, False, False, True)], float("-inf"))
    pairs = mask([True, False, True], [False, True, False])
    put(y, KEY[pairs], -counted(3, 4))
    put(y, KEY[pairs, 0], -counted(3))
    put(y, KEY[pairs, 1:3], 0.25)
    put(counted(4, dtype=torch.int64), KEY[ids(1, 2)], 2.75)
    put(mask(True, True, True), KEY[ids(1)], False)
    put(counted(4, dtype=torch.bfloat16), KEY[ids(1, 2)], 0.1)
    put(x, KEY[torch.tensor(True)], -1)
    put(x, KEY[torch.tensor(False)], -1)


def main() -> None:
    for part in (basic_reads, gathering_reads, mask_reads, refusals, basic_writes, scattering_writes):
        part()
    write(OUT, collected)
    print(f"{len(collected)} cases, {OUT.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
