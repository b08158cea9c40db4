// Linear maps outside inference mode, with their gradients.
#pragma once

#include <ATen/core/Tensor.h>

namespace nudge::kernels {

// Whether products of x are faster in float32: bfloat16 on a processor without instructions for it.
bool widens(const at::Tensor& x);

// y = x Wᵀ + b + scaling (x Aᵀ) Bᵀ, rounded once; b, and A with B, may be undefined. On the CPU, in float32 or bfloat16.
at::Tensor trainable_linear(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias, const at::Tensor& a,
                            const at::Tensor& b, double scaling);

}  // namespace nudge::kernels
