// What one JavaScript environment (the main thread, or a worker) owns. Nothing here is static: environments come and go.
#pragma once

#include <ATen/core/Generator.h>
#include <ATen/core/stack.h>
#include <c10/core/InferenceMode.h>

#include <memory>
#include <unordered_map>
#include <vector>

#include "napi.h"
#include "operator.h"
#include "table.h"

namespace nudge {

// JavaScript writes lists of integers, floats and handles here instead of building arrays that cost 30 ns an element to read.
// Element 0 is the next free index; a list is passed as the number start * kScratchSize + length.
constexpr size_t kScratchSize = 8192;
constexpr size_t kFrameSize = 4;

struct AutocastState {
  at::DeviceType device;
  bool enabled;
  at::ScalarType dtype;
};

struct Environment {
  explicit Environment(napi_env env);
  ~Environment();
  Environment(const Environment&) = delete;
  Environment& operator=(const Environment&) = delete;

  static Environment& of(napi_env env);

  const Operator& operator_at(size_t index) const;

  TensorTable& table = TensorTable::instance();
  OwnerId owner;
  double* scratch = nullptr;
  napi_ref scratch_reference = nullptr;
  napi_ref error_factory = nullptr;
  // The frame: how the most frequent calls pass their operator and arguments, and get their result. See call.cc.
  double* frame = nullptr;
  napi_ref frame_reference = nullptr;
  // The arguments and results of the call in progress. Operators do not call back into JavaScript, so one is enough.
  torch::jit::Stack stack;
  std::vector<const Operator*> operators;
  std::unordered_map<uint32_t, at::Generator> generators;
  uint32_t next_generator = 1;
  std::vector<std::unique_ptr<c10::InferenceMode>> inference_modes;
  std::vector<AutocastState> autocasts;
};

// Defines the exports that belong to the environment itself: scratch, setErrorFactory, operator, schemas.
void define_environment(napi_env env, napi_value exports);
void define_call(napi_env env, napi_value exports);
void define_tensor(napi_env env, napi_value exports);
void define_autograd(napi_env env, napi_value exports);
void define_device(napi_env env, napi_value exports);
void define_generator(napi_env env, napi_value exports);

template <napi_value (*Callback)(napi_env, napi_callback_info)>
void define(napi_env env, napi_value exports, const char* name) {
  napi_value function;
  check(napi_create_function(env, name, NAPI_AUTO_LENGTH, guarded<Callback>, nullptr, &function));
  set_property(env, exports, name, function);
}

// A tensor argument: a handle, or nullptr/undefined for an undefined tensor where that is allowed.
at::Tensor get_tensor(napi_env env, napi_value value);
at::Tensor get_optional_tensor(napi_env env, napi_value value);
std::vector<at::Tensor> get_tensor_list(napi_env env, napi_value array, bool allow_null);

// Hands a tensor to JavaScript: its handle, or null for an undefined tensor.
napi_value make_tensor(napi_env env, at::Tensor tensor);

// "float32 [2, 3] on cpu"
std::string describe(const at::Tensor& tensor);

// The generator of this id. Throws JsError when it was disposed.
at::Generator& get_generator(napi_env env, napi_value id);

c10::Device parse_device(const std::string& text);

}  // namespace nudge
