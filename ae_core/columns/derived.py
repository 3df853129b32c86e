"""Columns that others determine: looked up from the codes of a few, or an integer sum of a few.

A derived column never fails, it only costs: a block stores the cells that the relation misses, or, where these are
many, the column by itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from ae_core.columns.domain import Codes
from ae_core.columns.packing import join_parts, pack_ints, split_parts, unpack_ints
from ae_core.columns.storage import Ints
from ae_core.errors import Corrupt
from ae_core.varints import read_varint, write_varint

_MISSES, _WHOLE = range(2)
_DENSE = 1 << 21


@dataclass(frozen=True, eq=False)
class Lookup:
    """code = table[codes of the keys].

    keys : column indices, none for a constant; sizes : codes of each key's domain;
    places : increasing mixed-radix numbers of the key codes seen; codes : the code at each.
    """

    keys: tuple[int, ...]
    sizes: tuple[int, ...]
    places: Ints
    codes: Ints

    @cached_property
    def _table(self) -> Codes | None:
        product = int(np.prod([float(size) for size in self.sizes])) if self.sizes else 1
        if product > _DENSE:
            return None
        table = np.full(product, -1, np.int32)
        table[self.places] = self.codes
        return table

    def predict(self, key_codes: Sequence[Codes], rows: int) -> Codes:
        """The code of each row, -1 where the keys were never seen together."""
        place = combine(key_codes, self.sizes, rows)
        if self._table is not None:
            return self._table[place]
        spot = np.minimum(np.searchsorted(self.places, place), len(self.places) - 1)
        return np.where(self.places[spot] == place, self.codes[spot], -1).astype(np.int32)


def combine(key_codes: Sequence[Codes], sizes: Sequence[int], rows: int) -> Ints:
    """One number per row from the codes of several columns; the product of sizes must fit int64."""
    place = np.zeros(rows, np.int64)
    for codes, size in zip(key_codes, sizes, strict=True):
        place = place * size + codes
    return place


@dataclass(frozen=True)
class Linear:
    """storage = sum of coefficient times input storage, plus a rest that seldom changes; all modulo 2^64."""

    inputs: tuple[int, ...]
    coefficients: tuple[int, ...]

    def sum(self, inputs: Sequence[Ints], rows: int) -> Ints:
        """The predicted part of each row; int64 arithmetic wraps, so it can always be undone."""
        total = np.zeros(rows, np.int64)
        for cells, coefficient in zip(inputs, self.coefficients, strict=True):
            total += cells * np.int64(coefficient)
        return total


def pack_misses(codes: Codes, predicted: Codes) -> bytes:
    """What the prediction misses of a block; nothing where it misses nothing."""
    misses = np.flatnonzero(codes != predicted)
    if not len(misses):
        return b""
    gaps = np.diff(misses, prepend=np.int64(-1))
    parts = join_parts([pack_ints(gaps), pack_ints(codes[misses])])
    listed = bytes([_MISSES]) + write_varint(len(misses)) + parts
    if len(misses) * 64 <= len(codes):
        return listed
    return min(listed, bytes([_WHOLE]) + pack_ints(codes), key=len)


def unpack_misses(data: bytes, predicted: Codes, size: int) -> Codes:
    """The codes of a block, each in [0, size)."""
    codes = predicted.astype(np.int64)
    if data[:1] == bytes([_WHOLE]):
        codes = unpack_ints(data[1:], len(predicted))
    elif data[:1] == bytes([_MISSES]):
        count, at = read_varint(data, 1)
        if count > len(codes):
            raise Corrupt("column stream: too many exceptions: verify the archive")
        gaps, values = split_parts(data[at:], 2)
        places = np.cumsum(unpack_ints(gaps, count)) - 1
        if count and (places.min() < 0 or places.max() >= len(codes)):
            raise Corrupt("column stream: an exception lies outside its block: verify the archive")
        codes[places] = unpack_ints(values, count)
    elif data:
        raise Corrupt("column stream: unknown form of exceptions: verify the archive")
    if len(codes) and (codes.min() < 0 or codes.max() >= size):
        raise Corrupt("column stream: a code is outside its domain: verify the archive")
    return codes.astype(np.int32)


def lookup_to_json(lookup: Lookup, blobs: list[bytes]) -> dict[str, Any]:
    """JSON values of a lookup; its table is appended to `blobs`."""
    blobs.append(
        join_parts([pack_ints(np.diff(lookup.places, prepend=np.int64(0))), pack_ints(lookup.codes)])
        if len(lookup.places)
        else b""
    )
    return {
        "keys": list(lookup.keys),
        "sizes": list(lookup.sizes),
        "count": len(lookup.places),
        "table": len(blobs) - 1,
    }


def lookup_from_json(record: dict[str, Any], blobs: list[bytes]) -> Lookup:
    """The lookup of a record."""
    places, codes = split_parts(blobs[record["table"]], 2)
    count = record["count"]
    return Lookup(
        tuple(record["keys"]),
        tuple(record["sizes"]),
        np.cumsum(unpack_ints(places, count)),
        unpack_ints(codes, count),
    )


def linear_to_json(linear: Linear) -> dict[str, Any]:
    """JSON values of a linear relation."""
    return {"inputs": list(linear.inputs), "coefficients": list(linear.coefficients)}


def linear_from_json(record: dict[str, Any]) -> Linear:
    """The linear relation of a record."""
    return Linear(tuple(record["inputs"]), tuple(int(c) for c in record["coefficients"]))
