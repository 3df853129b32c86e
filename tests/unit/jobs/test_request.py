"""A run's parameters are checked before anything is read, and never carry credentials."""

from __future__ import annotations

import pytest

from ae_core.errors import PolicyError, UsageError
from ae_core.jobs.request import CompressRequest
from ae_core.policy import load_policy, policy_from_range


def test_range_becomes_a_policy_text():
    request = CompressRequest.checked("lake", "archive", range_="0.01")
    assert load_policy(request.policy) == policy_from_range("0.01")


def test_policy_text_is_the_file_itself(tmp_path):
    path = tmp_path / "policy.yaml"
    path.write_text("version: 1  # mine\n")
    assert CompressRequest.checked("lake", "archive", policy=str(path)).policy == path.read_text()


def test_parameters_survive_a_json_round_trip():
    request = CompressRequest.checked("lake", "archive", range_=0.01, where=["month=3"], threads=2)
    assert CompressRequest.model_validate_json(request.model_dump_json()) == request


@pytest.mark.parametrize("arguments", [{}, {"policy": "p.yaml", "range_": "0.1"}, {"range_": "-1"}, {"range_": "nan"}])
def test_exactly_one_valid_policy(arguments):
    with pytest.raises(PolicyError):
        CompressRequest.checked("lake", "archive", **arguments)


def test_a_range_keeps_all_its_digits():
    request = CompressRequest.checked("lake", "archive", range_="0.01000000000000000000001")
    assert "0.01000000000000000000001" in request.policy


@pytest.mark.parametrize("url", ["s3://key:secret@bucket/lake", "https://token@host/x"])
def test_credentials_are_refused_and_not_repeated(url):
    with pytest.raises(UsageError) as caught:
        CompressRequest.checked(url, "archive", range_=0.01)
    assert "secret" not in str(caught.value)
    assert "token" not in str(caught.value)


@pytest.mark.parametrize(("lake", "archive"), [("lake", "lake/archive"), ("x/lake", "x"), ("lake", "lake")])
def test_archive_and_lake_may_not_nest(lake, archive):
    with pytest.raises(UsageError, match="inside each other"):
        CompressRequest.checked(lake, archive, range_=0.01)
