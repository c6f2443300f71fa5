#pragma once

// The CUDA backend under test: its kernels on the host, or on the GPU with
// MONOSEM_TEST_DEVICE=cuda. What a test hands over travels through the table's own uploads and
// downloads.

#include <cstdlib>
#include <cstring>
#include <string>
#include <utility>
#include <vector>

#include "core/cuda_loader.h"
#include "cuda_runtime.h"
#include "emulated.h"
#include "test/check.h"
#include "test/strided.h"

namespace monosem::test {

inline bool on_gpu() {
  const char* device = std::getenv("MONOSEM_TEST_DEVICE");
  return device != nullptr && std::string(device) == "cuda";
}

inline const monosem_backend& cuda_table() {
  static const monosem_backend* table = [] {
    std::string reason;
    const monosem_backend* loaded = on_gpu() ? load_cuda(reason) : monosem_backend_emulated();
    CHECK(loaded != nullptr, reason);
    return loaded;
  }();
  return *table;
}

inline monosem_device* cuda_handle() {
  static monosem_device* device = [] {
    monosem_device* opened = nullptr;
    const monosem_status status = cuda_table().device_open(0, &opened);
    CHECK(status == MONOSEM_OK, cuda_table().last_error());
    return opened;
  }();
  return device;
}

inline void ok(monosem_status status) { CHECK(status == MONOSEM_OK, cuda_table().last_error()); }

/// Runs the body under several schedules of the emulation; the GPU has its own every time.
template <class Body>
void for_each_schedule(Body body) {
  for (uint64_t seed : {1, 2, 3}) {
    if (!on_gpu()) emulation::seed(seed);
    body("schedule " + std::to_string(seed));
  }
}

/// Device memory with a copy of host memory.
class Remote {
 public:
  Remote() = default;
  Remote(const void* data, size_t bytes) : bytes_(bytes) {
    ok(cuda_table().alloc(cuda_handle(), bytes, &data_));
    ok(cuda_table().upload(cuda_handle(), data_, data, bytes));
  }
  template <class T>
  explicit Remote(const std::vector<T>& values)
      : Remote(values.data(), sizeof(T) * values.size()) {}
  Remote(Remote&& other) noexcept
      : data_(std::exchange(other.data_, nullptr)), bytes_(other.bytes_) {}
  Remote& operator=(Remote&& other) noexcept {
    std::swap(data_, other.data_);
    std::swap(bytes_, other.bytes_);
    return *this;
  }
  ~Remote() {
    if (data_ != nullptr) cuda_table().free(cuda_handle(), data_);
  }

  void* data() const { return data_; }
  float* floats() const { return static_cast<float*>(data_); }
  template <class T>
  std::vector<T> get() const {
    std::vector<T> values(bytes_ / sizeof(T));
    ok(cuda_table().download(cuda_handle(), values.data(), data_, bytes_));
    return values;
  }
  void get(void* to) const { ok(cuda_table().download(cuda_handle(), to, data_, bytes_)); }

 private:
  void* data_ = nullptr;
  size_t bytes_ = 0;
};

/// A Strided on the device; back() copies what the device wrote into it.
class RemoteView {
 public:
  explicit RemoteView(Strided& host)
      : view(host.view), host_(host), memory_(host.view.data, host.bytes()) {
    view.data = memory_.data();
  }
  void back() { memory_.get(host_.view.data); }
  monosem_view view;

 private:
  Strided& host_;
  Remote memory_;
};

/// Sparse rows of the device on the host; frees the device's.
struct HostCsr {
  explicit HostCsr(const monosem_csr& csr)
      : tokens(csr.tokens),
        d_sae(csr.d_sae),
        row_offsets(take<uint32_t>(csr.row_offsets, csr.tokens + 1)),
        indices(take<uint32_t>(csr.indices, csr.nnz)),
        values(take<float>(csr.values, csr.nnz)) {}
  int64_t tokens, d_sae;
  std::vector<uint32_t> row_offsets, indices;
  std::vector<float> values;

  monosem_csr view() {
    return {tokens,         d_sae,        static_cast<int64_t>(values.size()), row_offsets.data(),
            indices.data(), values.data()};
  }
  bool operator==(const HostCsr& other) const {
    return row_offsets == other.row_offsets && indices == other.indices &&
           values.size() == other.values.size() &&
           std::memcmp(values.data(), other.values.data(), 4 * values.size()) == 0;
  }

 private:
  template <class T>
  static std::vector<T> take(T* data, int64_t count) {
    std::vector<T> values(static_cast<size_t>(count));
    ok(cuda_table().download(cuda_handle(), values.data(), data, sizeof(T) * values.size()));
    cuda_table().free(cuda_handle(), data);
    return values;
  }
};

}  // namespace monosem::test
