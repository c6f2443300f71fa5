#pragma once

#include <array>
#include <mutex>
#include <string>

#include "check.cuh"

/// An opened device: one stream, a pool of stream-ordered memory, and pinned memory for host
/// copies. Allocation and release may come from any thread; the rest from one at a time.
struct monosem_device {
 public:
  explicit monosem_device(int index);
  ~monosem_device();
  monosem_device(const monosem_device&) = delete;
  monosem_device& operator=(const monosem_device&) = delete;

  /// Makes this device the calling thread's, which is what every CUDA call works on. Throws when
  /// the device was lost.
  void enter();
  /// Remembers that an operation lost the device.
  void lose(const std::string& why);

  cudaStream_t stream() const { return stream_; }
  int units() const { return units_; }

  void* allocate(size_t bytes);
  void release(void* pointer) noexcept;
  void memory(uint64_t* in_use, uint64_t* cached) const;
  void trim();

  /// Returns when `from` may be changed; the device has the bytes when later work runs.
  void upload(void* to, const void* from, size_t bytes);
  /// Returns when `to` holds the bytes.
  void download(void* to, const void* from, size_t bytes);
  void synchronize();

 private:
  // Copies go through a ring of pinned slots: the host fills or empties one while the copy engine
  // moves the others.
  struct Slot {
    void* memory = nullptr;
    cudaEvent_t moved = nullptr;
  };
  static constexpr size_t kSlotBytes = 2 << 20;
  Slot& next_slot();

  int index_;
  int units_ = 0;
  cudaStream_t stream_ = nullptr;
  cudaMemPool_t pool_ = nullptr;
  std::array<Slot, 4> slots_;
  size_t slot_ = 0;
  std::mutex mutex_;
  std::string lost_;
};

namespace monosem::cuda {

using Device = monosem_device;

/// Device memory for the length of a scope. Its release is ordered after the work queued so far.
template <class T>
class Scratch {
 public:
  Scratch(Device& device, int64_t count)
      : device_(device), data_(static_cast<T*>(device.allocate(sizeof(T) * count))) {}
  ~Scratch() { device_.release(data_); }
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;

  T* get() const { return data_; }
  /// Gives the memory to the caller.
  T* take() { return std::exchange(data_, nullptr); }

 private:
  Device& device_;
  T* data_;
};

int32_t device_count();
void device_info(int32_t index, monosem_device_info& out);

}  // namespace monosem::cuda
