"""The verdict "within its bound" equals the verdict of fractions, on and around the bound itself."""

from __future__ import annotations

import math
from fractions import Fraction

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import example, given

from ae_core.columns.exact import float_below, floats_pointwise, floats_within, ints_pointwise, ints_within

FINITE = st.floats(allow_nan=False, allow_infinity=False)
INT64 = st.one_of(st.integers(-(2**63), 2**63 - 1), st.sampled_from([-(2**63), -1, 0, 1, 2**63 - 1]))
LIMITS = st.one_of(
    st.fractions(min_value=0, max_value=10, max_denominator=1000),
    st.floats(min_value=0, allow_infinity=False).map(Fraction),
)


@given(FINITE, FINITE, LIMITS)
@example(0.3, 0.1, Fraction(2, 10))
@example(0.1, 0.3, Fraction(0.3) - Fraction(0.1))
@example(1e16, 1.0, Fraction(10**16))
@example(1e308, -1e308, Fraction(2 * 10**308))
@example(5e-324, 0.0, Fraction(5e-324) / 2)
def test_float_distances_are_judged_like_fractions(x: float, y: float, limit: Fraction) -> None:
    expected = abs(Fraction(x) - Fraction(y)) <= limit
    assert floats_within(np.array([x]), np.array([y]), limit)[0] == expected


@given(FINITE, FINITE, st.integers(-2, 2))
def test_a_limit_at_the_distance_itself_or_a_hair_beside_it(x: float, y: float, hairs: int) -> None:
    distance = abs(Fraction(x) - Fraction(y))
    limit = max(distance + Fraction(hairs, 10**30) * distance, Fraction(0))
    assert floats_within(np.array([x]), np.array([y]), limit)[0] == (distance <= limit)


@given(FINITE, FINITE, LIMITS)
def test_relative_float_distances_are_judged_like_fractions(x: float, y: float, ratio: Fraction) -> None:
    expected = abs(Fraction(x) - Fraction(y)) <= ratio * abs(Fraction(x))
    assert floats_pointwise(np.array([x]), np.array([y]), ratio)[0] == expected


@given(INT64, INT64, st.integers(0, 2**64))
def test_integer_distances_never_overflow(x: int, y: int, limit: int) -> None:
    assert ints_within(np.array([x]), np.array([y]), limit)[0] == (abs(x - y) <= limit)


@given(INT64, INT64, st.fractions(min_value=0, max_value=3, max_denominator=10**6), st.sampled_from([0, -(2**63)]))
def test_relative_integer_distances_never_overflow(x: int, y: int, ratio: Fraction, origin: int) -> None:
    expected = abs(x - y) <= ratio * abs(x - origin)
    assert ints_pointwise(np.array([x]), np.array([y]), ratio, origin)[0] == expected


@pytest.mark.parametrize("odd", [math.nan, math.inf, -math.inf])
def test_what_is_not_finite_is_never_within(odd: float) -> None:
    for x, y in ((odd, 1.0), (1.0, odd), (odd, odd)):
        assert not floats_within(np.array([x]), np.array([y]), Fraction(10**400))[0]


@given(st.fractions(min_value=0, max_value=10**320))
def test_the_double_below_a_fraction_is_the_largest_one(value: Fraction) -> None:
    below = float_below(value)
    assert Fraction(below) <= value
    assert math.nextafter(below, math.inf) == math.inf or Fraction(math.nextafter(below, math.inf)) > value
