#pragma once

// What rounding adds to the screen's bound (screen_form.h), and how sums of squares are measured.

#include <cstdint>

namespace monosem::cpu {

/// Bounds and limits carry this much relative slack for the rounding of their own evaluation.
inline constexpr double kBoundSlack = 1e-5;
/// One rounding of float32, relative.
inline constexpr double kRounding = 0x1p-24;
/// Roundings between the exact integer sum and the estimate: its conversion, two scales, the sum
/// with the kept dimensions, with some to spare.
inline constexpr double kEstimateRoundings = 16 * kRounding;

/// The least scales of a feature's digits and of a token's. Their product is no less than the least
/// normal float32, 2^-126: below it a scaled sum would lose digits that no relative bound knows of.
inline constexpr float kLeastWeightScale = 0x1p-40f, kLeastTokenScale = 0x1p-86f;

/// A bound as float32, not below what it was.
inline float raised(double bound) {
  return static_cast<float>(bound * (1 + kBoundSlack) + 0x1p-140);
}

/// The sum of term(i) over [0, count), in four parts so that the additions overlap.
template <class Term>
inline double sum_of(int64_t count, const Term& term) {
  double parts[4] = {};
  int64_t i = 0;
  for (; i + 4 <= count; i += 4)
    for (int64_t part = 0; part < 4; ++part) parts[part] += term(i + part);
  for (; i < count; ++i) parts[0] += term(i);
  return (parts[0] + parts[1]) + (parts[2] + parts[3]);
}

}  // namespace monosem::cpu
