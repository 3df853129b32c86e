"""Store profiles: names of variables, never their contents."""

from __future__ import annotations

import pytest

from ae_core.errors import UsageError
from ae_core.remote.profiles import StoreProfile, access, load_profiles


@pytest.fixture
def write(tmp_path, monkeypatch):
    path = tmp_path / "stores.toml"
    monkeypatch.setenv("LATENTLAKE_STORES", str(path))
    return path.write_text


def test_no_settings_file_is_no_profile(tmp_path, monkeypatch):
    monkeypatch.delenv("LATENTLAKE_STORES", raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    assert load_profiles() == {}
    (tmp_path / "latentlake").mkdir()
    (tmp_path / "latentlake" / "stores.toml").write_text('[one]\nprotocol = "gs"\n')
    assert load_profiles() == {"one": StoreProfile("one", "gs")}
    monkeypatch.setenv("LATENTLAKE_STORES", str(tmp_path / "nothing"))
    with pytest.raises(UsageError, match="not there"):
        load_profiles()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[a", "cannot be read"),
        ('[s3]\nprotocol = "s3"', "no protocol's own name"),
        ('["A b"]\nprotocol = "s3"', "no protocol's own name"),
        ('[a]\nprotocol = "ftp"', "protocol has to be one of"),
        ("a = 1", "protocol has to be one of"),
        ('[a]\nprotocol = "s3"\nsecret = "CANARY"', "secret is not a field"),
        ('[a]\nprotocol = "s3"\nsecret_env = "CANARY/+="', "not what it holds"),
        ('[a]\nprotocol = "s3"\naccount = "x"', "account is not a field"),
        ('[a]\nprotocol = "s3"\nanonymous = "yes"', "true or false"),
        ('[a]\nprotocol = "s3"\nendpoint = "https://CANARY:x@host"', "without credentials"),
        ('[a]\nprotocol = "s3"\nkey = "CANARY"\n[', "cannot be read"),
    ],
)
def test_what_is_wrong_is_named_and_no_value_repeated(write, text, message):
    write(text)
    with pytest.raises(UsageError, match=message) as refused:
        load_profiles()
    assert "CANARY" not in str(refused.value)


def test_the_variables_are_read_where_they_are_used(monkeypatch):
    profile = StoreProfile("minio", "s3", endpoint="http://h:9000", key_env="K", secret_env="S")
    with pytest.raises(UsageError, match="store profile minio: the environment variable K is not set"):
        access(profile)
    monkeypatch.setenv("K", "id-of-key")
    monkeypatch.setenv("S", "CANARY")
    found = access(profile)
    assert found.options["secret"] == "CANARY"
    assert found.options["client_kwargs"] == {"endpoint_url": "http://h:9000", "region_name": "us-east-1"}
    assert "CANARY" not in repr(found)
    assert found.scrub("it said CANARY") == "it said ***"


def test_ambient_credentials_need_no_profile(monkeypatch):
    monkeypatch.delenv("AZURE_STORAGE_ANON", raising=False)
    assert access(StoreProfile("", "s3")).options == {}
    assert access(StoreProfile("", "gs")).options == {}
    assert access(StoreProfile("", "az", account="acc")).options == {"account_name": "acc", "anon": False}
    monkeypatch.setenv("SAS", "?sv=1&sig=CANARY")
    assert access(StoreProfile("a", "az", account="acc", sas_env="SAS")).options == {
        "account_name": "acc",
        "sas_token": "?sv=1&sig=CANARY",
    }
