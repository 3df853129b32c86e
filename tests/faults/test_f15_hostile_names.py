"""F15: names that lead out of the archive or of OUT, links, pipes, devices; and names that a terminal would obey."""

from __future__ import annotations

import os
import re
import shutil
import socket
import sys
from pathlib import Path

import pytest

from ae_core.archive.reader import open_snapshot
from ae_core.archive.store import LocalStore
from ae_core.errors import Corrupt, LatentlakeError
from ae_core.jobs.decode import decode
from ae_core.untrusted.caps import Caps
from ae_core.untrusted.channel import HEAD
from ae_core.untrusted.jobs import _Files
from ae_core.untrusted.proxy import pack
from flows.cli.app import run
from tests.faults.command import ROOT, latentlake
from tests.hostile.golden_parts import golden, relinked, with_manifest, write_archive

OBJECT_NAMES = [
    "../outside", "/etc/hostname", "partitions/../../outside", "partitions/./x", ".hidden", "partitions/.x/y", "",
    "file:///etc/hostname", "http://localhost/x", "simplecache::http://localhost/x", "s3://bucket/x", "C:\\x", "a\\b",
    "a\x00b", "a\nb", "partitions//x", "partitions/x/", "~/x", "$HOME/x", "a b", "\u202ex", "é", "a" * 129,
    "a/" * 8 + "a",
]  # fmt: skip
FILE_NAMES = {
    "climbs": "../../escaped", "absolute": "/tmp/escaped-absolute", "climbs inside": "x/../../../escaped",
    "NUL": "a\x00b", "backslash": "..\\escaped", "empty": "", "dot": ".", "long": "x" * 300, "deep": "d/" * 3000 + "x",
}  # fmt: skip
ODD_NAMES = {
    "escape": "a\x1b[2Jb", "newline": "a\nb", "right to left": "a\u202egnp.exe", "hidden": ".bashrc",
    "trailing dot": "x.", "surrogate": "a\ud800b", "double slash": "a//b",
}  # fmt: skip


def named(archive: Path, name: str, *, twice: str | None = None) -> Path:
    """The golden archive with month=2's files named otherwise, its hashes right."""

    def rename(manifest: dict) -> dict:
        sources = [list(source) for source in manifest["sources"]]
        sources[0][0] = name
        if twice is not None:
            half = sources[0][1] // 2
            sources = [[name, half, *sources[0][2:]], [twice, sum(s[1] for s in sources) - half, *sources[0][2:]]]
        return manifest | {"sources": sources}

    return write_archive(archive, with_manifest(golden("network"), "month=2", rename))


@pytest.mark.parametrize("name", OBJECT_NAMES)
def test_f15_an_object_s_name_leads_nowhere_else(tmp_path, name):
    root = write_archive(tmp_path / "a", golden("network").objects)
    (tmp_path / "outside").write_bytes(b"secret")
    store = LocalStore(root)
    with pytest.raises(LatentlakeError):
        store.get(name, 6, "0" * 64)
    with pytest.raises(LatentlakeError):
        store.read(name, 100)
    commits = list(golden("network").commits)
    reference = {"name": name, "length": 6, "sha256": "0" * 64}
    commits[-1] = commits[-1] | {"changes": [{"partition": "p", "manifest": reference}]}
    write_archive(root, relinked(golden("network"), commits=commits))
    with pytest.raises(LatentlakeError, match="name"):
        open_snapshot(str(root))


@pytest.mark.parametrize("kind", FILE_NAMES)
def test_f15_decode_writes_nothing_outside_of_out(tmp_path, kind):
    archive = named(tmp_path / "archive", FILE_NAMES[kind])
    home = tmp_path / "deep" / "home"
    home.mkdir(parents=True)
    with pytest.raises(LatentlakeError):
        decode(str(archive), str(home / "out"), threads=1)
    assert not list(home.iterdir())
    assert not list(tmp_path.rglob("*escaped*"))
    assert not Path("/tmp/escaped-absolute").exists()


def test_f15_two_files_of_one_name_never_overwrite_each_other(tmp_path):
    for number, (one, two) in enumerate((("x", "x"), ("x", "x/y"), ("x/y", "x"))):
        archive = named(tmp_path / f"archive{number}", one, twice=two)
        with pytest.raises(Corrupt, match="two files of one name"):
            decode(str(archive), str(tmp_path / "out"), threads=1)
        assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("kind", ODD_NAMES)
def test_f15_names_that_mean_something_to_a_terminal_or_elsewhere_are_refused_from_a_stranger(tmp_path, kind):
    head = {"partition": "p", "files": [[ODD_NAMES[kind], 1]], "losses": {}}
    with pytest.raises(Corrupt):
        _Files(tmp_path, Caps()).take(HEAD, bytearray(pack(head)))
    for pair in (["A", "a"], ["é", "e\u0301"]):
        with pytest.raises(Corrupt):
            _Files(tmp_path, Caps()).take(HEAD, bytearray(pack(head | {"files": [[name, 1] for name in pair]})))


def test_f15_what_is_printed_moves_no_cursor(tmp_path, capsys):
    evil = "a\x1b]0;owned\x07\x9b2J\u202e[red]b"

    def rename(manifest: dict) -> dict:
        sources = [[evil, *manifest["sources"][0][1:]], *manifest["sources"][1:]]
        return manifest | {"sources": sources, "no_latents_reason": evil}

    archive = str(write_archive(tmp_path / "a", with_manifest(golden("network"), "month=2", rename)))
    for arguments, code in (
        (["show", archive, "month=2"], 0),
        (["show", archive, "month=2", "--json"], 0),
        (["decode", archive, str(tmp_path / "out"), "--untrusted"], 1),
    ):
        assert run(arguments) == code
        printed = capsys.readouterr()
        assert "owned" in printed.out + printed.err
        assert "[red]" in printed.out + printed.err
        assert not set(printed.out + printed.err) & {"\x1b", "\x07", "\x9b", "\u202e"}


@pytest.mark.parametrize("kind", ["link", "link to a folder", "pipe", "device", "socket"])
def test_f15_only_regular_files_are_opened(tmp_path, kind):
    """A pipe would hang a reader that opened it, a link shows it what is not the archive's."""
    root = write_archive(tmp_path / "a", golden("mixing").objects)
    victim = next(root.glob("partitions/month=1/*/residuals.parquet"))
    outside = tmp_path / "outside"
    if kind == "link to a folder":
        folder = victim.parent
        shutil.move(folder, outside)
        folder.symlink_to(outside)
    else:
        shutil.move(victim, outside)
        if kind == "link":
            victim.symlink_to(outside)
        elif kind == "pipe":
            os.mkfifo(victim)
        elif kind == "socket":
            here = os.open(victim.parent, os.O_RDONLY)
            with socket.socket(socket.AF_UNIX) as server:
                server.bind(f"/proc/self/fd/{here}/{victim.name}")
            os.close(here)
        elif os.geteuid() == 0:
            os.mknod(victim, 0o20600, os.makedev(1, 5))  # /dev/zero: endless
        else:
            pytest.skip("only root can make a device")
    with pytest.raises(Corrupt):
        decode(str(root), str(tmp_path / "out"), threads=1)


@pytest.mark.skipif(shutil.which("strace") is None, reason="strace is missing")
def test_f15_a_stranger_s_archive_makes_nothing_else_be_opened(tmp_path):
    """All opens of guard and worker, as the system saw them: code, the archive, OUT; no network, nothing to run."""
    canary = tmp_path / "canary-elsewhere"
    canary.write_bytes(b"x" * 500)

    def point(manifest: dict) -> dict:
        metadata = {"extra": {"detail": {"errors": [[str(canary)]]}}, "no_latents_reason": f"file://{canary}"}
        sources = [[*source[:3], f"http://localhost{canary}", *source[4:]] for source in manifest["sources"]]
        return manifest | metadata | {"sources": sources}

    archive = write_archive(tmp_path / "archive", with_manifest(golden("network"), "month=2", point))
    trace, home = tmp_path / "trace", tmp_path / "home"
    home.mkdir()
    calls = "trace=open,openat,openat2,creat,connect,execve"
    prefix = ("strace", "-f", "-qq", "-s", "400", "-e", calls, "-o", str(trace))
    done = latentlake("decode", archive, home / "out", "--untrusted", "--threads", 1, prefix=prefix)
    if "ptrace" in done.err:
        pytest.skip("strace may not trace here")
    assert done.code == 0, done.err
    lines = trace.read_text(errors="replace").splitlines()
    started = [line for line in lines if "execve(" in line and " = 0" in line]
    assert len(started) == 2, started  # the command and its worker
    worker = started[1].split()[0]
    assert not [line for line in lines if "AF_INET" in line or "canary" in line]
    code = [os.path.realpath(path) for path in (sys.prefix, sys.base_prefix, ROOT)]
    system = ["/lib", "/usr", "/etc", "/proc", "/sys", "/dev/null", "/dev/urandom", "/dev/shm"]
    for line in lines:
        match = re.search(r'open(?:at)?\((?:AT_FDCWD, )?"([^"]*)", ([A-Z_|]+)', line)
        if match and " = -1 " not in line and match[1].startswith("/"):
            path, kept = os.path.realpath(match[1]), line.split()[0] == worker
            writes = re.search("O_WRONLY|O_RDWR|O_CREAT", match[2]) is not None
            places = [*code, *system] if kept else [*code, *system, str(archive), str(home)]
            if writes:
                places = ["/dev/null", "/dev/shm"] if kept else ["/dev/null", "/dev/shm", str(home)]
            assert any(path.startswith(place) for place in places) or "__pycache__" in path, line
