#pragma once

// The files that weights are published in. Each function checks everything a file says
// about itself before it is believed: lengths, offsets, overlaps, shapes, element types, names.
// Errors: ERR_NOT_FOUND, ERR_FORMAT (the file is broken), ERR_DTYPE (an element type we do not
// read), ERR_UNSAFE_PICKLE (a pickle that would run code), ERR_UNSUPPORTED (a sound file of a kind
// we do not read).

#include <memory>

#include "io/mapped_file.h"
#include "io/tensor_file.h"

namespace monosem::io {

using FilePointer = std::shared_ptr<const MappedFile>;

std::shared_ptr<const TensorFile> open_safetensors(FilePointer file);
/// NumPy archives: arrays of numbers only. Names are the members' without ".npy".
std::shared_ptr<const TensorFile> open_npz(FilePointer file);
/// PyTorch zip checkpoints whose object is a dictionary: its tensors, under their keys. No pickled
/// code is run, whatever the file asks for.
std::shared_ptr<const TensorFile> open_torch(FilePointer file);

}  // namespace monosem::io
