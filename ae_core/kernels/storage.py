"""Frozen models as a small JSON-able structure plus a few integer tensors, and back.

Tensors of all positions are stacked, so that a model has about ten of them; rows are what shares a scale (a symbol, an
input), which is what the weight coder adapts to.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from ae_core.errors import Corrupt, ModelError
from ae_core.kernels.frozen import (
    COPY_CLASSES,
    MAX_CANDIDATES_PER_POSITION,
    MAX_POSITIONS,
    Candidate,
    FrozenEncoder,
    FrozenGroup,
    FrozenPreview,
    PreviewHead,
)

Frozen = FrozenGroup | FrozenPreview | FrozenEncoder
Meta = dict[str, Any]
Tensors = dict[str, np.ndarray]


def _stacked(parts: list[np.ndarray], columns: int) -> np.ndarray:
    """The parts (rows, columns) on top of each other; (0, columns) where there are none."""
    return np.concatenate(parts) if parts else np.zeros((0, columns), np.int16)


def _group_to_tensors(group: FrozenGroup) -> tuple[Meta, Tensors]:
    meta = {
        "kind": "group",
        "alphabets": list(group.alphabets),
        "given": [p for p, coded in enumerate(group.coded) if not coded],
        "hidden": group.hidden,
        "candidates": [[c.position, *c.key] for c in group.candidates],
    }
    h, candidates = group.hidden, group.candidates
    tensors = {
        "T": group.T,
        "M": group.M,
        "start": np.stack([group.c0, group.b0]),
        "W": _stacked(list(group.W), h),
        "bw": np.array(group.bw, np.int16).reshape(-1, h),
        "V": _stacked([V.T for V in group.V], h),
        "bv": np.concatenate([*group.bv, np.zeros(0, np.int32)]),
        "boost": np.array([c.boost[1:] for c in candidates], np.int32).reshape(-1, COPY_CLASSES - 1),
        "gate": np.array([c.gate for c in candidates], np.int16).reshape(-1, h),
    }
    return meta, tensors


def _group_from_tensors(meta: Meta, t: Mapping[str, np.ndarray]) -> FrozenGroup:
    alphabets = tuple(int(k) for k in meta["alphabets"])
    most = min(len(alphabets), MAX_POSITIONS)
    if len(alphabets) > most or len(meta["given"]) > most:
        raise ModelError(f"frozen model: {len(alphabets)} positions, {len(meta['given'])} of them given")
    if len(meta["candidates"]) > MAX_CANDIDATES_PER_POSITION * most:
        raise ModelError(f"frozen model: {len(meta['candidates'])} candidates of {most} positions")
    coded = tuple(p not in meta["given"] for p in range(len(alphabets)))
    if coded.count(False) != len(meta["given"]):
        raise ModelError(f"frozen model: given positions {meta['given']} of {len(alphabets)}")
    sizes = [k for k, c in zip(alphabets, coded, strict=True) if c]
    h, H = int(meta["hidden"]), t["T"].shape[1]
    ends = np.cumsum(sizes)
    if t["W"].shape != (len(sizes) * H, h) or len(t["V"]) != sum(sizes) or len(t["bw"]) != len(sizes):
        raise ModelError("frozen model: W, V or bw does not fit its coded positions")
    boosts = np.zeros((len(meta["candidates"]), COPY_CLASSES), np.int32)
    boosts[:, 1:] = t["boost"]
    candidates = [
        Candidate(int(c[0]), tuple(int(k) for k in c[1:]), boost, gate)
        for c, boost, gate in zip(meta["candidates"], boosts, t["gate"], strict=True)
    ]
    return FrozenGroup(
        alphabets=alphabets,
        coded=coded,
        T=t["T"],
        c0=t["start"][0],
        b0=t["start"][1],
        M=t["M"],
        W=tuple(t["W"].reshape(len(sizes), H, h)),
        bw=tuple(t["bw"]),
        V=tuple(np.ascontiguousarray(t["V"][end - k : end].T) for k, end in zip(sizes, ends, strict=True)),
        bv=tuple(t["bv"][end - k : end] for k, end in zip(sizes, ends, strict=True)),
        candidates=tuple(candidates),
    )


def _preview_to_tensors(preview: FrozenPreview) -> tuple[Meta, Tensors]:
    meta = {
        "kind": "preview",
        "levels": list(preview.levels),
        "heads": [[head.levels, head.specials, int(head.ordinal), *head.radices] for head in preview.heads],
    }
    return meta, {"P": preview.P, "b": preview.b, "V": np.ascontiguousarray(preview.V.T), "bv": preview.bv}


def _preview_from_tensors(meta: Meta, t: Mapping[str, np.ndarray]) -> FrozenPreview:
    heads = [PreviewHead(int(h[0]), int(h[1]), tuple(int(r) for r in h[3:]), bool(h[2])) for h in meta["heads"]]
    return FrozenPreview(
        levels=tuple(int(n) for n in meta["levels"]),
        P=t["P"],
        b=t["b"],
        V=np.ascontiguousarray(t["V"].T),
        bv=t["bv"],
        heads=tuple(heads),
    )


def _encoder_to_tensors(encoder: FrozenEncoder) -> tuple[Meta, Tensors]:
    meta = {"kind": "encoder", "alphabets": list(encoder.alphabets), "levels": list(encoder.levels)}
    return meta, {"E": encoder.E, "bias": encoder.bias}


def _encoder_from_tensors(meta: Meta, t: Mapping[str, np.ndarray]) -> FrozenEncoder:
    return FrozenEncoder(
        alphabets=tuple(int(k) for k in meta["alphabets"]),
        E=t["E"],
        bias=t["bias"],
        levels=tuple(int(n) for n in meta["levels"]),
    )


def to_tensors(model: Frozen) -> tuple[Meta, Tensors]:
    """Structure (JSON-able) and integer tensors of a frozen model; `from_tensors` is the exact inverse.

    `boost[0]` of a candidate is never used and comes back as 0.
    """
    if isinstance(model, FrozenGroup):
        return _group_to_tensors(model)
    if isinstance(model, FrozenPreview):
        return _preview_to_tensors(model)
    return _encoder_to_tensors(model)


def from_tensors(meta: Mapping[str, Any], tensors: Mapping[str, np.ndarray]) -> Frozen:
    """The frozen model that `to_tensors` took apart; its type is the one that was stored.

    Raises
    ------
    Corrupt
        When structure and tensors are not what `to_tensors` makes.
    ModelError
        When they do not fit together.
    """
    builders: dict[str, Callable[[Meta, Mapping[str, np.ndarray]], Frozen]] = {
        "group": _group_from_tensors,
        "preview": _preview_from_tensors,
        "encoder": _encoder_from_tensors,
    }
    try:
        build = builders[meta["kind"]]
        return build(dict(meta), tensors)
    except (KeyError, IndexError, TypeError, ValueError, OverflowError, AttributeError) as error:
        raise Corrupt(f"frozen model: malformed structure ({error}): restore the model from its twin") from error
