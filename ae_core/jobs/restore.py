"""Bringing expired partitions back into their lake: the one OUT that may exist, and nothing in it is overwritten."""

from __future__ import annotations

import filecmp
import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq

from ae_core.errors import OutputExists, UsageError
from ae_core.jobs.expire_notes import index_name
from ae_core.jobs.output import LOSS_FILE
from ae_core.lake import REBUILT_PREFIX
from ae_core.remote.places import Place, locate

if TYPE_CHECKING:
    from ae_core.remote.objects import Objects

_REPORT = "_latentlake_restored-{}.json"


def is_home(out: str, uid: str) -> bool:
    """Whether OUT is a lake that originals of this archive were deleted from: its index is there."""
    place = locate(out)
    if place.local:
        return (Path(place.path) / index_name(uid)).is_file()
    return place.remote and _objects(place).isfile(f"{place.path}/{index_name(uid)}")


def refuse_partial(
    columns: Sequence[str] | None, rows: object, layer: str, *, salvage: bool = False, unify: bool = False
) -> None:
    """Pass when whole partitions within their bounds are asked for: a lake gets nothing less back.

    Raises
    ------
    UsageError
    """
    if columns is not None or rows is not None or layer != "bounded" or salvage or unify:
        raise UsageError(
            "OUT is the lake itself: only whole partitions go back, without --columns, --rows, --layer, --unify and "
            "--salvage"
        )


@contextmanager
def into_lake(out: str, names: Sequence[str], uid: str) -> Iterator[Path]:
    """A local folder whose files take their places in the lake when the body ends well.

    Parameters
    ----------
    names : the files that will be there, so that one that is taken is told before anything is decoded.
    uid : the archive's.

    Raises
    ------
    OutputExists
        When the lake has a file of one of the names. The very file that a run brought back that was killed is fine.
    """
    place = locate(out)
    if place.remote:
        yield from _into_store(out, place, names)
        return
    lake = Path(place.path)
    there = [name for name in names if (lake / name).exists()]
    if there and (len(there) == len(names) or any(_rebuilt_from(lake / name) != uid for name in there)):
        raise OutputExists(f"{out} has a file {there[0]}: it is never overwritten; move it away, or restore elsewhere")
    scratch = Path(tempfile.mkdtemp(prefix="_latentlake_restoring.", suffix=".tmp", dir=lake))
    try:
        yield scratch
        for path in sorted(scratch.rglob("*")):
            if path.is_file():
                _link(path, lake / _place(path.relative_to(scratch).as_posix(), lake), out)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _rebuilt_from(path: Path) -> str | None:
    """Uid of the archive that a file was rebuilt from; None for anything else."""
    try:
        schema = pq.read_schema(path)
    except (OSError, pa.ArrowException):
        return None
    found = ((field.metadata or {}).get(REBUILT_PREFIX + b"archive") for field in schema)
    return next((uid.decode(errors="replace") for uid in found if uid), None)


def _place(name: str, lake: Path) -> str:
    """The report of a restoring has a number, because there may be many in one lake."""
    if name != LOSS_FILE:
        return name
    number = 1
    while (lake / _REPORT.format(number)).exists():
        number += 1
    return _REPORT.format(number)


def _link(path: Path, target: Path, out: str) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.link(path, target)
    except FileExistsError:
        if not filecmp.cmp(path, target, shallow=False):
            raise OutputExists(f"{out} has a file {target.name} at {target}: it is never overwritten") from None


def _into_store(out: str, place: Place, names: Sequence[str]) -> Iterator[Path]:
    objects = _objects(place)
    for name in names:
        if objects.isfile(f"{place.path}/{name}"):
            raise OutputExists(f"{out} has a file {name}: it is never overwritten; move it away, or restore elsewhere")
    with tempfile.TemporaryDirectory(prefix="latentlake-", suffix=".tmp") as made:
        yield Path(made)
        for path in sorted(Path(made).rglob("*")):
            if path.is_file() and path.name != LOSS_FILE:
                objects.put_file(str(path), f"{place.path}/{path.relative_to(made).as_posix()}")


def _objects(place: Place) -> Objects:
    from ae_core.remote.objects import Objects  # the clients of object stores are slow to import

    return Objects(place)
