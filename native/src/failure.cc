#include "failure.h"

#include <ATen/EmptyTensor.h>

#include <algorithm>
#include <sstream>

#include "environment.h"

namespace nudge {

using torch::jit::Stack;

namespace {

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

}  // namespace

std::string describe_failure(const Operator& op, const Stack& arguments, const std::string& reason) {
  std::ostringstream text;
  text << op.name << ": " << reason.substr(0, kShownReason) << (reason.size() > kShownReason ? "..." : "");
  for (size_t i = 0; i < arguments.size(); ++i) {
    text << "\n  " << op.arguments[i].name << ": ";
    describe_value(text, arguments[i]);
  }
  return text.str();
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

}  // namespace nudge
