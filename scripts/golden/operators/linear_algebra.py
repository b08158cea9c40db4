"""Matrix products, decompositions and solvers, Fourier transforms."""

import torch

from inputs import bf16, c64, f16, f32, f64, ints

from .dsl import case

# The order of addition is the library's own (see neural.py).
SUMMED = 1e-5


def products() -> None:
    a, b = f32(3, 4), f32(4, 5)
    case("mm", a, b, loose=SUMMED)
    case("mm", f32(4, 3).t(), f32(5, 4).t(), loose=SUMMED)
    case("mm", ints(-3, 4, 2, 3), ints(-3, 4, 3, 2))
    case("matmul", a, b, loose=SUMMED)
    case("matmul", f32(4), b, loose=SUMMED)
    case("matmul", a, f32(4), loose=SUMMED)
    case("matmul", f32(2, 1, 3, 4), f32(5, 4, 2), loose=SUMMED)
    case("matmul", f32(0, 4), b)
    case("matmul", f64(3, 4), f64(4, 2))
    case("matmul", bf16(3, 4), bf16(4, 2), ulps=2)
    case("matmul", f16(3, 4), f16(4, 2), ulps=2)
    case("matmul", c64(3, 4), c64(4, 2), loose=SUMMED)
    case("bmm", f32(2, 3, 4), f32(2, 4, 5), loose=SUMMED)
    case("mv", a, f32(4), loose=SUMMED)
    case("dot", f32(6), f32(6), loose=SUMMED)
    case("vdot", c64(4), c64(4), loose=SUMMED)
    case("inner", a, f32(5, 4), loose=SUMMED)
    case("outer", f32(3), f32(4))
    case("ger", f32(3), f32(4))
    case("kron", f32(2, 2), f32(1, 3))
    case("cross", f32(2, 3), f32(2, 3), 1)
    case("linalg_cross", f32(2, 3), f32(2, 3), dim=-1)
    case("tensordot", f32(2, 3, 4), f32(4, 3, 5), [1, 2], [1, 0], loose=SUMMED)
    case("addmm", f32(5), a, b, loose=SUMMED)
    case("addmm", f32(3, 5), a, b, beta=0.5, alpha=2, loose=SUMMED)
    case("addmv", f32(3), a, f32(4), alpha=-1, loose=SUMMED)
    case("addr", f32(3, 4), f32(3), f32(4), beta=2)
    case("addbmm", f32(3, 5), f32(2, 3, 4), f32(2, 4, 5), loose=SUMMED)
    case("baddbmm", f32(2, 3, 5), f32(2, 3, 4), f32(2, 4, 5), beta=0.5, alpha=3, loose=SUMMED)
    case("linalg_multi_dot", [f32(2, 3), f32(3, 4), f32(4, 2)], loose=SUMMED)
    case("einsum", "ij,jk->ik", [a, b], loose=SUMMED)
    case("einsum", "bhqd,bhkd->bhqk", [f32(1, 2, 3, 4), f32(1, 2, 5, 4)], loose=SUMMED)
    case("einsum", "ii->i", [f32(3, 3)])
    case("einsum", "...d,d->...", [f32(2, 3, 4), f32(4)], loose=SUMMED)


def decompositions() -> None:
    a = f64(4, 4)
    spd = a @ a.T + 4 * torch.eye(4, dtype=torch.float64)
    case("linalg_cholesky", spd)
    case("linalg_cholesky", spd, upper=True)
    case("cholesky_inverse", torch.linalg.cholesky(spd), loose=1e-10)
    case("linalg_inv", spd, loose=1e-10)
    case("inverse", spd, loose=1e-10)
    case("linalg_det", a, loose=1e-10)
    case("det", a, loose=1e-10)
    case("linalg_slogdet", a, loose=1e-10)
    case("logdet", spd, loose=1e-10)
    case("linalg_solve", spd, f64(4, 2), loose=1e-10)
    case("linalg_solve_triangular", torch.triu(spd), f64(4, 2), upper=True, loose=1e-10)
    case("linalg_qr", a, loose=1e-10)
    case("linalg_svdvals", f64(4, 3), loose=1e-10)
    case("linalg_eigvalsh", spd, loose=1e-10)
    case("linalg_pinv", f64(4, 3), 1e-15, loose=1e-10)
    case("linalg_matrix_power", a, 3, loose=1e-10)
    case("matrix_power", a, 2, loose=1e-10)
    case("linalg_matrix_exp", a * 0.1, loose=1e-10)
    case("linalg_matrix_norm", a, 2, loose=1e-10)
    case("linalg_matrix_norm.str_ord", a, "nuc", loose=1e-10)
    case("linalg_matrix_rank", a, 1e-10)
    case("linalg_cond", spd, loose=1e-10)
    case("linalg_lu_factor", a, loose=1e-10)
    case("linalg_diagonal", a)
    case("linalg_vecdot", f64(3, 4), f64(3, 4))
    case("linalg_vander", f64(3), N=4)
    case("cdist", f64(3, 4), f64(5, 4))
    case("cdist", f32(3, 4), f32(5, 4), 1, loose=SUMMED)
    case("pdist", f64(4, 3), 1)


def fourier() -> None:
    x = f32(8)
    case("fft_fft", x, loose=SUMMED)
    case("fft_ifft", c64(6), loose=SUMMED)
    case("fft_rfft", x, norm="ortho", loose=SUMMED)
    case("fft_irfft", c64(5), 8, loose=SUMMED)
    case("fft_fft2", f32(3, 4), loose=SUMMED)
    case("fft_fftfreq", 6, 0.5)
    case("fft_fftshift", f32(5))
    case("fft_rfft", f32(2, 8), n=6, dim=0, loose=SUMMED)


def define() -> None:
    for part in (products, decompositions, fourier):
        part()
