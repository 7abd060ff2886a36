"""`status`: the sources in use, and rejects. Those of corrected or removed files are counted apart."""

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


def test_only_sources_with_files_have_a_row(tmp_path: Path) -> None:
    settings = load_settings(_env_file=None, warehouse_home=tmp_path)
    assert "source" not in {line.split(" ")[0] for line in status_lines(settings)}
    for folder, content in {"ledger": jsonl([charge("a", NOON)]), "bills/openai_costs": b"{}"}.items():
        (settings.home.landing / folder).mkdir(parents=True)
        (settings.home.landing / folder / "a.jsonl").write_bytes(content)
    load(settings, "ledger")
    shown = list(status_lines(settings))
    begin = next(number for number, line in enumerate(shown) if line.startswith("source "))
    ledger, bills, unused = (line.split() for line in shown[begin + 1 : begin + 4])
    assert (ledger[:2], ledger[-1]) == (["ledger", "1"], "0")
    assert bills == ["bills/openai_costs", "0", "never", "1"]
    assert unused[:4] == ["No", "files", "yet:", "events,"]
