#include "cpu/view.h"

#include <cmath>
#include <cstring>
#include <limits>

#include "core/half.h"
#include "cpu/isa.h"
#include "cpu/row_kernels.h"

namespace monosem::cpu {
namespace {

template <class Item, class Convert>
void gather(const Run& run, int64_t n, float* out, const Convert& convert) {
  const Item* in = reinterpret_cast<const Item*>(run.data);
  for (int64_t i = 0; i < n; ++i) out[i] = convert(in[i * run.stride]);
}

template <class Item, class Convert>
void scatter(const Run& run, int64_t n, const float* in, const Convert& convert) {
  Item* out = reinterpret_cast<Item*>(run.data);
  for (int64_t i = 0; i < n; ++i) out[i * run.stride] = convert(in[i]);
}

}  // namespace

int32_t to_int32(double value) {
  constexpr double kLowest = std::numeric_limits<int32_t>::min();
  constexpr double kHighest = std::numeric_limits<int32_t>::max();
  return std::isnan(value) ? 0 : static_cast<int32_t>(std::clamp(value, kLowest, kHighest));
}

void load(const Run& run, int64_t n, float* out) {
  if (n <= 0) return;
  if (run.stride == 0) {
    std::fill_n(out, n, load(run));
    return;
  }
  const bool row = run.stride == 1;
  switch (run.dtype) {
    case MONOSEM_FLOAT32:
      if (row) {
        std::memcpy(out, run.data, static_cast<size_t>(n) * sizeof(float));
      } else {
        gather<float>(run, n, out, [](float x) { return x; });
      }
      return;
    case MONOSEM_FLOAT16:
      if (row) return microkernels().to_float32(run.data, run.dtype, n, out);
      return gather<uint16_t>(run, n, out, from_float16);
    case MONOSEM_BFLOAT16:
      if (row) return microkernels().to_float32(run.data, run.dtype, n, out);
      return gather<uint16_t>(run, n, out, from_bfloat16);
    default:
      return gather<int32_t>(run, n, out, [](int32_t x) { return static_cast<float>(x); });
  }
}

float load(const Run& run) {
  float value;
  load({run.data, run.dtype, 1}, 1, &value);
  return value;
}

void store(const Run& run, int64_t n, const float* in) {
  if (n <= 0) return;
  const bool row = run.stride == 1;
  switch (run.dtype) {
    case MONOSEM_FLOAT32:
      if (row) {
        std::memcpy(run.data, in, static_cast<size_t>(n) * sizeof(float));
      } else {
        scatter<float>(run, n, in, [](float x) { return x; });
      }
      return;
    case MONOSEM_FLOAT16:
      if (row) return row_kernels().to_float16(in, reinterpret_cast<uint16_t*>(run.data), n);
      return scatter<uint16_t>(run, n, in, to_float16);
    case MONOSEM_BFLOAT16:
      if (row) return row_kernels().to_bfloat16(in, reinterpret_cast<uint16_t*>(run.data), n);
      return scatter<uint16_t>(run, n, in, to_bfloat16);
    default:
      return scatter<int32_t>(run, n, in, to_int32);
  }
}

void copy_run(const Run& dst, const Run& src, int64_t n) {
  if (dst.dtype != src.dtype) {
    float scratch[kRun];
    if (dst.is_float32_row()) return load(src, n, reinterpret_cast<float*>(dst.data));
    return store(dst, n, read(src, n, scratch));
  }
  auto move = [&]<class Item>(Item) {
    Item* out = reinterpret_cast<Item*>(dst.data);
    const Item* in = reinterpret_cast<const Item*>(src.data);
    if (dst.stride == 1 && src.stride == 1) {
      std::memcpy(out, in, static_cast<size_t>(n) * sizeof(Item));
    } else {
      for (int64_t i = 0; i < n; ++i) out[i * dst.stride] = in[i * src.stride];
    }
  };
  item_size(dst.dtype) == 2 ? move(uint16_t{}) : move(uint32_t{});
}

}  // namespace monosem::cpu
