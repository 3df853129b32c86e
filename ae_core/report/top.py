"""Which rows hold a column's largest values, block by block: what a query with `order by … limit 10` returns."""

from __future__ import annotations

import numpy as np

TOP = 10


class TopRows:
    """The `TOP` rows with the largest values; of equal values the earlier rows."""

    def __init__(self) -> None:
        self._values = np.empty(0)
        self._rows = np.empty(0, np.int64)

    def add(self, values: np.ndarray, rows: np.ndarray) -> None:
        """Take the next block: finite values as doubles, and their row numbers, ascending."""
        if len(self._values) == TOP:
            above = values > self._values[-1]
            values, rows = values[above], rows[above]
        if len(values) > TOP:
            least = np.partition(values, -TOP)[-TOP]
            kept = np.flatnonzero(values > least)
            kept = np.concatenate([kept, np.flatnonzero(values == least)[: TOP - len(kept)]])
            values, rows = values[kept], rows[kept]
        if len(values):
            values, rows = np.concatenate([self._values, values]), np.concatenate([self._rows, rows])
            order = np.lexsort((rows, -values))[:TOP]
            self._values, self._rows = values[order], rows[order]

    def lost(self, other: TopRows) -> int:
        """How many of these rows are not among the other's."""
        return len(set(self._rows.tolist()) - set(other._rows.tolist()))
