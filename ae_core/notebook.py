"""What a notebook shows of an archive, a partition or a lake with its archive: HTML without script or style."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ae_core.records import layer_sizes, source_bytes
from ae_core.report.notebook import table_html

if TYPE_CHECKING:
    from ae_core.dataset import Archive, Partition

_SHOWN = 24


def archive_html(archive: Archive) -> str:
    """Which snapshot is read, and its partitions with their sizes."""
    partitions = archive.partitions()
    rows = [
        (
            partition.id,
            f"{partition.rows:,}",
            f"{source_bytes(partition.manifest):,}",
            f"{sum(layer_sizes(partition.manifest).values()):,}",
            ", ".join(layer_sizes(partition.manifest)),
        )
        for partition in partitions[:_SHOWN]
    ]
    total = f"{len(partitions):,} partitions, {sum(partition.rows for partition in partitions):,} rows"
    return summary_html(
        f"{archive.url}, snapshot {archive.snapshot}: {total}",
        ["partition", "rows", "source bytes", "archived bytes", "layers"],
        rows,
        len(partitions) - len(rows),
    )


def partition_html(partition: Partition) -> str:
    """The partition's columns with their types and what they may lose."""
    bounds = partition.bounds
    rows = [(field.name, str(field.type), str(bounds[field.name])) for field in partition.schema]
    return summary_html(f"{partition.id}, {partition.rows:,} rows", ["column", "type", "may lose"], rows)


def summary_html(title: str, head: Sequence[str], rows: Sequence[Sequence[str]], more: int = 0) -> str:
    """A table of at most some dozen rows, the rest counted."""
    return table_html(title, head, rows[:_SHOWN], max(0, len(rows) - _SHOWN) + more)
