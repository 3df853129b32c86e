"""What a damaged layer file means to whoever wants the data: which rows and columns are lost, and which are not."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from ae_core import pipeline
from ae_core.archive.findings import Finding as ArchiveFinding
from ae_core.archive.layers import OPEN_LATENTS
from ae_core.archive.reader import Snapshot
from ae_core.dataset import Archive, preview_names
from ae_core.errors import LatentlakeError
from ae_core.jobs.results import Finding


def explain(finding: ArchiveFinding, snapshot: Snapshot | None, lost_latents: Collection[int]) -> Finding:
    """The finding with its consequences.

    Parameters
    ----------
    snapshot
        The newest one, None if it does not open.
    lost_latents
        Blocks of the same partition whose latents are lost, by this or another finding.
    """
    told = Finding(
        name=finding.name,
        problem=f"{finding.problem}: {finding.detail}",
        partition=finding.partition,
        mendable=finding.mendable,
        current=finding.current,
        layer=finding.layer,
        blocks=finding.blocks,
        rows=row_ranges(finding.block_rows, finding.blocks),
    )
    if finding.layer is None or not finding.blocks:
        return told
    columns, words = _columns(finding, snapshot, lost_latents)
    kept = [index for index in range(len(finding.block_rows)) if index not in finding.blocks]
    whole = f"{finding.layer} of {_blocks(kept)} readable" if kept else ""
    return Finding(**{**vars(told), "columns": columns, "readable": "; ".join(filter(None, (whole, words)))})


def row_ranges(block_rows: Sequence[int], blocks: Sequence[int]) -> tuple[tuple[int, int], ...]:
    """Rows of these blocks as ranges (end excluded), neighbours joined."""
    ranges: list[tuple[int, int]] = []
    first = 0
    for index, rows in enumerate(block_rows):
        if index in blocks and rows:
            if ranges and ranges[-1][1] == first:
                ranges[-1] = (ranges[-1][0], first + rows)
            else:
                ranges.append((first, first + rows))
        first += rows
    return tuple(ranges)


def _columns(
    finding: ArchiveFinding, snapshot: Snapshot | None, lost_latents: Collection[int]
) -> tuple[tuple[str, ...], str]:
    """The columns that the lost blocks take with them, and what of these blocks can be read all the same."""
    if snapshot is None or finding.partition is None or not finding.current:
        return (), ""
    try:
        archive = Archive(snapshot)
        manifest = snapshot.manifest(finding.partition)
        names = archive.table_info(manifest).schema.names
        codec = archive.codec(manifest)
    except LatentlakeError:
        return (), ""
    where = _blocks(finding.blocks)
    if finding.layer == OPEN_LATENTS:
        return (), "nothing is lost: the latents are there in the coded form that everything is decoded from"
    if finding.layer == "latents" and manifest.layer("residuals") is None:
        return tuple(preview_names(codec)), ""
    if finding.layer == "latents":
        alone = [name for name in names if not pipeline.needs_latents(codec, [name])]
        words = f"columns {', '.join(alone)} of {where} readable: name them with --columns" if alone else ""
        return tuple(name for name in names if name not in alone), words
    shown = manifest.layer("latents") is not None and set(finding.blocks).isdisjoint(lost_latents)
    words = f"preview of {where} readable: --layer preview" if shown and preview_names(codec) else ""
    return tuple(names), words


def _blocks(blocks: Collection[int]) -> str:
    return f"{'block' if len(blocks) == 1 else 'blocks'} {', '.join(map(str, blocks))}"
