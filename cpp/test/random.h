#pragma once

// A tiny seeded generator for property tests: the same numbers on every machine.

#include <cmath>
#include <cstdint>

namespace monosem::test {

class Random {
 public:
  explicit Random(uint64_t seed) : state_(seed) {}

  /// splitmix64 (Steele, Lea and Flood 2014).
  uint64_t bits() {
    uint64_t z = (state_ += 0x9e3779b97f4a7c15u);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
  }
  /// In [low, high], both included.
  int64_t integer(int64_t low, int64_t high) {
    return low + static_cast<int64_t>(bits() % static_cast<uint64_t>(high - low + 1));
  }
  /// In [0, 1).
  double unit() { return static_cast<double>(bits() >> 11) * 0x1p-53; }
  float uniform(float low, float high) { return low + static_cast<float>(unit()) * (high - low); }
  float normal() {
    return static_cast<float>(std::sqrt(-2.0 * std::log(1.0 - unit())) *
                              std::cos(6.283185307179586 * unit()));
  }
  bool chance(double probability) { return unit() < probability; }

 private:
  uint64_t state_;
};

}  // namespace monosem::test
