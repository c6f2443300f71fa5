#include "cpu/available_memory.h"

#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <fstream>
#include <limits>
#include <sstream>

#include "cpu/ops.h"

namespace monosem::cpu {
namespace {

constexpr uint64_t kUnlimited = std::numeric_limits<uint64_t>::max();

std::string contents(const std::string& path) {
  std::ifstream file(path);
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

/// "4096" is 4096; "max" or a file that is not there is no number.
bool read_number(const std::string& path, uint64_t& value) {
  std::istringstream text(contents(path));
  return static_cast<bool>(text >> value);
}

/// The number after a word that begins a line: "inactive_file 4096", "MemAvailable:   12 kB".
uint64_t field(const std::string& text, const std::string& name) {
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    std::istringstream words(line);
    std::string word;
    uint64_t value = 0;
    if (words >> word >> value && word == name) return value;
  }
  return 0;
}

struct GroupFiles {
  const char *limit, *usage, *inactive, *active;
};
constexpr GroupFiles kVersion1{"/memory.limit_in_bytes", "/memory.usage_in_bytes",
                               "total_inactive_file", "total_active_file"};
constexpr GroupFiles kVersion2{"/memory.max", "/memory.current", "inactive_file", "active_file"};

void tighten(MemoryReading& least, const std::string& folder, const GroupFiles& names) {
  uint64_t limit = 0, usage = 0;
  if (!read_number(folder + names.limit, limit) || !read_number(folder + names.usage, usage))
    return;
  // Version 1 writes "no limit" as the largest multiple of a page.
  if (limit > kUnlimited / 4) return;
  const std::string stat = contents(folder + "/memory.stat");
  usage -= std::min(usage, field(stat, names.inactive) + field(stat, names.active));
  least.total = std::min(least.total, limit);
  least.available = std::min(least.available, limit - std::min(limit, usage));
}

MemoryReading read_system() {
  static const uint64_t machine = static_cast<uint64_t>(sysconf(_SC_PHYS_PAGES)) *
                                  static_cast<uint64_t>(sysconf(_SC_PAGE_SIZE));
  MemoryReading reading = read_control_groups(contents("/proc/self/cgroup"), "/sys/fs/cgroup");
  reading.total = std::min(reading.total, machine);
  uint64_t available = field(contents("/proc/meminfo"), "MemAvailable:") * 1024;
  if (available == 0) {
    uint64_t in_use = 0, cached = 0;
    memory(&in_use, &cached);
    available = machine - std::min(machine, in_use + cached);
  }
  reading.available = std::min(reading.available, available);
  return reading;
}

std::atomic<MemoryReading (*)()> current_reader{&read_system};

}  // namespace

MemoryReading read_control_groups(const std::string& membership, const std::string& root) {
  MemoryReading least{kUnlimited, kUnlimited};
  std::istringstream lines(membership);
  // "4:cpu,memory:/path" of version 1, "0::/path" of version 2.
  for (std::string line; std::getline(lines, line);) {
    const size_t first = line.find(':');
    const size_t second = first == std::string::npos ? first : line.find(':', first + 1);
    if (second == std::string::npos) continue;
    std::string controllers = line.substr(first + 1, second - first - 1);
    const bool version2 = controllers.empty();
    controllers += ',';
    if (!version2 && controllers.find("memory,") == std::string::npos) continue;
    const std::string mount = version2 ? root : root + "/memory";
    // Up to the mount itself: in a container that is the group, whatever its path outside.
    std::string path = line.substr(second + 1);
    while (true) {
      tighten(least, mount + path, version2 ? kVersion2 : kVersion1);
      if (path.empty()) break;
      path.resize(path.rfind('/') == std::string::npos ? 0 : path.rfind('/'));
    }
  }
  return least;
}

uint64_t total_memory() {
  static const uint64_t total = read_system().total;
  return total;
}

MemoryReading read_memory() { return current_reader.load()(); }

void set_memory_reader(MemoryReading (*reader)()) {
  current_reader = reader == nullptr ? &read_system : reader;
}

}  // namespace monosem::cpu
