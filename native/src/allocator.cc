// The memory of CPU tensors, recycled.
//
// libtorch's own CPU allocator calls posix_memalign and free for every tensor. glibc gives blocks above 32 MB back to the kernel at
// once and takes fresh, zeroed pages for the next: on two cores x + 1 over 64 MB took 20 ms, of which 14 were page faults. And
// posix_memalign passes by malloc's per-thread cache, which small tensors feel.
#include "allocator.h"

#include <c10/core/Allocator.h>
#include <c10/core/CPUAllocator.h>
#include <c10/util/Exception.h>

#include <sys/mman.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <map>
#include <mutex>
#include <string_view>

namespace nudge {
namespace {

constexpr size_t kAlignment = 64;
constexpr size_t kSmallLimit = 4096;            // bytes; above, sizes are kept exactly
constexpr size_t kSmallClasses = kSmallLimit / kAlignment;
constexpr size_t kSmallKept = 256;              // free blocks of a class that a thread keeps
constexpr size_t kLargeLimit = size_t{1} << 20; // from here on blocks are mapped and shared by all threads
constexpr size_t kPage = 4096;
constexpr size_t kHugePage = size_t{1} << 21;

// Before every block, in the 64 bytes that alignment costs anyway.
struct alignas(kAlignment) Header {
  size_t bytes;  // of the data that follow
  Header* next;
};

void* data_of(Header* header) { return header + 1; }
Header* header_of(void* data) { return static_cast<Header*>(data) - 1; }

[[noreturn]] void out_of_memory(size_t bytes) {
  TORCH_CHECK_WITH(OutOfMemoryError, false, "not enough memory for a tensor of ", bytes, " bytes");
}

// ---- small: a list of free blocks for each size, one set a thread ----

struct SmallLists {
  std::array<Header*, kSmallClasses + 1> first{};
  std::array<uint32_t, kSmallClasses + 1> count{};
  ~SmallLists() {
    for (Header*& head : first) {
      while (head != nullptr) {
        Header* next = head->next;
        std::free(head);
        head = next;
      }
    }
    alive = false;
  }
  static thread_local bool alive;
};
thread_local bool SmallLists::alive = true;
thread_local SmallLists small_lists;

// ---- large: blocks of whole pages, the best fit of those that were freed ----

// What is live and what is kept for reuse together never exceed what was live at once: caching does not raise the peak.
class LargeBlocks {
 public:
  Header* take(size_t bytes) {
    const size_t wanted = round_up(bytes + sizeof(Header));
    {
      std::lock_guard<std::mutex> lock(mutex_);
      Header* header = fitting(wanted);
      live_ += header != nullptr ? header->bytes : wanted;
      if (header == nullptr && is_over()) header = remap(nearest(wanted), wanted);
      while (is_over()) drop(std::prev(free_.end()));
      if (header != nullptr) {
        peak_ = std::max(peak_, live_);
        return header;
      }
    }
    Header* header = map(wanted);
    std::lock_guard<std::mutex> lock(mutex_);
    if (header == nullptr) {
      live_ -= wanted;
      out_of_memory(bytes);
    }
    // Only now: what could not be had does not count as a peak.
    peak_ = std::max(peak_, live_);
    return header;
  }

  void give(Header* header) {
    std::lock_guard<std::mutex> lock(mutex_);
    live_ -= header->bytes;
    kept_ += header->bytes;
    free_.emplace(header->bytes, header);
  }

  void empty() {
    std::lock_guard<std::mutex> lock(mutex_);
    while (!free_.empty()) drop(free_.begin());
    peak_ = live_;
  }

 private:
  static size_t round_up(size_t bytes) {
    const size_t unit = bytes >= 8 * kHugePage ? kHugePage : kPage;
    return (bytes + unit - 1) / unit * unit;
  }

  // Whether blocks are kept that would raise the peak.
  bool is_over() const { return kept_ > 0 && live_ + kept_ > peak_; }

  // A free block that is large enough, if one is. More than an eighth too large, it stays for what needs it.
  Header* fitting(size_t wanted) {
    const auto found = free_.lower_bound(wanted);
    if (found == free_.end() || found->first > wanted + wanted / 8) return nullptr;
    Header* header = found->second;
    free_.erase(found);
    kept_ -= header->bytes;
    return header;
  }

  // The free block whose size is nearest.
  std::multimap<size_t, Header*>::iterator nearest(size_t wanted) {
    const auto above = free_.lower_bound(wanted);
    if (above == free_.begin()) return above;
    const auto below = std::prev(above);
    return above == free_.end() || wanted - below->first < above->first - wanted ? below : above;
  }

  // Brings a free block to another size, where it would be given back else: its pages come along, so that only those cost a page
  // fault that it had not. Training with steps of different lengths does this all the time. nullptr where it cannot be.
  Header* remap(std::multimap<size_t, Header*>::iterator entry, size_t bytes) {
#ifdef MREMAP_MAYMOVE
    void* place = mremap(entry->second, entry->first, bytes, MREMAP_MAYMOVE);
    if (place == MAP_FAILED) return nullptr;
    kept_ -= entry->first;
    free_.erase(entry);
    auto* header = static_cast<Header*>(place);
    header->bytes = bytes;
    return header;
#else
    (void)entry, (void)bytes;
    return nullptr;
#endif
  }

  void drop(std::multimap<size_t, Header*>::iterator entry) {
    kept_ -= entry->first;
    munmap(entry->second, entry->first);
    free_.erase(entry);
  }

  // nullptr when there is no memory.
  static Header* map(size_t bytes) {
    void* place = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (place == MAP_FAILED) return nullptr;
#ifdef MADV_HUGEPAGE
    if (bytes >= 8 * kHugePage) madvise(place, bytes, MADV_HUGEPAGE);
#endif
    auto* header = static_cast<Header*>(place);
    header->bytes = bytes;
    return header;
  }

  std::mutex mutex_;
  std::multimap<size_t, Header*> free_;
  size_t live_ = 0, kept_ = 0, peak_ = 0;
};

// Leaked on purpose: tensors may die while static destructors run.
LargeBlocks& large_blocks() {
  static LargeBlocks* blocks = new LargeBlocks();
  return *blocks;
}

Header* fresh(size_t bytes) {
  auto* header = static_cast<Header*>(std::aligned_alloc(kAlignment, sizeof(Header) + bytes));
  if (header == nullptr) out_of_memory(bytes);
  header->bytes = bytes;
  return header;
}

void release(void* data) {
  if (data == nullptr) return;
  Header* header = header_of(data);
  const size_t bytes = header->bytes;
  if (bytes >= kLargeLimit) return large_blocks().give(header);
  if (bytes > kSmallLimit || !SmallLists::alive) return std::free(header);
  SmallLists& lists = small_lists;
  const size_t size_class = bytes / kAlignment;
  if (lists.count[size_class] == kSmallKept) return std::free(header);
  header->next = lists.first[size_class];
  lists.first[size_class] = header;
  ++lists.count[size_class];
}

class CpuAllocator final : public c10::Allocator {
 public:
  c10::DataPtr allocate(size_t bytes) override {
    if (bytes > static_cast<size_t>(PTRDIFF_MAX) - 2 * kHugePage) out_of_memory(bytes);
    if (bytes == 0) return {nullptr, nullptr, &release, c10::Device(c10::DeviceType::CPU)};
    void* data = data_of(find(bytes));
    return {data, data, &release, c10::Device(c10::DeviceType::CPU)};
  }
  c10::DeleterFnPtr raw_deleter() const override { return &release; }
  void copy_data(void* to, const void* from, size_t bytes) const override { default_copy_data(to, from, bytes); }

 private:
  static Header* find(size_t bytes) {
    if (bytes >= kLargeLimit - kPage) return large_blocks().take(std::max(bytes, kLargeLimit));
    const size_t rounded = (bytes + kAlignment - 1) / kAlignment * kAlignment;
    if (rounded > kSmallLimit || !SmallLists::alive) return fresh(rounded);
    SmallLists& lists = small_lists;
    const size_t size_class = rounded / kAlignment;
    Header* header = lists.first[size_class];
    if (header == nullptr) return fresh(rounded);
    lists.first[size_class] = header->next;
    --lists.count[size_class];
    return header;
  }
};

}  // namespace

void install_cpu_allocator() {
  static const bool installed = [] {
    const char* choice = std::getenv("NUDGE_ALLOCATOR");
    if (choice != nullptr && std::string_view(choice) == "system") return false;
    c10::SetCPUAllocator(new CpuAllocator(), 1);
    return true;
  }();
  (void)installed;
}

void empty_cpu_cache() { large_blocks().empty(); }

}  // namespace nudge
