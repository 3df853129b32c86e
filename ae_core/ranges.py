"""Least and greatest rebuilt value of each column of a partition, so that a filter may pass over it unread.

A manifest's `extra` has them as `ranges`: for each column of the schema [least, greatest] or null. They are those of
the data within their bounds, not of the originals or of a preview, and may be wider than need be: floats are rounded
outwards and texts cut. A column has none where it is sensitive, holds NaN (which satisfies the negation of every
comparison), holds no value, or is of a type that filters do not compare.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from ae_core.errors import Corrupt
from ae_core.policy import Bound, family
from ae_core.report.rounding import figure

RANGES = "ranges"
"""In a manifest's extra."""
_DIGITS = 6
_CHARACTERS = 16
_GREATEST = chr(0x10FFFF)

Range = tuple[pa.Scalar, pa.Scalar]


def is_ranged(kind: pa.DataType) -> bool:
    """Whether a filter on a column of the type can be judged by its least and greatest value."""
    text = pa.types.is_string(kind) or pa.types.is_large_string(kind)
    number = pa.types.is_integer(kind) or pa.types.is_decimal(kind) or kind in (pa.float32(), pa.float64())
    return bool(text or number or (family(kind) == "temporal" and not pa.types.is_duration(kind)))


class Ranges:
    """The ranges of a partition's columns, from its rebuilt blocks."""

    def __init__(self, schema: pa.Schema, bounds: Mapping[str, Bound]) -> None:
        self._schema = schema
        kept = (f.name for f in schema if is_ranged(f.type) and not (f.name in bounds and bounds[f.name].sensitive))
        self._ends: dict[str, tuple[Any, Any] | None] = dict.fromkeys(kept)
        self._without: set[str] = set()

    def add(self, block: pa.Table) -> None:
        """Take the next block."""
        for name, ends in self._ends.items():
            column = block.column(name)
            if name in self._without or column.null_count == len(column):
                continue
            try:
                found = _extremes(column)
            except UnicodeDecodeError:  # bytes that are no text
                found = None
            if found is None:
                self._without.add(name)
            else:
                low, high = found
                self._ends[name] = found if ends is None else (min(ends[0], low), max(ends[1], high))

    def finish(self) -> dict[str, Any]:
        """What a manifest's `extra` holds of them; nothing where no column has a range."""
        listed = [self._written(field) for field in self._schema]
        return {RANGES: listed} if any(listed) else {}

    def _written(self, field: pa.Field) -> list[Any] | None:
        ends = self._ends.get(field.name)
        if ends is None or field.name in self._without:
            return None
        low, high = ends
        if isinstance(low, str):
            above = _text_above(high)
            return None if above is None else [low[:_CHARACTERS], above]
        if isinstance(low, float):
            return [_plain(_outwards(low, down=True)), _plain(_outwards(high, down=False))]
        return [str(low), str(high)] if isinstance(low, Decimal) else [low, high]


def read_ranges(extra: Mapping[str, Any], schema: pa.Schema, where: str) -> dict[str, Range]:
    """The ranges that a manifest's `extra` holds, by column, in the columns' types.

    Raises
    ------
    Corrupt
        When they do not fit the schema.
    """
    listed = extra.get(RANGES)
    if listed is None:
        return {}
    try:
        pairs = zip(schema, listed, strict=True)
        return {field.name: _read(field.type, pair) for field, pair in pairs if pair is not None}
    except (ArithmeticError, OverflowError, TypeError, ValueError, pa.ArrowException):
        raise Corrupt(f"{where}: its manifest holds no readable ranges") from None


def long_decimals(values: Any) -> Any:
    """An array, decimals of 32 and 64 bits among them as those of 128: no kernel compares the short ones."""
    kind = values.type
    short = pa.types.is_decimal32(kind) or pa.types.is_decimal64(kind)
    return values.cast(pa.decimal128(kind.precision, kind.scale)) if short else values


def _extremes(column: pa.ChunkedArray) -> tuple[Any, Any] | None:
    """Least and greatest as plain values, temporal ones in their unit; None where a NaN has no place among them."""
    if pa.types.is_floating(column.type) and pc.any(pc.is_nan(column)).as_py():
        return None
    found = pc.min_max(long_decimals(column))
    temporal = family(column.type) == "temporal"
    low, high = (found[end].value if temporal else found[end].as_py() for end in ("min", "max"))
    return low, high


def _outwards(value: float, *, down: bool) -> float:
    """At most (`down`) or at least the value: nearest floats are in order, so reading it back keeps the side."""
    return figure(value, towards="away" if down == (value < 0) else "zero", digits=_DIGITS)


def _plain(value: float) -> float | int | str:
    if not math.isfinite(value):
        return str(value)
    return int(value) if value.is_integer() and abs(value) < 1e15 else value


def _text_above(text: str) -> str | None:
    """A short text that is not below this one, in order of code points; None where there is none."""
    if len(text) <= _CHARACTERS:
        return text
    head = text[:_CHARACTERS].rstrip(_GREATEST)
    if not head:
        return None
    following = ord(head[-1]) + 1
    return head[:-1] + chr(0xE000 if following == 0xD800 else following)  # what is between is no character


def _read(kind: pa.DataType, pair: Any) -> Range:
    low, high = (_scalar(kind, value) for value in pair)
    return low, high


def _scalar(kind: pa.DataType, value: Any) -> pa.Scalar:
    if not is_ranged(kind) or isinstance(value, bool):
        raise ValueError(f"{kind} has no range")
    if pa.types.is_floating(kind) and not math.isnan(float(value)):
        return pa.scalar(float(value), kind)
    if pa.types.is_decimal(kind):
        return pa.scalar(Decimal(value), kind)
    if family(kind) == "temporal":
        return pa.array([value], pa.int32() if kind.bit_width == 32 else pa.int64()).view(kind)[0]
    wanted = int if pa.types.is_integer(kind) else str
    if not isinstance(value, wanted):
        raise TypeError(f"{value!r} is no {kind}")
    return pa.scalar(value, kind)
