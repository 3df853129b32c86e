"""Plots as inline SVG that follow the page's colours, light or dark. The only file that needs matplotlib."""

from __future__ import annotations

import datetime as dt
import io
import re
from collections.abc import Sequence

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from ae_core.report import wording
from ae_core.report.inputs import CurvePoint, DimensionPoint
from ae_core.report.records import ColumnDetail, PairedHistogram

# drawn in stand-ins, which become the page's variables in the SVG
_INK, _MUTED, _GRID, _FIRST, _SECOND, _THIRD = "#010101", "#020202", "#030303", "#040404", "#050505", "#060606"
_THEME = {
    _INK: "currentColor",
    _MUTED: "var(--muted)",
    _GRID: "var(--line)",
    _FIRST: "var(--first)",
    _SECOND: "var(--second)",
    _THIRD: "var(--third)",
}
_STYLE = {
    "svg.fonttype": "none",
    "font.size": 8,
    "axes.edgecolor": _GRID,
    "axes.labelcolor": _MUTED,
    "axes.titlecolor": _INK,
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.spines.left": False,
    "axes.axisbelow": True,
    "grid.color": _GRID,
    "grid.linewidth": 0.6,
    "text.color": _INK,
    "xtick.color": _GRID,
    "ytick.color": _GRID,
    "xtick.labelcolor": _MUTED,
    "ytick.labelcolor": _MUTED,
    "xtick.major.size": 3,
    "ytick.major.size": 0,
    "lines.linewidth": 1.5,
    "lines.solid_capstyle": "round",
}


def error_histogram(detail: ColumnDetail, bound: str, label: str) -> str:
    """How often each error occurs, from -bound to +bound; bins hold equally many possible errors, as drawn."""
    centres, width, weight = _error_bins(detail)
    counts = np.asarray(detail.errors, np.float64) / weight
    with rc_context(_STYLE):
        figure, axes = _figure(2.7, 1.5)
        share = counts / max(float(np.sum(detail.errors)), 1.0)
        axes.bar(centres, share, width=width * 0.86, color=_SECOND)
        axes.set_xlim(-1.08, 1.08)
        for edge in (-1, 1):
            axes.axvline(edge, color=_MUTED, linewidth=0.8, linestyle=(0, (3, 2)))
        limit = bound.removeprefix("±") if bound.startswith("±") else "bound"
        short = limit if len(limit) <= 10 else "bound"
        axes.set_xticks([-1, 0, 1], [f"−{short}", "0", f"+{short}"])
        axes.yaxis.set_major_locator(MaxNLocator(3))
        axes.yaxis.set_major_formatter(FuncFormatter(lambda y, _: f"{y * 100:g} %"))
        axes.grid(axis="y")
        return _svg(figure, label)


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
    width = 2.0**histogram.exponent
    edges = (histogram.start + np.arange(len(histogram.original) + 1)) * width
    with rc_context(_STYLE):
        figure, axes = _figure(2.7, 1.5)
        curves = []
        for side, counts in enumerate((histogram.original, histogram.rebuilt)):
            total = max(sum(counts) + histogram.below[side] + histogram.above[side], 1)
            curves.append((histogram.below[side] + np.concatenate([[0], np.cumsum(counts)])) / total)
        axes.fill_between(edges, curves[0], color=_FIRST, alpha=0.22, linewidth=0)
        axes.plot(edges, curves[0], color=_FIRST, linewidth=2.6, alpha=0.55)
        axes.plot(edges, curves[1], color=_SECOND, linewidth=1.1)
        axes.set_xlim(edges[0], edges[-1])
        axes.set_ylim(0, 1.03)
        axes.set_yticks([0, 0.5, 1], ["0", "50 %", "100 %"])
        axes.xaxis.set_major_locator(MaxNLocator(2 if _is_date(arrow_type) else 4))
        axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: _tick(x, arrow_type)))
        axes.grid(axis="y")
        return _svg(figure, label)


def training_curve(points: Sequence[CurvePoint], label: str) -> str:
    """A stage of training by epoch, on seen and unseen rows."""
    with rc_context(_STYLE):
        figure, axes = _figure(3.6, 2.1)
        epochs = [point.epoch for point in points]
        marker = "o" if len(points) <= 12 else None
        seen, unseen = [point.seen for point in points], [point.unseen for point in points]
        axes.plot(epochs, seen, color=_FIRST, linewidth=2.4, alpha=0.7, marker=marker, markersize=3.4)
        axes.plot(epochs, unseen, color=_SECOND, linewidth=1.3, marker=marker, markersize=2.6)
        axes.set_xlabel("epoch")
        axes.xaxis.set_major_locator(MaxNLocator(6, integer=max(epochs) >= 3))
        axes.yaxis.set_major_locator(MaxNLocator(4))
        axes.yaxis.set_major_formatter(FuncFormatter(lambda y, _: f"{y:g}"))
        axes.margins(x=0.03, y=0.12)
        axes.grid(axis="y")
        return _svg(figure, label)


def dimension_curve(points: Sequence[DimensionPoint], chosen: int | None, label: str) -> str:
    """Preview error against latent bits a row, one point for each number of dimensions; the chosen one stands out."""
    with rc_context(_STYLE):
        figure, axes = _figure(3.6, 2.1)
        ordered = sorted(points, key=lambda p: p.latent_bits)
        x, y = [p.latent_bits for p in ordered], [p.preview_loss for p in ordered]
        axes.plot(x, y, color=_FIRST, alpha=0.55)
        for place, point in enumerate(ordered):
            picked = point.dims == chosen
            axes.plot(point.latent_bits, point.preview_loss, "o", color=_SECOND if picked else _FIRST,
                      markersize=7 if picked else 4)  # fmt: skip
            above = place % 2 == 0  # neighbours are often close: their names take turns above and below the line
            axes.annotate(f"d = {point.dims}", (point.latent_bits, point.preview_loss), (0, 7 if above else -13),
                          textcoords="offset points", ha="center", color=_INK if picked else _MUTED)  # fmt: skip
        axes.set_ylim(0, max(y) * 1.25)
        axes.margins(x=0.1)
        axes.set_xlabel("latent bits per row")
        axes.xaxis.set_major_locator(MaxNLocator(5))
        axes.yaxis.set_major_locator(MaxNLocator(4))
        axes.yaxis.set_major_formatter(FuncFormatter(lambda v, _: f"{v:g}"))
        axes.grid(axis="y")
        return _svg(figure, label)


def stacked_bytes(parts: Sequence[tuple[str, int, int, int]], label: str) -> str:
    """One bar of three parts for each name: latents at the bottom, residuals, model."""
    with rc_context(_STYLE):
        figure, axes = _figure(3.6, 2.1)
        below = np.zeros(len(parts))
        for place, (name, color) in enumerate((("latents", _SECOND), ("residuals", _FIRST), ("model", _THIRD)), 1):
            sizes = np.array([part[place] for part in parts], np.float64)
            axes.bar(range(len(parts)), sizes, bottom=below, width=0.7, color=color, label=name)
            below += sizes
        axes.set_xticks(range(len(parts)), [part[0] for part in parts])
        axes.set_xlabel("latent dimensions")
        axes.yaxis.set_major_locator(MaxNLocator(4))
        axes.yaxis.set_major_formatter(FuncFormatter(lambda v, _: f"{v / 1e3:,.0f} kB"))
        axes.set_ylim(0, float(below.max()) * 1.25)
        axes.legend(frameon=False, ncols=3, loc="upper center", labelcolor=_MUTED)
        axes.grid(axis="y")
        return _svg(figure, label)


def _figure(width: float, height: float) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(width, height), layout="constrained")
    return figure, figure.add_subplot()


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


def _svg(figure: Figure, label: str) -> str:
    """The figure as an inline element: page colours and font, no ids that clash, nothing outside the page."""
    out = io.StringIO()
    with rc_context({"svg.hashsalt": label}):
        figure.savefig(out, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    text = out.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<style.*?</style>\s*", "", text, flags=re.DOTALL)  # would reach beyond the plot
    text = re.sub(r"<metadata>.*?</metadata>\s*", "", text, flags=re.DOTALL)
    text = re.sub(r"<!--.*?-->\s*", "", text, flags=re.DOTALL)
    text = re.sub(r' xmlns(:\w+)?="[^"]*"', "", text)
    text = text.replace("xlink:href", "href")
    text = re.sub(r'<g id="[^"]*"', "<g", text)
    text = re.sub(r"font: ([\d.]+px) [^;\"]*", r"font-size: \1; font-family: inherit", text)
    text = re.sub(r"font-family: [^;\"]*", "font-family: inherit", text)
    for stand_in, variable in _THEME.items():
        text = text.replace(stand_in, variable)
    safe = label.replace("&", "&amp;").replace('"', "&quot;").replace("<", "&lt;")
    text = re.sub(
        r'<svg [^>]*?viewBox="([^"]*)"[^>]*>', rf'<svg viewBox="\1" role="img" aria-label="{safe}">', text, count=1
    )
    return re.sub(r"\n\s*", "\n", text)
