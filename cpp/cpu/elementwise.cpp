// Unary and binary operators over views of any strides; sources broadcast by stride 0.

#include <cmath>
#include <cstdint>

#include "cpu/row_kernels.h"
#include "cpu/view.h"

namespace monosem::cpu {
namespace {

double load_exact(const Run& run) {
  return run.dtype == MONOSEM_INT32 ? *reinterpret_cast<const int32_t*>(run.data)
                                    : double{load(run)};
}

/// Token ids and positions: in double, where every int32 is exact.
void binary_int32(int32_t op, const Run& dst, const Run& a, const Run& b, int64_t n) {
  for (int64_t i = 0; i < n; ++i) {
    const double x = load_exact(a.from(i)), y = load_exact(b.from(i));
    double result = 0;
    switch (op) {
      case MONOSEM_ADD:
        result = x + y;
        break;
      case MONOSEM_SUB:
        result = x - y;
        break;
      case MONOSEM_MUL:
        result = x * y;
        break;
      case MONOSEM_DIV:
        result = x / y;
        break;
      case MONOSEM_GT:
        result = x > y;
        break;
      case MONOSEM_LT:
        result = x < y;
        break;
      case MONOSEM_EQ:
        result = x == y;
        break;
    }
    const Run out = dst.from(i);
    if (out.dtype == MONOSEM_INT32) {
      *reinterpret_cast<int32_t*>(out.data) = to_int32(result);
    } else {
      const float rounded = static_cast<float>(result);
      store(out, 1, &rounded);
    }
  }
}

}  // namespace

void unary(int32_t op, const View& dst, const View& src, float parameter) {
  const Walk<2> walk({&dst, &src});
  walk.visit([&](const auto& runs, int64_t n) {
    float in[kRun], out[kRun];
    float* result = place(runs[0], out);
    row_kernels().unary(op, read(runs[1], n, in), result, n, parameter);
    finish(runs[0], n, result);
  });
}

void binary(int32_t op, const View& dst, const View& a, const View& b) {
  const Walk<3> walk({&dst, &a, &b});
  const bool integers = a.dtype == MONOSEM_INT32 || b.dtype == MONOSEM_INT32;
  walk.visit([&](const auto& runs, int64_t n) {
    if (integers) return binary_int32(op, runs[0], runs[1], runs[2], n);
    float left[kRun], right[kRun], out[kRun];
    float* result = place(runs[0], out);
    row_kernels().binary(op, read(runs[1], n, left), read(runs[2], n, right), result, n);
    finish(runs[0], n, result);
  });
}

}  // namespace monosem::cpu
