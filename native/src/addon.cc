// The module's entry: called once for every environment that loads it.
#include "allocator.h"
#include "environment.h"

NAPI_MODULE_INIT() {
  using namespace nudge;
  try {
    install_cpu_allocator();
    define_environment(env, exports);
    define_call(env, exports);
    define_tensor(env, exports);
    define_autograd(env, exports);
    define_device(env, exports);
    define_generator(env, exports);
  } catch (...) {
    raise_current_exception(env);
    return nullptr;
  }
  return exports;
}
