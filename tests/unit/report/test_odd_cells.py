"""Cells that doubles cannot hold are measured exactly all the same."""

from __future__ import annotations

import math
from fractions import Fraction

import pyarrow as pa

from ae_core.policy import Bound, load_policy, nearest_float
from ae_core.report.losses import LossAccumulator
from ae_core.report.records import BoundRecord
from ae_core.report.wording import bound as in_words


def loss_of(bound: Bound, before: pa.Array, after: pa.Array):
    losses = LossAccumulator(pa.schema([("x", before.type)]), {"x": bound})
    losses.add(pa.table({"x": before}), pa.table({"x": after}))
    return losses.finish().columns[0]


def test_a_bound_beyond_every_double_is_measured_and_shown() -> None:
    huge = Bound("abs", Fraction(10) ** 400)
    found = loss_of(huge, pa.array([1e308, 1.0]), pa.array([-1e308, 1.0]))
    assert (found.outside, found.changed) == (0, 1)
    assert str(huge) == "±1.79769e+308"
    assert in_words(BoundRecord.of(huge), "double").startswith("±1.79")
    assert nearest_float(Fraction(1, 10**400)) == math.ulp(0.0)


def test_relative_errors_of_subnormal_cells_are_exact() -> None:
    """3 ulp may lose 1 of them at a ratio of a half, and not 2: a product of doubles rounds 1.5 ulp to 2."""
    bound, ulp = Bound("pointwise", Fraction(1, 2)), math.ulp(0.0)
    cells = pa.array([3 * ulp])
    assert loss_of(bound, cells, pa.array([4 * ulp])).outside == 0
    assert loss_of(bound, cells, pa.array([4 * ulp])).max_ratio == 0.6667
    assert loss_of(bound, cells, pa.array([5 * ulp])).outside == 1


def test_nan_in_a_dictionary_is_the_same_cell() -> None:
    words = pa.DictionaryArray.from_arrays(pa.array([0, 1, None], pa.int8()), pa.array([math.nan, -0.0]))
    assert loss_of(Bound("exact"), words, words).changed == 0
    other = pa.DictionaryArray.from_arrays(pa.array([0, 1, None], pa.int8()), pa.array([math.nan, 0.0]))
    assert loss_of(Bound("exact"), words, other).outside == 1


def test_a_policy_is_written_as_it_was_read() -> None:
    """A bound rounded on its way into the record would not be recognised in the next run."""
    rules = ["{abs: 0.1}", "{abs: 123456789012345678.5}", "{abs: 1.5e-390}", "{abs: 1e399}", "{abs: 0.3ns}",
             "{range: 1e-330}", "{pointwise: 0.1234567890123456789}", "{abs: 2min}", "{abs: 1e300h}"]  # fmt: skip
    for rule in rules:
        policy = load_policy(f"version: 1\ncolumns: {{x: {rule}}}\n")
        assert load_policy(policy.to_yaml()) == policy
        assert type(policy).model_validate(policy.model_dump(mode="json")) == policy
