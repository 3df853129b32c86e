"""Tables, their models, and how the peers see them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

import ae_core
from ae_core.codec import Codec
from ae_core.fitting import train_codec
from ae_core.lake import BLOCK_ROWS
from ae_core.policy import policy_from_range, resolve
from tests.benchmarks.fidelity import finite_extremes
from tests.benchmarks.tables import TABLES

Matrix = npt.NDArray[np.float64]
Records = list[dict[str, object]]
RANGE = "0.01"
ONE_HOT = 32  # categories of a column beyond these share one indicator


def blocks_of(table: pa.Table) -> list[pa.Table]:
    """Blocks as an archive would hold them."""
    return [table.slice(at, BLOCK_ROWS).combine_chunks() for at in range(0, table.num_rows, BLOCK_ROWS)]


def train(table: pa.Table, *, seed: int = 0) -> Codec:
    """A network for the table, numbers within 1 % of their range; however small it is."""
    policy = resolve(policy_from_range(RANGE), table.schema, finite_extremes(table))
    codec, _ = train_codec(
        table.schema, blocks_of(table), policy, rows_served=table.num_rows, seed=seed, latents="always"
    )
    return codec


def archived_codec(folder: Path) -> Codec:
    """The model of the demo's archive of a year of flights."""
    archive = ae_core.open_archive(str(folder / "archive"))
    return archive.codec(archive.partitions()[0].manifest)


def flights(folder: Path, months: Sequence[int], codec: Codec | None = None) -> pa.Table:
    """Months of the demo's lake, in the schema of a model."""
    parts = [pq.ParquetFile(folder / "flights" / f"month={month}" / "part-0.parquet").read() for month in months]
    table = pa.concat_tables(parts).combine_chunks()
    return table if codec is None else table.cast(codec.plan.schema)


def open_table(folder: Path, name: str) -> pa.Table:
    """A table of `make bench` that is one file."""
    return pa.concat_tables(pq.ParquetFile(path).read() for path in TABLES[name](folder)).combine_chunks()


def shuffled(table: pa.Table, seed: int = 0) -> pa.Table:
    """The rows in random order."""
    return table.take(pa.array(np.random.default_rng(seed).permutation(table.num_rows)))


def labelled(name: str) -> tuple[pa.Table, npt.NDArray[np.int64]]:
    """A labelled set that scikit-learn ships."""
    from sklearn import datasets

    found: Any = getattr(datasets, f"load_{name}")()
    columns = {f"x{i}": pa.array(column.astype(np.float64)) for i, column in enumerate(found.data.T)}
    return pa.table(columns), found.target.astype(np.int64)


@dataclass(frozen=True)
class View:
    """How a peer sees a table: standardised numbers, nulls at the mean and marked; categories one-hot."""

    numbers: dict[str, tuple[float, float, bool]]  # mean, deviation, whether some are null
    words: dict[str, list[Any]]

    @classmethod
    def of(cls, table: pa.Table) -> View:
        """Fitted on these rows."""
        numbers, words = {}, {}
        for name in table.column_names:
            cells = as_numbers(table.column(name))
            if cells is None:
                counts = sorted(pc.value_counts(table.column(name)).to_pylist(), key=lambda one: -one["counts"])
                words[name] = [one["values"] for one in counts[:ONE_HOT]]
                continue
            known = cells[~np.isnan(cells)]
            spread = float(known.std()) if len(known) else 0.0
            numbers[name] = (float(known.mean()) if len(known) else 0.0, spread or 1.0, len(known) < len(cells))
        return cls(numbers, words)

    def matrix(self, table: pa.Table) -> Matrix:
        """(rows, features)."""
        parts: list[Matrix] = []
        for name, (mean, spread, nulls) in self.numbers.items():
            cells = as_numbers(table.column(name))
            assert cells is not None
            missing = np.isnan(cells)
            parts.append(np.where(missing, 0.0, (cells - mean) / spread)[:, None])
            if nulls:
                parts.append(missing.astype(np.float64)[:, None])
        for name, listed in self.words.items():
            found = pc.index_in(table.column(name), value_set=pa.array(listed, table.schema.field(name).type))
            place = np.asarray(found.fill_null(len(listed)))
            parts.append((place[:, None] == np.arange(len(listed) + 1)).astype(np.float64))
        return np.concatenate(parts, 1)


def as_numbers(column: pa.ChunkedArray) -> Matrix | None:
    """Cells as floats, nulls NaN; None for texts."""
    kind = column.type
    if pa.types.is_timestamp(kind):
        column, kind = column.cast(pa.int64()), pa.int64()
    if not (pa.types.is_integer(kind) or pa.types.is_floating(kind)):
        return None
    return np.asarray(column.cast(pa.float64()).to_numpy(), np.float64)


@dataclass(frozen=True)
class Figures:
    """A table of results, for people and for programs."""

    head: Sequence[str]
    rows: Sequence[Sequence[object]]

    def markdown(self) -> str:
        """As Markdown."""
        lines = ["| " + " | ".join(self.head) + " |", "|" + "---|" * len(self.head)]
        return "\n".join([*lines, *("| " + " | ".join(str(cell) for cell in row) + " |" for row in self.rows)])

    @classmethod
    def of(cls, records: Records) -> Figures:
        """The table behind `records`."""
        return cls(tuple(records[0]), [tuple(one.values()) for one in records])

    def records(self) -> Records:
        """As JSON values, a record a row."""
        return [dict(zip(self.head, row, strict=True)) for row in self.rows]
