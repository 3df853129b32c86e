"""Short trainings on a sample: what an archive would take, and what each number of latents comes to. Imports torch."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import pyarrow as pa

from ae_core.codec import network_arrays
from ae_core.coder.weights import pack_tensors
from ae_core.columns import build_plan, encode_columns
from ae_core.errors import NoLatents
from ae_core.fitting import symbol_table
from ae_core.kernels.encoder import encode_latents
from ae_core.kernels.network import Network
from ae_core.kernels.preview import preview_codes
from ae_core.model.fit import (
    DIMENSIONS,
    WORKERS,
    DimensionPoint,
    SymbolTable,
    one_thread_each,
    try_dimension,
)
from ae_core.policy import ResolvedPolicy
from ae_core.uses.previews import PreviewError, preview_error
from ae_core.weighing import (
    LEAST_ROWS,
    MIXING_BYTES,
    TableTrial,
    column_bytes,
    hopeless,
    mixed_coder,
    plain_trial,
    scaled,
    settled,
)


@dataclass(frozen=True)
class DimensionTrial:
    """What a network of `dims` latents, `live` of which say something, makes of the sample; bytes are of its rows."""

    point: DimensionPoint
    live: int
    error: PreviewError
    latent_bytes: int
    other_bytes: int
    model_bytes: int


def try_dimensions(
    schema: pa.Schema, sample: Sequence[pa.Table], policy: ResolvedPolicy, *, rows_served: int, seed: int = 0
) -> Iterator[DimensionTrial]:
    """A trial of every latent dimension that a training would scout, each from short trainings, one after the other.

    Raises
    ------
    NoLatents
        When the table has nothing that a model could learn.
    """
    plan = settled(build_plan(schema, sample, policy), None)
    rows = sum(table.num_rows for table in sample)
    if (reason := hopeless(plan, rows, "always")) is not None:
        raise NoLatents(f"there is no latent dimension to choose: {reason}")
    encoded = [encode_columns(plan, table) for table in sample]
    plain = sum(column_bytes(plan, sample, None).values())
    table = symbol_table(plan, encoded, max(rows, rows_served), 8 * plain / max(rows, 1))
    for dims in DIMENSIONS:
        network, point = try_dimension(table, dims, seed=seed)
        spent = column_bytes(plan, sample, network)
        latents = spent.pop("")
        error = _preview_error(table, network, latents)
        model = len(pack_tensors(network_arrays(network)))
        yield DimensionTrial(point, network.latent_dims, error, latents, sum(spent.values()), model)


def try_policies(
    schema: pa.Schema, sample: Sequence[pa.Table], policies: Sequence[ResolvedPolicy], *, rows_served: int, dims: int
) -> Iterator[TableTrial]:
    """`try_table` for each of some policies, in their order and side by side."""
    with one_thread_each(), ThreadPoolExecutor(WORKERS) as pool:
        yield from pool.map(
            lambda policy: try_table(schema, sample, policy, rows_served=rows_served, dims=dims), policies
        )


def try_table(
    schema: pa.Schema, sample: Sequence[pa.Table], policy: ResolvedPolicy, *, rows_served: int, dims: int, seed: int = 0
) -> TableTrial:
    """About what `train_codec` would come to, within seconds: one short training with `dims` latents.

    The full training takes longer and does better, so that this is rather too much than too little.
    """
    plan = build_plan(schema, sample, policy)
    best, plain = plain_trial(plan, sample, rows_served)
    rows = sum(table.num_rows for table in sample)
    served = max(rows, rows_served)
    scale = served / max(1, rows)
    modelled = {c.name for c in plan.columns if c.coder in ("network", "mixing")}
    if best.plain_bytes <= MIXING_BYTES and (mixed := mixed_coder(plan, sample, plain, modelled)) is not None:
        found = TableTrial(
            "mixing", scaled({**plain, **mixed.spent}, scale), 0, len(mixed.plan.to_bytes()), best.plain_bytes
        )
        best = min(best, found, key=lambda one: one.bytes)
    if hopeless(plan, served, "auto") is not None or rows < LEAST_ROWS // 2:
        return best
    plan = settled(plan, None)
    table = symbol_table(plan, [encode_columns(plan, one) for one in sample], served, 8 * sum(plain.values()) / rows)
    network, _ = try_dimension(table, dims, seed=seed)
    coded = column_bytes(plan, sample, network)
    latents = coded.pop("")
    kept = {name: min(size, plain[name]) for name, size in coded.items()}
    found = TableTrial(
        "network",
        scaled(kept, scale),
        round(latents * scale),
        len(pack_tensors(network_arrays(network))),
        best.plain_bytes,
        _preview_error(table, network, latents),
    )
    return found if found.bytes < best.bytes else best


def _preview_error(table: SymbolTable, network: Network, size: int) -> PreviewError:
    """Error of the preview of every column that is not known without it."""
    told = [place for place, known in enumerate(table.known) if not known]
    shown = preview_codes(network.preview, encode_latents(network.encoder, table.symbols))
    return preview_error([table.heads[place] for place in told], table.codes[:, told], shown[:, told], size)
