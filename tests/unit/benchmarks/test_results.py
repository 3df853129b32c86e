"""The tables and pictures show what was measured: ratios to the right peer, means over tables, shares of bytes read."""

import pytest

from tests.benchmarks import access, plots, results
from tests.benchmarks.access import Reading
from tests.benchmarks.command import read_below
from tests.benchmarks.peers import QUANTISED_BEST
from tests.benchmarks.results import ARCHIVE, Row


def archive(table, size, layers):
    parts = {"latents": 10, "residuals": layers - 20, "models": 20, "metadata": size - layers - 10}
    return Row(table, "0.01", ARCHIVE, size, 2.0, 3.0, 0.9, parts, layers, 12.0, 10**9)


@pytest.fixture
def rows():
    peers = [
        Row(table, "0.01", codec, size, 1.0, 1.0, 1.0)
        for table, simple, other in (("a", 200, 400), ("b", 800, 400))
        for codec, size in ((QUANTISED_BEST, simple), ("other", other))
    ]
    return [*peers[:2], archive("a", 120, 100), *peers[2:], archive("b", 480, 400)]


def test_means_are_geometric_and_against_the_simple_and_the_smallest_peer(rows):
    means = results.geometric_means(rows, "0.01")
    assert means["layers and one model / simple peer"] == pytest.approx(0.5)
    assert means["all bytes / simple peer"] == pytest.approx(0.6)
    assert means["layers and one model / smallest peer"] == pytest.approx((0.5 * 1.0) ** 0.5)
    assert means["all bytes / smallest peer"] == pytest.approx((0.6 * 1.2) ** 0.5)
    assert results.geometric_means(rows, "0") == {}


def test_the_table_shows_both_sizes_and_what_is_missing(rows):
    text = results.markdown(rows, ["something"])
    assert "Left out: something." in text
    assert "| **latentlake**, all bytes | 120 | 0.600 | 2 | 3 | 1,000 MB | 0.9000 |" in text
    assert "| – layers and one model | 100 | 0.500 |" in text
    assert "Geometric means over the tables** (2)" in text


def test_results_are_read_back_and_drawn(rows, tmp_path):
    results.write(rows, [], tmp_path)
    assert results.read(tmp_path) == rows
    for path in plots.draw(rows, tmp_path):
        assert path.read_bytes()[:4] == b"\x89PNG"


def test_only_reads_of_the_archive_count(tmp_path):
    root = tmp_path.resolve()
    trace = [
        f'12 read(3<{root}/a/b.parquet>, ""..., 100) = 60',
        f'12 pread64(4<{root}/c>, ""..., 4096, 1024) = 4096',
        f'12 read(3<{root}-other/c>, ""..., 4096) = 4096',
        '13 read(5</usr/lib/x.so>, ""..., 832) = 832',
        f"13 read(3<{root}/a>, 0x7f, 10) = -1 EINTR (Interrupted system call)",
        f"14 read(3<{root}/a>, <unfinished ...>",
        '13 read(5</usr/lib/y.so>, ""..., 832) = 832',
        '14 <... read resumed>""..., 500) = 500',
    ]
    assert read_below(tmp_path, trace) == 4656


def test_readings_are_shown_against_everything():
    readings = [
        Reading("t", access.WHOLE, 1000, 4.0, 6.0, 2000),
        Reading("t", "some", 1, 1.0, 1.5, 500),
        Reading("t", "uncounted", 1, 1.0, 1.5, None),
    ]
    text = access.markdown(readings)
    assert "| some | 1 | 1.00 | 0.250 | 1.50 | 500 | 0.250 |" in text
    assert "| uncounted | 1 | 1.00 | 0.250 | 1.50 |  |  |" in text
