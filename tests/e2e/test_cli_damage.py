"""Damage is found, named, and never decoded in silence."""

from __future__ import annotations

import pytest


def _flip(path, position):
    data = bytearray(path.read_bytes())
    data[position] ^= 1
    path.chmod(0o644)
    path.write_bytes(bytes(data))


@pytest.mark.parametrize(
    "pattern",
    [
        "latentlake.json",
        "_commits/*0.json",
        "_commits/*1.json",
        "_reports/*.json.br",
        "models/*/object",
        "tables/*/object",
        "partitions/month=2/*/manifest.json.br",
        "partitions/month=2/*/latents.parquet",
        "partitions/month=2/*/residuals.parquet",
    ],
)
def test_a_flipped_byte_makes_verify_name_the_file(cli, made, tmp_path, pattern):
    mine = made.copy(tmp_path)
    victim = sorted(mine.archive.glob(pattern))[0]
    _flip(victim, victim.stat().st_size // 2)
    done = cli("verify", mine.archive, "--json")
    assert done.code == 1, (done.out, done.err)
    name = victim.relative_to(mine.archive).as_posix()
    assert name in [finding["name"] for finding in done.json["findings"]]


def test_a_damaged_layer_stops_decode_and_leaves_nothing(cli, made, tmp_path):
    mine = made.copy(tmp_path)
    victim = next(mine.archive.glob("partitions/month=2/*/residuals.parquet"))
    _flip(victim, victim.stat().st_size // 3)
    done = cli("decode", mine.archive, tmp_path / "out")
    assert done.code == 1
    assert "residuals.parquet" in done.err
    assert len(done.err.strip().splitlines()) == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["archive", "lake"]
    assert cli("decode", mine.archive, tmp_path / "out", "--where", "month=1").code == 0


def test_a_damaged_model_is_read_from_its_twin(cli, made, tmp_path):
    mine = made.copy(tmp_path)
    victim = sorted(mine.archive.glob("models/*/object"))[0]
    _flip(victim, 100)
    assert cli("decode", mine.archive, tmp_path / "out").code == 0


def test_audit_proves_by_digest_and_against_the_originals(cli, made, tmp_path):
    by_digest = cli("audit", made.archive, "--json")
    assert by_digest.code == 0, by_digest.err
    assert by_digest.json["measured"] == "digest"
    assert all(row["digest_ok"] and row["violations"] == 0 for row in by_digest.json["partitions"])
    head = by_digest.json["head_sha256"]
    page = tmp_path / "page.html"
    arguments = ["--lake", made.lake, "--html", page, "--expect-head", head, "--json"]
    measured = cli("audit", made.archive, *arguments)
    assert measured.code == 0, measured.err
    assert measured.json["measured"] == "originals"
    columns = {column["name"]: column for column in measured.json["columns"]}
    assert 0 < columns["fare"]["worst_ratio"] <= 1
    assert columns == {column["name"]: column for column in by_digest.json["columns"]}
    assert "<svg" in page.read_text()
    assert cli("audit", made.archive, "--html", page).code == 2
    assert cli("audit", made.archive, "--expect-head", "0" * 64).code == 1


def test_audit_notices_originals_that_changed(cli, made, tmp_path):
    mine = made.copy(tmp_path)
    (mine.lake / "month=1/part-0.parquet").write_bytes((mine.lake / "month=2/part-0.parquet").read_bytes())
    done = cli("audit", mine.archive, "--lake", mine.lake, "--json")
    assert done.code == 1
    problems = {row["partition"]: row["problem"] for row in done.json["partitions"]}
    assert "part-0.parquet" in problems["month=1"]
    assert problems["month=2"] is None
