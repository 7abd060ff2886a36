"""The expected results of reconciliation and payouts, computed from landing files alone.

The code uses plain Python and Decimal, and no product code. It is slow and simple on purpose. It follows the
contract: docs/contract.md#1-words, docs/contract.md#24-stripe, docs/contract.md#25-other-payment-rails and
docs/contract.md#5-reconciliation. A choice that the contract leaves open is marked `choice:`. A cell that may
hold more than one value is an `Either`.
"""

import json
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from decimal import Context, Decimal, localcontext
from typing import Any
from zoneinfo import ZoneInfo

from tests.support.oracle import (
    EXACT,
    IGNORED_ENDINGS,
    MEANINGFUL_EVENTS,
    READERS,
    ZERO,
    Either,
    LandedFile,
    OracleSettings,
    RejectedError,
    Row,
    Rows,
    as_instant,
    decompress,
    expected,
    first_text,
    json_value,
    owner_of,
    parse_json,
    unique_events,
    wallet_owners,
    webhook_event,
)

PRIORITIES = {
    "processor_only": 1,
    "ledger_only": 1,
    "duplicate_deposit": 1,
    "currency_mismatch": 2,
    "amount_mismatch": 2,
    "dispute_not_clawed_back": 2,
    "over_clawed_back": 2,
    "refund_not_clawed_back": 3,
}
METHODS = ("payment_intent", "charge", "checkout_session", "payment_id")
REFUNDS = {"refund", "refund_failure", "charge_failure"}
DISPUTES = {"dispute", "dispute_reversal"}
USER_KEYS = tuple(
    f"payment_metadata[{name}]"
    for name in ("user", "user_id", "userId", "external_user_id", "externalUserId")
)
LATEST, LONGEST_APART = datetime(9999, 1, 1, tzinfo=UTC), timedelta(hours=1)


@dataclass
class Landed:
    """What is stated about payments, as plain rows in the order of landing."""

    activity: list[Row] = field(default_factory=list)
    payouts: list[Row] = field(default_factory=list)
    payout_items: list[Row] = field(default_factory=list)
    summary: list[Row] = field(default_factory=list)
    sessions: list[Row] = field(default_factory=list)
    payments: list[Row] = field(default_factory=list)
    covered: list[Row] = field(default_factory=list)
    """Ends (exclusive) of the intervals that activity files cover, each with its account and mode."""
    accounts: list[Row] = field(default_factory=list)
    """The accounts whose files were landed, each with its mode, and whether a list of sessions was among
    them.
    """
    wallets_of_sessions: dict[str, str] = field(default_factory=dict)
    """Whose checkout a webhook says it was."""


@dataclass
class Reconciled:
    """The three tables by their grain."""

    cases: Rows = field(default_factory=dict)
    summary: Rows = field(default_factory=dict)
    payouts: Rows = field(default_factory=dict)


@dataclass
class Payment:
    """One payment with all that came after it."""

    rail: str
    key: str
    paid_at: datetime
    moments: list[datetime]
    paid: Decimal
    currency: str
    gross: Decimal
    fee: Decimal | None
    settlement_currency: str
    intent: str | None = None
    charges: list[str] = field(default_factory=list)
    sessions: list[str] = field(default_factory=list)
    payment_id: str | None = None
    user: str | None = None
    refunded: Decimal = ZERO
    disputed: Decimal = ZERO

    @property
    def case_id(self) -> str:
        return f"{self.rail}:{self.key}"

    @property
    def returned(self) -> Decimal:
        return self.refunded + self.disputed


# ---- reading files

STRIPE_REPORTS = {
    "balance_change_from_activity.itemized": "activity",
    "payouts.itemized": "payouts",
    "payout_reconciliation.itemized": "payout_items",
    "balance.summary": "summary",
    "checkout_sessions": "sessions",
}
UTC_NAMES = ("created", "available_on", "effective_at", "automatic_payout_effective_at")
COVERED = re.compile(r"_(\d{4}-\d\d-\d\d)_to_(\d{4}-\d\d-\d\d)")


def records_of(file: LandedFile) -> Iterator[Row]:
    """The records of a file, texts and numbers as they were written, nothing where nothing stands."""
    kind, content = decompress(file)
    for _, record in READERS[kind](content):
        assert not isinstance(record, RejectedError), (
            f"{file.path}: the files of these tests have no bad records"
        )
        yield {name: value for name, value in record.items() if value not in (None, "")}


def is_ignored(name: str) -> bool:
    return name.startswith(".") or name.endswith(IGNORED_ENDINGS)


def read_landed(files: Iterable[LandedFile]) -> Landed:
    files, found = list(files), Landed()
    contents: set[bytes] = set()
    sidecars = {
        (file.folder, file.name): json.loads(file.content)
        for file in files
        if file.name.endswith(".run.json")
    }
    for file in files:
        top, *rest = file.folder.split("/")
        if is_ignored(file.name) or top not in ("stripe", "payments") or file.content in contents:
            continue
        contents.add(file.content)
        if top == "payments":
            found.payments += records_of(file)
            continue
        stripe_report = STRIPE_REPORTS[re.sub(r"\.\d+$", "", rest[0])]
        account = next((part for part in rest[1:] if part.startswith("acct_")), "default")
        mode = "test" if "test" in rest[1:] else "live"
        rows = [{"account": account, "mode": mode} | stripe_row(record) for record in records_of(file)]
        found.accounts.append({"account": account, "mode": mode, "has_sessions": stripe_report == "sessions"})
        if stripe_report == "sessions":
            for row in rows:
                # choice: a session says itself whether it is live
                row["mode"] = (
                    "test" if str(row.get("livemode", mode == "live")).lower() == "false" else "live"
                )
        getattr(found, stripe_report).extend(rows)
        if stripe_report == "activity":
            end = covered_until(file, sidecars.get((file.folder, f".{file.name}.run.json")))
            found.covered += [{"account": account, "mode": mode, "until": end}] if end else []
    events = unique_events(list(webhook_events(files)))
    owners = wallet_owners([one for one in events if one["event_type"] in MEANINGFUL_EVENTS])
    for one in sorted(events, key=lambda row: (row["occurred_at"], row["event_id"])):
        if one["event_type"] == "stripe.checkout.session.completed" and one["checkout_session_id"]:
            owner = owner_of(one, owners)
            found.wallets_of_sessions |= {one["checkout_session_id"]: owner} if owner else {}
    return without_test_rows(found)


def stripe_row(record: Row) -> Row:
    """Times under their UTC names."""
    return {
        f"{name}_utc" if name in UTC_NAMES and "payment_intent" not in record else name: value
        for name, value in record.items()
    }


def covered_until(file: LandedFile, sidecar: Row | None) -> datetime | None:
    if sidecar:
        return datetime.fromtimestamp(sidecar["parameters"]["interval_end"], UTC)
    named = COVERED.search(file.name)
    return utc_time(named[2]) + timedelta(days=1) if named else None


def webhook_events(files: Iterable[LandedFile]) -> Iterator[Row]:
    for file in files:
        if file.folder == "events" and not is_ignored(file.name):
            yield from (webhook_event(record) for record in records_of(file))


def without_test_rows(found: Landed) -> Landed:
    """If any live rows exist, test rows are kept out of everything.

    choice: any live row of any report; sessions do not count, as their list may be there without a report.
    """
    reports = ("activity", "payouts", "payout_items", "summary")
    if any(row["mode"] == "live" for name in reports for row in getattr(found, name)):
        for name in (*reports, "sessions", "covered", "accounts"):
            setattr(found, name, [row for row in getattr(found, name) if row["mode"] == "live"])
    return found


def utc_time(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def money(value: Any) -> Decimal:
    return Decimal(str(value)) + 0  # no minus zero


def total(values: Iterable[Decimal]) -> Decimal:
    return sum(values, ZERO)


def last_landed(rows: Iterable[Row], *names: str) -> list[Row]:
    """Once per key: the row that landed last."""
    return list({tuple(row.get(name) for name in names): row for row in rows}.values())


# ---- payments


def charge_key(row: Row) -> str | None:
    """The charge that a row is about: `charge_id`, else a source that is a charge."""
    source = row.get("source_id") or ""
    return row.get("charge_id") or (source if source.startswith(("ch_", "py_")) else None)


def in_paid_currency(row: Row, payment: Payment) -> Decimal:
    """What a row moved for the customer, signed."""
    if (
        row.get("customer_facing_amount") is not None
        and row.get("customer_facing_currency", "").lower() == payment.currency
    ):
        return money(row["customer_facing_amount"])
    if row["currency"].lower() == payment.currency:
        return money(row["gross"])
    # choice: the same share of what was paid as of what was settled; only a whole one is sure to come out
    # even
    with localcontext(Context(prec=60)):
        return (money(row["gross"]) * payment.paid / payment.gross).quantize(Decimal("1e-12"))


def stripe_payments(landed: Landed) -> list[Payment]:
    activity = last_landed(landed.activity, "account", "balance_transaction_id")
    sessions = last_landed(landed.sessions, "id")
    charges: dict[str, list[Row]] = defaultdict(list)
    for row in activity:
        if row["reporting_category"] == "charge":
            key = (
                row.get("payment_intent_id")
                or row.get("charge_id")
                or row.get("source_id")
                or row["balance_transaction_id"]
            )
            charges[key].append(row)
    payments = [
        stripe_payment(key, rows, sessions, landed.wallets_of_sessions) for key, rows in charges.items()
    ]

    by_intent = {payment.intent: payment for payment in payments if payment.intent}
    by_charge = {charge: payment for payment in payments for charge in payment.charges}
    for row in activity:
        category = row["reporting_category"]
        if category not in REFUNDS | DISPUTES:
            continue
        # choice: an intent that no charge row names is no help; the charge id is tried after it
        payment = by_intent.get(row.get("payment_intent_id")) or by_charge.get(charge_key(row))
        if payment is None:
            continue  # choice: what is about a payment that was never seen makes no case
        payment.moments.append(utc_time(row["created_utc"]))
        if category in REFUNDS:
            payment.refunded -= in_paid_currency(row, payment)
        else:
            payment.disputed -= in_paid_currency(row, payment)
    for payment in payments:
        payment.refunded, payment.disputed = max(payment.refunded, ZERO), max(payment.disputed, ZERO)
    return payments


def stripe_payment(key: str, rows: list[Row], sessions: list[Row], wallets: dict[str, str]) -> Payment:
    rows = sorted(rows, key=lambda row: (row["created_utc"], row["balance_transaction_id"]))
    first, intent = rows[0], rows[0].get("payment_intent_id")
    own_sessions = sorted(
        (one for one in sessions if intent and one.get("payment_intent") == intent), key=lambda one: one["id"]
    )
    stated = [row.get(name) for row in rows for name in USER_KEYS]
    stated += [one.get("client_reference_id") for one in own_sessions]
    stated += [wallets.get(one["id"]) for one in own_sessions]
    # choice: without a customer-facing amount the customer paid what was settled
    presented = [row.get("customer_facing_amount", row["gross"]) for row in rows]
    return Payment(
        rail="stripe",
        key=key,
        paid_at=utc_time(first["created_utc"]),
        moments=[utc_time(row["created_utc"]) for row in rows],
        paid=total(map(money, presented)),
        currency=str(
            first["customer_facing_currency" if "customer_facing_amount" in first else "currency"]
        ).lower(),
        gross=total(money(row["gross"]) for row in rows),
        fee=total(money(row["fee"]) for row in rows),
        settlement_currency=first["currency"].lower(),
        intent=intent,
        charges=[charge for row in rows if (charge := charge_key(row))],
        sessions=[one["id"] for one in own_sessions],
        user=first_text(*stated),
    )


def rail_payments(landed: Landed) -> list[Payment]:
    payments = []
    for row in last_landed(landed.payments, "rail", "payment_id"):
        if row["status"] == "failed":
            continue
        paid = money(row["amount"])
        refunded = (
            money(row["refunded_amount"])
            if "refunded_amount" in row
            else paid
            if row["status"] == "refunded"
            else ZERO
        )
        metadata = row.get("metadata", {})
        metadata = json_value(parse_json(metadata) if isinstance(metadata, str) else metadata)
        paid_at = as_instant(row["paid_at"], "paid_at")
        assert paid_at
        payments.append(
            Payment(
                rail=row["rail"],
                key=row["payment_id"],
                paid_at=paid_at,
                moments=[paid_at],
                paid=paid,
                currency=row["currency"].lower(),
                gross=paid,
                fee=money(row["fee"]) if "fee" in row else None,
                settlement_currency=row["currency"].lower(),
                payment_id=row["payment_id"],
                user=first_text(metadata.get("user")),
                refunded=refunded,
                disputed=paid - refunded if row["status"] == "disputed" else ZERO,
            )
        )
    return payments


def account_ends(landed: Landed) -> dict[str, datetime | None]:
    """How far the activity of each account reaches; None where none was landed."""
    ends: dict[str, datetime | None] = {one["account"]: None for one in landed.accounts}
    moments = [(row["account"], utc_time(row["created_utc"])) for row in landed.activity]
    for account, moment in moments + [(one["account"], one["until"]) for one in landed.covered]:
        ends[account] = max(moment, ends.get(account) or moment)
    return ends


def rail_ends(landed: Landed) -> dict[str, datetime | None]:
    """How far the payments of each other rail reach."""
    ends: dict[str, datetime | None] = {}
    # choice: a failed payment shows as well how far the data reach
    for row in landed.payments:
        moment = as_instant(row["paid_at"], "paid_at") or LATEST
        ends[row["rail"]] = max(moment, ends.get(row["rail"]) or moment)
    return ends


def is_reached(deposit: Row, landed: Landed, grace: timedelta) -> bool:
    """Whether every source that could hold the payment of a deposit reaches past it by more than the
    grace.
    """
    accounts, rails = account_ends(landed), rail_ends(landed)
    ends: list[datetime | None] = []
    if deposit["rail"] in ("stripe", "unknown"):
        ends += accounts.values()
    if deposit["rail"] == "unknown":
        ends += rails.values()
        if not ends:
            return True  # nothing was landed that could be waited for
    elif deposit["rail"] != "stripe":
        ends.append(rails.get(deposit["rail"]))
    tied = {row["id"] for row in landed.sessions if row.get("payment_intent")}
    session = deposit["checkout_session_id"]
    if session and session not in tied and not deposit["payment_intent_id"] and not deposit["charge_id"]:
        # choice: only a list of sessions ties a session to its payment; those of these tests are newer than
        # every deposit
        with_list = {one["account"] for one in landed.accounts if one["has_sessions"]}
        ends += [None] if set(accounts) - with_list else []
    return bool(ends) and all(end is not None and end - deposit["occurred_at"] > grace for end in ends)


# ---- cases


def named_payment(deposit: Row, payments: list[Payment]) -> tuple[str, Payment] | None:
    """The payment that a deposit names, by the first key that finds one."""
    finds: dict[str, Callable[[Payment], bool]] = {
        "payment_intent": lambda one: bool(one.intent) and one.intent == deposit["payment_intent_id"],
        "charge": lambda one: deposit["charge_id"] is not None and deposit["charge_id"] in one.charges,
        "checkout_session": lambda one: (
            deposit["checkout_session_id"] is not None and deposit["checkout_session_id"] in one.sessions
        ),
        # choice: a payment id counts only on the rail that the deposit states
        "payment_id": lambda one: (
            bool(one.payment_id) and (one.rail, one.payment_id) == (deposit["rail"], deposit["payment_id"])
        ),
    }
    for method in METHODS:
        for payment in payments:
            if finds[method](payment):
                return method, payment
    return None


def has_key(deposit: Row) -> bool:
    return any(
        deposit[name] for name in ("payment_intent_id", "charge_id", "checkout_session_id", "payment_id")
    )


def suggestions(payments: list[Payment], deposits: list[Row]) -> dict[str, Row]:
    """By case: the nearest deposit of the same user, currency and amount within an hour; each is suggested
    once.

    choice: the nearest pair first; on a tie the earlier payment, then ids. A deposit that states another rail
    is never suggested.
    """
    pairs = []
    for payment in payments:
        for deposit in deposits:
            apart = abs(payment.paid_at - deposit["occurred_at"])
            alike = (payment.user, payment.currency, payment.paid) == (
                deposit["user_id"],
                deposit["currency"],
                deposit["amount"],
            )
            if alike and apart <= LONGEST_APART and deposit["rail"] in ("unknown", payment.rail):
                pairs.append((apart, payment.paid_at, payment.case_id, deposit["entry_id"], deposit))
    found: dict[str, Row] = {}
    for _, _, case_id, entry_id, deposit in sorted(pairs, key=lambda pair: pair[:4]):
        if case_id not in found and entry_id not in {one["entry_id"] for one in found.values()}:
            found[case_id] = deposit
    return found


def movements_of(deposit: Row, entries: list[Row]) -> list[Row]:
    """Settled entries that name the deposit and move its own wallet, other than by usage."""
    wallet = ("user_id", "paywall_id", "currency")
    return [
        one
        for one in entries
        if one["status"] == "settled"
        and one["related_entry_id"] == deposit["entry_id"]
        and one["entry_type"] in ("refund", "withdrawal", "adjustment")
        and all(one[name] == deposit[name] for name in wallet)
    ]


def taken_back(deposit: Row, entries: list[Row]) -> Decimal:
    """What they took out of the wallet on balance, never below 0."""
    moved = total(
        one["amount"] if one["entry_type"] == "adjustment" else -one["amount"]
        for one in movements_of(deposit, entries)
    )
    return max(-moved, ZERO)


def two_sided_break(payment: Payment, deposits: list[Row], back: Decimal) -> str | Either | None:
    """The first rule that holds for a payment that was credited: net credit against net payment."""
    credited, currency = total(one["amount"] for one in deposits), deposits[0]["currency"]
    if currency != payment.currency:
        if credited == back and payment.paid == payment.returned:
            return None  # choice: nothing is left on either side
        # choice: whether several credits in another currency are above what was paid is unknown
        # without a rate
        return (
            Either(("duplicate_deposit", "currency_mismatch")) if len(deposits) > 1 else "currency_mismatch"
        )
    if credited - back == payment.paid - payment.returned:
        return None
    if credited - back > payment.paid:
        return "duplicate_deposit" if len(deposits) > 1 else "amount_mismatch"
    # choice: what was not credited is owed to the customer until as much went back
    if payment.paid - payment.returned > credited:
        return "amount_mismatch"
    # What was taken back beyond an over-credit answers what went back beyond an under-credit.
    excess, shortfall = max(credited - payment.paid, ZERO), max(payment.paid - credited, ZERO)
    answered, owed = back - excess, payment.returned - shortfall
    if answered - owed >= smallest_unit(currency):
        return "over_clawed_back"
    if answered >= owed:
        return None  # choice: fractions that no processor can pay out are not too much
    if answered >= min(credited, payment.paid):
        return None  # choice: all of the credit is gone; more cannot be taken back
    refund = max(payment.refunded - shortfall, ZERO)
    for_the_dispute = answered >= owed - refund and answered != refund
    return "dispute_not_clawed_back" if owed > refund and not for_the_dispute else "refund_not_clawed_back"


def smallest_unit(currency: str) -> Decimal:
    """What can be paid at least; the books of these tests are in four currencies."""
    return {"jpy": Decimal(1), "bhd": Decimal("0.001")}.get(currency, Decimal("0.01"))


def one_of(texts: list[str]) -> Any:
    return texts[0] if len(set(texts)) == 1 else Either(tuple(texts)) if texts else None


def case_row(
    payment: Payment | None, deposits: list[Row], method: Any, entries: list[Row], as_of: datetime
) -> Row:
    """Everything but the verdict."""
    movements = [one for deposit in deposits for one in movements_of(deposit, entries)]
    back = total(taken_back(deposit, entries) for deposit in deposits)
    deposits = sorted(deposits, key=lambda one: (one["occurred_at"], one["entry_id"]))
    currencies = {one["currency"] for one in deposits}
    assert len(currencies) < 2, (
        "credits of one payment in several currencies: the contract does not say what their sum is"
    )
    stated = {
        name: first_text(*(one[name] for one in deposits))
        for name in ("payment_intent_id", "charge_id", "checkout_session_id")
    }
    ledger_amount = total(one["amount"] for one in deposits) if deposits else None
    ledger_currency = deposits[0]["currency"] if deposits else None
    moments = [one["occurred_at"] for one in [*deposits, *movements]] + (payment.moments if payment else [])
    row: Row = {
        "rail": payment.rail if payment else deposits[0]["rail"],
        "user_id": deposits[0]["user_id"] if deposits else payment.user if payment else None,
        "payment_id": payment.payment_id if payment else deposits[0]["payment_id"],
        "deposit_entry_ids": sorted(one["entry_id"] for one in deposits),
        "match_method": method,
        "ledger_amount": ledger_amount,
        "ledger_currency": ledger_currency,
        "clawed_back_amount": back,
        "net_credit": ledger_amount - back if ledger_amount is not None else None,
        "first_event_at": min(moments),
        "last_event_at": max(moments),
        "age_days": max((as_of - min(moments)) // timedelta(days=1), 0),
    }
    if payment is None:
        nothing = (
            "paid_amount",
            "paid_currency",
            "settled_gross",
            "settled_fee",
            "settled_net",
            "settlement_currency",
        )
        # choice: what a payment that is not there gave back is unknown, or nothing
        either = dict.fromkeys(("refunded_amount", "disputed_amount"), Either((ZERO, None)))
        unmatched = {"net_payment": None, "difference": ledger_amount, "has_unknown_return": False}
        return row | stated | dict.fromkeys(nothing) | either | unmatched
    own = {
        "payment_intent_id": payment.intent,
        # choice: of several charges any may be shown
        "charge_id": one_of(payment.charges),
        "checkout_session_id": one_of(payment.sessions),
    }
    comparable = ledger_currency in (None, payment.currency)
    return row | {
        # choice: a key that the payment does not have may be shown as the deposit states it
        **{
            name: key if key or not stated[name] else Either((None, stated[name]))
            for name, key in own.items()
        },
        "paid_amount": payment.paid,
        "paid_currency": payment.currency,
        "settled_gross": payment.gross,
        "settled_fee": payment.fee,
        "settled_net": None if payment.fee is None else payment.gross - payment.fee,
        "settlement_currency": payment.settlement_currency,
        "refunded_amount": payment.refunded,
        "disputed_amount": payment.disputed,
        "net_payment": payment.paid - payment.returned,
        "has_unknown_return": False,
        "difference": (ledger_amount or ZERO) - payment.paid if comparable else None,
    }


def verdict(status: str, break_type: str | Either | None = None) -> Row:
    if isinstance(break_type, Either):
        priority: Any = Either(tuple(PRIORITIES[one] for one in break_type.values))
    else:
        priority = PRIORITIES[break_type] if break_type else None
    return {"status": status, "break_type": break_type, "priority": priority}


def is_credit(entry: Row) -> bool:
    return bool(
        entry["entry_type"] == "deposit" and entry["status"] == "settled" and entry["funding"] == "paid"
    )


def reconcile(entries: list[Row], landed: Landed, as_of: datetime, grace_days: int = 3) -> Rows:
    """Every case by its id."""
    grace = timedelta(days=grace_days)
    payments = stripe_payments(landed) + rail_payments(landed)
    deposits_paid = [one for one in entries if is_credit(one)]
    named: dict[str, list[tuple[str, Row]]] = defaultdict(list)
    without_payment = []
    for deposit in deposits_paid:
        found = named_payment(deposit, payments)
        if found:
            named[found[1].case_id].append((found[0], deposit))
        else:
            without_payment.append(deposit)
    never_named = [one for one in payments if one.case_id not in named]
    suggested = suggestions(never_named, [one for one in without_payment if not has_key(one)])

    rows: Rows = {}
    for payment in payments:
        young = as_of - payment.paid_at < grace
        one_sided = verdict("pending") if young else verdict("break", "processor_only")
        if payment.case_id in named:
            methods, deposits = zip(*named[payment.case_id], strict=True)
            row = case_row(
                payment, list(deposits), one_of(list(methods)), entries, as_of
            )  # choice: of several ways any may be named
            break_type = two_sided_break(payment, list(deposits), row["clawed_back_amount"])
            row |= verdict("break", break_type) if break_type else verdict("matched")
        elif payment.case_id in suggested:
            row = case_row(payment, [suggested[payment.case_id]], "suggested", entries, as_of) | one_sided
        else:
            all_went_back = payment.returned >= payment.paid
            row = case_row(payment, [], None, entries, as_of) | (
                verdict("matched") if all_went_back else one_sided
            )
        rows[(payment.case_id,)] = row
    suggested_ids = {one["entry_id"] for one in suggested.values()}
    for deposit in without_payment:
        if deposit["entry_id"] in suggested_ids:
            continue
        overdue = as_of - deposit["occurred_at"] >= grace and is_reached(deposit, landed, grace)
        row = case_row(None, [deposit], None, entries, as_of)
        # choice: a credit that was taken back in full owes nothing, like a payment that went back in full
        if 0 <= -row["net_credit"] < smallest_unit(row["ledger_currency"]):
            outcome = verdict("matched")
        elif not overdue:
            outcome = verdict("pending")
        else:
            outcome = verdict("break", "ledger_only" if row["net_credit"] > 0 else "over_clawed_back")
        rows[(f"deposit:{deposit['entry_id']}",)] = row | outcome
    return rows


# ---- summary and payouts


def summarise(cases: Rows, reporting_timezone: str) -> Rows:
    """Each side of a case counts under its own currency, the case itself under the paid one, else the
    ledger's.
    """
    rows: Rows = {}
    zone = ZoneInfo(reporting_timezone)
    for case in cases.values():
        key = (case["first_event_at"].astimezone(zone).date(), case["rail"])
        empty = {
            "cases": 0,
            "matched": 0,
            "breaks": 0,
            "pending": 0,
            "ledger_amount": ZERO,
            "processor_amount": ZERO,
        }
        row = rows.setdefault((*key, case["paid_currency"] or case["ledger_currency"]), dict(empty))
        row["cases"] += 1
        row[{"matched": "matched", "break": "breaks", "pending": "pending"}[case["status"]]] += 1
        for side, of_side in (("ledger", "ledger"), ("processor", "paid")):
            if case[f"{of_side}_currency"]:
                row = rows.setdefault((*key, case[f"{of_side}_currency"]), dict(empty))
                row[f"{side}_amount"] += case[f"{of_side}_amount"]
    for row in rows.values():
        row["difference"] = row["ledger_amount"] - row["processor_amount"]
    return rows


def payout_rows(landed: Landed) -> Rows:
    rows: Rows = {}
    stated = last_landed(landed.payouts, "account", "balance_transaction_id", "payout_id")
    items = last_landed(landed.payout_items, "account", "balance_transaction_id", "automatic_payout_id")
    for payout in dict.fromkeys(row["payout_id"] for row in landed.payouts):
        last = [row for row in landed.payouts if row["payout_id"] == payout][-1]
        own = [row for row in stated if row["payout_id"] == payout]
        # choice: neither the payout nor its reversal is an item of it
        inside = [
            row
            for row in items
            if row.get("automatic_payout_id") == payout
            and row["reporting_category"] not in ("payout", "payout_reversal")
        ]
        amount = -total(money(row["net"]) for row in own if row["reporting_category"] == "payout")
        items_net = total(money(row["net"]) for row in inside)
        rows[(payout,)] = {
            "currency": last["currency"].lower(),
            "amount": amount,
            "status": last["payout_status"],
            # choice: Stripe's day, not turned into reporting time
            "arrival_date": date.fromisoformat(last["payout_expected_arrival_date"][:10]),
            "items": len(inside),
            "items_net": items_net if inside else Either((ZERO, None)),
            "difference": amount - items_net if inside else Either((amount, None)),
            "is_reconciled": bool(inside) and amount == items_net,
        }
    for row in items:
        # choice: a payout that only its items name has a row too, of unknown amount
        payout = row.get("automatic_payout_id")
        if (
            payout
            and (payout,) not in rows
            and row["reporting_category"] not in ("payout", "payout_reversal")
        ):
            rows[(payout,)] = {"amount": None, "difference": None, "is_reconciled": False}
    return rows


# ---- the whole


def ledger_entries(files: list[LandedFile], settings: OracleSettings) -> list[Row]:
    """The winning versions, as the oracle of the ledger has them; `charge_id` comes from their metadata."""
    return [
        row | {"entry_id": entry_id, "charge_id": first_text((row["metadata"] or {}).get("charge"))}
        for (entry_id,), row in expected(files, settings).entries.items()
    ]


def reconciled(files: Iterable[LandedFile], settings: OracleSettings, grace_days: int = 3) -> Reconciled:
    """What must be published after `files` have landed in this order."""
    files = list(files)
    landed = read_landed(files)
    with localcontext(EXACT):
        cases = reconcile(ledger_entries(files, settings), landed, settings.as_of, grace_days)
        return Reconciled(cases, summarise(cases, settings.reporting_timezone), payout_rows(landed))
