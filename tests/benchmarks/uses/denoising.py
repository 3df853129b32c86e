"""Planted outliers, typing errors and gaps: how much error is left, and what was spoilt on the way.

The imputers of scikit-learn fill gaps and know nothing of outliers; for outliers they are told where these are, which
ours and the median filter are not.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from ae_core.codec import Codec
from ae_core.jobs.denoise import EVIDENCE
from ae_core.uses.denoising import denoise_block
from tests.benchmarks.uses.data import (
    Figures,
    Matrix,
    archived_codec,
    as_numbers,
    blocks_of,
    flights,
    open_table,
    shuffled,
    train,
)

SHARE = 0.01
HEAD = ("table", "fault", "cells", "noisy", "latentlake denoise", "median filter", "kNN", "iterative", "measure")

Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Noisy:
    """A table with faults: where each numeric column has outliers and gaps, where each text has typing errors."""

    table: pa.Table
    outliers: dict[str, Mask]
    gaps: dict[str, Mask]
    typos: dict[str, Mask]


def plant(table: pa.Table, numbers: Sequence[str], words: Sequence[str], seed: int = 0) -> Noisy:
    """Outliers anywhere in the range of a column, gaps, and one wrong letter; each in 1 % of a column's cells."""
    random = np.random.default_rng(seed)
    outliers, gaps, typos = {}, {}, {}
    for name in numbers:
        column = table.column(name).combine_chunks()
        cells = as_numbers(table.column(name))
        assert cells is not None
        fault, valid = random.random(table.num_rows), ~np.isnan(cells)
        outliers[name], gaps[name] = (fault < SHARE) & valid, (fault > 1 - SHARE) & valid
        wrong = random.uniform(np.nanmin(cells), np.nanmax(cells), table.num_rows)
        cells = np.where(outliers[name], np.round(wrong, 2), cells)
        new = pa.array(cells, mask=gaps[name] | np.isnan(cells))
        table = _set(table, name, new.cast(column.type, safe=False))
    for name in words:
        column = table.column(name).to_pylist()
        typos[name] = (random.random(table.num_rows) < SHARE) & np.array([bool(word) for word in column])
        for row in np.flatnonzero(typos[name]).tolist():
            at = int(random.integers(len(column[row])))
            column[row] = column[row][:at] + "#" + column[row][at + 1 :]
        table = _set(table, name, pa.array(column, table.schema.field(name).type))
    return Noisy(table, outliers, gaps, typos)


def _set(table: pa.Table, name: str, column: pa.Array) -> pa.Table:
    index = table.schema.get_field_index(name)
    return table.set_column(index, table.schema.field(index).with_nullable(True), column)


def compare(name: str, codec: Codec, clean: pa.Table, noisy: Noisy) -> list[tuple[object, ...]]:
    """Rows of figures: errors are means over columns of the mean absolute error, in % of the column's deviation."""
    numbers = list(noisy.outliers)
    fitted = noisy.table.cast(codec.plan.schema)
    known = {column.name for column in codec.plan.columns if column.coder == "network"}
    fill = [column for column in numbers if column in known]
    ours = pa.concat_tables(
        denoise_block(codec, block, evidence=EVIDENCE, fill=fill).table for block in blocks_of(fitted)
    )
    truth, dirty, mine = (_numbers(table, numbers) for table in (clean, noisy.table, ours))
    gaps, outliers = (np.stack([of[name] for name in numbers], 1) for of in (noisy.gaps, noisy.outliers))
    spread = np.nanstd(truth, axis=0)
    theirs = {"median": _median(dirty)}
    holes = np.where(outliers, np.nan, dirty)
    for peer in ("kNN", "iterative"):
        theirs[peer] = _imputed(peer, holes / spread) * spread
    mean = np.where(np.isnan(dirty), np.nanmean(dirty, 0), dirty)
    tables = [mean, mine, *theirs.values()]
    lines = []
    for fault, mask in (("gaps", gaps), ("outliers", outliers)):
        figures = [f"{_error(truth, table, mask, spread):.1f}" for table in tables]
        lines.append((name, fault, int(mask.sum()), *figures, "error, % of deviation"))
    untouched = ~(gaps | outliers) & ~np.isnan(truth)
    spoilt = [f"{100 * float((table != dirty)[untouched].mean()):.3f}" for table in tables]
    lines.append((name, "none", int(untouched.sum()), *spoilt[:3], "0", "0", "good cells changed, %"))
    for column, mask in noisy.typos.items():
        right = np.array(clean.column(column).to_pylist(), object)
        found = np.array(ours.column(column).to_pylist(), object)
        mended = 100 * float((right == found)[mask].mean())
        lines.append((name, f"typos in {column}", int(mask.sum()), 0, f"{mended:.1f}", "-", "-", "-", "mended, %"))
    for line in lines:
        print(line, flush=True)
    return lines


def _numbers(table: pa.Table, names: Sequence[str]) -> Matrix:
    return np.stack([np.asarray(as_numbers(table.column(name))) for name in names], 1)


def _error(truth: Matrix, table: Matrix, mask: Mask, spread: Matrix) -> float:
    errors = np.where(mask, np.abs(truth - table), np.nan) / spread
    return 100 * float(np.nanmean(np.nanmean(errors, 0)))


def _median(dirty: Matrix) -> Matrix:
    """The median of five rows in a row, gaps left out."""
    padded = np.pad(dirty, ((2, 2), (0, 0)), mode="edge")
    windows = np.stack([padded[at : at + len(dirty)] for at in range(5)])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found: Matrix = np.nanmedian(windows, 0)
    return np.where(np.isnan(found), np.nanmean(dirty, 0), found)


def _imputed(peer: str, holes: Matrix) -> Matrix:
    from sklearn.experimental import enable_iterative_imputer  # noqa: F401
    from sklearn.impute import IterativeImputer, KNNImputer

    warnings.filterwarnings("ignore")
    model: Any = KNNImputer(n_neighbors=5) if peer == "kNN" else IterativeImputer(random_state=0, max_iter=10)
    if peer == "iterative":
        return np.asarray(model.fit_transform(holes))
    model.fit(holes[:5_000])  # the distances to all rows would take hours
    return np.concatenate([model.transform(holes[at : at + 2_000]) for at in range(0, len(holes), 2_000)])


def run(folder: Path) -> Figures:
    """All tables: diamonds by a model of the noisy rows, flights by the archive's model."""
    diamonds = shuffled(open_table(folder, "diamonds")).slice(0, 15_000).combine_chunks()
    noisy = plant(diamonds, ["carat", "depth", "table", "price", "x", "y", "z"], ["cut", "clarity"])
    lines = compare("diamonds, model of the noisy rows", train(noisy.table.combine_chunks()), diamonds, noisy)
    codec = archived_codec(folder)
    march = flights(folder, [3], codec).slice(0, 10_000).combine_chunks()
    numbers = ["dep_time", "dep_delay", "arr_time", "sched_arr_time", "arr_delay", "air_time"]
    noisy = plant(march, numbers, ["tailnum", "dest"])
    lines += compare("flights, March, the archive's model", codec, march, noisy)
    return Figures(HEAD, lines)
