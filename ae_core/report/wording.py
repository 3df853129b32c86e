"""Numbers in words: how a page writes sizes, counts, errors and bounds."""

from __future__ import annotations

import math
from fractions import Fraction

from ae_core.policy import nearest_float
from ae_core.report.records import BoundRecord
from ae_core.report.rounding import figure

_UNITS = ("B", "kB", "MB", "GB", "TB", "PB")
_MINUS = "−"


def size(value: float) -> str:
    """Bytes with three digits and a decimal unit: 1.12 MB."""
    step = 0
    while value >= 999.5 and step < len(_UNITS) - 1:
        value /= 1000
        step += 1
    whole = step == 0 and (value >= 100 or float(value).is_integer())
    text = f"{value:.0f}" if whole else f"{value:#.{2 if step == 0 else 3}g}".rstrip(".")
    return f"{text} {_UNITS[step]}"


def count(value: float) -> str:
    """A whole number with thousands separated."""
    return f"{value:,.0f}".replace("-", _MINUS)


def number(value: float | None, *, signed: bool = False) -> str:
    """Four significant digits; an en dash where there is no figure."""
    if value is None:
        return "–"
    if math.isinf(value):
        return "∞" if value > 0 else f"{_MINUS}∞"
    if value == 0:
        return "0"
    magnitude = abs(value)
    if magnitude >= 1e7 or magnitude < 1e-4:
        mantissa, exponent = f"{magnitude:.3e}".split("e")
        text = f"{float(mantissa):g}e{int(exponent)}"
    elif magnitude >= 1000:
        text = f"{magnitude:,.0f}"
    else:
        text = f"{magnitude:.4g}"
    sign = _MINUS if value < 0 else ("+" if signed else "")
    return f"{sign}{text}"


def percent(share: float | None, digits: int = 3) -> str:
    """A share as a percentage; only a true 1 is written 100 %, only a true 0 is written 0 %."""
    if share is None:
        return "–"
    if share in (0, 1):
        return f"{share * 100:.0f} %"
    value = share * 100
    if abs(value) < 1e-3:
        return "< 0.001 %" if value > 0 else f"> {_MINUS}0.001 %"
    text = f"{value:.{digits}g}"
    if share < 1 and float(text) >= 100:
        text = "> 99.9"
    return f"{text} %".replace("-", _MINUS)


def at_most(share: float) -> str:
    """A share as a percentage of two digits, rounded up."""
    return percent(figure(share, towards="away", digits=2), 2)


def bits(value: float) -> str:
    """Bits with three digits: 3.86 bits."""
    return f"{value:.3g} bits" if value < 1000 else f"{value:,.0f} bits"


def times(ratio: float) -> str:
    """How many times: 4.1×."""
    return f"{ratio:.0f}×" if ratio >= 20 else f"{ratio:.2g}×" if ratio < 10 else f"{ratio:.3g}×"


def unit_of(arrow_type: str) -> str:
    """The unit in which a time column's errors are counted; empty for plain numbers."""
    if arrow_type.startswith("date32"):
        return "days"
    if "[" in arrow_type and arrow_type.startswith(("timestamp", "time", "duration", "date64")):
        return arrow_type.split("[", 1)[1].split("]")[0].split(",")[0]
    return ""


def bound(record: BoundRecord, arrow_type: str) -> str:
    """A bound as people write it: exact, ±2, ±1 % of the value."""
    value = record.fraction
    if record.kind == "none":
        return "none"
    if value is None:
        return "exact"
    if record.kind == "pointwise":
        return f"±{percent(nearest_float(value))} of the value"
    unit = unit_of(arrow_type)
    return f"±{_shortest(value)}" + (f" {unit}" if unit else "")


def _shortest(value: Fraction) -> str:
    near = nearest_float(value)
    text = f"{near:.12g}"
    exact = Fraction(text) == value
    return text if exact and len(text) <= 10 else f"{near:.4g}"


def plural(n: int, one: str, many: str | None = None) -> str:
    """1 row, 2 rows."""
    return f"{count(n)} {one if n == 1 else many or one + 's'}"
