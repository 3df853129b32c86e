"""The judges are judged: peers give back what they promise, and the check notices when something does not."""

import os
import subprocess
import sys
from decimal import Decimal
from fractions import Fraction
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from tests.benchmarks import deepsqueeze, deepsqueeze_net
from tests.benchmarks.coders import SIMPLE
from tests.benchmarks.fidelity import Violation, range_bounds, worst_ratio
from tests.benchmarks.more_peers import ALL_PEERS, MISSING
from tests.benchmarks.openzl_coder import OPENZL
from tests.benchmarks.peers import measure


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


@pytest.fixture(autouse=True)
def short_training(monkeypatch):
    short = {"TRIAL_STEPS": 3, "STEPS": 20, "WIDTHS": (8,), "CODES": (1, 2), "SAMPLE": 200, "PREDICTED": 200}
    for name, value in short.items():
        monkeypatch.setattr(deepsqueeze_net, name, value)


@pytest.mark.parametrize("peer", list(ALL_PEERS))
@pytest.mark.parametrize("share", ["0.01", "0.00001", "0"])
def test_every_peer_keeps_its_bounds_on_every_type(table, peer, share):
    bounds = range_bounds(table, share)
    assert set(bounds) == (set() if share == "0" else {"i8", "u64", "i64", "f64", "f32", "f16", "dec"})
    result = measure(peer, [table, table.slice(0, 1), table.slice(0, 0)], bounds, ALL_PEERS)
    assert 0 <= result.worst_ratio <= 1
    assert result.worst_ratio > 0.5 or share == "0" or ALL_PEERS[peer].lossless


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


def test_the_autoencoder_models_what_it_should_and_its_corrections_are_exact(table):
    bounds = range_bounds(table, "0.01")
    modelled = {
        name
        for name in table.column_names
        if deepsqueeze._modelled(deepsqueeze.plain.one_array(table[name]), bounds, name) is not None
    }
    assert modelled == {"i8", "u64", "i64", "f64", "f32", "f16", "dec", "when", "day", "yes", "text"}
    rebuilt = deepsqueeze.decode(deepsqueeze.encode(table, bounds))
    assert worst_ratio(table, rebuilt, bounds) <= 1


def test_a_rank_leads_back_to_its_category_also_where_logits_are_equal():
    logits = np.array([[0.5, 2, 0.5, 0.5], [1, 1, 1, 1], [-1, -2, 3, 3]], np.float32)
    ranks = deepsqueeze_net.Ranks([logits])
    for symbol in range(4):
        right = np.full(3, symbol)
        assert ranks.at(0, ranks.of(0, right)).tolist() == right.tolist()
    assert ranks.of(0, np.array([1, 0, 2])).tolist() == [0, 0, 0]


def test_training_is_repeatable(table):
    bounds = range_bounds(table, "0.01")
    assert deepsqueeze.encode(table, bounds) == deepsqueeze.encode(table, bounds)


@pytest.mark.parametrize("coder", [SIMPLE, OPENZL])
@pytest.mark.parametrize(
    "values",
    [
        np.array([], np.int64),
        np.array([-(2**63), 2**63 - 1]),
        np.array([2**64 - 1, 0], np.uint64),
        np.array([-3, 7] * 50),
        np.arange(100_000) % 300,
        np.linspace(-1, 1, 50, dtype=np.float16),
        np.array([0.1, -0.0, 1e300]),
    ],
)
def test_a_coder_gives_back_every_array(coder, values):
    if coder is OPENZL and MISSING:
        pytest.skip(f"not installed: {MISSING}")
    assert coder.get(coder.put(values)).astype(values.dtype).tobytes() == values.tobytes()


def test_a_peer_whose_package_is_not_installed_is_named_and_left_out():
    code = """import sys
sys.modules["openzl"] = None
from tests.benchmarks.more_peers import ALL_PEERS, MISSING, OPENZL_NAME
assert list(MISSING) == [OPENZL_NAME] and OPENZL_NAME not in ALL_PEERS and len(ALL_PEERS) == 5"""
    root = Path(__file__).parents[3]
    subprocess.run([sys.executable, "-c", code], cwd=root, env={**os.environ, "PYTHONPATH": str(root)}, check=True)
