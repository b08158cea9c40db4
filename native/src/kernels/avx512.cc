// Processors with AVX-512 but no bfloat16 instructions (Skylake to Ice Lake): oneDNN has nothing fast for bfloat16 there.
#include "kernels.h"

#if defined(__x86_64__)

#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx512f,avx512bw,avx512vl,avx512dq,fma"))), apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("avx512f,avx512bw,avx512vl,avx512dq,fma")
#endif

#define NUDGE_WIDTH 16
#define NUDGE_TILE 4, 6
#define NUDGE_INSTANCE avx512
#define NUDGE_NAME "avx512"
#define NUDGE_BFLOAT16_ROWS 1048576
#define NUDGE_FLOAT32_ROWS 1048576
#define NUDGE_WIDENS true
#include "instance.inc"

#if defined(__clang__)
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif
#endif
