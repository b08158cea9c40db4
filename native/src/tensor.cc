// Looking at a tensor, and moving data in and out.
#include <ATen/TensorUtils.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/from_blob.h>
#include <ATen/ops/zeros.h>

#include <algorithm>
#include <cstring>
#include <sstream>

#include "environment.h"

namespace nudge {

namespace {

napi_value release(napi_env env, napi_callback_info info) {
  Arguments<2> args(env, info);
  if (type_of(env, args[0]) == napi_number) {
    const double handle = get_double(env, args[0]);
    TensorTable::instance().release(&handle, 1);
    return nullptr;
  }
  napi_typedarray_type type;
  size_t length = 0;
  void* data = nullptr;
  check(napi_get_typedarray_info(env, args[0], &type, &length, &data, nullptr, nullptr));
  const auto count = static_cast<size_t>(get_int64(env, args[1], "count"));
  if (type != napi_float64_array || count > length) fail("BAD_ARGUMENT", "release: expected a Float64Array of handles");
  TensorTable::instance().release(static_cast<const double*>(data), count);
  return nullptr;
}

napi_value transfer(napi_env env, napi_callback_info info) {
  Arguments<2> args(env, info);
  const OwnerId owner = args.flag(1) ? Environment::of(env).owner : kNobody;
  TensorTable::instance().transfer(get_double(env, args[0]), owner);
  return nullptr;
}

napi_value is_live(napi_env env, napi_callback_info info) {
  Arguments<1> args(env, info);
  return make_bool(env, TensorTable::instance().is_live(get_double(env, args[0])));
}

napi_value shape(napi_env env, napi_callback_info info) {
  Arguments<1> args(env, info);
  const at::Tensor tensor = get_tensor(env, args[0]);
  napi_value array = make_array(env, tensor.dim());
  for (int64_t i = 0; i < tensor.dim(); ++i) set_element(env, array, i, make_int64(env, tensor.size(i)));
  return array;
}

napi_value strides(napi_env env, napi_callback_info info) {
  Arguments<1> args(env, info);
  const at::Tensor tensor = get_tensor(env, args[0]);
  napi_value array = make_array(env, tensor.dim());
  for (int64_t i = 0; i < tensor.dim(); ++i) set_element(env, array, i, make_int64(env, tensor.stride(i)));
  return array;
}

napi_value dtype(napi_env env, napi_callback_info info) {
  Arguments<1> args(env, info);
  return make_double(env, static_cast<double>(get_tensor(env, args[0]).scalar_type()));
}

napi_value device(napi_env env, napi_callback_info info) {
  Arguments<1> args(env, info);
  return make_string(env, get_tensor(env, args[0]).device().str());
}

// ownBytes(tensor): the bytes of its storage, or 0 where it shares it: so that views and gradients count memory once.
napi_value own_bytes(napi_env env, napi_callback_info info) {
  Arguments<1> args(env, info);
  const at::Tensor tensor = get_tensor(env, args[0]);
  // The table and this function hold the tensor; whoever else does has counted it.
  const bool shared = !tensor.has_storage() || tensor.storage().use_count() > 1 || tensor.use_count() > 2;
  return make_double(env, shared ? 0 : static_cast<double>(tensor.storage().nbytes()));
}

// The value of a one-element tensor.
napi_value item(napi_env env, napi_callback_info info) {
  Arguments<1> args(env, info);
  const at::Tensor tensor = get_tensor(env, args[0]);
  if (tensor.numel() != 1) {
    fail("SHAPE_MISMATCH", "item() needs a tensor of exactly one element, got " + describe(tensor) + ". Use tolist() or data()");
  }
  const at::Scalar value = tensor.item();
  if (tensor.scalar_type() == at::kUInt64) {
    const uint64_t integer = value.toUInt64();
    if (integer < static_cast<uint64_t>(kMaxSafeInteger)) return make_double(env, static_cast<double>(integer));
    napi_value bigint;
    check(napi_create_bigint_uint64(env, integer, &bigint));
    return bigint;
  }
  if (value.isBoolean()) return make_bool(env, value.toBool());
  if (value.isIntegral(false)) return make_int64(env, value.toLong());
  if (value.isFloatingPoint()) return make_double(env, value.toDouble());
  fail("DTYPE_MISMATCH", "item() of a complex tensor: use torch.viewAsReal(x).tolist()");
}

struct Bytes {
  void* data = nullptr;
  size_t length = 0;
};

Bytes get_bytes(napi_env env, napi_value value) {
  Bytes bytes;
  napi_typedarray_type type;
  check(napi_get_typedarray_info(env, value, &type, &bytes.length, &bytes.data, nullptr, nullptr));
  if (type != napi_uint8_array) fail("BAD_ARGUMENT", "expected a Uint8Array over the data");
  return bytes;
}

std::vector<int64_t> get_shape(napi_env env, napi_value array) {
  uint32_t length = 0;
  check(napi_get_array_length(env, array, &length));
  std::vector<int64_t> sizes(length);
  for (uint32_t i = 0; i < length; ++i) {
    napi_value element;
    check(napi_get_element(env, array, i, &element));
    sizes[i] = get_int64(env, element, "shape");
    if (sizes[i] < 0) fail("SHAPE_MISMATCH", "a shape cannot hold the negative size " + std::to_string(sizes[i]));
  }
  return sizes;
}

// One core copies 14 GB/s where all together copy 30, so large pieces go through libtorch's kernel, which shares them out.
void copy_bytes(void* to, const void* from, size_t count) {
  const auto* source = static_cast<const char*>(from);
  auto* target = static_cast<char*>(to);
  // A mapped tensor's memory can be the target of its own copy, shifted.
  const bool overlap = target < source + count && source < target + count;
  if (overlap || count < (size_t{1} << 19)) {
    if (count > 0) std::memmove(to, from, count);
    return;
  }
  const auto size = static_cast<int64_t>(count);
  at::from_blob(to, {size}, at::kByte).copy_(at::from_blob(const_cast<void*>(from), {size}, at::kByte));
}

// fromBytes(bytes: Uint8Array, shape, dtype): copies. The garbage collector may move or free JavaScript's memory; ours stays.
napi_value from_bytes(napi_env env, napi_callback_info info) {
  Arguments<3> args(env, info);
  const Bytes bytes = get_bytes(env, args[0]);
  const auto type = static_cast<at::ScalarType>(get_int64(env, args[2], "dtype"));
  const std::vector<int64_t> sizes = get_shape(env, args[1]);
  // Compared before memory is spent: a shape may come from a hostile file. In floating point, so that nothing overflows.
  double needed = static_cast<double>(c10::elementSize(type));
  double largest = needed;  // with every 0 as a 1: libtorch's strides must not overflow either
  for (const int64_t size : sizes) {
    needed *= static_cast<double>(size);
    largest *= static_cast<double>(std::max<int64_t>(size, 1));
  }
  if (needed != static_cast<double>(bytes.length) || largest > kMaxSafeInteger) {
    std::ostringstream text;
    text << "the data holds " << bytes.length << " bytes, but " << c10::getDtypeNames(type).first << " " << at::IntArrayRef(sizes)
         << " takes " << needed;
    fail("SHAPE_MISMATCH", text.str());
  }
  at::Tensor tensor = at::empty(sizes, at::TensorOptions().dtype(type).device(at::kCPU));
  copy_bytes(tensor.mutable_data_ptr(), bytes.data, bytes.length);
  return make_tensor(env, std::move(tensor));
}

at::Tensor plain(const at::Tensor& tensor) {
  // A gradient known to be zero may have no memory at all.
  if (tensor._is_zerotensor()) return at::zeros(tensor.sizes(), tensor.options().device(at::kCPU));
  return tensor.detach().resolve_conj().resolve_neg().cpu().contiguous();
}

// toBytes(tensor, into: Uint8Array): copies the elements in row-major order, from any device and layout.
napi_value to_bytes(napi_env env, napi_callback_info info) {
  Arguments<2> args(env, info);
  const at::Tensor tensor = plain(get_tensor(env, args[0]));
  const Bytes bytes = get_bytes(env, args[1]);
  if (tensor.nbytes() != bytes.length) fail("BAD_ARGUMENT", "the buffer for the bytes has the wrong size");
  copy_bytes(bytes.data, tensor.const_data_ptr(), bytes.length);
  return nullptr;
}

void release_mapping(napi_env, void*, void* hint) { delete static_cast<at::Tensor*>(hint); }

// map(tensor): an ArrayBuffer over the tensor's own memory, which it keeps alive.
napi_value map(napi_env env, napi_callback_info info) {
  Arguments<1> args(env, info);
  const at::Tensor tensor = get_tensor(env, args[0]);
  if (!tensor.is_cpu() || !tensor.is_contiguous() || tensor.is_conj() || tensor.is_neg() || tensor._is_zerotensor()) {
    fail("BAD_ARGUMENT", "only a contiguous tensor on the CPU can be mapped, got " + describe(tensor) +
                             (tensor.is_contiguous() ? "" : " (not contiguous)") + ". Use x.cpu().contiguous()");
  }
  napi_value buffer;
  if (tensor.nbytes() == 0) {
    void* unused = nullptr;
    check(napi_create_arraybuffer(env, 0, &unused, &buffer));
    return buffer;
  }
  // resize_() would free the memory under the mapping.
  tensor.storage().unsafeGetStorageImpl()->set_resizable(false);
  auto* keeper = new at::Tensor(tensor.detach());
  const napi_status status =
      napi_create_external_arraybuffer(env, tensor.mutable_data_ptr(), tensor.nbytes(), release_mapping, keeper, &buffer);
  if (status != napi_ok) delete keeper;
  check(status);
  return buffer;
}

napi_value memory(napi_env env, napi_callback_info info) {
  const TableStatistics statistics = TensorTable::instance().statistics();
  napi_value object;
  check(napi_create_object(env, &object));
  set_property(env, object, "tensors", make_double(env, static_cast<double>(statistics.tensors)));
  set_property(env, object, "bytes", make_double(env, static_cast<double>(statistics.bytes)));
  return object;
}

// adjustExternalMemory(bytes): tells the garbage collector what hangs on the objects that it sees.
napi_value adjust_external_memory(napi_env env, napi_callback_info info) {
  Arguments<1> args(env, info);
  int64_t total = 0;
  check(napi_adjust_external_memory(env, get_int64(env, args[0], "bytes"), &total));
  return nullptr;
}

}  // namespace

void define_tensor(napi_env env, napi_value exports) {
  define<release>(env, exports, "release");
  define<transfer>(env, exports, "transfer");
  define<is_live>(env, exports, "isLive");
  define<shape>(env, exports, "shape");
  define<strides>(env, exports, "strides");
  define<dtype>(env, exports, "dtype");
  define<device>(env, exports, "device");
  define<own_bytes>(env, exports, "ownBytes");
  define<item>(env, exports, "item");
  define<from_bytes>(env, exports, "fromBytes");
  define<to_bytes>(env, exports, "toBytes");
  define<map>(env, exports, "map");
  define<memory>(env, exports, "memory");
  define<adjust_external_memory>(env, exports, "adjustExternalMemory");
}

}  // namespace nudge
