"""The process that looks into a stranger's archive: started by `guard`, never by hand.

It loads its kernels, gives up everything that it does not need, says so, and only then asks for the first byte.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from dataclasses import asdict
from importlib import import_module
from typing import Any, NoReturn, cast

from ae_core.errors import LatentlakeError, LimitReached
from ae_core.lean import leave_out_unused
from ae_core.untrusted.caps import Caps
from ae_core.untrusted.channel import FAILED, HEAD, NEWS, READY, RESULT, TABLE, Channel, Gone
from ae_core.untrusted.confine import die_with_parent, leave_network, limit_resources
from ae_core.untrusted.proxy import StoreProxy, pack, pack_error

_MAX_REQUEST = 1 << 20
_NEWS_SECONDS = 0.2
_OUT_OF_MEMORY = pack(["LimitReached", "out of memory: raise the cap with --cap memory=..."])
_DECODING = ("audit", "decode", "show", "verify")
"""Jobs that run kernels; the others read records alone."""
_MODULES = dict.fromkeys(("log", "ls", "show"), "listing")


def main() -> NoReturn:
    """Answer the request of the guard and end; the exit code is 0 whenever an answer was sent.

    Without memory an orderly end can wait for ever for threads that never started.
    """
    code = 1
    try:
        code = _answer()
    finally:
        os._exit(code)


def _answer() -> int:
    leave_out_unused(())
    answers = os.dup(1)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # what a library prints is no frame
    die_with_parent()
    channel = Channel(0, answers)
    alone = leave_network()
    try:
        _, data = channel.receive(_MAX_REQUEST)
        request = json.loads(data)
        caps, threads = Caps(**request["caps"]), request["arguments"].get("threads", 1)
        _load(request["job"])
        limit_resources(caps.memory, caps.seconds * max(1, threads))
        channel.send(READY, pack({"network": not alone}))
        store = StoreProxy(channel, request["url"], caps.bytes + (1 << 20))
        channel.send(RESULT, pack(_JOBS[request["job"]](channel, store, caps, **request["arguments"])))
    except Gone:
        return 1
    except LatentlakeError as error:
        channel.send(FAILED, pack_error(error))
    except Exception as error:
        if isinstance(error, MemoryError) or "start new thread" in str(error):  # a thread has its stack
            channel.send(FAILED, _OUT_OF_MEMORY)
            return 0
        channel.send(FAILED, pack(["Corrupt", f"cannot be read ({type(error).__name__}: {error})"[:4000]]))
    return 0


def _load(job: str) -> None:
    """Import and compile everything that answering takes, while compiled kernels can still be kept."""
    from numba.core import caching

    from ae_core.untrusted.warm import load_kernels

    import_module(f"ae_core.jobs.{_MODULES.get(job, job)}")
    if job in _DECODING:
        load_kernels()
    # a kernel that was not thought of is compiled in memory: there is no file that could be written any more
    caching.FunctionCache.save_overload = lambda *_: None


def _told(channel: Channel) -> Callable[[str, int, int], None]:
    """Progress as news, not too often."""
    last = 0.0

    def tell(step: str, done: int, total: int) -> None:
        nonlocal last
        now = time.monotonic()
        if now - last >= _NEWS_SECONDS or done == total:
            last = now
            channel.send(NEWS, pack([step, done, total]))

    return tell


def _plain(result: object) -> Any:
    """A result record as JSON values."""
    return asdict(cast("Any", result))


def _check_rows(store: StoreProxy, caps: Caps, where: Any = None, snapshot: int | None = None) -> None:
    """Pass when no partition that is about to be decoded is beyond its cap; what else is wrong the job itself tells."""
    from ae_core.dataset import open_archive

    try:
        for partition in open_archive(store.url, snapshot=snapshot, store=store).partitions(where):
            caps.check("rows", partition.rows, partition.id)
    except LimitReached:
        raise
    except LatentlakeError:
        return


def _ls(channel: Channel, store: StoreProxy, caps: Caps, **arguments: Any) -> Any:
    from ae_core.jobs.listing import list_archive

    return _plain(list_archive(store.url, store=store, **arguments))


def _show(channel: Channel, store: StoreProxy, caps: Caps, **arguments: Any) -> Any:
    from ae_core.jobs.listing import show_partition

    return _plain(show_partition(store.url, store=store, **arguments))


def _log(channel: Channel, store: StoreProxy, caps: Caps, **arguments: Any) -> Any:
    from ae_core.jobs.listing import archive_log

    return _plain(archive_log(store.url, store=store, **arguments))


def _diff(channel: Channel, store: StoreProxy, caps: Caps, **arguments: Any) -> Any:
    from ae_core.jobs.diff import diff_archive

    return _plain(diff_archive(store.url, store=store, **arguments))


def _verify(channel: Channel, store: StoreProxy, caps: Caps, **arguments: Any) -> Any:
    from ae_core.jobs.verify import verify

    if arguments["deep"]:
        _check_rows(store, caps, arguments["where"], arguments["snapshot"])
    return _plain(verify(store.url, store=store, progress=_told(channel), **arguments))


def _audit(channel: Channel, store: StoreProxy, caps: Caps, **arguments: Any) -> Any:
    from ae_core.jobs.audit import audit

    _check_rows(store, caps, arguments["where"], arguments["snapshot"])
    return _plain(audit(store.url, store=store, progress=_told(channel), **arguments))


def _decode(
    channel: Channel,
    store: StoreProxy,
    caps: Caps,
    *,
    where: Any,
    columns: Any,
    rows: Any,
    layer: Any,
    snapshot: int | None,
    threads: int,
) -> Any:
    """Decode, every block a frame; the report of the losses comes last."""
    import pyarrow as pa

    from ae_core.dataset import decoded, open_archive
    from ae_core.jobs.decode import column_losses, files_of, loss_report
    from ae_core.selection import parse_rows

    source = open_archive(store.url, snapshot=snapshot, store=store)
    partitions, chosen = source.partitions(where), parse_rows(rows)
    for partition in partitions:
        caps.check("rows", partition.rows, partition.id)
        partition.schema_of(columns, layer)
    tell, done = _told(channel), 0
    tasks = [partition.tasks(columns=columns, rows=chosen, layer=layer) for partition in partitions]
    tables = decoded((task for group in tasks for task in group), threads=threads)
    for partition, group in zip(partitions, tasks, strict=True):
        losses = {name: asdict(loss) for name, loss in column_losses(source, partition, layer).items()}
        files = [[file.name, file.rows] for file in files_of(partition, chosen)]
        channel.send(HEAD, pack({"partition": partition.id, "files": files, "losses": losses}))
        found = (
            (next(tables) for _ in group) if group else [pa.Table.from_batches([], partition.schema_of(columns, layer))]
        )
        for table in found:
            sink = pa.BufferOutputStream()
            with pa.ipc.new_stream(sink, table.schema) as writer:
                writer.write_table(table)
            channel.send(TABLE, memoryview(sink.getvalue()))
            done += bool(group)
            tell("decode", done, sum(map(len, tasks)))
    left_out = tuple(dict.fromkeys(name for partition in partitions for name in partition.left_out(layer)))
    return {
        "archive": source.url,
        "snapshot": source.snapshot,
        "left_out": () if columns is not None else left_out,
        "report": loss_report(source, partitions, columns, layer, left_out),
    }


_JOBS: dict[str, Callable[..., Any]] = {
    "audit": _audit,
    "decode": _decode,
    "diff": _diff,
    "log": _log,
    "ls": _ls,
    "show": _show,
    "verify": _verify,
}
