"""The README's first screen, from what the demo measured: ``make readme`` runs the demo and writes it.

    demo/results.json ─▶ docs/demo.json ─▶ the block between the markers in README.md

A test fails where README.md and docs/demo.json differ, and one where a fresh demo is far from docs/demo.json.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
FIGURES, README, PICTURE = ROOT / "docs" / "demo.json", ROOT / "README.md", ROOT / "docs" / "report.png"
START, END = "<!-- make readme writes what follows -->", "<!-- up to here -->"
_BAR = 34
_NAMES = {
    "Parquet zstd-19": "Parquet zstd-19, exact",
    "quantise + best of pcodec, zstd, xz, brotli": "best simple coders",
    "autoencoder after DeepSqueeze": "plain autoencoder",
}


def render(figures: Mapping[str, Any]) -> str:
    """The block as Markdown."""
    result, net = figures["result"], figures["network"]
    rows = result["rows"]
    lines = [
        "",
        *(f"    {line}" for line in _drawing(result, net)),
        "",
        f"A year of flights, {rows:,} rows in twelve months, with [a bound per column](infra/demo/policy.yaml):",
        "",
        f"    {'original → rebuilt':20}" + "".join(f"{_head(cell):>22}" for cell in result["examples"][0]["cells"]),
    ]
    for example in result["examples"]:
        place = f"January, row {example['row']:,}"
        lines.append(f"    {place:20}" + "".join(f"{_moved(cell):>22}" for cell in example["cells"]))
    lines += ["", *(f"    {line}" for line in _bars(result)), ""]
    lines += [
        f"**{result['violations']} of {result['cells']:,} cells outside the bound**, checked cell by cell in exact "
        "arithmetic. Every byte counts here; the",
        "peers are one file each, at the same bounds.",
        "",
        "    $ latentlake compress demo/flights demo/archive --policy infra/demo/policy.yaml",
        *([f"    {said}"] if (said := result["compressed"].partition("; see")[0]) else []),
        "    $ latentlake ls demo/archive",
        f"    {result['listed']}",
        "    $ latentlake decode demo/archive demo/decoded",
        f"    {result['decoded']}",
        "",
    ]
    return "\n".join(lines)


def _drawing(result: Mapping[str, Any], net: Mapping[str, Any]) -> list[str]:
    """From a row through z to a row, with what passes on the arrows, on average."""
    rows, parts = result["rows"], result["parts"]
    row = f"──{result['arrow'] / rows:.0f} B──▶"
    latents, residuals = (f"{8 * parts[part] / rows:.1f} bits" for part in ("latents", "residuals"))
    top = f"row {row} encoder ──{latents}──▶ z ──{latents}──▶ decoder {row} row, a preview"
    place = top.index(" z ") + 1
    left = f"residuals ──{residuals}"
    dims = f"z: {len(net['levels'])} integers a row for {net['columns']} columns"
    return [
        top,
        f"{'':{place}}│  {dims}; the preview is off by {net['preview']:.1%} of the range",
        f"{left}{'─' * (place - len(left))}┴──▶ context model {row} row, every value within its bound",
    ]


def _head(cell: list[str]) -> str:
    return f"{cell[0]} ({cell[3]})"


def _moved(cell: list[str]) -> str:
    _, original, rebuilt, _ = cell
    return original if original == rebuilt else f"{original} → {rebuilt}"


def _bars(result: Mapping[str, Any]) -> list[str]:
    most = max(result["peers"].values())
    lines = [
        f"{_NAMES[name]:24}{size / 1e6:5.2f} MB  {'█' * max(1, round(_BAR * size / most))}"
        for name, size in result["peers"].items()
    ]
    own = result["parts"]
    bar = "".join(
        sign * max(1, round(_BAR * own[part] / most))
        for sign, part in (("█", "latents"), ("▓", "residuals"), ("▒", "models"), ("░", "metadata"))
    )
    lines.append(f"{'latentlake':24}{result['archive'] / 1e6:5.2f} MB  {bar}")
    signs = (("█", "latents", "latents"), ("▓", "residuals", "residuals"), ("▒", "models", "model, twice"))
    told = ", ".join(f"{sign} {name} {own[part] / 1e3:,.0f}" for sign, part, name in signs)
    return [*lines, f"{'':24}{told}, ░ metadata {own['metadata'] / 1e3:,.0f} kB"]


def replaced(readme: str, figures: Mapping[str, Any]) -> str:
    """The README with its block written anew.

    Raises
    ------
    ValueError
        When a marker is missing.
    """
    before, start, rest = readme.partition(START)
    _, end, after = rest.partition(END)
    if not start or not end:
        raise ValueError(f"README.md has no {START} and {END}")
    return f"{before}{START}\n{render(figures)}\n{END}{_with_table(after, figures['result'])}"


def _with_table(text: str, result: Mapping[str, Any]) -> str:
    """The first column of the table below "What it gives"."""
    zstd, simple = (result["peers"][name] for name in list(_NAMES)[:2])
    cells = {
        "Parquet as it was (zstd)": result["lake"],
        "Parquet zstd-19, one file, exact": zstd,
        "quantise, then the best of pcodec, zstd, xz, brotli per column, one file": simple,
        "**latentlake archive**": result["archive"],
        "of which latents": result["parts"]["latents"],
        "of which residuals": result["parts"]["residuals"],
        "of which the model, twice": result["parts"]["models"],
        "of which metadata and certificates": result["parts"]["metadata"],
    }
    for label, value in cells.items():
        text, found = re.subn(rf"(?m)^(\| {re.escape(label)} \| \**)[0-9,]+", rf"\g<1>{value:,}", text)
        if found != 1:
            raise ValueError(f"README.md has no row {label!r}")
    return text


def picture(report: Path, target: Path) -> None:
    """The first screens of a report as a picture."""
    browser = shutil.which("chromium") or shutil.which("google-chrome")
    if browser is None:
        print(f"without chromium {target} stays as it is")
        return
    with tempfile.TemporaryDirectory() as profile:
        page = Path(profile) / "report.html"
        here = str(report.resolve().with_name("archive"))
        page.write_text(report.read_text("utf-8").replace(here, "demo/archive"), encoding="utf-8")
        command = [browser, "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars"]
        command += [f"--user-data-dir={profile}/profile", "--window-size=1280,2560", f"--screenshot={target}"]
        subprocess.run([*command, page.as_uri()], check=True, capture_output=True)
    from PIL import Image  # comes with matplotlib

    Image.open(target).convert("RGB").quantize(192).save(target, optimize=True)


def measure(folder: Path) -> dict[str, Any]:
    """Run the demo with the autoencoder among its peers; its figures, and those of the archive's network."""
    from dataclasses import asdict

    from ae_core import open_archive
    from ae_core.jobs.anatomy import summarise_network
    from ae_core.report.sections import preview
    from ae_core.report.summary import summarise
    from infra.demo.run import SIMPLE, main
    from tests.benchmarks.more_peers import ALL_PEERS, DEEPSQUEEZE_NAME

    result = main(folder, {**SIMPLE, DEEPSQUEEZE_NAME: ALL_PEERS[DEEPSQUEEZE_NAME]})
    archive = open_archive(str(folder / "archive"))
    partitions = archive.partitions()
    network = summarise_network(archive.codec(partitions[0].manifest))
    if network is None:
        sys.exit("the demo's archive has no network: nothing to draw")
    shown = preview(summarise((partition.certificate for partition in partitions), {}))
    if shown is None or not shown.numbers:
        sys.exit("the demo's archive has no preview of numbers: nothing to tell of it")
    return {
        "result": asdict(result),
        "network": {
            "columns": network.columns,
            "encoder": network.encoder,
            "decoder": network.decoder,
            "context": network.context,
            "levels": list(network.levels),
            "preview": shown.mean(shown.numbers, "value"),
        },
    }


def main(folder: Path) -> None:
    """Measure, and write docs/demo.json, the block of README.md and docs/report.png."""
    figures = measure(folder)
    FIGURES.write_text(json.dumps(figures, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    README.write_text(replaced(README.read_text("utf-8"), json.loads(FIGURES.read_text("utf-8"))), encoding="utf-8")
    picture(folder / "report.html", PICTURE)


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "demo"))
