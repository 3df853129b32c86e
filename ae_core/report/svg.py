"""The plots of which a report has many, as small SVG drawings that follow the page's colours, light or dark.

Written by hand: a column's two plots take half a millisecond and three kilobytes, so that a page can have hundreds.
"""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Callable, Sequence
from html import escape

import numpy as np

from ae_core.report import wording
from ae_core.report.records import ColumnDetail, PairedHistogram

_WIDTH, _HEIGHT = 320, 150
_LEFT, _RIGHT, _TOP, _BOTTOM = 54, 10, 8, 22
_POINTS = 300  # of a line over more partitions, the least and the greatest of each run are drawn


class _Axes:
    """A frame with its scales: data in, SVG elements out."""

    def __init__(self, x: tuple[float, float], y: tuple[float, float], width: int = _WIDTH) -> None:
        self._x0, self._dx = x[0], (x[1] - x[0]) or 1.0
        self._y0, self._dy = y[0], (y[1] - y[0]) or 1.0
        self.width = width
        self.parts: list[str] = []

    def x(self, value: float) -> float:
        return _LEFT + (value - self._x0) / self._dx * (self.width - _LEFT - _RIGHT)

    def y(self, value: float) -> float:
        return _HEIGHT - _BOTTOM - (value - self._y0) / self._dy * (_HEIGHT - _TOP - _BOTTOM)

    def ticks_y(self, values: Sequence[float], label: Callable[[float], str]) -> None:
        """Lines across, with their values at the left."""
        for value in values:
            y = self.y(value)
            self.parts.append(f'<path d="M{_LEFT} {y:.1f}H{self.width - _RIGHT}" stroke="var(--line)"/>')
            self.text(_LEFT - 6, y + 4, label(value), "end")

    def ticks_x(self, values: Sequence[tuple[float, str]]) -> None:
        """Values below the frame; those at its edges stay within the drawing."""
        for value, label in values:
            x = self.x(value)
            half = 3.1 * len(label)
            anchor = "end" if x + half > self.width else "start" if x - half < 0 else "middle"
            self.text({"end": self.width, "start": 0, "middle": x}[anchor], _HEIGHT - 6, label, anchor)

    def text(self, x: float, y: float, text: str, anchor: str) -> None:
        """Muted words."""
        self.parts.append(f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>')

    def line(self, xs: np.ndarray, ys: np.ndarray, style: str, *, filled: bool = False) -> None:
        """A line through the points, or the area below it."""
        points = " ".join(f"{self.x(a):.1f} {self.y(b):.1f}" for a, b in zip(xs.tolist(), ys.tolist(), strict=True))
        if filled:
            base = f"{self.y(0):.1f}"
            self.parts.append(f'<path d="M{self.x(xs[0]):.1f} {base}L{points}V{base}Z" {style}/>')
        else:
            self.parts.append(f'<path d="M{points}" fill="none" {style}/>')

    def svg(self, label: str) -> str:
        """The drawing; screen readers read the label."""
        return (
            f'<svg viewBox="0 0 {self.width} {_HEIGHT}" role="img" aria-label="{escape(label)}" font-size="11" '
            f'fill="var(--muted)">{"".join(self.parts)}</svg>'
        )


def nice_ticks(low: float, high: float, most: int = 4) -> list[float]:
    """At most `most` + 1 round values within [low, high]: steps of 1, 2 or 5 times a power of ten."""
    span = high - low
    if not 1e-300 < span < math.inf:
        return [low]
    step = 10.0 ** math.floor(math.log10(span / most))
    step = next(step * by for by in (1, 2, 5, 10) if span / (step * by) <= most)
    return [place * step for place in range(math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9) + 1)]


def error_histogram(detail: ColumnDetail, bound: str, label: str) -> str:
    """How often each error occurs, from -bound to +bound; bins hold equally many possible errors, as drawn."""
    centres, width, weight = _error_bins(detail)
    share = np.asarray(detail.errors, np.float64) / weight / max(sum(detail.errors), 1)
    top = max(float(share.max()), 1e-9) * 1.08
    edge = max(1.08, 1.03 + width / 2)
    axes = _Axes((-edge, edge), (0, top))
    axes.ticks_y(nice_ticks(0, top, 3), lambda y: f"{y * 100:.3g} %")
    for x, y in zip(centres.tolist(), share.tolist(), strict=True):
        if y:
            left, right = axes.x(x - width * 0.43), axes.x(x + width * 0.43)
            height = axes.y(0) - axes.y(y)
            axes.parts.append(
                f'<rect x="{left:.1f}" y="{axes.y(y):.1f}" width="{right - left:.1f}" height="{height:.1f}" '
                'fill="var(--second)"/>'
            )
    for side in (-1, 1):
        axes.parts.append(
            f'<path d="M{axes.x(side):.1f} {_TOP}V{_HEIGHT - _BOTTOM}" stroke="var(--muted)" stroke-dasharray="3 2"/>'
        )
    limit = bound.removeprefix("±") if bound.startswith("±") else "bound"
    short = limit if len(limit) <= 10 else "bound"
    axes.ticks_x([(-1, f"−{short}"), (0, "0"), (1, f"+{short}")])
    return axes.svg(label)


def _error_bins(detail: ColumnDetail) -> tuple[np.ndarray, float, np.ndarray]:
    """Bin centres and width over the bound, and the part of each bin that lies within the bound."""
    n = len(detail.errors)
    if not detail.error_step:
        edges = np.linspace(-1, 1, n + 1)
        return (edges[1:] + edges[:-1]) / 2, 2 / n, np.ones(n)
    places = np.arange(n) - n // 2
    levels = np.full(n, float(detail.error_step))
    levels[[0, -1]] = detail.error_limit - (n // 2) * detail.error_step + detail.error_step // 2 + 1
    return (
        places * detail.error_step / detail.error_limit,
        detail.error_step / detail.error_limit,
        levels / detail.error_step,
    )


def distributions(histogram: PairedHistogram, arrow_type: str, label: str) -> str:
    """Cumulative share of original cells (area) and rebuilt cells (line) up to each value."""
    places = (histogram.start + np.arange(len(histogram.original) + 1)).astype(np.float64)
    with np.errstate(over="ignore"):
        edges = np.ldexp(places, histogram.exponent)
    if not math.isfinite(float(edges[-1]) - float(edges[0])):
        return ""  # numbers at the end of what a double can say
    axes = _Axes((float(edges[0]), float(edges[-1])), (0, 1.03))
    axes.ticks_y([0, 0.5, 1], lambda y: f"{y * 100:.0f} %")
    curves = []
    for side, counts in enumerate((histogram.original, histogram.rebuilt)):
        total = max(sum(counts) + histogram.below[side] + histogram.above[side], 1)
        curves.append((histogram.below[side] + np.concatenate([[0], np.cumsum(counts)])) / total)
    axes.line(edges, curves[0], 'fill="var(--first)" fill-opacity=".22"', filled=True)
    axes.line(edges, curves[0], 'stroke="var(--first)" stroke-opacity=".55" stroke-width="3"')
    axes.line(edges, curves[1], 'stroke="var(--second)" stroke-width="1.3"')
    dates = _is_date(arrow_type)
    axes.ticks_x([(x, _tick(x, arrow_type)) for x in nice_ticks(edges[0], edges[-1], 1 if dates else 4)])
    return axes.svg(label)


def over_partitions(
    values: Sequence[float | None],
    names: tuple[str, str],
    label: str,
    *,
    spelt: Callable[[float], str],
    limit: float = 0,
) -> str:
    """A figure of each partition in their order, from 0 on; `limit` is drawn dashed, what has no figure is left out."""
    known = [(place, value) for place, value in enumerate(values) if value is not None and math.isfinite(value)]
    if not known:
        return ""
    xs, ys = (np.asarray(side, np.float64) for side in zip(*known, strict=True))
    top = max(float(ys.max()), limit, 1e-12) * 1.08
    axes = _Axes((0, max(len(values) - 1, 1)), (0, top))
    axes.ticks_y(nice_ticks(0, top, 3), spelt)
    if limit:
        y = axes.y(limit)
        axes.parts.append(
            f'<path d="M{_LEFT} {y:.1f}H{_WIDTH - _RIGHT}" stroke="var(--muted)" stroke-dasharray="4 3"/>'
        )
    if len(xs) > 2 * _POINTS:
        xs, ys = _thinned(xs, ys)
    axes.line(xs, ys, 'stroke="var(--second)" stroke-width="1.5" stroke-linejoin="round"')
    if len(xs) <= 40:
        axes.parts += [
            f'<circle cx="{axes.x(a):.1f}" cy="{axes.y(b):.1f}" r="2.6" fill="var(--second)"/>'
            for a, b in zip(xs.tolist(), ys.tolist(), strict=True)
        ]
    ends = [(0.0, _short(names[0]))] + ([(len(values) - 1.0, _short(names[1]))] if len(values) > 1 else [])
    axes.ticks_x(ends)
    return axes.svg(label)


def rate_distortion(points: Sequence[tuple[str, float, float]], now: float, label: str) -> str:
    """Bytes by bound, each (its name, predicted, by plain coders alone), and a dashed line for the lake now."""
    top = max(now, *(max(point[1:]) for point in points)) * 1.08
    axes = _Axes((-0.3, len(points) - 0.7), (0, top))
    axes.ticks_y(nice_ticks(0, top, 3), lambda y: wording.size(y))
    y = axes.y(now)
    axes.parts.append(f'<path d="M{_LEFT} {y:.1f}H{_WIDTH - _RIGHT}" stroke="var(--muted)" stroke-dasharray="4 3"/>')
    xs = np.arange(len(points), dtype=np.float64)
    for side, colour in ((2, "first"), (1, "second")):
        ys = np.array([point[side] for point in points])
        axes.line(xs, ys, f'stroke="var(--{colour})" stroke-width="1.6"')
        axes.parts += [
            f'<circle cx="{axes.x(a):.1f}" cy="{axes.y(b):.1f}" r="3" fill="var(--{colour})"/>'
            for a, b in zip(xs.tolist(), ys.tolist(), strict=True)
        ]
    axes.ticks_x([(float(place), name) for place, (name, *_) in enumerate(points)])
    return axes.svg(label)


def _short(name: str) -> str:
    return name if len(name) <= 22 else f"…{name[-21:]}"


def _thinned(xs: np.ndarray, ys: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The least and the greatest of each run of points, in order: no peak is lost."""
    kept: set[int] = set()
    for run in np.array_split(np.arange(len(xs)), _POINTS):
        kept |= {int(run[np.argmin(ys[run])]), int(run[np.argmax(ys[run])])}
    places = np.array(sorted(kept))
    return xs[places], ys[places]


def _is_date(arrow_type: str) -> bool:
    return arrow_type.startswith(("date", "timestamp"))


def _tick(value: float, arrow_type: str) -> str:
    if not _is_date(arrow_type):
        return wording.number(value)
    unit = wording.unit_of(arrow_type) or "days"
    seconds = value * {"days": 86_400, "s": 1, "ms": 1e-3, "us": 1e-6, "ns": 1e-9}[unit]
    try:
        moment = dt.datetime(1970, 1, 1, tzinfo=dt.UTC) + dt.timedelta(seconds=seconds)
    except OverflowError:
        return ""
    return moment.strftime("%Y-%m-%d")
