"""The exact comparison against Python's fractions, over random cells of every numeric type."""

from __future__ import annotations

import math
from decimal import Decimal
from fractions import Fraction

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ae_core.report.rounding import figure

from .helpers import FakeBound, measure_column

_FLOATS = {"float16": 16, "float32": 32, "float64": 64}
_INTS = {name: np.iinfo(name) for name in ("int8", "uint8", "int32", "int64", "uint64")}


def _expected(pairs: list[tuple[Fraction | float | None, Fraction | float | None]], bound: FakeBound) -> tuple:
    """(outside, max error, max ratio) by definition."""
    outside, top, worst = 0, Fraction(0), Fraction(0)
    for x, y in pairs:
        if not isinstance(x, Fraction) or not isinstance(y, Fraction):
            same = (x is None and y is None) or (isinstance(x, float) and isinstance(y, float) and str(x) == str(y))
            outside += not same
            continue
        error = abs(y - x)
        allowed = bound.value if bound.kind == "abs" else bound.value * abs(x)
        ratio = Fraction(0) if error == 0 else error / allowed if allowed else math.inf
        outside += ratio > 1
        top, worst = max(top, error), max(worst, ratio)
    return outside, figure(top, towards="away"), figure(worst, towards="away")


def _check(originals: list, rebuilts: list, kind: pa.DataType, bound: FakeBound) -> None:
    x, y = pa.array(originals, kind), pa.array(rebuilts, kind)
    loss = measure_column(x, y, bound)

    def exact(cell: object) -> Fraction | float | None:
        if cell is None or (isinstance(cell, float) and not math.isfinite(cell)):
            return cell
        return Fraction(cell)

    cells = [(exact(a), exact(b)) for a, b in zip(x.to_pylist(), y.to_pylist(), strict=True)]
    assert (loss.outside, loss.max_error, loss.max_ratio) == _expected(cells, bound)


_BOUNDS = st.builds(
    FakeBound,
    st.sampled_from(["abs", "pointwise"]),
    st.fractions(min_value=Fraction(1, 10**6), max_value=10**6, max_denominator=10**6)
    | st.sampled_from([Fraction(1), Fraction(1, 2), Fraction(1, 3), Fraction(0.1)]),
)


@pytest.mark.parametrize("name", list(_FLOATS))
@given(data=st.data(), bound=_BOUNDS)
def test_floats(name, data, bound):
    values = st.none() | st.floats(width=_FLOATS[name]) | st.sampled_from([0.0, 0.5, 1.0, -0.0, 1.5])
    rows = data.draw(st.lists(st.tuples(values, values), max_size=8))
    kind = np.dtype(name).type
    cast = [[None if cell is None else kind(cell) for cell in row] for row in rows]
    _check([row[0] for row in cast], [row[1] for row in cast], pa.from_numpy_dtype(name), bound)


@given(data=st.data(), bound=_BOUNDS)
def test_floats_close_to_the_bound(data, bound):
    """Rebuilt values at original ± bound and one or two units in the last place away."""
    rows = data.draw(
        st.lists(st.tuples(st.floats(-1e6, 1e6), st.integers(-2, 2), st.sampled_from([-1, 1])), min_size=1, max_size=8)
    )
    rebuilt = []
    for x, ulps, sign in rows:
        allowed = float(bound.value) if bound.kind == "abs" else float(bound.value) * abs(x)
        y = x + sign * allowed
        for _ in range(abs(ulps)):
            y = float(np.nextafter(y, math.copysign(math.inf, ulps)))
        rebuilt.append(y)
    _check([row[0] for row in rows], rebuilt, pa.float64(), bound)


@pytest.mark.parametrize("name", list(_INTS))
@given(data=st.data(), bound=_BOUNDS)
def test_integers(name, data, bound):
    info = _INTS[name]
    values = st.none() | st.integers(int(info.min), int(info.max)) | st.integers(0, 3)
    rows = data.draw(st.lists(st.tuples(values, values), max_size=8))
    _check([row[0] for row in rows], [row[1] for row in rows], pa.from_numpy_dtype(name), bound)


@pytest.mark.parametrize("kind", [pa.decimal128(9, 2), pa.decimal128(38, 10), pa.decimal256(70, 5)], ids=str)
@given(data=st.data(), bound=_BOUNDS)
def test_decimals(kind, data, bound):
    values = st.none() | st.integers(-(10**kind.precision) + 1, 10**kind.precision - 1) | st.integers(-3, 3)
    rows = data.draw(st.lists(st.tuples(values, values), max_size=8))

    def cell(value: int | None) -> Decimal | None:
        if value is None:
            return None
        digits = tuple(int(c) for c in str(abs(value)))
        return Decimal((int(value < 0), digits, -kind.scale))

    _check([cell(row[0]) for row in rows], [cell(row[1]) for row in rows], kind, bound)
