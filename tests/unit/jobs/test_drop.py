"""drop: what it asks for, what it refuses, and that nothing of a sensitive value is left after gc."""

from __future__ import annotations

import shutil

import brotli
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import ae_core
from ae_core.archive.log import read_log
from ae_core.archive.reader import open_snapshot
from ae_core.codec import Codec
from ae_core.errors import UsageError
from ae_core.jobs.collect import collect
from ae_core.jobs.drop import drop
from ae_core.jobs.listing import archive_log

NUMBER = 987_654_321_123
CANARY = "Canary Wharf-4711"
COLUMNS = ("name", "id", "tags", "kind", "score", "day")


@pytest.fixture(scope="module")
def template(tmp_path_factory):
    """Two months; the planted values come often, so that a dictionary would hold them."""
    root = tmp_path_factory.mktemp("template")
    for month in (1, 2):
        random = np.random.default_rng(month)
        planted = random.random(80) < (0.3 if month == 1 else 0.0)
        names = [CANARY if hit else f"person {k}" for hit, k in zip(planted, random.integers(0, 5, 80), strict=True)]
        table = pa.table(
            {
                "x": np.round(random.normal(size=80), 2),
                "place": [f"P{k}" for k in random.integers(0, 4, 80)],
                "name": names,
                "id": pa.array([NUMBER if hit else k for k, hit in enumerate(planted)], pa.int64()),
                "tags": pa.array([[name] for name in names], pa.list_(pa.string())),
                "kind": pa.array(names).dictionary_encode(),
                "score": np.where(planted, float(NUMBER), 1.5),
                "day": pa.array(np.where(planted, NUMBER, 5), pa.timestamp("us")),
            }
        )
        (root / "lake" / f"month={month}").mkdir(parents=True)
        pq.write_table(table, root / "lake" / f"month={month}" / "part.parquet")
    rules = "".join(f"  {name}: {{bound: exact, sensitive: true}}\n" for name in COLUMNS)
    for name, text in (("sensitive", rules), ("open", "  name: exact\n")):
        (root / f"{name}.yaml").write_text(f"version: 1\ndefault: {{}}\ncolumns:\n{text}")
        ae_core.compress(str(root / "lake"), str(root / name), policy=str(root / f"{name}.yaml"))
    return root


@pytest.fixture
def root(template, tmp_path):
    shutil.copytree(template, tmp_path / "copy")
    return tmp_path / "copy"


def traces(archive) -> list[str]:
    """Objects in which the planted text or number is found: as bytes, unpacked, or in what a model's plan says."""
    found = []
    needles = [CANARY.encode(), NUMBER.to_bytes(8, "little"), str(NUMBER).encode(), np.float64(NUMBER).tobytes()]
    for path in sorted(path for path in archive.rglob("*") if path.is_file()):
        data = path.read_bytes()
        texts = [data]
        if path.name.endswith(".br") or path.parts[-3] == "tables":
            texts.append(brotli.decompress(data))
        if path.parts[-3] == "models":
            texts.append(repr(Codec.from_bytes(data).plan).encode())
            texts += [code.words.to_string().encode() for code in _text_codes(data)]
        if any(needle in text for needle in needles for text in texts):
            found.append(path.relative_to(archive).as_posix())
    return found


def _text_codes(model: bytes):
    for column in Codec.from_bytes(model).plan.columns:
        if hasattr(column.code, "words"):
            yield column.code


def test_no_remaining_object_holds_a_sensitive_value_after_gc(root):
    archive = root / "sensitive"
    assert CANARY in str(ae_core.open_archive(str(archive)).scan(where={"month": 1}).to_table()["name"])
    assert not [name for name in traces(archive) if name.startswith(("models/", "tables/", "_reports/", "_commits/"))]
    drop(str(archive), reason="asked for", where=["month=1"], dry_run=False)
    removed = collect(str(archive), snapshots=1, days=0, orphan_days=0)
    assert any("month=1" in entry.name for entry in removed.objects)
    assert traces(archive) == []
    assert not [path for path in archive.rglob("*") if "month=1" in path.as_posix() and path.is_file()]
    assert ae_core.verify(str(archive), deep=True).ok
    assert ae_core.open_archive(str(archive)).partitions()[0].id == "month=2"


def test_without_sensitive_the_model_would_hold_it(root):
    """The test above can fail: a value that comes often is a word of the shared model."""
    archive = root / "open"
    drop(str(archive), reason="asked for", where=["month=1"], dry_run=False)
    collect(str(archive), snapshots=1, days=0, orphan_days=0)
    assert any(name.startswith("models/") for name in traces(archive))


def test_the_reason_stays_in_the_log(root):
    archive = str(root / "open")
    result = drop(archive, reason="asked for by its owner", where=["month=2"], dry_run=False)
    commit = read_log(open_snapshot(archive).archive)[result.commit].commit
    assert (commit.note, commit.reason) == ("drop", "asked for by its owner")
    assert commit.report is None
    collect(archive, snapshots=1, days=0)
    assert archive_log(archive).commits[1].message == "drop: asked for by its owner"
    result = ae_core.compress(str(root / "lake"), archive, policy=str(root / "open.yaml"))
    assert {row.partition: row.action for row in result.partitions}["month=2"] == "compressed"


def test_nothing_is_dropped_unasked(root):
    archive = str(root / "open")
    with pytest.raises(UsageError, match="needs --where"):
        drop(archive, reason="r")
    with pytest.raises(UsageError, match="needs a reason"):
        drop(archive, reason=" ", where=["month=1"])
    assert drop(archive, reason="r", partitions=["month=1"]).commit is None
    assert len(open_snapshot(archive).partitions) == 2


def test_with_the_lake_at_hand_missing_originals_make_an_only_copy(root):
    archive, lake = str(root / "open"), root / "lake"
    assert drop(archive, reason="r", where=["month=1"], lake=str(lake)).refused == ()
    shutil.rmtree(lake / "month=1")
    result = drop(archive, reason="r", where=["month=1"], lake=str(lake), dry_run=False)
    assert (result.refused, result.commit) == (("month=1",), None)
    assert "not in the lake" in result.partitions[0].why
    done = drop(archive, reason="r", where=["month=1"], lake=str(lake), dry_run=False, only_copy_accepted=True)
    assert done.commit is not None
    assert read_log(open_snapshot(archive).archive)[done.commit].commit.only_copy
