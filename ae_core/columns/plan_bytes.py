"""A column plan to bytes and back, and whatever else of a model is text.

The plan ships inside the model, so its bytes count: names and types go once as an Arrow schema, dictionaries and level
lists go through the plain coders, and the rest is one compressed JSON text without what follows from the rest.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

import numpy as np
import pyarrow as pa

from ae_core.columns.derived import Linear, Lookup, linear_from_json, linear_to_json, lookup_from_json, lookup_to_json
from ae_core.columns.domain import (
    MAX_LEVELS,
    MOST_SHIFT,
    SPECIALS,
    WIDE_LEVELS,
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
from ae_core.columns.packing import pack_bytes, pack_ints, unpack_bytes, unpack_ints
from ae_core.columns.pattern import PatternCode
from ae_core.columns.plan import ColumnPlan, TablePlan
from ae_core.columns.storage import kind_of, working_type
from ae_core.columns.words import pack_words, unpack_words
from ae_core.errors import Corrupt
from ae_core.policy import Bound, read_fraction
from ae_core.varints import read_varint, write_varint
from ae_core.vector_types import element_type

MAX_HEAD = 64 << 20
"""Most bytes of a plan's schema and records."""
MAX_PLACES = 1 << 24
"""Most entries of a lookup's table."""
_MALFORMED: Final = (
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


def write_plan(plan: TablePlan, notes: Mapping[str, Any] | None = None, attached: bytes = b"") -> bytes:
    """The plan as bytes that `read_plan` reads; the same plan gives the same bytes.

    Parameters
    ----------
    notes, attached
        JSON values by name, and bytes, that are compressed with the plan: what a model says beside it.
    """
    blobs: list[bytes] = [b""]
    columns = [_column_record(column, blobs) for column in plan.columns]
    text = json.dumps({"columns": columns, **(notes or {})}, ensure_ascii=False, separators=(",", ":"), sort_keys=True)
    # they share one compressed text: all are full of the same names
    head = b"".join((_sized(plan.schema.serialize().to_pybytes()), _sized(attached), text.encode()))
    out = write_varint(len(head)) + _sized(pack_bytes(head)) + write_varint(len(blobs) - 1)
    return out + b"".join(_sized(blob) for blob in blobs[1:])


def read_plan(data: bytes) -> tuple[TablePlan, dict[str, Any], bytes]:
    """The plan behind `data`, its notes and what is attached; raises Corrupt where it is not one."""
    try:
        size, at = read_varint(data, 0)
        if size > MAX_HEAD:
            raise Corrupt(f"column plan: {size} bytes, at most {MAX_HEAD} are allowed")
        packed, at = _take(data, at)
        head = unpack_bytes(packed, size)
        written, start = _take(head, 0)
        attached, start = _take(head, start)
        schema = pa.ipc.read_schema(pa.py_buffer(written))
        for field in schema:
            _read_names(field)
        notes = json.loads(head[start:])
        records = notes.pop("columns")
        count, at = read_varint(data, at)
        blobs = [b""]  # they count from 1
        for _ in range(count):
            blob, at = _take(data, at)
            blobs.append(blob)
        if len(records) != len(schema) or at != len(data):
            raise Corrupt("column plan: does not fit its schema: verify the archive")
        columns = tuple(_read_column(field, record, blobs) for field, record in zip(schema, records, strict=True))
        for column in columns:
            _refuse_unsound(column, columns)
        return TablePlan(schema, columns), notes, attached
    except _MALFORMED as error:
        raise Corrupt(f"column plan: malformed ({error}): verify the archive") from None


def _read_names(field: pa.Field) -> None:
    """Raise UnicodeDecodeError where a name, however deep, is no text: Arrow itself does not look at them."""
    kind, _ = field.type, field.name
    while isinstance(kind, pa.BaseExtensionType):
        kind = kind.storage_type
    for place in range(kind.num_fields):
        _read_names(kind.field(place))


def _sized(blob: bytes) -> bytes:
    return write_varint(len(blob)) + blob


def _take(data: bytes, at: int) -> tuple[bytes, int]:
    size, at = read_varint(data, at)
    if at + size > len(data):
        raise Corrupt("column plan: cut off: verify the archive")
    return data[at : at + size], at + size


def _column_record(column: ColumnPlan, blobs: list[bytes]) -> dict[str, Any]:
    record: dict[str, Any] = {"coder": column.coder}
    if column.reason != column.usual_reason:
        record["reason"] = column.reason
    if column.bound.value is not None:
        record["bound"] = [column.bound.kind, str(column.bound.value)]
    if column.bound.sensitive:
        record["sensitive"] = True
    if column.quantiser is not None:
        record["quantiser"] = quantiser_to_json(column.quantiser, column.bound.value)
    if column.domain is not None:
        record["domain"] = [column.domain.levels, column.domain.ordinal, list(column.domain.specials)]
    if isinstance(column.code, NumberCode):
        record |= {key: value for key, value in (("first", column.code.first), ("shift", column.code.shift)) if value}
        if column.code.quantiser != column.quantiser:
            record["coded"] = quantiser_to_json(column.code.quantiser, column.bound.value)
        if column.code.listed is not None:
            record["listed"] = len(blobs)
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
    quantiser = quantiser_from_json(record["quantiser"], bound.value) if "quantiser" in record else None
    domain, code = None, None
    if "domain" in record:
        levels, ordinal, specials = record["domain"]
        if not (_whole(levels, WIDE_LEVELS) and isinstance(ordinal, bool)):
            raise Corrupt(f"column plan: {field.name!r} has an impossible domain: verify the archive")
        domain = make_domain(levels, ordinal, tuple(specials))
        code = _read_code(record, field.type, levels, bound, quantiser, blobs)
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
        inner = element_type(field.type)
        if inner is None or record["coder"] != "vector":
            raise Corrupt(f"column plan: {field.name!r} has elements, but is no vector: verify the archive")
        elements = _read_column(pa.field(field.name, inner), record["elements"], blobs)
    column = ColumnPlan(field.name, field.type, bound, record["coder"], "", domain, code, quantiser, derived, elements)
    return replace(column, reason=record.get("reason", column.usual_reason))


def _read_code(
    record: dict[str, Any], kind: pa.DataType, levels: int, bound: Bound, shared: Quantiser | None, blobs: list[bytes]
) -> ValueCode:
    if "pattern" in record:
        return PatternCode.from_json(record["pattern"])
    if levels > MAX_LEVELS and ("words" in record or "listed" in record):
        raise Corrupt(f"column plan: a list of {levels} values: verify the archive")
    if "words" in record:
        return TextCode(unpack_words(blobs[record["words"]], working_type(kind), levels))
    listed = None
    if "listed" in record:
        listed = np.cumsum(unpack_ints(blobs[record["listed"]], levels))
    quantiser = quantiser_from_json(record["coded"], bound.value) if "coded" in record else shared
    if quantiser is None:
        raise Corrupt("column plan: numbers without a quantiser: verify the archive")
    first, shift = record.get("first", 0), record.get("shift", 0)
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
