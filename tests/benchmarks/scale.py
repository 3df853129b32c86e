"""How bytes, time and memory grow with rows and with columns.

    python -m tests.benchmarks.scale [--rows 10000 100000 ...] [--columns 5 50 ...] [--shapes 5000x2000 ...]
        [--folder demo]

Rows: the three million flights in their own order, again from the start where they end, in partitions of a million
rows. Columns: the first 50,000 of them, their five columns followed by noisy copies of these. Shapes: the widest and
the longest table that memory is promised for, and a tenth of each. Every number may err by 1 % of its range, everything
else is exact, and every decoded cell is checked. Writes bench/scale.json, scale.md and scale.png below the folder after
each point; the largest take long.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from tests.benchmarks.command import run, size_below
from tests.benchmarks.fidelity import range_bounds, worst_ratio
from tests.benchmarks.results import machine
from tests.benchmarks.tables import TABLES

ROWS = (10_000, 100_000, 1_000_000, 3_000_000, 10_000_000, 30_000_000)
COLUMNS = (5, 20, 50, 100, 200, 500)
SHAPES = ("5000x200", "5000x2000", "2000000x10", "20000000x10")  # a tenth of the widest and longest, then these
PARTITION_ROWS = 1_000_000
COLUMNS_ROWS = 50_000
RANGE = "0.01"
_NOISE = 0.05  # share of a copy's cells that differ in words and dates; of the spread in numbers


@dataclass(frozen=True)
class Point:
    """One archive: its size, what it cost to make and to read, and that it kept its bounds."""

    axis: str  # rows, columns or shape
    rows: int
    columns: int
    bytes: int
    layers_and_model: int
    training_seconds: float
    encode_seconds: float  # of the command, training left out
    decode_seconds: float
    encode_memory: int  # peak, bytes
    decode_memory: int
    worst_ratio: float

    @property
    def cells(self) -> int:
        """Cells of the table."""
        return self.rows * self.columns


def main() -> None:
    """Measure the points that the arguments ask for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", nargs="*", type=int, default=list(ROWS), help="none: leave the curve of rows out")
    parser.add_argument("--columns", nargs="*", type=int, default=list(COLUMNS), help="none: leave this curve out")
    parser.add_argument("--shapes", nargs="*", default=list(SHAPES), help="rows x columns; none: leave these out")
    parser.add_argument("--folder", type=Path, default=Path("demo"))
    asked = parser.parse_args()
    bench = asked.folder / "bench"
    (source,) = TABLES["flights-3m"](asked.folder)
    table = pq.ParquetFile(source).read()
    points: list[Point] = []
    plans = [("rows", table, rows) for rows in asked.rows]
    plans += [("columns", widened(table.slice(0, COLUMNS_ROWS), columns), COLUMNS_ROWS) for columns in asked.columns]
    for rows, columns in (map(int, shape.split("x")) for shape in asked.shapes):
        plans.append(("shape", widened(table.slice(0, rows), columns), rows))
    for axis, base, rows in plans:
        points.append(measure(axis, base, rows, bench / "work"))
        print(f"{axis} {rows:,} x {base.num_columns}: done", file=sys.stderr, flush=True)
        write(points, bench)
    print((bench / "scale.md").read_text())


def widened(table: pa.Table, columns: int) -> pa.Table:
    """The first columns of the table, then noisy copies of its columns in turn; the same every time."""
    made = {name: table[name] for name in table.column_names[:columns]}
    for number in range(table.num_columns, columns):
        random = np.random.default_rng(number)
        name = table.column_names[number % table.num_columns]
        made[f"{name}_{number}"] = _noisy(table[name], random)
    return pa.table(made)


def _noisy(column: pa.ChunkedArray, random: np.random.Generator) -> pa.ChunkedArray:
    """Numbers moved by a normal error, whole numbers kept whole; elsewhere some cells are those of other rows."""
    if pa.types.is_integer(column.type) or pa.types.is_floating(column.type):
        values = column.to_numpy()
        moved = values + random.normal(0, _NOISE * (np.nanstd(values) + 1), len(values))
        return pa.chunked_array([pa.array(np.rint(moved) if pa.types.is_integer(column.type) else moved, column.type)])
    rows = np.arange(len(column))
    others = random.random(len(rows)) < _NOISE
    rows[others] = random.integers(0, len(rows), others.sum())
    return column.take(pa.array(rows))


def repeated(table: pa.Table, rows: int, size: int = PARTITION_ROWS) -> Iterator[pa.Table]:
    """Rows of the table in order, from the start again where it ends, in parts of at most ``size`` rows."""
    for first in range(0, rows, size):
        left, at, pieces = min(size, rows - first), first % table.num_rows, []
        while left:
            piece = table.slice(at, left)
            pieces.append(piece)
            left, at = left - piece.num_rows, 0
        yield pa.concat_tables(pieces)


def measure(axis: str, table: pa.Table, rows: int, work: Path) -> Point:
    """One point, everything made anew below ``work``."""
    shutil.rmtree(work, ignore_errors=True)
    lake, archive, out = work / "lake", work / "archive", work / "out"
    names = []
    for number, part in enumerate(repeated(table, rows)):
        name = Path(f"part={number}") / "part-0.parquet"
        (lake / name).parent.mkdir(parents=True)
        pq.write_table(part, lake / name, compression="zstd")
        names.append(name)
    made = run("compress", lake, archive, "--range", RANGE)
    decoded = run("decode", archive, out)
    bounds = range_bounds(table.slice(0, rows), RANGE)
    worst = max(
        worst_ratio(pq.ParquetFile(lake / name).read(), pq.ParquetFile(out / name).read(), bounds) for name in names
    )
    listing = run("ls", archive).answer
    model = sum(each["bytes"] for each in listing["models"])
    training = sum(model["seconds"] for model in made.answer["models"])
    point = Point(
        axis,
        rows,
        table.num_columns,
        size_below(archive),
        listing["totals"]["latents"] + listing["totals"]["residuals"] + model,
        training,
        made.seconds - training,
        decoded.seconds,
        made.peak_memory,
        decoded.peak_memory,
        worst,
    )
    shutil.rmtree(work)
    return point


def write(points: Sequence[Point], folder: Path) -> None:
    """Write scale.json, scale.md and scale.png."""
    folder.mkdir(parents=True, exist_ok=True)
    document = {"machine": machine(), "range": RANGE, "points": [asdict(point) for point in points]}
    (folder / "scale.json").write_text(json.dumps(document, indent=1))
    (folder / "scale.md").write_text(markdown(points))
    draw(points, folder / "scale.png")


def markdown(points: Sequence[Point]) -> str:
    """The points as tables, with the cost of a cell, which is flat where the cost grows with the cells alone."""
    lines = [f"Measured by `make bench-scale` on {machine()}, range {RANGE}; encode is the command without training."]
    for axis in dict.fromkeys(point.axis for point in points):
        lines += ["", f"**By {axis}**", ""]
        lines.append(
            "| rows | columns | bytes | layers, model | train s | encode s | decode s | encode MB | decode MB | worst "
            "| bytes a cell | encode ns a cell | decode ns a cell | all ns a cell |"
        )
        lines.append("|" + "---:|" * 14)
        for point in (point for point in points if point.axis == axis):
            whole = point.training_seconds + point.encode_seconds
            cells = [1e9 * seconds / point.cells for seconds in (point.encode_seconds, point.decode_seconds, whole)]
            lines.append(
                f"| {point.rows:,} | {point.columns} | {point.bytes:,} | {point.layers_and_model:,} "
                f"| {point.training_seconds:.1f} | {point.encode_seconds:.1f} | {point.decode_seconds:.1f} "
                f"| {point.encode_memory / 1e6:,.0f} | {point.decode_memory / 1e6:,.0f} | {point.worst_ratio:.4f} "
                f"| {point.bytes / point.cells:.4f} | {cells[0]:,.0f} | {cells[1]:,.0f} | {cells[2]:,.0f} |"
            )
    return "\n".join(lines) + "\n"


_PANELS: Sequence[tuple[str, Sequence[tuple[str, Callable[[Point], float]]]]] = (
    ("bytes a cell", [("all", lambda p: p.bytes / p.cells), ("layers, model", lambda p: p.layers_and_model / p.cells)]),
    ("training seconds", [("train", lambda p: p.training_seconds)]),
    ("encode ns a cell", [("without training", lambda p: 1e9 * p.encode_seconds / p.cells)]),
    ("decode ns a cell", [("decode", lambda p: 1e9 * p.decode_seconds / p.cells)]),
    ("peak MB", [("encode", lambda p: p.encode_memory / 1e6), ("decode", lambda p: p.decode_memory / 1e6)]),
)


def draw(points: Sequence[Point], path: Path) -> None:
    """A row of panels for each axis."""
    axes = list(dict.fromkeys(point.axis for point in points))
    figure = Figure(figsize=(4 * len(_PANELS), 3.2 * len(axes)), layout="constrained")
    for axis, panels in zip(axes, figure.subplots(len(axes), len(_PANELS), squeeze=False), strict=True):
        chosen = sorted((point for point in points if point.axis == axis), key=lambda point: point.cells)
        for panel, (label, lines) in zip(panels, _PANELS, strict=True):
            for name, value in lines:
                panel.plot(
                    [getattr(point, axis, point.cells) for point in chosen],
                    [value(p) for p in chosen],
                    "o-",
                    label=name,
                )
            panel.set_xscale("log")
            panel.set_ylim(bottom=0)
            panel.set_xlabel("cells" if axis == "shape" else axis)
            panel.set_title(label)
            panel.legend()
    FigureCanvasAgg(figure).print_png(path)


if __name__ == "__main__":
    main()
