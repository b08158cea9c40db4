// Autograd and the thread-local modes around it.
#include <ATen/autocast_mode.h>
#include <ATen/core/grad_mode.h>
#include <torch/csrc/autograd/autograd.h>

#include "environment.h"

namespace nudge {

namespace {

// backward(outputs, gradients, retainGraph | undefined, createGraph)
// On a CPU the engine runs in the calling thread; no JavaScript runs inside it.
napi_value backward(napi_env env, napi_callback_info info) {
  Arguments<4> args(env, info);
  const auto outputs = get_tensor_list(env, args[0], false);
  const auto gradients = get_tensor_list(env, args[1], true);
  const bool create_graph = args.flag(3);
  const bool retain_graph = args.present(2) ? args.flag(2) : create_graph;
  torch::autograd::backward(outputs, gradients, retain_graph, create_graph);
  return nullptr;
}

// grad(outputs, inputs, gradOutputs, retainGraph | undefined, createGraph, allowUnused) -> handles, null where unused
napi_value grad(napi_env env, napi_callback_info info) {
  Arguments<6> args(env, info);
  const auto outputs = get_tensor_list(env, args[0], false);
  const auto inputs = get_tensor_list(env, args[1], false);
  if (outputs.empty() || inputs.empty()) fail("BAD_ARGUMENT", "grad: expected at least one output and one input");
  const auto gradients = get_tensor_list(env, args[2], true);
  const bool create_graph = args.flag(4);
  const bool retain_graph = args.present(3) ? args.flag(3) : create_graph;
  const auto results = torch::autograd::grad(outputs, inputs, gradients, retain_graph, create_graph, args.flag(5));
  napi_value array = make_array(env, results.size());
  for (size_t i = 0; i < results.size(); ++i) set_element(env, array, i, make_tensor(env, results[i]));
  return array;
}

napi_value get_grad(napi_env env, napi_callback_info info) {
  Arguments<1> args(env, info);
  return make_tensor(env, get_tensor(env, args[0]).grad());
}

napi_value set_grad(napi_env env, napi_callback_info info) {
  Arguments<2> args(env, info);
  const at::Tensor tensor = get_tensor(env, args[0]);
  at::Tensor gradient = get_optional_tensor(env, args[1]);
  if (gradient.defined()) {
    const std::string pair = "the gradient of " + describe(tensor) + " cannot be " + describe(gradient);
    if (gradient.sizes() != tensor.sizes()) fail("SHAPE_MISMATCH", pair);
    if (gradient.scalar_type() != tensor.scalar_type()) fail("DTYPE_MISMATCH", pair);
    if (gradient.device() != tensor.device()) fail("BAD_ARGUMENT", pair);
    if (gradient.is_same(tensor)) fail("BAD_ARGUMENT", "a tensor cannot be its own gradient");
  }
  tensor.mutable_grad() = std::move(gradient);
  return nullptr;
}

napi_value requires_grad(napi_env env, napi_callback_info info) {
  Arguments<1> args(env, info);
  return make_bool(env, get_tensor(env, args[0]).requires_grad());
}

napi_value set_requires_grad(napi_env env, napi_callback_info info) {
  Arguments<2> args(env, info);
  const at::Tensor tensor = get_tensor(env, args[0]);
  const bool flag = get_bool(env, args[1]);
  if (!flag && !tensor.is_leaf()) {
    fail("BAD_ARGUMENT", "requiresGrad can be switched off for leaves only. To use a computed tensor as data, take x.detach()");
  }
  tensor.set_requires_grad(flag);
  return nullptr;
}

napi_value is_leaf(napi_env env, napi_callback_info info) {
  Arguments<1> args(env, info);
  return make_bool(env, get_tensor(env, args[0]).is_leaf());
}

napi_value is_grad_enabled(napi_env env, napi_callback_info info) { return make_bool(env, at::GradMode::is_enabled()); }

napi_value set_grad_enabled(napi_env env, napi_callback_info info) {
  Arguments<1> args(env, info);
  const bool before = at::GradMode::is_enabled();
  at::GradMode::set_enabled(get_bool(env, args[0]));
  return make_bool(env, before);
}

napi_value push_inference_mode(napi_env env, napi_callback_info info) {
  Arguments<1> args(env, info);
  Environment::of(env).inference_modes.push_back(std::make_unique<c10::InferenceMode>(args.flag(0)));
  return nullptr;
}

napi_value pop_inference_mode(napi_env env, napi_callback_info info) {
  auto& modes = Environment::of(env).inference_modes;
  if (!modes.empty()) modes.pop_back();
  return nullptr;
}

// pushAutocast(device, enabled, dtype | undefined)
napi_value push_autocast(napi_env env, napi_callback_info info) {
  Arguments<3> args(env, info);
  const at::DeviceType device = parse_device(get_string(env, args[0])).type();
  const bool enabled = args.flag(1);
  const AutocastState before{device, at::autocast::is_autocast_enabled(device), at::autocast::get_autocast_dtype(device)};
  const at::ScalarType dtype = args.present(2) ? static_cast<at::ScalarType>(get_int64(env, args[2], "dtype")) : before.dtype;
  // Everything that can fail is behind us: whoever fails here is not popped.
  at::autocast::set_autocast_dtype(device, dtype);
  at::autocast::set_autocast_enabled(device, enabled);
  at::autocast::increment_nesting();
  Environment::of(env).autocasts.push_back(before);
  return nullptr;
}

napi_value pop_autocast(napi_env env, napi_callback_info info) {
  auto& states = Environment::of(env).autocasts;
  if (states.empty()) return nullptr;
  const AutocastState before = states.back();
  states.pop_back();
  // The cache holds casted weights for the outermost region only, as in Python.
  if (at::autocast::decrement_nesting() == 0) at::autocast::clear_cache();
  at::autocast::set_autocast_enabled(before.device, before.enabled);
  at::autocast::set_autocast_dtype(before.device, before.dtype);
  return nullptr;
}

}  // namespace

void define_autograd(napi_env env, napi_value exports) {
  define<backward>(env, exports, "backward");
  define<grad>(env, exports, "grad");
  define<get_grad>(env, exports, "getGrad");
  define<set_grad>(env, exports, "setGrad");
  define<requires_grad>(env, exports, "requiresGrad");
  define<set_requires_grad>(env, exports, "setRequiresGrad");
  define<is_leaf>(env, exports, "isLeaf");
  define<is_grad_enabled>(env, exports, "isGradEnabled");
  define<set_grad_enabled>(env, exports, "setGradEnabled");
  define<push_inference_mode>(env, exports, "pushInferenceMode");
  define<pop_inference_mode>(env, exports, "popInferenceMode");
  define<push_autocast>(env, exports, "pushAutocast");
  define<pop_autocast>(env, exports, "popAutocast");
}

}  // namespace nudge
