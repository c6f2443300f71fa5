#pragma once

// float32 as two float16: v = s (high + low / 2^11) with a power of two s per row that puts the
// row's largest magnitude into [2^14, 2^15). high holds 11 bits of significand and low the next 11,
// scaled up so that it does not underflow (Ootomo and Yokota 2022): 2^-22 of the element, or 2^-50
// of the row's largest where an element is tiny beside it. A row of float16 or bfloat16 needs no
// low: its at most 11 bits fit into high.

#include "device.cuh"

namespace monosem::cuda {

constexpr float kLowScale = 0x1p11f;
/// Rows of the planes are padded with zeros to whole steps of the encoder.
constexpr int kDepthStep = 32;

inline int64_t padded_depth(int64_t depth) {
  return (depth + kDepthStep - 1) / kDepthStep * kDepthStep;
}

struct Planes {
  uint16_t* high;  // [rows, padded depth]
  uint16_t* low;   // alike, or null
  float* scale;    // [rows]
  float* norm;     // [rows] |v|, or null
};

/// Splits the rows of the rank-2 view `matrix`.
void split_rows(Device& device, const monosem_view& matrix, const Planes& out);

}  // namespace monosem::cuda
