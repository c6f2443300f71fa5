#pragma once

#include "cpu/microkernels.h"
#include "cpu/ops.h"

namespace monosem::cpu {

/// One operand of a product, seen as lanes (rows of a, columns of b) times depth. Strides count
/// elements.
struct Operand {
  const void* data;
  int32_t dtype;
  int64_t lane_stride, depth_stride;

  Operand at(int64_t lane, int64_t depth) const;
};

/// The operand as float32 in panels of `width` lanes: dst[lane / width][k][lane % width], for lanes
/// [0, lanes) and k in [0, depth). Lanes that pad the last panel hold anything: they end up in rows
/// or columns that nobody reads. dst needs 64 bytes of slack at its end.
void pack_panels(const Microkernels& kernels, const Operand& src, int64_t lanes, int64_t depth,
                 float* dst, int64_t width);

/// `rows` runs of `count` values along the depth as contiguous float32 rows. Returns src itself
/// (and its stride) where it is already that.
struct FloatRows {
  const float* data;
  int64_t stride;
};
FloatRows float_rows(const Microkernels& kernels, const Operand& src, int64_t rows, int64_t count,
                     float* buffer);

}  // namespace monosem::cpu
