"""What can be asked of an archive that is not trusted: the jobs of `ae_core.jobs`, each within caps."""

from __future__ import annotations

import json
import os
import time
import unicodedata
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError

from ae_core.errors import Corrupt
from ae_core.jobs.output import LOSS_FILE, ColumnLoss, PartitionWriter, new_folder, write_json
from ae_core.jobs.progress import Progress, silent
from ae_core.jobs.results import (
    AuditResult,
    DecodedPartition,
    DecodeResult,
    Difference,
    Listing,
    Log,
    PartitionDetail,
    VerifyResult,
    WrittenFile,
)
from ae_core.selection import RowRange, Where
from ae_core.untrusted.arrow import read_table
from ae_core.untrusted.caps import DEFAULT, Caps
from ae_core.untrusted.channel import HEAD
from ae_core.untrusted.guard import Notice, ask

T = TypeVar("T")
_LONGEST_PART, _LONGEST_NAME = 200, 1000


def _quiet(line: str) -> None:
    """Show nobody."""


def list_archive(
    url: str, *, where: Where = None, snapshot: int | None = None, caps: Caps = DEFAULT, notice: Notice = _quiet
) -> Listing:
    """`ae_core.jobs.listing.list_archive` of an archive that is not trusted."""
    return _record(Listing, ask("ls", url, {"where": _plain(where), "snapshot": snapshot}, caps, notice=notice))


def show_partition(
    url: str, partition: str, *, snapshot: int | None = None, caps: Caps = DEFAULT, notice: Notice = _quiet
) -> PartitionDetail:
    """`ae_core.jobs.listing.show_partition` of an archive that is not trusted."""
    arguments = {"partition": partition, "snapshot": snapshot}
    return _record(PartitionDetail, ask("show", url, arguments, caps, notice=notice))


def archive_log(url: str, *, snapshot: int | None = None, caps: Caps = DEFAULT, notice: Notice = _quiet) -> Log:
    """`ae_core.jobs.listing.archive_log` of an archive that is not trusted."""
    return _record(Log, ask("log", url, {"snapshot": snapshot}, caps, notice=notice))


def diff_archive(url: str, before: int, after: int, *, caps: Caps = DEFAULT, notice: Notice = _quiet) -> Difference:
    """`ae_core.jobs.diff.diff_archive` of an archive that is not trusted."""
    return _record(Difference, ask("diff", url, {"before": before, "after": after}, caps, notice=notice))


def verify(
    url: str,
    *,
    deep: bool = False,
    where: Where = None,
    sample: str | None = None,
    snapshot: int | None = None,
    threads: int = 0,
    progress: Progress = silent,
    caps: Caps = DEFAULT,
    notice: Notice = _quiet,
) -> VerifyResult:
    """`ae_core.jobs.verify.verify` of an archive that is not trusted; nothing in it is mended."""
    arguments = {"deep": deep, "where": _plain(where), "sample": sample, "snapshot": snapshot, "threads": threads}
    return _record(VerifyResult, ask("verify", url, arguments, caps, progress=progress, notice=notice))


def audit(
    url: str,
    *,
    expect_head: str | None = None,
    where: Where = None,
    snapshot: int | None = None,
    threads: int = 0,
    progress: Progress = silent,
    caps: Caps = DEFAULT,
    notice: Notice = _quiet,
) -> AuditResult:
    """`ae_core.jobs.audit.audit` of an archive that is not trusted, by its digests."""
    arguments = {"expect_head": expect_head, "where": _plain(where), "snapshot": snapshot, "threads": threads}
    return _record(AuditResult, ask("audit", url, arguments, caps, progress=progress, notice=notice))


def decode(
    archive: str,
    out: str,
    *,
    where: Where = None,
    columns: Sequence[str] | None = None,
    rows: str | tuple[int, int] | RowRange | None = None,
    layer: str = "bounded",
    snapshot: int | None = None,
    threads: int = 0,
    progress: Progress = silent,
    caps: Caps = DEFAULT,
    notice: Notice = _quiet,
) -> DecodeResult:
    """`ae_core.jobs.decode.decode` of an archive that is not trusted: the same files, or none.

    Names that a file system or a terminal could take amiss are refused here, which an archive of your own may have.

    Raises
    ------
    LimitReached
        When a cap was reached.
    UsageError, Corrupt
    """
    start = time.perf_counter()
    arguments = {
        "where": _plain(where),
        "columns": None if columns is None else list(columns),
        "rows": _rows(rows),
        "layer": layer,
        "snapshot": snapshot,
        "threads": threads,
    }
    with new_folder(out) as folder:
        files = _Files(folder, caps)
        found = ask("decode", archive, arguments, caps, sink=files.take, progress=progress, notice=notice)
        partitions = files.close()
        write_json(folder / LOSS_FILE, found["report"])
    record = {
        "archive": found["archive"],
        "out": out,
        "snapshot": found["snapshot"],
        "layer": layer,
        "rows": sum(partition.rows for partition in partitions),
        "partitions": [],
        "left_out": found["left_out"],
        "lost": [],
        "seconds": time.perf_counter() - start,
    }
    result = _record(DecodeResult, record)
    return DecodeResult(**(vars(result) | {"partitions": tuple(partitions)}))


class _Files:
    """The files of the partitions that a worker decodes, one partition after the other."""

    def __init__(self, folder: Path, caps: Caps) -> None:
        self._folder, self._caps = folder, caps
        self._done: list[DecodedPartition] = []
        self._count = 0
        self._seen: set[str] = set()
        self._partition = ""
        self._rows = self._bytes = 0
        self._writer: PartitionWriter | None = None

    def take(self, kind: bytes, data: bytearray) -> None:
        """A frame of the worker."""
        if kind == HEAD:
            self._begin(json.loads(data))
            return
        if self._writer is None:
            raise Corrupt("rows of no partition")
        table = read_table(data)
        self._rows += table.num_rows
        self._bytes += max(len(data), table.nbytes)
        self._caps.check("rows", self._rows, self._partition)
        self._caps.check("bytes", self._bytes, self._partition)
        self._writer.write(table)

    def close(self) -> list[DecodedPartition]:
        """What was written, once the last frame is there."""
        if self._writer is not None:
            written = self._writer.close()
            self._done.append(DecodedPartition(self._partition, sum(file.rows for file in written), written))
            self._writer = None
        return self._done

    def _begin(self, head: dict[str, Any]) -> None:
        self.close()
        self._partition, self._rows, self._bytes = str(head["partition"]), 0, 0
        files = [WrittenFile(self._name(name), int(rows)) for name, rows in head["files"]]
        self._count += len(files)
        self._caps.check("objects", self._count, "decoding writes")
        losses = {str(name): _record(ColumnLoss, loss) for name, loss in head["losses"].items()}
        self._writer = PartitionWriter(self._folder, files, losses)

    def _name(self, name: str) -> str:
        """The name itself, when it means the same file everywhere and nothing to a terminal."""
        parts = name.split("/")
        plain = name.isprintable() and "\\" not in name and len(os.fsencode(name)) <= _LONGEST_NAME
        for part in parts:
            plain = plain and part == part.strip(" .") != "" and len(os.fsencode(part)) <= _LONGEST_PART
        if not plain:
            raise Corrupt(
                f"the archive names a file {name[:200]!r}: such names are not written where it is not trusted"
            )
        folded = unicodedata.normalize("NFC", name).casefold()
        if folded in self._seen:
            raise Corrupt(f"the archive names two files that are one in another case: {name!r}")
        self._seen.add(folded)
        return name


def _record(kind: type[T], value: object) -> T:
    """A record of that kind out of JSON values."""
    try:
        return TypeAdapter(kind).validate_python(value)
    except ValidationError as error:
        raise Corrupt(f"the decoding process gave no {kind.__name__} ({error.error_count()} fields)") from None


def _plain(where: Where) -> Any:
    if isinstance(where, Mapping):
        return {key: str(value) for key, value in where.items()}
    return None if where is None else list(where)


def _rows(rows: str | tuple[int, int] | RowRange | None) -> str | None:
    if isinstance(rows, RowRange):
        return f"{rows.start}:{'' if rows.stop is None else rows.stop}"
    return f"{rows[0]}:{rows[1]}" if isinstance(rows, tuple) else rows
