"""What a sample says about a column's meaning, and what that means for the loss that it may have.

Pure: every finding is one line that a person can check. Names are hints only and are said to be hints.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ae_core.policy import Bound, family

FEW_VALUES = 256
_LEAST = 100  # values below which a tail or a pattern says nothing
_FAR = 3.0  # a range that reaches this many times beyond the middle 99.8 % of the values is set by the rest
_SENTINELS = frozenset({-1, -9, -99, -999, -9999, -99999, 99, 999, 9999, 99999, 999999, -32768, 32767})
_MONEY = re.compile(r"amount|price|cost|fare|revenue|salary|wage|fee|tax|total|balance|paid|payment|usd|eur|gbp", re.I)
_IDENTIFIER = re.compile(r"(^|[^a-z])(id|key|uuid|guid|code|no|nr|num|number|zip|phone|account|sku|isbn)$", re.I)
_EPOCHS = {"seconds": (946_684_800, 4_102_444_800), "milliseconds": (946_684_800_000, 4_102_444_800_000)}


@dataclass(frozen=True)
class Findings:
    """What was found about a column.

    `spread` is the distance between the 0.1 % and the 99.9 % quantile in column units, where values beyond them set the
    range, so that a bound relative to the range would be too wide; None elsewhere.
    """

    lines: tuple[str, ...] = ()
    constant: bool = False
    identifier: bool = False
    money: bool = False
    spread: float | None = None
    sentinels: tuple[float, ...] = field(default=())

    def warnings(self, name: str, bound: Bound) -> tuple[str, ...]:
        """What speaks against losing what `bound` lets the column lose."""
        if bound.exact:
            return ()
        found = []
        if self.identifier:
            found.append(f"{name} may change by {bound} and looks like an identifier or a join key: keep it exact")
        if self.money:
            found.append(
                f"{name} may change by {bound} and looks like money: sums change, so keep it exact or add a check"
            )
        if self.spread is not None and bound.kind == "abs" and bound.value is not None:
            share = float(bound.value) / self.spread if self.spread else 0.0
            if share > 0.005:
                found.append(
                    f"{name} may change by {bound}, {share:.1%} of where 99.8 % of its values lie: far values widen "
                    "its range, so write {abs: e}"
                )
        return tuple(found)


def look(column: pa.Field, values: pa.ChunkedArray, distinct: int) -> Findings:
    """Findings about a column from a sample of its values."""
    filled = len(values) - values.null_count
    kind = family(column.type)
    lines = []
    constant = distinct == 1 and values.null_count == 0
    if constant:
        lines.append("one value everywhere in the sample")
    named = bool(_IDENTIFIER.search(column.name))
    whole = kind == "integer" or pa.types.is_string(column.type) or pa.types.is_large_string(column.type)
    unique = filled >= _LEAST and distinct == filled
    identifier = whole and not constant and (unique or named)
    if unique and whole:
        lines.append("no value twice in the sample: a key")
    elif identifier:
        lines.append("called like an identifier")
    money = False
    if kind in ("float", "decimal", "integer") and _MONEY.search(column.name) and not identifier:
        money = True
        lines.append("called like money")
    if kind not in ("float", "integer", "decimal") or not filled:
        return Findings(tuple(lines), constant, identifier, money)
    numbers = _numbers(values)
    if kind == "float" and not money and len(numbers) >= _LEAST and _two_digits(numbers):
        money = True
        lines.append("two digits behind the point in every value, as money has")
    if kind == "integer":
        lines += [
            f"looks like a time in {unit} since 1970: a timestamp type says so"
            for unit, (low, high) in _EPOCHS.items()
            if len(numbers) and low <= numbers.min() and numbers.max() < high
        ]
    spread, sentinels = (None, ()) if identifier else _tails(numbers)
    if sentinels:
        lines.append(
            f"{', '.join(f'{one:g}' for one in sentinels)} stands far from the rest and may mean no value: null it"
        )
    elif spread is not None:
        lines.append(f"99.8 % of the values lie within {spread:.6g}; the rest reaches {_FAR:g} times as far or more")
    return Findings(tuple(lines), constant, identifier, money, spread, sentinels)


def dependence(coder: str, reason: str) -> str | None:
    """What the column plan found out about a column and others, as a finding."""
    return (
        f"follows from other columns: {reason}"
        if coder in ("lookup", "linear", "same") and reason != "constant"
        else None
    )


def _numbers(values: pa.ChunkedArray) -> np.ndarray:
    """The finite values as doubles."""
    plain = pc.drop_null(values)
    if pa.types.is_decimal(plain.type) or pa.types.is_floating(plain.type):
        plain = plain.cast(pa.float64())
    numbers = np.asarray(plain.combine_chunks().to_numpy(zero_copy_only=False), np.float64)
    return numbers[np.isfinite(numbers)]


def _two_digits(numbers: np.ndarray) -> bool:
    cents = numbers * 100
    rounded = np.round(cents)
    return bool(np.all(np.abs(cents - rounded) < 1e-6 * np.maximum(1, np.abs(cents))) and np.any(rounded % 100 != 0))


def _tails(numbers: np.ndarray) -> tuple[float | None, tuple[float, ...]]:
    """Width of the middle 99.8 % where the range is far wider, and extreme values that stand for something else."""
    if len(numbers) < _LEAST:
        return None, ()
    low, high = (float(q) for q in np.quantile(numbers, [0.001, 0.999]))
    values = np.unique(numbers)
    sentinels = [float(end) for end, next_ in _ends(values) if end in _SENTINELS and _lonely(end, next_, values)]
    if sentinels:
        rest = numbers[~np.isin(numbers, sentinels)]
        low, high = (float(q) for q in np.quantile(rest, [0.001, 0.999]))
    width = high - low
    far = float(values[-1] - values[0]) > _FAR * width and width > 0
    return (width if far or (sentinels and width > 0) else None), tuple(sentinels)


def _ends(values: np.ndarray) -> Sequence[tuple[float, float]]:
    return [(values[0], values[1]), (values[-1], values[-2])] if len(values) > 2 else []


def _lonely(end: float, neighbour: float, values: np.ndarray) -> bool:
    """Whether the gap to the next value is wider than half of what all the other values span."""
    others = values[(values != end)]
    return abs(end - neighbour) > 0.5 * max(float(others[-1] - others[0]), 1.0)
