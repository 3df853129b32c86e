"""Columns that others determine are left out, and cost little where the relation breaks."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from ae_core.columns import TablePlan, build_plan, check_block, decode_columns, encode_columns, read_plan, write_plan
from ae_core.policy import policy_from_range, resolve

ROWS = 16_000


def flights(seed: int = 0, rows: int = ROWS) -> pa.Table:
    """Routes with distances, scheduled times as hour and minute, times of day in seconds, planes of carriers."""
    rng = np.random.default_rng(seed)
    origin, dest = rng.integers(0, 3, rows), rng.integers(0, 20, rows)
    hour, minute = rng.integers(5, 24, rows), rng.integers(0, 12, rows) * 5
    day = np.sort(rng.integers(1, 29, rows))
    carrier = rng.integers(0, 9, rows)
    plane = carrier * 70 + rng.integers(0, 60, rows)
    names = rng.permutation(10_000)
    return pa.table(
        {
            "day": day,
            "sched": 100 * hour + minute,
            "carrier": pa.array(np.array(list("ABCDEFGHI"))[carrier]),
            "plane": pa.array([f"N{names[number]:04d}" for number in plane]),
            "origin": pa.array(np.array(["X", "Y", "Z"])[origin]),
            "dest": dest,
            "distance": 100 + (origin * 7919 + dest * 104_729) % 997,
            "hour": hour,
            "minute": minute,
            "when": pa.array(10**9 + 86_400 * day + 3600 * hour, pa.timestamp("s")),
            "version": np.full(rows, 3),
        }
    )


TABLE = flights()
POLICY = resolve(policy_from_range(0), TABLE.schema, {})
PLAN = read_plan(write_plan(build_plan(TABLE.schema, [TABLE], POLICY)))[0]


def coder(name: str) -> str:
    return PLAN.columns[PLAN.index_of[name]].coder


def round_trip(table: pa.Table, plan: TablePlan = PLAN) -> dict[str, bytes]:
    encoded = encode_columns(plan, table)
    check_block(plan, table, decode_columns(plan, encoded.symbols, encoded.streams, wide=encoded.wide))
    return encoded.streams


def test_what_is_determined_is_not_coded() -> None:
    assert coder("sched") == "linear"
    assert coder("when") == "linear"
    assert coder("distance") == "lookup"
    assert coder("version") == "lookup"
    assert PLAN.columns[PLAN.index_of["day"]].given
    coded = {PLAN.columns[symbol.column].name for symbol in PLAN.symbols if symbol.coded}
    assert coded == {"carrier", "plane", "origin", "dest", "hour", "minute"}


def test_relations_that_hold_cost_next_to_nothing() -> None:
    streams = round_trip(TABLE)
    relations = [data for name, data in streams.items() if name.endswith(("rest", "misses"))]
    assert sum(map(len, relations)) < 200


def test_a_wide_dictionary_lies_in_the_order_of_its_parent() -> None:
    plane = PLAN.index_of["plane"]
    carriers = dict(zip(TABLE["plane"].to_pylist(), TABLE["carrier"].to_pylist(), strict=True))
    code = PLAN.columns[plane].code
    assert code is not None
    ordered = [carriers[word] for word in code.words.to_pylist()]
    assert ordered == sorted(ordered)


def change(table: pa.Table, name: str, cells: np.ndarray) -> pa.Table:
    place = table.column_names.index(name)
    return table.set_column(place, table.schema.field(name), pa.array(cells).cast(table.schema.field(name).type))


def test_a_broken_relation_costs_bytes_and_never_a_cell() -> None:
    distance, sched = TABLE["distance"].to_numpy().copy(), TABLE["sched"].to_numpy().copy()
    distance[[3, 70, 15_999]] = 5, 101, 2**40
    sched[50:60] += 1
    few = change(change(TABLE, "distance", distance), "sched", sched)
    assert sum(map(len, round_trip(few).values())) < sum(map(len, round_trip(TABLE).values())) + 300
    rng = np.random.default_rng(3)
    many = change(change(TABLE, "distance", rng.permutation(distance)), "sched", rng.permutation(sched))
    round_trip(many)


def test_keys_that_were_never_seen_are_exceptions() -> None:
    round_trip(change(TABLE, "dest", TABLE["dest"].to_numpy() + 15))
    round_trip(flights(seed=9, rows=500))


def test_sums_wrap_where_int64_ends() -> None:
    hour = np.full(ROWS, 2**62)
    round_trip(change(TABLE, "hour", hour))
    round_trip(change(TABLE, "sched", np.full(ROWS, -(2**63))))


def test_a_key_that_leaves_the_network_gives_its_lookups_back() -> None:
    moved = PLAN.with_coder("dest", "plain", "smaller so")
    assert moved.columns[moved.index_of["distance"]].coder == "network"
    assert "dest" not in {moved.columns[symbol.column].name for symbol in moved.symbols}
    round_trip(TABLE, moved)
    round_trip(TABLE, read_plan(write_plan(moved))[0])
