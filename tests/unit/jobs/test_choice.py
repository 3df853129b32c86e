"""Which partitions a run takes: their age, their order, and the groups that share a task."""

from __future__ import annotations

from datetime import UTC, date, datetime

import pytest

from ae_core.jobs.choice import GROUP_BYTES, GROUP_PARTITIONS, in_groups, in_order, last_day, too_young
from ae_core.lake import LakePartition, SourceFile


def _partition(keys, size=10, mtime=0.0):
    name = "/".join(f"{key}={value}" for key, value in keys.items())
    return LakePartition("lake", name, keys, (SourceFile("x", size, "t", mtime),))


@pytest.mark.parametrize(
    ("keys", "day"),
    [
        ({"date": "2020-02-29"}, date(2020, 2, 29)),
        ({"region": "eu", "DT": "20200229"}, date(2020, 2, 29)),
        ({"year": "2020"}, date(2020, 12, 31)),
        ({"year": "2020", "month": "2"}, date(2020, 2, 29)),
        ({"year": "2020", "month": "02", "day": "03"}, date(2020, 2, 3)),
        ({"month": "3"}, None),
        ({"date": "2021-02-29"}, None),
        ({"year": "2020", "month": "13"}, None),
        ({"region": "eu"}, None),
    ],
)
def test_days_are_read_from_the_keys(keys, day):
    assert last_day(keys) == day


def test_age_counts_from_the_end_of_the_last_day():
    partition = _partition({"date": "2020-01-10"})
    assert too_young(partition, 2, datetime(2020, 1, 12, 23, 59, tzinfo=UTC)) is not None
    assert too_young(partition, 2, datetime(2020, 1, 13, tzinfo=UTC)) is None


def test_without_a_day_the_files_decide_and_an_unknown_age_waits():
    now = datetime.fromtimestamp(86_400 * 10, UTC)
    assert too_young(_partition({"month": "3"}, mtime=86_400.0 * 3), 7, now) is None
    assert too_young(_partition({"month": "3"}, mtime=86_400.0 * 3 + 1), 7, now) is not None
    assert "not known" in str(too_young(_partition({"month": "3"}, mtime=None), 7, now))


def test_orders():
    days = [_partition({"date": f"2020-01-0{day}"}, size) for day, size in ((1, 5), (2, 9), (3, 7))]
    ids = [partition.id[-1] for partition in days]
    assert [one.id[-1] for one in in_order(days, "lake")] == ids
    assert [one.id[-1] for one in in_order(days, "newest")] == ["3", "2", "1"]
    assert [one.id[-1] for one in in_order(days, "oldest")] == ["1", "2", "3"]
    assert [one.id[-1] for one in in_order(days, "largest")] == ["2", "3", "1"]


def test_groups_keep_workers_busy_and_large_partitions_alone():
    small = [_partition({"n": str(n)}, 1000) for n in range(5000)]
    groups = in_groups(small, 2)
    assert [partition for group in groups for partition in group] == small
    assert max(map(len, groups)) == GROUP_PARTITIONS
    assert [len(group) for group in in_groups(small[:8], 2)] == [1] * 8
    large = [_partition({"n": str(n)}, GROUP_BYTES) for n in range(100)]
    assert [len(group) for group in in_groups(large, 2)] == [1] * 100
