"""The users' pages and the page *Connection*, on a small ledger whose sums fit in the head."""

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import BrowserContext

from dashboard.filters import Filters
from dashboard.queries import users as users_queries
from dashboard.snapshot import Publications, Snapshot
from tests.support.browser import Screen, serving
from tests.support.builders import Record, charge, deposit, event, events_file, land, ledger_file
from tests.support.dashboard_words import column
from tests.support.harness import publish_home
from tests.support.shared import in_soak

pytestmark = pytest.mark.slow

OCTOBER = Filters(date(2026, 10, 1), date(2026, 10, 6), "usd")
PERIOD = "period=Custom+days&days=2026-10-01&days=2026-10-05"
SECRET = "whsec_never_on_the_screen"
HOSTILE = "<b>x</b>" + "y" * 192
# Alice pays in two currencies. Request r1 was charged in spite of an error, and rf has two errors.
ENTRIES = [
    deposit("d1", "2026-10-01T08:00:00Z", "20", currency="usd"),
    deposit("d2", "2026-10-01T08:00:00Z", "5", currency="eur"),
    deposit("d3", "2026-10-01T08:00:00Z", "5", user="bob", currency="eur"),
    deposit("d4", "2026-10-01T08:00:00Z", "3", user="dave", currency="usd"),
    charge(
        "c1",
        "2026-10-01T09:00:00Z",
        "1.25",
        model="m",
        provider_cost="1",
        platform_fees="0.05",
        request_id="r1",
    ),
    charge("c2", "2026-10-01T10:00:00Z", "0.75", model="m"),
    charge(
        "c3",
        "2026-10-02T09:00:00Z",
        "3",
        model="n",
        provider_cost="1.5",
        prompt_tokens=7,
        completion_tokens=5,
    ),
    charge(
        "c4", "2026-10-02T10:00:00Z", "9", model="m", provider_cost="0.1", status="failed", request_id="rf"
    ),
    charge("c5", "2026-10-03T09:00:00Z", "0.5", model="m", provider_cost="0.2", currency="eur"),
    charge("c6", "2026-10-03T09:00:00Z", "1", user="bob", model="m", currency="eur"),
    charge("c7", "2026-10-03T09:00:00Z", "0.1", user=HOSTILE, model="m", currency="gbp"),
]


def of(user: str, number: str, kind: str, at: str, **more: Any) -> Record:
    return event(number, kind, f"2026-{at}:00Z", walletUserId=f"w_{user}", externalUserId=user, **more)


EVENTS = [
    of("alice", "v1", "authorization.completed", "09-30T10:00"),
    of("bob", "v2", "authorization.revoked", "10-03T10:00"),
    of("carol", "v3", "authorization.requested", "10-04T10:00"),
    of(
        "alice",
        "e1",
        "proxy.request.failed",
        "10-01T09:00",
        requestId="r1",
        model="m",
        errorCode="provider_timeout",
    ),
    of(
        "alice",
        "e2",
        "proxy.request.failed",
        "10-02T10:00",
        requestId="rf",
        model="m",
        errorCode="provider_timeout",
    ),
    of("alice", "e3", "request.blocked", "10-02T11:00", requestId="rf", reason="policy_violation"),
    of("alice", "e4", "balance.depleted", "10-04T09:00"),
    of("alice", "e5", "request.blocked", "10-04T09:01", requestId="rx", reason="authorization_required"),
]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("users") / "home"
    land(home, [ledger_file("a.jsonl", ENTRIES), events_file("e.jsonl", EVENTS)])
    publish_home(home, as_of="2026-10-05")
    return home


@pytest.fixture(scope="module")
def snapshot(home: Path) -> Snapshot:
    found = Publications(home / "published" / "warehouse.duckdb", home / "tmp").current()
    assert found is not None
    return found


# ---- numbers


def test_everybody_counts_once_over_all_currencies(snapshot: Snapshot) -> None:
    assert users_queries.people(snapshot, OCTOBER) == {
        "users": 5,
        "active_payers": 3,
        "new_payers": 3,
        "users_with_credit": 3,
    }
    # On the 2nd and later alice pays, but is not new.
    later = users_queries.people(snapshot, replace(OCTOBER, since=date(2026, 10, 2)))
    assert (later["active_payers"], later["new_payers"]) == (3, 2)
    only_usd_model = users_queries.people(snapshot, replace(OCTOBER, models=("n",)))
    assert (only_usd_model["active_payers"], only_usd_model["users_with_credit"]) == (1, 3)
    revoked = users_queries.people(snapshot, replace(OCTOBER, user_statuses=("revoked",)))
    assert tuple(revoked.values()) == (1, 1, 1, 1)


def test_a_request_counts_once_in_the_error_rate(snapshot: Snapshot) -> None:
    total, *days = users_queries.error_rates(snapshot, "alice", OCTOBER, "day")
    assert (total["charges"], total["errors"], total["error_rate"]) == (3, 3, 0.5)
    assert [(row["starts_on"].day, row["charges"], row["errors"], row["error_rate"]) for row in days] == [
        (1, 1, 1, 0.5),  # c2; r1, whose charge does not count
        (2, 1, 1, 0.5),  # c3; rf, whose charge failed
        (3, 1, 0, 0.0),  # c5, in euros
        (4, 0, 1, 1.0),  # rx; the balance that was used up is not another error
        (5, 0, 0, None),
    ]
    (week, next_week) = users_queries.error_rates(snapshot, "alice", OCTOBER, "week")[1:]
    assert (week["charges"], week["errors"]) == (3, 3)
    assert next_week["error_rate"] is None
    of_n = users_queries.error_rates(snapshot, "alice", replace(OCTOBER, models=("n",)), "month")[0]
    assert (of_n["charges"], of_n["errors"]) == (1, 0)
    # Types of entries do not limit it: there are no errors of a type.
    refunds = replace(OCTOBER, entry_types=("refund",))
    assert users_queries.error_rates(snapshot, "alice", refunds, "month")[0] == total


# ---- on the screen


@pytest.fixture(scope="module")
def address(home: Path) -> Iterator[str]:
    with serving(
        home, PAYWALLS_WEBHOOK_SECRET=SECRET, TOP_UP_LINK="https://pay.example/?u={user_id}"
    ) as base:
        yield base


@pytest.fixture
def screen(context: BrowserContext, address: str, home: Path) -> Iterator[Screen]:
    screen = Screen(context, address)
    yield screen
    assert (screen.errors(), screen.complaints) == ([], [])
    assert SECRET not in screen.page.content()
    screen.page.close()
    (home / "state" / "receiver.json").unlink(missing_ok=True)


def test_a_user_has_usage_by_model_and_an_error_rate(screen: Screen) -> None:
    screen.open(f"user?user=alice&{PERIOD}")
    columns = (
        "Model",
        "Charges",
        "Revenue (USD)",
        "Provider cost (USD)",
        "Profit (USD)",
        "Margin",
        "Tokens",
        "Errors",
    )
    assert [tuple(row[name] for name in columns) for row in screen.table("Usage by model")] == [
        ("n", "1", "3.00", "1.50", "1.50", "50.0 %", "12", "0"),
        # One of three costs is unknown; the failed charge costs, too.
        ("m", "2", "2.00", "1.10", "≤ 0.85", "≤ 42.5 %", "0", "2"),
        ("unknown", "0", "0.00", "0.00", "0.00", "–", "0", "1"),
    ]
    assert "50.0 % in the period: 3 of 6." in screen.text
    assert "Several errors of one request count once." in screen.text
    screen.expand("Numbers of the error rate")
    assert [list(row.values()) for row in screen.table("Error rate by day")] == [
        ["2026-10-01", "1", "1", "50.0 %"],
        ["2026-10-02", "1", "1", "50.0 %"],
        ["2026-10-03", "0", "1", "0.0 %"],
        ["2026-10-04", "1", "0", "100.0 %"],
        ["2026-10-05", "0", "0", "–"],
    ]
    connection = {row["Field"]: row["Value"] for row in screen.table("Connection of the user")}
    assert connection == {
        "Authorization": "connected",
        "Since": "2026-09-30 10:00:00 UTC",
        "By the event": "authorization.completed",
        "Last webhook event": "request.blocked",
        "Its time": "2026-10-04 09:01:00 UTC",
    }
    screen.expand("Download usage errors")
    download = screen.main.get_by_test_id("stExpander").filter(has_text="Download usage errors")
    link = download.get_by_test_id("stLinkButton").get_by_role("link").get_attribute("href")
    assert link is not None
    answer = screen.page.request.get(f"{screen.page.url.partition('/user')[0]}{link}")
    assert [line.split(",")[0] for line in answer.text().splitlines()[1:]] == ["e1", "e2", "e3", "e4", "e5"]
    screen.go("Validate the connection")
    assert screen.page.get_by_label("User id", exact=True).input_value() == "alice"


@pytest.mark.soak
def test_the_page_of_a_user_shows_the_user_whatever_users_are_filtered(screen: Screen) -> None:
    screen.open(f"user?user=alice&status=revoked&{PERIOD}")
    assert len(screen.table("Usage by model")) == 3
    assert "Not filtered by user attributes" in screen.text
    assert len(screen.table("Ledger entries")) == 5


@pytest.mark.soak
def test_unknown_cost_is_a_dash(screen: Screen) -> None:
    screen.open(f"users?currency=EUR&{PERIOD}")
    rows = {row["User"]: row for row in screen.table("Users")}
    assert (rows["bob"]["Provider cost (EUR)"], rows["bob"]["Profit (EUR)"]) == ("–", "–")
    assert (rows["alice"]["Provider cost (EUR)"], rows["alice"]["Profit (EUR)"]) == ("0.20", "0.30")


@pytest.mark.soak
def test_unknown_cost_is_a_dash_on_the_page_of_a_user(screen: Screen) -> None:
    screen.open(f"user?user=bob&{PERIOD}")
    tiles = screen.tiles()
    assert (tiles["Provider cost"].value, tiles["Profit"].value) == ("–", "–")
    assert "No cost is known, so that there is no profit to show." in screen.text


@pytest.mark.soak
def test_people_over_all_currencies_are_beside_money_by_currency(screen: Screen) -> None:
    screen.open(f"users?{PERIOD}")
    assert {label: tile.value for label, tile in screen.tiles().items()} == {
        "Users": "5",
        "Active payers": "3",
        "New payers": "3",
        "Users with credit": "3",
    }
    money = {
        row["Currency"]: (row["Revenue"], row["Active payers"])
        for row in screen.table("Money and payers by currency")
    }
    assert money == {"EUR": ("1.50", "2"), "GBP": ("0.10", "1"), "USD": ("5.00", "1")}


@pytest.mark.soak
def test_a_search_for_users_says_how_many_match_and_what_helps(screen: Screen) -> None:
    screen.open(f"users?{PERIOD}")
    screen.type("User id contains", "  ALI ")
    assert [row["User"] for row in screen.table("Users")] == ["alice"]
    assert "1 user with entries in USD has ALI in the id." in screen.text
    screen.type("User id contains", "bob")
    assert "No user with entries in USD matches. Choose another currency: EUR." in screen.text
    screen.type("User id contains", "nobody")
    assert "No user in any currency has this text in the id." in screen.text
    assert "longer period" not in screen.text


@pytest.mark.soak
def test_an_id_that_is_not_found_says_what_was_searched(screen: Screen) -> None:
    screen.open(f"ledger?{PERIOD}")
    screen.type("Find an id", "  c1 ")
    assert len(screen.table("Ledger entries")) == 1
    screen.type("Find an id", "c999")
    assert "No ledger entry has this id" in screen.text
    assert "from 2026-10-01 to 2026-10-05, in every currency (USD, EUR, GBP)" in screen.text
    screen.type("Find an id", "rx")
    assert "The id is that of 1 error without a ledger entry." in screen.text
    screen.type("Find an id", "carol")
    screen.go("A user without entries has this id")
    assert screen.codes[0] == "carol"


@pytest.mark.soak
def test_a_day_of_the_balance_is_the_ledger_of_that_day_and_user(screen: Screen) -> None:
    screen.open(f"user?user=alice&{PERIOD}")
    # The last step of the chart, on the 2nd, reaches to its right edge.
    box = screen.main.locator("[data-testid=stVegaLiteChart]").first.bounding_box()
    assert box is not None
    screen.follow(lambda: screen.page.mouse.click(box["x"] + box["width"] - 20, box["y"] + box["height"] / 2))
    assert screen.address.startswith("ledger?")
    assert "The entries of the user alice only." in screen.text
    assert column(screen.table("Ledger entries"), "Entry") == ["c4", "c3"]
    screen.go("All users")
    assert "The entries of the user" not in screen.text


# ---- the connection


def write_state(home: Path, **changes: Any) -> None:
    now = datetime.now(UTC)
    state = {
        "started_at": (now - timedelta(hours=2)).isoformat(),
        "written_at": now.isoformat(),
        "stopped_at": None,
        "can_write": True,
        "stored": 1234,
        "repeated": 5,
        "failed": 0,
        "last_delivery_at": "2026-10-04T09:01:30+00:00",
        "last_event_type": "<b>paywall</b>.request.blocked",
        "refused": {
            "wrong_signature": {"count": 3, "last_at": "2026-10-04T10:00:00+00:00"},
            "unsigned": {"count": 1, "last_at": "2026-10-04T11:00:00+00:00"},
        },
    }
    file = home / "state" / "receiver.json"
    file.write_text(json.dumps(state | changes), encoding="utf-8")


def verdicts(screen: Screen) -> dict[str, tuple[str, str]]:
    return {
        row["Check"]: (row["Verdict"], row["What was found"])
        for row in screen.table("Checks of the connection")
    }


@pytest.mark.soak
def test_without_a_receiver_the_connection_says_so(screen: Screen) -> None:
    screen.open(f"connection?{PERIOD}")
    assert "The receiver has not run on this machine." in screen.text
    found = verdicts(screen)
    assert found["Does the receiver run?"] == ("Look here", "The receiver has not run on this machine.")
    assert found["Is the webhook secret set?"] == ("OK", "PAYWALLS_WEBHOOK_SECRET is set.")
    assert found["Can support send links?"] == ("Look here", "AUTHORIZATION_LINK is not set.")
    assert found["Are events understood?"] == ("OK", "No record was rejected.")
    assert "2 of 5 checks need a look." in screen.text
    settings = {row["Field"]: row["Value"] for row in screen.table("Settings")}
    assert settings["PAYWALLS_WEBHOOK_SECRET"] == "set"
    errors = {row["Code"]: (row["Errors"], row["Users"]) for row in screen.table("Errors by code")}
    assert errors["provider_timeout"] == ("2", "1")


def test_the_connection_shows_what_the_receiver_has_written(screen: Screen, home: Path) -> None:
    write_state(home)
    screen.open(f"connection?user=bob&{PERIOD}")
    tiles = {label: tile.value for label, tile in screen.tiles().items()}
    assert tiles == {
        "Receiver": "Running",
        "Last delivery": "2026-10-04 09:01:30",
        "Deliveries": "1,234",
        "Refused signatures": "4",
    }
    assert "<b>paywall</b>.request.blocked" in screen.text
    refused = {
        row["Reason"]: (row["Requests"], row["Last (UTC)"]) for row in screen.table("Refused requests")
    }
    assert refused == {
        "wrong_signature": ("3", "2026-10-04 10:00:00"),
        "unsigned": ("1", "2026-10-04 11:00:00"),
    }
    found = verdicts(screen)
    assert found["Does the receiver run?"][0] == "OK"
    assert found["Are deliveries accepted?"][1].startswith(
        "3 requests refused, the last at 2026-10-04 10:00:00 UTC."
    )
    assert found["Is the user authorized?"] == (
        "Look here",
        "The user removed the authorization (2026-10-03 10:00:00 UTC).",
    )
    assert found["Can the user pay?"] == ("OK", "Balance: 4.00 EUR.")
    assert found["Do the user's requests succeed?"] == ("OK", "No errors in the period.")


@pytest.mark.parametrize(
    ("written", "words"),
    [
        ("written_at", "The receiver has not been heard from since 2026-10-04 12:00:00 UTC."),
        *in_soak(("stopped_at", "The receiver was stopped at 2026-10-04 12:00:00 UTC.")),
    ],
)
def test_a_receiver_that_is_silent_or_stopped(screen: Screen, home: Path, written: str, words: str) -> None:
    write_state(home, **{written: "2026-10-04T12:00:00+00:00"})
    screen.open(f"connection?{PERIOD}")
    assert words in screen.text


@pytest.mark.soak
def test_a_receiver_whose_state_cannot_be_read(screen: Screen, home: Path) -> None:
    write_state(home)
    (home / "state" / "receiver.json").write_text("{", encoding="utf-8")
    screen.open(f"connection?{PERIOD}")
    assert "cannot be read: it is damaged" in screen.text
    assert "Checks" in screen.text


@pytest.mark.soak
@pytest.mark.parametrize("page", ["user", "connection"])
def test_a_hostile_id_is_text_and_fits_on_a_phone(screen: Screen, page: str) -> None:
    screen.page.set_viewport_size({"width": 390, "height": 844})
    screen.open(f"{page}?user=%3Cb%3Ex%3C%2Fb%3E{'y' * 192}&{PERIOD}")
    assert screen.page.locator("[data-testid=stMain] b").count() == 0
    too_wide = screen.main.evaluate(
        """(main) => [...main.querySelectorAll('*')]
            .filter((one) => !one.closest('.table, canvas, svg') && one.getBoundingClientRect().right > 391)
            .map((one) => one.outerHTML.slice(0, 200))"""
    )
    assert too_wide == []


@pytest.mark.soak
def test_an_id_of_nobody_is_said(screen: Screen) -> None:
    screen.open(f"connection?user=%20nobody%20&{PERIOD}")
    assert "No user of the ledger or of a webhook has this id." in screen.text
    assert "Is the user authorized?" not in verdicts(screen)
