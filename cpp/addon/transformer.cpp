#include "addon/handles.h"

namespace monosem::addon {

namespace {

float real(const Napi::Value& js) { return static_cast<float>(number(js)); }

AttentionOptions attention_options(const Napi::CallbackInfo& info, size_t first) {
  return {real(info[first]), real(info[first + 1]), integer(info[first + 2])};
}

Napi::Value linear_js(const Napi::CallbackInfo& info) {
  return js(info.Env(), linear(tensor(info[0]), tensor(info[1]), optional_tensor(info[2]),
                               static_cast<int32_t>(integer(info[3]))));
}

Napi::Value norm_js(const Napi::CallbackInfo& info) {
  const Normed out = norm(tensor(info[0]), optional_tensor(info[1]), optional_tensor(info[2]),
                          static_cast<int32_t>(integer(info[3])), real(info[4]), real(info[5]),
                          info[6].ToBoolean());
  return js_tensors(info.Env(), {out.out, out.scale, out.normalized});
}

Napi::Value rope_js(const Napi::CallbackInfo& info) {
  return js(info.Env(), rope(tensor(info[0]), tensor(info[1]), tensor(info[2]), tensor(info[3])));
}

Napi::Value attention_js(const Napi::CallbackInfo& info) {
  return js(info.Env(), attention(tensor(info[0]), tensor(info[1]), tensor(info[2]),
                                  optional_tensor(info[3]), attention_options(info, 4)));
}

Napi::Value attention_scores_js(const Napi::CallbackInfo& info) {
  return js(info.Env(), attention_scores(tensor(info[0]), tensor(info[1]), optional_tensor(info[2]),
                                         attention_options(info, 3)));
}

constexpr Export kExports[] = {
    {"linear", linear_js},
    {"norm", norm_js},
    {"rope", rope_js},
    {"attention", attention_js},
    {"attentionScores", attention_scores_js},
};

}  // namespace

void define_transformer(Napi::Env env, Napi::Object exports) { add(env, exports, kExports); }

}  // namespace monosem::addon
