#pragma once

#include "core/backend.h"

/// The CUDA backend's table over the host emulation (cuda_runtime.h in this folder).
const monosem_backend* monosem_backend_emulated(void);
