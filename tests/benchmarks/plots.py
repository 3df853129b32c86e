"""Pictures of results.json: bytes and speed of every codec.

python -m tests.benchmarks.plots [--folder demo]
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Sequence
from pathlib import Path

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from tests.benchmarks import results
from tests.benchmarks.results import ARCHIVE, Row

PEER_COLOUR, OWN_COLOUR = "#9aa5b1", "#1f6f8b"


def main() -> None:
    """Draw the results that lie in the folder."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, default=Path("demo"))
    bench = parser.parse_args().folder / "bench"
    for path in draw(results.read(bench), bench):
        print(path)


def draw(rows: Sequence[Row], folder: Path) -> list[Path]:
    """Write bytes.png and speed.png and return their paths."""
    return [_bytes(rows, folder / "bytes.png"), _speeds(rows, folder / "speed.png")]


def _bytes(rows: Sequence[Row], path: Path) -> Path:
    """Horizontal bars of the bytes, a panel for each table and range."""
    tables, shares = (list(dict.fromkeys(getattr(row, name) for row in rows)) for name in ("table", "range"))
    figure = Figure(figsize=(6 * len(shares), 2.6 * len(tables)), layout="constrained")
    panels = figure.subplots(len(tables), len(shares), squeeze=False)
    for row_of_panels, table in zip(panels, tables, strict=True):
        for panel, share in zip(row_of_panels, shares, strict=True):
            chosen = [row for row in rows if (row.table, row.range) == (table, share)]
            bars = [(row.codec, row.bytes, row.codec == ARCHIVE) for row in chosen]
            layers = [row.layers_and_model for row in chosen if row.layers_and_model]
            bars += [(f"{ARCHIVE}, layers and one model", size, True) for size in layers]
            colours = [OWN_COLOUR if own else PEER_COLOUR for *_, own in bars]
            drawn = panel.barh([name for name, *_ in bars], [size / 1e6 for _, size, _ in bars], color=colours)
            panel.bar_label(drawn, [f"{size / 1e6:.3g}" for _, size, _ in bars], padding=3, fontsize=7)
            panel.invert_yaxis()
            panel.set_title(f"{table}, range {share}", fontsize=9)
            panel.set_xlabel("MB", fontsize=8)
            panel.tick_params(labelsize=7)
            panel.margins(x=0.15)
    return _saved(figure, path)


def _speeds(rows: Sequence[Row], path: Path) -> Path:
    """Encoding and decoding speed of every codec: geometric means over tables and ranges."""
    codecs = list(dict.fromkeys(row.codec for row in rows))
    figure = Figure(figsize=(9, 0.5 * len(codecs) + 1.5), layout="constrained")
    panel = figure.subplots()
    for offset, field in ((-0.2, "encode_mb_s"), (0.2, "decode_mb_s")):
        means = []
        for codec in codecs:
            speeds = [math.log(getattr(row, field)) for row in rows if row.codec == codec]
            means.append(math.exp(sum(speeds) / len(speeds)))
        drawn = panel.barh([at + offset for at in range(len(codecs))], means, 0.36, label=field.split("_")[0])
        panel.bar_label(drawn, [f"{mean:.3g}" for mean in means], padding=3, fontsize=7)
    panel.set_yticks(range(len(codecs)), codecs)
    panel.invert_yaxis()
    panel.set_xscale("log")
    panel.margins(x=0.15)
    panel.set_xlabel("MB of Arrow a second, geometric mean; latentlake with start-up and training")
    panel.legend()
    return _saved(figure, path)


def _saved(figure: Figure, path: Path) -> Path:
    FigureCanvasAgg(figure).print_png(path)
    return path


if __name__ == "__main__":
    main()
