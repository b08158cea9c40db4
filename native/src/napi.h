// Thin helpers over Node-API.
//
// Every status is checked. An environment that is being torn down (a terminated worker, an exiting process) fails any call,
// at any moment; code that ignored this segfaulted 15 times of 15 when its worker was terminated in mid-computation.
#pragma once

#include <node_api.h>

#include <cmath>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>

namespace nudge {

// Thrown when a Node-API call failed: either a JavaScript exception is pending, or the environment is going away.
// In both cases the only right thing is to unwind and return to Node.
struct NapiFailure {};

// An error for the user. `code` is one of src/errors.ts.
struct JsError {
  std::string code;
  std::string message;
};

inline void check(napi_status status) {
  if (status != napi_ok) [[unlikely]] throw NapiFailure{};
}

[[noreturn]] inline void fail(std::string code, std::string message) {
  throw JsError{std::move(code), std::move(message)};
}

inline napi_valuetype type_of(napi_env env, napi_value value) {
  napi_valuetype type;
  check(napi_typeof(env, value, &type));
  return type;
}

inline const char* type_name(napi_valuetype type) {
  switch (type) {
    case napi_undefined: return "undefined";
    case napi_null: return "null";
    case napi_boolean: return "boolean";
    case napi_number: return "number";
    case napi_string: return "string";
    case napi_symbol: return "symbol";
    case napi_object: return "object";
    case napi_function: return "function";
    case napi_external: return "external";
    case napi_bigint: return "bigint";
  }
  return "unknown";
}

inline bool is_nullish(napi_valuetype type) { return type == napi_undefined || type == napi_null; }

inline double get_double(napi_env env, napi_value value) {
  double number;
  check(napi_get_value_double(env, value, &number));
  return number;
}

inline bool get_bool(napi_env env, napi_value value) {
  bool flag;
  check(napi_get_value_bool(env, value, &flag));
  return flag;
}

inline std::string get_string(napi_env env, napi_value value) {
  size_t length = 0;
  check(napi_get_value_string_utf8(env, value, nullptr, 0, &length));
  std::string text(length, '\0');
  check(napi_get_value_string_utf8(env, value, text.data(), length + 1, &length));
  return text;
}

// 2^53: beyond it a double no longer holds every integer.
constexpr double kMaxSafeInteger = 9007199254740992.0;

inline bool is_safe_integer(double number) {
  return std::floor(number) == number && number <= kMaxSafeInteger && number >= -kMaxSafeInteger;
}

inline int64_t get_int64(napi_env env, napi_value value, const char* what) {
  const napi_valuetype type = type_of(env, value);
  if (type == napi_bigint) {
    int64_t integer;
    bool lossless;
    check(napi_get_value_bigint_int64(env, value, &integer, &lossless));
    if (!lossless) fail("OPERATOR_ARGUMENT", std::string(what) + ": this bigint does not fit into 64 bits");
    return integer;
  }
  if (type != napi_number) fail("OPERATOR_ARGUMENT", std::string(what) + ": expected an integer, got " + type_name(type));
  const double number = get_double(env, value);
  if (!is_safe_integer(number)) {
    fail("OPERATOR_ARGUMENT", std::string(what) + ": expected an integer, got " + std::to_string(number));
  }
  return static_cast<int64_t>(number);
}

// A seed: any 64 bits, signed or not.
inline uint64_t get_seed(napi_env env, napi_value value) {
  if (type_of(env, value) == napi_bigint) {
    uint64_t seed;
    bool lossless;
    check(napi_get_value_bigint_uint64(env, value, &seed, &lossless));
    if (lossless) return seed;
  }
  return static_cast<uint64_t>(get_int64(env, value, "seed"));
}

inline napi_value make_double(napi_env env, double number) {
  napi_value value;
  check(napi_create_double(env, number, &value));
  return value;
}

inline napi_value make_int64(napi_env env, int64_t integer) {
  napi_value value;
  const double number = static_cast<double>(integer);
  if (number < kMaxSafeInteger && number > -kMaxSafeInteger) {
    check(napi_create_double(env, number, &value));
  } else {
    check(napi_create_bigint_int64(env, integer, &value));
  }
  return value;
}

inline napi_value make_bool(napi_env env, bool flag) {
  napi_value value;
  check(napi_get_boolean(env, flag, &value));
  return value;
}

inline napi_value make_string(napi_env env, const std::string& text) {
  napi_value value;
  check(napi_create_string_utf8(env, text.data(), text.size(), &value));
  return value;
}

inline napi_value make_null(napi_env env) {
  napi_value value;
  check(napi_get_null(env, &value));
  return value;
}

inline napi_value make_array(napi_env env, size_t length) {
  napi_value value;
  check(napi_create_array_with_length(env, length, &value));
  return value;
}

inline void set_element(napi_env env, napi_value array, size_t index, napi_value value) {
  check(napi_set_element(env, array, static_cast<uint32_t>(index), value));
}

inline void set_property(napi_env env, napi_value object, const char* name, napi_value value) {
  check(napi_set_named_property(env, object, name, value));
}

// The arguments of one call from JavaScript; missing ones read as undefined.
template <size_t N>
struct Arguments {
  napi_env env;
  size_t count = N;
  napi_value values[N];

  Arguments(napi_env env, napi_callback_info info) : env(env) {
    check(napi_get_cb_info(env, info, &count, values, nullptr, nullptr));
  }
  napi_value operator[](size_t index) const { return values[index]; }
  bool present(size_t index) const { return index < count && !is_nullish(type_of(env, values[index])); }
  bool flag(size_t index) const { return present(index) && get_bool(env, values[index]); }
};

// Raises what is in flight as a JavaScript exception. Only for use inside a catch block.
void raise_current_exception(napi_env env) noexcept;

// Wraps a callback so that no C++ exception ever crosses into Node.
template <napi_value (*Callback)(napi_env, napi_callback_info)>
napi_value guarded(napi_env env, napi_callback_info info) {
  try {
    return Callback(env, info);
  } catch (...) {
    raise_current_exception(env);
    return nullptr;
  }
}

}  // namespace nudge
