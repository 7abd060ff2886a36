"""Random ledgers with the reports of two accounts and of other rails, each from one seed."""

import random
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import chain
from typing import Any

from tests.support.builders import (
    Record,
    adjustment,
    charge,
    event,
    events_file,
    ledger_file,
    refund,
    withdrawal,
)
from tests.support.oracle import LandedFile
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
    run_sidecar,
    session_row,
    sessions_file,
    summary_file,
    summary_rows,
    text_of,
    topup_row,
)

D = Decimal
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

    # ---- small choices

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

    # ---- payments

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
                delivery = event(
                    self.next_id("evt"),
                    "balance.deposit.created",
                    moment,
                    metadata={"paymentIntent": key["intent"]},
                    activityId=entry_id,
                    amount=text_of(part),
                    currency=own_currency,
                    walletUserId="w",
                    externalUserId=user,
                    source="stripe.checkout",
                )
                self.put("events", delivery)
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

    # ---- payouts

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

    # ---- files

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
