#pragma once

#include <memory>
#include <string>
#include <vector>

#include "core/backend.h"
#include "core/stream.h"

namespace monosem {

/// An opened device: its backend's table, its stream and its memory. One per process and name.
class Device {
 public:
  /// "cpu", "cuda:0", ... Opens it on first use. Throws ERR_DEVICE with the reason and the cure.
  static Device& get(const std::string& name);

  Device(std::string name, const monosem_backend& table, monosem_device* handle);
  Device(const Device&) = delete;
  Device& operator=(const Device&) = delete;

  const std::string& name() const { return name_; }
  const monosem_backend& table() const { return table_; }
  monosem_device* handle() const { return handle_; }
  Stream& stream() { return stream_; }

  /// Throws what the backend reported for `status` on this thread.
  void check(monosem_status status) const;

 private:
  std::string name_;
  const monosem_backend& table_;
  monosem_device* handle_;
  Stream stream_;
};

struct DeviceDescription {
  std::string device;
  monosem_device_info info;
};

/// The CPU, then every CUDA device, usable or not (`info.reason` says why not).
std::vector<DeviceDescription> list_devices();

/// Why CUDA cannot be used on this machine, with the cure; empty when it can.
std::string cuda_reason();

}  // namespace monosem
