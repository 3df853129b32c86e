"""What a URL means."""

from __future__ import annotations

import pytest

from ae_core.archive.store import open_store
from ae_core.errors import UsageError
from ae_core.jobs.request import CompressRequest
from ae_core.remote.places import hide_credentials, locate

PROFILES = """
[minio]
protocol = "s3"
endpoint = "http://127.0.0.1:9"
key_env = "K"
secret_env = "S"
"""


@pytest.fixture
def settings(tmp_path, monkeypatch):
    path = tmp_path / "stores.toml"
    path.write_text(PROFILES)
    monkeypatch.setenv("LATENTLAKE_STORES", str(path))
    return path


@pytest.mark.parametrize(
    ("url", "protocol", "path"),
    [
        ("a/b", "file", "a/b"),
        ("file:///a/b", "file", "/a/b"),
        ("s3://bucket/a/b/", "s3", "bucket/a/b"),
        ("s3a://bucket", "s3", "bucket"),
        ("az://container/a", "az", "container/a"),
        ("abfs://container@acc.dfs.core.windows.net/a", "az", "container/a"),
        ("gcs://bucket/a", "gs", "bucket/a"),
        ("minio://bucket/a", "s3", "bucket/a"),
        ("memory://a/b", "memory", "a/b"),
    ],
)
def test_protocols_and_profiles(settings, url, protocol, path):
    place = locate(url)
    assert (place.protocol, place.path) == (protocol, path)


def test_the_account_of_an_azure_url_is_used():
    assert locate("abfs://container@acc.dfs.core.windows.net/a").profile.account == "acc"


@pytest.mark.parametrize("url", ["s3://", "s3:///key", "s3://b//c", "s3://b/../c"])
def test_paths_that_mean_nothing_are_refused(url):
    with pytest.raises(UsageError, match="BUCKET/PATH"):
        locate(url)


def test_archives_on_unknown_protocols_name_the_settings_file(settings):
    with pytest.raises(UsageError, match=f"name of a store profile of {settings}"):
        open_store("minoi://bucket/a")


def test_nesting_is_seen_through_profiles_and_only_within_one_store(settings):
    with pytest.raises(UsageError, match="inside each other"):
        CompressRequest.checked("minio://b/lake", "minio://b/lake/archive", range_=0.1)
    with pytest.raises(UsageError, match="inside each other"):
        CompressRequest.checked("s3://b/lake/", "s3a://b/lake", range_=0.1)
    CompressRequest.checked("s3://b/lake", "minio://b/lake/archive", range_=0.1)
    CompressRequest.checked("s3://b/lake", "s3://b/lake2", range_=0.1)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("no s3://KEY:SE/CR@ET@bucket/x here", "no s3://***@bucket/x here"),
        ("'gs://SECRET@bucket/x'", "'gs://***@bucket/x'"),
        ("az://c/x?sv=1&sig=SECRET&x=2: missing", "az://c/x?sv=1&sig=***&x=2: missing"),
        ("AccountName=a;AccountKey=SECRET==;Blob=b", "AccountName=a;AccountKey=***;Blob=b"),
        ("http://h/x?X-Amz-Signature=SECRET", "http://h/x?X-Amz-Signature=***"),
        ("abfs://container@acc.dfs.core.windows.net/a: gone", "abfs://container@acc.dfs.core.windows.net/a: gone"),
        ("s3://bucket/month=3/a@b, mail a@b.c, https://wiki/page?x=1", None),
    ],
)
def test_what_a_message_repeats_holds_no_credentials(text, shown):
    assert hide_credentials(text) == (shown or text)
    assert hide_credentials(hide_credentials(text)) == hide_credentials(text)
