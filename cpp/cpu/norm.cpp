// LayerNorm and RMSNorm. Statistics of the float32 values in double, as fp32's of Hugging Face or
// better; one read of x, one write per output that is wanted.

#include <cmath>
#include <cstdint>

#include "cpu/row_kernels.h"
#include "cpu/scratch.h"
#include "cpu/view.h"

namespace monosem::cpu {
namespace {

/// A [d] vector plus an offset as contiguous float32, or null when it is absent.
class Vector {
 public:
  Vector(const View& view, int64_t d, float offset) {
    if (!view.data) return;
    const Run run = run_at(view, 0);
    if (offset == 0.0f && run.is_float32_row()) {
      data_ = reinterpret_cast<const float*>(run.data);
      return;
    }
    copy_ = Memory<float>(d);
    load(run, d, copy_.get());
    for (int64_t i = 0; i < d; ++i) copy_[i] += offset;
    data_ = copy_.get();
  }
  const float* data() const { return data_; }

 private:
  const float* data_ = nullptr;
  Memory<float> copy_;
};

}  // namespace

void norm(const monosem_norm& n) {
  const RowKernels& kernels = row_kernels();
  const int64_t rows = n.x.shape[0], d = n.x.shape[1];
  const Vector weight(n.weight, d, n.weight_offset), bias(n.bias, d, 0.0f);
  parallel(rows, 4 * d, [&](int64_t begin, int64_t end) {
    Memory<float> in(d), normal(d), out(d);
    for (int64_t i = begin; i < end; ++i) {
      const float* x = read(row(n.x, i), d, in.get());
      const float mean = n.kind == MONOSEM_LAYER_NORM
                             ? static_cast<float>(kernels.sum(x, d) / static_cast<double>(d))
                             : 0.0f;
      const double variance = kernels.sum_squares(x, d, mean) / static_cast<double>(d);
      const double scale = std::sqrt(variance + double{n.eps});
      if (n.scale.data) {
        const float rounded = static_cast<float>(scale);
        store(run_at(n.scale, i * n.scale.stride[0]), 1, &rounded);
      }
      const bool wants_normalized = n.normalized.data != nullptr;
      float* normalized =
          wants_normalized ? place(row(n.normalized, i), normal.get()) : normal.get();
      kernels.standardize(x, normalized, d, mean, static_cast<float>(1.0 / scale));
      if (wants_normalized) finish(row(n.normalized, i), d, normalized);
      if (!n.out.data) continue;
      float* result = place(row(n.out, i), out.get());
      kernels.affine(normalized, weight.data(), bias.data(), result, d);
      finish(row(n.out, i), d, result);
    }
  });
}

}  // namespace monosem::cpu
