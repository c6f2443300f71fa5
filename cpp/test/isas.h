#pragma once

// Runs a test body once per instruction set that this machine has.

#include <functional>
#include <sstream>
#include <string>

#include "cpu/isa.h"

namespace monosem::test {

inline void for_each_isa(const std::function<void(const std::string&)>& body) {
  const std::string before = cpu::isa_name();
  struct Restore {
    const std::string& name;
    ~Restore() { cpu::set_isa(name); }
  } restore{before};
  std::istringstream names(cpu::available_isas());
  for (std::string name; names >> name;) {
    cpu::set_isa(name);
    body(name);
  }
}

}  // namespace monosem::test
