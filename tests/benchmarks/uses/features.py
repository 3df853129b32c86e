"""Predicting from d latents, from d principal components, and from the raw columns.

The target is left out of what the model and PCA see. Both learn on the training rows alone; the frozen encoder gives
the features of the test rows, as `latentlake encode` does.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from ae_core.columns import encode_columns
from ae_core.kernels.encoder import encode_latents
from tests.benchmarks.uses.data import (
    Figures,
    Matrix,
    View,
    archived_codec,
    as_numbers,
    blocks_of,
    flights,
    labelled,
    open_table,
    shuffled,
    train,
)

Target = npt.NDArray[Any]
HEAD = ("task", "rows", "d", "learner", "latents", "PCA, same d", "raw columns", "score")


def tasks(folder: Path) -> dict[str, tuple[pa.Table, Target, str]]:
    """Name -> table without the target, target, kind of score."""
    cancer, malignant = labelled("breast_cancer")
    digits, digit = labelled("digits")
    diamonds = shuffled(open_table(folder, "diamonds")).slice(0, 20_000)
    price = np.log(np.asarray(as_numbers(diamonds.column("price"))))
    march = shuffled(flights(folder, [3], archived_codec(folder)).drop_null()).slice(0, 20_000)
    late = (np.asarray(as_numbers(march.column("arr_delay"))) > 15).astype(np.int64)
    told = ["arr_delay", "arr_time", "dep_delay", "dep_time", "year", "time_hour"]
    return {
        "breast cancer: malignant": (cancer, malignant, "AUC"),
        "digits: which": (digits, digit, "accuracy"),
        "diamonds: log price": (diamonds.drop_columns(["price"]), price, "R2"),
        "flights, March: 15 minutes late, before departure": (march.drop_columns(told), late, "AUC"),
    }


def compare(name: str, table: pa.Table, target: Target, score: str) -> list[tuple[object, ...]]:
    """A linear model and gradient boosting on each kind of features; a row of scores for each learner."""
    from sklearn.decomposition import PCA

    cut = table.num_rows * 7 // 10
    order = np.random.default_rng(0).permutation(table.num_rows)
    rows, tested = np.sort(order[:cut]), np.sort(order[cut:])
    seen, unseen = table.take(pa.array(rows)).combine_chunks(), table.take(pa.array(tested)).combine_chunks()
    codec = train(seen)
    assert codec.network is not None
    encoder = codec.network.encoder

    def latents(part: pa.Table) -> Matrix:
        known = [encode_columns(codec.plan, block).symbols for block in blocks_of(part)]
        return encode_latents(encoder, np.concatenate(known)).astype(np.float64)

    view = View.of(seen)
    raw = view.matrix(seen), view.matrix(unseen)
    d = codec.network.latent_dims
    pca = PCA(d, random_state=0).fit(raw[0])
    kinds = [(latents(seen), latents(unseen)), (pca.transform(raw[0]), pca.transform(raw[1])), raw]
    lines: list[tuple[object, ...]] = []
    for learner in ("linear", "boosting"):
        figures = [_score(learner, score, x, target[rows], y, target[tested]) for x, y in kinds]
        lines.append((name, table.num_rows, d, learner, *(f"{figure:.3f}" for figure in figures), score))
    return lines


def _score(learner: str, score: str, x: Matrix, target: Target, unseen: Matrix, truth: Target) -> float:
    from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
    from sklearn.linear_model import LogisticRegression, Ridge
    from sklearn.metrics import accuracy_score, r2_score, roc_auc_score
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    if score == "R2":
        regressor = Ridge() if learner == "linear" else HistGradientBoostingRegressor(random_state=0)
        return float(r2_score(truth, make_pipeline(StandardScaler(), regressor).fit(x, target).predict(unseen)))
    linear = LogisticRegression(max_iter=2000)
    classifier = linear if learner == "linear" else HistGradientBoostingClassifier(random_state=0)
    model = make_pipeline(StandardScaler(), classifier).fit(x, target)
    if score == "accuracy":
        return float(accuracy_score(truth, model.predict(unseen)))
    return float(roc_auc_score(truth, model.predict_proba(unseen)[:, 1]))


def run(folder: Path) -> Figures:
    """All tasks as a table."""
    lines = []
    for name, (table, target, score) in tasks(folder).items():
        lines += compare(name, table, target, score)
        print(*lines[-2:], sep="\n", flush=True)
    return Figures(HEAD, lines)
