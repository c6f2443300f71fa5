// binary: dst = a op b, broadcasting through strides of 0.
// Traffic: a and b read once (what is broadcast comes from L1), dst written once.

#include "elementwise.cuh"
#include "operators.cuh"

namespace monosem::cuda {

namespace {

__device__ __forceinline__ float combine(int op, float a, float b) {
  switch (op) {
    case MONOSEM_ADD:
      return a + b;
    case MONOSEM_SUB:
      return a - b;
    case MONOSEM_MUL:
      return a * b;
    case MONOSEM_DIV:
      return a / b;
    case MONOSEM_GT:
      return a > b ? 1.0f : 0.0f;
    case MONOSEM_LT:
      return a < b ? 1.0f : 0.0f;
    default:
      return a == b ? 1.0f : 0.0f;
  }
}

__global__ void binary_kernel(Nest<3> nest, int op) {
  for_each(nest, [&](const int64_t(&at)[3]) {
    const float a = load(nest.data[1], nest.dtype[1], at[1]);
    const float b = load(nest.data[2], nest.dtype[2], at[2]);
    store(nest.data[0], nest.dtype[0], at[0], combine(op, a, b));
  });
}

}  // namespace

void binary(Device& device, int32_t op, const View* dst, const View* a, const View* b) {
  const Nest<3> nest = nest_of<3>({dst, a, b});
  launch(device.stream(), grid_for(device, nest), binary_kernel, nest, op);
}

}  // namespace monosem::cuda
