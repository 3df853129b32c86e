"""New rows from a frozen model: prior to latents to columns, from the same integer frequencies that the coder uses.

    template rows ─► given symbols ─┐
    random words  ─► latents ───────┴─► context groups fed with random words ─► symbols ─► columns

A template is a run of archived rows. Only what no model predicts is taken from it: columns stored as runs (a day that
changes seldom), and the usual rest of sums. A row in which the model names a value that it does not know (an escape, or
keys that were never seen together) is thrown away.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from ae_core.codec import Codec
from ae_core.coder.blocks import draw_block
from ae_core.columns import Codes, EncodedColumns, TablePlan
from ae_core.columns.derived import Linear, Lookup
from ae_core.columns.domain import codes_of_shown
from ae_core.columns.storage import legal_range, one_array, read_ints, valid_mask, working_type, write_ints
from ae_core.columns.table import Block, restore
from ae_core.errors import NoLatents
from ae_core.kernels.preview import preview_codes
from ae_core.pipeline import group_symbols

PSEUDONYM = "sensitive text: its words are numbered"
SENSITIVE = "sensitive: null"
NO_MODEL = "no model predicts it: null"


@dataclass(frozen=True, eq=False)
class Drawn:
    """Rows of one draw; `kept` says which rows of the template they go with."""

    table: pa.Table
    kept: npt.NDArray[np.bool_]


def withheld(plan: TablePlan) -> dict[str, str]:
    """Columns that are not drawn as they are, and what comes in their place."""
    found = {}
    for column in plan.columns:
        if column.bound.sensitive:
            text = (
                column.domain is not None
                and pa.types.is_string(working_type(column.type))
                and column.coder == "network"
            )
            found[column.name] = PSEUDONYM if text else SENSITIVE
        elif column.domain is None:
            found[column.name] = NO_MODEL
    return found


def sample_schema(plan: TablePlan) -> pa.Schema:
    """The schema of drawn rows: the table's, withheld columns nullable."""
    hidden = withheld(plan)
    fields = [field.with_nullable(True) if field.name in hidden else field for field in plan.schema]
    return pa.schema(fields, plan.schema.metadata)


def draw_rows(codec: Codec, template: EncodedColumns, source: pa.Table, random: np.random.Generator) -> Drawn:
    """As many rows as the template has, less those thrown away.

    Parameters
    ----------
    template, source : a run of archived rows, encoded and as they are.
    random : moves on; equal states draw equal rows on every machine.

    Raises
    ------
    NoLatents
        When the model has no network.
    """
    if codec.network is None:
        raise NoLatents(codec.no_latents_reason or "this model has no latents")
    plan, rows = codec.plan, len(template.symbols)
    symbols = np.where([symbol.coded for symbol in plan.symbols], np.uint16(0), template.symbols)
    z = np.zeros((rows, codec.network.latent_dims), np.uint16)
    draw_block(codec.network.prior, z, random)
    for group in codec.network.groups:
        joined = group_symbols(group, z, symbols)
        draw_block(group.frozen, joined, random)
        symbols[:, list(group.positions)] = joined[:, codec.network.latent_dims :]
    shown = preview_codes(codec.network.preview, z)
    block = _DrawnBlock(plan, symbols, {i: shown[:, place] for place, i in enumerate(plan.domain_columns)}, source)
    hidden, kept = withheld(plan), np.ones(rows, np.bool_)
    arrays = []
    for index, column in enumerate(plan.columns):
        kind = working_type(column.type)
        if hidden.get(column.name) in (SENSITIVE, NO_MODEL):
            arrays.append(pa.nulls(rows, column.type))
            continue
        array = block.array(index)
        kept &= block.known(index)
        if hidden.get(column.name) == PSEUDONYM:
            array = pa.array([f"{column.name} {code}" for code in block.codes(index).tolist()], kind)
        arrays.append(restore(array, column.type))
    table = pa.table([one_array(array) for array in map(_whole, arrays)], schema=sample_schema(plan))
    return Drawn(table if kept.all() else table.filter(pa.array(kept)), kept)


def _whole(array: pa.Array | pa.ChunkedArray) -> pa.Array:
    return array.unify_dictionaries().combine_chunks() if isinstance(array, pa.ChunkedArray) else array


class _DrawnBlock(Block):
    """A block whose symbols were drawn."""

    def __init__(
        self, plan: TablePlan, symbols: np.ndarray, shown: Mapping[int, npt.NDArray[np.int32]], source: pa.Table
    ) -> None:
        super().__init__(plan, symbols, {}, {})
        self._shown, self._source = shown, source

    def make_codes(self, index: int) -> Codes:
        """Codes by the model: drawn, looked up, or for wide columns as the autoencoder rebuilds them."""
        column = self.plan.columns[index]
        assert column.domain is not None
        if not column.has_symbols and not isinstance(column.derived, Lookup):
            return codes_of_shown(column.domain, self._shown[index])
        if column.domain.wide:
            return codes_of_shown(column.domain, self._shown[index])
        if isinstance(column.derived, Lookup):
            found = column.derived.predict([self.codes(key) for key in column.derived.keys], self.rows)
            return np.where(found < 0, column.domain.escape, found).astype(np.int32)
        return super().make_codes(index)

    def make_array(self, index: int) -> pa.Array:
        """Cells: of sums with the template's most frequent rest, of what no model predicts the template's own."""
        column = self.plan.columns[index]
        kind = working_type(column.type)
        told = self.told(index)
        if told.all():
            return self._source_array(index)
        if isinstance(column.derived, Linear):
            own = self._source_cells(index)
            rest = own - column.derived.sum([self._source_cells(key) for key in column.derived.inputs], len(own))
            values, counts = np.unique(rest, return_counts=True)
            usual = values[counts.argmax()] if len(values) else np.int64(0)
            cells = column.derived.sum([self._cells(key) for key in column.derived.inputs], self.rows) + usual
            low, high = legal_range(kind)
            return write_ints(kind, np.clip(cells, low, high), None)
        assert column.code is not None
        assert column.domain is not None
        drawn = column.code.decode(self.codes(index), column.domain, kind)
        if not told.any():
            return drawn
        order = np.where(told, self.rows + np.arange(self.rows), np.arange(self.rows))
        return pa.concat_arrays([drawn, self._source_array(index)]).take(pa.array(order))

    def told(self, index: int) -> npt.NDArray[np.bool_]:
        """The rows whose cell is the template's: given columns, and what is looked up from unknown given values."""
        column = self.plan.columns[index]
        if column.given:
            return np.ones(self.rows, np.bool_)
        found = np.zeros(self.rows, np.bool_)
        if isinstance(column.derived, Lookup):
            for key in column.derived.keys:
                domain = self.plan.columns[key].domain
                if self.plan.columns[key].given and domain is not None:
                    found |= self.codes(key) == domain.escape
        return found

    def known(self, index: int) -> npt.NDArray[np.bool_]:
        """The rows whose cell has a value that the model knows."""
        column = self.plan.columns[index]
        if isinstance(column.derived, Linear) or column.domain is None:
            return np.ones(self.rows, np.bool_)
        return np.asarray((self.codes(index) != column.domain.escape) | self.told(index))

    def _cells(self, index: int) -> npt.NDArray[np.int64]:
        array = self.array(index)
        return read_ints(array, valid_mask(array))[0]

    def _source_array(self, index: int) -> pa.Array:
        column = self._source.column(index)
        kind = working_type(column.type)
        return one_array(column if kind == column.type else column.cast(kind))

    def _source_cells(self, index: int) -> npt.NDArray[np.int64]:
        array = self._source_array(index)
        return read_ints(array, valid_mask(array))[0]
