#include "addon/handles.h"

namespace monosem::addon {

namespace {

Device& device(const Napi::Value& js) { return Device::get(string(js)); }

Napi::Value devices(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  Napi::Array out = Napi::Array::New(env);
  for (const DeviceDescription& found : list_devices()) {
    Napi::Object detail = Napi::Object::New(env);
    detail.Set("units", found.info.units);
    if (found.info.capability_major > 0) {
      detail.Set("capability", std::to_string(found.info.capability_major) + "." +
                                   std::to_string(found.info.capability_minor));
    }
    if (found.info.detail[0] != '\0') detail.Set("detail", found.info.detail);
    if (found.info.reason[0] != '\0') detail.Set("reason", found.info.reason);
    Napi::Object entry = Napi::Object::New(env);
    entry.Set("device", found.device);
    entry.Set("name", found.info.name);
    entry.Set("memory", static_cast<double>(found.info.total_memory));
    entry.Set("usable", found.info.reason[0] == '\0');
    entry.Set("detail", detail);
    out[out.Length()] = entry;
  }
  return out;
}

Napi::Value reason_without_cuda(const Napi::CallbackInfo& info) {
  return Napi::String::New(info.Env(), cuda_reason());
}

Napi::Value fence(const Napi::CallbackInfo& info) {
  Stream& stream = device(info[0]).stream();
  return Environment::of(info.Env()).promises.start(info.Env(), [&](Promises::Settle settle) {
    stream.notify([settle = std::move(settle)](const std::optional<Error>& failure) {
      settle(failure, [](Napi::Env env) { return env.Undefined(); });
    });
  });
}

Napi::Value memory(const Napi::CallbackInfo& info) {
  const Device& of = device(info[0]);
  uint64_t in_use = 0, cached = 0;
  of.table().memory(of.handle(), &in_use, &cached);
  Napi::Object out = Napi::Object::New(info.Env());
  out.Set("inUse", static_cast<double>(in_use));
  out.Set("cached", static_cast<double>(cached));
  return out;
}

Napi::Value trim(const Napi::CallbackInfo& info) {
  const Device& of = device(info[0]);
  of.table().trim(of.handle());
  return info.Env().Undefined();
}

Napi::Value make_cancel(const Napi::CallbackInfo& info) {
  return CancelHandle::wrap(info.Env(), std::make_shared<std::atomic<bool>>(false));
}

Napi::Value cancel(Napi::Env env, Cancel& value) {
  value->store(true, std::memory_order_relaxed);
  return env.Undefined();
}

constexpr Export kExports[] = {
    {"devices", devices}, {"cudaReason", reason_without_cuda},
    {"fence", fence},     {"memory", memory},
    {"trim", trim},       {"cancel", make_cancel},
};

}  // namespace

void define_devices(Napi::Env env, Napi::Object exports) {
  CancelHandle::define(env, "NativeCancel", {CancelHandle::method<cancel>("cancel")});
  add(env, exports, kExports);
}

}  // namespace monosem::addon
