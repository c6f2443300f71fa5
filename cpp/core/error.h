#pragma once

#include <stdexcept>
#include <string>
#include <utility>

namespace monosem {

/// Every failure of the native code. `code` is one of the contract's ErrorCode strings; the message
/// says what was expected, what was given, and what to do.
class Error : public std::runtime_error {
 public:
  Error(const char* code, const std::string& message) : std::runtime_error(message), code_(code) {}
  const char* code() const noexcept { return code_; }

 private:
  const char* code_;
};

inline constexpr const char* kShape = "ERR_SHAPE";
inline constexpr const char* kDtype = "ERR_DTYPE";
inline constexpr const char* kDevice = "ERR_DEVICE";
inline constexpr const char* kDisposed = "ERR_DISPOSED";
inline constexpr const char* kOutOfMemory = "ERR_OUT_OF_MEMORY";
inline constexpr const char* kAborted = "ERR_ABORTED";
inline constexpr const char* kNotFound = "ERR_NOT_FOUND";
inline constexpr const char* kFormat = "ERR_FORMAT";
inline constexpr const char* kUnsafePickle = "ERR_UNSAFE_PICKLE";
inline constexpr const char* kUnsupported = "ERR_UNSUPPORTED";
inline constexpr const char* kInvalidArgument = "ERR_INVALID_ARGUMENT";
inline constexpr const char* kInternal = "ERR_INTERNAL";

}  // namespace monosem
