"""Frames between guard and worker: a kind, a length, bytes. Both sides read them with a limit."""

from __future__ import annotations

import os
import select
import time
from typing import Final

from ae_core.errors import LimitReached

ASK: Final = b"Q"
"""Worker: one call to the store, JSON."""
DATA: Final = b"D"
"""Guard: bytes or JSON that answer a call."""
NOTHING: Final = b"N"
"""Guard: there is no such object."""
FAILED: Final = b"X"
"""Either: an error as JSON, its class and message."""
READY: Final = b"C"
"""Worker: confined, and how, JSON; nothing was read before."""
NEWS: Final = b"G"
"""Worker: progress, JSON."""
HEAD: Final = b"P"
"""Worker: what is about to be decoded, JSON."""
TABLE: Final = b"T"
"""Worker: rows, one Arrow IPC stream."""
RESULT: Final = b"R"
"""Worker: the answer, JSON; its last frame."""

_HEADER: Final = 9
_PIECE: Final = 1 << 20


class Gone(Exception):
    """The other side has closed its end."""


class Channel:
    """Frames over a pair of file descriptors.

    Parameters
    ----------
    deadline
        `time.monotonic()` at which waiting for a frame ends with `LimitReached`; never if None.
    """

    def __init__(self, read: int, write: int, deadline: float | None = None) -> None:
        self._read, self._write, self._deadline = read, write, deadline

    def send(self, kind: bytes, data: bytes | bytearray | memoryview = b"") -> None:
        """Send one frame.

        Raises
        ------
        Gone, LimitReached
        """
        for part in (kind + len(data).to_bytes(8, "little"), data):
            view = memoryview(part)
            while view:
                try:
                    self._wait(self._write, writing=True)
                    view = view[os.write(self._write, view[:_PIECE]) :]
                except BrokenPipeError:
                    raise Gone from None

    def receive(self, limit: int) -> tuple[bytes, bytearray]:
        """The next frame: kind and bytes.

        Raises
        ------
        Gone
            When the other side ended.
        LimitReached
            When the frame is longer than `limit` bytes, or the deadline has passed.
        """
        header = self._exactly(_HEADER)
        length = int.from_bytes(header[1:], "little")
        if length > limit:
            raise LimitReached(f"an answer of {length} bytes, {limit} are left: raise the cap with --cap bytes=...")
        return bytes(header[:1]), self._exactly(length)

    def _exactly(self, length: int) -> bytearray:
        data = bytearray(length)
        view = memoryview(data)
        while view:
            self._wait(self._read, writing=False)
            count = os.readv(self._read, [view[:_PIECE]])
            if not count:
                raise Gone
            view = view[count:]
        return data

    def _wait(self, handle: int, *, writing: bool) -> None:
        if self._deadline is None:
            return
        left = self._deadline - time.monotonic()
        poll = select.poll()
        poll.register(handle, select.POLLOUT if writing else select.POLLIN)
        if left <= 0 or not poll.poll(1000 * left):
            raise LimitReached("out of time: raise the cap with --cap seconds=...")
