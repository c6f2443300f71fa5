#include "core/tensor.h"

#include <sys/mman.h>
#include <unistd.h>

#include <cstdint>
#include <limits>

namespace monosem {

int64_t element_count(const Shape& shape) {
  int64_t count = 1;
  for (int64_t length : shape) count *= length;
  return count;
}

size_t element_size(monosem_dtype dtype) {
  return dtype == MONOSEM_FLOAT32 || dtype == MONOSEM_INT32 ? 4 : 2;
}

std::string text(const Shape& shape) {
  std::string out = "[";
  for (size_t i = 0; i < shape.size(); ++i) {
    out += (i == 0 ? "" : ", ") + std::to_string(shape[i]);
  }
  return out + "]";
}

const char* dtype_name(monosem_dtype dtype) {
  constexpr const char* names[] = {"float32", "float16", "bfloat16", "int32"};
  return names[dtype];
}

monosem_dtype dtype_of(const std::string& name) {
  for (monosem_dtype dtype : {MONOSEM_FLOAT32, MONOSEM_FLOAT16, MONOSEM_BFLOAT16, MONOSEM_INT32}) {
    if (name == dtype_name(dtype)) return dtype;
  }
  throw Error(kDtype,
              "expected a dtype of float32, float16, bfloat16 or int32, got \"" + name + "\"");
}

Buffer::Buffer(Device& device, size_t bytes) : device_(device), bytes_(bytes) {
  device.check(device.table().alloc(device.handle(), bytes, &data_));
}

Buffer::Buffer(Device& device, void* data, size_t bytes, std::shared_ptr<const void> keep_alive)
    : device_(device), data_(data), bytes_(bytes), keep_alive_(std::move(keep_alive)) {}

Buffer::~Buffer() {
  if (!external()) device_.table().free(device_.handle(), data_);
}

void Buffer::page_out() const {
  if (!external() || writes_ > 0) return;
  const auto page = static_cast<uintptr_t>(sysconf(_SC_PAGESIZE));
  const auto begin = reinterpret_cast<uintptr_t>(data_);
  const uintptr_t first = (begin + page - 1) / page * page, last = (begin + bytes_) / page * page;
  if (first < last) madvise(reinterpret_cast<void*>(first), last - first, MADV_DONTNEED);
}

Tensor::Tensor(std::shared_ptr<Buffer> buffer, monosem_dtype dtype, Shape shape, Shape stride,
               int64_t offset)
    : buffer_(std::move(buffer)),
      dtype_(dtype),
      shape_(std::move(shape)),
      stride_(std::move(stride)),
      offset_(offset) {}

namespace {

Shape contiguous_strides(const Shape& shape) {
  Shape stride(shape.size(), 0);
  int64_t step = 1;
  for (size_t i = shape.size(); i-- > 0;) {
    stride[i] = step;
    step *= shape[i];
  }
  return stride;
}

}  // namespace

Tensor Tensor::empty(Device& device, monosem_dtype dtype, const Shape& shape) {
  int64_t count = 1;
  for (int64_t length : shape) {
    if (length < 0) throw Error(kShape, "expected lengths of 0 or more, got " + text(shape));
    if (__builtin_mul_overflow(count, length, &count) ||
        count > std::numeric_limits<int64_t>::max() / 8) {
      throw Error(kShape, "more elements than a tensor can have: " + text(shape));
    }
  }
  const size_t bytes = static_cast<size_t>(count) * element_size(dtype);
  return Tensor(std::make_shared<Buffer>(device, bytes), dtype, shape, contiguous_strides(shape),
                0);
}

void* Tensor::data() const {
  return static_cast<char*>(buffer_->data()) + offset_ * static_cast<int64_t>(element_size(dtype_));
}

bool Tensor::contiguous() const {
  int64_t step = 1;
  for (size_t i = shape_.size(); i-- > 0;) {
    if (shape_[i] != 1 && stride_[i] != step) return count() == 0;
    step *= shape_[i];
  }
  return true;
}

monosem_view Tensor::view() const {
  monosem_view v{};
  v.data = data();
  v.dtype = dtype_;
  v.rank = static_cast<int32_t>(rank());
  for (size_t i = 0; i < shape_.size(); ++i) {
    v.shape[i] = shape_[i];
    v.stride[i] = stride_[i];
  }
  return v;
}

Tensor Tensor::slice(const Shape& starts, const Shape& ends, const std::vector<bool>& drop) const {
  if (starts.size() != shape_.size() || ends.size() != starts.size() ||
      drop.size() != starts.size()) {
    throw Error(kShape, "a slice needs one range per dimension of " + text(shape_));
  }
  Tensor out(buffer_, dtype_, {}, {}, offset_);
  for (size_t i = 0; i < shape_.size(); ++i) {
    if (starts[i] < 0 || ends[i] < starts[i] || ends[i] > shape_[i] ||
        (drop[i] && ends[i] != starts[i] + 1)) {
      throw Error(kShape, "range " + std::to_string(starts[i]) + " to " + std::to_string(ends[i]) +
                              " lies outside dimension " + std::to_string(i) + " of " +
                              text(shape_));
    }
    if (ends[i] > starts[i]) out.offset_ += starts[i] * stride_[i];
    if (drop[i]) continue;
    out.shape_.push_back(ends[i] - starts[i]);
    out.stride_.push_back(stride_[i]);
  }
  return out;
}

Tensor Tensor::transpose(int64_t dim0, int64_t dim1) const {
  Tensor out = *this;
  const auto a = static_cast<size_t>(resolve_dim(*this, dim0));
  const auto b = static_cast<size_t>(resolve_dim(*this, dim1));
  std::swap(out.shape_[a], out.shape_[b]);
  std::swap(out.stride_[a], out.stride_[b]);
  return out;
}

Tensor Tensor::expand(const Shape& shape) const {
  Tensor out(buffer_, dtype_, shape, Shape(shape.size(), 0), offset_);
  const size_t lead = shape.size() - std::min(shape.size(), shape_.size());
  bool fits = shape.size() >= shape_.size();
  for (size_t i = 0; fits && i < shape_.size(); ++i) {
    if (shape_[i] == shape[lead + i]) {
      out.stride_[lead + i] = stride_[i];
    } else {
      fits = shape_[i] == 1;
    }
  }
  if (!fits) {
    throw Error(kShape,
                "a tensor of shape " + text(shape_) + " does not broadcast to " + text(shape));
  }
  return out;
}

Tensor Tensor::try_reshape(const Shape& shape) const {
  if (contiguous()) return Tensor(buffer_, dtype_, shape, contiguous_strides(shape), offset_);
  // Lengths of 1 say nothing about memory: leave them out. Then walk both shapes from the left in
  // groups of equal element counts; within a group the old dimensions must follow one another.
  Shape lengths, steps;
  for (size_t i = 0; i < shape_.size(); ++i) {
    if (shape_[i] == 1) continue;
    lengths.push_back(shape_[i]);
    steps.push_back(stride_[i]);
  }
  Shape stride(shape.size(), 0);
  size_t from = 0, to = 0;
  while (to < shape.size()) {
    if (shape[to] == 1) {
      ++to;
      continue;
    }
    if (from == lengths.size()) return {};
    int64_t old_count = lengths[from], new_count = shape[to];
    size_t last = from, end = to + 1;
    while (old_count != new_count) {
      if (old_count < new_count) {
        if (++last == lengths.size() || steps[last - 1] != steps[last] * lengths[last]) return {};
        old_count *= lengths[last];
      } else {
        if (end == shape.size()) return {};
        new_count *= shape[end++];
      }
    }
    int64_t step = steps[last];
    for (size_t i = end; i-- > to;) {
      stride[i] = step;
      step *= shape[i];
    }
    from = last + 1;
    to = end;
  }
  return Tensor(buffer_, dtype_, shape, std::move(stride), offset_);
}

int64_t resolve_dim(const Tensor& t, int64_t dim) {
  const int64_t resolved = dim < 0 ? dim + t.rank() : dim;
  if (resolved < 0 || resolved >= t.rank()) {
    throw Error(kShape,
                "dimension " + std::to_string(dim) + " does not exist in " + text(t.shape()));
  }
  return resolved;
}

}  // namespace monosem
