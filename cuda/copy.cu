// copy: dst = src in dst's dtype; fill: dst = value.
// Traffic: what is read plus what is written, once. Contiguous copies of one dtype go to the copy
// engine's kernel at full bandwidth.

#include "elementwise.cuh"
#include "operators.cuh"

namespace monosem::cuda {

namespace {

__global__ void copy_kernel(Nest<2> nest) {
  const int to = nest.dtype[0], from = nest.dtype[1];
  for_each(nest, [&](const int64_t(&at)[2]) {
    // As bits where nothing changes: float32 does not hold every int32.
    if (to == from && (to == MONOSEM_FLOAT32 || to == MONOSEM_INT32)) {
      static_cast<uint32_t*>(nest.data[0])[at[0]] =
          static_cast<const uint32_t*>(nest.data[1])[at[1]];
    } else if (to == from) {
      static_cast<uint16_t*>(nest.data[0])[at[0]] =
          static_cast<const uint16_t*>(nest.data[1])[at[1]];
    } else {
      store(nest.data[0], to, at[0], load(nest.data[1], from, at[1]));
    }
  });
}

__global__ void fill_kernel(Nest<1> nest, float value, int32_t integer) {
  for_each(nest, [&](const int64_t(&at)[1]) {
    if (nest.dtype[0] == MONOSEM_INT32) {
      static_cast<int32_t*>(nest.data[0])[at[0]] = integer;
    } else {
      store(nest.data[0], nest.dtype[0], at[0], value);
    }
  });
}

}  // namespace

void copy(Device& device, const View* dst, const View* src) {
  const Nest<2> nest = nest_of<2>({dst, src});
  const bool even =
      nest.rank == 0 || (nest.rank == 1 && nest.stride[0][0] == 1 && nest.stride[1][0] == 1);
  if (even && dst->dtype == src->dtype) {
    check(cudaMemcpyAsync(dst->data, src->data, nest.count * element_size(dst->dtype),
                          cudaMemcpyDeviceToDevice, device.stream()),
          "a copy");
    return;
  }
  launch(device.stream(), grid_for(device, nest), copy_kernel, nest);
}

void fill(Device& device, const View* dst, double value) {
  const Nest<1> nest = nest_of<1>({dst});
  launch(device.stream(), grid_for(device, nest), fill_kernel, nest, static_cast<float>(value),
         dst->dtype == MONOSEM_INT32 ? static_cast<int32_t>(value) : 0);
}

}  // namespace monosem::cuda
