// The table: every operator of backend.h behind a function that lets no exception out.

#include <cstdio>
#include <memory>
#include <new>

#include "operators.cuh"
#ifdef MONOSEM_EMULATED
#include "emulation/emulated.h"
#endif

namespace monosem::cuda {

namespace {

thread_local char last_message[1024] = "";

template <size_t kSize>
struct Name {
  constexpr Name(const char (&name)[kSize]) {
    for (size_t i = 0; i < kSize; ++i) text[i] = name[i];
  }
  char text[kSize];
};

monosem_status report(const char* operation, Device* device) noexcept {
  try {
    throw;
  } catch (const Failure& failure) {
    std::snprintf(last_message, sizeof last_message, "%s: %s%s", operation, failure.what(),
                  is_sticky(failure.error)
                      ? "; it may come from an operation queued before it: CUDA_LAUNCH_BLOCKING=1 "
                        "in the environment shows which"
                      : "");
    if (device != nullptr && is_sticky(failure.error)) device->lose(last_message);
    return failure.status;
  } catch (const std::bad_alloc&) {
    std::snprintf(last_message, sizeof last_message, "%s: out of host memory", operation);
    return MONOSEM_ERR_OUT_OF_MEMORY;
  } catch (const std::exception& error) {
    std::snprintf(last_message, sizeof last_message, "%s: %s", operation, error.what());
    return MONOSEM_ERR_DRIVER;
  } catch (...) {
    std::snprintf(last_message, sizeof last_message, "%s: an unknown exception", operation);
    return MONOSEM_ERR_DRIVER;
  }
}

template <Name name, auto operation, class... Arguments>
monosem_status call(Device* device, Arguments... arguments) noexcept {
  try {
    device->enter();
    operation(*device, arguments...);
    return MONOSEM_OK;
  } catch (...) {
    return report(name.text, device);
  }
}

template <Name name, auto operation, class... Arguments>
constexpr auto entry_of(void (*)(Device&, Arguments...)) {
  return &call<name, operation, Arguments...>;
}

/// An operator as a function of the table. The name is what its errors begin with.
template <Name name, auto operation>
constexpr auto entry = entry_of<name, operation>(operation);

int32_t count() noexcept {
  try {
    return device_count();
  } catch (...) {
    report("cuda", nullptr);
    return -1;
  }
}

monosem_status info(int32_t index, monosem_device_info* out) noexcept {
  try {
    device_info(index, *out);
    return MONOSEM_OK;
  } catch (...) {
    return report("cuda", nullptr);
  }
}

monosem_status open(int32_t index, monosem_device** out) noexcept {
  try {
    *out = std::make_unique<Device>(index).release();
    return MONOSEM_OK;
  } catch (...) {
    return report("opening a CUDA device", nullptr);
  }
}

void close(monosem_device* device) noexcept { std::unique_ptr<Device>{device}.reset(); }

void allocate(Device& device, size_t bytes, void** out) { *out = device.allocate(bytes); }
void release(monosem_device* device, void* pointer) noexcept { device->release(pointer); }
void upload(Device& device, void* to, const void* from, size_t bytes) {
  device.upload(to, from, bytes);
}
void download(Device& device, void* to, const void* from, size_t bytes) {
  device.download(to, from, bytes);
}
void synchronize(Device& device) { device.synchronize(); }

void memory(monosem_device* device, uint64_t* in_use, uint64_t* cached) noexcept {
  *in_use = *cached = 0;
  try {
    device->memory(in_use, cached);
  } catch (...) {
    report("memory", device);
  }
}

void trim(monosem_device* device) noexcept {
  try {
    device->enter();
    device->trim();
  } catch (...) {
    report("trim", device);
  }
}

void plan_free(monosem_device* device, monosem_sae_plan* plan) noexcept {
  sae_plan_free(*device, plan);
}

const monosem_backend table = {
    .abi = MONOSEM_BACKEND_ABI,
    .size = sizeof(monosem_backend),
#ifdef MONOSEM_EMULATED
    .name = "emulated",
#else
    .name = "cuda",
#endif
    .host_memory = 0,
    .device_count = count,
    .device_info = info,
    .device_open = open,
    .device_close = close,
    .alloc = entry<"alloc", allocate>,
    .free = release,
    .memory = memory,
    .trim = trim,
    .upload = entry<"upload", upload>,
    .download = entry<"download", download>,
    .synchronize = entry<"synchronize", synchronize>,
    .last_error = []() -> const char* { return last_message; },
    .copy = entry<"copy", copy>,
    .fill = entry<"fill", fill>,
    .randn = entry<"randn", randn>,
    .unary = entry<"unary", unary>,
    .binary = entry<"binary", binary>,
    .reduce = entry<"reduce", reduce>,
    .softmax = entry<"softmax", softmax>,
    .topk = entry<"topk", topk>,
    .gather_rows = entry<"gather_rows", gather_rows>,
    .gather = entry<"gather", gather>,
    .scatter_add = entry<"scatter_add", scatter_add>,
    .gemm = entry<"gemm", gemm>,
    .norm = entry<"norm", norm>,
    .rope = entry<"rope", rope>,
    .attention = entry<"attention", attention>,
    .attention_scores = entry<"attention_scores", attention_scores>,
    .csr_from_dense = entry<"csr_from_dense", csr_from_dense>,
    .csr_to_dense = entry<"csr_to_dense", csr_to_dense>,
    .csr_count = entry<"csr_count", csr_count>,
    .csr_rows = entry<"csr_rows", csr_rows>,
    .csr_intervene = entry<"csr_intervene", csr_intervene>,
    .sae_plan = entry<"sae_plan", sae_plan>,
    .sae_plan_free = plan_free,
    .sae_plan_forms = sae_plan_forms,
    .sae_input = entry<"sae_input", sae_input>,
    .sae_encode = entry<"sae_encode", sae_encode>,
    .sae_decode = entry<"sae_decode", sae_decode>,
};

}  // namespace

}  // namespace monosem::cuda

#ifdef MONOSEM_EMULATED
const monosem_backend* monosem_backend_emulated(void) { return &monosem::cuda::table; }
#endif

extern "C" __attribute__((visibility("default"))) const monosem_backend* monosem_backend_get(void) {
  return &monosem::cuda::table;
}
