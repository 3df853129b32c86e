"""The judges are judged: peers give back what they promise, and the check notices when something does not."""

from decimal import Decimal
from fractions import Fraction

import numpy as np
import pyarrow as pa
import pytest

from tests.benchmarks.fidelity import Violation, range_bounds, worst_ratio
from tests.benchmarks.peers import PEERS, measure


@pytest.fixture
def table():
    random = np.random.default_rng(1)
    rows = 500
    holes = random.random(rows) < 0.1
    floats = random.normal(0, 100, rows)
    floats[:5] = np.nan, np.inf, -np.inf, -0.0, 1e6
    return pa.table(
        {
            "i8": pa.array(random.integers(-128, 128, rows), pa.int8(), mask=holes),
            "u64": pa.array(random.integers(0, 2**64, rows, np.uint64)),
            "i64": pa.array([-(2**63), 2**63 - 1, *range(rows - 2)]),
            "f64": pa.array(floats, mask=holes),
            "f32": pa.array(floats.astype(np.float32)),
            "f16": pa.array(random.normal(0, 1, rows).astype(np.float16)),
            "dec": pa.array([None if h else Decimal(i) / 100 - 2 for i, h in enumerate(holes)], pa.decimal128(9, 2)),
            "when": pa.array(range(rows), pa.timestamp("us", "UTC"), mask=holes),
            "day": pa.array(range(rows), pa.date32()),
            "yes": pa.array(random.random(rows) < 0.5, mask=holes),
            "text": pa.array([None if h else f"word {i % 9}" for i, h in enumerate(holes)]),
            "long": pa.array([f"a\0b{i}" for i in range(rows)], pa.large_string()),
            "list": pa.array([[i, None] for i in range(rows)]),
            "null": pa.nulls(rows, pa.float32()),
        }
    )


@pytest.mark.parametrize("peer", list(PEERS))
@pytest.mark.parametrize("share", ["0.01", "0.00001", "0"])
def test_every_peer_keeps_its_bounds_on_every_type(table, peer, share):
    bounds = range_bounds(table, share)
    assert set(bounds) == (set() if share == "0" else {"i8", "u64", "i64", "f64", "f32", "f16", "dec"})
    result = measure(peer, [table, table.slice(0, 1), table.slice(0, 0)], bounds)
    assert 0 <= result.worst_ratio <= 1
    assert result.worst_ratio > 0.5 or share == "0" or PEERS[peer].lossless


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ([1.0, None, 3.0], None),
        ([1.5, None, 3.0], None),
        ([1.5000001, None, 3.0], "above the bound"),
        ([1.0, 2.0, 3.0], "nulls differ"),
        ([1.0, None, float("nan")], "NaN"),
        ([1.0, None], "rows"),
    ],
)
def test_the_check_notices_what_a_bound_forbids(changed, reason):
    original, rebuilt = (pa.table({"x": pa.array(values, pa.float64())}) for values in ([1.0, None, 3.0], changed))
    if reason is None:
        assert worst_ratio(original, rebuilt, {"x": Fraction(1, 2)}) <= 1
        return
    with pytest.raises(Violation, match=reason):
        worst_ratio(original, rebuilt, {"x": Fraction(1, 2)})


def test_an_exact_column_is_compared_by_its_bits():
    zero, minus = (pa.table({"x": [value]}) for value in (0.0, -0.0))
    assert worst_ratio(zero, zero, {}) == 0
    with pytest.raises(Violation, match="exact column"):
        worst_ratio(zero, minus, {})
