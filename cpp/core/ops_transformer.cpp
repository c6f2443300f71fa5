// The operators of a transformer block.

#include "core/ops.h"

namespace monosem {

namespace {

Tensor vector_operand(const Tensor& t, int64_t d, const char* what) {
  if (t && t.shape() != Shape{d}) {
    throw Error(kShape, std::string(what) + ": expected [" + std::to_string(d) + "], got " +
                            text(t.shape()));
  }
  return t;
}

monosem_view view_or_null(const Tensor& t) { return t ? t.view() : monosem_view{}; }

}  // namespace

Normed norm(const Tensor& x, const Tensor& weight, const Tensor& bias, int32_t kind, float eps,
            float weight_offset, bool statistics) {
  require_same_device({&x, &weight, &bias});
  if (x.rank() == 0) throw Error(kShape, "a norm expects [..., d], got a rank 0 tensor");
  Device& device = x.device();
  const int64_t d = x.shape().back();
  const int64_t rows = d == 0 ? 0 : x.count() / d;
  vector_operand(weight, d, "norm weight");
  vector_operand(bias, d, "norm bias");
  Normed out{Tensor::empty(device, x.dtype(), x.shape()), {}, {}};
  if (statistics) {
    Shape shape = x.shape();
    shape.back() = 1;
    out.scale = Tensor::empty(device, MONOSEM_FLOAT32, shape);
    out.normalized = Tensor::empty(device, MONOSEM_FLOAT32, x.shape());
  }
  const Tensor source = reshape(x, {rows, d});
  device.stream().push("norm", [=, &device] {
    monosem_norm n{};
    n.x = source.view();
    n.out = out.out.try_reshape({rows, d}).view();
    n.weight = view_or_null(weight);
    n.bias = view_or_null(bias);
    if (out.scale) n.scale = out.scale.try_reshape({rows}).view();
    if (out.normalized) n.normalized = out.normalized.try_reshape({rows, d}).view();
    n.eps = eps;
    n.weight_offset = weight_offset;
    n.kind = kind;
    device.check(device.table().norm(device.handle(), &n));
  });
  return out;
}

Tensor rope(const Tensor& x, const Tensor& cos, const Tensor& sin, const Tensor& positions) {
  require_same_device({&x, &cos, &sin, &positions});
  const bool fits = x.rank() == 4 && cos.rank() == 2 && cos.shape() == sin.shape() &&
                    2 * cos.shape()[1] <= x.shape()[3] &&
                    positions.shape() == Shape{x.shape()[0], x.shape()[1]} &&
                    positions.dtype() == MONOSEM_INT32;
  if (!fits) {
    throw Error(kShape,
                "rope expects x [b, p, n, d_head], tables [positions, half], int32 positions "
                "[b, p]; got " +
                    text(x.shape()) + ", " + text(cos.shape()) + ", " + text(positions.shape()));
  }
  Device& device = x.device();
  Tensor out = Tensor::empty(device, x.dtype(), x.shape());
  device.stream().push("rope", [=, &device] {
    const monosem_rope r{x.view(), out.view(), cos.view(), sin.view(), positions.view()};
    device.check(device.table().rope(device.handle(), &r));
  });
  return out;
}

namespace {

void require_attention(const Tensor& q, const Tensor& k, const Tensor& mask) {
  require_same_device({&q, &k, &mask});
  const bool fits = q.rank() == 4 && k.rank() == 4 && q.shape()[0] == k.shape()[0] &&
                    q.shape()[3] == k.shape()[3] && k.shape()[2] > 0 &&
                    q.shape()[2] % k.shape()[2] == 0 && k.shape()[1] >= q.shape()[1] &&
                    (!mask || (mask.dtype() == MONOSEM_INT32 &&
                               mask.shape() == Shape{k.shape()[0], k.shape()[1]}));
  if (!fits) {
    throw Error(kShape,
                "attention expects q [b, p, n, d_head], k [b, s, n_kv, d_head] with s >= p and n a "
                "multiple of n_kv, an int32 mask [b, s]; got " +
                    text(q.shape()) + ", " + text(k.shape()) +
                    (mask ? ", " + text(mask.shape()) : std::string()));
  }
}

monosem_attention describe(const Tensor& q, const Tensor& k, const Tensor& mask,
                           const AttentionOptions& options) {
  monosem_attention a{};
  a.q = q.view();
  a.k = k.view();
  a.mask = view_or_null(mask);
  a.scale = options.scale;
  a.softcap = options.softcap;
  a.window = options.window;
  return a;
}

}  // namespace

Tensor attention(const Tensor& q, const Tensor& k, const Tensor& v, const Tensor& mask,
                 const AttentionOptions& options) {
  require_attention(q, k, mask);
  require_same_device({&q, &v});
  if (v.shape() != k.shape()) {
    throw Error(kShape, "attention expects k and v of one shape, got " + text(k.shape()) + " and " +
                            text(v.shape()));
  }
  Device& device = q.device();
  Tensor out = Tensor::empty(device, v.dtype(), q.shape());
  device.stream().push("attention", [=, &device] {
    monosem_attention a = describe(q, k, mask, options);
    a.v = v.view();
    a.out = out.view();
    device.check(device.table().attention(device.handle(), &a));
  });
  return out;
}

Tensor attention_scores(const Tensor& q, const Tensor& k, const Tensor& mask,
                        const AttentionOptions& options) {
  require_attention(q, k, mask);
  Device& device = q.device();
  Tensor out = Tensor::empty(device, MONOSEM_FLOAT32,
                             {q.shape()[0], q.shape()[2], q.shape()[1], k.shape()[1]});
  device.stream().push("attention scores", [=, &device] {
    monosem_attention a = describe(q, k, mask, options);
    a.scores = out.view();
    device.check(device.table().attention_scores(device.handle(), &a));
  });
  return out;
}

}  // namespace monosem
