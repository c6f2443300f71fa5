// attention and attention_scores: causal, with grouped key heads, soft cap, sliding window and a
// key mask. The plain form: right on every shape, there so that SAEs can be spliced into small
// models; fast language models on CUDA need tiles of queries that share their keys.
//
// Traffic: every query reads the keys and values it sees once (from L2, where its neighbours have
// just put them). A block per query and head.

#include "operators.cuh"
#include "scalar.cuh"
#include "warp.cuh"

namespace monosem::cuda {

namespace {

constexpr int kThreads = 128;

struct Place {
  int64_t b, head, key_head, query;
};

__device__ __forceinline__ bool visible(const monosem_attention& a, const Place& at, int64_t key) {
  const int64_t place = at.query + a.k.shape[1] - a.q.shape[1];
  if (key > place || (a.window > 0 && key <= place - a.window)) return false;
  return a.mask.data == nullptr ||
         static_cast<const int32_t*>(
             a.mask.data)[at.b * a.mask.stride[0] + key * a.mask.stride[1]] != 0;
}

__device__ __forceinline__ float score(const monosem_attention& a, const Place& at, int64_t key) {
  const int64_t q = at.b * a.q.stride[0] + at.query * a.q.stride[1] + at.head * a.q.stride[2];
  const int64_t k = at.b * a.k.stride[0] + key * a.k.stride[1] + at.key_head * a.k.stride[2];
  float sum = 0.0f;
  for (int64_t d = 0; d < a.q.shape[3]; ++d) {
    sum = fmaf(load(a.q.data, a.q.dtype, q + d * a.q.stride[3]),
               load(a.k.data, a.k.dtype, k + d * a.k.stride[3]), sum);
  }
  sum *= a.scale;
  return a.softcap > 0.0f ? a.softcap * tanhf(sum / a.softcap) : sum;
}

// blockIdx.x counts queries fastest, then heads, then batches.
__device__ __forceinline__ Place place_of(const monosem_attention& a, int64_t block) {
  const int64_t queries = a.q.shape[1], heads = a.q.shape[2];
  Place at;
  at.query = block % queries;
  at.head = block / queries % heads;
  at.b = block / queries / heads;
  at.key_head = at.head / (heads / a.k.shape[2]);
  return at;
}

struct Weights {
  float of[kThreads];
};

// Softmax as it goes (Milakov and Gimelshein 2018): the sums so far are rescaled when a larger
// score comes. The output is gathered in shared memory, d_head values that are each one thread's.
__global__ void __launch_bounds__(kThreads) attention_kernel(monosem_attention a) {
  const Place at = place_of(a, blockIdx.x);
  const int64_t keys = a.k.shape[1], d_head = a.v.shape[3];
  auto& weights = shared_memory<Weights>();
  float* out = &dynamic_shared_memory<float>();
  for (int64_t d = threadIdx.x; d < d_head; d += kThreads) out[d] = 0.0f;
  float top = -INFINITY, total = 0.0f;
  for (int64_t first = 0; first < keys; first += kThreads) {
    const int64_t key = first + threadIdx.x;
    const float mine = key < keys && visible(a, at, key) ? score(a, at, key) : -INFINITY;
    const float new_top = block_reduce(fmaxf(mine, top), Largest());
    if (new_top == -INFINITY) continue;  // the same for all threads
    const float rescale = expf(top - new_top), weight = expf(mine - new_top);
    weights.of[threadIdx.x] = weight;
    total = total * rescale + block_reduce(weight, Sum());
    top = new_top;
    for (int64_t d = threadIdx.x; d < d_head; d += kThreads) {
      float sum = out[d] * rescale;
      for (int64_t i = 0; i < kThreads && first + i < keys; ++i) {
        const int64_t v =
            at.b * a.v.stride[0] + (first + i) * a.v.stride[1] + at.key_head * a.v.stride[2];
        if (weights.of[i] != 0.0f) {
          sum = fmaf(weights.of[i], load(a.v.data, a.v.dtype, v + d * a.v.stride[3]), sum);
        }
      }
      out[d] = sum;
    }
    __syncthreads();  // before the weights are overwritten
  }
  for (int64_t d = threadIdx.x; d < d_head; d += kThreads) {
    store(a.out.data, a.out.dtype,
          at.b * a.out.stride[0] + at.query * a.out.stride[1] + at.head * a.out.stride[2] +
              d * a.out.stride[3],
          total > 0.0f || total != total ? out[d] / total : 0.0f);
  }
}

__global__ void __launch_bounds__(kThreads) attention_scores_kernel(monosem_attention a) {
  const Place at = place_of(a, blockIdx.x);
  for (int64_t key = threadIdx.x; key < a.k.shape[1]; key += kThreads) {
    store(a.scores.data, a.scores.dtype,
          at.b * a.scores.stride[0] + at.head * a.scores.stride[1] + at.query * a.scores.stride[2] +
              key * a.scores.stride[3],
          visible(a, at, key) ? score(a, at, key) : -INFINITY);
  }
}

unsigned blocks(const monosem_attention* a) {
  return blocks_for(a->q.shape[0] * a->q.shape[1] * a->q.shape[2], 1);
}

}  // namespace

void attention(Device& device, const monosem_attention* a) {
  launch(device.stream(), {blocks(a), kThreads, sizeof(float) * a->v.shape[3]}, attention_kernel,
         *a);
}

void attention_scores(Device& device, const monosem_attention* a) {
  launch(device.stream(), {blocks(a), kThreads}, attention_scores_kernel, *a);
}

}  // namespace monosem::cuda
