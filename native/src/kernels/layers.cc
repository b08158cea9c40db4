// nudge::rms_norm, rope and swiglu with their gradients: one pass over memory each way, where ATen's operators make a handful,
// and nothing kept for the backward pass but the arguments. Where there is no kernel, they are ATen's operators. The forward pass
// is the same with and without a graph, so that scoring and training agree to the last bit.
#include <ATen/TensorOperators.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/addcmul.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/rms_norm.h>
#include <ATen/ops/rsqrt.h>
#include <ATen/ops/sigmoid.h>
#include <ATen/ops/silu.h>
#include <ATen/ops/zeros.h>
#include <torch/csrc/autograd/custom_function.h>
#include <torch/library.h>

#include "support.h"

namespace nudge::kernels {

namespace {

using torch::autograd::AutogradContext;
using torch::autograd::Function;
using torch::autograd::variable_list;

template <typename... Tensors>
bool records(const Tensors&... arguments) {
  return at::GradMode::is_enabled() && (arguments.requires_grad() || ...);
}

// Gradients of gradients are ATen's, and so is what has no kernel any more.
bool differentiates_by_aten() { return at::GradMode::is_enabled() || selected() == nullptr; }

// ---- x / √(mean(x²) + eps) · w over the last dimension ----

at::Tensor rms_norm_by_kernel(const at::Tensor& x, const at::Tensor& weight, double eps) {
  at::Tensor y = at::empty(x.sizes(), x.options());
  const int64_t size = weight.size(0);
  with_type(x.scalar_type(), [&]<typename T>(T) {
    const RmsNorm<T> work{pointer<const T>(x), pointer<const T>(weight), pointer<T>(y), size, static_cast<float>(eps)};
    at::parallel_for(0, x.numel() / size, grain(size), [&](int64_t begin, int64_t end) {
      selected()->of<T>().rms_norm(work, begin, end);
    });
  });
  return y;
}

// Rows whose share of the weight's gradient is summed before the others': so many parts, however many threads there are.
constexpr int64_t kParts = 16;

variable_list rms_norm_backward_by_kernel(const at::Tensor& dy, const at::Tensor& x, const at::Tensor& weight, double eps,
                                          bool wants_x, bool wants_weight) {
  const int64_t size = weight.size(0), rows = x.numel() / size, each = (rows + kParts - 1) / kParts;
  const at::Tensor upstream = dy.contiguous();
  const at::Tensor dx = wants_x ? at::empty_like(x) : at::Tensor();
  const at::Tensor sums = wants_weight ? at::zeros({kParts, size}, x.options().dtype(at::kFloat)) : at::Tensor();
  with_type(x.scalar_type(), [&]<typename T>(T) {
    const RmsNormBackward<T> work{pointer<const T>(x), pointer<const T>(weight), pointer<const T>(upstream),
                                  wants_x ? pointer<T>(dx) : nullptr, size, static_cast<float>(eps)};
    at::parallel_for(0, kParts, grain(each * size), [&](int64_t begin, int64_t end) {
      for (int64_t part = begin; part < end; ++part) {
        float* to = wants_weight ? pointer<float>(sums) + part * size : nullptr;
        selected()->of<T>().rms_norm_backward(work, std::min(part * each, rows), std::min((part + 1) * each, rows), to);
      }
    });
  });
  return {dx, wants_weight ? sums.sum(0).to(weight.scalar_type()) : at::Tensor(), {}};
}

variable_list rms_norm_backward_by_aten(const at::Tensor& dy, const at::Tensor& x, const at::Tensor& weight, double eps) {
  const at::Tensor wide = x.to(at::kFloat), g = dy.to(at::kFloat), scaled = g * weight.to(at::kFloat);
  const at::Tensor r = at::rsqrt((wide * wide).mean(-1, true) + eps);
  const at::Tensor dx = scaled * r - wide * r * r * r * (scaled * wide).mean(-1, true);
  return {dx.to(x.scalar_type()), (g * wide * r).reshape({-1, weight.size(0)}).sum(0).to(weight.scalar_type()), {}};
}

struct RmsNormFunction : Function<RmsNormFunction> {
  static at::Tensor forward(AutogradContext* context, const at::Tensor& x, const at::Tensor& weight, double eps) {
    context->save_for_backward({x, weight});
    context->saved_data["eps"] = eps;
    return rms_norm_by_kernel(x, weight, eps);
  }

  static variable_list backward(AutogradContext* context, const variable_list& outputs) {
    if (!outputs[0].defined()) return variable_list(3);
    const variable_list saved = context->get_saved_variables();
    const double eps = context->saved_data["eps"].toDouble();
    if (differentiates_by_aten()) return rms_norm_backward_by_aten(outputs[0], saved[0], saved[1], eps);
    return rms_norm_backward_by_kernel(outputs[0], saved[0], saved[1], eps, context->needs_input_grad(0),
                                       context->needs_input_grad(1));
  }
};

at::Tensor rms_norm(const at::Tensor& x, const at::Tensor& weight, double eps) {
  if (kernels_for(x, weight) == nullptr || weight.dim() != 1 || x.dim() == 0 || x.size(-1) != weight.size(0) || x.numel() == 0) {
    return at::rms_norm(x, weight.sizes(), weight, eps);
  }
  const at::Tensor input = x.contiguous(), scale = weight.contiguous();
  return records(x, weight) ? RmsNormFunction::apply(input, scale, eps) : rms_norm_by_kernel(input, scale, eps);
}

// ---- rotation by position ----

at::Tensor rope_by_aten(const at::Tensor& x, const at::Tensor& cosine, const at::Tensor& sine) {
  const int64_t turning = cosine.size(2), dim = x.size(2);
  const at::Tensor first = x.narrow(2, 0, turning);
  const at::Tensor turned = at::addcmul(first * cosine, first.roll(turning / 2, -1), sine);
  return turning == dim ? turned : at::cat({turned, x.narrow(2, turning, dim - turning)}, 2);
}

// `back`: the gradient's way, for which the halves of the sines change places.
at::Tensor rope_by_kernel(const at::Tensor& x, const at::Tensor& cosine, const at::Tensor& sine, bool back) {
  const at::Tensor input = x.stride(2) == 1 ? x : x.contiguous();
  at::Tensor y = at::empty(x.sizes(), x.options());
  const int64_t half = cosine.size(2) / 2;
  with_type(x.scalar_type(), [&]<typename T>(T) {
    const T* sines = pointer<const T>(sine);
    const Rope<T> work{pointer<const T>(input), input.stride(0), input.stride(1), pointer<const T>(cosine),
                       back ? sines + half : sines, back ? sines : sines + half, cosine.stride(0), pointer<T>(y), x.size(1),
                       x.size(2), half};
    at::parallel_for(0, x.size(0), grain(x.size(1) * x.size(2)), [&](int64_t begin, int64_t end) {
      selected()->of<T>().rope(work, begin, end);
    });
  });
  return y;
}

struct RopeFunction : Function<RopeFunction> {
  static at::Tensor forward(AutogradContext* context, const at::Tensor& x, const at::Tensor& cosine, const at::Tensor& sine) {
    context->save_for_backward({cosine, sine});
    return rope_by_kernel(x, cosine, sine, false);
  }

  static variable_list backward(AutogradContext* context, const variable_list& outputs) {
    if (!outputs[0].defined()) return variable_list(3);
    const variable_list saved = context->get_saved_variables();
    const at::Tensor &cosine = saved[0], &sine = saved[1];
    if (differentiates_by_aten()) return {rope_by_aten(outputs[0], cosine, sine.roll(cosine.size(2) / 2, -1)), {}, {}};
    return {rope_by_kernel(outputs[0], cosine, sine, true), {}, {}};
  }
};

at::Tensor rope(const at::Tensor& x, const at::Tensor& cosine, const at::Tensor& sine) {
  TORCH_CHECK(x.dim() == 3 && cosine.dim() == 3 && cosine.sizes() == sine.sizes() && cosine.size(0) == x.size(0) &&
                  cosine.size(1) == 1 && cosine.size(2) % 2 == 0 && cosine.size(2) <= x.size(2),
              "rope: expected x [N, H, D], cos and sin [N, 1, R] with an even R <= D, got ", x.sizes(), ", ", cosine.sizes(),
              " and ", sine.sizes());
  if (kernels_for(x, cosine, sine) == nullptr || cosine.stride(2) != 1 || cosine.strides() != sine.strides() ||
      x.numel() == 0 || records(cosine, sine)) {
    return rope_by_aten(x, cosine, sine);
  }
  return records(x) ? RopeFunction::apply(x, cosine, sine) : rope_by_kernel(x, cosine, sine, false);
}

// ---- silu(gate) · up ----

// In steps of a register, so that an element is computed in the same way wherever it stands.
template <typename Work>
void in_steps(int64_t elements, Work work) {
  constexpr int64_t kStep = 64;
  at::parallel_for(0, (elements + kStep - 1) / kStep, grain(4 * kStep), [&](int64_t begin, int64_t end) {
    work(begin * kStep, std::min(end * kStep, elements));
  });
}

at::Tensor swiglu_by_kernel(const at::Tensor& gate, const at::Tensor& up) {
  at::Tensor y = at::empty(gate.sizes(), gate.options());
  with_type(gate.scalar_type(), [&]<typename T>(T) {
    const SwiGlu<T> work{pointer<const T>(gate), pointer<const T>(up), pointer<T>(y)};
    in_steps(gate.numel(), [&](int64_t begin, int64_t end) { selected()->of<T>().swiglu(work, begin, end); });
  });
  return y;
}

variable_list swiglu_backward_by_kernel(const at::Tensor& dy, const at::Tensor& gate, const at::Tensor& up) {
  const at::Tensor upstream = dy.contiguous();
  at::Tensor dgate = at::empty_like(gate), dup = at::empty_like(up);
  with_type(gate.scalar_type(), [&]<typename T>(T) {
    const SwiGluBackward<T> work{pointer<const T>(gate), pointer<const T>(up), pointer<const T>(upstream), pointer<T>(dgate),
                                 pointer<T>(dup)};
    in_steps(gate.numel(), [&](int64_t begin, int64_t end) { selected()->of<T>().swiglu_backward(work, begin, end); });
  });
  return {dgate, dup};
}

struct SwiGluFunction : Function<SwiGluFunction> {
  static at::Tensor forward(AutogradContext* context, const at::Tensor& gate, const at::Tensor& up) {
    context->save_for_backward({gate, up});
    return swiglu_by_kernel(gate, up);
  }

  static variable_list backward(AutogradContext* context, const variable_list& outputs) {
    if (!outputs[0].defined()) return variable_list(2);
    const variable_list saved = context->get_saved_variables();
    const at::Tensor &gate = saved[0], &up = saved[1], &dy = outputs[0];
    if (!differentiates_by_aten()) return swiglu_backward_by_kernel(dy, gate, up);
    const at::Tensor s = at::sigmoid(gate);
    return {dy * up * s * (1 + gate * (1 - s)), dy * gate * s};
  }
};

at::Tensor swiglu(const at::Tensor& gate, const at::Tensor& up) {
  if (kernels_for(gate, up) == nullptr || gate.sizes() != up.sizes()) return at::silu(gate) * up;
  const at::Tensor g = gate.contiguous(), u = up.contiguous();
  return records(gate, up) ? SwiGluFunction::apply(g, u) : swiglu_by_kernel(g, u);
}

}  // namespace

TORCH_LIBRARY(nudge, library) {
  library.def("rms_norm(Tensor x, Tensor weight, float eps) -> Tensor", rms_norm);
  library.def("rope(Tensor x, Tensor cos, Tensor sin) -> Tensor", rope);
  library.def("swiglu(Tensor gate, Tensor up) -> Tensor", swiglu);
  library.def("kernels() -> str", [] { return std::string(selected() == nullptr ? "none" : selected()->name); });
  library.def("select_kernels(str name) -> bool", [](const std::string& name) { return select(name.c_str()); });
}

}  // namespace nudge::kernels
