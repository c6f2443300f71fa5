/// p * 2^n for an integral n in [-252, 254], in two steps so that subnormals round once. Adding
/// 1.5 * 2^23 leaves the integer in the low bits.
inline Vector scale_by_power(Vector p, Vector n) {
  constexpr float kMagic = 12582912.0f;
  Vector half = n * 0.5f + kMagic - kMagic;
  Vector rest = n - half;
  return p * from_bits((bits(half + kMagic) << 23) + 0x3f800000u) *
         from_bits((bits(rest + kMagic) << 23) + 0x3f800000u);
}
