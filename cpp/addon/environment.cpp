#include "addon/environment.h"

namespace monosem::addon {

Napi::Error to_js(Napi::Env env, const Error& error) {
  Napi::HandleScope scope(env);
  const Napi::FunctionReference& constructor = Environment::of(env).error;
  if (constructor.IsEmpty()) return Napi::Error::New(env, error.what());
  const Napi::Value value =
      constructor.New({Napi::String::New(env, error.code()), Napi::String::New(env, error.what())});
  return Napi::Error(env, value);
}

struct Promises::Shared {
  std::mutex mutex;
  bool open = true;
  napi_threadsafe_function function = nullptr;
};

struct Promises::Task {
  uint64_t id;
  std::optional<Error> failure;
  Make make;
};

Promises::Promises(Napi::Env env) : shared_(std::make_shared<Shared>()) {
  const Napi::String name = Napi::String::New(env, "monosem.promises");
  if (napi_create_threadsafe_function(env, nullptr, nullptr, name, 0, 1, nullptr, nullptr, this,
                                      on_js_thread, &shared_->function) != napi_ok) {
    throw Error(kInternal, "no thread-safe function could be made");
  }
  napi_unref_threadsafe_function(env, shared_->function);  // only waiting promises keep Node alive
  napi_add_env_cleanup_hook(env, on_cleanup, shared_.get());
}

Promises::~Promises() = default;

void Promises::on_cleanup(void* pointer) {
  auto* shared = static_cast<Shared*>(pointer);
  std::lock_guard lock(shared->mutex);
  shared->open = false;
}

Napi::Promise Promises::start(Napi::Env env, const std::function<void(Settle)>& begin) {
  const auto deferred = Napi::Promise::Deferred::New(env);
  const uint64_t id = next_++;
  if (waiting_.empty()) napi_ref_threadsafe_function(env, shared_->function);
  waiting_.emplace(id, deferred);
  try {
    begin([shared = shared_, id](const std::optional<Error>& failure, Make make) {
      std::lock_guard lock(shared->mutex);
      if (!shared->open) return;
      auto task = std::make_unique<Task>(Task{id, failure, std::move(make)});
      if (napi_call_threadsafe_function(shared->function, task.get(), napi_tsfn_nonblocking) ==
          napi_ok) {
        task.release();  // on_js_thread takes it back
      }
    });
  } catch (...) {
    waiting_.erase(id);
    if (waiting_.empty()) napi_unref_threadsafe_function(env, shared_->function);
    throw;
  }
  return deferred.Promise();
}

void Promises::on_js_thread(napi_env raw, napi_value, void* context, void* data) {
  const std::unique_ptr<Task> task(static_cast<Task*>(data));
  if (raw == nullptr) return;  // the environment is ending
  const Napi::Env env(raw);
  Napi::HandleScope scope(env);
  auto& self = *static_cast<Promises*>(context);
  const auto found = self.waiting_.find(task->id);
  const Napi::Promise::Deferred deferred = found->second;
  self.waiting_.erase(found);
  if (self.waiting_.empty()) napi_unref_threadsafe_function(env, self.shared_->function);
  try {
    guarded(env, [&] {
      if (task->failure) throw *task->failure;
      deferred.Resolve(task->make(env));
    });
  } catch (const Napi::Error& error) {
    try {
      deferred.Reject(error.Value());
    } catch (const Napi::Error&) {
      // A worker that is being terminated runs no JavaScript any more: nobody is left to be told.
    }
  }
}

}  // namespace monosem::addon
