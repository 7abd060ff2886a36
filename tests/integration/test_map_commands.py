"""The subcommands `map list`, `map show`, `map check` and `map init`."""

from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from ingestion.sources.mappings.catalog import shipped_mappings
from orchestration.cli.main import app

VENDOR = """Vorgang;Zeitpunkt;Kunde;Modell;Input tokens;Preis;Kosten;Prompt
V-1;10.11.2026 01:15;c-1;gpt-4o;1.200;0,25;0,0102;write
V-2;10.11.2026 01:16;c-2;gpt-4o;900;1.000,50;0,00102;"secret; ""x"" y"
"""


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("WAREHOUSE_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    return tmp_path / "home"


def call(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["map", *arguments])


def test_the_mappings_of_package_and_home_are_listed(home: Path) -> None:
    (home / "mappings").mkdir(parents=True)
    (home / "mappings" / "acme.yml").write_text(shipped_mappings()["litellm_spend_logs"].text)
    listed = call("list").stdout.splitlines()
    names = [line.split()[0] for line in listed[1:-1]]
    assert names == sorted([*shipped_mappings(), "acme"])
    assert "LITELLM_DATABASE_URL" in next(line for line in listed if line.startswith("acme"))


def test_a_shipped_mapping_can_be_saved_and_changed(home: Path) -> None:
    text = call("show", "lago_wallet_transactions").stdout
    assert text == shipped_mappings()["lago_wallet_transactions"].text
    (home / "mappings").mkdir(parents=True)
    own = home / "mappings" / "lago_wallet_transactions.yml"
    # As with `map show … > mappings/…`, for which the shell creates an empty file first.
    own.write_text("")
    assert call("show", "lago_wallet_transactions").stdout == text
    own.write_text(text.replace("paywall: {constant: lago}", "paywall: {constant: mine}"))
    assert "{constant: mine}" in call("show", "lago_wallet_transactions").stdout


def test_a_drafted_mapping_reads_the_file_once_its_todos_are_decided(home: Path, tmp_path: Path) -> None:
    file = tmp_path / "Vendor usage.csv"
    file.write_text(VENDOR)
    assert call("init", str(file), "--save").exit_code == 0
    mapping = home / "mappings" / "vendor_usage.yml"
    text = mapping.read_text()
    for drafted in (
        'csv: {separator: ";", decimal_comma: true}',
        "id: Vorgang",
        'timestamp: {time: Zeitpunkt, format: "%d.%m.%Y %H:%M", zone: UTC}',
        "- Prompt",
    ):
        assert drafted in text
    decided = text.replace("zone: UTC", "zone: Europe/Berlin").replace("amount: TODO_amount", "amount: Preis")
    decided = decided.replace("user: {constant: unattributed}", "user: Kunde")
    mapping.write_text(decided.replace("  preis: Preis\n", "").replace("  kunde: Kunde\n", ""))
    checked = call("check", "vendor_usage", str(file))
    assert checked.exit_code == 0, checked.output
    assert "2 records, 2 accepted, 0 rejected" in checked.stdout
    # 01:15 in Berlin is 00:15 in UTC in November.
    for value in (
        "2026-11-10 00:15:00+00",
        "amount = 1000.500000000000",
        "prompt_tokens = 1200",
        "user_id = c-2",
    ):
        assert value in checked.stdout
    assert "secret" not in checked.stdout
    assert call("init", str(file), "--save").exit_code != 0
    assert mapping.read_text() != text


def test_an_unknown_name_is_refused_with_those_that_exist(home: Path) -> None:
    for arguments in (("show", "nothing"), ("check", "nothing", "x.csv")):
        refused = call(*arguments)
        assert refused.exit_code != 0
        assert "litellm_spend_logs" in str(refused.exception)
