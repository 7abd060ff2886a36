"""Alerts open once, resolve once, and keep their ids; messages wait until every route has taken them."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

from paywall_warehouse.duckdb_connections import open_duckdb
from paywall_warehouse.home import Home
from warehouse.alerts.definitions import Rule, read_alerts
from warehouse.alerts.findings import Finding
from warehouse.alerts.state import (
    OPENED,
    RESOLVED,
    State,
    alert_id,
    delivered,
    evaluated,
    failed,
    read_state,
    transitions_digest,
    without_routes,
    write_state,
    write_table,
)

NOW = datetime(2026, 11, 30, 2, 30, tzinfo=UTC)
DAY = timedelta(days=1)
RULES = read_alerts(
    """
routes:
  team: {type: slack, url_env: TEAM}
  mail: {type: slack, url_env: MAIL}
rules:
  - {name: spend, type: change, metric: provider_cost}
  - {name: quiet, type: run_failed, routes: []}
""",
    "alerts.yml",
).rules
USD = Finding("usd", "Too much.", Decimal("5.25"), Decimal(1))
EUR = Finding("eur", "Too much.", Decimal(7), Decimal(1))


def after(state: State, findings: list[Finding], now: datetime, rules: tuple[Rule, ...] = RULES) -> State:
    """Return the state after an evaluation in which the rule `spend` found this."""
    return evaluated(state, rules, {"spend": findings}, {}, now)


def test_an_alert_opens_once_and_resolves_once() -> None:
    opened = after(State(), [USD], NOW)
    again = after(opened, [replace(USD, value=Decimal(6))], NOW + DAY)
    resolved = after(again, [], NOW + 2 * DAY)
    still = after(resolved, [], NOW + 3 * DAY)
    assert [message.transition for message in opened.messages] == [OPENED]
    assert again.messages == opened.messages
    assert [message.transition for message in resolved.messages] == [OPENED, RESOLVED]
    assert still == resolved
    (alert,) = still.alerts
    assert (alert.opened_at, alert.last_seen_at, alert.resolved_at) == (NOW, NOW + DAY, NOW + 2 * DAY)
    assert (alert.value, alert.expected) == (Decimal(6), Decimal(1))


def test_a_rerun_changes_nothing() -> None:
    opened = after(State(), [USD, EUR], NOW)
    assert after(opened, [EUR, USD], NOW) == opened


def test_an_alert_that_opens_again_has_the_same_id_and_other_keys() -> None:
    state = after(State(), [USD], NOW)
    state = after(state, [], NOW)
    state = after(state, [USD], NOW)
    first, second = state.alerts
    assert first.alert_id == second.alert_id == alert_id("spend", "usd")
    assert (first.occurrence, second.occurrence) == (1, 2)
    assert len({message.key for message in state.messages}) == 3


def test_ids_depend_on_rule_and_scope_alone() -> None:
    assert alert_id("spend", "usd") == "7b0ea9c71e9bae5d"
    assert len({alert_id("spend", "usd"), alert_id("spend", "eur"), alert_id("sp", "endusd")}) == 3


def test_rules_that_were_not_evaluated_keep_their_alerts() -> None:
    opened = after(State(), [USD], NOW)
    assert evaluated(opened, RULES, {"quiet": []}, {}, NOW + DAY) == opened
    faulty = evaluated(opened, RULES, {}, {"spend": "no such table"}, NOW + DAY)
    assert faulty.alerts == opened.alerts
    assert faulty.problems == {"spend": "no such table"}
    assert after(faulty, [USD], NOW + DAY).problems == {}


def test_alerts_of_a_removed_rule_are_closed_without_a_message() -> None:
    opened = after(State(), [USD], NOW)
    closed = evaluated(opened, RULES[1:], {}, {}, NOW + DAY)
    assert closed.alerts[0].resolved_at == NOW + DAY
    assert closed.messages == ()


def test_a_rule_without_routes_sends_nothing() -> None:
    state = evaluated(State(), RULES, {"quiet": [USD]}, {}, NOW)
    assert len(state.open_alerts) == 1
    assert state.messages == ()


def test_what_must_last_for_days_opens_after_them() -> None:
    lasting = replace(USD, for_days=3)
    state = after(State(), [lasting], NOW)
    assert after(state, [lasting], NOW + 2 * DAY).alerts == ()
    assert len(after(state, [lasting], NOW + 3 * DAY).alerts) == 1
    # A day on which it does not hold begins the count anew.
    gone = after(state, [], NOW + DAY)
    assert after(gone, [lasting], NOW + 3 * DAY).alerts == ()


def test_many_alerts_at_once_are_one_message() -> None:
    state = after(State(), [Finding(f"case {number}", "A break.") for number in range(40)], NOW)
    assert len(state.alerts) == 40
    (message,) = state.messages
    assert len(message.alerts) == 40


def test_an_alert_is_notified_when_the_last_route_has_taken_it() -> None:
    state = after(State(), [USD], NOW)
    (message,) = state.messages
    state = failed(state, "team", NOW, "the answer was HTTP 500")
    half = delivered(state, message, "mail", NOW + DAY)
    assert half.alerts[0].notified_at is None
    assert half.messages[0].routes == ("team",)
    whole = delivered(half, message, "team", NOW + 2 * DAY)
    assert whole.alerts[0].notified_at == NOW + 2 * DAY
    assert (whole.messages, whole.failures) == ((), {})


def test_messages_of_removed_routes_are_dropped() -> None:
    state = failed(after(State(), [USD], NOW), "mail", NOW, "the answer was HTTP 500")
    kept = without_routes(state, ["team"])
    assert [message.routes for message in kept.messages] == [("team",)]
    assert kept.failures == {}
    assert without_routes(state, []).messages == ()


def test_a_message_that_nobody_takes_for_a_month_is_dropped() -> None:
    opened = after(State(), [USD], NOW)
    assert after(opened, [USD], NOW + 30 * DAY).messages == opened.messages
    assert after(opened, [USD], NOW + 31 * DAY).messages == ()


def test_an_earlier_as_of_keeps_times_in_order() -> None:
    resolved = after(after(State(), [USD], NOW), [], NOW - DAY)
    assert resolved.alerts[0].resolved_at == NOW


def test_the_state_is_written_and_read_exactly(tmp_path: Path) -> None:
    home = Home(tmp_path)
    home.make()
    state = after(State(), [replace(USD, value=Decimal("12345678901234567890.000000000001"))], NOW)
    state = evaluated(state, RULES, {"quiet": [replace(EUR, for_days=2)]}, {"spend": "gone"}, NOW)
    state = failed(state, "team", NOW, "there was no answer in time")
    write_state(home, state)
    assert read_state(home) == state


def test_a_damaged_state_counts_as_none(tmp_path: Path) -> None:
    home = Home(tmp_path)
    home.make()
    for text in ("", "[]", "{}", '{"alerts": [{}], "messages": []}'):
        home.alerts_state_file.write_text(text)
        assert read_state(home) == State()


def test_only_transitions_change_the_digest(tmp_path: Path) -> None:
    home = Home(tmp_path)
    home.make()
    assert transitions_digest(home) is None
    opened = after(State(), [USD], NOW)
    digests = []
    for state in (opened, after(opened, [replace(USD, value=Decimal(9))], NOW + DAY), after(opened, [], NOW)):
        write_state(home, state)
        digests.append(transitions_digest(home))
    assert digests[0] == digests[1] != digests[2]


def test_the_table_has_a_row_for_each_time() -> None:
    state = after(after(after(State(), [USD], NOW), [], NOW + DAY), [USD, EUR], NOW + 2 * DAY)
    with open_duckdb() as connection:
        connection.execute("create schema ops")
        write_table(connection, state.alerts)
        rows = connection.execute(
            "select scope, occurrence, epoch(opened_at), epoch(resolved_at), value, expected, notified_at"
            " from ops.alerts"
        ).fetchall()
    later = (NOW + 2 * DAY).timestamp()
    assert rows == [
        ("usd", 1, NOW.timestamp(), (NOW + DAY).timestamp(), Decimal("5.25"), Decimal(1), None),
        ("eur", 1, later, None, Decimal(7), Decimal(1), None),
        ("usd", 2, later, None, Decimal("5.25"), Decimal(1), None),
    ]
