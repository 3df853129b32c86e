"""What `python -m build` makes installs into a clean environment and works there: on every Python that is at hand."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.e2e.interpreters import PYTHONS, interpreter

pytestmark = [pytest.mark.full, pytest.mark.timeout(3000)]
CLEAN = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}


def call(*command: str | Path, cwd: Path | None = None) -> str:
    done = subprocess.run([*map(str, command)], capture_output=True, text=True, check=False, cwd=cwd, env=CLEAN)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-3000:]
    return done.stdout


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory, repository: Path) -> dict[str, Path]:
    """The wheel and the source distribution, built from what is committed or about to be."""
    folder = tmp_path_factory.mktemp("built")
    listed = call("git", "ls-files", "--cached", "--others", "--exclude-standard", cwd=repository).splitlines()
    for name in listed:
        if (repository / name).is_file() and not name.startswith("tests/"):
            (folder / "source" / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(repository / name, folder / "source" / name)
    call(sys.executable, "-m", "venv", folder / "builder")
    call(folder / "builder" / "bin" / "pip", "install", "--quiet", "build")
    call(folder / "builder" / "bin" / "python", "-m", "build", "--outdir", folder / "dist", folder / "source")
    (wheel,), (source,) = (folder / "dist").glob("*.whl"), (folder / "dist").glob("*.tar.gz")
    return {"wheel": wheel, "source": source}


def test_both_hold_everything_that_runs(built: dict[str, Path], repository: Path) -> None:
    needed = {
        path.relative_to(repository).as_posix()
        for folder in ("ae_core", "flows")
        for path in (repository / folder).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert needed <= set(zipfile.ZipFile(built["wheel"]).namelist())
    with tarfile.open(built["source"]) as archive:
        assert needed <= {name.partition("/")[2] for name in archive.getnames()}


@pytest.mark.parametrize("version", PYTHONS)
def test_a_clean_environment_compresses_and_decodes(
    built: dict[str, Path], repository: Path, tmp_path: Path, version: str
) -> None:
    call(interpreter(version), "-m", "venv", tmp_path / "env")
    pip = tmp_path / "env" / "bin" / "pip"
    pins = (repository / "infra" / "constraints.txt").read_text()
    (torch,) = re.findall(r"^torch==\S+", pins, flags=re.M)
    # a wheel at hand first: pip itself prefers an index to what lies in PIP_FIND_LINKS
    local = [pip, "install", "--quiet", "--no-index", "--no-deps", torch]
    if subprocess.run([*map(str, local)], capture_output=True, check=False, env=CLEAN).returncode:
        report = call(pip, "install", "--quiet", "--dry-run", "--no-deps", "--report", "-", torch)
        (found,) = json.loads(report)["install"]
        if "nvidia" in " ".join(found["metadata"].get("requires_dist", [])):
            pytest.skip(
                f"gigabytes: Python {version}'s torch brings CUDA here; this runs with a wheel in PIP_FIND_LINKS"
            )
    call(pip, "install", "--quiet", "-c", repository / "infra" / "constraints.txt", torch, built["wheel"])
    random = np.random.default_rng(1)
    table = pa.table({"a": random.integers(0, 90, 4000), "b": random.normal(0, 1, 4000), "c": ["x", "y"] * 2000})
    (tmp_path / "lake" / "day=1").mkdir(parents=True)
    pq.write_table(table, tmp_path / "lake" / "day=1" / "part.parquet")
    latentlake = tmp_path / "env" / "bin" / "latentlake"
    for kind in ("wheel", "source"):
        if kind == "source":
            call(pip, "install", "--quiet", "--force-reinstall", "--no-deps", built["source"])
        out = tmp_path / kind
        call(latentlake, "compress", tmp_path / "lake", out / "archive", "--range", "0.01", cwd=tmp_path)
        call(latentlake, "decode", out / "archive", out / "decoded", cwd=tmp_path)
        call(latentlake, "audit", out / "archive", "--html", out / "report.html", cwd=tmp_path)
        back = pq.read_table(out / "decoded" / "day=1" / "part.parquet", partitioning=None)
        assert back["c"].equals(table["c"])
        span = np.ptp(table["b"].to_numpy())
        assert np.abs(back["b"].to_numpy() - table["b"].to_numpy()).max() <= 0.01 * span
        assert json.loads(call(latentlake, "verify", out / "archive", "--deep", "--json", cwd=tmp_path))["ok"]
