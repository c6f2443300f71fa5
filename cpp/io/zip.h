#pragma once

// The directory of a zip archive, which .npz files and PyTorch checkpoints are. Members are never
// written anywhere by their names; they are byte ranges of the archive, checked to lie in it.

#include <memory>
#include <string>
#include <vector>

#include "io/mapped_file.h"
#include "io/tensor_file.h"

namespace monosem::io {

struct ZipMember {
  std::string name;
  Extent extent;
};

/// Every member, in the directory's order. Throws ERR_FORMAT when this is no zip archive, when two
/// members overlap or share a name, or when the directory and the members' own headers disagree;
/// ERR_UNSUPPORTED for encryption and for methods other than stored and deflated.
std::vector<ZipMember> read_zip_directory(const MappedFile& file);

}  // namespace monosem::io
