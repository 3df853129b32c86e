"""What the archive's shared records mean to the jobs: a table's schema and policy, a partition's sources."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from ae_core.archive.fields import unpack_json
from ae_core.archive.format import Manifest, ObjectRef, TableRecord
from ae_core.archive.layers import OPEN_LATENTS
from ae_core.archive.reader import Snapshot
from ae_core.archive.store import Store
from ae_core.errors import Corrupt, UsageError
from ae_core.policy import Policy, ResolvedPolicy, load_policy
from ae_core.selection import Where, keys_of, parse_where, selected

_MALFORMED = (ArithmeticError, AttributeError, LookupError, OSError, TypeError, ValueError, pa.ArrowException)
"""What reading a record of the wrong shape may raise."""
TRAINING_CPU = "cpu_seconds"
"""In a training's report: CPU seconds that the process spent while it trained."""
_OWN_SCHEMA = "schema"  # in a manifest's extra: the schema where its metadata differs from the shared record's


@dataclass(frozen=True)
class TableInfo:
    """What partitions share: the schema, the policy as its owner wrote it, and the bounds that it came to."""

    schema: pa.Schema
    written: Policy
    policy: ResolvedPolicy

    def record(self) -> TableRecord:
        """The archive's record of it."""
        policy = {"resolved": self.policy.to_json(), "written": self.written.model_dump(mode="json")}
        return TableRecord(self.schema.serialize().to_pybytes(), policy)


def read_table_info(record: TableRecord, where: str) -> TableInfo:
    """Inverse of `TableInfo.record`.

    Raises
    ------
    Corrupt
        When the record is malformed, though its bytes are those that were committed.
    """
    try:
        schema = _read_schema(record.schema_ipc)
        written = load_policy(Policy.model_validate(record.policy["written"]).to_yaml())
        return TableInfo(schema, written, ResolvedPolicy.from_json(record.policy["resolved"]))
    except (*_MALFORMED, UsageError) as error:
        raise Corrupt(f"{where}: not a readable table record ({type(error).__name__})") from None


def _read_schema(data: bytes) -> pa.Schema:
    schema = pa.ipc.read_schema(pa.py_buffer(data))
    schema.names  # noqa: B018 - names that are not UTF-8 fail here and not in the middle of something else
    return schema


def table_info(snapshot: Snapshot, manifest: Manifest) -> TableInfo:
    """Schema (with the partition's own metadata) and policy of a partition."""
    info = read_table_info(snapshot.table(manifest), f"table record {manifest.table}")
    own = manifest.extra.get(_OWN_SCHEMA)
    if own is None:
        return info
    try:
        schema = _read_schema(bytes.fromhex(own))
    except _MALFORMED:
        raise Corrupt(f"{manifest.partition}: its manifest holds no readable schema") from None
    if not schema.equals(info.schema):
        raise Corrupt(f"{manifest.partition}: its schema is not that of its table record")
    return TableInfo(schema, info.written, info.policy)


def own_schema(schema: pa.Schema, shared: pa.Schema) -> dict[str, Any]:
    """What a manifest's `extra` says of the schema: nothing where it equals the shared one, metadata included."""
    if schema.equals(shared, check_metadata=True):
        return {}
    return {_OWN_SCHEMA: schema.serialize().to_pybytes().hex()}


def with_metadata(table: pa.Table, schema: pa.Schema) -> pa.Table:
    """The table with the schema's own metadata, which may differ between partitions that share a model.

    Raises
    ------
    Corrupt
        When names or types differ, or a column that has no nulls by its schema may have some.
    """
    same = table.schema.names == schema.names and table.schema.types == schema.types
    if not same or any(found.nullable > wanted.nullable for found, wanted in zip(table.schema, schema, strict=True)):
        raise Corrupt(f"decoded columns are {table.schema.names}, not {schema.names}, or of other types")
    return pa.Table.from_arrays(table.columns, schema=schema)


def select_manifests(snapshot: Snapshot, where: Where = None) -> list[Manifest]:
    """The manifests of the partitions that satisfy every condition, in natural order.

    Raises
    ------
    UsageError
        When none does.
    """
    conditions = parse_where(where)
    manifests = [snapshot.manifest(partition) for partition in select_partitions(snapshot, where)]
    return [manifest for manifest in manifests if selected(conditions, manifest.keys)]


def select_partitions(snapshot: Snapshot, where: Where = None) -> list[str]:
    """The ids of the partitions that satisfy every condition, in natural order; no manifest is read.

    Raises
    ------
    UsageError
        When none does.
    """
    conditions = parse_where(where)
    chosen = [partition for partition in snapshot.partitions if selected(conditions, keys_of(partition))]
    if conditions and not chosen:
        asked = ", ".join(map(str, conditions))
        count = len(snapshot.partitions)
        raise UsageError(f"{snapshot.archive.store.url}: none of the {count} partitions has {asked}")
    return chosen


def layer_sizes(manifest: Manifest) -> dict[str, int]:
    """Bytes of each layer file that is kept."""
    return {layer.layer: layer.file.length for layer in manifest.layers}


def latent_bytes(sizes: Mapping[str, int]) -> int:
    """Bytes of the latents among those of the layers, in every form that they are stored in."""
    return sizes.get("latents", 0) + sizes.get(OPEN_LATENTS, 0)


def source_bytes(manifest: Manifest) -> int:
    """Bytes of the original files."""
    return sum(source.size for source in manifest.sources)


def file_path(keys: Mapping[str, str], partition: str, name: str) -> str:
    """Path below the lake of a partition's file: a flat lake's partition is the file itself."""
    return f"{partition}/{name}" if keys else partition


def training_reports(snapshot: Snapshot) -> dict[str, Mapping[str, Any]]:
    """SHA-256 of each model -> the report of its training; unread where no commit holds one."""
    found: dict[str, Mapping[str, Any]] = {}
    for _, report in reports(snapshot):
        if isinstance(report.get("model"), str):
            found[report["model"]] = report
    return found


def reports(snapshot: Snapshot) -> Iterator[tuple[int, Mapping[str, Any]]]:
    """The reports of trainings and failures, each with the number of its commit, checked."""
    for number, ref in snapshot.state.reports:
        yield number, unpack_json(snapshot.archive.store.get(ref.name, ref.length, ref.sha256), ref.name)


def check_stored(store: Store, ref: ObjectRef) -> None:
    """Pass when the store holds exactly the object that is meant.

    Raises
    ------
    Corrupt
        When it is missing, or has another length or SHA-256; the message names it.
    """
    found = store.digest(ref.name)
    if found != (ref.length, ref.sha256):
        raise Corrupt(f"{ref.name}: {'missing' if found is None else 'not the bytes that were stored'}")
