"""The oldest versions that pyproject.toml allows read archives, to the same cells."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import ae_core
from tests.golden.decode import GOLDEN, digests

pytestmark = [
    pytest.mark.full,
    pytest.mark.skipif(sys.version_info >= (3, 13), reason="the oldest versions have no wheels for this Python"),
]


def oldest(repository: Path) -> list[str]:
    """The least version of each package that reading needs."""
    with (repository / "pyproject.toml").open("rb") as file:
        needed = tomllib.load(file)["project"]["dependencies"]
    reading = {line.split("==")[0].lower() for line in (repository / "infra" / "reader.txt").read_text().splitlines()}
    pinned = [re.sub(r">=([0-9.]+).*", r"==\1", one) for one in needed if re.split("[>=]", one)[0].lower() in reading]
    assert all("==" in one for one in pinned)
    return pinned


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory, repository: Path) -> Path:
    folder = tmp_path_factory.mktemp("oldest")
    subprocess.run([sys.executable, "-m", "venv", folder], check=True)
    pip = [folder / "bin" / "pip", "install", "--quiet", "--only-binary", ":all:"]
    subprocess.run([*pip, *oldest(repository)], check=True)
    return folder / "bin" / "python"


def run(python: Path, repository: Path, cache: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    settings = {"PYTHONPATH": str(repository), "NUMBA_CACHE_DIR": str(cache)}
    return subprocess.run(
        [python, *arguments],
        env={**os.environ, **settings},
        cwd=repository,
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_oldest_versions_read_the_golden_archives(python: Path, repository: Path, tmp_path: Path) -> None:
    done = run(python, repository, tmp_path / "cache", "-m", "tests.golden.decode")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == digests(GOLDEN)
    command = "import sys; from flows.cli.app import run; sys.exit(run(sys.argv[1:]))"
    for archive in map(str, GOLDEN):
        faded = any(partition.fullest == "preview" for partition in ae_core.open_archive(archive).partitions())
        for line in (
            ["ls", archive],
            ["show", archive, "month=1"],
            ["decode", archive, str(tmp_path / Path(archive).parent.name), *(["--layer", "preview"] if faded else [])],
        ):
            done = run(python, repository, tmp_path / "cache", "-c", command, *line)
            assert done.returncode == 0, done.stderr
    done = run(
        python, repository, tmp_path / "cache", "-c", command, "audit", archive, "--html", str(tmp_path / "a.html")
    )
    assert done.returncode == 0, done.stderr
    assert run(python, repository, tmp_path / "cache", "-c", command, "nonsense").returncode == 2
