"""Calls to an object store that end in time: every one has a deadline, and is repeated while the store is only busy.

The clients' own time-outs do not hold against a server that takes a request and never answers, so each request runs
under `fsspec.asyn.sync` with a limit. Nothing is cached: neither listings nor filesystem objects of others.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from ae_core.errors import LatentlakeError, StoreDenied, StoreUnreachable, StoreUnsafe, UsageError
from ae_core.remote.failures import Failure, failure_of, first_line
from ae_core.remote.places import Place
from ae_core.remote.profiles import Access, StoreProfile, access

_PACKAGES = {"s3": ("s3fs", "s3"), "az": ("adlfs", "azure"), "gs": ("gcsfs", "gcs")}
_READ_AHEAD = 1 << 20
_UPLOADS: dict[str, dict[str, Any]] = {
    "s3": {"chunksize": 16 << 20, "max_concurrency": 1},
    "az": {"max_concurrency": 1},
    "gs": {"chunksize": 16 << 20},
}
"""How a file goes up: one part after the other, so that memory does not grow with it."""
_AMBIENT = ("AWS_", "AZURE_", "GOOGLE_", "STORAGE_EMULATOR_HOST")
"""Variables that the clients look their ambient credentials up in."""
Deleted = Literal["deleted", "changed", "absent"]


@dataclass(frozen=True)
class Patience:
    """Seconds that one request may take, and a call with all its repetitions; both grow with the bytes moved."""

    request: float = 30.0
    call: float = 90.0
    listing: float = 600.0
    slowest: float = 128 * 1024  # bytes a second

    def of(self, size: int) -> tuple[float, float]:
        """Limits of one request and of a whole call that moves `size` bytes."""
        more = size / self.slowest
        return self.request + more, self.call + more


class Objects:
    """The objects of one store. Paths are bucket and key; errors are those of `ae_core.errors`, or FileNotFoundError.

    It has the few methods of an fsspec filesystem that a lake is read with (`isfile`, `info`, `find`, `open`).
    """

    def __init__(self, place: Place, patience: Patience | None = None) -> None:
        assert place.profile is not None
        self.place = place
        self.patience = patience or Patience()
        self.access = access(place.profile)
        self.fs = _filesystem(place.profile, self.access)

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickled as its place alone: what it was opened with holds secrets."""
        return Objects, (self.place, self.patience)

    # --- reading ---------------------------------------------------------------------------------

    def info(self, path: str) -> dict[str, Any]:
        """Size, version and time of an object, as its client tells them.

        Raises
        ------
        FileNotFoundError
            When there is no such object, whether or not others lie below that path.
        """
        found: dict[str, Any] = self._call(f"looking at {path}", self.fs._info, path)
        if found.get("type") == "directory":
            raise FileNotFoundError(path)
        return found

    def isfile(self, path: str) -> bool:
        """Whether there is an object at that path."""
        try:
            self.info(path)
        except FileNotFoundError:
            return False
        return True

    def exists(self, path: str) -> bool:
        """Whether there is an object at that path, or any below it."""
        return self.isfile(path) or bool(self.find(path))

    def read(self, path: str, start: int, end: int) -> bytes:
        """The bytes from `start` up to `end`; fewer where the object ends before.

        Raises
        ------
        FileNotFoundError
        """
        if start >= end:
            return b""
        try:
            return bytes(self._call(f"reading {path}", self.fs._cat_file, path, start=start, end=end, size=end - start))
        except EOFError:
            return b""

    def find(self, path: str, *, detail: bool = True) -> dict[str, dict[str, Any]]:
        """Every object below a path, and what the store tells of it; never from a cache."""
        assert detail
        self.fs.invalidate_cache()
        try:
            found = self._call(f"listing {path}", self.fs._find, path, detail=True, listing=True)
        except FileNotFoundError:
            return {}
        if not isinstance(found, dict):  # adlfs: the path is a file
            return {name: self.info(name) for name in found}
        return {name: info for name, info in found.items() if info.get("type") != "directory"}

    def open(self, path: str, mode: str = "rb") -> io.BufferedReader:
        """The object as a file to read from."""
        assert mode == "rb"
        return io.BufferedReader(_RangeFile(self, path), _READ_AHEAD)

    # --- writing ---------------------------------------------------------------------------------

    def create(self, path: str, data: bytes, *, limit: float | None = None) -> None:
        """One conditional PUT that makes the object if the path is free; it is not repeated here.

        Raises
        ------
        FileExistsError
            When the path is taken, be it by this very request, whose answer a client may have lost and asked again.
        TimeoutError
            When the outcome is unknown: the object may be there, now or later.
        StoreUnsafe
            When the store refuses.
        """
        self._create(path, len(data), limit, self.fs._pipe_file, path, data)

    def create_file(self, local: str, path: str) -> None:
        """`create` with the bytes of a local file; of a large one the store looks at the condition when all is there.

        Raises
        ------
        FileExistsError, TimeoutError, StoreUnsafe
        """
        if self.isfile(path):  # what a store may overlook in a large upload
            raise FileExistsError(path)
        more = _UPLOADS[self.place.protocol]
        self._create(path, os.path.getsize(local), None, self.fs._put_file, local, path, **more)

    def _create(
        self, path: str, size: int, limit: float | None, function: Callable[..., Any], *args: Any, **more: Any
    ) -> None:
        most = self.patience.of(size)[0]
        try:
            self._request(most if limit is None else min(most, limit), function, *args, mode="create", **more)
        except Exception as error:
            match failure_of(error):
                case Failure.TAKEN:
                    raise FileExistsError(path) from None
                case Failure.PASSING:
                    raise TimeoutError(self._detail(error)) from None
                case _:
                    with _writing():
                        raise self._refused(f"{path} could not be written", error) from None

    def put(self, path: str, data: bytes) -> None:
        """Make or replace an object.

        Raises
        ------
        StoreUnsafe
        """
        with _writing():
            self._call(f"writing {path}", self.fs._pipe_file, path, data, size=len(data))

    def put_file(self, local: str, path: str) -> None:
        """Make or replace an object with the bytes of a local file, and check the length that was stored.

        Raises
        ------
        StoreUnsafe
        """
        size = os.path.getsize(local)
        with _writing():
            self._call(f"writing {path}", self.fs._put_file, local, path, size=size, **_UPLOADS[self.place.protocol])
            if self.info(path)["size"] != size:
                raise StoreUnsafe(f"{self.place.url}: {path} was not stored with its {size} bytes")

    def delete(self, path: str) -> None:
        """Remove an object; nothing happens where there is none.

        Raises
        ------
        StoreUnsafe
        """
        try:
            with _writing():
                self._call(f"deleting {path}", self.fs._rm_file, path)
        except FileNotFoundError:
            return

    def delete_version(self, path: str, token: str) -> Deleted:
        """Remove an object if it still is the version that `token` (`versions.token_of`) names, in one request.

        Raises
        ------
        StoreUnsafe
        """
        remove = {"s3": self._delete_s3, "az": self._delete_azure, "gs": self._delete_google}[self.place.protocol]
        try:
            with _writing():
                self._call(f"deleting {path}", remove, path, token)
            return "deleted"
        except FileNotFoundError:
            return "absent"
        except FileExistsError:
            pass  # the condition did not hold; Azure says so of a missing blob too
        return "changed" if self.isfile(path) else "absent"

    async def _delete_s3(self, path: str, token: str) -> None:
        bucket, _, key = path.partition("/")
        await self.fs._call_s3("head_object", Bucket=bucket, Key=key)  # a delete of nothing is no error
        await self.fs._call_s3("delete_object", Bucket=bucket, Key=key, IfMatch=f'"{token}"')

    async def _delete_azure(self, path: str, token: str) -> None:
        from azure.core import MatchConditions

        container, _, blob = path.partition("/")
        async with self.fs.service_client.get_blob_client(container, blob) as client:
            await client.delete_blob(etag=f'"{token}"', match_condition=MatchConditions.IfNotModified)

    async def _delete_google(self, path: str, token: str) -> None:
        bucket, _, key = path.partition("/")
        await self.fs._call("DELETE", "b/{}/o/{}", bucket, key, ifGenerationMatch=token)

    # --- how a request is made -------------------------------------------------------------------

    def _request(self, limit: float, function: Callable[..., Any], *args: Any, **more: Any) -> Any:
        from fsspec.asyn import sync

        return sync(self.fs.loop, function, *args, timeout=max(0.01, limit), **more)

    def _call(
        self, what: str, function: Callable[..., Any], *args: Any, size: int = 0, listing: bool = False, **more: Any
    ) -> Any:
        """The answer to a request that may be repeated: full-jitter pauses, all within the deadline of the call."""
        from tenacity import Retrying, retry_if_exception, stop_after_delay, wait_random_exponential

        request, total = (self.patience.listing, self.patience.listing) if listing else self.patience.of(size)
        end = time.monotonic() + total
        retrying = Retrying(
            stop=stop_after_delay(total),
            wait=wait_random_exponential(multiplier=0.1, max=5),
            retry=retry_if_exception(lambda error: failure_of(error) is Failure.PASSING),
            reraise=True,
        )
        try:
            return retrying(lambda: self._request(min(request, end - time.monotonic()), function, *args, **more))
        except Exception as error:
            raise self._explained(what, error, total) from None

    def _explained(self, what: str, error: Exception, total: float) -> Exception:
        where = f"{self.place.url}: {what}"
        match failure_of(error):
            case Failure.MISSING:
                return FileNotFoundError(where)
            case Failure.TAKEN:
                return FileExistsError(where)
            case Failure.EMPTY:
                return EOFError(where)
            case Failure.PASSING:
                return StoreUnreachable(
                    f"{where}: the store gave no answer in {total:.0f} s ({self._detail(error)}); run again"
                )
            case _:
                return self._refused(f"{what} failed", error)

    def _refused(self, what: str, error: Exception) -> LatentlakeError:
        """The error for what repeating would not change."""
        where = f"{self.place.url}: {what}"
        match failure_of(error):
            case Failure.SKEWED:
                return StoreDenied(f"{where}: this machine's clock is more than 15 minutes off; set it right")
            case Failure.DENIED:
                from ae_core.remote.identity import identity_of

                return StoreDenied(f"{where}: access denied ({self._detail(error)}); asked as {identity_of(self)}")
            case Failure.MISSING:
                return StoreUnsafe(f"{where}: there is no such bucket or container; make it first")
            case _:
                return StoreUnsafe(f"{where} ({self._detail(error)})")

    def _detail(self, error: Exception) -> str:
        return self.access.scrub(first_line(error))


@contextlib.contextmanager
def _writing() -> Iterator[None]:
    """What the store denies while writing makes it unsafe to commit to, whatever may be read there."""
    try:
        yield
    except StoreDenied as error:
        raise StoreUnsafe(str(error)) from None


class _RangeFile(io.RawIOBase):
    """An object read in ranges, each under the store's deadline."""

    def __init__(self, objects: Objects, path: str) -> None:
        self._objects = objects
        self._path = path
        self._size = int(objects.info(path)["size"])
        self._at = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        self._at = {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._size}[whence] + offset
        return self._at

    def tell(self) -> int:
        return self._at

    def readinto(self, buffer: Any) -> int:
        end = min(self._at + len(buffer), self._size)
        data = self._objects.read(self._path, self._at, end)
        if len(data) != max(0, end - self._at):
            raise OSError(f"{self._path} changed its length while it was read")
        buffer[: len(data)] = data
        self._at += len(data)
        return len(data)


_opened: dict[tuple[Any, ...], Any] = {}
_lock = threading.Lock()


def _filesystem(profile: StoreProfile, entry: Access) -> Any:
    """The process's one filesystem for these very credentials, without listing cache and shared with nobody else."""
    import fsspec

    package, extra = _PACKAGES[profile.protocol]
    # without this gcsfs asks over gRPC what kind of bucket it is, for a minute where nothing answers
    os.environ.setdefault("GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT", "false")
    ambient = sorted(pair for pair in os.environ.items() if pair[0].startswith(_AMBIENT))
    key = (os.getpid(), profile, json.dumps([entry.options, ambient], sort_keys=True, default=str))
    with _lock:
        if key not in _opened:
            try:
                _opened[key] = fsspec.filesystem(
                    profile.protocol, use_listings_cache=False, skip_instance_cache=True, **_fresh(entry.options)
                )
            except ImportError:
                raise UsageError(f"{profile.protocol}:// needs {package}: pip install 'latentlake[{extra}]'") from None
            except Exception as error:
                name = f"store profile {profile.name}" if profile.name else f"{profile.protocol}://"
                raise StoreDenied(f"{name}: {entry.scrub(first_line(error))}") from None
        return _opened[key]


def _fresh(options: Mapping[str, Any]) -> dict[str, Any]:
    """A copy that a client may change."""
    return {name: dict(value) if isinstance(value, dict) else value for name, value in options.items()}
