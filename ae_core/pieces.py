"""What a scan is made of: runs of rows that lie in one place, archived or still in the lake, each counted once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
import pyarrow.fs as pafs

from ae_core.dataset import BlockTask, Layer, Partition
from ae_core.errors import LakeError
from ae_core.files import LakeFiles
from ae_core.lake import LakePartition, file_paths
from ae_core.ranges import Range, read_ranges
from ae_core.selection import RowRange

Fidelity = Literal["original", "bounded", "preview"]


@dataclass(frozen=True)
class Archived:
    """Rows of an archived partition, read from one of its layers."""

    partition: Partition
    layer: Layer
    span: RowRange
    schema: pa.Schema

    @classmethod
    def of(cls, partition: Partition, layer: Layer, span: RowRange, columns: Sequence[str] | None = None) -> Archived:
        """The rows `span` of a partition with the columns that the layer rebuilds, or those of `columns` that it has.

        Raises
        ------
        UsageError
            When the partition does not keep the layer, or the layer lacks a column; `NoLatents` and `LayerMissing` say
            why.
        """
        own = [name for name in columns or () if name in partition.schema.names]
        return cls(partition, layer, span, partition.schema_of(own or None, layer))

    @property
    def id(self) -> str:
        """The partition's id."""
        return self.partition.id

    @property
    def keys(self) -> Mapping[str, str]:
        """The partition's keys."""
        return self.partition.keys

    @property
    def fidelity(self) -> Fidelity:
        """What its values are."""
        return self.layer

    @property
    def rows(self) -> int:
        """Number of rows."""
        start, stop = self.span.clip(self.partition.rows)
        return stop - start

    @property
    def ranges(self) -> Mapping[str, Range]:
        """Least and greatest value of the columns of which they are known.

        Raises
        ------
        Corrupt
            When the manifest's are malformed.
        """
        if self.layer != "bounded":
            return {}
        return read_ranges(self.partition.manifest.extra, self.partition.schema, self.partition.id)

    def tasks(self, columns: Sequence[str]) -> list[BlockTask]:
        """The blocks to decode for these columns."""
        return self.partition.tasks(columns=columns, rows=self.span, layer=self.layer)


@dataclass(frozen=True)
class Live:
    """Files of a partition that are in the lake; `rows` counts theirs."""

    source: LakePartition
    schema: pa.Schema
    rows: int
    fidelity: Fidelity = "original"

    @property
    def id(self) -> str:
        """The partition's id."""
        return self.source.id

    @property
    def keys(self) -> Mapping[str, str]:
        """The partition's keys."""
        return self.source.keys

    def read(
        self, schema: pa.Schema, guarantee: pc.Expression, columns: Sequence[str], wanted: pc.Expression | None
    ) -> Iterator[pa.Table]:
        """The rows that `wanted` keeps, in the types of `schema`; what the files lack comes from the guarantee.

        Raises
        ------
        LakeError
            When a file is not Parquet, is damaged, or is no longer there.
        """
        store, paths = file_paths(self.source)
        system, form = pafs.PyFileSystem(LakeFiles(store)), ds.ParquetFileFormat()
        files = [form.make_fragment(path, system, partition_expression=guarantee) for path in paths]
        try:
            for batch in ds.FileSystemDataset(files, schema, form, system).to_batches(columns=columns, filter=wanted):
                yield pa.Table.from_batches([batch])
        except (pa.ArrowException, OSError) as error:
            reason = str(error).splitlines()[0]
            raise LakeError(
                f"{self.source.lake}: {self.id} cannot be read ({reason}): open the lake anew if its files changed"
            ) from None


Piece = Archived | Live
