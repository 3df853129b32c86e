"""Which partitions and rows a caller means: `month=3`, `month>=3`, `0:1000`, `5%`."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

from ae_core.errors import UsageError

_OPERATORS: dict[str, Callable[[Any, Any], bool]] = {
    "=": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
_CONDITION = re.compile(r"\s*([^=!<>\s]+)\s*(!=|<=|>=|==|=|<|>)\s*(.*?)\s*")
_SHARE = re.compile(r"\s*([0-9]+\.?[0-9]*|\.[0-9]+)\s*(%?)\s*")
_ROWS = re.compile(r"(\d*):(\d*)")


@dataclass(frozen=True)
class Condition:
    """One comparison of a partition key with a value, such as `month >= 3`."""

    key: str
    op: str
    value: str

    def holds(self, keys: Mapping[str, str]) -> bool:
        """True when the partition's own value satisfies the comparison.

        Numbers compare as numbers when both sides are numbers, else both sides compare as text.

        Raises
        ------
        UsageError
            When the partition has no such key.

        """
        if self.key not in keys:
            known = ", ".join(sorted(keys)) or "none (the lake is flat)"
            raise UsageError(f"--where {self}: no partition key {self.key!r}; known keys: {known}")
        return _OPERATORS[self.op](*_comparable(keys[self.key], self.value))

    def __str__(self) -> str:
        """The condition as a person types it."""
        return f"{self.key}{self.op}{self.value}"


Where = str | Sequence[str] | Mapping[str, object] | None


def parse_where(where: Where) -> tuple[Condition, ...]:
    """The conditions of a `--where` text or several, or of a mapping such as `{"month": 3}` (equality).

    Examples
    --------
    >>> [str(c) for c in parse_where(["month>=3", "origin=JFK"])]
    ['month>=3', 'origin=JFK']
    >>> [str(c) for c in parse_where("month=3")]
    ['month=3']

    """
    if where is None:
        return ()
    if isinstance(where, Mapping):
        return tuple(Condition(str(key), "=", str(value)) for key, value in where.items())
    return tuple(_parse_condition(text) for text in ([where] if isinstance(where, str) else where))


def selected(conditions: Sequence[Condition], keys: Mapping[str, str]) -> bool:
    """True when every condition holds for a partition with these keys."""
    return all(condition.holds(keys) for condition in conditions)


def keys_of(partition: str) -> dict[str, str]:
    """The keys that a partition's id tells, `year=2013/month=3`; empty where it is no such path (a flat lake's file).

    Examples
    --------
    >>> keys_of("year=2013/month=3")
    {'year': '2013', 'month': '3'}
    """
    pairs = [part.split("=", 1) for part in partition.split("/") if "=" in part]
    return {unquote(key): unquote(value) for key, value in pairs}


@dataclass(frozen=True)
class RowRange:
    """Rows `start` (inclusive) to `stop` (exclusive; None is the end) of each partition."""

    start: int = 0
    stop: int | None = None

    def clip(self, rows: int) -> tuple[int, int]:
        """The range within a partition of `rows` rows: (first, last + 1), never reversed."""
        stop = rows if self.stop is None else min(self.stop, rows)
        start = min(self.start, stop)
        return start, stop


def parse_rows(rows: str | tuple[int, int] | RowRange | None) -> RowRange:
    """The range of `--rows 0:1000`; either side may be left out; None is every row."""
    if rows is None:
        return RowRange()
    if isinstance(rows, RowRange):
        return rows
    if isinstance(rows, tuple):
        rows = f"{rows[0]}:{rows[1]}"
    match = _ROWS.fullmatch(rows.strip())
    if match is None:
        raise UsageError(f"--rows {rows!r} is not of the form FIRST:END, such as 0:1000")
    start, stop = match.groups()
    parsed = RowRange(int(start or 0), int(stop) if stop else None)
    if parsed.stop is not None and parsed.stop < parsed.start:
        raise UsageError(f"--rows {rows!r} ends before it starts")
    return parsed


def _parse_condition(text: str) -> Condition:
    match = _CONDITION.fullmatch(text)
    if match is None:
        raise UsageError(f"--where {text!r} is not of the form KEY=VALUE, such as month=3 or month>=3")
    key, op, value = match.groups()
    return Condition(key, "=" if op == "==" else op, value)


def _comparable(left: str, right: str) -> tuple[float, float] | tuple[str, str]:
    try:
        return float(left), float(right)
    except ValueError:
        return left, right


def parse_share(text: str) -> float:
    """The share of the partitions that `5%`, or `0.05`, means.

    Raises
    ------
    UsageError
        When it is not above 0 and up to all of them.
    """
    match = _SHARE.fullmatch(text)
    share = float(match[1]) / (100 if match[2] else 1) if match else 0.0
    if not 0 < share <= 1:
        raise UsageError(f"--sample {text}: not a share of the partitions; give one such as 5% or 0.05")
    return share
