"""Reconciliation and payouts: cases worked out by hand, whole runs against the oracle, and reports that do
not add up.

The examples stand above the tests that look at them. They make one ledger and one set of reports, which one
run publishes; every test reads its own cases, once as the oracle tells them and once as they were published.
`ORACLE_EXAMPLES` raises the number of random books.
"""

import os
import random
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from itertools import chain
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.e2e.test_pipeline_against_oracle import Published, differences, few, same
from tests.support.builders import (
    Raw,
    Record,
    adjustment,
    charge,
    event,
    events_file,
    ledger_file,
    refund,
    withdrawal,
)
from tests.support.harness import RunResult, run_pipeline
from tests.support.oracle import Either, LandedFile, OracleSettings, Row, Rows
from tests.support.payment_builders import (
    activity_file,
    charge_failure_row,
    charge_row,
    checkout_event,
    covering,
    credit,
    days_later,
    dispute_reversal_row,
    dispute_row,
    fee_row,
    land_in_order,
    payments_file,
    payout_item,
    payout_items_file,
    payout_itself,
    payout_row,
    payouts_file,
    rail_payment,
    refund_failure_row,
    refund_row,
    run_sidecar,
    session_row,
    sessions_file,
    summary_file,
    summary_rows,
    text_of,
    topup_row,
)
from tests.support.reconciliation_oracle import Reconciled, reconciled

D = Decimal
EXAMPLES = int(os.environ.get("ORACLE_EXAMPLES", "1"))
WHOLE_RUN = [pytest.mark.slow, pytest.mark.timeout(0)]
GRACE = 3
GRAINS = {
    "cases": ("fct_reconciliation", ("case_id",)),
    "summary": ("rpt_reconciliation_summary", ("date_day", "rail", "currency")),
    "payouts": ("fct_payouts", ("payout_id",)),
}


def read_published(home: Path) -> Reconciled:
    published = Published(home)
    told = Reconciled(
        **{name: published.table(f"marts.{table}", grain) for name, (table, grain) in GRAINS.items()}
    )
    for case in told.cases.values():
        case["deposit_entry_ids"] = sorted(case["deposit_entry_ids"] or [])
    return told


def run(home: Path, settings: OracleSettings, grace_days: int = GRACE) -> RunResult:
    return run_pipeline(
        home,
        as_of=settings.as_of.isoformat(),
        reporting_timezone=settings.reporting_timezone,
        max_reject_ratio="0",
        recon_grace_days=str(grace_days),
    )


def assert_equal(want: Reconciled, found: Reconciled, where: str) -> None:
    problems = [differences(name, getattr(want, name), getattr(found, name)) for name in GRAINS]
    report = "\n\n".join(problem for problem in problems if problem)
    if report:
        pytest.fail(f"{where}\n\n{report}", pytrace=False)


# ---- the story of the examples

SETTINGS = OracleSettings(as_of=datetime(2026, 11, 10, 12, tzinfo=UTC), reporting_timezone="Europe/Berlin")
FIRST, LAST = (
    "2026-10-01",
    "2026-11-07",
)  # what the Stripe reports cover: up to 2026-11-08 00:00 UTC, exclusive
MONEY = {"amount", "items_net", "net_credit", "net_payment"} | {
    f"{name}_amount" for name in ("ledger", "paid", "refunded", "disputed", "clawed_back", "processor")
} | {"settled_gross", "settled_fee", "settled_net", "difference"}  # fmt: skip
NOON = "2026-10-05T12:00:00Z"


@dataclass
class Story:
    """Everything that the examples put in."""

    ledger: list[Any] = field(default_factory=list)
    events: list[Any] = field(default_factory=list)
    activity: list[Record] = field(default_factory=list)
    test_activity: list[Record] = field(default_factory=list)
    sessions: list[Record] = field(default_factory=list)
    payments: list[Record] = field(default_factory=list)
    later_payments: list[Record] = field(default_factory=list)
    payouts: list[Record] = field(default_factory=list)
    later_payouts: list[Record] = field(default_factory=list)
    payout_items: list[Record] = field(default_factory=list)

    def paid(self, name: str, amount: str = "10.00", at: str = NOON, **more: Any) -> Record:
        """A payment of Stripe with intent `pi_<name>` and charge `ch_<name>`."""
        keys = {"intent": f"pi_{name}", "charge": f"ch_{name}"} | more
        self.activity.append(charge_row(f"txn_{name}", at, amount, keys.pop("fee", "0.59"), **keys))
        return self.activity[-1]

    def credited(
        self, name: str, amount: str = "10.00", at: str = NOON, *, entry_id: str | None = None, **more: Any
    ) -> None:
        """A deposit `<name>` that names the intent `pi_<name>`, unless other keys are given."""
        keys = more.keys() & {"intent", "charge", "session", "payment", "metadata", "rail"}
        more |= {} if keys else {"intent": f"pi_{name}"}
        known = {one["id"] for one in self.ledger}
        assert "updated_at" in more or (entry_id or name) not in known, (
            f"two examples use the entry id {entry_id or name}"
        )
        self.ledger.append(credit(entry_id or name, at, amount, **more))

    def files(self) -> list[LandedFile]:
        """The reports in several files and forms; a later download repeats rows, by then with another
        `available_on`.
        """
        ids = [row["balance_transaction_id"] for row in self.activity]
        assert len(ids) == len(set(ids)), (
            f"two examples use a transaction id: {sorted(one for one in set(ids) if ids.count(one) > 1)}"
        )
        every = [self.activity[number::4] for number in range(4)]
        later = [
            row | {"available_on_utc": days_later(row["available_on_utc"], 1)} for row in self.activity[::3]
        ]
        summary = summary_rows(
            {"usd": D("100.00"), "jpy": D(0)}, self.activity, [*self.payouts, *self.later_payouts]
        )
        return [
            ledger_file("story.jsonl", self.ledger),
            events_file("story.jsonl", self.events),
            activity_file(
                covering(FIRST, LAST, stem="A"),
                every[0],
                bom=True,
                newline="\r\n",
                shuffled=1,
                extra_columns=True,
            ),
            activity_file("b_UTC.csv.gz", every[1], plain_times=True, decimals_of_yen=True),
            activity_file("c.jsonl", every[2], extra_columns=True),
            activity_file("d.parquet", every[3], shuffled=4),
            activity_file("e again.csv", later, shuffled=5, decimals_of_yen=True),
            activity_file("f.csv", self.test_activity, mode="test"),
            sessions_file("sessions.jsonl", self.sessions),
            payments_file("1.csv", self.payments),
            payments_file("2.jsonl", self.later_payments),
            payouts_file("1.csv", self.payouts, newline="\r\n", bom=True),
            payouts_file("2_UTC.csv", self.later_payouts, plain_times=True),
            payout_items_file("1.csv", self.payout_items),
            payout_items_file("2.csv", self.payout_items[1:], shuffled=2),
            summary_file(covering(FIRST, LAST), summary),
        ]


story = Story()


@pytest.fixture(scope="module")
def homes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[], Path]]:
    """Fresh homes, removed at the end, as each holds a warehouse."""
    made: list[Path] = []

    def make() -> Path:
        made.append(tmp_path_factory.mktemp("home"))
        return made[-1]

    yield make
    for home in made:
        if not os.environ.get("KEEP_HOMES"):
            shutil.rmtree(home, ignore_errors=True)


@pytest.fixture(scope="module")
def oracle() -> Reconciled:
    """The story's tables as the oracle computes them."""
    return reconciled(story.files(), SETTINGS, GRACE)


@pytest.fixture(scope="module")
def published(homes: Callable[[], Path]) -> Reconciled:
    """The story's tables as a run publishes them."""
    home = homes()
    land_in_order(home, story.files())
    result = run(home, SETTINGS)
    assert result.exit_code == 0, f"exit code {result.exit_code}: {result}"
    return read_published(home)


@pytest.fixture(params=["oracle", pytest.param("published", marks=WHOLE_RUN)])
def told(request: pytest.FixtureRequest) -> Reconciled:
    told: Reconciled = request.getfixturevalue(request.param)
    return told


def check(rows: Rows, *key: Any, **wanted: Any) -> None:
    """The row of a key has these values; money is given as text."""
    assert key in rows, f"{key} is missing"
    found = rows[key]
    for name, value in wanted.items():
        want, stands = (D(value) if name in MONEY and value is not None else value), found[name]
        assert same(stands, want) if isinstance(stands, Either) else same(want, stands), (
            key,
            name,
            want,
            stands,
        )


def is_matched(told: Reconciled, *case_ids: str) -> None:
    for case_id in case_ids:
        check(told.cases, case_id, break_type=None, status="matched", priority=None)


def is_pending(told: Reconciled, *case_ids: str) -> None:
    for case_id in case_ids:
        check(told.cases, case_id, break_type=None, status="pending", priority=None)


def is_broken(told: Reconciled, break_type: str, priority: int, *case_ids: str) -> None:
    for case_id in case_ids:
        check(told.cases, case_id, break_type=break_type, status="break", priority=priority)


# ---- matched

story.paid("ok", "10.00", "2026-10-05T10:00:00Z", fee="0.59")
story.credited("ok", "10", "2026-10-05T10:00:03Z", user="alice")


def test_a_payment_credited_in_full_is_matched_with_both_sides_shown(told: Reconciled) -> None:
    check(
        told.cases,
        "stripe:pi_ok",
        rail="stripe",
        user_id="alice",
        payment_intent_id="pi_ok",
        charge_id="ch_ok",
        checkout_session_id=None,
        payment_id=None,
        deposit_entry_ids=["ok"],
        match_method="payment_intent",
        ledger_amount="10",
        ledger_currency="usd",
        paid_amount="10",
        paid_currency="usd",
        settled_gross="10",
        settled_fee="0.59",
        settled_net="9.41",
        settlement_currency="usd",
        refunded_amount="0",
        disputed_amount="0",
        clawed_back_amount="0",
        difference="0",
        first_event_at=datetime(2026, 10, 5, 10, tzinfo=UTC),
        last_event_at=datetime(2026, 10, 5, 10, 0, 3, tzinfo=UTC),
        age_days=36,  # from 5 October 10:00 to 10 November 12:00
        status="matched",
        break_type=None,
        priority=None,
    )


story.paid("by charge")
story.credited("by charge", charge="ch_by charge")
story.paid("by source", charge=None, source="ch_by source")
story.credited("by source", charge="ch_by source")
story.paid("by session")
story.sessions.append(session_row("cs_by", "pi_by session", "alice"))
story.credited("by session", session="cs_by")
story.payments.append(rail_payment("paypal", "P-1", NOON, "10.00", fee="0.50"))
story.credited("by payment id", rail="paypal", payment="P-1")
story.paid("second key")
story.credited("second key", intent="pi_of_nobody", charge="ch_second key")
story.paid("both keys")
story.sessions.append(session_row("cs_of_another", "pi_by charge"))
story.credited("both keys", intent="pi_both keys", session="cs_of_another")
story.paid("hook")
story.events.append(
    event(
        "evt_hook",
        "balance.deposit.created",
        NOON,
        metadata={"paymentIntent": "pi_hook"},
        activityId="hook",
        amount=Raw("10.0"),
        currency="USD",
        source="stripe.checkout",
        walletUserId="wallet_hook",
    )
)
# no intent: the charge is the payment; neither: the source; nothing at all: the balance transaction
story.paid("no intent", intent=None)
story.credited("no intent", charge="ch_no intent")
story.paid("no keys", intent=None, charge=None, source=None)


def test_keys_are_tried_in_their_order(told: Reconciled) -> None:
    methods = {
        "stripe:pi_by charge": "charge",
        "stripe:pi_by source": "charge",
        "stripe:pi_by session": "checkout_session",
        "paypal:P-1": "payment_id",
        "stripe:pi_second key": "charge",
        "stripe:pi_both keys": "payment_intent",
        "stripe:pi_hook": "payment_intent",
        "stripe:ch_no intent": "charge",
    }
    is_matched(told, *methods)
    for case_id, method in methods.items():
        check(told.cases, case_id, match_method=method)
    check(told.cases, "stripe:pi_by session", checkout_session_id="cs_by")
    check(
        told.cases,
        "stripe:pi_by charge",
        checkout_session_id="cs_of_another",
        deposit_entry_ids=["by charge"],
    )
    check(
        told.cases, "paypal:P-1", rail="paypal", payment_id="P-1", payment_intent_id=None, settled_net="9.50"
    )
    check(told.cases, "stripe:pi_hook", user_id="wallet_hook", deposit_entry_ids=["hook"])
    check(
        told.cases, "stripe:txn_no keys", break_type="processor_only", payment_intent_id=None, charge_id=None
    )


# ---- one side is missing

story.paid("unseen", "30.00", "2026-10-06T08:00:00Z", user="carol")
story.paid("just old enough", at="2026-11-07T12:00:00Z")
story.paid("young", at="2026-11-07T12:00:01Z")


def test_a_payment_without_credit_waits_for_the_grace_and_is_a_break_then(told: Reconciled) -> None:
    is_broken(told, "processor_only", 1, "stripe:pi_unseen", "stripe:pi_just old enough")
    is_pending(told, "stripe:pi_young")
    check(
        told.cases,
        "stripe:pi_unseen",
        user_id="carol",
        ledger_amount=None,
        ledger_currency=None,
        paid_amount="30",
        difference="-30",
        match_method=None,
        deposit_entry_ids=[],
        age_days=35,
    )
    check(told.cases, "stripe:pi_young", age_days=2)


for status in ("pending", "failed", "reversed"):
    story.paid(status)
    story.credited(status, status=status)
story.paid("settles later")
story.credited("settles later", status="pending", updated_at=NOON)
story.credited("settles later", status="settled", updated_at="2026-10-05T12:00:01Z")
story.paid("undone later")
story.credited("undone later", status="settled", updated_at=NOON)
story.credited("undone later", status="reversed", updated_at="2026-10-05T12:00:01Z")
story.paid("gift")
story.credited("gift", metadata={"payment_intent": "pi_gift", "funding": "promo"})


def test_only_a_settled_paid_deposit_is_a_credit(told: Reconciled) -> None:
    for name in ("pending", "failed", "reversed", "undone later", "gift"):
        is_broken(told, "processor_only", 1, f"stripe:pi_{name}")
        assert (f"deposit:{name}",) not in told.cases
    is_matched(told, "stripe:pi_settles later")


story.credited("bonus", metadata={"reason": "signup_bonus"})
story.ledger.append(adjustment("plus", NOON, "5"))
story.ledger.append(charge("usage", NOON, "1", metadata={"payment_intent": "pi_usage"}))
story.events.append(
    event("evt_trial", "balance.trial.granted", NOON, activityId="trial", credits=500, walletUserId="w")
)
story.activity.append(topup_row("txn_topup", NOON, "1000.00"))
story.activity.append(fee_row("txn_fee", NOON, "2.00"))


def test_promo_deposits_adjustments_usage_and_the_accounts_own_money_are_no_cases(told: Reconciled) -> None:
    said = {
        str(part)
        for row in told.cases.values()
        for part in (row["deposit_entry_ids"], row["payment_intent_id"])
    }
    for name in ("bonus", "plus", "usage", "trial"):
        assert (f"deposit:{name}",) not in told.cases
        assert f"['{name}']" not in said
    assert not [case_id for (case_id,) in told.cases if "topup" in case_id or "txn_fee" in case_id]


story.credited("lost", "12.5", "2026-11-04T23:59:59Z", intent="pi_lost")
story.credited("at the edge", "12.5", "2026-11-05T00:00:00Z", intent="pi_at the edge")
story.credited("past the data", "12.5", "2026-11-09T00:00:00Z", intent="pi_past the data")
story.credited("by wire", "12.5", "2026-10-02T00:00:00Z", rail="wire", payment="W-1")
story.payments.append(rail_payment("coins", "C-1", "2026-10-20T00:00:00Z", "1.00"))
story.credited("coin", "1.00", "2026-10-20T00:00:00Z", rail="coins", payment="C-1")
story.credited("coin lost", "12.5", "2026-10-16T00:00:00Z", rail="coins", payment="C-9")
story.credited("coin at its end", "12.5", "2026-10-17T00:00:00Z", rail="coins", payment="C-8")
story.payments.append(rail_payment("paypal", "P-last", "2026-11-09T06:00:00Z", "1.00"))


def test_a_credit_without_payment_is_a_break_once_the_data_reach_past_it(told: Reconciled) -> None:
    # Stripe's reports end on 8 November 00:00: 3 days and a second are past the grace, 3 days are not
    is_broken(told, "ledger_only", 1, "deposit:lost", "deposit:coin lost")
    is_pending(told, "deposit:at the edge", "deposit:past the data", "deposit:coin at its end")
    is_pending(told, "deposit:by wire")  # no wire data at all
    check(
        told.cases,
        "deposit:lost",
        rail="stripe",
        user_id="alice",
        payment_intent_id="pi_lost",
        deposit_entry_ids=["lost"],
        match_method=None,
        ledger_amount="12.5",
        ledger_currency="usd",
        paid_amount=None,
        paid_currency=None,
        settled_gross=None,
        settled_fee=None,
        settled_net=None,
        settlement_currency=None,
        clawed_back_amount="0",
        difference="12.5",
        age_days=5,
    )
    check(told.cases, "deposit:coin lost", rail="coins", payment_id="C-9")


story.ledger.append(credit("nobody's", "2026-10-14T21:59:59Z", "12.5", user="nobody"))
story.ledger.append(credit("nobody's, late", "2026-10-14T22:00:00Z", "12.5", user="nobody"))


def test_a_credit_of_an_unknown_rail_waits_for_every_source_that_could_hold_its_payment(
    told: Reconciled,
) -> None:
    # The bank reaches least, to 17 October 22:00: three days and a second are past the grace, three days are
    # not
    is_broken(told, "ledger_only", 1, "deposit:nobody's")
    is_pending(told, "deposit:nobody's, late")
    check(told.cases, "deposit:nobody's", rail="unknown")


story.paid("went back")
story.activity.append(refund_row("txn_went back r", "2026-10-06T00:00:00Z", "10.00", intent="pi_went back"))
story.paid("went back in two ways")
story.activity.append(
    refund_row("txn_two ways r", "2026-10-06T00:00:00Z", "4.00", charge="ch_went back in two ways")
)
story.activity.append(
    dispute_row("txn_two ways d", "2026-10-07T00:00:00Z", "6.00", "15.00", charge="ch_went back in two ways")
)
story.paid("went back in part")
story.activity.append(
    refund_row("txn_in part r", "2026-10-06T00:00:00Z", "9.99", intent="pi_went back in part")
)


def test_a_payment_that_was_never_credited_and_went_back_needs_nothing(told: Reconciled) -> None:
    is_matched(told, "stripe:pi_went back", "stripe:pi_went back in two ways")
    check(
        told.cases,
        "stripe:pi_went back in two ways",
        refunded_amount="4",
        disputed_amount="6",
        difference="-10",
    )
    is_broken(told, "processor_only", 1, "stripe:pi_went back in part")


story.credited("given by mistake", "7.5", intent="pi_nobody paid")
story.ledger.append(
    withdrawal("given by mistake back", "2026-10-09T00:00:00Z", "7.5", related_id="given by mistake")
)
story.credited("given and kept", "7.5", intent="pi_nobody paid that")
story.ledger.append(
    adjustment("given and kept back", "2026-10-09T00:00:00Z", "-7.49", related_id="given and kept")
)


def test_a_credit_that_nobody_paid_and_that_was_taken_back_needs_nothing(told: Reconciled) -> None:
    is_matched(told, "deposit:given by mistake")
    is_broken(told, "ledger_only", 1, "deposit:given and kept")


# ---- more than one credit

story.paid("twice")
for entry_id in ("twice 1", "twice 2"):
    story.credited("twice", entry_id=entry_id)
story.paid("in halves")
story.credited("in halves", "4", entry_id="half 1")
story.credited("in halves", "6", entry_id="half 2", charge="ch_in halves")
story.paid("in too small parts")
for entry_id in ("part 1", "part 2"):
    story.credited("in too small parts", "4.99", entry_id=entry_id)
story.paid("twice, one failed")
story.credited("twice, one failed", entry_id="good one")
story.credited("twice, one failed", entry_id="failed one", status="failed")
story.paid("twice, taken back")
story.credited("twice, taken back", entry_id="stays")
story.credited("twice, taken back", entry_id="goes")
story.ledger.append(adjustment("taken again", NOON, "-10", related_id="goes"))
story.paid("twice, taken back in part")
story.credited("twice, taken back in part", entry_id="kept 2")
story.credited("twice, taken back in part", entry_id="taken 2")
story.ledger.append(refund("taken 2 again", NOON, "9.99", of="taken 2"))


def test_more_than_one_credit_is_a_duplicate_when_they_are_above_what_was_paid(told: Reconciled) -> None:
    is_broken(told, "duplicate_deposit", 1, "stripe:pi_twice", "stripe:pi_twice, taken back in part")
    check(
        told.cases,
        "stripe:pi_twice",
        deposit_entry_ids=["twice 1", "twice 2"],
        ledger_amount="20",
        difference="10",
    )
    is_matched(told, "stripe:pi_in halves", "stripe:pi_twice, one failed", "stripe:pi_twice, taken back")
    check(
        told.cases, "stripe:pi_in halves", match_method="payment_intent", ledger_amount="10", difference="0"
    )
    check(told.cases, "stripe:pi_twice, taken back", clawed_back_amount="10", difference="10")
    is_broken(told, "amount_mismatch", 2, "stripe:pi_in too small parts")


story.paid("twice and refunded")
for entry_id in ("t&r 1", "t&r 2"):
    story.credited("twice and refunded", entry_id=entry_id)
story.activity.append(refund_row("txn_t&r", "2026-10-06T00:00:00Z", "10.00", charge="ch_twice and refunded"))
story.ledger.append(refund("t&r back", NOON, "10", of="t&r 1"))
story.paid("twice and refunded, all taken back")
for entry_id in ("t&r 3", "t&r 4"):
    story.credited("twice and refunded, all taken back", entry_id=entry_id)
    story.ledger.append(refund(f"{entry_id} back", NOON, "10", of=entry_id))
story.activity.append(
    refund_row("txn_t&r 2", "2026-10-06T00:00:00Z", "10.00", charge="ch_twice and refunded, all taken back")
)


story.paid("twice, put right, refunded later")
for entry_id in ("t,pr 1", "t,pr 2"):
    story.credited("twice, put right, refunded later", entry_id=entry_id)
story.ledger.append(refund("t,pr back", NOON, "10", of="t,pr 2"))
story.activity.append(
    refund_row("txn_t,pr", "2026-10-06T00:00:00Z", "3.00", charge="ch_twice, put right, refunded later")
)


def test_a_second_credit_that_was_taken_back_is_none_whatever_is_refunded_later(told: Reconciled) -> None:
    # 20 − 10 credited and 10 paid: what is open is the refund
    is_broken(
        told,
        "refund_not_clawed_back",
        3,
        "stripe:pi_twice and refunded",
        "stripe:pi_twice, put right, refunded later",
    )
    check(told.cases, "stripe:pi_twice and refunded", net_credit="10", net_payment="0")
    check(told.cases, "stripe:pi_twice, put right, refunded later", net_credit="10", net_payment="7")
    is_matched(told, "stripe:pi_twice and refunded, all taken back")


story.paid("twice in dollars", "10.80", paid="10.00", paid_currency="eur")
for entry_id in ("dollars 1", "dollars 2"):
    story.credited("twice in dollars", "10.80", entry_id=entry_id)


def test_two_credits_in_another_currency_are_a_duplicate_first(told: Reconciled) -> None:
    is_broken(told, "duplicate_deposit", 1, "stripe:pi_twice in dollars")
    check(
        told.cases,
        "stripe:pi_twice in dollars",
        difference=None,
        ledger_amount="21.60",
        ledger_currency="usd",
        paid_currency="eur",
    )


# ---- currencies and amounts

story.paid("euro", "10.80", fee="0.61", paid="10.00", paid_currency="eur")
story.credited("euro", "10", currency="EUR")
story.paid("euro as settled", "10.80", fee="0.61", paid="10.00", paid_currency="eur")
story.credited("euro as settled", "10.80")
story.paid("euro by its number", "10.80", paid="10.00", paid_currency="eur")
story.credited("euro by its number", "10.00")
story.activity.append(
    refund_row("txn_eurno", NOON, "10.80", paid="10.00", paid_currency="eur", charge="ch_euro by its number")
)


def test_a_credit_is_compared_with_what_the_customer_paid_and_not_with_what_was_settled(
    told: Reconciled,
) -> None:
    is_matched(told, "stripe:pi_euro")
    check(
        told.cases,
        "stripe:pi_euro",
        paid_amount="10",
        paid_currency="eur",
        ledger_currency="eur",
        settled_gross="10.80",
        settled_fee="0.61",
        settled_net="10.19",
        settlement_currency="usd",
        difference="0",
    )
    is_broken(told, "currency_mismatch", 2, "stripe:pi_euro as settled", "stripe:pi_euro by its number")
    check(told.cases, "stripe:pi_euro as settled", difference=None)


story.paid("not presented", paid=None)
story.credited("not presented")


def test_without_a_customer_facing_amount_the_customer_paid_what_was_settled(told: Reconciled) -> None:
    is_matched(told, "stripe:pi_not presented")
    check(told.cases, "stripe:pi_not presented", paid_amount="10", paid_currency="usd")


story.paid("yen", "500", fee="18", currency="jpy")
story.credited("yen", "500", currency="jpy")
story.paid("yen again", "500", fee="18", currency="jpy")
story.credited("yen again", "500.000", currency="jpy")
story.paid("yen for dollars", "3.30", fee="0.40", paid="500", paid_currency="jpy")
story.credited("yen for dollars", "500", currency="jpy")


def test_yen_have_no_decimals_however_they_are_written(told: Reconciled) -> None:
    is_matched(told, "stripe:pi_yen", "stripe:pi_yen again", "stripe:pi_yen for dollars")
    for name in ("yen", "yen again"):
        check(
            told.cases,
            f"stripe:pi_{name}",
            paid_amount="500",
            settled_gross="500",
            settled_fee="18",
            settled_net="482",
        )


story.paid("a cent less")
story.credited("a cent less", "9.99")
story.paid("net only", fee="0.59")
story.credited("net only", "9.41")
story.paid("too much")
story.credited("too much", "10.000000000001")
story.paid("too much, taken back")
story.credited("too much, taken back", "12")
story.ledger.append(withdrawal("too much back", NOON, "2", related_id="too much, taken back"))
story.paid("too little and refunded")
story.credited("too little and refunded", "9")
story.activity.append(
    refund_row("txn_tlr", "2026-10-06T00:00:00Z", "10.00", intent="pi_too little and refunded")
)
story.paid("too little and the rest refunded")
story.credited("too little and the rest refunded", "9")
story.activity.append(
    refund_row("txn_tlrr", "2026-10-06T00:00:00Z", "1.00", intent="pi_too little and the rest refunded")
)
story.paid("too little and not all the rest refunded")
story.credited("too little and not all the rest refunded", "9")
story.activity.append(
    refund_row(
        "txn_tlnr", "2026-10-06T00:00:00Z", "0.99", intent="pi_too little and not all the rest refunded"
    )
)
story.paid("too much and disputed")
story.credited("too much and disputed", "12")
story.activity.append(
    dispute_row("txn_tmd", "2026-10-06T00:00:00Z", "10.00", "15.00", intent="pi_too much and disputed")
)


def test_a_difference_between_credit_and_payment_is_a_mismatch_until_it_is_settled(told: Reconciled) -> None:
    names = (
        "a cent less",
        "net only",
        "too much",
        "too little and not all the rest refunded",
        "too much and disputed",
    )
    is_broken(told, "amount_mismatch", 2, *(f"stripe:pi_{name}" for name in names))
    check(told.cases, "stripe:pi_a cent less", difference="-0.01")
    check(told.cases, "stripe:pi_too much", difference="0.000000000001")
    is_matched(told, "stripe:pi_too much, taken back")
    check(told.cases, "stripe:pi_too much, taken back", difference="2", clawed_back_amount="2")
    is_matched(told, "stripe:pi_too little and the rest refunded")
    # 1 of the 10 that went back was never credited; the other 9 still are
    is_broken(told, "refund_not_clawed_back", 3, "stripe:pi_too little and refunded")


# ---- refunds


def refunded(name: str, amount: str, **more: Any) -> None:
    story.paid(name)
    story.credited(name)
    story.activity.append(
        refund_row(f"txn_{name} r", "2026-10-08T00:00:00Z", amount, **({"intent": f"pi_{name}"} | more))
    )


def back(
    name: str,
    amount: str,
    kind: str = "refund",
    *,
    of: str | None = None,
    at: str = "2026-10-09T00:00:00Z",
    **more: Any,
) -> None:
    more |= {"related_id": of or name}
    if kind == "refund":
        story.ledger.append(refund(f"{name} back", at, amount, **({"of": more.pop("related_id")} | more)))
    elif kind == "withdrawal":
        story.ledger.append(withdrawal(f"{name} back", at, amount, **more))
    else:
        story.ledger.append(adjustment(f"{name} back", at, amount, **more))


refunded("kept", "10.00")
refunded("kept by charge", "10.00", intent=None, charge="ch_kept by charge")
refunded("kept by source", "10.00", intent=None, source="ch_kept by source")
refunded("kept, other intent", "10.00", intent="pi_unheard of", charge="ch_kept, other intent")
refunded("gave back", "10.00")
back("gave back", "10")
refunded("gave back by withdrawal", "10.00")
back("gave back by withdrawal", "10", "withdrawal")
refunded("gave back by adjustment", "10.00")
back("gave back by adjustment", "-10", "adjustment")
refunded("part", "4.00")
back("part", "4")
refunded("part kept", "4.00")
refunded("part short", "4.00")
back("part short", "3.99")
refunded("part and more", "4.00")
back("part and more", "5")


def test_a_refund_is_a_break_until_the_credit_is_taken_back(told: Reconciled) -> None:
    names = ("kept", "kept by charge", "kept by source", "kept, other intent")
    for name in names:
        is_broken(told, "refund_not_clawed_back", 3, f"stripe:pi_{name}")
        check(told.cases, f"stripe:pi_{name}", refunded_amount="10", clawed_back_amount="0", difference="0")
    is_matched(
        told, "stripe:pi_gave back", "stripe:pi_gave back by withdrawal", "stripe:pi_gave back by adjustment"
    )
    check(
        told.cases, "stripe:pi_gave back", clawed_back_amount="10", refunded_amount="10",
        last_event_at=datetime(2026, 10, 9, tzinfo=UTC), first_event_at=datetime(2026, 10, 5, 12, tzinfo=UTC),
    )  # fmt: skip
    check(told.cases, "stripe:pi_kept", last_event_at=datetime(2026, 10, 8, tzinfo=UTC))


def test_a_partial_refund_takes_its_part_back(told: Reconciled) -> None:
    is_matched(told, "stripe:pi_part")
    is_broken(told, "over_clawed_back", 2, "stripe:pi_part and more")
    is_broken(told, "refund_not_clawed_back", 3, "stripe:pi_part kept", "stripe:pi_part short")
    check(told.cases, "stripe:pi_part short", refunded_amount="4", clawed_back_amount="3.99")


refunded("adjusted up", "10.00")
back("adjusted up", "10", "adjustment")
refunded("not settled", "10.00")
back("not settled", "10", status="pending")
refunded("of something else", "10.00")
back("of something else", "10", of="ok, but later")
refunded("of nothing", "10.00")
story.ledger.append(withdrawal("of nothing back", NOON, "10"))
refunded("of another user", "10.00")
back("of another user", "10", user="bob")
refunded("of another paywall", "10.00")
back("of another paywall", "10", paywall="pw_other")
refunded("of no user", "10.00")
back("of no user", "10", "withdrawal", user=None)
refunded("taken and given again", "10.00")
back("taken and given again", "-10", "adjustment")
story.ledger.append(
    adjustment(
        "taken and given again, again", "2026-10-10T00:00:00Z", "10", related_id="taken and given again"
    )
)


def test_only_settled_entries_about_the_deposit_take_it_back(told: Reconciled) -> None:
    names = (
        "adjusted up",
        "not settled",
        "of something else",
        "of nothing",
        "of another user",
        "of another paywall",
        "of no user",
    )
    for name in (*names, "taken and given again"):
        is_broken(told, "refund_not_clawed_back", 3, f"stripe:pi_{name}")
        check(told.cases, f"stripe:pi_{name}", clawed_back_amount="0")


refunded("taken twice", "10.00")
back("taken twice", "10")
story.ledger.append(withdrawal("taken twice again", "2026-10-10T00:00:00Z", "10", related_id="taken twice"))
story.paid("taken for nothing")
story.credited("taken for nothing")
back("taken for nothing", "2.5")


refunded("taken with a fraction", "9.63")
back("taken with a fraction", "9.639")


def test_more_taken_back_than_went_back_is_a_break(told: Reconciled) -> None:
    is_matched(told, "stripe:pi_taken with a fraction")
    is_broken(told, "over_clawed_back", 2, "stripe:pi_taken twice", "stripe:pi_taken for nothing")
    check(
        told.cases,
        "stripe:pi_taken twice",
        net_credit="-10",
        net_payment="0",
        clawed_back_amount="20",
        refunded_amount="10",
    )
    check(told.cases, "stripe:pi_taken for nothing", net_credit="7.5", net_payment="10")


refunded("bounced", "10.00")
story.activity.append(
    refund_failure_row("txn_bounced f", "2026-10-09T00:00:00Z", "10.00", charge="ch_bounced")
)
refunded("one of two bounced", "4.00")
story.activity.append(
    refund_row("txn_one of two r2", "2026-10-08T00:00:00Z", "3.00", charge="ch_one of two bounced")
)
story.activity.append(
    refund_failure_row("txn_one of two f", "2026-10-09T00:00:00Z", "4.00", charge="ch_one of two bounced")
)
story.paid("uncovered")
story.credited("uncovered")
story.activity.append(
    charge_failure_row("txn_uncovered f", "2026-10-09T00:00:00Z", "10.00", charge="ch_uncovered")
)


def test_a_refund_that_failed_is_none_and_a_payment_that_failed_later_is_one(told: Reconciled) -> None:
    is_matched(told, "stripe:pi_bounced")
    check(
        told.cases, "stripe:pi_bounced", refunded_amount="0", last_event_at=datetime(2026, 10, 9, tzinfo=UTC)
    )
    is_broken(told, "refund_not_clawed_back", 3, "stripe:pi_one of two bounced", "stripe:pi_uncovered")
    check(told.cases, "stripe:pi_one of two bounced", refunded_amount="3")
    check(told.cases, "stripe:pi_uncovered", refunded_amount="10")


for name, given_back in (("euro refund", "4.00"), ("euro refund in full", None)):
    story.paid(name, "10.80", paid="10.00", paid_currency="eur")
    story.credited(name, "10", currency="eur")
    gross = "4.40" if given_back else "10.80"
    paid_back = {"paid": given_back, "paid_currency": "eur"} if given_back else {}
    story.activity.append(
        refund_row(f"txn_{name} r", "2026-10-08T00:00:00Z", gross, charge=f"ch_{name}", **paid_back)
    )
back("euro refund", "4", currency="eur")


def test_refunds_are_counted_in_what_the_customer_got_back(told: Reconciled) -> None:
    is_matched(told, "stripe:pi_euro refund")
    check(
        told.cases, "stripe:pi_euro refund", refunded_amount="4", paid_currency="eur", clawed_back_amount="4"
    )


def test_all_of_the_settlement_refunded_is_all_of_the_payment(told: Reconciled) -> None:
    """Where Stripe does not say what the customer got back."""
    check(
        told.cases, "stripe:pi_euro refund in full", refunded_amount="10", break_type="refund_not_clawed_back"
    )


# ---- disputes


def disputed(name: str, amount: str = "10.00", *, won: bool = False) -> None:
    story.paid(name)
    story.credited(name)
    story.activity.append(
        dispute_row(f"txn_{name} d", "2026-10-08T00:00:00Z", amount, "15.00", charge=f"ch_{name}")
    )
    if won:
        story.activity.append(
            dispute_reversal_row(
                f"txn_{name} w", "2026-10-20T00:00:00Z", amount, "-15.00", charge=f"ch_{name}"
            )
        )


disputed("disputed")
disputed("dispute won", won=True)
for kind, sign in (("refund", ""), ("withdrawal", ""), ("adjustment", "-")):
    disputed(f"dispute lost, {kind}")
    back(f"dispute lost, {kind}", f"{sign}10", kind)
disputed("dispute lost, part")
back("dispute lost, part", "9.99")
disputed("dispute of a part", "6.00")
back("dispute of a part", "6")


def test_a_dispute_is_a_break_unless_it_was_won_or_the_credit_is_taken_back(told: Reconciled) -> None:
    is_broken(told, "dispute_not_clawed_back", 2, "stripe:pi_disputed", "stripe:pi_dispute lost, part")
    check(told.cases, "stripe:pi_disputed", disputed_amount="10", refunded_amount="0")
    names = ("won", "lost, refund", "lost, withdrawal", "lost, adjustment", "of a part")
    is_matched(told, *(f"stripe:pi_dispute {name}" for name in names))
    check(
        told.cases,
        "stripe:pi_dispute won",
        disputed_amount="0",
        last_event_at=datetime(2026, 10, 20, tzinfo=UTC),
    )
    check(
        told.cases, "stripe:pi_dispute of a part", disputed_amount="6", clawed_back_amount="6", difference="0"
    )


# refunded 3 or 5, disputed the rest, and one of the two taken back
for name, refund_part, dispute_part, taken in (
    ("r3 d7 back 0", "3.00", "7.00", None),
    ("r3 d7 back 3", "3.00", "7.00", "3"),
    ("r3 d7 back 7", "3.00", "7.00", "7"),
    ("r5 d5 back 5", "5.00", "5.00", "5"),
    ("r3 d7 back 10", "3.00", "7.00", "10"),
):
    refunded(name, refund_part)
    story.activity.append(
        dispute_row(f"txn_{name} d", "2026-10-08T00:00:00Z", dispute_part, "15.00", charge=f"ch_{name}")
    )
    if taken:
        back(name, taken)


def test_of_a_refund_and_a_dispute_the_one_that_was_not_taken_back_is_told(told: Reconciled) -> None:
    is_broken(
        told,
        "dispute_not_clawed_back",
        2,
        *(f"stripe:pi_{name}" for name in ("r3 d7 back 0", "r3 d7 back 3", "r5 d5 back 5")),
    )
    is_broken(told, "refund_not_clawed_back", 3, "stripe:pi_r3 d7 back 7")
    is_matched(told, "stripe:pi_r3 d7 back 10")


# ---- the same amount, and suggestions

for name in ("minute a", "minute b"):
    story.paid(name, "25.00", "2026-10-12T09:15:00Z")
    story.credited(name, "25", "2026-10-12T09:15:00Z")


def test_two_payments_of_the_same_amount_in_the_same_minute_keep_their_own_credits(told: Reconciled) -> None:
    for name in ("minute a", "minute b"):
        is_matched(told, f"stripe:pi_{name}")
        check(told.cases, f"stripe:pi_{name}", deposit_entry_ids=[name], ledger_amount="25", difference="0")


def keyless(name: str, amount: str, at: str, user: str, **more: Any) -> None:
    story.ledger.append(credit(f"{name} credit", at, amount, user=user, **more))


story.paid("hint by metadata", "61.00", "2026-10-12T10:00:00Z", user="u61")
keyless("61", "61", "2026-10-12T11:00:00Z", "u61")
story.paid("hint by session", "62.00", "2026-10-12T10:00:00Z")
story.sessions.append(session_row("cs_62", "pi_hint by session", "u62"))
keyless("62", "62", "2026-10-12T09:00:00Z", "u62", metadata={"rail": "stripe"})
story.paid("hint by webhook", "63.00", "2026-10-12T10:00:00Z")
story.sessions.append(session_row("cs_63", "pi_hint by webhook"))
story.events.append(checkout_event("evt_63", "2026-10-12T10:00:00Z", "cs_63", "w63"))
story.events.append(
    event(
        "evt_63 owner",
        "authorization.completed",
        "2026-10-01T10:00:00Z",
        walletUserId="w63",
        externalUserId="u63",
    )
)
keyless("63", "63", "2026-10-12T10:30:00Z", "u63")
story.payments.append(
    rail_payment("paypal", "P-64", "2026-10-12T10:00:00Z", "64.00", metadata={"user": "u64"})
)
keyless("64", "64", "2026-10-12T10:00:00Z", "u64", metadata={"rail": "paypal"})
story.paid("hint while young", "65.00", "2026-11-07T13:00:00Z", user="u65")
keyless("65", "65", "2026-11-07T13:00:00Z", "u65")


def test_a_keyless_credit_of_the_same_user_and_amount_within_an_hour_is_suggested_and_stays_a_break(
    told: Reconciled,
) -> None:
    for case_id, number in (
        ("stripe:pi_hint by metadata", 61),
        ("stripe:pi_hint by session", 62),
        ("stripe:pi_hint by webhook", 63),
        ("paypal:P-64", 64),
    ):
        is_broken(told, "processor_only", 1, case_id)
        check(
            told.cases,
            case_id,
            match_method="suggested",
            deposit_entry_ids=[f"{number} credit"],
            ledger_amount=str(number),
        )
        check(told.cases, case_id, user_id=f"u{number}", difference="0", ledger_currency="usd")
        assert (f"deposit:{number} credit",) not in told.cases
    is_pending(told, "stripe:pi_hint while young")
    check(told.cases, "stripe:pi_hint while young", match_method="suggested", deposit_entry_ids=["65 credit"])


story.paid("no hint: late", "71.00", "2026-10-12T10:00:00Z", user="u71")
keyless("71", "71", "2026-10-12T11:00:01Z", "u71")
story.paid("no hint: amount", "72.00", "2026-10-12T10:00:00Z", user="u72")
keyless("72", "72.01", "2026-10-12T10:00:00Z", "u72")
story.paid("no hint: user", "73.00", "2026-10-12T10:00:00Z", user="u73")
keyless("73", "73", "2026-10-12T10:00:00Z", "u37")
story.paid("no hint: currency", "74.00", "2026-10-12T10:00:00Z", user="u74")
keyless("74", "74", "2026-10-12T10:00:00Z", "u74", currency="eur")
story.paid("no hint: a key", "75.00", "2026-10-12T10:00:00Z", user="u75")
keyless("75", "75", "2026-10-12T10:00:00Z", "u75", intent="pi_of another account")
story.paid("no hint: nobody", "76.00", "2026-10-12T10:00:00Z")
keyless("76", "76", "2026-10-12T10:00:00Z", "u76")


def test_nothing_is_suggested_for_another_hour_amount_user_or_currency_nor_for_a_credit_with_a_key(
    told: Reconciled,
) -> None:
    for number, name in enumerate(("late", "amount", "user", "currency", "a key", "nobody"), 71):
        is_broken(told, "processor_only", 1, f"stripe:pi_no hint: {name}")
        check(
            told.cases,
            f"stripe:pi_no hint: {name}",
            match_method=None,
            deposit_entry_ids=[],
            ledger_amount=None,
        )
        is_broken(told, "ledger_only", 1, f"deposit:{number} credit")


for name in ("twin a", "twin b", "twin c"):
    story.paid(name, "81.00", "2026-10-12T10:00:00Z", user="u81")
story.credited("twin c", "81", "2026-10-12T10:00:00Z", user="u81")
for name in ("81 1", "81 2", "81 3"):
    keyless(name, "81", "2026-10-12T10:00:00Z", "u81")


def test_a_credit_is_suggested_for_one_payment_and_never_for_one_that_is_named(told: Reconciled) -> None:
    is_matched(told, "stripe:pi_twin c")
    check(told.cases, "stripe:pi_twin c", deposit_entry_ids=["twin c"])
    hinted = [told.cases[(f"stripe:pi_{name}",)] for name in ("twin a", "twin b")]
    assert [row["match_method"] for row in hinted] == ["suggested", "suggested"]
    shown = [entry_id for row in hinted for entry_id in row["deposit_entry_ids"]]
    alone = [
        name for name in ("81 1 credit", "81 2 credit", "81 3 credit") if (f"deposit:{name}",) in told.cases
    ]
    assert sorted(shown + alone) == ["81 1 credit", "81 2 credit", "81 3 credit"]
    is_broken(told, "ledger_only", 1, f"deposit:{alone[0]}")


# ---- other rails

story.payments.append(rail_payment("paypal", "P-failed", NOON, "10.00", "failed"))
story.credited("of a failed payment", rail="paypal", payment="P-failed")
story.payments.append(rail_payment("paypal", "P-refunded", NOON, "10.00"))
story.later_payments.append(rail_payment("paypal", "P-refunded", NOON, "10.00", "refunded"))
story.credited("paypal refunded", rail="paypal", payment="P-refunded")
story.payments.append(rail_payment("paypal", "P-part", NOON, "10.00", "refunded", refunded_amount="4.00"))
story.credited("paypal part", rail="paypal", payment="P-part")
back("paypal part", "4")
story.payments.append(rail_payment("paypal", "P-disputed", NOON, "10.00", "disputed", refunded_amount="4.00"))
story.credited("paypal disputed", rail="paypal", payment="P-disputed")
story.payments.append(rail_payment("paypal", "P-euro", NOON, "10.00", currency="EUR"))
story.credited("paypal euro", currency="eur", rail="paypal", payment="P-euro")
story.credited("other rail, same id", rail="coins", payment="P-1")


def test_other_rails_are_reconciled_by_the_same_rules(told: Reconciled) -> None:
    assert ("paypal:P-failed",) not in told.cases
    is_broken(told, "ledger_only", 1, "deposit:of a failed payment", "deposit:other rail, same id")
    is_broken(told, "refund_not_clawed_back", 3, "paypal:P-refunded")
    check(
        told.cases,
        "paypal:P-refunded",
        refunded_amount="10",
        settled_gross="10",
        settled_fee=None,
        settled_net=None,
    )
    is_matched(told, "paypal:P-part", "paypal:P-euro")
    is_broken(told, "dispute_not_clawed_back", 2, "paypal:P-disputed")
    check(told.cases, "paypal:P-disputed", refunded_amount="4", disputed_amount="6")
    check(
        told.cases, "paypal:P-euro", settlement_currency="eur", paid_currency="eur", match_method="payment_id"
    )


# ---- test rows

story.test_activity.append(
    charge_row("txn_trial run", NOON, "10.00", "0.59", intent="pi_trial run", charge="ch_trial run")
)
story.credited("trial run")
story.test_activity.append(refund_row("txn_trial refund", NOON, "10.00", charge="ch_ok"))


def test_rows_of_test_mode_are_kept_out_beside_live_ones(told: Reconciled) -> None:
    assert ("stripe:pi_trial run",) not in told.cases
    is_broken(told, "ledger_only", 1, "deposit:trial run")
    check(told.cases, "stripe:pi_ok", refunded_amount="0")


@pytest.mark.soak
@pytest.mark.slow
@pytest.mark.timeout(0)
def test_an_account_that_has_nothing_but_test_rows_is_reconciled_by_them(homes: Callable[[], Path]) -> None:
    home, row = homes(), charge_row("txn_1", NOON, "10.00", "0.59", intent="pi_1", charge="ch_1")
    files = [
        ledger_file("ledger.jsonl", [credit("d1", NOON, "10", intent="pi_1")]),
        activity_file("a.csv", [row], mode="test"),
    ]
    land_in_order(home, files)
    result = run(home, SETTINGS)
    assert result.exit_code == 0, result
    is_matched(read_published(home), "stripe:pi_1")
    assert_equal(reconciled(files, SETTINGS), read_published(home), str(home))


# ---- summary

# 00:30 on 15 October in Berlin is still the 14th in UTC
story.payments += [
    rail_payment("bank", "B-1", "2026-10-14T22:30:00Z", "10.00"),
    rail_payment("bank", "B-2", "2026-10-15T10:00:00Z", "20.00"),
    rail_payment("bank", "B-3", "2026-10-15T10:00:00Z", "7.00", currency="eur"),
    rail_payment("bank", "B-4", "2026-10-17T22:00:00Z", "1.00"),  # 00:00 on the 18th
]
story.credited("bank 1", "10", "2026-10-15T08:00:00Z", rail="bank", payment="B-1")
story.credited("bank 3", "8", "2026-10-15T10:00:00Z", rail="bank", payment="B-3")
story.credited("bank 4", "1", "2026-10-17T22:00:00Z", rail="bank", payment="B-4")
story.credited("bank 9", "5", "2026-10-15T12:00:00Z", rail="bank", payment="B-9")


def test_the_summary_counts_each_side_under_its_own_currency_on_the_reporting_day(told: Reconciled) -> None:
    bank = {key: row for key, row in told.summary.items() if key[1] == "bank"}
    day = date(2026, 10, 15)
    assert set(bank) == {(day, "bank", "usd"), (day, "bank", "eur"), (date(2026, 10, 18), "bank", "usd")}
    # 10 credited and paid, 20 paid, 5 credited without payment, and the 8 dollars credited for euros
    check(
        bank,
        day,
        "bank",
        "usd",
        cases=3,
        matched=1,
        breaks=1,
        pending=1,
        ledger_amount="23",
        processor_amount="30",
        difference="-7",
    )
    check(
        bank,
        day,
        "bank",
        "eur",
        cases=1,
        matched=0,
        breaks=1,
        pending=0,
        ledger_amount="0",
        processor_amount="7",
        difference="-7",
    )
    check(bank, date(2026, 10, 18), "bank", "usd", cases=1, matched=1, breaks=0, pending=0, difference="0")


def test_the_summary_counts_every_case_once(told: Reconciled) -> None:
    for name, status in (("matched", "matched"), ("breaks", "break"), ("pending", "pending")):
        assert sum(row[name] for row in told.summary.values()) == sum(
            case["status"] == status for case in told.cases.values()
        )
    assert sum(row["cases"] for row in told.summary.values()) == len(told.cases)
    assert sum(row["processor_amount"] for row in told.summary.values()) == sum(
        case["paid_amount"] or 0 for case in told.cases.values()
    )


# ---- payouts

story.paid("in payout 1", "50.00", "2026-10-20T00:00:00Z", fee="1.75")
story.credited("in payout 1", "50", "2026-10-20T00:00:00Z")
story.paid("in payout 2", "20.00", "2026-10-20T00:00:00Z", fee="0.88")
story.credited("in payout 2", "20", "2026-10-20T00:00:00Z")
story.activity.append(refund_row("txn_in payout r", "2026-10-21T00:00:00Z", "5.00", charge="ch_in payout 1"))
# 48.25 + 19.12 - 5.00 = 62.37
IN_PAYOUT = story.activity[-3:]
OUT = "2026-10-22T00:00:00Z"
story.payouts += [
    payout_row("po_even", OUT, "62.37", status="in_transit"),
    payout_row("po_cent", OUT, "62.36", payout_expected_arrival_date="2026-10-23 00:00:00"),
    payout_row("po_by hand", OUT, "30.00"),
    payout_row("po_failed", OUT, "11.00", status="paid"),
]
story.later_payouts += [
    payout_row("po_failed", "2026-10-25T00:00:00Z", "11.00", category="payout_reversal", status="failed"),
]
story.payout_items += [payout_item(row, "po_even", OUT) for row in IN_PAYOUT]
story.payout_items += [payout_itself(story.payouts[0])]
story.payout_items += [
    payout_item(row | {"balance_transaction_id": f"{row['source_id']} 2"}, "po_cent", OUT)
    for row in IN_PAYOUT
]


def test_payouts_are_added_up_from_their_items(told: Reconciled) -> None:
    check(
        told.payouts,
        "po_even",
        currency="usd",
        amount="62.37",
        status="in_transit",
        arrival_date=date(2026, 10, 24),
        items=3,
        items_net="62.37",
        difference="0",
        is_reconciled=True,
    )
    check(
        told.payouts,
        "po_cent",
        amount="62.36",
        items=3,
        items_net="62.37",
        difference="-0.01",
        is_reconciled=False,
        arrival_date=date(2026, 10, 23),
        status="paid",
    )
    check(told.payouts, "po_by hand", amount="30", items=0, is_reconciled=False)
    check(
        told.payouts,
        "po_failed",
        amount="11",
        status="failed",
        items=0,
        is_reconciled=False,
        arrival_date=date(2026, 10, 27),
    )
    assert len(told.payouts) == 4


# ---- the whole


@pytest.mark.slow
@pytest.mark.timeout(0)
def test_the_whole_story_is_what_the_oracle_computes(oracle: Reconciled, published: Reconciled) -> None:
    # which of three equal credits goes to which of two equal payments is nobody's promise
    twins = {
        key for key in oracle.cases.keys() | published.cases.keys() if "twin " in key[0] or "81 " in key[0]
    }
    of_both = [
        Reconciled({key: row for key, row in one.cases.items() if key not in twins}, one.summary, one.payouts)
        for one in (oracle, published)
    ]  # fmt: skip
    assert_equal(*of_both, "the story")


# ---- random books

START, END = datetime(2026, 10, 1, tzinfo=UTC), datetime(2026, 11, 10, 12, tzinfo=UTC)
SPAN = int((END - START).total_seconds())
ACCOUNTS: tuple[str | None, ...] = (None, "acct_1AbC")
USERS = ("alice", "bob", "user, with comma", "jörg")
PRICES = {
    "usd": ("5.00", "10.00", "20.00", "49.99"),
    "eur": ("5.00", "10.00", "42.50"),
    "jpy": ("500", "1000", "12000"),
    "bhd": ("1.500",),
}
RATES = {"eur": D("1.08"), "jpy": D("0.0066"), "bhd": D("2.65")}
ENDINGS = ("csv", "csv.gz", "csv.zst", "jsonl", "jsonl.gz", "parquet")
BATCHES, FILES_A_BATCH = 3, 2
SLOTS = BATCHES * FILES_A_BATCH
REPORTS: dict[str, Callable[..., LandedFile]] = {
    "activity": activity_file,
    "payouts": payouts_file,
    "payout_items": payout_items_file,
    "sessions": sessions_file,
}


class Books:
    """A ledger, an account's reports and other rails with all that can happen to a payment, from one seed to
    files in batches.

    Nothing that the contract leaves open: credits of one payment are in one currency, and a credit without
    keys has an amount of its own.
    """

    def __init__(self, seed: int, payments: int = 70) -> None:
        self.random = random.Random(seed)
        self.count = 0
        self.slots: list[dict[Any, list[Any]]] = [{} for _ in range(SLOTS)]
        self.activity: dict[str | None, list[Record]] = {account: [] for account in ACCOUNTS}
        self.payouts: dict[str | None, list[Record]] = {account: [] for account in ACCOUNTS}
        for number in range(payments):
            kind = self.random.choices(("payment", "hinted", "orphan", "other"), (66, 10, 14, 10))[0]
            getattr(self, kind)(number)
        # each rail's data end with a payment that counts
        for rail in ("paypal", "coins"):
            self.put(
                "payments",
                rail_payment(
                    rail, f"{rail}_last", self.rfc(END - timedelta(hours=self.random.randrange(100))), "3.00"
                ),
            )
        for account in ACCOUNTS:
            self.pay_out(account)
        self.trial_runs()

    # ------------------------------------------------------------------------------------ small choices

    def chance(self, probability: float) -> bool:
        return self.random.random() < probability

    def moment(self) -> datetime:
        """Whole minutes, so that some coincide; at times the exact end of a grace."""
        if self.chance(0.04):
            return END - timedelta(days=self.random.choice((1, 3, 7)), seconds=self.random.choice((-1, 0, 1)))
        return START + timedelta(minutes=self.random.randrange(SPAN // 60 // 40) * 40)

    def after(self, moment: datetime) -> datetime:
        return moment + timedelta(seconds=self.random.choice((0, 1, 90, 86_400, 300_000)))

    @staticmethod
    def rfc(moment: datetime) -> str:
        return moment.isoformat().replace("+00:00", "Z")

    def next_id(self, prefix: str) -> str:
        self.count += 1
        return f"{prefix}_{self.count}"

    def put(self, kind: Any, row: Any, at_least: int = 0) -> int:
        """Into some file; what must land after something else says where that is."""
        slot = self.random.randrange(at_least, SLOTS)
        self.slots[slot].setdefault(kind, []).append(row)
        return slot

    def put_activity(self, account: str | None, row: Record, at_least: int = 0) -> int:
        """At times a later download has the row once more, by then available on another day."""
        self.activity[account].append(row)
        slot = self.put(("activity", account), row, at_least)
        if self.chance(0.25):
            changed = self.chance(0.5)
            again = row | {"available_on_utc": days_later(row["available_on_utc"], 1)} if changed else row
            self.put(("activity", account), again, slot)
        return slot

    def put_entry(self, entry: Record) -> None:
        """At times it came by a first version that was pending."""
        if self.chance(0.15):
            at = datetime.fromisoformat(entry["timestamp"].replace("Z", "+00:00"))
            self.put("ledger", entry | {"status": "pending", "amount": "0.01"})
            entry = entry | {"updated_at": self.rfc(at + timedelta(seconds=1))}
        self.put("ledger", entry)

    # -------------------------------------------------------------------------------------- payments

    def payment(self, number: int) -> None:
        rail = self.random.choices(("stripe", "paypal", "coins"), (75, 15, 10))[0]
        currency = self.random.choices(tuple(PRICES), (55, 25, 15, 5))[0]
        amount, at, user = D(self.random.choice(PRICES[currency])), self.moment(), self.random.choice(USERS)
        if rail == "stripe":
            keys, returned = self.stripe(number, amount, currency, at, user)
        else:
            keys, returned = self.of_rail(rail, number, amount, currency, at)
        entry_ids, own_currency, credited = self.deposits(amount, currency, at, user, keys)
        if entry_ids and (returned or credited > amount or self.chance(0.05)) and self.chance(0.65):
            amounts = [returned, *filter(None, [credited - amount, returned + credited - amount])]
            for _ in range(self.random.choice((1, 1, 1, 2))):
                self.take_back(entry_ids, own_currency, amounts, at)

    def stripe(
        self, number: int, amount: Decimal, currency: str, at: datetime, user: str
    ) -> tuple[list[Record], Decimal]:
        """Rows of the payment and of what became of it: the keys a deposit may name, and how much went
        back.
        """
        account, settlement = self.random.choice(ACCOUNTS), currency
        if currency in RATES and self.chance(0.5):
            settlement = "usd"
        rate = RATES[currency] if settlement != currency else D(1)
        place = (
            D("0.01")
            if settlement != currency
            else D("0.001")
            if currency == "bhd"
            else D(1)
            if currency == "jpy"
            else D("0.01")
        )
        intent = f"pi_{number}" if self.chance(0.85) else None
        charge_id = (
            f"{self.random.choice(('ch', 'py'))}_{number}" if intent is None or self.chance(0.9) else None
        )
        if intent is None and self.chance(0.15):
            charge_id = None

        landed: list[int] = []

        def row(build: Callable[..., Record], part: Decimal, moment: datetime, **more: Any) -> None:
            gross = (part * rate).quantize(place)
            stated = settlement != currency or self.chance(0.7)
            presented = {"paid": part, "paid_currency": currency} if stated else {"paid": None}
            fee = (
                (gross * D("0.029")).quantize(place)
                if build is charge_row
                else D(self.random.choice(("0", "15")))
            )
            built = build(
                self.next_id("txn"), self.rfc(moment), gross, fee, currency=settlement, **(presented | more)
            )
            # what comes after a charge lands with it or after it
            landed.append(self.put_activity(account, built, min(landed, default=0)))

        keys: list[Record] = [{"intent": intent}] if intent else []
        keys += (
            [{"charge": charge_id}, {"intent": f"pi_unheard_{number}", "charge": charge_id}]
            if charge_id
            else []
        )
        only_source = {"charge": None, "source": charge_id}
        said = {"user": user} if self.chance(0.4) else {}
        own = only_source if charge_id and self.chance(0.2) else {"charge": charge_id}
        if intent and self.chance(0.06):  # paid in two charges
            first = (amount / 2).quantize(D(1) if currency == "jpy" else D("0.01"))
            row(charge_row, first, at, intent=intent, **own, **said)
            row(
                charge_row,
                amount - first,
                at + timedelta(minutes=1),
                intent=intent,
                charge=charge_id and f"{charge_id}b",
                **said,
            )
        else:
            row(charge_row, amount, at, intent=intent, **own, **said)
        if intent and self.chance(0.4):
            session = f"cs_{number}"
            slot = self.put("sessions", session_row(session, None)) if self.chance(0.3) else 0
            self.put("sessions", session_row(session, intent, user if self.chance(0.5) else None), slot)
            keys.append({"session": session})
            if self.chance(0.4):
                self.put(
                    "events",
                    checkout_event(self.next_id("evt"), self.rfc(at), session, f"wallet of {user}", user),
                )

        # refunds and disputes carry the intent, or only the charge, or only the charge as their source
        handles: list[Record] = (
            [{"intent": intent, "charge": charge_id}, {"intent": intent}] if intent else []
        )
        handles += [{"charge": charge_id}, only_source] if charge_id else []
        if not handles:
            return keys, D(0)
        ending = self.random.choices(
            ("none", "refund", "part", "failed refund", "dispute", "won", "both", "charge failure"),
            (45, 12, 12, 5, 9, 6, 7, 4),
        )[0]
        part, later = (amount * D("0.4")).quantize(D(1) if currency == "jpy" else D("0.01")), self.after(at)

        def happens(build: Callable[..., Record], much: Decimal, moment: datetime) -> None:
            row(build, much, moment, **self.random.choice(handles))

        if ending in ("refund", "part", "failed refund", "both"):
            happens(refund_row, amount if ending in ("refund", "failed refund") else part, later)
        if ending == "failed refund":
            happens(refund_failure_row, amount, self.after(later))
        if ending in ("dispute", "won", "both"):
            happens(dispute_row, amount - part if ending == "both" else amount, later)
        if ending == "won":
            happens(dispute_reversal_row, amount, self.after(later))
        if ending == "charge failure":
            happens(charge_failure_row, amount, later)
        return keys, {"none": D(0), "part": part, "failed refund": D(0), "won": D(0)}.get(ending, amount)

    def of_rail(
        self, rail: str, number: int, amount: Decimal, currency: str, at: datetime
    ) -> tuple[list[Record], Decimal]:
        status = self.random.choices(("succeeded", "refunded", "disputed", "failed"), (65, 15, 10, 10))[0]
        part = (amount * D("0.4")).quantize(D(1) if currency == "jpy" else D("0.01"))
        stated = part if status != "failed" and self.chance(0.2) else None
        more = {
            "refunded_amount": None if stated is None else text_of(stated),
            "fee": self.random.choice((None, "0.30", "0")),
        }
        payment = rail_payment(
            rail, f"{rail}_{number}", self.rfc(at), text_of(amount), currency=currency, **more
        )
        slot = self.put("payments", payment | {"refunded_amount": None}) if self.chance(0.5) else 0
        self.put("payments", payment | {"status": status}, slot)
        returned = (
            amount if status == "disputed" or (status == "refunded" and stated is None) else stated or D(0)
        )
        return [{"rail": rail, "payment": f"{rail}_{number}"}], returned

    def deposits(
        self, amount: Decimal, currency: str, at: datetime, user: str, keys: list[Record]
    ) -> tuple[list[str], str, Decimal]:
        """Ids, currency and sum of what was credited."""
        count = self.random.choices((0, 1, 2, 3), (14, 68, 14, 4))[0] if keys else 0
        cent = D(1) if currency == "jpy" else D("0.01")
        parts = {0: [], 1: [amount], 2: [amount, amount], 3: [amount] * 3}[count]
        if count == 1 and self.chance(0.15):
            parts = [self.random.choice((amount - cent, amount * 2, amount + D("0.000000000001")))]
        if count > 1 and self.chance(0.45):
            parts = [amount - cent * (count - 1), *[cent] * (count - 1)]
        own_currency = (
            self.random.choice([one for one in PRICES if one != currency]) if self.chance(0.06) else currency
        )
        ids, credited = [], D(0)
        for part in parts:
            entry_id, moment = self.next_id("dep"), self.rfc(self.after(at))
            status = self.random.choices(("settled", "failed", "reversed", "pending"), (90, 4, 3, 3))[0]
            key = self.random.choice(keys)
            if "intent" in key and "charge" not in key and status == "settled" and self.chance(0.12):
                self.put("events", event(self.next_id("evt"), "balance.deposit.created", moment, metadata={"paymentIntent": key["intent"]},
                                         activityId=entry_id, amount=text_of(part), currency=own_currency, walletUserId="w",
                                         externalUserId=user, source="stripe.checkout"))  # fmt: skip
            else:
                more = {"metadata": {"funding": "promo"}} if self.chance(0.04) else {}
                if "payment" not in key and self.chance(0.2):
                    more = {"rail": "stripe"} | more
                self.put_entry(
                    credit(
                        entry_id,
                        moment,
                        text_of(part),
                        user=user,
                        currency=own_currency,
                        status=status,
                        **key,
                        **more,
                    )
                )
            ids.append(entry_id)
            credited += part
        return ids, own_currency, credited

    def take_back(self, entry_ids: list[str], currency: str, amounts: list[Decimal], at: datetime) -> None:
        much = abs(self.random.choice(amounts)) or D(1)
        if self.chance(0.2):
            much = (much / 2).quantize(D(1))
        after_the_credit = self.after(at + timedelta(days=4))
        of, moment, entry_id = self.random.choice(entry_ids), self.rfc(after_the_credit), self.next_id("back")
        status = "settled" if self.chance(0.9) else self.random.choice(("pending", "failed", "reversed"))
        how: Record = {"currency": currency, "status": status}
        kind = self.random.choice(("refund", "withdrawal", "adjustment", "up"))
        if kind == "refund":
            self.put_entry(refund(entry_id, moment, text_of(much), of=of, **how))
        elif kind == "withdrawal":
            self.put_entry(withdrawal(entry_id, moment, text_of(much), related_id=of, **how))
        else:
            self.put_entry(
                adjustment(
                    entry_id, moment, text_of(-much if kind == "adjustment" else much), related_id=of, **how
                )
            )

    def hinted(self, number: int) -> None:
        """A credit without keys beside a payment that no credit names."""
        rail, at, user = (
            self.random.choice(("stripe", "stripe", "stripe", "paypal")),
            self.moment(),
            self.random.choice(USERS),
        )
        amount = f"{1000 + number}.37"
        if rail == "stripe":
            way = self.random.choice(("metadata", "session", "webhook"))
            intent, session = f"pi_{number}", f"cs_{number}"
            said = {"user": user} if way == "metadata" else {}
            self.put_activity(
                None,
                charge_row(
                    self.next_id("txn"),
                    self.rfc(at),
                    amount,
                    "1.00",
                    intent=intent,
                    charge=f"ch_{number}",
                    **said,
                ),
            )
            if way != "metadata":
                self.put("sessions", session_row(session, intent, user if way == "session" else None))
            if way == "webhook":
                self.put(
                    "events",
                    checkout_event(self.next_id("evt"), self.rfc(at), session, f"wallet of {user}", user),
                )
        else:
            self.put(
                "payments",
                rail_payment(rail, f"{rail}_{number}", self.rfc(at), amount, metadata={"user": user}),
            )
        apart = timedelta(
            seconds=self.random.choice((0, 60, 1800, 3599, 3600, 3601, 7200)) * self.random.choice((1, -1))
        )
        spoil = self.random.choice(
            ({}, {}, {}, {"user": "somebody else"}, {"amount": f"{1000 + number}.38"}, {"currency": "eur"})
        )
        more: Record = {"rail": rail} if self.chance(0.5) else {}
        entry = credit(self.next_id("dep"), self.rfc(at + apart), amount, user=user, **more)
        self.put_entry(entry | spoil)

    def orphan(self, number: int) -> None:
        """A credit that no payment answers to."""
        keys = self.random.choice(
            (
                {"intent": f"pi_lost_{number}"},
                {"session": f"cs_lost_{number}"},
                {"charge": "ch_lost"},
                {},
                {"rail": "wire", "payment": "W"},
                {"rail": "paypal", "payment": f"lost_{number}"},
                {"rail": "coins", "payment": "lost"},
                {"rail": "stripe"},
            )
        )
        at = self.moment()
        entry = credit(
            self.next_id("dep"), self.rfc(at), f"{5000 + number}.5", user=self.random.choice(USERS), **keys
        )
        self.put_entry(entry)
        if self.chance(0.3):
            self.take_back([entry["id"]], "usd", [D(entry["amount"])], at)

    def other(self, _number: int) -> None:
        """What makes no case."""
        at, account = self.rfc(self.moment()), self.random.choice(ACCOUNTS)
        self.put_activity(account, fee_row(self.next_id("txn"), at, "1.23"))
        self.put_activity(account, topup_row(self.next_id("txn"), at, "100.00"))
        self.put_activity(account, refund_row(self.next_id("txn"), at, "7.00", charge="ch_before_the_data"))
        self.put_entry(credit(self.next_id("dep"), at, "3", metadata={"reason": "goodwill"}))
        self.put_entry(charge(self.next_id("use"), at, "0.25"))

    # ------------------------------------------------------------------------------------- payouts

    def pay_out(self, account: str | None) -> None:
        waiting = [row for row in self.activity[account] if row["currency"] == "usd"]
        self.random.shuffle(waiting)
        for number in range(6):
            payout, at = f"po_{account}_{number}", self.rfc(self.moment())
            part, waiting = waiting[:4], waiting[4:]
            net = sum((D(row["net"]) for row in part), D(0))
            amount = text_of(max(net, D(1)) + self.random.choice((0, 0, 0, D("0.01"))))
            status, later = self.random.choice(
                (("paid", None), ("in_transit", "paid"), ("paid", "failed"), ("pending", None))
            )
            row = payout_row(payout, at, amount, status=status)
            self.payouts[account].append(row)
            slot = self.put(("payouts", account), row)
            if later == "paid":
                self.put(("payouts", account), row | {"payout_status": later}, slot)
                # the same row under its last status is what the report says in the end
            elif later == "failed":
                reversal = payout_row(payout, at, amount, category="payout_reversal", status=later)
                self.payouts[account].append(reversal)
                self.put(("payouts", account), reversal, slot)
            if number != 5:  # one by hand
                for one in part:
                    slot = self.put(("payout_items", account), payout_item(one, payout, at))
                    if self.chance(0.2):
                        self.put(("payout_items", account), payout_item(one, payout, at), slot)
                self.put(("payout_items", account), payout_itself(row))

    def trial_runs(self) -> None:
        """Test mode, beside the live rows."""
        for number in range(4):
            at = self.rfc(self.moment())
            row = charge_row(
                f"txn_test_{number}",
                at,
                "10.00",
                "0.59",
                intent=f"pi_test_{number}",
                charge=f"ch_test_{number}",
            )
            self.put(("test activity", None), row)
            if self.chance(0.5):
                self.put_entry(credit(self.next_id("dep"), at, "10", intent=f"pi_test_{number}"))

    # --------------------------------------------------------------------------------------- files

    def name(self, stem: str, *, states_zone: bool) -> str:
        ending = self.random.choice(ENDINGS)
        last = self.random.choice(("2026-11-05", "2026-11-09"))
        if self.chance(0.15):
            return covering("2026-10-01", last, ending, stem)
        return f"{stem}_UTC.{ending}" if states_zone else f"{stem}.{ending}"

    def files_of(self, number: int, slot: dict[Any, list[Any]]) -> Iterator[LandedFile]:
        for kind in sorted(slot, key=str):
            rows = slot[kind]
            stem = f"{number} {kind if isinstance(kind, str) else ' '.join(map(str, kind))}"
            if kind == "ledger":
                yield ledger_file(f"{stem}.{self.random.choice(('jsonl', 'jsonl.gz', 'csv'))}", rows)
            elif kind == "events":
                yield events_file(f"{stem}.jsonl", rows)
            elif kind == "payments":
                rows = [{name: value for name, value in row.items() if value is not None} for row in rows]
                yield payments_file(f"{stem}.{self.random.choice(ENDINGS)}", rows)
            else:
                report, account = kind if isinstance(kind, tuple) else (kind, None)
                how: Record = {
                    "account": account,
                    "mode": "test" if report == "test activity" else self.random.choice((None, "live")),
                    "newline": self.random.choice(("\n", "\r\n")),
                    "plain_times": self.chance(0.3) and report != "sessions",
                    "decimals_of_yen": self.chance(0.5),
                    "extra_columns": self.chance(0.4),
                    "shuffled": self.random.randrange(99) if self.chance(0.6) else None,
                }
                name = self.name(stem, states_zone=how["plain_times"])
                if ".csv" in name:
                    how["bom"] = self.chance(0.5)
                file = REPORTS[report.removeprefix("test ")](name, rows, **how)
                if report == "activity" and account and self.chance(0.3):
                    yield run_sidecar(file, START, START + timedelta(days=self.random.choice((10, 37))))
                yield file

    def batches(self) -> list[list[LandedFile]]:
        """Three batches; the balance summaries come with the last, when all that they sum up is there.

        The sessions of both accounts are in one list; at times nobody has looked at those of the second,
        which has none of its own.
        """
        files = [list(self.files_of(number, slot)) for number, slot in enumerate(self.slots)]
        batches = [list(chain(*files[at : at + FILES_A_BATCH])) for at in range(0, SLOTS, FILES_A_BATCH)]
        if self.chance(0.7):
            batches[-1].append(sessions_file("none of its own.csv", [], account=ACCOUNTS[1]))
        for account in ACCOUNTS:
            opening = {"usd": D("1000.00"), "jpy": D("5000")}
            rows = summary_rows(opening, self.activity[account], self.payouts[account])
            batches[-1].append(summary_file(covering("2026-09-01", "2026-12-31"), rows, account=account))
        return batches


TIMEZONES = ("UTC", "Europe/Berlin", "America/New_York", "Asia/Kathmandu", "Pacific/Auckland")
MOMENTS = (END, END - timedelta(days=3), datetime(2026, 12, 24, 1, tzinfo=UTC))
any_books = given(
    seed=st.integers(0, 2**32 - 1),
    timezone=st.sampled_from(TIMEZONES),
    as_of=st.sampled_from(MOMENTS),
    grace=st.sampled_from((3, 0, 1, 7)),
)


def test_random_books_hold_every_kind_of_case() -> None:
    """Otherwise the runs below would say little."""
    cases: list[Row] = []
    for seed in range(6):
        files = list(chain(*Books(seed).batches()))
        told = reconciled(files, OracleSettings(as_of=END))
        cases += told.cases.values()
        assert {row["is_reconciled"] for row in told.payouts.values()} == {True, False}
    breaks = {"processor_only", "ledger_only", "duplicate_deposit", "currency_mismatch", "amount_mismatch", "dispute_not_clawed_back",
              "over_clawed_back", "refund_not_clawed_back", None}  # fmt: skip
    assert {case["break_type"] for case in cases if not isinstance(case["break_type"], Either)} == breaks
    methods = {case["match_method"] for case in cases if not isinstance(case["match_method"], Either)}
    assert methods == {"payment_intent", "charge", "checkout_session", "payment_id", "suggested", None}
    assert {case["rail"] for case in cases} == {"stripe", "paypal", "coins", "wire", "unknown"}
    assert sum(case["status"] == "pending" for case in cases) >= 10
    settled_elsewhere = [case for case in cases if case["paid_currency"] != case["settlement_currency"]]
    assert {case["break_type"] for case in settled_elsewhere} >= {
        "processor_only",
        "amount_mismatch",
        "refund_not_clawed_back",
        None,
    }


@pytest.mark.slow
@pytest.mark.timeout(0)
@few(EXAMPLES)
@any_books
def test_what_is_published_is_what_the_oracle_computes(
    homes: Callable[[], Path], seed: int, timezone: str, as_of: datetime, grace: int
) -> None:
    settings, files = (
        OracleSettings(as_of=as_of, reporting_timezone=timezone),
        list(chain(*Books(seed).batches())),
    )
    home = homes()
    land_in_order(home, files)
    result = run(home, settings, grace)
    assert result.exit_code == 0, f"{home}\nexit code {result.exit_code}: {result}"
    assert_equal(
        reconciled(files, settings, grace),
        read_published(home),
        f"{home}\nBooks({seed}), {settings}, grace {grace}",
    )


@pytest.mark.slow
@pytest.mark.soak
@pytest.mark.timeout(0)
@few(EXAMPLES - 2)
@any_books
def test_three_batches_equal_one_run_of_all(
    homes: Callable[[], Path], seed: int, timezone: str, as_of: datetime, grace: int
) -> None:
    settings, batches = OracleSettings(as_of=as_of, reporting_timezone=timezone), Books(seed).batches()
    step_by_step, at_once = homes(), homes()
    landed: list[LandedFile] = []
    moment = datetime(2026, 11, 1, tzinfo=UTC)
    for batch in batches:
        moment = land_in_order(step_by_step, batch, moment)
        landed += batch
        result = run(step_by_step, settings, grace)
        assert result.exit_code == 0, f"{step_by_step}\nexit code {result.exit_code}: {result}"
        want = reconciled(landed, settings, grace)
        assert_equal(
            want, read_published(step_by_step), f"{step_by_step}\nBooks({seed}), {settings}, grace {grace}"
        )
    land_in_order(at_once, landed)
    result = run(at_once, settings, grace)
    assert result.exit_code == 0, f"{at_once}\nexit code {result.exit_code}: {result}"
    stepped, whole = Published(step_by_step).marts(), Published(at_once).marts()
    for table, _ in GRAINS.values():
        assert stepped[table] == whole[table], table


# ---- reports that do not add up


def plain_books() -> dict[str, Any]:
    """Two payments, a payout with its items, and the summary that they add up to."""
    rows = [
        charge_row("txn_first", "2026-10-05T10:00:00Z", "10.00", "0.59", intent="pi_1", charge="ch_1"),
        charge_row("txn_second", "2026-10-05T11:00:00Z", "20.00", "0.88", intent="pi_2", charge="ch_2"),
    ]
    out = payout_row("po_1", "2026-10-08T00:00:00Z", "28.53")
    return {
        "ledger": [credit("d1", NOON, "10", intent="pi_1"), credit("d2", NOON, "20", intent="pi_2")],
        "activity": rows,
        "payouts": [out],
        "payout_items": [payout_item(row, "po_1", "2026-10-08T00:00:00Z") for row in rows],
        "summary": summary_rows({"usd": D("5.00"), "eur": D("7.00")}, rows, [out]),
    }


def plain_files(books: dict[str, Any]) -> list[LandedFile]:
    return [
        ledger_file("ledger.jsonl", books["ledger"]),
        activity_file("activity.csv", books["activity"]),
        payouts_file("payouts.csv", books["payouts"]),
        payout_items_file("items.csv", books["payout_items"]),
        summary_file(covering(FIRST, LAST, stem="Balance"), books["summary"]),
    ]


def a_cent_off(rows: Sequence[Record], at: int, column: str) -> list[Record]:
    changed = rows[at] | {column: text_of(D(rows[at][column]) + D("0.01"))}
    return [*rows[:at], changed, *rows[at + 1 :]]


def assert_refused(result: RunResult, home: Path, *names: str) -> None:
    assert result.exit_code == 1, f"exit code {result.exit_code}: {result}"
    missing = [name for name in names if name not in str(result)]
    assert not missing, f"{missing} not named in: {result}"
    assert not (home / "published" / "warehouse.duckdb").exists()


@pytest.mark.soak  # for every change, a cent is off in the last test
@pytest.mark.slow
@pytest.mark.timeout(0)
@pytest.mark.parametrize(
    ("report", "at", "column", "names"),
    [
        ("activity", 1, "net", ("activity.csv", "txn_second")),
        ("activity", 0, "fee", ("activity.csv", "txn_first")),
        ("payout_items", 1, "net", ("items.csv", "txn_second")),
        ("payouts", 0, "net", ("payouts.csv", "txn_po_1_payout")),
    ],
)
def test_a_cent_in_a_report_row_stops_the_run_and_names_the_row(
    homes: Callable[[], Path], report: str, at: int, column: str, names: tuple[str, ...]
) -> None:
    home, books = homes(), plain_books()
    books[report] = a_cent_off(books[report], at, column)
    land_in_order(home, plain_files(books))
    assert_refused(run(home, SETTINGS), home, *names)


@pytest.mark.slow
@pytest.mark.timeout(0)
@pytest.mark.parametrize(
    ("category", "currency"),
    [
        ("ending_balance", "usd"),
        *(
            pytest.param(*one, marks=pytest.mark.soak)
            for one in (("starting_balance", "eur"), ("activity", "usd"))
        ),
    ],
)
def test_a_balance_that_does_not_close_stops_the_run_and_names_file_and_currency(
    homes: Callable[[], Path], category: str, currency: str
) -> None:
    home, books = homes(), plain_books()
    at = next(
        n
        for n, row in enumerate(books["summary"])
        if (row["category"], row["currency"]) == (category, currency)
    )
    books["summary"] = a_cent_off(books["summary"], at, "net_amount")
    land_in_order(home, plain_files(books))
    assert_refused(run(home, SETTINGS), home, covering(FIRST, LAST, stem="Balance"), currency)


@pytest.mark.slow
@pytest.mark.timeout(0)
def test_a_run_that_was_refused_leaves_what_was_published(homes: Callable[[], Path]) -> None:
    home, books = homes(), plain_books()
    land_in_order(home, plain_files(books))
    assert run(home, SETTINGS).exit_code == 0
    before = Published(home).digest()
    later = charge_row(
        "txn_third", "2026-11-06T10:00:00Z", "30.00", "1.00", net="29.01", intent="pi_3", charge="ch_3"
    )
    land_in_order(home, [activity_file("november.csv", [later])], datetime(2026, 11, 8, tzinfo=UTC))
    result = run(home, SETTINGS)
    assert result.exit_code == 1, result
    assert "november.csv" in str(result), result
    assert "txn_third" in str(result), result
    assert Published(home).digest() == before
