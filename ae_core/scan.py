"""Rows of an archive, and of a lake beside it, as one table that every Arrow library reads.

`Scan` is a `pyarrow.dataset.Dataset`, so that DuckDB, Polars and pyarrow push their columns and filters into it, and it
speaks the Arrow C stream for everyone else. A filter first drops whole pieces by their partition keys and the ranges of
their columns, as pyarrow does for the files of a Hive lake; then blocks without a matching row are left before their
other columns are decoded.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import reduce
from itertools import groupby
from operator import and_
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
import pyarrow.fs as pafs

from ae_core.dataset import BlockTask, decoded
from ae_core.errors import LatentlakeError, UsageError
from ae_core.files import NoFiles
from ae_core.pieces import Archived, Live, Piece
from ae_core.ranges import Range
from ae_core.schemas import key_scalar, key_types, unify

FIDELITY = "_fidelity"
"""Column that says of every row what its values are: original, bounded or preview."""
_NOWHERE = pafs.PyFileSystem(NoFiles())
_TRIES = 4  # pieces that a filter is tried on by itself before it is judged by what it saved

Asked = Sequence[str] | Mapping[str, pc.Expression]


class Scan(ds.FileSystemDataset):
    """Rows that are decoded as they are read; the columns of the table, then its partition keys.

    `to_reader`, `to_table`, `to_batches`, `head`, `count_rows` and `scanner` take `columns` and `filter` as those of
    any pyarrow dataset. Joins and sorts need the rows in memory: call `to_table()` first.
    """

    def __init__(
        self,
        pieces: Sequence[Piece],
        *,
        columns: Sequence[str] | None = None,
        fidelity: bool = False,
        threads: int = 0,
        kept: pc.Expression | None = None,
    ) -> None:
        self.failure: LatentlakeError | None = None
        """What ended a stream: engines that read it say so in words of their own."""
        self._pieces = tuple(pieces)
        self._arguments: dict[str, Any] = {"columns": columns, "fidelity": fidelity, "threads": threads}
        self._threads = threads
        self._kept = kept
        self._full = _schema(self._pieces, columns, fidelity=fidelity)
        names = self._full.names if columns is None else [*columns, *([FIDELITY] if fidelity else [])]
        self._guarantees = [_guarantee(piece, self._full) for piece in self._pieces]
        schema = pa.schema([self._full.field(name) for name in names], metadata=self._full.metadata)
        super().__init__(_fragments(self._guarantees), schema, ds.IpcFileFormat(), filesystem=_NOWHERE)

    def scanner(self, columns: Asked | None = None, filter: pc.Expression | None = None, **_: Any) -> ds.Scanner:  # noqa: A002
        """A pyarrow scanner over the columns and rows asked for, to be read once."""
        return ds.Scanner.from_batches(self.to_reader(columns, filter))

    def to_reader(self, columns: Asked | None = None, filter: pc.Expression | None = None) -> pa.RecordBatchReader:  # noqa: A002
        """A new stream over the rows, from the start.

        Raises
        ------
        UsageError
            When a column is not there.
        """
        wanted = filter if self._kept is None else self._kept if filter is None else self._kept & filter
        asked: Asked = self.schema.names if columns is None else columns
        if not isinstance(asked, Mapping):
            for name in asked:
                if name not in self.schema.names:
                    raise UsageError(f"no column {name!r}; columns are {', '.join(self.schema.names)}")
        needed = self._needed(asked, wanted)
        empty = _projected(pa.Table.from_batches([], pa.schema([self.schema.field(n) for n in needed])), asked, wanted)
        schema = empty.schema.with_metadata(self.schema.metadata)
        return pa.RecordBatchReader.from_batches(schema, self._batches(asked, wanted, needed, schema))

    def count_rows(self, filter: pc.Expression | None = None, **options: Any) -> int:  # noqa: A002
        """The number of rows; without a filter nothing is decoded."""
        if filter is None and self._kept is None:
            return sum(piece.rows for piece in self._pieces)
        return int(super().count_rows(filter=filter, **options))

    def filter(self, expression: pc.Expression) -> Scan:
        """The same scan with only the rows that satisfy the expression."""
        kept = expression if self._kept is None else self._kept & expression
        return Scan(self._pieces, kept=kept, **self._arguments)

    def replace_schema(self, schema: pa.Schema) -> Scan:
        """Not there: cast what was read."""
        raise UsageError("the schema of an archive is not replaced: cast the table that was read")

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        """The rows as an Arrow C stream capsule."""
        return self.to_reader().__arrow_c_stream__(requested_schema)

    def __reduce__(self) -> tuple[Any, ...]:
        """Not there either: another process opens the archive itself."""
        raise TypeError("a scan cannot be pickled: open the archive in the process that reads it")

    def _needed(self, asked: Asked, wanted: pc.Expression | None) -> list[str]:
        """Names of the columns that have to be there to answer."""
        names: set[str] = set()
        for part in asked.values() if isinstance(asked, Mapping) else ():
            names |= self._mentioned(part)
        if not isinstance(asked, Mapping):
            names |= set(asked)
        if wanted is not None:
            names |= self._mentioned(wanted)
        return [name for name in self.schema.names if name in names]

    def _mentioned(self, expression: pc.Expression) -> set[str]:
        """The columns that an expression may speak of: those whose name it prints, all where that is not enough."""
        text = str(expression)
        names = [n for n in self.schema.names if re.search(rf"(?<!\w){re.escape(n)}(?!\w)", text)]
        table = pa.Table.from_batches([], pa.schema([self.schema.field(name) for name in names]))
        try:
            ds.dataset(table).scanner(columns={"_": expression}).projected_schema  # noqa: B018 - binds the names
        except (pa.ArrowInvalid, pa.ArrowKeyError):
            return set(self.schema.names)
        return set(names)

    def _batches(
        self, asked: Asked, wanted: pc.Expression | None, needed: Sequence[str], schema: pa.Schema
    ) -> Iterator[pa.RecordBatch]:
        pieces: Sequence[Piece] = self._pieces
        if wanted is not None:
            pieces = [self._pieces[int(part.path)] for part in self.get_fragments(filter=wanted)]
        try:
            if wanted is not None:
                pieces = self._in_range(pieces, wanted)
            for table in self._tables(pieces, needed, wanted):
                yield from _projected(table, asked, wanted).cast(schema).to_batches()
        except LatentlakeError as error:
            self.failure = error
            raise

    def _in_range(self, pieces: Sequence[Piece], wanted: pc.Expression) -> list[Piece]:
        """The pieces in which a row may satisfy the filter, by the ranges of the columns that it speaks of."""
        fields = [self._full.field(name) for name in self._mentioned(wanted)]
        facts = [within(piece.ranges, fields) if isinstance(piece, Archived) else pc.scalar(True) for piece in pieces]
        return [pieces[place] for place in not_excluded(facts, self.schema, wanted)]

    def _tables(
        self, pieces: Iterable[Piece], needed: Sequence[str], wanted: pc.Expression | None
    ) -> Iterator[pa.Table]:
        """Tables of the needed columns, in order; rows that a filter drops may still be there."""
        guarantees = dict(zip(map(id, self._pieces), self._guarantees, strict=True))
        for archived, group in groupby(pieces, key=lambda piece: isinstance(piece, Archived)):
            if archived:
                yield from self._decoded(group, needed, wanted)
                continue
            for piece in group:
                assert isinstance(piece, Live)
                yield from piece.read(self._full, guarantees[id(piece)], needed, wanted)

    def _decoded(
        self, pieces: Iterable[Piece], needed: Sequence[str], wanted: pc.Expression | None
    ) -> Iterator[pa.Table]:
        """The same of archived pieces, the blocks of all of them in one stream, so that they share threads."""
        owners: deque[tuple[Piece, int | None]] = deque()  # rows where there is nothing to decode
        first = [] if wanted is None else [name for name in needed if name in self._mentioned(wanted)]
        sieve = _Sieve(self, first, wanted, self._threads) if len(first) < len(needed) else None

        def tasks() -> Iterator[BlockTask]:
            for piece in pieces:
                assert isinstance(piece, Archived)
                own = [name for name in needed if name in piece.schema.names]
                if not own:
                    owners.append((piece, piece.rows))
                    continue
                blocks = piece.tasks(own)
                for task in blocks if sieve is None else sieve(piece, blocks):
                    owners.append((piece, None))
                    yield task

        for table in decoded(tasks(), threads=self._threads):
            while (rows := owners[0][1]) is not None:
                yield self._assemble(owners.popleft()[0], rows, None, needed)
            yield self._assemble(owners.popleft()[0], table.num_rows, table, needed)
        for piece, rows in owners:
            yield self._assemble(piece, rows or 0, None, needed)

    def _assemble(self, piece: Piece, rows: int, table: pa.Table | None, names: Sequence[str]) -> pa.Table:
        """Decoded columns in the types of the scan, beside the piece's keys and the nulls of what it lacks."""
        arrays, fields = [], [self._full.field(name) for name in names]
        for field in fields:
            if table is not None and field.name in table.column_names:
                arrays.append(_cast(table.column(field.name), field.type))
            else:
                arrays.append(pa.repeat(_constant(piece, field), rows))
        return pa.Table.from_arrays(arrays, schema=pa.schema(fields))


class _Sieve:
    """Leaves out the blocks in which a filter's own columns say that no row matches.

    Those columns are decoded for it once more, so it stops where it spares too little.
    """

    def __init__(self, scan: Scan, names: Sequence[str], wanted: pc.Expression | None, threads: int) -> None:
        self._scan = scan
        self._names = names
        self._wanted = wanted
        self._threads = threads
        self._tried = 0
        self._spared = 0

    def __call__(self, piece: Archived, blocks: Sequence[BlockTask]) -> Iterator[BlockTask]:
        """The blocks that may hold a matching row."""
        own = [name for name in self._names if name in piece.schema.names]
        if not own or (self._tried >= _TRIES and 2 * self._spared < self._tried):
            yield from blocks
            return
        for block, table in zip(blocks, decoded(piece.tasks(own), threads=self._threads), strict=True):
            known = self._scan._assemble(piece, table.num_rows, table, self._names)
            self._tried += 1
            if _projected(known, self._names, self._wanted).num_rows:
                yield block
            else:
                self._spared += 1


def _schema(pieces: Sequence[Piece], columns: Sequence[str] | None, *, fidelity: bool) -> pa.Schema:
    """The columns of all pieces, the partition keys that are not among them, and the fidelity where it is asked for.

    Raises
    ------
    UsageError
        When a column is not there, or is called like the one that a scan adds.
    """
    if columns is not None and (len(set(columns)) != len(columns) or not columns):
        raise UsageError(f"columns {', '.join(columns) or '(none)'}: name each one once, and at least one")
    table = unify([(piece.id, piece.schema) for piece in pieces], columns)
    if fidelity and any(FIDELITY in piece.schema.names for piece in pieces):
        raise UsageError(f"the table has a column {FIDELITY} of its own: read the archive and the lake apart")
    keys = {name: kind for name, kind in key_types([p.keys for p in pieces]).items() if name not in table.names}
    fields = [*table, *(pa.field(name, kind) for name, kind in keys.items())]
    fields += [pa.field(FIDELITY, pa.string(), nullable=False)] if fidelity else []
    full = pa.schema(fields, metadata=table.metadata)
    for name in columns or ():
        if name not in full.names:
            known = dict.fromkeys([*(n for piece in pieces for n in piece.schema.names), *keys])
            raise UsageError(f"no column {name!r}; columns are {', '.join(known)}")
    return full


def _constant(piece: Piece, field: pa.Field) -> pa.Scalar:
    """What a column is in every row of a piece that does not hold it."""
    if field.name == FIDELITY:
        return pa.scalar(piece.fidelity, field.type)
    if field.name in piece.keys and field.name not in piece.schema.names:
        return key_scalar(piece.keys, field.name, field.type)
    return pa.scalar(None, field.type)


def _guarantee(piece: Piece, full: pa.Schema) -> pc.Expression:
    """What holds for every row of a piece, so that a filter may drop it unread."""
    facts = []
    for field in full:
        if field.name not in piece.schema.names:
            value = _constant(piece, field)
            facts.append(pc.field(field.name) == value if value.is_valid else pc.field(field.name).is_null())
    return reduce(and_, facts, pc.scalar(True))


def within(ranges: Mapping[str, Range], fields: Sequence[pa.Field]) -> pc.Expression:
    """What these ranges say of rows, in the types of the fields; nulls may be anywhere.

    Each side allows nulls by itself: the two in one bracket would be more than pyarrow looks into.
    """
    facts = []
    for field in fields:
        if field.name in ranges:
            low, high = (end if end.type == field.type else end.cast(field.type) for end in ranges[field.name])
            column = pc.field(field.name)
            facts += [(column >= low) | column.is_null(), (column <= high) | column.is_null()]
    return reduce(and_, facts, pc.scalar(True))


def not_excluded(guarantees: Sequence[pc.Expression], schema: pa.Schema, wanted: pc.Expression) -> list[int]:
    """Places of the guarantees under which a row may satisfy the filter.

    All of them where it compares with NaN: pyarrow takes that for more than every number, while no row is less.
    """
    if re.search(r"(?<!\w)-?nan(?!\w)", str(wanted)):
        return list(range(len(guarantees)))
    kept = ds.FileSystemDataset(_fragments(guarantees), schema, ds.IpcFileFormat(), filesystem=_NOWHERE)
    return [int(part.path) for part in kept.get_fragments(filter=wanted)]


def _fragments(guarantees: Sequence[pc.Expression]) -> list[ds.Fragment]:
    """A fragment for each, called by its place."""
    form = ds.IpcFileFormat()
    return [
        form.make_fragment(str(place), _NOWHERE, partition_expression=guarantee)
        for place, guarantee in enumerate(guarantees)
    ]


def _projected(table: pa.Table, asked: Asked, wanted: pc.Expression | None) -> pa.Table:
    if wanted is None and not isinstance(asked, Mapping):
        return table.select(list(asked))
    return ds.dataset(table).scanner(columns=asked, filter=wanted, use_threads=False).to_table()


def _cast(column: pa.ChunkedArray, kind: pa.DataType) -> pa.ChunkedArray:
    return column if column.type == kind else column.cast(kind)
