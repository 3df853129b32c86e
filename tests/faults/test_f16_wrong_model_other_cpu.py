"""F16: a model that is another's, and machines that compute floats otherwise: an error, or the same bits."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from ae_core.archive.reader import open_snapshot
from ae_core.archive.verify import verify as check
from ae_core.dataset import Archive
from ae_core.errors import Corrupt
from ae_core.jobs.verify import verify
from tests.faults.command import ROOT
from tests.hostile.golden_parts import NAMES, golden, with_shared
from tests.hostile.memory_store import MemoryStore

CPUS = {
    "as it is": {},
    "Haswell": {"OPENBLAS_CORETYPE": "Haswell", "NPY_DISABLE_CPU_FEATURES": "AVX512F AVX512CD AVX512_SKX"},
    "Prescott": {"OPENBLAS_CORETYPE": "Prescott", "NUMBA_CPU_NAME": "x86-64-v2", "NUMBA_CPU_FEATURES": ""},
}
DIGESTS = """
import json, sys
import pyarrow as pa
import ae_core
from ae_core.archive.digest import partition_digest
found = {}
for root in sys.argv[2:]:
    for partition in ae_core.open_archive(root).partitions():
        blocks = list(partition.blocks(threads=int(sys.argv[1]), layer=partition.fullest))
        found[f"{root} {partition.id}"] = partition_digest(blocks[0].schema, blocks)
print(json.dumps(found))
"""


def test_f16_a_model_of_another_archive_is_refused_by_its_hash():
    source, other = golden("network"), golden("wide")
    twins = [name for name in source.objects if name.startswith("models/")]
    objects = source.objects | dict.fromkeys(twins, other.model)
    with pytest.raises(Corrupt, match="both copies are damaged"):
        read(objects)
    assert set(twins) <= {finding.name for finding in check("memory", store=MemoryStore(objects)).findings}


@pytest.mark.parametrize("other", [name for name in NAMES if name != "network"])
def test_f16_a_model_of_other_columns_is_refused_though_its_hash_is_right(other):
    objects = with_shared(golden("network"), "model", golden(other).model)
    with pytest.raises(Corrupt):
        read(objects)
    assert not verify("memory", deep=True, threads=1, store=MemoryStore(objects)).ok


def test_f16_a_model_of_the_same_shape_is_told_by_the_digest():
    """Weights that differ in one place decode to something, or to nothing; never to what was certified."""
    import numpy as np
    import safetensors.numpy

    from ae_core.coder.weights import pack_tensors, unpack_tensors

    source = golden("network")
    weights = unpack_tensors(source.tensors["weights"])
    name = next(name for name in weights if name.startswith("g0/") and weights[name].size > 20)
    weights[name] = weights[name].copy()
    weights[name].reshape(-1)[::3] += 1
    tensors = source.tensors | {"weights": pack_tensors(weights)}
    model = safetensors.numpy.save({key: np.frombuffer(raw, np.uint8) for key, raw in tensors.items()})
    report = verify("memory", deep=True, threads=1, store=MemoryStore(with_shared(source, "model", model)))
    assert {finding.partition for finding in report.findings} == {"month=1", "month=2"}


@pytest.mark.parametrize("cpu", CPUS)
@pytest.mark.full
@pytest.mark.ci
def test_f16_every_cpu_and_number_of_threads_decodes_to_the_same_digests(cpu, tmp_path):
    """No float decides anything while decoding: other vector units and BLAS kernels change no bit."""
    roots = [ROOT / "tests/golden/format-0" / name for name in NAMES]
    for threads in (1, 3):
        environment = {**os.environ, **CPUS[cpu], "NUMBA_CACHE_DIR": str(tmp_path), "OMP_NUM_THREADS": str(threads)}
        call = [sys.executable, "-c", DIGESTS, str(threads), *(str(root / "archive") for root in roots)]
        done = subprocess.run(call, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        wanted = {
            f"{root / 'archive'} {pid}": partition["digest"]
            for root in roots
            for pid, partition in json.loads((root / "expected.json").read_text()).items()
        }
        assert json.loads(done.stdout) == wanted


def read(objects: dict[str, bytes]) -> None:
    for partition in Archive(open_snapshot("memory", store=MemoryStore(objects))).partitions():
        list(partition.blocks(threads=1))
