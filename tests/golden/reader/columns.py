"""The columns of a plan: records, codes and values [B3, B4]."""

import numpy as np
import pyarrow as pa

from .streams import MIN, Bytes, Record, cells_of, dtype_of, is_letters

SPECIALS = {"null": 0, "nan": np.nan, "+inf": np.inf, "-inf": -np.inf, "-0": -0.0, "escape": 0}


class Column(Record):
    """A column's record, and what follows from it."""

    def prepare(self, field, blobs, at):
        """`at`: the first of its symbol positions."""
        if self.elements:
            storage = field.type.storage_type if isinstance(field.type, pa.BaseExtensionType) else field.type
            self.elements = Column(self.elements)
            self.elements.prepare(pa.field(field.name, storage.value_type), blobs, 0)
        text = pa.types.is_dictionary(field.type) and is_letters(field.type.value_type) and not field.type.ordered
        self.kind, self.at, self.digits = field.type.value_type if text else field.type, at, 0
        self.symbols = bool(self.domain) and self.coder in ("network", "mixing", "plain")
        if self.domain:
            self.levels, _, self.specials = self.domain
            self.size, self.first, self.shift = self.levels + len(self.specials), self.first or 0, self.shift or 0
            self.wide, room = self.levels > 64_000, 256 - len(self.specials)
            self.low = 1 if self.levels <= room or self.wide else max(64, -(-self.levels // room))
            self.high, self.digits = -(-self.levels // self.low), (1 + (self.low > 1)) * self.symbols
            self.list = Bytes(blobs[self.words]).words(self.levels) if self.words else None
            self.list = np.cumsum(Bytes(blobs[self.listed]).ints(self.levels)) if self.listed else self.list
        self.numbered, self.given = self.coder == "plain" and self.wide, self.coder == "plain" and self.digits
        if self.lookup:
            places, codes = Bytes(blobs[self.lookup.table]).parts(2)
            places, codes = np.cumsum(places.ints(self.lookup.count)), codes.ints(self.lookup.count)
            self.table = dict(zip(places.tolist(), codes.tolist(), strict=True))

    def symbols_of(self, codes):
        """(rows, digits) symbols of codes."""
        digits = np.where(codes < self.levels, divmod(codes, self.low), (codes - self.levels + self.high, 0 * codes))
        return digits.T[:, : self.digits]

    def codes_of_symbols(self, symbols):
        high, low = symbols[:, self.at], symbols[:, self.at + 1] if self.digits > 1 else 0
        code = high * self.low + low
        code = np.where(code < self.levels, code, self.size - 1)
        return np.where(high < self.high, code, high - self.high + self.levels)

    def cells(self, numbers):
        """The cells of value codes; where codes leave low bits out, of code * 2^shift + low bits."""
        if self.pattern:
            return np.array([*map(self.filled, numbers.tolist()), None])[:-1]
        levels = numbers + self.first if self.list is None else self.list[numbers]
        return levels if self.words else rebuilt(self.coded or self.quantiser, levels)

    def filled(self, code):
        """The text of a pattern's code."""
        template, *fields = self.pattern
        text = bytearray(template.encode())
        for start, *field in reversed(fields):
            code, number = divmod(code, len(field[0]) if len(field) == 1 else field[1])
            word = field[0][number] if len(field) == 1 else str(number).zfill(field[0])
            text[start : start + len(word)] = word.encode()
        return bytes(text)

    def codes_of(self, array):
        """[B5] The codes of exact cells, looked for among the numbers, which are in order of value."""
        cells, least = cells_of(array), np.zeros(len(array), np.int64)
        most = least + (self.levels << self.shift) - 1
        while (least < most).any():
            middle = (least + most) // 2
            less = self.cells(middle) < cells
            least, most = np.where(less, middle + 1, least), np.where(less, most, middle)
        quantiser = self.coded or Record()
        if quantiser.kind == "FloatDecimal":
            m = np.nan_to_num(np.rint(cells.astype("f8") * float(10**quantiser.digits)).clip(-(2**53), 2**53))
            least = (m.astype(np.int64) - quantiser.grid.lo - self.first).clip(0, most.max(initial=0))
        codes = np.where(bits(self.cells(least)) == bits(cells), least >> self.shift, self.size - 1)
        for i, name in enumerate(self.specials[:-1]):
            null = name == "null"
            hit = array.is_null() if null else bits(cells) == bits(np.full(1, SPECIALS[name], dtype_of(self.kind)))
            codes[np.array(hit)] = self.levels + i
        return codes


def bits(cells):
    return cells.view(f"i{cells.itemsize}") if cells.dtype.kind == "f" else cells


def rebuilt(q, levels):
    """The cells of a quantiser's levels."""
    if q.kind == "IntGrid":
        half, starts = q.step // 2 if q.half is None else q.half, (int(level) * q.step % 2**64 for level in levels)
        cells = (q.lo + (start if q.step == 1 else min(start + half, q.hi - q.lo)) for start in starts)
        return np.array([cell % 2**64 for cell in cells], np.uint64).view(np.int64)
    if q.kind == "FloatGrid":
        return (float.fromhex(q.offset) + levels.astype("f8") * float.fromhex(q.step)).astype(f"f{q.width}")
    if q.kind == "FloatDecimal":
        return (rebuilt(Record(q.grid, kind="IntGrid"), levels) / float(10**q.digits)).astype(f"f{q.width}")
    if q.kind == "FloatBits":
        sign = np.where(levels < 0, MIN >> (64 - 8 * q.width), 0)
        return (np.abs(levels) << q.drop | sign).astype(f"i{q.width}").view(f"f{q.width}")
    return levels
