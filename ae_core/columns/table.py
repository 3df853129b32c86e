"""A block of rows <-> symbols and streams, by a table plan. Encoding and decoding walk the same columns."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from ae_core.columns.derived import Linear, Lookup, pack_misses, unpack_misses
from ae_core.columns.domain import Codes, NumberCode, Symbols, codes_to_digits, digits_to_codes, shown_codes
from ae_core.columns.packing import join_parts, pack_ints, split_parts, unpack_ints
from ae_core.columns.plain import pack_array, unpack_array
from ae_core.columns.plan import ColumnPlan, TablePlan
from ae_core.columns.storage import (
    Ints,
    Mask,
    kind_of,
    one_array,
    read_floats,
    read_ints,
    to_dictionary,
    valid_mask,
    working_type,
    write_floats,
    write_ints,
)
from ae_core.errors import Corrupt, UsageError
from ae_core.vector_types import elements_of, vector_shape, vectors_from

_LEVEL, _NULL, _EXACT = range(3)
_PLAIN, _REST = range(2)


@dataclass(frozen=True, eq=False)
class EncodedColumns:
    """One block.

    symbols : uint16 (rows, symbol positions); streams : everything but what network and mixing coder code, by name
    ("3:exceptions"); shown : int32 (rows, domain columns), the codes as previews tell them; exceptions : cells of a
    column, by name, that are stored with their exact value beside the code; wide : codes of the wide columns, by index;
    vectors : codes of the elements of vector columns that have codes, by index.
    """

    symbols: Symbols
    streams: dict[str, bytes]
    shown: npt.NDArray[np.int32]
    exceptions: dict[str, int]
    wide: dict[int, Codes]
    vectors: dict[int, Codes]


def encode_columns(plan: TablePlan, block: pa.Table) -> EncodedColumns:
    """Symbols, streams and codes of a block; every cell either has a code within its bound or is stored exactly."""
    if not block.schema.equals(plan.schema):
        raise UsageError("the block's schema is not the plan's: compress it as a lake of its own")
    rows = block.num_rows
    arrays = [_working(block.column(index)) for index in range(len(plan.columns))]
    streams: dict[str, bytes] = {}
    exceptions: dict[str, int] = {}
    codes: dict[int, Codes] = {}
    for index in plan.domain_columns:
        column = plan.columns[index]
        assert column.domain is not None
        assert column.code is not None
        codes[index] = column.code.encode(arrays[index], column.domain)
    vectors: dict[int, Codes] = {}
    for index, column in enumerate(plan.columns):
        if rows and column.elements is not None:
            exceptions[column.name] = _encode_vectors(index, column.elements, arrays[index], streams, vectors)
        elif rows:
            exceptions[column.name] = _encode_streams(index, column, arrays, codes, streams)
    symbols = np.zeros((rows, len(plan.symbols)), np.uint16)
    for index, places in plan.positions.items():
        domain = plan.columns[index].domain
        assert domain is not None
        symbols[:, places] = codes_to_digits(domain, codes[index])
    table = np.zeros((rows, len(plan.domain_columns)), np.int32)
    for place, index in enumerate(plan.domain_columns):
        domain = plan.columns[index].domain
        assert domain is not None
        table[:, place] = shown_codes(domain, codes[index])
    wide = {index: codes[index] for index in plan.wide_columns}
    return EncodedColumns(symbols, streams, table, exceptions, wide, vectors)


def _working(column: pa.ChunkedArray) -> pa.Array:
    kind = working_type(column.type)
    return one_array(column if kind == column.type else column.cast(kind))


def _encode_streams(
    index: int,
    column: ColumnPlan,
    arrays: Sequence[pa.Array],
    codes: Mapping[int, Codes],
    streams: dict[str, bytes],
) -> int:
    """Add the streams of one column; the number of its exceptions."""
    array = arrays[index]
    if isinstance(column.derived, Linear):
        inputs = [_storage(arrays[key]) for key in column.derived.inputs]
        streams[f"{index}:rest"] = _pack_rest(column.derived, array, inputs)
        return 0
    if column.domain is None or column.numbered:
        streams[f"{index}:plain"], exceptions = _pack_plain(column, array)
        return exceptions
    if isinstance(column.derived, Lookup):
        predicted = column.derived.predict([codes[key] for key in column.derived.keys], len(array))
        if misses := pack_misses(codes[index], predicted):
            streams[f"{index}:misses"] = misses
    elif column.given:
        streams[f"{index}:given"] = pack_ints(codes[index])
    return _encode_rest(index, column, array, codes[index], streams)


def _encode_rest(index: int, column: ColumnPlan, array: pa.Array, codes: Codes, streams: dict[str, bytes]) -> int:
    """Add what codes leave out: low bits, and cells stored exactly; the number of these."""
    assert column.domain is not None
    if isinstance(column.code, NumberCode) and column.code.shift and column.has_symbols:
        streams[f"{index}:low"] = pack_ints(column.code.low_bits(array, codes, column.domain))
    escaped = codes == column.domain.escape
    if escaped.any():
        streams[f"{index}:exceptions"] = pack_array(array.filter(pa.array(escaped)))
    return int(escaped.sum())


def _encode_vectors(
    index: int, elements: ColumnPlan, array: pa.Array, streams: dict[str, bytes], vectors: dict[int, Codes]
) -> int:
    """Add the streams of a vector column but for its codes, which go to `vectors`; the number of exact elements."""
    valid, cells = elements_of(array)
    if valid is not None:
        streams[f"{index}:valid"] = pack_ints(valid.astype(np.int64))
    if elements.domain is None or elements.code is None or elements.coder == "plain":
        streams[f"{index}:plain"], exceptions = _pack_plain(elements, cells)
        return exceptions
    vectors[index] = elements.code.encode(cells, elements.domain)
    return _encode_rest(index, elements, cells, vectors[index], streams)


def _storage(array: pa.Array) -> Ints:
    return read_ints(array, valid_mask(array))[0]


def _pack_rest(linear: Linear, array: pa.Array, inputs: Sequence[Ints]) -> bytes:
    valid = valid_mask(array)
    rest = read_ints(array, valid)[0] - linear.sum(inputs, len(array))
    packed_valid = b"" if valid is None else pack_ints(valid.astype(np.int64))
    packed = bytes([_REST]) + join_parts([packed_valid, pack_ints(rest if valid is None else rest[valid])])
    if len(packed) * 16 <= len(array) + 1024:
        return packed
    return min(packed, bytes([_PLAIN]) + pack_array(array), key=len)


def _unpack_rest(linear: Linear, data: bytes, field: pa.Field, inputs: Sequence[Ints], rows: int) -> pa.Array:
    if data[:1] == bytes([_PLAIN]):
        return unpack_array(data[1:], field, rows)
    if data[:1] != bytes([_REST]):
        raise Corrupt(f"column {field.name!r}: unknown form of its relation: verify the archive")
    packed_valid, packed = split_parts(data[1:], 2)
    valid = unpack_ints(packed_valid, rows).astype(np.bool_) if packed_valid else None
    rest = np.zeros(rows, np.int64)
    rest[slice(None) if valid is None else valid] = unpack_ints(packed, rows if valid is None else int(valid.sum()))
    return write_ints(field.type, rest + linear.sum(inputs, rows), valid)


def _pack_plain(column: ColumnPlan, array: pa.Array) -> tuple[bytes, int]:
    """(stream, number of cells that a lossy column keeps exactly)."""
    if column.quantiser is None:
        return pack_array(array), 0
    valid = valid_mask(array)
    if kind_of(array.type) == "float":
        levels, ok = column.quantiser.quantise(read_floats(array, valid))
    else:
        cells, fits = read_ints(array, valid)
        levels, ok = column.quantiser.quantise(cells)
        ok = ok if fits is None else ok & fits
    state = np.where(ok, _LEVEL, _EXACT)
    if valid is not None:
        state[~valid] = _NULL
    exact = array.filter(pa.array(state == _EXACT))
    packed = join_parts([pack_ints(state), pack_ints(levels[state == _LEVEL]), pack_array(exact)])
    return packed, len(exact)


def _unpack_plain(column: ColumnPlan, data: bytes, field: pa.Field, rows: int) -> pa.Array:
    if column.quantiser is None:
        return unpack_array(data, field, rows)
    packed_state, packed_levels, packed_exact = split_parts(data, 3)
    state = unpack_ints(packed_state, rows)
    levels = np.zeros(rows, np.int64)
    leveled = state == _LEVEL
    levels[leveled] = unpack_ints(packed_levels, int(leveled.sum()))
    cells = column.quantiser.rebuild(levels)
    write = write_floats if kind_of(field.type) == "float" else write_ints
    base = write(field.type, cells, None if leveled.all() else leveled)
    return _fill(base, state == _EXACT, packed_exact, field)


def _fill(base: pa.Array, where: npt.NDArray[np.bool_], packed: bytes, field: pa.Field) -> pa.Array:
    """`base` with its cells at `where` replaced by the exact ones."""
    count = int(where.sum())
    if not count:
        return base
    exact = unpack_array(packed, field, count)
    index = np.arange(len(base))
    index[where] = len(base) + np.arange(count)
    return pa.concat_arrays([base, exact]).take(pa.array(index))


def given_symbols(plan: TablePlan, streams: Mapping[str, bytes], rows: int, wanted: Set[int] | None = None) -> Symbols:
    """uint16 (rows, symbol positions): the given columns filled in, the network's own 0.

    Parameters
    ----------
    wanted : positions that will be looked at; streams of other columns need not be there.
    """
    symbols = np.zeros((rows, len(plan.symbols)), np.uint16)
    for index, places in plan.positions.items():
        column = plan.columns[index]
        if column.given and column.domain is not None and (wanted is None or not wanted.isdisjoint(places)):
            data = _stream(plan, streams, index, "given", rows)
            symbols[:, places] = codes_to_digits(column.domain, given_codes(column, data, rows))
    return symbols


def numbered_codes(plan: TablePlan, streams: Mapping[str, bytes], rows: int) -> dict[int, Codes]:
    """Codes of the columns that are stored as values and known to the mixing coder by their numbers, by index."""
    block = Block(plan, np.zeros((rows, len(plan.symbols)), np.uint16), streams, {})
    found = {}
    for index in plan.wide_columns:
        column = plan.columns[index]
        if column.numbered and column.code is not None and column.domain is not None:
            found[index] = column.code.encode(block.array(index), column.domain)
    return found


def given_codes(column: ColumnPlan, data: bytes, rows: int) -> Codes:
    """The codes that a given column's stream holds; raises Corrupt where they are not of its domain."""
    assert column.domain is not None
    codes = unpack_ints(data, rows)
    if rows and not 0 <= int(codes.min()) <= int(codes.max()) < column.domain.size:
        raise Corrupt(f"column {column.name!r}: a code is outside its domain: verify the archive")
    return codes.astype(np.int32)


def _stream(plan: TablePlan, streams: Mapping[str, bytes], index: int, part: str, rows: int) -> bytes:
    name = f"{index}:{part}"
    if name not in streams and rows:
        raise Corrupt(f"column {plan.columns[index].name!r}: its stream {name} is missing: verify the archive")
    return streams.get(name, b"")


def decode_columns(
    plan: TablePlan,
    symbols: Symbols,
    streams: Mapping[str, bytes],
    columns: Sequence[str] | None = None,
    wide: Mapping[int, Codes] | None = None,
    vectors: Mapping[int, Codes] | None = None,
) -> pa.Table:
    """The rebuilt block: all columns, or those asked for, in the order of the schema.

    Parameters
    ----------
    symbols : uint16 (rows, symbol positions), the given ones included; positions that `dependencies` does not
        name may hold anything.
    wide : codes of the wide columns that are wanted, by index.
    vectors : codes of the elements of vector columns that are wanted, by index.
    """
    wanted = _indices(plan, columns)
    block = Block(plan, symbols, streams, wide or {}, vectors)
    fields = [plan.schema.field(index) for index in wanted]
    arrays = [restore(block.array(index), plan.schema.field(index).type) for index in wanted]
    return pa.table(arrays, schema=pa.schema(fields, plan.schema.metadata))


def restore(array: pa.Array, kind: pa.DataType) -> pa.Array | pa.ChunkedArray:
    """A working array in the column's own type."""
    return array if array.type == kind else to_dictionary(array, kind)


def _indices(plan: TablePlan, columns: Iterable[str] | None) -> list[int]:
    if columns is None:
        return list(range(len(plan.columns)))
    asked = list(columns)
    for name in asked:
        if name not in plan.index_of:
            raise UsageError(f"column {name!r} is not in the table: columns are {', '.join(plan.index_of)}")
    return sorted({plan.index_of[name] for name in asked})


class Block:
    """The columns of one block, decoded once each as they are needed."""

    def __init__(
        self,
        plan: TablePlan,
        symbols: Symbols,
        streams: Mapping[str, bytes],
        wide: Mapping[int, Codes],
        vectors: Mapping[int, Codes] | None = None,
    ) -> None:
        self.plan, self.symbols, self.streams, self.rows = plan, symbols, streams, symbols.shape[0]
        self.wide, self.vectors = wide, vectors or {}
        self._codes: dict[int, Codes] = {}
        self._arrays: dict[int, pa.Array] = {}

    def codes(self, index: int) -> Codes:
        """`make_codes`, kept."""
        if index not in self._codes:
            self._codes[index] = self.make_codes(index)
        return self._codes[index]

    def make_codes(self, index: int) -> Codes:
        """Codes of a column that has a domain, int32 (rows,)."""
        column = self.plan.columns[index]
        assert column.domain is not None
        if column.domain.wide:
            if index not in self.wide:
                raise Corrupt(f"column {column.name!r}: its numbers are missing: verify the archive")
            return self.wide[index]
        if not isinstance(column.derived, Lookup):
            return digits_to_codes(column.domain, self.symbols[:, self.plan.positions[index]])
        keys = [self.codes(key) for key in column.derived.keys]
        predicted = column.derived.predict(keys, self.rows)
        return unpack_misses(self.streams.get(f"{index}:misses", b""), predicted, column.domain.size)

    def array(self, index: int) -> pa.Array:
        """`make_array`, kept."""
        if index not in self._arrays:
            self._arrays[index] = self.make_array(index)
        return self._arrays[index]

    def make_array(self, index: int) -> pa.Array:
        """Cells of a column in its working type."""
        column = self.plan.columns[index]
        field = pa.field(column.name, working_type(column.type))
        if column.elements is not None:
            return self._vectors(index, column.elements, field)
        if isinstance(column.derived, Linear):
            inputs = [_storage(self.array(key)) for key in column.derived.inputs]
            data = _stream(self.plan, self.streams, index, "rest", self.rows)
            return _unpack_rest(column.derived, data, field, inputs, self.rows) if self.rows else _empty(field)
        if column.domain is None or column.code is None or column.numbered:
            data = _stream(self.plan, self.streams, index, "plain", self.rows)
            return _unpack_plain(column, data, field, self.rows) if self.rows else _empty(field)
        return self._decoded(index, column, field, self.codes(index))

    def _vectors(self, index: int, elements: ColumnPlan, field: pa.Field) -> pa.Array:
        """Vectors from the codes of their elements, or from the plain coder."""
        if not self.rows:
            return _empty(field)
        valid, count = valid_vectors(self.streams, index, self.rows)
        inner = pa.field(elements.name, elements.type)
        size = math.prod(vector_shape(field.type))
        if elements.domain is None or elements.coder == "plain":
            data = _stream(self.plan, self.streams, index, "plain", self.rows)
            return vectors_from(field.type, valid, _unpack_plain(elements, data, inner, count * size))
        if index not in self.vectors or len(self.vectors[index]) != count * size:
            raise Corrupt(f"column {elements.name!r}: its elements are missing: verify the archive")
        return vectors_from(field.type, valid, self._decoded(index, elements, inner, self.vectors[index]))

    def _decoded(self, index: int, column: ColumnPlan, field: pa.Field, codes: Codes) -> pa.Array:
        """Cells of codes, exceptions filled in."""
        assert column.domain is not None
        assert column.code is not None
        low = None
        if isinstance(column.code, NumberCode) and column.code.shift:
            packed = _stream(self.plan, self.streams, index, "low", self.rows)
            low = unpack_ints(packed, int((codes < column.domain.levels).sum()))
        base = column.code.decode(codes, column.domain, field.type, low)
        escaped = codes == column.domain.escape
        packed = _stream(self.plan, self.streams, index, "exceptions", int(escaped.sum()))
        return _fill(base, escaped, packed, field)


def valid_vectors(streams: Mapping[str, bytes], index: int, rows: int) -> tuple[Mask | None, int]:
    """(True where a slot of a vector column is no null, None where none is; how many are not)."""
    if f"{index}:valid" not in streams:
        return None, rows
    valid = unpack_ints(streams[f"{index}:valid"], rows).astype(np.bool_)
    return valid, int(valid.sum())


def _empty(field: pa.Field) -> pa.Array:
    return one_array(pa.chunked_array([], field.type))


def dependencies(plan: TablePlan, columns: Sequence[str] | None) -> tuple[tuple[int, ...], tuple[str, ...]]:
    """(symbol positions, stream names) that decoding the columns reads; a named stream may be absent from a block."""
    positions: set[int] = set()
    streams: set[str] = set()
    for index in _indices(plan, columns):
        _depend(plan, index, positions, streams, whole=True)
    return tuple(sorted(positions)), tuple(sorted(streams, key=lambda name: (int(name.split(":")[0]), name)))


def _depend(plan: TablePlan, index: int, positions: set[int], streams: set[str], *, whole: bool) -> None:
    """Add what one column needs; `whole` also its cells, else its codes alone."""
    column = plan.columns[index]
    positions.update(plan.positions.get(index, ()))
    if column.elements is not None:
        streams.update(f"{index}:{part}" for part in ("valid", "plain", "z", "elements", "low", "exceptions"))
        return
    if isinstance(column.derived, Linear):
        streams.add(f"{index}:rest")
        for key in column.derived.inputs:
            _depend(plan, key, positions, streams, whole=True)
        return
    if column.domain is None or column.numbered:
        streams.add(f"{index}:plain")
        return
    if isinstance(column.derived, Lookup):
        streams.add(f"{index}:misses")
        for key in column.derived.keys:
            _depend(plan, key, positions, streams, whole=False)
    if column.given:
        streams.add(f"{index}:given")
    if whole:
        streams.add(f"{index}:exceptions")
        if isinstance(column.code, NumberCode) and column.code.shift:
            streams.add(f"{index}:low")
