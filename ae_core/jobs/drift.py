"""Whether the model that an archive holds still fits the rows that are due: reuse or retraining, decided by bytes.

    sampled blocks of the rows due, encoded with the held model: bits a row
      no more than when it was trained, or not enough more to pay for a new model   ─► reused
      more, and by each model before it too: a model is trained on rows due, and encodes the same blocks
          saves less than storing it takes                                          ─► reused
          saves more                                                                ─► retrained

Nothing here imports torch: a run that reuses its model does not need it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pyarrow as pa

from ae_core import pipeline
from ae_core.codec import Codec
from ae_core.jobs.results import Drift
from ae_core.jobs.sampling import read_sample
from ae_core.lake import LakePartition
from ae_core.threads import ordered_map

SCORED_CELLS = 2_000_000
"""Rows times columns that a model is scored on: four months of flights, encoded within a second or two."""
SCORED_PARTITIONS = 8
MARGIN = 0.02
"""Share of their bytes that rows have to save beyond a new model's before one is trained: samples differ by chance."""
SCORED_MODELS = 4
"""How many of the held models, newest first, are tried before one is trained: rows may be like earlier ones again."""
COMMIT_BYTES = 1_500
"""What comes into the archive with a model beside its training's own report: the commit and the drift record."""


def scored_sample(due: Sequence[LakePartition]) -> list[pa.Table]:
    """A few whole blocks, spread over the partitions that are due; empty where these have no rows."""
    step = -(-len(due) // SCORED_PARTITIONS)
    return read_sample(due[:: max(1, step)], cells=SCORED_CELLS)


def bits_a_row(codec: Codec, sample: Sequence[pa.Table], *, threads: int = 0) -> float | None:
    """Bits that a row of these blocks takes in all layers; None where there is none."""
    rows = sum(block.num_rows for block in sample)
    encoded = ordered_map(lambda block: pipeline.encode_block(codec, block), sample, threads=threads)
    spent = sum(len(block.latents or b"") + len(block.residuals) for block in encoded)
    return 8 * spent / rows if rows else None


def stored_bytes(model: int, report: int = 0) -> int:
    """What a model and its training's report of that many bytes take in an archive, where every model lies twice."""
    return 2 * model + report + COMMIT_BYTES


def weigh(rows_due: int, then: float | None, now: float | None, model: int) -> Drift:
    """Reuse, with the figures that speak for it or (`asks_for_training`) against it.

    Parameters
    ----------
    then, now
        Bits a row by the held model, when it was trained and on rows due.
    model
        Bytes of the held model: a new one is expected to take as many.
    """
    saved, stored = 0, stored_bytes(model)
    if now is None:
        reason = "no row is due"
    elif then is None:
        reason = "its training report does not say how many bits a row took"
    else:
        saved = max(0, _bytes(now - then, rows_due))
        reason = (
            f"{now:.2f} bits a row, {then:.2f} when it was trained: on {rows_due:,} rows a new model could save "
            f"{saved:,} bytes and takes {stored:,}"
        )
    return Drift("reused", reason, rows_due, then, now, None, saved, stored)


def asks_for_training(drift: Drift) -> bool:
    """True where a model that does as well as the held one once did would pay for itself, by a margin."""
    return drift.bytes_saved > drift.model_bytes + _bytes(MARGIN * (drift.bits_now or 0.0), drift.rows_due)


def settle(drift: Drift, new: float | None, stored: int) -> Drift:
    """The new model where it is smaller with its own bytes counted, else the held one.

    Parameters
    ----------
    new
        Bits a row by the new model, on the blocks that `drift.bits_now` was measured on.
    stored
        `stored_bytes` of the new model.
    """
    saved = _bytes((drift.bits_now or 0.0) - (new or 0.0), drift.rows_due)
    took = f"{drift.bits_now or 0.0:.2f} bits a row, {new or 0.0:.2f} by a model trained on them"
    return replace(
        drift,
        decision="retrained" if saved > stored else "reused",
        reason=f"{took}: on {drift.rows_due:,} rows that saves {saved:,} bytes and takes {stored:,}",
        bits_new=new,
        bytes_saved=saved,
        model_bytes=stored,
    )


def first_training(rows_due: int, new: float | None, stored: int) -> Drift:
    """The record of a model that takes no other's place."""
    reason = "the archive held no model for this schema and policy"
    return Drift("trained", reason, rows_due, None, None, new, 0, stored)


def _bytes(bits: float, rows: int) -> int:
    return round(bits * rows / 8)
