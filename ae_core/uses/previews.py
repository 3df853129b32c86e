"""How good a preview is, and what simpler previews give: every column's mean or mode, and PCA at the same bytes.

The peer is the one people would reach for: principal components of standardised numbers and one-hot categories, scores
rounded with one step and coded by the best of pcodec, zstd and xz per component.
"""

from __future__ import annotations

import lzma
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pcodec
import zstandard
from pcodec.standalone import simple_compress

from ae_core.kernels.frozen import PreviewHead

PCA_DIMS = (2, 3, 4, 6, 8, 12)


@dataclass(frozen=True)
class PreviewError:
    """Errors of a preview: means over the columns that vary."""

    numeric: float  # mean absolute error of ordinal columns, % of their range
    accuracy: float  # share of categories that are right, %
    size: int  # bytes of what it is rebuilt from

    @property
    def total(self) -> float:
        """Numeric error plus share of wrong categories, in percent: the one figure by which previews are ranked."""
        return self.numeric + 100 - self.accuracy


def preview_error(heads: Sequence[PreviewHead], codes: np.ndarray, shown: np.ndarray, size: int) -> PreviewError:
    """Errors of the codes that a preview shows, (rows, columns) both; specials count for neither figure."""
    numeric, accuracy = [], []
    for c, head in enumerate(heads):
        true, guess = codes[:, c], shown[:, c]
        known = true < head.levels
        if len(true) == 0 or head.levels < 2 or not known.any():
            continue
        if head.ordinal:
            guess = np.clip(guess, 0, head.levels - 1)
            numeric.append(100 * float(np.abs(guess - true)[known].mean()) / (head.levels - 1))
        else:
            accuracy.append(100 * float((guess == true)[known].mean()))
    return PreviewError(float(np.mean(numeric or [0])), float(np.mean(accuracy or [100])), size)


def constant_preview(heads: Sequence[PreviewHead], codes: np.ndarray) -> np.ndarray:
    """Every ordinal column's median, which has the least absolute error, and every other's mode."""
    shown = np.zeros_like(codes)
    for c, head in enumerate(heads):
        column = codes[:, c]
        known = column[column < head.levels]
        if len(known):
            shown[:, c] = int(np.median(known)) if head.ordinal else np.bincount(known).argmax()
    return shown


def pca_preview(heads: Sequence[PreviewHead], codes: np.ndarray, size: int) -> tuple[np.ndarray, PreviewError]:
    """The best PCA preview whose coded scores take `size` bytes (within 1 %, or less), over PCA_DIMS components.

    The best is the one of least `PreviewError.total`.
    """
    layout = _layout(heads)
    mean, spread = _moments(heads, codes, layout)
    basis = _components(heads, codes, layout, mean, spread)
    best: tuple[np.ndarray, PreviewError] | None = None
    for dims in PCA_DIMS:
        if dims > basis.shape[1]:
            break
        scores = _scores(heads, codes, layout, mean, spread, basis[:, :dims])
        rounded, step = _rounded_to(scores, size)
        shown = _decode(heads, rounded * step @ basis[:, :dims].T, layout, mean, spread)
        error = preview_error(heads, codes, shown, sum(_best_bytes(column) for column in rounded.T))
        if best is None or error.total < best[1].total:
            best = shown, error
    assert best is not None
    return best


def pca_exact(heads: Sequence[PreviewHead], codes: np.ndarray, dims: int) -> np.ndarray:
    """Codes that so many principal components show, their scores as they are."""
    layout = _layout(heads)
    mean, spread = _moments(heads, codes, layout)
    basis = _components(heads, codes, layout, mean, spread)[:, :dims]
    return _decode(heads, _scores(heads, codes, layout, mean, spread, basis) @ basis.T, layout, mean, spread)


def _widths(head: PreviewHead) -> list[int]:
    """Features of a column: an ordinal value and its specials, or the values of each digit."""
    return [1 + head.specials] if head.ordinal else [head.radices[0] + head.specials, *head.radices[1:]]


def _layout(heads: Sequence[PreviewHead]) -> np.ndarray:
    return np.cumsum([0, *(sum(_widths(head)) for head in heads)])


def _features(heads: Sequence[PreviewHead], codes: np.ndarray, layout: np.ndarray) -> np.ndarray:
    """(rows, features): values as they are (NaN for specials), indicators for all else."""
    out = np.zeros((len(codes), layout[-1]), np.float32)
    rows = np.arange(len(codes))
    for c, head in enumerate(heads):
        at, code = int(layout[c]), codes[:, c]
        special = np.minimum(code - head.levels, head.specials - 1)  # an escape counts as the last special
        if head.ordinal:
            out[:, at] = np.where(special < 0, code, np.nan)
            if head.specials:
                out[rows[special >= 0], at + 1 + special[special >= 0]] = 1
            continue
        rest, digits = np.minimum(code, head.levels - 1), []
        for radix in head.radices[:0:-1]:
            rest, digit = np.divmod(rest, radix)
            digits.append(digit)
        high = np.where(special < 0, rest, head.radices[0] + special)
        for digit, width in zip([high, *digits[::-1]], _widths(head), strict=True):
            out[rows, at + digit] = 1
            at += width
    return out


def _moments(heads: Sequence[PreviewHead], codes: np.ndarray, layout: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean of every feature and what it is divided by: the deviation of a number, 1 of an indicator."""
    mean, spread = np.zeros(layout[-1]), np.ones(layout[-1])
    for chunk in _chunks(codes):
        mean += np.nansum(_features(heads, chunk, layout), 0, dtype=np.float64)
    mean /= len(codes)
    for c, head in enumerate(heads):
        if head.ordinal:
            known = codes[codes[:, c] < head.levels, c]
            if len(known):
                mean[layout[c]], spread[layout[c]] = known.mean(), max(float(known.std()), 1e-9)
    return mean, spread


def _centred(
    heads: Sequence[PreviewHead], chunk: np.ndarray, layout: np.ndarray, mean: np.ndarray, spread: np.ndarray
) -> np.ndarray:
    return np.nan_to_num((_features(heads, chunk, layout) - mean.astype(np.float32)) / spread.astype(np.float32))


def _components(
    heads: Sequence[PreviewHead], codes: np.ndarray, layout: np.ndarray, mean: np.ndarray, spread: np.ndarray
) -> np.ndarray:
    """Principal axes, (features, components), strongest first."""
    covariance = np.zeros((layout[-1], layout[-1]))
    for chunk in _chunks(codes):
        x = _centred(heads, chunk, layout, mean, spread)
        covariance += x.T @ x
    _, axes = np.linalg.eigh(covariance)
    return axes[:, ::-1][:, : max(PCA_DIMS)]


def _scores(
    heads: Sequence[PreviewHead],
    codes: np.ndarray,
    layout: np.ndarray,
    mean: np.ndarray,
    spread: np.ndarray,
    basis: np.ndarray,
) -> np.ndarray:
    return np.concatenate([_centred(heads, chunk, layout, mean, spread) @ basis for chunk in _chunks(codes)])


def _rounded_to(scores: np.ndarray, size: int) -> tuple[np.ndarray, float]:
    """Scores rounded with the finest step whose bytes do not exceed `size` (found by bisection with pcodec)."""
    low, high = np.log(scores.std() / 256), np.log(np.abs(scores).max() * 2)
    for _ in range(14):
        middle = (low + high) / 2
        rounded = np.rint(scores / np.exp(middle)).astype(np.int32)
        if sum(len(_pcodec(column)) for column in rounded.T) > size:
            low = middle
        else:
            high = middle
    return np.rint(scores / np.exp(high)).astype(np.int32), float(np.exp(high))


def _decode(
    heads: Sequence[PreviewHead], features: np.ndarray, layout: np.ndarray, mean: np.ndarray, spread: np.ndarray
) -> np.ndarray:
    features = features * spread + mean
    shown = np.zeros((len(features), len(heads)), np.int32)
    for c, head in enumerate(heads):
        at = int(layout[c])
        if head.ordinal:
            shown[:, c] = np.clip(np.rint(features[:, at]), 0, head.levels - 1)
            continue
        code = np.zeros(len(features), np.int64)
        for radix, width in zip(head.radices, _widths(head), strict=True):
            code = code * radix + features[:, at : at + radix].argmax(1)  # specials are not what is compared
            at += width
        shown[:, c] = np.minimum(code, head.levels - 1)
    return shown


def _best_bytes(column: np.ndarray) -> int:
    raw = column.astype(np.int16 if np.abs(column).max() < 2**15 else np.int32).tobytes()
    return min(len(_pcodec(column)), len(zstandard.compress(raw, 19)), len(lzma.compress(raw, preset=9)))


def _pcodec(column: np.ndarray) -> bytes:
    packed: bytes = simple_compress(np.ascontiguousarray(column), pcodec.ChunkConfig())
    return packed


def _chunks(codes: np.ndarray, rows: int = 32_768) -> list[np.ndarray]:
    return [codes[at : at + rows] for at in range(0, len(codes), rows)]
