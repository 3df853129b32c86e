"""SQL over a table named t, by DuckDB, which sees that table and nothing else: no file, no network, no settings."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import pyarrow as pa

from ae_core.errors import LatentlakeError, UsageError

MAX_ROWS = 100_000
"""An answer of more rows is refused: answers are compared row by row and printed."""
_LOCKED = {
    "enable_external_access": "false",
    "autoinstall_known_extensions": "false",
    "autoload_known_extensions": "false",
    "allow_community_extensions": "false",
    "python_enable_replacements": "false",  # SQL does not see the variables of this program
    "threads": "1",  # sums are added in one order, so that equal data give equal answers
    "lock_configuration": "true",
}


def need_duckdb(what: str) -> ModuleType:
    """DuckDB, which only SQL needs.

    Raises
    ------
    UsageError
        When it is not installed.
    """
    try:
        import duckdb
    except ImportError:
        raise UsageError(f"{what} needs DuckDB: pip install 'latentlake[sql]'") from None
    return duckdb


def query(sql: str, table: Any, what: str) -> pa.Table:
    """The answer of one SELECT over `table`, which it calls t.

    Parameters
    ----------
    table : anything that DuckDB reads: an Arrow table or a `Scan`.
    what : what the query is, for messages.

    Raises
    ------
    UsageError
        When DuckDB is not installed, refuses the query, or the answer has too many rows.
    LatentlakeError
        What kept the table from being read.
    """
    duckdb = need_duckdb(what)
    with duckdb.connect(":memory:", config=_LOCKED) as connection:
        try:
            connection.register("t", table)
            statements = connection.extract_statements(sql)
            if len(statements) != 1 or statements[0].type != duckdb.StatementType.SELECT:
                raise UsageError(f"{what}: give one SELECT over the table t")
            reader = connection.sql(statements[0].query).to_arrow_reader(MAX_ROWS)
            batches, rows = [], 0
            for batch in reader:
                batches.append(batch)
                rows += batch.num_rows
                if rows > MAX_ROWS:
                    raise UsageError(f"{what}: more than {MAX_ROWS:,} rows; aggregate, or add a limit")
            return pa.Table.from_batches(batches, schema=reader.schema)
        except duckdb.Error as error:
            if isinstance(failure := getattr(table, "failure", None), LatentlakeError):
                raise failure from None  # what went wrong is not the query: the archive is damaged, a file is gone
            raise UsageError(f"{what}: {_first_line(error)}") from None


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0].rstrip(".")
