// Rotary position embedding (Su et al. 2021) in the half-split layout of Hugging Face: dimension i
// turns with dimension i + half.

#include <cstdint>
#include <limits>

#include "cpu/row_kernels.h"
#include "cpu/scratch.h"
#include "cpu/view.h"

namespace monosem::cpu {
namespace {

int64_t offset(const View& view, int64_t b, int64_t p, int64_t n) {
  return b * view.stride[0] + p * view.stride[1] + n * view.stride[2];
}

}  // namespace

void rope(const monosem_rope& r) {
  const int64_t positions = r.x.shape[1], heads = r.x.shape[2], d_head = r.x.shape[3];
  const int64_t half = r.cos.shape[1];
  parallel(r.x.shape[0] * positions, heads * d_head, [&](int64_t begin, int64_t end) {
    Memory<float> in(d_head), out(d_head), cos_row(half), sin_row(half);
    for (int64_t token = begin; token < end; ++token) {
      const int64_t b = token / positions, p = token % positions;
      const int64_t at = static_cast<const int32_t*>(
          r.positions.data)[b * r.positions.stride[0] + p * r.positions.stride[1]];
      const float *cos = cos_row.get(), *sin = sin_row.get();
      if (at >= 0 && at < r.cos.shape[0]) {
        cos = read(row(r.cos, at), half, cos_row.get());
        sin = read(row(r.sin, at), half, sin_row.get());
      } else {  // positions are data: one beyond the tables shows as NaN
        std::fill_n(cos_row.get(), half, std::numeric_limits<float>::quiet_NaN());
        sin = cos;
      }
      for (int64_t n = 0; n < heads; ++n) {
        const float* x = read(run_at(r.x, offset(r.x, b, p, n)), d_head, in.get());
        const Run to = run_at(r.out, offset(r.out, b, p, n));
        float* turned = place(to, out.get());
        row_kernels().rotate(x, x + half, cos, sin, turned, turned + half, half);
        std::copy(x + 2 * half, x + d_head, turned + 2 * half);
        finish(to, d_head, turned);
      }
    }
  });
}

}  // namespace monosem::cpu
