// The k largest of every row, in descending order, ties by ascending index, NaN above all.

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <functional>
#include <limits>
#include <vector>

#include "cpu/row_kernels.h"
#include "cpu/view.h"

namespace monosem::cpu {
namespace {

/// Value and index in one integer that orders as (value descending, index ascending) wants: the
/// float's bits made monotonic (the two zeros alike, NaN last) above the inverted index.
uint64_t key_of(float value, int64_t index) {
  uint32_t order = 0xffffffffu;
  if (!std::isnan(value)) {
    const uint32_t bits = std::bit_cast<uint32_t>(value + 0.0f);
    order = bits & 0x80000000u ? ~bits : bits | 0x80000000u;
  }
  return uint64_t{order} << 32 | (0xffffffffu - static_cast<uint32_t>(index));
}
int64_t index_of(uint64_t key) { return 0xffffffffu - static_cast<uint32_t>(key); }

/// Leaves the k largest keys of the run, in descending order. Keys below the k-th best so far are
/// not even collected; what is collected is cut back to k whenever it has doubled.
void select(const Run& run, int64_t n, int64_t k, std::vector<uint64_t>& keys) {
  const auto capacity = static_cast<size_t>(k + std::max<int64_t>(k, 64));
  keys.clear();
  uint64_t bar_key = 0;
  float bar = -std::numeric_limits<float>::infinity();
  auto cut = [&] {
    std::nth_element(keys.begin(), keys.begin() + (k - 1), keys.end(), std::greater<>());
    keys.resize(static_cast<size_t>(k));
    bar_key = keys.back();
    bar = load(run.from(index_of(bar_key)));
  };
  constexpr int64_t kStretch = 128;
  float scratch[kRun];
  for (int64_t begin = 0; begin < n; begin += kRun) {
    const int64_t count = std::min(kRun, n - begin);
    const float* x = read(run.from(begin), count, scratch);
    for (int64_t first = 0; first < count; first += kStretch) {
      const int64_t end = std::min(count, first + kStretch);
      // An equal value comes later, and so ranks lower. Most stretches end here.
      if (bar_key > 0 && row_kernels().maximum(x + first, end - first) <= bar) continue;
      for (int64_t i = first; i < end; ++i) {
        if (bar_key > 0 && x[i] <= bar) continue;
        const uint64_t key = key_of(x[i], begin + i);
        if (key <= bar_key) continue;
        keys.push_back(key);
        if (keys.size() >= capacity) cut();
      }
    }
  }
  if (static_cast<int64_t>(keys.size()) > k) cut();
  std::sort(keys.begin(), keys.end(), std::greater<>());
}

}  // namespace

void topk(const View& values, const View& indices, const View& src, int64_t k) {
  if (k <= 0) return;
  const int64_t n = src.shape[1];
  parallel(src.shape[0], 4 * n, [&](int64_t begin, int64_t end) {
    std::vector<uint64_t> keys;
    for (int64_t i = begin; i < end; ++i) {
      const Run from = row(src, i), value = row(values, i), index = row(indices, i);
      select(from, n, k, keys);
      for (int64_t j = 0; j < k; ++j) {
        const int64_t best = index_of(keys[static_cast<size_t>(j)]);
        const float x = load(from.from(best));
        store(value.from(j), 1, &x);
        *reinterpret_cast<int32_t*>(index.from(j).data) = static_cast<int32_t>(best);
      }
    }
  });
}

}  // namespace monosem::cpu
