// The tensor table: one for the whole process, behind a lock.
//
// JavaScript holds a tensor as a number, slot + generation. A number costs 59 ns to create and release where a wrapped object
// costs 240 to 600, a worker can hand it to another, and a stale one is detected instead of crashing.
#pragma once

#include <ATen/core/Tensor.h>

#include <atomic>
#include <cstdint>
#include <deque>
#include <mutex>
#include <thread>
#include <vector>

namespace nudge {

using Handle = double;
using OwnerId = uint32_t;

constexpr OwnerId kNobody = 0;  // a released tensor on its way to another thread

// Held for a few dozen nanoseconds at a time, three times a call: a mutex would cost as much as what it protects.
class SpinLock {
 public:
  void lock() {
    while (taken_.exchange(true, std::memory_order_acquire)) {
      // Another thread is inside. Should it have been preempted there, yielding lets it finish.
      for (int spins = 0; taken_.load(std::memory_order_relaxed); ++spins) {
        if (spins > 64) std::this_thread::yield();
      }
    }
  }
  void unlock() { taken_.store(false, std::memory_order_release); }

 private:
  std::atomic<bool> taken_{false};
};

struct TableStatistics {
  size_t tensors = 0;
  size_t bytes = 0;  // each storage counted once
};

class TensorTable {
 public:
  static TensorTable& instance();

  OwnerId new_owner();

  // Throws JsError for a stale handle.
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

  // Expect the lock to be held.
  Slot* find(Handle handle);
  Slot& slot_of(Handle handle);
  at::Tensor take(Slot& slot, uint32_t index);

  SpinLock lock_;
  std::deque<Slot> slots_;  // a deque never moves its elements
  uint32_t first_free_ = UINT32_MAX;
  OwnerId next_owner_ = 1;
  size_t live_ = 0;
};

}  // namespace nudge
