"""Ledgers full of the awkward things: from one seed to landing files in batches.

Hypothesis chooses the seed and the settings; everything else follows from `random.Random(seed)`, so that a
failing scenario is named by one line: `build_scenario(seed=..., ...)`.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from hypothesis import strategies as st

from tests.support.builders import (
    Raw,
    Record,
    delivered,
    dumps,
    event,
    events_file,
    ledger_file,
    logged,
    prices_file,
)
from tests.support.oracle import LandedFile, OracleSettings

# ---- bad records

LONG = "x" * 256


@dataclass(frozen=True)
class BadKind:
    """One way to break a rule; `spoil` turns a good record into the bad one."""

    name: str
    reason: str
    spoil: Callable[[Record], Any]
    formats: tuple[str, ...] = ("jsonl", "csv", "parquet")


def with_(**changes: Any) -> Callable[[Record], Record]:
    return lambda record: record | changes


def without(*names: str) -> Callable[[Record], Record]:
    return lambda record: {name: value for name, value in record.items() if name not in names}


def with_data(**changes: Any) -> Callable[[Record], Record]:
    return lambda body: body | {"data": {k: v for k, v in (body["data"] | changes).items() if v is not None}}


JSON_ONLY, CSV_ONLY = ("jsonl",), ("csv",)

BAD_LEDGER_RECORDS = (
    BadKind("json_cut_short", "a line of broken JSON", lambda r: Raw(dumps(r)[:-9]), JSON_ONLY),
    BadKind("json_array", "a JSON array is no record", lambda _: Raw('[{"id": "a"}, 2]'), JSON_ONLY),
    BadKind("json_text", "a JSON text is no record", lambda _: Raw('"id"'), JSON_ONLY),
    BadKind("json_nan", "NaN is not JSON", with_(amount=Raw("NaN")), JSON_ONLY),
    BadKind("json_trailing_text", "text after the object", lambda r: Raw(dumps(r) + " oops"), JSON_ONLY),
    BadKind("not_utf8", "bytes that are no UTF-8", lambda r: dumps(r).encode() + b"\xff", JSON_ONLY),
    BadKind(
        "csv_too_many_fields", "more fields than the header", lambda _: Raw(",".join(["7"] * 60)), CSV_ONLY
    ),
    BadKind("id_missing", "a required field", without("id")),
    BadKind("id_empty", "a required field", with_(id="")),
    BadKind("id_null", "a required field", with_(id=None)),
    BadKind("id_too_long", "256 characters", with_(id=LONG)),
    BadKind("timestamp_missing", "a required field", without("timestamp")),
    BadKind("timestamp_without_offset", "RFC 3339 needs an offset", with_(timestamp="2026-01-05T10:00:00")),
    BadKind("timestamp_date_only", "a date is no instant", with_(timestamp="2026-01-05")),
    BadKind("timestamp_words", "no time at all", with_(timestamp="yesterday")),
    BadKind("timestamp_epoch", "epoch seconds are not RFC 3339", with_(timestamp="1767607200")),
    BadKind("timestamp_impossible", "no 30 February", with_(timestamp="2026-02-30T10:00:00Z")),
    BadKind("timestamp_of_a_zero", "before EARLIEST_ENTRY", with_(timestamp="1970-01-01T00:00:00Z")),
    BadKind("updated_at_too_early", "before EARLIEST_ENTRY", with_(updated_at="2014-12-30T23:59:59Z")),
    BadKind("timestamp_hour_25", "no hour 25", with_(timestamp="2026-02-03T25:00:00Z")),
    BadKind(
        "updated_at_without_offset", "RFC 3339 needs an offset", with_(updated_at="2026-01-05T10:00:00.5")
    ),
    BadKind("updated_at_words", "no time at all", with_(updated_at="later")),
    BadKind("type_missing", "a required field", without("type")),
    BadKind("type_unknown", "not one of the types", with_(type="purchase")),
    BadKind("billing_unknown", "neither prepaid nor postpaid", with_(billing="invoice")),
    BadKind("status_unknown", "not one of the statuses", with_(status="done")),
    BadKind(
        "user_missing", "required on all but withdrawals", lambda r: without("user")(r) | {"type": "charge"}
    ),
    BadKind("user_empty", "required on all but withdrawals", with_(user="", type="deposit")),
    BadKind("user_too_long", "256 characters", with_(user="ü" * 256)),
    BadKind("paywall_missing", "a required field", without("paywall")),
    BadKind("paywall_too_long", "256 characters", with_(paywall=LONG)),
    BadKind("amount_missing", "a required field", without("amount")),
    BadKind("amount_empty", "a required field", with_(amount="")),
    BadKind("amount_negative", "only adjustments are signed", with_(amount="-0.01", type="charge")),
    BadKind("amount_nan", "NaN is no amount", with_(amount="NaN")),
    BadKind("amount_infinite", "infinity is no amount", with_(amount="Infinity")),
    BadKind("amount_words", "no number", with_(amount="ten")),
    BadKind("amount_with_sign_of_currency", "no number", with_(amount="$10")),
    BadKind("amount_grouped", "no number", with_(amount="1,000.00")),
    BadKind("amount_underscore", "no number", with_(amount="1_000")),
    BadKind("amount_comma", "no number", with_(amount="1,50")),
    BadKind("amount_hexadecimal", "no number", with_(amount="0x10")),
    BadKind("amount_too_long", "27 digits before the point", with_(amount="100000000000000000000000000")),
    BadKind("amount_too_large", "10^18 or more", with_(amount="1000000000000000000")),
    BadKind("amount_of_nines", "10^18 or more", with_(amount="9" * 26)),
    BadKind("amount_huge_exponent", "does not fit", with_(amount="1e400")),
    BadKind("amount_13_decimals", "a 13th decimal that is not 0", with_(amount="0.1234567890123")),
    BadKind("amount_tiny_exponent", "a 13th decimal that is not 0", with_(amount="1e-13")),
    BadKind("amount_true", "a truth value is no amount", with_(amount=True), JSON_ONLY),
    BadKind("amount_object", "an object is no amount", with_(amount={"value": "1"}), JSON_ONLY),
    BadKind("amount_list", "a list is no amount", with_(amount=["1"]), JSON_ONLY),
    BadKind("currency_symbol", "letters only", with_(currency="us$")),
    BadKind("currency_too_short", "3 to 5 letters", with_(currency="eu")),
    BadKind("currency_too_long", "3 to 5 letters", with_(currency="dollar")),
    BadKind("currency_unknown", "no code of ISO 4217, no token", with_(currency="usdd")),
    BadKind("tokens_negative", "tokens are at least 0", with_(prompt_tokens=-1)),
    BadKind("tokens_fraction", "tokens are whole", with_(completion_tokens=Raw("1.5"))),
    BadKind("tokens_words", "tokens are numbers", with_(cached_tokens="many")),
    BadKind("tokens_beyond_the_bound", "more than 10^12", with_(prompt_tokens=10**12 + 1)),
    BadKind("tokens_too_many", "more than a BIGINT holds", with_(total_tokens=Raw("1" + "0" * 30))),
    BadKind("tokens_true", "a truth value is no number", with_(reasoning_tokens=True), JSON_ONLY),
    BadKind("cost_too_large", "10^18 or more", with_(provider_cost="1" + "0" * 18)),
    BadKind("cost_negative", "costs are at least 0", with_(provider_cost="-1")),
    BadKind("cost_nan", "NaN is no cost", with_(provider_cost="nan")),
    BadKind("cost_currency_symbol", "letters only", with_(provider_cost_currency="us$")),
    BadKind("cost_currency_unknown", "no code of ISO 4217, no token", with_(provider_cost_currency="usdd")),
    BadKind("fees_negative", "fees are at least 0", with_(platform_fees="-0.000001")),
    BadKind("fees_13_decimals", "a 13th decimal that is not 0", with_(platform_fees="0.0000000000001")),
    BadKind("metadata_list", "metadata is an object", with_(metadata=["a"])),
    BadKind("metadata_number", "metadata is an object", with_(metadata=5)),
    BadKind("metadata_words", "metadata is an object", with_(metadata="free text")),
    BadKind("metadata_broken", "metadata is JSON", with_(metadata='{"a": '), ("csv", "parquet")),
    BadKind("metadata_too_long", "more than 64 KiB", with_(metadata={"a": "y" * 70_000})),
)

BAD_EVENTS = (
    BadKind("json_cut_short", "a line of broken JSON", lambda r: Raw(dumps(r)[:-3])),
    BadKind("json_array", "a JSON array is no event", lambda r: Raw(f"[{dumps(r)}]")),
    BadKind("id_missing", "a required field", without("id")),
    BadKind("type_missing", "a required field", without("type")),
    BadKind("created_at_missing", "a required field", without("createdAt")),
    BadKind("created_at_without_offset", "RFC 3339 needs an offset", with_(createdAt="2026-01-05T10:00:00")),
    BadKind("event_is_text", "the wrapped event is no object", lambda r: delivered(r) | {"event": "evt"}),
    BadKind("paywall_missing", "no paywall in the envelope or the data",
            lambda r: without("paywallId")(with_data(paywallId=None)(r))),
    BadKind("activity_missing", "an entry needs its activity id", with_data(activityId=None)),
    BadKind("amount_missing", "an entry needs its amount", with_data(cost=None)),
    BadKind("amount_negative", "amounts are at least 0", with_data(cost=Raw("-0.5"))),
    BadKind("amount_words", "no number", with_data(cost="free")),
    BadKind("amount_13_decimals", "a 13th decimal that is not 0", with_data(cost=Raw("0.0000000000001"))),
    BadKind("user_missing", "an entry needs a user", with_data(walletUserId=None)),
    BadKind("tokens_negative", "tokens are at least 0", with_data(promptTokens=-5)),
    BadKind("currency_symbol", "letters only", with_data(currency="$")),
    BadKind("currency_unknown", "no code of ISO 4217, no token", with_data(currency="eru")),
    BadKind("amount_too_large", "10^18 or more", with_data(cost="1e18")),
    BadKind("tokens_beyond_the_bound", "more than 10^12", with_data(promptTokens=10**12 + 1)),
    BadKind("created_at_too_early", "before EARLIEST_ENTRY", with_(createdAt="1970-01-01T00:00:00Z")),
)  # fmt: skip

# ---- the world

USERS = (
    "alice",
    "Bob",
    "bob",
    "ünï-çødé",
    "日本語ユーザー",
    'quo"ted',
    "com,ma",
    "new\nline",
    "o'brien",
    "null",
    "NA",
    "NaN",
    "e\u0301",
    "\u00e9",
    "acme:user_123",
    "=1+1",
    "-5",
    "0012",
    "😀",
    "tab\tuser",
    "back\\slash",
    " spaced ",
    "ü" * 255,
)
PAYWALLS = ("pw_main", 'pw "2", ltd', "pw-ß")
CURRENCIES = ("usd", "EUR", "Jpy", "usdc", "USD", None, None, None)
MODELS = (
    "acme/alpha-1",
    "acme/alpha-1",
    "Acme/Alpha-1",
    "acme/beta-2",
    "zorble-9",
    "Quarkling-7",
    "nimbus/β-x",
    None,
)
RATES = (
    ("acme/alpha-1", "2025-10-01", "2025-12-15", "2.5", "10", "1.25", "", "usd"),
    ("acme/alpha-1", "2025-12-15", "2026-02-10", "1.25", "7.5", "", "0.0001", "usd"),
    ("acme/alpha-1", "2026-02-20", "", "1", "0.333333", "0", "", "usd"),
    ("acme/beta-2", "2025-01-01", "", "0.000001", "3", "", "0.000000000001", "eur"),
    ("zorble-9", "2025-01-01", "2026-03-01", "400", "1200.5", "40", "", "usd"),
    # Beside the dollar's, never instead of them; their starts lie within its spans.
    ("Acme/Alpha-1", "2025-11-20", "2026-01-15", "2.2", "9", "", "", "eur"),
    ("acme/alpha-1", "2025-12-20", "2026-01-05", "2", "8", "0.1", "", "eur"),
    # No rate for a kind of tokens: completions, prompts, all of them.
    ("acme/beta-2", "2025-01-01", "", "3", "", "0.3", "", "usd"),
    ("nimbus/β-x", "2025-01-01", "2026-01-20", "", "12", "0.5", "", "usd"),
    ("zorble-9", "2025-01-01", "", "", "", "", "0.25", "jpy"),
    # In the default currency.
    ("Quarkling-7", "2025-12-01", "", "0.7", "1.9", "", "", ""),
)
# In a file of their own, before or after the others: no two of a model and currency start on one day.
OTHER_RATES = (
    ("acme/alpha-1", "2026-02-25", "", "1.1", "0.4", "", "", "usd"),
    ("zorble-9", "2025-01-01", "", "410", "1100", "", "", "eur"),
    ("acme/beta-2", "2025-11-01", "2026-02-01", "0.5", "2", "", "", "eur"),
)
START, DAYS = datetime(2025, 10, 20, tzinfo=UTC), 165
# The clocks change in Berlin, New York and Auckland: days of 23 and 25 hours.
CLOCK_CHANGES = tuple(
    datetime.fromisoformat(f"{text}:00+00:00")
    for text in (
        "2025-10-26T01:00",
        "2025-11-02T06:00",
        "2026-03-08T07:00",
        "2026-03-29T01:00",
        "2026-04-04T14:00",
    )
)
LEDGER_ENDINGS = (
    "jsonl", "csv", "parquet", "jsonl.gz", "csv.gz", "jsonl.zst", "csv.zst", "jsonl", "csv",
)  # fmt: skip
EVENT_ENDINGS = ("jsonl", "jsonl.gz", "jsonl.zst")
FILE_STEMS = ("plain", "März 2026 (1)", "ledger [copy]", "o'clock", "100%", "a=b&c")
WALLETS = (*(f"wallet_{number}" for number in range(9)), 'wal"let,é')


@dataclass(frozen=True)
class Scenario:
    """Settings, and landing files in three batches (in the order in which they land)."""

    call: str
    settings: OracleSettings
    batches: tuple[tuple[LandedFile, ...], ...]
    spoiled: dict[str, str]

    def __repr__(self) -> str:
        return self.call

    def _repr_pretty_(self, printer: Any, _cycle: bool) -> None:
        """How hypothesis names a failing example."""
        printer.text(self.call)

    @property
    def files(self) -> list[LandedFile]:
        return [file for batch in self.batches for file in batch]


class World:
    """One random ledger with its webhooks."""

    def __init__(self, seed: int, timezone: str) -> None:
        self.random = random.Random(seed)
        self.cost_random = random.Random(seed)
        self.zone = ZoneInfo(timezone)
        self.big_left = 6
        self.instants: set[datetime] = set()
        self.ledger_ids: list[str] = []
        self.charge_ids: list[str] = []
        self.deposit_ids: list[str] = []
        self.activity_ids: list[str] = []

    def chance(self, share: float) -> bool:
        return self.random.random() < share

    def instant(self) -> datetime:
        """Unique, and often near a change of clocks or a reporting midnight."""
        while True:
            kind = self.random.random()
            found = START + timedelta(seconds=self.random.randrange(DAYS * 86_400))
            if kind < 0.25:
                found = self.random.choice(CLOCK_CHANGES) + timedelta(
                    minutes=self.random.randrange(-1500, 1500)
                )
            elif kind < 0.45:
                midnight = found.astimezone(self.zone).replace(hour=0, minute=0, second=0)
                found = midnight.astimezone(UTC) + timedelta(seconds=self.random.choice((-1, 0, 1)))
            if self.chance(0.5):
                found += timedelta(microseconds=self.random.randrange(1_000_000))
            if found not in self.instants:
                self.instants.add(found)
                return found

    def later(self, instant: datetime) -> datetime:
        seconds = self.random.choice((1, 20, 3_600, 86_400, 40 * 86_400))
        return instant + timedelta(
            seconds=self.random.randrange(1, seconds + 1), microseconds=self.random.randrange(9)
        )

    def written(self, instant: datetime) -> str:
        """RFC 3339 in one of the ways in which programs write it."""
        hours, minutes = self.random.choice(((0, 0), (0, 0), (2, 0), (-5, -30), (5, 45), (-10, 0)))
        text = (instant + timedelta(hours=hours, minutes=minutes)).strftime("%Y-%m-%dT%H:%M:%S")
        if instant.microsecond or self.chance(0.3):
            text += f".{instant.microsecond:06d}" + self.random.choice(("", "", "000"))
        if hours == 0 and self.chance(0.7):
            return text + "Z"
        return text + f"{'-' if hours < 0 else '+'}{abs(hours):02d}:{abs(minutes):02d}"

    def money(self) -> str:
        kind = self.random.random()
        if kind < 0.06:
            return self.random.choice(("0", "0.00", "0.000000000000000"))
        if kind < 0.12:
            return self.random.choice(("1e-7", "2.5E-3", "1e2", "1.5000000000000000", "0.000000000001"))
        if kind < 0.15 and self.big_left:
            self.big_left -= 1
            return f"{self.random.randrange(10**16, 10**17)}.{self.random.randrange(10**12):012d}"
        if kind < 0.5:
            return f"0.{self.random.randrange(10**6):06d}"
        return f"{self.random.randrange(60)}.{self.random.randrange(100):02d}"

    def number(self, text: str) -> str:
        """A JSON number or a text."""
        return Raw(text) if self.chance(0.5) else text

    def metadata(self, kind: str) -> Record | None:
        n = self.random.randrange(10**6)
        if kind == "deposit" and self.chance(0.8):
            return self.random.choice(
                (
                    {"payment_intent": f"pi_{n}"},
                    {"checkout_session": f"cs_live_{n}", "rail": "stripe"},
                    {"charge": f"ch_{n}"},
                    {"rail": "paypal", "payment_id": f"PAY-{n}"},
                    {"reason": "signup_bonus"},
                    {"reason": "goodwill", "note": 'späte "Gutschrift",\nzwei Zeilen'},
                    {"reason": "trial", "payment_intent": f"pi_{n}"},
                    {"reason": "promo", "payment_id": f"PAY-{n}", "rail": "adyen"},
                    {"reason": "subscription_included_credits", "plan": "pro"},
                    {"funding": "promo"},
                    {"funding": "promo", "payment_intent": f"pi_{n}"},
                )
            )
        if self.chance(0.25):
            return self.random.choice(
                (
                    {"requestId": f"req_{n}"},
                    {"request_id": f"req_{n}", "tool": "🔎 search"},
                    {
                        "exact": Raw("12345678901234567890.123456789012"),
                        "small": Raw("1e-7"),
                        "list": [1, {"a": None}],
                    },
                    {"agent": "a", "nested": {"deep": [True, False, "\u00df"]}},
                )
            )
        return None

    def version(
        self, entry_id: str, kind: str, occurred: datetime, updated: datetime | None, status: str
    ) -> Record:
        """One statement about an entry; every call chooses user, money and the rest anew."""
        pick = self.random.choice
        record: Record = {
            "id": entry_id,
            "timestamp": self.written(occurred),
            "type": kind,
            "paywall": pick(PAYWALLS),
            "amount": self.number(self.money()),
        }
        if kind != "withdrawal" or self.chance(0.6):
            record["user"] = pick(USERS)
        if updated is not None:
            record["updated_at"] = self.written(updated)
        if status != "settled" or self.chance(0.4):
            spelled = {
                "settled": ("settled", "completed", "succeeded"),
                "failed": ("failed", "canceled", "voided"),
            }
            record["status"] = pick(spelled.get(status, (status,)))
        spellings = {
            "deposit": ("deposit", "topup", "Deposit"),
            "withdrawal": ("withdrawal", "withdraw"),
            "charge": ("charge", "charge", "CHARGE"),
        }
        record["type"] = pick(spellings.get(kind, (kind,)))
        if kind == "adjustment" and self.chance(0.5) and record["amount"].strip("0.") != "":
            record["amount"] = type(record["amount"])("-" + record["amount"])
        currency = pick(CURRENCIES)
        if currency:
            record["currency"] = currency
        if (
            kind in ("charge", "refund")
            and (model := pick(MODELS))
            and self.chance(0.9 if kind == "charge" else 0.3)
        ):
            record["model"] = model
        if kind == "charge":
            self.usage(record)
        if self.chance(0.3):
            record["platform_fees"] = self.number("0.0" + str(self.random.randrange(100)))
        if self.chance(0.15):
            record["billing"] = pick(("postpaid", "Postpaid", "prepaid"))
        if kind == "refund" and self.chance(0.9):
            pools = (self.charge_ids, self.charge_ids, self.charge_ids, self.deposit_ids, self.activity_ids)
            record["related_id"] = (
                pick(pick(pools) or ["nobody_knows"]) if self.chance(0.9) else "nobody_knows"
            )
        metadata = self.metadata(kind)
        if kind == "charge" and self.cost_random.random() < 0.2:
            stated = self.cost_random.choice(("openrouter", "Azure", " vertex_ai ", "", None))
            metadata = {**(metadata or {}), "billed_by": stated}
        if metadata:
            record["metadata"] = metadata
        if self.chance(0.08):
            record["tier"] = 'gold, "plus"'
        return record

    def usage(self, record: Record) -> None:
        if self.chance(0.85):
            prompt, completion = self.random.randrange(5_000), self.random.randrange(2_000)
            record |= {"prompt_tokens": prompt, "completion_tokens": completion}
            if self.chance(0.3):
                record["cached_tokens"] = self.random.randrange(prompt + 1)
                if self.chance(0.1):  # counted beside the prompt, as Anthropic does
                    record["cached_tokens"] += prompt
            if self.chance(0.2):
                record["reasoning_tokens"] = self.random.randrange(completion + 1)
            if self.chance(0.2):
                record["total_tokens"] = prompt + completion + self.random.randrange(3)
        if self.chance(0.5):
            record["provider_cost"] = self.number(f"0.{self.random.randrange(10**9):09d}")
        if self.cost_random.random() < 0.3:
            record["provider_cost_currency"] = self.cost_random.choice(("usd", "EUR", "Jpy", ""))
        if self.chance(0.5):
            record["request_id"] = f"req_{self.random.randrange(10**6)}"

    def ledger_units(self, count: int) -> list[list[Record]]:
        """Units land together, in their order: one version, or two that tie on `updated_at`."""
        kinds = self.random.choices(
            ("charge", "deposit", "refund", "adjustment", "withdrawal"), (62, 14, 13, 5, 6), k=count
        )
        spelled = ("e{}", "e{}", "E{}", 'e"{}', "é-{}", "e,{}", "e\n{}", "e'{}")
        ids = [self.random.choice(spelled).format(number) for number in range(count)]
        self.ledger_ids = ids
        self.charge_ids = [one for one, kind in zip(ids, kinds, strict=True) if kind == "charge"]
        self.deposit_ids = [one for one, kind in zip(ids, kinds, strict=True) if kind == "deposit"]
        return [
            unit for entry_id, kind in zip(ids, kinds, strict=True) for unit in self.versions(entry_id, kind)
        ]

    def versions(self, entry_id: str, kind: str) -> list[list[Record]]:
        occurred = self.instant()
        story = self.random.choices(
            (
                ("settled",),
                ("pending", "settled"),
                ("pending", "failed"),
                ("settled", "reversed"),
                ("pending",),
                ("failed",),
                ("reversed",),
                ("settled", "settled"),
                ("pending", "settled", "reversed"),
            ),
            (50, 14, 5, 6, 4, 5, 2, 10, 4),
        )[0]
        units: list[list[Record]] = []
        updated = None
        for status in story:
            record = self.version(entry_id, kind, occurred, updated, status)
            if units and self.chance(0.6):  # a settlement usually repeats what was said before
                record = (
                    units[0][0] | {name: record[name] for name in ("id", "updated_at")} | {"status": status}
                )
                if self.chance(0.3):
                    record["amount"] = "0.5"
            elif units and self.chance(0.4):
                occurred = self.instant()  # the entry moves to another day
                if updated is not None and updated <= occurred:
                    updated = self.later(occurred)
                record |= {
                    "timestamp": self.written(occurred),
                    "updated_at": self.written(updated or occurred),
                }
            elif units and self.chance(0.15):  # a charge that turns out to be a deposit
                record = self.version(entry_id, "deposit", occurred, updated, status)
            unit = [record]
            if self.chance(0.06):
                unit = [record | {"amount": "77.77"}, record]
            units.append(unit)
            updated = self.later(max(updated or occurred, occurred))
        return units

    # -------------------------------------------------------------------------------------- webhooks

    def shape(self, body: Record) -> Record:
        body = body if self.chance(0.7) else body | {"type": body["type"].removeprefix("paywall.")}
        kind = self.random.random()
        return body if kind < 0.5 else delivered(body) if kind < 0.9 else logged(body)

    def who(self, *, external: float = 0.0) -> Record:
        """A wallet, and at times the external user id that the event carries."""
        found: Record = {"walletUserId": self.random.choice(WALLETS)}
        if self.chance(external):
            found["externalUserId"] = self.random.choice(USERS)
        return found

    def events(self, count: int) -> list[Record]:
        self.event_no = 0
        self.activity_ids = [
            self.random.choice(self.ledger_ids) if self.chance(0.12) else f"act_{number}"
            for number in range(count)
        ]
        found = [self.authorization() for _ in range(25)]
        for activity in dict.fromkeys(self.activity_ids):
            found += self.activity(activity)
        return found + [self.error() for _ in range(30)] + [self.neutral() for _ in range(25)]

    def body(self, kind: str, at: datetime, metadata: Record | None = None, **data: Any) -> Record:
        self.event_no += 1
        subject = None
        if "externalUserId" in data and self.chance(0.3):
            subject = {"type": "user", "id": "s", "externalId": data.pop("externalUserId")}
        paywall = self.random.choice(PAYWALLS)
        return event(f"evt_{self.event_no}", kind, self.written(at), paywall=paywall, metadata=metadata,
                     subject=subject, **data)  # fmt: skip

    def authorization(self) -> Record:
        kind = self.random.choice(("requested", "completed", "completed", "declined", "revoked"))
        reason = "Prefers not to" if kind == "declined" else None
        return self.body(f"authorization.{kind}", self.instant(), reason=reason, **self.who(external=1))

    def activity(self, activity: str) -> list[Record]:
        at, amount = self.instant(), self.number(self.money())
        kind = self.random.choices(("deposit", "trial", "usage", "manual"), (30, 10, 35, 25))[0]
        if kind == "deposit":
            metadata = self.random.choice((None, {"paymentIntent": f"pi_{activity}"}, {"reason": "goodwill"},
                                           {"rail": "paypal", "payment_id": f"P-{activity}"}))  # fmt: skip
            source = (
                None
                if metadata and "reason" in metadata
                else self.random.choice(("stripe.checkout", "api", None))
            )
            data = {"amount": amount, "currency": self.random.choice(CURRENCIES), "source": source}
            return [self.body("balance.deposit.created", at, metadata, activityId=activity, **data,
                              **self.who(external=0.5))]  # fmt: skip
        if kind == "trial":
            return [self.body("balance.trial.granted", at, activityId=activity, credits=amount, **self.who())]
        if kind == "usage":
            tokens: Record = {
                "promptTokens": self.random.randrange(3_000),
                "completionTokens": self.random.randrange(900),
            }
            return [
                self.body(
                    "usage.charge.created",
                    at,
                    activityId=activity,
                    cost=amount,
                    model=self.random.choice(MODELS),
                    **tokens,
                    **self.who(external=0.1),
                )
            ]
        who = self.who()
        if self.chance(0.08):  # a settlement whose charge never came
            return [
                self.body("balance.charge.completed", at, activityId=activity, settlementReference="s", **who)
            ]
        paywall_of = {"activityId": activity, "amount": amount, **who}
        story = [self.body("balance.charge.created", at, processingFeeAmount=Raw("0.35"), **paywall_of)]
        ending = self.random.random()
        after = self.later(at)
        while after in self.instants:
            after = self.later(at)
        self.instants.add(after)
        if ending < 0.5:
            story.append(
                self.body(
                    "balance.charge.completed",
                    after,
                    activityId=activity,
                    settlementReference="s",
                    walletUserId=who["walletUserId"] if self.chance(0.5) else None,
                )
            )
        elif ending < 0.75:
            story.append(
                self.body("balance.charge.failed", after, errorCode="insufficient_funds", **paywall_of)
            )
            story = story[self.random.randrange(2) :]
        for body in story:  # one activity belongs to one paywall
            body["paywallId"] = body["data"]["paywallId"] = story[0]["paywallId"]
        return story

    def error(self) -> Record:
        kind, data = self.random.choice(
            (
                ("balance.depleted", {"requestedAmount": Raw("12.0"), "availableBalance": "3.5"}),
                ("request.blocked", {"reason": "authorization_required", "requestId": "req_b"}),
                ("usage.rate.limited", {"limit": 1000, "date": "2026-01-01", "model": "acme/alpha-1"}),
                (
                    "proxy.request.failed",
                    {"requestId": "req_p", "model": "Acme/Beta-2", "errorCode": "timeout"},
                ),
                ("proxy.request.blocked", {"requestId": "req_q", "reason": "policy_violation"}),
            )
        )
        return self.body(kind, self.instant(), **data, **self.who())

    def neutral(self) -> Record:
        """Kept in raw, counted, changes nothing."""
        wallet = self.who()["walletUserId"] if self.chance(0.8) else "wallet_nobody_else_names"
        kind, data = self.random.choice(
            (
                ("updated", {"changedFields": ["pricing.mode"]}),
                ("archived", {"reason": "sunset"}),
                ("secret.rotated", {"secretLastFour": "8f3c"}),
                ("integration.connected", {"integrationKey": "posthog"}),
                ("integration.stripe.webhook.rotated", {"webhookId": "wh", "secretSuffix": "42fa"}),
                ("balance.topup.link.created", {"walletUserId": wallet, "checkoutSessionId": "cs_test_1"}),
                ("usage.charge.deferred", {"deferredRequestId": "req_s", "model": "acme/alpha-1"}),
                ("proxy.request.started", {"walletUserId": wallet, "requestId": "r", "model": "zorble-9"}),
                ("proxy.request.completed", {"walletUserId": wallet, "requestId": "r", "model": "zorble-9"}),
                ("proxy.request.canceled", {"walletUserId": wallet, "requestId": "r", "model": "zorble-9"}),
                ("something.nobody.knows", {"walletUserId": wallet, "amount": "a lot", "credits": [None]}),
            )
        )
        return self.body(kind, self.instant(), **data)

    # -------------------------------------------------------------------------------------- files

    def spread(self, units: list[list[Any]], batches: int, files: int) -> list[list[list[Any]]]:
        """Units over files over batches, some of them repeated elsewhere."""
        slots: list[list[list[Any]]] = [[[] for _ in range(files)] for _ in range(batches)]
        for unit in units:
            for _ in range(2 if self.chance(0.07) else 1):
                slots[self.random.randrange(batches)][self.random.randrange(files)].append(unit)
        for batch in slots:
            for slot in batch:
                self.random.shuffle(slot)
        return slots


def good_usage(number: int) -> Record:
    return event(
        f"evt_bad_{number}",
        "usage.charge.created",
        "2026-01-07T08:00:00Z",
        activityId=f"act_bad_{number}",
        walletUserId="wallet_bad",
        cost=Raw("0.01"),
        model="acme/alpha-1",
        promptTokens=1,
    )


def build_scenario(
    seed: int, timezone: str, default_currency: str, settles_on: str, as_of: str, entries: int = 260
) -> Scenario:
    world = World(seed, timezone)
    units = world.ledger_units(entries)
    bodies = world.events(entries // 3)
    for unit in units:  # refunds were written before the activities had their ids
        for record in unit:
            if record["type"] == "refund" and world.chance(0.1):
                record["related_id"] = world.random.choice(world.activity_ids)
    event_units = [[world.shape(body)] for body in bodies]
    ledger_slots, event_slots = world.spread(units, 3, 3), world.spread(event_units, 3, 2)
    price_batch, other_price_batch = world.random.choices(range(3), k=2)
    spoiled = dict[str, str]()
    endings = list(LEDGER_ENDINGS)
    world.random.shuffle(endings)
    batches = []
    for batch in range(3):
        files = []
        for slot, part in enumerate(ledger_slots[batch]):
            name = f"{batch}{slot} {world.random.choice(FILE_STEMS)}.{endings[batch * 3 + slot]}"
            files.append(ledger_file_of(world, name, [record for unit in part for record in unit], spoiled))
        for slot, part in enumerate(event_slots[batch]):
            records = [record for unit in part for record in unit]
            for kind in world.random.sample(BAD_EVENTS, 4):
                bad = kind.spoil(good_usage(world.random.randrange(10**9)))
                records.insert(world.random.randrange(len(records) + 1), bad)
            name = f"{batch}{slot} events.{world.random.choice(EVENT_ENDINGS)}"
            files.append(events_file(name, records, ascii_only=world.chance(0.5)))
        if batch == price_batch:
            files.append(prices_file("rates.csv", RATES))
        if batch == other_price_batch:
            files.append(prices_file("other rates.csv", OTHER_RATES))
        batches.append(tuple(files))
    settings = OracleSettings(
        as_of=datetime.fromisoformat(as_of),
        reporting_timezone=timezone,
        default_currency=default_currency,
        manual_charge_settles_on=settles_on,
    )
    call = f"build_scenario({seed}, {timezone!r}, {default_currency!r}, {settles_on!r}, {as_of!r}, {entries})"
    return Scenario(call, settings, tuple(batches), spoiled)


def ledger_file_of(world: World, name: str, records: list[Any], spoiled: dict[str, str]) -> LandedFile:
    """The records in the format that the name says, with bad ones strewn in."""
    kind = next(kind for kind in ("jsonl", "csv", "parquet") if f".{kind}" in name)
    typed = kind == "parquet" and world.chance(0.5)
    if not typed:
        able = [bad for bad in BAD_LEDGER_RECORDS if kind in bad.formats]
        for bad in world.random.sample(able, 9):
            base = {
                "id": f"bad_{world.random.randrange(10**9)}",
                "timestamp": "2026-01-05T10:00:00Z",
                "type": "charge",
                "user": "bad user",
                "paywall": "pw_main",
                "amount": "1",
            }
            if world.chance(0.5):  # a bad version of a good entry
                base["id"] = world.random.choice(world.ledger_ids)
            records.insert(world.random.randrange(len(records) + 1), bad.spoil(base))
            spoiled[bad.name] = bad.reason
    if kind == "jsonl":
        how: Record = {"ascii_only": world.chance(0.5), "newline": world.random.choice(("\n", "\r\n"))}
    else:
        how = {"typed": typed} if kind == "parquet" else {"newline": world.random.choice(("\r\n", "\n"))}
    return ledger_file(name, records, **how)


@st.composite
def scenarios(draw: st.DrawFn, entries: int = 260) -> Scenario:
    return build_scenario(
        seed=draw(st.integers(0, 2**32 - 1)),
        timezone=draw(
            st.sampled_from(
                ("Europe/Berlin", "America/New_York", "UTC", "Asia/Kathmandu", "Pacific/Auckland")
            )
        ),
        default_currency=draw(st.sampled_from(("usd", "eur"))),
        settles_on=draw(st.sampled_from(("created", "completed"))),
        # After all entries; on the last of a long month; on a first; on a day of 23 hours; with entries still
        # to come.
        as_of=draw(
            st.sampled_from(
                (
                    "2026-06-03T15:00:00+00:00",
                    "2026-05-31T12:00:00+00:00",
                    "2026-06-01T00:30:00+00:00",
                    "2026-03-29T12:00:00+00:00",
                    "2026-03-31T22:30:00+00:00",
                )
            )
        ),
        entries=entries,
    )
