// Processors with AVX2 and FMA.
#include "kernels.h"

#if defined(__x86_64__)

#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx2,fma"))), apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("avx2,fma")
#endif

#define NUDGE_WIDTH 8
#define NUDGE_TILE 2, 6
#define NUDGE_INSTANCE avx2
#define NUDGE_NAME "avx2"
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
