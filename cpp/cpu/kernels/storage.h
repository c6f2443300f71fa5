#pragma once

// The three float dtypes as types, so that a kernel's loads are chosen by overload.

#include <cstdint>

#include "core/backend.h"
#include "core/half.h"

namespace monosem::cpu {

struct Float16 {
  uint16_t bits;
};
struct BFloat16 {
  uint16_t bits;
};

inline float value_of(float value) { return value; }
inline float value_of(Float16 value) { return from_float16(value.bits); }
inline float value_of(BFloat16 value) { return from_bfloat16(value.bits); }

template <class Use>
inline auto with_type(const void* data, int32_t dtype, const Use& use) {
  if (dtype == MONOSEM_FLOAT16) return use(static_cast<const Float16*>(data));
  if (dtype == MONOSEM_BFLOAT16) return use(static_cast<const BFloat16*>(data));
  return use(static_cast<const float*>(data));
}

inline int64_t bytes_of(int32_t dtype) {
  return dtype == MONOSEM_FLOAT16 || dtype == MONOSEM_BFLOAT16 ? 2 : 4;
}

}  // namespace monosem::cpu
