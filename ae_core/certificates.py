"""Certificates of partitions: the figures in a manifest, and what table record and model say of the columns."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from ae_core.archive.format import Manifest
from ae_core.codec import Codec
from ae_core.errors import Corrupt
from ae_core.records import TableInfo, latent_bytes, layer_sizes, source_bytes
from ae_core.report import stored
from ae_core.report.certificate import Certificate, StoredBytes
from ae_core.report.impact import read_outcomes
from ae_core.report.records import BoundRecord
from ae_core.report.stored import Known, KnownColumn

CHECKS = "checks"
"""In a manifest's extra: what the policy's checks found before the commit."""


def read_certificate(manifest: Manifest, info: TableInfo, codec: Codec | None = None) -> Certificate:
    """The certificate of a partition; without `codec` it does not say how and why columns were coded.

    Raises
    ------
    Corrupt
        When the manifest's figures do not fit the table.
    """
    certificate = stored.read(manifest.certificate, _known(manifest, info, codec))
    try:
        return replace(certificate, checks=read_outcomes(manifest.extra.get(CHECKS, [])))
    except (TypeError, ValueError, AttributeError) as error:
        raise Corrupt(f"{manifest.partition}: its manifest holds no readable checks ({error})") from None


def store_certificate(certificate: Certificate, manifest: Manifest, info: TableInfo, codec: Codec) -> Mapping[str, Any]:
    """What `manifest` has to hold of the certificate, from which `read_certificate` makes it again."""
    return stored.store(certificate, _known(manifest, info, codec))


def _known(manifest: Manifest, info: TableInfo, codec: Codec | None) -> Known:
    sizes = layer_sizes(manifest)
    coded = [("", "")] * len(info.schema)
    if codec is not None:
        if codec.plan.schema.names != info.schema.names:
            raise Corrupt(f"partition {manifest.partition}: its model is of other columns than its table record")
        coded = [(column.coder, column.reason) for column in codec.plan.columns]
    bounds = info.policy.bounds
    columns = [
        KnownColumn(field.name, field.type, BoundRecord.of(bounds.get(field.name)), coder, reason)
        for field, (coder, reason) in zip(info.schema, coded, strict=True)
    ]
    return Known(
        partition=manifest.partition,
        rows=manifest.rows,
        digest=manifest.digest,
        parquet=source_bytes(manifest),
        stored=StoredBytes(latent_bytes(sizes), sizes.get("residuals", 0)),
        model=manifest.model,
        no_latents=manifest.no_latents_reason or (codec.no_latents_reason if codec else None),
        columns=tuple(columns),
    )
