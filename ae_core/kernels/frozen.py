"""The frozen integer models: what training hands over and what every decoder computes with.

Nothing in this file computes; `reference.py` defines the arithmetic, `bounds.py` proves that it fits in int32.

Fixed-point steps (a stored integer w stands for w * step):

    T, c0, b0 and the state s   2^-4        M, W, bw    2^-5
    h (hidden activations)      2^-4        V, bv, gate 2^-5
    logits and copy boosts      2^-9 nat

Every matrix is stored input first: row i of `M`, `W[j]` and `V[j]` belongs to input i, so that a layer is
`inputs @ matrix`.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import accumulate
from typing import Final

import numpy as np

from ae_core.errors import ModelError

GATE_SHIFT: Final = 0
"""A gate has V's step: h (2^-4) times gate (2^-5) is in logit units (2^-9 nat) without a shift."""

COPY_CLASSES: Final = 9
"""0 nothing known, 1 just missed, 2 seen once, 3..8 a run of 1..6 (or more) hits."""

MAX_ALPHABET: Final = 512
MAX_POSITIONS: Final = 256
MAX_KEY: Final = 4
MAX_CANDIDATES_PER_POSITION: Final = 2
MAX_WIDTH: Final = 1024
"""Upper bound of H, h and the preview's hidden size."""

ORDINAL_SHIFT: Final = 13
"""An ordinal preview output is a fraction of the column's levels in units of 2^-13 (V step 2^-9)."""


def _require(condition: bool, message: str) -> None:
    if not condition:
        raise ModelError(f"frozen model: {message}")


def _require_tensor(name: str, tensor: np.ndarray, dtype: type, shape: tuple[int, ...]) -> None:
    _require(isinstance(tensor, np.ndarray), f"{name} is not an array")
    _require(tensor.dtype == np.dtype(dtype), f"{name} has type {tensor.dtype}, expected {np.dtype(dtype)}")
    _require(tensor.shape == shape, f"{name} has shape {tensor.shape}, expected {shape}")


def first_rows(sizes: tuple[int, ...]) -> np.ndarray:
    """First row of every entry in a table that stacks entries of these sizes; int64 (len(sizes) + 1,)."""
    return np.array([0, *accumulate(sizes)], dtype=np.int64)


@dataclass(frozen=True, eq=False)
class Candidate:
    """One copy candidate: the symbol of `position` at the last earlier row of the block with the same key.

    With the candidate's symbol v and class c > 0, logit v rises by `boost[c] + ((gate . h) >> GATE_SHIFT)`.

    Attributes
    ----------
    position
        the position whose symbol is predicted.
    key
        earlier positions of the same row (each < position) that must agree; () means the previous row.
    boost
        int32 (9,), logit units, by class; `boost[0]` is never used.
    gate
        int16 (h,), step 2^-5, applied to the hidden activations of `position`.
    """

    position: int
    key: tuple[int, ...]
    boost: np.ndarray
    gate: np.ndarray


@dataclass(frozen=True, eq=False)
class FrozenGroup:
    """A context group of the autoregressive integer network.

    Attributes
    ----------
    alphabets
        K of every position, in coding order.
    coded
        False where the caller knows the symbol before coding; it then serves as context only.
    T
        int16 (sum K, H), the embedding row of every symbol of every position.
    c0
        int32 (H,), start of u.
    b0
        int32 (H,), start of the state s.
    M
        int16 (H, H), input first: previous row to state.
    W
        per coded position int16 (H, h), input first.
    bw
        per coded position int16 (h,).
    V
        per coded position int16 (h, K), input first.
    bv
        per coded position int32 (K,).
    candidates
        at most two per coded position, none for a given one, sorted by position.

    Raises
    ------
    ModelError
        when shapes, types or the structure do not fit together.
    """

    alphabets: tuple[int, ...]
    coded: tuple[bool, ...]
    T: np.ndarray
    c0: np.ndarray
    b0: np.ndarray
    M: np.ndarray
    W: tuple[np.ndarray, ...]
    bw: tuple[np.ndarray, ...]
    V: tuple[np.ndarray, ...]
    bv: tuple[np.ndarray, ...]
    candidates: tuple[Candidate, ...]

    def __post_init__(self) -> None:
        _require(len(self.alphabets) == len(self.coded), "alphabets and coded differ in length")
        _require(0 < len(self.alphabets) <= MAX_POSITIONS, f"{len(self.alphabets)} positions")
        _require(all(1 <= k <= MAX_ALPHABET for k in self.alphabets), f"an alphabet is outside 1..{MAX_ALPHABET}")
        _require(self.T.ndim == 2, "T is not a matrix")
        width = self.T.shape[1]
        _require(1 <= width <= MAX_WIDTH, f"state width {width}")
        _require_tensor("T", self.T, np.int16, (sum(self.alphabets), width))
        _require_tensor("c0", self.c0, np.int32, (width,))
        _require_tensor("b0", self.b0, np.int32, (width,))
        _require_tensor("M", self.M, np.int16, (width, width))
        positions = self.coded_positions
        for name in ("W", "bw", "V", "bv"):
            _require(len(getattr(self, name)) == len(positions), f"{name} has not one tensor per coded position")
        hidden = self.hidden
        _require(1 <= hidden <= MAX_WIDTH, f"hidden width {hidden}")
        for j, position in enumerate(positions):
            k = self.alphabets[position]
            _require_tensor(f"W[{j}]", self.W[j], np.int16, (width, hidden))
            _require_tensor(f"bw[{j}]", self.bw[j], np.int16, (hidden,))
            _require_tensor(f"V[{j}]", self.V[j], np.int16, (hidden, k))
            _require_tensor(f"bv[{j}]", self.bv[j], np.int32, (k,))
        self._check_candidates()

    def _check_candidates(self) -> None:
        order = [c.position for c in self.candidates]
        _require(order == sorted(order), "candidates are not sorted by position")
        for c in self.candidates:
            known = 0 <= c.position < len(self.coded) and self.coded[c.position]
            _require(known, f"candidate of position {c.position}, which is not coded")
            _require(order.count(c.position) <= MAX_CANDIDATES_PER_POSITION, f"too many candidates of {c.position}")
            fits = len(c.key) <= MAX_KEY and len(set(c.key)) == len(c.key) and all(0 <= k < c.position for k in c.key)
            _require(fits, f"candidate of position {c.position} has key {c.key}")
            _require_tensor("boost", c.boost, np.int32, (COPY_CLASSES,))
            _require_tensor("gate", c.gate, np.int16, (self.hidden,))

    @property
    def coded_positions(self) -> tuple[int, ...]:
        """Positions that are coded, ascending; `W[j]` belongs to `coded_positions[j]`."""
        return tuple(p for p, c in enumerate(self.coded) if c)

    @property
    def width(self) -> int:
        """H, the width of the state."""
        return int(self.T.shape[1])

    @property
    def hidden(self) -> int:
        """h, the hidden width of every position (1 when nothing is coded)."""
        return int(self.W[0].shape[-1]) if self.W else 1


@dataclass(frozen=True)
class PreviewHead:
    """What the preview decoder says about one column.

    An ordinal column has 1 + specials outputs: a fraction y of its levels (units 2^-13), then one logit per special;
    code = clamp((clamp(y, 0, 2^13) * (levels - 1) + 2^12) >> 13), unless the greatest special logit (the first on a
    tie) is above 0, then levels + its index.
    Any other column has, per digit (high first), one logit per digit value, the high digit's followed by one per
    special. The first greatest output wins; a special on the high digit gives levels + its index, else the digits are
    read as a mixed-radix number and clamped to levels - 1.

    Attributes
    ----------
    levels
        value codes of the column, 0..levels-1.
    specials
        special codes after them that a preview may show (escape, the last special, is not among them).
    radices
        digit sizes, high first.
    ordinal
        whether neighbouring codes are neighbouring values.
    """

    levels: int
    specials: int
    radices: tuple[int, ...]
    ordinal: bool

    def __post_init__(self) -> None:
        _require(1 <= self.levels < 2**31 and 0 <= self.specials <= 16, f"preview head {self}")
        _require(bool(self.radices) and all(1 <= r <= 2**16 for r in self.radices), f"preview head {self}")

    @property
    def outputs(self) -> int:
        """Number of outputs that belong to this head."""
        return self.specials + (1 if self.ordinal else sum(self.radices))


@dataclass(frozen=True, eq=False)
class FrozenPreview:
    """The preview decoder: latents to every modelled column at once.

        h = clamp(b + sum over d of P[first_d + z_d], 0, 255)        out = h @ V + 16 * bv

    Attributes
    ----------
    levels
        L of every latent dimension.
    P
        int16 (sum L, hp), step 2^-4.
    b
        int16 (hp,), step 2^-4.
    V
        int16 (hp, outputs), step 2^-5 for logits, 2^-9 for ordinal fractions.
    bv
        int16 (outputs,), V's step.
    heads
        one per column, their outputs side by side in this order.
    """

    levels: tuple[int, ...]
    P: np.ndarray
    b: np.ndarray
    V: np.ndarray
    bv: np.ndarray
    heads: tuple[PreviewHead, ...]

    def __post_init__(self) -> None:
        _require(0 < len(self.levels) <= MAX_POSITIONS, f"{len(self.levels)} latent dimensions")
        _require(all(1 <= n <= MAX_ALPHABET for n in self.levels), f"latent levels {self.levels}")
        _require(self.P.ndim == 2 and 1 <= self.P.shape[1] <= MAX_WIDTH, "P is not a matrix of a fit width")
        hidden, outputs = self.P.shape[1], sum(head.outputs for head in self.heads)
        _require_tensor("P", self.P, np.int16, (sum(self.levels), hidden))
        _require_tensor("b", self.b, np.int16, (hidden,))
        _require_tensor("V", self.V, np.int16, (hidden, outputs))
        _require_tensor("bv", self.bv, np.int16, (outputs,))


@dataclass(frozen=True, eq=False)
class FrozenEncoder:
    """The additive encoder: symbols to latents.

        z_d = clamp((bias_d + sum over positions of E[first + x, d] + 8) >> 4, 0, levels_d - 1)

    Attributes
    ----------
    alphabets
        K of every position.
    E
        int16 (sum K, d), in sixteenths of a level.
    bias
        int32 (d,), in sixteenths of a level.
    levels
        L of every latent dimension.
    """

    alphabets: tuple[int, ...]
    E: np.ndarray
    bias: np.ndarray
    levels: tuple[int, ...]

    def __post_init__(self) -> None:
        _require(0 < len(self.alphabets) <= MAX_POSITIONS, f"{len(self.alphabets)} positions")
        _require(all(1 <= k <= MAX_ALPHABET for k in self.alphabets), f"an alphabet is outside 1..{MAX_ALPHABET}")
        _require(0 < len(self.levels) <= MAX_POSITIONS, f"{len(self.levels)} latent dimensions")
        _require(all(1 <= n <= MAX_ALPHABET for n in self.levels), f"latent levels {self.levels}")
        _require_tensor("E", self.E, np.int16, (sum(self.alphabets), len(self.levels)))
        _require_tensor("bias", self.bias, np.int32, (len(self.levels),))
        _require(int(np.abs(self.bias.astype(np.int64)).max()) < 2**30, "bias is out of range")
