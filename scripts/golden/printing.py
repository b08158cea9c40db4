"""How PyTorch prints tensors, for `src/tensor/print.ts` to match character by character:

    python scripts/golden/printing.py          # writes tests/golden/data/printing.json

Each case holds a tensor (see encoding.py) and its `repr`. Big tensors are expansions, of which only the memory is stored.
"""

from pathlib import Path
from typing import Any

import torch

from encoding import encode_tensor, write

OUT = Path(__file__).resolve().parents[2] / "tests" / "golden" / "data" / "printing.json"
INF, NAN = float("inf"), float("nan")
FLOATS = (torch.float32, torch.float64, torch.float16, torch.bfloat16)
FLOATS_8 = (torch.float8_e5m2, torch.float8_e4m3fn, torch.float8_e5m2fnuz, torch.float8_e4m3fnuz)
INTEGERS = (torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64, torch.uint16, torch.uint32, torch.uint64)

collected: list[dict[str, Any]] = []


def case(name: str, tensor: torch.Tensor) -> None:
    entry: dict[str, Any] = {"name": name, "tensor": encode_tensor(tensor)}
    if tensor.requires_grad:
        entry["requiresGrad"] = True
    entry["repr"] = repr(tensor)
    collected.append(entry)


def t(data: Any, dtype: torch.dtype | None = None) -> torch.Tensor:
    return torch.tensor(data, dtype=dtype)


def normal(*shape: int, scale: float = 1.0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(sum(shape))) * scale


def number_formats() -> None:
    case("integral floats", t([[1.0, 2.0], [3.0, 4.0]]))
    case("fractions", t([0.5, -1.25, 3.14159]))
    case("signs widen the column", t([[-1.0, 10.0], [100.0, -1000.0]]))
    case("ties to even at the fourth decimal", t([0.03125, 0.09375, -0.03125, -0.09375, 0.15625, 1.21875]))
    case("ties to even with an exponent", t([100005.0, 100015.0, -300025.0, 1.00005e9, 1.00015e9, 0.00390625], torch.float64))
    case("near ties with an exponent", t([100005.00000000001, 100014.99999999999, 1.00005, 1.00015, 1e-9], torch.float64))
    case("rounding carries", t([0.99999, 9.99996, 99.99999]))
    case("rounding carries into the exponent", t([9.99996e9, 1.5]))
    case("negative zero", t([0.0, -0.0, 1.0]))
    case("negative zero among fractions", t([-0.0, 0.5, -0.00004]))
    case("negative zero with an exponent", t([-0.0, 0.0, 1e-9]))
    case("only zeros", torch.zeros(3))
    case("not finite only", t([NAN, INF, -INF]))
    case("not finite among integers", t([1.0, -INF, NAN, 1000.0]))
    case("not finite among fractions", t([1.5, INF, NAN]))
    case("not finite with an exponent", t([1e-9, INF, -INF, NAN, 0.0, 1.0]))
    case("exponent: wide range", t([1.0, 1001.5]))
    case("no exponent: a range of exactly 1000", t([1.0, 1000.0]))
    case("exponent: integers of a wide range", t([1.0, 1001.0]))
    case("exponent: large", t([1.1e8, 2e8]))
    case("no exponent: exactly 1e8", t([1e8, 99999999.0], torch.float64))
    case("exponent: small", t([9.9e-5, 2e-4]))
    case("exponent of three digits", t([1e-300, 1e300], torch.float64))
    case("subnormal", t([1e-45]))
    case("largest", t([3.4028234663852886e38]))


def dtypes() -> None:
    for dtype in FLOATS:
        case(f"{dtype}", t([[0.1, -2.5], [30.0, 0.0]], dtype))
        case(f"{dtype} integral", t([1, 2, 300], dtype))
    case("float16 extremes", t([65504.0, 6e-8, -INF, NAN], torch.float16))
    case("bfloat16 extremes", t([3.38e38, 1e-40, -INF, NAN], torch.bfloat16))
    for dtype in FLOATS_8:
        case(f"{dtype} every pattern", torch.arange(256).to(torch.uint8).view(dtype))
    case("float8_e8m0fnu", torch.arange(100, 156, 5).to(torch.uint8).view(torch.float8_e8m0fnu))
    for dtype in INTEGERS:
        limits = torch.iinfo(dtype)
        case(f"{dtype} limits", t([limits.min, limits.max, 7], dtype))
    case("int64 negative columns", t([[-1, 20], [300, -4000]]))
    case("bool", t([[True, False], [False, False]]))
    case("bool, all true", t([True, True]))
    case("complex64", t([1 + 2j, -3.5 - 0.25j, 0j]))
    case("complex64 integral", t([[1 + 2j, 10 - 3j], [0 - 100j, -4 + 0j]]))
    case("complex64 special", t([complex(NAN, INF), complex(-0.0, -0.0), complex(1, -INF)]))
    case("complex64 exponents", t([1e-6 + 1j, 1 + 1e10j]))
    case("complex128", t([1.5 + 2j], torch.complex128))
    case("complex32", t([1.5 + 2j, 3 - 4j]).to(torch.complex32))
    case("complex64 wraps", torch.complex(normal(12), normal(12, scale=100)))


def shapes() -> None:
    case("0-d float", t(3.0))
    case("0-d fraction", t(-0.12345))
    case("0-d int", t(-7))
    case("0-d bool", t(True))
    case("0-d complex", t(1 - 2j))
    case("0-d bfloat16", t(0.1, torch.bfloat16))
    case("empty", torch.empty(0))
    case("empty matrix", torch.empty(0, 3))
    case("empty int64", torch.empty(2, 0, dtype=torch.int64))
    case("empty bool vector", torch.empty(0, dtype=torch.bool))
    case("one element, three dimensions", torch.ones(1, 1, 1))
    case("three dimensions", torch.arange(12.0).view(2, 3, 2))
    case("four dimensions", torch.arange(16).view(2, 2, 2, 2))
    case("five dimensions", torch.arange(8, dtype=torch.int32).view(1, 2, 1, 2, 2))
    case("a vector wraps", normal(25))
    case("integers wrap", torch.arange(95, 130))
    case("rows wrap", normal(2, 13, scale=50))
    case("wide elements wrap", t([1e-300 * (i + 1) for i in range(8)], torch.float64))
    case("elements wider than the line", t([[[2**63 - 1, -(2**63)] * 2]]))
    case("transposed", torch.arange(6.0).view(2, 3).t())
    case("every other column", torch.arange(12).view(3, 4)[:, ::2])
    case("expanded", t([1.5]).expand(2, 3))
    case("a column", torch.arange(4.0).view(4, 1))


def summaries() -> None:
    case("1000 elements, in full", t([1, -2], torch.int8).repeat(500))
    case("1001 elements", (torch.arange(1001) % 100).to(torch.int8))
    case("a long vector of floats", t([0.25]).expand(5000))
    case("a summary sees the edges only", torch.cat([torch.ones(3), torch.full((1200,), 1e9), torch.full((3,), 2.0)]).half())
    case("many rows", normal(3, scale=10).expand(400, 3))
    case("many columns", normal(3, 1).expand(3, 400))
    case("six rows are shown, seven are not", t([[1], [2], [3], [4], [5], [6]]).expand(6, 200))
    case("rows and columns", torch.arange(40).view(40, 1).expand(40, 30).to(torch.uint8))
    case("three dimensions, summarised", (torch.arange(2000) % 7).to(torch.int8).view(10, 20, 10))
    case("four dimensions, summarised", normal(7).expand(7, 2, 9, 7))
    case("no dimension is long enough to cut", t(7, torch.int8).expand(6, 6, 6, 5))
    case("a thousand million elements", t([[1.0], [-0.5]]).expand(2, 1000).unsqueeze(0).expand(500_000, 2, 1000))
    case("summarised line wraps", t([-1.2345678e-120], torch.float64).expand(1001))
    case("summarised complex", t([1.25 - 3j]).expand(1001))
    case("summarised bool", t([True, False]).view(2, 1).expand(2, 600))
    case("summarised transpose", torch.arange(1200, dtype=torch.int16).view(30, 40).t())
    case("summarised bfloat16", t([[0.1], [7.0]], torch.bfloat16).expand(2, 501))


def suffixes() -> None:
    case("requires grad", t([1.0, 2.0]).requires_grad_())
    case("requires grad, 0-d", t(1.0).requires_grad_())
    case("dtype and requires grad", t([1.5], torch.float64).requires_grad_())
    case("empty, dtype and requires grad", torch.empty(3, 0, 2, dtype=torch.float16).requires_grad_())
    case("a suffix on a line of its own", t([float(i) for i in range(15)]).requires_grad_())
    for length in range(8, 14):
        case(f"where the suffix moves: {length}", t([1000.0 + i for i in range(length)], torch.float64).requires_grad_())
    case("after several lines", normal(3, 3).requires_grad_())


def main() -> None:
    for part in (number_formats, dtypes, shapes, summaries, suffixes):
        part()
    write(OUT, collected)
    print(f"{len(collected)} cases, {OUT.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
