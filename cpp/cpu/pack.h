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

/// The panels of one product and the tile that multiplies them. They hold 32-bit words, one float32
/// value each or, where both operands are bfloat16 and the processor multiplies those, a pair of
/// them (BFloat16Tile). An operand that only one side holds as bfloat16 is never rounded to it.
class Panels {
 public:
  Panels(const Microkernels& kernels, int32_t a_dtype, int32_t b_dtype);

  int64_t rows() const { return rows_; }              // most rows of a panel of a
  int64_t row_step() const { return row_step_; }      // of all but the last panel: a multiple of it
  int64_t columns() const { return columns_; }        // of every panel of b
  int64_t most_words() const { return most_words_; }  // of depth in a panel
  int64_t step() const { return step_; }  // depth of all but the last panel: a multiple of it
  /// Words of a row or column of `depth` values, filled up with zeros to a multiple of the step.
  int64_t words(int64_t depth) const { return (depth + step_ - 1) / step_ * step_ / per_word_; }

  /// Rows of a as one panel, columns of b as panels of `columns()`. Lanes that pad the last panel
  /// hold anything; dst needs 64 bytes of slack at its end.
  void pack_rows(const Operand& a, int64_t rows, int64_t depth, float* dst) const;
  void pack_columns(const Operand& b, int64_t columns, int64_t depth, float* dst) const;
  /// c[rows][columns()] (+)= a . b
  void multiply(int64_t rows, int64_t depth, const float* a, const float* b, float* c,
                int64_t c_stride, bool accumulate, Ahead ahead) const;

 private:
  const Microkernels& kernels_;
  int64_t rows_, row_step_, columns_, most_words_, step_, per_word_;
};

/// `rows` runs of `count` values along the depth as contiguous float32 rows. Returns src itself
/// (and its stride) where it is already that.
struct FloatRows {
  const float* data;
  int64_t stride;
};
FloatRows float_rows(const Microkernels& kernels, const Operand& src, int64_t rows, int64_t count,
                     float* buffer);

}  // namespace monosem::cpu
