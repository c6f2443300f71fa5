#include "cpu/packed_rows.h"

#include <algorithm>

#include "core/thread_pool.h"

namespace monosem::cpu {
namespace {

constexpr int64_t kPackGrain = 1 << 16;  // words per piece of work

int64_t divide_up(int64_t a, int64_t b) { return (a + b - 1) / b; }

}  // namespace

PackedRows::PackedRows(const Panels& layout, const std::function<Operand(int64_t index)>& matrix,
                       int64_t batch, int64_t rows, int64_t depth, int64_t block_depth) {
  const int64_t panels = divide_up(rows, layout.rows());
  const int64_t row_steps = divide_up(rows, layout.row_step());
  for (int64_t p = 0; p <= panels; ++p)
    rows_.push_back(std::min(rows, p * row_steps / panels * layout.row_step()));
  const int64_t steps = divide_up(depth, layout.step());
  const int64_t blocks = divide_up(layout.words(depth), block_depth);
  for (int64_t d = 0; d < blocks; ++d) {
    const int64_t first = d * steps / blocks * layout.step();
    const int64_t end = std::min(depth, (d + 1) * steps / blocks * layout.step());
    const int64_t words = layout.words(end - first);
    blocks_.push_back({first, end - first, words, matrix_words_});
    matrix_words_ += row_steps * layout.row_step() * words + panels * kSlack;
  }
  words_ = Memory<float>(batch * matrix_words_);

  const int64_t grain = std::max<int64_t>(1, kPackGrain / (layout.rows() * block_depth));
  ThreadPool::instance().run(batch * blocks * panels, grain, [&](int64_t begin, int64_t end, int) {
    for (int64_t i = begin; i < end; ++i) {
      const int64_t index = i / (blocks * panels), d = i / panels % blocks, panel = i % panels;
      layout.pack_rows(matrix(index).at(row(panel), this->first(d)), this->rows(panel),
                       this->depth(d), at(index, d, panel));
    }
  });
}

}  // namespace monosem::cpu
