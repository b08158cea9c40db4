"""Writes small safetensors files with the Python library, and its verdict on malformed ones, for our tests to match.

    python scripts/golden/safetensors_files.py          (torch, numpy and safetensors installed)

Output: tests/golden/data/safetensors/. The files are committed; run this again only to change them.
"""

import hashlib
import json
import pathlib
import struct

import safetensors
import torch
from safetensors.torch import save_file

OUT = pathlib.Path(__file__).parents[2] / "tests" / "golden" / "data" / "safetensors"

TORCH_DTYPES = [
    "bool", "uint8", "int8", "float8_e5m2", "float8_e4m3fn", "float8_e8m0fnu", "float8_e4m3fnuz", "float8_e5m2fnuz",
    "int16", "uint16", "float16", "bfloat16", "int32", "uint32", "float32", "complex64", "float64", "int64", "uint64",
]  # fmt: skip


def all_dtypes():
    """One tensor of six elements a dtype, of bytes that differ everywhere (booleans: 0 and 1)."""
    tensors = {}
    for number, name in enumerate(TORCH_DTYPES):
        dtype = getattr(torch, name)
        if name == "bool":
            tensors[name] = torch.tensor([[True, False, True], [False, False, True]])
            continue
        size = torch.empty(0, dtype=dtype).element_size()
        raw = torch.arange(6 * size, dtype=torch.int64).mul(37).add(11 * number).remainder(251).to(torch.uint8)
        tensors[name] = raw.view(dtype).reshape(2, 3)
    return tensors


def special_values():
    floats = [0.0, -0.0, float("inf"), float("-inf"), float("nan"), 1.0, 5e-324, 3.4e38]
    tensors = {f"floats.{n}": torch.tensor(floats, dtype=getattr(torch, n)) for n in ("float32", "float64", "bfloat16", "float16")}
    tensors["integers.int64"] = torch.tensor([-(2**63), 2**63 - 1, 2**53 + 1, -1])
    return tensors


def shapes():
    return {
        "scalar": torch.tensor(1.5),
        "empty": torch.zeros(0),
        "empty.matrix": torch.zeros(3, 0, 2, dtype=torch.int64),
        "rank5": torch.arange(32, dtype=torch.int16).reshape(2, 1, 4, 2, 2),
        "transposed": torch.arange(6, dtype=torch.float32).reshape(2, 3).t().contiguous(),
        "odd.length": torch.arange(7, dtype=torch.uint8),
    }


def names():
    """Names that are hard to escape, to sort (by UTF-8 bytes, not UTF-16 units) or to keep apart from an object's own."""
    hard = ["", " ", "a", "A", "a.b", "a/b", 'quote"', "back\\slash", "new\nline", "\t", "\x01", "\x1f", "\x7f", "é", "e\u0301",
            "\u2028", "\ufeff", "\uffff", "\U0001f600", "__proto__", "constructor", "toString", "10", "9", "__metadata"]  # fmt: skip
    return {name: torch.tensor([float(i)]) for i, name in enumerate(hard)}


def describe(tensor):
    data = tensor.contiguous().reshape(-1).view(torch.uint8) if tensor.numel() else torch.zeros(0, dtype=torch.uint8)
    return {"torch": str(tensor.dtype).removeprefix("torch."), "shape": list(tensor.shape), "hex": bytes(data.tolist()).hex()}


def write_valid():
    cases = {
        "dtypes": (all_dtypes(), None),
        "values": (special_values(), {"format": "pt"}),
        "shapes": (shapes(), None),
        "names": (names(), {"note": 'quote" \\ \n \u00e9 \U0001f600'}),
        "nothing": ({}, None),
    }
    expected = {}
    for case, (tensors, metadata) in cases.items():
        save_file(tensors, OUT / f"{case}.safetensors", metadata=metadata)
        # A list, not an object: JSON readers reorder or drop some of the names.
        listed = [{"name": name, **describe(tensor)} for name, tensor in tensors.items()]
        expected[case] = {"metadata": metadata or {}, "tensors": listed}
    return expected


def write_sharded():
    """Two shards with the index that transformers' save_pretrained would write."""
    directory = OUT / "sharded"
    directory.mkdir(exist_ok=True)
    tensors = {f"layers.{i}.weight": torch.full((2, 2), float(i)) for i in range(3)}
    tensors["norm.bias"] = torch.arange(3, dtype=torch.bfloat16)
    shards = [list(tensors)[:2], list(tensors)[2:]]
    weight_map = {}
    for i, shard in enumerate(shards):
        file = f"model-{i + 1:05d}-of-{len(shards):05d}.safetensors"
        save_file({name: tensors[name] for name in shard}, directory / file, metadata={"format": "pt"})
        weight_map |= dict.fromkeys(shard, file)
    size = sum(t.numel() * t.element_size() for t in tensors.values())
    index = {"metadata": {"total_size": size}, "weight_map": weight_map}
    (directory / "model.safetensors.index.json").write_text(json.dumps(index, indent=2, sort_keys=True) + "\n")
    return {"metadata": {"format": "pt"}, "tensors": [{"name": n, **describe(t)} for n, t in tensors.items()]}


def malformed():
    """Files, most of them broken, as (name, bytes). Several are the reference's own tests (safetensors/src/tensor.rs)."""
    good = '"dtype":"I32","shape":[2],"data_offsets":[0,8]'
    data = bytes(range(8))

    def entry(text):
        return '{"a":{%s}}' % text

    def of(dtype='"I32"', shape="[2]", offsets="[0,8]"):
        return entry(f'"dtype":{dtype},"shape":{shape},"data_offsets":{offsets}')

    def file(header, body=data, length=None):
        header = header.encode() if isinstance(header, str) else header
        return struct.pack("<Q", len(header) if length is None else length) + header + body

    two = '{"a":{"dtype":"U8","shape":[%s],"data_offsets":%s},"b":{"dtype":"U8","shape":[%s],"data_offsets":%s}}'
    fields = [("dtype", '"I32"'), ("shape", "[2]"), ("data_offsets", "[0,8]")]
    yield from {
        "valid": file(of()),
        "valid: padded": file(of() + " \t\r\n"),
        "valid: nothing": file("{}", b""),
        "valid: unknown field": file(entry(good + ',"x":[1.5,{"y":null}]')),
        "valid: metadata null": file('{"__metadata__":null,"a":{%s}}' % good),
        "valid: data out of name order": file(two % ("4", "[4,8]", "4", "[0,4]")),
        "valid: zero-sized at the end": file(two % ("8", "[0,8]", "0", "[8,8]")),
        "valid: zero-sized at the start, listed last": file(two % ("8", "[0,8]", "0", "[0,0]")),
        "valid: escaped name": file('{"\\u0061\\ud83d\\ude00\\/":{%s}}' % good),
        "valid: F4": file(of('"F4"', "[16]")),
        "no bytes": b"",
        "seven bytes": bytes(7),
        "length alone": b"<" + bytes(7),
        "length 0": file("", b""),
        "length 1": file("{", b""),
        "length past the end": file(of(), length=1000),
        "length 100 MB and 1": file(of(), length=100_000_001),
        "length 2^64 - 1": file(of(), length=2**64 - 1),
        "length one short": file(of(), length=len(of()) - 1),
        "length one long": file(of(), length=len(of()) + 1),
        "not UTF-8": file(b'{"\xff":{' + good.encode() + b"}}"),
        "overlong UTF-8": file(b'{"\xc0\x80":{' + good.encode() + b"}}"),
        "byte order mark": file("\ufeff{}", b""),
        "leading space": file(" " + of()),
        "an array": file("[]", b""),
        "trailing zero": file(of() + "\0"),
        "trailing comma": file('{"a":{%s},}' % good),
        "comment": file("{/**/}", b""),
        "single quotes": file("{'a':{%s}}" % good),
        "control character in a name": file('{"a\n":{%s}}' % good),
        "half a surrogate pair": file('{"\\ud800":{%s}}' % good),
        "too deep": file(entry(good + ',"x":' + "[" * 200 + "]" * 200)),
        "name twice": file('{"a":{%s},"a":{%s}}' % (good, good)),
        "name twice, once escaped": file('{"a":{%s},"\\u0061":{%s}}' % (good, good)),
        "field twice": file(entry('"dtype":"I32",' + good)),
        "metadata twice": file('{"__metadata__":{},"__metadata__":{},"a":{%s}}' % good),
        "metadata key twice": file('{"__metadata__":{"k":"1","k":"2"},"a":{%s}}' % good),
        "metadata with a number": file('{"__metadata__":{"k":1},"a":{%s}}' % good),
        "metadata an array": file('{"__metadata__":["k"],"a":{%s}}' % good),
        "entry null": file('{"a":null}', b""),
        "entry an array": file('{"a":["I32",[2],[0,8]]}'),
        **{f"no {name}": file(entry(",".join(f'"{k}":{v}' for k, v in fields if k != name))) for name, _ in fields},
        **{f"{name} null": file(entry(",".join(f'"{k}":{"null" if k == name else v}' for k, v in fields))) for name, _ in fields},
        "dtype unknown": file(of('"I4"')),
        "dtype lower case": file(of('"i32"')),
        "dtype of torch": file(of('"int32"')),
        "dtype an object": file(of('{"I32":null}')),
        "dtype toString": file(of('"toString"')),
        "shape negative": file(of(shape="[-2]")),
        "shape negative zero": file(of(shape="[-0]", offsets="[0,0]"), b""),
        "shape float": file(of(shape="[2.0]")),
        "shape exponent": file(of(shape="[2e0]")),
        "shape string": file(of(shape='["2"]')),
        "shape leading zero": file(of(shape="[02]")),
        "shape nested": file(of(shape="[[2]]")),
        "shape past u64": file(of(shape="[18446744073709551616]")),
        "shape product overflows": file(of(shape="[2,18446744073709551614]")),
        "shape bytes overflow": file(of(shape="[2,9223372036854775807]")),
        "shape product wraps to 2": file(of(shape="[9223372036854775809,2]")),
        "shape empty but overflowing": file(of(shape="[0,4503599627370496,4503599627370496]", offsets="[0,0]"), b""),
        "offsets one": file(of(offsets="[0]")),
        "offsets three": file(of(offsets="[0,8,8]")),
        "offsets reversed": file(of(offsets="[8,0]")),
        "offsets negative": file(of(offsets="[-8,0]")),
        "offsets float": file(of(offsets="[0.0,8.0]")),
        "offsets an object": file(of(offsets='{"0":0,"1":8}')),
        "offsets past u64": file(of(offsets="[0,18446744073709551624]")),
        "size too small": file(of(offsets="[0,4]"), data[:4]),
        "size too large": file(of(shape="[1]")),
        "sub-byte fraction": file(of('"F4"', "[15]")),
        "file cut short": file(of(), data[:6]),
        "file too long": file(of(), data + b"polyglot"),
        "hole at the start": file(of(shape="[1]", offsets="[4,8]")),
        "hole in the middle": file(two % ("2", "[0,2]", "4", "[4,8]")),
        "overlap": file(two % ("6", "[0,6]", "4", "[4,8]")),
        "same data twice": file(two % ("8", "[0,8]", "8", "[0,8]")),
        "zero-sized inside another": file(two % ("8", "[0,8]", "0", "[4,4]")),
        "out of range": file(of(offsets="[8,16]")),
    }.items()


def verdicts():
    result = []
    for name, content in malformed():
        try:
            tensors = safetensors.deserialize(content)
            verdict = {"accepted": True, "tensors": sorted(name for name, _ in tensors)}
        except safetensors.SafetensorError as error:
            verdict = {"accepted": False, "error": str(error)}
        result.append({"name": name, "hex": content.hex(), **verdict})
    return result


def main():
    OUT.mkdir(parents=True, exist_ok=True)
    expected = {"library": f"safetensors {safetensors.__version__}", "files": write_valid()}
    expected["files"]["sharded"] = write_sharded()
    (OUT / "expected.json").write_text(json.dumps(expected, indent=1) + "\n")
    (OUT / "malformed.json").write_text(json.dumps(verdicts(), indent=1) + "\n")
    for file in sorted(OUT.rglob("*.*")):
        print(hashlib.sha256(file.read_bytes()).hexdigest()[:16], file.stat().st_size, file.relative_to(OUT))


if __name__ == "__main__":
    main()
