#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "core/device.h"
#include "core/shape.h"

namespace monosem {

size_t element_size(monosem_dtype dtype);
const char* dtype_name(monosem_dtype dtype);
/// Throws ERR_DTYPE for a name that is no storage type.
monosem_dtype dtype_of(const std::string& name);

/// A block of device memory, shared by the tensors that look at it and the commands that use it.
class Buffer {
 public:
  /// Throws ERR_OUT_OF_MEMORY.
  Buffer(Device& device, size_t bytes);
  /// Memory of someone else (a mapped file), alive as long as `keep_alive`.
  Buffer(Device& device, void* data, size_t bytes, std::shared_ptr<const void> keep_alive);
  ~Buffer();
  Buffer(const Buffer&) = delete;
  Buffer& operator=(const Buffer&) = delete;

  Device& device() const { return device_; }
  void* data() const { return data_; }
  size_t bytes() const { return bytes_; }
  bool external() const { return keep_alive_ != nullptr; }
  /// Told by every operation that writes into a tensor that exists already, when it is queued.
  void mark_written() { ++writes_; }
  /// How often that was: what was made of the contents at another count is out of date.
  uint64_t writes() const { return writes_; }
  /// Gives back the memory that the pages of a mapped file occupy, for contents that were read once
  /// and may never be again: what is needed after all is read from the file again. Does nothing to
  /// a buffer that was written to, whose pages are no longer the file's.
  void page_out() const;
  /// True for the first caller only, and for memory of ours only: who tells the garbage collector.
  bool claim_report() { return !external() && !claimed_.exchange(true); }

 private:
  Device& device_;
  void* data_ = nullptr;
  size_t bytes_;
  std::shared_ptr<const void> keep_alive_;
  std::atomic<bool> claimed_ = false;
  std::atomic<uint64_t> writes_ = 0;
};

/// A strided window on a buffer. A value: copies look at the same memory.
class Tensor {
 public:
  Tensor() = default;
  Tensor(std::shared_ptr<Buffer> buffer, monosem_dtype dtype, Shape shape, Shape stride,
         int64_t offset);

  /// Uninitialised, contiguous. Throws ERR_SHAPE (negative lengths, rank above 8, overflow),
  /// ERR_OUT_OF_MEMORY.
  static Tensor empty(Device& device, monosem_dtype dtype, const Shape& shape);

  explicit operator bool() const { return buffer_ != nullptr; }
  Device& device() const { return buffer_->device(); }
  const std::shared_ptr<Buffer>& buffer() const { return buffer_; }
  monosem_dtype dtype() const { return dtype_; }
  const Shape& shape() const { return shape_; }
  const Shape& stride() const { return stride_; }
  int64_t rank() const { return static_cast<int64_t>(shape_.size()); }
  int64_t count() const { return element_count(shape_); }
  /// Address of the first element.
  void* data() const;
  float* floats() const { return static_cast<float*>(data()); }
  bool contiguous() const;
  monosem_view view() const;

  // Views. They throw ERR_SHAPE.
  Tensor slice(const Shape& starts, const Shape& ends, const std::vector<bool>& drop) const;
  Tensor transpose(int64_t dim0, int64_t dim1) const;
  Tensor expand(const Shape& shape) const;  ///< broadcasting, stride 0 where lengths were 1
  /// A view of that shape if strides can express it, else an empty Tensor. No -1 here.
  Tensor try_reshape(const Shape& shape) const;

 private:
  std::shared_ptr<Buffer> buffer_;
  monosem_dtype dtype_ = MONOSEM_FLOAT32;
  Shape shape_, stride_;
  int64_t offset_ = 0;
};

/// The dimension an index names (negatives count from the end). Throws ERR_SHAPE.
int64_t resolve_dim(const Tensor& t, int64_t dim);

}  // namespace monosem
