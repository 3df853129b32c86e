"""Putting back what was lost or damaged: from the twin of a shared object, from the commits, from a replica.

A name of an archive stands for one content for ever, whose SHA-256 the log knows. So mending writes the right bytes
under the old name and needs no commit: it may be killed anywhere, repeated, and done by several at once. A commit that
is missing is created only if its number is free, like any other; who has written there meanwhile is never overwritten.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Literal

from ae_core.archive.chain import Chain, check_chain, link_name
from ae_core.archive.fields import MAX_COMMIT, sha256_hex
from ae_core.archive.findings import Finding
from ae_core.archive.format import LayerFile, ObjectRef, read_manifest
from ae_core.archive.log import open_archive, read_log
from ae_core.archive.names import PARTITIONS, checkpoint_number
from ae_core.archive.state import State, advance, checkpoint_bytes
from ae_core.archive.store import NameTaken, OutcomeUnknown, Store
from ae_core.errors import Corrupt, LatentlakeError, StoreUnsafe, UsageError

Origin = Literal["twin", "commits", "replica"]
"""Where the bytes came from; "commits": a checkpoint, made again."""


@dataclass(frozen=True)
class Repaired:
    """An object that has its bytes again."""

    name: str
    length: int
    origin: Origin


def repair_log(store: Store, replica: Store) -> list[Repaired]:
    """Restore marker and commits that are lost or damaged from a replica, as far as what is left stands by them.

    Raises
    ------
    UsageError
        If the replica is not one of this archive.
    StoreUnsafe
        If the store does not take what is restored.
    """
    here, there = check_chain(store), check_chain(replica)
    if not any(here.hashes.get(number) == sha256 for number, sha256 in there.hashes.items() if _sound(there, number)):
        raise UsageError(
            f"{replica.url} is not a replica of {store.url}: they have neither marker nor commit in common"
        )
    repaired = []
    for number in range(-1, here.top + 1):
        if _sound(here, number):
            if _sound(there, number) and here.hashes[number] != there.hashes[number]:
                break  # from here on the replica has a history of its own
            continue
        data = replica.read(link_name(number), MAX_COMMIT) if _sound(there, number) else None
        if data is None or here.expected.get(number, sha256_hex(data)) != sha256_hex(data):
            continue
        if _put_link(store, link_name(number), data):
            repaired.append(Repaired(link_name(number), len(data), "replica"))
    return repaired


def repair_objects(
    store: Store,
    findings: Iterable[Finding],
    *,
    replica: Store | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> list[Repaired]:
    """Restore the objects that findings are about, as far as their bytes are found; manifests bring their layers.

    Raises
    ------
    StoreUnsafe
        If the store does not take what is restored.
    """
    todo = [finding for finding in findings if finding.wanted is not None]
    repaired: list[Repaired] = []
    for done, finding in enumerate(todo):
        assert finding.wanted is not None
        origin = _restore(store, finding.wanted, finding.copies, replica)
        if origin is not None:
            repaired.append(Repaired(finding.name, finding.wanted.length, origin))
            if finding.partition is not None and finding.layer is None and replica is not None:
                repaired += _repair_layers(store, finding.wanted, replica)
        if progress:
            progress(done + 1, len(todo))
    return list(dict.fromkeys(repaired))


def put_back(store: Store, ref: ObjectRef, pieces: Iterable[bytes]) -> None:
    """The object with the right bytes, read back.

    Raises
    ------
    StoreUnsafe
    """
    store.restore(ref.name, pieces)
    if store.digest(ref.name) != (ref.length, ref.sha256):
        raise StoreUnsafe(f"{store.url}: {ref.name} was put back and is still not what it should be")


def _sound(chain: Chain, number: int) -> bool:
    return chain.uid is not None if number == -1 else number in chain.commits


def _put_link(store: Store, name: str, data: bytes) -> bool:
    """Whether marker or commit `name` got these bytes; who has written there meanwhile is not overwritten."""
    before = _read(store, name)
    if before is None:
        with suppress(NameTaken, OutcomeUnknown):
            store.create(name, data)
    elif before != data:
        store.restore(name, [data])
    return before != data and _read(store, name) == data


def _read(store: Store, name: str) -> bytes | None:
    """A marker or commit; b"" for what cannot be read, None if it is missing."""
    try:
        return store.read(name, MAX_COMMIT)
    except Corrupt:
        return b""


def _restore(store: Store, ref: ObjectRef, copies: tuple[str, ...], replica: Store | None) -> Origin | None:
    """Put the bytes back that an object should have, in pieces; where they were found, None if nowhere."""
    places: list[tuple[Store, str, Origin]] = [(store, name, "twin") for name in copies if name != ref.name]
    if replica is not None:
        places += [(replica, name, "replica") for name in dict.fromkeys((ref.name, *copies))]
    for place, name, origin in places:
        try:
            put_back(store, ref, place.pieces(name, ref.length, ref.sha256))
        except Corrupt:
            continue
        return origin
    data = _checkpoint_again(store, ref) if checkpoint_number(ref.name) >= 0 else None
    if data is None:
        return None
    put_back(store, ref, [data])
    return "commits"


def _checkpoint_again(store: Store, ref: ObjectRef) -> bytes | None:
    """A checkpoint as the commits say it was."""
    try:
        archive = open_archive(store.url, store=store)
        state = advance(State(), read_log(archive, number=checkpoint_number(ref.name)))
    except LatentlakeError:
        return None
    data = checkpoint_bytes(state, archive.marker.archive)
    return data if sha256_hex(data) == ref.sha256 else None


def _repair_layers(store: Store, ref: ObjectRef, replica: Store) -> Iterator[Repaired]:
    """The layers of a manifest that is back: nobody knew before what they should be."""
    for layer in _layers(store, ref):
        file = layer.file
        try:
            whole = store.digest(file.name) == (file.length, file.sha256)
        except Corrupt:
            whole = False
        origin = None if whole else _restore(store, file, (), replica)
        if origin is not None:
            yield Repaired(file.name, file.length, origin)


def _layers(store: Store, ref: ObjectRef) -> tuple[LayerFile, ...]:
    if not ref.name.startswith(f"{PARTITIONS}/"):
        return ()
    try:
        return read_manifest(store.get(ref.name, ref.length, ref.sha256), ref.name).layers
    except Corrupt:
        return ()
