"""Unsigned numbers of any size as bytes: LEB128, seven bits a byte, the lowest first."""

from __future__ import annotations

from ae_core.errors import Corrupt

MAX_BYTES = 10


def write_varint(value: int) -> bytes:
    """A non-negative integer of at most 70 bits as bytes."""
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    out.append(value)
    return bytes(out)


def read_varint(data: bytes, at: int) -> tuple[int, int]:
    """(value, position after it); raises Corrupt where the bytes end or go on for too long."""
    value = 0
    for index, byte in enumerate(data[at : at + MAX_BYTES]):
        value |= (byte & 127) << (7 * index)
        if byte < 128:
            return value, at + index + 1
    raise Corrupt("a number is cut off: verify the archive")
