"""One schema for partitions that were written at different times: what they share, what is missing, what widens."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pyarrow as pa

from ae_core.errors import UsageError
from ae_core.policy import family

NULL_KEY = "__HIVE_DEFAULT_PARTITION__"
"""How a Hive lake writes a partition key that is null."""


def unify(schemas: Sequence[tuple[str, pa.Schema]], columns: Sequence[str] | None = None) -> pa.Schema:
    """The schema of all rows together: every column that one of the named schemas has, in order of appearance.

    A column that some lack is null there; types widen within their family (int32 to int64, string to large_string),
    so that no value changes. Metadata are those of the first schema.

    Parameters
    ----------
    columns : only these; what else the schemas hold may disagree.

    Raises
    ------
    UsageError
        When a column has types that no single one holds; the message names two places that disagree.
    """
    found: dict[str, tuple[str, pa.Field]] = {}
    last: pa.Schema | None = None
    for where, schema in schemas:
        if last is not None and schema.equals(last):
            continue  # the common case of thousands of partitions with one schema
        last = schema
        for field in schema:
            if columns is None or field.name in columns:
                held = found.get(field.name)
                found[field.name] = (where, field) if held is None else (held[0], _wider(held, (where, field)))
    distinct = list({id(schema): schema for _, schema in schemas}.values())
    fields = [
        field.with_nullable(field.nullable or any(name not in schema.names for schema in distinct))
        for name, (_, field) in found.items()
    ]
    return pa.schema(fields, metadata=schemas[0][1].metadata if schemas else None)


def key_types(keys: Sequence[Mapping[str, str]]) -> dict[str, pa.DataType]:
    """Types of partition keys as Hive readers take them: int64 where every value is a whole number, else string."""
    names = dict.fromkeys(name for one in keys for name in one)
    types = {}
    for name in names:
        values = [one[name] for one in keys if one.get(name, NULL_KEY) != NULL_KEY]
        types[name] = pa.int64() if values and all(map(_whole, values)) else pa.string()
    return types


def key_scalar(keys: Mapping[str, str], name: str, kind: pa.DataType) -> pa.Scalar:
    """A partition's own value of a key, null where it is written as null or missing."""
    text = keys.get(name, NULL_KEY)
    if text == NULL_KEY:
        return pa.scalar(None, kind)
    return pa.scalar(int(text) if pa.types.is_integer(kind) else text, kind)


def _whole(text: str) -> bool:
    digits = text.removeprefix("-")
    return digits.isascii() and digits.isdigit() and len(digits) <= 18


def _wider(one: tuple[str, pa.Field], other: tuple[str, pa.Field]) -> pa.Field:
    """The field that holds the values of both."""
    (where, field), (there, found) = one, other
    nullable = field.nullable or found.nullable
    if field.type == found.type:
        return field.with_nullable(nullable)
    types = [kind.value_type if pa.types.is_dictionary(kind) else kind for kind in (field.type, found.type)]
    if family(types[0]) == family(types[1]):
        try:
            parts = [pa.schema([pa.field(field.name, kind)]) for kind in types]
            return pa.unify_schemas(parts, promote_options="permissive").field(0).with_nullable(nullable)
        except (pa.ArrowInvalid, pa.ArrowTypeError):
            pass
    raise UsageError(
        f"column {field.name!r} is {field.type} in {where} and {found.type} in {there}: "
        "leave it out with columns=, or read these partitions apart with where="
    )
