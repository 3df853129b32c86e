"""What an error of s3fs, adlfs or gcsfs means: each client has its own errors for the same few outcomes."""

from __future__ import annotations

from collections.abc import Iterator
from enum import Enum


class Failure(Enum):
    """The outcomes that callers tell apart."""

    MISSING = "missing"
    TAKEN = "taken"
    """A condition did not hold: the name is taken, or the version is another one."""
    DENIED = "denied"
    SKEWED = "skewed"
    """Denied because this machine's clock is off."""
    EMPTY = "empty"
    """A range was asked of an object that has no byte there."""
    PASSING = "passing"
    """No answer, half an answer, throttling, or a fault of the server: the request may have been carried out."""
    OTHER = "other"


_CODES = {
    "PreconditionFailed": Failure.TAKEN,
    "ConditionalRequestConflict": Failure.TAKEN,
    "ConditionNotMet": Failure.TAKEN,
    "BlobAlreadyExists": Failure.TAKEN,
    "NoSuchKey": Failure.MISSING,
    "NoSuchBucket": Failure.MISSING,
    "InvalidRange": Failure.EMPTY,
    "RequestTimeTooSkewed": Failure.SKEWED,
    "ExpiredToken": Failure.DENIED,
    "InvalidAccessKeyId": Failure.DENIED,
    "SignatureDoesNotMatch": Failure.DENIED,
    "SlowDown": Failure.PASSING,
    "RequestTimeout": Failure.PASSING,
}
_STATUS = {
    401: Failure.DENIED,
    403: Failure.DENIED,
    404: Failure.MISSING,
    408: Failure.PASSING,
    409: Failure.TAKEN,
    412: Failure.TAKEN,
    416: Failure.EMPTY,
    429: Failure.PASSING,
}
_NO_CREDENTIALS = {
    "NoCredentialsError",
    "PartialCredentialsError",
    "DefaultCredentialsError",
    "ClientAuthenticationError",
    "CredentialUnavailableError",
    "RefreshError",
}
_CLIENTS = ("aiohttp", "botocore", "aiobotocore", "azure", "requests", "urllib3", "google")


def failure_of(error: BaseException) -> Failure:
    """What the error of a client means."""
    chain = list(_chain(error))
    for one in chain:
        code, status = _code(one), _status(one)
        if code in _CODES:
            return _CODES[code]
        if status is not None:
            return _STATUS.get(status, Failure.PASSING if status >= 500 else Failure.OTHER)
    for one in chain:
        if isinstance(one, FileExistsError):
            return Failure.TAKEN
        if isinstance(one, FileNotFoundError):
            return Failure.MISSING
        if isinstance(one, PermissionError) or type(one).__name__ in _NO_CREDENTIALS:
            return Failure.DENIED
        if isinstance(one, OSError) and str(one).startswith("Forbidden"):  # gcsfs: a 403 without its status
            return Failure.DENIED
        if isinstance(one, OSError) and "not satisfiable" in str(one):
            return Failure.EMPTY
    waits = (TimeoutError, ConnectionError, OSError)
    if any(isinstance(one, waits) or type(one).__module__.split(".")[0] in _CLIENTS for one in chain):
        return Failure.PASSING
    return Failure.OTHER


def first_line(error: BaseException) -> str:
    """What a client says, as one line."""
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return lines[0].strip().rstrip(".")[:300]


def _chain(error: BaseException) -> Iterator[BaseException]:
    """The error and its causes; a context may be anything that a caller was handling at the time."""
    current: BaseException | None = error
    while current is not None:
        yield current
        current = current.__cause__


def _code(error: BaseException) -> str:
    response = getattr(error, "response", None)
    if isinstance(response, dict):
        return str(response.get("Error", {}).get("Code", ""))
    code = getattr(error, "error_code", "")  # Azure: a str that is an enum
    return str(getattr(code, "value", code))


def _status(error: BaseException) -> int | None:
    response = getattr(error, "response", None)
    if isinstance(response, dict):
        found = response.get("ResponseMetadata", {}).get("HTTPStatusCode")
    else:
        found = next((getattr(error, name) for name in ("status_code", "status", "code") if hasattr(error, name)), None)
    return int(found) if isinstance(found, int | str) and str(found).isdecimal() else None
