"""What was measured, as JSON and as Markdown: bytes, speed, memory, and the worst error over bound."""

from __future__ import annotations

import json
import math
import os
import platform
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from tests.benchmarks.peers import QUANTISED_BEST

ARCHIVE = "latentlake"


@dataclass(frozen=True)
class Row:
    """One codec on one table at one range."""

    table: str
    range: str
    codec: str
    bytes: int  # all of them
    encode_mb_s: float  # of Arrow
    decode_mb_s: float
    worst_ratio: float
    parts: dict[str, int] | None = None  # of the archive: latents, residuals, models, metadata
    layers_and_model: int | None = None  # bytes of the archive's layers and of one copy of its model
    training_seconds: float | None = None
    peak_memory: int | None = None  # bytes, the larger of compress and decode
    remembered: bool = False  # measured by an earlier run


def machine() -> str:
    """What this runs on."""
    return f"{os.cpu_count()} cores, {platform.machine()}, {platform.system()}, Python {platform.python_version()}"


def write(rows: Sequence[Row], missing: Sequence[str], folder: Path) -> None:
    """Write results.json and results.md."""
    folder.mkdir(parents=True, exist_ok=True)
    document = {
        "machine": machine(),
        "command": "make bench",
        "missing": list(missing),
        "rows": [asdict(row) for row in rows],
    }
    (folder / "results.json").write_text(json.dumps(document, indent=1))
    (folder / "results.md").write_text(markdown(rows, missing))


def read(folder: Path) -> list[Row]:
    """The rows of results.json."""
    return [Row(**row) for row in json.loads((folder / "results.json").read_text())["rows"]]


def markdown(rows: Sequence[Row], missing: Sequence[str] = ()) -> str:
    """The rows as tables, one for each lake and range, and the means; sizes also against the strongest simple peer."""
    lines = [
        f"Measured by `make bench` on {machine()}; MB/s of Arrow, start-up and training included for latentlake;",
        "worst = largest error over bound; of simple = bytes over those of *" + QUANTISED_BEST + "*.",
        *(f"Left out: {name}." for name in missing),
    ]
    for table, share in dict.fromkeys((row.table, row.range) for row in rows):
        chosen = [row for row in rows if (row.table, row.range) == (table, share)]
        simple = next(row.bytes for row in chosen if row.codec == QUANTISED_BEST)
        lines += ["", f"**{table}, range {share}**", ""]
        lines.append("| codec | bytes | of simple | encode | decode | peak memory | worst |")
        lines.append("|---|---:|---:|---:|---:|---:|---:|")
        for row in chosen:
            memory = f"{row.peak_memory / 1e6:,.0f} MB" if row.peak_memory else ""
            speeds = f"{row.encode_mb_s:.3g} | {row.decode_mb_s:.3g}"
            ratio = f"{row.bytes / simple:.3f}"
            name = f"**{ARCHIVE}**, all bytes" if row.layers_and_model else row.codec
            lines.append(f"| {name} | {row.bytes:,} | {ratio} | {speeds} | {memory} | {row.worst_ratio:.4f} |")
            shown = {"layers and one model": row.layers_and_model or 0, **(row.parts or {})} if row.parts else {}
            lines += [f"| – {part} | {size:,} | {size / simple:.3f} | | | | |" for part, size in shown.items()]
    return "\n".join([*lines, "", *_means(rows)]) + "\n"


def geometric_means(rows: Sequence[Row], share: str) -> dict[str, float]:
    """Ratios of the archive's bytes to a peer's at a range, as geometric means over the tables where it was measured.

    Both the archive's layers with one model and all its bytes are set against the simple peer and, table by table,
    against the smallest of all peers.
    """
    ratios: dict[str, list[float]] = {}
    for own in (row for row in rows if row.layers_and_model and row.range == share):
        peers = [row for row in rows if (row.table, row.range) == (own.table, share) and not row.layers_and_model]
        simple = next(row.bytes for row in peers if row.codec == QUANTISED_BEST)
        for against, size in (("simple peer", simple), ("smallest peer", min(row.bytes for row in peers))):
            ratios.setdefault(f"layers and one model / {against}", []).append((own.layers_and_model or 0) / size)
            ratios.setdefault(f"all bytes / {against}", []).append(own.bytes / size)
    return {name: math.exp(sum(map(math.log, found)) / len(found)) for name, found in ratios.items()}


def _means(rows: Sequence[Row]) -> list[str]:
    means = {share: geometric_means(rows, share) for share in dict.fromkeys(row.range for row in rows)}
    names = list(dict.fromkeys(name for found in means.values() for name in found))
    if not names:
        return []
    tables = len({row.table for row in rows if row.layers_and_model})
    lines = [f"**Geometric means over the tables** ({tables})", "", f"| range | {' | '.join(names)} |"]
    lines.append("|---|" + "---:|" * len(names))
    for share, found in means.items():
        if found:
            lines.append(f"| {share} | " + " | ".join(f"{found[name]:.3f}" for name in names) + " |")
    return lines
