"""The digest equals its definition in plain Python, sees every change of a value, and nothing else."""

from __future__ import annotations

import hashlib
import struct

import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ae_core.archive.digest import PartitionDigest, block_digest, column_digest, partition_digest, type_key

INT64 = st.integers(-(2**63), 2**63 - 1)
LEAVES = [
    (pa.int64(), INT64),
    (pa.uint8(), st.integers(0, 255)),
    (pa.float64(), st.floats(width=64, allow_nan=False)),
    (pa.bool_(), st.booleans()),
    (pa.string(), st.text(max_size=5)),
    (pa.large_binary(), st.binary(max_size=5)),
    (pa.binary(3), st.binary(min_size=3, max_size=3)),
    (pa.null(), st.none()),
]


@st.composite
def typed_values(draw, depth: int = 2):
    """A type and a strategy for its values, nulls included."""
    kind = draw(st.sampled_from(["leaf", "list", "fixed", "struct"] if depth else ["leaf"]))
    if kind == "leaf":
        dtype, values = draw(st.sampled_from(LEAVES))
    elif kind == "struct":
        a, b = draw(typed_values(depth - 1)), draw(typed_values(depth - 1))
        dtype = pa.struct([("a", a[0]), ("b", b[0])])
        values = st.fixed_dictionaries({"a": a[1], "b": b[1]})
    else:
        inner, items = draw(typed_values(depth - 1))
        dtype = pa.list_(inner, 2) if kind == "fixed" else draw(st.sampled_from([pa.list_, pa.large_list]))(inner)
        values = st.lists(items, min_size=2 * (kind == "fixed"), max_size=2 if kind == "fixed" else 3)
    return dtype, st.one_of(st.none(), values)


@st.composite
def columns(draw):
    dtype, values = draw(typed_values())
    return dtype, draw(st.lists(values, max_size=12))


def defined(values: list, dtype: pa.DataType) -> bytes:
    """The encoding of docs/format.md, value by value."""
    out = struct.pack("<Q", len(values))
    if pa.types.is_null(dtype):
        return out
    valid = [value is not None for value in values]
    out += b"\0" if all(valid) else b"\1" + bits(valid)
    kept = [value for value in values if value is not None]
    if pa.types.is_boolean(dtype):
        return out + bits([bool(value) for value in values])
    if pa.types.is_struct(dtype):
        return out + b"".join(
            defined([value[field.name] for value in kept], field.type)
            for field in (dtype.field(i) for i in range(dtype.num_fields))
        )
    if pa.types.is_fixed_size_list(dtype):
        return out + defined([item for value in kept for item in value], dtype.value_type)
    lengths = b"".join(struct.pack("<q", len(raw(value)) if value is not None else 0) for value in values)
    if pa.types.is_list(dtype) or pa.types.is_large_list(dtype):
        return out + lengths + defined([item for value in kept for item in value], dtype.value_type)
    if pa.types.is_string(dtype) or pa.types.is_large_binary(dtype):
        return out + lengths + b"".join(map(raw, kept))
    form = {pa.int64(): "<q", pa.uint8(): "<B", pa.float64(): "<d"}.get(dtype)
    zero = bytes(dtype.byte_width)
    return out + b"".join(zero if v is None else struct.pack(form, v) if form else v for v in values)


def raw(value):
    return value.encode() if isinstance(value, str) else value if isinstance(value, bytes | list) else b""


def bits(flags: list[bool]) -> bytes:
    packed = bytearray((len(flags) + 7) // 8)
    for index, flag in enumerate(flags):
        packed[index // 8] |= flag << index % 8
    return bytes(packed)


@given(columns())
@settings(max_examples=300, deadline=None)
def test_the_digest_is_the_hash_of_the_defined_encoding(column):
    dtype, values = column
    assert column_digest(pa.array(values, dtype)) == hashlib.sha256(defined(values, dtype)).digest()


@given(columns(), st.data())
@settings(max_examples=300, deadline=None)
def test_chunks_slices_and_offsets_do_not_count(column, data):
    dtype, values = column
    before = data.draw(st.integers(0, len(values)))
    array = pa.array(values, dtype)
    shifted = pa.concat_arrays([array.slice(0, before), array, array.slice(before)]).slice(before, len(values))
    cut = data.draw(st.integers(0, len(values)))
    chunked = pa.chunked_array([shifted.slice(0, cut), shifted.slice(cut)], dtype)
    assert column_digest(shifted) == column_digest(chunked) == column_digest(array)


@given(columns(), st.data())
@settings(max_examples=200, deadline=None)
def test_every_other_value_has_another_digest(column, data):
    dtype, values = column
    array = pa.array(values, dtype)
    other = pa.array(data.draw(st.permutations(values)), dtype)
    assert (column_digest(other) == column_digest(array)) == defined_equal(other, array)


def defined_equal(one: pa.Array, two: pa.Array) -> bool:
    return defined(one.to_pylist(), one.type) == defined(two.to_pylist(), two.type)


WORDS = ["b", None, "a", "b", "", None, "a"]


@pytest.mark.parametrize(
    "same",
    [
        pa.array(WORDS).dictionary_encode(),
        pa.chunked_array([pa.array(WORDS[:3]).dictionary_encode(), pa.array(WORDS[3:]).dictionary_encode()]),
        pa.DictionaryArray.from_arrays(pa.array([1, 3, 2, 1, 0, None, 2]), pa.array(["", "b", "a", None, "unused"])),
        pa.array(WORDS, pa.string_view()),
        pa.array(WORDS, pa.large_string()),
        pc.run_end_encode(pa.array(WORDS)),
        pa.chunked_array([pc.run_end_encode(pa.array(WORDS[:4])), pc.run_end_encode(pa.array(WORDS[4:]))]),
    ],
)
def test_a_word_is_a_word_however_it_is_encoded(same):
    assert column_digest(same) == column_digest(pa.array(WORDS))


def test_bytes_under_a_null_do_not_count():
    valid = pa.py_buffer(b"\x05")  # slots 0 and 2
    ints = pa.Array.from_buffers(pa.int32(), 3, [valid, pa.py_buffer(struct.pack("<3i", 1, 99, 3))])
    assert column_digest(ints) == column_digest(pa.array([1, None, 3], pa.int32()))
    text = pa.Array.from_buffers(
        pa.string(), 3, [valid, pa.py_buffer(struct.pack("<4i", 0, 1, 3, 4)), pa.py_buffer(b"aXXb")]
    )
    assert column_digest(text) == column_digest(pa.array(["a", None, "b"]))
    flags = pa.Array.from_buffers(pa.bool_(), 3, [valid, pa.py_buffer(b"\x07")])
    assert column_digest(flags) == column_digest(pa.array([True, None, True]))
    child = pa.array([[1], [2], [3]])
    nested = pa.Array.from_buffers(pa.struct([("a", child.type)]), 3, [valid], children=[child])
    assert column_digest(nested) == column_digest(pa.array([{"a": [1]}, None, {"a": [3]}]))
    lists = pa.Array.from_buffers(
        pa.list_(pa.int64()), 3, [valid, pa.py_buffer(struct.pack("<4i", 0, 1, 2, 3))], children=[pa.array([1, 2, 3])]
    )
    assert column_digest(lists) == column_digest(pa.array([[1], None, [3]]))
    pairs = pa.FixedSizeListArray.from_arrays(pa.array([1, 2, 8, 9]), 2, mask=pa.array([False, True]))
    assert column_digest(pairs) == column_digest(pa.array([[1, 2], None], pa.list_(pa.int64(), 2)))


def test_floats_count_by_their_bits():
    nans = [struct.unpack("<d", struct.pack("<Q", bits))[0] for bits in (0x7FF8 << 48, 0x7FF8 << 48 | 1)]
    digests = {
        column_digest(pa.Array.from_buffers(pa.float64(), 1, [None, pa.py_buffer(struct.pack("<d", value))]))
        for value in (0.0, -0.0, *nans)
    }
    assert len(digests) == 4


def test_unions_maps_views_and_extensions():
    codes = pa.array([0, 1, 0, 1, 0], pa.int8())
    dense = pa.UnionArray.from_dense(
        codes, pa.array([0, 0, 1, 1, 2], pa.int32()), [pa.array([1, None, 3]), pa.array(["a", "b"])]
    )
    sparse = pa.UnionArray.from_sparse(codes, [pa.array([1, 9, None, 9, 3]), pa.array(["q", "a", "q", "b", "q"])])
    assert column_digest(dense) == column_digest(sparse)
    assert column_digest(dense.slice(1, 3)) == column_digest(sparse.slice(1, 3)) != column_digest(dense.slice(2, 3))
    lists = [[1, 2, None], None, [], [5]]
    assert column_digest(pa.array(lists, pa.list_view(pa.int64()))) == column_digest(pa.array(lists))
    pairs = pa.array([[("a", 1)], None, [], [("b", None)]], pa.map_(pa.string(), pa.int64()))
    assert column_digest(pa.concat_arrays([pairs.slice(2), pairs]).slice(2)) == column_digest(pairs)
    assert column_digest(pairs.slice(1)) != column_digest(pairs.slice(0, 3))
    uuids = pa.array([b"x" * 16, None], pa.binary(16))
    assert column_digest(pa.ExtensionArray.from_storage(pa.uuid(), uuids)) == column_digest(uuids)


def test_types_names_order_and_nullability_count_but_metadata_does_not():
    data = [pa.array([1, 2], pa.int32()), pa.array([3, 4], pa.int32())]
    base = pa.table(data, names=["a", "b"])

    def root(table: pa.Table) -> str:
        return partition_digest(table.schema, [table])

    assert root(base) == root(base.replace_schema_metadata({"k": "v"}))
    others = [
        base.rename_columns(["a", "c"]),
        base.select(["b", "a"]),
        base.cast(pa.schema([("a", pa.date32()), ("b", pa.int32())])),
        base.cast(pa.schema([pa.field("a", pa.int32(), nullable=False), ("b", pa.int32())])),
    ]
    assert len({root(table) for table in [base, *others]}) == 5


def test_the_tree_is_over_blocks_and_refuses_other_columns():
    table = pa.table({"a": [1, 2, 3]})
    digest = PartitionDigest(table.schema)
    assert digest.add(table.slice(0, 2)) == block_digest(table.slice(0, 2)).hex()
    assert digest.add(table.slice(2)) == block_digest(pa.table({"a": [3]})).hex()
    assert digest.hexdigest() == partition_digest(table.schema, [table.slice(0, 2), table.slice(2)])
    assert digest.hexdigest() != partition_digest(table.schema, [table])
    with pytest.raises(ValueError, match="not"):
        digest.add(table.rename_columns(["b"]))


def test_pinned():
    """Literal values: a change here is a change of the format."""
    table = pa.table({"n": pa.array([1, None, -3], pa.int16()), "w": pa.array(["x", "yz", None])})
    assert type_key(pa.map_(pa.string(), pa.timestamp("us", "UTC"))) == [
        "map",
        False,
        ["key", "string", False],
        ["value", "timestamp[us, tz=UTC]", True],
    ]
    assert partition_digest(table.schema, [table]) == "60f41d69c02d22f5ac8723e513887156a6388279dffaa4de123ae5931ff7adea"
