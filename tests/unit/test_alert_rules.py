"""Each rule finds its fault on hand-made tables on the first evaluation; a usual year raises no alarm."""

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import duckdb
import pytest

from ingestion.lake.batches import FileRecord, Manifest
from paywall_warehouse.home import Home
from tests.support.alert_homes import add_days, at, publication, restate, rhythm, set_today
from tests.support.shared import in_soak
from warehouse.alerts.definitions import AlertsFile, default_text, read_alerts
from warehouse.alerts.evaluate import EVALUATORS, needs_publication
from warehouse.alerts.findings import Evaluation, Finding
from warehouse.alerts.silence import usual_gap
from warehouse.runs import FAILED, PUBLISHED, Run

TODAY = date(2026, 10, 22)
YESTERDAY = TODAY - timedelta(days=1)
DEFAULTS = read_alerts(default_text(), "default")


@pytest.fixture
def tables() -> Iterator[duckdb.DuckDBPyConnection]:
    """A year of two currencies, with everything in order."""
    with publication(TODAY) as connection:
        first = TODAY - timedelta(days=365)
        add_days(connection, rhythm(first, 365, 7))
        yield connection


def found(
    connection: duckdb.DuckDBPyConnection,
    home: Path,
    rules: AlertsFile | str = DEFAULTS,
    runs: tuple[Run, ...] = (),
    now: datetime | None = None,
) -> dict[str, list[Finding]]:
    """Return what each rule finds, without the rules that find nothing."""
    alerts_file = read_alerts(rules, "alerts.yml") if isinstance(rules, str) else rules
    evaluation = Evaluation(Home(home), now or at(TODAY), runs, connection)
    findings = {rule.name: list(EVALUATORS[rule.kind](evaluation, rule)) for rule in alerts_file.rules}
    return {name: some for name, some in findings.items() if some}


def run(status: str = PUBLISHED, new: int = 100, rejected: int = 0, reason: str | None = None) -> Run:
    return Run("run", at(TODAY), at(TODAY), at(TODAY), status, new, rejected, "1", reason)


@pytest.mark.parametrize("step", [5, *in_soak(1)])
def test_every_day_of_a_usual_year_is_quiet_with_the_default_rules(tmp_path: Path, step: int) -> None:
    """In steps of days that come to every day of the week."""
    first = date(2025, 1, 1)
    with publication(first) as connection:
        add_days(connection, rhythm(first, 366, 11))
        add_days(connection, rhythm(first + timedelta(days=60), 306, 12, noise=0.15), "eur")
        for number in range(1, 367, step):
            today = first + timedelta(days=number)
            set_today(connection, today)
            assert found(connection, tmp_path, runs=(run(),), now=at(today)) == {}, today


def test_a_margin_that_falls_by_a_third_is_found(tables: duckdb.DuckDBPyConnection, tmp_path: Path) -> None:
    assert found(tables, tmp_path) == {}
    # Profit falls by 30 %: so much more cost.
    restate(tables, YESTERDAY, lambda revenue, cost: (revenue, cost + (revenue - cost) * Decimal("0.3")))
    findings = found(tables, tmp_path)
    assert list(findings) == ["margin_falls"]
    (finding,) = findings["margin_falls"]
    assert finding.scope == "usd"
    assert finding.value is not None
    assert finding.expected is not None
    assert finding.value < finding.expected * Decimal("0.8")
    assert "margin of Wednesday 2026-10-21 was" in finding.summary


def test_spend_times_five_is_found_with_exact_values(
    tables: duckdb.DuckDBPyConnection, tmp_path: Path
) -> None:
    before = tables.execute(
        "select provider_cost from marts.fct_daily_revenue where date_day = ?", [YESTERDAY]
    ).fetchall()[0][0]
    restate(tables, YESTERDAY, lambda revenue, cost: (revenue * 5, cost * 5))
    findings = found(tables, tmp_path)
    assert list(findings) == ["spend_jumps"]
    assert findings["spend_jumps"][0].value == before * 5
    costs = tables.execute(
        """select provider_cost from marts.fct_daily_revenue
        where datediff('day', date_day, ?) in (7, 14, 21, 28, 35, 42, 49, 56) order by 1""",
        [YESTERDAY],
    ).fetchall()
    assert findings["spend_jumps"][0].expected == (costs[3][0] + costs[4][0]) / 2


def test_revenue_that_stops_is_found_and_today_never_counts(
    tables: duckdb.DuckDBPyConnection, tmp_path: Path
) -> None:
    add_days(tables, {TODAY: (Decimal(1), Decimal(900_000))})
    assert found(tables, tmp_path) == {}
    add_days(tables, rhythm(TODAY - timedelta(days=200), 200, 9), "eur")
    tables.execute("delete from marts.fct_daily_revenue where date_day = ? and currency = 'eur'", [YESTERDAY])
    findings = found(tables, tmp_path)
    assert list(findings) == ["revenue_falls"]
    assert [one.scope for one in findings["revenue_falls"]] == ["eur"]


def test_a_day_that_has_not_landed_yet_is_not_compared(
    tables: duckdb.DuckDBPyConnection, tmp_path: Path
) -> None:
    tables.execute("delete from marts.fct_daily_revenue where date_day = ?", [YESTERDAY])
    assert found(tables, tmp_path) == {}
    # The day before it is then the last one, also tomorrow.
    restate(tables, YESTERDAY - timedelta(days=1), lambda revenue, cost: (revenue / 5, cost / 5))
    assert list(found(tables, tmp_path)) == ["revenue_falls"]


def test_a_rule_may_wait_for_late_files(tables: duckdb.DuckDBPyConnection, tmp_path: Path) -> None:
    restate(tables, YESTERDAY, lambda revenue, cost: (revenue / 5, cost / 5))
    rule = "rules: [{name: r, type: change, metric: revenue, wait_days: %d}]"
    assert found(tables, tmp_path, rule % 0)
    assert found(tables, tmp_path, rule % 1) == {}
    set_today(tables, TODAY + timedelta(days=1))
    add_days(tables, {TODAY: (Decimal(1000), Decimal(500))})
    assert found(tables, tmp_path, rule % 1)


def test_a_change_may_look_at_several_days_and_at_single_models(
    tables: duckdb.DuckDBPyConnection, tmp_path: Path
) -> None:
    rule = (
        "rules: [{name: spend, type: change, metric: provider_cost, days: 3, by: model, least_charges: 50}]"
    )
    add_days(tables, rhythm(TODAY - timedelta(days=200), 200, 8), model="anthropic/claude")
    assert found(tables, tmp_path, rule) == {}
    tables.execute(
        """update marts.fct_daily_revenue set provider_cost = provider_cost * 5
        where date_day = ? and model_id = 'anthropic/claude'""",
        [TODAY - timedelta(days=3)],
    )
    (finding,) = found(tables, tmp_path, rule)["spend"]
    assert finding.scope == "usd anthropic/claude"
    assert "2026-10-19" in finding.summary
    assert found(tables, tmp_path, rule.replace("days: 3", "days: 2")) == {}
    assert found(tables, tmp_path, rule.replace("50", "101")) == {}


def test_thresholds_are_exact_and_by_currency(tmp_path: Path) -> None:
    with publication(TODAY) as connection:
        add_days(connection, {YESTERDAY: (Decimal("10.000000000001"), Decimal(9))}, "usd")
        add_days(connection, {YESTERDAY: (Decimal(10), Decimal(8))}, "eur")
        add_days(connection, {TODAY: (Decimal(10), Decimal(900))}, "eur")
        for currency, payers in (("usd", 3), ("eur", 2)):
            connection.execute(
                "insert into marts.fct_period_kpis values ('yesterday', ?, ?, ?, ?, 3.5)",
                [currency, YESTERDAY, TODAY, payers],
            )
        rule = "rules: [{name: r, type: threshold, %s}]"
        above = found(connection, tmp_path, rule % "metric: revenue, above: 10")["r"]
        assert [(one.scope, one.value) for one in above] == [("usd", Decimal("10.000000000001"))]
        # Profit / revenue of eur is 2 / 10. That of usd is 1.000000000001 / 10.000000000001, about 0.1.
        below = found(connection, tmp_path, rule % "metric: margin, below: 0.2")["r"]
        assert [(one.scope, one.value) for one in below] == [
            ("usd", Decimal("0.1").quantize(Decimal("1e-12")))
        ]
        payers = found(connection, tmp_path, rule % "metric: active_payers, below: 3")["r"]
        assert [(one.scope, one.value) for one in payers] == [("eur", Decimal(2))]
        assert found(connection, tmp_path, rule % "metric: arpu, above: 3.5, currency: usd") == {}
        assert found(connection, tmp_path, rule % "metric: revenue, below: 100, currency: gbp") == {}
        by_model = found(connection, tmp_path, rule % "metric: revenue, below: 100, by: model, currency: eur")
        assert [one.scope for one in by_model["r"]] == ["eur openai/gpt-4.1"]


def test_failed_runs_are_found_and_only_names_of_checks_are_quoted(
    tables: duckdb.DuckDBPyConnection, tmp_path: Path
) -> None:
    failed = run(FAILED, reason="failed checks: reject_ratio")
    (finding,) = found(tables, tmp_path, runs=(run(), failed))["run_failed"]
    assert "failed checks: reject_ratio" in finding.summary
    secret = run(FAILED, reason="the entry of alice is wrong")
    (finding,) = found(tables, tmp_path, runs=(run(), failed, secret))["run_failed"]
    assert finding.value == 2
    assert "alice" not in finding.summary
    assert found(tables, tmp_path, runs=(run(), failed, run())) == {}
    twice = "rules: [{name: r, type: run_failed, in_a_row: 2}]"
    assert found(tables, tmp_path, twice, runs=(run(), failed)) == {}
    assert found(tables, tmp_path, twice, runs=(run(), failed, failed))


def test_rejects_above_the_limit_are_found(tables: duckdb.DuckDBPyConnection, tmp_path: Path) -> None:
    assert found(tables, tmp_path, runs=(run(new=1000, rejected=5),)) == {}
    findings = found(tables, tmp_path, runs=(run(new=1000, rejected=6), run(new=0)))
    assert findings["many_rejects"][0].value == Decimal("0.006")


def test_checks_that_warn_are_found(tables: duckdb.DuckDBPyConnection, tmp_path: Path) -> None:
    rows = [
        ("expiries_find_credit", "usd", 0, 2, False, "old", "warn"),
        ("expiries_find_credit", "usd", 0, 3, False, "new", "warn"),
        ("priority_1_breaks", "all", 0, 1, False, "new", "warn"),
        ("entry_ids_are_unique", "all", 0, 0, True, "new", "warn"),
        ("rollforward_has_no_gaps", "all", 0, 1, False, "new", "error"),
    ]
    tables.executemany("insert into ops.invariants values (?, ?, ?, ?, ?, ?, ?)", rows)
    (finding,) = found(tables, tmp_path)["check_warns"]
    assert (finding.scope, finding.value) == ("expiries_find_credit usd", Decimal(3))
    ignoring = "rules: [{name: r, type: checks, ignore: [expiries_find_credit]}]"
    assert found(tables, tmp_path, ignoring) == {}


def test_breaks_of_the_priority_are_found_without_ids_in_words(
    tables: duckdb.DuckDBPyConnection, tmp_path: Path
) -> None:
    tables.execute(
        """insert into marts.fct_reconciliation values
        ('stripe:pi_of_alice', 'stripe', 'amount_mismatch', 1, 'break', 20, 12.5, 'usd', 'usd', 5,
            '2026-10-20'),
        ('stripe:pi_2', 'stripe', 'ledger_only', 2, 'break', 20, null, 'usd', null, 5, '2026-10-20'),
        ('stripe:pi_3', 'stripe', null, null, 'matched', 20, 20, 'usd', 'usd', 5, null)"""
    )
    tables.execute(
        """insert into marts.fct_cost_reconciliation values
        ('openai:2026-10-01:m:usd', 'openai', '2026-10-01', 'usd', 'rate_mismatch', 1, 'break', 3, 7, 10,
        '2026-10-04')"""
    )
    findings = found(tables, tmp_path)
    (payment,), (cost,) = findings["payment_breaks"], findings["cost_breaks"]
    assert (payment.scope, payment.label) == ("amount_mismatch stripe:pi_of_alice", "amount_mismatch stripe")
    assert (payment.value, payment.expected) == (Decimal(20), Decimal("12.5"))
    assert payment.summary == "amount_mismatch stripe, priority 1: 12.5 USD at risk."
    assert (cost.value, cost.expected) == (Decimal(7), Decimal(10))
    both = "rules: [{name: r, type: breaks, of: payments, priority: 2}]"
    assert len(found(tables, tmp_path, both)["r"]) == 2


def test_incomplete_verdicts_are_found(tables: duckdb.DuckDBPyConnection, tmp_path: Path) -> None:
    tables.execute(
        """insert into marts.rpt_reconciliation_sources values
        ('stripe', 'stripe/payouts.itemized', 'default', '2026-10-01', [], 'stale'),
        ('stripe', 'stripe/balance.summary', 'default', '2026-10-21', [], 'complete')"""
    )
    tables.execute("insert into marts.fct_bill_lines values ('openai')")
    tables.execute(
        "insert into marts.rpt_cost_reconciliation_months values ('openai', '2026-09-01', 12, 'partial')"
    )
    findings = found(tables, tmp_path)
    (payments,), (costs,) = findings["payments_incomplete"], findings["bills_incomplete"]
    assert (payments.scope, payments.for_days) == ("stripe stripe/payouts.itemized default", 3)
    assert (costs.scope, costs.for_days) == ("openai 2026-09", 7)


def test_users_below_a_balance_are_counted(tables: duckdb.DuckDBPyConnection, tmp_path: Path) -> None:
    tables.execute(
        """insert into marts.rpt_users values
        ('alice', 'usd', -0.01), ('bob', 'usd', 0), ('carol', 'usd', 5), ('postpaid', 'usd', -9),
        ('alice', 'eur', -3)"""
    )
    tables.execute(
        """insert into marts.fct_wallet_days select user_id, currency, date '2026-10-01' from marts.rpt_users
        where user_id <> 'postpaid'"""
    )
    rule = "rules: [{name: r, type: balances, below: %s, currency: usd}]"
    (finding,) = found(tables, tmp_path, rule % "0")["r"]
    assert (finding.scope, finding.value) == ("usd", Decimal(1))
    assert "alice" not in finding.summary
    assert found(tables, tmp_path, rule % "5")["r"][0].value == Decimal(2)
    assert found(tables, tmp_path, rule % "-1") == {}
    assert found(tables, tmp_path, (rule % "0").replace("currency: usd", "least_users: 2")) == {}


def test_silence_of_files_is_found(
    tables: duckdb.DuckDBPyConnection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = Home(tmp_path)
    home.make()
    manifests = home.lake / "_manifests"
    manifests.mkdir(parents=True)
    # A file each working day for ten weeks: the weekend is the longest gap of a week, 72 hours.
    days = [TODAY - timedelta(days=number) for number in range(70)]
    for number, day in enumerate(sorted(day for day in days if day.weekday() < 5)):
        file = FileRecord(0, "ledger", f"ledger/{day}.csv", None, "", 1, "loaded", 1, 1, 0, 1)
        text = Manifest(number, "ledger_entries", at(day), [file]).as_json()
        (manifests / f"{number:08d}.json").write_text(text)
    # Three times 72 hours after the last file at 02:00.
    silent = at(TODAY) + timedelta(hours=216)
    assert found(tables, tmp_path, now=silent) == {}
    (finding,) = found(tables, tmp_path, now=silent + timedelta(hours=1))["no_files"]
    assert (finding.scope, finding.value, finding.expected) == ("ledger", Decimal(217), Decimal(72))
    ignoring = "rules: [{name: r, type: silence, of: files, ignore: [ledger]}]"
    assert found(tables, tmp_path, ignoring, now=silent + timedelta(days=9)) == {}
    webhooks = "rules: [{name: r, type: silence, of: webhooks}]"
    assert found(tables, tmp_path, webhooks, now=silent + timedelta(days=9)) == {}


def test_silence_of_entries_is_found(tables: duckdb.DuckDBPyConnection, tmp_path: Path) -> None:
    tables.execute(
        """insert into marts.fct_ledger_entries
        select 'webhook', hours
        from range(timestamptz '2026-08-20', timestamptz '2026-10-22', interval 1 hour) as hours(hours)
        where extract(hour from timezone('UTC', hours)) between 7 and 19"""
    )
    # From 19:00 to 07:00 there are never entries, 12 hours. The last one is of 2026-10-21 19:00.
    now = datetime(2026, 10, 23, 7, tzinfo=UTC)
    assert found(tables, tmp_path, now=now) == {}
    (finding,) = found(tables, tmp_path, now=now + timedelta(hours=1))["no_entries"]
    assert (finding.scope, finding.value, finding.expected) == ("webhook", Decimal(37), Decimal(12))


def test_the_usual_gap_is_that_of_a_usual_week() -> None:
    now = at(TODAY)
    hourly = [now - timedelta(hours=number) for number in range(24 * 60)]
    assert usual_gap(hourly, now) == timedelta(hours=1)
    # One holiday of three days is no usual week.
    holiday = [one for one in hourly if not now - timedelta(days=30) < one < now - timedelta(days=27)]
    assert usual_gap(holiday, now) == timedelta(hours=1)
    assert usual_gap(hourly[:4], now) is None
    assert usual_gap([], now) is None


def test_only_the_clock_rules_do_without_a_publication() -> None:
    assert [rule.name for rule in DEFAULTS.rules if not needs_publication(rule)] == [
        "run_failed",
        "many_rejects",
        "no_files",
    ]
