"""What a URL means: a local path, a place in an object store, or one of those through a named store profile.

`s3://bucket/path`, `az://container/path` and `gs://bucket/path` use the ambient credentials of their cloud;
`NAME://bucket/path` uses the store profile NAME of the settings file. A URL never carries credentials: it is written
into reports, logs and Prefect's database as it is.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from pathlib import Path

from ae_core.errors import UsageError
from ae_core.remote.profiles import PROTOCOLS, StoreProfile, load_profiles, settings_file

_ALIASES = {"s3": "s3", "s3a": "s3", "az": "az", "abfs": "az", "abfss": "az", "gs": "gs", "gcs": "gs"}
_LOCAL = ("file", "local")
_SCHEME = re.compile(r"(?P<scheme>[A-Za-z][A-Za-z0-9+._-]*)://(?P<rest>.*)", re.DOTALL)
_IN_TEXT = re.compile(r"(?P<scheme>[A-Za-z][A-Za-z0-9+._-]*)://(?P<rest>[^\s'\"]*)")
_TOKEN = re.compile(
    r"(?i)(?P<name>(?:account|shared)\w*key|\bsig|x-amz-(?:signature|security-token|credential))=(?P<value>[^&;\s'\"]*)"
)
_ACCOUNT = re.compile(
    r"(?P<container>[^@:/]+)@(?P<account>[A-Za-z0-9]+)\.(?:dfs|blob)\.core\.windows\.net(?P<path>/.*|)"
)
_PORT = re.compile(r"[^@:]*(?::[0-9]+)?")


@dataclass(frozen=True)
class Place:
    """Where a URL leads: `protocol` is "file", "s3", "az", "gs" or one that only fsspec knows; `path` its path there.

    `profile` says with which credentials and endpoint; for an object store it is always there.
    """

    url: str
    protocol: str
    path: str
    profile: StoreProfile | None = None

    @property
    def local(self) -> bool:
        """Whether it is a path of this machine."""
        return self.protocol == "file"

    @property
    def remote(self) -> bool:
        """Whether it is in an object store that archives can live in."""
        return self.protocol in PROTOCOLS

    @property
    def spot(self) -> tuple[str, str]:
        """The same for two URLs of one place, as far as the text can tell: the store, and the path with a slash."""
        if self.local:
            return "file", f"{Path(self.path).resolve()}/"
        endpoint = self.profile.endpoint if self.profile else None
        account = self.profile.account if self.profile else None
        return f"{self.protocol} {endpoint} {account}", f"{self.path}/"


def locate(url: str) -> Place:
    """The place that a path or URL means; nothing is opened.

    Raises
    ------
    UsageError
        When the URL holds credentials, or the settings file or the profile it names is malformed.
    """
    refuse_credentials(url)
    match = _SCHEME.fullmatch(url)
    if match is None:
        return Place(url, "file", url)
    scheme, rest = match["scheme"], match["rest"]
    if scheme in _LOCAL:
        return Place(url, "file", rest)
    if scheme in _ALIASES:
        protocol = _ALIASES[scheme]
        profile = StoreProfile("", protocol)
        account = _ACCOUNT.fullmatch(rest) if protocol == "az" else None
        if account is not None:
            return Place(
                url,
                protocol,
                _tidy(account["container"] + account["path"], url),
                replace(profile, account=account["account"]),
            )
        return Place(url, protocol, _tidy(rest, url), profile)
    profiles = load_profiles()
    if scheme in profiles:
        return Place(url, profiles[scheme].protocol, _tidy(rest, url), profiles[scheme])
    return Place(url, scheme, rest)


def unsupported(place: Place, what: str) -> UsageError:
    """The error for a protocol that `what` (archives, OUT) cannot be on."""
    return UsageError(
        f"{what} on {place.protocol}:// are not supported: give a local path, an s3://, az:// or gs:// URL, or "
        f"NAME://bucket/path with the name of a store profile of {settings_file()}"
    )


def refuse_credentials(url: str) -> None:
    """Refuse a URL with a user name, password, key or token in it: URLs are stored and shown in plain text.

    Raises
    ------
    UsageError
        When there may be one; the message does not repeat the URL.
    """
    match = _SCHEME.search(url)
    if match is None:
        return
    rest = match["rest"]
    if _has_user(match):
        raise UsageError(
            "a URL holds credentials before an @: leave them out; the ambient ones of the cloud are used, or those "
            "that a store profile names (see Stores in infra/README.md)"
        )
    if "?" in rest or _TOKEN.search(rest):
        raise UsageError(
            "a URL holds a query, such as a SAS token or a signature: leave it out; a store profile names the "
            "environment variable that holds it (see Stores in infra/README.md)"
        )


def hide_credentials(text: str) -> str:
    """A message without what may be a credential in the URLs that it repeats."""

    def hidden(match: re.Match[str]) -> str:
        return f"{match['scheme']}://***@{match['rest'].rpartition('@')[2]}" if _has_user(match) else match[0]

    return _TOKEN.sub(lambda match: f"{match['name']}=***", _IN_TEXT.sub(hidden, text))


def _has_user(match: re.Match[str]) -> bool:
    """Whether there is something before an @ in a URL that is no container of Azure's."""
    rest = match["rest"]
    if match["scheme"] in _ALIASES and _ACCOUNT.fullmatch(rest):
        return False
    return not _PORT.fullmatch(rest.split("/", 1)[0]) or bool(re.search(r"^[^/]*:[^@]*@", rest))


def _tidy(path: str, url: str) -> str:
    """Bucket and key without slashes at the ends."""
    path = path.rstrip("/")
    if not path or path.startswith("/") or "//" in path or any(part in (".", "..") for part in path.split("/")):
        raise UsageError(f"{url}: an object store's URL is PROTOCOL://BUCKET/PATH, without empty parts, . or ..")
    return path
