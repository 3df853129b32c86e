"""The demo: a year of flights into an archive, back out of it, and what that cost. Run by ``make demo``.

Everything is done by the ``latentlake`` command as a user would type it; the check at the end is not the project's own:
tests/benchmarks/fidelity.py compares the decoded files with the originals cell by cell, in exact arithmetic.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from fractions import Fraction
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import yaml

from infra.demo import flights
from tests.benchmarks.fidelity import Bounds, Violation, range_bounds, worst_ratio
from tests.benchmarks.peers import QUANTISED_BEST, measure

POLICY = Path(os.path.relpath(Path(__file__).with_name("policy.yaml")))
COMMAND = Path(sys.executable).with_name("latentlake")
PEERS = ("Parquet zstd-19", QUANTISED_BEST)


@dataclass(frozen=True)
class Result:
    """What the demo measured; also written to results.json. Sizes in bytes."""

    rows: int
    cells: int
    lake: int
    arrow: int
    peers: dict[str, int]
    archive: int
    parts: dict[str, int]
    worst_ratio: float
    violations: int


def main(folder: Path) -> None:
    """Run the demo in ``folder``; what an earlier run left there is used again."""
    lake, _ = flights.prepare(folder)
    archive, decoded, report = folder / "archive", folder / "decoded", folder / "report.html"
    show_policy()

    say("compress: train once, then one archive partition a month; months that are archived already are skipped")
    run("compress", lake, archive, "--policy", POLICY)
    say("ls: what is in the archive")
    run("ls", archive)

    say("decode: every month back to Parquet")
    shutil.rmtree(decoded, ignore_errors=True)
    run("decode", archive, decoded)
    say("verify --deep: every stored byte against its SHA-256, every rebuilt cell against the recorded digest")
    run("verify", archive, "--deep")
    say("audit: the loss of every column, measured against the originals")
    report.unlink(missing_ok=True)
    run("audit", archive, "--lake", lake, "--html", report)

    months = sorted(lake.glob("month=*"), key=lambda path: int(path.name.partition("=")[2]))
    originals = [read(month) for month in months]
    year = pa.concat_tables(originals)
    bounds = policy_bounds(year)
    say("check: decoded against original, cell by cell, without the project's own code")
    worst = max(worst_ratio(table, read(decoded / m.name), bounds) for table, m in zip(originals, months, strict=True))
    print(f"{year.num_rows:,} rows, {year.num_rows * year.num_columns:,} cells: none outside its bound", flush=True)

    say("peers: the same year at the same bounds as one file each (measured once, then remembered)")
    peers = remembered(folder / "cache" / "peers.json", year, bounds)
    totals = json.loads(run("ls", archive, "--json", shown=False))["totals"]
    layers = {name: int(totals[name]) for name in ("latents", "residuals", "models")}
    size = directory_bytes(archive)
    result = Result(
        rows=year.num_rows,
        cells=year.num_rows * year.num_columns,
        lake=directory_bytes(lake),
        arrow=year.nbytes,
        peers=peers,
        archive=size,
        parts={**layers, "metadata": size - sum(layers.values())},
        worst_ratio=worst,
        violations=0,  # the check ends the demo at the first one
    )
    (folder / "results.json").write_text(json.dumps(asdict(result), indent=1))
    print_result(result)
    print(f"report                {report}   (one page, opens in any browser, needs no network)")


def show_policy() -> None:
    """Print what the owner of the data allows, without the comments that explain why."""
    say(f"policy: what each column may lose, and why: {POLICY}")
    for name, rule in yaml.safe_load(POLICY.read_text())["columns"].items():
        print(f"    {name:15} {rule if isinstance(rule, str) else ', '.join(f'{k} {v}' for k, v in rule.items())}")


def policy_bounds(table: pa.Table) -> dict[str, Fraction]:
    """The policy's bounds as absolute numbers, read from its text as a person would."""
    bounds = {}
    for name, rule in yaml.safe_load(POLICY.read_text())["columns"].items():
        if "abs" in rule:
            bounds[name] = Fraction(str(rule["abs"]))
        elif "range" in rule:
            bounds.update(range_bounds(table.select([name]), rule["range"]))
    return bounds


def run(*arguments: str | Path, shown: bool = True) -> str:
    """Run a command of latentlake; its output is printed, or returned. A failure ends the demo with its exit code."""
    words = [str(COMMAND), *map(str, arguments)]
    print(f"$ latentlake {' '.join(words[1:])}" if shown else "", end="\n" if shown else "", flush=True)
    started = time.perf_counter()
    done = subprocess.run(words, check=False, text=True, stdout=None if shown else subprocess.PIPE)
    if done.returncode:
        sys.exit(done.returncode)
    if shown:
        print(f"  {time.perf_counter() - started:.1f} s", flush=True)
    return done.stdout or ""


def read(month: Path) -> pa.Table:
    """All files of a month in order."""
    return pa.concat_tables(pq.ParquetFile(path).read() for path in sorted(month.glob("*.parquet"))).combine_chunks()


def remembered(path: Path, table: pa.Table, bounds: Bounds) -> dict[str, int]:
    """Bytes of the peers, from ``path`` when it holds them for this very data, these bounds and this code."""
    code = Path(__file__).parents[2] / "tests" / "benchmarks"
    parts: list[bytes] = [repr(sorted(bounds.items())).encode(), *(p.read_bytes() for p in sorted(code.glob("p*.py")))]
    parts += [buffer for column in table.columns for chunk in column.chunks for buffer in chunk.buffers() if buffer]
    key = _digest(parts)
    if path.exists() and (known := json.loads(path.read_text()))["key"] == key:
        return dict(known["bytes"])
    print("this takes a minute", flush=True)
    sizes = {name: measure(name, [table], bounds).bytes for name in PEERS}
    path.write_text(json.dumps({"key": key, "bytes": sizes}))
    return sizes


def _digest(parts: Iterable[bytes]) -> str:
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part)
    return digest.hexdigest()


def directory_bytes(folder: Path) -> int:
    """Bytes of all files below a folder."""
    return sum((Path(parent) / name).stat().st_size for parent, _, names in os.walk(folder) for name in names)


def print_result(result: Result) -> None:
    """Print the sizes side by side, every one also relative to the lake, and the verdict."""
    rows = [("original: the lake, Parquet with zstd", result.lake), ("  the same rows in memory (Arrow)", result.arrow)]
    rows += result.peers.items()
    rows += [("archive, every byte on disk", result.archive)]
    rows += [(f"  {'model, stored twice' if name == 'models' else name}", size) for name, size in result.parts.items()]
    print(f"\n{'':45}{'bytes':>12}{'of the lake':>14}")
    for label, size in rows:
        print(f"{label:45}{size:12,}{size / result.lake:13.1%}")
    print(f"\nworst error / bound   {result.worst_ratio:.4f}   (1 is allowed)")
    print(f"violations            {result.violations} of {result.cells:,} cells")


def say(text: str) -> None:
    """Print a heading."""
    print(f"\n== {text}", flush=True)


if __name__ == "__main__":
    try:
        main(Path(sys.argv[1] if len(sys.argv) > 1 else "demo"))
    except Violation as violation:
        sys.exit(f"a promise is broken: {violation}")
