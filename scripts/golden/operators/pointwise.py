"""Elementwise operators: unary functions, arithmetic, comparison, bits, selection, activation functions, complex numbers."""

import math

import torch

from inputs import bf16, bools, c64, f16, f32, f64, ints, unit

from .dsl import case

# Everywhere defined and smooth enough for normal inputs.
ANYWHERE = """abs neg exp exp2 expm1 square sin cos tan atan sinh cosh tanh asinh sigmoid erf erfc floor ceil round trunc frac sign sgn
    isnan isinf isfinite logical_not positive signbit isposinf isneginf isreal deg2rad rad2deg sinc i0 reciprocal
    special_entr special_i0e special_i1 special_i1e special_ndtr special_log_ndtr special_erfcx special_bessel_j0 special_expit
    relu relu6 silu mish hardsigmoid hardswish selu log_sigmoid""".split()
# Defined on (0, 1).
ON_UNIT = """log log2 log10 log1p sqrt rsqrt asin acos atanh erfinv lgamma digamma special_ndtri special_gammaln special_psi""".split()


def unary() -> None:
    for name in ANYWHERE:
        case(name, f32(3, 5))
    for name in ON_UNIT:
        case(name, unit(3, 5), loose=1e-5 if name == "digamma" or name == "special_psi" else None)
    case("acosh", unit(7) + 1)
    case("logit", unit(6))
    case("logit", torch.tensor([0.0, 0.3, 1.0]), 1e-3)
    case("polygamma", 2, unit(5), loose=1e-5)
    case("round.decimals", f32(6) * 10, decimals=1)
    case("nan_to_num", torch.tensor([1.0, math.nan, math.inf, -math.inf]))
    case("nan_to_num", torch.tensor([1.0, math.nan, math.inf, -math.inf]), 0.5, posinf=9.0)
    case("bitwise_not", ints(-9, 9, 6, dtype=torch.int32))
    case("bitwise_not", bools(5))


def dtypes() -> None:
    for make in (f32, f64, bf16, f16, c64):
        for name in ("exp", "neg", "square", "tanh"):
            case(name, make(4, 3), ulps=1 if make in (bf16, f16) else None)
        for name in ("add.Tensor", "sub.Tensor", "mul.Tensor", "div.Tensor"):
            case(name, make(4, 3), make(3))
    for dtype in (torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8):
        for name in ("add.Tensor", "sub.Tensor", "mul.Tensor", "div.Tensor"):
            case(name, ints(1, 9, 5, dtype=dtype), ints(1, 9, 5, dtype=dtype))
        case("abs", ints(0, 9, 5, dtype=dtype))
    case("abs", c64(4))


def promotion() -> None:
    one_each = [f32(3), f64(3), bf16(3), f16(3), ints(0, 5, 3), ints(0, 5, 3, dtype=torch.int32), ints(0, 5, 3, dtype=torch.uint8), bools(3)]
    for left in one_each:
        for right in one_each:
            case("add.Tensor", left, right)
    # A number takes part with its kind (bool < int < float), never with a width; a 0-d tensor likewise.
    for tensor in one_each:
        for number in (2, 2.0, 0.5, True):
            case("mul.Scalar", tensor, number)
        case("mul.Tensor", tensor, torch.tensor(1.5, dtype=torch.float64))
    case("add.Tensor", f32(), f32())
    case("add.Tensor", f32(0, 3), f32(1, 3))
    case("add.Tensor", f32(2, 1, 3), f32(4, 1))
    case("add.Tensor", f32(4, 3).t(), f32(4))
    case("mul.Tensor", f32(5, 6)[1:4, ::2], f32(6, 3)[::2])
    case("sub.Tensor", f32(1, 3).expand(4, 3), f32(4, 1).expand(4, 3))


def arithmetic() -> None:
    x, y = f32(3, 4), f32(3, 4)
    case("add.Tensor", x, y, alpha=2)
    case("add.Scalar", x, 2.5)
    case("add.Scalar", x, 2, 3)
    case("add.Scalar", ints(-5, 5, 4), 3)
    case("add.Scalar", ints(-5, 5, 4), 3.0)
    case("sub.Tensor", x, y, alpha=0.5)
    case("sub.Scalar", x, 1)
    case("rsub.Scalar", x, 1)
    case("rsub.Tensor", x, y)
    case("mul.Scalar", x, -0.125)
    case("div.Scalar", x, 3)
    case("div.Scalar", ints(-9, 9, 5), 2)
    for mode in (None, "floor", "trunc"):
        case("div.Tensor_mode", x * 5, y, rounding_mode=mode)
        case("div.Scalar_mode", ints(-9, 9, 6), 4, rounding_mode=mode)
    case("true_divide.Tensor", ints(1, 9, 4), ints(1, 9, 4))
    case("floor_divide", ints(-9, 9, 6), ints(1, 5, 6))
    case("floor_divide.Scalar", x * 10, 3)
    case("remainder.Tensor", x * 5, y)
    case("remainder.Scalar", ints(-9, 9, 6), 4)
    case("fmod.Tensor", x * 5, y)
    case("fmod.Scalar", ints(-9, 9, 6), 4)
    case("pow.Tensor_Tensor", unit(3, 4), y)
    case("pow.Tensor_Scalar", x, 3)
    case("pow.Tensor_Scalar", unit(5), 0.5)
    case("pow.Tensor_Scalar", ints(-4, 5, 5), 2)
    case("pow.Scalar", 2, x)
    case("pow.Scalar", 2.0, ints(0, 6, 4))
    case("float_power.Tensor_Scalar", ints(1, 5, 4), 2)
    case("addcmul", x, y, f32(3, 4), value=0.5)
    case("addcdiv", x, y, unit(3, 4), value=-2)
    case("lerp.Scalar", x, y, 0.25)
    case("lerp.Tensor", x, y, unit(3, 4))
    case("gcd", ints(1, 60, 6), ints(1, 60, 6))
    case("lcm", ints(1, 20, 6), ints(1, 20, 6))
    for name in ("atan2", "maximum", "minimum", "fmax", "fmin", "hypot", "logaddexp", "logaddexp2", "nextafter"):
        case(name, x, y)
    case("maximum", ints(-5, 5, 4), ints(-5, 5, 4))
    case("fmax", torch.tensor([1.0, math.nan, 3.0]), torch.tensor([math.nan, 2.0, 1.0]))
    case("copysign.Tensor", x, y)
    case("copysign.Scalar", x, -1)
    case("xlogy.Tensor", torch.tensor([0.0, 1.0, 2.0]), torch.tensor([0.0, 3.0, 0.5]))
    case("special_xlog1py", unit(4), unit(4))
    case("special_zeta", unit(4) + 2, unit(4) + 1)
    case("heaviside", torch.tensor([-1.0, 0.0, 2.0]), torch.tensor(0.5))
    case("ldexp.Tensor", x, ints(-3, 4, 3, 4))


def comparison() -> None:
    x, y = ints(-2, 3, 3, 4).float(), ints(-2, 3, 3, 4).float()
    for name in ("eq", "ne", "lt", "le", "gt", "ge"):
        case(f"{name}.Tensor", x, y)
        case(f"{name}.Scalar", x, 1)
        case(f"{name}.Scalar", ints(-3, 3, 5), 0.5)
    for name in ("logical_and", "logical_or", "logical_xor"):
        case(name, bools(6), bools(6))
        case(name, x, y)
    for name in ("bitwise_and", "bitwise_or", "bitwise_xor"):
        case(f"{name}.Tensor", ints(0, 64, 6), ints(0, 64, 6))
        case(f"{name}.Tensor", bools(6), bools(6))
        case(f"{name}.Scalar", ints(0, 64, 6, dtype=torch.int32), 12)
    case("bitwise_left_shift.Tensor", ints(0, 9, 5), ints(0, 4, 5))
    case("bitwise_right_shift.Tensor_Scalar", ints(0, 99, 5), 2)
    case("isclose", x, x + 1e-9)
    case("isclose", x, y, 0.5, atol=1.0, equal_nan=True)
    case("isin.Tensor_Tensor", ints(0, 9, 8), ints(0, 9, 3))
    case("isin.Tensor_Scalar", ints(0, 4, 8), 2, invert=True)


def selection() -> None:
    mask, x, y = bools(3, 4), f32(3, 4), f32(3, 4)
    case("where.self", mask, x, y)
    case("where.self", mask, x, f32(4))
    case("where.ScalarOther", mask, x, 0)
    case("where.ScalarSelf", mask, -1.5, y)
    case("where.Scalar", mask, 1.5, 0.5)
    case("where", mask)
    case("clamp", x, -0.5, 0.5)
    case("clamp", x, min=0)
    case("clamp", x, None, 0.25)
    case("clamp", ints(-9, 9, 6), -3, 3)
    case("clamp", ints(-9, 9, 6), -1.5, 2.5)
    case("clamp.Tensor", x, y.abs().neg(), y.abs())
    case("clamp.Tensor", x, max=f32(4))
    case("clip", x, -1, 1)
    case("clamp_min", x, 0.1)
    case("clamp_min.Tensor", x, y)
    case("clamp_max", x, 0.1)
    case("threshold", x, 0.2, -7)


def activations() -> None:
    x = f32(3, 6)
    case("gelu", x)
    case("gelu", x, approximate="tanh")
    case("gelu", bf16(3, 6), approximate="none", ulps=1)
    case("silu", bf16(3, 6), ulps=1)
    case("softplus", x)
    case("softplus", x, 2, 1)
    case("elu", x, 0.7)
    case("celu", x, 1.3)
    case("leaky_relu", x)
    case("leaky_relu", x, 0.2)
    case("hardtanh", x, -0.4, 0.6)
    case("hardshrink", x)
    case("softshrink", x, 0.3)
    case("prelu", f32(2, 3, 4), f32(3))
    case("glu", x)
    case("glu", f32(4, 3), 0)


def complex_numbers() -> None:
    z = c64(3, 2)
    case("real", z)
    case("imag", z)
    case("angle", z)
    case("conj_physical", z)
    case("view_as_real", z)
    case("view_as_complex", f32(3, 2))
    case("complex", f32(4), f32(4))
    case("polar", unit(4), f32(4))
    case("mul.Tensor", z, c64(2))
    case("mul.Tensor", z, f32(2))


def define() -> None:
    for part in (unary, dtypes, promotion, arithmetic, comparison, selection, activations, complex_numbers):
        part()
