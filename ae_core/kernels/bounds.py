"""The proof, from a model's actual tables, that no int32 of the fast kernels can overflow.

Each figure below is an upper bound of an absolute value over every input whatsoever. In a sum of products any partial
sum, in any order, is bounded by the sum of absolute values, so vector kernels may add in the order that suits them.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ae_core.errors import ModelError
from ae_core.kernels.frozen import GATE_SHIFT, FrozenGroup, FrozenPreview, first_rows

STATE_LIMIT = 1 << 30
SUM_LIMIT = (1 << 31) - 1
LOGIT_LIMIT = 1 << 21
"""Below it, the greatest logit minus any other stays below 2^22, the reach of `frequencies`."""


class GroupBounds(NamedTuple):
    """Upper bounds of absolute values in a group; what each must stay below is in `check_bounds`."""

    u: int
    m_sum: int
    s: int
    w_sum: int
    logit: int


def _absolute(tensor: np.ndarray) -> np.ndarray:
    return np.abs(tensor.astype(np.int64))


def _reach(tables: np.ndarray, alphabets: tuple[int, ...]) -> np.ndarray:
    """Per state element, the sum over positions of the greatest |T|; int64 (H,)."""
    first = first_rows(alphabets)
    return np.maximum.reduceat(_absolute(tables), first[:-1], axis=0).sum(axis=0)


def group_bounds(group: FrozenGroup) -> GroupBounds:
    """The bounds that this group's own tables give."""
    reach = _reach(group.T, group.alphabets)
    m_sum = 255 * _absolute(group.M).sum(axis=0) + 16
    s = _absolute(group.b0) + (m_sum >> 5) + 1 + reach
    w_sum, logit = 0, 0
    for j, position in enumerate(group.coded_positions):
        w_sum = max(w_sum, int((32768 * _absolute(group.W[j]).sum(axis=0) + 16 * _absolute(group.bw[j]) + 16).max()))
        raised = 0
        for c in group.candidates:
            if c.position == position:
                gated = 255 * int(_absolute(c.gate).sum())
                raised += int(_absolute(c.boost).max()) + (gated >> GATE_SHIFT) + 1
        own = int((255 * _absolute(group.V[j]).sum(axis=0) + 16 * _absolute(group.bv[j])).max())
        logit = max(logit, own + raised)
    return GroupBounds(int((_absolute(group.c0) + reach).max()), int(m_sum.max()), int(s.max()), w_sum, logit)


def check_bounds(group: FrozenGroup) -> None:
    """Returns when no input can overflow the group's int32 arithmetic.

    Raises
    ------
    ModelError
        naming the quantity, its bound and its limit.
    """
    found = group_bounds(group)
    limits = GroupBounds(STATE_LIMIT, STATE_LIMIT, STATE_LIMIT, SUM_LIMIT, LOGIT_LIMIT)
    for name, bound, limit in zip(GroupBounds._fields, found, limits, strict=True):
        if bound >= limit:
            raise ModelError(f"frozen model: |{name}| may reach {bound}, the limit is {limit}: shrink its weights")


def check_preview_bounds(preview: FrozenPreview) -> None:
    """Returns when no latents can overflow the preview decoder's int32 arithmetic.

    Raises
    ------
    ModelError
        naming the bound.
    """
    outputs = preview.V.shape[1]
    bound = int((255 * _absolute(preview.V).sum(axis=0) + 16 * _absolute(preview.bv)).max()) if outputs else 0
    if bound > SUM_LIMIT:
        raise ModelError(f"frozen model: a preview output may reach {bound}, the limit is {SUM_LIMIT}")
