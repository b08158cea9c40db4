"""Operators that reduce, scan, sort and count."""

import math

import torch

from inputs import bf16, bools, c64, f16, f32, f64, ids, ints, unit

from .dsl import case


def sums() -> None:
    x = f32(3, 4, 5)
    case("sum", x)
    case("sum", ints(0, 9, 5, dtype=torch.int32))
    case("sum", bools(7))
    case("sum", f32(5), dtype=torch.float64)
    case("sum", f32(0))
    case("sum.dim_IntList", x, [1])
    case("sum.dim_IntList", x, -1)
    case("sum.dim_IntList", x, [0, 2], keepdim=True)
    case("sum.dim_IntList", x, [-1], True)
    case("sum.dim_IntList", x, [1], dtype=torch.float64)
    case("sum.dim_IntList", x, None, dtype=torch.float64)
    case("sum.dim_IntList", x.transpose(0, 2), [0])
    for make in (f64, bf16, f16, c64):
        case("sum.dim_IntList", make(4, 6), [1], ulps=1 if make in (bf16, f16) else None)
    case("nansum", torch.tensor([1.0, math.nan, 3.0]))
    case("nansum", torch.tensor([[1.0, math.nan], [2.0, 3.0]]), [1], keepdim=True)
    case("prod", unit(5))
    case("prod.dim_int", x, 1, keepdim=True)
    case("prod", ints(1, 4, 4, dtype=torch.int32))
    case("mean", x)
    case("mean", ints(0, 9, 6), dtype=torch.float32)
    case("mean.dim", x, [1])
    case("mean.dim", x, [0, -1], keepdim=True)
    case("mean.dim", bf16(3, 8), -1, ulps=1)
    case("nanmean", torch.tensor([[1.0, math.nan], [2.0, 3.0]]), [1])
    case("logsumexp", x, [1])
    case("logsumexp", x, -1, keepdim=True)
    case("logsumexp", x, [0, 2])
    case("trace", f32(4, 4))
    case("count_nonzero", ints(0, 2, 3, 4))
    case("count_nonzero.dim_IntList", ints(0, 2, 3, 4), [1])


def moments() -> None:
    x = f32(4, 6)
    case("var", x)
    case("var", x, False)
    case("var.correction", x, [1], correction=0)
    case("var.correction", x, correction=2, keepdim=True)
    case("var.dim", x, [0], False)
    case("std", x)
    case("std.correction", x, [1], correction=0, keepdim=True)
    case("std.correction", x, -1, correction=1)
    case("std.dim", x, [1], True, keepdim=True)
    case("std_mean.correction", x, [1], correction=1)
    case("var_mean.correction", x, [0], correction=0, keepdim=True)
    case("norm.Scalar", x)
    case("norm.ScalarOpt_dim", x, 2, [1], keepdim=True)
    case("norm.ScalarOpt_dim", x, 1, [0])
    case("norm.ScalarOpt_dim", x, math.inf, [0])
    case("norm.ScalarOpt_dtype", x, 2, dtype=torch.float64)
    case("linalg_vector_norm", x)
    case("linalg_vector_norm", x, 3, [1], True)
    case("linalg_vector_norm", x, math.inf, [0], dtype=torch.float64)
    case("linalg_norm", x)
    case("linalg_norm.ord_str", x, "nuc", loose=1e-5)
    case("dist", x, f32(4, 6), 1)
    case("renorm", x, 2, 0, 1.5)
    case("corrcoef", x, loose=1e-5)
    case("cov", x, correction=0)


def extrema() -> None:
    x, y = f32(3, 5), f32(3, 5)
    for name in ("max", "min"):
        case(name, x)
        case(f"{name}.dim", x, 1)
        case(f"{name}.dim", x, 0, keepdim=True)
        case(f"{name}.other", x, y)
        case(f"arg{name}", x)
        case(f"arg{name}", x, 1)
        case(f"arg{name}", x, dim=-1, keepdim=True)
        case(f"a{name}", x, [0, 1])
        case(f"a{name}", x, 1, True)
        case(f"cum{name}", x, 1)
    case("max.dim", ints(-9, 9, 3, 4), -1)
    case("aminmax", x)
    case("aminmax", x, dim=1, keepdim=True)
    case("all", bools(4))
    case("all.dim", bools(4, 3), 1)
    case("all.dims", bools(4, 3, 2), [0, 2])
    case("any", torch.zeros(3))
    case("any.dim", bools(4, 3), 0, keepdim=True)
    case("any.dims", bools(4, 3), [1], True)


def scans() -> None:
    x = f32(3, 5)
    case("cumsum", x, 1)
    case("cumsum", x, 0, dtype=torch.float64)
    case("cumsum", ints(0, 9, 4, dtype=torch.int32), 0)
    case("cumsum", bools(6), 0)
    case("cumprod", x, -1)
    case("logcumsumexp", x, 1)
    case("diff", x)
    case("diff", x, 2, 0)
    case("cumulative_trapezoid.dx", x, dx=0.5)
    case("trapezoid.x", x, f32(5))
    case("trapz.dx", x, dx=0.5)


def order() -> None:
    x = f32(3, 7)
    tied = ints(0, 3, 2, 8)
    case("sort", x)
    case("sort", x, 0, True)
    case("sort", x, dim=1, descending=True)
    case("sort.stable", tied, stable=True)
    case("sort.stable", tied, stable=True, dim=1, descending=True)
    case("argsort", x)
    case("argsort", x, descending=True)
    case("argsort.stable", tied, stable=True, dim=1)
    case("msort", x)
    case("topk", x, 3)
    case("topk", x, 2, 0, largest=False)
    case("topk", x, 4, -1, True, True)
    case("kthvalue", x, 2)
    case("kthvalue", x, 3, 1, keepdim=True)
    case("median", x)
    case("median.dim", x, 1)
    case("nanmedian", torch.tensor([3.0, math.nan, 1.0]))
    case("nanmedian.dim", x, 0, keepdim=True)
    case("mode", torch.tensor([[1, 1, 2], [3, 2, 3]]))
    case("quantile", x, torch.tensor([0.1, 0.5, 0.9]))
    case("quantile", x, torch.tensor([0.25]), 1, keepdim=True, interpolation="nearest")
    case("quantile.scalar", x, 0.3)
    case("quantile.scalar", x, 0.75, 0, True, interpolation="higher")
    case("nanquantile.scalar", torch.tensor([1.0, math.nan, 2.0]), 0.5)


def counting() -> None:
    edges = torch.tensor([-1.0, 0.0, 0.5, 1.5])
    case("searchsorted.Tensor", edges, f32(2, 4))
    case("searchsorted.Tensor", edges, torch.tensor([0.0, 0.5]), right=True)
    case("searchsorted.Tensor", edges, torch.tensor([0.0, 0.5]), side="right", out_int32=True)
    case("searchsorted.Scalar", edges, 0.2)
    case("bucketize.Tensor", f32(5), edges)
    case("bucketize.Scalar", 0.5, edges, right=True)
    case("bincount", ints(0, 5, 12))
    case("bincount", ints(0, 5, 6), unit(6), minlength=8)
    case("histc", f32(20), 5, -2, 2)
    case("histc", f32(20), bins=4)
    case("_unique2", ints(0, 5, 9), True, True, return_counts=True)
    case("unique_dim", ids(3, 1, 3, 1, 2, 2).view(3, 2), 0, True, True, return_counts=True)
    case("unique_consecutive", ids(1, 1, 2, 2, 2, 1), True, return_counts=True)
    case("combinations", ids(1, 2, 3, 4))
    case("cartesian_prod", [ids(1, 2), ids(3, 4, 5)])


def define() -> None:
    for part in (sums, moments, extrema, scans, order, counting):
        part()
