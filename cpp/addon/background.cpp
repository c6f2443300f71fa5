#include "addon/background.h"

#include <memory>

namespace monosem::addon {

Napi::Promise Background::run(Napi::Env env, std::function<Make()> work) {
  auto background = std::make_unique<Background>(env, std::move(work));
  const Napi::Promise promise = background->promise();
  background.release()->Queue();  // deletes itself when it is done
  return promise;
}

Background::Background(Napi::Env env, std::function<Make()> work)
    : Napi::AsyncWorker(env, "monosem.background"),
      work_(std::move(work)),
      deferred_(Napi::Promise::Deferred::New(env)) {}

void Background::Execute() {
  try {
    make_ = work_();
    return;
  } catch (const Error& error) {
    failure_ = error;
  } catch (const std::bad_alloc&) {
    failure_ = Error(kOutOfMemory, "out of host memory");
  } catch (const std::exception& error) {
    failure_ = Error(kInternal, error.what());
  }
  SetError(failure_->what());
}

void Background::OnOK() {
  try {
    deferred_.Resolve(guarded(Env(), [&] { return make_(Env()); }));
  } catch (const Napi::Error& error) {
    deferred_.Reject(error.Value());
  }
}

void Background::OnError(const Napi::Error&) { deferred_.Reject(to_js(Env(), *failure_).Value()); }

}  // namespace monosem::addon
