// gemm: c[b, i, j] = act(alpha sum_k a[b, i, k] b[b, k, j] + bias[j]), any strides, dtypes mixed,
// in float32 by fused multiply-adds, k ascending.
//
// Traffic: a tile of 64 x 64 outputs reads (64 + 64) k elements for 64 x 64 k multiply-adds, 32 per
// element; each value in shared memory serves 4 x 4 of a thread's. It is the general product behind
// tensors, hooks before the activation and the iterative SAEs; the encoder has its own.

#include "activation.cuh"
#include "operators.cuh"
#include "scalar.cuh"
#include "shared.cuh"

namespace monosem::cuda {

namespace {

constexpr int kTile = 64, kDepth = 16, kThreads = 256;

struct Tiles {
  float a[kDepth][kTile + 4];  // 4 more, so that writing along k meets different banks
  float b[kDepth][kTile + 4];
};

// tile[k][row] = view[row0 + row, k0 + k] for strides (row_stride, k_stride) from `start`.
__device__ __forceinline__ void fetch(float (&tile)[kDepth][kTile + 4], const View& view,
                                      int64_t start, int64_t row0, int64_t rows, int64_t row_stride,
                                      int64_t k0, int64_t depth, int64_t k_stride) {
  for (unsigned e = threadIdx.x; e < kTile * kDepth; e += kThreads) {
    // Neighbouring threads go along the dimension that is contiguous in memory.
    const unsigned row = k_stride == 1 ? e / kDepth : e % kTile;
    const unsigned k = k_stride == 1 ? e % kDepth : e / kTile;
    const bool inside = row0 + row < rows && k0 + k < depth;
    tile[k][row] = inside ? load(view.data, view.dtype,
                                 start + (row0 + row) * row_stride + (k0 + k) * k_stride)
                          : 0.0f;
  }
}

__global__ void __launch_bounds__(kThreads) gemm_kernel(monosem_gemm g, int64_t column_tiles) {
  auto& s = shared_memory<Tiles>();
  const int64_t m = g.c.shape[1], n = g.c.shape[2], depth = g.a.shape[2];
  const int64_t i0 = blockIdx.x / column_tiles * kTile, j0 = blockIdx.x % column_tiles * kTile;
  const unsigned ti = threadIdx.x / 16 * 4, tj = threadIdx.x % 16 * 4;
  for (int64_t batch = blockIdx.y; batch < g.c.shape[0]; batch += gridDim.y) {
    float sum[4][4] = {};
    for (int64_t k0 = 0; k0 < depth; k0 += kDepth) {
      fetch(s.a, g.a, batch * g.a.stride[0], i0, m, g.a.stride[1], k0, depth, g.a.stride[2]);
      fetch(s.b, g.b, batch * g.b.stride[0], j0, n, g.b.stride[2], k0, depth, g.b.stride[1]);
      __syncthreads();
#pragma unroll
      for (int k = 0; k < kDepth; ++k) {
        const float4 a = *reinterpret_cast<const float4*>(&s.a[k][ti]);
        const float4 b = *reinterpret_cast<const float4*>(&s.b[k][tj]);
        const float as[4] = {a.x, a.y, a.z, a.w}, bs[4] = {b.x, b.y, b.z, b.w};
#pragma unroll
        for (int i = 0; i < 4; ++i) {
#pragma unroll
          for (int j = 0; j < 4; ++j) sum[i][j] = fmaf(as[i], bs[j], sum[i][j]);
        }
      }
      __syncthreads();
    }
#pragma unroll
    for (int i = 0; i < 4; ++i) {
#pragma unroll
      for (int j = 0; j < 4; ++j) {
        const int64_t row = i0 + ti + i, column = j0 + tj + j;
        if (row >= m || column >= n) continue;
        float value = g.alpha * sum[i][j];
        if (g.bias != nullptr) value += g.bias[column];
        if (g.activation >= 0) value = activate(g.activation, value, 0.0f);
        store(g.c.data, g.c.dtype,
              batch * g.c.stride[0] + row * g.c.stride[1] + column * g.c.stride[2], value);
      }
    }
  }
}

}  // namespace

void gemm(Device& device, const monosem_gemm* g) {
  const int64_t row_tiles = (g->c.shape[1] + kTile - 1) / kTile;
  const int64_t column_tiles = (g->c.shape[2] + kTile - 1) / kTile;
  const dim3 grid(blocks_for(row_tiles * column_tiles, 1), blocks_for(g->c.shape[0], 1, 65535));
  launch(device.stream(), {grid, kThreads}, gemm_kernel, *g, column_tiles);
}

}  // namespace monosem::cuda
