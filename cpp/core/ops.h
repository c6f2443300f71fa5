#pragma once

// What can be done with tensors. Every function checks its operands, allocates its result, queues a
// command on the device's stream and returns. All throw ERR_SHAPE, ERR_DTYPE, ERR_DEVICE (operands
// on different devices) or ERR_OUT_OF_MEMORY.

#include <optional>
#include <string>

#include "core/tensor.h"

namespace monosem {

// ---- making and moving
/// The bytes at `data` are taken before this returns. `source`: float32, float64, int32, int64,
/// float16 or bfloat16.
Tensor from_host(Device& device, const void* data, const std::string& source, const Shape& shape,
                 monosem_dtype dtype);
Tensor full(Device& device, const Shape& shape, double value, monosem_dtype dtype);
Tensor randn(Device& device, const Shape& shape, uint64_t seed, monosem_dtype dtype);
/// A contiguous copy, always.
Tensor to(const Tensor& t, monosem_dtype dtype, Device& device);
/// The tensor itself when it is contiguous, else a copy.
Tensor contiguous(const Tensor& t);
/// A view where strides allow it, else a copy. One length may be -1.
Tensor reshape(const Tensor& t, Shape shape);
/// Queues a copy of the elements, row-major, into host memory that the caller keeps alive until a
/// later stream.notify or stream.wait.
void read(const Tensor& t, void* host);

// ---- in place
void fill(const Tensor& dst, double value);
void copy_into(const Tensor& dst, const Tensor& src);
void binary_into(int32_t op, const Tensor& dst, const Tensor& other);

// ---- arithmetic
Tensor unary(int32_t op, const Tensor& t, float parameter);
Tensor binary(int32_t op, const Tensor& a, const Tensor& b);
/// Without a dimension: over everything, a rank 0 result.
Tensor reduce(int32_t op, const Tensor& t, std::optional<int64_t> dim);
Tensor softmax(const Tensor& t, int64_t dim, bool logarithm);
struct TopK {
  Tensor values, indices;
};
TopK topk(const Tensor& t, int64_t k, int64_t dim);
Tensor matmul(const Tensor& a, const Tensor& b);
Tensor gather_rows(const Tensor& src, const Tensor& rows);
Tensor gather(const Tensor& src, const Tensor& columns);
void scatter_add_into(const Tensor& dst, const Tensor& columns, const Tensor& src);

// ---- the transformer; `none` operands are empty Tensors
Tensor linear(const Tensor& x, const Tensor& w, const Tensor& bias, int32_t activation);
struct Normed {
  Tensor out, scale, normalized;
};
Normed norm(const Tensor& x, const Tensor& weight, const Tensor& bias, int32_t kind, float eps,
            float weight_offset, bool statistics);
Tensor rope(const Tensor& x, const Tensor& cos, const Tensor& sin, const Tensor& positions);
struct AttentionOptions {
  float scale = 1, softcap = 0;
  int64_t window = 0;
};
Tensor attention(const Tensor& q, const Tensor& k, const Tensor& v, const Tensor& mask,
                 const AttentionOptions& options);
Tensor attention_scores(const Tensor& q, const Tensor& k, const Tensor& mask,
                        const AttentionOptions& options);

/// Throws ERR_DEVICE unless all (non-empty) tensors are on one device.
void require_same_device(std::initializer_list<const Tensor*> tensors);

}  // namespace monosem
