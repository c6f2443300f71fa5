// Picking and adding rows and columns by number.

#include "core/ops.h"
#include "core/ops_common.h"

namespace monosem {

namespace {

void require_int32(const Tensor& t, const char* what) {
  if (t.dtype() != MONOSEM_INT32) {
    throw Error(kDtype, std::string("expected int32 ") + what + ", got " + dtype_name(t.dtype()));
  }
}

}  // namespace

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
  dst.buffer()->mark_written();
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
