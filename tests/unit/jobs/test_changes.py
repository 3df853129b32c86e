"""A partition is compressed again exactly when its content could have changed."""

from __future__ import annotations

import pytest

from ae_core.archive.format import SourceFile as RecordedFile
from ae_core.jobs.changes import judge
from ae_core.lake import LakePartition, SourceFile


def _partition(*files):
    return LakePartition("lake", "month=1", {"month": "1"}, tuple(SourceFile(*file) for file in files))


def _recorded(name="a", size=10, token="t", sha256="x"):
    return RecordedFile(name, 3, size, token, "0", sha256)


def _no_reading(partition, file):
    pytest.fail("content is read only where a token changed")


def test_new_partition():
    assert judge(_partition(("a", 10, "t", 0.0)), None, _no_reading).reason == "new"


def test_same_size_and_token_reads_nothing():
    verdict = judge(_partition(("a", 10, "t", 0.0)), [_recorded()], _no_reading)
    assert (verdict.action, verdict.reason) == ("skip", "unchanged")


@pytest.mark.parametrize(
    ("files", "reason"),
    [
        ([("a", 11, "t", 0.0)], "changed its size: 10 to 11"),
        ([("a", 10, "t", 0.0), ("b", 1, "u", 0.0)], "b came since"),
        ([("c", 10, "t", 0.0)], "c came since"),
    ],
)
def test_names_and_sizes_decide_without_reading(files, reason):
    verdict = judge(_partition(*files), [_recorded()], _no_reading)
    assert verdict.action == "compress"
    assert reason in verdict.reason


def test_file_that_went_is_a_change():
    verdict = judge(_partition(("a", 10, "t", 0.0)), [_recorded(), _recorded("b")], _no_reading)
    assert verdict.reason == "b went since"


@pytest.mark.parametrize(("sha256", "action"), [("x", "skip"), ("y", "compress")])
def test_a_new_token_is_settled_by_the_content(sha256, action):
    verdict = judge(_partition(("a", 10, "other", 0.0)), [_recorded()], lambda *_: sha256)
    assert verdict.action == action
