#include "table.h"

#include <unordered_set>

#include "napi.h"

namespace nudge {

namespace {
// 24 bits of slot, 29 of generation: together they fill the 53 bits that a double holds exactly.
constexpr int kSlotBits = 24;
constexpr uint64_t kSlotMask = (uint64_t{1} << kSlotBits) - 1;
constexpr uint32_t kLastGeneration = (1u << 29) - 1;
}  // namespace

// Leaked on purpose: threads may still run, and release, while static destructors do.
TensorTable& TensorTable::instance() {
  static TensorTable* table = new TensorTable();
  return *table;
}

OwnerId TensorTable::new_owner() {
  std::lock_guard<SpinLock> lock(lock_);
  return next_owner_++;
}

TensorTable::Slot* TensorTable::find(Handle handle) {
  if (!(handle > 0 && handle < 9007199254740992.0)) return nullptr;
  const auto bits = static_cast<uint64_t>(handle);
  const auto index = static_cast<uint32_t>(bits & kSlotMask);
  const auto generation = static_cast<uint32_t>(bits >> kSlotBits);
  if (index >= slots_.size()) return nullptr;
  Slot& slot = slots_[index];
  if (!slot.live || slot.generation != generation) return nullptr;
  return &slot;
}

at::Tensor TensorTable::get(Handle handle) {
  std::lock_guard<SpinLock> lock(lock_);
  return slot_of(handle).tensor;
}

TensorTable::Slot& TensorTable::slot_of(Handle handle) {
  Slot* slot = find(handle);
  if (slot == nullptr) [[unlikely]] {
    fail("STALE_TENSOR",
         "this tensor was freed already: by dispose(), at the end of the scope in which it was made, or by release(). "
         "Return it from the scope, or keep() it");
  }
  return *slot;
}

Handle TensorTable::put(at::Tensor tensor, OwnerId owner) {
  std::lock_guard<SpinLock> lock(lock_);
  uint32_t index = first_free_;
  if (index == UINT32_MAX) {
    if (slots_.size() > kSlotMask) {
      fail("OPERATOR_FAILED", "16,777,216 tensors are alive at once. Free some with torch.scope() or dispose()");
    }
    index = static_cast<uint32_t>(slots_.size());
    slots_.emplace_back();
  } else {
    first_free_ = slots_[index].next_free;
  }
  Slot& slot = slots_[index];
  slot.tensor = std::move(tensor);
  slot.owner = owner;
  slot.live = true;
  ++live_;
  return static_cast<double>((static_cast<uint64_t>(slot.generation) << kSlotBits) | index);
}

at::Tensor TensorTable::take(Slot& slot, uint32_t index) {
  at::Tensor tensor = std::move(slot.tensor);
  slot.tensor = at::Tensor();
  slot.live = false;
  slot.owner = kNobody;
  --live_;
  // A slot whose generations are used up is given up: were they counted from the start again, a handle that has been stale for
  // long would come alive, over somebody else's tensor.
  if (slot.generation == kLastGeneration) return tensor;
  ++slot.generation;
  slot.next_free = first_free_;
  first_free_ = index;
  return tensor;
}

void TensorTable::release(const double* handles, size_t count) {
  // The tensors die outside the lock: freeing can take long, and can free a whole graph.
  static thread_local std::vector<at::Tensor> doomed;
  {
    std::lock_guard<SpinLock> lock(lock_);
    for (size_t i = 0; i < count; ++i) {
      Slot* slot = find(handles[i]);
      if (slot == nullptr) continue;
      doomed.push_back(take(*slot, static_cast<uint32_t>(static_cast<uint64_t>(handles[i]) & kSlotMask)));
    }
  }
  doomed.clear();
}

void TensorTable::release_owner(OwnerId owner) {
  std::vector<at::Tensor> doomed;  // declared before the lock, so destroyed after it
  std::lock_guard<SpinLock> lock(lock_);
  for (uint32_t index = 0; index < slots_.size(); ++index) {
    Slot& slot = slots_[index];
    if (slot.live && slot.owner == owner) doomed.push_back(take(slot, index));
  }
}

void TensorTable::transfer(Handle handle, OwnerId owner) {
  std::lock_guard<SpinLock> lock(lock_);
  Slot* slot = find(handle);
  if (owner == kNobody) {
    slot_of(handle).owner = owner;
    return;
  }
  if (slot == nullptr || slot->owner != kNobody) {
    fail("BAD_ARGUMENT", "this ticket was taken already, or was never given out by release()");
  }
  slot->owner = owner;
}

bool TensorTable::is_live(Handle handle) {
  std::lock_guard<SpinLock> lock(lock_);
  return find(handle) != nullptr;
}

TableStatistics TensorTable::statistics() {
  std::lock_guard<SpinLock> lock(lock_);
  TableStatistics result;
  result.tensors = live_;
  std::unordered_set<const void*> seen;
  for (const Slot& slot : slots_) {
    if (!slot.live || !slot.tensor.has_storage()) continue;
    const auto* storage = slot.tensor.storage().unsafeGetStorageImpl();
    if (seen.insert(storage).second) result.bytes += storage->nbytes();
  }
  return result;
}

}  // namespace nudge
