"""Open tables that the codecs are compared on, each as the parts of a lake."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from infra.demo import flights


def _months(lake: int) -> Callable[[Path], list[Path]]:
    def parts(folder: Path) -> list[Path]:
        months = flights.prepare(folder)[lake].glob("month=*/part-0.parquet")
        return sorted(months, key=lambda path: int(path.parent.name.partition("=")[2]))

    return parts


def _whole(name: str, read: Callable[[Path], pa.Table]) -> Callable[[Path], list[Path]]:
    def parts(folder: Path) -> list[Path]:
        path = folder / "bench" / "lakes" / name / f"{name}.parquet"
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            staged = path.with_suffix(".staged")
            pq.write_table(read(flights.download(folder / "cache")), staged, compression="zstd")
            staged.rename(path)
        return [path]

    return parts


# name -> the files of its lake, in order, made below a folder when they are not there
TABLES: Mapping[str, Callable[[Path], list[Path]]] = {
    "flights, 12 months": _months(0),
    "flights, one file": _whole("flights", flights.read_flights),
    "weather, 12 months": _months(1),
    "weather, one file": _whole("weather", flights.read_weather),
}


def lake_of(part: Path) -> Path:
    """Root of the lake that a part lies in."""
    return part.parent.parent if "=" in part.parent.name else part.parent
