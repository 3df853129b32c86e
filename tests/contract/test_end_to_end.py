"""A lake, an archive and its decoded rows, each on every store and mixed; no network is trained on so few rows."""

from __future__ import annotations

import io
import json

import pyarrow.parquet as pq
import pytest

import ae_core
from ae_core import fitting
from ae_core.errors import LakeError, OutputExists, StoreUnreachable, StoreUnsafe, UsageError
from ae_core.extremes import column_ranges
from ae_core.jobs.listing import list_archive
from ae_core.jobs.output import new_folder
from ae_core.jobs.upload import CLAIM, Upload
from ae_core.lake import list_partitions, read_blocks, refresh
from ae_core.remote.objects import Objects
from ae_core.remote.places import locate
from flows.cli.app import run
from tests.contract.conftest import EVERY, REMOTE, Ground, kinds
from tests.contract.tables import ROWS, month, write_lake

every = pytest.mark.parametrize("ground", EVERY, indirect=True)
remote = pytest.mark.parametrize("ground", REMOTE, indirect=True)


@every
def test_compress_list_decode_verify_and_compress_again(ground, tmp_path):
    lake, archive, out = write_lake(ground, tmp_path), ground.url("archive"), ground.url("out/deep")
    result = ae_core.compress(lake, archive, range_="0.01")
    assert [row.action for row in result.partitions] == ["compressed", "compressed"]
    assert list_archive(archive).totals.rows == 2 * ROWS
    assert ae_core.decode(archive, out).rows == 2 * ROWS
    assert ground.names("out/deep") == ["_loss.json", "month=1/part-0.parquet", "month=2/part-0.parquet"]
    rebuilt = pq.read_table(io.BytesIO(ground.bytes("out/deep/month=2/part-0.parquet")))
    original = month(2)
    assert rebuilt["place"].to_pylist() == original["place"].to_pylist()
    fares = original["fare"].to_numpy()
    every_fare = [*fares, *month(1)["fare"].to_pylist()]  # the range is that of the lake
    assert abs(rebuilt["fare"].to_numpy() - fares).max() <= 0.01 * (max(every_fare) - min(every_fare))
    both = ae_core.open_lake(lake, archive).scan(columns=["place", "month", "_fidelity"]).to_table()
    assert set(both["_fidelity"].to_pylist()) == {"original"}
    assert both["place"].to_pylist() == month(1)["place"].to_pylist() + original["place"].to_pylist()
    report = ae_core.verify(archive, deep=True)
    assert report.ok
    assert report.orphans == 0
    again = ae_core.compress(lake, archive, range_="0.01")
    assert {row.action for row in again.partitions} == {"unchanged"}
    with pytest.raises(OutputExists):
        ae_core.decode(archive, out)


@pytest.mark.parametrize("ground", kinds("moto"), indirect=True)
def test_lake_archive_and_output_may_be_on_different_stores(ground, tmp_path):
    disk = Ground("local", str(tmp_path / "disk"), None)
    write_lake(disk, tmp_path)
    ae_core.compress(disk.url("flights"), ground.url("archive"), range_="0.01", where=["month=1"])
    assert ae_core.decode(ground.url("archive"), disk.url("out")).rows == ROWS
    lake = write_lake(ground, tmp_path)
    mixed = ae_core.compress(lake, disk.url("archive"), range_="0.01")
    assert [row.action for row in mixed.partitions] == ["compressed", "compressed"]
    assert ae_core.decode(disk.url("archive"), ground.url("out"), where=["month=2"]).rows == ROWS
    assert ground.names("out") == ["_loss.json", "month=2/part-0.parquet"]


# --- lakes ----------------------------------------------------------------------------------------


@remote
def test_a_lake_notices_a_version_that_looks_the_same(ground, tmp_path):
    """Same name, same size: the version token of the store tells."""
    lake = write_lake(ground, tmp_path)
    first, second = list_partitions(lake)
    assert refresh(first) == first
    assert column_ranges([first, second], ["count"])["count"] == (0, 49)
    assert next(read_blocks(first)).equals(month(1))
    assert first.files[0].mtime is not None
    raw = bytearray((tmp_path / "month-1.parquet").read_bytes())
    raw[8] ^= 1
    (tmp_path / "changed").write_bytes(raw)
    ground.put("flights/month=1/part-0.parquet", tmp_path / "changed")
    changed = refresh(first)
    assert changed != first
    assert changed.files[0].size == first.files[0].size
    assert changed == list_partitions(lake, ["month=1"])[0]


@remote
def test_a_flat_lake_gives_one_token_however_it_is_asked(ground, tmp_path):
    pq.write_table(month(1), tmp_path / "f.parquet")
    ground.put("flat/a/one.parquet", tmp_path / "f.parquet")
    ground.put("flat/_hidden/two.parquet", tmp_path / "f.parquet")
    (partition,) = list_partitions(ground.url("flat"))
    assert partition.id == "a/one.parquet"
    assert refresh(partition) == partition
    (single,) = list_partitions(ground.url("flat/a/one.parquet"))
    assert next(read_blocks(single)).equals(month(1))
    with pytest.raises(LakeError, match="no such lake"):
        list_partitions(ground.url("nothing"))


# --- OUT --------------------------------------------------------------------------------------------


@remote
def test_output_is_marked_incomplete_until_all_of_it_is_there(ground, tmp_path, monkeypatch):
    out = ground.url("out")
    seen = []
    real = Objects.put_file

    def watched(objects, local, path):
        real(objects, local, path)
        seen.append(ground.names("out"))

    monkeypatch.setattr(Objects, "put_file", watched)
    with new_folder(out) as folder:
        (folder / "m=1").mkdir()
        (folder / "m=1" / "a").write_text("x")
        (folder / "_loss.json").write_text("{}")
        assert ground.names("out") == []
    assert seen == [[CLAIM, "m=1/a"], [CLAIM, "_loss.json", "m=1/a"]]
    assert ground.names("out") == ["_loss.json", "m=1/a"]


@remote
def test_an_upload_that_fails_is_taken_back_and_one_that_is_killed_stays_marked(ground, tmp_path, monkeypatch):
    out = ground.url("out")
    real = Objects.put_file

    def failing(objects, local, path):
        if path.endswith("/b"):
            raise StoreUnreachable("no answer")
        real(objects, local, path)

    def write() -> None:
        with new_folder(out) as folder:
            for name in ("a", "b"):
                (folder / name).write_text(name)

    monkeypatch.setattr(Objects, "put_file", failing)
    with pytest.raises(StoreUnreachable):
        write()
    assert ground.names("out") == []
    with monkeypatch.context() as killed:
        killed.setattr(Objects, "delete", lambda *_: (_ for _ in ()).throw(SystemExit))
        with pytest.raises(SystemExit):
            write()
    assert CLAIM in ground.names("out")
    assert json.loads(ground.bytes(f"out/{CLAIM}"))["files"] == ["a", "b"]


@pytest.mark.parametrize("ground", kinds("moto"), indirect=True)
def test_a_place_is_claimed_by_one_of_two_decodes(ground, tmp_path):
    place = locate(ground.url("out"))
    first, second = Upload(place, place.url), Upload(place, place.url)
    first._claim(f"{place.path}/{CLAIM}", ["a"])
    (tmp_path / "x").write_text("x")
    with pytest.raises(OutputExists, match="appeared"):
        second.run(tmp_path)
    with pytest.raises(OutputExists, match="incomplete"):
        Upload(place, place.url)


def test_other_protocols_are_refused_for_archives_and_output():
    with pytest.raises(UsageError, match="OUT folders on memory://"), new_folder("memory://x/y"):
        pytest.fail("the body must not run")


# --- stores that may not be written to --------------------------------------------------------------


@pytest.mark.full
@pytest.mark.ci
@pytest.mark.parametrize("ground", ["s3rver", "gcpemulator"], indirect=True)
def test_a_lying_store_is_refused_before_anything_is_trained(ground, tmp_path, monkeypatch, capsys):
    def never(*_args, **_more):
        raise AssertionError("trained")

    monkeypatch.setattr(fitting, "train_codec", never)
    lake = write_lake(ground, tmp_path)
    with pytest.raises(StoreUnsafe, match="created again.*latentlake doctor") as refused:
        ae_core.compress(lake, ground.url("archive"), range_="0.01")
    assert refused.value.exit_code == 3
    assert [name for name in ground.names("archive") if not name.startswith("_tmp/")] == []
    assert run(["doctor", ground.url("archive")]) == 3
    assert "NOT safe to commit to" in capsys.readouterr().out
    assert run(["doctor", ground.url("archive"), "--json"]) == 3
    report = json.loads(capsys.readouterr().out)
    assert report["safe"] is False
    assert report["conditional_delete"] is False


@pytest.mark.parametrize("ground", [pytest.param("seaweedfs", marks=[pytest.mark.full, pytest.mark.ci])], indirect=True)
def test_a_reader_reads_and_is_refused_before_it_encodes(ground, tmp_path, monkeypatch):
    """F19 with a real identity that may only read and list."""
    lake = write_lake(ground, tmp_path)
    ae_core.compress(lake, ground.url("archive"), range_="0.01", where=["month=1"])
    mine = ground.url("archive").replace("seaweedfs://", "reader://")
    assert ae_core.decode(mine, str(tmp_path / "out")).rows == ROWS
    assert ae_core.verify(mine, deep=True).ok
    monkeypatch.setattr("ae_core.jobs.encode.encode_partition", lambda *_: pytest.fail("encoded"))
    with pytest.raises(StoreUnsafe, match="could not be written: access denied"):
        ae_core.compress(lake, mine, range_="0.01")
