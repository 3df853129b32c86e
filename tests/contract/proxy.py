"""A proxy between a client and its store that misbehaves on the requests that a rule picks."""

from __future__ import annotations

import contextlib
import socket
import socketserver
import struct
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Literal

Fault = Literal["lost", "hang", "reset", "swallow", "busy", "conflict", "denied", "skewed", "unconditional"]
"""lost: carried out, the connection closed without an answer. hang: carried out, never answered.
swallow: not carried out, never answered. reset: not carried out, reset. unconditional: carried out without its
condition. busy, conflict, denied, skewed: 503, 409, 403, and 403 for a wrong clock."""

_ERRORS = {
    "busy": (503, "SlowDown"),
    "conflict": (409, "ConditionalRequestConflict"),
    "denied": (403, "AccessDenied"),
    "skewed": (403, "RequestTimeTooSkewed"),
}


@dataclass
class Rule:
    """What happens to the first `times` requests whose method and target `picks`; `hits` counts them."""

    fault: Fault
    picks: Callable[[str, str], bool]
    times: int = 1
    hits: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def takes(self, method: str, target: str) -> bool:
        with self.lock:
            if self.hits >= self.times or not self.picks(method, target):
                return False
            self.hits += 1
            return True


class Proxy:
    """Listens on `port`, hands requests on to `upstream`, and breaks those that `rule` takes."""

    def __init__(self, upstream: int) -> None:
        self.rule: Rule | None = None
        self.upstream = upstream
        self.closed = threading.Event()
        proxy = self

        class Handler(socketserver.StreamRequestHandler):
            def handle(self) -> None:
                with contextlib.suppress(OSError):
                    proxy._serve(self)

        self._server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self.closed.set()
        self._server.shutdown()
        self._server.server_close()

    def _serve(self, handler: socketserver.StreamRequestHandler) -> None:
        """One request a connection."""
        first = handler.rfile.readline()
        if not first:
            return
        method, target, _ = first.decode("latin-1").split(" ", 2)
        headers = _headers(handler.rfile)
        if any(line.lower().startswith(b"expect:") for line in headers):
            handler.wfile.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        body = _body(handler.rfile, headers)
        fault = self.rule.fault if self.rule and self.rule.takes(method, target) else None
        if fault in _ERRORS:
            handler.wfile.write(_error(*_ERRORS[fault]))
            return
        if fault == "reset":
            handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            handler.connection.close()
            return
        if fault == "unconditional":
            headers = [line for line in headers if not line.lower().startswith(b"if-none-match:")]
            first = first.replace(b"ifGenerationMatch=0", b"x=0")
        answer = b"" if fault == "swallow" else self._forward(first, headers, body)
        if fault in ("hang", "swallow"):
            self.closed.wait()
        elif fault != "lost":
            handler.wfile.write(answer)

    def _forward(self, first: bytes, headers: list[bytes], body: bytes) -> bytes:
        kept = [line for line in headers if not line.lower().startswith((b"expect:", b"connection:"))]
        with socket.create_connection(("127.0.0.1", self.upstream), 60) as upstream:
            upstream.sendall(first + b"".join(kept) + b"Connection: close\r\n\r\n" + body)
            parts = []
            while part := upstream.recv(1 << 16):
                parts.append(part)
        answer = b"".join(parts)
        head, _, rest = answer.partition(b"\r\n\r\n")
        lines = [line for line in head.split(b"\r\n") if not line.lower().startswith((b"connection:", b"keep-alive:"))]
        return b"\r\n".join([*lines, b"Connection: close"]) + b"\r\n\r\n" + rest


@contextlib.contextmanager
def proxy(upstream: int) -> Iterator[Proxy]:
    """A proxy until the end of the body."""
    made = Proxy(upstream)
    try:
        yield made
    finally:
        made.close()


def _headers(stream: socketserver.StreamRequestHandler | object) -> list[bytes]:
    lines = []
    while (line := stream.readline()) not in (b"\r\n", b"\n", b""):  # type: ignore[attr-defined]
        lines.append(line)
    return lines


def _body(stream: object, headers: list[bytes]) -> bytes:
    for line in headers:
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            return stream.read(int(value))  # type: ignore[attr-defined, no-any-return]
        if name.lower() == b"transfer-encoding":
            return _chunks(stream)
    return b""


def _chunks(stream: object) -> bytes:
    """A chunked body as it came."""
    parts = []
    while True:
        size = stream.readline()  # type: ignore[attr-defined]
        rest = stream.read(int(size.split(b";")[0], 16) + 2)  # type: ignore[attr-defined]
        parts += [size, rest]
        if int(size.split(b";")[0], 16) == 0:
            return b"".join(parts)


def _error(status: int, code: str) -> bytes:
    body = f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>made up by a test</Message></Error>".encode()
    kind = "application/xml"
    return (
        f"HTTP/1.1 {status} made-up\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n"
        f"x-ms-error-code: {code}\r\nConnection: close\r\n\r\n"
    ).encode() + body
