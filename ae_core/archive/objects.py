"""An archive in an object store: S3, Azure Blob Storage or Google Cloud Storage, through their fsspec clients.

A small object is created by one conditional PUT. Whether it landed is never taken from the answer alone: clients ask
again by themselves, so that an object of our own looks like a conflict when an answer was lost.
"""

from __future__ import annotations

import contextlib
import hashlib
import tempfile
import time
from collections.abc import Iterable, Iterator
from typing import IO

from ae_core.archive.contract import PIECE, Listed, NameTaken, OutcomeUnknown, check_object, check_pieces
from ae_core.archive.names import TEMPORARY, checked, is_name, new_uid
from ae_core.archive.probes import prove
from ae_core.errors import Corrupt, StoreUnreachable, StoreUnsafe
from ae_core.remote.objects import Deleted, Objects, Patience
from ae_core.remote.places import Place
from ae_core.remote.versions import modified, token_of


class ObjectStore:
    """See `contract.Store`."""

    def __init__(self, place: Place, patience: Patience | None = None) -> None:
        self.objects = Objects(place, patience)
        self._root = place.path

    @property
    def url(self) -> str:
        """The archive's URL."""
        return self.objects.place.url.rstrip("/")

    def create(self, name: str, data: bytes) -> None:
        """See `Store.create`."""
        try:
            self.objects.create(self._path(name), data)
        except FileExistsError:
            raise NameTaken(name) from None
        except TimeoutError:
            raise OutcomeUnknown(name) from None

    def put_new(self, name: str, data: bytes) -> None:
        """See `Store.put_new`; asked again until the object is there with its bytes, or the deadline has passed."""
        path = self._path(name)
        end = time.monotonic() + self.objects.patience.of(len(data))[1]
        pause = 0.1
        while True:
            with contextlib.suppress(FileExistsError, TimeoutError):
                self.objects.create(path, data, limit=end - time.monotonic())
            with contextlib.suppress(StoreUnreachable):
                size = self.size(name)
                if size == len(data):
                    return
                if size is not None:
                    raise StoreUnsafe(f"{self.url}: {name} was stored with {size} bytes in place of {len(data)}")
            if time.monotonic() + pause > end:
                raise StoreUnreachable(f"{self.url}: {name} could not be written in time; run again")
            time.sleep(pause)
            pause = min(2 * pause, 5.0)

    def restore(self, name: str, pieces: Iterable[bytes]) -> None:
        """See `Store.restore`; gathered in a local file first, since a store takes it whole or not at all."""
        with tempfile.NamedTemporaryFile(prefix="latentlake-") as file:
            for piece in pieces:
                self._gather(file, piece, name)
            self.objects.put_file(file.name, self._path(name))

    def _gather(self, file: IO[bytes], piece: bytes, name: str) -> None:
        try:
            file.write(piece)
            file.flush()
        except OSError as error:
            raise StoreUnsafe(
                f"{self.url}: {name} could not be gathered in {tempfile.gettempdir()} ({error.strerror}); make space "
                "there, or set TMPDIR"
            ) from None

    def read(self, name: str, limit: int) -> bytes | None:
        """See `Store.read`."""
        try:
            data = self.objects.read(self._path(name), 0, limit + 1)
        except FileNotFoundError:
            return None
        if len(data) > limit:
            raise Corrupt(f"{name}: larger than the {limit} bytes that such a file may have")
        return data

    def get(self, name: str, length: int, sha256: str) -> bytes:
        """See `Store.get`."""
        data = self._range(name, 0, length + 1)
        if len(data) > length:
            raise Corrupt(f"{name}: {self.size(name)} bytes, should be {length}")
        return check_object(data, name, length, sha256)

    def pieces(self, name: str, length: int, sha256: str) -> Iterator[bytes]:
        """See `Store.pieces`."""
        size = self.size(name)
        if size is None:
            raise Corrupt(f"{name}: missing")
        return check_pieces(self._read_on(name, size), name, length, sha256)

    def get_range(self, name: str, offset: int, length: int, sha256: str) -> bytes:
        """See `Store.get_range`."""
        data = self._range(name, offset, offset + length)
        if len(data) < length:
            raise Corrupt(f"{name}: {self.size(name)} bytes, at least {offset + length} are needed")
        return check_object(data, f"{name} (bytes {offset} to {offset + length})", length, sha256)

    def digest(self, name: str) -> tuple[int, str] | None:
        """See `Store.digest`."""
        size = self.size(name)
        if size is None:
            return None
        found, read = hashlib.sha256(), 0
        for piece in self._read_on(name, size):
            found.update(piece)
            read += len(piece)
        return read, found.hexdigest()

    def size(self, name: str) -> int | None:
        """See `Store.size`."""
        try:
            return int(self.objects.info(self._path(name))["size"])
        except FileNotFoundError:
            return None

    def list(self, prefix: str) -> Iterator[Listed]:
        """See `Store.list`."""
        top = self._path(prefix) if prefix else self._root
        for path, info in self.objects.find(top).items():
            name = path[len(self._root) + 1 :]
            if name and not name.endswith("/"):  # consoles make an object of a folder's name
                yield Listed(name, int(info["size"]) if is_name(name) else None, modified(info))

    def delete(self, name: str) -> None:
        """See `Store.delete`."""
        self.objects.delete(self._path(name))

    def clock(self) -> float:
        """See `Store.clock`."""
        name = f"{TEMPORARY}/clock-{new_uid()}"
        try:
            self.put_new(name, b"clock")
            moment = modified(self.objects.info(self._path(name)))
        finally:
            with contextlib.suppress(StoreUnsafe):
                self.delete(name)
        if moment is None:
            raise StoreUnsafe(f"{self.url}: the store does not tell when an object was written")
        return moment

    def probe(self) -> None:
        """See `Store.probe`; the creation is proved in a race too."""
        prove(self)

    def token(self, name: str) -> str | None:
        """The version of an object; None if it is missing."""
        try:
            return token_of(self.objects.info(self._path(name)))
        except FileNotFoundError:
            return None

    def replace(self, name: str, data: bytes) -> None:
        """Overwrite an object: only what probes a store does that."""
        self.objects.put(self._path(name), data)

    def delete_version(self, name: str, token: str) -> Deleted:
        """Remove an object if it still is the version `token`, in one request."""
        return self.objects.delete_version(self._path(name), token)

    def _path(self, name: str) -> str:
        return f"{self._root}/{checked(name)}"

    def _read_on(self, name: str, size: int) -> Iterator[bytes]:
        """An object of that size in pieces; fewer where it ends before."""
        read = 0
        while read < size and (piece := self._range(name, read, min(size, read + PIECE))):
            read += len(piece)
            yield piece

    def _range(self, name: str, start: int, end: int) -> bytes:
        try:
            return self.objects.read(self._path(name), start, end)
        except FileNotFoundError:
            raise Corrupt(f"{name}: missing") from None
