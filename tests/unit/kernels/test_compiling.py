"""A change of any kernel source reaches every kernel that inlines it, and an unwritable cache stops nobody."""

import numpy as np
from frozen_models import random_group, random_symbols
from numba.core import caching

from ae_core.coder import blocks
from ae_core.kernels import compiling


def test_kernels_that_inline_other_files_are_keyed_by_their_sources():
    group = random_group(0, (4, 3))
    symbols = random_symbols(0, 5, group.alphabets)
    blocks.decode_block(group, blocks.encode_block(group, symbols), np.zeros_like(symbols))
    for kernel in (blocks._intervals, blocks._decode):
        assert all(signature[-1].value == compiling.SOURCES for signature in kernel.signatures)


def test_kernels_compile_where_no_cache_can_be_written(monkeypatch):
    monkeypatch.setattr(caching.CacheImpl, "_locator_classes", [])
    assert compiling.kernel(lambda x: x + 1)(1) == 2
