"""The vector columns of a table: their coders in a model file, their streams in a block."""

from __future__ import annotations

from collections.abc import Collection, Mapping

import numpy as np

from ae_core.coder.weights import pack_tensors, unpack_tensors
from ae_core.columns import Codes, EncodedColumns, TablePlan, valid_vectors
from ae_core.errors import Corrupt
from ae_core.mixing import MixingPlan
from ae_core.vector_types import vector_shape
from ae_core.vectors import (
    FrozenVectors,
    VectorCoder,
    decode_latents,
    decode_vectors,
    encode_vectors,
    predicted_codes,
)


def vector_tensors(coder: VectorCoder) -> dict[str, bytes]:
    """A vector column's coder as byte tensors by name; their bytes are what it costs."""
    tensors = {"elements": coder.elements.to_bytes()}
    if coder.network is not None and coder.latents is not None:
        tensors["latents"] = coder.latents.to_bytes()
        tensors["weights"] = pack_tensors(coder.network.tensors)
    return tensors


def read_coders(plan: TablePlan, tensors: Mapping[str, bytes]) -> dict[int, VectorCoder]:
    """The coders of vector columns; raises Corrupt where one is missing or does not fit."""
    found = {}
    for index, column in enumerate(plan.columns):
        if column.elements is None or column.elements.coder == "plain":
            continue
        domain = column.elements.domain
        assert domain is not None
        part = {name: tensors.get(f"vector.{index}.{name}") for name in ("elements", "latents", "weights")}
        if part["elements"] is None:
            raise Corrupt(f"model: the coder of {column.name!r} is missing: verify the archive")
        network = None
        if part["weights"] is not None:
            network = FrozenVectors(unpack_tensors(part["weights"]))
        found[index] = VectorCoder(
            vector_shape(column.type),
            domain.levels,
            domain.size,
            MixingPlan.from_bytes(part["elements"]),
            network,
            None if part["latents"] is None else MixingPlan.from_bytes(part["latents"]),
        )
        found[index].check()
    return found


def vector_streams(coders: Mapping[int, VectorCoder], encoded: EncodedColumns) -> dict[str, bytes]:
    """Latents and elements of the vector columns of a block."""
    streams: dict[str, bytes] = {}
    for index, codes in encoded.vectors.items():
        coder = coders[index]
        for name, data in encode_vectors(coder, codes.reshape(-1, coder.length).astype(np.int64)).items():
            streams[f"{index}:{name}"] = data
    return streams


def vector_codes(
    coders: Mapping[int, VectorCoder], streams: Mapping[str, bytes], rows: int, wanted: Collection[int]
) -> dict[int, Codes]:
    """Codes of the elements of the wanted vector columns, one after the other."""
    found: dict[int, Codes] = {}
    for index in wanted if rows else ():
        coder, count = coders[index], valid_vectors(streams, index, rows)[1]
        z = None
        if coder.network is not None:
            z = decode_latents(coder, _part(streams, f"{index}:z"), count)
        found[index] = decode_vectors(coder, _part(streams, f"{index}:elements"), z, count).ravel()
    return found


def vector_guesses(
    coders: Mapping[int, VectorCoder], streams: Mapping[str, bytes], rows: int, wanted: Collection[int]
) -> dict[int, Codes]:
    """What their autoencoders make of the latents of the wanted vector columns; columns without one are left out."""
    found: dict[int, Codes] = {}
    for index in wanted:
        coder = coders[index]
        if coder.network is not None:
            count = valid_vectors(streams, index, rows)[1] if rows else 0
            z = decode_latents(coder, _part(streams, f"{index}:z") if rows else b"", count)
            found[index] = predicted_codes(coder, z).ravel()
    return found


def _part(streams: Mapping[str, bytes], name: str) -> bytes:
    if name not in streams:
        raise Corrupt(f"payload: stream {name!r} is missing: verify the archive")
    return streams[name]
