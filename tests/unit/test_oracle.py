"""The oracle against numbers worked out by hand."""

from dataclasses import replace
from datetime import UTC, date, datetime
from decimal import Decimal, localcontext
from typing import Any

import pyarrow as pa
import pytest

from tests.support.builders import (
    Raw,
    adjustment,
    charge,
    delivered,
    deposit,
    event,
    events_file,
    instant,
    landed,
    ledger_file,
    logged,
    parquet_table,
    prices_file,
    refund,
    withdrawal,
)
from tests.support.oracle import EXACT, Either, Expected, LandedFile, OracleSettings, expected
from tests.support.strategies import BAD_EVENTS, BAD_LEDGER_RECORDS, BadKind, build_scenario, good_usage

NOON = "2026-03-10T12:00:00Z"
SETTINGS = OracleSettings(as_of=datetime(2026, 3, 15, 12, tzinfo=UTC))
DAY = date(2026, 3, 10)
D = Decimal


def of_records(*records: Any, events: tuple[Any, ...] = (), prices: Any = None, **settings: Any) -> Expected:
    """The oracle on one ledger file, one events file and one price file."""
    files = [ledger_file("a.jsonl", records)] if records else []
    files += [events_file("a.jsonl", events)] if events else []
    files += [prices_file("a.csv", prices)] if prices else []
    return expected(files, replace(SETTINGS, **settings))


def some(row: dict[str, Any], *names: str) -> tuple[Any, ...]:
    return tuple(row[name] for name in names)


# ---- meaning of an entry


@pytest.mark.parametrize(
    ("status", "effect", "revenue", "counted_cost", "counted_fees"),
    [
        ("pending", "0", "0", "0", "0"),
        ("settled", "-5", "5", "2", "0.5"),
        ("failed", "0", "0", "2", "0"),
        ("reversed", "0", "0", "2", "0"),
    ],
)
def test_a_charge_counts_by_its_status(
    status: str, effect: str, revenue: str, counted_cost: str, counted_fees: str
) -> None:
    got = of_records(charge("c", NOON, "5", status=status, provider_cost="2", platform_fees="0.5", model="m"))
    row = got.entries[("c",)]
    assert some(row, "balance_effect", "revenue", "provider_cost") == (D(effect), D(revenue), D(2))
    day = got.daily_revenue[(DAY, "pw", "m", "usd")]
    # profit = revenue - cost - fees: settled 5 - 2 - 0.5 = 2.5; failed and reversed 0 - 2 = -2; pending 0
    profit = D(revenue) - D(counted_cost) - D(counted_fees)
    assert some(day, "provider_cost", "platform_fees", "profit") == (D(counted_cost), D(counted_fees), profit)
    assert day["charges"] == (status == "settled")


def test_movements_of_one_wallet() -> None:
    got = of_records(
        deposit("d1", "2026-03-01T08:00:00Z", "100"),
        deposit("d2", "2026-03-01T09:00:00Z", "7", metadata={"reason": "goodwill"}),
        charge("c1", "2026-03-02T08:00:00Z", "30.25"),
        refund("r1", "2026-03-02T09:00:00Z", "10", of="c1"),
        refund("r2", "2026-03-02T10:00:00Z", "40", of="d1"),
        refund("r3", "2026-03-02T11:00:00Z", "1", of="nobody_knows"),
        withdrawal("w1", "2026-03-04T08:00:00Z", "5"),
        adjustment("a1", "2026-03-04T09:00:00Z", "-2.5"),
        adjustment("a2", "2026-03-04T10:00:00Z", "0.5"),
        withdrawal("w2", "2026-03-04T11:00:00Z", "1000", user=None),
        as_of=datetime(2026, 3, 5, tzinfo=UTC),
    )
    wallet = ("alice", "pw", "usd")
    names = (
        "opening_balance",
        "charged",
        "refunds",
        "deposit_refunds",
        "withdrawals",
        "adjustments",
        "closing_balance",
    )
    # day 1: 100 paid + 7 promo = 107
    first = got.wallet_days[(*wallet, date(2026, 3, 1))]
    assert some(first, "deposits", "promo_deposits", "closing_balance", "valid_to") == (
        100,
        7,
        107,
        date(2026, 3, 2),
    )
    # day 2: 107 - 30.25 + (10 + 1) - 40 = 47.75
    second = got.wallet_days[(*wallet, date(2026, 3, 2))]
    assert some(second, *names) == (107, D("30.25"), 11, 40, 0, 0, D("47.75"))
    # day 4: 47.75 - 5 + (-2.5 + 0.5) = 40.75; the withdrawal without a user moves no wallet
    last = got.wallet_days[(*wallet, date(2026, 3, 4))]
    assert some(last, *names) == (D("47.75"), 0, 0, 0, 5, -2, D("40.75"))
    assert last["valid_to"] is None
    # the liability: every day from the first entry through today, with the same movements
    assert [day.day for day, _ in sorted(got.balance_rollforward)] == [1, 2, 3, 4, 5]
    third = got.balance_rollforward[(date(2026, 3, 3), "usd")]
    assert some(third, "opening_balance", "charged", "closing_balance") == (D("47.75"), 0, D("47.75"))
    assert got.balances(date(2026, 3, 3)) == {wallet: {"closing_balance": D("47.75")}}
    assert got.entries[("w2",)]["balance_effect"] == 0
    # contra-revenue: 10 + 1, not the 40 of the deposit
    assert sum(row["refunds"] for row in got.daily_revenue.values()) == 11


def test_a_refund_counts_under_the_model_of_its_charge_on_its_own_day_even_before_it() -> None:
    got = of_records(
        refund("r", "2026-03-09T12:00:00Z", "1", of="c"),
        charge("c", NOON, "3", model="m"),
        refund("s", NOON, "0.5", of="c", model="other"),
        refund("t", NOON, "0.25", of=None),
    )
    rows = got.daily_revenue.items()
    assert {(day, model): row["refunds"] for (day, _, model, _), row in rows if row["refunds"]} == {
        (date(2026, 3, 9), "m"): 1,
        (DAY, "other"): D("0.5"),
        (DAY, "unknown"): D("0.25"),
    }


def test_the_greatest_updated_at_wins_whatever_lands_last_and_a_tie_goes_to_the_last_landed() -> None:
    final = charge("c", NOON, "3", updated_at="2026-03-12T00:00:00Z")
    older = charge("c", NOON, "2", updated_at="2026-03-11T23:00:00-00:30")
    got = of_records(charge("c", NOON, "1", status="pending"), final, older)
    assert got.entries[("c",)]["revenue"] == 3
    tied = charge("c", NOON, "9", updated_at="2026-03-12T01:00:00+01:00")
    assert of_records(final, tied).entries[("c",)]["revenue"] == 9
    assert of_records(tied, final).entries[("c",)]["revenue"] == 3


@pytest.mark.parametrize(
    ("metadata", "funding", "rail"),
    [
        (None, "paid", "unknown"),
        ({"payment_intent": "pi_1"}, "paid", "stripe"),
        ({"charge": "ch_1"}, "paid", "stripe"),
        ({"checkout_session": "cs_1"}, "paid", "stripe"),
        ({"payment_intent": "pi_1", "rail": "paypal"}, "paid", "paypal"),
        ({"payment_id": "P1", "rail": "paypal", "reason": "promo"}, "paid", "paypal"),
        ({"reason": "signup_bonus"}, "promo", "unknown"),
        ({"reason": "trial", "payment_intent": "pi_1"}, "paid", "stripe"),
        ({"reason": "loyalty"}, "paid", "unknown"),
        ({"funding": "promo", "payment_intent": "pi_1"}, "promo", "stripe"),
    ],
)
def test_funding_and_rail_of_a_deposit(metadata: dict[str, str] | None, funding: str, rail: str) -> None:
    row = of_records(deposit("d", NOON, metadata=metadata)).entries[("d",)]
    assert some(row, "funding", "rail") == (funding, rail)


def test_reporting_days_of_23_and_25_hours() -> None:
    # Berlin leaves winter time on 2026-03-29 at 01:00 UTC: that day is 28th 23:00 UTC to 29th 22:00 UTC
    instants = (
        "2026-03-28T22:59:59Z",
        "2026-03-28T23:00:00Z",
        "2026-03-29T21:59:59.999999Z",
        "2026-03-29T22:00:00Z",
    )
    got = of_records(
        *(charge(f"c{n}", text) for n, text in enumerate(instants)), reporting_timezone="Europe/Berlin"
    )
    assert [row["entry_date"].day for _, row in sorted(got.entries.items())] == [28, 29, 29, 30]
    # New York leaves summer time on 2025-11-02 at 06:00 UTC: that day is 04:00 UTC to 3rd 05:00 UTC
    instants = (
        "2025-11-02T03:59:59Z",
        "2025-11-02T00:00:00-04:00",
        "2025-11-03T04:59:59Z",
        "2025-11-03T00:00:00-05:00",
    )
    got = of_records(
        *(charge(f"c{n}", text) for n, text in enumerate(instants)), reporting_timezone="America/New_York"
    )
    assert [row["entry_date"].day for _, row in sorted(got.entries.items())] == [1, 2, 2, 3]


# ---- costs

RATES = (
    ("acme/a", "2026-01-01", "2026-03-10", "2", "10", "0.5", "0.001", "usd"),
    ("acme/a", "2026-03-10", "", "4", "10", "", "", "usd"),
    ("acme/a", "2026-03-01", "", "5", "11", "", "", "eur"),
    ("acme/a", "2026-03-01", "", "3", "12", "", "", "eur"),
    ("acme/a", "2026-03-01", "", "6", "", "", "", "jpy"),
)


@pytest.mark.parametrize(
    ("record", "cost", "basis"),
    [
        # (1000 - 400) * 2 + 400 * 0.5 + 50 * 10 = 1900 per million, and 0.001 a request
        (charge("c", "2026-03-09T23:59:59Z", cached_tokens=400), D("0.0029"), "estimated"),
        # the day of the new rate: 1000 * 4 + 50 * 10 = 4500 per million; no rate of its own for cached tokens
        (charge("c", NOON, cached_tokens=400), D("0.0045"), "estimated"),
        (charge("c", NOON, provider_cost="0.7"), D("0.7"), "reported"),
        (charge("c", NOON, provider_cost="0"), D(0), "reported"),
        (charge("c", NOON, currency="gbp"), None, "unknown"),
        # 1000 * 3 + 50 * 12 = 3600 per million: of the euro's rates the last landed, whatever the dollar's
        # are
        (charge("c", NOON, currency="eur"), D("0.0036"), "estimated"),
        # 1000 * 6 per million; a rate of completions is missing only where there are some
        (charge("c", NOON, currency="jpy", completion_tokens=0, total_tokens=1050), D("0.006"), "estimated"),
        (charge("c", NOON, currency="jpy"), None, "unknown"),
        # all of the prompt, and more than that
        (charge("c", "2026-03-09T23:59:59Z", cached_tokens=1000), D("0.002"), "estimated"),
        (charge("c", "2026-03-09T23:59:59Z", cached_tokens=1001), None, "unknown"),
        (charge("c", NOON, cached_tokens=1001, provider_cost="0.7"), D("0.7"), "reported"),
        (charge("c", "2025-12-31T23:00:00Z"), None, "unknown"),
    ],
)
def test_provider_cost_is_stated_or_estimated_or_unknown(
    record: dict[str, Any], cost: Any, basis: str
) -> None:
    record = {"model": "Acme/A", "prompt_tokens": 1000, "completion_tokens": 50} | record
    got = of_records(record, prices=RATES)
    assert some(got.entries[("c",)], "provider_cost", "provider_cost_basis", "total_tokens") == (
        cost,
        basis,
        1050,
    )
    (day,) = got.daily_revenue.values()
    assert day["charges_without_cost"] == (cost is None)


@pytest.mark.parametrize(
    ("record", "currency", "cost", "charges_without_cost"),
    [
        (charge("c", NOON, provider_cost="0.7"), "usd", "0.7", 0),
        (charge("c", NOON, provider_cost="0.7", provider_cost_currency="USD"), "usd", "0.7", 0),
        (charge("c", NOON, provider_cost="0.7", provider_cost_currency="EUR"), "eur", "0", 1),
        (charge("c", NOON, provider_cost_currency="eur"), "eur", "0", 1),
        # 1 million tokens at 2 usd per million
        (charge("c", NOON, model="a/b", prompt_tokens=10**6, provider_cost_currency="eur"), "usd", "2", 0),
    ],
)
def test_a_cost_in_another_currency_is_unknown_in_sums(
    record: dict[str, Any], currency: str, cost: str, charges_without_cost: int
) -> None:
    got = of_records(record, prices=[("a/b", "", "", "2", "", "", "", "usd")])
    assert got.entries[("c",)]["provider_cost_currency"] == currency
    (day,) = got.daily_revenue.values()
    assert some(day, "provider_cost", "charges_without_cost") == (D(cost), charges_without_cost)


def test_a_cost_of_something_else_than_a_charge_has_a_currency_and_no_other_entry_has() -> None:
    got = of_records(
        refund("r1", NOON, "1", "c", provider_cost="0.1"),
        refund("r2", NOON, "1", "c"),
        deposit("d", NOON, "1"),
    )
    assert {key: row["provider_cost_currency"] for (key,), row in got.entries.items()} == {
        "r1": "usd",
        "r2": None,
        "d": None,
    }


@pytest.mark.parametrize(
    ("record", "expected_name"),
    [
        (charge("c", NOON, model="OpenAI/gpt", metadata={"billed_by": " OpenRouter "}), "openrouter"),
        (charge("c", NOON, model="OpenAI/gpt", metadata={"billed_by": ""}), "openai"),
        (charge("c", NOON, model="OpenAI/gpt/mini"), "openai"),
        (charge("c", NOON, model="gpt"), "unknown"),
        (charge("c", NOON), "unknown"),
        (refund("c", NOON, "1", "x", metadata={"billed_by": "openrouter"}), None),
    ],
)
def test_a_charge_is_billed_by_someone(record: dict[str, Any], expected_name: str | None) -> None:
    assert of_records(record).entries[("c",)]["billed_by"] == expected_name


def test_a_charge_without_tokens_has_no_estimate_and_its_sum_may_be_unknown() -> None:
    got = of_records(charge("c", NOON, model="acme/a"), prices=RATES)
    assert got.entries[("c",)]["provider_cost_basis"] == "unknown"
    (day,) = got.daily_revenue.values()
    assert day["total_tokens"] == Either((0, None))


# ---- periods


def test_period_kpis_against_the_period_before() -> None:
    got = of_records(
        charge("c1", "2026-02-10T12:00:00Z", "8", user="bob", provider_cost="2"),
        charge("c2", "2026-03-04T12:00:00Z", "1", user="bob"),
        charge("c3", "2026-03-10T12:00:00Z", "6", user="alice", provider_cost="1", platform_fees="0.5"),
        charge("c4", "2026-03-15T12:00:00Z", "0", user="carol", provider_cost="0.25"),
        charge("c5", "2026-03-15T12:00:00Z", "5", user="dave", status="failed", provider_cost="0.75"),
        charge("c6", "2026-03-15T12:00:00Z", "5", user="alice", currency="eur"),
        deposit("d1", "2026-03-15T12:00:00Z", "50"),
    )
    week = got.period_kpis[("last_7_days", "usd")]  # 9 to 15 March: c3, c4, c5
    assert some(week, "period_start", "period_end") == (date(2026, 3, 9), date(2026, 3, 16))
    # cost 1 + 0.25 + 0.75 = 2; profit 6 - 2 - 0.5 = 3.5; margin 3.5 / 6; one payer, three users
    assert some(week, "charges", "revenue", "provider_cost", "profit", "deposits") == (2, 6, 2, D("3.5"), 50)
    assert some(week, "active_users", "active_payers", "new_payers", "arpu") == (3, 1, 1, 6.0)
    assert week["margin"] == 3.5 / 6
    # 2 to 8 March: c2, whose cost is unknown
    assert some(week, "previous_revenue", "previous_provider_cost", "previous_arpu") == (1, 0, 1.0)
    month = got.period_kpis[("last_30_days", "usd")]  # from 14 February: c2 .. c5; bob paid before
    assert some(month, "active_payers", "new_payers", "returning_payers", "cost_coverage") == (2, 1, 1, 3 / 4)
    to_date = got.period_kpis[("month_to_date", "usd")]  # 15 days; 15 days from 1 February: c1
    assert some(to_date, "previous_revenue", "previous_profit") == (8, 6)
    # February has 28 days; the 28 days just before begin on 4 January
    assert got.period_kpis[("previous_month", "usd")]["previous_revenue"] == 0
    always = got.period_kpis[("all_time", "eur")]
    # alice's first payment ever was in usd on 10 March, inside all time
    assert some(always, "period_start", "new_payers", "previous_revenue") == (date(2026, 2, 10), 1, None)
    today = got.period_kpis[("today", "eur")]
    assert some(today, "active_payers", "new_payers", "returning_payers") == (1, 0, 1)
    assert some(got.period_kpis[("yesterday", "eur")], "revenue", "margin", "arpu", "cost_coverage") == (
        0, None, None, None,
    )  # fmt: skip
    assert len(got.period_kpis) == 8 * 2
    custom = got.kpis(date(2026, 3, 1), date(2026, 3, 11))[("usd",)]  # c2 and c3; before: 19 to 28 February
    assert some(custom, "revenue", "previous_revenue", "active_payers") == (7, 0, 2)


def test_is_new_payer_is_the_first_day_over_all_wallets() -> None:
    got = of_records(
        charge("c0", "2026-03-01T12:00:00Z", "0", user="bob"),
        charge("c1", "2026-03-02T12:00:00Z", "1", user="bob"),
        charge("c2", "2026-03-02T12:00:00Z", "1", user="bob", currency="eur"),
        charge("c3", "2026-03-03T12:00:00Z", "1", user="bob", paywall="other"),
    )
    flags = {(key[0].day, key[3]): row["is_new_payer"] for key, row in got.user_days.items()}
    assert flags == {(1, "usd"): False, (2, "usd"): True, (2, "eur"): True, (3, "usd"): False}


def test_cohorts_by_the_month_of_the_first_payment_in_each_currency() -> None:
    got = of_records(
        charge("c1", "2026-01-31T23:30:00Z", "10", user="alice", provider_cost="4"),  # February in Berlin
        charge("c2", "2026-02-20T12:00:00Z", "6", user="bob", provider_cost="1"),
        charge("c3", "2026-03-05T12:00:00Z", "2", user="bob", provider_cost="3"),
        charge("c4", "2026-03-05T12:00:00Z", "5", user="bob", currency="eur"),
        reporting_timezone="Europe/Berlin",
    )
    february = date(2026, 2, 1)
    assert set(got.cohorts) == {(february, "usd", 0), (february, "usd", 1), (date(2026, 3, 1), "eur", 0)}
    first, second = got.cohorts[(february, "usd", 0)], got.cohorts[(february, "usd", 1)]
    assert some(first, "cohort_size", "active_payers", "revenue", "cumulative_profit") == (2, 2, 16, 11)
    # March: only bob, 2 of revenue at a cost of 3; cumulative 16 + 2 and 11 - 1
    assert some(second, "active_payers", "retention_rate", "revenue_per_user") == (1, 0.5, 1.0)
    assert some(second, "cumulative_revenue", "cumulative_profit", "is_complete") == (18, 10, False)
    assert first["is_complete"]


# ---- webhooks


def test_entries_of_webhooks_and_their_users() -> None:
    got = of_records(
        charge("act_2", "2026-03-01T00:00:00Z", "99", user="ledger user", status="pending"),
        events=(
            event(
                "e1",
                "authorization.completed",
                "2026-03-05T00:00:00Z",
                walletUserId="w1",
                externalUserId="ext 1",
            ),
            delivered(
                event(
                    "e2",
                    "balance.deposit.created",
                    NOON,
                    walletUserId="w1",
                    externalUserId="named",
                    amount="25",
                    currency="EUR",
                    source="stripe",
                    activityId="act_1",
                    metadata={"paymentIntent": "pi_1"},
                )
            ),
            event(
                "e3", "usage.charge.created", NOON, walletUserId="w1", activityId="act_2", cost=Raw("0.018")
            ),
            logged(
                event(
                    "e4",
                    "usage.charge.created",
                    NOON,
                    walletUserId="w1",
                    activityId="act_3",
                    cost=Raw("1e-7"),
                    model="acme/m",
                    promptTokens=1200,
                    completionTokens=850,
                )
            ),
            event(
                "e4",
                "usage.charge.created",
                NOON,
                walletUserId="w1",
                activityId="act_3",
                cost=Raw("1e-7"),
                model="acme/m",
                promptTokens=1200,
                completionTokens=850,
            ),
            event(
                "e5",
                "balance.trial.granted",
                NOON,
                prefix=False,
                walletUserId="w2",
                activityId="act_4",
                credits=500,
            ),
            event(
                "e6",
                "authorization.revoked",
                "2026-03-12T00:00:00Z",
                walletUserId="w1",
                subject={"externalId": "ext 2"},
            ),
            event("e7", "proxy.request.completed", "2026-03-14T00:00:00Z", walletUserId="w1"),
        ),
    )
    assert set(got.entries) == {("act_1",), ("act_2",), ("act_3",), ("act_4",)}
    paid = got.entries[("act_1",)]
    assert some(paid, "user_id", "currency", "amount", "funding", "rail", "payment_intent_id") == (
        "named", "eur", 25, "paid", "stripe", "pi_1",
    )  # fmt: skip
    # the ledger's word wins whatever the webhook says, even while it is pending
    assert some(got.entries[("act_2",)], "user_id", "amount", "status", "source") == (
        "ledger user", 99, "pending", "ledger",
    )  # fmt: skip
    # w1 was mapped last to "ext 2", though after the charge
    used = got.entries[("act_3",)]
    assert some(used, "user_id", "amount", "currency", "total_tokens", "model_id") == (
        "ext 2", D("1e-7"), "usd", 2050, "acme/m",
    )  # fmt: skip
    assert some(got.entries[("act_4",)], "user_id", "funding", "amount") == ("w2", "promo", 500)
    assert got.users[("ext 2",)]["status"] == "revoked"
    assert got.users[("ext 1",)]["status"] == "connected"
    # an event that the contract does not name changes nothing
    assert got.users[("ext 2",)]["last_activity_at"] == instant("2026-03-12T00:00:00Z")


@pytest.mark.parametrize(
    ("settles_on", "kinds", "status"),
    [
        ("created", ["created"], "settled"),
        ("completed", ["created"], "pending"),
        ("completed", ["completed", "created"], "settled"),
        ("created", ["failed", "created"], "failed"),
        ("created", ["completed"], None),
    ],
)
def test_manual_charges(settles_on: str, kinds: list[str], status: str | None) -> None:
    days = {"created": 9, "completed": 10, "failed": 10}
    events = tuple(
        event(
            kind,
            f"balance.charge.{kind}",
            f"2026-03-{days[kind]:02d}T12:00:00Z",
            activityId="a",
            walletUserId="w",
            amount=None if kind == "completed" else "15.75",
        )
        for kind in kinds
    )
    got = of_records(events=events, manual_charge_settles_on=settles_on)
    if status is None:
        assert not got.entries
        return
    row = got.entries[("a",)]
    assert some(row, "status", "amount", "occurred_at") == (
        status,
        D("15.75"),
        instant("2026-03-09T12:00:00Z"),
    )


def test_usage_errors() -> None:
    got = of_records(
        events=(
            event(
                "e1",
                "balance.charge.failed",
                NOON,
                activityId="a",
                walletUserId="w",
                amount="2",
                errorCode="poor",
            ),
            event(
                "e2", "balance.depleted", NOON, walletUserId="w", requestedAmount=12, availableBalance="3.5"
            ),
            event("e3", "request.blocked", NOON, walletUserId="w", reason="policy", requestId="r"),
            event("e4", "usage.charge.deferred", NOON, model="acme/m"),
        )
    )
    assert set(got.usage_errors) == {("e1",), ("e2",), ("e3",)}
    assert some(got.usage_errors[("e1",)], "error_code", "requested_amount") == ("poor", 2)
    assert some(got.usage_errors[("e2",)], "requested_amount", "available_balance") == (12, D("3.5"))
    assert some(got.usage_errors[("e3",)], "error_code", "request_id") == ("policy", "r")
    assert got.rpt_users[("w", "usd")]["errors_30d"] == 3


# ---- users, models


def test_the_users_view() -> None:
    got = of_records(
        deposit("d1", "2026-01-01T12:00:00Z", "10", user="bob"),
        charge("c1", "2026-01-02T12:00:00Z", "4", user="bob", provider_cost="1"),
        charge("c2", "2026-03-02T12:00:00Z", "5.5", user="bob", paywall="other", provider_cost="2"),
        charge("c3", "2026-03-02T12:00:00Z", "0", user="carol"),
        deposit("d2", "2026-03-02T12:00:00Z", "3", user="dave"),
        charge("c4", "2026-03-02T12:00:00Z", "3", user="dave"),
        charge("c5", "2026-03-02T12:00:00Z", "3", user="erin"),
    )
    # 10 - 4 - 5.5 = 0.5 over both paywalls, below 1; cost to serve (1 + 2) / 2 charges
    bob = got.rpt_users[("bob", "usd")]
    assert some(bob, "balance", "balance_band", "total_spend", "profit", "cost_to_serve", "payer_type") == (
        D("0.5"), "low", D("9.5"), D("6.5"), 1.5, "returning",
    )  # fmt: skip
    assert {key[0]: row["balance_band"] for key, row in got.rpt_users.items()} == {
        "bob": "low", "carol": "zero", "dave": "zero", "erin": "negative",
    }  # fmt: skip
    assert some(got.rpt_users[("carol", "usd")], "payer_type", "charges") == ("none", 1)
    assert got.rpt_users[("dave", "usd")]["payer_type"] == "new"
    assert got.users[("bob",)]["cohort_month"] == date(2026, 1, 1)
    assert got.users[("carol",)]["cohort_month"] is None


def test_models_share_the_revenue_of_their_currency() -> None:
    got = of_records(
        charge("c1", NOON, "3", model="Acme/A", provider_cost="1"),
        charge("c2", NOON, "1", model="Plain-Name"),
        charge("c3", NOON, "7", model="acme/a", currency="eur"),
    )
    row = got.rpt_models[("acme/a", "usd", "last_7_days")]
    assert some(row, "revenue", "profit", "margin", "revenue_share") == (3, 2, 2 / 3, 0.75)
    assert got.rpt_models[("Plain-Name", "usd", "all_time")]["revenue_share"] == 0.25
    assert ("acme/a", "usd", "today") not in got.rpt_models


# ---- reading


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1.50", "1.5"),
        ("1e-7", "0.0000001"),
        ("0.1000000000000000", "0.1"),
        ("123456789012345678.123456789012", "123456789012345678.123456789012"),
        ("999999999999999999.999999999999", "999999999999999999.999999999999"),
        ("1E2", "100"),
    ],
)
def test_money_keeps_every_digit_as_number_and_as_text(text: str, value: str) -> None:
    got = of_records(charge("number", NOON, Raw(text)), charge("text", NOON, text, user="bob"))
    assert {row["amount"] for row in got.entries.values()} == {D(value)}


BAD_CASES = [
    pytest.param(bad, kind, id=f"{bad.name}-{kind}") for bad in BAD_LEDGER_RECORDS for kind in bad.formats
]


@pytest.mark.parametrize(("bad", "kind"), BAD_CASES)
def test_every_bad_kind_is_rejected_at_its_line_and_costs_no_good_record(bad: BadKind, kind: str) -> None:
    good = charge("good", NOON, metadata={"note": "two\nlines"}, user="two\nlines")
    file = ledger_file(f"x.{kind}", [good, bad.spoil(charge("bad", NOON)), good | {"id": "good 2"}])
    got = expected([file], SETTINGS)
    # JSON lines: the second line. Parquet: the second row. CSV: after the header and a record on two lines.
    line = {"jsonl": 2, "parquet": 2, "csv": 4}[kind]
    assert dict(got.rejects) == {(f"ledger/x.{kind}", line): 1}
    assert set(got.entries) == {("good",), ("good 2",)}


@pytest.mark.parametrize("bad", BAD_EVENTS, ids=lambda bad: bad.name)
def test_every_bad_event_is_rejected(bad: BadKind) -> None:
    got = of_records(events=(good_usage(1), bad.spoil(good_usage(2))))
    assert dict(got.rejects) == {("events/a.jsonl", 2): 1}
    assert set(got.entries) == {("act_bad_1",)}


def test_all_formats_hold_the_same_rows() -> None:
    records = [
        charge("c,1", NOON, Raw("1e-7"), user='a "b"\nc', prompt_tokens=5, tier="gold", updated_at=NOON),
        deposit("d", NOON, "1.5", metadata={"payment_intent": "pi", "list": [1, {"a": None}]}),
    ]
    names = ("a.jsonl", "a.csv", "a.parquet", "a.jsonl.gz", "a.csv.zst")
    tables = [expected([ledger_file(name, records)], SETTINGS).entries for name in names]
    tables.append(expected([ledger_file("a.parquet", records, typed=True)], SETTINGS).entries)
    assert all(table == tables[0] for table in tables)
    assert tables[0][("c,1",)]["metadata"] == {"extra": {"tier": "gold"}}
    assert tables[0][("c,1",)]["amount"] == D("1e-7")


@pytest.mark.parametrize(
    "file",
    [
        landed("ledger", "empty.jsonl", b""),
        LandedFile("ledger", "cut.jsonl.gz", landed("ledger", "a.gz", b'{"id": 1}\n' * 99).content[:-9]),
        LandedFile("ledger", "plain.jsonl.gz", b'{"id": "a"}\n'),
        LandedFile("ledger", "plain.csv.zst", b"id,amount\n1,2\n"),
        LandedFile("ledger", "cut.csv.zst", ledger_file("a.csv.zst", [charge("c", NOON)]).content[:-9]),
        LandedFile("ledger", "text.parquet", b"PAR1 it is not"),
        LandedFile("ledger", "cut.parquet", ledger_file("a.parquet", [charge("c", NOON)]).content[:-20]),
    ],
    ids=lambda file: file.name,
)
def test_a_file_that_cannot_be_read_is_one_reject(file: LandedFile) -> None:
    good = ledger_file("good.jsonl", [charge("c", NOON)])
    got = expected([file, good], SETTINGS)
    assert dict(got.rejects) == {(file.path, None): 1}
    assert set(got.entries) == {("c",)}


def test_money_as_floats_is_refused() -> None:
    table = pa.table({"id": ["c"], "timestamp": [NOON], "type": ["charge"], "user": ["u"], "paywall": ["p"],
                      "amount": [0.1]})  # fmt: skip
    got = expected([landed("ledger", "floats.parquet", parquet_table(table), loose=True)], SETTINGS)
    assert not got.entries
    assert got.loose_files == {"ledger/floats.parquet"}


def test_content_counts_once_and_unfinished_files_not_at_all() -> None:
    content = ledger_file("a.jsonl", [charge("c", NOON), Raw("[")]).content
    names = ("a.jsonl", "again.jsonl", ".hidden.jsonl", "b.jsonl.tmp", "b.part", "b.partial")
    got = expected([LandedFile("ledger", name, content) for name in names], SETTINGS)
    assert (dict(got.file_records), dict(got.rejects)) == ({"ledger/a.jsonl": 2}, {("ledger/a.jsonl", 2): 1})


# ---- scenarios hold together


@pytest.mark.parametrize("seed", range(8))
def test_scenarios_are_full_of_what_they_promise(seed: int) -> None:
    scenario = build_scenario(seed, "Europe/Berlin", "usd", "created", "2026-06-03T15:00:00+00:00")
    got = expected(scenario.files, scenario.settings)
    rows = list(got.entries.values())
    assert {row["status"] for row in rows} == {"pending", "settled", "failed", "reversed"}
    assert {row["provider_cost_basis"] for row in rows} == {"reported", "estimated", "unknown", None}
    assert {row["currency"] for row in rows} == {"usd", "eur", "jpy", "usdc"}
    assert {row["source"] for row in rows} == {"ledger", "webhook"}
    own = {
        row["provider_cost_currency"] == row["currency"] for row in rows if row["provider_cost"] is not None
    }
    assert own == {True, False}
    assert {row["billed_by"] for row in rows} >= {"openrouter", "azure", "vertex_ai", "unknown", None}
    assert len(scenario.spoiled) >= 20
    assert max(row["amount"] for row in rows) > 10**16
    assert any(row["deposit_refunds"] for row in got.wallet_days.values())
    with localcontext(EXACT):
        tables_agree(got)


def tables_agree(got: Expected) -> None:
    rows = list(got.entries.values())
    effects = sum((row["balance_effect"] for row in rows), D(0))
    assert effects == sum(
        row["closing_balance"] for row in got.wallet_days.values() if row["valid_to"] is None
    )
    last_day = max(day for day, _ in got.balance_rollforward)
    ends = [row["closing_balance"] for (day, _), row in got.balance_rollforward.items() if day == last_day]
    assert effects == sum(ends)
    for name in ("revenue", "refunds", "provider_cost", "platform_fees", "charges"):
        by_model, by_user = (sum(r[name] for r in t.values()) for t in (got.daily_revenue, got.user_days))
        assert by_model == by_user


@pytest.mark.parametrize("seed", range(4))
def test_the_order_of_batches_changes_nothing(seed: int) -> None:
    scenario = build_scenario(seed, "America/New_York", "eur", "completed", "2026-06-03T15:00:00+00:00")
    first, second, third = scenario.batches
    tables = [
        expected([file for batch in order for file in batch], scenario.settings)
        for order in ((first, second, third), (third, first, second), (second, third, first))
    ]
    for other in tables[1:]:
        assert other.entries == tables[0].entries
        assert other.user_days == tables[0].user_days
        assert other.rpt_users == tables[0].rpt_users
