// Elementwise arithmetic, reductions, products, gathers.

#include <algorithm>

#include "core/ops.h"

namespace monosem {

namespace {

Shape broadcast(const Tensor& a, const Tensor& b) {
  Shape shape(std::max(a.shape().size(), b.shape().size()), 1);
  const auto fold = [&](const Shape& other) {
    const size_t lead = shape.size() - other.size();
    for (size_t i = 0; i < other.size(); ++i) {
      int64_t& length = shape[lead + i];
      if (length == 1) {
        length = other[i];
      } else if (other[i] != 1 && other[i] != length) {
        throw Error(kShape,
                    "shapes " + text(a.shape()) + " and " + text(b.shape()) +
                        " do not broadcast: dimensions must be equal or 1, counted from the "
                        "last");
      }
    }
  };
  fold(a.shape());
  fold(b.shape());
  return shape;
}

// What holds both: a 16-bit type when both are that type, float32 when they differ.
monosem_dtype promote(monosem_dtype a, monosem_dtype b) {
  if (a == b) return a;
  if (a == MONOSEM_INT32) return b;
  if (b == MONOSEM_INT32) return a;
  return MONOSEM_FLOAT32;
}

monosem_dtype as_float(monosem_dtype dtype) {
  return dtype == MONOSEM_INT32 ? MONOSEM_FLOAT32 : dtype;
}

void push_binary(int32_t op, const Tensor& dst, const Tensor& a, const Tensor& b) {
  Device& device = dst.device();
  device.stream().push("arithmetic", [&device, op, dst, a, b] {
    const monosem_view target = dst.view(), left = a.view(), right = b.view();
    device.check(device.table().binary(device.handle(), op, &target, &left, &right));
  });
}

void require_int32(const Tensor& t, const char* what) {
  if (t.dtype() != MONOSEM_INT32) {
    throw Error(kDtype, std::string("expected int32 ") + what + ", got " + dtype_name(t.dtype()));
  }
}

// Everything but the last dimension merged: [rows, n]. Rank 0 counts as [1, 1].
Tensor as_rows(const Tensor& t) {
  const int64_t n = t.rank() == 0 ? 1 : t.shape().back();
  int64_t rows = 1;
  for (int64_t i = 0; i + 1 < t.rank(); ++i) rows *= t.shape()[static_cast<size_t>(i)];
  return reshape(t, {rows, n});
}

}  // namespace

Tensor unary(int32_t op, const Tensor& t, float parameter) {
  Device& device = t.device();
  Tensor out = Tensor::empty(device, as_float(t.dtype()), t.shape());
  device.stream().push("elementwise", [&device, op, out, t, parameter] {
    const monosem_view target = out.view(), source = t.view();
    device.check(device.table().unary(device.handle(), op, &target, &source, parameter));
  });
  return out;
}

Tensor binary(int32_t op, const Tensor& a, const Tensor& b) {
  require_same_device({&a, &b});
  const Shape shape = broadcast(a, b);
  const bool compares = op == MONOSEM_GT || op == MONOSEM_LT || op == MONOSEM_EQ;
  monosem_dtype dtype = compares ? MONOSEM_FLOAT32 : promote(a.dtype(), b.dtype());
  if (op == MONOSEM_DIV) dtype = as_float(dtype);
  Tensor out = Tensor::empty(a.device(), dtype, shape);
  push_binary(op, out, a.expand(shape), b.expand(shape));
  return out;
}

void binary_into(int32_t op, const Tensor& dst, const Tensor& other) {
  require_same_device({&dst, &other});
  Tensor right = other.expand(dst.shape());
  if (right.buffer() == dst.buffer()) right = to(right, right.dtype(), right.device());
  push_binary(op, dst, dst, right);
}

Tensor reduce(int32_t op, const Tensor& t, std::optional<int64_t> dim) {
  Device& device = t.device();
  Shape kept;
  int64_t outer = 1, n = t.count(), inner = 1;
  if (dim) {
    const int64_t at = resolve_dim(t, *dim);
    for (int64_t i = 0; i < t.rank(); ++i) {
      const int64_t length = t.shape()[static_cast<size_t>(i)];
      if (i < at) outer *= length;
      if (i > at) inner *= length;
      if (i == at) {
        n = length;
      } else {
        kept.push_back(length);
      }
    }
  }
  if (n == 0 && (op == MONOSEM_MAX || op == MONOSEM_ARGMAX)) {
    throw Error(kShape,
                "the maximum of no elements does not exist: the shape is " + text(t.shape()));
  }
  const Tensor source = reshape(t, {outer, n, inner});
  const monosem_dtype dtype = op == MONOSEM_ARGMAX ? MONOSEM_INT32 : as_float(t.dtype());
  Tensor out = Tensor::empty(device, dtype, kept);
  const Tensor target = reshape(out, {outer, inner});
  device.stream().push("reduction", [&device, op, target, source] {
    const monosem_view to_view = target.view(), from_view = source.view();
    device.check(device.table().reduce(device.handle(), op, &to_view, &from_view));
  });
  return out;
}

Tensor softmax(const Tensor& t, int64_t dim, bool logarithm) {
  Device& device = t.device();
  if (t.rank() == 0) return softmax(reshape(t, {1}), 0, logarithm).try_reshape({});
  const int64_t at = resolve_dim(t, dim);
  const Tensor last = t.transpose(at, -1);
  Tensor out = Tensor::empty(device, as_float(t.dtype()), last.shape());
  const Tensor target = as_rows(out), source = as_rows(last);
  device.stream().push("softmax", [&device, target, source, logarithm] {
    const monosem_view to_view = target.view(), from_view = source.view();
    device.check(device.table().softmax(device.handle(), &to_view, &from_view, logarithm));
  });
  return out.transpose(at, -1);
}

TopK topk(const Tensor& t, int64_t k, int64_t dim) {
  Device& device = t.device();
  const int64_t at = resolve_dim(t, dim);
  const Tensor last = t.transpose(at, -1);
  if (k < 1 || k > last.shape().back()) {
    throw Error(kInvalidArgument, "topk expects k from 1 to " +
                                      std::to_string(last.shape().back()) +
                                      ", the length of dimension " + std::to_string(at) + ", got " +
                                      std::to_string(k));
  }
  Shape shape = last.shape();
  shape.back() = k;
  TopK out{Tensor::empty(device, as_float(t.dtype()), shape),
           Tensor::empty(device, MONOSEM_INT32, shape)};
  const Tensor values = as_rows(out.values), indices = as_rows(out.indices), source = as_rows(last);
  device.stream().push("topk", [&device, values, indices, source, k] {
    const monosem_view v = values.view(), i = indices.view(), s = source.view();
    device.check(device.table().topk(device.handle(), &v, &i, &s, k));
  });
  return {out.values.transpose(at, -1), out.indices.transpose(at, -1)};
}

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

Tensor gather_rows(const Tensor& src, const Tensor& rows) {
  require_same_device({&src, &rows});
  require_int32(rows, "row numbers");
  if (src.rank() < 1) throw Error(kShape, "expected a table of rows, got a rank 0 tensor");
  Device& device = src.device();
  const int64_t width = src.shape()[0] == 0 ? 0 : src.count() / src.shape()[0];
  Shape shape = rows.shape();
  shape.append(src.shape().begin() + 1, src.shape().end());
  Tensor out = Tensor::empty(device, src.dtype(), shape);
  const Tensor table = reshape(src, {src.shape()[0], width});
  const Tensor ids = reshape(rows, {rows.count()}), target = reshape(out, {rows.count(), width});
  device.stream().push("gather rows", [&device, table, ids, target] {
    const monosem_view t = target.view(), s = table.view(), r = ids.view();
    device.check(device.table().gather_rows(device.handle(), &t, &s, &r));
  });
  return out;
}

Tensor gather(const Tensor& src, const Tensor& columns) {
  require_same_device({&src, &columns});
  require_int32(columns, "column numbers");
  Shape lead_a = src.shape(), lead_b = columns.shape();
  if (lead_a.empty() || lead_b.empty()) throw Error(kShape, "gather expects [..., n] and [..., m]");
  lead_a.pop_back();
  lead_b.pop_back();
  if (lead_a != lead_b) {
    throw Error(kShape, "gather expects equal leading dimensions, got " + text(src.shape()) +
                            " and " + text(columns.shape()));
  }
  Device& device = src.device();
  Tensor out = Tensor::empty(device, src.dtype(), columns.shape());
  const Tensor target = as_rows(out), source = as_rows(src), picks = as_rows(columns);
  device.stream().push("gather", [&device, target, source, picks] {
    const monosem_view t = target.view(), s = source.view(), c = picks.view();
    device.check(device.table().gather(device.handle(), &t, &s, &c));
  });
  return out;
}

void scatter_add_into(const Tensor& dst, const Tensor& columns, const Tensor& src) {
  require_same_device({&dst, &columns, &src});
  require_int32(columns, "column numbers");
  if (dst.rank() != 2 || columns.rank() != 2 || columns.shape() != src.shape() ||
      dst.shape()[0] != columns.shape()[0]) {
    throw Error(kShape, "scatter expects [rows, n], [rows, m] and [rows, m], got " +
                            text(dst.shape()) + ", " + text(columns.shape()) + " and " +
                            text(src.shape()));
  }
  Device& device = dst.device();
  device.stream().push("scatter", [&device, dst, columns, src] {
    const monosem_view t = dst.view(), s = src.view(), c = columns.view();
    device.check(device.table().scatter_add(device.handle(), &t, &s, &c));
  });
}

}  // namespace monosem
