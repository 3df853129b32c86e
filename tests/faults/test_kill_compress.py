"""compress killed with SIGKILL: what was committed stays, the next run finishes the rest and does not train again."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import ae_core
from ae_core.archive.reader import open_snapshot
from ae_core.jobs import commit, compress, verify_worker
from ae_core.lake import LakePartition

MONTHS = 4
# stops dead at a chosen place: after the n-th commit, or when the n-th partition has been staged
SCRIPT = """
import os, signal, sys
from ae_core.jobs import commit, compress, encode, prepare
where, count, lake, archive = sys.argv[1], int(sys.argv[2]), sys.argv[3], sys.argv[4]
module, name = {"commit": (compress, "commit_batch"), "stage": (compress, "encode_partition"),
                "train": (compress, "prepare")}[where]
real, calls = getattr(module, name), 0
def dies(*args, **kwargs):
    global calls
    result = real(*args, **kwargs)
    calls += 1
    if calls == count:
        os.kill(os.getpid(), signal.SIGKILL)
    return result
setattr(module, name, dies)
compress.BATCH_PARTITIONS = 1
compress.compress_lake(lake, archive, range_="0.01")
"""


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("lake")
    for month in range(1, MONTHS + 1):
        random = np.random.default_rng(month)
        (root / f"month={month}").mkdir()
        table = pa.table({"x": random.normal(size=300), "k": random.integers(0, 5, 300)})
        pq.write_table(table, root / f"month={month}" / "part.parquet")
    return root


def _run(script: str, *arguments: object, wait: bool = True) -> subprocess.Popen[bytes]:
    process = subprocess.Popen([sys.executable, "-c", script, *map(str, arguments)])
    if wait:
        process.wait(timeout=300)
    return process


def _check_whole(archive: Path, lake: Path, out: Path) -> None:
    assert ae_core.verify(str(archive), deep=True).ok
    ae_core.decode(str(archive), str(out))
    for month in range(1, MONTHS + 1):
        name = f"month={month}/part.parquet"
        before, after = pq.read_table(lake / name), pq.read_table(out / name)
        bound = 0.01 * 20
        assert np.abs(before["x"].to_numpy() - after["x"].to_numpy()).max() < bound
        assert after.num_rows == before.num_rows


PLACES = (("train", 1, 0), ("stage", 1, 0), ("commit", 2, 2), ("stage", 4, 3))
OTHERS = [pytest.param(*place, marks=[pytest.mark.full, pytest.mark.ci]) for place in PLACES if place[0] != "commit"]


@pytest.mark.parametrize(("where", "count", "kept"), [PLACES[2], *OTHERS])
def test_killed_run_is_finished_by_the_next(lake: Path, tmp_path: Path, where: str, count: int, kept: int) -> None:
    assert _run(SCRIPT, where, count, lake, tmp_path / "archive").returncode == -signal.SIGKILL
    _check_resumed(tmp_path, lake, kept)


class Stopped(BaseException):
    """The end of a run in this process: nothing catches it."""


@pytest.mark.parametrize(("where", "count", "kept"), PLACES)
def test_stopped_run_is_finished_by_the_next(
    lake: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str, count: int, kept: int
) -> None:
    """The same places, quicker: an error that nobody knows, and the comparing process is this one."""

    def near(
        archive: str, proposal: str, sources: Sequence[LakePartition], *, threads: int, **_checks: object
    ) -> object:
        return verify_worker.prove(verify_worker.VerifyRequest(archive, proposal, tuple(sources), threads))

    name = {"commit": "commit_batch", "stage": "encode_partition", "train": "prepare"}[where]
    real, calls = getattr(compress, name), []

    def stops(*args: object, **more: object) -> object:
        result = real(*args, **more)
        calls.append(name)
        if len(calls) == count:
            raise Stopped
        return result

    monkeypatch.setattr(commit, "prove_apart", near)
    monkeypatch.setattr(compress, "BATCH_PARTITIONS", 1)
    with monkeypatch.context() as stopping:
        stopping.setattr(compress, name, stops)
        with pytest.raises(Stopped):
            compress.compress_lake(str(lake), str(tmp_path / "archive"), range_="0.01")
    _check_resumed(tmp_path, lake, kept)


def _check_resumed(folder: Path, lake: Path, kept: int) -> None:
    """What was committed is there and whole; the next run does the rest and trains nothing."""
    archive = folder / "archive"
    snapshot = open_snapshot(str(archive))
    assert len(snapshot.partitions) == kept
    trained = [ref.sha256 for ref in snapshot.state.shared.values() if ref.kind == "model"]
    assert len(trained) == 1
    assert ae_core.verify(str(archive), deep=True).ok

    result = ae_core.compress(str(lake), str(archive), range_="0.01")
    assert result.model is not None
    assert (result.model.reused, result.model.digest) == (True, trained[0])
    actions = [row.action for row in result.partitions]
    assert (actions.count("unchanged"), actions.count("compressed")) == (kept, MONTHS - kept)
    _check_whole(archive, lake, folder / "out")


@pytest.mark.full
@pytest.mark.ci
def test_killed_at_any_moment(lake: Path, tmp_path: Path) -> None:
    """The command itself, killed without warning a few times on its way."""
    archive = tmp_path / "archive"
    script = "import sys; import ae_core; ae_core.compress(sys.argv[1], sys.argv[2], range_='0.01')"
    for seconds in (1.5, 2.5, 3.5):
        process = _run(script, lake, archive, wait=False)
        time.sleep(seconds)
        os.kill(process.pid, signal.SIGKILL)
        process.wait(timeout=60)
    ae_core.compress(str(lake), str(archive), range_="0.01")
    assert ae_core.verify(str(archive), deep=True).ok
    _check_whole(archive, lake, tmp_path / "out")
