"""What an archive says of its losses is the same whether it is read from the archive alone or measured anew."""

from __future__ import annotations

import shutil

import numpy as np
import pytest

from ae_core.dataset import open_archive
from ae_core.errors import OutputExists
from ae_core.jobs import audit as audits
from ae_core.jobs.commit import commit_batch
from ae_core.jobs.encode import encode_partition
from ae_core.jobs.listing import list_archive, show_partition


def _committed(run) -> str:
    _, found, prepared = run
    commit_batch(prepared, [encode_partition(prepared, partition, threads=1) for partition in found.due])
    return prepared.archive


def test_page_data_of_the_archive_alone_are_those_of_the_originals(run, lake, monkeypatch, tmp_path):
    archive = _committed(run)
    seen = []

    class Page:
        def __init__(self, html, source, partitions, *, whole, redacted):
            seen.append({})

        def add(self, certificate, detail, *, problem):
            seen[-1][certificate.partition] = detail

        def finish(self):
            pass

        discard = finish

    monkeypatch.setattr(audits, "PageFile", Page)
    assert audits.audit(archive, lake=str(lake), html=str(tmp_path / "page.html")).ok
    shutil.rmtree(lake)
    assert audits.audit(archive, html=str(tmp_path / "page.html")).ok
    measured, kept = seen
    assert measured.keys() == kept.keys() == {"month=1", "month=2"}
    for month, wanted in measured.items():
        found = kept[month]
        assert wanted.worst_rows
        assert found.worst_rows == wanted.worst_rows
        assert [column.histogram is None for column in found.columns] == [False, True]
        assert found.columns[0].histogram.rebuilt == wanted.columns[0].histogram.rebuilt
        for one, two in (
            (found.columns[0].errors, wanted.columns[0].errors),
            (found.columns[0].histogram.original, wanted.columns[0].histogram.original),
        ):
            assert np.abs(np.cumsum(one) - np.cumsum(two)).max() <= max(two) / 34 + 1


def test_the_page_is_of_all_partitions_even_where_few_are_audited(run, tmp_path):
    archive = _committed(run)
    page = tmp_path / "page.html"
    assert len(audits.audit(archive, html=str(page), sample=0.5).partitions) == 1
    text = page.read_text()
    assert "as recorded" in text
    assert ">proved<" in text
    assert len(list((tmp_path / "page.pages" / "partitions").iterdir())) == 2
    assert not list(tmp_path.glob(".*"))
    page.unlink()
    with pytest.raises(OutputExists, match=r"page\.pages"):
        audits.audit(archive, html=str(page))


def test_certificates_are_those_that_a_fresh_measurement_gives(run, lake):
    archive = _committed(run)
    for partition in open_archive(archive).partitions():
        original = next(one for one in run[1].due if one.id == partition.id)
        _, measured, _ = audits._measure(partition, original, partition.certificate, 1)
        assert measured == partition.certificate
        shown = show_partition(archive, partition.id)
        assert shown.certificate == partition.certificate.to_dict()
        assert [column["coded"]["reason"] for column in shown.certificate["columns"]]
        assert {column["coded"]["coder"] for column in shown.certificate["columns"]} <= {"plain", "mixing"}
    ratios = [row.worst_ratio for row in list_archive(archive).partitions]
    assert ratios == [p.certificate.verdict().worst_ratio for p in open_archive(archive).partitions()]
