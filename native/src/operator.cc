#include "operator.h"

#include <ATen/core/function_schema.h>
#include <ATen/core/jit_type.h>

#include <algorithm>
#include <memory>
#include <mutex>
#include <sstream>
#include <unordered_map>

#include "napi.h"

namespace nudge {

namespace {

Kind scalar_kind(const c10::Type& type) {
  switch (type.kind()) {
    case c10::TypeKind::TensorType: return Kind::Tensor;
    case c10::TypeKind::IntType:
    case c10::TypeKind::SymIntType: return Kind::Int;
    case c10::TypeKind::FloatType: return Kind::Float;
    case c10::TypeKind::BoolType:
    case c10::TypeKind::SymBoolType: return Kind::Bool;
    case c10::TypeKind::NumberType: return Kind::Scalar;
    case c10::TypeKind::StringType: return Kind::String;
    case c10::TypeKind::ScalarTypeType: return Kind::ScalarType;
    case c10::TypeKind::LayoutType: return Kind::Layout;
    case c10::TypeKind::MemoryFormatType: return Kind::MemoryFormat;
    case c10::TypeKind::DeviceObjType: return Kind::Device;
    case c10::TypeKind::GeneratorType: return Kind::Generator;
    default: return Kind::Unsupported;
  }
}

Kind list_kind(const c10::Type& element) {
  if (element.kind() == c10::TypeKind::OptionalType) {
    const auto inner = element.expectRef<c10::OptionalType>().getElementType();
    return inner->kind() == c10::TypeKind::TensorType ? Kind::OptionalTensorList : Kind::Unsupported;
  }
  switch (scalar_kind(element)) {
    case Kind::Tensor: return Kind::TensorList;
    case Kind::Int: return Kind::IntList;
    case Kind::Float: return Kind::FloatList;
    case Kind::Bool: return Kind::BoolList;
    case Kind::Scalar: return Kind::ScalarList;
    case Kind::String: return Kind::StringList;
    default: return Kind::Unsupported;
  }
}

Argument compile_argument(const c10::Argument& source) {
  // real_type tells ScalarType, Layout and SymInt apart; type shows them all as int.
  c10::TypePtr type = source.real_type();
  Argument argument;
  argument.optional = false;
  if (type->kind() == c10::TypeKind::OptionalType) {
    argument.optional = true;
    type = type->expectRef<c10::OptionalType>().getElementType();
  }
  argument.kind = type->kind() == c10::TypeKind::ListType
      ? list_kind(*type->expectRef<c10::ListType>().getElementType())
      : scalar_kind(*type);
  argument.has_default = source.default_value().has_value();
  if (argument.has_default) argument.default_value = *source.default_value();
  argument.written = source.alias_info() != nullptr && source.alias_info()->isWrite();
  argument.length = source.N().value_or(-1);
  argument.name = source.name();
  return argument;
}

std::unique_ptr<Operator> compile(const c10::OperatorHandle& handle, const std::string& name) {
  const c10::FunctionSchema& schema = handle.schema();
  auto op = std::make_unique<Operator>(Operator{handle, name, {}, {}});
  for (const c10::Argument& argument : schema.arguments()) op->arguments.push_back(compile_argument(argument));
  for (const c10::Argument& result : schema.returns()) {
    op->returns_written_argument.push_back(result.alias_info() != nullptr && result.alias_info()->isWrite());
  }
  return op;
}

}  // namespace

const Operator& find_operator(const std::string& name) {
  // Leaked on purpose, like the tensor table: calls may still run while static destructors do.
  static std::mutex* mutex = new std::mutex();
  static auto* operators = new std::unordered_map<std::string, std::unique_ptr<Operator>>();
  std::lock_guard<std::mutex> lock(*mutex);
  auto& entry = (*operators)[name];
  if (!entry) {
    const size_t dot = name.find('.');
    const std::string overload = dot == std::string::npos ? "" : name.substr(dot + 1);
    const auto handle = c10::Dispatcher::singleton().findSchema({name.substr(0, dot), overload});
    if (!handle) {
      operators->erase(name);
      fail("BAD_ARGUMENT", "this libtorch has no operator named " + name);
    }
    entry = compile(*handle, name);
  }
  return *entry;
}

std::vector<std::string> all_schemas() {
  std::vector<std::string> schemas;
  for (const c10::OperatorName& name : c10::Dispatcher::singleton().getAllOpNames()) {
    const auto handle = c10::Dispatcher::singleton().findSchema(name);
    if (!handle) continue;
    std::ostringstream text;
    text << handle->schema();
    schemas.push_back(text.str());
  }
  std::sort(schemas.begin(), schemas.end());
  return schemas;
}

std::string describe_kind(const Argument& argument) {
  static const char* names[] = {
      "Tensor", "Tensor[]", "(Tensor | null)[]", "integer", "number", "boolean", "number", "string", "integer[]", "number[]",
      "boolean[]", "number[]", "string[]", "dtype", "layout", "memory format", "device", "Generator", "a type Nudge cannot pass"};
  return std::string(names[static_cast<size_t>(argument.kind)]) + (argument.optional ? " | null" : "");
}

}  // namespace nudge
