"""The policy file: what it may say, what it means for a table, and one clear line where it is wrong."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from fractions import Fraction

import pyarrow as pa
import pytest

from ae_core.errors import PolicyError
from ae_core.policy import Bound, ResolvedPolicy, load_policy, policy_from_range, resolve

TEXT = """
version: 1
partition_keys: [month]
latents: always
default: {float: {range: 0.001}, integer: exact, decimal: {abs: 0.01}, temporal: exact}
columns:
  dep_delay: {abs: 0.5}
  distance: {range: 0.01}
  when: {abs: 2min}
  day: {abs: 36h}
  tailnum: exact
  passenger_name: {bound: exact, sensitive: true}
  price: {pointwise: 1e-3}
"""
SCHEMA = pa.schema(
    [
        ("dep_delay", pa.float64()),
        ("distance", pa.int32()),
        ("when", pa.timestamp("ms")),
        ("day", pa.date32()),
        ("tailnum", pa.string()),
        ("passenger_name", pa.string()),
        ("price", pa.decimal128(9, 2)),
        ("speed", pa.float32()),
        ("cost", pa.decimal128(9, 2)),
        ("seats", pa.int16()),
    ]
)


def test_each_form_of_bound_resolves_to_an_exact_fraction() -> None:
    bounds = resolve(load_policy(TEXT), SCHEMA, {"distance": (17, 4983), "speed": (0.0, 100.0)}).bounds
    assert bounds["dep_delay"] == Bound("abs", Fraction(1, 2))
    assert bounds["distance"] == Bound("abs", Fraction(4966, 100))
    assert bounds["when"] == Bound("abs", Fraction(120_000))
    assert bounds["day"] == Bound("abs", Fraction(3, 2))
    assert bounds["passenger_name"] == Bound("exact", sensitive=True)
    assert bounds["price"] == Bound("pointwise", Fraction(1, 1000))
    assert bounds["speed"] == Bound("abs", Fraction(1, 10))
    assert bounds["cost"] == Bound("abs", Fraction(1, 100))
    assert bounds["seats"] == Bound("exact")


@pytest.mark.parametrize(
    ("span", "kind", "expected"),
    [
        ((1, 1), pa.int64(), None),
        (None, pa.int64(), None),
        ((None, None), pa.int64(), None),
        ((0.0, float("inf")), pa.float64(), None),
        ((Decimal("0.10"), Decimal("0.30")), pa.decimal128(5, 2), Fraction(1, 500)),
        ((-(2**63), 2**63 - 1), pa.int64(), Fraction(2**64 - 1, 100)),
    ],
)
def test_a_range_without_width_or_end_keeps_the_column_exact(span, kind, expected) -> None:
    resolved = resolve(policy_from_range(0.01), pa.schema([("x", kind)]), {"x": span})
    assert resolved.bounds["x"] == (Bound("exact") if expected is None else Bound("abs", expected))


def test_a_range_of_times_takes_python_times() -> None:
    policy = load_policy("version: 1\ndefault: {temporal: {range: 0.5}}")
    span = (dt.datetime(2020, 1, 1), dt.datetime(2020, 1, 2))
    bounds = resolve(policy, pa.schema([("x", pa.timestamp("s"))]), {"x": span}).bounds
    assert bounds["x"] == Bound("abs", Fraction(43_200))


def test_the_short_policy_bounds_numbers_alone() -> None:
    schema = pa.schema([("i", pa.int8()), ("t", pa.timestamp("s")), ("s", pa.string()), ("b", pa.bool_())])
    spans = dict.fromkeys(schema.names, (0, 100))
    bounds = resolve(policy_from_range("0.05"), schema, spans).bounds
    assert [bounds[name].exact for name in schema.names] == [False, True, True, True]
    assert all(bound.exact for bound in resolve(policy_from_range(0), schema, spans).bounds.values())


def test_partition_keys_are_exact_and_may_be_missing_from_the_files() -> None:
    policy = load_policy("version: 1\npartition_keys: [month, year]\ndefault: {integer: {abs: 3}}")
    bounds = resolve(policy, pa.schema([("month", pa.int64()), ("x", pa.int64())]), {}).bounds
    assert bounds["month"].exact
    assert not bounds["x"].exact


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("version: 2", "version"),
        ("version: 1\ncolour: red", "colour"),
        ("version: 1\ncolumns: {nosuch: exact}", "nosuch"),
        ("version: 1\ncolumns: {dep_delay: {abs: -1}}", "negative"),
        ("version: 1\ncolumns: {dep_delay: {abs: .nan}}", "finite"),
        ("version: 1\ncolumns: {dep_delay: {abs: .inf}}", "finite"),
        ("version: 1\ncolumns: {dep_delay: {abs: true}}", "number"),
        ("version: 1\ncolumns: {dep_delay: {about: 1}}", "about"),
        ("version: 1\ncolumns: {dep_delay: lossy}", "bound"),
        ("version: 1\ncolumns: {dep_delay: {abs: 1, range: 2}}", "bound"),
        ("version: 1\ncolumns: {tailnum: {abs: 1}}", "tailnum"),
        ("version: 1\ncolumns: {dep_delay: {abs: 2min}}", "time"),
        ("version: 1\ndefault: {text: exact}", "text"),
        ("version: 1\npartition_keys: [seats]\ncolumns: {seats: {abs: 1}}", "partition key"),
        ("- version: 1", "mapping"),
        ("version: [", "YAML"),
    ],
)
def test_a_wrong_policy_gets_one_line_that_names_the_culprit(text: str, words: str) -> None:
    with pytest.raises(PolicyError) as caught:
        resolve(load_policy(text + "\n"), SCHEMA, {})
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_negative_range_on_the_command_line_is_refused() -> None:
    for wrong in (-0.1, "nan", "much"):
        with pytest.raises(PolicyError):
            policy_from_range(wrong)


def test_a_missing_file_is_a_policy_error(tmp_path) -> None:
    with pytest.raises(PolicyError, match="cannot be read"):
        load_policy(tmp_path / "none.yaml")


def test_policies_survive_being_written(tmp_path) -> None:
    policy = load_policy(TEXT)
    path = tmp_path / "policy.yaml"
    path.write_text(policy.to_yaml())
    assert load_policy(path).to_yaml() == policy.to_yaml()
    resolved = resolve(load_policy(path), SCHEMA, {"distance": (17, 4983)})
    assert resolved == resolve(policy, SCHEMA, {"distance": (17, 4983)})
    assert ResolvedPolicy.from_json(resolved.to_json()) == resolved


def test_a_malformed_record_is_refused() -> None:
    good = resolve(policy_from_range(0.1), pa.schema([("x", pa.int64())]), {"x": (0, 9)}).to_json()
    for change in ({"kind": "loose"}, {"value": None}, {"value": "-1"}, {"value": "1/0"}):
        record = {**good, "columns": {"x": {**good["columns"]["x"], **change}}}
        with pytest.raises(PolicyError):
            ResolvedPolicy.from_json(record)
