"""The plan of a table: which coder each column gets and why, its domain, and the order of its symbols."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal

import pyarrow as pa

from ae_core.columns.derived import Linear, Lookup
from ae_core.columns.domain import (
    Domain,
    ValueCode,
)
from ae_core.columns.numeric import (
    Quantiser,
)
from ae_core.errors import UsageError
from ae_core.policy import Bound

Coder = Literal["network", "mixing", "plain", "lookup", "linear", "vector"]


@dataclass(frozen=True, eq=False)
class ColumnPlan:
    """How one column is coded.

    reason : one phrase for people; domain and code : present where cells have codes; quantiser : how a lossy plain
    column is rounded; derived : the relation of a lookup or linear column.
    A plain column with a domain is *given*: stored plainly, its codes if they are few and else its values, and known
    to the network or the mixing coder, one of which codes the columns that name it.
    """

    name: str
    type: pa.DataType
    bound: Bound
    coder: Coder
    reason: str
    domain: Domain | None = None
    code: ValueCode | None = None
    quantiser: Quantiser | None = None
    derived: Lookup | Linear | None = None
    elements: ColumnPlan | None = None  # of a vector column: its elements, as a column of their own

    @property
    def usual_reason(self) -> str:
        """What is said of a column that has codes and nothing else to tell."""
        if self.domain is None:
            return ""
        return f"{self.domain.levels} values" if self.bound.exact else f"{self.domain.levels} levels of {self.bound}"

    @property
    def given(self) -> bool:
        """True where a plain coder stores the codes and the network sees them as context."""
        return self.coder == "plain" and self.domain is not None and not self.domain.wide

    @property
    def numbered(self) -> bool:
        """True where a plain coder stores the values, and their codes are known to the mixing coder."""
        return self.coder == "plain" and self.domain is not None and self.domain.wide

    @property
    def has_symbols(self) -> bool:
        """True where the column takes part in the rows of symbols."""
        return self.domain is not None and self.coder in ("network", "mixing", "plain")


@dataclass(frozen=True)
class SymbolColumn:
    """One position of a row of symbols.

    coarse : it tells the encoder roughly what a wide column holds; no context model sees it.
    """

    column: int
    digit: int
    alphabet: int
    ordinal: bool
    coded: bool
    name: str
    coarse: bool = False


@dataclass(frozen=True, eq=False)
class TablePlan:
    """The plan of a table; symbols are in coding order (column order, high digit first)."""

    schema: pa.Schema
    columns: tuple[ColumnPlan, ...]

    @cached_property
    def symbols(self) -> tuple[SymbolColumn, ...]:
        """Every symbol position of a row."""
        listed = []
        for index, column in enumerate(self.columns):
            if not column.has_symbols or column.domain is None:
                continue
            for digit, alphabet in enumerate(column.domain.alphabets):
                name = column.name if len(column.domain.radices) == 1 else f"{column.name}.{digit}"
                coded, coarse = column.coder == "network", column.domain.wide
                listed.append(SymbolColumn(index, digit, alphabet, column.domain.ordinal, coded, name, coarse))
        return tuple(listed)

    @cached_property
    def positions(self) -> Mapping[int, tuple[int, ...]]:
        """Column index -> positions of its symbols."""
        found: dict[int, list[int]] = {}
        for position, symbol in enumerate(self.symbols):
            found.setdefault(symbol.column, []).append(position)
        return {column: tuple(places) for column, places in found.items()}

    @cached_property
    def domain_columns(self) -> tuple[int, ...]:
        """Indices of the columns that have codes: the columns of `codes` arrays."""
        return tuple(index for index, column in enumerate(self.columns) if column.domain is not None)

    @cached_property
    def context_positions(self) -> tuple[int, ...]:
        """Positions that context models see: neither coarse ones nor those of the mixing coder, which comes last."""
        return tuple(p for p, s in enumerate(self.symbols) if not s.coarse and self.columns[s.column].coder != "mixing")

    @cached_property
    def wide_columns(self) -> tuple[int, ...]:
        """Indices of the columns whose symbols tell them coarsely."""
        return tuple(i for i in self.positions if (d := self.columns[i].domain) is not None and d.wide)

    @cached_property
    def index_of(self) -> Mapping[str, int]:
        """Column name -> index."""
        return {column.name: index for index, column in enumerate(self.columns)}

    def with_coder(self, column: str, coder: Literal["plain"], reason: str) -> TablePlan:
        """The plan with a column (of vectors: its elements) under a plain coder; what was looked up from it
        is coded by itself again.
        """
        if column not in self.index_of:
            raise UsageError(f"column {column!r} is not in the plan: columns are {', '.join(self.index_of)}")
        if coder != "plain":
            raise ValueError(f"a column can only be moved to the plain coder, not to {coder!r}")
        moved = self.index_of[column]
        columns = list(self.columns)
        if (elements := columns[moved].elements) is not None:
            elements = replace(elements, coder="plain", domain=None, code=None)
            columns[moved] = replace(columns[moved], reason=reason, elements=elements)
            return TablePlan(self.schema, tuple(columns))
        columns[moved] = replace(columns[moved], coder="plain", reason=reason, domain=None, code=None, derived=None)
        for index, other in enumerate(columns):
            if isinstance(other.derived, Lookup) and moved in other.derived.keys:
                columns[index] = replace(other, coder="network", derived=None, reason="its key has no codes any more")
        return TablePlan(self.schema, tuple(columns))
