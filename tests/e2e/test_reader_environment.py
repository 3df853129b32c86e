"""An archive is read by an environment that never saw torch or Prefect: only what infra/reader.txt lists."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.e2e.interpreters import PYTHONS, interpreter

pytestmark = [pytest.mark.full, pytest.mark.ci, pytest.mark.timeout(1800)]
CLEAN = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
"""What a new environment sees: with the clone on its path it would take the project for installed."""


@pytest.fixture(scope="module", params=PYTHONS)
def reader(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, repository: Path) -> Path:
    """The command of a fresh environment, installed as infra/README.md says."""
    python = interpreter(request.param)
    folder = tmp_path_factory.mktemp("reader")
    subprocess.run([python, "-m", "venv", folder], check=True, env=CLEAN)
    pip = [folder / "bin" / "pip", "install", "--quiet", "--no-deps"]
    subprocess.run([*pip, "-r", repository / "infra" / "reader.txt"], check=True, env=CLEAN)
    wheel = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "-w", folder]
    subprocess.run([*wheel, repository], check=True, cwd=folder)
    subprocess.run([*pip, *folder.glob("latentlake-*.whl")], check=True, env=CLEAN)
    return folder / "bin" / "latentlake"


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small archive of two months with latents, made by the full environment."""
    folder = tmp_path_factory.mktemp("made")
    for month in (1, 2):
        rows = range(month, 3000 + month)
        table = pa.table(
            {
                "key": pa.array([f"k{i % 7}" for i in rows]),
                "fine": pa.array([None if i % 11 == 0 else float(i % 97) for i in rows]),
                "coarse": pa.array([i * 37 % 500 for i in rows], pa.int32()),
            }
        )
        (folder / "lake" / f"month={month}").mkdir(parents=True)
        pq.write_table(table, folder / "lake" / f"month={month}" / "part-0.parquet")
    policy = folder / "policy.yaml"
    policy.write_text("version: 1\nlatents: always\ndefault: {float: {range: 0.01}, integer: {range: 0.01}}\n")
    command = [Path(sys.executable).with_name("latentlake"), "compress", folder / "lake", folder / "archive"]
    subprocess.run([*command, "--policy", policy], check=True)
    return folder / "archive"


def test_reading_commands_work_without_torch_and_prefect(reader: Path, archive: Path, tmp_path: Path) -> None:
    def call(*arguments: str | Path) -> str:
        done = subprocess.run(
            [reader, *arguments], capture_output=True, text=True, check=False, cwd=tmp_path, env=CLEAN
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    assert json.loads(call("ls", archive, "--json"))["totals"]["rows"] == 6000
    assert json.loads(call("show", archive, "month=2", "--json"))["rows"] == 3000
    assert json.loads(call("verify", archive, "--deep", "--json"))["ok"]
    assert json.loads(call("log", archive, "--json"))["commits"]
    call("decode", archive, tmp_path / "out")
    call("decode", archive, tmp_path / "preview", "--layer", "preview")
    assert pq.read_metadata(tmp_path / "out" / "month=1" / "part-0.parquet").num_rows == 3000
    call("audit", archive, "--html", tmp_path / "page.html")
    assert "decode" in call("--help")
    assert (tmp_path / "page.html").stat().st_size > 10_000
    python = reader.with_name("python")
    missing = "import importlib.util as u; print([m for m in ('torch', 'prefect') if u.find_spec(m)])"
    assert (
        subprocess.run([python, "-c", missing], capture_output=True, text=True, check=True, env=CLEAN).stdout.strip()
        == "[]"
    )
