"""The digest of rebuilt data [A8]."""

import hashlib
import json

import numpy as np
import pyarrow as pa

T = pa.types


def digest(schema, tables):
    """That of a partition, from its blocks."""
    keys = json.dumps([field_key(field) for field in schema], separators=(",", ":"), ensure_ascii=False)
    total = hashlib.sha256(f"latentlake digest 0\n{keys}\n".encode())
    for table in tables:
        columns = [hashlib.sha256(encoding(pa.concat_arrays(column.chunks))).digest() for column in table.columns]
        total.update(hashlib.sha256(table.num_rows.to_bytes(8, "little") + b"".join(columns)).digest())
    return total.hexdigest()


def field_key(field):
    return [field.name, type_key(field.type), field.nullable]


def type_key(kind):
    if isinstance(kind, pa.BaseExtensionType):
        own = kind.__arrow_ext_serialize__() if isinstance(kind, pa.ExtensionType) else str(kind).encode()
        return ["extension", kind.extension_name, own.hex(), type_key(kind.storage_type)]
    if T.is_dictionary(kind):
        return ["dictionary", type_key(kind.index_type), type_key(kind.value_type), kind.ordered]
    if T.is_map(kind):
        return ["map", kind.keys_sorted, field_key(kind.key_field), field_key(kind.item_field)]
    fields = [field_key(kind.field(i)) for i in range(kind.num_fields)]
    size = [kind.list_size] if T.is_fixed_size_list(kind) else []
    return [str(kind).split("<")[0].split("[")[0], *size, *fields] if fields or T.is_struct(kind) else str(kind)


def encoding(array):
    """The canonical encoding of an array; views, list views, unions and run ends are left out."""
    kind, valid, there = array.type, np.array(array.is_valid()), array.drop_null()
    if isinstance(kind, pa.BaseExtensionType):
        return encoding(array.storage)
    if T.is_dictionary(kind):
        return encoding(array.dictionary_decode())
    head = len(array).to_bytes(8, "little")
    if T.is_null(kind):
        return head
    head += b"\0" if valid.all() else b"\1" + packed(valid)
    if T.is_boolean(kind):
        return head + packed(array.fill_null(False))
    if T.is_struct(kind):
        return head + b"".join(encoding(array.field(i).filter(pa.array(valid))) for i in range(kind.num_fields))
    if T.is_fixed_size_list(kind):
        return head + encoding(there.flatten())
    if kind.num_fields:
        lengths = [len(cell or ()) for cell in array.to_pylist()]
        items = pa.concat_arrays([cell.values for cell in there]) if len(there) else there.flatten()
        return head + np.array(lengths, "<i8").tobytes() + encoding(items)
    if kind in (pa.string(), pa.binary(), pa.large_string(), pa.large_binary()):
        cells = [cell or b"" for cell in array.cast(pa.large_binary()).to_pylist()]
        return head + np.array([*map(len, cells)], "<i8").tobytes() + b"".join(cells)
    raw = np.frombuffer(array.buffers()[1] or b"", np.uint8).reshape(-1, kind.byte_width)[array.offset :]
    return head + np.where(valid[:, None], raw[: len(array)], np.uint8(0)).tobytes()


def packed(flags):
    return np.packbits(np.array(flags), bitorder="little").tobytes()
