"""An archive on a local disk, which is walked without following links."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import io
import os
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path

from ae_core.archive.contract import PIECE, Listed, NameTaken, Step, check_object, check_pieces
from ae_core.archive.names import TEMPORARY, checked, is_name, new_uid, own_folder
from ae_core.errors import CommitUnknown, Corrupt, LatentlakeError, OutputExists, StoreUnsafe, UsageError

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


@contextlib.contextmanager
def _readable(name: str) -> Iterator[None]:
    """Turn a disk's error while reading into `Corrupt`."""
    try:
        yield
    except OSError as error:
        raise Corrupt(f"{name}: cannot be read ({error.strerror})") from None


def _read_on(file: io.FileIO, name: str) -> Iterator[bytes]:
    """The rest of a file in pieces."""
    while True:
        with _readable(name):
            piece = file.read(PIECE)
        if not piece:
            return
        yield piece


def _not_opened(name: str, error: OSError) -> LatentlakeError:
    """What it means that an object cannot be opened: damage, or something that the caller can change."""
    fixable = error.errno in (errno.EACCES, errno.EPERM, errno.EMFILE, errno.ENFILE, errno.ENOMEM)
    return (UsageError if fixable else Corrupt)(f"{name}: cannot be opened ({error.strerror})")


def make_root(root: Path) -> None:
    """Make the folder of an archive where it is missing.

    Raises
    ------
    OutputExists, StoreUnsafe
    """
    try:
        root.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError):
        raise OutputExists(f"{root}: a file is in the way; an archive needs a folder of its own") from None
    except OSError as error:
        raise StoreUnsafe(f"{root} could not be made ({error.strerror})") from None


class LocalStore:
    """An archive on a local disk.

    An object is written to `_tmp/`, synced, and linked to its name, which fails if the name is taken; then the folder
    is synced. A failed sync is final: what the disk holds then is not known.
    """

    def __init__(self, root: Path, step: Step | None = None) -> None:
        self._root = root
        self._step = step or (lambda _: None)
        self._synced: set[str] = set()

    @property
    def url(self) -> str:
        """Path of the archive's folder."""
        return str(self._root)

    def create(self, name: str, data: bytes) -> None:
        """See `Store.create`."""
        self._publish(checked(name), [data])

    def put_new(self, name: str, data: bytes) -> None:
        """See `Store.put_new`."""
        try:
            self._publish(checked(name), [data])
        except NameTaken:
            raise StoreUnsafe(f"{self.url}: {name} exists already under a name that is random") from None
        if self.size(name) != len(data):
            raise StoreUnsafe(f"{self.url}: {name} was not stored with its {len(data)} bytes")

    def restore(self, name: str, pieces: Iterable[bytes]) -> None:
        """See `Store.restore`."""
        self._publish(checked(name), pieces, replacing=True)

    def read(self, name: str, limit: int) -> bytes | None:
        """See `Store.read`."""
        try:
            handle = self._open(name)
        except FileNotFoundError:
            return None
        with os.fdopen(handle, "rb") as file, _readable(name):
            data = file.read(limit + 1)
        if len(data) > limit:
            raise Corrupt(f"{name}: larger than the {limit} bytes that such a file may have")
        return data

    def get(self, name: str, length: int, sha256: str) -> bytes:
        """See `Store.get`."""
        size, data = self._bytes(name, 0, length)
        if size != length:
            raise Corrupt(f"{name}: {size} bytes, should be {length}")
        return check_object(data, name, length, sha256)

    def pieces(self, name: str, length: int, sha256: str) -> Iterator[bytes]:
        """See `Store.pieces`."""
        try:
            handle = self._open(name)
        except FileNotFoundError:
            raise Corrupt(f"{name}: missing") from None
        with os.fdopen(handle, "rb", buffering=0) as file:
            yield from check_pieces(_read_on(file, name), name, length, sha256)

    def get_range(self, name: str, offset: int, length: int, sha256: str) -> bytes:
        """See `Store.get_range`."""
        _, data = self._bytes(name, offset, length)
        return check_object(data, f"{name} (bytes {offset} to {offset + length})", length, sha256)

    def digest(self, name: str) -> tuple[int, str] | None:
        """See `Store.digest`."""
        try:
            handle = self._open(name)
        except FileNotFoundError:
            return None
        with os.fdopen(handle, "rb", buffering=0) as file, _readable(name):
            found = hashlib.file_digest(file, "sha256").hexdigest()
            return file.tell(), found

    def size(self, name: str) -> int | None:
        """See `Store.size`."""
        try:
            handle = self._open(name)
        except FileNotFoundError:
            return None
        try:
            return os.fstat(handle).st_size
        finally:
            os.close(handle)

    def list(self, prefix: str) -> Iterator[Listed]:
        """See `Store.list`."""
        top = self._root / checked(prefix) if prefix else self._root
        pending = [(top, prefix)]
        while pending:
            folder, path = pending.pop()
            try:
                entries = list(os.scandir(folder))
            except FileNotFoundError:
                continue
            except OSError as error:
                raise _not_opened(path or self.url, error) from None
            for entry in entries:
                name = f"{path}/{entry.name}" if path else entry.name
                if entry.is_dir(follow_symlinks=False) and is_name(name):
                    pending.append((Path(entry.path), name))
                elif entry.is_file(follow_symlinks=False) and is_name(name):
                    with contextlib.suppress(FileNotFoundError):
                        status = entry.stat(follow_symlinks=False)
                        yield Listed(name, status.st_size, status.st_mtime)
                else:
                    yield Listed(name, None)

    def delete(self, name: str) -> None:
        """See `Store.delete`; the folder is synced, so that a deleted object does not come back."""
        folder, _, last = checked(name).rpartition("/")
        try:
            with self._walked(folder) as current:
                self._step(f"delete {name}")
                os.unlink(last, dir_fd=current)
                os.fsync(current)
                self._step(f"deleted {name}")
            if own_folder(folder):
                with contextlib.suppress(OSError):  # not empty yet, or gone
                    (self._root / folder).rmdir()
        except FileNotFoundError:
            return
        except OSError as error:
            raise StoreUnsafe(f"{self.url}: {name} could not be deleted ({error.strerror})") from None

    def clock(self) -> float:
        """See `Store.clock`."""
        name = f"{TEMPORARY}/clock-{new_uid()}"
        try:
            self._publish(name, [])
            return os.stat(self._root / name, follow_symlinks=False).st_mtime
        finally:
            with contextlib.suppress(OSError):
                os.unlink(self._root / name)

    def probe(self) -> None:
        """See `Store.probe`."""
        name = f"{TEMPORARY}/probe-{new_uid()}"
        try:
            self._publish(name, [b"one"])
            with contextlib.suppress(NameTaken):
                self._publish(name, [b"two"])
                raise StoreUnsafe(f"{self.url}: an object that exists can be created again, so commits could be lost")
            if self.read(name, 3) != b"one" or not any(entry.name == name for entry in self.list(TEMPORARY)):
                raise StoreUnsafe(f"{self.url}: an object that was just stored is not read or listed as it is")
        finally:
            with contextlib.suppress(OSError):
                os.unlink(self._root / name)

    def _publish(self, name: str, pieces: Iterable[bytes], *, replacing: bool = False) -> None:
        """Temporary file, sync, exclusive link (or a rename over what is there), sync of the folder."""
        folder, _, last = name.rpartition("/")
        temporary = new_uid()
        try:
            with self._made(TEMPORARY) as scratch, self._made(folder) as target:
                try:
                    self._write(scratch, temporary, pieces, name)
                    self._step(f"link {name}")
                    if replacing:
                        os.rename(temporary, last, src_dir_fd=scratch, dst_dir_fd=target)
                    else:
                        os.link(temporary, last, src_dir_fd=scratch, dst_dir_fd=target, follow_symlinks=False)
                    self._step(f"linked {name}")
                finally:
                    with contextlib.suppress(FileNotFoundError):
                        os.unlink(temporary, dir_fd=scratch)
                self._step(f"clean {name}")
                self._sync_folder(target, name)
                self._step(f"synced {name}")
        except FileExistsError:
            raise NameTaken(name) from None
        except OSError as error:
            hint = ": hard links are needed" if error.errno in (errno.EPERM, errno.EOPNOTSUPP, errno.EMLINK) else ""
            raise StoreUnsafe(f"{self.url}: {name} could not be written ({error.strerror}){hint}") from None

    def _write(self, scratch: int, temporary: str, pieces: Iterable[bytes], name: str) -> None:
        self._step(f"open {name}")
        handle = os.open(temporary, _NEW, 0o644, dir_fd=scratch)
        with os.fdopen(handle, "wb", buffering=0) as file:
            self._step(f"write {name}")
            for piece in pieces:
                view = memoryview(piece)
                while view:
                    view = view[file.write(view) :]
            self._step(f"sync {name}")
            os.fsync(handle)

    def _sync_folder(self, target: int, name: str) -> None:
        try:
            os.fsync(target)
        except OSError as error:
            raise CommitUnknown(
                f"{self.url}: {name} is there but its folder could not be synced ({error.strerror}): "
                "whether it survives a power loss is unknown"
            ) from None

    @contextlib.contextmanager
    def _made(self, folder: str) -> Iterator[int]:
        """Descriptor of a folder of the archive, made (and its parent synced) where missing."""
        current = os.open(self._root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        path = ""
        try:
            for part in filter(None, folder.split("/")):
                path = f"{path}/{part}"
                if path not in self._synced:
                    self._step(f"folder {path[1:]}")
                    with contextlib.suppress(FileExistsError):
                        os.mkdir(part, 0o755, dir_fd=current)
                    os.fsync(current)  # also when another process made it: it may not have come to its own sync
                    self._synced.add(path)
                inner = os.open(part, _FOLDER, dir_fd=current)
                os.close(current)
                current = inner
            yield current
        finally:
            os.close(current)

    @contextlib.contextmanager
    def _walked(self, folder: str) -> Iterator[int]:
        """Descriptor of a folder of the archive, reached without following a link below the root."""
        current = os.open(self._root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            for part in filter(None, folder.split("/")):
                inner = os.open(part, _FOLDER, dir_fd=current)
                os.close(current)
                current = inner
            yield current
        finally:
            os.close(current)

    def _open(self, name: str) -> int:
        """Descriptor of a regular file, reached without following a link below the root."""
        folder, _, last = checked(name).rpartition("/")
        try:
            with self._walked(folder) as current:
                handle = os.open(last, _FILE, dir_fd=current)
        except FileNotFoundError:
            raise
        except OSError as error:
            raise _not_opened(name, error) from None
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            os.close(handle)
            raise Corrupt(f"{name}: not a regular file")
        return handle

    def _bytes(self, name: str, offset: int, length: int) -> tuple[int, bytes]:
        """Size of the file, and up to `length` of its bytes from `offset` on."""
        try:
            handle = self._open(name)
        except FileNotFoundError:
            raise Corrupt(f"{name}: missing") from None
        with os.fdopen(handle, "rb", buffering=0) as file, _readable(name):
            size = os.fstat(handle).st_size
            if size < offset + length:
                raise Corrupt(f"{name}: {size} bytes, at least {offset + length} are needed")
            file.seek(offset)
            parts = []
            while length and (part := file.read(length)):
                parts.append(part)
                length -= len(part)
        return size, b"".join(parts)
