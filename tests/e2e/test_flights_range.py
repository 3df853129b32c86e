"""A year of real flights at ``--range 0.01``: how small, within every bound, and previews that earn their bytes."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import ae_core
from ae_core.lake import list_partitions, read_blocks
from infra.demo import flights
from tests.benchmarks.fidelity import range_bounds, worst_ratio
from tests.benchmarks.previews import compared

pytestmark = [pytest.mark.full, pytest.mark.ci, pytest.mark.timeout(1800)]

COMMAND = Path(sys.executable).with_name("latentlake")
MOST_BYTES = 1_120_000  # every byte of the archive; the strongest simple peer takes 2,361,025 without any metadata


def latentlake(*args: object, ok: bool = True) -> str:
    done = subprocess.run([COMMAND, *map(str, args)], text=True, capture_output=True, check=False)
    assert (done.returncode == 0) == ok, done.stderr[-3000:]
    return done.stdout + done.stderr


def read(folder: Path) -> pa.Table:
    return pa.concat_tables([pq.read_table(path, partitioning=None) for path in sorted(folder.glob("*.parquet"))])


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory, repository: Path) -> Path:
    folder = tmp_path_factory.mktemp("flights")
    if (repository / "demo" / "cache").exists():
        shutil.copytree(repository / "demo" / "cache", folder / "cache")
    return flights.prepare(folder)[0]


@pytest.fixture(scope="module")
def archive(lake: Path) -> Path:
    folder = lake.parent / "archive"
    latentlake("compress", lake, folder, "--range", "0.01")
    return folder


def test_archive_is_small_and_every_cell_within_its_bound(lake: Path, archive: Path) -> None:
    """Every byte counted, the model twice; checked cell by cell with code that is not the project's own."""
    size = sum(path.stat().st_size for path in archive.rglob("*") if path.is_file())
    assert size <= MOST_BYTES
    out = lake.parent / "decoded"
    latentlake("decode", archive, out)
    months = sorted(lake.glob("month=*"))
    bounds = range_bounds(pa.concat_tables([read(month) for month in months]), "0.01")
    assert max(worst_ratio(read(month), read(out / month.name), bounds) for month in months) <= 1
    loss = json.loads((out / "_loss.json").read_text())
    assert loss


def test_preview_needs_the_latents_alone_and_beats_what_costs_as_much(lake: Path, archive: Path) -> None:
    """With the residual files moved away: fewer errors than mean and mode, and than PCA at the same bytes."""
    alone = lake.parent / "latents-alone"
    shutil.copytree(archive, alone)
    for path in alone.rglob("residuals.parquet"):
        path.unlink()
    latentlake("decode", alone, lake.parent / "preview", "--layer", "preview")
    assert "residuals" in latentlake("decode", alone, lake.parent / "refused", ok=False)
    assert not (lake.parent / "refused").exists()

    opened = ae_core.open_archive(str(alone))
    codec = opened.codec(opened.partition(month=1).manifest)
    size = sum(path.stat().st_size for path in alone.rglob("latents.parquet"))
    blocks = (block for partition in list_partitions(str(lake)) for block in read_blocks(partition))
    ours, constant, pca = compared(codec, blocks, size)
    print(f"\npreview at {size:,} bytes: {ours}\nmean and mode: {constant}\nPCA: {pca}")
    assert ours.numeric < min(constant.numeric, pca.numeric)
    assert ours.accuracy > max(constant.accuracy, pca.accuracy)
