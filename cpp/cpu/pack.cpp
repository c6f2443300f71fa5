#include "cpu/pack.h"

#include <algorithm>

#include "cpu/kernels/storage.h"
#include "cpu/scratch.h"

namespace monosem::cpu {

Operand Operand::at(int64_t lane, int64_t depth) const {
  const int64_t offset = (lane * lane_stride + depth * depth_stride) * bytes_of(dtype);
  return {static_cast<const char*>(data) + offset, dtype, lane_stride, depth_stride};
}

FloatRows float_rows(const Microkernels& kernels, const Operand& src, int64_t rows, int64_t count,
                     float* buffer) {
  if (src.depth_stride == 1 && src.dtype == MONOSEM_FLOAT32)
    return {static_cast<const float*>(src.data), src.lane_stride};
  for (int64_t row = 0; row < rows; ++row) {
    const Operand from = src.at(row, 0);
    float* to = buffer + row * count;
    if (src.depth_stride == 1) {
      kernels.to_float32(from.data, src.dtype, count, to);
    } else {
      with_type(from.data, src.dtype, [&](auto* values) {
        for (int64_t k = 0; k < count; ++k) to[k] = value_of(values[k * src.depth_stride]);
      });
    }
  }
  return {buffer, count};
}

void pack_panels(const Microkernels& kernels, const Operand& src, int64_t lanes, int64_t depth,
                 float* dst, int64_t width) {
  if (src.lane_stride == 1)
    return kernels.split_columns(src.data, src.dtype, src.depth_stride, lanes, depth, dst, width);
  static thread_local Scratch converted;
  float* buffer = converted.floats(width * depth);
  for (int64_t lane = 0; lane < lanes; lane += width) {
    const int64_t count = std::min(width, lanes - lane);
    const FloatRows rows = float_rows(kernels, src.at(lane, 0), count, depth, buffer);
    kernels.interleave(rows.data, rows.stride, count, depth, dst + lane * depth, width);
  }
}

}  // namespace monosem::cpu
