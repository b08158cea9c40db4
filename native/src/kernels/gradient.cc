// nudge::with_gradient: a value whose gradient for x is known already. Losses over a vocabulary compute theirs chunk by chunk
// while the logits are there, and put it behind the result with this.
#include <ATen/TensorOperators.h>
#include <ATen/core/Tensor.h>
#include <ATen/core/grad_mode.h>
#include <torch/csrc/autograd/custom_function.h>
#include <torch/library.h>

namespace nudge::kernels {

namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

struct WithGradient : torch::autograd::Function<WithGradient> {
  static at::Tensor forward(AutogradContext* context, const at::Tensor& value, const at::Tensor& x, const at::Tensor& gradient) {
    context->save_for_backward({gradient});
    context->saved_data["dtype"] = x.scalar_type();
    return value.view_as(value);
  }

  static variable_list backward(AutogradContext* context, const variable_list& outputs) {
    const at::Tensor& upstream = outputs[0];
    if (!upstream.defined()) return variable_list(3);
    const at::Tensor gradient = context->get_saved_variables()[0];
    std::vector<int64_t> shape = upstream.sizes().vec();
    shape.resize(gradient.dim(), 1);
    const at::Tensor product = gradient * upstream.reshape(shape);
    return {upstream, product.to(context->saved_data["dtype"].toScalarType()), {}};
  }
};

// value: a scalar, or [N] where x is [N, ...]; gradient: ∂value/∂x in the shape of x, which is a constant from here on.
at::Tensor with_gradient(const at::Tensor& value, const at::Tensor& x, const at::Tensor& gradient) {
  TORCH_CHECK(gradient.sizes() == x.sizes() && (value.dim() == 0 || (value.dim() == 1 && x.dim() > 0 && value.size(0) == x.size(0))),
              "with_gradient: expected a scalar or a value for each row of x ", x.sizes(), ", and a gradient of its shape, got ",
              value.sizes(), " and ", gradient.sizes());
  if (!at::GradMode::is_enabled() || !x.requires_grad()) return value;
  return WithGradient::apply(value, x, gradient.detach());
}

}  // namespace

TORCH_LIBRARY_FRAGMENT(nudge, library) {
  library.def("with_gradient(Tensor value, Tensor x, Tensor gradient) -> Tensor", with_gradient);
}

}  // namespace nudge::kernels
