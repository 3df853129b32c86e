"""A lake and its archive as one table: every row once, whether its original is still there or not."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import groupby

import pyarrow as pa

from ae_core.dataset import Archive, Layer, Partition, open_archive
from ae_core.errors import LakeError, UsageError
from ae_core.lake import REBUILT_PREFIX, LakePartition, footers, has_files, list_partitions, natural_order, schema
from ae_core.notebook import summary_html
from ae_core.pieces import Archived, Fidelity, Live, Piece
from ae_core.records import file_path
from ae_core.scan import Scan
from ae_core.selection import RowRange, Where, parse_where, selected

_THREADS = 8  # footers are small: on an object store their cost is waiting


@dataclass(frozen=True)
class Part:
    """Where some rows of a partition come from; `files` are their paths below the lake.

    What is read from the lake counts as original here; a scan marks files that `decode` restored as what they are.
    """

    partition: str
    keys: Mapping[str, str]
    fidelity: Fidelity
    files: tuple[str, ...]


def open_lake(lake: str, archive: str, *, snapshot: int | None = None, expect_head: str | None = None) -> LakeView:
    """A lake and its archive as one table, as they are now: open it again to see what changed.

    A file that is in the lake is read there. A partition that is gone from the lake is read from the archive; where
    the archive's log records that originals of a partition were expired, those that are gone are read from the archive
    and the others, such as files that came later, from the lake. So no row is counted twice and none is missed.

    Parameters
    ----------
    snapshot, expect_head : as of `ae_core.open_archive`.

    Raises
    ------
    UsageError, LakeError, Corrupt
        When one of them is not there, cannot be read, or they have other partition keys.

    Examples
    --------
    >>> lake = open_lake("flights", "flights.archive")  # doctest: +SKIP
    >>> lake.scan(where={"month": 3}, columns=["dep_delay", "_fidelity"]).to_table()  # doctest: +SKIP
    """
    # the lake first: what is expired in between is then still looked for in the lake, an error and no missing rows
    live = list_partitions(lake) if has_files(lake) else []
    return LakeView(lake, live, open_archive(archive, snapshot=snapshot, expect_head=expect_head))


class LakeView:
    """A lake and a snapshot of its archive, as they were when they were opened."""

    def __init__(self, lake: str, live: Sequence[LakePartition], archive: Archive) -> None:
        self.lake = lake
        self.archive = archive
        self._live = {partition.id: partition for partition in live}
        self._archived = {partition.id: partition for partition in archive.partitions()}
        if not self._live and not archive.expired:
            raise LakeError(f"{lake}: no such lake, or an empty one: open {archive.url} alone with open_archive")
        keys = {tuple(partition.keys) for partition in self._live.values()}
        keys |= {tuple(partition.keys) for partition in self._archived.values()}
        if len(keys) > 1:
            some = " and ".join(sorted(str(list(names)) for names in keys))
            raise UsageError(f"{lake} and {archive.url} have other partition keys, {some}: is it this lake's archive?")

    def parts(self, where: Where = None) -> tuple[Part, ...]:
        """Where every row comes from, partition by partition, in their natural order.

        Raises
        ------
        UsageError
            When a condition is malformed or no partition satisfies them.
        """
        conditions = parse_where(where)
        ids = sorted(self._live.keys() | self._archived.keys(), key=natural_order)
        keys = {name: (self._live.get(name) or self._archived[name]).keys for name in ids}
        chosen = [name for name in ids if selected(conditions, keys[name])]
        if conditions and not chosen:
            asked = ", ".join(map(str, conditions))
            raise UsageError(f"{self.lake}: none of the {len(ids)} partitions, live or archived, has {asked}")
        return tuple(part for name in chosen for part in self._parts(name))

    def scan(
        self,
        *,
        where: Where = None,
        columns: Sequence[str] | None = None,
        at_least: Layer = "bounded",
        threads: int = 0,
    ) -> Scan:
        """Every row of the chosen partitions once, with a column `_fidelity`: original, bounded or preview.

        Parameters
        ----------
        columns : columns and partition keys in the order wanted, `_fidelity` after them; all if None.
        at_least : "preview" also takes partitions of which only latents are left; "bounded" refuses them.
        threads : as of `Archive.scan`.

        Raises
        ------
        UsageError
            When a column or partition is not there; `LayerMissing` where only a preview is left of a partition.
        """
        parts = self.parts(where)
        names = None if columns is None else [name for name in columns if name != "_fidelity"]
        with ThreadPoolExecutor(_THREADS) as pool:
            found = list(pool.map(lambda part: self._pieces(part, names, at_least), parts))
        pieces = [piece for some in found for piece in some]
        return Scan(pieces, columns=names, fidelity=True, threads=threads)

    def __repr__(self) -> str:
        return f"LakeView({self.lake!r}, {self.archive.url!r}, snapshot {self.archive.snapshot})"

    def _repr_html_(self) -> str:
        rows = [(part.partition, part.fidelity, f"{len(part.files):,}") for part in self.parts()]
        return summary_html(f"{self.lake} with {self.archive.url}", ["partition", "fidelity", "files"], rows)

    def _parts(self, name: str) -> list[Part]:
        """Runs of files in their order, each run from one place."""
        live, archived = self._live.get(name), self._archived.get(name)
        here = {} if live is None else dict.fromkeys((file.name for file in live.files), True)
        there = {} if archived is None else {source.name: True for source in archived.manifest.sources}
        if live is not None and name not in self.archive.expired:
            there = {}  # the lake's owner may have rewritten the partition: what it holds is all of it
        if archived is not None and there and not here:
            return [Part(name, archived.keys, _kept(archived), _paths(archived.keys, name, there))]
        found: list[Part] = []
        for file in sorted({**there, **here}):
            fidelity: Fidelity = "original" if file in here else _kept(self._archived[name])
            keys = (live or self._archived[name]).keys
            (path,) = _paths(keys, name, [file])
            if found and found[-1].fidelity == fidelity:
                found[-1] = replace(found[-1], files=(*found[-1].files, path))
            else:
                found.append(Part(name, keys, fidelity, (path,)))
        return found

    def _pieces(self, part: Part, columns: Sequence[str] | None, at_least: Layer) -> list[Piece]:
        if part.fidelity == "original":
            live = self._live[part.partition]
            return list(
                _live_pieces(replace(live, files=tuple(f for f in live.files if live.path_of(f) in part.files)))
            )
        layer: Layer = "preview" if at_least == part.fidelity == "preview" else "bounded"
        archived = self._archived[part.partition]
        return [Archived.of(archived, layer, _span(archived, part.files), columns)]


def _live_pieces(source: LakePartition) -> Iterator[Live]:
    """Runs of files of a lake: originals, and what `decode` restored in their place, which is no more than it was."""
    known = schema(source)
    described = zip(source.files, footers(source), strict=True)
    for fidelity, group in groupby(described, key=lambda pair: _restored(pair[1].schema.to_arrow_schema())):
        files = list(group)
        rows = sum(footer.num_rows for _, footer in files)
        yield Live(replace(source, files=tuple(file for file, _ in files)), known, rows, fidelity)


def _restored(columns: pa.Schema) -> Fidelity:
    for field in columns:
        layer = (field.metadata or {}).get(REBUILT_PREFIX + b"layer")
        if layer is not None:
            return "preview" if layer == b"preview" else "bounded"
    return "original"


def _kept(partition: Partition) -> Fidelity:
    """The best that the archive keeps of a partition."""
    return "preview" if partition.manifest.layer("residuals") is None else "bounded"


def _paths(keys: Mapping[str, str], partition: str, names: Iterable[str]) -> tuple[str, ...]:
    return tuple(file_path(keys, partition, name) for name in names)


def _span(partition: Partition, paths: Sequence[str]) -> RowRange:
    """The rows of consecutive files of a partition."""
    start, stop, first = 0, 0, True
    for source in partition.manifest.sources:
        here = file_path(partition.keys, partition.id, source.name) in paths
        if here or first:
            stop += source.rows
        if first and not here:
            start += source.rows
        first = first and not here
    return RowRange(start, stop)
