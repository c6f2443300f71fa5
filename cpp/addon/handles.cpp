#include "addon/handles.h"

#include <cmath>

namespace monosem::addon {

template <>
const char* const TensorHandle::kName = "a Tensor";
template <>
Napi::FunctionReference Environment::* const TensorHandle::kConstructor = &Environment::tensor;
template <>
std::unordered_set<const void*> Environment::* const TensorHandle::kLive = &Environment::tensors;
template <>
int64_t TensorHandle::external_bytes(const Tensor& t) {
  return t.buffer()->claim_report() ? static_cast<int64_t>(t.buffer()->bytes()) : 0;
}

template <>
const char* const ActsHandle::kName = "feature activations";
template <>
Napi::FunctionReference Environment::* const ActsHandle::kConstructor = &Environment::acts;
template <>
std::unordered_set<const void*> Environment::* const ActsHandle::kLive = &Environment::all_acts;
template <>
int64_t ActsHandle::external_bytes(const Acts&) {
  return 0;  // not known before the command has run
}

template <>
const char* const PlanHandle::kName = "an SAE plan";
template <>
Napi::FunctionReference Environment::* const PlanHandle::kConstructor = &Environment::plan;
template <>
std::unordered_set<const void*> Environment::* const PlanHandle::kLive = &Environment::plans;
template <>
int64_t PlanHandle::external_bytes(const std::shared_ptr<SaePlan>&) {
  return 0;
}

template <>
const char* const CancelHandle::kName = "a cancellation";
template <>
Napi::FunctionReference Environment::* const CancelHandle::kConstructor = &Environment::cancel;
template <>
std::unordered_set<const void*> Environment::* const CancelHandle::kLive = &Environment::cancels;
template <>
int64_t CancelHandle::external_bytes(const Cancel&) {
  return 0;
}

Tensor optional_tensor(const Napi::Value& js) {
  return js.IsNull() || js.IsUndefined() ? Tensor() : tensor(js);
}

double number(const Napi::Value& js) {
  if (!js.IsNumber()) throw Error(kInvalidArgument, "expected a number");
  return js.As<Napi::Number>().DoubleValue();
}

int64_t integer(const Napi::Value& js) {
  const double value = number(js);
  if (std::trunc(value) != value || std::abs(value) > 0x1p53) {
    throw Error(kInvalidArgument, "expected an integer, got " + std::to_string(value));
  }
  return static_cast<int64_t>(value);
}

std::string string(const Napi::Value& js) {
  if (!js.IsString()) throw Error(kInvalidArgument, "expected a string");
  return js.As<Napi::String>();
}

Shape integers(const Napi::Value& js) {
  if (!js.IsArray())
    throw Error(kInvalidArgument, "expected an array of integers, such as a shape");
  const auto array = js.As<Napi::Array>();
  Shape out;
  for (uint32_t i = 0; i < array.Length(); ++i) out.push_back(integer(array[i]));
  return out;
}

Napi::Value js(Napi::Env env, const Tensor& t) {
  return t ? TensorHandle::wrap(env, t) : env.Null();
}

Napi::Array js_shape(Napi::Env env, std::span<const int64_t> shape) {
  Napi::Array out = Napi::Array::New(env, shape.size());
  for (uint32_t i = 0; i < shape.size(); ++i) out[i] = static_cast<double>(shape[i]);
  return out;
}

Napi::Array js_tensors(Napi::Env env, std::initializer_list<Tensor> tensors) {
  Napi::Array out = Napi::Array::New(env, tensors.size());
  uint32_t i = 0;
  for (const Tensor& t : tensors) out[i++] = js(env, t);
  return out;
}

namespace {

// The one trampoline: `data` is the Function.
Napi::Value call(const Napi::CallbackInfo& info) {
  return guarded(info.Env(),
                 [&] { return static_cast<const Export*>(info.Data())->function(info); });
}

}  // namespace

void add(Napi::Env env, Napi::Object exports, std::span<const Export> functions) {
  for (const Export& entry : functions) {
    exports.Set(entry.name,
                Napi::Function::New(env, call, entry.name, const_cast<Export*>(&entry)));
  }
}

}  // namespace monosem::addon
