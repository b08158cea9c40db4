"""How golden values travel from Python to TypeScript: JSON that needs no reader of its own.

A tensor is `{"tensor": dtype, "shape": [...], "bytes": base64}`, its elements little-endian in row-major order. A tensor whose
elements do not lie that way (a transpose, a slice, an expansion) is stored as it lies in memory, with "stride" and "offset", so that
the other side can make the same view. What JSON cannot say is wrapped: `{"float": 2}` is Python's 2.0, `{"float": "inf"}` an infinity,
`{"int": "..."}` an integer beyond 2**53. A dtype is its name.
"""

import base64
import json
import math
from pathlib import Path
from typing import Any

import torch

MAX_SAFE_INTEGER = 2**53 - 1


def dtype_name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


def _raw_bytes(flat: torch.Tensor) -> str:
    # numpy knows no bfloat16, so the bits are read as bytes
    raw = flat.view(torch.uint8) if flat.numel() > 0 else torch.empty(0, dtype=torch.uint8)
    return base64.b64encode(raw.numpy().tobytes()).decode("ascii")


def encode_tensor(tensor: torch.Tensor) -> dict[str, Any]:
    tensor = tensor.detach()
    encoded: dict[str, Any] = {"tensor": dtype_name(tensor.dtype), "shape": list(tensor.shape)}
    if tensor.is_conj() or tensor.is_neg():
        tensor = tensor.resolve_conj().resolve_neg()
    as_it_lies = tensor.is_contiguous() and tensor.storage_offset() == 0
    if as_it_lies or tensor.numel() == 0:
        encoded["bytes"] = _raw_bytes(tensor.contiguous().reshape(-1))
        return encoded
    length = tensor.untyped_storage().nbytes() // tensor.element_size()
    encoded["stride"] = list(tensor.stride())
    encoded["offset"] = tensor.storage_offset()
    encoded["bytes"] = _raw_bytes(tensor.as_strided([length], [1], 0))
    return encoded


def encode_result(value: Any) -> Any:
    """An output: only its values matter, not how they lie in memory."""
    if isinstance(value, torch.Tensor):
        return encode_tensor(value.detach().clone(memory_format=torch.contiguous_format))
    if isinstance(value, (list, tuple)):
        return [encode_result(item) for item in value]
    return encode(value)


def encode(value: Any) -> Any:
    if isinstance(value, torch.Tensor):
        return encode_tensor(value)
    if isinstance(value, (list, tuple)):
        return [encode(item) for item in value]
    if isinstance(value, torch.dtype):
        return dtype_name(value)
    if value is None or isinstance(value, (bool, str)):
        return value
    if isinstance(value, int):
        return value if abs(value) <= MAX_SAFE_INTEGER else {"int": str(value)}
    if isinstance(value, float):
        if math.isnan(value) or math.isinf(value):
            return {"float": str(value)}
        return {"float": int(value)} if value == int(value) else value
    raise TypeError(f"no encoding for {type(value).__name__}: {value!r}")


def write(path: Path, cases: list[Any]) -> None:
    """One case a line: compact, and a changed case is a changed line in a diff."""
    lines = ",\n".join(json.dumps(case, separators=(",", ":"), allow_nan=False) for case in cases)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f'{{"torch":"{torch.__version__.split("+")[0]}","cases":[\n{lines}\n]}}\n')
