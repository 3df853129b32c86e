"""Damage of every kind to every file: verify names it, and reading gives the right data or an error, never others."""

from __future__ import annotations

import itertools
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from ae_core.archive.reader import open_snapshot
from ae_core.archive.verify import Decoded, verify
from ae_core.errors import Corrupt, LatentlakeError
from tests.counted import counted
from tests.faults import archive_sample as sample

STRIDE = 11


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("archive") / "a"
    sample.make(root)
    return root


def named(root: Path) -> set[str]:
    return {finding.name for finding in verify(str(root)).findings}


def wrong_answers(root: Path) -> int:
    """Partitions that could not be read; any that can must hold the right data."""
    errors = 0
    try:
        snapshot = open_snapshot(str(root))
    except Corrupt:
        return len(sample.VERSIONS)
    for pid, version in sample.VERSIONS.items():
        try:
            found = list(sample.read_blocks(snapshot, pid))
        except Corrupt:
            errors += 1
            continue
        assert found == sample.blocks_of(pid, version)
    return errors


def damaged_copies(archive: Path, tmp_path: Path) -> Iterator[tuple[Path, Path]]:
    """Each file in turn, in a copy whose other files are whole; the caller may do anything to it."""
    root = tmp_path / "copy"
    shutil.copytree(archive, root)
    for path in sample.files_of(root):
        data = path.read_bytes()
        yield root, path
        path.parent.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)
        path.write_bytes(data)


def test_an_intact_archive_has_nothing_to_find(archive):
    report = verify(str(archive), decode=sample.decode)
    assert report.ok
    assert (report.head, report.partitions, report.decoded, report.orphans) == (2, 3, 3, 0)
    assert report.bytes == sum(path.stat().st_size for path in sample.files_of(archive))
    assert wrong_answers(archive) == 0


def test_a_flipped_bit_anywhere_is_named_and_never_read(archive, tmp_path):
    flips = 0
    for root, path in damaged_copies(archive, tmp_path):
        data = path.read_bytes()
        for position in range(0, len(data), STRIDE):
            changed = bytearray(data)
            changed[position] ^= 1 << (position // STRIDE % 8)
            path.write_bytes(changed)
            assert path.relative_to(root).as_posix() in named(root), position
            if position % (4 * STRIDE) == 0:
                wrong_answers(root)
            flips += 1
    counted(f"{flips} bits flipped, every one named")
    assert flips > 1000


@pytest.mark.parametrize("kept", ["nothing", "one byte", "half", "all but one", "zero tail", "one more"])
def test_a_cut_or_padded_file_is_named(archive, tmp_path, kept):
    for root, path in damaged_copies(archive, tmp_path):
        data = path.read_bytes()
        if not data:
            continue  # a witness: its name is all there is
        half = len(data) // 2
        path.write_bytes(
            {
                "nothing": b"",
                "one byte": data[:1],
                "half": data[:half],
                "all but one": data[:-1],
                "zero tail": data[:half] + bytes(len(data) - half),
                "one more": data + b"\0",
            }[kept]
        )
        assert path.relative_to(root).as_posix() in named(root)
        wrong_answers(root)


def test_a_missing_file_is_named_and_other_partitions_stay_readable(archive, tmp_path):
    for root, path in damaged_copies(archive, tmp_path):
        name = path.relative_to(root).as_posix()
        witness = name.startswith("_seen/")
        path.unlink()
        if name == "_commits/00000000000000000002.json":
            report = verify(str(root))
            assert [finding.name for finding in report.findings] == [name]
            continue  # for a reader it is the snapshot before
        assert named(root) == (set() if witness else {name})
        single = name.startswith("partitions/")
        shared = name.startswith(("models/", "tables/", "_reports/"))
        assert wrong_answers(root) <= (1 if single else 0 if shared or witness else 3)


def test_files_that_changed_places_are_named(archive, tmp_path):
    """All pairs: between partitions, versions, layers, kinds of objects."""
    root = tmp_path / "swap"
    shutil.copytree(archive, root)
    files = [path for path in sample.files_of(root) if path.parent.name != "_seen"]
    for first, second in itertools.combinations(files, 2):
        one, two = first.read_bytes(), second.read_bytes()
        if one == two:
            continue  # the twins of a model
        first.write_bytes(two)
        second.write_bytes(one)
        both = {path.relative_to(root).as_posix() for path in (first, second)}
        # with a commit or manifest goes the knowledge of the objects below it
        commits = {name for name in both if name.startswith("_commits/")}
        manifests = {name for name in both if "manifest" in name}
        assert (commits or manifests or both) <= named(root)
        wrong_answers(root)
        first.write_bytes(one)
        second.write_bytes(two)


def test_a_file_of_another_archive_is_named(archive, tmp_path):
    """Marker and commits of a stranger are whole in themselves; only the chain tells."""
    other = tmp_path / "other"
    sample.make(other)
    for root, path in damaged_copies(archive, tmp_path):
        name = path.relative_to(root).as_posix()
        if not name.startswith(("_commits/", "latentlake")):
            continue
        path.write_bytes((other / name).read_bytes())
        assert named(root) == {name}
        with pytest.raises(LatentlakeError):
            open_snapshot(str(root))


def test_the_lost_blocks_of_a_layer_are_told(archive, tmp_path):
    for root, path in damaged_copies(archive, tmp_path):
        if path.name != "residuals.parquet":
            continue
        data = bytearray(path.read_bytes())
        data[len(data) // 4] ^= 1
        path.write_bytes(data)
        (finding,) = verify(str(root)).findings
        assert finding.blocks == (0,)
        assert finding.layer == "residuals"
        assert finding.partition in sample.VERSIONS


def test_a_model_is_read_from_its_twin_and_both_lost_is_an_error(archive, tmp_path):
    root = tmp_path / "copy"
    shutil.copytree(archive, root)
    first, second = sorted((root / "models").glob("*/object"))
    first.write_bytes(b"x")
    assert wrong_answers(root) == 0
    (finding,) = verify(str(root)).findings
    assert finding.mendable
    second.unlink()
    assert wrong_answers(root) == 3
    assert not any(finding.mendable for finding in verify(str(root)).findings)


def test_links_and_pipes_in_the_place_of_files_are_refused(archive, tmp_path):
    outside = tmp_path / "outside"
    for root, path in damaged_copies(archive, tmp_path):
        outside.write_bytes(path.read_bytes())
        path.unlink()
        path.symlink_to(outside)
        if not path.relative_to(root).as_posix().startswith("_seen/"):
            assert path.relative_to(root).as_posix() in named(root)
            wrong_answers(root)
        path.unlink()
        os.mkfifo(path)
        if not path.relative_to(root).as_posix().startswith("_seen/"):
            assert path.relative_to(root).as_posix() in named(root)
            wrong_answers(root)


def test_a_deep_check_finds_a_partition_that_decodes_to_other_data(archive):
    report = verify(str(archive), decode=lambda _, partitions: (Decoded(pid, "0" * 64) for pid in partitions))
    assert {finding.problem for finding in report.findings} == {"differs"}
    assert set(report.damaged_partitions) == set(sample.VERSIONS)


def test_a_deep_check_reports_what_cannot_be_decoded(archive):
    def broken(snapshot, partitions):
        yield from (Decoded(pid, None, "malformed payload") for pid in partitions)

    report = verify(str(archive), decode=broken, chosen={"month=2"}.__contains__)
    assert [(finding.problem, finding.partition) for finding in report.findings] == [("undecodable", "month=2")]


def test_an_unexpected_head_is_a_finding(archive):
    report = verify(str(archive))
    assert verify(str(archive), expect_head=report.head_sha256).ok
    assert not verify(str(archive), expect_head="0" * 64).ok
