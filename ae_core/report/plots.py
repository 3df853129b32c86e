"""Plots of a training as inline SVG that follow the page's colours, light or dark; drawn by matplotlib."""

from __future__ import annotations

import io
import re
from collections.abc import Sequence

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from ae_core.report.inputs import CurvePoint, DimensionPoint

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
