# The addon. `torch_dir` is the folder of a torch package (it holds lib/ and include/); src/setup passes it.
# No source includes torch/torch.h (22 s of compile time): only the few ATen and c10 headers it needs.
{
  "variables": { "torch_dir%": "" },
  "targets": [
    {
      "target_name": "nudge",
      "sources": [
        "src/addon.cc",
        "src/allocator.cc",
        "src/autograd.cc",
        "src/call.cc",
        "src/device.cc",
        "src/environment.cc",
        "src/failure.cc",
        "src/generator.cc",
        "src/kernels/avx2.cc",
        "src/kernels/avx512.cc",
        "src/kernels/avx512_bf16.cc",
        "src/kernels/base.cc",
        "src/kernels/generation.cc",
        "src/kernels/gradient.cc",
        "src/kernels/layers.cc",
        "src/kernels/linear.cc",
        "src/kernels/logprobs.cc",
        "src/kernels/select.cc",
        "src/kernels/training.cc",
        "src/operator.cc",
        "src/table.cc",
        "src/tensor.cc"
      ],
      "include_dirs": [
        "<(torch_dir)/include",
        "<(torch_dir)/include/torch/csrc/api/include"
      ],
      "defines": ["NAPI_VERSION=9"],
      "cflags_cc!": ["-fno-exceptions", "-fno-rtti", "-std=gnu++17", "-std=gnu++20"],
      "cflags_cc": ["-std=c++20", "-fexceptions", "-frtti", "-O2", "-g0", "-Wall", "-Wno-unused-parameter", "-fvisibility=hidden", "-ffp-contract=fast", "-Wno-psabi"],
      "cflags": ["-g0"],
      "libraries": ["-L<(torch_dir)/lib", "-ltorch_cpu", "-lc10", "-Wl,-rpath,<(torch_dir)/lib"],
      "conditions": [
        # at::parallel_for needs the pragma only: the library is the one that libtorch brings, never a second one.
        ["OS=='linux'", { "cflags_cc": ["-fopenmp"] }],
        ["OS=='mac'", {
          "xcode_settings": {
            "GCC_ENABLE_CPP_EXCEPTIONS": "YES",
            "GCC_ENABLE_CPP_RTTI": "YES",
            "CLANG_CXX_LANGUAGE_STANDARD": "c++20",
            "CLANG_CXX_LIBRARY": "libc++",
            "MACOSX_DEPLOYMENT_TARGET": "12.0",
            "OTHER_CPLUSPLUSFLAGS": ["-std=c++20", "-O2", "-fvisibility=hidden", "-ffp-contract=fast"]
          }
        }]
      ]
    }
  ]
}
