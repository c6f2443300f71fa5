#pragma once

#include <cstdint>
#include <string>

namespace monosem::cpu {

/// Bytes this process may still use, and in all: the machine's, or its control group's (a
/// container's) where that has fewer.
struct MemoryReading {
  uint64_t available, total;
};

/// Reads /proc and the control groups' files, in some tens of microseconds. Where there are none,
/// available is the machine's memory less what `allocate` gave out.
MemoryReading read_memory();

/// read_memory().total of the system, as it was when first asked for.
uint64_t total_memory();

/// What read_memory asks from now on, for tests; null: the system.
void set_memory_reader(MemoryReading (*reader)());

/// The tightest of the control groups that hold a process: of its own, named in `membership`
/// (/proc/self/cgroup), and of those above it, mounted under `root` (/sys/fs/cgroup), version 1 or
/// 2. Pages of files count as available. No limit: UINT64_MAX.
MemoryReading read_control_groups(const std::string& membership, const std::string& root);

}  // namespace monosem::cpu
