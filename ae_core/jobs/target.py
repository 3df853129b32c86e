"""The archive that a run writes to: opened or made, and what it holds of a table already."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import pyarrow as pa

from ae_core.archive.commit import create_archive
from ae_core.archive.format import SharedRef, read_table
from ae_core.archive.log import open_archive, read_state
from ae_core.archive.names import MARKER
from ae_core.archive.reader import Snapshot
from ae_core.archive.store import open_store
from ae_core.errors import OutputExists, UsageError
from ae_core.policy import Policy
from ae_core.records import TableInfo, read_table_info, training_reports


def writer_name() -> str:
    """Name and release of this writer, as commits carry it."""
    try:
        return f"latentlake {version('latentlake')}"
    except PackageNotFoundError:
        return "latentlake (not installed)"


def find_snapshot(url: str) -> Snapshot | None:
    """The newest snapshot of the archive at `url`; None where a new archive can be made.

    Raises
    ------
    OutputExists
        When something else lives there.
    UsageError, Corrupt
        When the archive cannot be read.
    """
    try:
        store = open_store(url)
    except UsageError as error:
        if "no such folder" in str(error):
            return None
        raise
    if store.size(MARKER) is None:
        if any(entry.size is None or not entry.name.startswith("_tmp/") for entry in store.list("")):
            raise OutputExists(f"ARCHIVE {url} is not an archive and not empty; choose another place")
        return None
    archive = open_archive(url, store=store)
    return Snapshot(archive, read_state(archive))


def open_target(url: str) -> Snapshot:
    """The newest snapshot of the archive at `url`, made if there is none; the store has proved that commits are safe.

    Raises
    ------
    StoreUnsafe
        When it does not honour create-if-absent, or cannot be written.
    UnsupportedFormat
        When it has a feature that this release does not know how to keep right.
    """
    found = find_snapshot(url)
    if found is None:
        archive = create_archive(url, writer=writer_name())
        return Snapshot(archive, read_state(archive))
    found.level.check_writable(url)
    found.archive.store.probe()
    return found


@dataclass(frozen=True)
class HeldModel:
    """A model, and the bits that a row took in all layers when it was trained; None where its report does not say."""

    ref: SharedRef
    bits_a_row: float | None


@dataclass(frozen=True)
class HeldTable:
    """What an archive holds of a table: schema, policy, bounds, and the models that were trained for it, newest first.

    `ref` is its record; None where the policy differs from all that are recorded in its rules of retirement or its
    layout of latents alone, so that a record with the same bounds has to be stored.
    """

    ref: SharedRef | None
    info: TableInfo
    models: tuple[HeldModel, ...]


def held_table(snapshot: Snapshot, schema: pa.Schema, policy: Policy) -> HeldTable | None:
    """The archive's newest record for this schema and policy; its bounds stay as they were resolved then."""
    alike: list[tuple[SharedRef, TableInfo]] = []
    for ref in reversed(tuple(snapshot.state.shared.values())):
        if ref.kind == "table":
            info = read_table_info(read_table(snapshot.shared(ref.sha256), ref.names[0]), ref.names[0])
            if info.written.coding == policy.coding and info.schema.equals(schema):
                alike.append((ref, info))
    if not alike:
        return None
    models = _models_of(snapshot, {ref.sha256 for ref, _ in alike})
    for ref, info in alike:
        if info.written == policy:
            return HeldTable(ref, info, models)
    return HeldTable(None, replace(alike[0][1], written=policy), models)


def _models_of(snapshot: Snapshot, tables: Collection[str]) -> tuple[HeldModel, ...]:
    """The models whose training reports name one of the tables, newest first."""
    return tuple(
        HeldModel(snapshot.state.shared[model], _bits_a_row(report))
        for model, report in reversed(training_reports(snapshot).items())
        if report.get("table") in tables and model in snapshot.state.shared
    )


def _bits_a_row(report: Mapping[str, Any]) -> float | None:
    drift = report.get("drift")
    bits = drift.get("bits_new") if isinstance(drift, Mapping) else None
    return float(bits) if isinstance(bits, int | float) else None
