"""The subcommands `alerts init`, `alerts test` and `alerts status`, and the line in `status`."""

from datetime import date
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from orchestration.cli.main import app
from paywall_warehouse.home import Home
from tests.support.alert_homes import at
from tests.support.loopback.receiver_of_alerts import alert_receiver
from warehouse.alerts.definitions import default_text, read_alerts
from warehouse.alerts.findings import Finding
from warehouse.alerts.state import State, evaluated, write_state

TEXT = """
routes: {team: {type: slack, url_env: ALERTS_URL}}
rules:
  - {name: spend, type: change, metric: provider_cost}
  - {name: quiet, type: run_failed, routes: []}
"""


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("WAREHOUSE_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    return tmp_path / "home"


def call(*arguments: str) -> Result:
    return CliRunner().invoke(app, list(arguments))


def write(home: Path, text: str = TEXT) -> None:
    Home(home).make()
    (home / "alerts.yml").write_text(text)


def test_init_writes_the_default_file_once(home: Path) -> None:
    assert call("alerts", "init").exit_code == 0
    assert (home / "alerts.yml").read_text() == default_text()
    (home / "alerts.yml").write_text("rules: []")
    again = call("alerts", "init")
    assert "stays as it is" in str(again.exception)
    assert (home / "alerts.yml").read_text() == "rules: []"


def test_test_reports_each_route(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(home)
    missing = call("alerts", "test")
    assert (missing.exit_code, missing.stdout) == (
        1,
        "team: not sent: the environment variable ALERTS_URL is not set\n",
    )
    with alert_receiver() as receiver:
        # Also from `.env`.
        Path(".env").write_text(f"ALERTS_URL={receiver.url}\n")
        sent = call("alerts", "test", "spend")
        assert (sent.exit_code, sent.stdout, sent.stderr) == (0, "team: sent\n", "")
        assert "TEST of the rule spend" in receiver.requests[0].payload["text"]
    assert "There is no rule 'spent'; there are: spend, quiet." in str(
        call("alerts", "test", "spent").exception
    )
    assert "There is no route" in str(call("alerts", "test", "quiet").exception)


def test_status_lists_rules_and_open_alerts(home: Path) -> None:
    write(home)
    rules = read_alerts(TEXT, "alerts.yml").rules
    now = at(date(2026, 10, 22))
    state = evaluated(
        State(), rules, {"spend": [Finding("usd", "Too \x1b much.")]}, {"quiet": "no table"}, now
    )
    write_state(Home(home), state)
    shown = call("alerts", "status").stdout.splitlines()
    assert [line.split() for line in shown[1:3]] == [
        ["spend", "change", "team", "1", "0", "1"],
        ["quiet", "run_failed", "none", "0", "0", "0"],
    ]
    assert shown[3:] == [
        "  ! spend: Too \\x1b much. Since 2026-10-22 02:00 UTC.",
        "  ! The rule quiet could not be evaluated: no table",
    ]
    whole = call("status").stdout
    assert "Alerts: 1 open, 1 message not delivered yet\n  ! spend: Too" in whole


def test_without_a_file_status_says_nothing_about_alerts(home: Path) -> None:
    Home(home).make()
    assert "Alert" not in call("status").stdout
    assert "`paywall-warehouse alerts init` writes it" in str(call("alerts", "status").exception)


def test_a_wrong_file_is_shown(home: Path) -> None:
    write(home, "rules: 5")
    assert "Alerts: none is evaluated." in call("status").stdout
    assert "rules: allowed: a list of rules" in str(call("alerts", "status").exception)
