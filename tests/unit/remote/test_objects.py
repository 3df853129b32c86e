"""Errors of the clients in the words of the archive, and the requests that no emulator proves."""

from __future__ import annotations

import asyncio
import threading

import pytest

from ae_core.errors import StoreUnreachable, StoreUnsafe, UsageError
from ae_core.remote import objects as module
from ae_core.remote.failures import Failure, failure_of
from ae_core.remote.objects import Objects, Patience
from ae_core.remote.places import locate


class ClientError(Exception):
    def __init__(self, status, code):
        super().__init__(f"An error occurred ({code})")
        self.response = {"Error": {"Code": code}, "ResponseMetadata": {"HTTPStatusCode": status}}


class HttpError(Exception):
    def __init__(self, code):
        super().__init__("http")
        self.code = code


def caused(error, cause):
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    ("error", "failure"),
    [
        (FileExistsError("x"), Failure.TAKEN),
        (caused(OSError(22, "EINVAL"), ClientError(412, "PreconditionFailed")), Failure.TAKEN),
        (caused(OSError(22, "x"), ClientError(409, "ConditionalRequestConflict")), Failure.TAKEN),
        (caused(PermissionError("x"), ClientError(403, "RequestTimeTooSkewed")), Failure.SKEWED),
        (caused(PermissionError("x"), ClientError(403, "AccessDenied")), Failure.DENIED),
        (caused(OSError(16, "x"), ClientError(503, "SlowDown")), Failure.PASSING),
        (caused(OSError(5, "x"), ClientError(500, "InternalError")), Failure.PASSING),
        (caused(FileNotFoundError("x"), ClientError(404, "NoSuchBucket")), Failure.MISSING),
        (OSError("Forbidden: https://host/x"), Failure.DENIED),
        (HttpError(429), Failure.PASSING),
        (HttpError("503"), Failure.PASSING),
        (HttpError(404), Failure.MISSING),
        (TimeoutError(), Failure.PASSING),
        (ConnectionResetError(), Failure.PASSING),
        (ValueError("Bad Request"), Failure.OTHER),
    ],
)
def test_what_an_error_means(error, failure):
    assert failure_of(error) is failure


def test_what_was_handled_at_the_time_is_no_cause():
    def raised():
        try:
            raise FileExistsError("something else")
        except FileExistsError:
            raise FileNotFoundError("x")  # noqa: B904

    with pytest.raises(FileNotFoundError) as found:
        raised()
    assert failure_of(found.value) is Failure.MISSING


class Client:
    """An fsspec filesystem of which only the asked coroutine matters."""

    def __init__(self):
        self.loop = asyncio.new_event_loop()
        threading.Thread(target=self.loop.run_forever, daemon=True).start()
        self.calls = []
        self.failures = []

    async def _call(self, *args, **more):
        self.calls.append((args, more))

    async def _cat_file(self, path, start, end):
        self.calls.append(path)
        if self.failures:
            raise self.failures.pop(0)
        return b"data"

    async def _pipe_file(self, path, data, mode):
        self.calls.append(path)
        await asyncio.sleep(30)


@pytest.fixture
def client(monkeypatch):
    made = Client()
    monkeypatch.setattr(module, "_filesystem", lambda *_: made)
    return made


def test_a_google_object_is_deleted_on_condition_of_its_generation(client):
    """No emulator honours it, so at least the request has to carry it."""
    assert Objects(locate("gs://bucket/x")).delete_version("bucket/a/b", "17") == "deleted"
    assert client.calls == [(("DELETE", "b/{}/o/{}", "bucket", "a/b"), {"ifGenerationMatch": "17"})]


def test_a_busy_store_is_asked_again_within_the_deadline(client):
    objects = Objects(locate("s3://bucket/x"), Patience(1, 2))
    client.failures = [TimeoutError(), ConnectionResetError(), HttpError(503)]
    assert objects.read("bucket/x", 0, 4) == b"data"
    assert len(client.calls) == 4
    client.failures = [HttpError(503) for _ in range(1000)]
    with pytest.raises(StoreUnreachable, match="no answer in 2 s"):
        objects.read("bucket/x", 0, 4)


def test_what_repeating_cannot_change_is_asked_once(client):
    objects = Objects(locate("s3://bucket/x"))
    client.failures = [ValueError("Bad Request")]
    with pytest.raises(StoreUnsafe, match="Bad Request"):
        objects.read("bucket/x", 0, 4)
    assert len(client.calls) == 1


def test_a_create_is_one_request_whose_outcome_may_be_unknown(client):
    objects = Objects(locate("s3://bucket/x"), Patience(0.2, 5))
    with pytest.raises(TimeoutError):
        objects.create("bucket/x", b"x")
    assert client.calls == ["bucket/x"]


def test_a_missing_client_names_the_extra_to_install(monkeypatch):
    import fsspec

    def missing(*_args, **_more):
        raise ImportError("no s3fs")

    monkeypatch.setattr(fsspec, "filesystem", missing)
    with pytest.raises(UsageError, match=r"pip install 'latentlake\[s3\]'"):
        Objects(locate("s3://bucket/x"), Patience())
