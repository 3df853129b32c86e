"""A store in the guard, read by the worker: both ends of the calls."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterable, Iterator
from typing import Any, NoReturn

from ae_core import errors
from ae_core.archive.fields import MAX_COMMIT, MAX_MANIFEST
from ae_core.archive.names import FOLDERS
from ae_core.archive.store import Listed, Store
from ae_core.errors import Corrupt, LatentlakeError
from ae_core.untrusted.caps import Caps
from ae_core.untrusted.channel import ASK, DATA, FAILED, NOTHING, Channel

MAX_ASK = 1 << 16
"""Most bytes of a question."""


def pack(value: object) -> bytes:
    """JSON in ASCII."""
    return json.dumps(value, separators=(",", ":")).encode()


def pack_error(error: LatentlakeError) -> bytes:
    """An error's class and message."""
    return pack([type(error).__name__, str(error)[:4000]])


def raise_error(data: bytes | bytearray) -> NoReturn:
    """Raise the error that `pack_error` packed; `Corrupt` where it is none of ours."""
    kind, message = json.loads(data)
    found = getattr(errors, str(kind), None)
    if isinstance(found, type) and issubclass(found, LatentlakeError):
        raise found(str(message))
    raise Corrupt(str(message))


class StoreProxy:
    """The guard's store, as a worker sees it: what reading needs of `Store`, over a channel."""

    def __init__(self, channel: Channel, url: str, limit: int) -> None:
        self._channel, self._url, self._limit = channel, url, limit
        self._lock = threading.Lock()

    @property
    def url(self) -> str:
        """The archive's place, for messages."""
        return self._url

    def read(self, name: str, limit: int) -> bytes | None:
        """See `Store.read`."""
        return self._ask("read", name, limit)

    def get(self, name: str, length: int, sha256: str) -> bytes:
        """See `Store.get`."""
        return self._ask("get", name, length, sha256) or b""

    def pieces(self, name: str, length: int, sha256: str) -> Iterator[bytes]:
        """See `Store.pieces`: whole here, since nothing that a worker does copies objects."""
        return iter((self.get(name, length, sha256),))

    def get_range(self, name: str, offset: int, length: int, sha256: str) -> bytes:
        """See `Store.get_range`."""
        return self._ask("get_range", name, offset, length, sha256) or b""

    def digest(self, name: str) -> tuple[int, str] | None:
        """See `Store.digest`."""
        found = self._ask("digest", name)
        if found is None:
            return None
        length, sha256 = json.loads(found)
        return int(length), str(sha256)

    def size(self, name: str) -> int | None:
        """See `Store.size`."""
        found = self._ask("size", name)
        return None if found is None else int(json.loads(found))

    def list(self, prefix: str) -> Iterator[Listed]:
        """See `Store.list`."""
        return (Listed(name, size) for name, size in json.loads(self._ask("list", prefix) or b"[]"))

    def create(self, name: str, data: bytes) -> None:
        """Refused: a worker reads."""
        self._refuse()

    def put_new(self, name: str, data: bytes) -> None:
        """Refused: a worker reads."""
        self._refuse()

    def restore(self, name: str, pieces: Iterable[bytes]) -> None:
        """Refused: a worker reads."""
        self._refuse()

    def delete(self, name: str) -> None:
        """Refused: a worker reads."""
        self._refuse()

    def probe(self) -> None:
        """Refused: a worker reads."""
        self._refuse()

    def clock(self) -> float:
        """Refused: a store's clock is told by writing to it."""
        self._refuse()

    def _refuse(self) -> NoReturn:
        raise errors.StoreUnsafe(f"{self._url}: nothing is written where an archive is not trusted")

    def _ask(self, call: str, *arguments: object) -> bytes | None:
        with self._lock:
            self._channel.send(ASK, pack([call, *arguments]))
            kind, data = self._channel.receive(self._limit)
        if kind == FAILED:
            raise_error(data)
        return None if kind == NOTHING else bytes(data)


class StoreServer:
    """Answers a worker's questions from a store, within caps. Whatever the worker asks for is checked here."""

    def __init__(self, store: Store, caps: Caps) -> None:
        self._store, self._caps = store, caps
        self._opened: set[str] = set()

    @property
    def url(self) -> str:
        """The archive's place, for messages."""
        return self._store.url

    def answer(self, data: bytes | bytearray) -> tuple[bytes, bytes]:
        """Kind and bytes of the answer to a question.

        Raises
        ------
        LimitReached
            When the question goes beyond a cap.
        """
        call, *arguments = json.loads(data)
        try:
            found = self._call(str(call), *arguments)
        except errors.LimitReached:
            raise
        except LatentlakeError as error:
            return FAILED, pack_error(error)
        return (NOTHING, b"") if found is None else (DATA, found)

    def _call(self, call: str, name: str, *rest: Any) -> bytes | None:
        if call == "list":
            return self._list(name)
        self._opened.add(name)
        self._caps.check("objects", len(self._opened), "the archive opens")
        if call == "read":
            (limit,) = rest
            return self._store.read(name, min(limit, MAX_COMMIT))
        if call == "get":
            length, sha256 = rest
            self._check_length(name, length)
            return self._store.get(name, length, sha256)
        if call == "get_range":
            offset, length, sha256 = rest
            self._check_length(name, length)
            return self._store.get_range(name, offset, length, sha256)
        if call == "digest":
            return _packed(self._store.digest(name))
        if call == "size":
            return _packed(self._store.size(name))
        raise Corrupt(f"no such call: {call}")

    def _list(self, prefix: str) -> bytes:
        entries = []
        for entry in self._store.list(prefix):
            entries.append([entry.name, entry.size])
            self._caps.check("objects", len(entries), f"{prefix or 'the archive'} lists")
        return pack(entries)

    def _check_length(self, name: str, length: int) -> None:
        self._caps.check("bytes", length, name)
        if name.startswith(f"{FOLDERS['model']}/"):
            self._caps.check("model", length, name)
        elif (not name.startswith("partitions/") or name.endswith(".json.br")) and length > MAX_MANIFEST:
            raise Corrupt(f"{name}: {length} bytes, such a file may have {MAX_MANIFEST}")


def _packed(value: object) -> bytes | None:
    return None if value is None else pack(value)
