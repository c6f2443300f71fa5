#include "cpu/isa.h"

#include <cstdlib>
#include <mutex>
#include <string>
#include <vector>

#include "core/error.h"
#include "cpu/row_kernels.h"

#if defined(__aarch64__) && defined(__linux__)
#include <asm/hwcap.h>
#include <sys/auxv.h>
#endif
#if defined(__x86_64__)
#include <cpuid.h>
#if defined(__linux__)
#include <sys/syscall.h>
#include <unistd.h>
#endif
#endif

namespace monosem::cpu {
namespace {

#if defined(__x86_64__)

uint64_t read_xcr0() {
  uint32_t low, high;
  asm volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  return uint64_t{high} << 32 | low;
}

/// Linux hands out the 8 KB of tile state per thread only to processes that ask (once, for good).
bool request_amx_permission() {
#if defined(__linux__)
  constexpr int kRequestPermission = 0x1023, kTileData = 18;  // arch_prctl(2)
  return syscall(SYS_arch_prctl, kRequestPermission, kTileData) == 0;
#else
  return false;
#endif
}

/// AVX512-BF16 on AMD: Zen 4 issues vdpbf16ps as often as a multiply-add of float32, for twice the
/// work. Sapphire Rapids issues it a quarter as often, and has AMX.
bool multiplies_bfloat16() {
  uint32_t a, b, c, d;
  if (__get_cpuid(0, &a, &b, &c, &d) == 0) return false;
  const bool amd = b == signature_AMD_ebx && d == signature_AMD_edx && c == signature_AMD_ecx;
  return amd && __get_cpuid_count(7, 1, &a, &b, &c, &d) != 0 && (a >> 5 & 1);
}

CpuFeatures detect() {
  CpuFeatures found;
  uint32_t a, b, c, d;
  if (__get_cpuid(1, &a, &b, &c, &d) == 0) return found;
  const bool osxsave = c >> 27 & 1, fma = c >> 12 & 1, f16c = c >> 29 & 1;
  if (!osxsave) return found;
  const uint64_t xcr0 = read_xcr0();
  const bool ymm = (xcr0 & 0x6) == 0x6, zmm = ymm && (xcr0 & 0xe0) == 0xe0;
  const bool tiles = (xcr0 >> 17 & 3) == 3;
  if (__get_cpuid_count(7, 0, &a, &b, &c, &d) == 0) return found;
  found.avx2 = ymm && fma && f16c && (b >> 5 & 1);
  const bool f = b >> 16 & 1, dq = b >> 17 & 1, bw = b >> 30 & 1, vl = b >> 31 & 1;
  found.avx512 = found.avx2 && zmm && f && dq && bw && vl;
  found.avx512_vnni = found.avx512 && (c >> 11 & 1);
  found.avx512_bf16 = found.avx512_vnni && multiplies_bfloat16();
  const bool amx = (d >> 24 & 1) && (d >> 25 & 1);  // tiles, and their int8 products
  found.amx_int8 = found.avx512_vnni && amx && tiles && request_amx_permission();
  found.amx_bf16 = found.amx_int8 && (d >> 22 & 1);
  return found;
}

#else

CpuFeatures detect() {
  CpuFeatures found;
#if defined(__aarch64__)
  found.neon = true;
#if defined(__linux__)
  found.neon_dot = getauxval(AT_HWCAP) & HWCAP_ASIMDDP;
#endif
#endif
  return found;
}

#endif

struct Choice {
  const char* name;
  const Microkernels* kernels;
  const RowKernels* rows;
};

const std::vector<Choice>& choices() {
  static const std::vector<Choice> list = [] {
    std::vector<Choice> runs{{"scalar", microkernels_scalar(), row_kernels_scalar()}};
    const CpuFeatures& features = cpu_features();
    if (features.avx2) runs.push_back({"avx2", microkernels_avx2(), row_kernels_avx2()});
    if (features.avx512)
      runs.push_back({"avx512",
                      features.avx512_bf16   ? microkernels_avx512_bf16()
                      : features.avx512_vnni ? microkernels_avx512_vnni()
                                             : microkernels_avx512(),
                      row_kernels_avx512()});
    if (features.amx_int8) runs.push_back({"amx", microkernels_amx(), row_kernels_avx512()});
    if (features.neon)
      runs.push_back({"neon", features.neon_dot ? microkernels_neon_dot() : microkernels_neon(),
                      row_kernels_neon()});
    return runs;
  }();
  return list;
}

const Choice& find(std::string_view name) {
  for (const Choice& choice : choices())
    if (choice.name == name) return choice;
  std::string text = "MONOSEM_ISA is '";
  text.append(name).append("', but this processor runs one of: ").append(available_isas());
  throw Error(kInvalidArgument, text);
}

const Choice*& current() {
  static const Choice* choice = [] {
    const char* name = std::getenv("MONOSEM_ISA");
    return name != nullptr && *name != '\0' ? &find(name) : &choices().back();
  }();
  return choice;
}

}  // namespace

const CpuFeatures& cpu_features() {
  static const CpuFeatures features = detect();
  return features;
}

const Microkernels& microkernels() { return *current()->kernels; }

const RowKernels& row_kernels() { return *current()->rows; }

const char* isa_name() { return current()->name; }

void set_isa(std::string_view name) { current() = &find(name); }

const char* available_isas() {
  static const std::string names = [] {
    std::string text;
    for (const Choice& choice : choices()) {
      if (!text.empty()) text += ' ';
      text += choice.name;
    }
    return text;
  }();
  return names.c_str();
}

}  // namespace monosem::cpu
