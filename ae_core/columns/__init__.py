"""Columns <-> symbols: which coder each column gets, its codes, and the exact check of every bound."""

from ae_core.columns.check import cells_within, check_block
from ae_core.columns.domain import Codes, Domain, codes_to_digits, digits_to_codes
from ae_core.columns.plan import ColumnPlan, SymbolColumn, TablePlan
from ae_core.columns.plan_bytes import read_plan, write_plan
from ae_core.columns.preview import preview_columns, side_streams
from ae_core.columns.profile import build_plan
from ae_core.columns.table import (
    EncodedColumns,
    decode_columns,
    dependencies,
    encode_columns,
    given_symbols,
    numbered_codes,
    valid_vectors,
)

__all__ = [
    "Codes",
    "ColumnPlan",
    "Domain",
    "EncodedColumns",
    "SymbolColumn",
    "TablePlan",
    "build_plan",
    "cells_within",
    "check_block",
    "codes_to_digits",
    "decode_columns",
    "dependencies",
    "digits_to_codes",
    "encode_columns",
    "given_symbols",
    "numbered_codes",
    "preview_columns",
    "read_plan",
    "side_streams",
    "valid_vectors",
    "write_plan",
]
