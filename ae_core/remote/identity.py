"""Whose credentials a store was asked with, in words that give none of them away."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ae_core.remote.objects import Objects


def identity_of(objects: Objects) -> str:
    """The identity as far as its client knows it, and where it came from; never a secret."""
    profile = objects.place.profile
    assert profile is not None
    try:
        who = {"s3": _s3, "az": _azure, "gs": _google}[profile.protocol](objects)
    except Exception as error:  # an answer to "who am I" must not fail for want of one
        who = f"unknown ({type(error).__name__})"
    if not profile.name:
        return f"{who} (ambient credentials)"
    named = f", from {', '.join(profile.variables)}" if profile.variables else ""
    return f"{who} (store profile {profile.name}{named})"


def _s3(objects: Objects) -> str:
    if objects.access.options.get("anon"):
        return "anonymous"
    if key := objects.access.options.get("key"):
        return f"access key {_shortened(key)}"
    credentials: Any = objects._request(10.0, _s3_credentials, objects.fs)
    if credentials is None:
        return "nobody: no credentials were found"
    return f"access key {_shortened(credentials.access_key)} found by {credentials.method}"


async def _s3_credentials(fs: Any) -> Any:
    await fs.set_session()
    return await fs.session.get_credentials()


def _azure(objects: Objects) -> str:
    fs, options = objects.fs, objects.access.options
    account = getattr(fs.service_client, "account_name", None) or fs.account_name
    if "connection_string" in options:
        how = "a shared access signature" if "SharedAccessSignature" in options["connection_string"] else "account key"
    elif fs.account_key:
        how = "account key"
    elif fs.sas_token:
        how = "a shared access signature"
    elif fs.credential is not None:
        how = type(fs.credential).__name__
    else:
        how = "anonymous"
    return f"account {account}, {how}"


def _google(objects: Objects) -> str:
    credentials = objects.fs.credentials.credentials
    if credentials is None:
        return "anonymous"
    email = getattr(credentials, "service_account_email", None) or getattr(credentials, "account", None)
    return f"{email or type(credentials).__name__}"


def _shortened(key: str) -> str:
    """Enough of an access key id to tell it from another; a short one is not repeated at all."""
    return f"{key[:4]}…{key[-4:]}" if len(key) >= 16 else f"of {len(key)} characters"
