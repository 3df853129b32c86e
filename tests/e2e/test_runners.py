"""Threads, processes and Dask make the same layer files: the runner is a setting, not part of the result."""

from __future__ import annotations

import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

pytestmark = pytest.mark.full


@pytest.fixture(scope="module")
def lake(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runners") / "lake"
    for day in range(1, 7):
        (folder / f"day={day}").mkdir(parents=True)
        random = np.random.default_rng(day)
        table = pa.table({"k": random.integers(0, 9, 500), "x": random.normal(size=500)})
        pq.write_table(table, folder / f"day={day}" / "x.parquet")
    return folder


def _layers(archive):
    """Partition -> SHA-256 of each of its layer files, and the digest of its data."""
    from ae_core.dataset import open_archive

    return {
        one.id: (one.manifest.digest, [(layer.layer, layer.file.sha256) for layer in one.manifest.layers])
        for one in open_archive(str(archive)).partitions()
    }


def test_layer_files_do_not_depend_on_the_runner(cli, lake, tmp_path):
    made = {}
    for runner in ("threads", "processes", "dask"):
        archive = tmp_path / runner
        done = cli(
            "compress",
            lake,
            archive,
            "--range",
            "0.01",
            "--json",
            LATENTLAKE_RUNNER=runner,
            LATENTLAKE_WORKERS="2",
            LATENTLAKE_BATCH_PARTITIONS="4",
        )
        assert done.code == 0, done.err
        assert len(json.loads(done.out)["partitions"]) == 6
        made[runner] = _layers(archive)
    assert len(made["threads"]) == 6
    assert made["threads"] == made["processes"] == made["dask"]
