// exp, tanh and the activations over one vector. Polynomials are our own minimax fits (Lawson's
// reweighted least squares, relative error); row_kernels_test.cpp holds them to the stated errors.

/// Polynomial by Horner, coefficients from the highest power down.
template <class... Rest>
inline Vector horner(Vector x, Vector highest, Rest... rest) {
  Vector sum = highest;
  ((sum = fma(sum, x, splat(rest))), ...);
  return sum;
}

/// e^(x + correction) for a correction below 1e-5: within 1.1 ulp.
inline Vector exp(Vector x, Vector correction) {
  constexpr float kMagic = 12582912.0f;
  // Beyond these the result is 0 or infinity. NaN stays.
  Vector bounded = larger(splat(-104.0f), smaller(splat(89.0f), x));
  Vector n = bounded * 1.44269504f + kMagic - kMagic;
  Vector r = fma(n, splat(-0.693145752f), bounded);
  r = fma(n, splat(-1.42860677e-6f), r) + correction;
  Vector p = horner(r, splat(0x1.6db42p-10f), 0x1.123b52p-7f, 0x1.55545ep-5f, 0x1.55548ep-3f, 0.5f);
  return scale_by_power(fma(r * r, p, r) + 1.0f, n);
}
inline Vector exp(Vector x) { return exp(x, splat(0.0f)); }

inline Vector absolute(Vector x) { return from_bits(bits(x) & 0x7fffffffu); }
inline Vector with_sign(Vector magnitude, Vector sign) {
  return from_bits((bits(magnitude) & 0x7fffffffu) | (bits(sign) & 0x80000000u));
}

/// Within 2 ulp.
inline Vector tanh(Vector x) {
  Vector s = x * x;
  Vector small = horner(s, splat(0.0022269718f), -0.008262742f, 0.02173272f, -0.053952165f,
                        0.13333246f, -0.3333333f);
  small = fma(small * s, x, x);
  Vector a = absolute(x);
  Vector large = with_sign(1.0f - 2.0f / (exp(a + a) + 1.0f), x);
  return a < 0.6f ? small : large;
}

/// x Phi(x), Phi the normal distribution's integral = (1 + erf(x / sqrt 2)) / 2. Phi(-a) =
/// exp(-a^2 / 2) g(a) keeps the error within 5 ulp, 9 in the far negative tail, where
/// 1 + erf has cancelled. (a + 3) g(a) is a polynomial in (a - 3) / (a + 3).
inline Vector gelu(Vector x) {
  Vector a = absolute(x);
  Vector bounded = smaller(splat(15.0f), a);
  Vector inverse = 1.0f / (bounded + 3.0f);
  Vector t = (bounded - 3.0f) * inverse;
  Vector g = horner(t, splat(5.445469e-05f), 0.00013125276f, -0.00024475547f, -0.0010325237f,
                    0.0010247846f, 0.0069693024f, -0.010462521f, -0.047262687f, 0.2300177f,
                    -0.509332f, 0.7290837f) *
             inverse;
  Vector square = bounded * bounded;
  Vector lost = fma(bounded, bounded, -square);  // what the square's rounding dropped
  Vector tail = g * exp(-0.5f * square, -0.5f * lost);
  return x * (x < 0.0f ? tail : 1.0f - tail);
}

/// x / (1 + e^-2u), u = sqrt(2 / pi) (x + 0.044715 x^3): equal to x/2 (1 + tanh u) without its
/// cancellation.
inline Vector gelu_tanh(Vector x) {
  Vector u = x * fma(x * x, splat(-0.0713548163f), splat(-1.59576912f));  // -2 u
  return x / (1.0f + exp(u));
}

inline Vector silu(Vector x) { return x / (1.0f + exp(-x)); }
