"""Figures of a certificate: four significant digits, errors never rounded towards zero."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Literal

DIGITS = 4


def figure(
    value: Fraction | float, *, towards: Literal["nearest", "away", "zero"] = "nearest", digits: int = DIGITS
) -> float:
    """Value with that many significant decimal digits.

    Parameters
    ----------
    value
        A finite number, taken exactly; infinities and NaN come back unchanged.
    towards
        ``away`` from zero for errors (the figure is an upper bound of the magnitude), ``zero`` for figures of
        quality such as PSNR (a lower bound), ``nearest`` for descriptions.
    """
    if isinstance(value, float) and not math.isfinite(value):
        return value
    exact = Fraction(value)
    if exact == 0:
        return 0.0
    magnitude = abs(exact)
    shift = _exponent(magnitude) - (digits - 1)
    scaled = magnitude / Fraction(10) ** shift
    if towards == "away":
        whole = math.ceil(scaled)
    elif towards == "zero":
        whole = math.floor(scaled)
    else:
        whole = round(scaled)
    rounded = float(f"{whole}e{shift}")
    return rounded if exact > 0 else -rounded


def _exponent(magnitude: Fraction) -> int:
    """floor(log10(magnitude)), exactly."""
    guess = len(str(magnitude.numerator)) - len(str(magnitude.denominator))
    return guess if magnitude >= Fraction(10) ** guess else guess - 1
