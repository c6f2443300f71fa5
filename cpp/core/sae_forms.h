#pragma once

#include "core/backend.h"

namespace monosem {

/// Of all of a plan's prepared forms together.
inline uint64_t total_bytes(const monosem_sae_forms& forms) {
  return forms.float32_panels + forms.screen + forms.rows + forms.float16_planes;
}

}  // namespace monosem
