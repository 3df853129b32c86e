"""The commands that use a model, as a user types them; each prints one JSON document under --json."""

from __future__ import annotations

import pytest

from ae_core.archive.format import FORMAT


def test_uses_of_an_archive(cli, repository, tmp_path) -> None:
    golden = repository / "tests" / "golden" / f"format-{FORMAT}" / "network" / "archive"
    for command, more in (
        ("features", ["f.parquet"]),
        ("anomalies", ["a.parquet", "--top", "3"]),
        ("sample", ["s", "--rows", "10"]),
        ("denoise", ["d", "--where", "month=2"]),
    ):
        done = cli(command, golden, tmp_path / more[0], *more[1:], "--json")
        assert done.code == 0, done.err
        assert done.json["snapshot"] == 2
        assert (tmp_path / more[0]).exists()
    done = cli("encode", golden, tmp_path / "d", tmp_path / "e.parquet")
    assert done.code == 0, done.err
    assert "z_0, z_1" in done.out


@pytest.mark.parametrize("command", ["features", "anomalies", "denoise"])
def test_an_archive_without_latents_is_one_line_and_exit_2(cli, repository, tmp_path, command: str) -> None:
    mixing = repository / "tests" / "golden" / f"format-{FORMAT}" / "mixing" / "archive"
    done = cli(command, mixing, tmp_path / "out")
    assert done.code == 2
    assert len(done.err.strip().splitlines()) == 1
    assert "has no latents" in done.err
    assert not (tmp_path / "out").exists()
