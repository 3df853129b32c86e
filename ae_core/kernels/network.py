"""The whole frozen network of a model: encoder, preview decoder, prior of the latents, context groups."""

from __future__ import annotations

from dataclasses import dataclass

from ae_core.kernels.frozen import FrozenEncoder, FrozenGroup, FrozenPreview


@dataclass(frozen=True, eq=False)
class ContextGroup:
    """A frozen group and the table's symbol positions that it codes or sees, which follow the d latents in it."""

    positions: tuple[int, ...]
    frozen: FrozenGroup


@dataclass(frozen=True, eq=False)
class Network:
    """Everything that a decoder needs beside the column plan.

    `prior` codes the latents (layer 0) from earlier latents alone; the groups code symbols (layer 1) given all latents.
    """

    encoder: FrozenEncoder
    preview: FrozenPreview
    prior: FrozenGroup
    groups: tuple[ContextGroup, ...]

    @property
    def latent_dims(self) -> int:
        """d, the number of latents of a row."""
        return len(self.encoder.levels)
