"""Makes the golden files of operators, gradients, random numbers and training from Python's PyTorch:

    pip install torch==2.13.0 numpy safetensors
    python scripts/golden/make.py            # writes tests/golden/data
    python scripts/golden/make.py --out DIR  # elsewhere, for a comparison

Run it again when the pinned PyTorch changes, never to make a failing test pass. Two runs on one machine give identical files.
The scripts of this folder that make.py does not import write files of their own when they are run.
"""

import argparse
from pathlib import Path

import torch

import composites
import operators
import optimisers
import random_numbers
import transformer
from encoding import write

REPOSITORY = Path(__file__).resolve().parents[2]
TORCH = "2.13.0"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=REPOSITORY / "tests" / "golden" / "data")
    out: Path = parser.parse_args().out
    if torch.__version__.split("+")[0] != TORCH:
        raise SystemExit(f"golden values are made with torch {TORCH}, this is {torch.__version__}")
    torch.set_num_threads(1)  # the TypeScript side sets the same: some sums depend on how the work was split
    for family, cases in operators.families().items():
        write(out / f"operators.{family}.json", cases)
    write(out / "composites.json", composites.cases())
    write(out / "random_numbers.json", random_numbers.cases())
    write(out / "optimisers.json", optimisers.optimiser_cases())
    write(out / "clipping.json", optimisers.clipping_cases())
    write(out / "schedules.json", optimisers.schedule_cases())
    write(out / "transformer.json", transformer.train())
    report(out)


def report(out: Path) -> None:
    total = 0
    for path in sorted(out.glob("*.json")):
        size = path.stat().st_size
        total += size
        print(f"{size:>9,} {path.name}")
    print(f"{total:>9,} bytes in all")


if __name__ == "__main__":
    main()
