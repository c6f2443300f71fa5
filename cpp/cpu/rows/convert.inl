// 16-bit storage to and from float32, `n` contiguous elements. Reads and writes 6 bytes an element.

inline void from_float16_row(const uint16_t* in, float* out, int64_t n) {
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) store(out + i, load_float16(in + i));
  for (; i < n; ++i) out[i] = monosem::from_float16(in[i]);
}

inline void from_bfloat16_row(const uint16_t* in, float* out, int64_t n) {
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) store(out + i, load_bfloat16(in + i));
  for (; i < n; ++i) out[i] = monosem::from_bfloat16(in[i]);
}

inline void to_float16_row(const float* in, uint16_t* out, int64_t n) {
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) store_float16(out + i, load(in + i));
  for (; i < n; ++i) out[i] = monosem::to_float16(in[i]);
}

inline void to_bfloat16_row(const float* in, uint16_t* out, int64_t n) {
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) store_bfloat16(out + i, load(in + i));
  for (; i < n; ++i) out[i] = monosem::to_bfloat16(in[i]);
}
