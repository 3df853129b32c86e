"""What else an autoencoder is for, each against what people would otherwise use.

    python -m tests.benchmarks.uses [--folder demo] [--only previews features anomalies denoising generation vectors]

Needs the demo (`make demo`) and the packages of the `bench` extra. Prints Markdown tables, and writes them and the same
figures as JSON to bench/uses-<name>.md and .json below the folder. An hour on two cores.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

from tests.benchmarks.uses import anomalies, denoising, features, generation, previews, vectors

PARTS = {
    "previews": previews.run,
    "features": features.run,
    "anomalies": anomalies.run,
    "denoising": denoising.run,
    "generation": generation.run,
    "vectors": vectors.run,
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
        figures = PARTS[name](asked.folder)
        text = figures.markdown()
        (asked.folder / "bench" / f"uses-{name}.md").write_text(text + "\n")
        (asked.folder / "bench" / f"uses-{name}.json").write_text(json.dumps(figures.records(), indent=1) + "\n")
        print(f"\n## {name} ({time.perf_counter() - start:.0f} s)\n\n{text}\n", flush=True)


if __name__ == "__main__":
    main()
