"""Blocks of codes <-> bytes by a mixing plan.  Every block starts from nothing, so that it decodes alone."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
import numpy.typing as npt

from ae_core.errors import Corrupt
from ae_core.mixing import coder
from ae_core.mixing.arithmetic import APM_BINS, APM_STEP, CLASSES, LIMIT, NODES, SQUASH, starting_weights
from ae_core.mixing.inputs import Codes, Inputs, Known, column_inputs
from ae_core.mixing.plan import ColumnModel, MixingPlan

Bytes = npt.NDArray[np.uint8]
MOST_ROWS = 1 << 17
MOST_BUCKETS = 1 << 19  # 32 MB of counters
_LEAST_BUCKETS = 1 << 8
_CELL_BYTES = 128  # no cell takes more


def encode_block(plan: MixingPlan, values: Codes) -> bytes:
    """The bytes of a block's columns that the plan models; `values` int (rows, columns), the given ones included."""
    return encode_columns(plan, values)[0]


def encode_columns(plan: MixingPlan, values: Codes) -> tuple[bytes, dict[int, int]]:
    """`encode_block`, and how many of its bytes each column takes."""
    rows = len(values)
    spent: dict[int, int] = {}
    if rows == 0:
        return b"", spent
    codes = np.ascontiguousarray(values, np.int64)
    known = Known(plan, codes)
    state, data = np.zeros(coder.STATE_SIZE, np.int64), np.zeros(0, np.uint8)
    coder.open_stream(state, data, False)
    for model in plan.models:
        at = int(state[coder.AT])
        data = np.concatenate([data[:at], np.zeros(_CELL_BYTES * rows + 64, np.uint8)])
        code_model(plan, model, column_inputs(model, known), codes[:, model.column].copy(), state, data, decode=False)
        spent[model.column] = int(state[coder.AT]) - at
    return data[: coder.close_stream(state, data)].tobytes(), spent


def decode_block(
    plan: MixingPlan, data: bytes, rows: int, given: Codes | None = None, wanted: Collection[int] | None = None
) -> Codes:
    """The codes behind `data`, int64 (rows, columns).

    Parameters
    ----------
    given
        int (rows, columns) that holds the columns which the plan has no model for; zeros where left out.
    wanted
        Columns that are asked for: those coded after the last of them stay 0.

    Raises
    ------
    Corrupt
        Where the bytes are not a block's.
    """
    if not 0 <= rows <= MOST_ROWS:
        raise Corrupt("mixing: a block of more rows than any writer makes: verify the archive")
    codes = np.zeros((rows, len(plan.sizes)), np.int64)
    coded = {model.column for model in plan.models}
    if given is not None:
        kept = [column for column in range(len(plan.sizes)) if column not in coded]
        codes[:, kept] = given[:, kept]
    if rows == 0:
        return codes
    if (codes < 0).any() or (codes >= np.array(plan.sizes)).any():
        raise Corrupt("mixing: a given code is outside its domain: verify the archive")
    known = Known(plan, codes)
    stream = np.frombuffer(data, np.uint8).copy()
    state = np.zeros(coder.STATE_SIZE, np.int64)
    coder.open_stream(state, stream, True)
    left = coded if wanted is None else coded & set(wanted)
    for model in plan.models:
        if not left:
            break
        column = np.zeros(rows, np.int64)
        code_model(plan, model, column_inputs(model, known), column, state, stream, decode=True)
        codes[:, model.column] = column
        left = left - {model.column}
    return codes


def code_model(
    plan: MixingPlan, model: ColumnModel, inputs: Inputs, codes: Codes, state: npt.NDArray[np.int64], data: Bytes, *,
    decode: bool,
) -> None:  # fmt: skip
    """Code one column with fresh tables."""
    contexts = len(model.contexts)
    coder.code_column(
        decode, state, data, codes, plan.levels[model.column], plan.sizes[model.column], model.guided,
        model.residual, inputs.again, inputs.refs, inputs.statics, inputs.features, inputs.contexts, inputs.selector,
        inputs.base, inputs.taps,
        np.zeros(buckets(len(codes), contexts) * NODES, np.uint32),
        starting_weights(contexts, coder.SETS), np.zeros(contexts * 2 * CLASSES * coder.SELECTED, np.int32),
        starting_apm(),
    )  # fmt: skip


def buckets(rows: int, contexts: int) -> int:
    """Buckets of the counters' table, a power of two."""
    count = _LEAST_BUCKETS
    while count < min(rows * contexts, MOST_BUCKETS):
        count *= 2
    return count


def starting_apm() -> npt.NDArray[np.int32]:
    """Refinements that change nothing, one row of bins a weight set."""
    logits = np.minimum(np.arange(APM_BINS) * APM_STEP, 2 * LIMIT)
    return np.tile(SQUASH[logits], coder.SETS).astype(np.int32)
