"""Finding odd rows: our bits and reconstruction error against IsolationForest, LOF and PyOD's autoencoder.

Everyone learns from rows that are as usual and scores others, some of which are odd: those of another class in labelled
sets, those with planted faults elsewhere.
"""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from ae_core.codec import Codec
from ae_core.uses.surprise import surprise
from tests.benchmarks.uses.data import (
    Figures,
    Matrix,
    View,
    archived_codec,
    blocks_of,
    flights,
    labelled,
    open_table,
    shuffled,
    train,
)

PEERS = ("IsolationForest", "LOF", "PyOD AutoEncoder")
HEAD = ("rows", "odd", *(f"{name}: AUC / AP" for name in ("bits (ours)", "error (ours)", *PEERS)))
LEARNED = 20_000  # usual rows that the peers learn from
SHARE = 0.02

Odd = npt.NDArray[np.bool_]


def swapped(table: pa.Table, one: str, other: str, rows: Odd) -> pa.Table:
    """Two columns exchanged in some rows."""
    a, b = table.column(one).combine_chunks(), table.column(other).combine_chunks()
    return _set(_set(table, one, pc.if_else(pa.array(rows), b.cast(a.type), a)), other,
                pc.if_else(pa.array(rows), a.cast(b.type), b))  # fmt: skip


def shuffled_cells(table: pa.Table, name: str, rows: Odd, seed: int) -> pa.Table:
    """A column's cells exchanged among some rows: each value is known, their combinations are not."""
    places = np.flatnonzero(rows)
    order = np.arange(table.num_rows)
    order[places] = np.random.default_rng(seed).permutation(places)
    return _set(table, name, table.column(name).combine_chunks().take(pa.array(order)))


def scaled(table: pa.Table, name: str, factor: float, rows: Odd) -> pa.Table:
    """A column in another unit in some rows."""
    column = table.column(name).combine_chunks()
    cells = pc.multiply(column.cast(pa.float64()), factor)
    if pa.types.is_integer(column.type):
        cells = pc.round(cells)
    return _set(table, name, pc.if_else(pa.array(rows), cells.cast(column.type, safe=False), column))


def _set(table: pa.Table, name: str, column: pa.Array) -> pa.Table:
    index = table.schema.get_field_index(name)
    return table.set_column(index, table.schema.field(index), column)


def planted_flights(table: pa.Table) -> dict[str, tuple[pa.Table, Odd]]:
    """Faults of three kinds in a month of flights."""
    random = np.random.default_rng(0)
    odd = random.random(table.num_rows) < SHARE
    combined = shuffled_cells(shuffled_cells(table, "dest", odd, 1), "carrier", odd, 2)
    return {
        "flights, swapped columns (dep_time, arr_time)": (swapped(table, "dep_time", "arr_time", odd), odd),
        "flights, impossible combinations (dest, carrier)": (combined, odd),
        "flights, unit errors (air_time in hours)": (scaled(table, "air_time", 1 / 60, odd), odd),
        "flights, unit errors (dep_delay in seconds)": (scaled(table, "dep_delay", 60, odd), odd),
    }


def planted_diamonds(table: pa.Table) -> dict[str, tuple[pa.Table, Odd]]:
    """Faults of three kinds in diamonds."""
    odd = np.random.default_rng(0).random(table.num_rows) < SHARE
    return {
        "diamonds, swapped columns (y, z)": (swapped(table, "y", "z", odd), odd),
        "diamonds, impossible combinations (price, clarity)": (
            shuffled_cells(shuffled_cells(table, "price", odd, 1), "clarity", odd, 2),
            odd,
        ),
        "diamonds, unit errors (x in inches)": (scaled(table, "x", 1 / 25.4, odd), odd),
    }


def compare(codec: Codec, usual: pa.Table, scored: dict[str, tuple[pa.Table, Odd]]) -> list[tuple[object, ...]]:
    """A row of figures for each set."""
    learned = shuffled(usual).slice(0, LEARNED)
    view = View.of(learned)
    peers = {name: _peer(name).fit(view.matrix(learned)) for name in PEERS}
    lines = []
    for name, (table, odd) in scored.items():
        found = surprise(codec, blocks_of(table))
        ours = [np.concatenate([one.bits for one in found]), np.concatenate([one.error for one in found])]
        theirs = [_scores(peer, view.matrix(table)) for peer in peers.values()]
        figures = [_figures(odd, scores) for scores in (*ours, *theirs)]
        lines.append((name, table.num_rows, int(odd.sum()), *(f"{auc:.3f} / {ap:.3f}" for auc, ap in figures)))
        print(lines[-1], flush=True)
    return lines


def _peer(name: str) -> Any:
    from pyod.models.auto_encoder import AutoEncoder
    from sklearn.ensemble import IsolationForest
    from sklearn.neighbors import LocalOutlierFactor

    warnings.filterwarnings("ignore")
    if name == "IsolationForest":
        return IsolationForest(n_estimators=200, random_state=0)
    if name == "LOF":
        return LocalOutlierFactor(n_neighbors=20, novelty=True)
    return AutoEncoder(random_state=0, epoch_num=20, verbose=0)


def _scores(peer: Any, x: Matrix) -> Matrix:
    """Greater is odder; scikit-learn's scores are the other way round."""
    scores = np.asarray(peer.decision_function(x), np.float64)
    return scores if hasattr(peer, "decision_scores_") else -scores


def _figures(odd: Odd, scores: npt.NDArray[Any]) -> tuple[float, float]:
    from sklearn.metrics import average_precision_score, roc_auc_score

    return float(roc_auc_score(odd, scores)), float(average_precision_score(odd, scores))


def labelled_sets() -> dict[str, tuple[pa.Table, Odd]]:
    """Sets with a class that is odd: malignant tumours; one digit among the others; one cultivar of wine."""
    cancer, benign = labelled("breast_cancer")
    digits, digit = labelled("digits")
    wine, cultivar = labelled("wine")
    return {
        "breast cancer: malignant": (cancer, benign == 0),
        "digits: 0 among others": (digits, digit == 0),
        "digits: 8 among others": (digits, digit == 8),
        "wine: third cultivar": (wine, cultivar == 2),
    }


def run(folder: Path) -> Figures:
    """All sets as a table."""
    lines: list[tuple[object, ...]] = []
    for name, (table, odd) in labelled_sets().items():
        usual = np.flatnonzero(~odd)
        learned = np.sort(np.random.default_rng(0).permutation(usual)[: len(usual) * 7 // 10])
        rest = np.setdiff1d(np.arange(table.num_rows), learned)
        known = table.take(pa.array(learned)).combine_chunks()
        lines += compare(train(known), known, {name: (table.take(pa.array(rest)), odd[rest])})
    diamonds = shuffled(open_table(folder, "diamonds"))
    known, rest_of = diamonds.slice(0, 30_000).combine_chunks(), diamonds.slice(30_000, 20_000).combine_chunks()
    lines += compare(train(known), known, planted_diamonds(rest_of))
    codec = archived_codec(folder)
    year = flights(folder, range(1, 13), codec)
    lines += compare(codec, year, planted_flights(flights(folder, [3], codec)))
    return Figures(("set", *HEAD), lines)
