// The CUDA backend's devices: what it says of a machine without one, memory, copies, lost devices.
// These play with the emulated machine, so they say nothing about a GPU.

#include <thread>

#include "test/cuda_device.h"

namespace {

using namespace monosem::test;
using monosem::emulation::Machine;
using monosem::emulation::machine;

/// The machine as `change` makes it, until the end of the scope.
class Pretend {
 public:
  template <class Change>
  explicit Pretend(Change change) : before_(machine()) {
    change(machine());
  }
  ~Pretend() { machine() = before_; }
  Pretend(const Pretend&) = delete;
  Pretend& operator=(const Pretend&) = delete;

 private:
  Machine before_;
};

bool says(const std::string& text, std::initializer_list<const char*> parts) {
  for (const char* part : parts) {
    if (text.find(part) == std::string::npos) return false;
  }
  return true;
}

const monosem_backend& table() { return *monosem_backend_emulated(); }

}  // namespace

TEST(cuda_device_names_what_is_missing) {
  {
    const Pretend none([](Machine& m) { m.driver_version = 0; });
    CHECK(table().device_count() == -1, "a device without a driver");
    CHECK(says(table().last_error(), {"no NVIDIA driver", "13.0", "\"cpu\""}),
          table().last_error());
  }
  {
    const Pretend old([](Machine& m) { m.driver_version = 12040; });
    CHECK(table().device_count() == -1, "a device with an old driver");
    CHECK(says(table().last_error(), {"too old", "12.4", "13.0", "update"}), table().last_error());
    monosem_device* device = nullptr;
    CHECK(table().device_open(0, &device) == MONOSEM_ERR_NO_DEVICE, "it opened");
  }
  {
    const Pretend hidden([](Machine& m) { m.devices = 0; });
    CHECK(table().device_count() == -1, "a device that is not there");
    CHECK(says(table().last_error(), {"no device", "CUDA_VISIBLE_DEVICES"}), table().last_error());
  }
  {
    const Pretend turing([](Machine& m) { m.major = 7, m.minor = 5; });
    monosem_device_info info{};
    CHECK(table().device_count() == 1 && table().device_info(0, &info) == MONOSEM_OK, "not listed");
    CHECK(says(info.reason, {"7.5", "8.0"}), info.reason);
    monosem_device* device = nullptr;
    CHECK(table().device_open(0, &device) == MONOSEM_ERR_UNSUPPORTED, "it opened");
    CHECK(says(table().last_error(), {"7.5", "8.0", "use another device"}), table().last_error());
  }
  monosem_device_info info{};
  CHECK(table().device_info(3, &info) == MONOSEM_ERR_NO_DEVICE, "cuda:3");
  CHECK(says(table().last_error(), {"cuda:3 does not exist", "1 device"}), table().last_error());
  CHECK(table().device_info(0, &info) == MONOSEM_OK && info.reason[0] == '\0', info.reason);
  CHECK(info.capability_major == 8 && says(info.detail, {"13.0"}), info.detail);
}

TEST(cuda_device_reports_out_of_memory_and_goes_on) {
  const Pretend small([](Machine& m) { m.memory = 64 << 20; });
  monosem_device* device = nullptr;
  ok(table().device_open(0, &device));
  void* first = nullptr;
  void* second = nullptr;
  ok(table().alloc(device, 1 << 20, &first));
  CHECK(table().alloc(device, 200 << 20, &second) == MONOSEM_ERR_OUT_OF_MEMORY, "200 of 64 MiB");
  CHECK(says(table().last_error(), {"alloc: out of memory", "200 MiB", "dispose"}),
        table().last_error());
  ok(table().alloc(device, 0, &second));
  uint64_t in_use = 0, cached = 0;
  table().memory(device, &in_use, &cached);
  CHECK(in_use >= 1 << 20, in_use);
  table().free(device, first);
  table().free(device, second);
  table().trim(device);
  table().device_close(device);
}

TEST(cuda_device_survives_failed_launches_and_reports_lost_devices) {
  monosem_device* device = nullptr;
  ok(table().device_open(0, &device));
  void* memory = nullptr;
  ok(table().alloc(device, 400, &memory));
  const monosem_view view{memory, MONOSEM_FLOAT32, 1, {100}, {1}};
  machine().next_launch = cudaErrorMemoryAllocation;
  CHECK(table().fill(device, &view, 1) == MONOSEM_ERR_OUT_OF_MEMORY, "a failed launch passed");
  CHECK(says(table().last_error(), {"fill: ", "launch", "out of memory"}), table().last_error());
  ok(table().fill(device, &view, 1));

  machine().next_launch = cudaErrorIllegalAddress;
  CHECK(table().fill(device, &view, 1) == MONOSEM_ERR_DRIVER, "a lost device passed");
  CHECK(says(table().last_error(), {"fill: ", "illegal memory access", "CUDA_LAUNCH_BLOCKING"}),
        table().last_error());
  CHECK(table().synchronize(device) == MONOSEM_ERR_DRIVER, "a lost device works");
  CHECK(says(table().last_error(), {"synchronize: ", "cuda:0 was lost", "fill: "}),
        table().last_error());
  table().free(device, memory);
  table().device_close(device);
}

TEST(cuda_device_copies_of_any_length_keep_their_bytes) {
  // The ring's slots are 2 MiB: none, one, some, more than the ring has.
  for (size_t bytes :
       {size_t{0}, size_t{1}, size_t{2} << 20, (size_t{7} << 20) + 3, (size_t{13} << 20) + 1}) {
    std::vector<unsigned char> data(bytes);
    for (size_t i = 0; i < bytes; ++i) data[i] = static_cast<unsigned char>(i * 31 + i / 4096);
    const Remote remote(data);
    CHECK(remote.get<unsigned char>() == data, bytes << " bytes");
  }
}

TEST(cuda_device_is_shared_by_threads) {
  // As worker threads do: each with a stream of its own on the one device.
  std::vector<std::string> failures(4);
  std::vector<std::thread> threads;
  for (size_t i = 0; i < failures.size(); ++i) {
    threads.emplace_back([&, i] {
      monosem_device* device = nullptr;
      if (table().device_open(0, &device) != MONOSEM_OK) failures[i] = table().last_error();
      for (int round = 0; round < 20; ++round) {
        std::vector<float> values(1000);
        void* memory = nullptr;
        table().alloc(device, 4000, &memory);
        const monosem_view view{memory, MONOSEM_FLOAT32, 1, {1000}, {1}};
        if (table().fill(device, &view, static_cast<double>(i)) != MONOSEM_OK) {
          failures[i] = table().last_error();
        }
        table().download(device, values.data(), memory, 4000);
        for (float value : values) {
          if (value != static_cast<float>(i)) failures[i] = "another thread's values";
        }
        table().free(device, memory);
      }
      table().device_close(device);
    });
  }
  for (std::thread& thread : threads) thread.join();
  for (const std::string& failure : failures) CHECK(failure.empty(), failure);
}
