// Elementwise arithmetic, reductions, softmax, top k.

#include <algorithm>

#include "core/ops.h"
#include "core/ops_common.h"

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

void push_binary(int32_t op, const Tensor& dst, const Tensor& a, const Tensor& b) {
  Device& device = dst.device();
  device.stream().push("arithmetic", [&device, op, dst, a, b] {
    const monosem_view target = dst.view(), left = a.view(), right = b.view();
    device.check(device.table().binary(device.handle(), op, &target, &left, &right));
  });
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
  dst.buffer()->mark_written();
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

}  // namespace monosem
