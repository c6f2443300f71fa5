#include "core/device.h"

#include <charconv>
#include <map>
#include <mutex>

#include "core/cuda_loader.h"
#include "core/immortal.h"

namespace monosem {

namespace {

[[noreturn]] void raise(const monosem_backend& table, monosem_status status) {
  const char* text = table.last_error();
  switch (status) {
    case MONOSEM_ERR_OUT_OF_MEMORY:
      throw Error(kOutOfMemory, text);
    case MONOSEM_ERR_INVALID_ARGUMENT:
      throw Error(kInvalidArgument, text);
    case MONOSEM_ERR_UNSUPPORTED:
      throw Error(kUnsupported, text);
    case MONOSEM_ERR_ABORTED:
      throw Error(kAborted, text);
    default:
      throw Error(kDevice, text);
  }
}

struct Registry {
  std::mutex mutex;
  std::map<std::string, std::unique_ptr<Device>> devices;
};

Registry& registry() {
  static Immortal<Registry> all;
  return *all;
}

// The index in "cuda:3", or -1.
int cuda_index(const std::string& name) {
  constexpr std::string_view prefix = "cuda:";
  if (!name.starts_with(prefix)) return -1;
  int index = -1;
  const char* end = name.data() + name.size();
  const auto parsed = std::from_chars(name.data() + prefix.size(), end, index);
  return parsed.ec == std::errc() && parsed.ptr == end ? index : -1;
}

std::unique_ptr<Device> open(const std::string& name) {
  int index = 0;
  const monosem_backend* table = monosem_backend_cpu();
  if (name != "cpu") {
    std::string reason;
    if (name == "emulated") {
      table = load_emulated(reason);
    } else if ((index = cuda_index(name)) >= 0) {
      table = load_cuda(reason);
    } else {
      throw Error(
          kDevice,
          "expected a device of \"auto\", \"cpu\", \"cuda\" or \"cuda:N\", got \"" + name + "\"");
    }
    if (table == nullptr) throw Error(kDevice, name + " cannot be used: " + reason);
  }
  const int32_t count = table->device_count();
  if (count < 0) throw Error(kDevice, name + " cannot be used: " + table->last_error());
  if (index >= count) {
    throw Error(kDevice, name + " does not exist: this machine has " + std::to_string(count) +
                             " CUDA device(s), counted from cuda:0");
  }
  monosem_device* handle = nullptr;
  const monosem_status status = table->device_open(index, &handle);
  if (status != MONOSEM_OK) raise(*table, status);
  return std::make_unique<Device>(name, *table, handle);
}

}  // namespace

Device::Device(std::string name, const monosem_backend& table, monosem_device* handle)
    : name_(std::move(name)), table_(table), handle_(handle) {}

Device& Device::get(const std::string& name) {
  Registry& all = registry();
  std::lock_guard lock(all.mutex);
  std::unique_ptr<Device>& device = all.devices[name];
  if (!device) device = open(name);
  return *device;
}

void Device::check(monosem_status status) const {
  if (status != MONOSEM_OK) raise(table_, status);
}

std::vector<DeviceDescription> list_devices() {
  std::vector<DeviceDescription> all;
  const auto add = [&](const monosem_backend& table, const std::string& name, int32_t index) {
    monosem_device_info info{};
    if (table.device_info(index, &info) == MONOSEM_OK) all.push_back({name, info});
  };
  add(*monosem_backend_cpu(), "cpu", 0);
  std::string reason;
  if (const monosem_backend* cuda = load_cuda(reason)) {
    const int32_t count = cuda->device_count();
    for (int32_t i = 0; i < count; ++i) add(*cuda, "cuda:" + std::to_string(i), i);
  }
  return all;
}

std::string cuda_reason() {
  std::string reason;
  const monosem_backend* cuda = load_cuda(reason);
  if (cuda == nullptr) return reason;
  const int32_t count = cuda->device_count();
  if (count < 0) return cuda->last_error();
  if (count == 0) return "the driver reports no CUDA device";
  monosem_device_info info{};
  for (int32_t i = 0; i < count; ++i) {
    if (cuda->device_info(i, &info) == MONOSEM_OK && info.reason[0] == '\0') return "";
  }
  return info.reason;
}

}  // namespace monosem
