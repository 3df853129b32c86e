"""What a manifest keeps of a certificate: nothing is lost, and what does not fit is refused."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pyarrow as pa
import pytest

from ae_core.errors import Corrupt
from ae_core.report.certificate import Certificate, CodedColumn, StoredBytes, certify
from ae_core.report.records import BoundRecord
from ae_core.report.stored import FIELDS, PREVIEWS, Known, KnownColumn, read, store

from .helpers import EXACT, FakeBound, measure, within
from .test_losses import EVERY_TYPE

CODERS = ("network", "plain", "lookup")


def certified(
    original: pa.Table, rebuilt: pa.Table, bounds: dict[str, FakeBound], previewed: list[str] | None = None
) -> tuple[Certificate, Known]:
    """A certificate as a writer makes it, and what is known without it."""
    names = original.column_names
    coded = {
        name: CodedColumn(CODERS[k % 3], f"reason {k}", original[name].nbytes, {CODERS[k % 3]: 10 * k}, k % 2)
        for k, name in enumerate(names)
    }
    loss = measure(original, rebuilt, bounds)
    loss = replace(loss, columns=tuple(replace(c, exceptions=coded[c.name].exceptions) for c in loss.columns))
    preview = None
    if previewed:
        preview = measure(original.select(previewed), rebuilt.select(previewed), {})
    certificate = certify(
        "month=3", loss, coded=coded, digest="ab" * 32, arrow=sum(c.before for c in coded.values()), parquet=900,
        stored=StoredBytes(latents=4, residuals=33), preview=preview, latent_dim=2 if previewed else 0,
        no_latents=None if previewed else "too few rows", model="cd" * 32, seconds={"encode": 1.23456},
    )  # fmt: skip
    known = Known(
        certificate.partition, certificate.rows, certificate.digest, 900, certificate.stored, certificate.model,
        certificate.no_latents,
        tuple(
            KnownColumn(f.name, f.type, BoundRecord.of(bounds[f.name]), coded[f.name].coder, coded[f.name].reason)
            for f in original.schema
        ),
    )  # fmt: skip
    return certificate, known


def again(certificate: Certificate, known: Known) -> Certificate:
    return read(json.loads(json.dumps(store(certificate, known), allow_nan=False)), known)


def mixed_tables(seed: int, rows: int) -> tuple[pa.Table, pa.Table, dict[str, FakeBound]]:
    """Numbers that moved, some that did not, nulls, NaN, infinities, minus zero, times, categories, a secret."""
    rng = np.random.default_rng(seed)
    hidden = rng.random(rows) < 0.1
    f = rng.normal(0, 1e3, rows)
    f[rng.integers(0, rows, 3)] = [np.nan, np.inf, -0.0]
    g = np.where(np.isfinite(f) & (f != 0), f + rng.uniform(-0.5, 0.5, rows), f)
    i = rng.integers(-(10**6), 10**6, rows)
    s = rng.choice(["a", "b", "ccc"], rows)
    t = rng.integers(0, 10**6, rows) * 30
    original = pa.table({
        "f": pa.array(f, mask=hidden), "i": pa.array(i), "same": pa.array(i), "s": pa.array(s, mask=hidden),
        "t": pa.array(t, pa.timestamp("s")), "none": pa.nulls(rows, pa.float32()), "secret": pa.array(i),
        "p": pa.array(f), "list": pa.array([[k % 3] for k in range(rows)]),
    })  # fmt: skip
    moved = {
        "f": pa.array(g, mask=hidden), "i": pa.array(i + rng.integers(-5, 6, rows)),
        "t": pa.array(t // 60 * 60, pa.timestamp("s")), "secret": pa.array(i + rng.integers(-1, 2, rows)),
        "p": pa.array(f * (1 + rng.uniform(-0.009, 0.009, rows))),
    }  # fmt: skip
    rebuilt = pa.table({name: moved.get(name, original[name]) for name in original.column_names})
    bounds = {
        "f": within("1/2"), "i": within(5), "same": within(5), "s": EXACT, "t": within(60), "none": within(1),
        "secret": FakeBound("abs", Fraction(1), sensitive=True), "p": FakeBound("pointwise", Fraction(1, 100)),
        "list": EXACT,
    }  # fmt: skip
    return original, rebuilt, bounds


@pytest.mark.parametrize("previewed", [None, ["f", "i", "same", "s", "t"]], ids=["alone", "previewed"])
@pytest.mark.parametrize("rows", [3, 400])
@pytest.mark.parametrize("seed", range(4))
def test_no_figure_is_lost(seed, rows, previewed):
    original, rebuilt, bounds = mixed_tables(seed, rows)
    certificate, known = certified(original, rebuilt, bounds, previewed)
    assert again(certificate, known) == certificate
    assert again(certificate, known).to_dict() == certificate.to_dict()


def test_no_figure_is_lost_where_nothing_moved_or_nothing_is_there():
    original, _, bounds = mixed_tables(1, 50)
    for rows in (50, 0):
        certificate, known = certified(original.slice(0, rows), original.slice(0, rows), bounds, ["i"])
        assert again(certificate, known) == certificate


def test_figures_that_nobody_expects_are_kept_too():
    """Violations, a null that went, an infinite ratio: lists then go over all columns."""
    original = pa.table({"x": [0.0, 1.0, None], "s": ["a", "b", "c"], "y": [1, 2, 3]})
    rebuilt = pa.table({"x": [1.0, 1.0, 5.0], "s": ["a", "b", "d"], "y": [1, 2, 3]})
    bounds = {"x": FakeBound("pointwise", Fraction(1, 10)), "s": EXACT, "y": within(1)}
    certificate, known = certified(original, rebuilt, bounds)
    assert certificate.columns[0].loss.max_ratio == math.inf
    assert again(certificate, known) == certificate
    odd = replace(certificate.columns[2].loss, naive_share=0.25, bias=-0.5, distinct_estimated=True)
    certificate = replace(certificate, columns=(*certificate.columns[:2], replace(certificate.columns[2], loss=odd)))
    assert again(certificate, known) == certificate


@pytest.mark.parametrize("kind", EVERY_TYPE, ids=str)
def test_every_type_has_a_certificate(kind):
    table = pa.table({"x": pa.nulls(3, kind)})
    certificate, known = certified(table, table, {"x": EXACT}, ["x"])
    assert again(certificate, known) == certificate


def test_what_is_known_is_not_kept():
    original, rebuilt, bounds = mixed_tables(2, 300)
    certificate, known = certified(original, rebuilt, bounds, ["f", "i"])
    text = json.dumps(store(certificate, known))
    for told in ("reason", "secret", "int64", "abs", "1/100", "ab" * 32, "cd" * 32, "month"):
        assert told not in text


@pytest.mark.parametrize(
    "change",
    [
        lambda r: {},
        lambda r: {**r, "columns": 7},
        lambda r: {**r, "columns": [["x"] * 9]},
        lambda r: {**r, "columns": [[0] * 8]},
        lambda r: {**r, "columns": [[0.5] * 9]},
        lambda r: {**r, "columns": [[True] * 9]},
        lambda r: {**r, "columns": [*r["columns"][:10], [{}] * 9]},
        lambda r: {**r, "columns": [*r["columns"][:10], [10**400] * 9]},
        lambda r: {**r, "columns": [5]},
        lambda r: {**r, "previews": [[0]]},
        lambda r: {**r, "previews": [None]},
        lambda r: {**r, "previews": []},
        lambda r: {**r, "correlation": [0.5, 1]},
        lambda r: {**r, "correlation": [0.5, 1, 99]},
        lambda r: {**r, "correlation": []},
        lambda r: {**r, "seconds": 5},
        lambda r: {**r, "latent_dim": "two"},
    ],
)
def test_records_that_do_not_fit_are_refused_and_named(change):
    original, rebuilt, bounds = mixed_tables(3, 40)
    certificate, known = certified(original, rebuilt, bounds, ["f"])
    with pytest.raises(Corrupt, match="month=3"):
        read(change(store(certificate, known)), known)


def test_later_lists_and_fields_are_ignored():
    original, rebuilt, bounds = mixed_tables(3, 40)
    certificate, known = certified(original, rebuilt, bounds, ["f"])
    record = store(certificate, known)
    lists = record["columns"] + [[]] * (len(FIELDS) - len(record["columns"])) + [[1, 2]]
    previews = record["previews"] + [[]] * (len(PREVIEWS) - len(record["previews"])) + [[3]]
    assert read({**record, "columns": lists, "previews": previews, "signature": 5}, known) == certificate
