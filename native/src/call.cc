// One generic call reaches every operator: JavaScript values in, Dispatcher::callBoxed, JavaScript values out.
#include <ATen/EmptyTensor.h>
#include <c10/util/complex.h>

#include <algorithm>
#include <chrono>
#include <sstream>

#include "environment.h"

namespace nudge {

namespace {

constexpr size_t kMaxArguments = 64;
// Node fills every place it is offered, so that offering 64 for the usual two or three would cost more than the call.
constexpr size_t kUsualArguments = 6;

using torch::jit::Stack;

[[noreturn]] void wrong_type(const Argument& argument, const std::string& received) {
  fail("OPERATOR_ARGUMENT", "argument '" + argument.name + "': expected " + describe_kind(argument) + ", got " + received);
}

// JavaScript cannot tell 2 from 2.0: an integral number is an integer scalar, except -0, which no integer holds.
c10::Scalar number_scalar(double number) {
  const bool integral = is_safe_integer(number) && !(number == 0 && std::signbit(number));
  return integral ? c10::Scalar(static_cast<int64_t>(number)) : c10::Scalar(number);
}

// A list as JavaScript passed it: a stretch of the scratch buffer, or (long lists) an array.
struct List {
  const double* scratch = nullptr;
  napi_value array = nullptr;
  size_t length = 0;
};

class Converter {
 public:
  Converter(napi_env env, Environment& environment) : env_(env), environment_(environment) {}

  c10::IValue convert(napi_value value, const Argument& argument) {
    // Tensors first, and without asking for the type: most arguments are tensors, and each question costs.
    if (argument.kind == Kind::Tensor) {
      double handle;
      if (napi_get_value_double(env_, value, &handle) == napi_ok) return environment_.table.get(handle);
    }
    const napi_valuetype type = type_of(env_, value);
    if (is_nullish(type)) return absent(type, argument);
    switch (argument.kind) {
      case Kind::Int: return integer(value, type, argument);
      case Kind::Float: return floating(value, type, argument);
      case Kind::Bool:
        if (type != napi_boolean) wrong_type(argument, type_name(type));
        return get_bool(env_, value);
      case Kind::Scalar: return c10::IValue(scalar(value, type, argument));
      case Kind::String:
        if (type != napi_string) wrong_type(argument, type_name(type));
        return get_string(env_, value);
      case Kind::ScalarType:
      case Kind::Layout:
      case Kind::MemoryFormat: return get_int64(env_, value, argument.name.c_str());
      case Kind::Device:
        if (type != napi_string) wrong_type(argument, type_name(type));
        return parse_device(get_string(env_, value));
      case Kind::Generator: return get_generator(env_, value);
      case Kind::Tensor:
      case Kind::Unsupported: wrong_type(argument, type_name(type));
      default: return list(value, type, argument);
    }
  }

  c10::IValue missing(const Argument& argument) { return absent(napi_undefined, argument); }

 private:
  c10::IValue absent(napi_valuetype type, const Argument& argument) {
    if (type == napi_undefined && argument.has_default) return argument.default_value;
    if (argument.optional) return c10::IValue();
    // null stands for a default too where None would not be legal: nothing else could be meant.
    if (argument.has_default) return argument.default_value;
    wrong_type(argument, type_name(type));
  }

  c10::IValue integer(napi_value value, napi_valuetype type, const Argument& argument) {
    if (type == napi_number) {
      const double number = get_double(env_, value);
      if (!is_safe_integer(number)) wrong_type(argument, std::to_string(number));
      return static_cast<int64_t>(number);
    }
    if (type == napi_bigint) return get_int64(env_, value, argument.name.c_str());
    wrong_type(argument, type_name(type));
  }

  c10::IValue floating(napi_value value, napi_valuetype type, const Argument& argument) {
    if (type == napi_number) return get_double(env_, value);
    if (type == napi_object) return scalar(value, type, argument).toDouble();
    wrong_type(argument, type_name(type));
  }

  // An integral number is an integer scalar; torch.float(2) arrives as { float: 2 }, torch.complexNumber as { re, im }.
  c10::Scalar scalar(napi_value value, napi_valuetype type, const Argument& argument) {
    switch (type) {
      case napi_number: return number_scalar(get_double(env_, value));
      case napi_boolean: return c10::Scalar(get_bool(env_, value));
      case napi_bigint: return c10::Scalar(get_int64(env_, value, argument.name.c_str()));
      case napi_object: {
        if (const auto number = property(value, "float")) return c10::Scalar(*number);
        const auto real = property(value, "re");
        const auto imaginary = property(value, "im");
        if (real && imaginary) return c10::Scalar(c10::complex<double>(*real, *imaginary));
        wrong_type(argument, "an object");
      }
      default: wrong_type(argument, type_name(type));
    }
  }

  std::optional<double> property(napi_value object, const char* name) {
    napi_value value;
    check(napi_get_named_property(env_, object, name, &value));
    if (type_of(env_, value) != napi_number) return std::nullopt;
    return get_double(env_, value);
  }

  List open_list(napi_value value, napi_valuetype type, const Argument& argument) {
    List result;
    if (type == napi_number) {
      const auto code = static_cast<uint64_t>(get_double(env_, value));
      const size_t start = code / kScratchSize;
      result.length = code % kScratchSize;
      if (start == 0 || start + result.length > kScratchSize) wrong_type(argument, "a number");
      result.scratch = environment_.scratch + start;
      return result;
    }
    bool is_array = false;
    check(napi_is_array(env_, value, &is_array));
    if (!is_array) wrong_type(argument, type_name(type));
    uint32_t length = 0;
    check(napi_get_array_length(env_, value, &length));
    result.array = value;
    result.length = length;
    return result;
  }

  napi_value element_value(const List& list, size_t index) {
    napi_value element;
    check(napi_get_element(env_, list.array, static_cast<uint32_t>(index), &element));
    return element;
  }

  double number_at(const List& list, size_t index, const Argument& argument) {
    if (list.scratch != nullptr) return list.scratch[index];
    napi_value element = element_value(list, index);
    const napi_valuetype type = type_of(env_, element);
    if (is_nullish(type)) return 0;  // only a handle can be absent, and no handle is 0
    if (type != napi_number) wrong_type(argument, std::string(type_name(type)) + " at index " + std::to_string(index));
    return get_double(env_, element);
  }

  int64_t integer_at(const List& list, size_t index, const Argument& argument) {
    if (list.scratch == nullptr && type_of(env_, element_value(list, index)) == napi_bigint) {
      return get_int64(env_, element_value(list, index), argument.name.c_str());
    }
    const double number = number_at(list, index, argument);
    if (!is_safe_integer(number)) wrong_type(argument, std::to_string(number) + " at index " + std::to_string(index));
    return static_cast<int64_t>(number);
  }

  c10::IValue list(napi_value value, napi_valuetype type, const Argument& argument) {
    const List source = open_list(value, type, argument);
    switch (argument.kind) {
      case Kind::IntList: {
        // int[2] may be given as one integer, as in Python.
        const size_t length = source.length == 1 && argument.length > 1 ? argument.length : source.length;
        c10::List<int64_t> result;
        result.reserve(length);
        for (size_t i = 0; i < length; ++i) result.push_back(integer_at(source, source.length == 1 ? 0 : i, argument));
        return result;
      }
      case Kind::FloatList: {
        c10::List<double> result;
        for (size_t i = 0; i < source.length; ++i) result.push_back(number_at(source, i, argument));
        return result;
      }
      case Kind::BoolList: {
        const size_t length = source.length == 1 && argument.length > 1 ? argument.length : source.length;
        c10::List<bool> result;
        for (size_t i = 0; i < length; ++i) {
          const size_t at = source.length == 1 ? 0 : i;
          result.push_back(source.scratch != nullptr ? source.scratch[at] != 0 : get_bool(env_, element_value(source, at)));
        }
        return result;
      }
      case Kind::TensorList: return tensor_list(source, argument);
      case Kind::OptionalTensorList: return optional_tensor_list(source, argument);
      case Kind::ScalarList: {
        c10::List<at::Scalar> result;
        for (size_t i = 0; i < source.length; ++i) {
          if (source.scratch != nullptr) wrong_type(argument, "a number");
          napi_value element = element_value(source, i);
          result.push_back(scalar(element, type_of(env_, element), argument));
        }
        return result;
      }
      case Kind::StringList: {
        c10::List<std::string> result;
        for (size_t i = 0; i < source.length; ++i) result.push_back(get_string(env_, element_value(source, i)));
        return result;
      }
      default: wrong_type(argument, type_name(type));
    }
  }

  c10::IValue tensor_list(const List& source, const Argument& argument) {
    c10::List<at::Tensor> result;
    result.reserve(source.length);
    for (size_t i = 0; i < source.length; ++i) {
      const double handle = number_at(source, i, argument);
      if (handle == 0) wrong_type(argument, "null at index " + std::to_string(i));
      result.push_back(environment_.table.get(handle));
    }
    return result;
  }

  c10::IValue optional_tensor_list(const List& source, const Argument& argument) {
    c10::List<std::optional<at::Tensor>> result;
    result.reserve(source.length);
    for (size_t i = 0; i < source.length; ++i) {
      const double handle = number_at(source, i, argument);
      if (handle == 0) {
        result.push_back(std::nullopt);
      } else {
        result.push_back(environment_.table.get(handle));
      }
    }
    return result;
  }

  napi_env env_;
  Environment& environment_;
};

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

// A message is for reading: of long lists and strings it shows the beginning.
constexpr size_t kShownElements = 16;
constexpr size_t kShownCharacters = 80;
constexpr size_t kShownReason = 1000;  // libtorch's own messages list every size of a shape

void describe_value(std::ostringstream& text, const c10::IValue& value) {
  if (value.isTensor()) {
    text << describe(value.toTensor());
  } else if (value.isList()) {
    const auto elements = value.toListRef();
    text << "[";
    for (size_t i = 0; i < elements.size() && i < kShownElements; ++i) {
      text << (i == 0 ? "" : ", ");
      describe_value(text, elements[i]);
    }
    text << (elements.size() > kShownElements ? ", ... " + std::to_string(elements.size()) + " in all]" : "]");
  } else if (value.isNone()) {
    text << "null";
  } else if (value.isString()) {
    const std::string& string = value.toStringRef();
    text << '\'' << string.substr(0, kShownCharacters) << (string.size() > kShownCharacters ? "'..." : "'");
  } else {
    text << value;
  }
}

// libtorch's own message, without the C++ frames that follow it, and what the operator was called with.
std::string describe_failure(const Operator& op, const Stack& arguments, const std::string& reason) {
  std::ostringstream text;
  text << op.name << ": " << reason.substr(0, kShownReason) << (reason.size() > kShownReason ? "..." : "");
  for (size_t i = 0; i < arguments.size(); ++i) {
    text << "\n  " << op.arguments[i].name << ": ";
    describe_value(text, arguments[i]);
  }
  return text.str();
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

// libtorch sets a tensor's sizes before it resizes the storage under it. When that fails (no memory, or a mapped storage that
// must not move) the tensor claims memory that it does not have, and its next use would read somebody else's. So it is cut to
// what is there.
void repair(const at::Tensor& tensor) {
  if (!tensor.defined() || !tensor.has_storage()) return;
  const size_t available = tensor.storage().nbytes();
  const size_t item = tensor.dtype().itemsize();
  const size_t needed = at::detail::computeStorageNbytes(tensor.sizes(), tensor.strides(), item, tensor.storage_offset());
  if (needed <= available || item == 0) return;
  const auto elements = static_cast<int64_t>(available / item) - tensor.storage_offset();
  tensor.unsafeGetTensorImpl()->set_sizes_contiguous({std::max<int64_t>(elements, 0)});
}

void repair_written(const Operator& op, const Stack& arguments) {
  for (size_t i = 0; i < arguments.size(); ++i) {
    if (!op.arguments[i].written) continue;
    if (arguments[i].isTensor()) repair(arguments[i].toTensor());
    if (arguments[i].isTensorList()) {
      for (const at::Tensor& tensor : arguments[i].toTensorVector()) repair(tensor);
    }
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
