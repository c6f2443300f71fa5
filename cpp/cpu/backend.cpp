// The CPU's table: every entry calls an operator of ops.h and turns what it throws into a status.

#include <cstring>
#include <fstream>
#include <new>
#include <string>

#include "core/error.h"
#include "core/thread_pool.h"
#include "cpu/isa.h"
#include "cpu/ops.h"

namespace monosem::cpu {

namespace {

// The interface's handles are names without a definition here: the CUDA backend defines them, and
// one program may hold both.
EncoderPlan* own(monosem_sae_plan* handle) { return reinterpret_cast<EncoderPlan*>(handle); }

thread_local std::string last_message;

monosem_status status_of(const Error& error) {
  const std::string code = error.code();
  if (code == kOutOfMemory) return MONOSEM_ERR_OUT_OF_MEMORY;
  if (code == kAborted) return MONOSEM_ERR_ABORTED;
  if (code == kUnsupported) return MONOSEM_ERR_UNSUPPORTED;
  return MONOSEM_ERR_INVALID_ARGUMENT;
}

template <class F>
monosem_status guarded(F&& body) noexcept {
  try {
    body();
    return MONOSEM_OK;
  } catch (const Error& error) {
    last_message = error.what();
    return status_of(error);
  } catch (const std::bad_alloc&) {
    last_message = "out of host memory";
    return MONOSEM_ERR_OUT_OF_MEMORY;
  } catch (const std::exception& error) {
    last_message = error.what();
    return MONOSEM_ERR_DRIVER;
  }
}

// "model name : AMD EPYC ..." and "MemTotal: 24 kB" on Linux; elsewhere a plain word and 0.
std::string proc_field(const char* path, const std::string& key) {
  std::ifstream file(path);
  for (std::string line; std::getline(file, line);) {
    if (!line.starts_with(key)) continue;
    const size_t start = line.find_first_not_of(" \t", line.find(':') + 1);
    return start == std::string::npos ? "" : line.substr(start);
  }
  return "";
}

template <size_t N>
void put(char (&target)[N], const std::string& text) {
  std::strncpy(target, text.c_str(), N - 1);
}

monosem_status device_info(int32_t, monosem_device_info* out) {
  return guarded([&] {
    *out = {};
    const std::string name = proc_field("/proc/cpuinfo", "model name");
    const std::string memory = proc_field("/proc/meminfo", "MemTotal");
    put(out->name, name.empty() ? "CPU" : name);
    put(out->detail, isa_name());
    out->total_memory = memory.empty() ? 0 : std::stoull(memory) * 1024;
    out->units = ThreadPool::instance().threads();
  });
}

monosem_status device_open(int32_t, monosem_device** out) {
  return guarded([&] {
    microkernels();   // a MONOSEM_ISA that cannot be had is told now
    static char cpu;  // there is one, and it has no state of its own
    *out = reinterpret_cast<monosem_device*>(&cpu);
  });
}

constexpr monosem_backend kTable = {
    .abi = MONOSEM_BACKEND_ABI,
    .size = sizeof(monosem_backend),
    .name = "cpu",
    .host_memory = 1,
    .device_count = [] { return 1; },
    .device_info = device_info,
    .device_open = device_open,
    .device_close = [](monosem_device*) {},
    .alloc = [](monosem_device*, size_t bytes,
                void** out) { return guarded([&] { *out = allocate(bytes); }); },
    .free = [](monosem_device*, void* pointer) { release(pointer); },
    .memory = [](monosem_device*, uint64_t* in_use, uint64_t* cached) { memory(in_use, cached); },
    .trim = [](monosem_device*) { trim(); },
    .upload =
        [](monosem_device*, void* dst, const void* src, size_t bytes) {
          std::memcpy(dst, src, bytes);
          return MONOSEM_OK;
        },
    .download =
        [](monosem_device*, void* dst, const void* src, size_t bytes) {
          if (bytes > 0) std::memcpy(dst, src, bytes);
          return MONOSEM_OK;
        },
    .synchronize = [](monosem_device*) { return MONOSEM_OK; },
    .last_error = [] { return last_message.c_str(); },
    .copy = [](monosem_device*, const monosem_view* dst,
               const monosem_view* src) { return guarded([&] { copy(*dst, *src); }); },
    .fill = [](monosem_device*, const monosem_view* dst,
               double value) { return guarded([&] { fill(*dst, value); }); },
    .randn = [](monosem_device*, const monosem_view* dst,
                uint64_t seed) { return guarded([&] { randn(*dst, seed); }); },
    .unary = [](monosem_device*, int32_t op, const monosem_view* dst, const monosem_view* src,
                float parameter) { return guarded([&] { unary(op, *dst, *src, parameter); }); },
    .binary = [](monosem_device*, int32_t op, const monosem_view* dst, const monosem_view* a,
                 const monosem_view* b) { return guarded([&] { binary(op, *dst, *a, *b); }); },
    .reduce = [](monosem_device*, int32_t op, const monosem_view* dst,
                 const monosem_view* src) { return guarded([&] { reduce(op, *dst, *src); }); },
    .softmax =
        [](monosem_device*, const monosem_view* dst, const monosem_view* src, int32_t logarithm) {
          return guarded([&] { softmax(*dst, *src, logarithm != 0); });
        },
    .topk = [](monosem_device*, const monosem_view* values, const monosem_view* indices,
               const monosem_view* src,
               int64_t k) { return guarded([&] { topk(*values, *indices, *src, k); }); },
    .gather_rows =
        [](monosem_device*, const monosem_view* dst, const monosem_view* src,
           const monosem_view* rows) { return guarded([&] { gather_rows(*dst, *src, *rows); }); },
    .gather =
        [](monosem_device*, const monosem_view* dst, const monosem_view* src,
           const monosem_view* columns) { return guarded([&] { gather(*dst, *src, *columns); }); },
    .scatter_add =
        [](monosem_device*, const monosem_view* dst, const monosem_view* src,
           const monosem_view* columns) {
          return guarded([&] { scatter_add(*dst, *src, *columns); });
        },
    .gemm = [](monosem_device*, const monosem_gemm* g) { return guarded([&] { gemm(*g); }); },
    .norm = [](monosem_device*, const monosem_norm* n) { return guarded([&] { norm(*n); }); },
    .rope = [](monosem_device*, const monosem_rope* r) { return guarded([&] { rope(*r); }); },
    .attention = [](monosem_device*,
                    const monosem_attention* a) { return guarded([&] { attention(*a); }); },
    .attention_scores =
        [](monosem_device*, const monosem_attention* a) {
          return guarded([&] { attention_scores(*a); });
        },
    .csr_from_dense =
        [](monosem_device*, const monosem_view* dense, monosem_csr* out) {
          return guarded([&] { csr_from_dense(*dense, *out); });
        },
    .csr_to_dense =
        [](monosem_device*, const monosem_csr* csr, const monosem_view* dense) {
          return guarded([&] { csr_to_dense(*csr, *dense); });
        },
    .csr_count = [](monosem_device*, const monosem_csr* csr,
                    float* out) { return guarded([&] { csr_count(*csr, out); }); },
    .csr_rows =
        [](monosem_device*, const monosem_csr* csr, const int64_t* rows, int64_t count,
           monosem_csr* out) { return guarded([&] { csr_rows(*csr, rows, count, *out); }); },
    .csr_intervene =
        [](monosem_device*, const monosem_csr* csr, int32_t intervention, const uint32_t* features,
           int64_t count, float value, monosem_csr* out) {
          return guarded([&] { csr_intervene(*csr, intervention, features, count, value, *out); });
        },
    .sae_plan =
        [](monosem_device*, const monosem_sae_encoder* encoder, monosem_sae_plan** out) {
          return guarded([&] { *out = reinterpret_cast<monosem_sae_plan*>(sae_plan(*encoder)); });
        },
    .sae_plan_free = [](monosem_device*, monosem_sae_plan* plan) { sae_plan_free(own(plan)); },
    .sae_plan_forms =
        [](const monosem_sae_plan* plan, monosem_sae_forms* out) {
          *out = sae_plan_forms(*reinterpret_cast<const EncoderPlan*>(plan));
        },
    .sae_input =
        [](monosem_device*, const monosem_view* x, int32_t normalize, float factor,
           const float* b_dec, float* out, float* stats) {
          return guarded([&] { sae_input(*x, normalize, factor, b_dec, out, stats); });
        },
    .sae_encode =
        [](monosem_device*, monosem_sae_plan* plan, const float* x, int64_t tokens,
           int32_t precision, monosem_cancelled cancelled, void* context, monosem_csr* out,
           monosem_sae_stats* stats) {
          return guarded([&] {
            sae_encode(*own(plan), x, tokens, precision, cancelled, context, *out, *stats);
          });
        },
    .sae_decode = [](monosem_device*,
                     const monosem_decode* d) { return guarded([&] { sae_decode(*d); }); },
};

}  // namespace

}  // namespace monosem::cpu

extern "C" const monosem_backend* monosem_backend_cpu(void) { return &monosem::cpu::kTable; }
