"""Texts of a column or a list <-> their lengths and letters, or one text in which a separator ends each of them."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from ae_core.columns.packing import MAX_BYTES, pack_bytes, pack_ints, pack_text, unpack_bytes, unpack_ints
from ae_core.columns.storage import Ints
from ae_core.errors import Corrupt
from ae_core.varints import read_varint, write_varint

_SEPARATORS = (*b"\n\0", *range(256))  # the first that no text holds


def pack_letters(lengths: Ints, letters: bytes, *, mixed: bool) -> list[bytes]:
    """(lengths, text), the two parts that texts are stored in, in as few bytes as the coders can.

    mixed : mixing, which takes a second for 2^18 bytes, is tried too.
    """
    beside = [pack_ints(lengths), write_varint(len(letters)) + pack_bytes(letters)]
    separated = _pack_separated(lengths, letters) if mixed else None
    return beside if separated is None else min(beside, [b"", separated], key=lambda parts: sum(map(len, parts)))


def _pack_separated(lengths: Ints, letters: bytes) -> bytes | None:
    """Lengths told by a separator behind each text: where texts are mixed, they teach where they end."""
    held = set(letters)
    separator = next((byte for byte in _SEPARATORS if byte not in held), None)
    if separator is None or not len(lengths):
        return None
    joined = np.full(len(letters) + len(lengths), separator, np.uint8)
    inside = np.ones(len(joined), np.bool_)
    inside[np.cumsum(lengths + 1) - 1] = False
    joined[inside] = np.frombuffer(letters, np.uint8)
    packed = pack_text(joined.tobytes(), separator)
    return None if packed is None else write_varint(len(joined)) + packed


def unpack_letters(packed_lengths: bytes, text: bytes, count: int, most: int = MAX_BYTES) -> tuple[Ints, bytes]:
    """(lengths, letters) of `count` texts of at most `most` bytes in all.

    Raises
    ------
    Corrupt
        Where the bytes do not give so many texts.
    """
    size, at = read_varint(text, 0)
    if size > most:
        raise Corrupt(f"column stream: texts of more than {most} bytes: verify the archive")
    if count and not packed_lengths:
        joined = np.frombuffer(unpack_bytes(text[at:], size), np.uint8)
        ends = np.flatnonzero(joined == joined[-1:])
        if len(ends) != count:
            raise Corrupt("column stream: another number of texts than there are cells: verify the archive")
        return np.diff(ends, prepend=np.int64(-1)) - 1, joined[joined != joined[-1]].tobytes()
    lengths = unpack_ints(packed_lengths, count)
    if count and (int(lengths.min()) < 0 or int(lengths.max()) > size):
        raise Corrupt("column stream: impossible text lengths: verify the archive")
    if int(lengths.sum()) != size:
        raise Corrupt("column stream: text lengths that do not add up: verify the archive")
    return lengths, unpack_bytes(text[at:], size)


def lengths_of(cells: pa.Array) -> Ints:
    """Bytes of every cell of a large_binary array."""
    return np.diff(np.frombuffer(cells.buffers()[1], np.int64)[cells.offset : cells.offset + len(cells) + 1])


def letters_of(cells: pa.Array) -> bytes:
    """The bytes of all cells of a large_binary array, one cell after the other."""
    offsets = np.frombuffer(cells.buffers()[1], np.int64)
    start, stop = int(offsets[cells.offset]), int(offsets[cells.offset + len(cells)])
    data = cells.buffers()[2]
    return b"" if data is None else data.slice(start, stop - start).to_pybytes()
