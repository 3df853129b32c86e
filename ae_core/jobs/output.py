"""Decoded partitions as Parquet files: the lake's own layout and file names, and nothing half-written."""

from __future__ import annotations

import io
import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, BinaryIO, cast

import pyarrow as pa
import pyarrow.parquet as pq

from ae_core.errors import Corrupt, OutputExists, UsageError
from ae_core.jobs.results import WrittenFile
from ae_core.lake import REBUILT_PREFIX
from ae_core.remote.places import locate, unsupported

LOSS_FILE = "_loss.json"


@dataclass(frozen=True)
class ColumnLoss:
    """What the metadata of a decoded column says; errors in the column's units, None where not measured."""

    layer: str
    bound: str
    max_error: float | None
    mean_error: float | None
    archive: str
    snapshot: int

    def field_metadata(self) -> dict[bytes, bytes]:
        """Parquet field metadata, one `latentlake.` key per figure; what was not measured is left out."""
        return {
            REBUILT_PREFIX + name.encode(): str(value).encode()
            for name, value in asdict(self).items()
            if value is not None
        }


@contextmanager
def new_folder(out: str) -> Iterator[Path]:
    """A local folder that becomes `out` when the body ends well, and disappears when it does not.

    In an object store, which renames nothing, the files are uploaded one by one when the body has ended:
    `_incomplete.json` comes first and claims the place, the files with a leading underscore (`_loss.json`) come last,
    and the claim goes when all are there. An upload that fails is taken back; one that is killed keeps the claim.

    Raises
    ------
    OutputExists
        When `out` exists already.
    UsageError
        When `out` cannot be made.
    StoreUnsafe
        When the store refused a file or gave no answer.

    """
    place = locate(out)
    if place.remote:
        from ae_core.jobs.upload import Upload  # the clients of object stores are slow to import

        upload = Upload(place, out)
        with tempfile.TemporaryDirectory(prefix="latentlake-", suffix=".tmp") as made:
            yield Path(made)
            upload.run(Path(made))
        return
    if not place.local:
        raise unsupported(place, "OUT folders")
    target = Path(place.path)
    if os.path.lexists(target):
        raise OutputExists(f"OUT {out} exists already and is never overwritten; choose another name")
    parent = target.resolve().parent
    try:
        parent.mkdir(parents=True, exist_ok=True)
        scratch = Path(tempfile.mkdtemp(prefix=f".{target.name}.", suffix=".tmp", dir=parent))
    except OSError as error:
        raise UsageError(f"OUT {out} cannot be written: {error.strerror}") from None
    try:
        yield scratch
        _rename(scratch, target, out)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def write_json(path: Path, document: object) -> None:
    """Write one JSON document, indented, with a final newline, to a file that is not there yet."""
    with _new_file(path, path.name) as file:
        file.write((json.dumps(document, indent=1, ensure_ascii=False) + "\n").encode("utf-8", "backslashreplace"))


def _new_file(path: Path, name: str) -> BinaryIO:
    """The file `name` of an archive, made.

    Raises
    ------
    Corrupt
        When another of its files has that name, in upper or lower case where the file system takes these for the same.
    UsageError
        When there is no room for it, or no leave to write.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        return cast("BinaryIO", path.open("xb"))
    except (FileExistsError, NotADirectoryError, IsADirectoryError):
        raise Corrupt(f"the archive names two files of one name, {name!r}, here: nothing is overwritten") from None
    except (OSError, UnicodeError) as error:
        what = error.strerror if isinstance(error, OSError) else "not a name here"
        raise UsageError(f"the file {name[:200]!r} of the archive cannot be written ({what})") from None


class PartitionWriter:
    """Writes the rows of one partition, in order, into files of given names and row counts, be these 0."""

    def __init__(self, root: Path, files: Sequence[WrittenFile], losses: Mapping[str, ColumnLoss]) -> None:
        self._root = root
        self._files = tuple(files)
        self._losses = losses
        self._index = 0
        self._left = 0
        self._writer: Any = None
        self._file: BinaryIO = io.BytesIO()

    def write(self, table: pa.Table) -> None:
        """Append rows, going on to the next file wherever one is full."""
        table = self._with_losses(table)
        if self._writer is None:
            self._open(table.schema)
        while table.num_rows > self._left:
            self._writer.write_table(table.slice(0, self._left))
            table = table.slice(self._left)
            self._next(table.schema)
        self._writer.write_table(table)
        self._left -= table.num_rows

    def close(self) -> tuple[WrittenFile, ...]:
        """Finish the last file; the files that were written.

        Raises
        ------
        Corrupt
            When the rows were fewer than the files should hold.

        """
        while not self._left and self._writer is not None and self._index + 1 < len(self._files):
            self._next(self._writer.schema)
        if self._writer is not None:
            self._finish()
        if self._left or self._index + 1 != len(self._files):
            raise Corrupt(f"{self._files[self._index].name}: the archive holds fewer rows than its manifest says")
        return self._files

    def _with_losses(self, table: pa.Table) -> pa.Table:
        fields = [
            field.with_metadata({**(field.metadata or {}), **self._losses[field.name].field_metadata()})
            for field in table.schema
        ]
        return pa.Table.from_arrays(table.columns, schema=pa.schema(fields, metadata=table.schema.metadata))

    def _open(self, schema: pa.Schema) -> None:
        file = self._files[self._index]
        self._file = _new_file(self._root / safe_name(file.name), file.name)
        self._writer = pq.ParquetWriter(self._file, schema, compression="zstd")
        self._left = file.rows

    def _finish(self) -> None:
        self._writer.close()
        self._file.close()

    def _next(self, schema: pa.Schema) -> None:
        self._finish()
        self._index += 1
        if self._index == len(self._files):
            raise Corrupt(f"{self._files[-1].name}: the archive holds more rows than its manifest says")
        self._open(schema)


def safe_name(name: str) -> str:
    """The relative name itself, when it stays inside the folder that it is joined to.

    Raises
    ------
    Corrupt
        When the name is absolute, empty, or climbs out, or has an empty part.

    """
    if any(part in ("", ".", "..") for part in name.split("/")) or "\x00" in name or "\\" in name:
        raise Corrupt(f"the archive names a file outside of OUT: {name!r}")
    return name


def slice_files(files: Sequence[WrittenFile], start: int, stop: int) -> tuple[WrittenFile, ...]:
    """The files, each with the number of its rows that lie in `start:stop` of the partition."""
    cut: list[WrittenFile] = []
    first = 0
    for file in files:
        last = first + file.rows
        cut.append(WrittenFile(file.name, max(0, min(stop, last) - max(start, first))))
        first = last
    return tuple(cut)


def _rename(scratch: Path, target: Path, out: str) -> None:
    scratch.chmod(0o777 & ~_umask())
    try:
        os.rename(scratch, target)
    except OSError:
        raise OutputExists(f"OUT {out} appeared while it was being decoded; choose another name") from None


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
