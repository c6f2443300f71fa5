#include "device.cuh"

#include <algorithm>
#include <cstdio>
#include <cstring>

namespace monosem::cuda {

bool is_sticky(cudaError_t error) {
  switch (error) {
    case cudaErrorECCUncorrectable:
    case cudaErrorIllegalAddress:
    case cudaErrorLaunchTimeout:
    case cudaErrorAssert:
    case cudaErrorHardwareStackError:
    case cudaErrorIllegalInstruction:
    case cudaErrorMisalignedAddress:
    case cudaErrorInvalidAddressSpace:
    case cudaErrorInvalidPc:
    case cudaErrorLaunchFailure:
      return true;
    default:
      return false;
  }
}

void check(cudaError_t error, const char* what) {
  if (error == cudaSuccess) return;
  cudaGetLastError();  // a failure that is not sticky is reported once
  const std::string text = std::string(what) + " failed: " + cudaGetErrorString(error) + " (" +
                           cudaGetErrorName(error) + ")";
  switch (error) {
    case cudaErrorNoDevice:
    case cudaErrorInsufficientDriver:
    case cudaErrorInvalidDevice:
      throw Failure(MONOSEM_ERR_NO_DEVICE, text, error);
    case cudaErrorMemoryAllocation:
      throw Failure(MONOSEM_ERR_OUT_OF_MEMORY, text, error);
    default:
      throw Failure(MONOSEM_ERR_DRIVER, text, error);
  }
}

namespace {

std::string version(int number) {
  return std::to_string(number / 1000) + "." + std::to_string(number % 1000 / 10);
}

// cudaGetDeviceCount says "driver version is insufficient" for no driver and for an old one alike;
// the driver's version, 0 when there is none, tells them apart.
int count_devices() {
  int driver = 0, runtime = 0;
  check(cudaDriverGetVersion(&driver), "reading the driver's version");
  check(cudaRuntimeGetVersion(&runtime), "reading the runtime's version");
  if (driver == 0) {
    throw Failure(MONOSEM_ERR_NO_DEVICE,
                  "no NVIDIA driver is installed (libcuda.so.1 was not found): install a driver "
                  "for CUDA " +
                      version(runtime) + " or newer, or use device \"cpu\"");
  }
  if (driver / 1000 < runtime / 1000) {
    throw Failure(MONOSEM_ERR_NO_DEVICE, "the NVIDIA driver is too old: it supports CUDA " +
                                             version(driver) + ", this build needs " +
                                             version(runtime) +
                                             ": update the driver, or use device \"cpu\"");
  }
  int count = 0;
  const cudaError_t status = cudaGetDeviceCount(&count);
  if (status == cudaErrorNoDevice || (status == cudaSuccess && count == 0)) {
    cudaGetLastError();
    throw Failure(MONOSEM_ERR_NO_DEVICE,
                  "the NVIDIA driver (CUDA " + version(driver) +
                      ") reports no device: see what nvidia-smi lists and whether "
                      "CUDA_VISIBLE_DEVICES hides it, or use device \"cpu\"");
  }
  check(status, "counting the devices");
  return count;
}

cudaDeviceProp properties_of(int index) {
  const int count = count_devices();
  if (index < 0 || index >= count) {
    throw Failure(MONOSEM_ERR_NO_DEVICE, "cuda:" + std::to_string(index) +
                                             " does not exist: the driver lists " +
                                             std::to_string(count) + " device(s), from cuda:0");
  }
  cudaDeviceProp properties{};
  check(cudaGetDeviceProperties(&properties, index), "reading the device's properties");
  return properties;
}

// Empty when the kernels run on such a device.
std::string unusable(const cudaDeviceProp& properties) {
  if (properties.major >= 8) return "";
  return std::string(properties.name) + " has compute capability " +
         std::to_string(properties.major) + "." + std::to_string(properties.minor) +
         ", the kernels need 8.0 or newer (Ampere): use another device, or \"cpu\"";
}

}  // namespace

int32_t device_count() { return count_devices(); }

void device_info(int32_t index, monosem_device_info& out) {
  const cudaDeviceProp properties = properties_of(index);
  int driver = 0;
  check(cudaDriverGetVersion(&driver), "reading the driver's version");
  out = {};
  std::snprintf(out.name, sizeof out.name, "%.*s", static_cast<int>(sizeof out.name - 1),
                properties.name);
  std::snprintf(out.reason, sizeof out.reason, "%s", unusable(properties).c_str());
  out.total_memory = properties.totalGlobalMem;
  out.capability_major = properties.major;
  out.capability_minor = properties.minor;
  out.units = properties.multiProcessorCount;
  std::snprintf(out.detail, sizeof out.detail, "driver for CUDA %s", version(driver).c_str());
}

}  // namespace monosem::cuda

using monosem::cuda::check;
using monosem::cuda::Failure;

monosem_device::monosem_device(int index) : index_(index) {
  const cudaDeviceProp properties = monosem::cuda::properties_of(index);
  const std::string reason = monosem::cuda::unusable(properties);
  if (!reason.empty()) throw Failure(MONOSEM_ERR_UNSUPPORTED, reason);
  units_ = properties.multiProcessorCount;
  check(cudaSetDevice(index), "selecting the device");
  int pools = 0;
  check(cudaDeviceGetAttribute(&pools, cudaDevAttrMemoryPoolsSupported, index),
        "asking for memory pools");
  if (!pools) {
    throw Failure(MONOSEM_ERR_UNSUPPORTED,
                  std::string(properties.name) +
                      " has no stream-ordered memory (memory pools): a virtual GPU's profile may "
                      "leave it out; use another device, or \"cpu\"");
  }
  cudaMemPoolProps pool{};
  pool.allocType = cudaMemAllocationTypePinned;
  pool.location.type = cudaMemLocationTypeDevice;
  pool.location.id = index;
  check(cudaMemPoolCreate(&pool_, &pool), "creating the memory pool");
  uint64_t keep_all = ~uint64_t{0};  // until trim(): giving memory back at every wait is slow
  check(cudaMemPoolSetAttribute(pool_, cudaMemPoolAttrReleaseThreshold, &keep_all),
        "setting the memory pool up");
  check(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking), "creating a stream");
}

// Errors are ignored: the device may be lost, and nothing can be done here.
monosem_device::~monosem_device() {
  cudaSetDevice(index_);
  cudaStreamSynchronize(stream_);
  for (Slot& slot : slots_) {
    if (slot.memory == nullptr) continue;
    cudaEventDestroy(slot.moved);
    cudaFreeHost(slot.memory);
  }
  cudaStreamDestroy(stream_);
  cudaMemPoolDestroy(pool_);
}

void monosem_device::enter() {
  {
    std::lock_guard lock(mutex_);
    if (!lost_.empty()) throw Failure(MONOSEM_ERR_DRIVER, lost_);
  }
  check(cudaSetDevice(index_), "selecting the device");
}

void monosem_device::lose(const std::string& why) {
  std::lock_guard lock(mutex_);
  if (lost_.empty()) {
    lost_ = "cuda:" + std::to_string(index_) +
            " was lost earlier and stays so until the process "
            "is started anew: " +
            why;
  }
}

void* monosem_device::allocate(size_t bytes) {
  void* pointer = nullptr;
  bytes = std::max<size_t>(bytes, 1);
  cudaError_t status = cudaMallocFromPoolAsync(&pointer, bytes, pool_, stream_);
  if (status == cudaErrorMemoryAllocation) {
    // What other streams' pools keep cached is theirs; what this one keeps may be in pieces.
    cudaGetLastError();
    cudaStreamSynchronize(stream_);
    cudaMemPoolTrimTo(pool_, 0);
    status = cudaMallocFromPoolAsync(&pointer, bytes, pool_, stream_);
  }
  if (status == cudaErrorMemoryAllocation) {
    cudaGetLastError();
    uint64_t in_use = 0, cached = 0;
    memory(&in_use, &cached);
    throw Failure(MONOSEM_ERR_OUT_OF_MEMORY,
                  "out of memory: " + std::to_string(bytes >> 20) + " MiB asked for with " +
                      std::to_string(in_use >> 20) +
                      " MiB in use by this process: dispose what is no longer needed, use smaller "
                      "batches or a 16-bit dtype",
                  status);
  }
  check(status, "allocating memory");
  return pointer;
}

void monosem_device::release(void* pointer) noexcept {
  if (pointer == nullptr) return;
  cudaSetDevice(index_);
  cudaFreeAsync(pointer, stream_);
}

void monosem_device::memory(uint64_t* in_use, uint64_t* cached) const {
  uint64_t used = 0, reserved = 0;
  check(cudaMemPoolGetAttribute(pool_, cudaMemPoolAttrUsedMemCurrent, &used), "reading the pool");
  check(cudaMemPoolGetAttribute(pool_, cudaMemPoolAttrReservedMemCurrent, &reserved),
        "reading the pool");
  *in_use = used;
  *cached = reserved - std::min(used, reserved);
}

void monosem_device::trim() {
  synchronize();  // a release counts once the work before it is done
  check(cudaMemPoolTrimTo(pool_, 0), "giving memory back");
}

monosem_device::Slot& monosem_device::next_slot() {
  Slot& slot = slots_[slot_++ % slots_.size()];
  if (slot.memory == nullptr) {
    check(cudaEventCreateWithFlags(&slot.moved, cudaEventDisableTiming), "creating an event");
    check(cudaHostAlloc(&slot.memory, kSlotBytes, cudaHostAllocDefault),
          "allocating pinned memory");
  } else {
    check(cudaEventSynchronize(slot.moved), "waiting for a copy");
  }
  return slot;
}

void monosem_device::upload(void* to, const void* from, size_t bytes) {
  for (size_t at = 0; at < bytes; at += kSlotBytes) {
    const size_t part = std::min(kSlotBytes, bytes - at);
    Slot& slot = next_slot();
    std::memcpy(slot.memory, static_cast<const char*>(from) + at, part);
    check(cudaMemcpyAsync(static_cast<char*>(to) + at, slot.memory, part, cudaMemcpyHostToDevice,
                          stream_),
          "an upload");
    check(cudaEventRecord(slot.moved, stream_), "an upload");
  }
}

void monosem_device::download(void* to, const void* from, size_t bytes) {
  std::array<Slot*, 4> flying{};
  const size_t parts = (bytes + kSlotBytes - 1) / kSlotBytes;
  const auto size_of = [&](size_t part) { return std::min(kSlotBytes, bytes - part * kSlotBytes); };
  // Part i is queued flying.size() parts before it is copied out, when its slot was last emptied.
  for (size_t i = 0; i < parts + flying.size() - 1; ++i) {
    if (i < parts) {
      Slot& slot = *(flying[i % flying.size()] = &next_slot());
      check(cudaMemcpyAsync(slot.memory, static_cast<const char*>(from) + i * kSlotBytes,
                            size_of(i), cudaMemcpyDeviceToHost, stream_),
            "a download");
      check(cudaEventRecord(slot.moved, stream_), "a download");
    }
    if (i + 1 < flying.size()) continue;
    const size_t done = i + 1 - flying.size();
    if (done >= parts) break;
    Slot& slot = *flying[done % flying.size()];
    check(cudaEventSynchronize(slot.moved), "waiting for a download");
    std::memcpy(static_cast<char*>(to) + done * kSlotBytes, slot.memory, size_of(done));
  }
}

void monosem_device::synchronize() {
  check(cudaStreamSynchronize(stream_), "waiting for the stream");
}
