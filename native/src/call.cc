// One generic call reaches every operator: JavaScript values in, Dispatcher::callBoxed, JavaScript values out.

#include <chrono>

#include "convert.h"
#include "environment.h"
#include "failure.h"

namespace nudge {

namespace {

constexpr size_t kMaxArguments = 64;
// Node fills every place it is offered, so that offering 64 for the usual two or three would cost more than the call.
constexpr size_t kUsualArguments = 6;

using torch::jit::Stack;

napi_value to_js(napi_env env, const Environment& environment, c10::IValue value);

template <typename List, typename Make>
napi_value list_to_js(napi_env env, const List& list, Make make) {
  napi_value array = make_array(env, list.size());
  for (size_t i = 0; i < list.size(); ++i) set_element(env, array, i, make(list[i]));
  return array;
}

napi_value scalar_to_js(napi_env env, const c10::Scalar& scalar) {
  if (scalar.isBoolean()) return make_bool(env, scalar.toBool());
  if (scalar.isIntegral(false)) return make_int64(env, scalar.toLong());
  if (scalar.isFloatingPoint()) return make_double(env, scalar.toDouble());
  const auto number = scalar.toComplexDouble();
  napi_value object;
  check(napi_create_object(env, &object));
  set_property(env, object, "re", make_double(env, number.real()));
  set_property(env, object, "im", make_double(env, number.imag()));
  return object;
}

napi_value to_js(napi_env env, const Environment& environment, c10::IValue value) {
  if (value.isTensor()) {
    at::Tensor tensor = std::move(value).toTensor();
    if (!tensor.defined()) return make_null(env);
    return make_double(env, environment.table.put(std::move(tensor), environment.owner));
  }
  if (value.isNone()) return make_null(env);
  if (value.isBool()) return make_bool(env, value.toBool());
  if (value.isInt()) return make_int64(env, value.toInt());
  if (value.isDouble()) return make_double(env, value.toDouble());
  if (value.isScalar()) return scalar_to_js(env, value.toScalar());
  if (value.isString()) return make_string(env, value.toStringRef());
  if (value.isDevice()) return make_string(env, value.toDevice().str());
  if (value.isTensorList()) {
    return list_to_js(env, value.toTensorVector(), [&](const at::Tensor& t) { return to_js(env, environment, t); });
  }
  if (value.isIntList()) return list_to_js(env, value.toIntVector(), [&](int64_t i) { return make_int64(env, i); });
  if (value.isDoubleList()) return list_to_js(env, value.toDoubleVector(), [&](double d) { return make_double(env, d); });
  if (value.isBoolList()) return list_to_js(env, value.toBoolList(), [&](bool b) { return make_bool(env, b); });
  if (value.isList()) {
    return list_to_js(env, value.toListRef().vec(), [&](const c10::IValue& v) { return to_js(env, environment, v); });
  }
  fail("OPERATOR_FAILED", "an operator returned a " + value.tagKind() + ", which Nudge cannot hand to JavaScript");
}

napi_value results_to_js(napi_env env, const Environment& environment, const Operator& op, Stack& stack) {
  const size_t count = op.returns_written_argument.size();
  if (count == 0) return nullptr;
  // A single in-place result needs no handle: JavaScript returns the object that it passed in.
  if (count == 1) return op.returns_written_argument[0] ? nullptr : to_js(env, environment, std::move(stack.back()));
  napi_value array = make_array(env, count);
  const size_t first = stack.size() - count;
  for (size_t i = 0; i < count; ++i) {
    if (op.returns_written_argument[i]) continue;  // left undefined, for JavaScript to fill in
    set_element(env, array, i, to_js(env, environment, std::move(stack[first + i])));
  }
  return array;
}

void fill_stack(napi_env env, Environment& environment, const Operator& op, napi_value* values, size_t given, Stack& stack) {
  Converter converter(env, environment);
  const size_t expected = op.arguments.size();
  if (given > expected) {
    fail("OPERATOR_ARGUMENT", "takes " + std::to_string(expected) + " arguments, got " + std::to_string(given));
  }
  for (size_t i = 0; i < expected; ++i) {
    stack.push_back(i < given ? converter.convert(values[i], op.arguments[i]) : converter.missing(op.arguments[i]));
  }
}

// Empties the environment's stack however a call ends: what stays on it would stay alive.
struct StackCleaner {
  Stack& stack;
  ~StackCleaner() { stack.clear(); }
};

// The reason when a boxed call fails. The call consumed its arguments, so they are put together a second time to be shown.
template <typename Fill>
[[noreturn]] void report_failure(const Operator& op, Fill fill, const std::string& reason) {
  Stack arguments;
  try {
    fill(arguments);
  } catch (const JsError&) {
    arguments.clear();
  }
  const std::string description = describe_failure(op, arguments, reason);
  repair_written(op, arguments);
  fail("OPERATOR_FAILED", description);
}

// Runs the operator on what `fill` puts on the stack, and leaves the results there.
template <typename Fill>
void run(const Operator& op, Stack& stack, Fill fill) {
  try {
    fill(stack);
    op.handle.callBoxed(stack);
  } catch (const JsError& error) {
    fail(error.code, op.name + ": " + error.message);
  } catch (const c10::Error& error) {
    report_failure(op, fill, error.what_without_backtrace());
  } catch (const std::exception& error) {
    report_failure(op, fill, error.what());
  }
}

// call(operator, ...arguments)
napi_value call(napi_env env, napi_callback_info info) {
  size_t count = kUsualArguments;
  napi_value values[kMaxArguments];
  void* data = nullptr;
  check(napi_get_cb_info(env, info, &count, values, nullptr, &data));
  if (count > kUsualArguments) {
    count = kMaxArguments;
    check(napi_get_cb_info(env, info, &count, values, nullptr, nullptr));
  }
  auto& environment = *static_cast<Environment*>(data);
  if (count == 0 || count > kMaxArguments) fail("BAD_ARGUMENT", "call: expected an operator and at most 63 arguments");
  const Operator& op = environment.operator_at(static_cast<size_t>(get_double(env, values[0])));
  StackCleaner cleaner{environment.stack};
  run(op, environment.stack, [&](Stack& stack) { fill_stack(env, environment, op, values + 1, count - 1, stack); });
  return results_to_js(env, environment, op, environment.stack);
}

// The shapes of call that a training step makes by the thousand. Their operator and arguments come in the frame
// [operator, self, other] and the result goes back there, so that no value has to be taken apart or made: a fifth of
// the way through JavaScript. src/tensor/operators.ts calls them only where the schema has just this form.
enum class FrameShape { Unary, Tensor, Scalar };

template <FrameShape kShape>
napi_value call_frame(napi_env env, napi_callback_info info) {
  void* data = nullptr;
  check(napi_get_cb_info(env, info, nullptr, nullptr, nullptr, &data));
  auto& environment = *static_cast<Environment*>(data);
  double* frame = environment.frame;
  const Operator& op = environment.operator_at(static_cast<size_t>(frame[0]));
  StackCleaner cleaner{environment.stack};
  run(op, environment.stack, [&](Stack& stack) {
    TensorTable& table = environment.table;
    stack.emplace_back(table.get(frame[1]));
    if constexpr (kShape == FrameShape::Tensor) stack.emplace_back(table.get(frame[2]));
    if constexpr (kShape == FrameShape::Scalar) stack.emplace_back(number_scalar(frame[2]));
    for (size_t i = stack.size(); i < op.arguments.size(); ++i) stack.push_back(op.arguments[i].default_value);
  });
  if (!op.returns_written_argument[0]) {
    frame[0] = environment.table.put(std::move(environment.stack.back()).toTensor(), environment.owner);
  }
  return nullptr;
}

// timeCall(times, operator, ...arguments) -> nanoseconds a call: the same boxed call in a C++ loop, with conversion and result
// left out. `nudge bench ops` prints it as the limit that the way through JavaScript is held against.
napi_value time_call(napi_env env, napi_callback_info info) {
  size_t count = kMaxArguments;
  napi_value values[kMaxArguments];
  check(napi_get_cb_info(env, info, &count, values, nullptr, nullptr));
  if (count < 2 || count > kMaxArguments) fail("BAD_ARGUMENT", "timeCall: expected times, an operator and its arguments");
  Environment& environment = Environment::of(env);
  const int64_t times = get_int64(env, values[0], "times");
  const Operator& op = environment.operator_at(static_cast<size_t>(get_double(env, values[1])));
  Stack arguments;
  fill_stack(env, environment, op, values + 2, count - 2, arguments);
  Stack stack;
  const auto start = std::chrono::steady_clock::now();
  for (int64_t i = 0; i < times; ++i) {
    stack = arguments;
    op.handle.callBoxed(stack);
    stack.clear();
  }
  const std::chrono::duration<double, std::nano> elapsed = std::chrono::steady_clock::now() - start;
  return make_double(env, elapsed.count() / static_cast<double>(times));
}

}  // namespace

template <napi_value (*Callback)(napi_env, napi_callback_info)>
void define_with_environment(napi_env env, napi_value exports, const char* name) {
  napi_value function;
  check(napi_create_function(env, name, NAPI_AUTO_LENGTH, guarded<Callback>, &Environment::of(env), &function));
  set_property(env, exports, name, function);
}

void define_call(napi_env env, napi_value exports) {
  define_with_environment<call>(env, exports, "call");
  define_with_environment<call_frame<FrameShape::Unary>>(env, exports, "callUnary");
  define_with_environment<call_frame<FrameShape::Tensor>>(env, exports, "callWithTensor");
  define_with_environment<call_frame<FrameShape::Scalar>>(env, exports, "callWithNumber");
  define<time_call>(env, exports, "timeCall");
}

}  // namespace nudge
