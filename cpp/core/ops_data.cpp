// Making tensors, moving them, reading them back.

#include <algorithm>
#include <cstring>
#include <future>
#include <vector>

#include "core/ops.h"

namespace monosem {

namespace {

// float64 and int64 have no storage of ours: they are narrowed on the way in.
template <class From, class To>
std::vector<std::byte> narrowed(const void* data, int64_t count) {
  std::vector<std::byte> bytes(static_cast<size_t>(count) * sizeof(To));
  const auto* source = static_cast<const From*>(data);
  auto* target = reinterpret_cast<To*>(bytes.data());
  std::transform(source, source + count, target, [](From value) { return static_cast<To>(value); });
  return bytes;
}

// A tensor whose elements are these bytes.
Tensor upload(Device& device, const void* data, const Shape& shape, monosem_dtype dtype) {
  Tensor t = Tensor::empty(device, dtype, shape);
  const size_t bytes = t.buffer()->bytes();
  if (bytes == 0) return t;
  if (device.table().host_memory) {
    // Nothing else knows the buffer yet: no need to wait for the stream.
    std::memcpy(t.data(), data, bytes);
    return t;
  }
  const auto* first = static_cast<const std::byte*>(data);
  device.stream().push("upload", [&device, t, held = std::vector<std::byte>(first, first + bytes)] {
    device.check(device.table().upload(device.handle(), t.data(), held.data(), held.size()));
  });
  return t;
}

}  // namespace

Tensor from_host(Device& device, const void* data, const std::string& source, const Shape& shape,
                 monosem_dtype dtype) {
  Tensor t;
  if (source == "float64") {
    t = upload(device, narrowed<double, float>(data, element_count(shape)).data(), shape,
               MONOSEM_FLOAT32);
  } else if (source == "int64") {
    t = upload(device, narrowed<int64_t, int32_t>(data, element_count(shape)).data(), shape,
               MONOSEM_INT32);
  } else {
    t = upload(device, data, shape, dtype_of(source));
  }
  return t.dtype() == dtype ? t : to(t, dtype, device);
}

Tensor full(Device& device, const Shape& shape, double value, monosem_dtype dtype) {
  Tensor t = Tensor::empty(device, dtype, shape);
  fill(t, value);
  return t;
}

Tensor randn(Device& device, const Shape& shape, uint64_t seed, monosem_dtype dtype) {
  Tensor t = Tensor::empty(device, dtype, shape);
  device.stream().push("randn", [&device, t, seed] {
    const monosem_view view = t.view();
    device.check(device.table().randn(device.handle(), &view, seed));
  });
  return t;
}

void fill(const Tensor& dst, double value) {
  dst.buffer()->mark_written();
  Device& device = dst.device();
  device.stream().push("fill", [&device, dst, value] {
    const monosem_view view = dst.view();
    device.check(device.table().fill(device.handle(), &view, value));
  });
}

void copy_into(const Tensor& dst, const Tensor& src) {
  dst.buffer()->mark_written();
  require_same_device({&dst, &src});
  Device& device = dst.device();
  Tensor from = src.expand(dst.shape());
  if (from.buffer() == dst.buffer()) from = to(from, from.dtype(), device);  // they may overlap
  device.stream().push("copy", [&device, dst, from] {
    const monosem_view target = dst.view(), source = from.view();
    device.check(device.table().copy(device.handle(), &target, &source));
  });
}

Tensor to(const Tensor& t, monosem_dtype dtype, Device& device) {
  Device& home = t.device();
  Tensor copied = Tensor::empty(home, dtype, t.shape());
  home.stream().push("copy", [&home, copied, t] {
    const monosem_view target = copied.view(), source = t.view();
    home.check(home.table().copy(home.handle(), &target, &source));
  });
  if (&home == &device) return copied;

  // Over the host. The other stream waits for this one; it cannot deadlock, since a wait is always
  // for a command that was pushed before it.
  Tensor moved = Tensor::empty(device, dtype, t.shape());
  const size_t bytes = moved.buffer()->bytes();
  auto staged = std::make_shared<std::vector<std::byte>>(bytes);
  auto there = std::make_shared<std::promise<void>>();
  home.stream().push("download", [&home, copied, staged, there] {
    const auto status =
        home.table().download(home.handle(), staged->data(), copied.data(), staged->size());
    there->set_value();
    home.check(status);
  });
  device.stream().push("upload", [&device, moved, staged, there] {
    there->get_future().wait();
    device.check(
        device.table().upload(device.handle(), moved.data(), staged->data(), staged->size()));
  });
  return moved;
}

Tensor contiguous(const Tensor& t) { return t.contiguous() ? t : to(t, t.dtype(), t.device()); }

Tensor reshape(const Tensor& t, Shape shape) {
  int64_t known = 1, open = -1;
  for (size_t i = 0; i < shape.size(); ++i) {
    if (shape[i] == -1 && open < 0) {
      open = static_cast<int64_t>(i);
    } else if (shape[i] < 0 || __builtin_mul_overflow(known, shape[i], &known)) {
      throw Error(kShape, "expected lengths of 0 or more and at most one -1, got " + text(shape));
    }
  }
  const int64_t count = t.count();
  if (open >= 0 && known > 0) shape[static_cast<size_t>(open)] = count / known;
  if ((open >= 0 && known == 0) || element_count(shape) != count) {
    throw Error(kShape, text(t.shape()) + " has " + std::to_string(count) +
                            " elements and cannot be reshaped to " + text(shape));
  }
  const Tensor view = t.try_reshape(shape);
  return view ? view : contiguous(t).try_reshape(shape);
}

void read(const Tensor& t, void* host) {
  Device& device = t.device();
  const Tensor packed = contiguous(t);
  const size_t bytes = static_cast<size_t>(packed.count()) * element_size(packed.dtype());
  device.stream().push("read", [&device, packed, host, bytes] {
    device.check(device.table().download(device.handle(), host, packed.data(), bytes));
  });
}

void require_same_device(std::initializer_list<const Tensor*> tensors) {
  const Tensor* first = nullptr;
  for (const Tensor* t : tensors) {
    if (!*t) continue;
    if (first == nullptr) first = t;
    if (&t->device() != &first->device()) {
      throw Error(kDevice, "operands are on " + first->device().name() + " and " +
                               t->device().name() + "; move one with to({ device })");
    }
  }
}

}  // namespace monosem
