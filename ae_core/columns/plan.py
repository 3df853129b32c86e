"""The plan of a table: which coder each column gets and why, its domain, and the order of its symbols.

The plan ships inside the model, so its bytes count: names and types go once as an Arrow schema, dictionaries and level
lists go through the plain coders, and the rest is one compressed JSON text.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Literal

import numpy as np
import pyarrow as pa

from ae_core.columns.derived import Linear, Lookup, linear_from_json, linear_to_json, lookup_from_json, lookup_to_json
from ae_core.columns.domain import (
    MAX_LEVELS,
    MOST_SHIFT,
    SPECIALS,
    WIDE_LEVELS,
    Domain,
    NumberCode,
    TextCode,
    ValueCode,
    make_domain,
)
from ae_core.columns.numeric import (
    FloatBits,
    FloatDecimal,
    FloatGrid,
    Quantiser,
    quantiser_from_json,
    quantiser_to_json,
)
from ae_core.columns.packing import pack_bytes, pack_ints, read_varint, unpack_bytes, unpack_ints, write_varint
from ae_core.columns.pattern import PatternCode
from ae_core.columns.storage import kind_of, working_type
from ae_core.columns.words import pack_words, unpack_words
from ae_core.errors import Corrupt, UsageError
from ae_core.policy import Bound, read_fraction
from ae_core.vector_types import element_type

Coder = Literal["network", "mixing", "plain", "lookup", "linear", "vector"]

MAX_HEAD = 64 << 20
"""Most bytes of a plan's schema and records."""
MAX_PLACES = 1 << 24
"""Most entries of a lookup's table."""

_MALFORMED = (
    pa.ArrowException,
    ArithmeticError,
    AssertionError,
    AttributeError,
    IndexError,
    KeyError,
    OSError,
    RecursionError,
    TypeError,
    ValueError,
)  # what reading records of the wrong shape may raise


@dataclass(frozen=True, eq=False)
class ColumnPlan:
    """How one column is coded.

    reason : one phrase for people; domain and code : present where cells have codes; quantiser : how a lossy plain
    column is rounded; derived : the relation of a lookup or linear column.
    A plain column with a domain is *given*: stored plainly, its codes if they are few and else its values, and known
    to the network or the mixing coder, one of which codes the columns that name it.
    """

    name: str
    type: pa.DataType
    bound: Bound
    coder: Coder
    reason: str
    domain: Domain | None = None
    code: ValueCode | None = None
    quantiser: Quantiser | None = None
    derived: Lookup | Linear | None = None
    elements: ColumnPlan | None = None  # of a vector column: its elements, as a column of their own

    @property
    def given(self) -> bool:
        """True where a plain coder stores the codes and the network sees them as context."""
        return self.coder == "plain" and self.domain is not None and not self.domain.wide

    @property
    def numbered(self) -> bool:
        """True where a plain coder stores the values, and their codes are known to the mixing coder."""
        return self.coder == "plain" and self.domain is not None and self.domain.wide

    @property
    def has_symbols(self) -> bool:
        """True where the column takes part in the rows of symbols."""
        return self.domain is not None and self.coder in ("network", "mixing", "plain")


@dataclass(frozen=True)
class SymbolColumn:
    """One position of a row of symbols.

    coarse : it tells the encoder roughly what a wide column holds; no context model sees it.
    """

    column: int
    digit: int
    alphabet: int
    ordinal: bool
    coded: bool
    name: str
    coarse: bool = False


@dataclass(frozen=True, eq=False)
class TablePlan:
    """The plan of a table; symbols are in coding order (column order, high digit first)."""

    schema: pa.Schema
    columns: tuple[ColumnPlan, ...]

    @cached_property
    def symbols(self) -> tuple[SymbolColumn, ...]:
        """Every symbol position of a row."""
        listed = []
        for index, column in enumerate(self.columns):
            if not column.has_symbols or column.domain is None:
                continue
            for digit, alphabet in enumerate(column.domain.alphabets):
                name = column.name if len(column.domain.radices) == 1 else f"{column.name}.{digit}"
                coded, coarse = column.coder == "network", column.domain.wide
                listed.append(SymbolColumn(index, digit, alphabet, column.domain.ordinal, coded, name, coarse))
        return tuple(listed)

    @cached_property
    def positions(self) -> Mapping[int, tuple[int, ...]]:
        """Column index -> positions of its symbols."""
        found: dict[int, list[int]] = {}
        for position, symbol in enumerate(self.symbols):
            found.setdefault(symbol.column, []).append(position)
        return {column: tuple(places) for column, places in found.items()}

    @cached_property
    def domain_columns(self) -> tuple[int, ...]:
        """Indices of the columns that have codes: the columns of `codes` arrays."""
        return tuple(index for index, column in enumerate(self.columns) if column.domain is not None)

    @cached_property
    def context_positions(self) -> tuple[int, ...]:
        """Positions that context models see: neither coarse ones nor those of the mixing coder, which comes last."""
        return tuple(p for p, s in enumerate(self.symbols) if not s.coarse and self.columns[s.column].coder != "mixing")

    @cached_property
    def wide_columns(self) -> tuple[int, ...]:
        """Indices of the columns whose symbols tell them coarsely."""
        return tuple(i for i in self.positions if (d := self.columns[i].domain) is not None and d.wide)

    @cached_property
    def index_of(self) -> Mapping[str, int]:
        """Column name -> index."""
        return {column.name: index for index, column in enumerate(self.columns)}

    def with_coder(self, column: str, coder: Literal["plain"], reason: str) -> TablePlan:
        """The plan with a column (of vectors: its elements) under a plain coder; what was looked up from it
        is coded by itself again.
        """
        if column not in self.index_of:
            raise UsageError(f"column {column!r} is not in the plan: columns are {', '.join(self.index_of)}")
        if coder != "plain":
            raise ValueError(f"a column can only be moved to the plain coder, not to {coder!r}")
        moved = self.index_of[column]
        columns = list(self.columns)
        if (elements := columns[moved].elements) is not None:
            elements = replace(elements, coder="plain", domain=None, code=None)
            columns[moved] = replace(columns[moved], reason=reason, elements=elements)
            return TablePlan(self.schema, tuple(columns))
        columns[moved] = replace(columns[moved], coder="plain", reason=reason, domain=None, code=None, derived=None)
        for index, other in enumerate(columns):
            if isinstance(other.derived, Lookup) and moved in other.derived.keys:
                columns[index] = replace(other, coder="network", derived=None, reason="its key has no codes any more")
        return TablePlan(self.schema, tuple(columns))

    def to_bytes(self) -> bytes:
        """The plan as bytes that `from_bytes` reads; the same plan gives the same bytes."""
        blobs: list[bytes] = [self.schema.serialize().to_pybytes()]
        records = [_column_record(column, blobs) for column in self.columns]
        text = json.dumps(records, ensure_ascii=False, separators=(",", ":")).encode()
        # schema and JSON share one compressed text: both are full of the same column names
        head = write_varint(len(blobs[0])) + blobs[0] + text
        out = write_varint(len(head)) + _sized(pack_bytes(head)) + write_varint(len(blobs) - 1)
        return out + b"".join(_sized(blob) for blob in blobs[1:])

    @classmethod
    def from_bytes(cls, data: bytes) -> TablePlan:
        """The plan behind `data`; raises Corrupt where it is not one."""
        try:
            size, at = read_varint(data, 0)
            if size > MAX_HEAD:
                raise Corrupt(f"column plan: {size} bytes, at most {MAX_HEAD} are allowed")
            packed, at = _take(data, at)
            head = unpack_bytes(packed, size)
            schema_size, start = read_varint(head, 0)
            schema = pa.ipc.read_schema(pa.py_buffer(head[start : start + schema_size]))
            records = json.loads(head[start + schema_size :])
            count, at = read_varint(data, at)
            blobs = [b""]  # number 0 is the schema
            for _ in range(count):
                blob, at = _take(data, at)
                blobs.append(blob)
            if len(records) != len(schema) or at != len(data):
                raise Corrupt("column plan: does not fit its schema: verify the archive")
            columns = tuple(_read_column(field, record, blobs) for field, record in zip(schema, records, strict=True))
            for column in columns:
                _refuse_unsound(column, columns)
            return cls(schema, columns)
        except _MALFORMED as error:
            raise Corrupt(f"column plan: malformed ({error}): verify the archive") from None


def _sized(blob: bytes) -> bytes:
    return write_varint(len(blob)) + blob


def _take(data: bytes, at: int) -> tuple[bytes, int]:
    size, at = read_varint(data, at)
    if at + size > len(data):
        raise Corrupt("column plan: cut off: verify the archive")
    return data[at : at + size], at + size


def _column_record(column: ColumnPlan, blobs: list[bytes]) -> dict[str, Any]:
    record: dict[str, Any] = {"coder": column.coder, "reason": column.reason}
    if column.bound.value is not None:
        record["bound"] = [column.bound.kind, str(column.bound.value)]
    if column.bound.sensitive:
        record["sensitive"] = True
    if column.quantiser is not None:
        record["quantiser"] = quantiser_to_json(column.quantiser)
    if column.domain is not None:
        record["domain"] = [column.domain.levels, column.domain.ordinal, list(column.domain.specials)]
    if isinstance(column.code, NumberCode):
        record["code"] = {"first": column.code.first}
        if column.code.shift:
            record["code"]["shift"] = column.code.shift
        if column.code.quantiser != column.quantiser:
            record["code"]["quantiser"] = quantiser_to_json(column.code.quantiser)
        if column.code.listed is not None:
            record["code"]["listed"] = len(blobs)
            blobs.append(pack_ints(np.diff(column.code.listed, prepend=np.int64(0))))
    elif isinstance(column.code, PatternCode):
        record["pattern"] = column.code.to_json()
    elif isinstance(column.code, TextCode):
        record["words"] = len(blobs)
        blobs.append(pack_words(column.code.words))
    if isinstance(column.derived, Lookup):
        record["lookup"] = lookup_to_json(column.derived, blobs)
    elif isinstance(column.derived, Linear):
        record["linear"] = linear_to_json(column.derived)
    if column.elements is not None:
        record["elements"] = _column_record(column.elements, blobs)
    return record


def _read_column(field: pa.Field, record: dict[str, Any], blobs: list[bytes]) -> ColumnPlan:
    kind, value = record.get("bound", ("exact", None))
    bound = Bound(kind, None if value is None else read_fraction(value), record.get("sensitive", False))
    quantiser = quantiser_from_json(record["quantiser"]) if "quantiser" in record else None
    domain, code = None, None
    if "domain" in record:
        levels, ordinal, specials = record["domain"]
        if not (_whole(levels, WIDE_LEVELS) and isinstance(ordinal, bool)):
            raise Corrupt(f"column plan: {field.name!r} has an impossible domain: verify the archive")
        domain = make_domain(levels, ordinal, tuple(specials))
        code = _read_code(record, field.type, levels, quantiser, blobs)
    derived: Lookup | Linear | None = None
    if "lookup" in record:
        if not _whole(record["lookup"]["count"], MAX_PLACES):
            raise Corrupt(f"column plan: {field.name!r} is looked up in an impossible table: verify the archive")
        derived = lookup_from_json(record["lookup"], blobs)
    elif "linear" in record:
        derived = linear_from_json(record["linear"])
    if record["coder"] not in ("network", "mixing", "plain", "lookup", "linear", "vector"):
        raise Corrupt("column plan: unknown coder: install a newer release")
    elements = None
    if "elements" in record:
        kind = element_type(field.type)
        if kind is None or record["coder"] != "vector":
            raise Corrupt(f"column plan: {field.name!r} has elements, but is no vector: verify the archive")
        elements = _read_column(pa.field(field.name, kind), record["elements"], blobs)
    return ColumnPlan(
        field.name, field.type, bound, record["coder"], record["reason"], domain, code, quantiser, derived, elements
    )


def _read_code(
    record: dict[str, Any], kind: pa.DataType, levels: int, shared: Quantiser | None, blobs: list[bytes]
) -> ValueCode:
    if "pattern" in record:
        return PatternCode.from_json(record["pattern"])
    if levels > MAX_LEVELS and ("words" in record or "listed" in record["code"]):
        raise Corrupt(f"column plan: a list of {levels} values: verify the archive")
    if "words" in record:
        return TextCode(unpack_words(blobs[record["words"]], working_type(kind), levels))
    number = record["code"]
    listed = None
    if "listed" in number:
        listed = np.cumsum(unpack_ints(blobs[number["listed"]], levels))
    quantiser = quantiser_from_json(number["quantiser"]) if "quantiser" in number else shared
    if quantiser is None:
        raise Corrupt("column plan: numbers without a quantiser: verify the archive")
    first, shift = number["first"], number.get("shift", 0)
    if not (type(first) is int and -(2**63) <= first < 2**63 and _whole(shift, MOST_SHIFT)):
        raise Corrupt("column plan: numbers that begin or end nowhere: verify the archive")
    return NumberCode(quantiser, first, listed, shift)


def _whole(value: object, most: int) -> bool:
    """Whether a value out of JSON is a whole number from 0 to `most`."""
    return type(value) is int and 0 <= value <= most


def _refuse_unsound(column: ColumnPlan, columns: tuple[ColumnPlan, ...]) -> None:
    """Raise Corrupt where decoding the column could loop, reach outside a table or ask for endless memory."""
    if (column.coder == "vector") != (column.elements is not None) or (
        column.elements is not None and (column.domain is not None or column.elements.coder not in ("mixing", "plain"))
    ):
        raise Corrupt(f"column plan: {column.name!r} is described in a way that no writer does: verify the archive")
    if column.elements is not None:
        _refuse_unsound(column.elements, ())
    kind = kind_of(working_type(column.type))
    sound = (column.domain is None) == (column.code is None) and (
        column.domain is not None or column.coder not in ("network", "mixing")
    )
    if column.domain is not None:
        specials = [special for special in SPECIALS if special in column.domain.specials]
        sound &= 0 <= column.domain.levels <= WIDE_LEVELS and specials == list(column.domain.specials)
        wide, shift = column.domain.wide, column.code.shift if isinstance(column.code, NumberCode) else 0
        if wide:
            sound &= not isinstance(column.code, TextCode) and getattr(column.code, "listed", None) is None
            sound &= column.domain.ordinal and column.coder in ("mixing", "linear", "plain")
            sound &= not column.numbered or column.quantiser is None
        sound &= 0 <= shift <= (MOST_SHIFT if wide else 0)
        sound &= specials[-1:] == ["escape"] and isinstance(column.code, TextCode | PatternCode) == (kind == "bytes")
        sound &= not isinstance(column.code, PatternCode) or column.code.levels == column.domain.levels
    for quantiser in (column.quantiser, column.code.quantiser if isinstance(column.code, NumberCode) else None):
        floats = isinstance(quantiser, FloatBits | FloatDecimal | FloatGrid)
        sound &= quantiser is None or (kind in ("int", "float") and floats == (kind == "float"))
        sound &= not floats or quantiser.width == column.type.bit_width // 8  # type: ignore[union-attr]
    derived = column.derived
    sound &= (column.coder in ("lookup", "linear")) == (derived is not None)
    if isinstance(derived, Lookup):
        keys = [columns[key] for key in derived.keys if 0 <= key < len(columns)]
        sound &= column.domain is not None and tuple(key.domain.size for key in keys if key.domain) == derived.sizes
        sound &= (
            all(key.has_symbols and key.domain is not None and not key.domain.wide for key in keys)
            and len(keys) == len(derived.keys) <= 3
        )
        room = math.prod(derived.sizes)
        sound &= room < 2**62 and len(derived.places) > 0 and bool((derived.places[1:] > derived.places[:-1]).all())
        sound &= int(derived.places[0]) >= 0 and int(derived.places[-1]) < room
        sound &= int(derived.codes.min()) >= 0 and int(derived.codes.max()) < (
            column.domain.size if column.domain else 0
        )
    elif isinstance(derived, Linear):
        inputs = [columns[index] for index in derived.inputs if 0 <= index < len(columns)]
        sound &= len(inputs) == len(derived.inputs) == len(derived.coefficients) and kind == "int"
        sound &= all(other.derived is None and kind_of(other.type) == "int" for other in inputs)
    if sound:
        _try_values(column)
    else:
        raise Corrupt(f"column plan: {column.name!r} is described in a way that no writer does: verify the archive")


def _try_values(column: ColumnPlan) -> None:
    """Build what decoding will need, so that numbers out of their range fail here and not in a block."""
    for quantiser in (column.quantiser, column.code.quantiser if isinstance(column.code, NumberCode) else None):
        if isinstance(quantiser, FloatDecimal) and not 0 <= quantiser.digits <= 22:
            raise Corrupt(f"column plan: {column.name!r} has impossible decimals: verify the archive")
        if isinstance(quantiser, FloatBits) and not 0 <= quantiser.drop <= 52:
            raise Corrupt(f"column plan: {column.name!r} drops impossible bits: verify the archive")
        if quantiser is not None:
            quantiser.rebuild(np.zeros(1, np.int64))
    if column.domain is not None and column.code is not None and not column.domain.wide:
        column.code.values(column.domain, working_type(column.type))
