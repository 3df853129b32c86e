"""What else an autoencoder is for, each against what people would otherwise use.

    python -m tests.benchmarks.uses [--folder demo] [--only dimensions features previews ...]

Needs the demo (`make demo`) and the packages of the `bench` extra. Prints Markdown tables, and writes them and the same
figures as JSON to bench/uses-<part>.md and .json below the folder; then all parts that were ever measured there, with
the seven things that autoencoders are known for at their head, to bench/uses.md and uses.json. An hour on two cores.

`python -m tests.docs.uses_page` brings uses.json into docs/uses.md.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import time
from pathlib import Path

from tests.benchmarks.uses import anomalies, denoising, dimensions, features, generation, previews, vectors
from tests.benchmarks.uses.data import Figures, Records
from tests.benchmarks.uses.seven import seven

PEERS = {"sklearn": "scikit-learn", "pyod": "pyod", "tqdm": "tqdm"}
PARTS = {
    "dimensions": dimensions.run,
    "features": features.run,
    "previews": previews.run,
    "anomalies": anomalies.run,
    "denoising": denoising.run,
    "generation": generation.run,
    "vectors": vectors.run,
}


def collect(folder: Path) -> dict[str, Records]:
    """All parts that were measured below the folder, and the seven lines, which come first."""
    found: dict[str, Records] = {}
    for name in PARTS:
        if (path := folder / "bench" / f"uses-{name}.json").exists():
            found[name] = json.loads(path.read_text())
    demo = json.loads((folder / "results.json").read_text())
    return {"seven": seven(found | {"demo": [demo]}).records()} | found


def main() -> None:
    """Measure what the arguments ask for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, default=Path("demo"))
    parser.add_argument("--only", nargs="+", default=list(PARTS), choices=list(PARTS))
    asked = parser.parse_args()
    if not (asked.folder / "archive").exists():
        parser.error(f"{asked.folder} has no archive: run make demo first")
    if missing := [package for name, package in PEERS.items() if importlib.util.find_spec(name) is None]:
        parser.error(f"peers are missing: pip install {' '.join(missing)}")
    (asked.folder / "bench").mkdir(parents=True, exist_ok=True)
    for name in asked.only:
        start = time.perf_counter()
        figures = PARTS[name](asked.folder)
        text = figures.markdown()
        (asked.folder / "bench" / f"uses-{name}.md").write_text(text + "\n")
        (asked.folder / "bench" / f"uses-{name}.json").write_text(json.dumps(figures.records(), indent=1) + "\n")
        print(f"\n## {name} ({time.perf_counter() - start:.0f} s)\n\n{text}\n", flush=True)
    found = collect(asked.folder)
    text = "\n\n".join(f"## {name}\n\n{Figures.of(records).markdown()}" for name, records in found.items())
    (asked.folder / "bench" / "uses.md").write_text(text + "\n")
    (asked.folder / "bench" / "uses.json").write_text(json.dumps(found, indent=1, ensure_ascii=False) + "\n")
    print(f"## seven\n\n{Figures.of(found['seven']).markdown()}")


if __name__ == "__main__":
    main()
