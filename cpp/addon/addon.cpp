#include <napi.h>

#include "addon/handles.h"

namespace monosem::addon {

namespace {

// The class of our errors is JavaScript's; it is handed over once.
Napi::Value init(const Napi::CallbackInfo& info) {
  Environment::of(info.Env()).error = Napi::Persistent(info[0].As<Napi::Function>());
  return info.Env().Undefined();
}

constexpr Export kExports[] = {{"init", init}};

Napi::Object load(Napi::Env env, Napi::Object exports) {
  auto environment = std::make_unique<Environment>(env);
  env.SetInstanceData(environment.release());  // deleted by Node with the environment
  add(env, exports, kExports);
  define_devices(env, exports);
  define_tensors(env, exports);
  define_transformer(env, exports);
  define_acts(env, exports);
  define_sae(env, exports);
  define_files(env, exports);
  return exports;
}

}  // namespace

}  // namespace monosem::addon

static Napi::Object monosem_load(Napi::Env env, Napi::Object exports) {
  return monosem::addon::load(env, exports);
}
NODE_API_MODULE(monosem, monosem_load)
