// copy, fill and randn over views of any strides and dtypes.

#include <array>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>

#include "cpu/isa.h"
#include "cpu/view.h"

namespace monosem::cpu {
namespace {

/// Elements of a transposing copy's square tile: 16 KiB of float32, in the first cache twice.
constexpr int64_t kTile = 64;

/// dst[i, j] = src[i, j] of 16-bit items where dst is contiguous along j and src along i.
void transpose(uint16_t* dst, int64_t dst_stride, const uint16_t* src, int64_t src_stride,
               int64_t rows, int64_t columns) {
  constexpr int64_t kBlock = 32;  // a cache line of either side
  for (int64_t i = 0; i < rows; i += kBlock) {
    for (int64_t j = 0; j < columns; j += kBlock) {
      const int64_t i_end = std::min(rows, i + kBlock), j_end = std::min(columns, j + kBlock);
      for (int64_t r = i; r < i_end; ++r)
        for (int64_t c = j; c < j_end; ++c) dst[r * dst_stride + c] = src[c * src_stride + r];
    }
  }
}

/// The same of 32-bit items, by the vector kernel as far as whole blocks of 16 columns go.
void transpose(float* dst, int64_t dst_stride, const float* src, int64_t src_stride, int64_t rows,
               int64_t columns) {
  const int64_t whole = columns - columns % 16;
  for (int64_t c = 0; c < whole; c += 16)
    microkernels().interleave(src + c * src_stride, src_stride, 16, rows, dst + c, dst_stride);
  for (int64_t r = 0; r < rows; ++r)
    for (int64_t c = whole; c < columns; ++c) dst[r * dst_stride + c] = src[c * src_stride + r];
}

/// A plane of rows x columns, rows <= kTile, dst contiguous along columns and src along rows.
void transpose_plane(const Run& dst, int64_t dst_stride, const Run& src, int64_t src_stride,
                     int64_t rows, int64_t columns) {
  if (dst.dtype == src.dtype) {
    // Bits are moved: which 32-bit type they are does not matter.
    if (item_size(dst.dtype) == 4)
      return transpose(reinterpret_cast<float*>(dst.data), dst_stride,
                       reinterpret_cast<const float*>(src.data), src_stride, rows, columns);
    return transpose(reinterpret_cast<uint16_t*>(dst.data), dst_stride,
                     reinterpret_cast<const uint16_t*>(src.data), src_stride, rows, columns);
  }
  // Converted on both sides of a float32 tile.
  float loaded[kTile * kTile], turned[kTile * kTile];
  for (int64_t j = 0; j < columns; j += kTile) {
    const int64_t width = std::min(kTile, columns - j);
    for (int64_t c = 0; c < width; ++c) {
      const int64_t start = (j + c) * src_stride * item_size(src.dtype);
      load({src.data + start, src.dtype, 1}, rows, loaded + c * kTile);
    }
    const Run to{dst.data + j * item_size(dst.dtype), dst.dtype, 1};
    if (dst.dtype == MONOSEM_FLOAT32) {
      transpose(reinterpret_cast<float*>(to.data), dst_stride, loaded, kTile, rows, width);
      continue;
    }
    transpose(turned, kTile, loaded, kTile, rows, width);
    for (int64_t r = 0; r < rows; ++r) store(to.from(r * dst_stride), width, turned + r * kTile);
  }
}

/// The dimension along which src is contiguous, if that is not dst's innermost: a transposition.
int transposed_dim(const Walk<2>& walk) {
  const int inner = walk.rank() - 1;
  if (walk.stride(0, inner) != 1 || std::abs(walk.stride(1, inner)) <= 1) return -1;
  for (int d = 0; d < inner; ++d)
    if (walk.stride(1, d) == 1 && walk.shape(d) >= 8 && walk.shape(inner) >= 8) return d;
  return -1;
}

/// Strips of kTile rows along `dim`, each as wide as the innermost dimension, for every index of
/// the other dimensions.
void copy_transposed(const Walk<2>& walk, int dim, const View& dst, const View& src) {
  const int inner = walk.rank() - 1;
  const int64_t columns = walk.shape(inner);
  const int64_t strips = (walk.shape(dim) + kTile - 1) / kTile;
  const int64_t planes = walk.size() / (walk.shape(dim) * columns);
  parallel(planes * strips, kTile * columns, [&](int64_t begin, int64_t end) {
    for (int64_t task = begin; task < end; ++task) {
      const int64_t first = task % strips * kTile;
      int64_t to = first * walk.stride(0, dim), from = first * walk.stride(1, dim);
      for (int64_t d = inner - 1, plane = task / strips; d >= 0; --d) {
        if (d == dim) continue;
        to += plane % walk.shape(static_cast<int>(d)) * walk.stride(0, static_cast<int>(d));
        from += plane % walk.shape(static_cast<int>(d)) * walk.stride(1, static_cast<int>(d));
        plane /= walk.shape(static_cast<int>(d));
      }
      transpose_plane(run_at(dst, to), walk.stride(0, dim), run_at(src, from),
                      walk.stride(1, inner), std::min(kTile, walk.shape(dim) - first), columns);
    }
  });
}

/// splitmix64's finaliser (Steele, Lea and Flood 2014).
uint64_t hash(uint64_t z) {
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
  return z ^ (z >> 31);
}

/// Element `index` of the stream of standard normals that `seed` names (Box and Muller 1958, cosine
/// branch). A pure function of both: any order, any number of threads, the same tensor.
float normal(uint64_t seed, uint64_t index) {
  const uint64_t draw = hash(hash(seed + 0x9e3779b97f4a7c15u) + index * 0x9e3779b97f4a7c15u);
  const double radius = (static_cast<double>(draw >> 32) + 0.5) * 0x1p-32;
  const double angle = (static_cast<double>(draw & 0xffffffffu) + 0.5) * 0x1p-32;
  return static_cast<float>(std::sqrt(-2.0 * std::log(radius)) *
                            std::cos(6.283185307179586 * angle));
}

}  // namespace

void copy(const View& dst, const View& src) {
  const Walk<2> walk({&dst, &src});
  if (walk.size() == 0) return;
  if (int dim = transposed_dim(walk); dim >= 0) return copy_transposed(walk, dim, dst, src);
  walk.visit([](const auto& runs, int64_t n) { copy_run(runs[0], runs[1], n); });
}

void fill(const View& dst, double value) {
  const Walk<1> walk({&dst});
  const int32_t integer = to_int32(value);
  walk.visit([&](const auto& runs, int64_t n) {
    if (dst.dtype == MONOSEM_INT32) {
      int32_t* out = reinterpret_cast<int32_t*>(runs[0].data);
      for (int64_t i = 0; i < n; ++i) out[i * runs[0].stride] = integer;
    } else {
      float scratch[kRun];
      std::fill_n(scratch, n, static_cast<float>(value));
      store(runs[0], n, scratch);
    }
  });
}

void randn(const View& dst, uint64_t seed) {
  const Walk<1> walk({&dst}, Order::kRowMajor);
  // A normal costs some 30 ns: 64 copies' worth.
  parallel(walk.size(), 64, [&](int64_t begin, int64_t end) {
    int64_t index = begin;
    walk.visit(begin, end, [&](const auto& runs, int64_t n) {
      float scratch[kRun];
      for (int64_t i = 0; i < n; ++i) scratch[i] = normal(seed, static_cast<uint64_t>(index++));
      store(runs[0], n, scratch);
    });
  });
}

}  // namespace monosem::cpu
