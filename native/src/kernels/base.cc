// What the compiler may use everywhere: NEON on ARM, SSE2 on x86 (chosen there on request only: ATen is faster).
#include "kernels.h"

#define NUDGE_WIDTH 4
#define NUDGE_TILE 4, 4
#define NUDGE_INSTANCE base
#define NUDGE_NAME "base"
#define NUDGE_BFLOAT16_ROWS 64
#define NUDGE_FLOAT32_ROWS 16
#define NUDGE_WIDENS false
#include "instance.inc"
