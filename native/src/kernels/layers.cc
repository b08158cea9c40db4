// nudge::linear, rms_norm, rope, swiglu: what a transformer does to single tokens. Outside inference mode, or where there is no
// kernel, they are ATen's operators, so that models call them always, and scoring and training agree to the last bit.
#include <ATen/TensorOperators.h>
#include <ATen/autocast_mode.h>
#include <ATen/ops/addcmul.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/linear.h>
#include <ATen/ops/rms_norm.h>
#include <ATen/ops/silu.h>
#include <torch/library.h>

#include "support.h"
#include "training.h"

namespace nudge::kernels {

namespace {

// Outputs a thread takes at once.
constexpr int64_t kOutputs = 16;
// Fewer operations than this are done sooner than a second thread has begun.
constexpr int64_t kGrain = 16384;

int64_t grain(int64_t operations_each) { return std::max<int64_t>(1, kGrain / std::max<int64_t>(1, operations_each)); }

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

at::Tensor rms_norm(const at::Tensor& x, const at::Tensor& weight, double eps) {
  const Kernels* kernels = inference_kernels_for(x, weight);
  if (kernels == nullptr || weight.dim() != 1 || x.dim() == 0 || x.size(-1) != weight.size(0) || x.numel() == 0) {
    return at::rms_norm(x, weight.sizes(), weight, eps);
  }
  const at::Tensor input = x.contiguous(), scale = weight.contiguous();
  at::Tensor y = at::empty(x.sizes(), x.options());
  const int64_t size = weight.size(0);
  with_type(x.scalar_type(), [&]<typename T>(T) {
    const RmsNorm<T> work{pointer<const T>(input), pointer<const T>(scale), pointer<T>(y), size, static_cast<float>(eps)};
    at::parallel_for(0, x.numel() / size, grain(size), [&](int64_t begin, int64_t end) {
      kernels->of<T>().rms_norm(work, begin, end);
    });
  });
  return y;
}

at::Tensor rope_by_aten(const at::Tensor& x, const at::Tensor& cosine, const at::Tensor& sine) {
  const int64_t turning = cosine.size(2), dim = x.size(2);
  const at::Tensor first = x.narrow(2, 0, turning);
  const at::Tensor turned = at::addcmul(first * cosine, first.roll(turning / 2, -1), sine);
  return turning == dim ? turned : at::cat({turned, x.narrow(2, turning, dim - turning)}, 2);
}

at::Tensor rope(const at::Tensor& x, const at::Tensor& cosine, const at::Tensor& sine) {
  TORCH_CHECK(x.dim() == 3 && cosine.dim() == 3 && cosine.sizes() == sine.sizes() && cosine.size(0) == x.size(0) &&
                  cosine.size(1) == 1 && cosine.size(2) % 2 == 0 && cosine.size(2) <= x.size(2),
              "rope: expected x [N, H, D], cos and sin [N, 1, R] with an even R <= D, got ", x.sizes(), ", ", cosine.sizes(),
              " and ", sine.sizes());
  const Kernels* kernels = inference_kernels_for(x, cosine, sine);
  if (kernels == nullptr || x.stride(2) != 1 || cosine.stride(2) != 1 || cosine.strides() != sine.strides() ||
      x.numel() == 0) {
    return rope_by_aten(x, cosine, sine);
  }
  at::Tensor y = at::empty(x.sizes(), x.options());
  with_type(x.scalar_type(), [&]<typename T>(T) {
    const Rope<T> work{pointer<const T>(x), x.stride(0), x.stride(1), pointer<const T>(cosine), pointer<const T>(sine),
                       cosine.stride(0), pointer<T>(y), x.size(1), x.size(2), cosine.size(2) / 2};
    at::parallel_for(0, x.size(0), grain(x.size(1) * x.size(2)), [&](int64_t begin, int64_t end) {
      kernels->of<T>().rope(work, begin, end);
    });
  });
  return y;
}

at::Tensor swiglu(const at::Tensor& gate, const at::Tensor& up) {
  const Kernels* kernels = inference_kernels_for(gate, up);
  if (kernels == nullptr || gate.sizes() != up.sizes()) return at::silu(gate) * up;
  const at::Tensor g = gate.contiguous(), u = up.contiguous();
  at::Tensor y = at::empty(gate.sizes(), gate.options());
  with_type(gate.scalar_type(), [&]<typename T>(T) {
    const SwiGlu<T> work{pointer<const T>(g), pointer<const T>(u), pointer<T>(y)};
    // In steps of a register, so that an element is computed in the same way wherever it stands.
    const int64_t blocks = (gate.numel() + 63) / 64;
    at::parallel_for(0, blocks, grain(64 * 4), [&](int64_t begin, int64_t end) {
      kernels->of<T>().swiglu(work, begin * 64, std::min<int64_t>(end * 64, gate.numel()));
    });
  });
  return y;
}

}  // namespace

TORCH_LIBRARY(nudge, library) {
  library.def("linear(Tensor x, Tensor weight, Tensor? bias=None) -> Tensor", linear);
  library.def("lora_linear(Tensor x, Tensor weight, Tensor? bias, Tensor a, Tensor b, float scaling) -> Tensor", lora_linear);
  library.def("linear_rows(ScalarType dtype) -> int", linear_rows);
  library.def("rms_norm(Tensor x, Tensor weight, float eps) -> Tensor", rms_norm);
  library.def("rope(Tensor x, Tensor cos, Tensor sin) -> Tensor", rope);
  library.def("swiglu(Tensor gate, Tensor up) -> Tensor", swiglu);
  library.def("kernels() -> str", [] { return std::string(selected() == nullptr ? "none" : selected()->name); });
  library.def("select_kernels(str name) -> bool", [](const std::string& name) { return select(name.c_str()); });
}

}  // namespace nudge::kernels
