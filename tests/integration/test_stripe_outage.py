"""Stripe cannot be reached, or gives nothing: how long a run waits, and what it publishes all the same."""

import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import duckdb
import pytest

from ingestion.pulls import requesting
from ingestion.pulls.failures import failed_pulls
from ingestion.stripe_pull import api as api_module
from ingestion.stripe_pull.api import Pace, StripeApi, StripeUnavailableError
from ingestion.stripe_pull.pull import pull
from orchestration.assets import stripe_pull
from orchestration.cli.status import status_lines
from paywall_warehouse.settings import Settings, SettingsError, load_settings
from tests.support.builders import deposit, land, ledger_file
from tests.support.harness import RunResult, kept_materializations, run_pipeline
from tests.support.stripe_server import Books, Options, StripeServer, running

KEY = "rk_test_topsecret"
ACTIVITY = "balance_change_from_activity.itemized.7"
NOWHERE = "http://127.0.0.1:9"
AS_OF = "2026-11-20T12:00:00Z"
LEDGER = ledger_file(
    "october.jsonl", [deposit("d1", "2026-09-01T10:00:30Z", "10", metadata={"payment_intent": "pi_1"})]
)
# As patient as in earnest but for the pauses.
PACE = Pace(
    timeout=30, between_requests=0, first_poll=0.01, longest_poll=0.02, first_backoff=0.1, longest_backoff=30
)


@pytest.fixture
def server() -> Iterator[StripeServer]:
    with running(
        Books(), KEY, Options(available_from="2026-11-01", available_until="2026-11-20", polls=0)
    ) as started:
        yield started


def settings_of(home: Path, url: str, **more: Any) -> Settings:
    return load_settings(_env_file=None, warehouse_home=home, stripe_api_key=KEY, stripe_api_base=url, **more)


def seconds_of(do: Callable[[], Any]) -> float:
    begun = time.monotonic()
    do()
    return time.monotonic() - begun


# ---- one pull and its deadline


def no_such_host(*_: Any, **__: Any) -> Any:
    raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("refused", "cannot be reached"),
        ("no such host", "cannot be reached"),
        ("hangs", "cannot be reached"),
        ("hangs with a report", "could not be downloaded"),
        ("500", "HTTP 500"),
        ("429", "HTTP 429"),
        ("429, come back in a minute", "HTTP 429"),
    ],
)
def test_the_deadline_ends_every_wait(
    tmp_path: Path, server: StripeServer, monkeypatch: pytest.MonkeyPatch, fault: str, message: str
) -> None:
    monkeypatch.setattr(requesting, "LEAST_TIMEOUT", 0.2)
    # Without a deadline: as often as there is patience for.
    monkeypatch.setattr(requesting, "TRIES", 1000)
    monkeypatch.setattr(requesting, "RATE_LIMIT_TRIES", 1000)
    monkeypatch.setattr(api_module, "DOWNLOAD_TRIES", 1000)
    for_ever: Any = None
    if fault == "no such host":
        monkeypatch.setattr(socket, "getaddrinfo", no_such_host)
    elif fault == "hangs":
        server.faults.hang("/v1/reporting", for_ever)
    elif fault == "hangs with a report":
        server.faults.hang("/v1/files", for_ever)
    elif fault == "500":
        server.faults.server_error("/v1/", for_ever)
    elif fault.startswith("429"):
        server.faults.rate_limit("/v1/", for_ever, retry_after=60 if "minute" in fault else None)
    settings = settings_of(
        tmp_path, NOWHERE if fault == "refused" else server.url, stripe_deadline_seconds=0.5
    )

    def pull_in_vain() -> None:
        with pytest.raises(StripeUnavailableError, match=message):
            pull(settings, StripeApi(settings, PACE), ACTIVITY)

    # Beyond the deadline no more than a last short request; 3 s more for a machine that is busy.
    assert seconds_of(pull_in_vain) < 0.5 + 0.2 + 3


def test_a_short_outage_is_waited_out_within_the_deadline(tmp_path: Path, server: StripeServer) -> None:
    server.faults.server_error("/v1/reporting/report_types", 2)
    settings = settings_of(tmp_path, server.url, stripe_deadline_seconds=30)
    assert len(pull(settings, StripeApi(settings, PACE), ACTIVITY).files) == 1


def test_stripes_advice_not_to_ask_again_is_followed(tmp_path: Path, server: StripeServer) -> None:
    server.faults.server_error("/v1/reporting/report_types", 2, should_retry=False)
    settings = settings_of(tmp_path, server.url)
    with pytest.raises(StripeUnavailableError, match="HTTP 500"):
        pull(settings, StripeApi(settings, PACE), ACTIVITY)
    assert server.faults.waiting == 1


# ---- whole runs


def run(home: Path, url: str, **settings: Any) -> RunResult:
    return run_pipeline(home, as_of=AS_OF, stripe_api_key=KEY, stripe_api_base=url, **settings)


def query(home: Path, sql: str) -> list[Any]:
    with duckdb.connect(str(home / "published" / "warehouse.duckdb"), read_only=True) as connection:
        return connection.execute(sql).fetchall()


@pytest.mark.slow
@pytest.mark.timeout(0)
def test_a_dead_stripe_does_not_stop_the_ledger_and_its_data_come_with_the_next_run(
    tmp_path: Path, server: StripeServer
) -> None:
    land(tmp_path, [LEDGER])
    with kept_materializations() as instance:
        result = run(tmp_path, NOWHERE, stripe_deadline_seconds=1, instance=instance)
        event = instance.get_latest_materialization_event(
            dg.AssetKey(["stripe", "balance_change_from_activity"])
        )
    assert result.exit_code == 0, result
    assert query(tmp_path, "select sum(deposits) from marts.fct_wallet_days") == [(10,)]
    assert "Reconciliation: incomplete." in result.output
    assert (
        "balance_change_from_activity.itemized is missing; it could not be pulled: Stripe cannot be reached"
        in result.output
    )
    # One has waited; the others need not.
    assert result.output.count("skipped, because") > 0
    assert event is not None
    assert event.asset_materialization is not None
    assert "Stripe cannot be reached" in str(event.asset_materialization.metadata["pull failed"].value)
    assert len(query(tmp_path, "select source from ops.failed_pulls where reason <> ''")) == 5
    settings = settings_of(tmp_path, NOWHERE)
    reported = "\n".join(status_lines(settings))
    assert "stripe/payouts.itemized could not be pulled on" in reported
    assert "Reconciliation: incomplete." in reported

    # Still dead, and nothing new: nothing is published again, and it is reported all the same.
    before = query(tmp_path, "select count(*) from ops.runs")
    result = run(tmp_path, NOWHERE, stripe_deadline_seconds=1)
    assert result.exit_code == 0, result
    assert "Nothing new" in result.output
    assert "! stripe/payouts.itemized could not be pulled on" in result.output
    assert query(tmp_path, "select count(*) from ops.runs") == before

    result = run(tmp_path, server.url)
    assert result.exit_code == 0, result
    assert "could not be pulled" not in result.output
    assert query(tmp_path, "select * from ops.failed_pulls") == []
    assert failed_pulls(settings.home) == []
    assert KEY not in result.output


@pytest.mark.soak
@pytest.mark.slow
@pytest.mark.timeout(0)
def test_one_report_that_stripe_cannot_make_makes_the_answer_incomplete(
    tmp_path: Path, server: StripeServer
) -> None:
    land(tmp_path, [LEDGER])
    server.faults.fail_run("payouts.itemized.5", "The report exceeded the size limit.", None)
    result = run(tmp_path, server.url)
    assert result.exit_code == 0, result
    assert "Reconciliation: incomplete." in result.output
    assert query(tmp_path, "select source from ops.failed_pulls") == [("stripe/payouts.itemized",)]
    assert "it could not be pulled: Stripe could not make payouts.itemized.5" in result.output
    assert "The report exceeded the size limit" in result.output
    # Whoever takes the key away asks for no pull.
    result = run_pipeline(tmp_path, as_of=AS_OF)
    assert result.exit_code == 0, result
    assert query(tmp_path, "select source from ops.failed_pulls") == []


@pytest.mark.slow
@pytest.mark.timeout(0)
def test_a_run_that_needs_stripe_publishes_nothing_without_it(tmp_path: Path) -> None:
    land(tmp_path, [LEDGER])
    result = run(tmp_path, NOWHERE, stripe_deadline_seconds=1, stripe_required=True)
    assert result.exit_code == 1
    assert "Stripe cannot be reached" in result.output
    assert "STRIPE_REQUIRED is set" in result.output
    assert not (tmp_path / "published").exists()


@pytest.mark.slow
@pytest.mark.timeout(0)
def test_without_stripe_and_without_anything_else_there_is_nothing_to_publish(tmp_path: Path) -> None:
    result = run(tmp_path, NOWHERE, stripe_deadline_seconds=1)
    assert result.exit_code == 1
    assert "Nothing else has landed" in result.output
    assert not (tmp_path / "published").exists()


def test_the_setting_is_true_or_false(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STRIPE_REQUIRED", "perhaps")
    with pytest.raises(
        SettingsError, match=r"STRIPE_REQUIRED 'perhaps' is not allowed: .*allowed: true or false"
    ):
        load_settings(_env_file=None, warehouse_home=tmp_path)


def test_a_pull_is_tried_again_until_the_deadline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Waits of 5, 15, 45 and 135 s: within 30 s there is time for two of them."""
    now, asked = [100.0], []

    def down(*_: Any, deadline: float, **__: Any) -> Any:
        asked.append((now[0], deadline))
        raise StripeUnavailableError("down")

    monkeypatch.setattr(stripe_pull, "pull", down)
    monkeypatch.setattr(stripe_pull.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(stripe_pull.time, "sleep", lambda seconds: now.__setitem__(0, now[0] + seconds))
    settings = settings_of(tmp_path, NOWHERE, stripe_deadline_seconds=30)
    warehouse = stripe_pull.Warehouse(settings, "run", None, "", False, StripeApi(settings))  # type: ignore[arg-type]
    for _ in range(2):
        with pytest.raises(StripeUnavailableError):
            stripe_pull._pull_until_deadline(warehouse, ACTIVITY, print, print)
    assert asked == [(100, 130), (105, 130), (120, 130)]
