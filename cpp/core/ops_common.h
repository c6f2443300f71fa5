#pragma once

// What several operations share.

#include "core/ops.h"

namespace monosem {

// What holds both: a 16-bit type when both are that type, float32 when they differ.
inline monosem_dtype promote(monosem_dtype a, monosem_dtype b) {
  if (a == b) return a;
  if (a == MONOSEM_INT32) return b;
  if (b == MONOSEM_INT32) return a;
  return MONOSEM_FLOAT32;
}

inline monosem_dtype as_float(monosem_dtype dtype) {
  return dtype == MONOSEM_INT32 ? MONOSEM_FLOAT32 : dtype;
}

// Everything but the last dimension merged: [rows, n]. Rank 0 counts as [1, 1].
inline Tensor as_rows(const Tensor& t) {
  const int64_t n = t.rank() == 0 ? 1 : t.shape().back();
  int64_t rows = 1;
  for (int64_t i = 0; i + 1 < t.rank(); ++i) rows *= t.shape()[static_cast<size_t>(i)];
  return reshape(t, {rows, n});
}

}  // namespace monosem
