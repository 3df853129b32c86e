"""A block's payload in a layer file: named byte strings behind an offset table.

    payload = varint count, count × (varint length of name, name in UTF-8, varint length of stream), the streams in turn

Varints are unsigned LEB128.  Names are unique; the streams fill the rest of the payload exactly.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ae_core.errors import Corrupt
from ae_core.varints import read_varint, write_varint


def pack_streams(streams: Mapping[str, bytes]) -> bytes:
    """The payload that holds these streams, in the mapping's order."""
    head = bytearray(write_varint(len(streams)))
    for name, stream in streams.items():
        raw = name.encode()
        head += write_varint(len(raw)) + raw + write_varint(len(stream))
    return bytes(head) + b"".join(streams.values())


def unpack_streams(payload: bytes) -> dict[str, bytes]:
    """The streams of a payload, by name.

    Raises
    ------
    Corrupt
        When the table does not fit the payload.
    """
    count, at = read_varint(payload, 0)
    sizes: dict[str, int] = {}
    for _ in range(count):
        length, at = read_varint(payload, at)
        if at + length > len(payload):
            raise Corrupt("payload: a stream's name is cut off: verify the archive")
        try:
            name = payload[at : at + length].decode()
        except UnicodeDecodeError:
            raise Corrupt("payload: a stream's name is not UTF-8: verify the archive") from None
        sizes[name], at = read_varint(payload, at + length)
    if len(sizes) != count or at + sum(sizes.values()) != len(payload):
        raise Corrupt("payload: the offset table does not fit its length: verify the archive")
    streams = {}
    for name, size in sizes.items():
        streams[name] = payload[at : at + size]
        at += size
    return streams


def pack_parts(parts: Sequence[bytes]) -> bytes:
    """Byte strings as one: the length of each as a varint, then all in turn."""
    return b"".join(write_varint(len(part)) for part in parts) + b"".join(parts)


def unpack_parts(data: bytes, count: int) -> list[bytes]:
    """The byte strings behind `pack_parts`.

    Raises
    ------
    Corrupt
        When there are not so many.
    """
    lengths, at = [], 0
    for _ in range(count):
        length, at = read_varint(data, at)
        lengths.append(length)
    if at + sum(lengths) != len(data):
        raise Corrupt("payload: the parts of a stream do not fit its length: verify the archive")
    parts = []
    for length in lengths:
        parts.append(data[at : at + length])
        at += length
    return parts
