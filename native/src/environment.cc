#include "environment.h"

#include <c10/core/ScalarType.h>
#include <c10/util/Exception.h>

#include <exception>
#include <sstream>

namespace nudge {

namespace {

void destroy_environment(void* data) { delete static_cast<Environment*>(data); }

napi_value set_error_factory(napi_env env, napi_callback_info info) {
  Arguments<1> args(env, info);
  Environment& environment = Environment::of(env);
  if (environment.error_factory != nullptr) {
    check(napi_delete_reference(env, environment.error_factory));
    environment.error_factory = nullptr;
  }
  check(napi_create_reference(env, args[0], 1, &environment.error_factory));
  return nullptr;
}

napi_value resolve_operator(napi_env env, napi_callback_info info) {
  Arguments<1> args(env, info);
  Environment& environment = Environment::of(env);
  environment.operators.push_back(&find_operator(get_string(env, args[0])));
  return make_double(env, static_cast<double>(environment.operators.size() - 1));
}

// schema(name) -> the schema of one operator
napi_value schema(napi_env env, napi_callback_info info) {
  Arguments<1> args(env, info);
  std::ostringstream text;
  text << find_operator(get_string(env, args[0])).handle.schema();
  return make_string(env, text.str());
}

napi_value schemas(napi_env env, napi_callback_info info) {
  const std::vector<std::string> texts = all_schemas();
  napi_value array = make_array(env, texts.size());
  for (size_t i = 0; i < texts.size(); ++i) set_element(env, array, i, make_string(env, texts[i]));
  return array;
}

// A Float64Array that both sides see, under this name in the exports.
double* share_numbers(napi_env env, napi_value exports, const char* name, size_t length, napi_ref* reference) {
  void* memory = nullptr;
  napi_value buffer;
  napi_value array;
  check(napi_create_arraybuffer(env, length * sizeof(double), &memory, &buffer));
  check(napi_create_typedarray(env, napi_float64_array, length, buffer, 0, &array));
  check(napi_create_reference(env, array, 1, reference));
  set_property(env, exports, name, array);
  return static_cast<double*>(memory);
}

// Throws the NudgeError that src/tensor builds; a plain Error until it has given us its factory.
void throw_error(napi_env env, const std::string& code, const std::string& message) noexcept {
  try {
    Environment& environment = Environment::of(env);
    if (environment.error_factory == nullptr) {
      napi_throw_error(env, code.c_str(), message.c_str());
      return;
    }
    napi_value factory, receiver, error;
    napi_value arguments[2] = {make_string(env, code), make_string(env, message)};
    check(napi_get_reference_value(env, environment.error_factory, &factory));
    check(napi_get_undefined(env, &receiver));
    check(napi_call_function(env, receiver, factory, 2, arguments, &error));
    check(napi_throw(env, error));
  } catch (...) {
    // An exception is pending already, or the environment is going away: nothing more can be said to JavaScript.
  }
}

}  // namespace

Environment::Environment(napi_env env) : owner(table.new_owner()) {
  check(napi_add_env_cleanup_hook(env, destroy_environment, this));
}

Environment::~Environment() { TensorTable::instance().release_owner(owner); }

Environment& Environment::of(napi_env env) {
  void* data = nullptr;
  check(napi_get_instance_data(env, &data));
  if (data == nullptr) throw NapiFailure{};
  return *static_cast<Environment*>(data);
}

const Operator& Environment::operator_at(size_t index) const {
  if (index >= operators.size()) [[unlikely]] fail("BAD_ARGUMENT", "unknown operator number " + std::to_string(index));
  return *operators[index];
}

void define_environment(napi_env env, napi_value exports) {
  auto* environment = new Environment(env);
  check(napi_set_instance_data(env, environment, nullptr, nullptr));
  environment->scratch = share_numbers(env, exports, "scratch", kScratchSize, &environment->scratch_reference);
  environment->scratch[0] = 1;
  environment->frame = share_numbers(env, exports, "frame", kFrameSize, &environment->frame_reference);
  define<set_error_factory>(env, exports, "setErrorFactory");
  define<resolve_operator>(env, exports, "operator");
  define<schema>(env, exports, "schema");
  define<schemas>(env, exports, "schemas");
}

void raise_current_exception(napi_env env) noexcept {
  try {
    throw;
  } catch (const NapiFailure&) {
    // Already pending; or an argument had the wrong type, which nobody has said yet; or there is nobody left to tell.
    bool pending = true;
    const napi_extended_error_info* info = nullptr;
    if (napi_get_last_error_info(env, &info) != napi_ok) return;
    // Copied at once: the next call overwrites it.
    const std::string message = info->error_message == nullptr ? "a wrong argument" : info->error_message;
    if (napi_is_exception_pending(env, &pending) != napi_ok || pending) return;
    throw_error(env, "BAD_ARGUMENT", message);
  } catch (const JsError& error) {
    throw_error(env, error.code, error.message);
  } catch (const c10::Error& error) {
    throw_error(env, "OPERATOR_FAILED", error.what_without_backtrace());
  } catch (const std::exception& error) {
    throw_error(env, "OPERATOR_FAILED", error.what());
  } catch (...) {
    throw_error(env, "OPERATOR_FAILED", "an unknown native exception");
  }
}

at::Tensor get_tensor(napi_env env, napi_value value) {
  const napi_valuetype type = type_of(env, value);
  if (type != napi_number) fail("OPERATOR_ARGUMENT", std::string("expected a Tensor, got ") + type_name(type));
  return TensorTable::instance().get(get_double(env, value));
}

at::Tensor get_optional_tensor(napi_env env, napi_value value) {
  if (is_nullish(type_of(env, value))) return at::Tensor();
  return get_tensor(env, value);
}

std::vector<at::Tensor> get_tensor_list(napi_env env, napi_value array, bool allow_null) {
  uint32_t length = 0;
  check(napi_get_array_length(env, array, &length));
  std::vector<at::Tensor> tensors;
  tensors.reserve(length);
  for (uint32_t i = 0; i < length; ++i) {
    napi_value element;
    check(napi_get_element(env, array, i, &element));
    tensors.push_back(allow_null ? get_optional_tensor(env, element) : get_tensor(env, element));
  }
  return tensors;
}

napi_value make_tensor(napi_env env, at::Tensor tensor) {
  if (!tensor.defined()) return make_null(env);
  return make_double(env, TensorTable::instance().put(std::move(tensor), Environment::of(env).owner));
}

std::string describe(const at::Tensor& tensor) {
  if (!tensor.defined()) return "undefined tensor";
  std::ostringstream text;
  text << c10::getDtypeNames(tensor.scalar_type()).first << " [";
  for (int64_t i = 0; i < tensor.dim(); ++i) text << (i == 0 ? "" : ", ") << tensor.size(i);
  text << "] on " << tensor.device().str();
  return text.str();
}

at::Generator& get_generator(napi_env env, napi_value id) {
  const auto number = static_cast<uint32_t>(get_int64(env, id, "generator"));
  auto& generators = Environment::of(env).generators;
  const auto found = generators.find(number);
  if (found == generators.end()) fail("BAD_ARGUMENT", "this Generator was disposed, or belongs to another thread");
  return found->second;
}

c10::Device parse_device(const std::string& text) {
  try {
    return c10::Device(text);
  } catch (const c10::Error&) {
    fail("BAD_ARGUMENT", "unknown device '" + text + "': expected 'cpu', 'cuda', 'cuda:N' or 'mps'");
  }
}

}  // namespace nudge
