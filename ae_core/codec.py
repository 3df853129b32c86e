"""A frozen model, and its file.  Imports no torch."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Final, TypeVar

import numpy as np
import safetensors.numpy

from ae_core import mixing
from ae_core.coder.weights import pack_tensors, unpack_tensors
from ae_core.columns import Domain, TablePlan, read_plan, write_plan
from ae_core.errors import Corrupt
from ae_core.kernels import storage
from ae_core.kernels.bounds import check_bounds, check_preview_bounds
from ae_core.kernels.frozen import FrozenEncoder, FrozenGroup, FrozenPreview
from ae_core.kernels.network import ContextGroup, Network
from ae_core.vector_columns import read_coders, vector_tensors
from ae_core.vectors import VectorCoder

Part = TypeVar("Part", FrozenEncoder, FrozenPreview, FrozenGroup)
_MALFORMED: Final = (
    safetensors.SafetensorError,
    ArithmeticError,
    AttributeError,
    IndexError,
    KeyError,
    RecursionError,
    TypeError,
    ValueError,
)  # what reading a model of the wrong shape may raise


@dataclass(frozen=True, eq=False)
class Codec:
    """A frozen model: the column plan and, where it pays, the network.  Equal bytes decode equally everywhere.

    mixing : of the columns whose coder is "mixing"; they are decoded last, and know what the network codes.
    vectors : coders of the vector columns whose elements have codes, by index; each by itself.
    """

    plan: TablePlan
    network: Network | None
    no_latents_reason: str | None = None
    mixing: mixing.MixingPlan | None = None
    vectors: Mapping[int, VectorCoder] = field(default_factory=dict)

    def to_bytes(self) -> bytes:
        """The model as one safetensors file: the plan with all else that is text or numbers, entropy-coded weights."""
        notes: dict[str, Any] = {}
        tensors: dict[str, bytes] = {}
        if self.no_latents_reason is not None:
            notes["no_latents_reason"] = self.no_latents_reason
        if self.network is not None:
            arrays: dict[str, np.ndarray] = {}
            notes["network"] = _network_meta(self.network, arrays)
            tensors["weights"] = pack_tensors(arrays)
        for index, coder in self.vectors.items():
            tensors |= {f"vector.{index}.{name}": data for name, data in vector_tensors(coder).items()}
        tensors["plan"] = write_plan(self.plan, notes, b"" if self.mixing is None else self.mixing.to_bytes())
        return safetensors.numpy.save({name: np.frombuffer(raw, np.uint8) for name, raw in tensors.items()})

    @classmethod
    def from_bytes(cls, data: bytes) -> Codec:
        """The model behind `to_bytes`.

        Raises
        ------
        Corrupt
            When the bytes are not a model.
        ModelError
            When the weights are not within the bounds that the integer arithmetic needs.
        """
        try:
            tensors = {name: raw.tobytes() for name, raw in safetensors.numpy.load(data).items()}
            plan, notes, attached = read_plan(tensors["plan"])
            network = None
            if "network" in notes:
                network = _network_from(notes["network"], unpack_tensors(tensors["weights"]))
                _check_fit(plan, network)
            mixed = mixing.MixingPlan.from_bytes(attached) if attached else None
            _check_mixing(plan, network, mixed)
            vectors = read_coders(plan, tensors)
        except Corrupt:
            raise
        except _MALFORMED as error:
            raise Corrupt(f"model: malformed ({error}): verify the archive") from None
        return cls(plan, network, notes.get("no_latents_reason"), mixed, vectors)

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the model's bytes, hex."""
        return hashlib.sha256(self.to_bytes()).hexdigest()


def symbol_columns(plan: TablePlan) -> list[tuple[int, Domain]]:
    """The columns that have symbols, given ones included: what a mixing plan numbers from 0."""
    return [(index, domain) for index in plan.positions if (domain := plan.columns[index].domain) is not None]


def network_arrays(network: Network) -> dict[str, np.ndarray]:
    """All integer tensors of the network by name: what a model's weights cost is their packed size."""
    arrays: dict[str, np.ndarray] = {}
    _network_meta(network, arrays)
    return arrays


def _network_meta(network: Network, arrays: dict[str, np.ndarray]) -> dict[str, Any]:
    """The network's structure; its tensors are put into `arrays` under a prefix per part."""

    def put(prefix: str, part: Any) -> Any:
        meta, tensors = storage.to_tensors(part)
        arrays.update({f"{prefix}/{name}": tensor for name, tensor in tensors.items()})
        return meta

    return {
        "encoder": put("e", network.encoder),
        "preview": put("p", network.preview),
        "prior": put("z", network.prior),
        "groups": [
            {"positions": list(group.positions), "frozen": put(f"g{number}", group.frozen)}
            for number, group in enumerate(network.groups)
        ],
    }


def _network_from(meta: dict[str, Any], arrays: dict[str, np.ndarray]) -> Network:
    parts: dict[str, dict[str, np.ndarray]] = {}
    for name, tensor in arrays.items():
        prefix, _, own = name.partition("/")
        parts.setdefault(prefix, {})[own] = tensor

    def take(prefix: str) -> dict[str, np.ndarray]:
        return parts.get(prefix, {})

    network = Network(
        encoder=_part(FrozenEncoder, meta["encoder"], take("e")),
        preview=_part(FrozenPreview, meta["preview"], take("p")),
        prior=_part(FrozenGroup, meta["prior"], take("z")),
        groups=tuple(
            ContextGroup(tuple(entry["positions"]), _part(FrozenGroup, entry["frozen"], take(f"g{number}")))
            for number, entry in enumerate(meta["groups"])
        ),
    )
    check_preview_bounds(network.preview)
    for group in (network.prior, *(group.frozen for group in network.groups)):
        check_bounds(group)
    return network


def _check_fit(plan: TablePlan, network: Network) -> None:
    """Raises Corrupt where the network is not one for this plan's symbols: no kernel may index by what does not fit."""
    alphabets = tuple(symbol.alphabet for symbol in plan.symbols)
    levels = network.encoder.levels
    fits = (
        network.encoder.alphabets == alphabets
        and network.preview.levels == levels == network.prior.alphabets
        and all(network.prior.coded)
        and len(network.preview.heads) == len(plan.domain_columns)
        and sorted(p for group in network.groups for p in group.positions) == list(plan.context_positions)
    )
    for group in network.groups if fits else ():
        symbols = [plan.symbols[p] for p in group.positions]
        fits &= group.frozen.alphabets == (*levels, *(symbol.alphabet for symbol in symbols))
        fits &= group.frozen.coded == (*(False for _ in levels), *(symbol.coded for symbol in symbols))
    for head, index in zip(network.preview.heads, plan.domain_columns, strict=False):
        domain = plan.columns[index].domain
        fits &= domain is not None and (head.levels, head.specials) == (domain.shown, len(domain.specials) - 1)
    if not fits:
        raise Corrupt("model: its network does not fit its column plan: verify the archive")


def _check_mixing(plan: TablePlan, network: Network | None, mixed: mixing.MixingPlan | None) -> None:
    """Raises Corrupt where the mixing coder is not one for this plan's columns.

    A network's context models never see what the mixing coder codes after them.
    """
    columns = symbol_columns(plan)
    coded = {place for place, (index, _) in enumerate(columns) if plan.columns[index].coder == "mixing"}
    fits = not coded
    if mixed is not None:
        fits = {model.column for model in mixed.models} == coded
        fits &= mixed.levels == tuple(domain.levels for _, domain in columns)
        fits &= mixed.sizes == tuple(domain.size for _, domain in columns)
    if network is not None:
        seen = {p for group in network.groups for p in group.positions}
        fits &= all(seen.isdisjoint(plan.positions[columns[place][0]]) for place in coded)
    if not fits:
        raise Corrupt("model: its mixing coder does not fit its column plan: verify the archive")


def _part(kind: type[Part], meta: dict[str, Any], tensors: dict[str, np.ndarray]) -> Part:
    part = storage.from_tensors(meta, tensors)
    if not isinstance(part, kind):
        raise Corrupt(f"model: holds a {type(part).__name__} where a {kind.__name__} belongs: verify the archive")
    return part
