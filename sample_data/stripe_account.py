"""The Stripe account of the sample: the balance transactions of each payment, and the payouts."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

from sample_data.payments import STRIPE, Payment, Return, cents
from sample_data.statements import DAY, HOUR
from sample_data.world import DAYS, EPOCH, Calendar, key

CURRENCIES = ("usd", "eur")
"""The account's two balances, each with its own bank account."""
OPENING = {"usd": Decimal("250.00"), "eur": Decimal("0.00")}
"""The minimum balance, which is never paid out, so that every payout is the sum of its items."""
EURO_BALANCE_FROM = DAYS - 60
"""Card payments in euro settle in dollar before this day, and in euro from this day on."""

FEE_SHARE, FEE_FIXED = Decimal("0.029"), Decimal("0.30")
DISPUTE_FEE = Decimal("15.00")
MONTHLY_FEE = Decimal("2.00")
NOTHING = Decimal("0.00")
DOLLARS = {"usd": Decimal(1), "eur": Decimal("1.07"), "gbp": Decimal("1.26")}
"""US dollars for one unit on the cheapest day; invented."""

AVAILABLE_AFTER = 2 * DAY
SOURCES = {"refund": "re", "refund_failure": "re", "dispute": "dp", "dispute_reversal": "dp"}


@dataclass(slots=True)
class Payout:
    """Money sent to a bank account: `amount` is positive, in major units of `currency`."""

    id: str
    currency: str
    amount: Decimal
    at: int
    status: str

    @property
    def arrives(self) -> int:
        """The time at which the bank receives it."""
        return self.at // DAY * DAY + 2 * DAY


@dataclass(slots=True)
class Transaction:
    """One balance transaction as in Stripe's reports: signed gross, positive fee, in major units."""

    id: str
    created: int
    available: int
    currency: str
    gross: Decimal
    fee: Decimal
    category: str
    description: str
    source: str = ""
    charge: str = ""
    intent: str = ""
    facing_amount: Decimal | None = None
    """The amount that the customer paid or got back, with the sign of gross."""
    facing_currency: str = ""
    user: str = ""
    payout: Payout | None = None
    """The payout that contains it."""

    @property
    def net(self) -> Decimal:
        """The change of the balance."""
        return self.gross - self.fee


@dataclass(slots=True)
class Account:
    """All balance transactions before `until`."""

    since: int
    until: int
    activity: list[Transaction] = field(default_factory=list)
    """All transactions except payouts and their reversals."""
    payouts: list[tuple[Payout, Transaction]] = field(default_factory=list)
    """Payouts and their reversals, each with its balance transaction."""

    @property
    def first_day(self) -> date:
        """The first UTC day that Stripe's reports cover."""
        return utc_day(self.since)

    @property
    def last_day(self) -> date:
        """The last UTC day that they cover completely."""
        return utc_day(self.until - DAY)

    @property
    def items(self) -> list[tuple[Payout, Transaction]]:
        """The items of each payout in order. A payout that came back is an item of a later one."""
        rows = [*self.activity, *(row for _, row in self.payouts)]
        paid_out = [(row.payout, row) for row in rows if row.payout is not None]
        return sorted(paid_out, key=lambda pair: (pair[0].at, pair[0].id, pair[1].created, pair[1].id))


def utc_day(instant: int) -> date:
    """Return the calendar day in UTC, by which Stripe's reports count."""
    return (EPOCH + timedelta(milliseconds=instant)).date()


def midnight(day: date) -> int:
    """Return the instant at which a UTC day begins."""
    return int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp()) * 1000


def open_account(payments: Iterable[Payment], calendar: Calendar) -> Account:
    """Return the account from the sample's first UTC day to the last midnight before the sample ends,
    so that its last day is complete.
    """
    # In every time zone at least an hour of the sample is left after it, for this morning's top-ups, which
    # are
    # not in Stripe's data yet.
    account = Account(since=calendar.starts(0) // DAY * DAY, until=(calendar.ends - HOUR) // DAY * DAY)
    euro_from = calendar.starts(EURO_BALANCE_FROM)
    rows = [row for payment in payments if payment.rail == STRIPE for row in payment_rows(payment, euro_from)]
    rows += monthly_fees(account)
    account.activity = sorted(
        (row for row in rows if row.created < account.until), key=lambda row: (row.created, row.id)
    )
    for currency in CURRENCIES:
        account.payouts += pay_out(account, currency)
    account.payouts.sort(key=lambda pair: (pair[1].created, pair[1].id))
    return account


# ---- balance transactions


def dollars(currency: str, instant: int) -> Decimal:
    """Return the day's rate: US dollars for one unit."""
    drift = 0 if currency == "usd" else int(key("rate", currency, utc_day(instant), size=4), 16) % 400
    return DOLLARS[currency] + Decimal(drift) / 10_000


def payment_rows(payment: Payment, euro_from: int) -> list[Transaction]:
    """Return the charge and the money that went back. The latter is converted at the rate of its own
    day, and the charge's fee is kept.
    """
    settled_in = "eur" if payment.currency == "eur" and payment.paid_at >= euro_from else "usd"
    gross = settled(payment.amount, payment.currency, settled_in, payment.paid_at)
    charge = Transaction(
        id=f"txn_{key('charge', payment.number)}",
        created=payment.paid_at,
        available=payment.paid_at // DAY * DAY + AVAILABLE_AFTER,
        currency=settled_in,
        gross=gross,
        fee=cents(gross * FEE_SHARE + FEE_FIXED),
        category="charge",
        description="Balance top-up",
        source=f"ch_{payment.number}",
        charge=f"ch_{payment.number}",
        intent=f"pi_{payment.number}",
        facing_amount=payment.amount,
        facing_currency=payment.currency,
        user=payment.user,
    )
    return [charge, *(return_row(payment, back, settled_in) for back in payment.returns)]


def return_row(payment: Payment, back: Return, settled_in: str) -> Transaction:
    """Return the row of a refund or a dispute. Refunds name only the charge, as in many of Stripe's
    reports.
    """
    about_refund = back.kind.startswith("refund")
    return Transaction(
        id=f"txn_{key(back.kind, payment.number)}",
        created=back.at,
        available=back.at,
        currency=settled_in,
        gross=settled(back.signed, payment.currency, settled_in, back.at),
        fee=DISPUTE_FEE if back.kind == "dispute" else NOTHING,
        category=back.kind,
        description=back.kind.replace("_", " ").capitalize(),
        source=f"{SOURCES[back.kind]}_{payment.number}",
        charge=f"ch_{payment.number}",
        intent="" if about_refund else f"pi_{payment.number}",
        facing_amount=back.signed,
        facing_currency=payment.currency,
    )


def settled(amount: Decimal, currency: str, settled_in: str, instant: int) -> Decimal:
    """Return an amount in the currency of the balance in which it settles."""
    return cents(amount if currency == settled_in else amount * dollars(currency, instant))


def monthly_fees(account: Account) -> list[Transaction]:
    """Return Stripe's own fee, on the morning of the first of each month."""
    days = (
        account.first_day + timedelta(days=number) for number in range((account.until - account.since) // DAY)
    )
    instants = [midnight(day) + 5 * HOUR for day in days if day.day == 1]
    return [
        Transaction(
            f"txn_{key('fee', at)}",
            at,
            at,
            "usd",
            NOTHING,
            MONTHLY_FEE,
            "fee",
            f"Billing fee ({utc_day(at - DAY):%Y-%m})",
        )
        for at in instants
    ]


# ---- payouts


def pay_out(account: Account, currency: str) -> list[tuple[Payout, Transaction]]:
    """Return weekly payouts of everything available. One in US dollar fails: its money comes back and
    is in the next one.
    """
    waiting = [row for row in account.activity if row.currency == currency]
    weeks = list(range(account.until - 20 * HOUR, account.since, -7 * DAY))[::-1]
    rows: list[tuple[Payout, Transaction]] = []
    may_fail = currency == "usd"
    for week, instant in enumerate(weeks):
        due = [
            row for row in waiting if row.created <= instant - AVAILABLE_AFTER and row.available <= instant
        ]
        amount = sum((row.net for row in due), NOTHING)
        if amount <= 0:  # after a dispute; the next payout compensates it
            continue
        payout = Payout(f"po_{key('payout', currency, instant)}", currency, amount, instant, "paid")
        if payout.arrives >= account.until:
            payout.status = "in_transit"
        for row in due:
            row.payout = payout
        waiting = [row for row in waiting if row.payout is None]
        rows.append((payout, payout_row(payout, "payout", instant)))
        if may_fail and len(weeks) // 2 <= week < len(weeks) - 3:
            may_fail, payout.status = False, "failed"
            back = payout_row(payout, "payout_reversal", instant + 3 * DAY)
            rows.append((payout, back))
            waiting.append(back)
    return rows


def payout_row(payout: Payout, category: str, instant: int) -> Transaction:
    """Return the row of a payout that leaves the balance or comes back."""
    return Transaction(
        id=f"txn_{key(category, payout.id)}",
        created=instant,
        available=instant,
        currency=payout.currency,
        gross=-payout.amount if category == "payout" else payout.amount,
        fee=NOTHING,
        category=category,
        description="STRIPE PAYOUT" if category == "payout" else "STRIPE PAYOUT FAILED",
        source=payout.id,
    )
