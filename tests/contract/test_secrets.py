"""F13: canary keys go through every kind of run at DEBUG, and are found nowhere afterwards."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
from pathlib import Path

import pytest

import ae_core
from ae_core.errors import LatentlakeError
from ae_core.jobs.listing import list_archive
from ae_core.remote.places import locate
from flows.cli.app import app, run
from tests.contract.conftest import kinds
from tests.contract.servers import AZURITE_KEY
from tests.contract.tables import write_lake

LOGGERS = "botocore,aiobotocore,s3fs,adlfs,gcsfs,fsspec,azure,aiohttp,urllib3,google,asyncio"
URLS = {
    "password": "s3://CANARYUSER:CANARYSECRET@bucket/x",
    "key alone": "gs://CANARYSECRET@bucket/x",
    "slash in the secret": "s3://CANARYUSER:CANARY/SECRET@bucket/x",
    "at in the secret": "s3://CANARYUSER:CANARY@SECRET@bucket/x",
    "sas token": "az://container/x?sv=2024&sig=CANARYSECRET",
    "signed": "https://host/x?X-Amz-Signature=CANARYSECRET",
    "chained": "simplecache::s3://CANARYUSER:CANARYSECRET@bucket/x",
    "fragment": "az://container/x#sig=CANARYSECRET",
}
COMMANDS = {
    "plan": ["plan", "URL"],
    "compress lake": ["compress", "URL", "archive", "--range", "0.1"],
    "compress unasked": ["compress", "URL", "archive"],
    "compress archive": ["compress", "lake", "URL", "--range", "0.1"],
    "dry run": ["compress", "URL", "archive", "--range", "0.1", "--dry-run"],
    "ls": ["ls", "URL"],
    "show": ["show", "URL", "month=1"],
    "decode archive": ["decode", "URL", "out"],
    "decode out": ["decode", "archive", "URL"],
    "verify": ["verify", "URL"],
    "audit": ["audit", "URL"],
    "audit lake": ["audit", "archive", "--lake", "URL"],
    "log": ["log", "URL"],
    "doctor": ["doctor", "URL"],
    "diff": ["diff", "URL", "0", "1"],
    "copy from": ["copy", "URL", "replica"],
    "copy to": ["copy", "archive", "URL"],
    "repair": ["verify", "archive", "--repair-from", "URL"],
    "untrusted": ["ls", "URL", "--untrusted"],
    "gc": ["gc", "URL"],
    "drop": ["drop", "URL", "--where", "month=1", "--reason", "x"],
    "drop lake": ["drop", "archive", "--where", "month=1", "--reason", "x", "--lake", "URL"],
    "drop reason": ["drop", "archive", "--where", "month=1", "--reason", "as URL has it"],
    "fade": ["fade", "URL", "--where", "month=1"],
    "fade reason": ["fade", "archive", "--where", "month=1", "--reason", "as URL has it"],
    "compress note": ["compress", "lake", "archive", "--range", "0.1", "--note", "from URL"],
    "expire lake": ["expire", "URL", "archive"],
    "expire archive": ["expire", "lake", "URL"],
    "upgrade": ["upgrade", "URL"],
    "status": ["status", "TEAM"],
    "deploy": ["deploy", "TEAM", "--dry-run"],
    "features": ["features", "URL", "out"],
    "features out": ["features", "archive", "URL"],
    "encode": ["encode", "archive", "URL", "out"],
    "dimensions": ["dimensions", "URL", "--range", "0.1"],
    "anomalies": ["anomalies", "URL", "out"],
    "anomalies lake": ["anomalies", "archive", "out", "--lake", "URL"],
    "sample": ["sample", "URL", "out", "--rows", "1"],
    "denoise": ["denoise", "archive", "URL"],
    "one argument too many": ["ls", "archive", "URL"],
}
TEAM = "version: 1\nteam: t\nlakes:\n  a:\n    lake: {url}\n    archive: x\n    range: 0.1\n"


def test_every_command_is_tried():
    """With every argument and option that takes a URL, or a text that the log keeps."""
    assert {words[0] for words in COMMANDS.values()} == {command.name for command in app.registered_commands}


@pytest.mark.parametrize("command", COMMANDS)
def test_urls_with_credentials_are_refused_and_not_repeated(command, capsys, tmp_path, monkeypatch, caplog):
    monkeypatch.chdir(tmp_path)
    caplog.set_level(logging.DEBUG)
    for url in URLS.values():
        Path("TEAM").write_text(TEAM.format(url=json.dumps(url)))
        assert run([word.replace("URL", url) for word in COMMANDS[command]]) == 2
        Path("TEAM").unlink()
        printed = capsys.readouterr()
        assert "CANARY" not in printed.out + printed.err + caplog.text
        assert "leave" in printed.err or "unexpected" in printed.err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("url", URLS.values())
def test_calls_and_flow_parameters_refuse_them_too(url):
    from ae_core.jobs.request import CompressRequest

    calls = (
        lambda: ae_core.open_archive(url),
        lambda: ae_core.plan(url),
        lambda: ae_core.compress(url, "a", range_=0.1),
        lambda: locate(url),
        lambda: ae_core.verify(url),
        lambda: CompressRequest(lake=url, archive="a", policy="version: 1"),
        lambda: CompressRequest.model_validate({"lake": "l", "archive": url, "policy": "version: 1", "x": 1}),
    )
    for call in calls:
        with pytest.raises((LatentlakeError, ValueError)) as refused:
            call()
        assert "CANARY" not in str(refused.value) + repr(refused.value)


def test_urls_without_credentials_are_not_refused():
    for url in (
        "s3://bucket/a=b/c",
        "abfs://container@account.dfs.core.windows.net/x",
        "sftp://host:22/x",
        "a:b@c/d",
        "hf://datasets/user/repo@main/x",
    ):
        assert locate(url).url == url


@pytest.mark.parametrize("ground", kinds("seaweedfs", "azurite"), indirect=True)
def test_library_runs_leave_no_secret(ground, tmp_path, caplog, capsys):
    """Calls and commands, with their verifying and confined processes, and failures; everything logged at DEBUG."""
    caplog.set_level(logging.DEBUG)
    for name in LOGGERS.split(","):
        logging.getLogger(name).setLevel(logging.DEBUG)
    said = []
    lake = write_lake(ground, tmp_path)
    said.append(repr(ae_core.compress(lake, ground.url("archive"), range_="0.1")))
    said.append(repr(ae_core.decode(ground.url("archive"), ground.url("out"))))
    said.append(repr(ae_core.verify(ground.url("archive"))))
    said.append(repr(list_archive(ground.url("archive"))))
    archive, replica, out = ground.url("archive"), ground.url("replica"), str(tmp_path / "out")
    team = tmp_path / "team.yaml"
    team.write_text(f"version: 1\nteam: t\nlakes:\n  a: {{lake: '{lake}', archive: '{archive}', range: 0.1}}\n")
    for words, code in (
        (["doctor", archive], 0),
        (["copy", archive, replica], 0),
        (["verify", archive, "--repair-from", replica], 0),
        (["log", archive, "--json"], 0),
        (["diff", archive, "0", "1", "--json"], 0),
        (["ls", archive, "--untrusted", "--json"], 0),
        (["status", team], 0),
        (["expire", lake, archive], 5),
        (["fade", archive, "--where", "month=1"], 5),
        (["drop", archive, "--where", "month=1", "--reason", "why", "--lake", lake, "--yes"], 0),
        (["gc", archive, "--keep-snapshots", "1", "--keep-days", "0", "--orphan-days", "0", "--json"], 0),
        *((["features", where, out], 2) for where in (archive, ground.url("nothing"))),
        (["anomalies", archive, out], 2),
        (["sample", archive, out, "--rows", "5"], 2),
        (["denoise", archive, out], 2),
    ):
        assert run([str(word) for word in words]) == code, words
        printed = capsys.readouterr()
        said += [printed.out, printed.err]
    for bad in ("nothing", "archive/deeper"):
        with pytest.raises(LatentlakeError) as refused:
            list_archive(ground.url(bad))
        said.append(f"{refused.value!r} {refused.value.__cause__!r} {refused.value.__context__!r}")
    assert ("botocore" if ground.kind == "seaweedfs" else "azure") in {
        record.name.split(".")[0] for record in caplog.records
    }
    stored = [ground.bytes(name) for name in ground.names("")]
    for secret in secrets_of(ground):
        assert secret not in "".join(said)
        assert secret not in caplog.text
        assert not any(secret.encode() in data for data in stored)
    for name in LOGGERS.split(","):
        logging.getLogger(name).setLevel(logging.NOTSET)


def secrets_of(ground) -> list[str]:
    """What must be nowhere: the key that signs, not the id that names it."""
    return [value for value in ground.server.environment.values() if value.endswith("secret") or value == AZURITE_KEY]


@pytest.mark.full
@pytest.mark.ci
@pytest.mark.parametrize("ground", ["moto"], indirect=True)
def test_flows_leave_no_secret_in_prefect_or_on_screen(ground, tmp_path):
    """The command with its Prefect server: database, logs at DEBUG, artifacts, reports, and a wrong key that fails."""
    lake = write_lake(ground, tmp_path)
    home = tmp_path / "prefect"
    environment = {
        **os.environ,
        "PREFECT_HOME": str(home),
        "PREFECT_LOGGING_LEVEL": "DEBUG",
        "PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL": "DEBUG",
        "PREFECT_LOGGING_HANDLERS_CONSOLE_FLOW_RUNS_LEVEL": "DEBUG",
        "PREFECT_LOGGING_EXTRA_LOGGERS": "botocore,aiobotocore,s3fs,fsspec",  # those of the server would drown them
        "PYTHONPATH": os.pathsep.join(sys.path),
    }
    team = tmp_path / "team.yaml"
    archive = ground.url("archive")
    team.write_text(f"version: 1\nteam: t\nlakes:\n  a: {{lake: '{lake}', archive: '{archive}', range: 0.1}}\n")
    command = [sys.executable, "-c", "from flows.cli import main; main()"]
    said = ""
    for arguments, code in (
        (["compress", lake, ground.url("archive"), "--range", "0.1"], 0),
        (["audit", ground.url("archive"), "--lake", lake, "--html", str(tmp_path / "page.html")], 0),
        (["compress", lake, ground.url("other"), "--range", "-1"], 2),
        (["decode", ground.url("nothing"), ground.url("out")], 2),
        (["deploy", str(team), "--dry-run"], 0),
    ):
        done = subprocess.run([*command, *arguments], env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == code, done.stderr
        said += done.stdout + done.stderr
    found = {path.name: path.read_bytes() for path in home.rglob("*") if path.is_file()}
    assert any(name.startswith("prefect.db") for name in found)
    assert any(b"encode month=1" in data for data in found.values()), "the runs are not in Prefect's database"
    stored = {name: ground.bytes(name) for name in ground.names("")}
    places = {**found, **stored, "page": (tmp_path / "page.html").read_bytes(), "screen": said.encode()}
    for secret in secrets_of(ground):
        assert [name for name, data in places.items() if secret.encode() in data] == []
    assert "DEBUG" in said
