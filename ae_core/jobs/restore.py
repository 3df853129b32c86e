"""Bringing expired partitions back into their lake: the one OUT that may exist, and nothing in it is overwritten."""

from __future__ import annotations

import filecmp
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq

from ae_core.errors import OutputExists, StoreUnreachable, StoreUnsafe, UsageError
from ae_core.jobs.expire_notes import index_name
from ae_core.jobs.output import LOSS_FILE
from ae_core.lake import REBUILT_PREFIX
from ae_core.remote.places import Place, locate
from ae_core.remote.versions import token_of

if TYPE_CHECKING:
    from ae_core.remote.objects import Objects

_REPORT = "_latentlake_restored-{}.json"


def is_home(out: str, uid: str) -> bool:
    """Whether OUT is a lake that originals of this archive were deleted from: its index is there."""
    place = locate(out)
    if place.local:
        return (Path(place.path) / index_name(uid)).is_file()
    return place.remote and _objects(place).isfile(f"{place.path}/{index_name(uid)}")


def refuse_partial(columns: Sequence[str] | None, rows: object, layer: str, *, salvage: bool = False) -> None:
    """Pass when whole partitions within their bounds are asked for: a lake gets nothing less back.

    Raises
    ------
    UsageError
    """
    if columns is not None or rows is not None or layer != "bounded" or salvage:
        raise UsageError(
            "OUT is the lake itself: only whole partitions go back, without --columns, --rows, --layer and --salvage"
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
        yield from _into_store(out, place, names, uid)
        return
    lake = Path(place.path)
    _refuse_taken(out, [name for name in names if (lake / name).exists()], names, uid, lambda name: lake / name)
    scratch = Path(tempfile.mkdtemp(prefix="_latentlake_restoring.", suffix=".tmp", dir=lake))
    try:
        yield scratch
        for name in _files(scratch):
            _link(scratch / name, lake / _place(name, lambda name: (lake / name).exists()), out)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _refuse_taken(out: str, there: Sequence[str], names: Sequence[str], uid: str, source: Callable[[str], Any]) -> None:
    """Pass when files are missing from the lake, and those `there` were brought back from this archive."""
    if there and (len(there) == len(names) or any(_rebuilt_from(source(name)) != uid for name in there)):
        raise OutputExists(f"{out} has a file {there[0]}: it is never overwritten; move it away, or restore elsewhere")


def _rebuilt_from(source: Any) -> str | None:
    """Uid of the archive that a Parquet file, path or open, was rebuilt from; None for anything else."""
    try:
        schema = pq.read_schema(source)
    except (OSError, pa.ArrowException):
        return None
    found = ((field.metadata or {}).get(REBUILT_PREFIX + b"archive") for field in schema)
    return next((uid.decode(errors="replace") for uid in found if uid), None)


def _files(folder: Path) -> list[str]:
    """Names of all files below a folder; the report comes last."""
    names = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    return sorted(names, key=lambda name: name == LOSS_FILE)


def _place(name: str, exists: Callable[[str], bool]) -> str:
    """The report of a restoring has a number, because there may be many in one lake."""
    if name != LOSS_FILE:
        return name
    number = 1
    while exists(_REPORT.format(number)):
        number += 1
    return _REPORT.format(number)


def _link(path: Path, target: Path, out: str) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.link(path, target)
    except FileExistsError:
        if not filecmp.cmp(path, target, shallow=False):
            raise OutputExists(f"{out} has a file {target.name} at {target}: it is never overwritten") from None


def _into_store(out: str, place: Place, names: Sequence[str], uid: str) -> Iterator[Path]:
    """Uploads are not one step: what a run that fails has uploaded is taken back, and after a kill the next goes on."""
    objects = _objects(place)

    def exists(name: str) -> bool:
        return objects.isfile(f"{place.path}/{name}")

    _refuse_taken(out, list(filter(exists, names)), names, uid, lambda name: objects.open(f"{place.path}/{name}"))
    done: list[tuple[str, str]] = []
    with tempfile.TemporaryDirectory(prefix="latentlake-", suffix=".tmp") as made:
        yield Path(made)
        try:
            for name in _files(Path(made)):
                path = f"{place.path}/{_place(name, exists)}"
                if _upload(objects, Path(made) / name, path, out):
                    done.append((path, token_of(objects.info(path))))
        except BaseException:
            with suppress(StoreUnsafe):
                for path, token in reversed(done):
                    objects.delete_version(path, token)
            raise


def _upload(objects: Objects, local: Path, path: str, out: str) -> bool:
    """Whether this call stored the file; False where the very same is there already."""
    try:
        objects.create_file(str(local), path)
    except (FileExistsError, TimeoutError):  # it may be there by this very request
        try:
            with local.open("rb") as mine, objects.open(path) as theirs:
                same = all(piece == theirs.read(len(piece)) for piece in iter(lambda: mine.read(1 << 20), b""))
                same = same and not theirs.read(1)
        except FileNotFoundError:
            raise StoreUnreachable(f"{out}: the store gave no answer for {path}; run again") from None
        if not same:
            raise OutputExists(f"{out} has a file {path}: it is never overwritten") from None
        return False
    return True


def _objects(place: Place) -> Objects:
    from ae_core.remote.objects import Objects  # the clients of object stores are slow to import

    return Objects(place)
