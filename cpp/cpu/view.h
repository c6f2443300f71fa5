#pragma once

// Strided views as the operators see them: runs of elements of any dtype, loaded as float32, and
// walks over views of one shape with neighbouring dimensions merged.

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstdlib>

#include "cpu/ops.h"
#include "cpu/parallel.h"

namespace monosem::cpu {

inline int64_t item_size(int32_t dtype) {
  return dtype == MONOSEM_FLOAT16 || dtype == MONOSEM_BFLOAT16 ? 2 : 4;
}

/// The longest run handled at once: 4 KiB of float32, so that scratch rows stay in the first cache.
inline constexpr int64_t kRun = 1024;

/// Elements of one dtype, `stride` elements apart.
struct Run {
  char* data;
  int32_t dtype;
  int64_t stride;

  bool is_float32_row() const { return dtype == MONOSEM_FLOAT32 && stride == 1; }
  Run from(int64_t element) const {
    return {data + element * stride * item_size(dtype), dtype, stride};
  }
};

/// A run along the last dimension of a view, at an offset in elements.
inline Run run_at(const View& view, int64_t offset) {
  return {static_cast<char*>(view.data) + offset * item_size(view.dtype), view.dtype,
          view.rank > 0 ? view.stride[view.rank - 1] : 1};
}
/// Row i of a [rows, n] view.
inline Run row(const View& view, int64_t i) { return run_at(view, i * view.stride[0]); }

/// Truncates and saturates; NaN becomes 0.
int32_t to_int32(double value);
// n elements to and from float32: 16-bit values are rounded to nearest even, integers by to_int32.
void load(const Run& run, int64_t n, float* out);
void store(const Run& run, int64_t n, const float* in);
float load(const Run& run);
/// n <= kRun elements, without a detour over float32 where the dtypes agree.
void copy_run(const Run& dst, const Run& src, int64_t n);

/// The run itself where it is contiguous float32, else a copy in `scratch`.
inline const float* read(const Run& run, int64_t n, float* scratch) {
  if (run.is_float32_row()) return reinterpret_cast<const float*>(run.data);
  load(run, n, scratch);
  return scratch;
}
/// Where to compute a row of `run`: in place, or in `scratch`, from where `store` takes it.
inline float* place(const Run& run, float* scratch) {
  return run.is_float32_row() ? reinterpret_cast<float*>(run.data) : scratch;
}
inline void finish(const Run& run, int64_t n, const float* placed) {
  if (!run.is_float32_row()) store(run, n, placed);
}

/// The elements of N views of one shape, visited in runs along the innermost dimension. Dimensions
/// are ordered by the first view's strides (`kRowMajor`: left alone) and merged where all views
/// allow.
enum class Order { kFastest, kRowMajor };

template <size_t N>
class Walk {
 public:
  explicit Walk(const std::array<const View*, N>& views, Order order = Order::kFastest) {
    const View& first = *views[0];
    std::array<int, MONOSEM_MAX_RANK> dims{};
    int used = 0;
    for (int d = 0; d < first.rank; ++d) {
      size_ *= first.shape[d];
      if (first.shape[d] != 1) dims[static_cast<size_t>(used++)] = d;
    }
    if (order == Order::kFastest)
      std::stable_sort(dims.begin(), dims.begin() + used, [&](int a, int b) {
        return std::abs(first.stride[a]) > std::abs(first.stride[b]);
      });
    for (int i = 0; i < used; ++i) append(views, dims[static_cast<size_t>(i)]);
    if (rank_ == 0) {
      rank_ = 1;
      shape_[0] = 1;
      for (auto& stride : stride_) stride[0] = 1;
    }
    for (size_t v = 0; v < N; ++v) views_[v] = views[v];
  }

  int64_t size() const { return size_; }
  int rank() const { return rank_; }
  int64_t shape(int dim) const { return shape_[dim]; }
  int64_t stride(size_t view, int dim) const { return stride_[view][dim]; }

  /// body(runs, n) for the elements [begin, end) of the walk's order, n <= kRun.
  template <class Body>
  void visit(int64_t begin, int64_t end, const Body& body) const {
    const int inner = rank_ - 1;
    std::array<int64_t, MONOSEM_MAX_RANK> index{};
    std::array<int64_t, N> offset{};
    for (int64_t d = inner, left = begin; d >= 0; --d) {
      index[static_cast<size_t>(d)] = left % shape_[d];
      left /= shape_[d];
      for (size_t v = 0; v < N; ++v) offset[v] += index[static_cast<size_t>(d)] * stride_[v][d];
    }
    while (begin < end) {
      int64_t n = std::min({shape_[inner] - index[static_cast<size_t>(inner)], end - begin, kRun});
      std::array<Run, N> runs;
      for (size_t v = 0; v < N; ++v) {
        runs[v] = run_at(*views_[v], offset[v]);
        runs[v].stride = stride_[v][inner];
        offset[v] += n * stride_[v][inner];
      }
      body(runs, n);
      begin += n;
      index[static_cast<size_t>(inner)] += n;
      for (int d = inner; d > 0 && index[static_cast<size_t>(d)] == shape_[d]; --d) {
        index[static_cast<size_t>(d)] = 0;
        ++index[static_cast<size_t>(d - 1)];
        for (size_t v = 0; v < N; ++v) offset[v] += stride_[v][d - 1] - shape_[d] * stride_[v][d];
      }
    }
  }

  /// visit over everything, on the pool where it is large.
  template <class Body>
  void visit(const Body& body) const {
    parallel(size_, 1, [&](int64_t begin, int64_t end) { visit(begin, end, body); });
  }

 private:
  void append(const std::array<const View*, N>& views, int dim) {
    const int64_t extent = views[0]->shape[dim];
    bool merges = rank_ > 0;
    for (size_t v = 0; v < N && merges; ++v)
      merges = stride_[v][rank_ - 1] == views[v]->stride[dim] * extent;
    if (!merges) ++rank_;
    const int last = rank_ - 1;
    shape_[last] = merges ? shape_[last] * extent : extent;
    for (size_t v = 0; v < N; ++v) stride_[v][last] = views[v]->stride[dim];
  }

  int64_t size_ = 1;
  int rank_ = 0;
  int64_t shape_[MONOSEM_MAX_RANK] = {};
  int64_t stride_[N][MONOSEM_MAX_RANK] = {};
  std::array<const View*, N> views_{};
};

}  // namespace monosem::cpu
