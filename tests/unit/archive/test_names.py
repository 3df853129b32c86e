"""No name leads out of an archive, whatever a partition is called or a stranger wrote."""

from __future__ import annotations

import pytest

from ae_core.archive import names
from ae_core.errors import Corrupt

HOSTILE = [
    "",
    "/",
    "/etc/passwd",
    "..",
    ".",
    "../x",
    "a/../b",
    "a/./b",
    "a/..",
    ".hidden",
    "a/.hidden",
    "a//b",
    "a/",
    "a\\b",
    "a\0b",
    "a b",
    "http://x",
    "simplecache::http://x",
    "file:///x",
    "~/x",
    "a/" * 8 + "b",
    "x" * 129,
    "ä",
    "a\n",
    "-rf",
    "=x",
    "a:b",
    "％",
]


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_names_are_refused(name):
    assert not names.is_name(name)
    with pytest.raises(Corrupt):
        names.checked(name)


@pytest.mark.parametrize(
    "name", ["latentlake.json", "_commits/00000000000000000000.json", "partitions/month=3/0a/latents.parquet"]
)
def test_our_own_names_are_allowed(name):
    assert names.checked(name) == name


@pytest.mark.parametrize(
    "pid",
    [
        "month=3",
        "year=2013/month=3",
        "_",
        "",
        "..",
        "../../etc",
        "a/b/c/d/e/f/g/h",
        "x" * 500,
        "ü/中",
        "=",
        ".x",
        "a b:c",
        "\0",
        "city=São Paulo",
        "a//b",
        "/",
        "\udcff",
    ],
)
def test_any_partition_gets_a_folder_inside(pid):
    folder = names.partition_folder(pid)
    assert names.is_name(f"{folder}/residuals.parquet")
    assert folder.startswith("partitions/")
    assert folder != names.partition_folder(pid)


def test_different_partitions_get_different_folders():
    pids = ["a b", "a_20b", "a/b", "a_2fb", "_", "", "a", "A", "x" * 120, "x" * 121]
    folders = {names.partition_folder(pid).rsplit("/", 1)[0] for pid in pids}
    assert len(folders) >= len(pids) - 1  # "" and "_" may share one: the uid below keeps them apart


def test_numbers_of_commits():
    assert names.commit_number(names.commit_name(17)) == 17
    for name in ("_commits/17.json", "_commits/00000000000000000000.json.tmp", "x/00000000000000000000.json"):
        assert names.commit_number(name) is None
    assert names.witnessed(names.witness_name(4, "a" * 64)) == (4, "a" * 64)
    assert names.witnessed("_seen/4") is None
