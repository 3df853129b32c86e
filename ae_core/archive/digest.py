r"""The canonical digest of rebuilt data: what an audit compares years later, without the originals.

It depends on types and values alone; how the data is chunked, sliced, offset or dictionary-encoded in memory changes
nothing, and neither does what lies under a null. It is a tree of SHA-256: partition -> block -> column.

    column     SHA-256 of the encoding of the column's slots in the block
    block      SHA-256(rows as u64, then the 32 bytes of every column in schema order)
    partition  SHA-256("latentlake digest 0\n", canonical JSON of the schema's keys, "\n", 32 bytes of every block)

Encoding of n slots (little-endian; lengths and counts are 64 bits wide; floats by their bits, NaN payloads included):

    validity   one byte 0 if nothing is null, else one byte 1 and a bitmap, least significant bit first, zero padded
    null       n alone
    boolean    validity, bitmap of the values (null slots 0)
    fixed      validity, the values' bytes (null slots 0): integers, floats, times, decimals, fixed-size binary
    variable   validity, length of every slot (null slots 0), the bytes of all slots: strings, binary, views
    list       validity, length of every slot (null slots 0), then the encoding of the items of the valid slots
    fixed list validity, then the encoding of the items of the valid slots
    struct     validity, then the encoding of every field over the valid slots
    union      n, the type code of every slot (i8), then for every child, in order, the encoding of its slots
    dictionary, run-end encoded, extension: as their decoded values or storage

Every encoding but the union's starts with n.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from ae_core.archive.fields import canonical_json

PREFIX = b"latentlake digest 0\n"

_Bytes = npt.NDArray[np.uint8]
_Mask = npt.NDArray[np.bool_]
_VARIABLE = {pa.string(): 4, pa.binary(): 4, pa.large_string(): 8, pa.large_binary(): 8}
_VIEWS = {pa.string_view(): pa.large_string(), pa.binary_view(): pa.large_binary()}

_ARROW_PARAMETERS = ("dim_names", "permutation", "shape", "type_name", "uniform_shape", "vendor_name")


class PartitionDigest:
    """Digest of a partition that is given block by block.

    The blocks must be those of the manifest (`block_rows`): the tree is over them.
    """

    def __init__(self, schema: pa.Schema) -> None:
        self._schema = schema
        self._hash = hashlib.sha256(PREFIX)
        self._hash.update(canonical_json([field_key(field) for field in schema]) + b"\n")

    def add(self, block: pa.Table | pa.RecordBatch) -> str:
        """Digest of the next block, which is then part of the partition's.

        Raises
        ------
        ValueError
            If the block has other columns or types than the schema.
        """
        found = [field_key(field) for field in block.schema]
        wanted = [field_key(field) for field in self._schema]
        if found != wanted:
            raise ValueError(f"block has the columns {found}, not {wanted}")
        digest = block_digest(block)
        self._hash.update(digest)
        return digest.hex()

    def hexdigest(self) -> str:
        """Digest of the blocks so far, in hexadecimal."""
        return self._hash.hexdigest()


def partition_digest(schema: pa.Schema, blocks: Iterable[pa.Table]) -> str:
    """Digest of all blocks of a partition, in hexadecimal."""
    digest = PartitionDigest(schema)
    for block in blocks:
        digest.add(block)
    return digest.hexdigest()


def block_digest(block: pa.Table | pa.RecordBatch) -> bytes:
    """The 32 bytes of a block's digest."""
    result = hashlib.sha256(_number(block.num_rows))
    for column in block.columns:
        result.update(column_digest(column))
    return result.digest()


def column_digest(column: pa.ChunkedArray | pa.Array) -> bytes:
    """The 32 bytes of a column's digest over the rows given."""
    result = hashlib.sha256()
    _encode(_one_array(column), result)
    return result.digest()


def field_key(field: pa.Field) -> list[Any]:
    """Name, type and nullability of a field, for the canonical JSON of the schema (metadata does not count)."""
    return [field.name, type_key(field.type), field.nullable]


def type_key(kind: pa.DataType) -> Any:
    """A type as JSON: Arrow's own name, or a list of a word and the parameters for types with children."""
    if isinstance(kind, pa.BaseExtensionType):
        return ["extension", kind.extension_name, _parameters(kind), type_key(kind.storage_type)]
    if pa.types.is_dictionary(kind):
        return ["dictionary", type_key(kind.index_type), type_key(kind.value_type), kind.ordered]
    if pa.types.is_run_end_encoded(kind):
        return ["run_end_encoded", type_key(kind.run_end_type), type_key(kind.value_type)]
    if pa.types.is_map(kind):
        return ["map", kind.keys_sorted, field_key(kind.key_field), field_key(kind.item_field)]
    if pa.types.is_fixed_size_list(kind):
        return ["fixed_size_list", kind.list_size, field_key(kind.value_field)]
    if kind.num_fields or pa.types.is_struct(kind):
        codes = [list(kind.type_codes)] if pa.types.is_union(kind) else []
        return [_word(kind), *codes, *(field_key(kind.field(i)) for i in range(kind.num_fields))]
    return str(kind)


def _parameters(kind: pa.BaseExtensionType) -> Any:
    """What an extension type says beside its name: its own bytes, or of one of Arrow's its parameters by name."""
    if isinstance(kind, pa.ExtensionType):
        return kind.__arrow_ext_serialize__().hex()
    return {name: value for name in _ARROW_PARAMETERS if (value := getattr(kind, name, None)) is not None}


def _word(kind: pa.DataType) -> str:
    """The name of a nested type without its parameters."""
    return f"{kind.mode}_union" if pa.types.is_union(kind) else str(kind).split("<", 1)[0]


def _one_array(column: pa.ChunkedArray | pa.Array) -> pa.Array:
    """The column in one piece, with dictionaries and run ends decoded first, since chunks may differ in them."""
    if isinstance(column, pa.Array):
        return _plain(column)
    chunks = [_plain(chunk) for chunk in column.chunks if len(chunk)]
    if len(chunks) == 1:
        return chunks[0]
    return pa.concat_arrays(chunks) if chunks else _plain(pa.nulls(0, column.type))


def _plain(array: pa.Array) -> pa.Array:
    """`array` as its storage or decoded values, in a type whose offsets cannot overflow when chunks are joined."""
    while True:
        kind = array.type
        if isinstance(kind, pa.BaseExtensionType):
            array = array.storage
        elif pa.types.is_dictionary(kind):
            array = array.dictionary_decode()
        elif pa.types.is_run_end_encoded(kind):
            array = pc.run_end_decode(array)
        elif kind in _VIEWS:
            array = array.cast(_VIEWS[kind])
        else:
            return array


def _encode(array: pa.Array, out: Any) -> None:
    """Feed the canonical encoding of a plain array to the hash `out`."""
    kind = array.type
    out.update(_number(len(array)))
    if pa.types.is_null(kind):
        return
    if pa.types.is_union(kind):
        _encode_union(array, out)
        return
    valid = _validity(array)
    if valid is None:
        out.update(b"\0")
    else:
        out.update(b"\1")
        out.update(np.packbits(valid, bitorder="little"))
    if pa.types.is_boolean(kind):
        values = _bits(array.buffers()[1], array.offset, len(array))
        out.update(np.packbits(values if valid is None else values & valid, bitorder="little"))
    elif kind in _VARIABLE:
        _encode_variable(array, valid, out)
    elif pa.types.is_struct(kind):
        for index in range(kind.num_fields):
            child = array.field(index)  # flatten() would push the struct's validity down; the slots are dropped instead
            _encode(_one_array(child if valid is None else child.filter(pa.array(valid))), out)
    elif pa.types.is_fixed_size_list(kind):
        _encode(_one_array((array if valid is None else array.drop_null()).flatten()), out)
    elif kind.num_fields:
        lengths = pc.list_value_length(_as_list(array)).fill_null(0).cast(pa.int64())
        out.update(_fixed(lengths, 8))
        _encode(_one_array(_as_list(array).flatten()), out)
    else:
        _encode_fixed(array, valid, out)


def _encode_fixed(array: pa.Array, valid: _Mask | None, out: Any) -> None:
    width = array.type.byte_width
    values = _fixed(array, width)
    if valid is not None and width:
        lane = next(lane for lane in (8, 4, 2, 1) if width % lane == 0)
        rows = values.view(f"u{lane}").reshape(len(array), width // lane)
        values = np.where(valid[:, None], rows, rows.dtype.type(0))
    out.update(np.ascontiguousarray(values))


def _encode_variable(array: pa.Array, valid: _Mask | None, out: Any) -> None:
    lengths = np.diff(_offsets(array)).astype(np.int64)
    if valid is not None and lengths[~valid].any():  # bytes under a null: leave them out
        dense = array.drop_null()
        lengths[~valid] = 0
    else:
        dense = array
    out.update(lengths)
    offsets = _offsets(dense)
    if offsets[-1] > offsets[0]:
        out.update(memoryview(dense.buffers()[2])[int(offsets[0]) : int(offsets[-1])])


def _encode_union(array: pa.UnionArray, out: Any) -> None:
    kind = array.type
    span = slice(array.offset, array.offset + len(array))  # pyarrow's own type_codes and offsets forget a slice
    codes = np.frombuffer(array.buffers()[1] or b"", np.int8)[span]
    out.update(np.ascontiguousarray(codes))
    offsets = np.frombuffer(array.buffers()[2] or b"", np.int32)[span] if kind.mode == "dense" else None
    for index, code in enumerate(kind.type_codes):
        slots = np.flatnonzero(codes == code)
        child = array.field(index)  # a sparse child comes sliced to the union's own slots, a dense one whole
        places = slots if offsets is None else offsets[slots]
        _encode(_one_array(_plain(child).take(pa.array(places, pa.int64()))), out)


def _as_list(array: pa.Array) -> pa.Array:
    """A map as the list of its entries, a list view as a list; a list as it is."""
    kind = array.type
    if pa.types.is_map(kind):
        entries = pa.struct([kind.key_field, kind.item_field])
        bitmap = None if array.null_count == 0 else pa.array(~np.asarray(array.is_valid()))
        return pa.ListArray.from_arrays(
            _offset_array(array),
            pa.StructArray.from_arrays([array.keys, array.items], fields=list(entries)),
            mask=bitmap,
        )
    return array


def _offset_array(array: pa.Array) -> pa.Array:
    return pa.array(_offsets(array), pa.int32())


def _offsets(array: pa.Array) -> npt.NDArray[Any]:
    """The `n + 1` offsets of an array of variable width."""
    width = _VARIABLE.get(array.type, 4)
    buffer = array.buffers()[1]
    if not len(array) or buffer is None:
        return np.zeros(1, np.int64)
    return np.frombuffer(buffer, np.int32 if width == 4 else np.int64)[array.offset : array.offset + len(array) + 1]


def _fixed(array: pa.Array, width: int) -> _Bytes:
    """The bytes of the array's own slots."""
    buffer = array.buffers()[1]
    if not len(array) or buffer is None:
        return np.zeros(0, np.uint8)
    return np.frombuffer(buffer, np.uint8)[array.offset * width : (array.offset + len(array)) * width]


def _validity(array: pa.Array) -> _Mask | None:
    """Which slots are valid; None if all are."""
    return None if array.null_count == 0 else _bits(array.buffers()[0], array.offset, len(array))


def _bits(buffer: pa.Buffer | None, offset: int, count: int) -> _Mask:
    """`count` bits of a bitmap from bit `offset` on."""
    if not count or buffer is None:
        return np.zeros(0, np.bool_)
    first = offset // 8
    raw = np.frombuffer(buffer, np.uint8)[first : (offset + count + 7) // 8]
    return np.unpackbits(raw, bitorder="little")[offset - 8 * first :][:count].view(np.bool_)


def _number(value: int) -> bytes:
    return value.to_bytes(8, "little")
