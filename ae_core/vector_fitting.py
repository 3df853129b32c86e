"""Coders of a table's vector columns, from a sample: plain, mixed, or mixed against an autoencoder, all bytes counted.

Imports torch; nothing that reads an archive imports this file.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from ae_core import mixing
from ae_core.columns import TablePlan, encode_columns
from ae_core.model.vectors import train_vectors
from ae_core.vector_columns import vector_tensors
from ae_core.vector_types import vector_shape
from ae_core.vectors import FrozenVectors, VectorCoder, cells_of, encode_cells, encode_vectors, predicted_codes
from ae_core.vectors.coding import MOST_LENGTH
from ae_core.vectors.network import LATENT_LEVELS, MOST_LEVELS, MOST_SIZE

TRAINED, MEASURED = 1 << 22, 1 << 19  # elements of the sample that train, and on which coders are compared
SEARCHED = 1 << 14  # elements on which contexts are tried
LEAST_ELEMENTS, LEAST_VECTORS = 500, 32

Codes = npt.NDArray[np.int64]


@dataclass(frozen=True)
class _Candidate:
    """A way to code the column: bytes of the measured vectors, and of what the model holds for it."""

    coder: VectorCoder | None
    data: int
    model: int


def fit_vectors(
    plan: TablePlan, sample: Sequence[pa.Table], *, rows_served: int, always: bool, seed: int = 0
) -> tuple[TablePlan, dict[int, VectorCoder]]:
    """The plan with a coder chosen for every vector column, and the coders by column.

    Parameters
    ----------
    rows_served
        Rows that the model will code: what its bytes are weighed against.
    always
        Use an autoencoder wherever there can be one.
    """
    columns, coders = list(plan.columns), {}
    for index, column in enumerate(plan.columns):
        if column.elements is None or column.elements.coder == "plain":
            continue
        alone = TablePlan(pa.schema([plan.schema.field(index)]), (column,))
        best = _best(alone, [table.select([index]) for table in sample], rows_served, always, seed)
        if best.coder is None:
            columns[index] = alone.with_coder(column.name, "plain", "a plain coder is smallest").columns[0]
            continue
        coders[index] = best.coder
        if (network := best.coder.network) is not None:
            cells = best.coder.cells.count
            told = f"autoencoder of {network.dims} latents" + (f" for each of {cells} patches" if cells > 1 else "")
            columns[index] = replace(column, reason=f"{column.reason}; {told}")
    return TablePlan(plan.schema, tuple(columns)), coders


def _best(plan: TablePlan, sample: Sequence[pa.Table], rows_served: int, always: bool, seed: int) -> _Candidate:
    column = plan.columns[0]
    assert column.elements is not None
    assert column.elements.domain is not None
    domain, shape = column.elements.domain, vector_shape(column.type)
    length = int(np.prod(shape))
    encoded = [encode_columns(plan, table) for table in sample if table.num_rows]
    if not encoded:
        return _Candidate(None, 0, 0)
    codes = np.concatenate([block.vectors[0].reshape(-1, length) for block in encoded]).astype(np.int64)
    rows = sum(table.num_rows for table in sample)
    vectors_served = max(len(codes), len(codes) * rows_served // max(1, rows))
    if length > MOST_LENGTH or codes.size < LEAST_ELEMENTS or domain.levels < 1:
        return _Candidate(None, 0, 0)
    measured = _spread(codes, max(1, MEASURED // length))
    found = [_Candidate(None, _plain_bytes(plan, sample, len(measured), len(codes)), 0)]
    network = None
    if (
        domain.levels <= MOST_LEVELS
        and cells_of(shape).size <= MOST_SIZE
        and length > 1
        and len(codes) >= LEAST_VECTORS
    ):
        trained = _spread(codes, max(1, TRAINED // length))
        network = train_vectors(trained, domain.levels, cells_of(shape), vectors_served=vectors_served, seed=seed)
        found.append(_measured(find_coder(shape, domain.levels, domain.size, measured, network), measured))
    if network is None or not always:
        found.append(_measured(find_coder(shape, domain.levels, domain.size, measured, None), measured))
    if always and network is not None:
        return found[1]
    share = vectors_served / len(measured)
    return min(found, key=lambda one: one.data + one.model / share)


def _spread(codes: Codes, count: int) -> Codes:
    """So many vectors, evenly spread over the sample."""
    if len(codes) <= count:
        return codes
    return codes[np.linspace(0, len(codes) - 1, count).astype(np.int64)]


def _plain_bytes(plan: TablePlan, sample: Sequence[pa.Table], measured: int, vectors: int) -> int:
    """Bytes of the measured vectors under a plain coder; measured on the first blocks and scaled."""
    plain = plan.with_coder(plan.columns[0].name, "plain", "measured")
    part = sample[0].slice(0, max(1, measured))
    size = sum(len(data) for data in encode_columns(plain, part).streams.values())
    return round(size * min(measured, vectors) / max(1, part.num_rows))


def _measured(coder: VectorCoder, measured: Codes) -> _Candidate:
    data = sum(len(stream) for stream in encode_vectors(coder, measured).values())
    return _Candidate(coder, data, sum(len(tensor) for tensor in vector_tensors(coder).values()))


def find_coder(
    shape: tuple[int, ...], levels: int, size: int, measured: Codes, network: FrozenVectors | None
) -> VectorCoder:
    """The coder with contexts searched for on a few vectors in shuffled order."""
    length = measured.shape[1]
    order = np.random.default_rng(0).permutation(len(measured))[: max(1, 2 * SEARCHED // length)]
    vectors = measured[order]
    columns, sizes = [np.tile(np.arange(length), len(vectors))], [length]
    latents = None
    if network is not None:
        cells = cells_of(shape)
        z = encode_cells(network, cells, vectors, levels)
        flat = z.reshape(-1, network.dims)
        given = [LATENT_LEVELS] * network.dims
        latents = mixing.choose(flat, given, given, [True] * network.dims, [True] * network.dims)
        bare = VectorCoder(shape, levels, size, mixing.MixingPlan((), (), ()), network, latents)
        columns.append(predicted_codes(bare, z).ravel())
        sizes.append(levels)
    columns.append(vectors.ravel())
    last = len(sizes)
    elements = mixing.choose(
        np.stack(columns, 1),
        [*sizes, levels],
        [*sizes, size],
        [False, *[True] * last],
        [*[False] * last, True],
        search_rows=SEARCHED,
    )
    return VectorCoder(shape, levels, size, elements, network, latents)
