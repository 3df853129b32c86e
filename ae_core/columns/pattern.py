"""Texts of one shape as numbers: "2017-01-03 08:15:42" or "B-00731" are a few digits and letters between fixed ones.

What varies is read as one mixed-radix number, first field highest, so that texts in order are numbers in order: what
finds a rule in numbers (a steady step, the same as above) finds it in such texts too.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from math import prod
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from ae_core.columns.domain import WIDE_LEVELS, Codes, Domain
from ae_core.columns.storage import Ints, Mask, valid_mask
from ae_core.columns.words import from_binary, to_binary

Bytes = npt.NDArray[np.uint8]
LONGEST = 64
_LEAST_SHARE = 0.98  # of the cells that have the shape
_ZERO, _NINE = ord("0"), ord("9")


@dataclass(frozen=True)
class Field:
    """A part that varies: a decimal number below radix, or a single place that has one of `letters`."""

    start: int
    length: int
    radix: int
    letters: str = ""


@dataclass(frozen=True)
class PatternCode:
    """ASCII texts as long as `template`, equal to it but for the fields; code = the fields as a mixed-radix number."""

    template: str
    fields: tuple[Field, ...]

    @property
    def levels(self) -> int:
        """How many texts there are of this shape."""
        return prod(field.radix for field in self.fields)

    @cached_property
    def _constant(self) -> Mask:
        mask = np.ones(len(self.template), np.bool_)
        for field in self.fields:
            mask[field.start : field.start + field.length] = False
        return mask

    def encode(self, array: pa.Array, domain: Domain) -> Codes:
        """Codes of a text array; texts of another shape are escapes."""
        valid = valid_mask(array)
        numbers, fits = self._numbers(*_cells(array, len(self.template)))
        codes = np.where(fits, numbers, domain.escape)
        if valid is not None:
            codes[~valid] = domain.code_of("null") if "null" in domain.specials else domain.escape
        return codes if domain.wide else codes.astype(np.int32)

    def _numbers(self, cells: Bytes, fits: Mask) -> tuple[Ints, Mask]:
        template = np.frombuffer(self.template.encode(), np.uint8)
        fits = fits & (cells[:, self._constant] == template[self._constant]).all(axis=1)
        numbers = np.zeros(len(cells), np.int64)
        for field in self.fields:
            part = cells[:, field.start : field.start + field.length]
            value = np.zeros(len(cells), np.int64)
            if field.letters:
                place = np.full(256, -1, np.int64)
                place[np.frombuffer(field.letters.encode(), np.uint8)] = np.arange(field.radix)
                value = place[part[:, 0]]
                fits &= value >= 0
            else:
                fits &= ((part >= _ZERO) & (part <= _NINE)).all(axis=1)
                for digit in part.T:
                    value = value * 10 + (digit.astype(np.int64) - _ZERO)
                fits &= value < field.radix
            numbers = numbers * field.radix + np.where(fits, value, 0)
        return numbers, fits

    def decode(self, codes: Codes, domain: Domain, kind: pa.DataType, low: Ints | None = None) -> pa.Array:
        """Texts of codes; nulls and escapes come back as null."""
        there = codes < domain.levels
        cells = np.tile(np.frombuffer(self.template.encode(), np.uint8), (len(codes), 1))
        rest = np.where(there, codes, 0).astype(np.int64)
        for field in self.fields[::-1]:
            rest, value = np.divmod(rest, field.radix)
            if field.letters:
                cells[:, field.start] = np.frombuffer(field.letters.encode(), np.uint8)[value]
            else:
                for place in range(field.start + field.length - 1, field.start - 1, -1):
                    value, digit = np.divmod(value, 10)
                    cells[:, place] = digit + _ZERO
        return _texts(cells, there, kind)

    def values(self, domain: Domain, kind: pa.DataType) -> pa.Array:
        """Every text of this shape, in order."""
        return self.decode(np.arange(domain.levels), domain, kind)

    def to_json(self) -> list[Any]:
        """JSON values: the template, then each field as start, length and radix, or start and letters."""
        return [
            self.template,
            *([f.start, f.letters] if f.letters else [f.start, f.length, f.radix] for f in self.fields),
        ]

    @classmethod
    def from_json(cls, record: list[Any]) -> PatternCode:
        """The code of a record; raises TypeError or ValueError where no writer wrote it."""
        template, *parts = record
        fields = [
            Field(part[0], 1, len(part[1]), part[1])
            if len(part) == 2
            else Field(int(part[0]), int(part[1]), int(part[2]))
            for part in parts
        ]
        end = 0
        for field in fields:
            whole = type(field.start) is int
            sound = whole and end <= field.start and 1 <= field.length <= 13 and field.radix >= 1
            sound = sound and (field.radix <= 10**field.length or bool(field.letters))
            if not sound or not field.letters.isascii() or len(set(field.letters)) != len(field.letters):
                raise ValueError("a field that no writer wrote")
            end = field.start + field.length
        if not template.isascii() or not end <= len(template) <= LONGEST:
            raise ValueError("a template that no writer wrote")
        return cls(template, tuple(fields))


def find_pattern(array: pa.Array) -> PatternCode | None:
    """The shape that nearly all texts of a sample have, None where there is none or it says too little."""
    array = array.drop_null()
    if not len(array):
        return None
    lengths = np.diff(np.frombuffer(to_binary(array).buffers()[1], np.int64)[: len(array) + 1])
    length = int(np.bincount(np.minimum(lengths, LONGEST + 1)).argmax())
    if not 0 < length <= LONGEST:
        return None
    cells, fits = _cells(array, length)
    fits &= (cells < 128).all(axis=1)
    if fits.mean() < _LEAST_SHARE:
        return None
    cells = cells[fits]
    varies: Mask = np.asarray((cells != cells[0]).any(axis=0))
    digits: Mask = np.asarray(((cells >= _ZERO) & (cells <= _NINE)).all(axis=0))
    fields: list[Field] = []
    at = 0
    while at < length:
        end = at + 1
        if digits[at]:
            while end < length and digits[end]:
                end += 1
            if varies[at:end].any() and end - at <= 13:
                weights = 10 ** np.arange(end - at)[::-1]
                most = int(((cells[:, at:end].astype(np.int64) - _ZERO) @ weights).max())
                fields.append(Field(at, end - at, most + 1))
            elif varies[at:end].any():
                return None
        elif varies[at]:
            letters = bytes(np.unique(cells[:, at])).decode()
            fields.append(Field(at, 1, len(letters), letters))
        at = end
    code = PatternCode(bytes(cells[0]).decode(), tuple(fields))
    return code if 1 < code.levels <= WIDE_LEVELS else None


def _cells(array: pa.Array, length: int) -> tuple[Bytes, Mask]:
    """(rows, length) bytes of the cells that have this length, and which have; zeros elsewhere."""
    binary = to_binary(array)
    offsets = np.frombuffer(binary.buffers()[1], np.int64)[binary.offset : binary.offset + len(binary) + 1]
    fits = np.diff(offsets) == length
    cells = np.zeros((len(binary), length), np.uint8)
    if fits.any():
        data = np.frombuffer(binary.buffers()[2], np.uint8)
        cells[fits] = data[offsets[:-1][fits][:, None] + np.arange(length)]
    return cells, fits


def _texts(cells: Bytes, there: Mask, kind: pa.DataType) -> pa.Array:
    offsets = np.concatenate([[0], np.cumsum(np.where(there, cells.shape[1], 0))]).astype(np.int64)
    mask = None if there.all() else pa.py_buffer(np.packbits(there, bitorder="little"))
    buffers = [mask, pa.py_buffer(offsets), pa.py_buffer(np.ascontiguousarray(cells[there]))]
    return from_binary(pa.Array.from_buffers(pa.large_binary(), len(cells), buffers), kind)
