"""F18: no memory, or kill -9, for the process that looks into a stranger's archive; and for a reader of one's own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from ae_core.errors import LimitReached
from ae_core.untrusted import guard, jobs
from ae_core.untrusted.caps import Caps
from tests.faults.command import ROOT
from tests.hostile.golden_parts import golden, write_archive

OWN = """
import resource, sys
from ae_core.errors import LatentlakeError
from ae_core.untrusted.warm import load_kernels
import ae_core.jobs.decode
load_kernels()
used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + int(sys.argv[3]),) * 2)
from flows.cli.app import run
sys.exit(run(["decode", sys.argv[1], sys.argv[2], "--threads", "1"]))
"""


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_archive(tmp_path_factory.mktemp("f18") / "archive", golden("network").objects)


def test_f18_a_killed_worker_is_told_as_a_limit_and_leaves_nothing(archive, tmp_path, monkeypatch):
    """Killed at any time: while it starts, while it asks, while it decodes."""
    started: list[subprocess.Popen[bytes]] = []
    real = subprocess.Popen

    def remembered(*args, **kwargs):
        started.append(real(*args, **kwargs))
        return started[-1]

    monkeypatch.setattr(guard.subprocess, "Popen", remembered)
    at_frame = iter((0, 9))
    receive = guard.Channel.receive

    for stop in at_frame:
        seen = 0

        def killing(self, limit, stop=stop):
            nonlocal seen
            if seen == stop:
                started[-1].kill()
                time.sleep(0.05)
            seen += 1
            return receive(self, limit)

        monkeypatch.setattr(guard.Channel, "receive", killing)
        with pytest.raises(LimitReached, match="SIGKILL.*a limit was reached .* or it was killed") as failed:
            jobs.decode(str(archive), str(tmp_path / "out"))
        assert failed.value.exit_code == 2
        assert not list(tmp_path.iterdir())
    monkeypatch.undo()
    assert jobs.decode(str(archive), str(tmp_path / "out")).rows == 2200


def test_f18_the_worker_ends_with_its_guard(archive, tmp_path):
    """kill -9 of the caller leaves no process behind that goes on decoding."""
    call = [
        sys.executable,
        "-c",
        "from flows.cli import main; main()",
        "decode",
        archive,
        tmp_path / "out",
        "--untrusted",
    ]
    process = subprocess.Popen([*map(str, call)], cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)})
    worker, waited = None, time.monotonic() + 60
    while worker is None and time.monotonic() < waited and process.poll() is None:
        worker = next(iter(children(process.pid)), None)
        time.sleep(0.01)
    assert worker is not None, "no worker was seen"
    time.sleep(0.3)
    process.send_signal(signal.SIGKILL)
    process.wait()
    waited = time.monotonic() + 10
    while time.monotonic() < waited and alive(worker):
        time.sleep(0.05)
    assert not alive(worker)
    assert not (tmp_path / "out").exists()


def children(pid: int) -> list[int]:
    try:
        return [int(one) for one in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.full
@pytest.mark.ci
def test_f18_less_and_less_memory_is_an_error_or_the_right_data(archive, tmp_path):
    """Every allocation of decoding fails once: with so much memory less each time, none of them goes unnoticed."""
    wanted = {}
    for number, memory in enumerate((64 << 20, *(1 << bits for bits in range(14, 25, 2)))):
        caps = Caps(memory=memory, seconds=60)
        out = tmp_path / f"out{number}"
        try:
            jobs.decode(str(archive), str(out), caps=caps, threads=1)
        except LimitReached:
            assert not out.exists()
            continue
        found = {path.relative_to(out): path.read_bytes() for path in sorted(out.rglob("*.parquet"))}
        wanted = wanted or found
        assert found == wanted
    assert wanted


@pytest.mark.parametrize("memory", [1 << 16, 1 << 22])
def test_f18_a_reader_of_its_own_that_runs_out_of_memory_leaves_nothing_half_written(archive, tmp_path, memory):
    call = [sys.executable, "-c", OWN, str(archive), str(tmp_path / "out"), str(memory)]
    done = subprocess.run(call, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode == 0:
        assert (tmp_path / "out" / "_loss.json").exists()
    else:  # told where there was memory left to tell it with
        assert not (tmp_path / "out").exists()


def test_f18_time_ends_as_an_error_too(archive, tmp_path):
    caps = Caps(seconds=0)
    before = threading.active_count()
    with pytest.raises(LimitReached, match="out of time|SIGKILL"):
        jobs.decode(str(archive), str(tmp_path / "out"), caps=caps)
    assert threading.active_count() == before
    assert not list(tmp_path.iterdir())
