// The avx512 kernels with the screen's products on AMX tiles. Chosen only where cpuid names
// AMX-INT8 and the kernel has granted the tiles.

#include "cpu/kernels/amx_tile.h"
#include "cpu/microkernels.h"

#if defined(__x86_64__)

namespace monosem::cpu {
namespace {

/// The hardware's tiles. By assembler: GCC 12's intrinsics declare too little of the memory they
/// read, so that stores to the configuration can be optimised away.
class HardwareTiles {
 public:
  explicit HardwareTiles(const TileConfig& config) {
    asm volatile("ldtilecfg %0" ::"m"(config) : "memory");
  }
  ~HardwareTiles() { asm volatile("tilerelease" ::: "memory"); }
  HardwareTiles(const HardwareTiles&) = delete;
  HardwareTiles& operator=(const HardwareTiles&) = delete;

  template <int kTile>
  void zero() {
    asm volatile("tilezero %%tmm%c0" ::"i"(kTile));
  }
  template <int kTile>
  void load(const void* from, int64_t stride) {
    asm volatile("tileloadd (%0,%1,1), %%tmm%c2" ::"r"(from), "r"(stride), "i"(kTile) : "memory");
  }
  template <int kTile>
  void store(void* to, int64_t stride) const {
    asm volatile("tilestored %%tmm%c2, (%0,%1,1)" ::"r"(to), "r"(stride), "i"(kTile) : "memory");
  }
  template <int kSum, int kX, int kW>
  void multiply() {
    asm volatile("tdpbusd %%tmm%c2, %%tmm%c1, %%tmm%c0" ::"i"(kSum), "i"(kX), "i"(kW));
  }
  [[gnu::target("avx512f")]] static void add_scaled(int64_t rows, const int32_t* sums,
                                                    const DigitScales& scales, float* c,
                                                    int64_t c_stride) {
    add_scaled_sums(rows, sums, scales, c, c_stride);
  }
};

}  // namespace

const Microkernels* microkernels_amx() {
  static const Microkernels table = [] {
    Microkernels made = *microkernels_avx512();
    made.isa = "amx";
    made.digit_bits = 8;
    made.digit_rows = kAmxRows;
    made.digits_by_row = true;
    made.digit_tile = amx_digit_tile<HardwareTiles>;
    return made;
  }();
  return &table;
}

}  // namespace monosem::cpu

#else

namespace monosem::cpu {
const Microkernels* microkernels_amx() { return nullptr; }
}  // namespace monosem::cpu

#endif
