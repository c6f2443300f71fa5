// One row of a unary or binary operator.
//
// Lambdas capture by reference even where there is nothing to capture: without a capture they would
// convert to function pointers, which the compiler generates without the instruction set.

template <class Function>
inline void map(const float* x, float* out, int64_t n, const Function& f) {
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) store(out + i, f(load(x + i)));
  if (i < n) store(out + i, f(load(x + i, n - i)), n - i);
}

template <class Function>
inline void map_scalar(const float* x, float* out, int64_t n, const Function& f) {
  for (int64_t i = 0; i < n; ++i) out[i] = f(x[i]);
}

inline void unary_row(int32_t op, const float* x, float* out, int64_t n, float parameter) {
  switch (op) {
    case MONOSEM_NEG:
      return map(x, out, n, [&](Vector v) { return -v; });
    case MONOSEM_ABS:
      return map(x, out, n, [&](Vector v) { return absolute(v); });
    case MONOSEM_SQRT:
      return map(x, out, n, [&](Vector v) { return square_root(v); });
    case MONOSEM_EXP:
      return map(x, out, n, [&](Vector v) { return exp(v); });
    // Not in any model's inner loop: libm's are exact to the last bit but one.
    case MONOSEM_LOG:
      return map_scalar(x, out, n, [&](float v) { return __builtin_logf(v); });
    case MONOSEM_POW:
      if (parameter == 2.0f) return map(x, out, n, [&](Vector v) { return v * v; });
      return map_scalar(x, out, n, [&](float v) { return __builtin_powf(v, parameter); });
    // NaN stays NaN.
    case MONOSEM_RELU:
      return map(x, out, n, [&](Vector v) { return v < 0.0f ? splat(0.0f) : v; });
    case MONOSEM_GELU:
      return map(x, out, n, [&](Vector v) { return gelu(v); });
    case MONOSEM_GELU_TANH:
      return map(x, out, n, [&](Vector v) { return gelu_tanh(v); });
    case MONOSEM_SILU:
      return map(x, out, n, [&](Vector v) { return silu(v); });
    case MONOSEM_TANH:
      return map(x, out, n, [&](Vector v) { return tanh(v); });
    case MONOSEM_SOFTCAP:
      return map(x, out, n, [&](Vector v) { return parameter * tanh(v / parameter); });
  }
}

template <class Function>
inline void zip(const float* a, const float* b, float* out, int64_t n, const Function& f) {
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) store(out + i, f(load(a + i), load(b + i)));
  if (i < n) store(out + i, f(load(a + i, n - i), load(b + i, n - i)), n - i);
}

inline void binary_row(int32_t op, const float* a, const float* b, float* out, int64_t n) {
  const Vector one = splat(1.0f), zero = splat(0.0f);
  switch (op) {
    case MONOSEM_ADD:
      return zip(a, b, out, n, [&](Vector x, Vector y) { return x + y; });
    case MONOSEM_SUB:
      return zip(a, b, out, n, [&](Vector x, Vector y) { return x - y; });
    case MONOSEM_MUL:
      return zip(a, b, out, n, [&](Vector x, Vector y) { return x * y; });
    case MONOSEM_DIV:
      return zip(a, b, out, n, [&](Vector x, Vector y) { return x / y; });
    case MONOSEM_GT:
      return zip(a, b, out, n, [&](Vector x, Vector y) { return x > y ? one : zero; });
    case MONOSEM_LT:
      return zip(a, b, out, n, [&](Vector x, Vector y) { return x < y ? one : zero; });
    case MONOSEM_EQ:
      return zip(a, b, out, n, [&](Vector x, Vector y) { return x == y ? one : zero; });
  }
}
