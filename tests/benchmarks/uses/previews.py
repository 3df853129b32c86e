"""What latents alone give back, against principal components: at as many bytes, and at as many dimensions.

Columns are compared one by one too. Principal components are those of standardised numbers and one-hot categories;
their scores are rounded and coded by the best of pcodec, zstd and xz, at equal bytes as coarsely as it takes, for the
number of components that is best; at equal dimensions they are not rounded at all, as people use them, so that their
bytes are many more.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa

from ae_core.codec import Codec
from ae_core.kernels.frozen import PreviewHead
from ae_core.pipeline import encode_block
from ae_core.uses.previews import PreviewError, pca_exact, pca_preview, preview_error
from tests.benchmarks.previews import codes_and_previews
from tests.benchmarks.uses.data import Figures, archived_codec, blocks_of, flights, labelled, open_table, train

NAMES = ("diamonds", "weather, one file")
MONTHS = (1, 2, 3)
LISTED = 20  # columns of a table that are listed one by one
HEAD = ("table", "column", "bytes", "d", "ours", "PCA, equal bytes", "PCA, equal d", "in")


def _tables(folder: Path) -> Iterator[tuple[str, Codec, list[pa.Table]]]:
    """Tables with their models: of flights that of the demo's archive, of the others one of their own."""
    codec = archived_codec(folder)
    yield "flights, three months", codec, blocks_of(flights(folder, MONTHS, codec))
    tables = {name: open_table(folder, name) for name in NAMES}
    tables |= {name: labelled(name)[0] for name in ("breast_cancer", "digits")}
    for name, table in tables.items():
        yield name, train(table), blocks_of(table)


def compare(name: str, codec: Codec, blocks: list[pa.Table]) -> list[tuple[object, ...]]:
    """A row for all numbers, one for all categories, the columns on which we are ahead, each column if they are few."""
    assert codec.network is not None
    names, heads, true, ours = codes_and_previews(codec, blocks)
    size, d = sum(len(encode_block(codec, block).latents or b"") for block in blocks), codec.network.latent_dims
    guesses = [ours, pca_preview(heads, true, size)[0], pca_exact(heads, true, d)]
    means = [preview_error(heads, true, guess, size) for guess in guesses]
    lines: list[tuple[object, ...]] = [
        (name, "all numbers", f"{size:,}", d, *(f"{one.numeric:.2f}" for one in means), "error, % of range"),
    ]
    if not all(head.ordinal for head in heads):
        lines.append((name, "all categories", f"{size:,}", d, *(f"{one.accuracy:.1f}" for one in means), "right, %"))
    print(*lines, sep="\n", flush=True)
    columns: list[tuple[object, ...]] = []
    for place, head in enumerate(heads):
        if head.levels > 1:
            found = [_one(head, true[:, place], guess[:, place]) for guess in guesses]
            figures = [one.numeric if head.ordinal else one.accuracy for one in found]
            how = "error, % of range" if head.ordinal else "right, %"
            columns.append((name, names[place], "", "", *(f"{one:.2f}" for one in figures), how))
    return [*lines, ahead(columns), *(columns if len(columns) <= LISTED else ())]


def ahead(columns: list[tuple[object, ...]]) -> tuple[object, ...]:
    """A row that tells on how many of the columns ours is better than each peer; a tie is no win."""

    def wins(peer: int) -> int:
        pairs = [(float(str(line[4])), float(str(line[peer])), str(line[-1])) for line in columns]
        return sum(mine < other if how.startswith("error") else mine > other for mine, other, how in pairs)

    found = (f"ours on {wins(peer)} of {len(columns)}" for peer in (5, 6))
    return (columns[0][0], "columns ahead", "", "", "", *found, "")


def _one(head: PreviewHead, true: np.ndarray, guess: np.ndarray) -> PreviewError:
    return preview_error([head], true[:, None], guess[:, None], 0)


def run(folder: Path) -> Figures:
    """All tables."""
    return Figures(HEAD, [line for table in _tables(folder) for line in compare(*table)])
