"""What an archive knows beside its rows, as Arrow tables: latents and certificates."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from ae_core.dataset import Partition
from ae_core.errors import NoLatents
from ae_core.records import latent_bytes, layer_sizes
from ae_core.report.certificate import ColumnCertificate
from ae_core.schemas import unify
from ae_core.threads import ordered_map

_TEXTS = ("type", "bound", "coder", "reason")
_COUNTS = (
    "rows",
    "nulls",
    "exceptions",
    "outside",
    "changed",
    "distinct",
    "distinct_change",
    "bytes_before",
    "bytes_after",
)
_FIGURES = (
    "bound_value", "max_error", "max_ratio", "mean_error", "rmse", "bias", "exact_share", "psnr", "wasserstein",
    "range", "sum_change", "mean_change", "min_change", "max_change",
)  # fmt: skip


def latents_table(partitions: Sequence[Partition], *, threads: int = 0) -> pa.Table:
    """The latents of all rows, see `Archive.latents`."""
    kept = [partition for partition in partitions if partition.manifest.layer("latents") is not None]
    if not kept:
        reasons = {p.manifest.no_latents_reason or p.certificate.no_latents or "they were dropped" for p in partitions}
        raise NoLatents(f"no partition has latents: {'; '.join(sorted(reasons)) or 'there is no partition'}")
    tables = list(ordered_map(_latents, kept, threads=threads))
    schema = unify([(partition.id, table.schema) for partition, table in zip(kept, tables, strict=True)])
    return pa.concat_tables(tables, promote_options="default").select(schema.names).unify_dictionaries()


def _latents(partition: Partition) -> pa.Table:
    z = np.concatenate(list(partition.latents())) if partition.rows else np.zeros((0, 0), np.uint16)
    columns = {
        "_partition": _repeated(partition.id, len(z)),
        "_row": pa.array(np.arange(len(z))),
        "_model": _repeated(partition.manifest.model or "", len(z)),
    }
    return pa.table(columns | {f"z_{i}": pa.array(np.ascontiguousarray(z[:, i])) for i in range(z.shape[1])})


def _repeated(text: str, rows: int) -> pa.Array:
    return pa.DictionaryArray.from_arrays(np.zeros(rows, np.int32), pa.array([text]))


def reports_table(partitions: Sequence[Partition]) -> pa.Table:
    """The certificates, see `Archive.reports`. Errors are in column units, sizes in bytes."""
    schema = pa.schema(
        [
            ("partition", pa.string()),
            ("column", pa.string()),
            *((name, pa.string()) for name in _TEXTS),
            ("sensitive", pa.bool_()),
            *((name, pa.int64()) for name in _COUNTS),
            *((name, pa.float64()) for name in _FIGURES),
            ("partition_latents_bytes", pa.int64()),
            ("digest", pa.string()),
            ("model", pa.string()),
        ]
    )
    rows = []
    for partition in partitions:
        whole = {
            "partition": partition.id,
            "partition_latents_bytes": latent_bytes(layer_sizes(partition.manifest)),
            "digest": partition.manifest.digest,
            "model": partition.manifest.model,
        }
        rows += [whole | _row(column) for column in partition.certificate.columns]
    return pa.Table.from_pylist(rows, schema)


def _row(column: ColumnCertificate) -> dict[str, Any]:
    loss, value = column.loss, column.loss.bound.fraction
    own = {
        "column": column.name,
        "bound": loss.bound.kind,
        "bound_value": None if value is None else float(value),
        "sensitive": loss.bound.sensitive,
        "coder": column.coded.coder,
        "reason": column.coded.reason,
        "bytes_before": column.coded.before,
        "bytes_after": column.coded.after,
    }
    measured = {name: getattr(loss, name) for name in ("type", *_COUNTS, *_FIGURES) if name not in own}
    return measured | own
