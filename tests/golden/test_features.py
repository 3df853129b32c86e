"""Each feature of the format is in some golden archive, so that it is decoded by every reader on every run.

Names are those of docs/format.md; `features.py` finds them. A feature that is new to an archive has to be listed here,
and one that is listed has to be there: who makes an archive anew cannot lose what it protects.
"""

from __future__ import annotations

from tests.golden import features
from tests.golden.test_golden import FOLDERS, read_watched

DECODED = {
    "A3": {f"marker {name}" for name in ("archive", "format", "reader", "what", "writer")},
    "A4": {*(f"commit {name}" for name in (
               "changes", "checkpoint", "condemned", "expired", "format", "intents", "note", "number", "only_copy",
               "op_key", "parent", "reader", "reason", "report", "shared", "time", "uid", "writer")),
           *(f"intent {name}" for name in ("files", "lake", "manifest", "partition")),
           *(f"expired {name}" for name in ("fates", "intent", "partition")),
           *(f"fate {name}" for name in ("absent", "changed", "deleted", "kept")),
           *(f"checkpoint {name}" for name in (
               "archive", "bytes", "condemned", "format", "number", "only_copies", "operations", "partitions",
               "reader", "reports", "sha256", "shared")),
           "commit removes a partition", "checkpoint of an only copy"},
    "A5": {"table policy", "table schema", "bound exact", "bound abs", "bound pointwise", "sensitive"},
    "A6": {*(f"manifest {name}" for name in (
               "archive", "block_rows", "certificate", "digest", "extra", "format", "keys", "layers", "model",
               "partition", "sources", "table")),
           "1 layers", "2 layers", "one block", "several blocks", "extra schema", "extra faded",
           "extra detail", "extra ranges", "extra checks"},
    "A1": {"file manifest.json.br", "file object", "file latents.parquet", "file residuals.parquet"},
    "A8": {f"digest of {name}" for name in (
        "null", "bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "halffloat", "float",
        "double", "decimal128", "decimal256", "date32", "time32", "time64", "timestamp", "duration", "string",
        "large_string", "binary", "large_binary", "fixed_size_binary", "list", "large_list", "fixed_size_list",
        "map", "struct", "dictionary", "extension")},
    "B2, numbers": {*(f"ints {tag}" for tag in range(6)), *(f"bytes {tag}" for tag in range(5)),
                    *(f"ints 3 of {width} bytes" for width in (2, 4, 8)),
                    *(f"ints 4 of {width} bytes" for width in (1, 2, 4, 8))},
    "B2, cells": {"cells with nulls", "cells without nulls", "cells 0 of integers", "cells 0 of floats",
                  "cells 1 of floats", "cells 2 of letters", "cells 3 of integers", "cells 3 of letters",
                  "cells 3 of others", "cells 4 of letters", "cells 4 of others", "cells 5 of floats",
                  "cells 5 of letters", "letters told by their lengths", "letters told by a separator"},
    "B3": {"coder network", "coder mixing", "coder plain", "coder lookup", "coder linear", "coder vector",
           "bound of a column abs",
           "bound of a column pointwise", "words", "pattern", "listed", "numbers from first", "shift",
           "dictionary column"},
    "B4, codes": {*(f"special {name}" for name in ("null", "nan", "+inf", "-inf", "-0", "escape")),
                  *(f"cell {name}" for name in ("null", "nan", "+inf", "-inf", "-0", "escape")),
                  "domain of one digit", "domain of two digits", "domain of wide", "ordinal", "not ordinal",
                  "pattern digits", "pattern letters"},
    "B4, values": {"RawInts", "IntBits", "FloatGrid", "FloatDecimal", "FloatBits", "IntGrid of step 1",
                   "IntGrid of step above 1", "half as usual", "half its own", "FloatDecimal step 1",
                   "FloatDecimal step above 1",
                   "FloatBits drop 0", "FloatBits drop above 0",
                   *(f"{kind} of width {width}" for kind in ("FloatGrid", "FloatDecimal", "FloatBits")
                     for width in (2, 4, 8))},
    "B5": {"given", "numbered numbers", "numbered pattern"},
    "B6": {"plain", "plain, quantised", "rest 0", "rest 1", "no misses", "misses 0", "misses 1",
           *(f"lookup of {keys} keys" for keys in range(4)),
           *(f"exceptions of {coder}" for coder in ("network", "mixing", "plain", "lookup"))},
    "B8": {*(f"candidate of {keys} keys" for keys in range(5)), *(f"candidate class {kind}" for kind in range(9))},
    "B9": {"preview of an ordinal head", "preview of 1 digits", "preview of 2 digits", "preview of a wide column",
           "preview of a given column", "preview of a constant", "preview of a sum", "preview of vectors"},
    "B11": {*(f"mixing mode {mode}" for mode in (0, 2, 3, 4, 6, 7)), *(f"mixing feature {kind}" for kind in range(11)),
            *(f"mixing reference {form}" for form in ("()", "(-d)", "(c)", "(c, c)", "(c, c, c)", "(c, c, c, c)")),
            *(f"mixing value of {groups} groups" for groups in range(1, 5)), "mixing special", "mixing residual",
            "mixing wide residual", "mixing tap of its own column", "mixing tap of another column",
            "mixing selector", "no mixing selector", "mixing constant", "no mixing constant"},
    "B12": {"vectors with latents", "vectors of 1 cells", "vectors of 2 cells", "vectors of 4 cells",
            "vectors with nulls", "vectors under a plain coder"},
}  # fmt: skip


NOT_YET = {
    *(f"{file} requires" for file in ("marker", "commit", "manifest", "checkpoint")),
    *(f"{file} optional" for file in ("marker", "commit")),
    "manifest no_latents_reason",
}
"""Fields of the page that no archive can have: no feature is defined, and no writer leaves latents out by itself."""


def test_every_field_of_the_page_is_in_a_golden_archive(repository):
    listed = set().union(*DECODED.values())
    page = features.fields_of_page((repository / "docs/format.md").read_text(encoding="utf-8"))
    assert len(page) > 40, "the page's tables are not found"
    assert page - listed == NOT_YET


def test_every_feature_is_in_a_golden_archive_and_every_one_is_listed():
    found = set().union(*(read_watched(folder / "archive")[1] for folder in FOLDERS))
    listed = set().union(*DECODED.values())
    assert listed - found == set(), "features that no golden archive has"
    assert found - listed == set(), "features that are not listed here"
