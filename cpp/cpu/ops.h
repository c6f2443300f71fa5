#pragma once

// The CPU backend's operators, as backend.h describes them. They throw monosem::Error; backend.cpp
// turns that into status codes. Each is defined in the file named above it.

#include <cstdint>

#include "core/backend.h"

namespace monosem::cpu {

using View = monosem_view;
struct Microkernels;

/// Memory of csr arrays and scratch, handed out by allocator.cpp: 64-byte aligned, cached, mmap
/// with huge pages for big blocks (glibc's aligned_alloc never reuses them). Throws
/// ERR_OUT_OF_MEMORY.
void* allocate(size_t bytes);
void release(void* pointer) noexcept;
void memory(uint64_t* in_use, uint64_t* cached) noexcept;
void trim() noexcept;

// copy.cpp
void copy(const View& dst, const View& src);
void fill(const View& dst, double value);
void randn(const View& dst, uint64_t seed);
// elementwise.cpp
void unary(int32_t op, const View& dst, const View& src, float parameter);
void binary(int32_t op, const View& dst, const View& a, const View& b);
// reduce.cpp
void reduce(int32_t op, const View& dst, const View& src);
void softmax(const View& dst, const View& src, bool logarithm);
// topk.cpp
void topk(const View& values, const View& indices, const View& src, int64_t k);
// gather.cpp
void gather_rows(const View& dst, const View& src, const View& rows);
void gather(const View& dst, const View& src, const View& columns);
void scatter_add(const View& dst, const View& src, const View& columns);
// gemm.cpp
void gemm(const monosem_gemm& g);
void gemm(const monosem_gemm& g, const Microkernels& kernels);  // others than those in use
// norm.cpp
void norm(const monosem_norm& n);
// rope.cpp
void rope(const monosem_rope& r);
// attention.cpp
void attention(const monosem_attention& a);
void attention_scores(const monosem_attention& a);
// csr.cpp
void csr_from_dense(const View& dense, monosem_csr& out);
void csr_to_dense(const monosem_csr& csr, const View& dense);
void csr_count(const monosem_csr& csr, float* out);
void csr_rows(const monosem_csr& csr, const int64_t* rows, int64_t count, monosem_csr& out);
void csr_intervene(const monosem_csr& csr, int32_t intervention, const uint32_t* features,
                   int64_t count, float value, monosem_csr& out);
// sae_input.cpp
void sae_input(const View& x, int32_t normalize, float factor, const float* b_dec, float* out,
               float* stats);
// sae_plan.cpp and sae_encode.cpp
struct EncoderPlan;  // the CPU's monosem_sae_plan
EncoderPlan* sae_plan(const monosem_sae_encoder& encoder);
void sae_plan_free(EncoderPlan* plan) noexcept;
monosem_sae_forms sae_plan_forms(const EncoderPlan& plan) noexcept;
void sae_encode(EncoderPlan& plan, const float* x, int64_t tokens, int32_t precision,
                monosem_cancelled cancelled, void* context, monosem_csr& out,
                monosem_sae_stats& stats);
// sae_decode.cpp
void sae_decode(const monosem_decode& d);

}  // namespace monosem::cpu
