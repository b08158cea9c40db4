// Processors with AVX-512 and bfloat16 instructions (Cooper Lake, Sapphire Rapids, Zen 4 and newer).
#include "kernels.h"

#if defined(__x86_64__)
#include <immintrin.h>

#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx512f,avx512bw,avx512vl,avx512dq,avx512bf16,fma"))), apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("avx512f,avx512bw,avx512vl,avx512dq,avx512bf16,fma")
#endif

#define NUDGE_WIDTH 16
#define NUDGE_TILE 4, 6
#define NUDGE_INSTANCE avx512_bf16
#define NUDGE_NAME "avx512_bf16"
#define NUDGE_BFLOAT16_ROWS 64
#define NUDGE_FLOAT32_ROWS 1048576
#define NUDGE_WIDENS false
#define NUDGE_DOT_BFLOAT16(acc, x, w) bits<vf>(_mm512_dpbf16_ps(bits<__m512>(acc), bits<__m512bh>(x), bits<__m512bh>(w)))
#include "instance.inc"

#if defined(__clang__)
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif
#endif
