"""F5: every object missing in turn: an error that names it, and what does not need it stays readable."""

from __future__ import annotations

import pytest

from ae_core.archive.reader import open_snapshot
from ae_core.archive.verify import verify
from ae_core.errors import Corrupt, UsageError
from tests.hostile.golden_parts import NAMES, golden
from tests.hostile.memory_store import MemoryStore
from tests.hostile.reading import answer


def without(name: str, *files: str) -> dict[str, bytes]:
    return {file: data for file, data in golden(name).objects.items() if file not in files}


@pytest.mark.parametrize("name", NAMES)
def test_f05_a_missing_object_is_named_and_the_rest_is_readable(name):
    source = golden(name)
    for file in source.objects.keys() - source.snapshot.state.condemned:
        answers = {p: answer(source, without(name, file), p, {file}) for p in source.snapshot.partitions}
        folder = file.split("/")[0]
        if folder in ("models", "tables", "_reports", "_seen"):
            assert set(answers.values()) == {"identical"}, file
        elif folder == "partitions":
            held = [p for p in answers if f"partitions/{p}/" in file]
            assert [p for p in answers if answers[p] == "refused"] == held, file
        if folder != "_seen":
            found = {finding.name for finding in verify("memory", store=MemoryStore(without(name, file))).findings}
            assert file in found


@pytest.mark.parametrize("kind", ["models/", "tables/"])
def test_f05_both_copies_of_a_shared_object_missing_is_an_error_that_names_both(kind):
    source = golden("network")
    twins = [file for file in source.objects if file.startswith(kind)]
    objects = without("network", *twins)
    assert answer(source, objects, "month=1", twins) == "refused"
    found = {finding.name for finding in verify("memory", store=MemoryStore(objects)).findings}
    assert set(twins) <= found


def test_f05_a_gap_in_the_log_is_damage_and_a_lost_head_is_told_by_its_witness():
    source = golden("network")
    commits = sorted(file for file in source.objects if file.startswith("_commits/"))
    for gap in commits[:-1]:
        with pytest.raises(Corrupt, match=gap.removesuffix(".json")):
            open_snapshot("memory", store=MemoryStore(without("network", gap)))
    objects = without("network", commits[-1])
    assert open_snapshot("memory", store=MemoryStore(objects)).number == len(commits) - 2
    with pytest.raises(UsageError):
        open_snapshot("memory", number=len(commits) - 1, store=MemoryStore(objects))
    assert commits[-1] in {finding.name for finding in verify("memory", store=MemoryStore(objects)).findings}
