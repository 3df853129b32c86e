"""What a worker has given up, seen from outside and tried from inside; and that its answers are those of the others."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from ae_core.errors import LimitReached
from ae_core.jobs import decode, diff, listing, verify
from ae_core.untrusted import guard, jobs
from ae_core.untrusted.caps import Caps
from tests.faults.command import ROOT
from tests.hostile.golden_parts import golden, write_archive

TRY = """
import json, os, resource, socket, sys
from ae_core.untrusted.confine import die_with_parent, leave_network, limit_resources
alone = leave_network()
die_with_parent()
limit_resources(64 << 20, 5)
found = {"alone": alone}
def tried(name, work):
    try:
        work()
        found[name] = "done"
    except (OSError, MemoryError) as error:
        found[name] = type(error).__name__
def write():
    with open(sys.argv[1], "wb", buffering=0) as file:
        file.write(b"x")
tried("write", write)
tried("memory", lambda: bytearray(256 << 20))
tried("files", lambda: [open("/dev/null") for _ in range(100)])
tried("network", lambda: socket.create_connection(("127.0.0.1", int(sys.argv[2])), 2))
tried("more", lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (10, 10)) if os.geteuid() else None)
print(json.dumps(found))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has all of these limits")
def test_a_confined_process_can_neither_write_nor_take_memory_nor_connect(tmp_path):
    import socket

    with socket.create_server(("127.0.0.1", 0)) as server:
        call = [sys.executable, "-c", TRY, str(tmp_path / "file"), str(server.getsockname()[1])]
        done = subprocess.run(call, cwd=ROOT, capture_output=True, text=True, check=True)
    found = json.loads(done.stdout)
    assert found["write"] == "OSError"
    assert found["memory"] == "MemoryError"
    assert found["files"] == "OSError"
    if found["alone"]:
        assert found["network"] == "OSError"
    assert (tmp_path / "file").stat().st_size == 0


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(write_archive(tmp_path_factory.mktemp("confined") / "archive", golden("wide").objects))


def test_a_worker_has_an_environment_of_its_own_and_its_limits(archive, monkeypatch):
    """Looked at from outside while it waits for its first answer."""
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "canary-of-the-environment")
    seen = {}
    answer, start = guard.StoreServer.answer, guard.subprocess.Popen

    def started(*args, **kwargs):
        process = start(*args, **kwargs)
        seen["worker"] = process.pid
        return process

    def look(server, data):
        worker = Path(f"/proc/{seen['worker']}")
        limits = (worker / "limits").read_text()
        seen["limits"] = {row[:26].strip(): row[26:].split()[0] for row in limits.splitlines()[1:]}
        seen["environment"] = (worker / "environ").read_bytes() if os.geteuid() == 0 else b""
        return answer(server, data)

    monkeypatch.setattr(guard.subprocess, "Popen", started)
    monkeypatch.setattr(guard.StoreServer, "answer", look)
    arguments = {"where": None, "columns": None, "rows": None, "layer": "bounded", "snapshot": None, "threads": 1}
    guard.ask("decode", archive, arguments, jobs.DEFAULT, sink=lambda kind, data: None)
    assert b"canary" not in seen["environment"]
    assert seen["limits"]["Max file size"] == "0"
    assert seen["limits"]["Max core file size"] == "0"
    assert int(seen["limits"]["Max open files"]) == 64
    assert (4 << 30) < int(seen["limits"]["Max address space"]) < (6 << 30)
    assert int(seen["limits"]["Max cpu time"]) < 3700


def test_an_honest_archive_reads_the_same_from_a_worker(archive, tmp_path):
    plain = decode.decode(archive, str(tmp_path / "plain"), threads=1)
    found = jobs.decode(archive, str(tmp_path / "untrusted"), threads=1)
    assert found.partitions == plain.partitions
    files = sorted(path.relative_to(tmp_path / "plain") for path in (tmp_path / "plain").rglob("*") if path.is_file())
    assert files
    for file in files:
        assert (tmp_path / "untrusted" / file).read_bytes() == (tmp_path / "plain" / file).read_bytes()
    assert jobs.list_archive(archive) == listing.list_archive(archive)
    asked = {"deep": True, "where": ["month=1"], "snapshot": 1, "threads": 1}
    assert jobs.verify(archive, **asked) == verify.verify(archive, **asked)
    assert jobs.archive_log(archive, snapshot=1) == listing.archive_log(archive, snapshot=1)
    assert jobs.diff_archive(archive, 0, 1) == diff.diff_archive(archive, 0, 1)


def test_caps_hold_for_every_job_that_decodes(archive):
    caps = Caps(rows=1000)
    with pytest.raises(LimitReached, match="1500 rows, the cap is 1000"):
        jobs.audit(archive, caps=caps)
    with pytest.raises(LimitReached, match="1500 rows, the cap is 1000"):
        jobs.verify(archive, deep=True, caps=caps)


def test_the_caller_s_mistakes_are_told_as_such(archive, tmp_path):
    from flows.cli.app import run

    out = str(tmp_path / "out")
    assert run(["decode", archive, out, "--untrusted", "--columns", "nothing"]) == 2
    assert run(["decode", archive, out, "--cap", "rows=5"]) == 2
    assert run(["audit", archive, "--untrusted", "--html", out]) == 2
    assert run(["decode", archive, out, "--untrusted", "--salvage"]) == 2
    assert run(["verify", archive, "--untrusted", "--mend"]) == 2
    assert not list(tmp_path.iterdir())
