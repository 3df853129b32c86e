"""One frozen model, one table: the same layer files and the same cells, whatever computes them, and in what order.

The model is that of the `forms` archive: network, mixing and plain coders, with two blocks a partition.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from itertools import pairwise
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

import ae_core
from ae_core.columns.same import equal_cells
from tests.golden import forms, make, probe
from tests.golden.decode import GOLDEN, digests

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def lake(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("lake")
    for month, rows in forms.ROWS.items():
        make.write_month(root, month, forms.table(month, rows))
    return root


@pytest.fixture(scope="module")
def model(lake, tmp_path_factory) -> Path:
    """An archive that holds the model alone."""
    root = tmp_path_factory.mktemp("model") / "archive"
    with forms.by_hand():
        probe.prepared(str(lake), str(root))
    return root


@pytest.fixture(scope="module")
def here(lake, model, tmp_path_factory) -> dict[str, Any]:
    """What comes out in this process, with one thread."""
    copied = shutil.copytree(model, tmp_path_factory.mktemp("here") / "archive")
    return probe.everything(str(lake), str(copied))


def run_elsewhere(lake: Path, model: Path, folder: Path, **settings: str) -> Any:
    """What comes out in a process with these environment variables."""
    archive = shutil.copytree(model, folder / "archive")
    done = subprocess.run(
        [sys.executable, "-m", "tests.golden.probe", lake, archive],
        env={**os.environ, "PYTHONPATH": str(ROOT), **settings}, cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize(("threads", "workers", "order"), [(3, 1, 1), (2, 3, -1)], ids=lambda n: str(n))
def test_layer_files_do_not_depend_on_threads_workers_or_order(lake, model, here, tmp_path, threads, workers, order):
    archive = shutil.copytree(model, tmp_path / "archive")
    with forms.by_hand():
        ready, due = probe.prepared(str(lake), str(archive))
        assert probe.layers(ready, due[::order], threads=threads, workers=workers) == here["layers"]


@pytest.mark.parametrize("threads", [2, 5])
def test_rebuilt_cells_do_not_depend_on_threads(here, threads):
    assert digests(GOLDEN, threads) == here["digests"]


@pytest.mark.parametrize("archive", GOLDEN, ids=lambda path: path.parent.name)
def test_parts_are_parts_of_the_whole(archive):
    """Some rows, some columns, one block alone: never other cells than in the whole."""
    opened = ae_core.open_archive(str(archive))
    partition = opened.partition(month=1)
    whole = pa.concat_tables(partition.blocks(layer=partition.fullest))
    names = whole.column_names
    ends = sorted({0, 1, whole.num_rows, *(end for end in (259, 260, 261) if end < whole.num_rows)})
    for start, end in pairwise(ends):
        for columns in (None, names[::3], names[-1:]):
            scan = opened.scan(where={"month": 1}, columns=columns or names, rows=(start, end), layer=partition.fullest)
            found = pa.table(pa.RecordBatchReader.from_stream(scan).read_all())
            wanted = whole.slice(start, end - start).select(columns or names)
            assert found.schema.names == wanted.schema.names
            for name in found.schema.names:
                cells = (pa.concat_arrays(table.column(name).chunks) for table in (found, wanted))
                assert equal_cells(*cells).all(), (name, start, end)


def test_nothing_depends_on_the_linear_algebra_or_on_a_gpu(lake, model, here, tmp_path):
    """Another OpenBLAS kernel gives other last bits of float products, and a hidden GPU another device."""
    settings = {"OPENBLAS_CORETYPE": "Prescott", "CUDA_VISIBLE_DEVICES": "", "OMP_NUM_THREADS": "2"}
    assert run_elsewhere(lake, model, tmp_path, **settings) == here


DECODED_WITHOUT_TORCH = """
import json, sys
from tests.golden.decode import GOLDEN, digests
found = digests(GOLDEN)
print(json.dumps([found, sorted({"torch", "cupy", "jax", "numba.cuda.cudadrv.driver"} & set(sys.modules))]))
"""


@pytest.mark.parametrize(
    "devices",
    ["", pytest.param("0", marks=pytest.mark.skipif(not shutil.which("nvidia-smi"), reason="no GPU here"))],
    ids=["no GPU", "a GPU"],
)
def test_decoding_knows_of_no_gpu(here, devices):
    """Nothing that could compute there is even loaded, whether one can be seen or not."""
    settings = {**os.environ, "PYTHONPATH": str(ROOT), "CUDA_VISIBLE_DEVICES": devices}
    done = subprocess.run(
        [sys.executable, "-c", DECODED_WITHOUT_TORCH], env=settings, cwd=ROOT, capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == [here["digests"], []]


PROCESSORS = {
    "without vectors": {"NUMBA_CPU_NAME": "generic", "NUMBA_CPU_FEATURES": ""},
    "AVX2": {"NUMBA_CPU_NAME": "haswell", "NUMBA_CPU_FEATURES": "+sse4.2,+avx,+avx2,+fma"},
}


@pytest.mark.full
@pytest.mark.parametrize("name", [pytest.param("without vectors", marks=pytest.mark.ci), "AVX2"])
def test_nothing_depends_on_the_processor(lake, model, here, tmp_path, name):
    """Numba compiles for other instruction sets; what this machine has of AVX-512 is what `here` used."""
    settings = {**PROCESSORS[name], "NUMBA_CACHE_DIR": str(tmp_path / "cache")}
    assert run_elsewhere(lake, model, tmp_path, **settings) == here
