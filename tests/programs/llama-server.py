"""llama.cpp's server over a GGUF file, with the OpenAI-compatible API: llama-server.py MODEL PORT [KEY]

Says `LISTENING http://...` on standard output once the model is loaded; port 0 is any free one. Needs the PyPI package xllamacpp.
"""

import sys
import threading

import xllamacpp

params = xllamacpp.CommonParams()
params.model.path = sys.argv[1]
params.hostnames = ["127.0.0.1"]
params.port = int(sys.argv[2])
params.api_keys = sys.argv[3:]
params.n_ctx = 1024
params.n_parallel = 2
params.n_gpu_layers = 0
params.warmup = False
params.cpuparams.n_threads = params.cpuparams_batch.n_threads = 1
# In half precision, the default, it is no longer the same model.
params.cache_type_k = params.cache_type_v = xllamacpp.ggml_type.GGML_TYPE_F32
params.flash_attn_type = xllamacpp.llama_flash_attn_type.LLAMA_FLASH_ATTN_TYPE_DISABLED
server = xllamacpp.Server(params)
print("LISTENING", server.listening_address, flush=True)
threading.Event().wait()
