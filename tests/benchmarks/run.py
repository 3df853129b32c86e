"""Archive against peers at the same bounds: bytes, speed, memory, and the worst error over bound, all measured.

    python -m tests.benchmarks.run [--tables NAME ...] [--ranges 0.01 ...] [--folder demo] [--fresh]

Writes bench/results.json, bench/results.md and plots below the folder and prints the second. The archive is made by
the command as a user would type it; its bytes are all files below it, its seconds those of the whole command, start-up
and training included. A peer's seconds are those of its calls alone. What a peer measured before, on the same table
with the same versions, is taken from bench/peers.json; --fresh measures it again.
"""

from __future__ import annotations

import argparse
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from tests.benchmarks import plots, results
from tests.benchmarks.cache import PeerCache, digest_of, key_of
from tests.benchmarks.command import run, size_below
from tests.benchmarks.fidelity import Bounds, range_bounds, worst_ratio
from tests.benchmarks.more_peers import ALL_PEERS, MISSING
from tests.benchmarks.peers import measure
from tests.benchmarks.results import ARCHIVE, Row
from tests.benchmarks.tables import TABLES, lake_of


def main() -> None:
    """Measure what the arguments ask for and write the files."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tables", nargs="+", default=list(TABLES), choices=list(TABLES))
    parser.add_argument("--ranges", nargs="+", default=["0.01", "0.001", "0"])
    parser.add_argument("--folder", type=Path, default=Path("demo"))
    parser.add_argument("--fresh", action="store_true", help="measure peers again that were measured before")
    asked = parser.parse_args()
    bench = asked.folder / "bench"
    missing = [f"{name} ({how})" for name, how in MISSING.items()]
    print(*(f"left out: {name}" for name in missing), sep="\n", file=sys.stderr, end="\n" if missing else "")
    cache = PeerCache(bench / "peers.json")
    rows: list[Row] = []
    for name in asked.tables:
        files = TABLES[name](asked.folder)
        parts = [pq.ParquetFile(path).read() for path in files]
        for share in asked.ranges:
            bounds = range_bounds(pa.concat_tables(parts), share)
            rows += peer_rows(name, share, parts, bounds, cache, fresh=asked.fresh)
            rows.append(archive_row(name, share, files, parts, bounds, bench / "work"))
            print(f"{name}, range {share}: done", file=sys.stderr, flush=True)
            results.write(rows, missing, bench)
    plots.draw(rows, bench)
    print((bench / "results.md").read_text())


def peer_rows(
    table: str, share: str, parts: Sequence[pa.Table], bounds: Bounds, cache: PeerCache, *, fresh: bool
) -> list[Row]:
    """A row of every peer that suits the table, measured or remembered."""
    digest = digest_of(parts)
    arrow = sum(part.nbytes for part in parts) / 1e6
    rows = []
    for name, peer in ALL_PEERS.items():
        if peer.trained and len(parts) > 1:
            continue
        key = key_of(digest, share, name, peer)
        found = None if fresh else cache.get(key)
        result = found or measure(name, parts, bounds, ALL_PEERS)
        if found is None:
            cache.put(key, result)
            print(f"{table}, range {share}: {name} {result.bytes:,} bytes", file=sys.stderr, flush=True)
        speeds = arrow / result.encode_seconds, arrow / result.decode_seconds
        rows.append(Row(table, share, name, result.bytes, *speeds, result.worst_ratio, remembered=found is not None))
    return rows


def archive_row(
    table: str, share: str, files: Sequence[Path], parts: Sequence[pa.Table], bounds: Bounds, work: Path
) -> Row:
    """The archive, made anew below ``work``, decoded, and every cell checked."""
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    lake, archive, out = lake_of(files[0]), work / "archive", work / "out"
    made = run("compress", lake, archive, "--range", share)
    decoded = run("decode", archive, out)
    ratios = [
        worst_ratio(part, pq.ParquetFile(out / path.relative_to(lake)).read(), bounds)
        for part, path in zip(parts, files, strict=True)
    ]
    arrow = sum(part.nbytes for part in parts) / 1e6
    size = size_below(archive)
    listing = run("ls", archive).answer
    split = {layer: listing["totals"][layer] for layer in ("latents", "residuals", "models")}
    model = sum(each["bytes"] for each in listing["models"])
    return Row(
        table,
        share,
        ARCHIVE,
        size,
        arrow / made.seconds,
        arrow / decoded.seconds,
        max(ratios),
        {**split, "metadata": size - sum(split.values())},
        split["latents"] + split["residuals"] + model,
        sum(model["seconds"] for model in made.answer["models"]),
        max(made.peak_memory, decoded.peak_memory),
    )


if __name__ == "__main__":
    main()
