// nudge::linear and lora_linear: a kernel of our own in inference mode, up to so many rows; outside, ATen's product or
// trainable_linear, so that scoring and training agree to the last bit.
#include <ATen/TensorOperators.h>
#include <ATen/autocast_mode.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/linear.h>
#include <c10/core/InferenceMode.h>
#include <torch/library.h>

#include "support.h"
#include "training.h"

namespace nudge::kernels {

namespace {

// Outputs a thread takes at once.
constexpr int64_t kOutputs = 16;

at::Tensor linear_by_kernel(const Kernels& kernels, const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias) {
  const int64_t in = weight.size(1), out = weight.size(0), rows = x.numel() / in;
  std::vector<int64_t> shape = x.sizes().vec();
  shape.back() = out;
  at::Tensor y = at::empty(shape, x.options());
  const at::Tensor input = x.contiguous();
  with_type(x.scalar_type(), [&]<typename T>(T) {
    const Typed<T>& typed = kernels.of<T>();
    static thread_local Scratch kept;
    const void* packed = pointer<void>(input);
    if (const size_t bytes = typed.packed_bytes(rows, in); bytes > 0) {
      void* memory = kept.get<char>(bytes);
      at::parallel_for(0, rows, grain(in), [&](int64_t begin, int64_t end) {
        typed.pack(pointer<const T>(input), in, memory, begin, end);
      });
      packed = memory;
    }
    const Linear<T> work{packed, pointer<const T>(weight), bias.defined() ? pointer<const T>(bias) : nullptr, pointer<T>(y),
                         rows, in, out};
    const size_t scratch_bytes = typed.scratch_bytes(rows, in);
    const int64_t blocks = (out + kOutputs - 1) / kOutputs;
    at::parallel_for(0, blocks, grain(rows * in * kOutputs / 8), [&](int64_t begin, int64_t end) {
      static thread_local Scratch scratch;
      typed.linear(work, begin * kOutputs, std::min(end * kOutputs, out), scratch.get<char>(scratch_bytes));
    });
  });
  return y;
}

// Shapes and layouts that the kernels and trainable_linear know.
bool is_plain(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias) {
  const bool fits = weight.dim() == 2 && x.dim() > 0 && x.size(-1) == weight.size(1) && x.numel() > 0 && weight.numel() > 0 &&
      weight.is_contiguous() && x.scalar_type() == weight.scalar_type() && weight.is_cpu();
  const bool bias_fits = !bias.defined() || (bias.dim() == 1 && bias.size(0) == weight.size(0) && bias.is_contiguous() &&
                                             bias.scalar_type() == x.scalar_type());
  return fits && bias_fits && !at::autocast::is_autocast_enabled(at::kCPU);
}

at::Tensor linear(const at::Tensor& x, const at::Tensor& weight, const std::optional<at::Tensor>& bias) {
  const at::Tensor offset = bias.value_or(at::Tensor());
  if (!is_plain(x, weight, offset)) return at::linear(x, weight, bias);
  if (!c10::InferenceMode::is_enabled()) {
    return widens(x) ? trainable_linear(x, weight, offset, {}, {}, 1) : at::linear(x, weight, bias);
  }
  const Kernels* kernels = offset.defined() ? kernels_for(x, weight, offset) : kernels_for(x, weight);
  const int64_t rows = x.numel() / weight.size(1);
  const int64_t most = kernels == nullptr ? 0 : x.scalar_type() == at::kFloat ? kernels->float32_rows : kernels->bfloat16_rows;
  if (rows > most) return at::linear(x, weight, bias);
  return linear_by_kernel(*kernels, x, weight, offset);
}

// The same with a LoRA update: + scaling (x Aᵀ) Bᵀ, A [r, in] and B [out, r] in a dtype of their own.
at::Tensor lora_linear(const at::Tensor& x, const at::Tensor& weight, const std::optional<at::Tensor>& bias, const at::Tensor& a,
                       const at::Tensor& b, double scaling) {
  const at::Tensor offset = bias.value_or(at::Tensor());
  const auto is_float = [](const at::Tensor& t) { return t.scalar_type() == at::kFloat || t.scalar_type() == at::kBFloat16; };
  const bool fits = a.dim() == 2 && b.dim() == 2 && a.size(1) == weight.size(-1) && b.size(0) == weight.size(0) &&
      a.size(0) == b.size(1) && a.is_cpu() && b.is_cpu() && is_float(a) && is_float(b);
  if (fits && !c10::InferenceMode::is_enabled() && is_plain(x, weight, offset) && kernels_for(x) != nullptr &&
      (x.scalar_type() == at::kFloat || widens(x))) {
    return trainable_linear(x, weight, offset, a, b, scaling);
  }
  const at::Tensor y = kernels::linear(x, weight, bias), narrow = kernels::linear(x.to(a.scalar_type()), a, {});
  return (kernels::linear(narrow, b, {}) * scaling + y).to(y.scalar_type());
}

// Up to this many rows the result of a row does not depend on the others, to the last bit.
int64_t linear_rows(at::ScalarType type) {
  const Kernels* kernels = selected();
  if (kernels == nullptr) return 0;
  if (type == at::kFloat) return kernels->float32_rows;
  return type == at::kBFloat16 ? kernels->bfloat16_rows : 0;
}

}  // namespace

TORCH_LIBRARY_FRAGMENT(nudge, library) {
  library.def("linear(Tensor x, Tensor weight, Tensor? bias=None) -> Tensor", linear);
  library.def("lora_linear(Tensor x, Tensor weight, Tensor? bias, Tensor a, Tensor b, float scaling) -> Tensor", lora_linear);
  library.def("linear_rows(ScalarType dtype) -> int", linear_rows);
  library.def("widens(Tensor x) -> bool", widens);
}

}  // namespace nudge::kernels
