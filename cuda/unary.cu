// unary: dst = op(src). Traffic: src read once, dst written once.

#include "activation.cuh"
#include "elementwise.cuh"
#include "operators.cuh"

namespace monosem::cuda {

namespace {

__global__ void unary_kernel(Nest<2> nest, int op, float parameter) {
  for_each(nest, [&](const int64_t(&at)[2]) {
    store(nest.data[0], nest.dtype[0], at[0],
          activate(op, load(nest.data[1], nest.dtype[1], at[1]), parameter));
  });
}

}  // namespace

void unary(Device& device, int32_t op, const View* dst, const View* src, float parameter) {
  const Nest<2> nest = nest_of<2>({dst, src});
  launch(device.stream(), grid_for(device, nest), unary_kernel, nest, op, parameter);
}

}  // namespace monosem::cuda
