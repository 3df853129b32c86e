"""Store profiles: named stores of the settings file, with the names of the environment variables that hold the keys.

    [minio]                                  # used as minio://bucket/path
    protocol = "s3"
    endpoint = "https://minio.example:9000"
    key_env = "MINIO_KEY"
    secret_env = "MINIO_SECRET"

The file is `$LATENTLAKE_STORES`, else `latentlake/stores.toml` in `$XDG_CONFIG_HOME` or `~/.config`; where it ends in
.yaml it is a team's file, whose `stores` they are. It never holds a secret: a profile may travel anywhere, the
variables that it names are looked up where it is used. So workers elsewhere get the profiles themselves, as JSON in
`$LATENTLAKE_STORE_PROFILES`, which come before those of the file.
"""

from __future__ import annotations

import json
import os
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from ae_core.errors import UsageError

PROTOCOLS = ("s3", "az", "gs")
VARIABLE = "LATENTLAKE_STORES"
CARRIED = "LATENTLAKE_STORE_PROFILES"
_RESERVED = {*PROTOCOLS, "s3a", "abfs", "abfss", "gcs", "file", "local", "memory", "http", "https"}
_NAME = re.compile(r"[a-z][a-z0-9-]{0,62}")
_ENVIRONMENT = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,126}")
_ONLY = {
    "s3": {"region", "key_env", "secret_env", "token_env"},
    "az": {"account", "key_env", "sas_env", "connection_string_env"},
    "gs": {"project", "credentials_env"},
}
_COMMON = {"protocol", "endpoint", "anonymous", "allow_expiry"}
_FLAGS = {"anonymous", "allow_expiry"}


@dataclass(frozen=True)
class StoreProfile:
    """One store. Fields that end in `_env` name environment variables; "" is the name of the ambient one.

    `allow_expiry` lets `expire` delete originals there.
    """

    name: str
    protocol: str
    endpoint: str | None = None
    anonymous: bool = False
    allow_expiry: bool = False
    region: str | None = None
    project: str | None = None
    account: str | None = None
    key_env: str | None = None
    secret_env: str | None = None
    token_env: str | None = None
    sas_env: str | None = None
    connection_string_env: str | None = None
    credentials_env: str | None = None

    @property
    def variables(self) -> tuple[str, ...]:
        """The environment variables that hold its credentials."""
        named = (getattr(self, one.name) for one in fields(self) if one.name.endswith("_env"))
        return tuple(name for name in named if name)


@dataclass(frozen=True)
class Access:
    """What a filesystem is opened with; `repr` shows nothing of it, because it holds secrets."""

    options: Mapping[str, Any] = field(repr=False)
    secrets: tuple[str, ...] = field(repr=False)

    def scrub(self, text: str) -> str:
        """The text with every secret replaced, for messages of libraries."""
        for secret in self.secrets:
            text = text.replace(secret, "***")
        return text


def settings_file() -> Path:
    """Where the store profiles are."""
    if chosen := os.environ.get(VARIABLE):
        return Path(chosen)
    home = os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config"
    return Path(home) / "latentlake" / "stores.toml"


def load_profiles() -> dict[str, StoreProfile]:
    """The profiles by name; none where there is no settings file and none were carried here.

    Raises
    ------
    UsageError
        When the file cannot be read or a profile is malformed; a message never repeats a value that is not a name.
    """
    path = settings_file()
    carried = json.loads(os.environ.get(CARRIED) or "{}")
    found = {name: checked(str(path), name, values) for name, values in _document(path).items()}
    return found | {name: checked(CARRIED, name, values) for name, values in carried.items()}


def carry(profiles: str) -> None:
    """Use these profiles, as `$LATENTLAKE_STORE_PROFILES` holds them, in this process and those that it starts."""
    if profiles:
        os.environ[CARRIED] = profiles


def _document(path: Path) -> dict[str, Any]:
    try:
        text = path.read_text(encoding="utf-8")
        if path.suffix in (".yaml", ".yml"):
            import yaml  # reading with no profile in a YAML file does not have to wait for it

            found = yaml.safe_load(text)
            return dict(found.get("stores") or {}) if isinstance(found, dict) else {}
        return tomllib.loads(text)
    except FileNotFoundError:
        if os.environ.get(VARIABLE):
            raise UsageError(f"{VARIABLE} names {path}, which is not there") from None
        return {}
    except (OSError, ValueError, TypeError) as error:
        place = re.search(r"\(at line \d+, column \d+\)", str(error))
        raise UsageError(f"{path}: the store profiles cannot be read {place[0] if place else ''}".rstrip()) from None
    except Exception as error:
        if type(error).__module__.startswith("yaml"):
            raise UsageError(f"{path}: the store profiles cannot be read") from None
        raise


def access(profile: StoreProfile) -> Access:
    """The arguments of the fsspec filesystem of a profile, its secrets taken from the environment now.

    Raises
    ------
    UsageError
        When a variable that it names is not set.
    """
    found = {
        one.name: _variable(profile, name)
        for one in fields(profile)
        if one.name.endswith("_env") and (name := getattr(profile, one.name))
    }
    secrets = tuple(value for value in found.values() if len(value) >= 4)
    return Access({"s3": _s3, "az": _azure, "gs": _google}[profile.protocol](profile, found), secrets)


def _s3(profile: StoreProfile, found: Mapping[str, str]) -> dict[str, Any]:
    client = {"endpoint_url": profile.endpoint, "region_name": profile.region}
    if profile.endpoint and not profile.region and not os.environ.get("AWS_DEFAULT_REGION"):
        client["region_name"] = "us-east-1"  # what servers of other makers expect
    return _given(
        anon=profile.anonymous or None,
        key=found.get("key_env"),
        secret=found.get("secret_env"),
        token=found.get("token_env"),
        client_kwargs=_given(**client),
    )


def _azure(profile: StoreProfile, found: Mapping[str, str]) -> dict[str, Any]:
    if "connection_string_env" in found:
        return {"connection_string": found["connection_string_env"]}
    key, sas = found.get("key_env"), found.get("sas_env")
    if profile.endpoint:
        parts = {
            "DefaultEndpointsProtocol": profile.endpoint.split("://", 1)[0],
            "AccountName": profile.account,
            "AccountKey": key,
            "SharedAccessSignature": sas and sas.lstrip("?"),
            "BlobEndpoint": profile.endpoint,
        }
        return {"connection_string": ";".join(f"{name}={value}" for name, value in parts.items() if value)}
    ambient = not (key or sas or "AZURE_STORAGE_ANON" in os.environ)  # the identity of whoever is logged in
    anonymous = True if profile.anonymous else False if ambient else None
    return _given(account_name=profile.account, account_key=key, sas_token=sas, anon=anonymous)


def _google(profile: StoreProfile, found: Mapping[str, str]) -> dict[str, Any]:
    token = "anon" if profile.anonymous else found.get("credentials_env")
    if token and token.lstrip().startswith("{"):
        token = json.loads(token)
    return _given(project=profile.project, token=token, endpoint_url=profile.endpoint)


def _given(**options: Any) -> dict[str, Any]:
    return {name: value for name, value in options.items() if value not in (None, {})}


def _variable(profile: StoreProfile, name: str) -> str:
    value = os.environ.get(name)
    if not value:
        raise UsageError(f"store profile {profile.name}: the environment variable {name} is not set")
    return value


def checked(source: str, name: str, values: Any) -> StoreProfile:
    """The profile of these fields; errors begin with the source that they stand in.

    Raises
    ------
    UsageError
        As `load_profiles`.
    """
    where = f"{source}: store profile {name!r}"
    if not _NAME.fullmatch(name) or name in _RESERVED:
        raise UsageError(f"{where}: a name is lower-case letters, digits and dashes, and no protocol's own name")
    if not isinstance(values, dict) or values.get("protocol") not in PROTOCOLS:
        raise UsageError(f"{where}: protocol has to be one of {', '.join(PROTOCOLS)}")
    protocol = values["protocol"]
    for key, value in values.items():
        if key not in _COMMON | _ONLY[protocol]:
            allowed = ", ".join(sorted(_COMMON | _ONLY[protocol]))
            raise UsageError(f"{where}: {key} is not a field of {protocol} profiles ({allowed})")
        if not isinstance(value, bool if key in _FLAGS else str):
            raise UsageError(f"{where}: {key} has to be {'true or false' if key in _FLAGS else 'a text'}")
        if key.endswith("_env") and not _ENVIRONMENT.fullmatch(str(value)):
            raise UsageError(f"{where}: {key} has to be the name of an environment variable, not what it holds")
    endpoint = values.get("endpoint")
    if endpoint is not None and not re.fullmatch(r"https?://[^@?#\s]+", endpoint):
        raise UsageError(f"{where}: endpoint has to be an http(s):// URL without credentials or a query")
    return StoreProfile(name, **values)
