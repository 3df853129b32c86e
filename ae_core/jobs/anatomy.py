"""What an archive's network is made of: sizes of its parts, and which columns each latent dimension listens to."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ae_core.codec import Codec, network_arrays
from ae_core.coder.weights import pack_tensors
from ae_core.report.inputs import AutoencoderSummary

HALF_LEVEL = 8
"""In sixteenths of a level: a column that cannot move a latent by this much does not count as heard."""
MIXED = 3
"""A dimension is mixed when it listens to at least so many columns."""


def columns_heard(codec: Codec) -> tuple[frozenset[str], ...]:
    """For each latent dimension, the columns whose symbols alone can move it by half a level or more."""
    if codec.network is None:
        return ()
    encoder = codec.network.encoder
    ends = np.cumsum((0, *encoder.alphabets))
    heard: list[set[str]] = [set() for _ in encoder.levels]
    for position, symbol in enumerate(codec.plan.symbols):
        rows = encoder.E[ends[position] : ends[position + 1]].astype(np.int32)
        for dim in np.flatnonzero(np.ptp(rows, axis=0) >= HALF_LEVEL):
            heard[dim].add(codec.plan.columns[symbol.column].name)
    return tuple(map(frozenset, heard))


def summarise_network(codec: Codec) -> AutoencoderSummary | None:
    """The network as a page shows it; sizes are those of one stored copy, each part packed by itself."""
    network = codec.network
    if network is None:
        return None
    arrays = network_arrays(network)

    def packed(belongs: Callable[[str], bool]) -> int:
        return len(pack_tensors({name: tensor for name, tensor in arrays.items() if belongs(name)}))

    return AutoencoderSummary(
        levels=tuple(network.encoder.levels),
        columns=len({symbol.column for symbol in codec.plan.symbols}),
        encoder=packed(lambda name: name.startswith("e/")),
        decoder=packed(lambda name: name.startswith("p/")),
        context=packed(lambda name: not name.startswith(("e/", "p/"))),
        mixed=sum(len(names) >= MIXED for names in columns_heard(codec)),
    )
