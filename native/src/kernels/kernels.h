// Hot loops of generation and training on the CPU, compiled once for each instruction set. Plain pointers: no ATen here, so that a source
// that is compiled for AVX-512 can hold no inline function of a header that the linker might then give to everybody.
#pragma once

#include <cstddef>
#include <cstdint>

namespace nudge::kernels {

struct BFloat16 {
  uint16_t bits;
};

// y = x Wᵀ + b. Weights are read in the order in which they lie in memory, once for every 64 rows.
template <typename T>
struct Linear {
  const void* packed;  // x as the kernel wants it: see pack
  const T* weight;     // [out, in]
  const T* bias;       // [out], or null
  T* y;                // [rows, out]
  int64_t rows, in, out;
};

// x / √(mean(x²) + eps) · w, row by row.
template <typename T>
struct RmsNorm {
  const T* x;       // [rows, size]
  const T* weight;  // [size]
  T* y;
  int64_t size;
  float eps;
};

// With r = 1 / √(mean(x²) + eps): dx = r w dy - x r³ mean(w dy x), and the sum of r x dy over rows for the weight.
template <typename T>
struct RmsNormBackward {
  const T* x;       // [rows, size]
  const T* weight;  // [size]
  const T* dy;      // [rows, size]
  T* dx;            // or null
  int64_t size;
  float eps;
};

// y[i] = x[i] · cos[i] + x[(i + half) mod 2 half] · sin[i] for every head. What follows the 2 half turning ones is copied.
template <typename T>
struct Rope {
  const T* x;  // [rows, heads, dim], with these steps from one to the next
  int64_t x_row, x_head;
  const T* cosine;    // [rows, 2 half], with `angle_row` from row to row
  const T* sine_low;  // [rows, half], in the same steps: of the first half, negated
  const T* sine_high;
  int64_t angle_row;
  T* y;  // contiguous
  int64_t heads, dim, half;
};

// silu(gate) · up, element by element.
template <typename T>
struct SwiGlu {
  const T* gate;
  const T* up;
  T* y;
};

// dgate = dy up σ(gate) (1 + gate (1 - σ(gate))), dup = dy silu(gate).
template <typename T>
struct SwiGluBackward {
  const T* gate;
  const T* up;
  const T* dy;
  T* dgate;
  T* dup;
};

// One query a sequence against its cached keys and values. A block holds `block` positions: [kv_heads, block, dim].
template <typename T>
struct Attention {
  const T* q;        // [rows, heads, dim]
  const T* keys;     // [blocks, kv_heads, block, dim]
  const T* values;
  const int32_t* table;  // [rows, table_width]: the blocks of each sequence, in order
  const int32_t* lengths;  // [rows]: positions to attend to
  T* y;              // [rows, heads, dim]
  int64_t table_width, heads, kv_heads, dim, block;
  float scale;
};

// The choice of one token from one row of logits; the rules are in src/generate/choose.ts.
struct Choice {
  float temperature;  // 0: the largest logit
  int64_t top_k;      // 0: all
  float top_p;        // 1: all
  float min_p;        // 0: all
  double draw;        // uniform in [0, 1)
};

// log softmax(logits · scale) at the tokens.
template <typename T>
struct LogProbs {
  const T* logits;        // [rows, size]
  const int64_t* tokens;  // [rows]
  float scale;
  float* result;      // [rows]
  float* tops;        // [rows]: the largest logit
  float* log_totals;  // [rows]: log Σ exp((logit - top) · scale)
  int64_t size;
};

// Everything that one instruction set offers.
template <typename T>
struct Typed {
  size_t (*packed_bytes)(int64_t rows, int64_t in);
  size_t (*scratch_bytes)(int64_t rows, int64_t in);
  void (*pack)(const T* x, int64_t in, void* packed, int64_t begin, int64_t end);  // rows
  void (*linear)(const Linear<T>&, int64_t begin, int64_t end, void* scratch);  // outputs
  void (*rms_norm)(const RmsNorm<T>&, int64_t begin, int64_t end);    // rows
  // dweight [size] is added to, unless it is null.
  void (*rms_norm_backward)(const RmsNormBackward<T>&, int64_t begin, int64_t end, float* dweight);  // rows
  void (*rope)(const Rope<T>&, int64_t begin, int64_t end);           // rows
  void (*swiglu)(const SwiGlu<T>&, int64_t begin, int64_t end);       // elements
  void (*swiglu_backward)(const SwiGluBackward<T>&, int64_t begin, int64_t end);
  // (row, kv head) pairs. `scratch` has room for heads / kv_heads times the longest row, rounded up to 16.
  void (*attention)(const Attention<T>&, int64_t begin, int64_t end, float* scratch);
  // Returns the token; log_probability is log_softmax(logits / temperature) at it (temperature 1 where it is 0).
  int64_t (*choose)(const T* logits, int64_t size, const Choice&, float* scratch, float* log_probability);
  void (*log_probs)(const LogProbs<T>&, int64_t begin, int64_t end);  // rows
  void (*log_probs_backward)(const LogProbs<T>&, const float* gradient, T* to, int64_t begin, int64_t end);
};

struct Kernels {
  const char* name;
  int width;             // floats in a register
  int64_t bfloat16_rows;  // above this many rows ATen's linear is faster
  int64_t float32_rows;
  bool widens;  // bfloat16 has to become float32 to be multiplied
  Typed<BFloat16> bfloat16;
  Typed<float> float32;

  template <typename T>
  const Typed<T>& of() const;
};

template <>
inline const Typed<BFloat16>& Kernels::of<BFloat16>() const { return bfloat16; }
template <>
inline const Typed<float>& Kernels::of<float>() const { return float32; }

#if defined(__x86_64__)
extern const Kernels avx512_bf16;
extern const Kernels avx512;
extern const Kernels avx2;
#endif
extern const Kernels base;

// The best for this processor, or what was asked for; null where ATen's operators are to be used.
const Kernels* selected();
// "auto", "none" or a name. False for what this processor does not have.
bool select(const char* name);

}  // namespace nudge::kernels
