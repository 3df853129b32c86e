"""From bits of rows to who is surprising: thresholds by the share of false alarms, and whether that share jumped."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

DEVIATIONS = 4.0
"""Standard deviations beyond which a share is no chance: one in thirty thousand runs, were rows independent."""
FACTOR = 3.0
"""And how many times the expected share it has to be: rows of other months are never quite those of training."""
LEAST = 5
"""And how many rows: of fewer nothing can be told by deviations."""
STEP = 1 / 64
"""Width of a bin of bits: what a threshold by quantile is exact to."""


@dataclass(frozen=True)
class Threshold:
    """Rows of more than `bits` bits are surprising; of `rows` rows known to be as usual, the share `expected` is."""

    bits: float
    expected: float
    rows: int

    def jumped(self, surprising: int, rows: int) -> bool:
        """True where so many of so many rows are more than chance makes of the expected share, and FACTOR times it."""
        if surprising < LEAST or not self.rows:
            return False
        share = surprising / rows
        pooled = (surprising + self.expected * self.rows) / (rows + self.rows)
        spread = np.sqrt(pooled * (1 - pooled) * (1 / rows + 1 / self.rows))
        return bool(share > FACTOR * self.expected and share - self.expected > DEVIATIONS * spread)


class BitsCounter:
    """Counts rows by their bits, in bins, so that any number of rows has quantiles in bounded memory."""

    def __init__(self) -> None:
        self._counts = np.zeros(1 << 12, np.int64)

    def add(self, bits: npt.NDArray[np.float32]) -> None:
        """Count rows."""
        places = np.floor(bits / STEP).astype(np.int64)
        if len(places):
            self._counts = np.pad(self._counts, (0, max(0, int(places.max()) + 1 - len(self._counts))))
            self._counts += np.bincount(places, minlength=len(self._counts))

    @property
    def rows(self) -> int:
        """Rows counted."""
        return int(self._counts.sum())

    def threshold(self, quantile: float) -> Threshold:
        """The least edge of a bin with at least this share of the rows below it."""
        below = np.cumsum(self._counts)
        place = int(np.searchsorted(below, quantile * self.rows)) if self.rows else 0
        above = self.rows - int(below[place])
        return Threshold((place + 1) * STEP, above / max(self.rows, 1), self.rows)
