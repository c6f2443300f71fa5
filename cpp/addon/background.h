#pragma once

#include <napi.h>

#include <functional>
#include <optional>

#include "addon/environment.h"

namespace monosem::addon {

/// Work on Node's thread pool, for what waits on disks rather than on a device's stream.
class Background : public Napi::AsyncWorker {
 public:
  /// Makes the JavaScript result, back on the JavaScript thread.
  using Make = std::function<Napi::Value(Napi::Env)>;

  /// Settles when `work` is done. It runs on another thread and must touch nothing of JavaScript's.
  static Napi::Promise run(Napi::Env env, std::function<Make()> work);

  Background(Napi::Env env, std::function<Make()> work);
  Napi::Promise promise() const { return deferred_.Promise(); }
  void Execute() override;
  void OnOK() override;
  void OnError(const Napi::Error&) override;

 private:
  std::function<Make()> work_;
  Make make_;
  std::optional<Error> failure_;
  Napi::Promise::Deferred deferred_;
};

}  // namespace monosem::addon
