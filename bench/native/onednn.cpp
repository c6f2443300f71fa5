// oneDNN: an inner product with bias and ReLU in its epilogue and weights in the layout it asks
// for; in float32, and in bfloat16 where the processor multiplies that.

#include <dnnl.hpp>
#include <vector>

#include "peers.h"

namespace monosem::bench {
namespace {

using dnnl::memory;
using Tag = memory::format_tag;
using Type = memory::data_type;

class OneDnn : public Peer {
 public:
  OneDnn(const DenseLayer& layer, Type type) : y_(layer.tokens * layer.out) {
    const memory::dims x_dims{layer.tokens, layer.in}, w_dims{layer.out, layer.in},
        y_dims{layer.tokens, layer.out};
    dnnl::primitive_attr attributes;
    if (layer.relu) {
      dnnl::post_ops after;
      after.append_eltwise(1, dnnl::algorithm::eltwise_relu, 0, 0);
      attributes.set_post_ops(after);
    }
    const dnnl::inner_product_forward::primitive_desc description(
        {dnnl::prop_kind::forward_inference, memory::desc(x_dims, type, Tag::nc),
         memory::desc(w_dims, type, Tag::any), memory::desc({layer.out}, Type::f32, Tag::x),
         memory::desc(y_dims, Type::f32, Tag::nc)},
        attributes, engine_);
    product_ = dnnl::inner_product_forward(description);

    memory given_w({w_dims, Type::f32, Tag::io}, engine_, const_cast<float*>(layer.w));
    memory w(description.weights_desc(), engine_);
    dnnl::reorder(given_w, w).execute(stream_, given_w, w);
    stream_.wait();
    given_x_ = memory({x_dims, Type::f32, Tag::nc}, engine_, const_cast<float*>(layer.x));
    x_ = type == Type::f32 ? given_x_ : memory({x_dims, type, Tag::nc}, engine_);
    if (type != Type::f32) convert_ = dnnl::reorder(given_x_, x_);
    arguments_ = {
        {DNNL_ARG_SRC, x_},
        {DNNL_ARG_WEIGHTS, w},
        {DNNL_ARG_BIAS,
         memory({{layer.out}, Type::f32, Tag::x}, engine_, const_cast<float*>(layer.bias))},
        {DNNL_ARG_DST, memory({y_dims, Type::f32, Tag::nc}, engine_, y_.data())},
    };
  }

  void run() override {
    if (convert_) convert_.execute(stream_, given_x_, x_);
    product_.execute(stream_, arguments_);
    stream_.wait();
  }

  const float* output() const override { return y_.data(); }

 private:
  dnnl::engine engine_{dnnl::engine::kind::cpu, 0};
  dnnl::stream stream_{engine_};
  dnnl::inner_product_forward product_;
  dnnl::reorder convert_;
  memory given_x_, x_;
  std::unordered_map<int, memory> arguments_;
  std::vector<float> y_;
};

void add(const char* name, Type type) {
  peers().emplace(
      name, [type](const DenseLayer& layer) { return std::make_unique<OneDnn>(layer, type); });
}

const bool added = [] {
  add("oneDNN", Type::f32);
  const auto bfloat16 = static_cast<unsigned>(dnnl::cpu_isa::avx512_core_bf16);
  if ((static_cast<unsigned>(dnnl::get_effective_cpu_isa()) & bfloat16) == bfloat16)
    add("oneDNN bfloat16", Type::bf16);
  return true;
}();

}  // namespace
}  // namespace monosem::bench
