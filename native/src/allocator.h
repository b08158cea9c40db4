// The memory of CPU tensors, recycled. See allocator.cc.
#pragma once

namespace nudge {

// Makes libtorch take the memory of CPU tensors from us; once a process. NUDGE_ALLOCATOR=system leaves libtorch's own in place,
// for memory checkers.
void install_cpu_allocator();

// Gives the large blocks that are kept for reuse back to the system.
void empty_cpu_cache();

}  // namespace nudge
