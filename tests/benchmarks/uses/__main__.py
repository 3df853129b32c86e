"""Features, anomalies, made-up rows and noise reduction, each against what people would otherwise use.

    python -m tests.benchmarks.uses [--folder demo] [--only features anomalies generation denoising]

Needs the demo (`make demo`) and the packages of the `bench` extra. Prints Markdown tables and writes them to
bench/uses-<name>.md below the folder. Half an hour on two cores.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

from tests.benchmarks.uses import anomalies, denoising, features, generation

PARTS = {
    "features": features.run,
    "anomalies": anomalies.run,
    "denoising": denoising.run,
    "generation": generation.run,
}


def main() -> None:
    """Measure what the arguments ask for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, default=Path("demo"))
    parser.add_argument("--only", nargs="+", default=list(PARTS), choices=list(PARTS))
    asked = parser.parse_args()
    if not (asked.folder / "archive").exists():
        parser.error(f"{asked.folder} has no archive: run make demo first")
    (asked.folder / "bench").mkdir(parents=True, exist_ok=True)
    for name in asked.only:
        start = time.perf_counter()
        text = PARTS[name](asked.folder)
        (asked.folder / "bench" / f"uses-{name}.md").write_text(text + "\n")
        print(f"\n## {name} ({time.perf_counter() - start:.0f} s)\n\n{text}\n", flush=True)


if __name__ == "__main__":
    main()
