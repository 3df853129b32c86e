"""From one format to the next: what old readers and writers do with an archive that a newer release has touched.

The newer release is this one with other constants: format 1, or a feature that nobody knows yet.
"""

from __future__ import annotations

import json
import re
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import ae_core
from ae_core.archive import level as levels
from ae_core.archive.commit import append
from ae_core.archive.level import Level
from ae_core.archive.log import open_archive
from ae_core.archive.reader import open_snapshot
from ae_core.archive.stage import Proposal
from ae_core.errors import UnsupportedFormat
from ae_core.jobs import commit
from ae_core.jobs.target import open_target
from ae_core.jobs.upgrade import upgrade_archive
from flows.cli.app import run
from tests.faults import archive_sample as sample
from tests.golden import forms

PAGE = Path(__file__).parents[3] / "docs" / "format.md"


@contextmanager
def release(**constants):
    """A newer release, for as long as it lasts."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in constants.items():
            patch.setattr(levels, name, value)
        yield


def format_1():
    return release(FORMAT=1, READERS={**levels.READERS, 1: "1.0.0"})


@pytest.fixture
def root(tmp_path) -> Path:
    sample.make(tmp_path / "a")
    return tmp_path / "a"


def rows(root: Path) -> list[int]:
    snapshot = open_snapshot(str(root))
    return [sum(block.num_rows for block in sample.read_blocks(snapshot, pid)) for pid in snapshot.partitions]


def test_the_page_says_which_release_reads_a_format_first():
    table = re.findall(r"^\| (\d+) \| (\S+) \| \S+ \|", PAGE.read_text(), re.MULTILINE)
    assert {int(number): reader for number, reader in table} == levels.READERS
    assert max(levels.READERS) == levels.FORMAT


def test_a_new_archive_says_what_it_takes_to_read_it(tmp_path):
    with format_1():
        sample.make(tmp_path / "a")
        assert open_archive(str(tmp_path / "a")).marker.level == Level(1, reader="1.0.0")
    with pytest.raises(UnsupportedFormat, match=r"format 1, .* up to format 0: install latentlake 1\.0\.0 or newer"):
        open_snapshot(str(tmp_path / "a"))


def test_a_newer_writer_keeps_an_archive_s_format_until_it_is_upgraded(root):
    before = rows(root)
    with format_1():
        sample.write(open_archive(str(root)), ["month=11"])
        assert open_snapshot(str(root)).level.format == 0
    assert rows(root) == [*before, sum(sample.BLOCK_ROWS)]  # this release still reads and writes it
    sample.write(open_archive(str(root)), ["month=12"])


def test_an_upgrade_is_one_commit_and_older_readers_name_the_release_to_install(root, capsys):
    before, head = rows(root), open_snapshot(str(root)).number
    with format_1():
        done = upgrade_archive(str(root))
        assert (done.before, done.after, done.reader, done.commit) == (0, 1, "1.0.0", head + 1)
        assert upgrade_archive(str(root)).commit is None
        assert rows(root) == before
        sample.write(open_archive(str(root)), ["month=13"])  # its format is kept by all that follow
        assert open_snapshot(str(root)).level == Level(1, reader="1.0.0")
    with pytest.raises(UnsupportedFormat, match=r"install latentlake 1\.0\.0 or newer"):
        open_snapshot(str(root))
    with pytest.raises(UnsupportedFormat):
        sample.write(open_archive(str(root)), ["month=14"])
    assert open_snapshot(str(root), number=head).number == head  # snapshots from before stay readable
    assert run(["verify", str(root)]) == 2
    assert "install latentlake 1.0.0 or newer" in capsys.readouterr().err


def test_a_feature_that_readers_must_know_is_refused_by_those_who_do_not(root):
    with release(REQUIRED=frozenset({"time-travel"}), READERS={0: "0.9.0"}):
        assert upgrade_archive(str(root)).requires == ("time-travel",)
        assert rows(root)
    with pytest.raises(UnsupportedFormat, match=r"needs time-travel: install latentlake 0\.9\.0 or newer"):
        open_snapshot(str(root))


def test_a_feature_that_writers_must_know_is_ignored_by_readers_and_refused_by_writers(root):
    before = rows(root)
    with release(OPTIONAL=frozenset({"search-index"}), READERS={0: "0.9.0"}):
        assert upgrade_archive(str(root)).optional == ("search-index",)
        sample.write(open_archive(str(root)), ["month=11"])
    assert len(rows(root)) == len(before) + 1
    head = open_snapshot(str(root)).number
    refused = r"does not know search-index: install latentlake 0\.9\.0 or newer"
    with pytest.raises(UnsupportedFormat, match=refused):
        sample.write(open_archive(str(root)), ["month=12"])
    with pytest.raises(UnsupportedFormat, match=refused):
        open_target(str(root))  # before anything is trained
    with pytest.raises(UnsupportedFormat, match=refused):
        upgrade_archive(str(root))
    assert open_snapshot(str(root)).number == head


def test_an_upgrade_meets_a_commit_of_another_writer(root):
    """The commit that lost the race to it keeps what it raised."""
    with format_1():
        archive = open_archive(str(root))
        head = open_snapshot(str(root)).number

        def build(state):
            if state.head == head:
                assert upgrade_archive(str(root)).commit == head + 1
            return Proposal()

        assert append(archive, build, op_key="late", since=head, writer="test").number == head + 2
        assert open_snapshot(str(root)).level == Level(1, reader="1.0.0")


@pytest.mark.parametrize("reader", ["", "1.0 from http://evil", "\n9", "9" * 40])
def test_the_release_to_install_is_named_only_where_it_looks_like_one(reader):
    with pytest.raises(UnsupportedFormat, match="install a newer latentlake$"):
        Level(0, optional=("x",), reader=reader).check_writable("a")


def test_the_command_says_that_there_is_nothing_to_do(root, capsys):
    assert run(["upgrade", str(root)]) == 0
    assert "format 0, the newest that this release writes; nothing to do" in capsys.readouterr().out
    assert run(["upgrade", str(root), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["commit"] is None
    with format_1():
        assert run(["upgrade", str(root)]) == 0
        assert "format 0 -> 1 in commit 3; to read it takes latentlake 1.0.0 or newer" in capsys.readouterr().out


def test_manifests_are_of_the_archive_s_format(tmp_path, monkeypatch):
    """A partition that is added to an archive of format 1 may use what format 1 has, and has to say so."""
    lake = tmp_path / "lake" / "month=1"
    lake.mkdir(parents=True)
    pq.write_table(pa.table({"x": range(50)}), lake / "part-0.parquet")
    monkeypatch.setattr(commit, "prove_apart", forms.prove)  # a fresh process would be of this release
    with format_1():
        ae_core.compress(str(lake.parent), str(tmp_path / "a"), range_=0)
        (partition,) = ae_core.open_archive(str(tmp_path / "a")).partitions()
        assert partition.manifest.format == 1
