"""Bad input gets one clear line and exit 2, and nothing is written."""

from __future__ import annotations

import json
import subprocess
import sys
import time

import pyarrow as pa
import pyarrow.parquet as pq
import pytest


def _refused(done, *words):
    assert done.code == 2, (done.code, done.out, done.err)
    assert len(done.err.strip().splitlines()) == 1, done.err
    assert done.err.startswith("latentlake: ")
    assert all(word in done.err for word in words), done.err


@pytest.fixture
def policy(tmp_path):
    def write(text):
        path = tmp_path / "policy.yaml"
        path.write_text("version: 1\n" + text)
        return path

    return write


def test_no_such_lake(cli, tmp_path):
    _refused(cli("compress", tmp_path / "nowhere", tmp_path / "a", "--range", "0.01"), "nowhere")
    _refused(cli("plan", tmp_path / "nowhere"), "nowhere")
    assert not (tmp_path / "a").exists()


def test_empty_lake(cli, tmp_path):
    (tmp_path / "lake").mkdir()
    _refused(cli("compress", tmp_path / "lake", tmp_path / "a", "--range", "0.01"), "empty")
    assert not (tmp_path / "a").exists()


def test_a_file_that_is_not_parquet(cli, tmp_path):
    (tmp_path / "lake").mkdir()
    pq.write_table(pa.table({"a": [1]}), tmp_path / "lake" / "good.parquet")
    (tmp_path / "lake" / "bad.parquet").write_text("not parquet at all")
    done = cli("compress", tmp_path / "lake", tmp_path / "a", "--range", "0.01")
    assert done.code == 4
    assert "committed: good.parquet; not committed: bad.parquet" in done.err
    (tmp_path / "lake" / "good.parquet").unlink()
    _refused(cli("compress", tmp_path / "lake", tmp_path / "b", "--range", "0.01"), "bad.parquet")
    assert not (tmp_path / "b").exists()


def test_neither_policy_nor_range(cli, plain, tmp_path):
    _refused(cli("compress", plain.lake, tmp_path / "a"), "latentlake plan")
    assert not (tmp_path / "a").exists()


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("columns: {nothing: exact}", "nothing"),
        ("columns: {fare: {abs: -1}}", "negative"),
        ("columns: {fare: {abs: .nan}}", "finite"),
        ("columns: {place: {abs: 1}}", "place"),
        ("partition_keys: [year]", "year"),
        ("surprise: 1", "surprise"),
        ("columns: [", "YAML"),
    ],
)
def test_policies_that_do_not_fit(cli, plain, tmp_path, policy, text, word):
    _refused(cli("compress", plain.lake, tmp_path / "a", "--policy", policy(text)), word)
    assert not (tmp_path / "a").exists()


def test_out_exists(cli, plain, tmp_path):
    (tmp_path / "out").mkdir()
    _refused(cli("decode", plain.archive, tmp_path / "out"), "exists")
    assert list((tmp_path / "out").iterdir()) == []


def test_a_newer_format(cli, plain, tmp_path):
    from ae_core.archive.fields import seal, unseal

    mine = plain.copy(tmp_path)
    marker = mine.archive / "latentlake.json"
    body = unseal(marker.read_bytes(), "marker")
    marker.unlink()
    marker.write_bytes(seal({**body, "format": 99}))
    for command in (["ls"], ["verify"], ["decode", tmp_path / "out"], ["audit"], ["log"]):
        _refused(cli(command[0], mine.archive, *command[1:]), "format 99")
    _refused(cli("compress", mine.lake, mine.archive, "--policy", mine.policy), "format 99")
    assert not (tmp_path / "out").exists()


def test_an_archive_place_that_holds_something_else(cli, plain, tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "letter.txt").write_text("dear")
    _refused(cli("compress", plain.lake, tmp_path / "mine", "--range", "0.01"), "not an archive")
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["letter.txt"]


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (["--columns", "fare,nothing"], "nothing"),
        (["--rows", "9:3"], "9:3"),
        (["--where", "month=99"], "month=99"),
        (["--where", "year=1"], "year"),
        (["--layer", "best"], "best"),
        (["--layer", "preview"], "preview"),
        (["--snapshot", "99"], "99"),
        (["--nonsense"], "--nonsense"),
    ],
)
def test_decode_refuses_what_is_not_there(cli, plain, tmp_path, arguments, word):
    _refused(cli("decode", plain.archive, tmp_path / "out", *arguments), word)
    assert list(tmp_path.iterdir()) == []


def test_no_such_archive_or_partition(cli, plain, tmp_path):
    _refused(cli("ls", tmp_path / "nowhere"), "nowhere")
    _refused(cli("show", plain.archive, "month=99"), "month=99", "month=1")


def test_plan_proposes_a_policy_that_compress_takes(cli, plain, tmp_path):
    done = cli("plan", plain.lake, "-o", tmp_path / "policy.yaml", "--json")
    assert done.code == 0, done.err
    columns = {column["name"]: column for column in done.json["columns"]}
    assert (columns["fare"]["bound"], "money" in columns["fare"]["policy_reason"]) == ("exact", True)
    assert columns["place"]["bound"] == "exact"
    assert done.json["predicted_bytes"] > 0
    dry = cli("compress", plain.lake, tmp_path / "a", "--policy", tmp_path / "policy.yaml", "--dry-run")
    assert dry.code == 0, dry.err
    _refused(cli("plan", plain.lake, "-o", tmp_path / "policy.yaml"), "exists")


def test_sensitive_values_appear_nowhere(cli, made, tmp_path):
    page = tmp_path / "page.html"
    outputs = [cli("show", made.archive, "month=1", "--json"), cli("audit", made.archive, "--html", page, "--json")]
    outputs.append(cli("plan", made.lake, "--policy", made.policy, "--json"))
    for done in outputs:
        assert done.code == 0, done.err
        assert "secret-1-" not in done.out + done.err
    pages = list(tmp_path.rglob("*.html"))
    assert len(pages) > 3
    assert not [path for path in pages if "secret-1-" in path.read_text()]


@pytest.mark.parametrize("command", ["plan", "compress", "ls", "show", "decode", "verify", "audit", "log"])
def test_every_command_has_help_with_an_example(cli, command):
    done = cli(command, "--help")
    assert done.code == 0
    assert f"Example: latentlake {command} " in " ".join(done.out.split())


def test_help_is_quick(cli):
    """Measured against a bare interpreter, so that a busy machine does not fail it."""

    def seconds(*command):
        start = time.perf_counter()
        subprocess.run(command, check=True, capture_output=True)
        return time.perf_counter() - start

    bare = min(seconds(sys.executable, "-c", "pass") for _ in range(3))
    start = min(_timed(cli) for _ in range(3))
    assert start - bare < 0.5


def _timed(cli):
    start = time.perf_counter()
    assert cli("--help").code == 0
    return time.perf_counter() - start


def test_reading_commands_import_neither_prefect_nor_torch(environment, plain, tmp_path):
    commands = [
        ["ls", str(plain.archive), "--json"],
        ["show", str(plain.archive), "month=1"],
        ["log", str(plain.archive)],
        ["verify", str(plain.archive), "--deep"],
        ["decode", str(plain.archive), str(tmp_path / "out")],
        ["audit", str(plain.archive), "--lake", str(plain.lake), "--html", str(tmp_path / "page.html")],
    ]
    script = (
        "import json, sys\n"
        "from flows.cli.app import run\n"
        f"codes = [run(command) for command in {commands!r}]\n"
        "sys.stderr.write(json.dumps([codes, [m for m in ('prefect', 'torch') if m in sys.modules]]))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, env=environment)
    assert json.loads(done.stderr.splitlines()[-1]) == [[0] * len(commands), []]
