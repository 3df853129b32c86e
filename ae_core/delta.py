"""Delta tables as lakes: the files that the table's log names at one version, and no others.

`TABLE@v12` is the table at version 12; without a version it is the newest, which then stays for the whole run. The
library `deltalake` reads the log. Refused are tables whose files alone do not say what the table holds: deletion
vectors (rows that are deleted without a new file), mapped column names, files outside of folders of their partition.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any
from urllib.parse import unquote

from ae_core.errors import LakeError, UsageError
from ae_core.remote.places import Place, locate
from ae_core.remote.profiles import access

LOG = "_delta_log"
_PINNED = re.compile(r"(?P<table>.+)@v(?P<version>\d{1,18})", re.DOTALL)


@dataclass(frozen=True)
class Files:
    """The active files of a table at a version, as paths below the table, and its partition columns."""

    version: int
    paths: frozenset[str]
    columns: tuple[str, ...]


def split_version(url: str) -> tuple[str, int | None]:
    """A lake's URL without `@vN`, and that version; None where none is pinned."""
    match = _PINNED.fullmatch(url)
    return (url, None) if match is None else (match["table"], int(match["version"]))


def pinned(url: str, version: int) -> str:
    """The URL of the table at that version."""
    return f"{split_version(url)[0]}@v{version}"


def files_of(url: str) -> Files:
    """The files of the table at its pinned version, or at the newest.

    Raises
    ------
    UsageError
        When `deltalake` is not installed.
    LakeError
        When there is no such version, or files alone do not say what the table holds.
    """
    table, version = split_version(url)
    return _read(table, version) if version is None else _kept(table, version)


@lru_cache(maxsize=8)
def _kept(table: str, version: int) -> Files:
    """A version never changes."""
    return _read(table, version)


def _read(table: str, version: int | None) -> Files:
    try:
        from deltalake import DeltaTable
        from deltalake.exceptions import DeltaError
    except ImportError:
        raise UsageError(f"{table}: a Delta table needs deltalake: pip install 'latentlake[delta]'") from None
    place = locate(table)
    where = place.path if place.local else f"{place.protocol}://{place.path}"
    try:
        log = DeltaTable(where, version=version, storage_options=_options(place))
        features = log.protocol().reader_features or []
        holes = "deletionVectors" in features and _has_vectors(log)
        settings, columns = log.metadata().configuration, tuple(log.metadata().partition_columns)
        actions = log.get_add_actions(flatten=True)
        paths = [unquote(path) for path in actions.column("path").to_pylist()]
        found = log.version()
    except (DeltaError, OSError, ValueError) as error:
        at = "" if version is None else f" at version {version}"
        raise LakeError(f"{table}: the Delta table{at} cannot be read: {str(error).splitlines()[0]}") from None
    if holes:
        raise LakeError(
            f"{table}: version {found} has deletion vectors, so its files hold deleted rows: rewrite them first "
            "(REORG TABLE ... APPLY (PURGE), or an optimize that purges)"
        )
    if settings.get("delta.columnMapping.mode", "none") != "none":
        raise LakeError(f"{table}: its columns have other names in its files (delta.columnMapping.mode): not supported")
    for path in paths:
        keys = tuple(unquote(part.partition("=")[0]) for part in path.split("/")[:-1] if "=" in part)
        if "://" in path or path.startswith("/") or keys != columns:
            raise LakeError(f"{table}: {path} does not lie in a folder of its partition columns {list(columns)}")
    return Files(found, frozenset(paths), columns)


def _has_vectors(log: Any) -> bool:
    """Whether rows of any file are deleted by a vector, one that cannot be read included."""
    from deltalake.exceptions import DeltaError

    try:
        return bool(log.deletion_vectors().read_all().num_rows > 0)
    except DeltaError:
        return True


def _options(place: Place) -> dict[str, str] | None:
    """What `deltalake` opens the store with: the profile's, or nothing for the ambient credentials."""
    if place.profile is None or not place.profile.name:
        return None
    profile, given = place.profile, access(place.profile).options
    if place.protocol == "s3":
        client = given.get("client_kwargs", {})
        named = {
            "aws_endpoint_url": client.get("endpoint_url"),
            "aws_region": client.get("region_name"),
            "aws_access_key_id": given.get("key"),
            "aws_secret_access_key": given.get("secret"),
            "aws_session_token": given.get("token"),
            "aws_skip_signature": "true" if profile.anonymous else None,
        }
    elif place.protocol == "az":
        parts = _connection(given) if "connection_string" in given else given
        named = {
            "azure_storage_account_name": parts.get("account_name"),
            "azure_storage_account_key": parts.get("account_key"),
            "azure_storage_sas_token": parts.get("sas_token"),
            "azure_storage_endpoint": parts.get("endpoint"),
        }
    else:
        token = given.get("token")
        named = {"google_service_account": token if isinstance(token, str) and token != "anon" else None}
    if profile.endpoint and profile.endpoint.startswith("http://"):
        named["allow_http"] = "true"
    return {name: str(value) for name, value in named.items() if value}


def _connection(given: Mapping[str, Any]) -> dict[str, str]:
    pairs = dict(part.split("=", 1) for part in given["connection_string"].split(";") if "=" in part)
    names = {
        "AccountName": "account_name",
        "AccountKey": "account_key",
        "SharedAccessSignature": "sas_token",
        "BlobEndpoint": "endpoint",
    }
    return {names[key]: value for key, value in pairs.items() if key in names}
