"""Makes the Parquet files that src/data reads, from Arrow, which writes those of Hugging Face's datasets:

    pip install pyarrow==26.0.1
    python scripts/golden/parquet_files.py   # writes tests/golden/data/parquet
"""

from datetime import datetime, timezone
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

OUT = Path(__file__).resolve().parents[2] / "tests" / "golden" / "data" / "parquet"
MESSAGE = pa.struct([("role", pa.string()), ("content", pa.string())])


def said(role: str, content: str) -> dict:
    return {"role": role, "content": content}


def preferences() -> pa.Table:
    rows = [f"What is {n} + {n}?" for n in range(7)]
    return pa.table(
        {
            "chosen": pa.array(
                [[said("user", q), said("assistant", f"{2 * n} 🙂")] for n, q in enumerate(rows)], pa.list_(MESSAGE)
            ),
            "rejected": pa.array(
                [[said("user", q), said("assistant", "I do not know.")] for q in rows], pa.list_(MESSAGE)
            ),
            "margin": pa.array([0.5, None, 1.0, 1.5, None, 2.0, 2.5], pa.float64()),
            "id": pa.array(range(7), pa.int64()),
            "large": pa.array([2**60 + n for n in range(7)], pa.int64()),
            "source": pa.array(["a", "b", "a", "b", "a", "b", None], pa.string()).dictionary_encode(),
            "when": pa.array([datetime(2024, 1, 2, 3, 4, 5, tzinfo=timezone.utc)] * 7, pa.timestamp("us", "UTC")),
            "scores": pa.array([[1.5, 2.5]] * 7, pa.list_(pa.float32())),
            "image": pa.array([b"\xff\xd8\xff\xe0"] * 7, pa.binary()),
        }
    )


def main() -> None:
    OUT.mkdir(parents=True, exist_ok=True)
    for codec in ["none", "snappy", "gzip", "brotli", "zstd", "lz4"]:
        pq.write_table(preferences(), OUT / f"preferences.{codec}.parquet", compression=codec, row_group_size=3)
    rankings = pa.table(
        {
            "prompt": pa.array(["Why?", "How?"], pa.large_string()),
            "completions": pa.array([["a", "b", "c"], ["d", "e", "f"]], pa.list_(pa.string())),
            "ranks": pa.array([[1, 2, 2], [2, None, 1]], pa.list_(pa.int32())),
        }
    )
    pq.write_table(rankings, OUT / "rankings.parquet", data_page_version="2.0")
    # A column that says it is text and is not: Arrow does not look.
    damaged = pa.Array.from_buffers(
        pa.string(), 3, [None, pa.array([0, 1, 3, 4], pa.int32()).buffers()[1], pa.py_buffer(b"a\xff\xfeb")]
    )
    pq.write_table(pa.table({"prompt": damaged}), OUT / "damaged_text.parquet")
    pq.write_table(pa.table({"prompt": pa.array([], pa.string())}), OUT / "empty.parquet")


if __name__ == "__main__":
    main()
