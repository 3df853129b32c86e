"""What ``make demo`` promises, on the real flights: first run, second run, and what they print."""

import json
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytestmark = [pytest.mark.full, pytest.mark.ci, pytest.mark.timeout(1800)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("demo")


def demo(folder: Path, repository: Path) -> str:
    command = [sys.executable, "-m", "infra.demo.run", str(folder)]
    done = subprocess.run(command, cwd=repository, text=True, capture_output=True, check=False)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return done.stdout


def dated(archive: Path) -> dict[Path, int]:
    return {path: path.stat().st_mtime_ns for path in archive.rglob("*") if path.is_file()}


def test_the_first_run_beats_every_peer_within_every_bound(folder: Path, repository: Path) -> None:
    printed = demo(folder, repository)
    result = json.loads((folder / "results.json").read_text())
    assert result["rows"] == 336_776
    assert 0 < result["worst_ratio"] <= 1
    assert re.search(r"violations +0 of 6,061,968 cells", printed)
    assert result["archive"] < min(result["peers"].values())
    assert sum(result["parts"].values()) == result["archive"]
    assert result["parts"]["latents"] > 0, "the autoencoder's latents are what this is about"
    assert "<html" in (folder / "report.html").read_text()


def test_the_second_run_trains_and_writes_nothing(folder: Path, repository: Path) -> None:
    if not (folder / "archive").exists():
        pytest.skip("needs the first run")
    files = dated(folder / "archive")
    started = time.perf_counter()
    demo(folder, repository)
    assert dated(folder / "archive") == files
    assert time.perf_counter() - started < 120
