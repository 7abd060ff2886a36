"""The expected credit days, deferred revenue, journal and growth, computed from current ledger entries.

Plain Python and Decimal, no product code, sequential and obvious on purpose. It follows the contract, "Paid,
promo, unfunded" (5b) and "Growth" (5c). Where the contract leaves room, the choice is marked `choice:`.

How the words on closed periods are read (`full_journal`):

- "After a close the lines of that month never change": the booked lines are given. They are the published
  lines with a `journal_date` in a closed month, and so include adjustments that were published on the first
  day of a month before that month was closed.
- "Months before a closed one count as closed": every day before the first open month is closed, also days
  before the first booked line.
- "what changes in it is journaled on the first day of the first open month": an adjustment has that day as
  `journal_date`, and "the day that it is about" as `relates_to_date`. That day lies in a closed month.
- "in its own journal, net per account, on the opposite side where it is less": for each journal, account,
  currency and relates-to date, the adjustment is (debit - credit as restated) - (debit - credit as booked,
  with the adjustments that are already booked). It is one line, a debit above 0 and a credit below 0; none
  at 0. The two sides of one account in one journal are netted: less credit is a debit.
- "elsewhere `relates_to_date` = `journal_date`": the lines of open days are the restated lines as they are.
  Adjustments are never merged with them, since the relates-to date differs.
- "reopen": what was booked with a `journal_date` in the reopened month is left out of the booked lines. Its
  adjustments vanish with it, those of earlier months are computed again on its first day.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from decimal import Decimal, localcontext
from typing import Any

from tests.support.oracle import (
    EXACT,
    ZERO,
    LandedFile,
    OracleSettings,
    Row,
    days_between,
    expected,
    group,
    month_of,
    next_month,
    periods,
    ratio,
)

EXPIRY_REASONS = frozenset({"expired", "expiry", "breakage"})
CREDIT_OPENINGS = ("paid_opening", "promo_opening", "overdraft_opening")
CREDIT_CLOSINGS = ("paid_closing", "promo_closing", "overdraft_closing")
CREDIT_AMOUNTS = (
    "paid_added", "promo_added", "overdraft_settled_paid", "overdraft_settled_promo",
    "paid_returned", "promo_returned", "unfunded_returned", "paid_expired", "promo_expired",
    "revenue_paid", "revenue_promo", "revenue_unfunded",
    "refunds_paid", "refunds_promo", "refunds_unfunded",
)  # fmt: skip
USED_TO_DATE = ("paid_used_to_date", "promo_used_to_date")
WALLET = ("user_id", "paywall_id", "currency")
USAGE_KPIS = ("revenue_paid", "revenue_promo", "revenue_unfunded")
MOVEMENTS = ("new", "resurrected", "expansion", "contraction", "churned")
BLOCKS_START = date(2001, 1, 1)  # a Monday

# A posting: relates-to date, journal, account, currency, side. The journal date is the same day.
Posting = tuple[date, str, str, str, str]
Postings = dict[Posting, Decimal]


@dataclass
class Books:
    """The rows of each table, sorted by its grain, with the contract's column names as keys.

    `unfunded_expiries` has the wallets and days on which expiries became overdraft, with the amount. Which of
    several expiries of a day did so is open. `rules` counts how often each rule of 5b had an effect.
    """

    credit_days: list[Row] = field(default_factory=list)
    deferred_revenue: list[Row] = field(default_factory=list)
    journal_lines: list[Row] = field(default_factory=list)
    period_kpis: list[Row] = field(default_factory=list)
    growth: list[Row] = field(default_factory=list)
    user_movements: list[Row] = field(default_factory=list)
    restated_lines: list[Row] = field(default_factory=list)
    unfunded_expiries: list[Row] = field(default_factory=list)
    rules: Counter[str] = field(default_factory=Counter)


def books_of_files(files: Iterable[LandedFile], settings: OracleSettings, **options: Any) -> Books:
    """Return the books after `files` have landed in this order; `options` are those of `books_of`."""
    tables = expected(files, settings)
    return books_of(tables.ledger, today=tables.today, **options)


def books_of(
    entries: Sequence[Row],
    *,
    today: date,
    expiry_reasons: Collection[str] = EXPIRY_REASONS,
    promo_first: bool = True,
    expiry_ignores_case: bool = False,
    booked: Sequence[Row] = (),
    first_open_month: date | None = None,
) -> Books:
    """Return the books of all current entries, whatever their status, as `oracle.Expected.ledger` has them.

    `today` is the reporting day of `AS_OF`. The reporting time zone is in the entries: `entry_date`.
    `booked` are the lines of closed months, `first_open_month` is the first day of the month after them; all
    months are open where it is None.

    choice: a reason is compared as it is written, as promo reasons are; only funding is compared in lower
    case. `expiry_ignores_case` compares reasons in lower case too.
    """
    with localcontext(EXACT):
        books = Books()
        is_expiry = reason_test(expiry_reasons, ignore_case=expiry_ignores_case)
        facts = Facts(entries, is_expiry)
        postings: Postings = defaultdict(lambda: ZERO)
        wallets = group(filter(moves_wallet, entries), *WALLET)
        for wallet, of_wallet in wallets.items():
            books.credit_days += wallet_credit_days(wallet, of_wallet, facts, promo_first, postings, books)
        post_outside_of_wallets(entries, facts, postings, books.rules)
        for rows in (books.credit_days, books.unfunded_expiries):
            rows.sort(key=grain(*WALLET, "date_day"))
        books.restated_lines = lines_of(postings)
        books.journal_lines = full_journal(booked, books.restated_lines, first_open_month)
        books.deferred_revenue = deferred_revenue_rows(entries, books, today)
        books.period_kpis = period_kpi_rows(entries, books.credit_days, today)
        books.user_movements, books.growth = growth_rows(entries, today)
        return books


def grain(*names: str) -> Callable[[Row], tuple[Any, ...]]:
    return lambda row: tuple(row[name] for name in names)


def reason_test(reasons: Collection[str], *, ignore_case: bool) -> Callable[[Row], bool]:
    """Return whether an entry is an expiry: a negative adjustment with one of the reasons."""
    lower = {reason.lower() for reason in reasons}

    def is_expiry(entry: Row) -> bool:
        reason = entry["reason"]
        if entry["entry_type"] != "adjustment" or entry["amount"] >= 0 or reason is None:
            return False
        return reason.lower() in lower if ignore_case else reason in reasons

    return is_expiry


def moves_wallet(entry: Row) -> bool:
    """Return whether an entry makes a row of `fct_wallet_days`; an entry of 0 does."""
    return entry["status"] == "settled" and entry["user_id"] is not None and entry["billing"] == "prepaid"


# ---- what an entry is


class Facts:
    """What entries are for the books. A named entry counts whatever its status or wallet."""

    def __init__(self, entries: Iterable[Row], is_expiry: Callable[[Row], bool]) -> None:
        self.by_id = {one["entry_id"]: one for one in entries}
        self.is_expiry = is_expiry

    def named(self, entry: Row) -> Row | None:
        return self.by_id.get(entry["related_entry_id"])

    def stated(self, entry: Row) -> str | None:
        """Return `metadata.funding` in lower case; None where it is absent or empty."""
        return entry["stated_funding"].lower() if entry["stated_funding"] else None

    def is_deposit(self, entry: Row | None, funding: str | None = None) -> bool:
        if entry is None or entry["entry_type"] != "deposit":
            return False
        return funding is None or entry["funding"] == funding

    def adjustment_funding(self, entry: Row) -> str:
        """Return the funding of a positive adjustment.

        choice: a stated funding that is neither `paid` nor `promo` is a stated one, so the adjustment is
        promo whatever it names.
        """
        stated = self.stated(entry)
        if stated is None:
            return "paid" if self.is_deposit(self.named(entry), "paid") else "promo"
        return "paid" if stated == "paid" else "promo"

    def names_credit(self, entry: Row, funding: str) -> bool:
        """Return whether the named entry is a deposit or a positive adjustment of this funding."""
        named = self.named(entry)
        if named is None:
            return False
        if named["entry_type"] == "adjustment":
            return named["amount"] > 0 and self.adjustment_funding(named) == funding
        return self.is_deposit(named, funding)

    def takes_promo_first(self, entry: Row) -> bool:
        """Return whether what an entry takes comes from promo credit first.

        choice: "what names a promo deposit" holds also where the entry states funding paid, and "what states
        funding promo" also where it names paid credit: each is enough.
        """
        if self.names_credit(entry, "promo") or self.stated(entry) == "promo":
            return True
        if not self.is_expiry(entry):
            return False
        return not self.names_credit(entry, "paid") and self.stated(entry) != "paid"

    def counter_account(self, entry: Row) -> str:
        """Return the credit account of an entry that takes credit."""
        if self.is_expiry(entry):
            return "breakage_revenue"
        if entry["entry_type"] == "withdrawal" or self.is_deposit(self.named(entry), "paid"):
            return "clearing"
        return "adjustments"

    def taking_order(self, entry: Row) -> tuple[int, int, int]:
        """Return the place of an entry within step 2. Entries of one place are alike: their sum counts."""
        half = 0 if self.takes_promo_first(entry) else 1
        kind = 2 if self.is_expiry(entry) else 1 if entry["entry_type"] == "adjustment" else 0
        return half, kind, 0 if self.counter_account(entry) == "clearing" else 1


def adds_credit(entry: Row) -> bool:
    is_deposit, is_adjustment = entry["entry_type"] == "deposit", entry["entry_type"] == "adjustment"
    return bool(is_deposit or (is_adjustment and entry["amount"] > 0))


def takes_credit(entry: Row) -> bool:
    if entry["entry_type"] == "adjustment":
        return bool(entry["amount"] < 0)
    return bool(entry["entry_type"] == "withdrawal" or entry["of_deposit"])


# ---- one wallet


@dataclass
class Wallet:
    """The credit of a wallet while its day is computed, the amounts of the day, and their postings."""

    currency: str
    postings: Postings
    rules: Counter[str]
    paid: Decimal = ZERO
    promo: Decimal = ZERO
    overdraft: Decimal = ZERO
    paid_used: Decimal = ZERO
    promo_used: Decimal = ZERO
    day: date = date.min
    amounts: dict[str, Decimal] = field(default_factory=dict)

    def start(self, day: date) -> None:
        self.day, self.amounts = day, dict.fromkeys(CREDIT_AMOUNTS, ZERO)

    def count(self, name: str, amount: Decimal) -> None:
        """Add to an amount of the day."""
        self.amounts[name] += amount
        if amount:
            self.rules[name] += 1

    def post(self, journal: str, debit: str, credit: str, amount: Decimal) -> None:
        post(self.postings, self.day, journal, debit, credit, self.currency, amount)


def post(
    postings: Postings, day: date, journal: str, debit: str, credit: str, currency: str, amount: Decimal
) -> None:
    """Post an amount on both sides."""
    postings[day, journal, debit, currency, "debit"] += amount
    postings[day, journal, credit, currency, "credit"] += amount


def wallet_credit_days(
    key: tuple[Any, ...],
    entries: list[Row],
    facts: Facts,
    promo_first: bool,
    postings: Postings,
    books: Books,
) -> list[Row]:
    """Return the rows of one wallet, in the order of its days."""
    rows = []
    wallet = Wallet(key[2], postings, books.rules)
    by_day = group(entries, "entry_date")
    for (day,) in sorted(by_day):
        of_day = by_day[day,]
        row = dict(zip(WALLET, key, strict=True)) | {"date_day": day}
        row |= zip(CREDIT_OPENINGS, (wallet.paid, wallet.promo, wallet.overdraft), strict=True)
        wallet.start(day)
        add_credit(wallet, filter(adds_credit, of_day), facts)
        unfunded = take_credit(wallet, filter(takes_credit, of_day), facts)
        if unfunded:
            books.unfunded_expiries.append(
                dict(zip(WALLET, key, strict=True)) | {"date_day": day, "amount": unfunded}
            )
        charged = sum((one["amount"] for one in of_day if one["entry_type"] == "charge"), ZERO)
        usage_refunds = (one for one in of_day if one["entry_type"] == "refund" and not one["of_deposit"])
        use_credit(wallet, charged - sum((one["amount"] for one in usage_refunds), ZERO), promo_first)
        close_day(wallet)
        row |= wallet.amounts
        row |= zip(USED_TO_DATE, (wallet.paid_used, wallet.promo_used), strict=True)
        row |= zip(CREDIT_CLOSINGS, (wallet.paid, wallet.promo, wallet.overdraft), strict=True)
        rows.append(row)
    return rows


def add_credit(wallet: Wallet, entries: Iterable[Row], facts: Facts) -> None:
    """Add what comes in (step 1): an overdraft is settled first, by paid credit before promo."""
    for entry in entries:
        amount = entry["amount"]
        if entry["entry_type"] == "deposit":
            funding, source = entry["funding"], "clearing"
            wallet.rules[f"{funding} deposit"] += 1
        else:
            funding = facts.adjustment_funding(entry)
            # choice: any deposit that is named, paid or promo, whatever its status or wallet
            source = "clearing" if facts.is_deposit(facts.named(entry)) else "adjustments"
            wallet.rules[f"{funding} adjustment, stated {facts.stated(entry)}, {source}"] += 1
        wallet.count(f"{funding}_added", amount)
        if funding == "paid":
            wallet.post("receipts", source, "deferred_revenue", amount)
    for funding in ("paid", "promo"):
        added = wallet.amounts[f"{funding}_added"]
        settled = min(wallet.overdraft, added)
        wallet.overdraft -= settled
        wallet.count(f"overdraft_settled_{funding}", settled)
        if funding == "paid":
            wallet.paid += added - settled
        else:
            wallet.promo += added - settled


def take_credit(wallet: Wallet, entries: Iterable[Row], facts: Facts) -> Decimal:
    """Take what goes out (step 2), entry by entry in the order of the contract.

    Return what of the expiries became overdraft.
    """
    unfunded_expired = ZERO
    for entry in sorted(entries, key=lambda one: (facts.taking_order(one), one["entry_id"])):
        amount = abs(entry["amount"])
        if facts.takes_promo_first(entry):
            promo = min(amount, wallet.promo)
            paid = min(amount - promo, wallet.paid)
        else:
            paid = min(amount, wallet.paid)
            promo = min(amount - paid, wallet.promo)
        unfunded = amount - paid - promo
        wallet.paid -= paid
        wallet.promo -= promo
        wallet.overdraft += unfunded
        expires, counter = facts.is_expiry(entry), facts.counter_account(entry)
        ending, journal = ("expired", "expiry") if expires else ("returned", "returns")
        wallet.count(f"paid_{ending}", paid)
        wallet.count(f"promo_{ending}", promo)
        wallet.count("unfunded_returned", unfunded)
        wallet.post(journal, "deferred_revenue", counter, paid)
        wallet.post(journal, "overdraft_receivable", counter, unfunded)
        if counter == "clearing":
            wallet.post(journal, "promotional_credits", counter, promo)
        unfunded_expired += unfunded if expires else ZERO
        half, kind, _ = facts.taking_order(entry)
        place = (("promo first", "paid first")[half], ("return", "adjustment", "expiry")[kind], counter)
        wallet.rules[", ".join(place)] += 1
        for part, name in ((paid, "paid"), (promo, "promo"), (unfunded, "unfunded")):
            wallet.rules[", ".join((*place, f"takes {name}"))] += part > 0
    return unfunded_expired


def use_credit(wallet: Wallet, net_usage: Decimal, promo_first: bool) -> None:
    """Use credit, or give it back where refunds exceed charges (step 3).

    With PROMO_FIRST=false paid and promo change places. What is given back beyond all usage is promo either
    way.
    """
    if net_usage >= 0:
        promo = min(net_usage, wallet.promo)
        paid = min(net_usage - promo, wallet.paid)
        if not promo_first:
            paid = min(net_usage, wallet.paid)
            promo = min(net_usage - paid, wallet.promo)
        unfunded = net_usage - paid - promo
        wallet.paid -= paid
        wallet.promo -= promo
        wallet.overdraft += unfunded
        amounts = {"revenue_paid": paid, "revenue_promo": promo, "revenue_unfunded": unfunded}
    else:
        given = -net_usage
        unfunded = min(given, wallet.overdraft)
        given -= unfunded
        # choice: usage so far below 0 gives nothing back
        paid_usage = max(ZERO, wallet.paid_used + wallet.amounts["overdraft_settled_paid"])
        promo_usage = max(ZERO, wallet.promo_used + wallet.amounts["overdraft_settled_promo"])
        if promo_first:
            paid = min(given, paid_usage)
            promo = min(given - paid, promo_usage)
        else:
            promo = min(given, promo_usage)
            paid = min(given - promo, paid_usage)
        beyond = given - paid - promo
        wallet.rules["given back beyond all usage"] += beyond > 0
        promo += beyond
        wallet.overdraft -= unfunded
        wallet.paid += paid
        wallet.promo += promo
        amounts = {"refunds_paid": paid, "refunds_promo": promo, "refunds_unfunded": unfunded}
    for name, amount in amounts.items():
        wallet.count(name, amount)


def close_day(wallet: Wallet) -> None:
    """Move what was used to date, and post usage, settlement and refunds of the day."""
    day = wallet.amounts
    wallet.paid_used += day["revenue_paid"] + day["overdraft_settled_paid"] - day["refunds_paid"]
    wallet.promo_used += day["revenue_promo"] + day["overdraft_settled_promo"] - day["refunds_promo"]
    for funding, account in (
        ("paid", "deferred_revenue"),
        ("promo", "promotional_credits"),
        ("unfunded", "overdraft_receivable"),
    ):
        wallet.post("usage", account, "usage_revenue", day[f"revenue_{funding}"])
        wallet.post("refunds", "usage_revenue", account, day[f"refunds_{funding}"])
        if funding != "unfunded":
            wallet.post("settlement", account, "overdraft_receivable", day[f"overdraft_settled_{funding}"])


# ---- journal


def post_outside_of_wallets(
    entries: Iterable[Row], facts: Facts, postings: Postings, rules: Counter[str]
) -> None:
    """Post what moves no wallet: postpaid usage, provider cost and platform fees."""
    for one in entries:
        day, kind, currency = one["entry_date"], one["entry_type"], one["currency"]
        settled = one["status"] == "settled"
        if one["billing"] == "postpaid" and settled:
            if kind == "charge":
                debit, credit = "accounts_receivable", "usage_revenue"
                rules["postpaid charge"] += 1
            else:
                debit, credit = "usage_revenue", "accounts_receivable"
                named = facts.named(one)
                rules[f"refund of a postpaid charge, {named['status'] if named else None}"] += 1
            post(postings, day, "usage", debit, credit, currency, one["amount"])
        # "Counts" is that of 4.1: charges only, in every status but pending.
        if kind == "charge" and one["status"] != "pending" and one["provider_cost"] is not None:
            cost_currency, cost = one["provider_cost_currency"], one["provider_cost"]
            post(postings, day, "cogs", "provider_cost", "accrued_provider_cost", cost_currency, cost)
            rules[f"cost of a {one['status']} charge"] += 1
            rules["cost in another currency"] += cost_currency != currency
        if kind == "charge" and settled and one["platform_fees"] is not None:
            fees = one["platform_fees"]
            post(postings, day, "fees", "platform_fees", "accrued_platform_fees", currency, fees)
            rules["fees"] += 1


LINE_GRAIN = ("journal_date", "journal", "account", "currency", "relates_to_date")


def journal_line(
    day: date, journal: str, account: str, currency: str, relates_to: date, side: str, amount: Decimal
) -> Row:
    return {
        "journal_date": day,
        "journal": journal,
        "account": account,
        "debit": amount if side == "debit" else ZERO,
        "credit": amount if side == "credit" else ZERO,
        "currency": currency,
        "relates_to_date": relates_to,
    }


def sorted_lines(lines: Iterable[Row]) -> list[Row]:
    """Sort by the grain, a debit before its account's credit."""
    return sorted(lines, key=lambda line: (*grain(*LINE_GRAIN)(line), line["credit"] > 0))


def lines_of(postings: Mapping[Posting, Decimal]) -> list[Row]:
    """Return the restated lines: one per posting key, none where the amount is 0."""
    return sorted_lines(
        journal_line(day, journal, account, currency, day, side, amount)
        for (day, journal, account, currency, side), amount in postings.items()
        if amount
    )


def net_amounts(lines: Iterable[Row], *names: str) -> dict[tuple[Any, ...], Decimal]:
    """Return debit - credit per key; keys with 0 are left out."""
    nets: dict[tuple[Any, ...], Decimal] = defaultdict(lambda: ZERO)
    for line in lines:
        nets[grain(*names)(line)] += line["debit"] - line["credit"]
    return {key: net for key, net in nets.items() if net}


def full_journal(booked: Iterable[Row], restated: Iterable[Row], first_open_month: date | None) -> list[Row]:
    """Return all lines: those booked, the adjustments of closed days, and the restated lines of open days.

    The module's docstring has how the contract's words are read. `first_open_month` is the first day of a
    month; None where no month is closed.
    """
    with localcontext(EXACT):
        kept, restated = list(booked), list(restated)
        if first_open_month is None:
            assert not kept, "lines are booked, but no month is closed"
            return sorted_lines(restated)
        assert all(line["journal_date"] < first_open_month for line in kept), "a booked line of an open month"
        names = ("journal", "account", "currency", "relates_to_date")
        before = net_amounts(kept, *names)
        closed_days = (line for line in restated if line["relates_to_date"] < first_open_month)
        after = net_amounts(closed_days, *names)
        adjustments = []
        for key in before.keys() | after.keys():
            journal, account, currency, relates_to = key
            change = after.get(key, ZERO) - before.get(key, ZERO)
            if change:
                side = "debit" if change > 0 else "credit"
                adjustments.append(
                    journal_line(first_open_month, journal, account, currency, relates_to, side, abs(change))
                )
        open_days = (line for line in restated if line["relates_to_date"] >= first_open_month)
        return sorted_lines([*kept, *adjustments, *open_days])


def lines_to_book(published: Iterable[Row], first_open_month: date) -> list[Row]:
    """Return the published lines that are booked once every month before `first_open_month` is closed."""
    return [line for line in published if line["journal_date"] < first_open_month]


# ---- deferred revenue and period KPIs


def deferred_revenue_rows(entries: Sequence[Row], books: Books, today: date) -> list[Row]:
    """Return a row for every currency of the ledger and every day from its first through today or its
    last.
    """
    if not entries:
        return []
    days = [one["entry_date"] for one in entries]
    by_day = group(books.credit_days, "currency", "date_day")
    rows = []
    for currency in sorted({one["currency"] for one in entries}):
        closings: dict[tuple[Any, ...], Row] = {}
        opening = ZERO
        for day in days_between(min(days), max(today, *days)):
            of_day = by_day.get((currency, day), [])
            closings |= {grain(*WALLET)(row): row for row in of_day}
            sums = {name: sum((row[name] for row in of_day), ZERO) for name in CREDIT_AMOUNTS}
            row = {
                "date_day": day,
                "currency": currency,
                "opening": opening,
                "added": sums["paid_added"],
                "used": sums["revenue_paid"] - sums["refunds_paid"],
                "overdraft_settled": sums["overdraft_settled_paid"],
                "returned": sums["paid_returned"],
                "expired": sums["paid_expired"],
            }
            opening = (
                opening
                + row["added"]
                - row["used"]
                - row["overdraft_settled"]
                - row["returned"]
                - row["expired"]
            )
            row["closing"] = opening
            for name in ("promo_closing", "overdraft_closing"):
                row[name] = sum((one[name] for one in closings.values()), ZERO)
            row["booked_closing"] = account_balance(books.journal_lines, "deferred_revenue", currency, day)
            assert opening == sum((one["paid_closing"] for one in closings.values()), ZERO)
            rows.append(row)
    return sorted(rows, key=grain("date_day", "currency"))


def account_balance(lines: Iterable[Row], account: str, currency: str, day: date) -> Decimal:
    """Return credit - debit of an account by `journal_date`, through the day."""
    return sum(
        (
            line["credit"] - line["debit"]
            for line in lines
            if line["account"] == account and line["currency"] == currency and line["journal_date"] <= day
        ),
        ZERO,
    )


def usage_kpis(credit_days: Iterable[Row], currency: str, start: date, end: date) -> Row:
    """Return `revenue_paid`, `revenue_promo` and `revenue_unfunded` of the days in `[start, end)`.

    choice: the sums of the columns of `fct_credit_days`, not less what was given back, as `revenue` is not.
    """
    inside = [row for row in credit_days if row["currency"] == currency and start <= row["date_day"] < end]
    return {name: sum((row[name] for row in inside), ZERO) for name in USAGE_KPIS}


def period_kpi_rows(entries: Sequence[Row], credit_days: list[Row], today: date) -> list[Row]:
    """Return a row for every period of 4.3 and every currency."""
    first_day = min((one["entry_date"] for one in entries), default=today)
    rows = [
        {"period": period, "currency": currency} | usage_kpis(credit_days, currency, start, end)
        for period, (start, end, *_) in periods(today, first_day).items()
        for currency in {one["currency"] for one in entries}
    ]
    return sorted(rows, key=grain("period", "currency"))


# ---- growth


def week_of(day: date) -> date:
    return day - timedelta(days=day.weekday())


def block_of(day: date) -> date:
    return day - timedelta(days=(day - BLOCKS_START).days % 28)


PERIOD_KINDS: dict[str, tuple[Callable[[date], date], Callable[[date], date]]] = {
    "week": (week_of, lambda start: start + timedelta(days=7)),
    "month": (month_of, next_month),
    "days_28": (block_of, lambda start: start + timedelta(days=28)),
}


def growth_rows(entries: Sequence[Row], today: date) -> tuple[list[Row], list[Row]]:
    """Return the rows of `fct_user_movements` and of `fct_growth`."""
    movements: list[Row] = []
    growth: list[Row] = []
    first_day = min((one["entry_date"] for one in entries), default=None)
    charges = [one for one in entries if one["revenue"] > 0 and one["entry_date"] <= today]
    for currency in sorted({one["currency"] for one in entries}):
        for kind, (start_of, next_start) in PERIOD_KINDS.items():
            revenue: dict[date, dict[str, Decimal]] = defaultdict(lambda: defaultdict(lambda: ZERO))
            first_revenue: dict[str, date] = {}
            for one in charges:
                if one["currency"] == currency:
                    user, start = one["user_id"], start_of(one["entry_date"])
                    revenue[start][user] += one["revenue"]
                    first_revenue[user] = min(first_revenue.get(user, date.max), start)
            assert first_day is not None
            start, before = start_of(first_day), date.min
            while start <= today:
                now, past = dict(revenue[start]), dict(revenue[before])
                head = {"period_kind": kind, "period_start": start, "currency": currency}
                of_period = [
                    head
                    | movement_of(
                        user, now.get(user, ZERO), past.get(user, ZERO), first_revenue[user] == start
                    )
                    for user in sorted(now.keys() | past.keys())
                ]
                movements += of_period
                growth.append(head | growth_sums(of_period) | {"is_complete": next_start(start) <= today})
                start, before = next_start(start), start
    keys = ("period_kind", "period_start", "currency")
    return sorted(movements, key=grain(*keys, "user_id")), sorted(growth, key=grain(*keys))


def movement_of(user: str, now: Decimal, past: Decimal, is_first: bool) -> Row:
    """Return the movement of a user who has revenue in the period, in the one before, or in both."""
    if is_first:
        movement, amount = "new", now
    elif past == 0:
        movement, amount = "resurrected", now
    elif now == 0:
        movement, amount = "churned", past
    elif now == past:
        movement, amount = "retained", ZERO
    else:
        movement, amount = ("expansion", now - past) if now > past else ("contraction", past - now)
    return {
        "user_id": user,
        "movement": movement,
        "revenue": now,
        "previous_revenue": past,
        "amount": amount,
    }


def growth_sums(movements: list[Row]) -> Row:
    sums = {
        name: sum((row["amount"] for row in movements if row["movement"] == name), ZERO) for name in MOVEMENTS
    }
    users = Counter(row["movement"] for row in movements)
    now = sum((row["revenue"] for row in movements), ZERO)
    past = sum((row["previous_revenue"] for row in movements), ZERO)
    lost = sums["contraction"] + sums["churned"]
    return {
        "users_new": users["new"],
        "users_retained": users["retained"] + users["expansion"] + users["contraction"],
        "users_resurrected": users["resurrected"],
        "users_churned": users["churned"],
        "revenue": now,
        "previous_revenue": past,
        **sums,
        "gross_retention": ratio(past - lost, past),
        "net_retention": ratio(past - lost + sums["expansion"], past),
        "quick_ratio": ratio(sums["new"] + sums["resurrected"] + sums["expansion"], lost),
    }
