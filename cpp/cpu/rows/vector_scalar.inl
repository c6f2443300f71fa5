// The vector type of one float: the reference, and the path of processors without a kernel of their
// own.

using Vector = float;
using Bits = uint32_t;
constexpr int64_t kLanes = 1;

inline Bits bits(Vector v) { return std::bit_cast<Bits>(v); }
inline Vector from_bits(Bits b) { return std::bit_cast<Vector>(b); }

inline Vector splat(float x) { return x; }
inline Vector load(const float* p) { return *p; }
inline Vector load(const float* p, int64_t) { return *p; }
inline void store(float* p, Vector v) { *p = v; }
inline void store(float* p, Vector v, int64_t) { *p = v; }
inline void store_float16(uint16_t* p, Vector v) { *p = monosem::to_float16(v); }
/// The low halves of the lanes.
inline void store_halves(uint16_t* p, Bits b) { *p = static_cast<uint16_t>(b); }

/// The product is exact in double; libm's emulation of a float fma costs far more.
inline Vector fma(Vector a, Vector b, Vector c) {
  return static_cast<float>(double{a} * double{b} + double{c});
}
inline Vector square_root(Vector v) { return __builtin_sqrtf(v); }
/// The second operand where either is NaN, as the vector instructions have it.
inline Vector smaller(Vector a, Vector b) { return a < b ? a : b; }
inline Vector larger(Vector a, Vector b) { return a > b ? a : b; }
/// NaN if a lane is.
inline float lane_maximum(Vector v) { return v; }

struct DoubleSum {
  double value = 0;
  void add(Vector v) { value += double{v}; }
  void add_square(Vector v) { value += double{v} * double{v}; }
  double total() const { return value; }
};

#include "cpu/rows/scale_by_power.inl"
