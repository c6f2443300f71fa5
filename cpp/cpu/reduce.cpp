// Sum, mean, maximum, norm and argmax over one dimension, and softmax over the last. Sums run in
// double over blocks of fixed size whose partial results are added in order: exact to the last bit
// or nearly so, and the same for any number of threads.

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <vector>

#include "cpu/row_kernels.h"
#include "cpu/scratch.h"
#include "cpu/view.h"

namespace monosem::cpu {
namespace {

constexpr float kLowest = -std::numeric_limits<float>::infinity();

/// What one block of one output knows.
struct Partial {
  double sum = 0;
  float largest = kLowest;
  int64_t index = 0;
};

/// NaN is larger than every number; equals are not larger, so that the lowest index wins.
bool is_larger(float a, float b) { return a > b || (std::isnan(a) && !std::isnan(b)); }

Partial reduce_block(int32_t op, const Run& run, int64_t begin, int64_t end) {
  Partial partial;
  float scratch[kRun];
  for (int64_t i = begin; i < end; i += kRun) {
    const int64_t n = std::min(kRun, end - i);
    const float* x = read(run.from(i), n, scratch);
    if (op == MONOSEM_SUM || op == MONOSEM_MEAN) {
      partial.sum += row_kernels().sum(x, n);
    } else if (op == MONOSEM_NORM2) {
      partial.sum += row_kernels().sum_squares(x, n, 0.0f);
    } else if (const float largest = row_kernels().maximum(x, n);
               is_larger(largest, partial.largest)) {
      partial.largest = largest;
      partial.index =
          i + (std::find_if(x, x + n, [&](float v) { return !is_larger(largest, v); }) - x);
    }
  }
  return partial;
}

void merge(Partial& into, const Partial& next) {
  into.sum += next.sum;
  if (is_larger(next.largest, into.largest)) {
    into.largest = next.largest;
    into.index = next.index;
  }
}

void write(int32_t op, const Run& dst, const Partial& result, int64_t n) {
  if (op == MONOSEM_ARGMAX) {
    *reinterpret_cast<int32_t*>(dst.data) = static_cast<int32_t>(result.index);
    return;
  }
  const double value = op == MONOSEM_SUM     ? result.sum
                       : op == MONOSEM_MEAN  ? result.sum / static_cast<double>(n)
                       : op == MONOSEM_NORM2 ? std::sqrt(result.sum)
                                             : double{result.largest};
  const float rounded = static_cast<float>(value);
  store(dst, 1, &rounded);
}

/// The elements of one output lie one behind the other: a block is a run.
void reduce_rows(int32_t op, const View& dst, const View& src) {
  constexpr int64_t kBlock = 64 << 10;
  const int64_t n = src.shape[1], inner = src.shape[2], outputs = src.shape[0] * inner;
  const int64_t blocks = std::max<int64_t>(1, (n + kBlock - 1) / kBlock);
  auto source = [&](int64_t output) {
    Run run = run_at(src, output / inner * src.stride[0] + output % inner * src.stride[2]);
    run.stride = src.stride[1];
    return run;
  };
  auto target = [&](int64_t output) {
    return run_at(dst, output / inner * dst.stride[0] + output % inner * dst.stride[1]);
  };
  if (blocks == 1) {
    return parallel(outputs, n, [&](int64_t begin, int64_t end) {
      for (int64_t output = begin; output < end; ++output)
        write(op, target(output), reduce_block(op, source(output), 0, n), n);
    });
  }
  std::vector<Partial> partials(static_cast<size_t>(outputs * blocks));
  parallel(outputs * blocks, kBlock, [&](int64_t begin, int64_t end) {
    for (int64_t task = begin; task < end; ++task) {
      const int64_t first = task % blocks * kBlock;
      partials[static_cast<size_t>(task)] =
          reduce_block(op, source(task / blocks), first, std::min(n, first + kBlock));
    }
  });
  for (int64_t output = 0; output < outputs; ++output) {
    Partial* first = partials.data() + output * blocks;
    for (int64_t block = 1; block < blocks; ++block) merge(*first, first[block]);
    write(op, target(output), *first, n);
  }
}

/// Neighbouring outputs, in arrays so that the compiler vectorises over them.
struct Strip {
  static constexpr int64_t kWidth = 128;
  double sum[kWidth] = {};
  float largest[kWidth];
  int32_t index[kWidth] = {};

  Strip() { std::fill_n(largest, kWidth, kLowest); }

  /// Adds row i.
  void take(int32_t op, const float* x, int64_t width, int64_t i) {
    if (op == MONOSEM_SUM || op == MONOSEM_MEAN) {
      for (int64_t j = 0; j < width; ++j) sum[j] += double{x[j]};
    } else if (op == MONOSEM_NORM2) {
      for (int64_t j = 0; j < width; ++j) sum[j] += double{x[j]} * double{x[j]};
    } else {
      for (int64_t j = 0; j < width; ++j) {
        const bool larger = (x[j] > largest[j]) | ((x[j] != x[j]) & (largest[j] == largest[j]));
        largest[j] = larger ? x[j] : largest[j];
        index[j] = larger ? static_cast<int32_t>(i) : index[j];
      }
    }
  }
};

/// The outputs lie side by side: a strip of them grows row by row.
void reduce_columns(int32_t op, const View& dst, const View& src) {
  const int64_t n = src.shape[1], inner = src.shape[2];
  const int64_t strips = (inner + Strip::kWidth - 1) / Strip::kWidth;
  parallel(src.shape[0] * strips, n * Strip::kWidth, [&](int64_t begin, int64_t end) {
    for (int64_t task = begin; task < end; ++task) {
      const int64_t outer = task / strips, first = task % strips * Strip::kWidth;
      const int64_t width = std::min(Strip::kWidth, inner - first);
      Strip strip;
      float scratch[Strip::kWidth];
      for (int64_t i = 0; i < n; ++i) {
        const int64_t start = outer * src.stride[0] + i * src.stride[1] + first * src.stride[2];
        strip.take(op, read(run_at(src, start), width, scratch), width, i);
      }
      for (int64_t j = 0; j < width; ++j)
        write(op, run_at(dst, outer * dst.stride[0] + (first + j) * dst.stride[1]),
              {strip.sum[j], strip.largest[j], strip.index[j]}, n);
    }
  });
}

/// A row without a finite or infinite maximum above -inf has no distribution: zeros (their
/// logarithm: -inf), as attention defines a query that sees no key.
void softmax_row(const float* x, float* out, int64_t n, bool logarithm) {
  const RowKernels& kernels = row_kernels();
  const float largest = kernels.maximum(x, n);
  if (largest == kLowest) {
    std::fill_n(out, n, logarithm ? kLowest : 0.0f);
  } else if (logarithm) {
    // The logarithm may be added to the shift only in double: it would drown in a large maximum.
    const double sum = kernels.exp_sum(x, out, n, largest);
    kernels.standardize(x, out, n, largest, 1.0f);
    kernels.standardize(out, out, n, static_cast<float>(std::log(sum)), 1.0f);
  } else {
    const double sum = kernels.exp_sum(x, out, n, largest);
    kernels.standardize(out, out, n, 0.0f, static_cast<float>(1.0 / sum));
  }
}

}  // namespace

void reduce(int32_t op, const View& dst, const View& src) {
  if (src.shape[0] == 0 || src.shape[2] == 0) return;
  const bool side_by_side = src.shape[2] > 1 && std::abs(src.stride[2]) < std::abs(src.stride[1]);
  side_by_side ? reduce_columns(op, dst, src) : reduce_rows(op, dst, src);
}

void softmax(const View& dst, const View& src, bool logarithm) {
  const int64_t n = src.shape[1];
  // An exponential and three passes: 4 simple operations an element.
  parallel(src.shape[0], 4 * n, [&](int64_t begin, int64_t end) {
    Memory<float> in(n), out(n);
    for (int64_t i = begin; i < end; ++i) {
      float* result = place(row(dst, i), out.get());
      softmax_row(read(row(src, i), n, in.get()), result, n, logarithm);
      finish(row(dst, i), n, result);
    }
  });
}

}  // namespace monosem::cpu
