"""Previews from latents against PCA whose coded scores take as many bytes, and against means and modes.

    python -m tests.benchmarks.previews [--tables NAME ...] [--range 0.01] [--folder demo]

Prints a Markdown table and writes it to bench/previews.md below the folder. A network is trained for every table, small
ones included (`latents: always`); its latents' bytes are those that the archive would hold.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from ae_core.codec import Codec
from ae_core.columns import Codes, encode_columns
from ae_core.fitting import train_codec
from ae_core.jobs.sampling import SAMPLE_CELLS
from ae_core.kernels.encoder import encode_latents
from ae_core.kernels.frozen import PreviewHead
from ae_core.kernels.preview import preview_codes
from ae_core.lake import BLOCK_ROWS
from ae_core.pipeline import encode_block
from ae_core.policy import policy_from_range, resolve
from ae_core.uses.previews import PreviewError, constant_preview, pca_preview, preview_error
from tests.benchmarks.fidelity import finite_extremes
from tests.benchmarks.tables import TABLES

DEFAULT = ("flights, 12 months", "diamonds", "flights-3m, first million", "weather, one file")


def codes_and_previews(codec: Codec, blocks: Iterable[pa.Table]) -> tuple[list[str], list[PreviewHead], Codes, Codes]:
    """Names, heads, codes and previewed codes (rows, columns) of the columns that no side stream tells."""
    assert codec.network is not None
    codes, shown = [], []
    for block in blocks:
        encoded = encode_columns(codec.plan, block.replace_schema_metadata(codec.plan.schema.metadata))
        codes.append(encoded.shown)
        shown.append(preview_codes(codec.network.preview, encode_latents(codec.network.encoder, encoded.symbols)))
    columns = [codec.plan.columns[index] for index in codec.plan.domain_columns]
    told = [place for place, c in enumerate(columns) if not c.given and c.coder != "linear"]
    heads = [codec.network.preview.heads[place] for place in told]
    names = [columns[place].name for place in told]
    return names, heads, np.concatenate(codes)[:, told], np.concatenate(shown)[:, told]


def compared(codec: Codec, blocks: Iterable[pa.Table], size: int) -> tuple[PreviewError, PreviewError, PreviewError]:
    """Errors of our preview, of constants and of PCA at `size` bytes, over the columns that no side stream tells."""
    _, heads, true, guess = codes_and_previews(codec, blocks)
    constant = preview_error(heads, true, constant_preview(heads, true), 0)
    return preview_error(heads, true, guess, size), constant, pca_preview(heads, true, size)[1]


def measure(parts: Sequence[pa.Table], share: str) -> tuple[PreviewError, PreviewError, PreviewError]:
    """`compared` for a table, by a network of its own; of a long one for as many blocks as a training takes."""
    most = SAMPLE_CELLS // parts[0].num_columns
    blocks = [part.slice(at, BLOCK_ROWS).combine_chunks() for part in parts for at in range(0, len(part), BLOCK_ROWS)]
    ends = np.cumsum([len(block) for block in blocks])
    blocks = blocks[: int(np.searchsorted(ends, most)) + 1]
    table = pa.concat_tables(blocks)
    policy = resolve(policy_from_range(share), table.schema, finite_extremes(table))
    codec, _ = train_codec(table.schema, blocks, policy, rows_served=len(table), latents="always")
    size = sum(len(encode_block(codec, block).latents or b"") for block in blocks)
    return compared(codec, blocks, size)


def main() -> None:
    """Measure what the arguments ask for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tables", nargs="+", default=list(DEFAULT), choices=list(TABLES))
    parser.add_argument("--range", default="0.01")
    parser.add_argument("--folder", type=Path, default=Path("demo"))
    asked = parser.parse_args()
    lines = ["| table | bytes | numbers off by, % of range: ours, PCA, median | right categories, %: ours, PCA, mode |"]
    lines.append("|---|---:|---|---|")
    for name in asked.tables:
        parts = [pq.ParquetFile(path).read() for path in TABLES[name](asked.folder)]
        ours, constant, pca = measure(parts, asked.range)
        numbers = ", ".join(f"{error.numeric:.2f}" for error in (ours, pca, constant))
        categories = ", ".join(f"{error.accuracy:.1f}" for error in (ours, pca, constant))
        lines.append(f"| {name} | {ours.size:,} | {numbers} | {categories} |")
        print(lines[-1], flush=True)
    folder = asked.folder / "bench"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "previews.md").write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
