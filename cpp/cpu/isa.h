#pragma once

#include <string_view>

#include "cpu/microkernels.h"

namespace monosem::cpu {

/// What the running processor and its kernel allow us to use.
struct CpuFeatures {
  bool avx2 = false;    // AVX2, FMA and F16C
  bool avx512 = false;  // F, BW, DQ, VL
  bool avx512_vnni = false;
  bool avx512_bf16 = false;  // and it is faster than float32
  bool amx_int8 = false;     // with the kernel's permission to use the tiles
  bool amx_bf16 = false;
  bool neon = false;
  bool neon_dot = false;
};
const CpuFeatures& cpu_features();

/// The kernels in use: the widest instruction set that runs here, or the one MONOSEM_ISA names
/// (scalar, avx2, avx512, amx, neon). Throws ERR_INVALID_ARGUMENT for a name that is unknown or
/// cannot run here. `amx` are the avx512 kernels with the screen and products of bfloat16 on tiles.
const Microkernels& microkernels();
/// The name in use, as MONOSEM_ISA spells it.
const char* isa_name();

/// Switches kernels, for tests and benchmarks; no operation may be running.
void set_isa(std::string_view name);
/// Space-separated names that run here, narrowest first.
const char* available_isas();

}  // namespace monosem::cpu
