"""The flows on an embedded Prefect server: what they do, what they leave in its UI, and that two runs can meet."""

from __future__ import annotations

import os
import subprocess
import sys
import time

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ae_core.errors import BoundViolated, PartialBatch


@pytest.fixture(scope="module")
def prefect_server(tmp_path_factory):
    """A server of its own, with a private home, for the tests of this file."""
    patch = pytest.MonkeyPatch()
    patch.setenv("PREFECT_HOME", str(tmp_path_factory.mktemp("prefect")))
    from flows.server import prepare_prefect

    prepare_prefect()
    from prefect.testing.utilities import prefect_test_harness

    with prefect_test_harness(server_startup_timeout=90):
        yield
    patch.undo()


def _artifacts():
    from prefect.client.orchestration import get_client

    with get_client(sync_client=True) as client:
        return {one["key"]: str(one["data"]) for one in client.request("POST", "/artifacts/filter", json={}).json()}


def _parameters():
    from prefect.client.orchestration import get_client

    with get_client(sync_client=True) as client:
        return [run["parameters"] for run in client.request("POST", "/flow_runs/filter", json={}).json()]


def test_compress_decode_and_audit(prefect_server, plain, tmp_path):
    from ae_core.jobs.request import CompressRequest
    from flows.audit import AuditRequest, audit_archive
    from flows.compress import compress_lake
    from flows.decode import DecodeRequest, decode_partitions

    request = CompressRequest.checked(str(plain.lake), str(tmp_path / "archive"), policy=str(plain.policy))
    result = compress_lake(request)
    assert [row.action for row in result.partitions] == ["compressed", "compressed"]
    assert result.commits == (0, 1)
    again = compress_lake(request)
    assert {row.action for row in again.partitions} == {"unchanged"}

    decoded = decode_partitions(DecodeRequest(archive=result.archive, out=str(tmp_path / "out"), where=("month=2",)))
    assert decoded.rows == 302
    assert pq.read_metadata(tmp_path / "out/month=2/part-0.parquet").num_rows == 151

    audited = audit_archive(AuditRequest(archive=result.archive, lake=str(plain.lake)))
    assert audited.ok

    artifacts = _artifacts()
    assert {"compress-partitions", "model", "decode-partitions", "audit-columns"} <= set(artifacts)
    assert "month=2" in artifacts["compress-partitions"]
    assert "fare" in artifacts["audit-columns"]
    assert "secret-" not in str(artifacts)
    assert any(parameters.get("request", {}).get("lake") == str(plain.lake) for parameters in _parameters())


def test_audit_flow_fails_on_damage(prefect_server, plain, tmp_path):
    from flows.audit import AuditRequest, audit_archive

    mine = plain.copy(tmp_path)
    victim = next(mine.archive.glob("partitions/month=1/*/residuals.parquet"))
    data = bytearray(victim.read_bytes())
    data[len(data) // 2] ^= 1
    victim.write_bytes(bytes(data))
    with pytest.raises(BoundViolated, match="month=1"):
        audit_archive(AuditRequest(archive=str(mine.archive)))


def test_one_bad_partition_does_not_stop_the_others(prefect_server, plain, tmp_path, monkeypatch):
    from ae_core.errors import SourceChanging
    from ae_core.jobs import encode
    from ae_core.jobs.request import CompressRequest
    from flows.compress import compress_lake

    real = encode.encode_partition

    def changing(prepared, partition, **more):
        if partition.id == "month=1":
            raise SourceChanging("month=1 kept changing")
        return real(prepared, partition, **more)

    monkeypatch.setattr(encode, "encode_partition", changing)
    request = CompressRequest.checked(str(plain.lake), str(tmp_path / "archive"), policy=str(plain.policy))
    with pytest.raises(PartialBatch, match="committed: month=2; not committed: month=1") as caught:
        compress_lake(request)
    assert caught.value.exit_code == 4
    monkeypatch.undo()
    result = compress_lake(request)
    assert [(row.partition, row.action) for row in result.partitions] == [
        ("month=1", "compressed"),
        ("month=2", "unchanged"),
    ]
    assert result.model is not None
    assert result.model.reused


def test_partitions_fade_when_their_policy_says_so(prefect_server, made, tmp_path):
    from flows.retire import retire

    mine = made.copy(tmp_path)
    asked = {"lake": str(mine.lake), "archive": str(mine.archive), "where": ["month<=2"]}
    policy = "version: 1\nretire: {fade_after: 2d}\n"
    assert retire(**asked, policy=policy, return_state=True).message == "nothing is due"
    for path in mine.archive.glob("_commits/*"):
        os.utime(path, (path.stat().st_mtime - 3 * 86_400,) * 2)
    assert retire(**asked, policy=policy, return_state=True).message == "2 faded"
    assert len(list(mine.lake.glob("*/*.parquet"))) == 6
    again = retire(**asked, policy=policy, return_state=True)
    assert again.message == "nothing is due"


def _told(event):
    from prefect.client.orchestration import get_client

    with get_client(sync_client=True) as client:
        asked = {"filter": {"event": {"name": [event]}}}
        return [one["payload"] for one in client.request("POST", "/events/filter", json=asked).json()["events"]]


def test_a_night_tells_of_rows_that_surprise_its_model(prefect_server, made, write_month, tmp_path):
    """One new month is like the others, in the next one no column fits the others any more."""
    from flows.nightly import nightly_compress

    mine = made.copy(tmp_path)
    write_month(mine.lake, 11, 711)
    write_month(mine.lake, 12, 712)
    for path in (mine.lake / "month=12").iterdir():
        table = pq.read_table(path, partitioning=None)
        zone = pa.array(np.random.default_rng(5).permutation(table["zone"].to_numpy()))
        pq.write_table(table.set_column(1, table.schema.field("zone"), zone), path)
    asked = {"lake": str(mine.lake), "archive": str(mine.archive), "policy": mine.policy.read_text()}
    done = nightly_compress(**asked, older_than_days=0, return_state=True)
    assert done.message == "2 partitions compressed, 0 left for later"
    _wait_for(lambda: _told("latentlake.partition.surprising"))
    assert {one["partition"] for one in _told("latentlake.partition.surprising")} == {"month=12"}
    write_month(mine.lake, 13, 713)
    young = nightly_compress(**asked, older_than_days=30, return_state=True)
    assert young.message.startswith("0 partitions compressed, 0 left for later, 1 too young (the first: its files were")


def test_a_partition_that_is_set_aside_is_told_of_once(prefect_server, plain, tmp_path):
    from flows.nightly import nightly_compress

    mine = plain.copy(tmp_path)
    (mine.lake / "month=3").mkdir()
    (mine.lake / "month=3" / "x.parquet").write_bytes(b"PAR1 no table PAR1")
    asked = {"lake": str(mine.lake), "archive": str(mine.archive), "policy": mine.policy.read_text()}
    for expected in ("FAILED", "FAILED", "FAILED", "COMPLETED"):
        assert nightly_compress(**asked, older_than_days=0, return_state=True).type.value == expected
    _wait_for(lambda: _told("latentlake.partition.set-aside"))
    assert [one["partition"] for one in _told("latentlake.partition.set-aside")] == ["month=3"]
    assert len(_told("latentlake.partition.failed")) >= 3
    again = nightly_compress(**asked, older_than_days=0, return_state=True)
    assert again.message == "0 partitions compressed, 0 left for later, 1 set aside"


def _wait_for(ready):
    end = time.monotonic() + 20
    while not ready():
        assert time.monotonic() < end
        time.sleep(0.2)


@pytest.mark.full
@pytest.mark.ci
def test_two_runs_at_once(environment, plain, tmp_path):
    """Each has a home and a server of its own: no database is shared that one could lock."""
    script = "from flows.cli import main; main()"
    runs = [
        subprocess.Popen(
            [sys.executable, "-c", script, "compress", plain.lake, tmp_path / name, "--policy", plain.policy],
            env=environment,
            stderr=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
        )
        for name in ("a", "b")
    ]
    for run in runs:
        _, err = run.communicate(timeout=500)
        assert run.returncode == 0, err.decode()
