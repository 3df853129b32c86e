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
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from fractions import Fraction
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import yaml

from infra.demo import flights
from tests.benchmarks.fidelity import Bounds, Violation, range_bounds, worst_ratio
from tests.benchmarks.peers import PEERS, QUANTISED_BEST, Peer, measure

POLICY = Path(os.path.relpath(Path(__file__).with_name("policy.yaml")))
COMMAND = Path(sys.executable).with_name("latentlake")
SIMPLE = {name: PEERS[name] for name in ("Parquet zstd-19", QUANTISED_BEST)}


@dataclass(frozen=True)
class Example:
    """A row of the first month in some columns: (column, original, rebuilt, allowed error) as text."""

    row: int
    cells: tuple[tuple[str, str, str, str], ...]


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
    compressed: str  # the last line that compress printed when it trained; empty where an older archive was at hand
    listed: str  # what ls and decode printed last
    decoded: str
    examples: tuple[Example, ...]


def main(folder: Path, peers: Mapping[str, Peer] | None = None) -> Result:
    """Run the demo in ``folder`` beside these peers; what an earlier run left there is used again."""
    lake, _ = flights.prepare(folder)
    archive, decoded, report = folder / "archive", folder / "decoded", folder / "report.html"
    show_policy()

    say("compress: train once, then one archive partition a month; months that are archived already are skipped")
    said = run("compress", lake, archive, "--policy", POLICY)
    if "archived and unchanged" not in said:
        remember(folder / "compressed.txt", said)
    say("ls: what is in the archive")
    listed = run("ls", archive)

    say("decode: every month back to Parquet")
    shutil.rmtree(decoded, ignore_errors=True)
    restored = run("decode", archive, decoded)
    say("verify --deep: every stored byte against its SHA-256, every rebuilt cell against the recorded digest")
    run("verify", archive, "--deep")
    say("audit: the loss of every column, measured against the originals")
    report.unlink(missing_ok=True)
    shutil.rmtree(report.with_suffix(".pages"), ignore_errors=True)
    run("audit", archive, "--lake", lake, "--html", report)

    months = sorted(lake.glob("month=*"), key=lambda path: int(path.name.partition("=")[2]))
    originals = [read(month) for month in months]
    year = pa.concat_tables(originals)
    bounds = policy_bounds(year)
    say("check: decoded against original, cell by cell, without the project's own code")
    worst = max(worst_ratio(table, read(decoded / m.name), bounds) for table, m in zip(originals, months, strict=True))
    print(f"{year.num_rows:,} rows, {year.num_rows * year.num_columns:,} cells: none outside its bound", flush=True)

    say("peers: the same year at the same bounds as one file each (measured once, then remembered)")
    sizes = remembered(folder / "cache" / "peers.json", year, bounds, peers or SIMPLE)
    totals = json.loads(run("ls", archive, "--json", shown=False))["totals"]
    layers = {name: int(totals[name]) for name in ("latents", "residuals", "models")}
    size = directory_bytes(archive)
    result = Result(
        rows=year.num_rows,
        cells=year.num_rows * year.num_columns,
        lake=directory_bytes(lake),
        arrow=year.nbytes,
        peers=sizes,
        archive=size,
        parts={**layers, "metadata": size - sum(layers.values())},
        worst_ratio=worst,
        violations=0,  # the check ends the demo at the first one
        compressed=last_line((folder / "compressed.txt").read_text()) if (folder / "compressed.txt").exists() else "",
        listed=next(line for line in listed.splitlines() if line.startswith("snapshot")),
        decoded=last_line(restored),
        examples=examples(originals[0], read(decoded / months[0].name), bounds),
    )
    (folder / "results.json").write_text(json.dumps(asdict(result), indent=1))
    print_result(result)
    print(f"report                {report}   (opens in any browser, needs no network)")
    return result


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
    if shown:
        print(f"$ latentlake {' '.join(words[1:])}", flush=True)
    started = time.perf_counter()
    done = subprocess.run(words, check=False, text=True, stdout=subprocess.PIPE)
    if shown:
        print(done.stdout, end="", flush=True)
    if done.returncode:
        sys.exit(done.returncode)
    if shown:
        print(f"  {time.perf_counter() - started:.1f} s", flush=True)
    return done.stdout


def remember(path: Path, text: str) -> None:
    """Keep what a run printed that later ones do not say again."""
    path.write_text(text, encoding="utf-8")


def last_line(text: str) -> str:
    """The last line of a command's output."""
    return text.strip().rpartition("\n")[2].strip()


SHOWN = ("carrier", "dep_delay", "air_time", "distance")


def examples(original: pa.Table, rebuilt: pa.Table, bounds: Bounds) -> tuple[Example, ...]:
    """Three rows with the largest error of their kind: in a delay, beside a null, and in a distance."""
    moved = {
        name: pc.fill_null(pc.abs(pc.subtract(original[name].cast("int64"), rebuilt[name].cast("int64"))), 0)
        for name in ("dep_delay", "distance")
    }
    null = original["air_time"].is_null()
    delayed = pc.if_else(null, pc.add(moved["dep_delay"], 1_000), moved["dep_delay"])
    rows = [pc.index(column, pc.max(column)).as_py() for column in (moved["dep_delay"], delayed, moved["distance"])]
    return tuple(Example(row, tuple(_shown(name, row, original, rebuilt, bounds) for name in SHOWN)) for row in rows)


def _shown(name: str, row: int, original: pa.Table, rebuilt: pa.Table, bounds: Bounds) -> tuple[str, str, str, str]:
    return name, _text(original[name][row]), _text(rebuilt[name][row]), _allowed(bounds.get(name))


def _text(cell: pa.Scalar) -> str:
    return "null" if not cell.is_valid else str(cell)


def _allowed(bound: Fraction | None) -> str:
    return "exact" if not bound else f"±{float(bound):.4g}"


def read(month: Path) -> pa.Table:
    """All files of a month in order."""
    return pa.concat_tables(pq.ParquetFile(path).read() for path in sorted(month.glob("*.parquet"))).combine_chunks()


def remembered(path: Path, table: pa.Table, bounds: Bounds, peers: Mapping[str, Peer]) -> dict[str, int]:
    """Bytes of the peers, from ``path`` when it holds them for this very data, these bounds and this code."""
    code = Path(__file__).parents[2] / "tests" / "benchmarks"
    parts: list[bytes] = [
        repr(sorted(bounds.items())).encode(),
        *(p.read_bytes() for p in sorted(code.glob("p*.py"))),
    ]
    parts += [buffer for column in table.columns for chunk in column.chunks for buffer in chunk.buffers() if buffer]
    key = _digest(parts)
    known = json.loads(path.read_text()) if path.exists() else {}
    sizes: dict[str, int] = dict(known["bytes"]) if known.get("key") == key else {}
    missing = [name for name in peers if name not in sizes]
    if missing:
        print("this takes a minute, for the autoencoder some", flush=True)
    for name in missing:
        sizes[name] = measure(name, [table], bounds, peers).bytes
        path.write_text(json.dumps({"key": key, "bytes": sizes}))
    return {name: sizes[name] for name in peers}


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
