"""A publication as pages read it: results are kept, within limits, and never for another publication."""

import os
from pathlib import Path

import duckdb
import pytest

from dashboard import snapshot as snapshots
from dashboard.snapshot import Publications, Snapshot


def write(file: Path, revenue: int) -> None:
    """Publish a file with one number and what every publication has."""
    new = file.with_suffix(".new")
    with duckdb.connect(str(new)) as connection:
        connection.execute("create schema marts")
        connection.execute(f"create table marts.numbers as select {revenue} as revenue")
        connection.execute("create macro marts.kpis(until := null) as table select until")
    os.replace(new, file)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    write(tmp_path / "warehouse.duckdb", 7)
    return tmp_path / "warehouse.duckdb"


def publications(file: Path) -> Publications:
    return Publications(file, file.with_name("spill"))


def opened(published: Publications) -> Snapshot:
    snapshot = published.current()
    assert snapshot is not None
    return snapshot


COUNTED = "select ? as n, random() as once"


def test_a_result_is_kept_for_the_same_values_only(file: Path) -> None:
    snapshot = opened(publications(file))
    one, same, other = (snapshot.rows(COUNTED, [value]) for value in (1, 1, 2))
    assert one == same
    assert (one[0]["n"], other[0]["n"]) == (1, 2)
    assert one[0]["once"] != other[0]["once"]
    assert snapshot.rows("select ? as n", [["a", "b"]]) == [{"n": ["a", "b"]}]
    assert snapshot.rows("select ? as n", [["a"]]) == [{"n": ["a"]}]


def test_a_change_of_the_returned_rows_changes_no_kept_result(file: Path) -> None:
    snapshot = opened(publications(file))
    rows = snapshot.rows("select revenue from marts.numbers")
    rows[0]["revenue"] = 8
    assert snapshot.rows("select revenue from marts.numbers") == [{"revenue": 7}]


def test_the_results_that_were_used_last_are_kept(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    snapshot = opened(publications(file))
    monkeypatch.setattr(snapshots, "CACHED_RESULTS", 2)
    first, second = (snapshot.rows(COUNTED, [value]) for value in (1, 2))
    assert snapshot.rows(COUNTED, [1]) == first
    snapshot.rows(COUNTED, [3])
    assert snapshot.rows(COUNTED, [1]) == first
    assert snapshot.rows(COUNTED, [2]) != second


def test_the_values_of_all_results_are_limited(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each result has 1000 rows of 2 values."""
    snapshot = opened(publications(file))
    monkeypatch.setattr(snapshots, "CACHED_VALUES", 6000)
    results = [snapshot.rows(f"{COUNTED} from range(1000)", [value]) for value in range(4)]
    assert snapshot._results.values == 6000
    assert snapshot.rows(f"{COUNTED} from range(1000)", [3]) == results[3]
    assert snapshot.rows(f"{COUNTED} from range(1000)", [0]) != results[0]
    monkeypatch.setattr(snapshots, "CACHED_VALUES", 1000)
    assert len(snapshot.rows(f"{COUNTED} from range(1000)", [4])) == 1000
    assert snapshot._results.values == 0


def test_a_new_publication_has_its_own_results(file: Path) -> None:
    published = publications(file)
    before = opened(published)
    assert before.rows("select revenue from marts.numbers") == [{"revenue": 7}]
    write(file, 70)
    after = opened(published)
    assert after.rows("select revenue from marts.numbers") == [{"revenue": 70}]
    # A page that has begun keeps its numbers.
    assert before.rows("select revenue from marts.numbers") == [{"revenue": 7}]
