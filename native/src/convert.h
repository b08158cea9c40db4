// JavaScript's values on their way to an operator. In a header, since a call goes through here for every argument.
#pragma once

#include <c10/util/complex.h>

#include <string>

#include "environment.h"

namespace nudge {

[[noreturn]] inline void wrong_type(const Argument& argument, const std::string& received) {
  fail("OPERATOR_ARGUMENT", "argument '" + argument.name + "': expected " + describe_kind(argument) + ", got " + received);
}

// JavaScript cannot tell 2 from 2.0: an integral number is an integer scalar, except -0, which no integer holds.
inline c10::Scalar number_scalar(double number) {
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

}  // namespace nudge
