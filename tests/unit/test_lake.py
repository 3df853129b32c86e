"""What a lake promises: which partitions it has, their rows in order, their versions, and clear refusals."""

import hashlib
import os
from decimal import Decimal
from itertools import pairwise

import fsspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ae_core.errors import LakeError, UsageError
from ae_core.extremes import column_ranges, has_range
from ae_core.lake import common_schema, file_sha256, footers, list_partitions, read_blocks, refresh, schema


def write(path, table=None, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table({"x": [1, 2, 3]}) if table is None else table, path, **options)
    return path


@pytest.fixture
def hive(tmp_path):
    for month in (10, 2, 1):
        write(tmp_path / f"month={month}" / "part-0.parquet", pa.table({"x": [month, month]}))
    return tmp_path


def ids(url, where=None):
    return [partition.id for partition in list_partitions(str(url), where)]


def test_hive_folders_are_partitions_in_natural_order(hive):
    assert ids(hive) == ["month=1", "month=2", "month=10"]
    (second,) = list_partitions(str(hive), ["month=2"])
    assert (second.keys, second.path_of(second.files[0])) == ({"month": "2"}, "month=2/part-0.parquet")


def test_a_flat_lake_has_one_partition_per_file_also_where_a_name_holds_an_equals_sign(tmp_path):
    write(tmp_path / "b.parquet")
    write(tmp_path / "sub" / "a=1.parquet")
    assert ids(tmp_path) == ["b.parquet", "sub/a=1.parquet"]
    assert [partition.keys for partition in list_partitions(str(tmp_path))] == [{}, {}]


def test_a_single_file_is_a_lake(tmp_path):
    path = write(tmp_path / "only.parquet")
    (partition,) = list_partitions(str(path))
    assert partition.id == "only.parquet"
    assert refresh(partition) == partition
    assert sum(block.num_rows for block in read_blocks(partition)) == 3


def test_nested_keys_are_unescaped_and_files_below_a_partition_keep_their_path(tmp_path):
    write(tmp_path / "year=2013" / "city=New%20York" / "deep" / "b.parquet")
    write(tmp_path / "year=2013" / "city=New%20York" / "a.parquet")
    (partition,) = list_partitions(str(tmp_path))
    assert partition.keys == {"year": "2013", "city": "New York"}
    assert [file.name for file in partition.files] == ["a.parquet", "deep/b.parquet"]
    assert partition.path_of(partition.files[1]) == "year=2013/city=New%20York/deep/b.parquet"


def test_hidden_names_are_passed_over_but_a_key_may_start_with_an_underscore(tmp_path):
    write(tmp_path / "_k=1" / "a.parquet")
    write(tmp_path / "_k=1" / ".crc.parquet")
    write(tmp_path / "_temporary" / "b.parquet")
    (tmp_path / "_SUCCESS").write_text("")
    (partition,) = list_partitions(str(tmp_path))
    assert [file.name for file in partition.files] == ["a.parquet"]


def test_conditions_select_and_must_match_something(hive):
    assert ids(hive, ["month>=2", "month<10"]) == ["month=2"]
    assert ids(hive, {"month": 10}) == ["month=10"]
    with pytest.raises(LakeError, match="none of the 3 partitions has month>11; there are month=1, month=2, month=10"):
        list_partitions(str(hive), ["month>11"])
    with pytest.raises(UsageError, match="day"):
        list_partitions(str(hive), ["day=3"])


def test_no_such_lake_and_an_empty_one_are_told_apart(tmp_path):
    with pytest.raises(LakeError, match="no such lake"):
        list_partitions(str(tmp_path / "nowhere"))
    with pytest.raises(LakeError, match="the lake is empty"):
        list_partitions(str(tmp_path))


def test_urls_that_cannot_be_opened_are_refused_in_one_line_without_their_secret(tmp_path):
    with pytest.raises(UsageError, match="credentials") as refused:
        list_partitions("ftp://me:hunter2@host/lake")
    assert "hunter2" not in str(refused.value)
    with pytest.raises(LakeError, match="nosuchprotocol.*no store profile of that name"):
        list_partitions("nosuchprotocol://lake")


def test_folders_with_other_keys_are_refused(hive):
    write(hive / "loose.parquet")
    with pytest.raises(LakeError, match=r"loose.parquet has the partition keys \[\], month=1 has \['month'\]"):
        list_partitions(str(hive))


def test_a_delta_table_is_refused_since_its_files_are_not_its_rows(hive):
    (hive / "_delta_log").mkdir()
    (hive / "_delta_log" / "0.json").write_text("{}")
    with pytest.raises(LakeError, match="Delta"):
        list_partitions(str(hive))


@pytest.mark.parametrize("content", [b"", b"a,b\n1,2\n", b"PAR1" + b"\0" * 40 + b"PAR1"])
def test_a_file_that_is_not_parquet_is_named(hive, content):
    (hive / "month=2" / "notes.csv").write_bytes(content)
    with pytest.raises(LakeError, match=r"month=2/notes\.csv cannot be read as Parquet") as refused:
        common_schema(list_partitions(str(hive)))
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("other", "difference"),
    [
        (pa.table({"x": pa.array([1], pa.int32())}), "column 0 is 'x' int64 in the first and 'x' int32 in the second"),
        (pa.table({"x": [1], "y": [1]}), "column 1 is missing in the first and 'y' int64 in the second"),
        (pa.table([[1]], pa.schema([pa.field("x", pa.int64(), nullable=False)])), "'x' int64 not null in the second"),
    ],
)
def test_partitions_with_different_schemas_are_named_with_the_first_difference(hive, other, difference):
    write(hive / "month=3" / "part-0.parquet", other)
    with pytest.raises(LakeError, match="month=1/part-0.parquet and month=3/part-0.parquet") as refused:
        common_schema(list_partitions(str(hive)))
    assert difference in str(refused.value)


def test_metadata_may_differ_between_partitions_and_each_keeps_its_own(tmp_path):
    for month in (1, 2):
        table = pa.table({"x": [month]}).replace_schema_metadata({"run": str(month)})
        write(tmp_path / f"month={month}" / "a.parquet", table)
    partitions = list_partitions(str(tmp_path))
    common_schema(partitions)
    assert [schema(partition).metadata[b"run"] for partition in partitions] == [b"1", b"2"]


def test_two_columns_of_one_name_are_refused(tmp_path):
    write(tmp_path / "a.parquet", pa.table([[1], [2]], names=["x", "x"]))
    with pytest.raises(LakeError, match="more than one column named .x."):
        schema(list_partitions(str(tmp_path))[0])


def everything(rows):
    words = [None if i % 5 == 0 else f"w{i % 7}" for i in range(rows)]
    columns = {
        "i": pa.array(range(rows), pa.int16()),
        "d": pa.array(words, pa.string()).dictionary_encode(),
        "l": pa.array([[w, w] if w else None for w in words], pa.list_(pa.field("element", pa.string()))),
        "s": pa.array([{"a": i, "b": str(i)} for i in range(rows)], pa.struct([("a", pa.int64()), ("b", pa.string())])),
        "t": pa.array(range(rows), pa.timestamp("us", "Europe/Paris")),
        "n": pa.array([Decimal(i) / 100 for i in range(rows)], pa.decimal128(10, 2)),
        "b": pa.array([w and w.encode() for w in words], pa.large_binary()),
        "v": pa.array(words, pa.string_view()),
    }
    table = pa.table(columns).replace_schema_metadata({"owner": "ops"})
    return table.cast(table.schema.set(0, pa.field("i", pa.int16(), nullable=False, metadata={"unit": "min"})))


def test_blocks_are_cut_across_files_and_row_groups_and_lose_nothing(tmp_path):
    table = everything(1000)
    cuts = [0, 300, 300, 301, 999, 1000]
    for number, (start, stop) in enumerate(pairwise(cuts)):
        write(tmp_path / "k=1" / f"part-{number}.parquet", table.slice(start, stop - start), row_group_size=170)
    (partition,) = list_partitions(str(tmp_path))
    assert [footer.num_rows for footer in footers(partition)] == [300, 0, 1, 698, 1]
    blocks = list(read_blocks(partition, 256))
    assert [block.num_rows for block in blocks] == [256, 256, 256, 232]
    for block in blocks:
        block.validate(full=True)
        assert block.schema.equals(table.schema, check_metadata=True)
    assert pa.concat_tables(blocks).to_pylist() == table.to_pylist()


def test_a_partition_without_rows_has_a_schema_and_no_block(tmp_path):
    write(tmp_path / "a.parquet", everything(0))
    (partition,) = list_partitions(str(tmp_path))
    assert schema(partition).equals(everything(0).schema, check_metadata=True)
    assert list(read_blocks(partition)) == []


def test_damage_inside_a_file_is_an_error_that_names_it(tmp_path):
    path = write(tmp_path / "a.parquet", pa.table({"x": np.random.default_rng(0).integers(0, 9, 9000)}))
    content = bytearray(path.read_bytes())
    content[4:3000] = bytes(2996)
    path.write_bytes(content)
    with pytest.raises(LakeError, match="a.parquet cannot be read"):
        list(read_blocks(list_partitions(str(tmp_path))[0]))


def test_every_way_to_change_a_partition_is_noticed(hive):
    (before,) = list_partitions(str(hive), ["month=2"])
    path = hive / "month=2" / "part-0.parquet"
    assert refresh(before) == before
    status = path.stat()
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns + 1))
    touched = refresh(before)
    assert touched != before
    copy = path.with_name("_copy")
    copy.write_bytes(path.read_bytes())
    os.utime(copy, ns=(status.st_atime_ns, status.st_mtime_ns + 1))
    copy.rename(path)
    assert refresh(before) not in (before, touched), "same size and mtime, another inode"
    write(path.with_name("part-1.parquet"))
    assert len(refresh(before).files) == 2
    path.unlink()
    path.with_name("part-1.parquet").unlink()
    with pytest.raises(LakeError, match="month=2"):
        refresh(before)
    with pytest.raises(LakeError, match="month=2/part-0.parquet is no longer there"):
        list(read_blocks(before))


def test_object_stores_are_read_the_same_way():
    store = fsspec.filesystem("memory")
    with store.open("/lake-test/month=1/part-0.parquet", "wb") as handle:
        pq.write_table(pa.table({"x": [1.5, 2.5]}), handle)
    try:
        (partition,) = list_partitions("memory://lake-test")
        assert partition.files[0].mtime is not None
        assert refresh(partition) == partition
        assert next(read_blocks(partition)).column("x").to_pylist() == [1.5, 2.5]
        content = store.cat_file("/lake-test/month=1/part-0.parquet")
        assert file_sha256(partition, partition.files[0]) == hashlib.sha256(content).hexdigest()
    finally:
        store.rm("/lake-test", recursive=True)


@pytest.mark.parametrize("statistics", [True, False])
def test_ranges_are_those_of_the_finite_values_with_and_without_statistics(tmp_path, statistics):
    table = pa.table(
        {
            "u": pa.array([2**64 - 1, 3, None], pa.uint64()),
            "i": pa.array([-5, None, 7], pa.int8()),
            "f": pa.array([float("nan"), 1.5, -2.0], pa.float32()),
            "inf": pa.array([float("inf"), 1.5, -2.0]),
            "h": pa.array(np.array([1.5, np.nan, -2], np.float16)),
            "n": pa.array([Decimal("1.25"), None, Decimal("-3.5")], pa.decimal128(9, 2)),
            "t": pa.array([1, None, 2**60 + 1], pa.timestamp("ns", "UTC")),
            "day": pa.array([1, 2, None], pa.date32()),
            "c": pa.array([3, 4, None], pa.int16()).dictionary_encode(),
            "null": pa.array([None] * 3, pa.int64()),
            "nan": pa.array([float("nan")] * 3),
        }
    )
    for key in (1, 2):
        write(tmp_path / f"k={key}" / "a.parquet", table.slice(key - 1, 2), write_statistics=statistics)
    assert column_ranges(list_partitions(str(tmp_path)), table.column_names) == {
        "u": (3, 2**64 - 1),
        "i": (-5, 7),
        "f": (-2.0, 1.5),
        "inf": (-2.0, 1.5),
        "h": (-2.0, 1.5),
        "n": (Decimal("-3.5"), Decimal("1.25")),
        "t": (1, 2**60 + 1),
        "day": (1, 2),
        "c": (3, 4),
        "null": None,
        "nan": None,
    }


def test_types_without_a_difference_have_no_range(hive):
    assert not any(map(has_range, [pa.string(), pa.bool_(), pa.list_(pa.int8()), pa.month_day_nano_interval()]))
    write(hive / "t" / "a.parquet", pa.table({"s": ["a"]}))
    with pytest.raises(ValueError, match="column 's' of type string has no range"):
        column_ranges(list_partitions(str(hive / "t")), ["s"])
