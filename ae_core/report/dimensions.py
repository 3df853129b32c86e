"""Error, rate and bytes by latent dimension: one page with a table and two plots, or the plots as a picture."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from ae_core.report.inputs import DimensionPoint
from ae_core.report.plots import dimension_curve, stacked_bytes

_HEAD = (
    "dimensions",
    "of them say something",
    "error of the mean column",
    "numbers off by, % of range",
    "right categories, %",
    "latent bits a row",
    "latents, bytes",
    "residuals, bytes",
    "model, bytes",
    "in all, bytes",
)
_STYLE = """
:root { --paper: #fdfdfc; --ink: #1d232b; --muted: #626c79; --line: #e1e4e8; --first: #6f8296; --second: #c2571a;
  --third: #7fa6c4; }
@media (prefers-color-scheme: dark) { :root { --paper: #14181d; --ink: #e3e7ec; --muted: #98a3b0; --line: #2c333c;
  --first: #8fa5bb; --second: #f0945a; --third: #436f92; } }
body { margin: 0 auto; max-width: 68rem; padding: 2.5rem 1.5rem; background: var(--paper); color: var(--ink);
  font: 16px/1.55 system-ui, -apple-system, "Segoe UI", "Liberation Sans", Arial, sans-serif; }
h1 { font-size: 1.6rem; font-weight: 600; letter-spacing: -.02em; line-height: 1.2; margin: 0 0 .6rem; }
p { max-width: 46rem; } .muted, figcaption { color: var(--muted); font-size: .9rem; }
.plots { display: flex; flex-wrap: wrap; gap: 2rem; margin: 2rem 0; } figure { margin: 0; flex: 1 1 22rem; }
svg { width: 100%; height: auto; } .scroll { overflow-x: auto; }
table { border-collapse: collapse; font-size: .86rem; font-variant-numeric: tabular-nums; }
th, td { text-align: right; padding: .34rem .7rem; border-bottom: 1px solid var(--line); vertical-align: bottom; }
th { font-weight: 500; color: var(--muted); } tr.chosen td { font-weight: 600; color: var(--second); }
"""


@dataclass(frozen=True)
class DimensionRow:
    """What one number of dimensions gave, as the page shows it."""

    dims: int
    live: int
    preview_loss: float
    numeric_error: float
    accuracy: float
    latent_bits: float
    latent_bytes: int
    residual_bytes: int
    model_bytes: int

    @property
    def total_bytes(self) -> int:
        """Everything."""
        return self.latent_bytes + self.residual_bytes + self.model_bytes

    def cells(self) -> tuple[str, ...]:
        """The row as text."""
        figures = (f"{self.preview_loss:.3f}", f"{self.numeric_error:.2f}", f"{self.accuracy:.1f}")
        sizes = (self.latent_bytes, self.residual_bytes, self.model_bytes, self.total_bytes)
        return (
            str(self.dims), str(self.live), *figures, f"{self.latent_bits:.2f}", *(f"{size:,}" for size in sizes)
        )  # fmt: skip


def render_dimensions(lake: str, rows: Sequence[DimensionRow], chosen: int, reason: str, how: str) -> str:
    """The page, complete in itself; it loads nothing."""
    points = [DimensionPoint(row.dims, row.preview_loss, row.latent_bits) for row in rows]
    curve = dimension_curve(points, chosen, "error of the preview by latent bits")
    parts = [(str(row.dims), row.latent_bytes, row.residual_bytes, row.model_bytes) for row in rows]
    bars = stacked_bytes(parts, "bytes by latent dimension")
    head = "".join(f"<th>{escape(name)}</th>" for name in _HEAD)
    body = "".join(
        f"<tr{' class=chosen' if row.dims == chosen else ''}>{''.join(f'<td>{c}</td>' for c in row.cells())}</tr>"
        for row in rows
    )
    policy = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<link rel="icon" href="data:,">
<title>{escape(lake)} – latent dimensions</title>
<style>{_STYLE}</style>
</head>
<body>
<h1>{chosen} latent dimensions</h1>
<p>{escape(reason)}</p>
<p class="muted">{escape(lake)}: {escape(how)}</p>
<div class="plots">
<figure>{curve}<figcaption>Error of the mean column, on rows never trained on (1: a constant).</figcaption></figure>
<figure>{bars}<figcaption>Bytes of all rows by latent dimension: latents, residuals, model.</figcaption></figure>
</div>
<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>
</body>
</html>
"""


def draw_dimensions(path: Path, rows: Sequence[DimensionRow], chosen: int) -> None:
    """Both plots as one PNG picture."""
    with rc_context({"font.size": 9, "axes.spines.top": False, "axes.spines.right": False}):
        figure = Figure(figsize=(9, 3.6), layout="constrained")
        left, right = figure.subplots(1, 2)
        _curve(left, rows, chosen)
        low = [row.latent_bytes for row in rows]
        both = [row.latent_bytes + row.residual_bytes for row in rows]
        places = range(len(rows))
        right.bar(places, low, color="#c2571a", label="latents")
        right.bar(places, [row.residual_bytes for row in rows], bottom=low, color="#6f8296", label="residuals")
        right.bar(places, [row.model_bytes for row in rows], bottom=both, color="#7fa6c4", label="model")
        right.set_xticks(list(places), [str(row.dims) for row in rows])
        right.set_xlabel("latent dimensions")
        right.set_ylabel("bytes")
        right.yaxis.set_major_formatter(FuncFormatter(lambda v, _: f"{v:,.0f}"))
        right.set_ylim(0, 1.2 * max(row.total_bytes for row in rows))
        right.legend(frameon=False, ncols=3, loc="upper center")
        figure.savefig(path, format="png", dpi=150)


def _curve(axes: Axes, rows: Sequence[DimensionRow], chosen: int) -> None:
    ordered = sorted(rows, key=lambda row: row.latent_bits)
    axes.plot([r.latent_bits for r in ordered], [r.preview_loss for r in ordered], color="#6f8296")
    for row in rows:
        picked = row.dims == chosen
        axes.plot(row.latent_bits, row.preview_loss, "o", color="#c2571a" if picked else "#6f8296")
        axes.annotate(f"d = {row.dims}", (row.latent_bits, row.preview_loss), (0, 7), textcoords="offset points")
    axes.set_xlabel("latent bits per row")
    axes.set_ylabel("preview error (constant guess: 1)")
    axes.set_ylim(0, 1.25 * max(row.preview_loss for row in rows))
    axes.margins(x=0.1)
    axes.yaxis.set_major_locator(MaxNLocator(5))
