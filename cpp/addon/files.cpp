#include <array>

#include "addon/background.h"
#include "addon/handles.h"
#include "io/open.h"
#include "io/safetensors_writer.h"

namespace monosem::addon {

using FilePointer = std::shared_ptr<const io::TensorFile>;
using FileHandle = Handle<FilePointer>;

template <>
const char* const FileHandle::kName = "an opened weights file";
template <>
Napi::FunctionReference Environment::* const FileHandle::kConstructor = &Environment::tensor_file;
template <>
std::unordered_set<const void*> Environment::* const FileHandle::kLive = &Environment::tensor_files;
template <>
int64_t FileHandle::external_bytes(const FilePointer&) {
  return 0;  // a mapping is no memory of ours
}

namespace {

using io::ElementType;

struct Correspondence {
  monosem_dtype dtype;
  ElementType type;
};
constexpr std::array<Correspondence, 4> kTypes{{{MONOSEM_FLOAT32, ElementType::kFloat32},
                                                {MONOSEM_FLOAT16, ElementType::kFloat16},
                                                {MONOSEM_BFLOAT16, ElementType::kBFloat16},
                                                {MONOSEM_INT32, ElementType::kInt32}}};

ElementType element_type(monosem_dtype dtype) {
  for (const Correspondence& pair : kTypes) {
    if (pair.dtype == dtype) return pair.type;
  }
  throw Error(kInternal, "a dtype without an element type");
}

/// What a tensor becomes when nobody asks for a dtype: float64 float32, other integers int32.
monosem_dtype natural_dtype(ElementType type) {
  for (const Correspondence& pair : kTypes) {
    if (pair.type == type) return pair.dtype;
  }
  return type == ElementType::kFloat64 ? MONOSEM_FLOAT32 : MONOSEM_INT32;
}

Napi::Value open_js(const Napi::CallbackInfo& info) {
  const std::string kind = string(info[1]);
  auto mapped = io::MappedFile::open(string(info[0]));
  FilePointer file;
  if (kind == "safetensors") {
    file = io::open_safetensors(std::move(mapped));
  } else if (kind == "npz") {
    file = io::open_npz(std::move(mapped));
  } else if (kind == "torch") {
    file = io::open_torch(std::move(mapped));
  } else {
    throw Error(kInvalidArgument, "expected safetensors, npz or torch, got " + kind);
  }
  return FileHandle::wrap(info.Env(), std::move(file));
}

Napi::Value tensors_of(Napi::Env env, FilePointer& file) {
  Napi::Array out = Napi::Array::New(env, file->tensors.size());
  uint32_t i = 0;
  for (const io::StoredTensor& tensor : file->tensors) {
    Napi::Object entry = Napi::Object::New(env);
    entry["name"] = Napi::String::New(env, tensor.name);
    entry["dtype"] = Napi::String::New(env, io::element_name(tensor.type));
    entry["shape"] = js_shape(env, tensor.shape);
    out[i++] = entry;
  }
  return out;
}

Napi::Value metadata_of(Napi::Env env, FilePointer& file) {
  Napi::Array out = Napi::Array::New(env, file->metadata.size());
  uint32_t i = 0;
  for (const auto& [key, value] : file->metadata) {
    Napi::Array entry = Napi::Array::New(env, 2);
    entry[0u] = Napi::String::New(env, key);
    entry[1u] = Napi::String::New(env, value);
    out[i++] = entry;
  }
  return out;
}

/// The tensor in host memory: a private mapping of the file where it lies there as it is wanted, or
/// (`resident`) memory of ours, which has huge pages.
Tensor load(const io::TensorFile& file, const io::StoredTensor& stored, monosem_dtype dtype,
            bool resident) {
  Device& cpu = Device::get("cpu");
  const ElementType type = element_type(dtype);
  const Shape shape(stored.shape.begin(), stored.shape.end());
  if (!resident && stored.type == type && io::can_alias(stored) && stored.elements() > 0) {
    const auto bytes = static_cast<size_t>(stored.elements()) * io::element_size(type);
    auto mapping = io::alias(file, stored);
    void* data = mapping.get();
    auto buffer = std::make_shared<Buffer>(cpu, data, bytes, std::move(mapping));
    const std::vector<int64_t> stride = io::contiguous_strides(stored.shape);
    return Tensor(std::move(buffer), dtype, shape, Shape(stride.begin(), stride.end()), 0);
  }
  Tensor out = Tensor::empty(cpu, dtype, shape);
  io::read(file, stored, type, static_cast<std::byte*>(out.data()));
  return out;
}

Napi::Value load_js(const Napi::CallbackInfo& info) {
  const FilePointer file = FileHandle::of(info[0]);
  const std::string name = string(info[1]);
  const io::StoredTensor* found = file->find(name);
  if (found == nullptr) {
    throw Error(kNotFound, file->file->path() + " holds no tensor " + name);
  }
  const monosem_dtype dtype =
      info[2].IsNull() ? natural_dtype(found->type) : dtype_of(string(info[2]));
  Device& device = Device::get(string(info[3]));
  io::StoredTensor stored = *found;
  if (info[4].ToBoolean()) {
    if (stored.shape.size() != 2) {
      throw Error(kShape, name + " of " + file->file->path() + " is to be transposed, and has " +
                              std::to_string(stored.shape.size()) + " dimensions");
    }
    stored = stored.transposed(0, 1);
  }
  const bool resident = info[5].ToBoolean();
  return Background::run(info.Env(),
                         [file, stored = std::move(stored), dtype, resident, &device]() {
                           const Tensor host = load(*file, stored, dtype, resident);
                           const bool here = device.name() == "cpu";
                           const Tensor placed = here ? host : to(host, dtype, device);
                           return [placed](Napi::Env env) { return js(env, placed); };
                         });
}

Napi::Value write_js(const Napi::CallbackInfo& info) {
  const auto names = info[1].As<Napi::Array>(), tensors = info[2].As<Napi::Array>();
  std::vector<io::TensorToWrite> out;
  for (uint32_t i = 0; i < names.Length(); ++i) {
    const Tensor t = tensor(tensors.Get(i));
    out.push_back({string(names.Get(i)),
                   element_type(t.dtype()),
                   {t.shape().begin(), t.shape().end()},
                   [t](std::vector<std::byte>& host) {
                     host.resize(static_cast<size_t>(t.count()) * element_size(t.dtype()));
                     read(t, host.data());
                     t.device().stream().wait();
                   }});
  }
  return Background::run(info.Env(), [path = string(info[0]), out = std::move(out)]() {
    io::write_safetensors(path, out);
    return [](Napi::Env env) { return env.Undefined(); };
  });
}

constexpr Export kExports[] = {
    {"openTensorFile", open_js}, {"loadTensor", load_js}, {"writeSafetensors", write_js}};

}  // namespace

void define_files(Napi::Env env, Napi::Object exports) {
  FileHandle::define(
      env, "NativeTensorFile",
      {FileHandle::property<tensors_of>("tensors"), FileHandle::property<metadata_of>("metadata")});
  add(env, exports, kExports);
}

}  // namespace monosem::addon
