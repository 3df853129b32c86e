"""Rows from a worker: an Arrow stream that is believed nothing."""

from __future__ import annotations

import struct

import pyarrow as pa

from ae_core.errors import Corrupt

_RECORD_BATCH, _DICTIONARY = 3, 2


def read_table(data: bytes | bytearray) -> pa.Table:
    """The rows of an Arrow IPC stream, every buffer checked against every other; they take no more than `data` does.

    Raises
    ------
    Corrupt
        When it is no such stream, holds an illegal value, or is compressed: then its size would tell nothing.
    """
    try:
        buffer = pa.py_buffer(data)
        for message in pa.ipc.MessageReader.open_stream(buffer):
            if _is_compressed(message.metadata.to_pybytes()):
                raise Corrupt("rows that are compressed where they must not be")
        table = pa.ipc.open_stream(buffer).read_all()
        table.validate(full=True)
    except (pa.ArrowException, struct.error, IndexError, OSError) as error:
        raise Corrupt(f"rows that are not legal: {(str(error).splitlines() or ['?'])[0]}") from None
    return table


def _is_compressed(metadata: bytes) -> bool:
    """Whether the flatbuffer of a message has the field `compression` of a record batch."""
    message = _root(metadata)
    kind_at, header_at = _field(metadata, message, 1), _field(metadata, message, 2)
    if kind_at is None or header_at is None:
        return False
    kind, header = metadata[kind_at], _target(metadata, header_at)
    if kind == _DICTIONARY:
        batch_at = _field(metadata, header, 1)
        return batch_at is not None and _field(metadata, _target(metadata, batch_at), 3) is not None
    return kind == _RECORD_BATCH and _field(metadata, header, 3) is not None


def _root(data: bytes) -> int:
    return int(struct.unpack_from("<I", data, 0)[0])


def _target(data: bytes, at: int) -> int:
    return at + int(struct.unpack_from("<I", data, at)[0])


def _field(data: bytes, table: int, number: int) -> int | None:
    """Where field `number` of a flatbuffer table lies, None where it is left out."""
    vtable = table - struct.unpack_from("<i", data, table)[0]
    place = 4 + 2 * number
    if place >= struct.unpack_from("<H", data, vtable)[0]:
        return None
    offset = struct.unpack_from("<H", data, vtable + place)[0]
    return table + offset if offset else None
