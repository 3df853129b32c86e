"""What commands print: JSON of a pinned shape, sizes that a person reads, one line per error."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from pydantic import TypeAdapter

from ae_core.errors import Corrupt, NotCommitted, StoreUnsafe, UsageError
from ae_core.jobs import care_results, results, retire_results
from flows.cli import app
from flows.cli.console import human_bytes, human_ratio, print_json
from flows.cli.write_commands import _print_result

SHAPES = Path(__file__).with_name("json_shapes.json")
COMMANDS = {
    "plan": results.LakeProfile,
    "compress": results.CompressResult,
    "compress --dry-run": results.DryRun,
    "ls": results.Listing,
    "show": results.PartitionDetail,
    "decode": results.DecodeResult,
    "verify": results.VerifyResult,
    "audit": results.AuditResult,
    "audit --query": results.QueryAudit,
    "log": results.Log,
    "copy": results.CopyResult,
    "diff": results.Difference,
    "gc": retire_results.GcResult,
    "drop": retire_results.DropResult,
    "fade": retire_results.FadeResult,
    "expire": retire_results.ExpireResult,
    "doctor": care_results.DoctorReport,
}


def shape(kind):
    """Field names and types of a command's JSON."""
    schema = TypeAdapter(kind).json_schema(mode="serialization")
    records = {kind.__name__: schema, **schema.get("$defs", {})}
    return {
        name: {key: _kind(value) for key, value in record["properties"].items()} for name, record in records.items()
    }


def _kind(value):
    if "anyOf" in value:
        return " | ".join(_kind(one) for one in value["anyOf"])
    if "$ref" in value:
        return value["$ref"].rpartition("/")[2]
    if value.get("type") == "array":
        return f"list[{_kind(value.get('items', {}))}]"
    return value.get("type", "any")


@pytest.mark.parametrize("command", COMMANDS)
def test_json_has_the_pinned_shape(command):
    """Scripts rely on these names: change them on purpose, together with json_shapes.json."""
    assert shape(COMMANDS[command]) == json.loads(SHAPES.read_text())[command]


def test_json_is_one_document_on_stdout(capsys):
    print_json(results.Log("a", (results.LoggedCommit(0, "s", "t", "w", "m", ("month=1",), (), 7),)))
    printed = capsys.readouterr()
    assert json.loads(printed.out)["commits"][0]["partitions"] == ["month=1"]
    assert printed.err == ""


@pytest.mark.parametrize(
    ("size", "text"), [(0, "0 B"), (999, "999 B"), (1_500, "1.50 kB"), (2_370_000, "2.37 MB"), (None, "?")]
)
def test_sizes_are_in_powers_of_ten(size, text):
    assert human_bytes(size) == text


def test_ratios_have_four_digits():
    assert human_ratio(0.99999) == "1"
    assert human_ratio(0.99961) == "0.9996"
    assert human_ratio(None) == ""


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (Corrupt("x: damaged"), 1),
        (UsageError("no\nsuch thing"), 2),
        (StoreUnsafe("x"), 3),
        (NotCommitted("x"), 4),
        (PermissionError(13, "denied", "x"), 2),
        (KeyError("x"), app.INTERNAL_ERROR),
    ],
)
def test_errors_are_one_line_with_their_exit_code(monkeypatch, capsys, error, code):
    def fails(*_args, **_kwargs):
        raise error

    monkeypatch.setattr("ae_core.jobs.listing.list_archive", fails)
    assert app.run(["ls", "somewhere"]) == code
    printed = capsys.readouterr()
    assert printed.out == ""
    assert len(printed.err.splitlines()) == 1
    assert printed.err.startswith("latentlake: ")


def test_importing_the_library_or_the_command_imports_nothing_heavy():
    heavy = ("torch", "prefect", "numba", "pcodec", "matplotlib", "duckdb", "pyarrow")
    script = f"import sys, ae_core, flows.cli; print([m for m in {heavy!r} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_compress_says_why_a_model_was_reused_or_not(capsys):
    drift = results.Drift("retrained", "50 bits a row, 20 by a model trained on them", 9, 20.0, 50.0, 20.0, 34, 10)
    use = results.ModelUse("abc", 5, False, 2.0, None, drift)
    done = results.PartitionOutcome("month=1", "compressed", "new", commit=1)
    _print_result(results.CompressResult("l", "a", False, 1, (use,), (done,), (1,), 0, 3.0))
    printed = capsys.readouterr()
    assert "retrained in 2 s" in printed.out + printed.err
    assert drift.reason in printed.out + printed.err


def test_public_calls_are_there():
    import ae_core

    assert all(callable(getattr(ae_core, name)) for name in ae_core.__all__)
    assert set(ae_core.__all__) <= set(dir(ae_core))
    with pytest.raises(AttributeError):
        _ = ae_core.nothing
