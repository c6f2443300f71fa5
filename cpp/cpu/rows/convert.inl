// float32 to 16-bit storage, `n` contiguous elements, rounded to nearest even. The way back is
// microkernels.h's to_float32.

inline Bits bfloat16_of(Vector v) {
  const Bits u = bits(v);
  const Bits rounded = (u + 0x7fffu + ((u >> 16) & 1u)) >> 16;
  return v != v ? (u >> 16) | 0x40u : rounded;  // the carry could make an infinity of a NaN
}

inline void to_float16_row(const float* in, uint16_t* out, int64_t n) {
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) store_float16(out + i, load(in + i));
  for (; i < n; ++i) out[i] = monosem::to_float16(in[i]);
}

inline void to_bfloat16_row(const float* in, uint16_t* out, int64_t n) {
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) store_halves(out + i, bfloat16_of(load(in + i)));
  for (; i < n; ++i) out[i] = monosem::to_bfloat16(in[i]);
}
