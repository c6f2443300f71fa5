#pragma once

#include <napi.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <unordered_map>
#include <unordered_set>

#include "core/error.h"

namespace monosem::addon {

/// The MonosemError of this environment for a native error.
Napi::Error to_js(Napi::Env env, const Error& error);

/// No C++ exception reaches node-addon-api unconverted: every entry goes through here.
template <class F>
auto guarded(Napi::Env env, F&& body) -> decltype(body()) {
  try {
    return body();
  } catch (const Napi::Error&) {
    throw;
  } catch (const Error& error) {
    throw to_js(env, error);
  } catch (const std::bad_alloc&) {
    throw to_js(env, Error(kOutOfMemory, "out of host memory"));
  } catch (const std::exception& error) {
    throw to_js(env, Error(kInternal, error.what()));
  } catch (...) {
    throw to_js(env, Error(kInternal, "an unknown C++ exception"));
  }
}

/// Promises that native threads settle.
///
/// Node 20 frees a thread-safe function when its environment ends, whoever still holds it. So every
/// call to it happens under a mutex and after a look at `open`, which a cleanup hook, registered
/// after the function was made and therefore run before it is freed, sets to false.
class Promises {
 public:
  using Make = std::function<Napi::Value(Napi::Env)>;
  /// Called once, on any thread. On failure `make` is not run.
  using Settle = std::function<void(const std::optional<Error>&, Make make)>;

  explicit Promises(Napi::Env env);
  ~Promises();
  Promises(const Promises&) = delete;
  Promises& operator=(const Promises&) = delete;

  Napi::Promise start(Napi::Env env, const std::function<void(Settle)>& begin);

 private:
  struct Shared;
  struct Task;
  static void on_js_thread(napi_env env, napi_value, void* context, void* data);
  static void on_cleanup(void* shared);

  std::shared_ptr<Shared> shared_;
  std::unordered_map<uint64_t, Napi::Promise::Deferred> waiting_;  // JS thread only
  uint64_t next_ = 0;
};

/// What one environment (the main thread, or a worker) holds. Members are destroyed in reverse
/// order.
struct Environment {
  explicit Environment(Napi::Env env) : promises(env) {}
  static Environment& of(Napi::Env env) { return *env.GetInstanceData<Environment>(); }

  Napi::FunctionReference error;                                    // class MonosemError
  Napi::FunctionReference tensor, acts, plan, cancel, tensor_file;  // the handle classes,
  std::unordered_set<const void*> tensors, all_acts, plans, cancels, tensor_files;  // their objects
  Promises promises;
};

}  // namespace monosem::addon
