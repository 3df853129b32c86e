"""Makes the golden archives of the current format anew: `python -m tests.golden.make [NAME ...]` (about a minute).

Training gives other weights on every machine, so a golden archive is kept as bytes and read by tests, never made by
them. While the format is 0 it is made anew in the commit that changes the format; a frozen format's folder stays.

month=1 trains the model. month=2 comes later and brings what the model never saw: words and numbers outside of their
domains, cells that break the relations, specials in columns that had none.

The folder `mixing` has an archive of a table too small for a model: no network, but adaptive mixing; `wide` one of
numbers of many digits and texts of one shape, coded by mixing beside a network; `vectors` one of vectors and images
with autoencoders of their own; `forms` has every form that these lack.
`faded` is as `forms`, but month=1 was reduced to its latents and what that left over was deleted.
"""

from __future__ import annotations

import json
import lzma
import shutil
import sys
import tempfile
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

import ae_core
from ae_core.archive import gc
from ae_core.archive.digest import partition_digest
from ae_core.archive.format import FORMAT
from ae_core.archive.log import open_archive
from ae_core.jobs.fade import fade
from tests.golden import forms, log

HOME = Path(__file__).parent / f"format-{FORMAT}"
ROWS = {1: 1700, 2: 500}
MIXING_ROWS = {1: 1500, 2: 400}
WIDE_ROWS = {1: 1500, 2: 300}
VECTORS_ROWS = {1: 180, 2: 60}
POLICY = """\
version: 1
partition_keys: [month]
latents: always
default: {float: exact, integer: exact}
columns:
  temperature: {abs: 0.25}
  price: {abs: 0.05}
  ratio: {pointwise: 0.01}
  count: {abs: 2}
  size: {pointwise: 0.05}
  amount: {abs: 0.5}
  seen: {abs: 90s}
  secret: {bound: {abs: 10}, sensitive: true}
"""

MIXING_POLICY = """\
version: 1
partition_keys: [month]
latents: auto
default: {float: exact, integer: exact}
columns:
  pressure: {abs: 0.05}
  wind: {abs: 0.2}
  humidity: {abs: 0.5}
  load: {abs: 2}
checks:
  - {name: rows, sql: "select count(*) from t", tolerance: exact}
"""


WIDE_POLICY = """\
version: 1
partition_keys: [month]
latents: always
default: {float: exact, integer: exact}
columns:
  height: {abs: 0.001}
"""


VECTORS_POLICY = """\
version: 1
partition_keys: [month]
latents: always
columns:
  spot: {range: 0.01}
  thumb: {abs: 3}
  colour: {abs: 8}
  secret: {bound: {abs: 0.5}, sensitive: true}
"""


def month_table(month: int, rows: int) -> pa.Table:
    """Columns for every way of coding that the format has; the second month is unlike the first in a few cells."""
    random = np.random.default_rng(month)
    site = np.repeat(random.integers(0, 24, rows), random.integers(1, 5, rows))[:rows]
    hour = (np.arange(rows) * 24 // rows).astype(np.int64)
    minute = random.integers(0, 12, rows) * 5
    item = np.minimum(random.geometric(0.25, rows), 20) - 1
    driver = np.zeros(rows, np.int64)
    for place in range(24):  # every site keeps its driver for a while
        rows_there = np.flatnonzero(site == place)
        shifts = np.cumsum(random.random(len(rows_there)) < 0.06)
        driver[rows_there] = random.integers(0, 40, rows + 1)[shifts]
    count = site * 6 + random.poisson(4, rows)
    level = 12 + 6 * np.sin(hour / 4) + site / 4
    columns = {
        "day": pa.array(18_000 + 31 * month + np.arange(rows) * 3 // rows, pa.int32()).cast(pa.date32()),
        "site_id": pa.array(201 - 2 * site, pa.int16()),
        "site": pa.array([f"site {chr(65 + s)}" for s in site]),
        "vendor": pa.array(["north wind"] * rows),
        "hour": pa.array(hour, pa.int8()),
        "minute": pa.array(minute, pa.int8()),
        "clock": pa.array(100 * hour + minute, pa.int32(), mask=np.arange(rows) % 97 == 5),
        "item": pa.array([f"{chr(65 + s)}-{i:02d}-{s * i % 7}" for s, i in zip(site, item, strict=True)]),
        "code": pa.array(site * 25 + item, pa.int32()),
        "temperature": pa.array(level + random.normal(0, 1, rows), mask=random.random(rows) < 0.02),
        "price": pa.array(np.round(5 + item / 4 + random.integers(0, 90, rows) / 100, 2)),
        "ratio": pa.array((site + 1) / (random.integers(1, 9, rows) * 3.0), pa.float32()),
        "count": pa.array(count, pa.int32()),
        "size": pa.array(2 ** (site // 3) * random.integers(1, 9, rows) - 8, pa.int64()),
        "amount": pa.array([f"{c * 3 // 2}.{c % 4 * 25:02d}" for c in count]).cast(pa.decimal128(9, 2)),
        "paid": pa.array(random.random(rows) < 0.7, mask=random.random(rows) < 0.1),
        "driver": pa.array(driver + 7000, pa.int64()),
        "kind": pa.array([("bulk", "cold", "dry")[s % 3] for s in site], mask=item == 7).dictionary_encode(),
        "tag": pa.array([bytes([s % 5, 0, 255, i % 3]) for s, i in zip(site, item, strict=True)], pa.binary(4)),
        "seen": pa.array(10**12 * month + np.cumsum(random.integers(0, 60_000, rows)), pa.timestamp("ms", tz="UTC")),
        "delay": pa.array(random.integers(-4, 40, rows), pa.duration("s")),
        "half": pa.array(random.normal(0, 1, rows).astype(np.float16), mask=random.random(rows) < 0.6),
        "huge": pa.array([None if r % 5 < 3 else 2**63 + r * 7919 % 4093 for r in range(rows)], pa.uint64()),
        "wide": pa.array([f"{s}{'00' * (i % 16)}" for s, i in zip(site, item, strict=True)]).cast(pa.decimal128(38, 0)),
        "note": pa.array([f"note {r // 3}-{r * month % 41}" if r % 11 else None for r in range(rows)]),
        "tags": pa.array([["a", "b", None][: r % 4] if r % 9 else None for r in range(rows)], pa.list_(pa.string())),
        "spot": pa.array(
            [{"x": float(s), "y": None if s == 3 else s} for s in site],
            pa.struct([("x", pa.float32()), ("y", pa.int8())]),
        ),
        "secret": pa.array(random.integers(0, 900, rows), pa.int64()),
        "empty": pa.nulls(rows),
    }
    table = pa.table(columns)
    fields = [field.with_metadata({"about": field.name}) for field in table.schema]
    fields[table.column_names.index("minute")] = pa.field("minute", pa.int8(), nullable=False)
    table = table.cast(pa.schema(fields, metadata={"owner": "golden"}))
    return _odd_cells(table, {1: {"temperature": {3: np.nan, 4: np.inf, 5: -0.0}}, 2: ODD}[month])


ODD = {
    "temperature": {0: np.nan, 1: -np.inf, 2: np.inf, 3: -0.0, 4: 1e300, 5: 99.0},
    "site": {10: "somewhere new", 399: ""},
    "site_id": {20: 7, 21: 0},
    "vendor": {30: None, 31: "south wind"},
    "clock": {40: 1, 41: None},
    "item": {50: "Ω", 51: None},
    "code": {60: -1, 61: 70_000, 62: None},
    "price": {70: 5.123, 71: float("-inf"), 72: -0.0},
    "ratio": {80: 0.0, 81: 1e-42, 82: np.nan},
    "count": {90: 2**31 - 1, 91: -(2**31)},
    "size": {100: -(2**63), 101: 2**63 - 1, 102: 0},
    "kind": {110: "new"},
    "paid": {120: True},
    "tag": {130: b"\0\0\0\0", 131: None},
    "half": {140: np.float16(np.nan), 141: np.float16(-0.0)},
    "huge": {150: 0, 151: 2**64 - 1, 152: None},
    "secret": {160: None, 161: -(2**63)},
}


def mixing_table(month: int, rows: int) -> pa.Table:
    """Two stations' weather: columns that the row before, the station's last row or the columns before foretell."""
    random = np.random.default_rng(100 + month)
    station = np.arange(rows) % 2
    hour = np.arange(rows) // 2 % 24
    level = 1013 + np.cumsum(random.normal(0, 0.4, rows)) * 0.5
    walk = np.zeros(rows)
    for row in range(2, rows):
        walk[row] = 0.9 * walk[row - 2] + random.normal(0, 1)
    sky = np.where(walk > 1, "clear", np.where(walk < -2, "rain", "cloud"))
    wind = np.maximum(0, 8 + 3 * (level - 1013) + 4 * np.sin(hour / 4) + random.normal(0, 0.8, rows))
    table = pa.table(
        {
            "station": pa.array(np.array(["north", "south"])[station]),
            "hour": pa.array(hour, pa.int8()),
            "pressure": pa.array(level - 20 * station, mask=random.random(rows) < 0.03),
            "sky": pa.array(sky),
            "humidity": pa.array(60 - 5 * walk + random.normal(0, 1, rows), pa.float32()),
            "wind": pa.array(wind, mask=random.random(rows) < 0.1),
            "load": pa.array(np.round(4000 + 90 * wind - 12 * hour + random.normal(0, 9, rows)), pa.int32()),
            "crew": pa.array(random.integers(0, 6, rows // 8 + 1).repeat(8)[:rows] + 3 * station, pa.int16()),
        }
    )
    return _odd_cells(table, {1: {"wind": {3: np.nan, 4: np.inf}}, 2: MIXING_ODD}[month])


MIXING_ODD = {
    "pressure": {0: None, 1: np.nan, 2: 1e300, 3: -0.0},
    "sky": {10: "hail", 11: None},
    "humidity": {20: np.inf, 21: 1e-42},
    "wind": {30: -np.inf, 31: 99.0},
    "load": {40: None, 41: 2**31 - 1},
    "crew": {50: -1},
}


def wide_table(month: int, rows: int) -> pa.Table:
    """Six tracks whose rows come mixed: every number has many digits, and most follow from the track's last row."""
    random = np.random.default_rng(200 + month)
    track = random.integers(0, 6, rows)
    step = random.normal(0, 2e-5, rows) + 1e-4 * (track - 2)
    place = np.zeros(rows)
    for one in range(6):
        place[track == one] = 40.0 + one + np.cumsum(step[track == one])
    number = np.cumsum(random.integers(1, 4, rows))
    table = pa.table(
        {
            "track": pa.array([f"track {t}" for t in track]),
            "speed": pa.array(np.round(1e5 * step), pa.int16()),
            "seen": pa.array(10**12 * month + number * 1000 + random.integers(0, 2, rows), pa.timestamp("ms")),
            "place": pa.array(np.round(place, 6)),
            "angle": pa.array(place * np.pi, mask=random.random(rows) < 0.02),
            "again": pa.array(place * np.pi),
            "single": pa.array(place * 7, pa.float32()),
            "height": pa.array(1e3 * place + random.normal(0, 0.1, rows)),
            "stamp": pa.array([f"2024-{month:02}-{1 + r * 28 // rows:02} run {n:05}" for r, n in enumerate(number)]),
            "key": pa.array(number * 7919 + random.integers(0, 2, rows), pa.int64()),
        }
    )
    return _odd_cells(table, {1: {"place": {3: np.nan}}, 2: WIDE_ODD}[month])


WIDE_ODD = {
    "seen": {0: None},
    "place": {10: np.nan, 11: -0.0, 12: 1e300, 13: np.inf, 14: 0.1234567},
    "angle": {20: None, 21: 5e-324},
    "single": {30: None, 31: np.inf},
    "height": {40: -1e9, 41: None},
    "stamp": {50: "", 51: None, 52: "2024-02-01 run 0000x", 53: "2025-02-01 run 00001"},
    "key": {60: -(2**63), 61: 2**63 - 1},
}


def vectors_table(month: int, rows: int) -> pa.Table:
    """Vectors that follow from few numbers, small images, vectors that follow from nothing, and columns beside them."""
    random = np.random.default_rng(300 + month)
    kind, size = random.integers(0, 4, rows), random.integers(1, 9, rows)
    spot = (random.normal(0, 1, (rows, 2)) @ np.random.default_rng(9).normal(0, 1, (2, 7))).astype(np.float32)
    spot[3, 2] = np.nan if month == 1 else 1e30
    y, x = np.mgrid[0:5, 0:6] / 6
    thumb = 120 + 60 * np.sin(3 * y + kind[:, None, None]) * np.cos(2 * x * size[:, None, None] / 9)
    colour = thumb[:, :, :4, None] * [1.0, 0.8, 0.5] + random.normal(0, 3, (rows, 5, 4, 3))
    lists = pa.list_(pa.float32(), 7)
    holed = pa.array(spot.ravel(), mask=(np.arange(spot.size) % 61 == 60))
    tensors = pa.FixedShapeTensorArray.from_numpy_ndarray
    return pa.table(
        {
            "kind": pa.array([f"kind {k}" for k in kind]),
            "size": pa.array(size * 3 + kind, pa.int16()),
            "spot": pa.FixedSizeListArray.from_arrays(holed, type=lists, mask=pa.array(np.arange(rows) % 23 == 22)),
            "thumb": tensors(np.ascontiguousarray(thumb.astype(np.uint8))),
            "colour": tensors(np.ascontiguousarray(colour.astype(np.int16))),
            "noise": pa.FixedSizeListArray.from_arrays(pa.array(random.normal(0, 1, 3 * rows)), 3),
            "secret": pa.FixedSizeListArray.from_arrays(pa.array(random.normal(0, 9, 2 * rows)), 2),
        }
    )


def _odd_cells(table: pa.Table, odd: dict[str, dict[int, object]]) -> pa.Table:
    """The table with some cells replaced."""
    for name, cells in odd.items():
        place = table.schema.get_field_index(name)
        field = table.schema.field(place)
        values = table.column(name).to_pylist()
        for row, cell in cells.items():
            values[row] = cell
        plain = field.type.value_type if pa.types.is_dictionary(field.type) else field.type
        column = pa.array(values, plain)
        table = table.set_column(
            place, field, column if plain == field.type else column.dictionary_encode().cast(field.type)
        )
    return table


def write_month(lake: Path, month: int, table: pa.Table) -> None:
    """A partition of two files."""
    folder = lake / f"month={month}"
    folder.mkdir(parents=True)
    pq.write_table(table.slice(0, 500), folder / "part-0.parquet")
    pq.write_table(table.slice(500), folder / "part-1.parquet")


def make(home: Path, names: Sequence[str]) -> None:
    """The golden archives of these names, all if there are none, and what every reader must find in them."""
    for name in names or ARCHIVES:
        policy, table, rows = ARCHIVES[name]
        folder = home / name
        for old in ("archive", *(f"month={month}.arrow.xz" for month in rows)):
            shutil.rmtree(folder / old, ignore_errors=True)
        with forms.by_hand() if name in ("forms", "faded") else nullcontext():
            make_archive(folder, policy, {month: table(month, count) for month, count in rows.items()})
        if name == "forms":
            log.age(str(folder / "archive"))
        if name == "faded":
            fade(str(folder / "archive"), reason="of no more use", where=["month=1"], dry_run=False)
            gc.collect(
                open_archive(str(folder / "archive")), gc.Retention(snapshots=1, days=0, orphan_days=0), writer="w"
            )
        expect(folder)


def make_archive(home: Path, policy_text: str, tables: dict[int, pa.Table]) -> None:
    """One archive, month after month, and what must be found in it."""
    home.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        lake, policy = Path(folder) / "lake", Path(folder) / "policy.yaml"
        policy.write_text(policy_text)
        for month, table in tables.items():
            write_month(lake, month, table)
            ae_core.compress(str(lake), str(home / "archive"), policy=str(policy), page_data=home.name == "forms")


def expect(home: Path) -> None:
    """Write what today's code reads from the archive as the values that are expected from now on."""
    source = ae_core.open_archive(str(home / "archive"))
    found = {}
    for partition in source.partitions():
        table = pa.concat_tables(partition.blocks(layer=partition.fullest)).combine_chunks()
        with (
            lzma.open(home / f"{partition.id}.arrow.xz", "wb") as sink,
            pa.ipc.new_stream(sink, table.schema) as writer,
        ):
            writer.write_table(table)
        found[partition.id] = {"digest": partition.manifest.digest, "rows": table.num_rows}
        if any(layer.layer == "latents" for layer in partition.manifest.layers):
            preview = pa.concat_tables(partition.blocks(layer="preview"))
            found[partition.id]["preview_digest"] = partition_digest(preview.schema, [preview])
    (home / "expected.json").write_text(json.dumps(found, indent=1) + "\n")


ARCHIVES = {
    "network": (POLICY, month_table, ROWS),
    "mixing": (MIXING_POLICY, mixing_table, MIXING_ROWS),
    "wide": (WIDE_POLICY, wide_table, WIDE_ROWS),
    "vectors": (VECTORS_POLICY, vectors_table, VECTORS_ROWS),
    "forms": (forms.POLICY, forms.table, forms.ROWS),
    "faded": (forms.POLICY, forms.table, {month: forms.ROWS[month] for month in (1, 2)}),
}


if __name__ == "__main__":
    make(HOME, sys.argv[1:])
