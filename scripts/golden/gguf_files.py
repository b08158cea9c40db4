"""Writes GGUF blocks and small GGUF files with Python's gguf package, for our reader and writer to match.

    python scripts/golden/gguf_files.py          (numpy and gguf 0.19 installed)

Output: tests/golden/data/gguf/. The files are committed; run this again only to change them.
"""

import base64
import hashlib
import json
import pathlib

import gguf
import numpy as np
from gguf import GGMLQuantizationType as Type
from gguf.quants import dequantize, quantize

OUT = pathlib.Path(__file__).parents[2] / "tests" / "golden" / "data" / "gguf"

QUANTISED = ["Q8_0", "Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q2_K", "Q3_K", "Q4_K", "Q5_K", "Q6_K"]
RNG = np.random.default_rng(20240527)


def text(array):
    return base64.b64encode(np.ascontiguousarray(array).tobytes()).decode()


def blocks():
    """Random bytes as blocks: every bit pattern of scales and quanta, infinities and NaN in some scales."""
    cases = {}
    for name in QUANTISED:
        kind = Type[name]
        size = gguf.GGML_QUANT_SIZES[kind][1]
        raw = RNG.integers(0, 256, (8 if name.endswith("K") else 24, size), dtype=np.uint8)
        with np.errstate(all="ignore"):
            weights = dequantize(raw, kind).astype(np.float32)
        cases[name] = {"bytes": text(raw), "weights": text(weights), "finite": bool(np.isfinite(weights).all())}
    for name in ["F16", "BF16"]:
        raw = np.arange(65536, dtype=np.uint16)
        with np.errstate(all="ignore"):
            weights = dequantize(raw.view(np.uint8), Type[name]).astype(np.float32)
        # 65,536 values are not worth a file: their hash is. NaN has many faces; this one is the usual.
        weights = np.where(np.isnan(weights), np.float32("nan"), weights).astype(np.float32)
        cases[name] = {"sha256": hashlib.sha256(weights.tobytes()).hexdigest()}
    return cases


def quantised():
    """Numbers of many sizes and what they become, for the types that we write."""
    rows = [RNG.standard_normal(256) * scale for scale in (1e-30, 1e-7, 1e-5, 0.02, 1.0, 300.0, 1e5)]
    rows.append(np.zeros(256))
    rows.append(np.where(np.arange(256) % 32 == 7, 1.0, 0.0))
    rows.append((np.arange(256) % 255 - 127) / 2)  # halves: rounding away from zero
    rows.append(np.repeat([1.0, -1.0], 128) * np.linspace(0, 127, 256))
    weights = np.array(rows, dtype=np.float32)
    with np.errstate(all="ignore"):
        return {"weights": text(weights), **{name: text(quantize(weights, Type[name])) for name in ("F16", "BF16", "Q8_0")}}


def write_values():
    """Every type of metadata and every plain type of tensor."""
    writer = gguf.GGUFWriter(OUT / "values.gguf", "llama")
    for kind, value in [("uint8", 255), ("int8", -128), ("uint16", 65535), ("int16", -32768), ("uint32", 2**32 - 1),
                        ("int32", -(2**31)), ("uint64", 2**64 - 1), ("int64", -(2**63)), ("float32", 1e-5),
                        ("float64", 0.1), ("bool", True)]:  # fmt: skip
        getattr(writer, f"add_{kind}")(f"test.{kind}", value)
    writer.add_string("test.string", "é\u2028\U0001f600 \ufffd\0 \"'")
    writer.add_array("test.strings", ["", "a", "\ufeffb", "\ufffd", "__proto__"])
    writer.add_array("test.integers", [1, -2, 3])
    writer.add_array("test.floats", [0.5, -1.25])
    writer.add_array("test.booleans", [True, False])
    writer.add_array("test.nested", [["a", "b"], ["c"]])
    writer.add_key_value("test.bytes", b"\x00\xff", gguf.GGUFValueType.ARRAY)
    for dtype in (np.float32, np.float16, np.float64, np.int8, np.int16, np.int32, np.int64):
        data = np.arange(6).reshape(2, 3).astype(dtype) - 2
        writer.add_tensor(f"t.{np.dtype(dtype).name}", data)
    writer.add_tensor("t.bfloat16", quantize(np.linspace(-3, 3, 8, dtype=np.float32), Type.BF16), raw_dtype=Type.BF16)
    for name in QUANTISED:
        size, count = gguf.GGML_QUANT_SIZES[Type[name]][1], 256 // gguf.GGML_QUANT_SIZES[Type[name]][0]
        raw = RNG.integers(0, 256, (3, size * count), dtype=np.uint8)
        writer.add_tensor(f"t.{name}", raw, raw_dtype=Type[name])
    finish(writer)


def write_split():
    """Three parts of one model."""
    writer = gguf.GGUFWriter(OUT / "split.gguf", "llama", split_max_tensors=2)
    writer.add_string("general.name", "split")
    for i in range(5):
        writer.add_tensor(f"blk.{i}.attn_norm.weight", np.full(4, i, dtype=np.float32))
    finish(writer)


def write_aligned():
    """Another alignment, and no metadata of the model."""
    writer = gguf.GGUFWriter(OUT / "aligned.gguf", "gpt2")
    writer.add_custom_alignment(64)
    for i in range(3):
        writer.add_tensor(f"w{i}", np.arange(i + 1, dtype=np.float32))
    finish(writer)


def finish(writer):
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def expected(path):
    reader = gguf.GGUFReader(path)
    tensors = []
    for tensor in reader.tensors:
        with np.errstate(all="ignore"):
            plain = tensor.tensor_type.name not in QUANTISED and tensor.tensor_type != Type.BF16
            weights = tensor.data.astype(np.float32) if plain else dequantize(tensor.data, tensor.tensor_type)
        tensors.append({"name": tensor.name, "type": tensor.tensor_type.name, "shape": [int(n) for n in reversed(tensor.shape)],
                        "bytes": text(np.ascontiguousarray(tensor.data).view(np.uint8)), "weights": text(weights.astype(np.float32))})  # fmt: skip
    return tensors


def main():
    OUT.mkdir(parents=True, exist_ok=True)
    write = lambda name, value: (OUT / name).write_text(json.dumps(value, indent=1) + "\n")
    write("blocks.json", blocks())
    write("quantised.json", quantised())
    write_values()
    write_split()
    write_aligned()
    write("expected.json", {path.name: expected(path) for path in sorted(OUT.glob("*.gguf"))})
    for path in sorted(OUT.iterdir()):
        print(hashlib.sha256(path.read_bytes()).hexdigest()[:16], path.stat().st_size, path.name)


if __name__ == "__main__":
    main()
