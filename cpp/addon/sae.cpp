#include "addon/handles.h"

namespace monosem::addon {

namespace {

Napi::Value stats(Napi::Env env, std::shared_ptr<SaePlan>& plan) {
  const monosem_sae_stats s = plan->stats();
  Napi::Object out = Napi::Object::New(env);
  out.Set("path", s.path == nullptr ? "none yet" : s.path);
  out.Set("candidates", s.candidates);
  out.Set("active", s.active);
  out.Set("ambiguous", s.ambiguous);
  out.Set("errorToMargin", s.error_to_margin);
  out.Set("tokens", s.tokens);
  return out;
}

Napi::Value forms(Napi::Env env, std::shared_ptr<SaePlan>& plan) {
  const monosem_sae_forms f = plan->forms();
  Napi::Object out = Napi::Object::New(env);
  out.Set("float32PanelsBytes", static_cast<double>(f.float32_panels));
  out.Set("screenBytes", static_cast<double>(f.screen));
  out.Set("rowsBytes", static_cast<double>(f.rows));
  out.Set("float16PlanesBytes", static_cast<double>(f.float16_planes));
  return out;
}

Napi::Value make_plan(const Napi::CallbackInfo& info) {
  SaePlan::Encoder encoder{tensor(info[0]),          tensor(info[1]), optional_tensor(info[2]),
                           optional_tensor(info[3]), tensor(info[4]), optional_tensor(info[5]),
                           integer(info[6])};
  return PlanHandle::wrap(info.Env(), std::make_shared<SaePlan>(std::move(encoder)));
}

Napi::Value input(const Napi::CallbackInfo& info) {
  const SaeInput out = sae_input(tensor(info[0]), static_cast<int32_t>(integer(info[1])),
                                 static_cast<float>(number(info[2])), optional_tensor(info[3]));
  return js_tensors(info.Env(), {out.input, out.statistics});
}

Napi::Value encode(const Napi::CallbackInfo& info) {
  const Cancel cancel = info[3].IsNull() ? Cancel() : CancelHandle::of(info[3]);
  return ActsHandle::wrap(info.Env(), sae_encode(PlanHandle::of(info[0]), tensor(info[1]),
                                                 static_cast<int32_t>(integer(info[2])), cancel));
}

Napi::Value decode(const Napi::CallbackInfo& info) {
  SaeDecoder decoder;
  decoder.W_dec = tensor(info[1]);
  decoder.row_scale = optional_tensor(info[2]);
  decoder.b_dec = optional_tensor(info[3]);
  decoder.normalize = static_cast<int32_t>(integer(info[4]));
  decoder.statistics = optional_tensor(info[5]);
  decoder.factor = static_cast<float>(number(info[6]));
  decoder.x = optional_tensor(info[7]);
  decoder.recons = info[8].ToBoolean();
  const SaeDecoded out = sae_decode(ActsHandle::of(info[0]), decoder);
  return js_tensors(info.Env(), {out.out, out.recons, out.error});
}

constexpr Export kExports[] = {
    {"saePlan", make_plan}, {"saeInput", input}, {"saeEncode", encode}, {"saeDecode", decode}};

}  // namespace

void define_sae(Napi::Env env, Napi::Object exports) {
  PlanHandle::define(env, "NativePlan",
                     {PlanHandle::method<stats>("stats"), PlanHandle::method<forms>("forms")});
  add(env, exports, kExports);
}

}  // namespace monosem::addon
