"""The caller's side: start a worker, serve it, believe nothing it says."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from typing import Any, Final

from ae_core.archive.store import open_store
from ae_core.errors import Corrupt, LatentlakeError, LimitReached
from ae_core.jobs.progress import Progress, silent
from ae_core.threads import thread_count
from ae_core.untrusted.caps import Caps
from ae_core.untrusted.channel import ASK, FAILED, HEAD, NEWS, READY, RESULT, TABLE, Channel, Gone
from ae_core.untrusted.proxy import MAX_ASK, StoreServer, pack, raise_error

_BOOT: Final = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[1]); from ae_core.untrusted.worker import main; main()"
)
_KEPT: Final = ("LD_LIBRARY_PATH", "NUMBA_CACHE_DIR")  # where our own code and its compiled kernels are
_SET: Final = {
    "ARROW_DEFAULT_MEMORY_POOL": "system",  # the others map far more address space than they use
    "LC_ALL": "C.UTF-8",
    "MALLOC_ARENA_MAX": "2",
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
}
_MAX_RECORD: Final = 64 << 20
_START_SECONDS: Final = 900  # the first worker of an installation compiles its kernels
_LONG_ENOUGH: Final = 10.0

Sink = Callable[[bytes, bytearray], None]
"""Takes the frames HEAD and TABLE of a decoding, kind and bytes."""
Notice = Callable[[str], None]
"""Takes one line for the caller's eyes."""


def ask(
    job: str,
    url: str,
    arguments: Mapping[str, Any],
    caps: Caps,
    *,
    sink: Sink | None = None,
    progress: Progress = silent,
    notice: Notice = lambda line: None,
) -> Any:
    """What a worker answers, JSON values; the caller checks what they are.

    Raises
    ------
    LimitReached
        When a cap was reached, or the worker was stopped.
    UsageError, Corrupt
        As the job itself does.
    """
    server = StoreServer(open_store(url), caps)
    arguments = dict(arguments)
    if "threads" in arguments:
        arguments["threads"] = thread_count(arguments["threads"])
    request = {"job": job, "url": server.url, "arguments": arguments, "caps": asdict(caps)}
    with _worker() as process:
        try:
            return _serve(process, request, server, caps, sink, progress, notice)
        except Gone:
            raise _obituary(process, caps) from None
        except LatentlakeError:
            raise
        except (ArithmeticError, LookupError, RecursionError, TypeError, ValueError) as error:
            raise Corrupt(f"{url}: the decoding process gave no sense ({type(error).__name__}: {error})") from error


def _serve(
    process: subprocess.Popen[bytes],
    request: Mapping[str, Any],
    server: StoreServer,
    caps: Caps,
    sink: Sink | None,
    progress: Progress,
    notice: Notice,
) -> Any:
    assert process.stdin is not None
    assert process.stdout is not None
    handles = process.stdout.fileno(), process.stdin.fileno()
    channel = Channel(*handles, time.monotonic() + _START_SECONDS)
    channel.send(ASK, pack(request))
    kind, data = channel.receive(MAX_ASK)
    if kind != READY:
        raise Corrupt("the decoding process did not start as it should")
    if json.loads(data)["network"]:
        notice("this system does not let a process leave the network: the decoding process can reach it")
    channel = Channel(*handles, time.monotonic() + caps.seconds)
    while True:
        kind, data = channel.receive(caps.bytes + _MAX_RECORD)
        if kind not in (TABLE, HEAD, RESULT) and len(data) > MAX_ASK:
            raise LimitReached(f"a frame of {len(data)} bytes from the decoding process")
        if kind == ASK:
            channel.send(*server.answer(data))
        elif kind == NEWS:
            step, done, total = json.loads(data)
            progress(str(step), int(done), int(total))
        elif kind in (HEAD, TABLE) and sink is not None:
            sink(kind, data)
        elif kind == RESULT and len(data) <= _MAX_RECORD:
            return json.loads(data)
        elif kind == FAILED:
            raise_error(data)
        else:
            raise Corrupt(f"the decoding process sent {kind!r}, which has no meaning here")


@contextmanager
def _worker() -> Iterator[subprocess.Popen[bytes]]:
    """A fresh worker process; it is gone when the body ends."""
    command = [sys.executable, "-I", "-c", _BOOT, json.dumps([path for path in sys.path if os.path.isabs(path)])]
    kept = {name: os.environ[name] for name in _KEPT if name in os.environ}
    errors = None if os.environ.get("LATENTLAKE_TRACEBACK") else subprocess.DEVNULL
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, env=_SET | kept, cwd="/", close_fds=True
    )
    try:
        yield process
    finally:
        process.kill()
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                pipe.close()
        process.wait()


def _obituary(process: subprocess.Popen[bytes], caps: Caps) -> LimitReached:
    """What to say of a worker that ended without an answer."""
    try:
        code = process.wait(_LONG_ENOUGH)
    except subprocess.TimeoutExpired:
        code = 0
    how = f"was stopped by {_signal_name(-code)}" if code < 0 else f"ended with code {code} and no answer"
    return LimitReached(
        f"the decoding process {how}: a limit was reached (memory {caps.memory} bytes, {caps.seconds} s) or it was "
        "killed; if you trust the archive, raise a cap, as with --cap memory=8GiB"
    )


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
