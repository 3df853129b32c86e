"""Any Arrow array <-> bytes, exactly: the coders that need no model.

Numbers go to packing.py, strings to their lengths and letters, everything else (and strings where it is smaller) to a
Parquet page or an Arrow message of that one column, whichever is smaller and reads back equal.
"""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pcodec import ChunkConfig, standalone

from ae_core.columns.letters import lengths_of, letters_of, pack_letters, unpack_letters
from ae_core.columns.packing import (
    PCO_LEVEL,
    join_parts,
    pack_bytes,
    pack_ints,
    split_parts,
    unpack_bytes,
    unpack_ints,
    unpack_pco,
    unpack_places,
)
from ae_core.columns.same import same_cells
from ae_core.columns.storage import (
    Ints,
    Mask,
    float_dtype,
    kind_of,
    one_array,
    read_floats,
    read_ints,
    valid_mask,
    write_floats,
    write_ints,
)
from ae_core.columns.words import from_binary, pack_words, to_binary, unpack_words
from ae_core.errors import Corrupt
from ae_core.varints import read_varint, write_varint

_CELLS, _FLOATS, _TEXT, _MESSAGE, _PARQUET, _WORDS = range(6)
_VARIED = 4  # texts that are seen more often than this are listed: their rows are not worth a second of mixing


def pack_array(array: pa.Array) -> bytes:
    """The array's cells (not its chunks or dictionary layout) in as few bytes as the plain coders can."""
    if len(array) == 0:
        return b""
    kind = kind_of(array.type)
    if kind == "int":
        valid = valid_mask(array)
        cells, fits = read_ints(array, valid)
        if fits is None:
            return bytes([_CELLS]) + join_parts(
                [_pack_valid(valid), pack_ints(cells if valid is None else cells[valid])]
            )
    elif kind == "float":
        return _pack_floats(array)
    elif kind == "bytes":
        return _pack_text(array)
    return _pack_arrow(array)


def unpack_array(data: bytes, field: pa.Field, rows: int) -> pa.Array:
    """The array of `rows` cells behind `data`; raises Corrupt where the bytes do not give it."""
    if rows == 0:
        return one_array(pa.chunked_array([], field.type)) if not data else _corrupt("cells where none belong")
    if not data:
        return _corrupt("cells are missing")
    tag, body = data[0], data[1:]
    kind = kind_of(field.type)
    if tag == _CELLS and kind == "int":
        valid, cells = _unpack_cells(body, rows)
        return _checked(write_ints(field.type, cells, valid))
    if tag in (_CELLS, _FLOATS, _WORDS) and kind == "float":
        return _unpack_floats(tag, body, field.type, rows)
    if tag == _TEXT and kind == "bytes":
        return _unpack_text(body, field.type, rows)
    if tag == _WORDS and kind == "bytes":
        return _unpack_listed_text(body, field.type, rows)
    if tag in (_MESSAGE, _PARQUET):
        return _unpack_arrow(tag, body, field, rows)
    return _corrupt("unknown coder")


def _corrupt(what: str) -> pa.Array:
    raise Corrupt(f"column stream: {what}: verify the archive")


def _checked(array: pa.Array) -> pa.Array:
    try:
        array.validate(full=True)
    except pa.ArrowInvalid as error:
        _corrupt(f"illegal values ({error})")
    return array


def _pack_valid(valid: Mask | None) -> bytes:
    return b"" if valid is None else pack_ints(valid.astype(np.int64))


def _unpack_valid(data: bytes, rows: int) -> Mask | None:
    return unpack_ints(data, rows).astype(np.bool_) if data else None


def _unpack_cells(body: bytes, rows: int) -> tuple[Mask | None, Ints]:
    packed_valid, packed = split_parts(body, 2)
    valid = _unpack_valid(packed_valid, rows)
    if valid is None:
        return None, unpack_ints(packed, rows)
    cells = np.zeros(rows, np.int64)
    cells[valid] = unpack_ints(packed, int(valid.sum()))
    return valid, cells


def _pack_floats(array: pa.Array) -> bytes:
    valid = valid_mask(array)
    cells = read_floats(array, valid)
    if valid is not None:
        cells = cells[valid]
    bits = cells.view(f"i{cells.dtype.itemsize}").astype(np.int64)
    rivals = [bytes([_CELLS]) + join_parts([_pack_valid(valid), pack_ints(bits)])]
    if len(cells) > 8:
        packed = _pack_pco(cells)
        rivals.append(bytes([_FLOATS]) + join_parts([_pack_valid(valid), packed]))
        words, places = np.unique(bits, return_inverse=True)
        if 10 * len(words) <= 9 * len(bits):
            listed = [
                _pack_valid(valid),
                write_varint(len(words)),
                _pack_pco(words.astype(f"i{cells.itemsize}").view(cells.dtype)),
            ]
            rivals.append(bytes([_WORDS]) + join_parts([*listed, pack_ints(places)]))
    return min(rivals, key=len)


def _pack_pco(cells: npt.NDArray[Any]) -> bytes:
    return standalone.simple_compress(np.ascontiguousarray(cells), ChunkConfig(compression_level=PCO_LEVEL))


def _unpack_floats(tag: int, body: bytes, kind: pa.DataType, rows: int) -> pa.Array:
    dtype = float_dtype(kind)
    if tag == _CELLS:
        valid, bits = _unpack_cells(body, rows)
        return write_floats(kind, bits.astype(f"i{dtype.itemsize}").view(dtype), valid)
    if tag == _WORDS:
        packed_valid, packed_size, packed, packed_places = split_parts(body, 4)
    else:
        packed_valid, packed = split_parts(body, 2)
    valid = _unpack_valid(packed_valid, rows)
    count = rows if valid is None else int(valid.sum())
    if tag == _WORDS:
        size, _ = read_varint(packed_size, 0)
        places = unpack_places(packed_places, count, size)
        found = unpack_pco(packed, np.zeros(size, dtype))[places]
    else:
        found = unpack_pco(packed, np.zeros(count, dtype))
    cells = np.zeros(rows, dtype)
    cells[slice(None) if valid is None else valid] = found
    return write_floats(kind, cells, valid)


def _pack_text(array: pa.Array) -> bytes:
    valid = valid_mask(array)
    cells = to_binary(array if valid is None else array.drop_null())
    words = cells.unique()
    varied = _VARIED * len(words) > len(cells)
    letters = pack_letters(lengths_of(cells), letters_of(cells), mixed=varied)
    own = bytes([_TEXT]) + join_parts([_pack_valid(valid), *letters])
    if len(array) < 64:
        return own
    rivals = [own, _pack_arrow(array)]
    if 10 * len(words) <= 9 * len(cells):
        words = words.take(pc.sort_indices(words))
        places = np.asarray(pc.index_in(cells, value_set=words), np.int64)
        head = [_pack_valid(valid), write_varint(len(words)), pack_words(words), pack_ints(places)]
        rivals.append(bytes([_WORDS]) + join_parts(head))
    return min(rivals, key=len)


def _unpack_text(body: bytes, kind: pa.DataType, rows: int) -> pa.Array:
    packed_valid, packed_lengths, tail = split_parts(body, 3)
    valid = _unpack_valid(packed_valid, rows)
    count = rows if valid is None else int(valid.sum())
    lengths, letters = unpack_letters(packed_lengths, tail, count)
    full = np.zeros(rows, np.int64)
    full[slice(None) if valid is None else valid] = lengths
    offsets = np.concatenate([[0], np.cumsum(full)]).astype(np.int64)
    mask = None if valid is None else pa.py_buffer(np.packbits(valid, bitorder="little"))
    cells = pa.Array.from_buffers(pa.large_binary(), rows, [mask, pa.py_buffer(offsets), pa.py_buffer(letters)])
    return from_binary(cells, kind)


def _unpack_listed_text(body: bytes, kind: pa.DataType, rows: int) -> pa.Array:
    packed_valid, packed_size, packed_words, packed_places = split_parts(body, 4)
    valid = _unpack_valid(packed_valid, rows)
    count = rows if valid is None else int(valid.sum())
    size, _ = read_varint(packed_size, 0)
    places = unpack_places(packed_places, count, size)
    words = unpack_words(packed_words, kind, size)
    spread = np.zeros(rows, np.int64)
    spread[slice(None) if valid is None else valid] = places
    return words.take(pa.array(spread, mask=None if valid is None else ~valid))


def _pack_arrow(array: pa.Array) -> bytes:
    field = pa.field("", array.type)
    raw = _write_message(array, field)
    best = bytes([_MESSAGE]) + write_varint(len(raw)) + pack_bytes(raw)
    page = _write_parquet(array, field)
    if page is not None and len(page) + 1 < len(best):
        return bytes([_PARQUET]) + page
    return best


def _write_message(array: pa.Array, field: pa.Field) -> bytes:
    sink = io.BytesIO()
    schema = pa.schema([field])
    with pa.ipc.new_stream(sink, schema) as writer:
        writer.write_batch(pa.record_batch([array], schema=schema))
    return sink.getvalue()


def _write_parquet(array: pa.Array, field: pa.Field) -> bytes | None:
    """A Parquet file of the one column, or None where Parquet does not give the same cells back."""
    sink = io.BytesIO()
    named = pa.field("c", field.type)
    table = pa.table([array], schema=pa.schema([named]))
    try:
        pq.write_table(table, sink, compression="zstd", compression_level=19, write_statistics=False)
        page = sink.getvalue()
        back = _read_parquet(page, named.type, len(array))
    except (pa.ArrowException, NotImplementedError, OSError):
        return None
    return page if same_cells(array, back) else None


def _read_parquet(page: bytes, kind: pa.DataType, rows: int) -> pa.Array:
    """The cells of a Parquet file of one column and so many rows, which its footer must say before they are read.

    All in this thread: one page gains nothing from others, pyarrow's pools can abort a process that ends soon after,
    and without memory for their threads they wait for ever.
    """
    with pq.ParquetFile(pa.BufferReader(page), pre_buffer=False) as file:
        if (file.metadata.num_rows, len(file.schema_arrow)) != (rows, 1):
            _corrupt("another column than the plan says")
        array = _valid(file.read(use_threads=False).column(0))
    return array if array.type == kind else array.cast(kind)


def _valid(column: pa.ChunkedArray) -> pa.Array:
    """The column as one array, every chunk checked before any of it is moved."""
    for chunk in column.chunks:
        chunk.validate(full=True)
    return one_array(column)


def _unpack_arrow(tag: int, body: bytes, field: pa.Field, rows: int) -> pa.Array:
    try:
        if tag == _PARQUET:
            array = _read_parquet(body, field.type, rows)
        else:
            size, at = read_varint(body, 0)
            with pa.ipc.open_stream(unpack_bytes(body[at:], size)) as reader:
                array = _valid(reader.read_all().column(0))
        array.validate(full=True)
    except (pa.ArrowException, OSError, IndexError, NotImplementedError) as error:
        return _corrupt(f"not an Arrow column ({str(error).splitlines()[0]})")
    if array.type != field.type or len(array) != rows:
        return _corrupt("another column than the plan says")
    return array
