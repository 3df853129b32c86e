"""Small builders for loss tests."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

import numpy as np
import pyarrow as pa

from ae_core.report.certificate import Certificate, CodedColumn, StoredBytes, certify
from ae_core.report.inputs import ArchiveSummary, AutoencoderSummary, CurvePoint, DimensionPoint, TrainingCurve
from ae_core.report.losses import LossAccumulator
from ae_core.report.records import ColumnLoss, TableDetail, TableLoss


@dataclass(frozen=True)
class FakeBound:
    kind: str
    value: Fraction | None = None
    sensitive: bool = False


EXACT = FakeBound("exact")


def within(value: Fraction | str | int) -> FakeBound:
    return FakeBound("abs", Fraction(value))


def measure(
    original: pa.Table, rebuilt: pa.Table, bounds: dict[str, FakeBound], *, block: int | None = None
) -> TableLoss:
    losses = LossAccumulator(original.schema, bounds)
    step = block or max(original.num_rows, 1)
    for first in range(0, max(original.num_rows, 1), step):
        losses.add(original.slice(first, step), rebuilt.slice(first, step))
    return losses.finish()


def measure_column(original: pa.Array, rebuilt: pa.Array, bound: FakeBound | None) -> ColumnLoss:
    bounds = {} if bound is None else {"x": bound}
    return measure(pa.table({"x": original}), pa.table({"x": rebuilt}), bounds).columns[0]


CANARY_NUMBER = 73_519_000
CANARY_TEXT = "canary-passenger"


def flights_report(*, partitions: int, broken: bool = False) -> tuple[list[Certificate], dict[str, TableDetail]]:
    """Certificates and page data of a small table shaped like flights; its last two columns are sensitive."""
    certificates, details = [], {}
    bounds = {
        "dep_delay": within("5/2"),
        "carrier": EXACT,
        "speed": FakeBound("pointwise", Fraction(1, 100)),
        "time_hour": within(60),
        "pay": FakeBound("abs", Fraction(3), sensitive=True),
        "passenger": FakeBound("exact", sensitive=True),
    }
    for month in range(1, partitions + 1):
        original, rebuilt = _flights(month, broken=broken)
        loss = measure(original, rebuilt, bounds, block=200)
        names = ["dep_delay", "carrier", "pay"]
        coded = {name: CodedColumn("network", "12 % below pcodec", 3_600, {"network": 700}) for name in bounds}
        made = certify(
            f"month={month}",
            loss,
            coded=coded,
            digest="ab" * 32,
            arrow=100_000,
            parquet=20_000,
            stored=StoredBytes(latents=300, residuals=2_200, model=400, metadata=100),
            preview=measure(original.select(names), rebuilt.select(names), {}),
            latent_dim=4,
            model="cd" * 32,
            versions={"latentlake": "0.1.0"},
        )
        certificates.append(made)
        details[made.partition] = loss.detail
    return certificates, details


def _flights(month: int, *, broken: bool) -> tuple[pa.Table, pa.Table]:
    rng = np.random.default_rng(month)
    rows = 450
    delay = rng.gamma(1.0, 30.0, rows).astype(np.int64) - 10
    hidden = rng.random(rows) < 0.02
    speed = rng.normal(400, 60, rows)
    hour = 1_356_998_400 + rng.integers(0, 86_400, rows) * 30
    columns = {
        "dep_delay": pa.array(delay, mask=hidden),
        "carrier": pa.array(rng.choice(["UA", "B6", "EV"], rows)),
        "speed": pa.array(speed),
        "time_hour": pa.array(hour, pa.timestamp("s", "UTC")),
        "pay": pa.array(CANARY_NUMBER + rng.integers(0, 900, rows)),
        "passenger": pa.array([f"{CANARY_TEXT}-{k}" for k in range(rows)]),
    }
    original = pa.table(columns)
    moved = delay + rng.integers(-2, 3, rows)
    if broken:
        moved[int(np.flatnonzero(~hidden)[0])] += 9
    rebuilt = {
        "dep_delay": pa.array(moved, mask=hidden),
        "speed": pa.array(speed * (1 + rng.uniform(-0.009, 0.009, rows))),
        "time_hour": pa.array(hour // 60 * 60, pa.timestamp("s", "UTC")),
        "pay": pa.array(columns["pay"].to_numpy() + rng.integers(-3, 4, rows)),
    }
    for name, column in rebuilt.items():
        place = original.schema.get_field_index(name)
        columns[name] = column
        assert original.schema.field(place).type == column.type
    return original, pa.table(columns)


def example_archive() -> ArchiveSummary:
    return ArchiveSummary(
        name="flights",
        location="demo/archive",
        created="2013-12-31",
        snapshot=2,
        head="9f" * 32,
        peers={"Quantised, best plain coder": 14_000},
        autoencoder=AutoencoderSummary(
            levels=(16, 16, 12, 10), columns=5, encoder=200, decoder=400, context=900, mixed=3
        ),
    )


def example_training() -> TrainingCurve:
    stages = {"autoencoder": 1.0, "prior": 6.0, "context 1": 30.0}
    points = [
        CurvePoint(stage, epoch / 2, start / (1 + epoch), start / (1 + epoch) * 1.02)
        for stage, start in stages.items()
        for epoch in range(6)
    ]
    dimensions = tuple(DimensionPoint(d, 1 / d, 1.3 * d) for d in (2, 4, 6))
    return TrainingCurve(tuple(points), rows=1_000, seconds=12.5, dimension_curve=dimensions, seed=0)
