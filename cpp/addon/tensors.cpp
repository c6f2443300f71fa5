#include <cstring>

#include "addon/handles.h"

namespace monosem::addon {

namespace {

Napi::Value shape_of(Napi::Env env, Tensor& t) { return js_shape(env, t.shape()); }
Napi::Value dtype_of_tensor(Napi::Env env, Tensor& t) {
  return Napi::String::New(env, dtype_name(t.dtype()));
}
Napi::Value device_of(Napi::Env env, Tensor& t) {
  return Napi::String::New(env, t.device().name());
}
Napi::Value writes_of(Napi::Env env, Tensor& t) {
  return Napi::Number::New(env, static_cast<double>(t.buffer()->writes()));
}

// ---- making

struct HostBytes {
  const void* data;
  size_t bytes;
};

// The pointer comes from the view itself: asking for its ArrayBuffer throws on a shared one.
HostBytes host_bytes(const Napi::Value& js) {
  if (!js.IsTypedArray()) throw Error(kInvalidArgument, "expected a typed array");
  napi_typedarray_type type;
  size_t length = 0, offset = 0;
  void* data = nullptr;
  napi_value buffer;
  if (napi_get_typedarray_info(js.Env(), js, &type, &length, &data, &buffer, &offset) != napi_ok) {
    throw Error(kInvalidArgument,
                "the typed array cannot be read; was its buffer transferred away?");
  }
  return {data, length * js.As<Napi::TypedArray>().ElementSize()};
}

Napi::Value from_host_js(const Napi::CallbackInfo& info) {
  const HostBytes host = host_bytes(info[0]);
  const std::string source = string(info[1]);
  const Shape shape = integers(info[2]);
  size_t element = 8;
  if (source != "float64" && source != "int64") element = element_size(dtype_of(source));
  int64_t count = 1;
  for (int64_t length : shape) {
    if (length < 0 || __builtin_mul_overflow(count, length, &count)) {
      throw Error(kShape, "expected lengths of 0 or more, got " + text(shape));
    }
  }
  if (static_cast<size_t>(count) != host.bytes / element || host.bytes % element != 0) {
    throw Error(kShape, "shape " + text(shape) + " needs " + std::to_string(count) +
                            " elements, the array has " + std::to_string(host.bytes / element) +
                            (host.bytes == 0 && count > 0
                                 ? " (a detached array has none: was its buffer transferred away?)"
                                 : ""));
  }
  return js(info.Env(), from_host(Device::get(string(info[4])), host.data, source, shape,
                                  dtype_of(string(info[3]))));
}

Napi::Value full_js(const Napi::CallbackInfo& info) {
  return js(info.Env(), full(Device::get(string(info[3])), integers(info[0]), number(info[1]),
                             dtype_of(string(info[2]))));
}

Napi::Value randn_js(const Napi::CallbackInfo& info) {
  return js(info.Env(), randn(Device::get(string(info[3])), integers(info[0]),
                              static_cast<uint64_t>(integer(info[1])), dtype_of(string(info[2]))));
}

// ---- reading

Napi::Value typed_array(Napi::Env env, monosem_dtype dtype, const std::vector<std::byte>& bytes) {
  Napi::ArrayBuffer buffer = Napi::ArrayBuffer::New(env, bytes.size());
  if (!bytes.empty()) std::memcpy(buffer.Data(), bytes.data(), bytes.size());
  const size_t length = bytes.size() / element_size(dtype);
  if (dtype == MONOSEM_FLOAT32) return Napi::Float32Array::New(env, length, buffer, 0);
  if (dtype == MONOSEM_INT32) return Napi::Int32Array::New(env, length, buffer, 0);
  return Napi::Uint16Array::New(env, length, buffer, 0);
}

std::shared_ptr<std::vector<std::byte>> host_room(const Tensor& t) {
  return std::make_shared<std::vector<std::byte>>(static_cast<size_t>(t.count()) *
                                                  element_size(t.dtype()));
}

Napi::Value read_js(const Napi::CallbackInfo& info) {
  const Tensor t = tensor(info[0]);
  return Environment::of(info.Env()).promises.start(info.Env(), [&](Promises::Settle settle) {
    auto host = host_room(t);
    read(t, host->data());
    t.device().stream().notify(
        [host, dtype = t.dtype(), settle = std::move(settle)](const std::optional<Error>& failure) {
          settle(failure, [host, dtype](Napi::Env env) { return typed_array(env, dtype, *host); });
        });
  });
}

Napi::Value read_sync(const Napi::CallbackInfo& info) {
  const Tensor t = tensor(info[0]);
  const auto host = host_room(t);
  read(t, host->data());
  t.device().stream().wait();
  return typed_array(info.Env(), t.dtype(), *host);
}

// ---- views and copies

Napi::Value slice_js(const Napi::CallbackInfo& info) {
  const auto flags = info[3].As<Napi::Array>();
  std::vector<bool> drop;
  for (uint32_t i = 0; i < flags.Length(); ++i) drop.push_back(flags.Get(i).ToBoolean());
  return js(info.Env(), tensor(info[0]).slice(integers(info[1]), integers(info[2]), drop));
}

Napi::Value reshape_js(const Napi::CallbackInfo& info) {
  return js(info.Env(), reshape(tensor(info[0]), integers(info[1])));
}

Napi::Value transpose_js(const Napi::CallbackInfo& info) {
  return js(info.Env(), tensor(info[0]).transpose(integer(info[1]), integer(info[2])));
}

Napi::Value alias_js(const Napi::CallbackInfo& info) { return js(info.Env(), tensor(info[0])); }

Napi::Value to_js_function(const Napi::CallbackInfo& info) {
  return js(info.Env(),
            to(tensor(info[0]), dtype_of(string(info[1])), Device::get(string(info[2]))));
}

// ---- arithmetic

// A number as an operand: one element that broadcasts. Integers stay integers beside int32.
Tensor scalar(const Tensor& beside, double value) {
  const bool whole = beside.dtype() == MONOSEM_INT32 && value == static_cast<int32_t>(value);
  const monosem_dtype dtype =
      beside.dtype() == MONOSEM_INT32 && !whole ? MONOSEM_FLOAT32 : beside.dtype();
  // A 16-bit tensor meets the number itself, not its rounding.
  const bool narrow = dtype == MONOSEM_FLOAT16 || dtype == MONOSEM_BFLOAT16;
  return full(beside.device(), {}, value, narrow ? MONOSEM_FLOAT32 : dtype);
}

Napi::Value unary_js(const Napi::CallbackInfo& info) {
  return js(info.Env(), unary(static_cast<int32_t>(integer(info[0])), tensor(info[1]),
                              static_cast<float>(number(info[2]))));
}

Napi::Value binary_js(const Napi::CallbackInfo& info) {
  return js(info.Env(),
            binary(static_cast<int32_t>(integer(info[0])), tensor(info[1]), tensor(info[2])));
}

Napi::Value binary_scalar_js(const Napi::CallbackInfo& info) {
  const Tensor& t = tensor(info[1]);
  const auto op = static_cast<int32_t>(integer(info[0]));
  const Tensor result = binary(op, t, scalar(t, number(info[2])));
  const bool narrow = t.dtype() == MONOSEM_FLOAT16 || t.dtype() == MONOSEM_BFLOAT16;
  const bool compares = op == MONOSEM_GT || op == MONOSEM_LT || op == MONOSEM_EQ;
  return js(info.Env(), narrow && !compares ? to(result, t.dtype(), t.device()) : result);
}

Napi::Value binary_into_js(const Napi::CallbackInfo& info) {
  binary_into(static_cast<int32_t>(integer(info[0])), tensor(info[1]), tensor(info[2]));
  return info.Env().Undefined();
}

Napi::Value binary_scalar_into_js(const Napi::CallbackInfo& info) {
  const Tensor& t = tensor(info[1]);
  binary_into(static_cast<int32_t>(integer(info[0])), t, scalar(t, number(info[2])));
  return info.Env().Undefined();
}

Napi::Value copy_into_js(const Napi::CallbackInfo& info) {
  copy_into(tensor(info[0]), tensor(info[1]));
  return info.Env().Undefined();
}

Napi::Value fill_js(const Napi::CallbackInfo& info) {
  fill(tensor(info[0]), number(info[1]));
  return info.Env().Undefined();
}

Napi::Value reduce_js(const Napi::CallbackInfo& info) {
  std::optional<int64_t> dim;
  if (!info[2].IsNull()) dim = integer(info[2]);
  return js(info.Env(), reduce(static_cast<int32_t>(integer(info[0])), tensor(info[1]), dim));
}

Napi::Value softmax_js(const Napi::CallbackInfo& info) {
  return js(info.Env(), softmax(tensor(info[0]), integer(info[1]), info[2].ToBoolean()));
}

Napi::Value topk_js(const Napi::CallbackInfo& info) {
  const TopK found = topk(tensor(info[0]), integer(info[1]), integer(info[2]));
  return js_tensors(info.Env(), {found.values, found.indices});
}

Napi::Value matmul_js(const Napi::CallbackInfo& info) {
  return js(info.Env(), matmul(tensor(info[0]), tensor(info[1])));
}

Napi::Value gather_rows_js(const Napi::CallbackInfo& info) {
  return js(info.Env(), gather_rows(tensor(info[0]), tensor(info[1])));
}

Napi::Value gather_js(const Napi::CallbackInfo& info) {
  return js(info.Env(), gather(tensor(info[0]), tensor(info[1])));
}

Napi::Value scatter_add_js(const Napi::CallbackInfo& info) {
  scatter_add_into(tensor(info[0]), tensor(info[1]), tensor(info[2]));
  return info.Env().Undefined();
}

constexpr Export kExports[] = {
    {"fromHost", from_host_js},
    {"full", full_js},
    {"randn", randn_js},
    {"read", read_js},
    {"readSync", read_sync},
    {"slice", slice_js},
    {"reshape", reshape_js},
    {"transpose", transpose_js},
    {"alias", alias_js},
    {"to", to_js_function},
    {"unary", unary_js},
    {"binary", binary_js},
    {"binaryScalar", binary_scalar_js},
    {"binaryInto", binary_into_js},
    {"binaryScalarInto", binary_scalar_into_js},
    {"copyInto", copy_into_js},
    {"fill", fill_js},
    {"reduce", reduce_js},
    {"softmax", softmax_js},
    {"topk", topk_js},
    {"matmul", matmul_js},
    {"gatherRows", gather_rows_js},
    {"gather", gather_js},
    {"scatterAddInto", scatter_add_js},
};

}  // namespace

void define_tensors(Napi::Env env, Napi::Object exports) {
  TensorHandle::define(
      env, "NativeTensor",
      {TensorHandle::property<shape_of>("shape"), TensorHandle::property<dtype_of_tensor>("dtype"),
       TensorHandle::property<device_of>("device"), TensorHandle::property<writes_of>("writes")});
  add(env, exports, kExports);
}

}  // namespace monosem::addon
