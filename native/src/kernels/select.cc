// Which instruction set's kernels run: the best that the processor has, unless NUDGE_KERNELS or a test says otherwise.
#include <atomic>
#include <cstdlib>
#include <cstring>

#include "kernels.h"

namespace nudge::kernels {

namespace {

struct Candidate {
  const Kernels* kernels;
  bool supported;
  bool automatic;
};

template <typename Visit>
void for_each_candidate(Visit visit) {
#if defined(__x86_64__)
  __builtin_cpu_init();
  const bool avx512_here = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
      __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq");
  visit(Candidate{&avx512_bf16, avx512_here && __builtin_cpu_supports("avx512bf16"), true});
  visit(Candidate{&avx512, avx512_here, true});
  visit(Candidate{&avx2, __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"), true});
  visit(Candidate{&base, true, false});
#else
  visit(Candidate{&base, true, true});
#endif
}

const Kernels* best() {
  const Kernels* found = nullptr;
  for_each_candidate([&](const Candidate& candidate) {
    if (found == nullptr && candidate.supported && candidate.automatic) found = candidate.kernels;
  });
  return found;
}

const Kernels* named(const char* name) {
  const Kernels* found = nullptr;
  for_each_candidate([&](const Candidate& candidate) {
    if (candidate.supported && std::strcmp(candidate.kernels->name, name) == 0) found = candidate.kernels;
  });
  return found;
}

std::atomic<const Kernels*>& current() {
  static std::atomic<const Kernels*> kernels = [] {
    const char* wanted = std::getenv("NUDGE_KERNELS");
    if (wanted == nullptr || std::strcmp(wanted, "auto") == 0) return best();
    return std::strcmp(wanted, "none") == 0 ? nullptr : named(wanted);
  }();
  return kernels;
}

}  // namespace

const Kernels* selected() { return current().load(std::memory_order_relaxed); }

bool select(const char* name) {
  const Kernels* wanted = nullptr;
  if (std::strcmp(name, "auto") == 0) {
    wanted = best();
  } else if (std::strcmp(name, "none") != 0) {
    wanted = named(name);
    if (wanted == nullptr) return false;
  }
  current().store(wanted, std::memory_order_relaxed);
  return true;
}

}  // namespace nudge::kernels
