"""Made-up rows: ours against a Gaussian copula and a variational autoencoder of the same rows.

Judged by marginals, correlations, what a learner makes of them, and copying. The copula is fitted on as many real rows
as it gives back: ranks to normal scores, their correlation, and the sorted values back; categories are numbers in the
order of their frequency. The neural peer is TVAE of the package `ctgan`; it is left out where that is not installed
(`pip install --no-deps ctgan rdt faker`, so that nothing else is changed).
"""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

import ae_core
from ae_core.columns import encode_columns
from ae_core.pipeline import decode_block, encode_block
from ae_core.uses.sampling import draw_rows
from tests.benchmarks.uses.data import (
    Figures,
    Matrix,
    View,
    archived_codec,
    as_numbers,
    blocks_of,
    flights,
    open_table,
    shuffled,
    train,
)

ROWS = 20_000
WORDS, EPOCHS = 100, 30
HEAD = (
    "table",
    "rows from",
    "marginals: mean distance",
    "correlations: mean difference",
    "trained here, tested on real rows",
    "median distance to the closest real row",
    "copies, %",
)


def copula(table: pa.Table, rows: int, seed: int) -> pa.Table:
    """Rows of a Gaussian copula fitted on the table, whose nulls it knows as a value of their own."""
    from scipy.stats import norm

    random = np.random.default_rng(seed)
    codes: list[Matrix] = []
    values: list[pa.Array] = []
    for name in table.column_names:
        column = table.column(name).combine_chunks()
        cells = as_numbers(table.column(name))
        if cells is None:
            counts = sorted(pc.value_counts(column).to_pylist(), key=lambda one: -one["counts"])
            listed = pa.array([one["values"] for one in counts], column.type)
            codes.append(np.asarray(pc.index_in(column, value_set=listed), np.float64))
        else:
            codes.append(np.where(np.isnan(cells), np.nanmin(cells) - 1, cells))
        values.append(column.take(pa.array(np.argsort(codes[-1], kind="stable"))))
    jitter = [np.lexsort((random.random(len(cells)), cells)).argsort() for cells in codes]
    scores = norm.ppf((np.stack(jitter, 1) + 0.5) / table.num_rows)
    drawn = random.multivariate_normal(np.zeros(len(codes)), np.corrcoef(scores.T), rows)
    places = np.minimum((norm.cdf(drawn) * table.num_rows).astype(np.int64), table.num_rows - 1)
    return pa.table([value.take(pa.array(place)) for value, place in zip(values, places.T, strict=True)],
                    schema=table.schema)  # fmt: skip


def variational(table: pa.Table, rows: int) -> pa.Table | None:
    """Rows of a TVAE with its own defaults but for the epochs, nulls of numbers at the mean; None where there is none.

    It takes a category's indicator for each of its words: of more than WORDS words the rarer ones become one.
    """
    try:
        from ctgan import TVAE
    except ImportError:
        return None
    import torch

    torch.manual_seed(0)
    columns, texts = {}, []
    for name in table.column_names:
        cells = as_numbers(table.column(name))
        if cells is None:
            texts.append(name)
            words = table.column(name).cast(pa.string()).fill_null("")
            counts = sorted(pc.value_counts(words).to_pylist(), key=lambda one: -one["counts"])
            common = pa.array([one["values"] for one in counts[:WORDS]])
            columns[name] = pc.if_else(pc.is_in(words, common), words, counts[0]["values"]).to_pandas()
        else:
            columns[name] = np.where(np.isnan(cells), np.nanmean(cells), cells)
    import pandas as pd

    peer = TVAE(epochs=EPOCHS)
    peer.fit(pd.DataFrame(columns), texts)
    drawn = peer.sample(rows)
    arrays = []
    for field in table.schema:
        cells = drawn[field.name].to_numpy()
        whole = pa.types.is_integer(field.type) or pa.types.is_timestamp(field.type)
        arrays.append(
            pa.array([str(cell) for cell in cells]).cast(field.type)
            if field.name in texts
            else pa.array(np.rint(cells).astype(np.int64) if whole else cells).cast(field.type, safe=False)
        )
    return pa.table(arrays, schema=table.schema)


def marginals(real: pa.Table, made: pa.Table) -> float:
    """Mean over columns of the Kolmogorov distance of numbers, the total variation of texts (nulls a value)."""
    from scipy.stats import ks_2samp

    found = []
    for name in real.column_names:
        one, other = as_numbers(real.column(name)), as_numbers(made.column(name))
        if one is not None and other is not None:
            low = np.nanmin(one) - 1
            found.append(float(ks_2samp(np.nan_to_num(one, nan=low), np.nan_to_num(other, nan=low)).statistic))
            continue
        shares = [
            {row["values"]: row["counts"] / table.num_rows for row in pc.value_counts(table.column(name)).to_pylist()}
            for table in (real, made)
        ]
        words = set(shares[0]) | set(shares[1])
        found.append(sum(abs(shares[0].get(word, 0) - shares[1].get(word, 0)) for word in words) / 2)
    return float(np.mean(found))


def correlations(view: View, real: pa.Table, made: pa.Table) -> float:
    """Mean absolute difference of the correlations of all numbers and indicators."""
    with np.errstate(all="ignore"):
        one, other = (np.nan_to_num(np.corrcoef(view.matrix(table).T)) for table in (real, made))
    upper = np.triu_indices(one.shape[0], 1)
    return float(np.abs(one - other)[upper].mean())


def closest(view: View, made: pa.Table, real: pa.Table) -> tuple[float, float]:
    """Median distance of made rows to the closest real one, and the share, in %, that are real rows."""
    from sklearn.neighbors import NearestNeighbors

    distances, _ = NearestNeighbors(n_neighbors=1).fit(view.matrix(real)).kneighbors(view.matrix(made))
    return float(np.median(distances)), 100 * float((distances < 1e-9).mean())


def learned(target: str, positive: float | None, made: pa.Table, real: pa.Table) -> float:
    """Score on real rows of gradient boosting trained on made ones: AUC of `target > positive`, or R2."""
    from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
    from sklearn.metrics import r2_score, roc_auc_score

    def split(table: pa.Table) -> tuple[pa.Table, Matrix]:
        table = table.filter(pc.is_valid(table.column(target)))
        cells = as_numbers(table.column(target))
        assert cells is not None
        return table.drop_columns([target]), cells

    (x, y), (unseen, truth) = split(made), split(real)
    view = View.of(x)
    if positive is None:
        model = HistGradientBoostingRegressor(random_state=0).fit(view.matrix(x), y)
        return float(r2_score(truth, model.predict(view.matrix(unseen))))
    classifier = HistGradientBoostingClassifier(random_state=0).fit(view.matrix(x), y > positive)
    return float(roc_auc_score(truth > positive, classifier.predict_proba(view.matrix(unseen))[:, 1]))


def judge(
    name: str, made: dict[str, pa.Table], seen: pa.Table, unseen: pa.Table, target: str, positive: float | None
) -> list[tuple[object, ...]]:
    """A row of figures for each maker of rows; real rows that nobody learned from set the mark."""
    view, lines = View.of(seen), list[tuple[object, ...]]()
    for maker, table in made.items():
        distance, copies = closest(view, table, seen)
        figures = (
            marginals(unseen, table),
            correlations(view, unseen, table),
            learned(target, positive, table, unseen),
        )
        lines.append((name, maker, *(f"{figure:.3f}" for figure in figures), f"{distance:.2f}", f"{copies:.1f}"))
        print(lines[-1], flush=True)
    return lines


def _flights(folder: Path) -> list[tuple[object, ...]]:
    codec = archived_codec(folder)
    year = shuffled(flights(folder, range(1, 13), codec))
    dropped = ["tailnum", "flight", "year", "time_hour"]  # a thousand words each, or told by others
    seen, more, unseen = (year.slice(at, ROWS).drop_columns(dropped).combine_chunks() for at in (0, ROWS, 2 * ROWS))
    with TemporaryDirectory() as scratch:
        ae_core.sample(str(folder / "archive"), f"{scratch}/rows", rows=ROWS, seed=0)
        files = sorted(Path(scratch).glob("rows/month=*/*.parquet"))
        ours = pa.concat_tables(pq.ParquetFile(path).read() for path in files).drop_columns(dropped)
    made = {
        "real rows": more,
        "latentlake sample": ours.cast(seen.schema),
        "Gaussian copula": copula(seen, ROWS, 0),
    }
    if (peer := variational(seen, ROWS)) is not None:
        made["TVAE"] = peer
    return judge("flights, delayed by more than 15 minutes", made, seen, unseen, "arr_delay", 15)


def _diamonds(folder: Path) -> list[tuple[object, ...]]:
    table = shuffled(open_table(folder, "diamonds"))
    seen, more, unseen = (table.slice(at, 17_000).combine_chunks() for at in (0, 17_000, 34_000))
    codec, random = train(seen), np.random.default_rng(0)
    drawn = [draw_rows(codec, encode_columns(codec.plan, block), block, random).table for block in blocks_of(seen)]
    archived = [
        decode_block(codec, one.latents, one.residuals, block.num_rows)
        for block in blocks_of(more)
        for one in [encode_block(codec, block)]
    ]
    made = {
        "real rows": more,
        "real rows, numbers within 1 %": pa.concat_tables(archived),
        "latentlake sample": pa.concat_tables(drawn),
        "Gaussian copula": copula(seen, 17_000, 0),
    }
    if (peer := variational(seen, 17_000)) is not None:
        made["TVAE"] = peer
    return judge("diamonds, price", made, seen, unseen, "price", None)


def run(folder: Path) -> Figures:
    """All tables."""
    return Figures(HEAD, [*_diamonds(folder), *_flights(folder)])
