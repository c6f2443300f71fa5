// Matrix products.

#include <algorithm>

#include "core/ops.h"
#include "core/ops_common.h"

namespace monosem {

namespace {

void push_gemm(const Tensor& a, const Tensor& b, const Tensor& c, const Tensor& bias,
               int32_t activation) {
  Device& device = c.device();
  device.stream().push("matmul", [&device, a, b, c, bias, activation] {
    monosem_gemm g{};
    g.a = a.view();
    g.b = b.view();
    g.c = c.view();
    g.bias = bias ? bias.floats() : nullptr;
    g.alpha = 1;
    g.activation = activation;
    device.check(device.table().gemm(device.handle(), &g));
  });
}

Error product_mismatch(const Tensor& a, const Tensor& b) {
  return Error(kShape, "cannot multiply " + text(a.shape()) + " by " + text(b.shape()) +
                           ": expected [..., m, k] and [..., k, n]");
}

}  // namespace

Tensor matmul(const Tensor& a, const Tensor& b) {
  require_same_device({&a, &b});
  if (a.rank() == 0 || b.rank() == 0) throw product_mismatch(a, b);
  const bool row = a.rank() == 1, column = b.rank() == 1;
  const Tensor left = row ? reshape(a, {1, -1}) : a;
  const Tensor right = column ? reshape(b, {-1, 1}) : b;
  const auto [m, k] = std::pair(left.shape()[left.shape().size() - 2], left.shape().back());
  const auto [rows, n] = std::pair(right.shape()[right.shape().size() - 2], right.shape().back());
  if (k != rows) throw product_mismatch(a, b);

  // The batch: what stands before the last two dimensions, broadcast.
  Shape lead_a(left.shape().begin(), left.shape().end() - 2);
  Shape lead_b(right.shape().begin(), right.shape().end() - 2);
  Shape lead(std::max(lead_a.size(), lead_b.size()), 1);
  for (const Shape* other : {&lead_a, &lead_b}) {
    for (size_t i = 0; i < other->size(); ++i) {
      int64_t& length = lead[lead.size() - other->size() + i];
      if (length == 1) {
        length = (*other)[i];
      } else if ((*other)[i] != 1 && (*other)[i] != length) {
        throw product_mismatch(a, b);
      }
    }
  }
  const auto with = [&](int64_t rows_, int64_t columns_) {
    Shape shape = lead;
    shape.push_back(rows_);
    shape.push_back(columns_);
    return shape;
  };
  Tensor out = Tensor::empty(a.device(), as_float(promote(a.dtype(), b.dtype())), with(m, n));
  if (lead_b.empty()) {  // one right side for all: the batch is just more rows
    push_gemm(reshape(left, {1, element_count(lead) * m, k}), reshape(right, {1, k, n}),
              reshape(out, {1, element_count(lead) * m, n}), {}, -1);
  } else {
    const int64_t batch = element_count(lead);
    push_gemm(reshape(left.expand(with(m, k)), {batch, m, k}),
              reshape(right.expand(with(k, n)), {batch, k, n}), reshape(out, {batch, m, n}), {},
              -1);
  }
  if (!row && !column) return out;
  Shape shape = lead;
  if (!row) shape.push_back(m);
  if (!column) shape.push_back(n);
  return reshape(out, shape);
}

Tensor linear(const Tensor& x, const Tensor& w, const Tensor& bias, int32_t activation) {
  require_same_device({&x, &w, &bias});
  if (x.rank() == 0 || w.rank() != 2 || x.shape().back() != w.shape()[0])
    throw product_mismatch(x, w);
  if (bias && (bias.shape() != Shape{w.shape()[1]} || bias.dtype() != MONOSEM_FLOAT32 ||
               !bias.contiguous())) {
    throw Error(kShape, "expected a float32 bias of [" + std::to_string(w.shape()[1]) + "], got " +
                            text(bias.shape()) + " " + dtype_name(bias.dtype()));
  }
  Shape shape = x.shape();
  shape.back() = w.shape()[1];
  Tensor out = Tensor::empty(x.device(), as_float(x.dtype()), shape);
  const Tensor rows = as_rows(x), target = as_rows(out);
  push_gemm(reshape(rows, {1, rows.shape()[0], rows.shape()[1]}),
            w.try_reshape({1, w.shape()[0], w.shape()[1]}),
            reshape(target, {1, target.shape()[0], target.shape()[1]}), bias, activation);
  return out;
}

}  // namespace monosem
