"""Layer files are plain Parquet with little around the payloads."""

from __future__ import annotations

import io
import os

import pyarrow.parquet as pq
import pytest

from ae_core.archive.layers import layer_bytes


@pytest.mark.parametrize("payloads", [[], [b""], [b"x"], [b"one", b"", b"three" * 1000], [os.urandom(70_000)] * 3])
def test_any_parquet_reader_sees_one_row_and_row_group_for_every_block(payloads):
    data, entries = layer_bytes(payloads)
    assert pq.ParquetFile(io.BytesIO(data)).num_row_groups == len(payloads)
    assert pq.read_table(io.BytesIO(data))["payload"].to_pylist() == payloads
    assert [data[e.offset : e.offset + e.length] for e in entries] == payloads


def test_what_surrounds_the_payloads_is_small():
    for blocks in (1, 2, 20):
        data, _ = layer_bytes([os.urandom(30_000)] * blocks)
        assert len(data) - 30_000 * blocks <= 90 + 105 * blocks
