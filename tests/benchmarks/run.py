"""Archive against peers at the same bounds: bytes, speed, memory, and the worst error over bound, all measured.

    python -m tests.benchmarks.run [--tables NAME ...] [--ranges 0.01 ...] [--folder demo]

Writes bench/results.json and bench/results.md below the folder and prints the latter. The archive is made by the
command as a user would type it; its bytes are all files below it, its seconds those of the whole command, start-up
and training included. A peer's seconds are those of its calls alone.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from tests.benchmarks.fidelity import Bounds, range_bounds, worst_ratio
from tests.benchmarks.peers import PEERS, QUANTISED_BEST, measure
from tests.benchmarks.tables import TABLES, lake_of

COMMAND = Path(sys.executable).with_name("latentlake")


@dataclass(frozen=True)
class Row:
    """One codec on one table at one range."""

    table: str
    range: str
    codec: str
    bytes: int
    encode_mb_s: float  # of Arrow
    decode_mb_s: float
    worst_ratio: float
    parts: dict[str, int] | None = None  # of the archive: latents, residuals, models, metadata
    training_seconds: float | None = None
    peak_memory: int | None = None  # bytes, the larger of compress and decode


def main() -> None:
    """Measure what the arguments ask for and write the two files."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tables", nargs="+", default=list(TABLES), choices=list(TABLES))
    parser.add_argument("--ranges", nargs="+", default=["0.01", "0.001", "0"])
    parser.add_argument("--folder", type=Path, default=Path("demo"))
    asked = parser.parse_args()
    rows: list[Row] = []
    for name in asked.tables:
        files = TABLES[name](asked.folder)
        parts = [pq.ParquetFile(path).read() for path in files]
        for share in asked.ranges:
            bounds = range_bounds(pa.concat_tables(parts), share)
            rows += [_peer(name, share, peer, parts, bounds) for peer in PEERS]
            rows.append(_archive(name, share, files, parts, bounds, asked.folder / "bench" / "work"))
            print(f"{name}, range {share}: done", file=sys.stderr, flush=True)
            write(rows, asked.folder / "bench")
    print((asked.folder / "bench" / "results.md").read_text())


def _peer(table: str, share: str, peer: str, parts: Sequence[pa.Table], bounds: Bounds) -> Row:
    result = measure(peer, parts, bounds)
    arrow = sum(part.nbytes for part in parts) / 1e6
    speeds = arrow / result.encode_seconds, arrow / result.decode_seconds
    return Row(table, share, peer, result.bytes, *speeds, result.worst_ratio)


def _archive(
    table: str, share: str, files: Sequence[Path], parts: Sequence[pa.Table], bounds: Bounds, work: Path
) -> Row:
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    lake, archive, out = lake_of(files[0]), work / "archive", work / "out"
    made, encoding, encode_memory = _run("compress", lake, archive, "--range", share)
    _, decoding, decode_memory = _run("decode", archive, out)
    ratios = [
        worst_ratio(part, pq.ParquetFile(out / path.relative_to(lake)).read(), bounds)
        for part, path in zip(parts, files, strict=True)
    ]
    arrow = sum(part.nbytes for part in parts) / 1e6
    size = sum(path.stat().st_size for path in archive.rglob("*") if path.is_file())
    totals = _run("ls", archive)[0]["totals"]
    split = {layer: totals[layer] for layer in ("latents", "residuals", "models")}
    return Row(
        table,
        share,
        "latentlake",
        size,
        arrow / encoding,
        arrow / decoding,
        max(ratios),
        {**split, "metadata": size - sum(split.values())},
        (made["model"] or {}).get("seconds"),
        max(encode_memory, decode_memory),
    )


def _run(*arguments: str | Path) -> tuple[dict[str, Any], float, int]:
    """(JSON answer, seconds, peak resident bytes of the process and of those it waited for) of a latentlake command."""
    started = time.perf_counter()
    with subprocess.Popen([COMMAND, *arguments, "--json"], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        answer = process.stdout.read()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"latentlake {arguments[0]} ended with {process.returncode}")
    unit = 1 if sys.platform == "darwin" else 1024
    return json.loads(answer), time.perf_counter() - started, usage.ru_maxrss * unit


def write(rows: Sequence[Row], folder: Path) -> None:
    """Write results.json and results.md."""
    folder.mkdir(parents=True, exist_ok=True)
    machine = f"{os.cpu_count()} cores, {platform.machine()}, {platform.system()}, Python {platform.python_version()}"
    document = {"machine": machine, "command": "make bench", "rows": [asdict(row) for row in rows]}
    (folder / "results.json").write_text(json.dumps(document, indent=1))
    (folder / "results.md").write_text(markdown(rows, machine))


def markdown(rows: Sequence[Row], machine: str) -> str:
    """The rows as tables, one for each lake and range; sizes also against the strongest simple peer."""
    lines = [f"Measured by `make bench` on {machine}; MB/s of Arrow; worst = largest error over bound."]
    for table, share in dict.fromkeys((row.table, row.range) for row in rows):
        chosen = [row for row in rows if (row.table, row.range) == (table, share)]
        peer = next(row.bytes for row in chosen if row.codec == QUANTISED_BEST)
        lines += ["", f"**{table}, range {share}**", "", "| codec | bytes | of peer | encode | decode | worst |"]
        lines.append("|---|---:|---:|---:|---:|---:|")
        for row in chosen:
            speeds = f"{row.encode_mb_s:.3g} | {row.decode_mb_s:.3g}"
            ratio = f"{row.bytes / peer:.3f}"
            lines.append(f"| {row.codec} | {row.bytes:,} | {ratio} | {speeds} | {row.worst_ratio:.4f} |")
            lines += [f"| – {name} | {size:,} | {size / peer:.3f} | | | |" for name, size in (row.parts or {}).items()]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
