// Reading and adding by index. Indices are data and cannot be checked before the call: one that is
// out of range reads NaN and adds nowhere.

#include <cstdint>
#include <limits>

#include "cpu/view.h"

namespace monosem::cpu {
namespace {

int64_t index_at(const Run& run, int64_t i) {
  return *reinterpret_cast<const int32_t*>(run.from(i).data);
}

constexpr float kNaN = std::numeric_limits<float>::quiet_NaN();

}  // namespace

void gather_rows(const View& dst, const View& src, const View& rows) {
  const int64_t n = dst.shape[1];
  const Run index = run_at(rows, 0);
  const Run nan{reinterpret_cast<char*>(const_cast<float*>(&kNaN)), MONOSEM_FLOAT32, 0};
  parallel(dst.shape[0], n, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const int64_t from = index_at(index, i);
      const bool inside = from >= 0 && from < src.shape[0];
      for (int64_t j = 0; j < n; j += kRun)
        copy_run(row(dst, i).from(j), inside ? row(src, from).from(j) : nan, std::min(kRun, n - j));
    }
  });
}

void gather(const View& dst, const View& src, const View& columns) {
  const int64_t n = dst.shape[1];
  parallel(dst.shape[0], 2 * n, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const Run to = row(dst, i), from = row(src, i), index = row(columns, i);
      for (int64_t j = 0; j < n; ++j) {
        const int64_t column = index_at(index, j);
        const float value = column >= 0 && column < src.shape[1] ? load(from.from(column)) : kNaN;
        store(to.from(j), 1, &value);
      }
    }
  });
}

void scatter_add(const View& dst, const View& src, const View& columns) {
  const int64_t n = src.shape[1];
  parallel(src.shape[0], 4 * n, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const Run to = row(dst, i), from = row(src, i), index = row(columns, i);
      for (int64_t j = 0; j < n; ++j) {
        const int64_t column = index_at(index, j);
        if (column < 0 || column >= dst.shape[1]) continue;
        const float sum = load(to.from(column)) + load(from.from(j));
        store(to.from(column), 1, &sum);
      }
    }
  });
}

}  // namespace monosem::cpu
