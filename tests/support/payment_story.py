"""The examples of reconciliation and payouts: one ledger and one set of reports, under the names of the tests
that look at them in `tests/e2e/test_reconciliation.py`.
"""

from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

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
from tests.support.oracle import LandedFile, OracleSettings
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
    payments_file,
    payout_item,
    payout_items_file,
    payout_itself,
    payout_row,
    payouts_file,
    rail_payment,
    refund_failure_row,
    refund_row,
    session_row,
    sessions_file,
    summary_file,
    summary_rows,
    topup_row,
)

D = Decimal
SETTINGS = OracleSettings(as_of=datetime(2026, 11, 10, 12, tzinfo=UTC), reporting_timezone="Europe/Berlin")
# The Stripe reports cover these days, in UTC.
FIRST, LAST = "2026-10-01", "2026-11-07"
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


# ---- test_a_payment_credited_in_full_is_matched_with_both_sides_shown

story.paid("ok", "10.00", "2026-10-05T10:00:00Z", fee="0.59")
story.credited("ok", "10", "2026-10-05T10:00:03Z", user="alice")


# ---- test_keys_are_tried_in_their_order

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


# ---- test_a_payment_without_credit_waits_for_the_grace_and_is_a_break_then

story.paid("unseen", "30.00", "2026-10-06T08:00:00Z", user="carol")
story.paid("just old enough", at="2026-11-07T12:00:00Z")
story.paid("young", at="2026-11-07T12:00:01Z")


# ---- test_only_a_settled_paid_deposit_is_a_credit

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


# ---- test_promo_deposits_adjustments_usage_and_the_accounts_own_money_are_no_cases

story.credited("bonus", metadata={"reason": "signup_bonus"})
story.ledger.append(adjustment("plus", NOON, "5"))
story.ledger.append(charge("usage", NOON, "1", metadata={"payment_intent": "pi_usage"}))
story.events.append(
    event("evt_trial", "balance.trial.granted", NOON, activityId="trial", credits=500, walletUserId="w")
)
story.activity.append(topup_row("txn_topup", NOON, "1000.00"))
story.activity.append(fee_row("txn_fee", NOON, "2.00"))


# ---- test_a_credit_without_payment_is_a_break_once_the_data_reach_past_it

story.credited("lost", "12.5", "2026-11-04T23:59:59Z", intent="pi_lost")
story.credited("at the edge", "12.5", "2026-11-05T00:00:00Z", intent="pi_at the edge")
story.credited("past the data", "12.5", "2026-11-09T00:00:00Z", intent="pi_past the data")
story.credited("by wire", "12.5", "2026-10-02T00:00:00Z", rail="wire", payment="W-1")
story.payments.append(rail_payment("coins", "C-1", "2026-10-20T00:00:00Z", "1.00"))
story.credited("coin", "1.00", "2026-10-20T00:00:00Z", rail="coins", payment="C-1")
story.credited("coin lost", "12.5", "2026-10-16T00:00:00Z", rail="coins", payment="C-9")
story.credited("coin at its end", "12.5", "2026-10-17T00:00:00Z", rail="coins", payment="C-8")
story.payments.append(rail_payment("paypal", "P-last", "2026-11-09T06:00:00Z", "1.00"))


# ---- test_a_credit_of_an_unknown_rail_waits_for_every_source_that_could_hold_its_payment

story.ledger.append(credit("nobody's", "2026-10-14T21:59:59Z", "12.5", user="nobody"))
story.ledger.append(credit("nobody's, late", "2026-10-14T22:00:00Z", "12.5", user="nobody"))


# ---- test_a_payment_that_was_never_credited_and_went_back_needs_nothing

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


# ---- test_a_credit_that_nobody_paid_and_that_was_taken_back_needs_nothing

story.credited("given by mistake", "7.5", intent="pi_nobody paid")
story.ledger.append(
    withdrawal("given by mistake back", "2026-10-09T00:00:00Z", "7.5", related_id="given by mistake")
)
story.credited("given and kept", "7.5", intent="pi_nobody paid that")
story.ledger.append(
    adjustment("given and kept back", "2026-10-09T00:00:00Z", "-7.49", related_id="given and kept")
)


# ---- test_more_than_one_credit_is_a_duplicate_when_they_are_above_what_was_paid

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


# ---- test_a_second_credit_that_was_taken_back_is_none_whatever_is_refunded_later

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


# ---- test_two_credits_in_another_currency_are_a_duplicate_first

story.paid("twice in dollars", "10.80", paid="10.00", paid_currency="eur")
for entry_id in ("dollars 1", "dollars 2"):
    story.credited("twice in dollars", "10.80", entry_id=entry_id)


# ---- test_a_credit_is_compared_with_what_the_customer_paid_and_not_with_what_was_settled

story.paid("euro", "10.80", fee="0.61", paid="10.00", paid_currency="eur")
story.credited("euro", "10", currency="EUR")
story.paid("euro as settled", "10.80", fee="0.61", paid="10.00", paid_currency="eur")
story.credited("euro as settled", "10.80")
story.paid("euro by its number", "10.80", paid="10.00", paid_currency="eur")
story.credited("euro by its number", "10.00")
story.activity.append(
    refund_row("txn_eurno", NOON, "10.80", paid="10.00", paid_currency="eur", charge="ch_euro by its number")
)


# ---- test_without_a_customer_facing_amount_the_customer_paid_what_was_settled

story.paid("not presented", paid=None)
story.credited("not presented")


# ---- test_yen_have_no_decimals_however_they_are_written

story.paid("yen", "500", fee="18", currency="jpy")
story.credited("yen", "500", currency="jpy")
story.paid("yen again", "500", fee="18", currency="jpy")
story.credited("yen again", "500.000", currency="jpy")
story.paid("yen for dollars", "3.30", fee="0.40", paid="500", paid_currency="jpy")
story.credited("yen for dollars", "500", currency="jpy")


# ---- test_a_difference_between_credit_and_payment_is_a_mismatch_until_it_is_settled

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


# ---- test_a_refund_is_a_break_until_the_credit_is_taken_back


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


# ---- test_only_settled_entries_about_the_deposit_take_it_back

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


# ---- test_more_taken_back_than_went_back_is_a_break

refunded("taken twice", "10.00")
back("taken twice", "10")
story.ledger.append(withdrawal("taken twice again", "2026-10-10T00:00:00Z", "10", related_id="taken twice"))
story.paid("taken for nothing")
story.credited("taken for nothing")
back("taken for nothing", "2.5")
refunded("taken with a fraction", "9.63")
back("taken with a fraction", "9.639")


# ---- test_a_refund_that_failed_is_none_and_a_payment_that_failed_later_is_one

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


# ---- test_refunds_are_counted_in_what_the_customer_got_back

for name, given_back in (("euro refund", "4.00"), ("euro refund in full", None)):
    story.paid(name, "10.80", paid="10.00", paid_currency="eur")
    story.credited(name, "10", currency="eur")
    gross = "4.40" if given_back else "10.80"
    paid_back = {"paid": given_back, "paid_currency": "eur"} if given_back else {}
    story.activity.append(
        refund_row(f"txn_{name} r", "2026-10-08T00:00:00Z", gross, charge=f"ch_{name}", **paid_back)
    )
back("euro refund", "4", currency="eur")


# ---- test_a_dispute_is_a_break_unless_it_was_won_or_the_credit_is_taken_back


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


# ---- test_of_a_refund_and_a_dispute_the_one_that_was_not_taken_back_is_the_break

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


# ---- test_two_payments_of_the_same_amount_in_the_same_minute_keep_their_own_credits

for name in ("minute a", "minute b"):
    story.paid(name, "25.00", "2026-10-12T09:15:00Z")
    story.credited(name, "25", "2026-10-12T09:15:00Z")


# ---- test_a_keyless_credit_of_the_same_user_and_amount_within_an_hour_is_suggested_and_stays_a_break


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


# ---- test_nothing_is_suggested_for_another_hour_amount_user_or_currency_nor_for_a_credit_with_a_key

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


# ---- test_a_credit_is_suggested_for_one_payment_and_never_for_one_that_is_named

for name in ("twin a", "twin b", "twin c"):
    story.paid(name, "81.00", "2026-10-12T10:00:00Z", user="u81")
story.credited("twin c", "81", "2026-10-12T10:00:00Z", user="u81")
for name in ("81 1", "81 2", "81 3"):
    keyless(name, "81", "2026-10-12T10:00:00Z", "u81")


# ---- test_other_rails_are_reconciled_by_the_same_rules

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


# ---- test_rows_of_test_mode_are_kept_out_beside_live_ones

story.test_activity.append(
    charge_row("txn_trial run", NOON, "10.00", "0.59", intent="pi_trial run", charge="ch_trial run")
)
story.credited("trial run")
story.test_activity.append(refund_row("txn_trial refund", NOON, "10.00", charge="ch_ok"))


# ---- test_the_summary_counts_each_side_under_its_own_currency_on_the_reporting_day

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


# ---- test_payouts_are_added_up_from_their_items

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
