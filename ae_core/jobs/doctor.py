"""Is a store safe to commit to, and to expire originals from: each property tried on objects that are removed again."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import cast

from ae_core.archive import probes
from ae_core.archive.local import LocalStore
from ae_core.archive.names import TEMPORARY, new_uid
from ae_core.archive.objects import ObjectStore
from ae_core.archive.store import open_store
from ae_core.errors import LatentlakeError, StoreUnsafe
from ae_core.jobs.care_results import DoctorCheck, DoctorReport
from ae_core.remote.identity import identity_of
from ae_core.remote.places import locate

RACES = 4
MOST_SKEW = 900.0
"""Seconds: S3 refuses requests that are further off, and grace times count by the store's clock."""

Store = LocalStore | ObjectStore


def doctor(url: str) -> DoctorReport:
    """Probe the store at `url`, a path or URL where an archive is or could be.

    Raises
    ------
    UsageError
        When the URL is not one of a store.
    """
    start = time.perf_counter()
    place = locate(url)
    with _opened(url) as store:
        checks = [
            _run("create-if-absent", True, lambda: probes.create_once(store)),
            _run(f"create-if-absent, {probes.RACERS} at once", True, lambda: _races(store)),
            _run("read after write", True, lambda: probes.read_after_write(store)),
            _run("list after write", True, lambda: probes.list_after_write(store)),
            _conditional_delete(store),
        ]
        skew, clock = _clock(store)
        identity = identity_of(store.objects) if isinstance(store, ObjectStore) else _owner()
    return DoctorReport(
        url=url,
        protocol=place.protocol,
        endpoint=place.profile.endpoint if place.profile else None,
        profile=(place.profile.name or None) if place.profile else None,
        identity=identity,
        safe=all(check.ok for check in checks if check.needed),
        conditional_delete=checks[-1].ok,
        clock_skew=skew,
        checks=(*checks, clock),
        seconds=time.perf_counter() - start,
    )


@contextlib.contextmanager
def _opened(url: str) -> Iterator[Store]:
    """The store; on a local disk the nearest folder that exists, left as it was found."""
    place = locate(url)
    if not place.local:
        yield cast("Store", open_store(url))
        return
    root = Path(place.path).absolute()
    while not root.is_dir() and root != root.parent:
        root = root.parent
    scratch = root / TEMPORARY
    there = scratch.exists()
    try:
        yield cast("Store", open_store(str(root)))
    finally:
        if not there:
            with contextlib.suppress(OSError):
                scratch.rmdir()


def _run(name: str, needed: bool, proof: Callable[[], str | None]) -> DoctorCheck:
    start = time.perf_counter()
    try:
        problem = proof()
    except LatentlakeError as error:
        problem = str(error)
    return DoctorCheck(name, needed, problem is None, problem or "yes", time.perf_counter() - start)


def _races(store: Store) -> str | None:
    for _ in range(RACES):
        if (problem := probes.create_in_a_race(store)) is not None:
            return problem
    return None


def _conditional_delete(store: Store) -> DoctorCheck:
    name = "delete on condition of the version"
    if isinstance(store, LocalStore):
        how = "not needed on a disk: a file is moved aside, hashed, and put back if it is another"
        return DoctorCheck(name, needed=False, ok=True, detail=how, seconds=0.0)
    return _run(name, False, lambda: _keeps_what_changed(store))


def _keeps_what_changed(store: ObjectStore) -> str | None:
    """None if an object is kept that was replaced since its version was noted, and removed when it was not."""
    name = f"{TEMPORARY}/probe-{new_uid()}"
    try:
        store.put_new(name, b"first")
        first = store.token(name)
        if not first:
            return "the store tells no version of an object: originals there are never expired"
        store.replace(name, b"a newer one")
        if store.delete_version(name, first) == "deleted" or store.size(name) is None:
            return "an object was removed that had changed: originals there are never expired"
        if store.delete_version(name, store.token(name) or "") != "deleted" or store.size(name) is not None:
            return "an unchanged object was not removed: originals there are never expired"
        return None
    finally:
        with contextlib.suppress(StoreUnsafe):
            store.delete(name)


def _clock(store: Store) -> tuple[float | None, DoctorCheck]:
    """Seconds that the store's clock is ahead of this machine's, about."""
    start = time.perf_counter()
    before = time.time()
    try:
        there = store.clock()
    except LatentlakeError as error:
        return None, DoctorCheck(
            "clock", needed=False, ok=False, detail=str(error), seconds=time.perf_counter() - start
        )
    after = time.time()
    skew = 0.0 if before - 1 <= there <= after + 1 else there - (before + after) / 2  # stores tell whole seconds
    ok = abs(skew) < MOST_SKEW
    detail = f"{abs(skew):.0f} s {'ahead of' if skew > 0 else 'behind'} this machine" if skew else "as this machine's"
    return round(skew, 3), DoctorCheck("clock", False, ok, detail, time.perf_counter() - start)


def _owner() -> str:
    import getpass

    return f"user {getpass.getuser()}"
