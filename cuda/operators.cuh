#pragma once

// The operators of the table, as backend.h describes them; each is defined in the file named above
// it. They queue work on the device's stream and throw Failure.

#include "device.cuh"

namespace monosem::cuda {

using View = monosem_view;

// copy.cu
void copy(Device& device, const View* dst, const View* src);
void fill(Device& device, const View* dst, double value);
// randn.cu
void randn(Device& device, const View* dst, uint64_t seed);
// unary.cu
void unary(Device& device, int32_t op, const View* dst, const View* src, float parameter);
// binary.cu
void binary(Device& device, int32_t op, const View* dst, const View* a, const View* b);
// reduce.cu
void reduce(Device& device, int32_t op, const View* dst, const View* src);
// softmax.cu
void softmax(Device& device, const View* dst, const View* src, int32_t logarithm);
// topk.cu
void topk(Device& device, const View* values, const View* indices, const View* src, int64_t k);
// gather.cu
void gather_rows(Device& device, const View* dst, const View* src, const View* rows);
void gather(Device& device, const View* dst, const View* src, const View* columns);
void scatter_add(Device& device, const View* dst, const View* src, const View* columns);
// gemm.cu
void gemm(Device& device, const monosem_gemm* g);
// norm.cu
void norm(Device& device, const monosem_norm* n);
// rope.cu
void rope(Device& device, const monosem_rope* r);
// attention.cu
void attention(Device& device, const monosem_attention* a);
void attention_scores(Device& device, const monosem_attention* a);
// csr.cu
void csr_from_dense(Device& device, const View* dense, monosem_csr* out);
void csr_to_dense(Device& device, const monosem_csr* csr, const View* dense);
void csr_count(Device& device, const monosem_csr* csr, float* out);
void csr_rows(Device& device, const monosem_csr* csr, const int64_t* rows, int64_t count,
              monosem_csr* out);
// csr_intervene.cu
void csr_intervene(Device& device, const monosem_csr* csr, int32_t intervention,
                   const uint32_t* features, int64_t count, float value, monosem_csr* out);
// sae_plan.cu
void sae_plan(Device& device, const monosem_sae_encoder* encoder, monosem_sae_plan** out);
void sae_plan_free(Device& device, monosem_sae_plan* plan);
void sae_plan_forms(const monosem_sae_plan* plan, monosem_sae_forms* out);
// sae_input.cu
void sae_input(Device& device, const View* x, int32_t normalize, float factor, const float* b_dec,
               float* out, float* stats);
// sae_encode.cu
void sae_encode(Device& device, monosem_sae_plan* plan, const float* x, int64_t tokens,
                int32_t precision, monosem_cancelled cancelled, void* context, monosem_csr* out,
                monosem_sae_stats* stats);
// sae_decode.cu
void sae_decode(Device& device, const monosem_decode* d);

}  // namespace monosem::cuda
