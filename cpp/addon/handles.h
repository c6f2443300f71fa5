#pragma once

#include <napi.h>

#include <span>
#include <string>
#include <unordered_set>
#include <utility>
#include <vector>

#include "addon/environment.h"
#include "core/feature_acts.h"
#include "core/ops.h"
#include "core/sae.h"

namespace monosem::addon {

/// A JavaScript object that owns a native value: a tensor, activations, a plan.
///
/// Each environment knows the live handles of every class: an object of another class, or of
/// another copy of the addon, is refused rather than reinterpreted (type tags do the same at five
/// times the cost, and an operation makes and checks several handles).
template <class Value>
class Handle : public Napi::ObjectWrap<Handle<Value>> {
 public:
  /// What the class is called in messages: "a Tensor". The constructor's place in Environment.
  static const char* const kName;
  static Napi::FunctionReference Environment::* const kConstructor;
  static std::unordered_set<const void*> Environment::* const kLive;

  using Member = Napi::ClassPropertyDescriptor<Handle>;

  static void define(Napi::Env env, const char* name, std::vector<Member> members) {
    members.push_back(Handle::template InstanceMethod<&Handle::dispose>("dispose"));
    Environment::of(env).*kConstructor = Napi::Persistent(Handle::DefineClass(env, name, members));
  }

  /// A read-only property, or a method without arguments, that `get` computes.
  template <Napi::Value (*get)(Napi::Env, Value&)>
  static Member property(const char* name) {
    return Handle::template InstanceAccessor<&Handle::template read<get>>(name);
  }
  template <Napi::Value (*get)(Napi::Env, Value&)>
  static Member method(const char* name) {
    return Handle::template InstanceMethod<&Handle::template read<get>>(name);
  }

  static Napi::Value wrap(Napi::Env env, Value value) {
    incoming() = &value;  // taken by the constructor before New returns
    return (Environment::of(env).*kConstructor).New({});
  }

  /// The value of `js`. Throws ERR_INVALID_ARGUMENT for anything else, ERR_DISPOSED after dispose.
  static Value& of(const Napi::Value& js) {
    void* wrapped = nullptr;
    if (!js.IsObject() || napi_unwrap(js.Env(), js, &wrapped) != napi_ok ||
        !(Environment::of(js.Env()).*kLive).contains(wrapped)) {
      throw Error(kInvalidArgument, std::string("expected ") + kName);
    }
    return static_cast<Handle*>(wrapped)->value();
  }

  explicit Handle(const Napi::CallbackInfo& info) : Napi::ObjectWrap<Handle>(info) {
    guarded(info.Env(), [&] {
      Value* value = std::exchange(incoming(), nullptr);
      if (value == nullptr) {
        throw Error(kInvalidArgument, std::string(kName) + " is not made by hand");
      }
      value_ = std::move(*value);
      (Environment::of(info.Env()).*kLive).insert(this);
      live_ = &(Environment::of(info.Env()).*kLive);
      reported_ = external_bytes(*value_);
      report(info.Env(), reported_);
    });
  }

  Value& value() {
    if (!value_)
      throw Error(kDisposed, std::string("this is ") + kName +
                                 " that was disposed; clone() what must outlive a hook or a scope");
    return *value_;
  }

  void Finalize(Napi::BasicEnv env) override {
    release(env);
    if (live_ != nullptr) live_->erase(this);
  }

 private:
  template <Napi::Value (*get)(Napi::Env, Value&)>
  Napi::Value read(const Napi::CallbackInfo& info) {
    return guarded(info.Env(), [&] { return get(info.Env(), value()); });
  }

  /// The value on its way from `wrap` into the constructor that New calls.
  static Value*& incoming() {
    thread_local Value* value = nullptr;
    return value;
  }

  /// Memory that the garbage collector should know of and that no other handle told it.
  static int64_t external_bytes(const Value& value);

  void report(Napi::BasicEnv env, int64_t bytes) {
    if (bytes != 0) Napi::MemoryManagement::AdjustExternalMemory(env, bytes);
  }

  void release(Napi::BasicEnv env) {
    if (!value_) return;
    report(env, -reported_);
    value_.reset();
  }

  Napi::Value dispose(const Napi::CallbackInfo& info) {
    release(info.Env());
    return info.Env().Undefined();
  }

  std::optional<Value> value_;
  int64_t reported_ = 0;
  std::unordered_set<const void*>* live_ = nullptr;
};

using TensorHandle = Handle<Tensor>;
using ActsHandle = Handle<Acts>;
using PlanHandle = Handle<std::shared_ptr<SaePlan>>;
using CancelHandle = Handle<Cancel>;

// ---- arguments. They throw ERR_INVALID_ARGUMENT.
inline Tensor& tensor(const Napi::Value& js) { return TensorHandle::of(js); }
Tensor optional_tensor(const Napi::Value& js);  ///< empty for null
double number(const Napi::Value& js);
int64_t integer(const Napi::Value& js);
std::string string(const Napi::Value& js);
Shape integers(const Napi::Value& js);

// ---- results
Napi::Value js(Napi::Env env, const Tensor& t);  ///< null for an empty one
Napi::Array js_shape(Napi::Env env, std::span<const int64_t> shape);
Napi::Array js_tensors(Napi::Env env, std::initializer_list<Tensor> tensors);

/// A function of the addon. Each file of this folder adds a static table of its own to `exports`.
struct Export {
  const char* name;
  Napi::Value (*function)(const Napi::CallbackInfo&);
};
void add(Napi::Env env, Napi::Object exports, std::span<const Export> functions);

/// The class of a handle and the functions around it, one file each.
void define_devices(Napi::Env env, Napi::Object exports);
void define_tensors(Napi::Env env, Napi::Object exports);
void define_transformer(Napi::Env env, Napi::Object exports);
void define_acts(Napi::Env env, Napi::Object exports);
void define_sae(Napi::Env env, Napi::Object exports);
void define_files(Napi::Env env, Napi::Object exports);

}  // namespace monosem::addon
