#pragma once

#include <cstddef>
#include <vector>

#include "cpu/ops.h"

namespace monosem::cpu {

/// A thread's own working memory, kept between calls: `static thread_local Scratch panel;`.
/// 64-byte aligned; the content of an earlier call is garbage.
class Scratch {
 public:
  float* floats(int64_t count) {
    const size_t lines = static_cast<size_t>(count) / 16 + 1;
    if (lines_.size() < lines) {
      lines_.clear();  // nothing to preserve
      lines_.resize(lines);
    }
    return lines_.data()->values;
  }

 private:
  struct alignas(64) Line {
    float values[16];
  };
  std::vector<Line> lines_;
};

/// Memory of cpu::allocate that is given back at the end of the scope, or handed on by release().
template <class T>
class Memory {
 public:
  Memory() = default;
  explicit Memory(int64_t count)
      : data_(static_cast<T*>(allocate(static_cast<size_t>(count) * sizeof(T)))) {}
  ~Memory() { cpu::release(data_); }
  Memory(Memory&& other) noexcept : data_(other.release()) {}
  Memory& operator=(Memory&& other) noexcept {
    T* taken = other.release();
    cpu::release(data_);
    data_ = taken;
    return *this;
  }
  T* get() const { return data_; }
  T& operator[](int64_t i) const { return data_[i]; }
  T* release() {
    T* data = data_;
    data_ = nullptr;
    return data;
  }

 private:
  T* data_ = nullptr;
};

}  // namespace monosem::cpu
