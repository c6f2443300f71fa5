// The avx512 kernels with the screen's products and those of bfloat16 on AMX tiles. Chosen only
// where cpuid names AMX-INT8 and the kernel has granted the tiles.

#include "cpu/isa.h"
#include "cpu/kernels/amx_bf16_tile.h"
#include "cpu/kernels/amx_tile.h"
#include "cpu/microkernels.h"

#if defined(__x86_64__)

namespace monosem::cpu {
namespace {

/// The operand of ldtilecfg: palette 1, and per tile its bytes per row and its rows.
struct alignas(64) TileConfig {
  uint8_t palette = 1;
  uint8_t start_row = 0;
  uint8_t reserved[14] = {};
  uint16_t row_bytes[16] = {64, 64, 64, 64, 64, 64, 64, 64};
  uint8_t rows[16] = {16, 16, 16, 16, 16, 16, 16, 16};
};

/// The hardware's tiles, released before the thread does anything else: live ones would be saved
/// with every switch of threads. By assembler: GCC 12's intrinsics declare too little of the memory
/// they read, so that stores to the configuration can be optimised away.
class HardwareTiles {
 public:
  HardwareTiles() {
    static constexpr TileConfig config;
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
  [[gnu::target("avx512f")]] static void add_scaled(const int32_t* sums, const int32_t* bias,
                                                    const float* w_scale, float x_scale, float* c) {
    add_scaled_sums(sums, bias, w_scale, x_scale, c);
  }
};

class BFloat16HardwareTiles : public HardwareTiles {
 public:
  template <int kSum, int kA, int kB>
  void multiply() {
    asm volatile("tdpbf16ps %%tmm%c2, %%tmm%c1, %%tmm%c0" ::"i"(kSum), "i"(kA), "i"(kB));
  }
};

}  // namespace

const Microkernels* microkernels_amx() {
  static const Microkernels table = [] {
    Microkernels made = *microkernels_avx512();
    made.isa = "amx";
    made.digit_bits = 8;
    made.digit_rows = kAmxRows;
    made.most_kept = 8;
    made.digits_in_tiles = true;
    made.digit_tile = amx_digit_tile<HardwareTiles>;
    if (cpu_features().amx_bf16)
      made.bfloat16 = {kAmxRows, kAmxColumns, kAmxMostPairs, true,
                       amx_bfloat16_tile<BFloat16HardwareTiles>};
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
