"""Random ledgers in which every rule of paid, promo and unfunded credit applies many times, one a seed.

Records are versions of ledger entries as they land. No two versions of an entry share an `updated_at`, so
that the order of the landings decides nothing.
"""

import random
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

from tests.support.builders import Record, entry, instant, ledger_file
from tests.support.oracle import LandedFile

D = Decimal
ZONE = "Europe/Berlin"
AS_OF = datetime(2026, 11, 12, 12, tzinfo=UTC)
# Days in groups: around both changes of the clock and the ends of months. The last one is after AS_OF.
DAYS = tuple(
    datetime(2026, month, day, tzinfo=UTC)
    for month, days in {
        3: (27, 28, 29, 30, 31), 4: (1, 2, 15, 30), 5: (1, 2, 20), 6: (1,), 7: (13,), 8: (31,), 9: (1,),
        10: (23, 24, 25, 26, 27, 31), 11: (1, 2, 9, 10, 11, 12, 14),
    }.items()
    for day in days
)  # fmt: skip
# The last microsecond before and the first instant of: a day in Berlin, a day in UTC, a change of the clock.
EDGES = tuple(
    instant(text) - timedelta(microseconds=before)
    for text in (
        "2026-03-28T23:00:00Z", "2026-03-29T01:00:00Z", "2026-03-29T22:00:00Z", "2026-03-31T22:00:00Z",
        "2026-04-01T00:00:00Z", "2026-10-24T22:00:00Z", "2026-10-25T00:00:00Z", "2026-10-25T01:00:00Z",
        "2026-10-25T23:00:00Z", "2026-10-31T23:00:00Z", "2026-11-01T00:00:00Z",
    )
    for before in (1, 0)
)  # fmt: skip
WALLETS = (
    ("alice", "pw", "usd"), ("alice", "pw", "eur"), ("alice", "pw2", "usd"), ("bob", "pw", "usd"),
    ("bob", "pw", "jpy"), ("jörg", "pw", "bhd"), ("jörg", "pw2", "eur"), ("user, with comma", "pw", "usd"),
)  # fmt: skip
PROMO_REASONS = ("signup_bonus", "trial", "promo", "goodwill")
# Beside the default reasons: other cases of their letters, and reasons that expire nothing.
REASONS = ("expired", "expired", "expiry", "breakage", "Expired", "EXPIRY", "voided", "correction", None)
FUNDINGS = (None, None, None, "paid", "PAID", "promo", "Promo", "gift")
STATUSES = ("settled",) * 8 + ("completed", "pending", "failed", "reversed")
OFFSETS = (0, 0, 0, 60, 120, -300, 345)
PAYMENT_KEYS = ("payment_intent", "charge", "checkout_session", "payment_id")
COST_CURRENCIES = (None, None, "usd", "eur", "gbp")
KINDS = {"deposit": 20, "charge": 24, "refund": 22, "adjustment": 30, "withdrawal": 9}
# Landings by `updated_at`: what was stated before these instants lands in the first and in the second.
LANDING_ENDS = (datetime(2026, 4, 20, tzinfo=UTC), datetime(2026, 10, 26, tzinfo=UTC))


def rfc3339(moment: datetime, offset_minutes: int = 0) -> str:
    if not offset_minutes:
        return moment.isoformat().replace("+00:00", "Z")
    return moment.astimezone(timezone(timedelta(minutes=offset_minutes))).isoformat()


class RandomBooks:
    """All versions of the entries of a ledger: `records`. `landings` has their files."""

    def __init__(self, seed: int, entries: int = 700) -> None:
        self.random = random.Random(seed)
        self.seed = seed
        self.records: list[Record] = []
        # Wallets on days on which much happens, so that the order of what is taken matters.
        self.busy = [(self.random.choice(WALLETS), self.random.choice(DAYS)) for _ in range(14)]
        # What a related_id can name.
        self.targets: list[Record] = []
        for number in range(entries):
            kind = self.random.choices([*KINDS], [*KINDS.values()])[0]
            record = getattr(self, kind)(f"e{number}")
            self.targets.append(record)
            self.records.append(record)
            self.add_versions(record)
        for number in range(12):
            self.add_taken_credit(f"taker {number}")
        self.add_regular_users()

    # ---- small choices

    def chance(self, probability: float) -> bool:
        return self.random.random() < probability

    def moment(self) -> datetime:
        if self.chance(0.2):
            return self.random.choice(EDGES)
        return self.random.choice(DAYS) + timedelta(minutes=self.random.randrange(24 * 60))

    def amount(self, times: int = 1) -> str:
        """Return an amount; `times` of its usual size in a fifth of the cases."""
        if self.chance(0.03):
            return "0"
        whole = self.random.randrange(1, 20)
        decimals = self.random.choice((0, 0, 2, 2, 12))
        size = times if self.chance(0.2) else 1
        return str((D(whole) + D(self.random.randrange(10**decimals)).scaleb(-decimals)) * size)

    def base(self, entry_id: str, kind: str, amount: str, metadata: Record, **more: Any) -> Record:
        """Return a record of a wallet, with what every type of entry has."""
        (user, paywall, currency), moment = self.random.choice(WALLETS), self.moment()
        if self.chance(0.35):
            (user, paywall, currency), day = self.random.choice(self.busy)
            moment = day + timedelta(minutes=self.random.randrange(4 * 60, 20 * 60))
        if self.chance(0.1):
            currency = currency.upper()
        record = entry(
            entry_id,
            rfc3339(moment, self.random.choice(OFFSETS)),
            kind,
            amount,
            user,
            **({"paywall": paywall, "currency": currency, "status": self.random.choice(STATUSES)} | more),
        )
        stated = {name: value for name, value in metadata.items() if value is not None}
        return record | ({"metadata": stated} if stated else {})

    def target(self, record: Record, *kinds: str) -> str | None:
        """Return the id of an entry of these types, mostly one of the record's own wallet."""
        fitting = [one for one in self.targets if one["type"] in kinds]
        own = [one for one in fitting if wallet_of(one) == wallet_of(record)]
        if own and self.chance(0.7):
            fitting = own
        return self.random.choice(fitting)["id"] if fitting else None

    # ---- types of entries

    def deposit(self, entry_id: str) -> Record:
        metadata: Record = {}
        if self.chance(0.35):
            metadata["funding"] = self.random.choice(("paid", "Paid", "promo", "PROMO"))
        if self.chance(0.4):
            metadata["reason"] = self.random.choice((*PROMO_REASONS, "purchase"))
        if self.chance(0.35):
            metadata[self.random.choice(PAYMENT_KEYS)] = f"key_{entry_id}"
        return self.base(entry_id, self.random.choice(("deposit", "topup")), self.amount(12), metadata)

    def charge(self, entry_id: str) -> Record:
        more: Record = {"model": self.random.choice(("test/one", "test/two", None))}
        if self.chance(0.25):
            more["billing"] = "postpaid"
        if self.chance(0.6):
            more["provider_cost"] = self.amount()
            more["provider_cost_currency"] = self.random.choice(COST_CURRENCIES)
        if self.chance(0.3):
            more["platform_fees"] = self.amount()
        record = self.base(entry_id, "charge", self.amount(5), {}, **more)
        # Users with little revenue come, go and return.
        return record | ({"user": f"visitor {self.random.randrange(12)}"} if self.chance(0.12) else {})

    def refund(self, entry_id: str) -> Record:
        funding = self.random.choice((None, None, None, "promo", "paid"))
        record = self.base(entry_id, "refund", self.amount(5), {"funding": funding})
        kinds = self.random.choices((("charge",), ("deposit", "topup"), ("adjustment",), ()), (60, 30, 3, 7))[
            0
        ]
        related = self.target(record, *kinds) if kinds else self.random.choice((None, "unknown_id"))
        return record | ({"related_id": related} if related else {})

    def adjustment(self, entry_id: str) -> Record:
        negative = self.chance(0.62)
        metadata = {"funding": self.random.choice(FUNDINGS)}
        if negative:
            metadata["reason"] = self.random.choice(REASONS)
        elif self.chance(0.1):
            metadata["reason"] = "expired"
        amount = f"-{self.amount()}" if negative else self.amount(4)
        record = self.base(entry_id, "adjustment", amount, metadata)
        kinds = self.random.choice(
            (
                (),
                (),
                ("deposit", "topup"),
                ("deposit", "topup"),
                ("deposit", "topup"),
                ("adjustment",),
                ("charge",),
            )
        )
        related = self.target(record, *kinds) if kinds else self.random.choice((None, "unknown_id", None))
        return record | ({"related_id": related} if related else {})

    def withdrawal(self, entry_id: str) -> Record:
        metadata = {"funding": self.random.choice((None, None, None, "promo", "paid"))}
        kind = self.random.choice(("withdrawal", "withdraw"))
        record = self.base(entry_id, kind, self.amount(), metadata)
        if self.chance(0.25):
            del record["user"]
            return record
        related = self.target(record, "deposit", "topup") if self.chance(0.4) else None
        return record | ({"related_id": related} if related else {})

    def add_taken_credit(self, user: str) -> None:
        """Add a wallet with both kinds of credit, of which much is taken on one day, and a life after it.

        Together the entries of that day take about what is there: their order decides what each one takes.
        """
        first = self.random.randrange(len(DAYS) - 5)
        days = [rfc3339(day + timedelta(hours=12)) for day in DAYS[first : first + 5]]
        paid, promo = f"{user} paid", f"{user} promo"
        money: Record = {"metadata": {"funding": "promo"}}
        expired = {"metadata": {"reason": "expired"}}
        takings: list[tuple[str, Record]] = [
            ("refund", {"related_id": promo}),
            ("withdrawal", {"related_id": promo}),
            ("adjustment", {"related_id": promo}),
            ("adjustment", {"related_id": paid} | money),
            ("adjustment", expired),
            ("refund", {"related_id": paid}),
            ("adjustment", {}),
            ("adjustment", {"related_id": paid}),
            ("adjustment", {"related_id": paid} | expired),
        ]
        story: list[tuple[str, str, str, str, Record]] = [
            (paid, days[0], "deposit", str(self.random.randrange(5, 10)), {}),
            (promo, days[0], "deposit", str(self.random.randrange(5, 10)), money),
        ]
        for number, (kind, more) in enumerate(takings):
            if self.chance(0.7):
                amount = ("-" if kind == "adjustment" else "") + str(self.random.randrange(1, 5))
                story.append((f"{user} taken {number}", days[1], kind, amount, more))
        used = f"{user} used"
        story += [
            (f"{user} topup", days[2], "deposit", str(self.random.randrange(1, 20)), {}),
            (used, days[3], "charge", str(self.random.randrange(1, 12)), {}),
            (f"{user} refund", days[4], "refund", str(self.random.randrange(1, 8)), {"related_id": used}),
        ]
        for entry_id, timestamp, kind, amount, more in story:
            self.records.append(entry(entry_id, timestamp, kind, amount, user, **more))

    def add_regular_users(self) -> None:
        """Add users with the same revenue in every period: one pays each month, one each Monday."""
        for month in range(4, 12):
            self.records.append(
                entry(f"monthly_{month}", f"2026-{month:02}-02T12:00:00Z", "charge", "5", "monthly")
            )
        for week in range(10):
            monday = datetime(2026, 9, 7, 12, tzinfo=UTC) + timedelta(weeks=week)
            self.records.append(entry(f"weekly_{week}", rfc3339(monday), "charge", "0.01", "weekly"))

    # ---- versions

    def add_versions(self, record: Record) -> None:
        """Restate an entry at times, once or twice, each time later; the version that wins may land first."""
        stated_at = instant(record["timestamp"])
        version = record
        while self.chance(0.18):
            stated_at += timedelta(seconds=self.random.randrange(1, 40 * 24 * 3600))
            version = version | {"updated_at": rfc3339(stated_at)} | self.change(version)
            self.records.append(version)

    def change(self, record: Record) -> Record:
        """Return what a later version states anew. A timestamp moves the entry to another day."""
        sign = "-" if record["amount"].startswith("-") else ""
        choice = self.random.randrange(6)
        if choice == 0:
            return {"status": self.random.choice(STATUSES)}
        if choice == 1:
            return {"amount": sign + self.amount()}
        if choice == 2:
            return {"timestamp": rfc3339(self.moment())}
        if choice == 3:
            return {
                "metadata": record.get("metadata", {}) | {"funding": self.random.choice(("paid", "promo"))}
            }
        if choice == 4 and "user" in record:
            user, paywall, currency = self.random.choice(WALLETS)
            return {"user": user, "paywall": paywall, "currency": currency}
        return {"status": "settled", "amount": sign + self.amount()}

    # ---- landings

    def landings(self) -> list[LandedFile]:
        """Return three files: versions by the time of their statement, and a quarter of them late."""
        dice = random.Random(self.seed + 1)
        parts: list[list[Record]] = [[] for _ in range(len(LANDING_ENDS) + 1)]
        for record in self.records:
            stated_at = instant(record.get("updated_at") or record["timestamp"])
            part = sum(stated_at >= end for end in LANDING_ENDS)
            if dice.random() < 0.25:
                part = dice.randrange(part, len(parts))
            parts[part].append(record)
        for records in parts:
            dice.shuffle(records)
        return [landing(number, records) for number, records in enumerate(parts)]


def wallet_of(record: Record) -> tuple[Any, ...]:
    return record.get("user"), record["paywall"], record["currency"].lower()


def landing(number: int, records: Sequence[Record]) -> LandedFile:
    return ledger_file(f"{number}.jsonl", records)
