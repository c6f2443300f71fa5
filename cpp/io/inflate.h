#pragma once

// Decompression of raw deflate streams (RFC 1951), for the members of .npz files. Node exports no
// zlib to addons, and this needs nothing but a 64 KiB window.

#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>

namespace monosem::io {

/// No deflate stream grows by more than this factor (a match of 258 bytes in two bits).
constexpr uint64_t kMaximumInflation = 1032;

/// Receives the output in order; false stops the inflation early.
using InflateSink = std::function<bool(std::span<const std::byte>)>;

/// Inflates `input`, at most `maximum` bytes. Throws ERR_FORMAT on a broken stream and on one that
/// yields more. Returns the number of bytes yielded.
uint64_t inflate(std::span<const std::byte> input, uint64_t maximum, const InflateSink& sink);

}  // namespace monosem::io
