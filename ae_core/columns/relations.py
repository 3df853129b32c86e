"""What the columns of a sample tell about each other: dictionary orders, lookups and integer sums.

Searches are bounded: few partners a column (its neighbours), few rows to reject, all rows to accept.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from ae_core.columns.derived import Linear, Lookup, combine, lookup_to_json
from ae_core.columns.domain import MAX_ALPHABET, Codes, NumberCode, TextCode
from ae_core.columns.plan import ColumnPlan
from ae_core.columns.storage import Ints, Mask, kind_of, read_ints, valid_mask

_PARTNERS = 24  # nearest columns that are tried as partners of one
_BEAM = 8  # sets of keys that are kept for a further key
_DEEP = 64  # with more columns than these, lookups have one key
_INPUTS = 64
_PROBE = 2048  # rows that reject a lookup
_SUPPORT = 24_576  # rows that must hold a key more than once on average
_WINDOW = 192  # rows that suggest a sum
_CHANGES = 1000  # at most one change of a sum's rest in so many rows
_MISSES = 500  # at most one exception of a lookup in so many rows
_LEAST_INFORMATION = 0.5  # bits that a parent must tell to order a dictionary


def _nearest(index: int, others: Iterable[int], count: int) -> list[int]:
    return sorted(others, key=lambda other: (abs(other - index), other))[:count]


def _spread(rows: int, count: int) -> Ints:
    """Row numbers spread evenly over the sample."""
    return np.arange(rows) if rows <= count else np.linspace(0, rows - 1, count).astype(np.int64)


def _distinct(cells: Ints) -> int:
    ordered = np.sort(cells)
    return int((ordered[1:] != ordered[:-1]).sum()) + 1


def _entropy(cells: npt.NDArray[np.integer]) -> tuple[float, int]:
    """(zero-order entropy in bits a cell, number of distinct cells)."""
    counts = np.unique(cells, return_counts=True)[1]
    share = counts / counts.sum()
    return float(-(share * np.log2(share)).sum()), len(counts)


Cells = tuple[Ints, Mask | None]


# --- dictionary order ------------------------------------------------------------------------------


def order_words(columns: list[ColumnPlan], codes: list[Codes | None]) -> set[int]:
    """Order each wide dictionary by its words' most frequent value of the most telling earlier column, then by word.

    Changes `columns` and `codes` in place; returns the columns that gave an order.
    """
    parents: set[int] = set()
    for index, column in enumerate(columns):
        own, domain = codes[index], column.domain
        if not isinstance(column.code, TextCode) or own is None or domain is None or len(domain.radices) == 1:
            continue
        parent = _parent(index, columns, codes)
        if parent is None:
            continue
        parents.add(parent)
        known = own < domain.levels
        mode = _modes(own[known], _cells(codes, parent)[known], domain.levels)
        order = np.lexsort((np.arange(domain.levels), mode))
        columns[index] = replace(
            column,
            code=TextCode(column.code.words.take(pa.array(order))),
            reason=f"{column.reason}, ordered by {columns[parent].name}",
        )
        place = np.arange(domain.size, dtype=np.int32)
        place[order] = np.arange(domain.levels, dtype=np.int32)
        codes[index] = place[own]
    return parents


def _cells(codes: Sequence[Codes | None], index: int) -> Codes:
    found = codes[index]
    assert found is not None
    return found


def _parent(index: int, columns: Sequence[ColumnPlan], codes: Sequence[Codes | None]) -> int | None:
    small = [other for other in range(index) if columns[other].has_symbols and _size(columns[other]) <= MAX_ALPHABET]
    own = _cells(codes, index)
    rows = _spread(len(own), 65_536)
    best, parent = _LEAST_INFORMATION, None
    for other in _nearest(index, small, _PARTNERS):
        told = _information(own[rows], _cells(codes, other)[rows])
        if told > best:
            best, parent = told, other
    return parent


def _information(a: Codes, b: Codes) -> float:
    """Mutual information in bits, less what as many random pairs would show (Miller 1955)."""
    (ha, na), (hb, nb) = _entropy(a), _entropy(b)
    both, pairs = _entropy(a.astype(np.int64) * (int(b.max()) + 1) + b)
    return ha + hb - both - (pairs - na - nb + 1) / (2 * len(a) * np.log(2))


def _modes(keys: Codes | Ints, values: Codes | Ints, size: int) -> Ints:
    """The most frequent value of each key in [0, size), the smallest of equals, -1 where a key does not occur."""
    width = int(values.max()) + 1 if len(values) else 1
    pairs, counts = np.unique(keys.astype(np.int64) * width + values, return_counts=True)
    order = np.lexsort((-pairs, counts))
    modes = np.full(size, -1, np.int64)
    modes[pairs[order] // width] = pairs[order] % width
    return modes


# --- integer sums ---------------------------------------------------------------------------------


def find_sums(columns: list[ColumnPlan], arrays: Sequence[pa.Array], starts: Ints, locked: set[int]) -> None:
    """Make columns linear whose storage is an integer sum of others but for a rest that seldom changes.

    Only integer-like columns that lose nothing take part; inputs are added to `locked`, and locked columns stay.
    """
    able = [index for index, column in enumerate(columns) if _can_sum(column, arrays[index].type)]
    cells: dict[int, Cells] = {}
    for index in able:
        valid = valid_mask(arrays[index])
        cells[index] = read_ints(arrays[index], valid)[0], valid
    for index in sorted(able, key=lambda i: (-_size(columns[i]), -i)):
        if columns[index].given or index in locked:
            continue
        inputs = [i for i in able if i != index and columns[i].derived is None]
        found = _find_sum(index, _nearest(index, inputs, _INPUTS), cells, starts)
        if found is None:
            continue
        locked.update(found.inputs)
        column = columns[index]
        # a domain is for previews alone here: a long list of values would cost more than it tells
        cheap = isinstance(column.code, NumberCode) and (column.code.listed is None or len(column.code.listed) <= 4096)
        terms = " + ".join(f"{c} {columns[i].name}" for i, c in zip(found.inputs, found.coefficients, strict=True))
        columns[index] = replace(
            column,
            coder="linear",
            derived=found,
            reason=f"{terms} + rest",
            domain=column.domain if cheap else None,
            code=column.code if cheap else None,
        )


def _can_sum(column: ColumnPlan, kind: pa.DataType) -> bool:
    wide = pa.types.is_decimal128(kind) and kind.precision > 18
    whole = kind_of(kind) == "int" and not pa.types.is_boolean(kind) and not wide
    return whole and column.quantiser is None and not column.bound.sensitive and column.derived is None


def _wide(column: ColumnPlan) -> bool:
    return column.domain is not None and column.domain.wide


def _size(column: ColumnPlan) -> int:
    return column.domain.size if column.domain is not None else 1 << 62


def _find_sum(target: int, inputs: Sequence[int], cells: dict[int, Cells], starts: Ints) -> Linear | None:
    for rows in _windows(cells[target][1], starts, len(cells[target][0])):
        goal, terms = _window_terms(target, inputs, cells, rows)
        for chosen in _pursue(goal, terms):
            weights = _solve(goal, [terms[index] for index in chosen])
            if weights is None:
                continue
            found = Linear(chosen, weights)
            if _rest_changes(found, cells[target], cells, starts) * _CHANGES <= len(cells[target][0]):
                return found
    return None


def _windows(valid: Mask | None, starts: Ints, rows: int) -> Iterable[Ints]:
    """Rows of a few blocks of the sample, spread over each block."""
    if not len(starts):
        return  # a sample without rows has no blocks
    ends = [*starts[1:].tolist(), rows]
    blocks = list(zip(starts.tolist(), ends, strict=True))
    for low, high in sorted({blocks[0], blocks[len(blocks) // 2], blocks[-1]}):
        usable = np.arange(low, high) if valid is None else np.flatnonzero(valid[low:high]) + low
        if len(usable) >= 16:
            yield usable[_spread(len(usable), _WINDOW)]


def _window_terms(
    target: int, inputs: Sequence[int], cells: dict[int, Cells], rows: Ints
) -> tuple[Ints, dict[int, Ints]]:
    """The target's and the inputs' cells on those of the rows where no input that is mostly there is null."""
    kept = []
    for index in inputs:
        valid = cells[index][1]
        there = np.ones(len(rows), np.bool_) if valid is None else valid[rows]
        if there.mean() > 0.9:
            kept.append(index)
            rows = rows[there]
    return cells[target][0][rows], {index: cells[index][0][rows] for index in kept}


def _pursue(goal: Ints, terms: dict[int, Ints]) -> Iterable[tuple[int, ...]]:
    """Up to three inputs whose sum may be the goal: a beam of those that leave least of it unexplained."""
    names = sorted(terms)
    matrix = np.stack([_centred(terms[index]) for index in names], axis=1) if names else np.zeros((len(goal), 0))
    wanted = _centred(goal)
    beam: list[tuple[int, ...]] = [()]
    for width in (4, 8, 8):
        wider: dict[tuple[int, ...], float] = {}
        for chosen in beam:
            basis = np.linalg.qr(matrix[:, chosen])[0]
            rest = wanted - basis @ (basis.T @ wanted)
            free = matrix - basis @ (basis.T @ matrix)
            length = (free * free).sum(axis=0)
            gain = np.where(length > 1e-9, (free.T @ rest) ** 2 / np.maximum(length, 1e-9), 0.0)
            for place in np.flatnonzero(gain > 0):
                grown = tuple(sorted((*chosen, int(place))))
                wider[grown] = float(rest @ rest - gain[place])
        beam = sorted(wider, key=lambda grown: (wider[grown], grown))[:width]
        yield from (tuple(names[place] for place in chosen) for chosen in beam)


def _centred(cells: Ints) -> npt.NDArray[np.float64]:
    floats = cells.astype(np.float64) - float(cells[0]) if len(cells) else np.zeros(0)
    floats -= floats.mean() if len(cells) else 0.0
    length = float(np.sqrt(floats @ floats))
    return floats / length if length > 0 else floats


def _solve(goal: Ints, inputs: Sequence[Ints]) -> tuple[int, ...] | None:
    """Integer weights that give the goal up to a constant on these rows, None where there are none."""
    if len(goal) < 16:
        return None
    shifted = goal - goal[0]
    unit = int(np.gcd.reduce(shifted))
    if unit == 0:
        return None
    terms = [cells - cells[0] for cells in inputs]
    matrix = np.stack([term.astype(np.float64) for term in terms], axis=1)
    weights, _, rank, _ = np.linalg.lstsq(matrix, (shifted // unit).astype(np.float64), rcond=1e-9)
    if rank < len(inputs):
        return None
    # multiples of the goal's own unit first: their rounding is safe however large the unit
    for rounded, scale in ((np.rint(weights), unit), (np.rint(weights * unit), 1)):
        if (rounded == 0).any() or float(np.abs(rounded).max()) * scale >= 2.0**62:
            continue
        exact = tuple(int(weight) * scale for weight in rounded)
        total = sum((term * np.int64(weight) for term, weight in zip(terms, exact, strict=True)), np.zeros_like(goal))
        if bool((total == shifted).all()):
            return exact
    return None


def _rest_changes(found: Linear, target: Cells, cells: dict[int, Cells], starts: Ints) -> int:
    goal, valid = target
    rest = goal - found.sum([cells[index][0] for index in found.inputs], len(goal))
    changed = np.zeros(len(goal), np.bool_)
    changed[1:] = rest[1:] != rest[:-1]
    changed[starts[starts < len(goal)]] = False
    if valid is not None:
        changed &= valid
        changed[1:] &= valid[:-1]
    return int(changed.sum())


# --- lookups --------------------------------------------------------------------------------------


def find_lookups(columns: list[ColumnPlan], codes: Sequence[Codes | None], locked: set[int]) -> None:
    """Make columns lookups whose codes one to three others determine, but for few exceptions.

    Keys are added to `locked`, and locked columns stay as they are.
    """
    targets = [index for index, column in enumerate(columns) if column.coder == "network"]
    rows = len(_cells(codes, targets[0])) if targets else 0
    if rows < _MISSES:
        return
    for index in sorted(targets, key=lambda i: (-_size(columns[i]), -i)):
        if index in locked:
            continue
        others = [i for i, column in enumerate(columns) if i != index and column.has_symbols and not _wide(column)]
        depth = 3 if len(columns) <= _DEEP else 1
        found = _find_lookup(index, _nearest(index, others, _PARTNERS), columns, codes, depth)
        if found is None:
            continue
        locked.update(found.keys)
        names = ", ".join(columns[key].name for key in found.keys)
        columns[index] = replace(columns[index], coder="lookup", derived=found, reason=f"looked up from {names}")


def _find_lookup(
    target: int, others: Sequence[int], columns: Sequence[ColumnPlan], codes: Sequence[Codes | None], depth: int
) -> Lookup | None:
    goal = _cells(codes, target)
    probe, support = _spread(len(goal), _PROBE), _spread(len(goal), _SUPPORT)
    few = {index: _cells(codes, index)[probe] for index in [*others, target]}
    beam: list[tuple[int, ...]] = [()]
    for _ in range(depth):
        told: dict[tuple[int, ...], float] = {}
        for chosen in sorted({tuple(sorted((*keys, other))) for keys in beam for other in others if other not in keys}):
            sizes = tuple(_size(columns[key]) for key in chosen)
            if float(np.prod([float(size) for size in (*sizes, _size(columns[target]))])) >= 2.0**62:
                continue
            place = combine([few[key] for key in chosen], sizes, len(probe))
            told[chosen] = _conditional(few[target], place)
            if not _determines(place, few[target], 1):
                continue
            place = combine([_cells(codes, key)[support] for key in chosen], sizes, len(support))
            found = _tabulate(chosen, sizes, goal, codes) if _determines(place, goal[support], 4) else None
            if found is not None:
                return found
        beam = sorted(told, key=lambda chosen: (told[chosen], chosen))[:_BEAM]
    return None


def _conditional(goal: Codes, place: Ints) -> float:
    """Entropy of the goal given the keys in bits, with what few rows hide of it added back (Miller 1955)."""
    own, distinct = _entropy(place)
    both, pairs = _entropy(place * (int(goal.max()) + 1) + goal)
    return both - own + (pairs - distinct) / (2 * len(goal) * np.log(2)) + 4 * distinct / len(goal)


def _determines(place: Ints, goal: Codes, repeats: int) -> bool:
    """True where the keys leave few doubts on these rows and occur `repeats` times each on average."""
    distinct = _distinct(place)
    if distinct * repeats > len(goal):
        return False
    pairs = _distinct(place * (int(goal.max()) + 1) + goal)
    return (pairs - distinct) * _MISSES <= len(goal) * 2


def _tabulate(
    chosen: tuple[int, ...], sizes: tuple[int, ...], goal: Codes, codes: Sequence[Codes | None]
) -> Lookup | None:
    """The table over the whole sample, None where it misses too much or costs more than it saves."""
    place = combine([_cells(codes, key) for key in chosen], sizes, len(goal))
    places, spots = np.unique(place, return_inverse=True)
    best = _modes(spots, goal, len(places))
    misses = int((best[spots] != goal).sum())
    if misses * _MISSES > len(goal) or len(places) * 64 > len(goal):
        return None
    found = Lookup(chosen, sizes, places, best)
    blobs: list[bytes] = []
    lookup_to_json(found, blobs)
    saved = _entropy(goal)[0] * len(goal) / 8
    return found if (len(blobs[0]) + 3 * misses) * 30 <= saved else None
