#pragma once

// A tensor with random strides and gaps for property tests of operators. Its memory is exactly as
// long as the view needs, so that the sanitizers see every step outside of it.

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <numeric>
#include <vector>

#include "core/backend.h"
#include "core/half.h"
#include "test/random.h"

namespace monosem::test {

using Shape = std::vector<int64_t>;

class Strided {
 public:
  /// Contiguous, all zero.
  Strided(int32_t dtype, const Shape& shape) {
    std::vector<int> order(shape.size());
    std::iota(order.begin(), order.end(), 0);
    lay_out(dtype, shape, order, 0);
  }
  /// The dimensions in any order in memory, with a gap after some.
  Strided(int32_t dtype, const Shape& shape, Random& random) {
    std::vector<int> order(shape.size());
    std::iota(order.begin(), order.end(), 0);
    for (size_t i = order.size(); i > 1; --i)
      std::swap(order[i - 1], order[random.integer(0, static_cast<int64_t>(i) - 1)]);
    lay_out(dtype, shape, order, random.chance(0.5) ? random.integer(0, 3) : 0);
  }
  Strided(const Strided&) = delete;
  Strided& operator=(const Strided&) = delete;

  monosem_view view{};

  int64_t size() const {
    int64_t n = 1;
    for (int i = 0; i < view.rank; ++i) n *= view.shape[i];
    return n;
  }

  /// The length of its memory.
  size_t bytes() const { return memory_.size(); }
  /// Elements by their row-major number.
  double get(int64_t number) const {
    int64_t place = offset(number);
    switch (view.dtype) {
      case MONOSEM_FLOAT32:
        return read<float>(place);
      case MONOSEM_FLOAT16:
        return from_float16(read<uint16_t>(place));
      case MONOSEM_BFLOAT16:
        return from_bfloat16(read<uint16_t>(place));
      default:
        return read<int32_t>(place);
    }
  }
  void set(int64_t number, double value) {
    int64_t place = offset(number);
    switch (view.dtype) {
      case MONOSEM_FLOAT32:
        return write(place, static_cast<float>(value));
      case MONOSEM_FLOAT16:
        return write(place, to_float16(static_cast<float>(value)));
      case MONOSEM_BFLOAT16:
        return write(place, to_bfloat16(static_cast<float>(value)));
      default:
        return write(place, static_cast<int32_t>(value));
    }
  }
  void fill_normal(Random& random, double scale = 1) {
    for (int64_t i = 0; i < size(); ++i)
      set(i, view.dtype == MONOSEM_INT32 ? random.integer(-9, 9) : scale * random.normal());
  }
  std::vector<double> values() const {
    std::vector<double> out(static_cast<size_t>(size()));
    for (size_t i = 0; i < out.size(); ++i) out[i] = get(static_cast<int64_t>(i));
    return out;
  }

 private:
  void lay_out(int32_t dtype, const Shape& shape, const std::vector<int>& order, int64_t gap) {
    view.dtype = dtype;
    view.rank = static_cast<int32_t>(shape.size());
    int64_t stride = 1, last = 0;
    bool empty = false;
    for (size_t i = order.size(); i-- > 0;) {
      int dim = order[i];
      view.shape[dim] = shape[static_cast<size_t>(dim)];
      view.stride[dim] = stride;
      empty |= view.shape[dim] == 0;
      last += (view.shape[dim] - 1) * stride;
      stride = stride * std::max<int64_t>(view.shape[dim], 1) + gap;
    }
    int64_t item = dtype == MONOSEM_FLOAT16 || dtype == MONOSEM_BFLOAT16 ? 2 : 4;
    memory_.resize(static_cast<size_t>(empty ? 0 : (last + 1) * item));
    view.data = memory_.data();
  }
  int64_t offset(int64_t number) const {
    int64_t place = 0;
    for (int i = view.rank; i-- > 0;) {
      place += number % view.shape[i] * view.stride[i];
      number /= view.shape[i];
    }
    return place;
  }
  template <class T>
  T read(int64_t place) const {
    T value;
    std::memcpy(&value, memory_.data() + place * static_cast<int64_t>(sizeof(T)), sizeof(T));
    return value;
  }
  template <class T>
  void write(int64_t place, T value) {
    std::memcpy(memory_.data() + place * static_cast<int64_t>(sizeof(T)), &value, sizeof(T));
  }

  std::vector<char> memory_;
};

inline int32_t random_float_dtype(Random& random) {
  return static_cast<int32_t>(random.integer(MONOSEM_FLOAT32, MONOSEM_BFLOAT16));
}

inline Shape random_shape(Random& random, int rank, int64_t largest) {
  Shape shape(static_cast<size_t>(rank));
  for (auto& extent : shape) extent = random.integer(random.chance(0.05) ? 0 : 1, largest);
  return shape;
}

/// Half a unit in the last place of the dtype, relative: what rounding on store may cost.
inline double rounding(int32_t dtype) {
  return dtype == MONOSEM_FLOAT16 ? 0x1p-11 : dtype == MONOSEM_BFLOAT16 ? 0x1p-8 : 0x1p-24;
}

/// Equal within `relative` of the reference (and `absolute`), and NaN and infinities alike.
inline bool close(double value, double reference, double relative, double absolute = 0) {
  if (std::isnan(reference)) return std::isnan(value);
  if (std::isinf(reference)) return value == reference;
  return std::fabs(value - reference) <= relative * std::fabs(reference) + absolute;
}

}  // namespace monosem::test
