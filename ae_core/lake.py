"""A lake's partitions: which files they have, which rows, and how to notice that one changed.

A lake is a path or fsspec URL. Folders named ``key=value`` make a Hive lake, whose partitions are those folders;
in a flat lake every file is a partition. A partition's id is its path below the lake, ``month=3`` or
``flights.parquet``. Names that start with a dot or an underscore are not data; every other file has to be Parquet,
since a file that is passed over in silence could be mistaken for one that was archived.
"""

from __future__ import annotations

import hashlib
import math
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq

from ae_core import delta
from ae_core.errors import LakeError
from ae_core.remote.places import locate
from ae_core.remote.profiles import settings_file
from ae_core.remote.versions import modified, token_of
from ae_core.selection import Where, parse_where, selected
from ae_core.vector_types import element_type, vector_shape

BLOCK_ROWS = 65_536
BLOCK_CELLS = 1 << 25
"""Of a block of a table that is wider than 512 columns: encoding holds a few hundred bytes a column and row of it."""
LEAST_BLOCK_ROWS = 1024
REBUILT_PREFIX = b"latentlake."
"""Field metadata of a rebuilt file begin with this: such a file is not an original."""
_READ_BUFFER = 4 << 20  # bytes a column chunk is read in, so that a huge row group does not have to fit in memory
_ELEMENT_CELLS = 8
_FOOTER_THREADS = 8  # footers are small: on an object store their cost is waiting


@dataclass(frozen=True)
class SourceFile:
    """One Parquet file: its name below its partition's folder, size in bytes, version token, and time of change.

    The token is equal as long as the file is the same version: size, mtime and inode on a local disk, generation
    or ETag on an object store. ``mtime`` is in seconds since 1970 UTC, None where the store does not tell.
    """

    name: str
    size: int
    token: str
    mtime: float | None


@dataclass(frozen=True)
class LakePartition:
    """One unit of compression: its lake, id, partition keys (empty in a flat lake) and files ordered by path."""

    lake: str
    id: str
    keys: Mapping[str, str]
    files: tuple[SourceFile, ...]

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(file.size for file in self.files)

    def path_of(self, file: SourceFile) -> str:
        """Path of a file below the lake."""
        return f"{self.id}/{file.name}" if self.keys else self.id


# --- which partitions ---------------------------------------------------------------------------------


def list_partitions(url: str, where: Where = None) -> list[LakePartition]:
    """Partitions of a lake that satisfy every condition, in natural order of their ids (month=2 before month=10).

    Parameters
    ----------
    url : path, or fsspec URL without credentials, of a folder or of one Parquet file.
    where : conditions as in `ae_core.selection.parse_where`.

    Raises
    ------
    LakeError
        There is no such lake, it holds no file, its folders mix layouts, or no partition satisfies ``where``.
    UsageError
        A condition is malformed, or names a key that the partitions do not have.
    """
    conditions = parse_where(where)
    fs, root = _open_lake(url)
    if _is_delta(fs, root):
        url = delta.pinned(url, delta.files_of(url).version)
    partitions = _group(url, _list_files(fs, root, url))
    chosen = [partition for partition in partitions if selected(conditions, partition.keys)]
    if not chosen:
        asked = ", ".join(map(str, conditions))
        raise LakeError(f"{url}: none of the {len(partitions)} partitions has {asked}; there are {_some(partitions)}")
    return sorted(chosen, key=lambda partition: natural_order(partition.id))


def has_files(url: str) -> bool:
    """Whether there is a lake with a file of data in it; LakeError where it cannot be listed."""
    fs, root = _open_lake(url)
    return bool(fs.exists(root)) and bool(_list_files(fs, root, url))


def refresh(partition: LakePartition) -> LakePartition:
    """The same partition as its store lists it now; equal to the argument when no file changed, came or went.

    Raises
    ------
    LakeError
        When the partition, or the whole lake, is no longer there.
    """
    fs, root = _open_lake(partition.lake)
    if delta.split_version(partition.lake)[1] is not None and _is_delta(fs, root):
        listed = _list_files(fs, root, partition.lake)
        mine = {partition.path_of(file) for file in partition.files}
        found = {path: info for path, info in listed.items() if path in mine}
    elif partition.keys:
        below = _list_files(fs, f"{root}/{partition.id}", f"{partition.lake}: partition {partition.id}")
        found = {f"{partition.id}/{name}": info for name, info in below.items()}
    else:
        path = _file_path(fs, root, partition, partition.files[0])
        found = {partition.id: fs.info(path)} if fs.exists(path) else {}
    if not found:
        raise LakeError(f"{partition.lake}: partition {partition.id} is no longer there")
    (now,) = _group(partition.lake, found)
    return now


def _file_path(fs: Any, root: str, partition: LakePartition, file: SourceFile) -> str:
    """Path of a file for its store; the lake may itself be the file."""
    single = not partition.keys and "/" not in partition.id and fs.isfile(root)
    return root if single else f"{root}/{partition.path_of(file)}"


def _open_lake(url: str) -> tuple[Any, str]:
    """What reads the lake's files, a filesystem of fsspec or `Objects`, and the lake's path in it."""
    url = _table_of(url)
    place = locate(url)
    if place.remote:
        from ae_core.remote.objects import Objects  # the clients of object stores are slow to import

        return Objects(place), place.path
    try:
        fs, root = fsspec.core.url_to_fs(url)
    except (ImportError, ValueError) as error:
        hint = f"; there is no store profile of that name in {settings_file()} either" if "://" in url else ""
        raise LakeError(f"{url}: {error}{hint}") from None
    fs.invalidate_cache()
    return fs, root.rstrip("/")


def _list_files(fs: Any, root: str, url: str) -> dict[str, dict[str, Any]]:
    """Data files below a folder: path relative to it -> the store's description of the file."""
    try:
        if fs.isfile(root):
            return {root.rsplit("/", 1)[-1]: fs.info(root)}
        found = fs.find(root, detail=True)
        if not found and not fs.exists(root):
            raise FileNotFoundError(root)
    except FileNotFoundError:
        raise LakeError(f"{url}: no such lake") from None
    except OSError as error:
        raise LakeError(f"{url}: the lake cannot be listed: {error}") from None
    if any(path[len(root) :].startswith(f"/{delta.LOG}/") for path in found):
        return _active(found, root, url)
    relative = {path[len(root) :].lstrip("/"): info for path, info in found.items() if not path.endswith("/")}
    return {path: info for path, info in sorted(relative.items()) if not any(map(_hidden, path.split("/")))}


def _active(found: Mapping[str, dict[str, Any]], root: str, url: str) -> dict[str, dict[str, Any]]:
    """The files that the log of a Delta table names, whatever else lies beside them."""
    files = delta.files_of(url)
    named = {path: f"{root}/{path}" for path in sorted(files.paths)}
    for path, full in named.items():
        if full not in found:
            raise LakeError(f"{url}: {path}, a file of version {files.version}, is no longer there: was it vacuumed?")
    return {path: found[full] for path, full in named.items()}


def _is_delta(fs: Any, root: str) -> bool:
    """Whether the folder is a Delta table."""
    return bool(fs.exists(f"{root}/{delta.LOG}"))


def _table_of(url: str) -> str:
    """The URL of the folder itself; only a Delta table has a version in its URL, and other names may end like one."""
    bare, version = delta.split_version(url)
    if version is None or (locate(url).local and Path(locate(url).path).exists()):
        return url
    return bare


def _hidden(name: str) -> bool:
    return name.startswith(".") or (name.startswith("_") and "=" not in name)


def _group(url: str, files: Mapping[str, dict[str, Any]]) -> list[LakePartition]:
    if not files:
        raise LakeError(f"{url}: the lake is empty: no file in it but hidden ones")
    grouped: dict[tuple[str, bool], list[SourceFile]] = {}
    for path, info in files.items():
        partition_id, name, hive = _split(path)
        grouped.setdefault((partition_id, hive), []).append(_source_file(name, info))
    partitions = [
        LakePartition(url, pid, _keys(pid, hive=hive), tuple(sorted(found, key=lambda file: file.name)))
        for (pid, hive), found in grouped.items()
    ]
    first = partitions[0]
    for other in partitions[1:]:
        if list(other.keys) != list(first.keys):
            raise LakeError(
                f"{url}: {first.id} has the partition keys {list(first.keys)}, {other.id} has {list(other.keys)}: "
                "compress these folders as lakes of their own"
            )
    return partitions


def _some(partitions: Sequence[LakePartition]) -> str:
    ids = sorted((partition.id for partition in partitions), key=natural_order)
    return ", ".join(ids) if len(ids) <= 4 else f"{ids[0]}, {ids[1]}, … {ids[-1]}"


def natural_order(text: str) -> list[tuple[bool, int, str]]:
    """Sort key under which month=2 comes before month=10."""
    parts = re.split(r"(\d+)", text)
    return [(part.isdigit(), int(part) if part.isdigit() else 0, part) for part in parts]


def _split(path: str) -> tuple[str, str, bool]:
    """Partition id, name within it, and whether it is a Hive folder: up to the last ``key=value``, or the file."""
    *folders, name = path.split("/")
    depth = max((i + 1 for i, folder in enumerate(folders) if "=" in folder), default=0)
    if depth:
        return "/".join(folders[:depth]), "/".join([*folders[depth:], name]), True
    return path, name, False


def _keys(partition_id: str, *, hive: bool) -> dict[str, str]:
    pairs = [part.split("=", 1) for part in partition_id.split("/") if hive and "=" in part]
    return {unquote(key): unquote(value) for key, value in pairs}


def _source_file(name: str, info: Mapping[str, Any]) -> SourceFile:
    size = int(info["size"] or 0)
    if "ino" in info:  # local: fsspec rounds the time to a float, a token needs the nanoseconds
        status = os.stat(info["name"])
        return SourceFile(
            name, status.st_size, f"{status.st_size}-{status.st_mtime_ns}-{status.st_ino}", status.st_mtime
        )
    changed = modified(info)
    return SourceFile(name, size, f"{size}-{token_of(info) or changed}", changed)


def file_version(file: Path | Mapping[str, Any]) -> tuple[int, str] | None:
    """Size and version token of a local path, or of a store's description of a file; None if the path is not there."""
    if isinstance(file, Path):
        try:
            status = file.stat()
        except FileNotFoundError:
            return None
        file = {"name": str(file), "size": status.st_size, "ino": status.st_ino}
    found = _source_file("", file)
    return found.size, found.token


# --- what is in them ----------------------------------------------------------------------------------


def file_sha256(partition: LakePartition, file: SourceFile) -> str:
    """SHA-256 of a file's bytes, in hexadecimal; LakeError when the file cannot be read."""
    with _opened(partition, file) as handle:
        digest = hashlib.sha256()
        while chunk := handle.read(_READ_BUFFER):
            digest.update(chunk)
    return digest.hexdigest()


def file_paths(partition: LakePartition) -> tuple[Any, list[str]]:
    """What reads a partition's store, and its files' paths there in their order."""
    fs, root = _open_lake(partition.lake)
    return fs, [_file_path(fs, root, partition, file) for file in partition.files]


def footers(partition: LakePartition) -> tuple[pq.FileMetaData, ...]:
    """Parquet footers of the partition's files in their order: rows, row groups, statistics.

    Raises
    ------
    LakeError
        A file is not Parquet, or is no longer there; the message names it.
    """
    return tuple(_footer(partition, file)[0] for file in partition.files)


def schema(partition: LakePartition) -> pa.Schema:
    """Arrow schema of the partition with its metadata, from the first file.

    Raises
    ------
    LakeError
        A file is not Parquet, or two files differ in names, types, order or nullability of columns.
    """
    return _agreed([(partition, file) for file in partition.files], partition.lake)


def common_schema(partitions: Sequence[LakePartition]) -> pa.Schema:
    """Arrow schema that all files of all partitions agree on; metadata is that of the first and may differ.

    Raises
    ------
    LakeError
        As `schema`; the message names both files and the first column that differs.
    """
    return _agreed([(p, file) for p in partitions for file in p.files], partitions[0].lake)


def row_cells(columns: pa.Schema) -> int:
    """Columns of a table, each element of a vector counted as several: all of them are held as numbers of 64 bits."""
    kinds = [field.type for field in columns]
    return sum(_ELEMENT_CELLS * math.prod(vector_shape(kind)) if element_type(kind) else 1 for kind in kinds)


def block_rows(columns: int) -> int:
    """Rows of the blocks that a table of so many columns is cut into."""
    return min(BLOCK_ROWS, max(LEAST_BLOCK_ROWS, BLOCK_CELLS // max(1, columns)))


def read_blocks(partition: LakePartition, rows: int = BLOCK_ROWS) -> Iterator[pa.Table]:
    """Tables of exactly ``rows`` rows (the last one may be shorter), cut across files and row groups, in order.

    Every table has the schema of `schema`, metadata included. Memory holds one block and the read buffers. A
    partition without rows yields nothing.

    Raises
    ------
    LakeError
        A file is not Parquet, is damaged, has another schema, or is no longer there.
    """
    target = schema(partition)
    held: list[pa.Table] = []
    count = 0
    for batch in read_batches(partition, rows):
        table = pa.Table.from_arrays(batch.columns, schema=target)
        while count + table.num_rows >= rows:
            head, table = table.slice(0, rows - count), table.slice(rows - count)
            yield pa.concat_tables([*held, head])
            held, count = [], 0
        if table.num_rows:
            held.append(table)
            count += table.num_rows
    if count:
        yield pa.concat_tables(held)


def rebuilt_from(partition: LakePartition) -> str | None:
    """Uid of the archive that a file of the partition was rebuilt from by `decode`; None for originals.

    A file that cannot be read says nothing here.
    """
    for file in partition.files:
        try:
            fields = _footer(partition, file)[1]
        except LakeError:
            continue
        for field in fields:
            if uid := (field.metadata or {}).get(REBUILT_PREFIX + b"archive"):
                return bytes(uid).decode(errors="replace")
    return None


@contextmanager
def _opened(partition: LakePartition, file: SourceFile) -> Iterator[Any]:
    """The open file; what goes wrong while reading it becomes a LakeError that names it."""
    fs, root = _open_lake(partition.lake)
    name = f"{partition.lake}: {partition.path_of(file)}"
    try:
        with fs.open(_file_path(fs, root, partition, file), "rb") as handle:
            yield handle
    except FileNotFoundError:
        raise LakeError(f"{name} is no longer there") from None
    except (pa.ArrowException, OSError) as error:
        detail = str(error).splitlines()[0].rstrip(".")
        raise LakeError(
            f"{name} cannot be read as Parquet ({detail}): mend it, or take it out of the lake "
            "(a name that starts with an underscore is passed over)"
        ) from None


def _footer(partition: LakePartition, file: SourceFile) -> tuple[pq.FileMetaData, pa.Schema]:
    with _opened(partition, file) as handle, pq.ParquetFile(handle) as parquet:
        return parquet.metadata, _as_stored(parquet.schema_arrow)


def _as_stored(found: pa.Schema) -> pa.Schema:
    """The schema as an archive's record gives it back: Parquet names the entries of a map after its column."""
    return pa.ipc.read_schema(found.serialize())


def _agreed(files: Sequence[tuple[LakePartition, SourceFile]], lake: str) -> pa.Schema:
    if len(files) == 1:
        schemas = [_footer(*files[0])[1]]  # a pool costs as much as a small footer
    else:
        with ThreadPoolExecutor(_FOOTER_THREADS) as pool:
            schemas = list(pool.map(lambda pair: _footer(*pair)[1], files))
    first, first_path = schemas[0], files[0][0].path_of(files[0][1])
    if twice := sorted({name for name in first.names if first.names.count(name) > 1}):
        raise LakeError(
            f"{lake}: {first_path} has more than one column named {_some_names(twice)}: rename them, names must tell "
            "columns apart"
        )
    for (partition, file), other in zip(files[1:], schemas[1:], strict=True):
        if not other.equals(first):
            difference = _first_difference(first, other)
            raise LakeError(f"{lake}: {first_path} and {partition.path_of(file)} have different schemas: {difference}")
    return _unmarked(first)


def _unmarked(schema: pa.Schema) -> pa.Schema:
    """The schema without what `decode` adds to the fields of rebuilt files: it is no part of anybody's table."""
    fields = []
    for field in schema:
        kept = {key: value for key, value in (field.metadata or {}).items() if not key.startswith(REBUILT_PREFIX)}
        fields.append(field.with_metadata(kept) if field.metadata and len(kept) < len(field.metadata) else field)
    return pa.schema(fields, metadata=schema.metadata)


def _some_names(names: Sequence[str]) -> str:
    return ", ".join(map(repr, names[:4])) + (", …" if len(names) > 4 else "")


def _first_difference(one: pa.Schema, other: pa.Schema) -> str:
    texts = zip_longest(map(_column_text, one), map(_column_text, other), fillvalue="missing")
    for position, (left, right) in enumerate(texts):
        if left != right:
            return f"column {position} is {left} in the first and {right} in the second"
    return "column types"


def _column_text(field: pa.Field) -> str:
    return f"'{field.name}' {field.type}{'' if field.nullable else ' not null'}"


def read_batches(partition: LakePartition, rows: int, columns: Sequence[str] | None = None) -> Iterator[pa.RecordBatch]:
    """Batches of at most so many rows, as they lie in the files; of some columns only where they are named."""
    for file in partition.files:
        with _opened(partition, file) as handle, pq.ParquetFile(handle, buffer_size=_READ_BUFFER) as parquet:
            yield from parquet.iter_batches(batch_size=rows, columns=columns, use_threads=False)
