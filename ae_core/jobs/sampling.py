"""The rows that a model is trained on: whole blocks, spread evenly over all partitions."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from itertools import accumulate, islice

import pyarrow as pa

from ae_core.errors import LakeError
from ae_core.lake import LakePartition, block_rows, footers, read_blocks, row_cells

SAMPLE_CELLS = 8_000_000
"""Rows times columns of a training sample: a year of flights fits, and two cores train on it within minutes."""

Place = tuple[int, int, int]
"""Partition's position, block's number within it, rows to take from the block's start."""


def choose_blocks(rows: Sequence[int], columns: int, *, cells: int = SAMPLE_CELLS) -> list[Place]:
    """Blocks of partitions with these row counts: all of them, or evenly spread ones within the budget of cells.

    Rows of a block stay together and in order, because copy candidates live on recent rows.
    """
    budget, size = max(1, cells // max(1, columns)), block_rows(columns)
    every = [
        (partition, block, min(size, count - block * size))
        for partition, count in enumerate(rows)
        for block in range(-(-count // size))
    ]
    total = sum(place[2] for place in every)
    if total <= budget:
        return every
    ends = list(accumulate(place[2] for place in every))
    picks = max(1, budget // max(place[2] for place in every))
    chosen = sorted({bisect_right(ends, (2 * pick + 1) * total // (2 * picks)) for pick in range(picks)})
    return [(partition, block, min(take, budget)) for partition, block, take in (every[i] for i in chosen)]


def read_sample(partitions: Sequence[LakePartition], *, cells: int = SAMPLE_CELLS) -> list[pa.Table]:
    """The chosen blocks of the partitions, in order; empty where no partition has a row.

    A partition that cannot be read is left out: it fails by itself when it is encoded.

    Raises
    ------
    LakeError
        When none can be read.
    """
    found = [footers(partition) for partition in partitions]
    rows = [sum(footer.num_rows for footer in group) for group in found]
    schemas = [footer.schema.to_arrow_schema() for group in found for footer in group]
    columns = max(map(row_cells, schemas), default=1)
    places: dict[int, dict[int, int]] = {}
    for position, block, take in choose_blocks(rows, columns, cells=cells):
        places.setdefault(position, {})[block] = take
    sample: list[pa.Table] = []
    problems: list[LakeError] = []
    for position, wanted in sorted(places.items()):
        try:
            for number, block in enumerate(
                islice(read_blocks(partitions[position], block_rows(columns)), max(wanted) + 1)
            ):
                if number in wanted:
                    sample.append(block.slice(0, wanted[number]))
        except LakeError as error:
            problems.append(error)
    if problems and not sample:
        raise problems[0]
    return sample


def row_counts(partition: LakePartition) -> tuple[int, ...]:
    """Rows of each file of the partition, in order."""
    return tuple(footer.num_rows for footer in footers(partition))
