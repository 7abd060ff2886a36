"""`status`: the rejects of files that were corrected or removed are counted apart."""

from pathlib import Path

from orchestration.cli.status import status_lines
from paywall_warehouse.settings import load_settings
from tests.support.builders import charge, jsonl
from tests.support.ingestion import load

NOON = "2026-10-01T12:00:00Z"


def test_rejects_of_a_corrected_file_are_counted_apart(tmp_path: Path) -> None:
    settings = load_settings(_env_file=None, warehouse_home=tmp_path)
    folder = settings.home.landing / "ledger"
    folder.mkdir(parents=True)
    bad = [charge("a", "yesterday"), charge("b", NOON), charge("c", NOON, "x"), charge("d", "today")]
    (folder / "a.jsonl").write_bytes(jsonl(bad))
    (folder / "b.jsonl").write_bytes(jsonl([charge("e", NOON, "y")]))
    load(settings, "ledger")
    shown = list(status_lines(settings))
    assert "Rejected records: 4" in shown
    assert not [line for line in shown if "corrected or removed" in line]

    (folder / "a.jsonl").write_bytes(jsonl([charge("a", NOON)]))
    load(settings, "ledger")
    shown = list(status_lines(settings))
    place = shown.index("Rejected records: 1")
    assert "bad_amount" in shown[place + 1]
    assert "ledger/b.jsonl:1" in shown[place + 1]
    assert shown[place + 2 :] == ["  3 more of files that were corrected or removed since"]

    (folder / "b.jsonl").unlink()
    shown = list(status_lines(settings))
    assert shown[-2:] == [
        "Rejected records: none",
        "  4 more of files that were corrected or removed since",
    ]
