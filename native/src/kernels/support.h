// What the operators over the kernels share: when a kernel may run, and how its work is spread over the threads.
#pragma once

#include <ATen/Parallel.h>
#include <ATen/core/Tensor.h>
#include <c10/util/Exception.h>

#include <algorithm>
#include <memory>
#include <new>

#include "kernels.h"

namespace nudge::kernels {

// Scratch memory of a thread, aligned for the widest register; grows, and is kept for the next call.
class Scratch {
 public:
  template <typename T>
  T* get(size_t bytes) {
    if (bytes > size_) {
      memory_.reset(static_cast<char*>(::operator new(bytes, kAlignment)));
      size_ = bytes;
    }
    return reinterpret_cast<T*>(memory_.get());
  }

 private:
  static constexpr std::align_val_t kAlignment{64};
  struct Delete {
    void operator()(char* memory) const { ::operator delete(memory, kAlignment); }
  };
  std::unique_ptr<char, Delete> memory_;
  size_t size_ = 0;
};

// The kernels for these tensors; null where ATen must do it: another device or dtype.
template <typename... Tensors>
const Kernels* kernels_for(const at::Tensor& first, const Tensors&... others) {
  const auto fits = [&](const at::Tensor& tensor) {
    return tensor.is_cpu() && tensor.layout() == at::kStrided && tensor.scalar_type() == first.scalar_type();
  };
  const bool known = first.scalar_type() == at::kFloat || first.scalar_type() == at::kBFloat16;
  return known && fits(first) && (fits(others) && ...) ? selected() : nullptr;
}

// How many pieces of so many operations a thread takes at once: fewer are done sooner than a second thread has begun.
inline int64_t grain(int64_t operations_each) {
  constexpr int64_t kOperations = 16384;
  return std::max<int64_t>(1, kOperations / std::max<int64_t>(1, operations_each));
}

template <typename T>
T* pointer(const at::Tensor& tensor) {
  return static_cast<T*>(tensor.data_ptr());
}

// Kernels follow these numbers into memory. On a device that would have to be waited for, ATen checks them itself.
template <typename T>
void check_range(const at::Tensor& numbers, int64_t low, int64_t high, const char* what) {
  if (!numbers.is_cpu()) return;
  const at::Tensor all = numbers.contiguous();
  const T* number = pointer<const T>(all);
  for (int64_t i = 0; i < all.numel(); ++i) {
    TORCH_CHECK(number[i] >= low && number[i] <= high, what, " must lie in [", low, ", ", high, "], got ", number[i]);
  }
}

// Calls work(T{}) with the element type of the kernels.
template <typename Work>
void with_type(at::ScalarType type, Work work) {
  if (type == at::kFloat) work(float{});
  else work(BFloat16{});
}

}  // namespace nudge::kernels
