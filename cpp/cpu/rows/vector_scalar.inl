// The vector type of one float: the reference, and the path of processors without a kernel of their
// own. Included inside the namespace of row_kernels_scalar.cpp.

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

/// Fused only where the processor has it: libm's emulation costs more than the rounding.
inline Vector fma(Vector a, Vector b, Vector c) {
#ifdef __FP_FAST_FMAF
  return __builtin_fmaf(a, b, c);
#else
  return a * b + c;
#endif
}
inline Vector square_root(Vector v) { return __builtin_sqrtf(v); }
inline float lane(Vector v, int64_t) { return v; }

struct DoubleSum {
  double value = 0;
  void add(Vector v) { value += double{v}; }
  void add_square(Vector v) { value += double{v} * double{v}; }
  double total() const { return value; }
};
