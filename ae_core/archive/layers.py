"""Layer files: Parquet with one column `payload`, one row and one row group for every block; latents also in the open.

Any Parquet reader can list the payloads. Ours never parses Parquet: the manifest holds the offset, length and SHA-256
of every payload, so a block is one range read that is checked before anybody looks into it. Row counts stand in the
manifest; leaving out every other column, statistics, page compression and the Arrow schema keeps the overhead at
about 83 bytes a file and 100 a block.

The layer `open_latents` is for others: the latents once more, a column z_0, z_1, ... for each of them, a row for each
row of the partition, a row group for each block. Nothing here decodes from it.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from ae_core.archive.fields import sha256_hex
from ae_core.archive.format import BlockEntry
from ae_core.errors import Corrupt

SCHEMA = pa.schema([pa.field("payload", pa.binary(), nullable=False)])
OPEN_LATENTS = "open_latents"
"""Name of the layer that repeats the latents as plain columns."""


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
    return data, _as_listed(_entries(data, payloads))


class OpenLatents:
    """The file of the layer `open_latents` in the making: what is held is its compressed bytes.

    Parameters
    ----------
    dims : number of latents.
    """

    def __init__(self, dims: int) -> None:
        self._schema = pa.schema([pa.field(f"z_{i}", pa.int16(), nullable=False) for i in range(dims)])
        self._sink = io.BytesIO()
        self._writer = pq.ParquetWriter(self._sink, self._schema, compression="zstd", store_schema=False)

    def add(self, z: np.ndarray) -> None:
        """Append a block, (rows, dims), values below 2^15."""
        columns = [np.ascontiguousarray(column) for column in z.astype(np.int16).T]
        self._writer.write_table(pa.table(columns, schema=self._schema), row_group_size=max(1, len(z)))

    def finish(self) -> tuple[bytes, tuple[BlockEntry, ...]]:
        """The file, and where the row group of each block lies in it."""
        self._writer.close()
        data = self._sink.getvalue()
        metadata = pq.read_metadata(io.BytesIO(data))
        return data, _as_listed([_span(data, metadata.row_group(i)) for i in range(metadata.num_row_groups)])


def _span(data: bytes, group: pq.RowGroupMetaData) -> BlockEntry:
    chunks = [group.column(i) for i in range(group.num_columns)]
    starts = [min(filter(None, (chunk.dictionary_page_offset, chunk.data_page_offset))) for chunk in chunks]
    offset = min(starts)
    stop = max(start + chunk.total_compressed_size for start, chunk in zip(starts, chunks, strict=True))
    return BlockEntry(offset, stop - offset, sha256_hex(data[offset:stop]))


def read_open_latents(data: bytes) -> Iterator[np.ndarray]:
    """The blocks of such a file, int16 (rows, dims).

    Raises
    ------
    pa.ArrowException, OSError
        When it is not Parquet.
    """
    file = pq.ParquetFile(io.BytesIO(data))
    for group in range(file.num_row_groups):
        columns = file.read_row_group(group).columns
        yield np.stack([column.to_numpy() for column in columns], 1)


def _as_listed(entries: Sequence[BlockEntry]) -> tuple[BlockEntry, ...]:
    """A file's only block is read with all of it, whose SHA-256 stands for the block's."""
    return (replace(entries[0], sha256=None),) if len(entries) == 1 else tuple(entries)


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
