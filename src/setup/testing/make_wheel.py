"""Makes a wheel that looks like torch's and is tiny. usage: make_wheel.py FOLDER VERSION cpu|cuda [damage]"""

import base64
import hashlib
import os
import sys
import zipfile

folder, version, variant = sys.argv[1:4]
damage = sys.argv[4] if len(sys.argv) > 4 else ""
info = "torch-%s.dist-info" % version
files = {
    "torch/version.py": "__version__ = '%s'\ncuda = %s\n" % (version, "'13.0'" if variant == "cuda" else None),
    "torch/__init__.py": "raise ImportError('set-up must not import torch')\n",
    "torch/lib/libc10.so": "c10",
    "torch/lib/libtorch_cpu.so": "cpu" * 1000,
    "torch/lib/libtorch_python.so": "not wanted",
    "torch/lib/libc10.dylib": "c10",
    "torch/lib/libtorch_cpu.dylib": "cpu",
    "torch/include/ATen/ATen.h": "#pragma once\n",
    info + "/METADATA": "Name: torch\nVersion: %s\nRequires-Dist: sympy>=1.13.3\n" % version,
}
if variant == "cuda":
    files["torch/lib/libtorch_cuda.so"] = "cuda"
    files[info + "/METADATA"] += (
        'Requires-Dist: cuda-toolkit[cublas]==13.0.3; platform_system == "Linux"\n'
        'Requires-Dist: nvidia-cudnn-cu13==9.20.0.48; platform_system == "Linux"\n'
        'Requires-Dist: triton==3.7.1; platform_system == "Linux"\n'
    )


def checksum(text):
    return base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=").decode()


record = "".join("%s,sha256=%s,%d\n" % (name, checksum(text), len(text)) for name, text in files.items())
if damage == "content":
    files["torch/lib/libtorch_cpu.so"] = "CPU" * 1000
if damage == "missing":
    del files["torch/lib/libc10.so"]
if damage == "outside":
    files["torch/lib/../../../outside"] = "gotcha"
    record += "torch/lib/../../../outside,sha256=%s,6\n" % checksum("gotcha")
files[info + "/RECORD"] = record + "%s/RECORD,,\n" % info

path = os.path.join(folder, "torch-%s-cp399-cp399-manylinux_2_28_x86_64.whl" % version)
with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
    for name, text in files.items():
        archive.writestr(name, text)
if damage == "truncated":
    os.truncate(path, os.path.getsize(path) // 2)
print(path)
