"""Bounded summaries of a stream of cells that do not depend on how the stream was cut into blocks."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ae_core.report.cells import Numbers, without_dictionary

BINS = 4096
DISTINCT = 4096
_HASH_BYTES = 1 << 22


class DyadicHistogram:
    """Counts on the grid of bins [k·2^e, (k+1)·2^e), with the smallest e for which at most 4,096 bins suffice.

    Bins of one e merge pairwise, without remainder, into those of e + 1; so the result depends on the smallest and
    largest value only, not on the order of arrival, and two histograms can always be brought to one grid. Integers
    that span fewer than 4,096 values are counted exactly.
    """

    def __init__(self) -> None:
        self.exponent = -1074
        self.start = 0
        self.counts = np.zeros(0, np.int64)
        self.count = 0
        self.total = 0.0
        self.low = math.inf
        self.high = -math.inf

    def add(self, values: np.ndarray) -> None:
        """Count finite float64 values."""
        if not len(values):
            return
        self.low = min(self.low, float(values.min()))
        self.high = max(self.high, float(values.max()))
        self.count += len(values)
        self.total += float(values.sum())
        self._fit(_grid(self.low, self.high))
        keys = np.floor(np.ldexp(values, -self.exponent)).astype(np.int64) - self.start
        self.counts += np.bincount(keys, minlength=len(self.counts))

    def _fit(self, exponent: int) -> None:
        """Coarsen to the exponent and widen to hold [low, high]."""
        if not len(self.counts):
            self.exponent = exponent
        elif exponent > self.exponent:
            self.start, self.counts = coarsen(self.start, self.counts, exponent - self.exponent)
            self.exponent = exponent
        first, last = _key(self.low, self.exponent), _key(self.high, self.exponent)
        if not len(self.counts):
            self.start = first
        front = self.start - first
        back = last - (self.start + len(self.counts)) + 1
        self.counts = np.pad(self.counts, (max(front, 0), max(back, 0)))
        self.start = min(self.start, first)

    def spread(self, centre: float) -> float:
        """Mean distance from a value, taking every cell at the middle of its bin."""
        if not self.count:
            return 0.0
        width = math.ldexp(1.0, self.exponent)
        # integers sit on the left edge of unit bins
        offset = 0.0 if self.exponent == 0 else 0.5
        middles = (self.start + np.arange(len(self.counts)) + offset) * width
        return float((self.counts * np.abs(middles - centre)).sum() / self.count)


def _key(value: float, exponent: int) -> int:
    return math.floor(math.ldexp(value, -exponent))


def _grid(low: float, high: float) -> int:
    """The smallest exponent for which [low, high] touches at most BINS bins and keys stay within 2^52."""
    largest = max(abs(low), abs(high))
    exponent = max(math.frexp(largest)[1] - 52, -1022) if largest else 0
    if high > low:
        exponent = max(exponent, math.frexp(high / 2 - low / 2)[1] + 1 - BINS.bit_length())
    if float(low).is_integer() and float(high).is_integer() and exponent <= 0:
        exponent = 0 if high - low < BINS else exponent
    while _key(high, exponent) - _key(low, exponent) + 1 > BINS:
        exponent += 1
    return exponent


def coarsen(start: int, counts: np.ndarray, steps: int) -> tuple[int, np.ndarray]:
    """Merge bins 2^steps at a time on the dyadic grid: the new first key and counts."""
    first = start >> steps
    last = (start + len(counts) - 1) >> steps
    if last - first == 0:
        return first, np.array([counts.sum()], np.int64)
    keys = np.arange(start, start + len(counts), dtype=np.int64)
    merged = np.zeros(last - first + 1, np.int64)
    np.add.at(merged, (keys >> steps) - first, counts)
    return first, merged


def align(a: DyadicHistogram, b: DyadicHistogram) -> tuple[int, int, np.ndarray, np.ndarray]:
    """Both histograms on one grid: exponent, first key, counts of a, counts of b."""
    parts = [h for h in (a, b) if len(h.counts)]
    if not parts:
        return 0, 0, np.zeros(0, np.int64), np.zeros(0, np.int64)
    spanning = _grid(min(h.low for h in parts), max(h.high for h in parts))
    exponent = max(spanning, *(h.exponent for h in parts))
    moved = [coarsen(h.start, h.counts, exponent - h.exponent) if len(h.counts) else (0, h.counts) for h in (a, b)]
    held = [(s, c) for s, c in moved if len(c)]
    first = min(s for s, _ in held)
    last = max(s + len(c) for s, c in held)
    wide = [np.pad(c, (s - first, last - s - len(c))) if len(c) else np.zeros(last - first, np.int64) for s, c in moved]
    return exponent, first, wide[0], wide[1]


def wasserstein(a: DyadicHistogram, b: DyadicHistogram) -> float:
    """Wasserstein-1 distance in column units between the two distributions, from their histograms.

    Exact for integers within 4,096 values; else off by at most one bin, 1/2,048 of the range.
    """
    exponent, _, left, right = align(a, b)
    if not a.count or not b.count:
        return 0.0
    gap = np.abs(np.cumsum(left) / a.count - np.cumsum(right) / b.count)
    return float(math.ldexp(float(gap.sum()), exponent))


class DistinctSketch:
    """Distinct values with their counts: exact up to 4,096, beyond that estimated from the 4,096 smallest hashes.

    The estimate's standard error is 1.6 %; the same hash serves original and rebuilt cells, so that equal columns
    get equal figures. Counts of the kept values are exact.
    """

    def __init__(self) -> None:
        self.hashes = np.zeros(0, np.uint64)
        self.counts = np.zeros(0, np.int64)
        self.full = False

    def add(self, hashes: np.ndarray, counts: np.ndarray) -> None:
        """Add hashed values, each with how often it occurred."""
        if self.limit is not None:
            wanted = hashes <= self.limit
            hashes, counts = hashes[wanted], counts[wanted]
        both = np.concatenate([self.hashes, hashes])
        weights = np.concatenate([self.counts, counts])
        if not len(both):
            return
        order = np.argsort(both, kind="stable")
        both, weights = both[order], weights[order]
        first = np.flatnonzero(np.concatenate([[True], both[1:] != both[:-1]]))
        self.hashes = both[first]
        self.counts = np.add.reduceat(weights, first)
        if len(self.hashes) > DISTINCT:
            self.full = True
            self.hashes, self.counts = self.hashes[:DISTINCT], self.counts[:DISTINCT]

    @property
    def limit(self) -> np.uint64 | None:
        """The largest hash that can still matter; None while every hash does."""
        return self.hashes[-1] if self.full else None

    @property
    def estimate(self) -> int:
        """Number of distinct values; exact while not ``full``."""
        if not self.full:
            return len(self.hashes)
        return round((DISTINCT - 1) / ((int(self.hashes[-1]) + 1) / 2**64))

    @property
    def most(self) -> int:
        """How often the commonest kept value occurs (a lower bound of the mode's count once ``full``)."""
        return int(self.counts.max()) if len(self.counts) else 0


def hashed_numbers(numbers: Numbers, limit: np.uint64 | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Hashes of the distinct finite cells, and their counts; with a limit, only hashes up to it (faster)."""
    cells = numbers.raw[numbers.finite]
    if cells.dtype == object:
        values, counts = np.unique(cells, return_counts=True)
        folded = np.array([int(v) % (2**64 - 59) for v in values], np.uint64)
        return _mix(folded), counts.astype(np.int64)
    if cells.dtype.kind == "f":
        cells = cells.astype(np.float64) + 0.0  # -0.0 is 0.0
    if limit is not None:
        hashes = _mix(cells.view(np.uint64))
        return np.unique(hashes[hashes <= limit], return_counts=True)
    table = pc.value_counts(pa.array(cells))
    values = table.field("values").to_numpy(zero_copy_only=False)
    return _mix(values.view(np.uint64)), table.field("counts").to_numpy()


def hashed_values(column: pa.ChunkedArray) -> tuple[np.ndarray, np.ndarray] | None:
    """Hashes of the distinct valid cells of a category column and their counts; None for types without equality."""
    column = without_dictionary(column)
    if pa.types.is_string_view(column.type) or pa.types.is_binary_view(column.type):
        column = column.cast(pa.large_binary())
    try:
        table = pc.value_counts(column.drop_null())
        values = table.field("values").cast(pa.large_binary())
    except (pa.ArrowNotImplementedError, pa.ArrowInvalid, NotImplementedError):
        try:
            values = table.field("values").cast(pa.string()).cast(pa.large_binary())
        except (pa.ArrowNotImplementedError, pa.ArrowInvalid, UnboundLocalError):
            return None
    return _hash_binary(values), table.field("counts").to_numpy()


def _hash_binary(values: pa.Array) -> np.ndarray:
    """64-bit hash of each byte string: a sum of mixed (byte, place) pairs, mixed with the length."""
    offsets = np.frombuffer(values.buffers()[1], np.int64)[values.offset : values.offset + len(values) + 1]
    data = values.buffers()[2]
    if not len(values) or data is None:
        return _mix(np.zeros(len(values), np.uint64))
    text = np.frombuffer(data, np.uint8)
    result = np.empty(len(values), np.uint64)
    first = 0
    while first < len(values):
        last = max(int(np.searchsorted(offsets, offsets[first] + _HASH_BYTES, side="right")) - 1, first + 1)
        result[first:last] = _hash_run(text, offsets[first : last + 1])
        first = last
    return result


def _hash_run(text: np.ndarray, offsets: np.ndarray) -> np.ndarray:
    lengths = np.diff(offsets)
    cells = text[offsets[0] : offsets[-1]].astype(np.uint64)
    places = np.arange(len(cells), dtype=np.uint64) - np.repeat(offsets[:-1] - offsets[0], lengths).astype(np.uint64)
    sums = np.concatenate([[np.uint64(0)], np.cumsum(_mix(cells + (places << np.uint64(8)) + np.uint64(1)))])
    inner = offsets - offsets[0]
    return _mix(sums[inner[1:]] - sums[inner[:-1]] + lengths.astype(np.uint64))


def _mix(values: np.ndarray) -> np.ndarray:
    """splitmix64's finaliser (Steele, Lea, Flood 2014), elementwise."""
    x = values.astype(np.uint64) + np.uint64(0x9E3779B97F4A7C15)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


@dataclass
class _Moments:
    """Pairwise-complete moments of k columns: counts, sums, squares, products, each (k, k)."""

    n: np.ndarray
    s: np.ndarray
    q: np.ndarray
    c: np.ndarray

    def add(self, x: np.ndarray, mask: np.ndarray) -> None:
        with np.errstate(over="ignore", invalid="ignore"):
            self.n += mask.T @ mask
            self.s += x.T @ mask
            self.q += (x * x).T @ mask
            self.c += x.T @ x

    def correlation(self) -> np.ndarray:
        with np.errstate(all="ignore"):
            covariance = self.c - self.s * self.s.T / self.n
            variance = self.q - self.s * self.s / self.n
            # a variance this small against its terms is rounding noise: the column is constant
            variance = np.where(variance > 1e-12 * self.q, variance, np.nan)
            return np.clip(covariance / np.sqrt(variance * variance.T), -1, 1)


class CorrelationChange:
    """Largest change of a pairwise Pearson correlation between number columns.

    At most 256 columns take part; beyond 24 of them only every stride-th row (by absolute row number) is read, so
    that the cost per row stays that of 24 columns.
    """

    LIMIT = 256
    FULL = 24

    def __init__(self, names: tuple[str, ...]) -> None:
        self.names = names[: self.LIMIT]
        k = len(self.names)
        self.stride = max(1, math.ceil((k / self.FULL) ** 2))
        self._anchor = np.full(k, np.nan)
        self._sides = [_Moments(*(np.zeros((k, k)) for _ in range(4))) for _ in range(2)]

    def add(self, first_row: int, original: list[Numbers], rebuilt: list[Numbers]) -> None:
        """Add a block that starts at an absolute row number; one ``Numbers`` per name."""
        if len(self.names) < 2:
            return
        for moments, side in zip(self._sides, (original, rebuilt), strict=True):
            picked = [n.every(-first_row % self.stride, self.stride) for n in side[: len(self.names)]]
            values = np.stack([n.floats() for n in picked], axis=1)
            mask = np.stack([n.finite for n in picked], axis=1)
            self._set_anchor(values, mask)
            shifted = np.where(mask, values - np.where(np.isnan(self._anchor), 0.0, self._anchor), 0.0)
            moments.add(shifted, mask.astype(np.float64))

    def _set_anchor(self, values: np.ndarray, mask: np.ndarray) -> None:
        for k in np.flatnonzero(np.isnan(self._anchor)):
            rows = np.flatnonzero(mask[:, k])
            if len(rows):
                self._anchor[k] = values[rows[0], k]

    def finish(self) -> tuple[float, tuple[str, str]] | None:
        """Largest absolute change and the two columns it concerns; None with fewer than two varying columns."""
        before, after = (side.correlation() for side in self._sides)
        change = np.triu(np.abs(np.nan_to_num(after) - before), 1)
        change = np.where(np.isfinite(change), change, -1.0)
        upper = np.triu(np.isfinite(before), 1)
        if not upper.any():
            return None
        i, j = np.unravel_index(int(np.argmax(np.where(upper, change, -1.0))), change.shape)
        return float(change[i, j]), (self.names[int(i)], self.names[int(j)])
