// What is said, and mended, when an operator fails.
#pragma once

#include <ATen/core/stack.h>

#include <string>

#include "operator.h"

namespace nudge {

// libtorch's own message, without the C++ frames that follow it, and what the operator was called with.
std::string describe_failure(const Operator& op, const torch::jit::Stack& arguments, const std::string& reason);

// Cuts the tensors that the operator was to write to what their memory holds.
void repair_written(const Operator& op, const torch::jit::Stack& arguments);

}  // namespace nudge
