"""Whole runs with an `alerts.yml`: a failed run is reported once, its end once, and the history stays."""

from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from ingestion.erasure.erase import erase
from orchestration.automation import alerts_sensor
from paywall_warehouse.duckdb_connections import open_duckdb
from paywall_warehouse.settings import load_settings
from tests.support.builders import charge, deposit, land, ledger_file
from tests.support.harness import publish_home, run_pipeline
from tests.support.loopback.receiver_of_alerts import alert_receiver
from warehouse.build_file import drop_build_file

pytestmark = pytest.mark.slow

ALERTS = """
routes:
  pager: {type: webhook, url_env: ALERTS_URL, secret_env: ALERTS_SECRET}
rules:
  - {name: run_failed, type: run_failed}
  - {name: payment_breaks, type: breaks, of: payments}
  - {name: spend, type: change, metric: provider_cost}
  - {name: no_entries, type: silence, of: entries}
  - {name: low, type: balances, below: 100}
  - {name: revenue, type: threshold, metric: revenue, period: all_time, above: 5}
"""
TRIAL = {"reason": "trial"}
AS_OF = "2026-10-05T12:00:00Z"


def published_alerts(home: Path) -> list[tuple[Any, ...]]:
    with open_duckdb(home / "published" / "warehouse.duckdb", read_only=True) as connection:
        return connection.execute(
            """select rule, scope, value, resolved_at is null, notified_at is null,
                resolution_notified_at is null
            from ops.alerts order by rule"""
        ).fetchall()


def test_runs_report_what_opens_and_resolves_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = tmp_path / "home"
    home.mkdir(mode=0o700)
    (home / "alerts.yml").write_text(ALERTS)
    land(
        home,
        [
            ledger_file(
                "a.jsonl",
                [
                    # Promo credit needs no payment, so that there is no break.
                    deposit("d1", "2026-10-01T08:00:00Z", "50", user="user-alice", metadata=TRIAL),
                    charge("c1", "2026-10-01T09:00:00Z", "2", user="user-alice", provider_cost="1"),
                ],
            )
        ],
    )
    with alert_receiver() as receiver:
        monkeypatch.setenv("ALERTS_URL", receiver.url)
        monkeypatch.setenv("ALERTS_SECRET", "secret-of-the-signature")
        done = run_pipeline(home, as_of=AS_OF)
        assert done.exit_code == 0, done
        assert "Alerts: 1 open\n  ! low: 1 user has a balance below 100 USD." in done.output
        assert receiver.events == [("alert.opened", "low")]

        land(home, [ledger_file("bad.jsonl", [charge("c9", "2026-10-02T09:00:00Z", "no amount")])])
        failed = run_pipeline(home, as_of=AS_OF)
        assert failed.exit_code == 1, failed
        assert receiver.events[1:] == [("alert.opened", "run_failed")]
        # It fails again, before it loads.
        (home / "mappings").mkdir()
        (home / "mappings" / "vendor.yml").write_text("fields: {id: {uper: id}}\n")
        assert run_pipeline(home, as_of=AS_OF).exit_code == 1
        assert len(receiver.requests) == 2

        (home / "mappings" / "vendor.yml").unlink()
        (home / "landing" / "ledger" / "bad.jsonl").unlink()
        land(home, [ledger_file("b.jsonl", [charge("c2", "2026-10-02T09:00:00Z", "4", user="user-alice")])])
        done = run_pipeline(home, as_of=AS_OF)
        assert done.exit_code == 0, done
        # All revenue: 2 + 4.
        assert receiver.events[2:] == [("alert.resolved", "run_failed"), ("alert.opened", "revenue")]
        assert published_alerts(home) == [
            ("low", "usd", 1, True, False, True),
            ("revenue", "usd", 6, True, True, True),
            ("run_failed", "runs", 2, False, False, True),
        ]

        # The next run publishes when the messages were taken, and the one after it has nothing new.
        publish_home(home, as_of=AS_OF)
        complete = [
            ("low", "usd", 1, True, False, True),
            ("revenue", "usd", 6, True, False, True),
            ("run_failed", "runs", 2, False, False, False),
        ]
        assert published_alerts(home) == complete
        assert "Nothing new" in run_pipeline(home, as_of=AS_OF).output
        settings = load_settings(_env_file=None, warehouse_home=home, as_of=AS_OF)
        erase(settings, "user-alice", drop_build=drop_build_file)
        publish_home(home, full_refresh=True, as_of=AS_OF)
        assert published_alerts(home) == complete
        assert b"user-alice" not in settings.home.alerts_state_file.read_bytes()

        with dg.DagsterInstance.ephemeral() as instance, dg.build_sensor_context(instance) as context:
            assert alerts_sensor(settings)(context) == dg.SkipReason("the alerts were evaluated")
        assert len(receiver.requests) == 4
        assert not any(b"user-alice" in one.body for one in receiver.requests)
    for file in home.rglob("*"):
        if file.is_file():
            assert b"SECRET-PATH" not in file.read_bytes(), file
