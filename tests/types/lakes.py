"""A table through the real path: a lake's folder of Parquet, compressed, decoded into Parquet, and both files read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import yaml

import ae_core
from ae_core.dataset import Archive
from tests.types.judge import Allowed, judge

_OWN = b"latentlake."


@dataclass(frozen=True)
class Trip:
    """What plain pyarrow reads from a lake's partition, and from the file that was decoded in its place."""

    original: pa.Table
    rebuilt: pa.Table


def write_lake(folder: Path, partitions: Sequence[pa.Table], *, first: int = 0) -> Path:
    """A Hive lake of these partitions, `p=0` and so on, one file each."""
    for number, table in enumerate(partitions, first):
        home = folder / f"p={number}"
        home.mkdir(parents=True)
        pq.write_table(table, home / "part-0.parquet")
    return folder


def write_policy(path: Path, columns: Mapping[str, object]) -> Path:
    """A policy that names these columns and keeps the others exact."""
    path.write_text(yaml.safe_dump({"version": 1, "columns": dict(columns)}, allow_unicode=True))
    return path


def compress(lake: Path, archive: Path, columns: Mapping[str, object], where: Sequence[str] = ()) -> None:
    """Compress a lake under a policy."""
    policy = write_policy(archive.with_suffix(".yaml"), columns)
    ae_core.compress(str(lake), str(archive), policy=str(policy), where=where or None)


def decode(lake: Path, archive: Path, out: Path) -> list[Trip]:
    """Decode an archive, and read its files and the lake's with plain pyarrow; a partition each."""
    ae_core.decode(str(archive), str(out))
    names = sorted(path.relative_to(lake) for path in lake.rglob("*.parquet"))
    assert names == sorted(path.relative_to(out) for path in out.rglob("*.parquet"))
    return [Trip(read(lake / name), without_losses(read(out / name))) for name in names]


def read(path: Path) -> pa.Table:
    """What plain pyarrow gives back of one file."""
    return pq.ParquetFile(path).read()


def without_losses(table: pa.Table) -> pa.Table:
    """The table without the figures of loss that decoding notes beside each column."""
    fields = []
    for field in table.schema:
        kept = {key: value for key, value in (field.metadata or {}).items() if not key.startswith(_OWN)}
        fields.append(field.with_metadata(kept or None))
    return pa.Table.from_arrays(table.columns, schema=pa.schema(fields, table.schema.metadata))


def round_trip(work: Path, partitions: Sequence[pa.Table], columns: Mapping[str, object] | None = None) -> list[Trip]:
    """The partitions through a fresh lake and archive, every promise of the archive's policy record kept."""
    lake = write_lake(work / "lake", partitions)
    compress(lake, work / "archive", columns or {})
    trips = decode(lake, work / "archive", work / "out")
    promised = promises(ae_core.open_archive(str(work / "archive")))
    for trip in trips:
        judge(trip.original, trip.rebuilt, promised)
    return trips


def promises(archive: Archive) -> dict[str, Allowed]:
    """What the archive's policy record allows each column to lose."""
    found: dict[str, Allowed] = {}
    for name, bound in archive.partitions()[0].bounds.items():
        found[name] = (bound.kind, None if bound.value is None else Fraction(bound.value))
    return found
