"""After `load_kernels` no archive makes a kernel compile: a confined worker could not keep it."""

from __future__ import annotations

import subprocess
import sys

from tests.faults.command import ROOT

SCRIPT = """
import gc
from numba.core.dispatcher import Dispatcher
from ae_core.untrusted.warm import load_kernels
load_kernels()
import ae_core
def compiled():
    return {d.py_func.__qualname__: len(d.overloads) for d in gc.get_objects() if isinstance(d, Dispatcher)}
before = compiled()
for name in ("network", "mixing", "wide", "forms"):
    for partition in ae_core.open_archive(f"tests/golden/format-0/{name}/archive").partitions():
        list(partition.blocks(threads=1))
        if name != "mixing":
            list(partition.blocks(threads=1, layer="preview"))
after = compiled()
print({name: (before.get(name, 0), count) for name, count in after.items() if count != before.get(name, 0)})
"""


def test_every_kernel_that_decoding_uses_is_loaded_before_the_archive_is():
    done = subprocess.run([sys.executable, "-c", SCRIPT], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "{}"
