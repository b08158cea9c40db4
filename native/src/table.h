// The tensor table: one for the whole process, behind a lock.
//
// JavaScript holds a tensor as a number, slot + generation. A number costs 59 ns to create and release where a wrapped object
// costs 240 to 600, a worker can hand it to another, and a stale one is detected instead of crashing.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <deque>
#include <mutex>
#include <string>
#include <vector>

namespace nudge {

using Handle = double;
using OwnerId = uint32_t;

constexpr OwnerId kNobody = 0;  // a released tensor on its way to another thread

struct TableStatistics {
  size_t tensors = 0;
  size_t bytes = 0;  // each storage counted once
};

class TensorTable {
 public:
  static TensorTable& instance();

  OwnerId new_owner();

  // The lock is taken once for all the tensors of a call; the `locked` members expect it to be held.
  std::mutex& mutex() { return mutex_; }
  const at::Tensor& get_locked(Handle handle);
  Handle put_locked(at::Tensor tensor, OwnerId owner);

  at::Tensor get(Handle handle);
  Handle put(at::Tensor tensor, OwnerId owner);

  // Frees the tensors; a handle that is stale already is ignored, so that freeing twice is harmless.
  void release(const double* handles, size_t count);
  // Frees all that a thread owned: it has ended.
  void release_owner(OwnerId owner);
  // Gives a tensor to another owner.
  void transfer(Handle handle, OwnerId owner);
  bool is_live(Handle handle);

  TableStatistics statistics();

 private:
  struct Slot {
    at::Tensor tensor;
    uint32_t generation = 1;
    uint32_t next_free = 0;
    OwnerId owner = kNobody;
    bool live = false;
  };

  Slot* find(Handle handle);
  at::Tensor take(Slot& slot, uint32_t index);

  std::mutex mutex_;
  std::deque<Slot> slots_;  // a deque never moves its elements
  uint32_t first_free_ = UINT32_MAX;
  OwnerId next_owner_ = 1;
  size_t live_ = 0;
};

}  // namespace nudge
