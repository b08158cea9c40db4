// Random number generators: their numbers equal PyTorch's under the same seed.
#include <ATen/CPUGeneratorImpl.h>
#include <ATen/Context.h>

#include <cstring>

#include "environment.h"

namespace nudge {

namespace {

// newGenerator(device) -> id
napi_value new_generator(napi_env env, napi_callback_info info) {
  Arguments<1> args(env, info);
  const c10::Device device = parse_device(get_string(env, args[0]));
  at::Generator generator = device.is_cpu()
      ? at::make_generator<at::CPUGeneratorImpl>()
      : at::globalContext().getAcceleratorHooksInterface(device.type()).getNewGenerator(device.index());
  Environment& environment = Environment::of(env);
  const uint32_t id = environment.next_generator++;
  environment.generators.emplace(id, std::move(generator));
  return make_double(env, id);
}

napi_value delete_generator(napi_env env, napi_callback_info info) {
  Arguments<1> args(env, info);
  Environment::of(env).generators.erase(static_cast<uint32_t>(get_int64(env, args[0], "generator")));
  return nullptr;
}

// A generator by id (number), or the default one of a device (string).
at::Generator resolve(napi_env env, napi_value which) {
  if (type_of(env, which) == napi_string) {
    return at::globalContext().defaultGenerator(parse_device(get_string(env, which)));
  }
  return get_generator(env, which);
}

napi_value seed_generator(napi_env env, napi_callback_info info) {
  Arguments<2> args(env, info);
  at::Generator generator = resolve(env, args[0]);
  std::lock_guard<std::mutex> lock(generator.mutex());
  generator.set_current_seed(get_seed(env, args[1]));
  return nullptr;
}

// Seeds the default generators of every device.
napi_value manual_seed(napi_env env, napi_callback_info info) {
  Arguments<1> args(env, info);
  at::manual_seed(get_seed(env, args[0]));
  return nullptr;
}

napi_value generator_state(napi_env env, napi_callback_info info) {
  Arguments<1> args(env, info);
  at::Generator generator = resolve(env, args[0]);
  at::Tensor state;
  {
    std::lock_guard<std::mutex> lock(generator.mutex());
    state = generator.get_state();
  }
  return make_tensor(env, std::move(state));
}

napi_value set_generator_state(napi_env env, napi_callback_info info) {
  Arguments<2> args(env, info);
  at::Generator generator = resolve(env, args[0]);
  const at::Tensor state = get_tensor(env, args[1]);
  std::lock_guard<std::mutex> lock(generator.mutex());
  generator.set_state(state);
  return nullptr;
}

}  // namespace

void define_generator(napi_env env, napi_value exports) {
  define<new_generator>(env, exports, "newGenerator");
  define<delete_generator>(env, exports, "deleteGenerator");
  define<seed_generator>(env, exports, "seedGenerator");
  define<manual_seed>(env, exports, "manualSeed");
  define<generator_state>(env, exports, "generatorState");
  define<set_generator_state>(env, exports, "setGeneratorState");
}

}  // namespace nudge
