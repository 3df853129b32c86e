"""What doctor says of a disk, of clocks, and of a store that lies or does not answer."""

from __future__ import annotations

import json
import time

import pytest

from ae_core.archive.local import LocalStore
from ae_core.archive.probes import create_in_a_race, create_once, list_after_write, prove, read_after_write
from ae_core.errors import StoreUnreachable, StoreUnsafe
from ae_core.jobs import doctor as module
from ae_core.jobs.doctor import doctor
from flows.cli.app import run


def test_a_disk_is_safe_and_left_as_it_was(tmp_path, capsys):
    report = doctor(str(tmp_path / "not" / "there"))
    assert report.safe
    assert report.conditional_delete
    assert report.identity.startswith("user ")
    assert list(tmp_path.iterdir()) == []
    assert run(["doctor", str(tmp_path), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["safe"] is True
    assert run(["doctor", str(tmp_path)]) == 0
    assert "safe to commit to" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("skew", "ok", "text"), [(0, True, "as this"), (3600, False, "3600 s ahead"), (-60, True, "60 s behind")]
)
def test_a_clock_that_is_off_is_told(tmp_path, monkeypatch, skew, ok, text):
    """F11: grace times count by the store's clock; a difference alone makes no store unsafe."""
    monkeypatch.setattr(LocalStore, "clock", lambda _: time.time() + skew)
    report = doctor(str(tmp_path))
    assert report.safe
    assert abs((report.clock_skew or 0) - skew) < 5
    assert (report.checks[-1].ok, text in report.checks[-1].detail) == (ok, True)


class Overwrites(LocalStore):
    """Creates what exists already."""

    def _publish(self, name, pieces):
        (self._root / name).parent.mkdir(parents=True, exist_ok=True)
        (self._root / name).write_bytes(b"".join(pieces))


class Forgets(LocalStore):
    """Does not read what was just written."""

    def read(self, name, limit):
        return None


class Hides(LocalStore):
    """Does not list what was just written."""

    def list(self, prefix):
        return iter(())


@pytest.mark.parametrize(
    ("kind", "broken"),
    [
        (Overwrites, {create_once, create_in_a_race}),
        (Forgets, {create_once, create_in_a_race, read_after_write}),
        (Hides, {list_after_write}),
    ],
)
def test_each_proof_fails_on_the_store_that_lacks_it(tmp_path, kind, broken):
    store = kind(tmp_path)
    failed = {proof for proof in (create_once, create_in_a_race, read_after_write, list_after_write) if proof(store)}
    assert failed == broken
    with pytest.raises(StoreUnsafe, match="latentlake doctor"):
        prove(store)


def test_a_store_without_an_answer_is_not_safe(tmp_path, monkeypatch):
    class Silent(LocalStore):
        def create(self, name, data):
            raise StoreUnreachable("no answer")

    monkeypatch.setattr(module, "open_store", lambda _: Silent(tmp_path))
    report = doctor(str(tmp_path))
    assert not report.safe
    assert "no answer" in report.checks[0].detail
