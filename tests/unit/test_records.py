"""Decoded tables take the partition's own metadata, and nothing else changes unseen."""

from __future__ import annotations

from dataclasses import replace

import pyarrow as pa
import pytest

from ae_core.errors import Corrupt
from ae_core.policy import Policy, ResolvedPolicy, resolve
from ae_core.records import TableInfo, own_schema, read_table_info, with_metadata

SCHEMA = pa.schema([pa.field("x", pa.int64(), nullable=False, metadata={"unit": "m"})], metadata={"a": "b"})


def test_metadata_is_restored():
    table = pa.table({"x": [1]}, schema=SCHEMA.remove_metadata())
    assert with_metadata(table, SCHEMA).schema.equals(SCHEMA, check_metadata=True)


@pytest.mark.parametrize(
    "schema",
    [
        pa.schema([pa.field("y", pa.int64(), nullable=False)]),
        pa.schema([pa.field("x", pa.int32(), nullable=False)]),
        pa.schema([pa.field("x", pa.int64())]),
    ],
)
def test_another_name_type_or_new_nulls_are_damage(schema):
    with pytest.raises(Corrupt):
        with_metadata(schema.empty_table(), SCHEMA)


def test_a_column_that_may_have_nulls_need_not():
    nullable = pa.schema([pa.field("x", pa.int64())])
    assert with_metadata(SCHEMA.empty_table(), nullable).schema.equals(nullable)


def test_table_record_round_trip():
    policy = Policy(version=1, partition_keys=("month",))
    info = TableInfo(SCHEMA, policy, resolve(policy, SCHEMA, {}))
    back = read_table_info(info.record(), "here")
    assert back == info
    assert isinstance(back.policy, ResolvedPolicy)


def test_only_a_schema_of_its_own_is_kept():
    assert own_schema(SCHEMA, SCHEMA) == {}
    assert own_schema(SCHEMA, SCHEMA.remove_metadata())


def test_a_schema_of_any_bytes_is_a_schema_or_damage():
    """Arrow says OSError of some of them, which is no error of the disk."""
    policy = Policy(version=1)
    whole = TableInfo(SCHEMA, policy, resolve(policy, SCHEMA, {})).record()
    refused = 0
    for at in range(len(whole.schema_ipc)):
        spoilt = bytearray(whole.schema_ipc)
        spoilt[at] ^= 0x81
        try:
            read_table_info(replace(whole, schema_ipc=bytes(spoilt)), "t")
        except Corrupt:
            refused += 1
    assert refused > 20
