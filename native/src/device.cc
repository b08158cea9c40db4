// Threads, devices and what this libtorch was built with.
#include <ATen/Context.h>
#include <ATen/DeviceAccelerator.h>
#include <ATen/Parallel.h>
#include <ATen/Version.h>
#include <c10/core/CachingDeviceAllocator.h>
#include <torch/headeronly/version.h>

#if !defined(_WIN32)
#include <dlfcn.h>
#endif

#include "allocator.h"
#include "environment.h"

namespace nudge {

namespace {

napi_value get_num_threads(napi_env env, napi_callback_info info) { return make_double(env, at::get_num_threads()); }

// Each thread has an OpenMP team of its own; this sets the calling thread's.
napi_value set_num_threads(napi_env env, napi_callback_info info) {
  Arguments<1> args(env, info);
  const int64_t threads = get_int64(env, args[0], "threads");
  if (threads < 1 || threads > 4096) fail("BAD_ARGUMENT", "the number of threads must be from 1 to 4096, got " + std::to_string(threads));
  at::set_num_threads(static_cast<int>(threads));
  return nullptr;
}

// loadLibrary(path): opens a backend (libtorch_cuda) so that it registers itself; its silent absence is the classic "no CUDA".
napi_value load_library(napi_env env, napi_callback_info info) {
  Arguments<1> args(env, info);
  const std::string path = get_string(env, args[0]);
  if (dlopen(path.c_str(), RTLD_NOW | RTLD_GLOBAL) == nullptr) {
    const char* reason = dlerror();
    fail("ENGINE_LOAD_FAILED", path + ": " + (reason == nullptr ? "dlopen failed" : reason));
  }
  return nullptr;
}

bool has_accelerator() { return at::accelerator::getAccelerator(false).has_value() && at::accelerator::deviceCount() > 0; }

napi_value devices(napi_env env, napi_callback_info info) {
  std::vector<std::string> names = {"cpu"};
  if (has_accelerator()) {
    const c10::DeviceType type = *at::accelerator::getAccelerator(false);
    for (int i = 0; i < at::accelerator::deviceCount(); ++i) {
      names.push_back(type == at::kMPS ? "mps" : c10::Device(type, static_cast<c10::DeviceIndex>(i)).str());
    }
  }
  napi_value array = make_array(env, names.size());
  for (size_t i = 0; i < names.size(); ++i) set_element(env, array, i, make_string(env, names[i]));
  return array;
}

// The index of an accelerator device; -1 for the CPU, which has no queue to wait for.
c10::DeviceIndex accelerator_index(napi_env env, napi_value name) {
  const c10::Device device = parse_device(get_string(env, name));
  if (device.is_cpu()) return -1;
  if (!has_accelerator() || *at::accelerator::getAccelerator(false) != device.type()) {
    fail("BAD_ARGUMENT", "device '" + device.str() + "' is not available here: see torch.devices()");
  }
  if (device.index() >= at::accelerator::deviceCount()) fail("BAD_ARGUMENT", "there is no device '" + device.str() + "'");
  return device.index() >= 0 ? device.index() : at::accelerator::getDeviceIndex();
}

napi_value synchronize(napi_env env, napi_callback_info info) {
  Arguments<1> args(env, info);
  const c10::DeviceIndex index = accelerator_index(env, args[0]);
  if (index >= 0) at::accelerator::synchronizeDevice(index);
  return nullptr;
}

napi_value set_device(napi_env env, napi_callback_info info) {
  Arguments<1> args(env, info);
  const c10::DeviceIndex index = accelerator_index(env, args[0]);
  if (index >= 0) at::accelerator::setDeviceIndex(index);
  return nullptr;
}

napi_value device_memory(napi_env env, napi_callback_info info) {
  Arguments<1> args(env, info);
  const c10::DeviceIndex index = accelerator_index(env, args[0]);
  if (index < 0) return make_null(env);
  const auto stats = at::accelerator::getDeviceStats(index);
  constexpr auto total = static_cast<size_t>(c10::CachingAllocator::StatType::AGGREGATE);
  napi_value object;
  check(napi_create_object(env, &object));
  set_property(env, object, "allocated", make_double(env, static_cast<double>(stats.allocated_bytes[total].current)));
  set_property(env, object, "peakAllocated", make_double(env, static_cast<double>(stats.allocated_bytes[total].peak)));
  set_property(env, object, "reserved", make_double(env, static_cast<double>(stats.reserved_bytes[total].current)));
  return object;
}

napi_value reset_peak_memory(napi_env env, napi_callback_info info) {
  Arguments<1> args(env, info);
  const c10::DeviceIndex index = accelerator_index(env, args[0]);
  if (index >= 0) at::accelerator::resetPeakStats(index);
  return nullptr;
}

napi_value empty_cache(napi_env env, napi_callback_info info) {
  empty_cpu_cache();
  if (has_accelerator()) at::accelerator::emptyCache();
  return nullptr;
}

// currentStream(device) -> the stream's id, to be given back to setCurrentStream; 0 on the CPU
napi_value current_stream(napi_env env, napi_callback_info info) {
  Arguments<1> args(env, info);
  const c10::DeviceIndex index = accelerator_index(env, args[0]);
  return make_int64(env, index < 0 ? 0 : at::accelerator::getCurrentStream(index).id());
}

napi_value set_current_stream(napi_env env, napi_callback_info info) {
  Arguments<2> args(env, info);
  const c10::DeviceIndex index = accelerator_index(env, args[0]);
  if (index < 0) return nullptr;
  const c10::Device device(*at::accelerator::getAccelerator(true), index);
  at::accelerator::setCurrentStream(c10::Stream(c10::Stream::UNSAFE, device, get_int64(env, args[1], "stream")));
  return nullptr;
}

napi_value version(napi_env env, napi_callback_info info) {
  napi_value object;
  check(napi_create_object(env, &object));
  set_property(env, object, "torch", make_string(env, TORCH_VERSION));
  set_property(env, object, "cpuCapability", make_string(env, at::get_cpu_capability()));
  set_property(env, object, "parallelInfo", make_string(env, at::get_parallel_info()));
  set_property(env, object, "config", make_string(env, at::show_config()));
  set_property(env, object, "mkl", make_bool(env, at::hasMKL()));
  set_property(env, object, "mkldnn", make_bool(env, at::globalContext().hasMKLDNN()));
  set_property(env, object, "openmp", make_bool(env, at::hasOpenMP()));
  return object;
}

}  // namespace

void define_device(napi_env env, napi_value exports) {
  define<get_num_threads>(env, exports, "getNumThreads");
  define<set_num_threads>(env, exports, "setNumThreads");
  define<load_library>(env, exports, "loadLibrary");
  define<devices>(env, exports, "devices");
  define<synchronize>(env, exports, "synchronize");
  define<set_device>(env, exports, "setDevice");
  define<device_memory>(env, exports, "deviceMemory");
  define<reset_peak_memory>(env, exports, "resetPeakMemory");
  define<empty_cache>(env, exports, "emptyCache");
  define<current_stream>(env, exports, "currentStream");
  define<set_current_stream>(env, exports, "setCurrentStream");
  define<version>(env, exports, "version");
}

}  // namespace nudge
