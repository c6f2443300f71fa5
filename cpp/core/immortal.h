#pragma once

#include <cstddef>
#include <new>
#include <utility>

namespace monosem {

/// A process-wide object that is never destroyed: its threads may still run while exit() destroys
/// statics, and nothing is gained by tearing it down then.
template <class T>
class Immortal {
 public:
  template <class... Args>
  explicit Immortal(Args&&... args) {
    ::new (static_cast<void*>(storage_)) T(std::forward<Args>(args)...);
  }
  T& operator*() { return *std::launder(reinterpret_cast<T*>(storage_)); }
  T* operator->() { return &**this; }

 private:
  alignas(T) std::byte storage_[sizeof(T)];
};

}  // namespace monosem
