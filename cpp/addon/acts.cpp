#include <algorithm>
#include <cstring>

#include "addon/handles.h"

namespace monosem::addon {

namespace {

Acts& acts(const Napi::Value& js) { return ActsHandle::of(js); }
Napi::Value js(Napi::Env env, Acts value) { return ActsHandle::wrap(env, std::move(value)); }
using addon::js;

Napi::Value tokens(Napi::Env env, Acts& value) {
  return Napi::Number::New(env, static_cast<double>(value->tokens()));
}
Napi::Value d_sae(Napi::Env env, Acts& value) {
  return Napi::Number::New(env, static_cast<double>(value->d_sae()));
}
Napi::Value device(Napi::Env env, Acts& value) {
  return Napi::String::New(env, value->device().name());
}

Napi::Value from_dense(const Napi::CallbackInfo& info) {
  return js(info.Env(), acts_from_dense(tensor(info[0])));
}

Napi::Value dense(const Napi::CallbackInfo& info) {
  return js(info.Env(), acts_to_dense(acts(info[0])));
}

Napi::Value count(const Napi::CallbackInfo& info) {
  return js(info.Env(), acts_count(acts(info[0])));
}

Napi::Value rows(const Napi::CallbackInfo& info) {
  if (!info[1].IsTypedArray()) throw Error(kInvalidArgument, "expected token numbers");
  const auto numbers = info[1].As<Napi::Float64Array>();
  std::vector<int64_t> list(numbers.ElementLength());
  for (size_t i = 0; i < list.size(); ++i) list[i] = static_cast<int64_t>(numbers[i]);
  return js(info.Env(), acts_rows(acts(info[0]), std::move(list)));
}

Napi::Value intervene(const Napi::CallbackInfo& info) {
  if (!info[2].IsTypedArray()) throw Error(kInvalidArgument, "expected feature numbers");
  const auto numbers = info[2].As<Napi::Uint32Array>();
  std::vector<uint32_t> features(numbers.Data(), numbers.Data() + numbers.ElementLength());
  return js(info.Env(), acts_intervene(acts(info[0]), static_cast<int32_t>(integer(info[1])),
                                       std::move(features), static_cast<float>(number(info[3]))));
}

Napi::Value move(const Napi::CallbackInfo& info) {
  return js(info.Env(), acts_to(acts(info[0]), Device::get(string(info[1]))));
}

template <class Array, class T>
Array array_of(Napi::Env env, const std::vector<T>& values) {
  Array out = Array::New(env, values.size());
  if (!values.empty()) std::memcpy(out.Data(), values.data(), values.size() * sizeof(T));
  return out;
}

Napi::Value read_csr(const Napi::CallbackInfo& info) {
  const Acts source = acts(info[0]);
  return Environment::of(info.Env()).promises.start(info.Env(), [&](Promises::Settle settle) {
    auto host = std::make_shared<HostCsr>();
    read(source, host);
    source->device().stream().notify(
        [host, settle = std::move(settle)](const std::optional<Error>& failure) {
          settle(failure, [host](Napi::Env env) -> Napi::Value {
            Napi::Object out = Napi::Object::New(env);
            out.Set("rowOffsets", array_of<Napi::Uint32Array>(env, host->row_offsets));
            out.Set("indices", array_of<Napi::Uint32Array>(env, host->indices));
            out.Set("values", array_of<Napi::Float32Array>(env, host->values));
            return out;
          });
        });
  });
}

constexpr Export kExports[] = {
    {"actsFromDense", from_dense}, {"actsDense", dense}, {"actsCount", count},  {"actsRows", rows},
    {"actsIntervene", intervene},  {"actsTo", move},     {"readCsr", read_csr},
};

}  // namespace

void define_acts(Napi::Env env, Napi::Object exports) {
  ActsHandle::define(env, "NativeActs",
                     {ActsHandle::property<tokens>("tokens"), ActsHandle::property<d_sae>("dSae"),
                      ActsHandle::property<device>("device")});
  add(env, exports, kExports);
}

}  // namespace monosem::addon
