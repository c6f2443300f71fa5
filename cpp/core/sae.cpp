#include "core/sae.h"

#include <string>
#include <utility>

#include "core/ops.h"
#include "core/sae_forms.h"

namespace monosem {

namespace {

void require_floats(const Tensor& t, const Shape& shape, const char* what) {
  if (!t) return;
  if (t.shape() != shape || t.dtype() != MONOSEM_FLOAT32 || !t.contiguous()) {
    throw Error(kShape, std::string(what) + ": expected contiguous float32 " + text(shape) +
                            ", got " + dtype_name(t.dtype()) + " " + text(t.shape()));
  }
}

void require_weights(const Tensor& t, const char* what) {
  if (t.rank() != 2 || t.dtype() == MONOSEM_INT32) {
    throw Error(kShape, std::string(what) + ": expected a matrix of floats, got " +
                            dtype_name(t.dtype()) + " " + text(t.shape()));
  }
}

const float* floats_or_null(const Tensor& t) { return t ? t.floats() : nullptr; }

}  // namespace

SaePlan::SaePlan(Encoder encoder) : encoder_(std::move(encoder)) {
  const Encoder& e = encoder_;
  require_same_device({&e.W_enc, &e.gate_bias, &e.theta, &e.scale, &e.bias, &e.center});
  require_weights(e.W_enc, "W_enc");
  require_floats(e.gate_bias, {d_sae()}, "gate bias");
  require_floats(e.theta, {d_sae()}, "threshold");
  require_floats(e.scale, {d_sae()}, "scale");
  require_floats(e.bias, {d_sae()}, "bias");
  require_floats(e.center, {d_in()}, "center");
  if (e.k < 0 || e.k > d_sae()) {
    throw Error(kInvalidArgument, "topk expects k from 1 to d_sae = " + std::to_string(d_sae()) +
                                      ", got " + std::to_string(e.k));
  }
  if (e.k == 0 && !e.theta) {
    throw Error(kInvalidArgument, "a thresholded encoder needs one threshold per feature");
  }
}

SaePlan::~SaePlan() {
  if (prepared_ != nullptr) device().table().sae_plan_free(device().handle(), prepared_);
}

monosem_sae_stats SaePlan::stats() const {
  std::lock_guard lock(mutex_);
  return stats_;
}

monosem_sae_forms SaePlan::forms() const {
  monosem_sae_forms forms{};
  if (monosem_sae_plan* prepared = prepared_) device().table().sae_plan_forms(prepared, &forms);
  return forms;
}

void SaePlan::encode(const float* x, int64_t tokens, int32_t precision, const Cancel& cancel,
                     monosem_csr* out) {
  const monosem_backend& table = device().table();
  if (prepared_ == nullptr) {
    monosem_sae_encoder e{};
    e.d_in = d_in();
    e.d_sae = d_sae();
    e.w_enc = encoder_.W_enc.view();
    e.gate_bias = floats_or_null(encoder_.gate_bias);
    e.theta = floats_or_null(encoder_.theta);
    e.scale = floats_or_null(encoder_.scale);
    e.bias = floats_or_null(encoder_.bias);
    e.center = floats_or_null(encoder_.center);
    e.k = encoder_.k;
    monosem_sae_plan* prepared = nullptr;
    device().check(table.sae_plan(device().handle(), &e, &prepared));
    prepared_ = prepared;
  }
  const auto cancelled = [](void* context) -> int32_t {
    return static_cast<std::atomic<bool>*>(context)->load(std::memory_order_relaxed);
  };
  const uint64_t before = total_bytes(forms());
  monosem_sae_stats stats{};
  device().check(table.sae_encode(device().handle(), prepared_, x, tokens, precision,
                                  cancel ? +cancelled : nullptr, cancel.get(), out, &stats));
  if (total_bytes(forms()) > before)
    encoder_.W_enc.buffer()->page_out();  // the forms are made of it
  std::lock_guard lock(mutex_);
  stats_ = stats;
}

SaeInput sae_input(const Tensor& x, int32_t normalize, float factor, const Tensor& b_dec) {
  require_same_device({&x, &b_dec});
  if (x.rank() != 2) {
    throw Error(kShape, "expected activations [tokens, d_in], got " + text(x.shape()));
  }
  Device& device = x.device();
  const int64_t tokens = x.shape()[0], d_in = x.shape()[1];
  require_floats(b_dec, {d_in}, "b_dec");
  const bool measured =
      normalize == MONOSEM_NORMALIZE_CONSTANT_NORM || normalize == MONOSEM_NORMALIZE_LAYER_NORM;
  SaeInput out{Tensor::empty(device, MONOSEM_FLOAT32, {tokens, d_in}), {}};
  if (measured) out.statistics = Tensor::empty(device, MONOSEM_FLOAT32, {tokens, 2});
  device.stream().push("SAE input", [=, &device] {
    const monosem_view view = x.view();
    device.check(device.table().sae_input(device.handle(), &view, normalize, factor,
                                          b_dec ? b_dec.floats() : nullptr, out.input.floats(),
                                          out.statistics ? out.statistics.floats() : nullptr));
  });
  return out;
}

Acts sae_encode(const std::shared_ptr<SaePlan>& plan, const Tensor& input, int32_t precision,
                const Cancel& cancel) {
  Device& device = plan->device();
  if (&input.device() != &device) {
    throw Error(kDevice, "the SAE is on " + device.name() + " and its input on " +
                             input.device().name() + "; move one with to({ device })");
  }
  if (input.rank() != 2 || input.shape()[1] != plan->d_in()) {
    throw Error(kShape, "the SAE expects [tokens, " + std::to_string(plan->d_in()) +
                            "] (d_in last), got " + text(input.shape()));
  }
  require_floats(input, input.shape(), "SAE input");
  auto out = std::make_shared<FeatureActs>(device, input.shape()[0], plan->d_sae());
  device.stream().push("encode", [=] {
    plan->encode(input.floats(), input.shape()[0], precision, cancel, out->unfilled());
  });
  return out;
}

SaeDecoded sae_decode(const Acts& acts, const SaeDecoder& decoder) {
  Device& device = acts->device();
  const SaeDecoder& d = decoder;
  require_same_device({&d.W_dec, &d.row_scale, &d.b_dec, &d.statistics, &d.x});
  if (&d.W_dec.device() != &device) {
    throw Error(kDevice, "the SAE is on " + d.W_dec.device().name() + " and the activations on " +
                             device.name() + "; move one with to({ device })");
  }
  require_weights(d.W_dec, "W_dec");
  if (d.W_dec.shape()[0] != acts->d_sae()) {
    throw Error(kShape, "the SAE has d_sae = " + std::to_string(d.W_dec.shape()[0]) +
                            ", the activations have " + std::to_string(acts->d_sae()) +
                            " features");
  }
  const int64_t tokens = acts->tokens(), d_out = d.W_dec.shape()[1];
  require_floats(d.row_scale, {acts->d_sae()}, "decoder row scale");
  require_floats(d.b_dec, {d_out}, "b_dec");
  require_floats(d.statistics, {tokens, 2}, "normalisation statistics");
  require_floats(d.x, {tokens, d_out}, "original activations");
  const bool needs =
      d.normalize == MONOSEM_NORMALIZE_CONSTANT_NORM || d.normalize == MONOSEM_NORMALIZE_LAYER_NORM;
  if (needs && !d.statistics) {
    throw Error(
        kInvalidArgument,
        "this SAE normalises each token: decoding needs the statistics of encode, which a bare "
        "dense tensor does not carry; decode the FeatureActs that encode returned");
  }
  const Tensor rows = d.W_dec.stride()[1] == 1 ? d.W_dec : to(d.W_dec, d.W_dec.dtype(), device);
  const auto make = [&] { return Tensor::empty(device, MONOSEM_FLOAT32, {tokens, d_out}); };
  SaeDecoded out{make(), d.recons ? make() : Tensor(), d.x ? make() : Tensor()};
  device.stream().push("decode", [=, &device] {
    const auto target = [](const Tensor& t) { return t ? t.floats() : nullptr; };
    monosem_decode call{};
    call.acts = &acts->filled();
    call.w_dec = rows.view();
    call.row_scale = floats_or_null(decoder.row_scale);
    call.b_dec = floats_or_null(decoder.b_dec);
    call.normalize = decoder.normalize;
    call.stats = floats_or_null(decoder.statistics);
    call.factor = decoder.factor;
    call.recons = target(out.recons);
    call.out = target(out.out);
    call.x = floats_or_null(decoder.x);
    call.error = target(out.error);
    device.check(device.table().sae_decode(device.handle(), &call));
  });
  return out;
}

}  // namespace monosem
