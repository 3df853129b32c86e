"""Certificates: small, readable years later, and without a sensitive value."""

from __future__ import annotations

import json
import math
from fractions import Fraction

import pyarrow as pa
import pytest

from ae_core.errors import Corrupt
from ae_core.report.certificate import Certificate, CodedColumn, StoredBytes, certify
from ae_core.report.rounding import figure

from .helpers import EXACT, FakeBound, measure, within


def small_certificate(*, broken: bool = False) -> Certificate:
    original = pa.table({"x": [1, 2, 3], "y": ["a", "b", "c"], "pay": [5e7, 6e7, 7e7]})
    rebuilt = pa.table({"x": [1, 3, 3], "y": ["a", "b", "z" if broken else "c"], "pay": [5e7, 6e7, 7e7]})
    bounds = {"x": within("3/2"), "y": EXACT, "pay": FakeBound("exact", sensitive=True)}
    return certify(
        "month=3",
        measure(original, rebuilt, bounds),
        preview=measure(original.select(["x"]), rebuilt.select(["x"]), {}),
        coded={
            "x": CodedColumn("network", "12 % smaller than pcodec", 24, {"network": 3, "exceptions": 1}),
            "y": CodedColumn("plain", "too few rows", 15, {"plain": 9}),
            "pay": CodedColumn("plain", "sensitive", 24, {"plain": 20}),
        },
        digest="ab" * 32,
        arrow=63,
        parquet=900,
        stored=StoredBytes(latents=4, residuals=33, model=10, metadata=20),
        latent_dim=4,
        model="cd" * 32,
        training="models/training.json",
        versions={"latentlake": "0.1.0"},
        seconds={"encode": 1.23456},
    )


def test_verdict_passes_only_when_every_cell_is_inside():
    passed = small_certificate().verdict()
    assert (passed.passed, passed.cells, passed.outside, passed.worst_column) == (True, 9, 0, "x")
    assert str(passed) == "PASS: 0 of 9 cells outside their bound; worst error/bound 0.6667 in x"
    failed = small_certificate(broken=True).verdict()
    assert not failed.passed
    assert str(failed) == "FAIL: 1 of 9 cells outside their bound"


def test_certificate_round_trips_through_json():
    certificate = small_certificate()
    assert Certificate.from_dict(json.loads(json.dumps(certificate.to_dict()))) == certificate


def test_infinite_ratio_survives_json():
    bound = FakeBound("pointwise", Fraction(1, 10))
    loss = measure(pa.table({"x": [0.0]}), pa.table({"x": [1.0]}), {"x": bound})
    coded = {"x": CodedColumn("plain", "", 8)}
    made = certify("p", loss, coded=coded, digest="", arrow=8, parquet=8, stored=StoredBytes())
    text = json.dumps(made.to_dict(), allow_nan=False)
    assert Certificate.from_dict(json.loads(text)).columns[0].loss.max_ratio == math.inf


def test_unknown_fields_of_later_releases_are_ignored():
    data = small_certificate().to_dict()
    data["signature"] = {"by": "someone"}
    data["columns"][0]["loss"]["entropy"] = 3.5
    assert Certificate.from_dict(data) == small_certificate()


@pytest.mark.parametrize("damage", [{"columns": 7}, {"stored": None}, {"columns": [{"loss": {}}]}])
def test_malformed_certificates_are_named(damage):
    with pytest.raises(Corrupt, match="month=3"):
        Certificate.from_dict({"partition": "month=3", **damage})


def test_sensitive_values_are_not_in_the_certificate():
    """pay holds 5e7, 6e7, 7e7, sum 1.8e8: neither the cells nor what would give them away is kept."""
    text = json.dumps(small_certificate().to_dict())
    for hidden in ("50000000", "60000000", "70000000", "180000000", "5e7", "5e+07", "1.8e"):
        assert hidden not in text


@pytest.mark.parametrize(
    ("value", "towards", "expected"),
    [
        (Fraction(1, 3), "away", 0.3334),
        (Fraction(1, 3), "zero", 0.3333),
        (Fraction(1), "away", 1.0),
        (Fraction(10**18 + 1, 10**18), "away", 1.001),
        (-0.00123401, "away", -0.001235),
        (99_999.0, "away", 100_000.0),
        (12_344.4, "nearest", 12_340.0),
        (0.0, "away", 0.0),
        (math.inf, "away", math.inf),
    ],
)
def test_figures_have_four_significant_digits(value, towards, expected):
    assert figure(value, towards=towards) == expected
