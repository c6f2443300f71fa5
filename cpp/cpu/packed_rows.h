#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "cpu/pack.h"
#include "cpu/scratch.h"

namespace monosem::cpu {

/// All of a product's left operand, packed once for everybody: it is the size of the activations.
/// Panels of one register tile's rows lie depth block by depth block, in the order in which tiles
/// read them. They are as even as they can be (21 rows are 11 + 10, not 14 + 7): a tile of few rows
/// waits for its loads. Where things lie is looked up, not computed: a tile takes a microsecond,
/// and a dozen divisions are a tenth of that.
class PackedRows {
 public:
  /// `batch` matrices of rows (at least 1) x depth, each as `matrix(index)` gives it. Packs in
  /// parallel.
  PackedRows(const Panels& layout, const std::function<Operand(int64_t index)>& matrix,
             int64_t batch, int64_t rows, int64_t depth, int64_t block_depth);

  int64_t panels() const { return static_cast<int64_t>(rows_.size()) - 1; }
  /// Panel p holds rows [row(p), row(p + 1)).
  int64_t row(int64_t panel) const { return rows_[panel]; }
  int64_t rows(int64_t panel) const { return rows_[panel + 1] - rows_[panel]; }

  int64_t depth_blocks() const { return static_cast<int64_t>(blocks_.size()); }
  int64_t first(int64_t d) const { return blocks_[d].first; }
  int64_t depth(int64_t d) const { return blocks_[d].depth; }

  float* at(int64_t batch, int64_t d, int64_t panel) const {
    return words_.get() + batch * matrix_words_ + blocks_[d].begin +
           rows_[panel] * blocks_[d].words + panel * kSlack;
  }

 private:
  static constexpr int64_t kSlack = 16;  // of Panels::pack_rows

  struct DepthBlock {
    int64_t first, depth;
    int64_t words;  // of a row
    int64_t begin;  // in the matrix' words
  };

  std::vector<int64_t> rows_;  // [panels + 1]
  std::vector<DepthBlock> blocks_;
  int64_t matrix_words_ = 0;
  Memory<float> words_;
};

}  // namespace monosem::cpu
