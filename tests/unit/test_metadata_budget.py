"""What lies beside the layers of a partition must stay small: a table in many partitions pays it every month.

Twelve partitions of twenty columns, half of them changed within their bounds, as a writer would describe them.
"""

from __future__ import annotations

import secrets
from fractions import Fraction

import numpy as np
import pyarrow as pa
import pytest

from ae_core.archive.fields import pack_json
from ae_core.archive.format import Change, Commit, LayerFile, Manifest, ObjectRef, SourceFile, commit_bytes
from ae_core.archive.format import manifest_bytes as packed_manifest
from ae_core.archive.layers import layer_bytes
from ae_core.archive.names import partition_folder
from ae_core.ranges import Ranges
from ae_core.report import pagedata
from ae_core.report.certificate import CodedColumn, StoredBytes, certify
from ae_core.report.losses import LossAccumulator
from ae_core.report.records import BoundRecord
from ae_core.report.stored import Known, KnownColumn, store
from tests.unit.report.helpers import EXACT, FakeBound, measure

ROWS = 20_000
ARCHIVE, TABLE, MODEL = secrets.token_hex(16), secrets.token_hex(32), secrets.token_hex(32)
MOST_MANIFEST = 2_000
MOST_PARTITION = 2_400  # with its share of a commit of six and of the verification report


def month_of(month: int) -> tuple[pa.Table, pa.Table, dict[str, FakeBound]]:
    """A month and what its archive would give back: ten numbers within 1 % of their range, ten exact columns."""
    random = np.random.default_rng(month)
    original, rebuilt, bounds = {}, {}, {}
    for k in range(10):
        cells = (random.gamma(1.0 + k / 3, 30.0, ROWS) * (k + 1)).astype(np.int64) + random.integers(0, 40, ROWS)
        hidden = random.random(ROWS) < (k % 3) / 50
        bound = int(cells.max()) // 100
        original[f"number_{k}"] = pa.array(cells, mask=hidden)
        rebuilt[f"number_{k}"] = pa.array(
            np.rint(cells / (2 * bound + 1)).astype(np.int64) * (2 * bound + 1), mask=hidden
        )
        bounds[f"number_{k}"] = FakeBound("abs", Fraction(10 * bound + 7, 10))
    for k in range(5):
        exact = pa.array(random.integers(0, 4 ** (k + 2), ROWS), pa.int32())
        original[f"count_{k}"] = rebuilt[f"count_{k}"] = exact
        words = pa.array([f"word {w}" for w in random.integers(0, 5 ** (k + 1), ROWS)])
        original[f"word_{k}"] = rebuilt[f"word_{k}"] = words
        bounds |= {f"count_{k}": EXACT, f"word_{k}": EXACT}
    return pa.table(original), pa.table(rebuilt), bounds


def preview_of(rebuilt: pa.Table, month: int) -> pa.Table:
    """About what latents alone would give: the right values in other rows."""
    order = np.random.default_rng(month).permutation(ROWS)
    return rebuilt.take(pa.array(np.where(np.arange(ROWS) % 3 == 0, order, np.arange(ROWS))))


def described(month: int) -> tuple[Manifest, str]:
    """The manifest of a month, and its name."""
    original, rebuilt, bounds = month_of(month)
    loss = measure(original, rebuilt, bounds)
    previews = LossAccumulator(original.schema, {})
    previews.add(original, preview_of(rebuilt, month))
    ranges = Ranges(rebuilt.schema, {})
    ranges.add(rebuilt)
    random = np.random.default_rng(month)
    coded = {
        name: CodedColumn(
            "network", "coded by the network", original[name].nbytes, {"network": int(random.integers(9_000))}
        )
        for name in bounds
    }
    folder = partition_folder(f"month={month}")
    layers = []
    for layer, size in (("latents", 9_000), ("residuals", 65_000)):
        data, blocks = layer_bytes([random.bytes(size)])
        file = ObjectRef(f"{folder}/{layer}.parquet", len(data), secrets.token_hex(32))
        layers.append(LayerFile(layer, file, blocks))
    stored = StoredBytes(*(layer.file.length for layer in layers))
    digest, sha256 = secrets.token_hex(32), secrets.token_hex(32)
    certificate = certify(
        f"month={month}", loss, coded=coded, digest=digest, arrow=original.nbytes, parquet=440_106, stored=stored,
        preview=previews.finish(), latent_dim=2, model=MODEL, seconds={"encode": 0.123 * month},
    )  # fmt: skip
    columns = tuple(
        KnownColumn(field.name, field.type, BoundRecord.of(bounds[field.name]), "network", "")
        for field in original.schema
    )
    known = Known(certificate.partition, ROWS, digest, 440_106, stored, MODEL, None, columns)
    token = f"440106-{1795522791869713365 + 31 * month}-{2198295 + month}"
    manifest = Manifest(
        ARCHIVE, certificate.partition, {"month": str(month)}, TABLE, MODEL, (ROWS,), tuple(layers),
        (SourceFile("part-0.parquet", ROWS, 440_106, token, "1795522791.8697133", sha256),),
        digest, store(certificate, known), extra={"detail": pagedata.store(loss.detail)} | ranges.finish(),
    )  # fmt: skip
    return manifest, f"{folder}/manifest.json.br"


@pytest.fixture(scope="module")
def manifests() -> list[tuple[Manifest, str]]:
    return [described(month) for month in range(1, 7)]


def test_a_manifest_of_twenty_columns_stays_small(manifests):
    sizes = [len(packed_manifest(manifest, name)) for manifest, name in manifests]
    assert max(sizes) <= MOST_MANIFEST, sizes


def test_a_partition_with_its_share_of_commit_and_report_stays_small(manifests):
    sizes = {name: len(packed_manifest(manifest, name)) for manifest, name in manifests}
    report = pack_json(
        {
            "kind": "verification",
            "partitions": [{"outside": 0, "partition": m.partition, "rows": ROWS} for m, _ in manifests],
            "versions": {"latentlake": "0.1.0", "numpy": "2.4.6", "pyarrow": "26.0.1"},
        }
    )
    commit = Commit(
        number=1, parent=secrets.token_hex(32), uid=secrets.token_hex(16), op_key=secrets.token_hex(32),
        writer="latentlake 0.1.0", time="2026-01-01T00:00:00+00:00", note="compress",
        changes=tuple(Change(m.partition, ObjectRef(n, sizes[n], secrets.token_hex(32))) for m, n in manifests),
        report=ObjectRef(f"_reports/{secrets.token_hex(16)}.json.br", len(report), secrets.token_hex(32)),
    )  # fmt: skip
    total = sum(sizes.values()) + len(commit_bytes(commit)) + len(report)
    assert total <= MOST_PARTITION * len(manifests), total / len(manifests)
