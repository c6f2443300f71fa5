#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace monosem::io {

/// The CRC-32 of zip and gzip (polynomial 0xEDB88320). `so_far` continues one: pass the last
/// result.
uint32_t crc32(std::span<const std::byte> bytes, uint32_t so_far = 0);

}  // namespace monosem::io
