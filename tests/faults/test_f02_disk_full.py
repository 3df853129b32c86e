"""F2: no room. The error names the place, what was committed stays whole, and it works again once there is room."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from ae_core.archive import log
from ae_core.archive.reader import open_snapshot
from ae_core.archive.verify import verify
from ae_core.errors import LatentlakeError, StoreUnsafe
from flows.cli.app import run
from tests.counted import counted
from tests.faults import archive_sample as sample
from tests.faults.command import ROOT
from tests.hostile.golden_parts import golden, write_archive

LIMITED = """
import resource, sys
from pathlib import Path
from ae_core.archive import log
from ae_core.errors import LatentlakeError
from tests.faults import archive_sample as sample
archive = log.open_archive(sys.argv[1])
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]),) * 2)
try:
    sample.write(archive, ["month=2"], version=5)
except LatentlakeError as error:
    print(error)
    sys.exit(error.exit_code)
"""


def check_whole(root: Path, head: int) -> None:
    """All that was committed is there and decodes to what it was."""
    assert verify(str(root), decode=sample.decode).ok
    snapshot = open_snapshot(str(root))
    assert snapshot.number == head
    for pid, version in sample.VERSIONS.items():
        assert list(sample.read_blocks(snapshot, pid)) == sample.blocks_of(pid, version)


@pytest.mark.parametrize("most", [0, 60, 300, 700, 1200])
def test_f02_files_that_may_not_grow_stop_a_commit_and_nothing_else(tmp_path, most):
    """At 60 bytes models fail, later manifests and layers, at the end the commit itself may still fit."""
    root = tmp_path / "a"
    sample.make(root)
    call = [sys.executable, "-c", LIMITED, str(root), str(most)]
    done = subprocess.run(call, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == StoreUnsafe.exit_code, done.stderr
    assert str(root) in done.stdout
    assert "could not be written" in done.stdout
    check_whole(root, 2)
    assert sample.write(log.open_archive(str(root)), ["month=7"]).number == 3


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of one megabyte."""
    home = tmp_path / "disk"
    home.mkdir()
    mounted = (
        os.geteuid() == 0
        and not subprocess.run(
            ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", home], capture_output=True, check=False
        ).returncode
    )
    if not mounted:
        pytest.skip("only root can mount a small disk")
    try:
        yield home
    finally:
        subprocess.run(["umount", "-l", home], check=True)


def test_f02_a_full_disk_keeps_every_commit_that_was_acknowledged(small_disk):
    root = small_disk / "a"
    archive = sample.make(root)
    head, failed = 2, None
    for version in range(100, 400):
        try:
            head = sample.write(archive, [f"month={version}"], version=version).number
        except LatentlakeError as error:
            failed = error
            break
    assert failed is not None, "a megabyte was never full"
    assert str(root) in str(failed)
    assert "No space left" in str(failed)
    counted(f"{head} commits acknowledged, then: {failed}")
    check_whole(root, head)
    subprocess.run(["mount", "-o", "remount,size=2m", small_disk], check=True)
    assert sample.write(archive, ["month=9"]).number == head + 1


def test_f02_a_full_output_leaves_no_half_of_it(small_disk, tmp_path, capsys):
    archive = str(write_archive(tmp_path / "archive", golden("network").objects))
    filler = small_disk / "filler"
    filler.write_bytes(bytes((1 << 20) - (40 << 10)))
    for extra in ([], ["--untrusted"]):
        assert run(["decode", archive, str(small_disk / "out"), *extra]) == 2
        assert "No space left" in capsys.readouterr().err
        assert [path.name for path in small_disk.iterdir()] == ["filler"]
    filler.unlink()
    assert run(["decode", archive, str(small_disk / "out")]) == 0
