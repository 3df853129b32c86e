"""What the archive asks of any store: the calls, what they raise, and the check that every read ends with."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Protocol

from ae_core.archive.fields import sha256_hex
from ae_core.errors import Corrupt

Step = Callable[[str], None]
"""Called with the name of every step before it is taken; tests stop or kill the writer there."""


class NameTaken(Exception):
    """`create` found an object of that name; it may be our own, from a request whose answer was lost."""


class OutcomeUnknown(Exception):
    """`create` got no answer: the object may or may not be there, now or later."""


@dataclass(frozen=True)
class Listed:
    """One entry of a listing; `size` in bytes, None if it is not a regular file or has a name not allowed here.

    `modified` is when it was stored, in seconds since 1970 by the store's own clock (see `Store.clock`); None where
    the store does not tell.
    """

    name: str
    size: int | None
    modified: float | None = field(default=None, compare=False)


class Store(Protocol):
    """The calls that the archive makes. Names are relative to its root."""

    @property
    def url(self) -> str:
        """The archive's place, for messages; without credentials."""
        ...

    def create(self, name: str, data: bytes) -> None:
        """Store a small object if and only if the name is free, in one step.

        Raises
        ------
        NameTaken, OutcomeUnknown, StoreUnsafe
        """
        ...

    def put_new(self, name: str, data: bytes) -> None:
        """Store an object of any size under a name that nobody else can pick.

        Raises
        ------
        StoreUnsafe
            If it could not be stored, or not with its full length.
        """
        ...

    def restore(self, name: str, pieces: Iterable[bytes]) -> None:
        """Put the bytes that an object should have in the place of what was lost or damaged, in one step.

        Only for bytes whose SHA-256 the log gives for this very name: whoever reads meanwhile finds the damage or what
        was there before it, never a third thing, and two who mend at once store the same. Nothing is stored before the
        last piece is there; what `pieces` raises goes through, and leaves everything as it was.

        Raises
        ------
        StoreUnsafe
            If it could not be stored.
        """
        ...

    def read(self, name: str, limit: int) -> bytes | None:
        """All bytes of an object whose length is not known beforehand; None if it is missing.

        Raises
        ------
        Corrupt
            If it is larger than `limit` bytes or is not a regular object.
        """
        ...

    def get(self, name: str, length: int, sha256: str) -> bytes:
        """All bytes of an object.

        Raises
        ------
        Corrupt
            If it is missing or differs in length or SHA-256; the message names it.
        """
        ...

    def pieces(self, name: str, length: int, sha256: str) -> Iterator[bytes]:
        """All bytes of an object of any size, in order; they may be believed once the last piece is there.

        Raises
        ------
        Corrupt
            Like `get`, at the latest after the last piece.
        """
        ...

    def get_range(self, name: str, offset: int, length: int, sha256: str) -> bytes:
        """`length` bytes from `offset` on, whose SHA-256 is known.

        Raises
        ------
        Corrupt
        """
        ...

    def digest(self, name: str) -> tuple[int, str] | None:
        """Length in bytes and SHA-256 of an object, read in pieces; None if it is missing.

        Raises
        ------
        Corrupt
            If it cannot be read.
        """
        ...

    def size(self, name: str) -> int | None:
        """Length of an object in bytes; None if it is missing."""
        ...

    def list(self, prefix: str) -> Iterator[Listed]:
        """Everything under a folder ("" for all of the archive), in no particular order, never from a cache."""
        ...

    def delete(self, name: str) -> None:
        """Remove an object; nothing happens where there is none.

        Raises
        ------
        StoreUnsafe
            If the store does not let it go.
        """
        ...

    def clock(self) -> float:
        """Seconds since 1970 UTC by the store's own clock, read from an object that is made for it.

        Raises
        ------
        StoreUnsafe
        """
        ...

    def probe(self) -> None:
        """Prove create-if-absent, read-after-write and list-after-write.

        Raises
        ------
        StoreUnsafe
        """
        ...


PIECE = 16 << 20
"""Most bytes of an object that are held where it is read or stored in pieces."""


def check_pieces(pieces: Iterable[bytes], name: str, length: int, sha256: str) -> Iterator[bytes]:
    """The pieces themselves; after the last it is checked that together they have that length and SHA-256.

    Raises
    ------
    Corrupt
    """
    found, size = hashlib.sha256(), 0
    for piece in pieces:
        found.update(piece)
        size += len(piece)
        yield piece
    if size != length:
        raise Corrupt(f"{name}: {size} bytes, should be {length}")
    if found.hexdigest() != sha256:
        raise Corrupt(f"{name}: SHA-256 {found.hexdigest()}, should be {sha256}")


def check_object(data: bytes, name: str, length: int, sha256: str) -> bytes:
    """`data` itself, if it has that length and SHA-256.

    Raises
    ------
    Corrupt
    """
    if len(data) != length:
        raise Corrupt(f"{name}: {len(data)} bytes, should be {length}")
    found = sha256_hex(data)
    if found != sha256:
        raise Corrupt(f"{name}: SHA-256 {found}, should be {sha256}")
    return data
