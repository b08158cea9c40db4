// An operator of PyTorch's dispatcher, its schema compiled once into codes that a call can walk quickly.
#pragma once

#include <ATen/core/dispatch/Dispatcher.h>

#include <string>
#include <vector>

namespace nudge {

enum class Kind : uint8_t {
  Tensor,
  TensorList,          // Tensor[]
  OptionalTensorList,  // Tensor?[]
  Int,
  Float,
  Bool,
  Scalar,
  String,
  IntList,
  FloatList,
  BoolList,
  ScalarList,
  StringList,
  ScalarType,
  Layout,
  MemoryFormat,
  Device,
  Generator,
  Unsupported,
};

struct Argument {
  Kind kind;
  bool optional;    // None is a legal value
  bool has_default;
  bool written;     // the operator writes to it
  int32_t length;   // of a list that may be given as one element, such as int[2]; else -1
  std::string name;
  c10::IValue default_value;
};

struct Operator {
  c10::OperatorHandle handle;
  std::string name;  // "aten::add.Tensor"
  std::vector<Argument> arguments;
  // Per return: true where it aliases an argument that was written to (`Tensor(a!)`). JavaScript has that object already.
  std::vector<bool> returns_written_argument;
};

// The operator of this exact name, compiled on first use; lives as long as the process. Throws JsError for an unknown name.
const Operator& find_operator(const std::string& name);

// Every schema that the dispatcher knows, as text, sorted.
std::vector<std::string> all_schemas();

// The type of an argument in words, for errors.
std::string describe_kind(const Argument& argument);

}  // namespace nudge
