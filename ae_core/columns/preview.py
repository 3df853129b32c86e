"""An approximate table from latents: what the preview decoder says, and what small side streams know better."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from ae_core.columns.derived import Linear, Lookup
from ae_core.columns.domain import Codes, codes_of_shown
from ae_core.columns.plan import ColumnPlan, TablePlan
from ae_core.columns.storage import int_dtype, legal_range, working_type
from ae_core.columns.table import Block, given_codes, restore

SIDE_BYTES, SIDE_ROWS = 64, 128


def side_streams(plan: TablePlan, streams: Mapping[str, bytes], rows: int) -> dict[str, bytes]:
    """The streams that go with the latents: run-like columns and rests of sums, where they are next to nothing.

    At most 64 bytes, or one byte for 128 rows, each.
    """
    most = max(SIDE_BYTES, rows // SIDE_ROWS)
    return {
        name: stream
        for name, stream in streams.items()
        if name.endswith((":given", ":rest"))
        and len(stream) <= most
        and plan.columns[int(name.partition(":")[0])].domain is not None
    }


def preview_columns(
    plan: TablePlan,
    codes: npt.NDArray[np.int32],
    streams: Mapping[str, bytes],
    vectors: Mapping[int, Codes] | None = None,
) -> pa.Table:
    """An approximate table from (rows, domain columns) codes, side streams and the codes of vectors' elements.

    Columns without either are left out. Codes out of range are taken to the nearest one; escapes are null, constants
    are themselves.
    """
    vectors = vectors or {}
    block = _PreviewBlock(plan, codes, streams, vectors)
    fields, arrays = [], []
    for index in sorted({*plan.domain_columns, *vectors}):
        array = block.array(index)
        field = plan.schema.field(index)
        fields.append(field if array.null_count == 0 else field.with_nullable(True))
        arrays.append(restore(array, field.type))
    return pa.table(arrays, schema=pa.schema(fields, plan.schema.metadata))


class _PreviewBlock(Block):
    """A block whose codes are guesses."""

    def __init__(
        self,
        plan: TablePlan,
        guesses: npt.NDArray[np.int32],
        streams: Mapping[str, bytes],
        vectors: Mapping[int, Codes],
    ) -> None:
        super().__init__(plan, np.zeros((len(guesses), 0), np.uint16), streams, {}, vectors)
        self._guesses = {index: guesses[:, place] for place, index in enumerate(plan.domain_columns)}

    def make_codes(self, index: int) -> Codes:
        column = self.plan.columns[index]
        assert column.domain is not None
        if column.given and f"{index}:given" in self.streams:
            return given_codes(column, self.streams[f"{index}:given"], self.rows)
        if isinstance(column.derived, Lookup) and not column.derived.keys:
            return column.derived.predict([], self.rows)
        return codes_of_shown(column.domain, self._guesses[index])

    def make_array(self, index: int) -> pa.Array:
        column = self.plan.columns[index]
        if column.elements is not None:
            return super().make_array(index)
        assert column.domain is not None
        assert column.code is not None
        kind = working_type(column.type)
        if isinstance(column.derived, Linear) and f"{index}:rest" in self.streams and _any_integer_is_legal(kind):
            known = [key for key in column.derived.inputs if key in self._guesses]
            if len(known) == len(column.derived.inputs) and not any(self.array(key).null_count for key in known):
                return super().make_array(index)
        return column.code.decode(self.codes(index), column.domain, kind)

    def _decoded(self, index: int, column: ColumnPlan, field: pa.Field, codes: Codes) -> pa.Array:
        assert column.domain is not None
        assert column.code is not None
        return column.code.decode(codes, column.domain, field.type)


def _any_integer_is_legal(kind: pa.DataType) -> bool:
    """Whether a sum of guesses, wrapped to the type's width, is a value of the type."""
    width = 8 * int_dtype(kind).itemsize
    return legal_range(kind)[1] in (2**width - 1, 2 ** (width - 1) - 1)
