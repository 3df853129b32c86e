"""Every type, every bound and every odd shape of a table through the real path: Parquet, archive, Parquet.

What comes back is judged by integers and fractions alone, against what plain pyarrow reads from the lake's own files.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import ae_core
from ae_core.errors import LakeError
from tests.types.catalogue import Kind, kinds
from tests.types.judge import judge
from tests.types.lakes import compress, decode, promises, round_trip, write_lake

SMALL = [kind for kind in kinds() if "1 MB" not in kind.name]
LOSSY = [kind for kind in kinds() if kind.lossy]
BOUNDS = {
    "below a step": {"abs": 0.4},
    "abs": {"abs": 3},
    "beyond every range": {"abs": 1e30},
    "range": {"range": 0.01},
    "whole range": {"range": 1},
    "pointwise": {"pointwise": 0.01},
    "pointwise above one": {"pointwise": 2.5},
    "below a float's step": {"pointwise": 1e-18},
}
NAMES = [
    "a.b", "a b", '"q"', "it's", "😀", "", "x" * 300, "\n", "`", "$", "a/b", ".", "None", "1", "a,b", "z_0", "ключ",
    "a=b", "{}", "%s", "\u200b", "[0]", "*",
]  # fmt: skip


def table_of(chosen: list[Kind], rows: int, *, seed: int = 0, odd: bool = True) -> pa.Table:
    """A column of each kind, extremes first."""
    return pa.table(
        {kind.name: kind.column(rows, seed=seed + place, odd=odd).slice(0, rows) for place, kind in enumerate(chosen)}
    )


def test_every_type_comes_back_bit_for_bit(tmp_path: Path) -> None:
    """Partitions of many rows, of none and of one; strings of a megabyte."""
    table = table_of(list(kinds()), 40)
    round_trip(tmp_path, [table, table.slice(0, 0), table.slice(0, 1), table.slice(3, 1)])


def test_every_bound_holds_on_values_that_the_model_never_saw(tmp_path: Path) -> None:
    """The model is made from ordinary values; the next run reuses it for the ends of every type."""
    columns, policy = {}, {}
    for kind in LOSSY:
        for form, bound in BOUNDS.items():
            columns[f"{kind.name} {form}"] = kind
            policy[f"{kind.name} {form}"] = bound
    ordinary, extreme = (
        pa.table({name: kind.column(40, seed=seed, odd=odd).slice(0, 40) for name, kind in columns.items()})
        for seed, odd in ((1, False), (2, True))
    )
    lake, archive = write_lake(tmp_path / "lake", [ordinary]), tmp_path / "archive"
    compress(lake, archive, policy)
    write_lake(tmp_path / "lake", [extreme], first=1)
    compress(lake, archive, policy)
    opened = ae_core.open_archive(str(archive))
    assert len({partition.manifest.model for partition in opened.partitions()}) == 1
    lossy = set()
    for trip in decode(lake, archive, tmp_path / "out"):
        judge(trip.original, trip.rebuilt, promises(opened))
        lossy |= {name for name in columns if trip.original[name] != trip.rebuilt[name]}
    kept = {columns[name].name for name in lossy if name.endswith(" abs")}
    assert kept == {kind.name for kind in LOSSY if not pa.types.is_decimal256(kind.type)}, "a bound that loses nothing"


def test_bounds_hold_where_extremes_are_what_the_model_is_made_from(tmp_path: Path) -> None:
    """Ranges of 2^64 and of all doubles; a range of nothing: constant and all null."""
    policy = {f"{kind.name} {form}": bound for kind in LOSSY for form, bound in BOUNDS.items() if "abs" not in form}
    table = pa.table({f"{k.name} {form}": k.column(40).slice(0, 40) for k in LOSSY for form in BOUNDS})
    round_trip(tmp_path, [table.select(list(policy))], policy)


def test_constant_and_all_null_columns_come_back(tmp_path: Path) -> None:
    constant = {kind.name: pa.concat_arrays([kind.odd().slice(min(1, len(kind.odd()) - 1), 1)] * 9) for kind in SMALL}
    nulls = {f"{kind.name} null": pa.nulls(9, kind.type) for kind in SMALL}
    policy = {name: {"range": 0.1} for kind in LOSSY for name in (kind.name, f"{kind.name} null")}
    round_trip(tmp_path, [pa.table(constant | nulls)], policy)


def test_any_name_is_a_column_s_name(tmp_path: Path) -> None:
    table = pa.table({name: pa.array([1, 200 + place, None, 40]) for place, name in enumerate(NAMES)})
    (trip,) = round_trip(tmp_path, [table], {name: {"abs": 1} for name in NAMES})
    assert trip.rebuilt.column_names == NAMES
    one = ae_core.open_archive(str(tmp_path / "archive")).scan(columns=["", "a.b"]).to_table()
    assert one.column_names == ["", "a.b"]


def test_metadata_and_not_null_fields_come_back_at_every_depth(tmp_path: Path) -> None:
    schema = pa.schema(
        [
            pa.field("a", pa.int32(), nullable=False, metadata={b"\xff\x00": b"\x00\xfe", "k": "v"}),
            pa.field("l", pa.list_(pa.field("element", pa.int8(), nullable=False, metadata={"in": "ner"}))),
            pa.field("s", pa.struct([pa.field("x", pa.string(), nullable=False, metadata={"deep": "1"})])),
            pa.field("m", pa.map_(pa.string(), pa.field("value", pa.int32(), nullable=False))),
        ],
        metadata={b"\xff": b"\x00", "pandas": "{}"},
    )
    cells = [[1, 2], [[1], []], [{"x": "a"}, None], [[("a", 1)], []]]
    table = pa.table([pa.array(c, f.type) for c, f in zip(cells, schema, strict=True)], schema=schema)
    other = table.slice(0, 1).replace_schema_metadata({"other": "metadata"})
    trips = round_trip(tmp_path, [table, other])
    assert trips[0].rebuilt.schema.field("a").metadata == {b"\xff\x00": b"\x00\xfe", b"k": b"v"}
    assert trips[1].rebuilt.schema.metadata == {b"other": b"metadata"}


def test_lakes_without_rows_or_columns_come_back(tmp_path: Path) -> None:
    for name, table in (("rows", table_of(SMALL, 9).slice(0, 0)), ("columns", pa.table({}))):
        (trip,) = round_trip(tmp_path / name, [table])
        assert trip.rebuilt.num_rows == 0


def test_files_without_rows_come_back_beside_others(tmp_path: Path) -> None:
    table = table_of(SMALL[:9], 9)
    lake = write_lake(tmp_path / "lake", [table])
    for name in ("a", "part-00", "z"):
        pq.write_table(table.slice(0, 0), lake / f"p=0/{name}.parquet")
    compress(lake, tmp_path / "archive", {})
    trips = decode(lake, tmp_path / "archive", tmp_path / "out")
    assert sorted(trip.rebuilt.num_rows for trip in trips) == [0, 0, 0, 9]
    for trip in trips:
        judge(trip.original, trip.rebuilt, {})
    ae_core.decode(str(tmp_path / "archive"), str(tmp_path / "part"), rows="2:4")
    assert [pq.ParquetFile(path).metadata.num_rows for path in (tmp_path / "part").rglob("*.parquet")] == [2]


def test_two_columns_of_one_name_are_refused_by_name(tmp_path: Path) -> None:
    twice = pa.table([pa.array([1]), pa.array([2]), pa.array([3])], names=["a", "b", "a"])
    with pytest.raises(LakeError, match="more than one column named 'a'"):
        round_trip(tmp_path, [twice])
    assert not (tmp_path / "archive").exists()


@pytest.mark.full
@pytest.mark.ci
def test_five_thousand_columns_come_back(tmp_path: Path) -> None:
    made = [LOSSY[place % len(LOSSY)].column(24, seed=place).slice(0, 24) for place in range(5000)]
    table = pa.table({f"c{place}": array for place, array in enumerate(made)})
    round_trip(tmp_path, [table], {f"c{place}": {"range": 0.01} for place in range(0, 5000, 2)})


@pytest.mark.full
@pytest.mark.ci
def test_types_come_back_by_adaptive_mixing(tmp_path: Path) -> None:
    """As many rows as the mixing coder needs, each cell telling the next one but for one in five."""
    chosen = [kind for kind in SMALL if "view" not in kind.name][:36]
    rng = np.random.default_rng(5)
    made = {}
    for place, kind in enumerate(chosen):
        jumps = np.where(rng.random(800) < 0.2, rng.integers(0, 60, 800), 7)
        made[kind.name] = kind.column(60, seed=place).take(pa.array(np.cumsum(jumps) % 60))
    round_trip(tmp_path, [pa.table(made)])
    archive = ae_core.open_archive(str(tmp_path / "archive"))
    plan = archive.codec(archive.partitions()[0].manifest).plan
    assert sum(column.coder == "mixing" for column in plan.columns) >= 12


def test_what_was_read_is_what_pyarrow_reads(tmp_path: Path) -> None:
    """A type that Parquet itself changes is compared with what plain pyarrow gives back of it."""
    days = pa.array([-719_162, 0, None, 2_932_896], pa.date32()).cast(pa.date64())
    table = pa.table({"day": days, "s": pa.array([0, 86_399, None, 1], pa.time32("s"))})
    (trip,) = round_trip(tmp_path, [table])
    assert trip.rebuilt.schema.types == [pa.date32(), pa.time32("ms")]
    assert pq.read_table(tmp_path / "lake/p=0/part-0.parquet").schema.types == trip.rebuilt.schema.types
