"""An archive in memory: what reading needs of a store, with any bytes under any name."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping

from ae_core.archive.names import checked
from ae_core.archive.store import Listed, check_object
from ae_core.errors import Corrupt


class MemoryStore:
    """Objects by name; nothing can be written."""

    url = "memory"

    def __init__(self, objects: Mapping[str, bytes]) -> None:
        self.objects = objects

    def read(self, name: str, limit: int) -> bytes | None:
        data = self.objects.get(checked(name))
        if data is not None and len(data) > limit:
            raise Corrupt(f"{name}: larger than {limit} bytes")
        return data

    def get(self, name: str, length: int, sha256: str) -> bytes:
        return check_object(self._there(name), name, length, sha256)

    def pieces(self, name: str, length: int, sha256: str) -> Iterator[bytes]:
        return iter((self.get(name, length, sha256),))

    def get_range(self, name: str, offset: int, length: int, sha256: str) -> bytes:
        return check_object(self._there(name)[offset : offset + length], name, length, sha256)

    def digest(self, name: str) -> tuple[int, str] | None:
        data = self.objects.get(checked(name))
        return None if data is None else (len(data), hashlib.sha256(data).hexdigest())

    def size(self, name: str) -> int | None:
        data = self.objects.get(checked(name))
        return None if data is None else len(data)

    def list(self, prefix: str) -> Iterator[Listed]:
        return (Listed(name, len(data)) for name, data in self.objects.items() if name.startswith(prefix))

    def create(self, name: str, data: bytes) -> None:
        raise NotImplementedError

    put_new = create

    def restore(self, name: str, pieces: Iterable[bytes]) -> None:
        raise NotImplementedError

    def delete(self, name: str) -> None:
        raise NotImplementedError

    def probe(self) -> None:
        raise NotImplementedError

    def clock(self) -> float:
        raise NotImplementedError

    def _there(self, name: str) -> bytes:
        data = self.objects.get(checked(name))
        if data is None:
            raise Corrupt(f"{name}: missing")
        return data
