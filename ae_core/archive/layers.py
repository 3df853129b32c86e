"""Layer files: Parquet with one column `payload`, one row and one row group for every block.

Any Parquet reader can list the payloads. Ours never parses Parquet: the manifest holds the offset, length and SHA-256
of every payload, so a block is one range read that is checked before anybody looks into it. Row counts stand in the
manifest; leaving out every other column, statistics, page compression and the Arrow schema keeps the overhead at
about 83 bytes a file and 100 a block.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import replace

import pyarrow as pa
import pyarrow.parquet as pq

from ae_core.archive.fields import sha256_hex
from ae_core.archive.format import BlockEntry
from ae_core.errors import Corrupt

SCHEMA = pa.schema([pa.field("payload", pa.binary(), nullable=False)])


def layer_bytes(payloads: Sequence[bytes]) -> tuple[bytes, tuple[BlockEntry, ...]]:
    """A layer file of the blocks' payloads, and where each payload lies in it."""
    sink = io.BytesIO()
    with pq.ParquetWriter(
        sink,
        SCHEMA,
        compression="none",
        use_dictionary=False,
        write_statistics=False,
        store_schema=False,
        data_page_version="1.0",
        version="2.6",
    ) as writer:
        for payload in payloads:
            writer.write_table(pa.table({"payload": pa.array([payload], pa.binary())}, schema=SCHEMA))
    data = sink.getvalue()
    entries = _entries(data, payloads)
    return data, tuple(replace(entry, sha256=None) for entry in entries) if len(entries) == 1 else tuple(entries)


def _entries(data: bytes, payloads: Sequence[bytes]) -> list[BlockEntry]:
    """The payloads' places, found through the footer and compared byte for byte."""
    metadata = pq.read_metadata(io.BytesIO(data))
    entries = []
    for index, payload in enumerate(payloads):
        chunk = metadata.row_group(index).column(0)
        offset = chunk.data_page_offset + chunk.total_compressed_size - len(payload)
        if data[offset : offset + len(payload)] != payload:
            raise Corrupt(f"block {index} of a layer file does not lie where its footer says; nothing was stored")
        entries.append(BlockEntry(offset, len(payload), sha256_hex(payload)))
    return entries
