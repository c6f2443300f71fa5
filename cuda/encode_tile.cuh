#pragma once

// The encoder's product: a tile of tokens times features in float32 grade out of float16 products,
// and an epilogue that keeps only what is active.
//
// With x = s (xh + xl / 2^11) and w = t (wh + wl / 2^11) (split.cuh),
//   x . w = s t (xh . wh + (xh . wl + xl . wh) / 2^11) + a part of 2^-22 that is left out:
// three products of 16-bit rate, two for 16-bit weights. The tensor core keeps its running sum with
// fewer bits than float32 rounds to, and toward zero; so xh . wh leaves it after every 16 elements
// and is added up in registers. The two small products may stay.
//
// Traffic per tile of T x F and step of 32 elements: (T + F) rows x 64 B x 2 planes from L2,
// through a ring of kStages buffers by cp.async; out: 8 B per active feature. With T = F = 128, 96
// products per byte. Blocks that run together share feature tiles (the grid's slow dimension), so
// that the weights come from memory once per batch.

#include "ptx.cuh"
#include "sae_plan.cuh"
#include "shared.cuh"
#include "warp.cuh"

namespace monosem::cuda {

struct EncodeTask {
  Planes x, w;
  int64_t depth;   // padded
  int64_t tokens;  // lists to fill
  int64_t features;
  const int32_t* rows;  // the row of x of list i; null: i
  // The encoder's vectors, as in monosem_sae_encoder.
  const float *gate_bias, *theta, *scale, *bias;
  bool top_k;
  float floor;  // top k: the least value kept, as a share of |x|
  uint2* hits;  // [tokens, capacity] of (feature, value bits), in any order
  uint32_t capacity;
  uint32_t* counts;  // [tokens], zero at first; they count on past capacity
};

/// T tokens by F features per block, by a grid of warps. A warp owns kRows x kColumns products of
/// 16 x 8.
template <int kTokens_, int kFeatures_, int kWarpsDown_, int kWarpsAcross_, int kStages_>
struct Tile {
  static constexpr int kTokens = kTokens_, kFeatures = kFeatures_;
  static constexpr int kWarpsAcross = kWarpsAcross_, kStages = kStages_;
  static constexpr int kThreads = 32 * kWarpsDown_ * kWarpsAcross_;
  static constexpr int kRows = kTokens_ / kWarpsDown_ / 16;
  static constexpr int kColumns = kFeatures_ / kWarpsAcross_ / 8;
  static_assert(kColumns % 2 == 0, "ldmatrix fetches two columns of products at once");
};
using LargeTile = Tile<128, 128, 2, 4, 3>;
using SmallTile = Tile<16, 64, 1, 4, 4>;

// Rows of 32 elements, 64 B. The 16-byte pieces of a row are permuted by bits 1 and 2 of the row's
// number: the eight rows of an ldmatrix then lie in different banks.
template <int kCount>
struct StepRows {
  uint16_t element[kCount][kDepthStep];

  __device__ __forceinline__ uint16_t* piece(int row, int piece) {
    return &element[row][(piece ^ (row >> 1 & 3)) * 8];
  }
};

/// What one step of a tile needs: [0] high, [1] low.
template <class T, bool kSplit>
struct Step {
  static constexpr int kWeightPlanes = kSplit ? 2 : 1;
  StepRows<T::kTokens> x[2];
  StepRows<T::kFeatures> w[kWeightPlanes];
};

/// Queues the copies of the rows from `first` on; those beyond `count` become zeros.
template <int kThreads, int kCount, int kPlanes>
__device__ __forceinline__ void fetch(StepRows<kCount> (&to)[kPlanes], const Planes& planes,
                                      int64_t first, int64_t count, const int32_t* rows,
                                      int64_t depth, int64_t k) {
#pragma unroll 1  // unrolled, the addresses of all rows would stay in registers
  for (int i = static_cast<int>(threadIdx.x); i < kCount * 4; i += kThreads) {
    const int row = i / 4, piece = i % 4;
    const bool inside = first + row < count;
    const int64_t list = inside ? first + row : 0;
    const int64_t source = (rows != nullptr ? rows[list] : list) * depth + k + piece * 8;
    copy_async_16(to[0].piece(row, piece), planes.high + source, inside);
    if constexpr (kPlanes == 2) copy_async_16(to[1].piece(row, piece), planes.low + source, inside);
  }
}

/// A 16 x 16 fragment of rows row0 .. row0 + 15, elements 16 half .. 16 half + 15.
template <int kCount>
__device__ __forceinline__ void load_rows(uint32_t (&out)[4], StepRows<kCount>& from, int row0,
                                          int half) {
  const int lane = static_cast<int>(threadIdx.x % 32);
  load_matrix_x4(out, from.piece(row0 + lane % 16, 2 * half + lane / 16));
}

/// Two 16 x 8 fragments: features row0 .. row0 + 7 in `low`, the next eight in `high`.
template <int kCount>
__device__ __forceinline__ void load_columns(uint32_t (&low)[2], uint32_t (&high)[2],
                                             StepRows<kCount>& from, int row0, int half) {
  const int lane = static_cast<int>(threadIdx.x % 32);
  uint32_t all[4];
  load_matrix_x4(all, from.piece(row0 + lane % 8 + lane / 16 * 8, 2 * half + lane / 8 % 2));
  low[0] = all[0];
  low[1] = all[1];
  high[0] = all[2];
  high[1] = all[3];
}

template <class T>
struct Sums {
  float high[T::kRows][T::kColumns][4] = {};
  float low[T::kRows][T::kColumns][4] = {};  // of 2^11 times their size
};

template <class T, bool kSplit>
__device__ __forceinline__ void multiply_step(Sums<T>& sums, Step<T, kSplit>& step, int token0,
                                              int feature0) {
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    uint32_t w_high[T::kColumns][2], w_low[T::kColumns][2];
#pragma unroll
    for (int c = 0; c < T::kColumns; c += 2) {
      load_columns(w_high[c], w_high[c + 1], step.w[0], feature0 + 8 * c, half);
      if constexpr (kSplit) {
        load_columns(w_low[c], w_low[c + 1], step.w[1], feature0 + 8 * c, half);
      }
    }
#pragma unroll
    for (int r = 0; r < T::kRows; ++r) {
      uint32_t x_high[4], x_low[4];
      load_rows(x_high, step.x[0], token0 + 16 * r, half);
      load_rows(x_low, step.x[1], token0 + 16 * r, half);
#pragma unroll
      for (int c = 0; c < T::kColumns; ++c) {
        const float zero[4] = {};
        float sum[4];
        multiply_f16(sum, x_high, w_high[c], zero);
        multiply_f16(sums.low[r][c], x_low, w_high[c], sums.low[r][c]);
        if constexpr (kSplit) multiply_f16(sums.low[r][c], x_high, w_low[c], sums.low[r][c]);
#pragma unroll
        for (int i = 0; i < 4; ++i) sums.high[r][c][i] += sum[i];
      }
    }
  }
}

/// Turns sums into values and keeps the active ones. Lane 4 g + q of a warp has rows g and g + 8 of
/// each 16 x 8 product, columns 2 q and 2 q + 1.
template <class T>
__device__ __forceinline__ void keep_active(Sums<T>& sums, const EncodeTask& task, int64_t token0,
                                            int64_t feature0) {
  const int lane = static_cast<int>(threadIdx.x % 32), g = lane / 4, q = lane % 4;
  constexpr int kHalves = 2 * T::kRows;
  float x_scale[kHalves], floor[kHalves];
  uint32_t active[kHalves] = {};  // bit 2 c + i: column i of product c
#pragma unroll
  for (int h = 0; h < kHalves; ++h) {
    const int64_t list = token0 + h / 2 * 16 + h % 2 * 8 + g;
    const int64_t row = list >= task.tokens ? 0 : task.rows != nullptr ? task.rows[list] : list;
    x_scale[h] = list < task.tokens ? task.x.scale[row] : 0.0f;
    floor[h] = task.top_k ? task.floor * task.x.norm[row] : 0.0f;
  }
#pragma unroll
  for (int c = 0; c < T::kColumns; ++c) {
#pragma unroll
    for (int i = 0; i < 2; ++i) {
      const int64_t feature = feature0 + 8 * c + 2 * q + i;
      if (feature >= task.features) continue;
      const float w_scale = task.w.scale[feature];
      const float scale = task.scale != nullptr ? task.scale[feature] : 1.0f;
      const float bias = task.bias[feature];
      const float gate_bias = task.top_k ? 0.0f : task.gate_bias[feature];
      const float theta = task.top_k ? 0.0f : task.theta[feature];
#pragma unroll
      for (int h = 0; h < kHalves; ++h) {
        float& value = sums.high[h / 2][c][h % 2 * 2 + i];
        // Infinite or NaN already: low's share of an infinity would be NaN.
        const float small = sums.low[h / 2][c][h % 2 * 2 + i] / kLowScale;
        const float sum = (isfinite(value) ? value + small : value) * x_scale[h] * w_scale;
        value = fmaf(sum, scale, bias);
        // NaN is never below anything: it stays active.
        const bool passes = task.top_k ? !(value < floor[h]) : !(sum + gate_bias <= theta);
        if (passes && !(value <= 0.0f)) active[h] |= 1u << (2 * c + i);
      }
    }
  }
#pragma unroll
  for (int h = 0; h < kHalves; ++h) {
    const int64_t list = token0 + h / 2 * 16 + h % 2 * 8 + g;
    if (list >= task.tokens) active[h] = 0;
    const uint32_t mine = static_cast<uint32_t>(__popc(active[h]));
    if (!__any_sync(kAllLanes, mine != 0)) continue;
    // One atomic addition per quad of lanes: they share the token.
    const uint32_t neighbour = __shfl_xor_sync(kAllLanes, mine, 1);
    const uint32_t pair = mine + neighbour;
    const uint32_t others = __shfl_xor_sync(kAllLanes, pair, 2);
    uint32_t at = 0;
    if (q == 0 && pair + others > 0) at = atomicAdd(task.counts + list, pair + others);
    at = __shfl_sync(kAllLanes, at, lane & ~3);
    at += (q % 2 ? neighbour : 0) + (q / 2 ? others : 0);
    uint2* hits = task.hits + list * task.capacity;
#pragma unroll
    for (int c = 0; c < T::kColumns; ++c) {
#pragma unroll
      for (int i = 0; i < 2; ++i) {
        if (!(active[h] >> (2 * c + i) & 1)) continue;
        if (at < task.capacity) {
          hits[at] = make_uint2(static_cast<unsigned>(feature0 + 8 * c + 2 * q + i),
                                __float_as_uint(sums.high[h / 2][c][h % 2 * 2 + i]));
        }
        ++at;
      }
    }
  }
}

template <class T, bool kSplit>
__global__ void __launch_bounds__(T::kThreads) encode_kernel(EncodeTask task) {
  auto* ring = &dynamic_shared_memory<Step<T, kSplit>>();
  const int64_t token0 = static_cast<int64_t>(blockIdx.x) * T::kTokens;
  const int64_t feature0 = static_cast<int64_t>(blockIdx.y) * T::kFeatures;
  const int warp = static_cast<int>(threadIdx.x / 32);
  const int warp_token = warp / T::kWarpsAcross * T::kRows * 16;
  const int warp_feature = warp % T::kWarpsAcross * T::kColumns * 8;
  const int steps = static_cast<int>(task.depth / kDepthStep);

  const auto fetch_step = [&](int number) {
    if (number < steps) {
      Step<T, kSplit>& to = ring[number % T::kStages];
      const int64_t k = static_cast<int64_t>(number) * kDepthStep, depth = task.depth;
      fetch<T::kThreads>(to.x, task.x, token0, task.tokens, task.rows, depth, k);
      fetch<T::kThreads>(to.w, task.w, feature0, task.features, nullptr, depth, k);
    }
    copy_async_commit();  // also when empty: the waits count groups
  };

  Sums<T> sums;
  for (int s = 0; s < T::kStages - 1; ++s) fetch_step(s);
  for (int s = 0; s < steps; ++s) {
    copy_async_wait<T::kStages - 2>();
    __syncthreads();  // step s has arrived for all, and all are done with step s - 1
    fetch_step(s + T::kStages - 1);
    multiply_step<T, kSplit>(sums, ring[s % T::kStages], warp_token, warp_feature);
  }
  keep_active<T>(sums, task, token0 + warp_token, feature0 + warp_feature);
}

/// Queues the product of task.tokens x task.features.
template <class T, bool kSplit>
void encode_tiles(Device& device, const EncodeTask& task) {
  constexpr int kBytes = T::kStages * static_cast<int>(sizeof(Step<T, kSplit>));
  static_assert(kBytes <= 99 * 1024, "shared memory of a block on sm_86 and sm_89");
  check(cudaFuncSetAttribute(encode_kernel<T, kSplit>, cudaFuncAttributeMaxDynamicSharedMemorySize,
                             kBytes),
        "asking for shared memory");
  const dim3 grid(blocks_for(task.tokens, T::kTokens), blocks_for(task.features, T::kFeatures));
  launch(device.stream(), {grid, T::kThreads, kBytes}, encode_kernel<T, kSplit>, task);
}

}  // namespace monosem::cuda
