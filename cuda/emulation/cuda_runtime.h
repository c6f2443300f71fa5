#pragma once

// What cuda/ uses of the CUDA runtime, on the host: g++ finds this file where nvcc finds NVIDIA's.
// Device code runs on fibers (block.h); a stream does its work at once; device memory is host
// memory of its exact size, filled with garbage.

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <type_traits>
#include <utility>

#include "block.h"

#define MONOSEM_EMULATED 1
#define __global__
#define __device__
#define __host__
#define __forceinline__ inline
#define __launch_bounds__(...)
#define CUDART_VERSION 13000

// ---- vector types

struct alignas(8) uint2 {
  unsigned x, y;
};
struct alignas(16) uint4 {
  unsigned x, y, z, w;
};
struct alignas(16) float4 {
  float x, y, z, w;
};
inline uint2 make_uint2(unsigned x, unsigned y) { return {x, y}; }
inline float4 make_float4(float x, float y, float z, float w) { return {x, y, z, w}; }
struct dim3 {
  unsigned x, y, z;
  constexpr dim3(unsigned x_ = 1, unsigned y_ = 1, unsigned z_ = 1) : x(x_), y(y_), z(z_) {}
};

// ---- device code

extern monosem::emulation::Dim3 threadIdx, blockIdx, blockDim, gridDim;

using monosem::emulation::Place;

inline void __syncthreads(const Place& place = Place::current()) {
  monosem::emulation::block_barrier(place);
}

namespace monosem::emulation {

inline void full_warp(unsigned mask) {
  if (mask != 0xffffffffu) fault("a warp operation over some lanes only: the kernels use all 32");
}

template <class T, class Source>
T shuffle(unsigned mask, T value, Source source, const Place& place) {
  full_warp(mask);
  struct Slot {
    T in, out;
  } mine{value, value};
  warp_operation(
      mine,
      [&](Lanes& lanes) {
        for (int lane = 0; lane < 32; ++lane) {
          lane_of<Slot>(lanes, lane).out = lane_of<Slot>(lanes, source(lane)).in;
        }
      },
      place);
  return mine.out;
}

}  // namespace monosem::emulation

inline void __syncwarp(unsigned mask = ~0u, const Place& place = Place::current()) {
  monosem::emulation::full_warp(mask);
  char nothing = 0;
  monosem::emulation::warp_operation(nothing, [](monosem::emulation::Lanes&) {}, place);
}

template <class T>
T __shfl_xor_sync(unsigned mask, T value, int bits, const Place& place = Place::current()) {
  return monosem::emulation::shuffle(mask, value, [=](int lane) { return lane ^ bits; }, place);
}

template <class T>
T __shfl_up_sync(unsigned mask, T value, int delta, const Place& place = Place::current()) {
  return monosem::emulation::shuffle(
      mask, value, [=](int lane) { return lane >= delta ? lane - delta : lane; }, place);
}

// Each lane names its own source, so the sources travel with the values.
template <class T>
T __shfl_sync(unsigned mask, T value, int source, const Place& place = Place::current()) {
  monosem::emulation::full_warp(mask);
  struct Slot {
    T in, out;
    int source;
  } mine{value, value, source};
  monosem::emulation::warp_operation(
      mine,
      [](monosem::emulation::Lanes& lanes) {
        for (int lane = 0; lane < 32; ++lane) {
          Slot& slot = monosem::emulation::lane_of<Slot>(lanes, lane);
          slot.out = monosem::emulation::lane_of<Slot>(lanes, slot.source & 31).in;
        }
      },
      place);
  return mine.out;
}

inline unsigned __ballot_sync(unsigned mask, int predicate, const Place& place = Place::current()) {
  monosem::emulation::full_warp(mask);
  struct Slot {
    bool in;
    unsigned out;
  } mine{predicate != 0, 0};
  monosem::emulation::warp_operation(
      mine,
      [](monosem::emulation::Lanes& lanes) {
        unsigned votes = 0;
        for (int lane = 0; lane < 32; ++lane) {
          votes |= unsigned{monosem::emulation::lane_of<Slot>(lanes, lane).in} << lane;
        }
        for (int lane = 0; lane < 32; ++lane) {
          monosem::emulation::lane_of<Slot>(lanes, lane).out = votes;
        }
      },
      place);
  return mine.out;
}

inline int __any_sync(unsigned mask, int predicate, const Place& place = Place::current()) {
  return __ballot_sync(mask, predicate, place) != 0;
}

template <class T>
T atomicAdd(T* at, std::type_identity_t<T> value) {
  T old = *at;
  *at = old + value;
  return old;
}
template <class T>
T atomicOr(T* at, std::type_identity_t<T> value) {
  T old = *at;
  *at = old | value;
  return old;
}

inline int __popc(unsigned bits) { return __builtin_popcount(bits); }
inline unsigned __float_as_uint(float value) {
  unsigned bits;
  std::memcpy(&bits, &value, sizeof bits);
  return bits;
}
inline float __uint_as_float(unsigned bits) {
  float value;
  std::memcpy(&value, &bits, sizeof value);
  return value;
}
template <class T>
T __ldg(const T* at) {
  return *at;
}
inline float cospif(float x) { return static_cast<float>(std::cos(3.14159265358979 * x)); }
using std::isfinite;
using std::isnan;

// ---- the runtime

enum cudaError_t {
  cudaSuccess = 0,
  cudaErrorMemoryAllocation = 2,
  cudaErrorInsufficientDriver = 35,
  cudaErrorNoDevice = 100,
  cudaErrorInvalidDevice = 101,
  cudaErrorECCUncorrectable = 214,
  cudaErrorHardwareStackError = 714,
  cudaErrorIllegalInstruction = 715,
  cudaErrorMisalignedAddress = 716,
  cudaErrorInvalidAddressSpace = 717,
  cudaErrorInvalidPc = 718,
  cudaErrorLaunchFailure = 719,
  cudaErrorIllegalAddress = 700,
  cudaErrorLaunchTimeout = 702,
  cudaErrorAssert = 710,
  cudaErrorNoKernelImageForDevice = 209,
};
const char* cudaGetErrorName(cudaError_t error);
const char* cudaGetErrorString(cudaError_t error);
cudaError_t cudaGetLastError();

struct cudaDeviceProp {
  char name[256];
  size_t totalGlobalMem;
  int major, minor, multiProcessorCount;
};
enum cudaDeviceAttr { cudaDevAttrMemoryPoolsSupported = 115 };
cudaError_t cudaDriverGetVersion(int* version);
cudaError_t cudaRuntimeGetVersion(int* version);
cudaError_t cudaGetDeviceCount(int* count);
cudaError_t cudaGetDeviceProperties(cudaDeviceProp* properties, int device);
cudaError_t cudaDeviceGetAttribute(int* value, cudaDeviceAttr attribute, int device);
cudaError_t cudaSetDevice(int device);

using cudaStream_t = struct EmulatedStream*;
using cudaEvent_t = struct EmulatedEvent*;
enum { cudaStreamNonBlocking = 1, cudaEventDisableTiming = 2, cudaHostAllocDefault = 0 };
cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned flags);
cudaError_t cudaStreamDestroy(cudaStream_t stream);
cudaError_t cudaStreamSynchronize(cudaStream_t stream);
cudaError_t cudaEventCreateWithFlags(cudaEvent_t* event, unsigned flags);
cudaError_t cudaEventDestroy(cudaEvent_t event);
cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream);
cudaError_t cudaEventSynchronize(cudaEvent_t event);
cudaError_t cudaEventElapsedTime(float* milliseconds, cudaEvent_t start, cudaEvent_t stop);

using cudaMemPool_t = struct EmulatedPool*;
enum cudaMemPoolAttr {
  cudaMemPoolAttrReleaseThreshold,
  cudaMemPoolAttrReservedMemCurrent,
  cudaMemPoolAttrUsedMemCurrent,
};
enum cudaMemAllocationType { cudaMemAllocationTypePinned = 1 };
enum cudaMemLocationType { cudaMemLocationTypeDevice = 1 };
struct cudaMemLocation {
  cudaMemLocationType type;
  int id;
};
struct cudaMemPoolProps {
  cudaMemAllocationType allocType;
  cudaMemLocation location;
};
cudaError_t cudaMemPoolCreate(cudaMemPool_t* pool, const cudaMemPoolProps* properties);
cudaError_t cudaMemPoolDestroy(cudaMemPool_t pool);
cudaError_t cudaMemPoolSetAttribute(cudaMemPool_t pool, cudaMemPoolAttr attribute, void* value);
cudaError_t cudaMemPoolGetAttribute(cudaMemPool_t pool, cudaMemPoolAttr attribute, void* value);
cudaError_t cudaMemPoolTrimTo(cudaMemPool_t pool, size_t keep);
cudaError_t cudaMallocFromPoolAsync(void** pointer, size_t bytes, cudaMemPool_t pool,
                                    cudaStream_t stream);
cudaError_t cudaFreeAsync(void* pointer, cudaStream_t stream);
cudaError_t cudaHostAlloc(void** pointer, size_t bytes, unsigned flags);
cudaError_t cudaFreeHost(void* pointer);
enum cudaMemcpyKind {
  cudaMemcpyHostToDevice = 1,
  cudaMemcpyDeviceToHost = 2,
  cudaMemcpyDeviceToDevice = 3
};
cudaError_t cudaMemcpyAsync(void* to, const void* from, size_t bytes, cudaMemcpyKind kind,
                            cudaStream_t stream);
cudaError_t cudaMemsetAsync(void* at, int value, size_t bytes, cudaStream_t stream);

struct cudaLaunchConfig_t {
  dim3 gridDim, blockDim;
  size_t dynamicSmemBytes = 0;
  cudaStream_t stream = nullptr;
};
enum cudaFuncAttribute { cudaFuncAttributeMaxDynamicSharedMemorySize = 8 };
template <class Kernel>
cudaError_t cudaFuncSetAttribute(Kernel*, cudaFuncAttribute, int) {
  return cudaSuccess;
}

namespace monosem::emulation {

/// The machine that the runtime pretends to be. Tests change it to see what the backend says.
struct Machine {
  int driver_version = CUDART_VERSION;  // 0: none installed
  int devices = 1;
  int major = 8, minor = 0;
  size_t memory = size_t{4} << 30;
  cudaError_t next_launch = cudaSuccess;  // what the next launch answers, once
};
Machine& machine();

cudaError_t begin_launch();

}  // namespace monosem::emulation

/// Arguments are copied at the launch, as the device does. A Fault of the kernel passes through.
template <class... Parameters, class... Arguments>
cudaError_t cudaLaunchKernelEx(const cudaLaunchConfig_t* config, void (*kernel)(Parameters...),
                               Arguments&&... arguments) {
  const cudaError_t status = monosem::emulation::begin_launch();
  if (status != cudaSuccess) return status;
  monosem::emulation::run({config->gridDim.x, config->gridDim.y, config->gridDim.z},
                          {config->blockDim.x, config->blockDim.y, config->blockDim.z},
                          config->dynamicSmemBytes,
                          [=, ... copies = Parameters(arguments)] { kernel(copies...); });
  return cudaSuccess;
}
