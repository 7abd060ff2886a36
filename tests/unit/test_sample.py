"""The sample data: real requests in the ledger of an invented business, the same every time."""

import csv
import gzip
import io
import json
import re
import shutil
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pyarrow.parquet as pq
import pytest
import zstandard
from genai_prices import Usage, calc_price

from sample_data import SampleSummary, describe, land, land_sample
from sample_data.land import BAD_RECORDS, refuse_another_sample
from sample_data.late import late_entry
from sample_data.pricing import OWN_RATES
from sample_data.requests import REQUESTS_FILE
from tests.support.bill_files import rows as bill_rows
from tests.support.books_oracle import books_of_files
from tests.support.cost_oracle import CostSettings, CostTables, reconcile_costs
from tests.support.oracle import LandedFile, OracleSettings
from tests.support.shared import in_soak

AS_OF = date(2026, 10, 1)
MARKUP = {"pw_assistant": Decimal("1.2"), "pw_codepilot": Decimal("1.25"), "pw_assistant_eu": Decimal("1.2")}
PROVIDERS = {"gpt": "openai", "claude": "anthropic", "gemini": "google", "mistral": "mistral"}
DOCUMENTED_EVENTS = {
    "updated",
    "archived",
    "secret.rotated",
    "integration.connected",
    "integration.disconnected",
    "integration.stripe.webhook.rotated",
    "authorization.requested",
    "authorization.completed",
    "authorization.revoked",
    "authorization.declined",
    "balance.deposit.created",
    "balance.topup.link.created",
    "balance.trial.granted",
    "balance.charge.created",
    "balance.charge.completed",
    "balance.charge.failed",
    "usage.charge.created",
    "usage.charge.deferred",
    "usage.rate.limited",
    "balance.depleted",
    "request.blocked",
    "stripe.checkout.session.completed",
    "proxy.request.started",
    "proxy.request.completed",
    "proxy.request.failed",
    "proxy.request.canceled",
    "proxy.request.blocked",
}


class Sample:
    """A landed sample, read with nothing of the code that wrote it."""

    def __init__(self, landing: Path, summary: SampleSummary) -> None:
        self.landing, self.summary = landing, summary
        self.bad: list[str] = []
        self.records = 4  # the row of rates and the three markups of prices/
        self.versions = list(self._ledger())
        self.bodies = list(self._events())
        self.events = {body.get("event", body)["id"]: body.get("event", body) for body in self.bodies}
        self.entries = {version["id"]: version for version in sorted(self.versions, key=updated_at)}
        self.downloads = self.table("stripe/balance_change_from_activity.itemized.7")
        self.activity = {
            row["balance_transaction_id"]: row for rows in self.downloads.values() for row in rows
        }
        self.summaries = self.table("stripe/balance.summary.1")
        (self.payouts,) = self.table("stripe/payouts.itemized.5").values()
        (self.items,) = self.table("stripe/payout_reconciliation.itemized.7").values()
        (sessions,) = [text for _, text in self.texts("stripe/checkout_sessions")]
        self.sessions = {session["id"]: session for session in self._json_lines(sessions)}
        (self.transfers,) = self.table("payments").values()
        self.gateway = list(self._gateway())
        self.bills = [
            LandedFile(path.parent.relative_to(landing).as_posix(), path.name, path.read_bytes())
            for path in summary.files
            if path.is_relative_to(landing / "bills")
        ]
        for file in self.bills:
            # A bucket without results is a record too.
            self.records += sum(len(row.get("results", [row])) or 1 for row in bill_rows(file))

    def table(self, folder: str) -> dict[str, list[dict[str, str]]]:
        """The rows of every CSV file in a folder, by its name."""
        tables = {
            name: [*csv.DictReader(io.StringIO(text.removeprefix("\ufeff"), newline=""))]
            for name, text in self.texts(folder)
        }
        self.records += sum(map(len, tables.values()))
        return tables

    def texts(self, folder: str) -> Iterator[tuple[str, str]]:
        for path in sorted((self.landing / folder).iterdir()):
            content = path.read_bytes()
            if path.suffix == ".gz":
                content = gzip.decompress(content)
            if path.suffix == ".zst":
                content = zstandard.decompress(content)
            if path.suffix != ".parquet":
                yield path.name, content.decode()

    def _json_lines(self, text: str) -> Iterator[dict[str, Any]]:
        for line in text.splitlines():
            self.records += 1
            try:
                value = json.loads(line, parse_float=Decimal)
            except json.JSONDecodeError:
                value = None
            if isinstance(value, dict):
                yield value
            else:
                self.bad.append(line)

    def _ledger(self) -> Iterator[dict[str, Any]]:
        for path in sorted((self.landing / "ledger").glob("*.parquet")):
            for row in pq.read_table(path).to_pylist():
                self.records += 1
                metadata = {"metadata": json.loads(row["metadata"] or "{}")}
                instants = {name: row[name].isoformat() for name in ("timestamp", "updated_at")}
                yield {name: value for name, value in row.items() if value is not None} | instants | metadata
        for name, text in self.texts("ledger"):
            for record in self._csv_rows(text) if ".csv" in name else self._json_lines(text):
                if self._good(record):
                    yield record
                else:
                    self.bad.append(str(record))

    def _csv_rows(self, text: str) -> Iterator[dict[str, Any]]:
        for row in csv.DictReader(io.StringIO(text)):
            self.records += 1
            cells = {name: value for name, value in row.items() if value}
            cells["metadata"] = json.loads(cells.get("metadata", "{}"))
            for tokens in (
                "prompt_tokens",
                "completion_tokens",
                "total_tokens",
                "cached_tokens",
                "reasoning_tokens",
            ):
                if tokens in cells:
                    cells[tokens] = int(cells[tokens])
            yield cells

    @staticmethod
    def _good(record: dict[str | None, Any]) -> bool:
        try:
            amount = Decimal(record["amount"])
        except ArithmeticError:
            return False
        kinds = {"deposit", "topup", "charge", "refund", "adjustment", "withdrawal", "withdraw"}
        offset = datetime.fromisoformat(record["timestamp"]).tzinfo is not None
        user = "user" in record or record["type"].startswith("withdraw")
        positive = amount >= 0 or record["type"] == "adjustment"
        return record["type"] in kinds and offset and user and positive and None not in record

    def _events(self) -> Iterator[dict[str, Any]]:
        for _, text in self.texts("events"):
            for body in self._json_lines(text):
                if "id" in body.get("event", body):
                    yield body
                else:
                    self.bad.append(str(body))

    def _gateway(self) -> Iterator[dict[str, str]]:
        (rows,) = self.table("litellm_spend_logs").values()
        for row in rows:
            if re.match(r"\d{4}-\d\d-\d\d ", row["startTime"]):
                yield row
            else:
                self.bad.append(str(row))

    def of_kind(self, kind: str) -> list[dict[str, Any]]:
        return [event for event in self.events.values() if event["type"].removeprefix("paywall.") == kind]

    def charges(self) -> dict[str, tuple[int, int]]:
        """Prompt and completion tokens of every usage charge by id, from the ledger or from webhooks."""
        stated_tokens = {
            event["data"]["activityId"]: (event["data"]["promptTokens"], event["data"]["completionTokens"])
            for event in self.of_kind("usage.charge.created")
        }
        for entry in self.entries.values():
            if entry["type"] == "charge":
                stated_tokens[entry["id"]] = (entry["prompt_tokens"], entry["completion_tokens"])
        return stated_tokens


def updated_at(version: dict[str, Any]) -> datetime:
    return datetime.fromisoformat(version.get("updated_at", version["timestamp"]))


def status(version: dict[str, Any]) -> str:
    words = {"completed": "settled", "canceled": "failed"}
    return words.get(version["status"], version["status"])


def list_price(model: str, instant: datetime, prompt: int, completion: int, cached: int) -> Decimal:
    """What genai-prices itself works out."""
    name = model.rsplit("/", 1)[-1]
    usage = Usage(input_tokens=prompt, output_tokens=completion, cache_read_tokens=cached)
    provider = PROVIDERS[name.split("-")[0]]
    return calc_price(usage, name, provider_id=provider, genai_request_timestamp=instant).total_price


@dataclass
class Paid:
    """A payment as the files state it."""

    amount: Decimal
    currency: str
    returned: Decimal = Decimal(0)
    disputed: bool = False


@dataclass
class Credited:
    """A settled deposit that somebody paid for, or should have."""

    entry_id: str
    at: datetime
    amount: Decimal
    currency: str
    case_id: str | None


def payments(sample: Sample) -> dict[str, Paid]:
    """Every payment by its case: charges, with what went back of them tied by their charge; and bank
    transfers.
    """
    paid: dict[str, Paid] = {}
    rows = sorted(sample.activity.values(), key=lambda row: row["reporting_category"] != "charge")
    intents = {row["charge_id"]: row["payment_intent_id"] for row in rows if row["payment_intent_id"]}
    for row in rows:
        amount = Decimal(row["customer_facing_amount"] or 0)
        if row["reporting_category"] == "charge":
            assert f"stripe:{row['payment_intent_id']}" not in paid
            paid[f"stripe:{row['payment_intent_id']}"] = Paid(amount, row["customer_facing_currency"])
        elif row["charge_id"]:
            payment = paid[f"stripe:{intents[row['charge_id']]}"]
            assert row["customer_facing_currency"] == payment.currency
            payment.returned -= amount
            payment.disputed |= row["reporting_category"] == "dispute"
    for row in sample.transfers:
        if row["status"] != "failed":
            paid[f"{row['rail']}:{row['payment_id']}"] = Paid(
                Decimal(row["amount"]), row["currency"], Decimal(row["refunded_amount"])
            )
    return paid


def credited_deposits(sample: Sample) -> list[Credited]:
    """Every settled paid deposit with the case that its keys name: from the ledger, else from webhooks."""
    charges = {
        row["charge_id"]: row["payment_intent_id"]
        for row in sample.activity.values()
        if row["payment_intent_id"]
    }
    sessions = {session["id"]: session["payment_intent"] for session in sample.sessions.values()}

    def case(keys: dict[str, Any]) -> str | None:
        if "payment_id" in keys:
            return f"{keys['rail']}:{keys['payment_id']}"
        intent = (
            keys.get("payment_intent")
            or charges.get(keys.get("charge"))
            or sessions.get(keys.get("checkout_session"))
        )
        return f"stripe:{intent}" if intent else None

    credited = []
    for entry in sample.entries.values():
        metadata = entry.get("metadata", {})
        if (
            entry["type"] in ("deposit", "topup")
            and status(entry) == "settled"
            and metadata.get("reason") != "signup_bonus"
        ):
            at = datetime.fromisoformat(entry["timestamp"])
            credited.append(
                Credited(entry["id"], at, Decimal(entry["amount"]), entry["currency"].lower(), case(metadata))
            )
    for event in sample.of_kind("balance.deposit.created"):
        data = event["data"]
        if data["activityId"] not in sample.entries:
            keys = {"payment_intent": event["metadata"]["paymentIntent"]}
            at = datetime.fromisoformat(event["createdAt"])
            credited.append(
                Credited(
                    data["activityId"], at, Decimal(data["amount"]), data["currency"].lower(), case(keys)
                )
            )
    return credited


def clawed_back(sample: Sample, deposits: list[Credited]) -> Decimal:
    """What the ledger took back of these deposits."""
    ids = {deposit.entry_id for deposit in deposits}
    about = [
        entry
        for entry in sample.entries.values()
        if entry.get("related_id") in ids and status(entry) == "settled"
    ]
    return sum((abs(Decimal(entry["amount"])) for entry in about), Decimal(0))


def break_of(paid: Paid, deposits: list[Credited], taken_back: Decimal) -> str | None:
    """The contract's list, the first that holds wins. Of a payment that is there."""
    credited = sum(deposit.amount for deposit in deposits)
    if not deposits:
        return "processor_only"
    if len(deposits) > 1 and credited > paid.amount:
        return "duplicate_deposit"
    if {deposit.currency for deposit in deposits} != {paid.currency}:
        return "currency_mismatch"
    if credited != paid.amount:
        return "amount_mismatch"
    if taken_back < paid.returned:
        return "dispute_not_clawed_back" if paid.disputed else "refund_not_clawed_back"
    return None


def breaks(sample: Sample) -> dict[str, set[str]]:
    """Cases by break type, worked out from the landed files."""
    found: dict[str, set[str]] = {}
    paid, credited = payments(sample), credited_deposits(sample)
    for case_id, payment in paid.items():
        deposits = [deposit for deposit in credited if deposit.case_id == case_id]
        if kind := break_of(payment, deposits, clawed_back(sample, deposits)):
            found.setdefault(kind, set()).add(case_id)
    for deposit in credited:
        grace_over = deposit.at < data_end(sample) - timedelta(days=3)
        if deposit.case_id not in paid and keys_of(sample, deposit) and grace_over:
            found.setdefault("ledger_only", set()).add(f"deposit:{deposit.entry_id}")
    return found


def keys_of(sample: Sample, deposit: Credited) -> set[str]:
    metadata = (
        sample.entries[deposit.entry_id]["metadata"]
        if deposit.entry_id in sample.entries
        else {"payment_intent": "stated"}
    )
    return set(metadata) & {"payment_intent", "charge", "checkout_session", "payment_id"}


def days_of(name: str) -> tuple[datetime, datetime]:
    """The span `[from, to)` that a report's name states."""
    first, last = (datetime.fromisoformat(f"{day}T00:00:00Z") for day in re.findall(r"\d{4}-\d\d-\d\d", name))
    return first, last + timedelta(days=1)


def data_end(sample: Sample) -> datetime:
    return max(days_of(name)[1] for name in sample.downloads)


def utc(text: str) -> datetime:
    return datetime.fromisoformat(f"{text}+00:00")


DISPLAYED = {"claude-sonnet-4-5": "sonnet", "claude-haiku-4-5": "haiku", "claude-opus-4-5": "opus"}
# What the names on the bills mean, in lower case: dated ids, and display names of Anthropic's console.
ALIASES = {f"claude {word} 4.5": name for name, word in DISPLAYED.items()} | {
    "gpt-4.1-2025-04-14": "gpt-4.1",
    "gpt-4o-mini-2024-07-18": "gpt-4o-mini",
    "gpt-5-mini-2025-08-07": "gpt-5-mini",
    "claude-sonnet-4-5-20250929": "claude-sonnet-4-5",
    "claude-haiku-4-5-20251001": "claude-haiku-4-5",
    "claude-opus-4-5-20251101": "claude-opus-4-5",
}


def billed_models(sample: Sample) -> Iterator[dict[str, Any]]:
    """Every charge with a model as a ledger record: of the ledger, webhooks alone, and the gateway."""
    for entry in sample.entries.values():
        if entry["type"] == "charge":
            yield entry | {"status": status(entry)}
    for event in sample.of_kind("usage.charge.created"):
        data = event["data"]
        if data["activityId"] not in sample.entries:
            yield {
                "id": data["activityId"],
                "timestamp": event["createdAt"],
                "type": "charge",
                "user": data["walletUserId"],
                "paywall": event["paywallId"],
                "model": data["model"],
                "amount": str(data["cost"]),
                "currency": "usd",
                "prompt_tokens": data["promptTokens"],
                "completion_tokens": data["completionTokens"],
            }
    for row in sample.gateway:
        yield {
            "id": row["request_id"],
            "timestamp": f"{row['startTime']}Z",
            "type": "charge",
            "status": {"success": "settled", "failure": "failed"}[row["status"]],
            "user": row["end_user"],
            "paywall": "litellm",
            "model": row["model"],
            "amount": "0",
            "currency": "usd",
            "provider_cost": row["spend"],
            "prompt_tokens": row["prompt_tokens"],
            "completion_tokens": row["completion_tokens"],
        }


def cost_tables(sample: Sample, as_of: datetime, zone: str = "UTC") -> CostTables:
    """What an independent reconciliation makes of the sample, with the list prices of genai-prices."""
    records = []
    for record in billed_models(sample):
        model = record["model"]
        provider = PROVIDERS.get(model.split("-")[0])
        records.append(record | {"model": f"{provider}/{model}" if provider else model})
    models = {record["model"] for record in records if record["model"].split("/")[0] in PROVIDERS.values()}
    header = "model,prompt_per_million,completion_per_million,cached_prompt_per_million,currency\n"
    prices = [
        f"{model},{prompt * 1000:f},{completion * 1000:f},{cached * 1000:f},usd\n"
        for model in models
        for prompt, completion, cached in [
            [list_price(model, as_of, *tokens) for tokens in ((1000, 0, 0), (0, 1000, 0), (1000, 0, 1000))]
        ]
    ]
    files = [*sample.bills, LandedFile("prices", "list.csv", (header + "".join(prices)).encode())]
    return reconcile_costs(records, files, CostSettings(as_of, reporting_timezone=zone, models=ALIASES))


def cost_breaks(tables: CostTables) -> dict[str, set[str]]:
    """Cases by break type."""
    found: dict[str, set[str]] = {}
    for row in tables.cases.values():
        if row["status"] == "break":
            found.setdefault(row["break_type"], set()).add(row["case_id"])
    return found


@pytest.fixture(scope="module")
def costs(sample: Sample) -> CostTables:
    return cost_tables(sample, datetime(2026, 10, 1, 12, tzinfo=UTC))


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Sample:
    landing = tmp_path_factory.mktemp("landing")
    return Sample(landing, land_sample(landing, AS_OF))


def contents(landing: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(landing)): path.read_bytes() for path in landing.rglob("*") if path.is_file()
    }


# ---- the same every time


def test_landing_it_again_gives_the_same_bytes_and_changes_nothing(
    sample: Sample, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = {path: path.stat().st_mtime_ns for path in sample.summary.files}
    made: dict[str, bytes] = {}
    monkeypatch.setattr(land, "refuse_another_sample", lambda _, files: made.update(files))
    assert land_sample(sample.landing, AS_OF) == sample.summary
    assert made == contents(sample.landing)
    assert {path: path.stat().st_mtime_ns for path in sample.summary.files} == before


def test_a_second_sample_of_another_day_is_refused_and_nothing_is_written(sample: Sample) -> None:
    before = contents(sample.landing)
    with pytest.raises(FileExistsError, match="another sample"):
        land_sample(sample.landing, date(2026, 10, 2))
    assert contents(sample.landing) == before


def test_a_report_of_the_same_name_that_says_something_else_is_refused(
    sample: Sample, tmp_path: Path
) -> None:
    name, *_ = [name for name in contents(sample.landing) if "Balance_Summary" in name]
    (tmp_path / name).parent.mkdir(parents=True)
    (tmp_path / name).write_text("category,currency,net_amount\n")
    with pytest.raises(FileExistsError, match="another sample"):
        refuse_another_sample(tmp_path, contents(sample.landing))


@pytest.mark.parametrize(
    "name",
    [
        "prices/markups.csv",
        "litellm_spend_logs/sample-2026-09-30.csv",
        "bills/openai_costs/eu/sample-2026-08-01_2026-09-27.json",
        "litellm_spend_logs/sample-x",
        "bills/scope.csv",
    ],
)
def test_other_markups_scopes_and_another_samples_log_and_bills_are_refused(
    sample: Sample, tmp_path: Path, name: str
) -> None:
    (tmp_path / name).parent.mkdir(parents=True)
    (tmp_path / name).write_text("source,multiplier\n*,2\n")
    with pytest.raises(FileExistsError, match="another sample"):
        refuse_another_sample(tmp_path, contents(sample.landing))


def test_only_finished_files_are_left(sample: Sample) -> None:
    assert sorted(sample.landing / name for name in contents(sample.landing)) == sorted(sample.summary.files)


@pytest.mark.soak
@pytest.mark.parametrize("as_of", [date(2026, 5, 31), date(2027, 1, 4)])
def test_any_last_day_will_do(as_of: date, tmp_path: Path) -> None:
    later = Sample(tmp_path, land_sample(tmp_path, as_of))
    assert len(later.charges()) == 28_185
    assert len(later.bad) == BAD_RECORDS
    assert breaks(later) == {kind: set(cases) for kind, cases in later.summary.planted.items()}


@pytest.mark.soak
@pytest.mark.parametrize(
    ("as_of", "zone"),
    [
        (date(2026, 5, 31), "UTC"),
        (date(2026, 8, 30), "Europe/Berlin"),
        (date(2027, 1, 4), "America/Los_Angeles"),
        (date(2028, 3, 1), "Pacific/Kiritimati"),
    ],
)
def test_the_planted_cost_breaks_hold_on_any_last_day_from_its_first_to_its_last_minute(
    as_of: date, zone: str, tmp_path: Path
) -> None:
    place = ZoneInfo(zone)
    later = Sample(tmp_path, land_sample(tmp_path, as_of, place))
    planted = {kind: set(cases) for kind, cases in later.summary.planted_costs.items()}
    assert set(planted) == COST_BREAKS
    for minute in (time(0, 1), time(23, 59)):
        moment = datetime.combine(as_of, minute, place).astimezone(UTC)
        assert cost_breaks(cost_tables(later, moment, zone)) == planted


# ---- what is real


def test_every_real_request_is_charged_once_with_its_own_tokens(sample: Sample) -> None:
    table = pq.read_table(REQUESTS_FILE)
    real = Counter(
        zip(table["context_tokens"].to_pylist(), table["generated_tokens"].to_pylist(), strict=True)
    )
    assert Counter(sample.charges().values()) == real


def test_the_real_requests_are_the_published_ones() -> None:
    """Counts and sums of the two CSV files of the Azure Public Dataset, added up with awk."""
    rows = pq.read_table(REQUESTS_FILE).to_pylist()
    sums = {
        source: tuple(
            sum(values)
            for values in zip(
                *[(1, r["context_tokens"], r["generated_tokens"]) for r in rows if r["source"] == source],
                strict=True,
            )
        )
        for source in ("conv", "code")
    }
    assert sums == {"conv": (19_366, 22_361_870, 4_088_665), "code": (8_819, 18_059_974, 245_896)}


def test_the_description_states_what_is_real_and_what_is_invented(sample: Sample) -> None:
    text = describe(sample.summary)
    assert "Real: the prompt and completion tokens" in text
    assert "Made: everything else" in text
    attribution = REQUESTS_FILE.with_name("ATTRIBUTION.md").read_text()
    for words in (
        "CC-BY 4.0",
        "Splitwise: Efficient generative LLM inference using phase splitting",
        "ISCA 2024",
    ):
        assert words in text
        assert words in attribution


# ---- the money


def test_a_price_is_the_list_price_times_the_markup_to_the_last_digit(sample: Sample) -> None:
    checked = 0
    for entry in sample.entries.values():
        if entry["type"] != "charge" or entry["model"] in OWN_RATES:
            continue
        instant = datetime.fromisoformat(entry["timestamp"]).astimezone(UTC)
        tokens = (entry["prompt_tokens"], entry["completion_tokens"], entry.get("cached_tokens", 0))
        cost = list_price(entry["model"], instant, *tokens)
        if entry["currency"] == "eur":
            cost *= Decimal("0.9")
        assert Decimal(entry["amount"]) == cost * MARKUP[entry["paywall"]]
        if "provider_cost" in entry:
            assert Decimal(entry["provider_cost"]) == cost
            checked += 1
    assert checked > 20_000


def test_a_webhook_charges_the_same_price(sample: Sample) -> None:
    for event in sample.of_kind("usage.charge.created"):
        data = event["data"]
        if data["model"] not in OWN_RATES:
            instant = datetime.fromisoformat(event["createdAt"])
            cost = list_price(data["model"], instant, data["promptTokens"], data["completionTokens"], 0)
            assert Decimal(data["cost"]) == cost * MARKUP[event["paywallId"]]


def test_all_money_fits_twelve_decimals(sample: Sample) -> None:
    for version in sample.versions:
        for name in ("amount", "provider_cost", "platform_fees"):
            exponent = Decimal(version.get(name, 0)).normalize().as_tuple().exponent
            assert isinstance(exponent, int)
            assert exponent >= -12


def test_the_business_is_plausible(sample: Sample) -> None:
    """Deposits cover the usage, the margin is what a markup of a fifth leaves."""
    settled = [
        e for e in sample.entries.values() if status(e) == "settled" and e["currency"].lower() == "usd"
    ]
    revenue = sum(Decimal(e["amount"]) for e in settled if e["type"] == "charge")
    deposits = sum(Decimal(e["amount"]) for e in settled if e["type"] in ("deposit", "topup"))
    priced = [e for e in settled if e["type"] == "charge" and "provider_cost" in e]
    profit = sum(
        Decimal(e["amount"]) - Decimal(e["provider_cost"]) - Decimal(e.get("platform_fees", 0))
        for e in priced
    )
    assert revenue < deposits < 3 * revenue
    assert Decimal("0.14") < profit / sum(Decimal(e["amount"]) for e in priced) < Decimal("0.21")


def test_the_users_come_and_go(sample: Sample) -> None:
    charges = [e for e in sample.entries.values() if e["type"] == "charge" and "user" in e]
    months: dict[str, set[str]] = {}
    for entry in charges:
        months.setdefault(entry["timestamp"][:7], set()).add(entry["user"])
    first, *_, last = [months[month] for month in sorted(months) if month < "2026-10"]
    assert sample.summary.users > 300
    assert len(last) > len(first)
    assert first & last
    assert first - last


# ---- the gateway


# Of LiteLLM_SpendLogs in litellm's schema.prisma.
SPEND_LOG = (
    *("request_id", "call_type", "api_key", "spend", "total_tokens", "prompt_tokens", "completion_tokens"),
    *("startTime", "endTime", "request_duration_ms", "completionStartTime", "model", "model_id"),
    *("model_group", "custom_llm_provider", "api_base", "user", "metadata", "cache_hit", "cache_key"),
    *("request_tags", "team_id", "organization_id", "end_user", "requester_ip_address", "messages"),
    *("response", "session_id", "status", "mcp_namespaced_tool_name", "agent_id", "proxy_server_request"),
)


def succeeded(sample: Sample) -> list[dict[str, str]]:
    return [row for row in sample.gateway if row["status"] == "success"]


def test_the_log_is_one_of_the_table_as_postgres_exports_it(sample: Sample) -> None:
    assert len(sample.gateway) == 300
    assert {tuple(row) for row in sample.gateway} == {SPEND_LOG}
    assert len({row["request_id"] for row in sample.gateway}) == 300
    for row in sample.gateway:
        assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d(\.\d{0,2}[1-9])?", row["startTime"])
        assert re.fullmatch("[0-9a-f]{64}", row["api_key"])
        waited = utc(row["endTime"]) - utc(row["startTime"])
        assert waited == timedelta(milliseconds=int(row["request_duration_ms"]))
        assert utc(row["startTime"]) < utc(row["completionStartTime"]) <= utc(row["endTime"])
        for name in ("metadata", "messages", "response", "request_tags", "proxy_server_request"):
            json.loads(row[name])
    assert {row["end_user"][:5] for row in sample.gateway} == {"cust_"}


def test_the_log_covers_the_last_30_days(sample: Sample) -> None:
    starts = [row["startTime"] for row in sample.gateway]
    assert starts == sorted(starts)
    assert "2026-09-02" <= starts[0] < "2026-09-05"
    assert starts[-1] >= "2026-10-01"
    assert max(row["endTime"] for row in sample.gateway) < "2026-10-01 06"


def test_the_logs_token_counts_repeat_those_of_real_requests(sample: Sample) -> None:
    table = pq.read_table(REQUESTS_FILE)
    real = Counter(
        zip(table["context_tokens"].to_pylist(), table["generated_tokens"].to_pylist(), strict=True)
    )
    logged = Counter((int(row["prompt_tokens"]), int(row["completion_tokens"])) for row in succeeded(sample))
    assert logged <= real
    assert all(
        int(row["total_tokens"]) == int(row["prompt_tokens"]) + int(row["completion_tokens"])
        for row in sample.gateway
    )
    assert sample.summary.repeated == logged.total() == 291
    assert "For 291 of them, their token counts are repeated in an invented LiteLLM log." in describe(
        sample.summary
    )
    words = "their token counts are repeated in an invented LiteLLM log"
    assert words in REQUESTS_FILE.with_name("ATTRIBUTION.md").read_text()


def test_failed_requests_of_the_log_cost_nothing(sample: Sample) -> None:
    failed = [row for row in sample.gateway if row["status"] != "success"]
    assert {(row["status"], row["spend"], row["total_tokens"]) for row in failed} == {("failure", "0", "0")}
    assert len(failed) == sample.summary.kinds["postpaid charge failed"] == 9
    assert sample.summary.kinds["postpaid charge settled"] == 291


def test_the_log_states_the_list_price_as_a_double(sample: Sample) -> None:
    for row in succeeded(sample):
        tokens = int(row["prompt_tokens"]), int(row["completion_tokens"])
        assert row["spend"] == repr(float(list_price(row["model"], utc(row["startTime"]), *tokens, 0)))
        # No digit was lost on the way.
        assert Decimal(row["spend"]) == list_price(row["model"], utc(row["startTime"]), *tokens, 0)
    assert {("/" in row["model"], row["custom_llm_provider"] == "") for row in sample.gateway} == {
        (True, False),
        (False, False),
        (False, True),
    }


def test_the_markups_change_within_the_log_and_charge_a_fee_for_one_model(sample: Sample) -> None:
    assert (sample.landing / "prices" / "markups.csv").read_text() == (
        "source,model,effective_from,effective_to,multiplier,per_request\n"
        "litellm_spend_logs,,,2026-09-18,1.3,\n"
        "litellm_spend_logs,,2026-09-18,,1.35,\n"
        "litellm_spend_logs,anthropic/claude-sonnet-4-5,,,1.3,0.002\n"
    )
    starts = [row["startTime"] for row in succeeded(sample)]
    assert min(starts) < "2026-09-17" < "2026-09-19" < max(starts)


def test_postpaid_customers_have_no_wallet(sample: Sample) -> None:
    customers = {row["end_user"] for row in sample.gateway}
    assert len(customers) == 5
    assert not customers & {version.get("user") for version in sample.versions}
    assert not any(
        customer in json.dumps(body, default=str) for body in sample.bodies for customer in customers
    )


# ---- what it must contain


def test_all_records_are_counted(sample: Sample) -> None:
    assert sample.summary.records == sample.records
    assert 33_000 < sample.records < 35_500


def test_nine_records_are_bad_each_in_its_own_way(sample: Sample) -> None:
    assert len(sample.bad) == sample.summary.bad_records == BAD_RECORDS
    assert len(sample.bad) < sample.records / 1000


def test_a_bad_record_is_stated_well_later(sample: Sample) -> None:
    (without_offset,) = [text for text in sample.bad if "'deposit'" in text]
    late = dict(sample.texts("ledger"))[f"sample-{AS_OF}-late.jsonl"]
    assert any(json.loads(line)["id"] in without_offset for line in late.splitlines())


def test_every_type_and_status_of_the_ledger_occurs(sample: Sample) -> None:
    seen = {(version["type"].lower(), status(version)) for version in sample.versions}
    assert {("charge", state) for state in ("pending", "settled", "failed", "reversed")} <= seen
    assert {("deposit", state) for state in ("pending", "settled", "failed")} <= seen
    assert {(kind, "settled") for kind in ("topup", "refund", "adjustment", "withdrawal")} <= seen


def test_every_format_occurs(sample: Sample) -> None:
    names = [path.name for path in sample.summary.files]
    for suffix in (".jsonl", ".jsonl.gz", ".jsonl.zst", ".csv", ".csv.gz", ".parquet"):
        assert any(name.endswith(suffix) for name in names)


def test_both_body_shapes_occur_with_and_without_the_prefix(sample: Sample) -> None:
    seen = {
        ("event" in body, body.get("event", body)["type"].startswith("paywall.")) for body in sample.bodies
    }
    assert seen == {(True, True), (True, False), (False, True), (False, False)}


def test_every_documented_event_occurs(sample: Sample) -> None:
    assert {event["type"].removeprefix("paywall.") for event in sample.events.values()} == DOCUMENTED_EVENTS


def test_deliveries_repeat(sample: Sample) -> None:
    assert 5 < len(sample.bodies) - len(sample.events) < 20


def test_streamed_charges_settle_under_the_same_id(sample: Sample) -> None:
    pending = {v["id"] for v in sample.versions if v["type"] == "charge" and status(v) == "pending"}
    assert len(pending) > 500
    assert sum(status(sample.entries[entry_id]) == "settled" for entry_id in pending) > 0.9 * len(pending)


def test_refunds_are_about_charges_and_about_deposits(sample: Sample) -> None:
    refunds = [entry for entry in sample.entries.values() if entry["type"] == "refund"]
    about = Counter(
        sample.entries[refund["related_id"]]["type"].replace("topup", "deposit") for refund in refunds
    )
    assert about["charge"] > 20
    assert about["deposit"] >= 2


def test_costs_are_stated_on_most_charges_and_on_failed_ones_too(sample: Sample) -> None:
    charges = [entry for entry in sample.entries.values() if entry["type"] == "charge"]
    assert 0.85 < sum("provider_cost" in entry for entry in charges) / len(charges) < 0.97
    assert any(status(entry) == "failed" and "provider_cost" in entry for entry in charges)


def test_details_occur(sample: Sample) -> None:
    entries = list(sample.entries.values())
    assert {entry["currency"].lower() for entry in entries} == {"usd", "eur"}
    for name in ("cached_tokens", "reasoning_tokens", "platform_fees"):
        assert any(name in entry for entry in entries)
    assert any("user" not in entry for entry in entries)
    assert any(entry["type"].startswith("withdraw") and "user" in entry for entry in entries)
    assert any(entry.get("metadata", {}).get("payment_intent") for entry in entries)
    assert any(entry.get("metadata", {}).get("reason") == "signup_bonus" for entry in entries)
    assert any(entry.get("model") == "acme/nightly-preview" for entry in entries)


def test_a_part_of_the_ledger_comes_by_webhooks_alone_and_a_part_twice(sample: Sample) -> None:
    by_webhook = {event["data"]["activityId"] for event in sample.of_kind("usage.charge.created")}
    by_webhook |= {event["data"]["activityId"] for event in sample.of_kind("balance.deposit.created")}
    assert len(by_webhook - set(sample.entries)) > 500
    assert len(by_webhook & set(sample.entries)) > 100


def test_wallets_of_the_webhooks_are_named_but_for_three(sample: Sample) -> None:
    named = {event["data"]["walletUserId"] for event in sample.of_kind("authorization.completed")}
    charged = {event["data"]["walletUserId"] for event in sample.of_kind("usage.charge.created")}
    assert 1 <= len(charged - named) <= 3


# ---- its days


def test_it_fills_120_days_and_ends_in_the_morning_of_the_last(sample: Sample) -> None:
    days = {entry["timestamp"][:10] for entry in sample.entries.values() if entry["type"] == "charge"}
    days |= {event["createdAt"][:10] for event in sample.of_kind("usage.charge.created")}
    assert len(days) == 120
    assert max(days) == "2026-10-01"
    latest = max(updated_at(version) for version in sample.versions)
    assert latest <= datetime(2026, 10, 1, 6, tzinfo=UTC)


def test_its_days_are_those_of_the_reporting_zone(tmp_path: Path) -> None:
    zone = ZoneInfo("Asia/Tokyo")
    tokyo = Sample(tmp_path, land_sample(tmp_path, AS_OF, zone))
    last = max(datetime.fromisoformat(event["createdAt"]) for event in tokyo.events.values())
    assert last.astimezone(zone).date() == AS_OF
    assert last.astimezone(zone).hour <= 6


# ---- the payments


def test_every_break_that_was_planted_is_there_and_no_other(sample: Sample) -> None:
    assert breaks(sample) == {kind: set(cases) for kind, cases in sample.summary.planted.items()}
    assert {kind: len(cases) for kind, cases in breaks(sample).items()} == sample.summary.breaks
    assert sample.summary.breaks == {
        "processor_only": 3,
        "ledger_only": 2,
        "duplicate_deposit": 2,
        "currency_mismatch": 1,
        "amount_mismatch": 2,
        "dispute_not_clawed_back": 2,
        "refund_not_clawed_back": 3,
    }
    assert all(f"{count} {kind}" in describe(sample.summary) for kind, count in sample.summary.breaks.items())


def test_every_other_deposit_ties_to_one_payment_of_its_amount_and_currency(sample: Sample) -> None:
    planted = {case for cases in sample.summary.planted.values() for case in cases}
    paid, checked = payments(sample), []
    for deposit in credited_deposits(sample):
        open_still = deposit.at >= data_end(sample)
        if (
            {deposit.case_id, f"deposit:{deposit.entry_id}"} & planted
            or open_still
            or not keys_of(sample, deposit)
        ):
            continue
        assert deposit.case_id is not None
        payment = paid[deposit.case_id]
        assert (payment.amount, payment.currency) == (deposit.amount, deposit.currency)
        checked.append(deposit.case_id)
    assert len(set(checked)) == len(checked) > 200
    assert set(paid) - set(checked) <= planted
    assert sample.summary.payments == len(paid) + 1  # the transfer that failed


def test_payments_are_made_shortly_before_their_deposits(sample: Sample) -> None:
    charges = [row for row in sample.activity.values() if row["reporting_category"] == "charge"]
    made = {f"stripe:{row['payment_intent_id']}": utc(row["created_utc"]) for row in charges}
    made |= {
        f"{row['rail']}:{row['payment_id']}": datetime.fromisoformat(row["paid_at"])
        for row in sample.transfers
    }
    waits = [
        deposit.at - made[deposit.case_id] for deposit in credited_deposits(sample) if deposit.case_id in made
    ]
    assert timedelta(0) < min(waits)
    assert max(waits) < timedelta(minutes=30)


def test_deposits_name_their_payment_by_every_kind_of_key(sample: Sample) -> None:
    seen = Counter(min(keys_of(sample, deposit), default="none") for deposit in credited_deposits(sample))
    assert set(seen) == {"charge", "checkout_session", "payment_id", "payment_intent", "none"}
    webhooks = [deposit for deposit in credited_deposits(sample) if deposit.entry_id not in sample.entries]
    assert sum(deposit.case_id in payments(sample) for deposit in webhooks) >= 3


def test_the_last_mornings_deposits_are_younger_than_the_data(sample: Sample) -> None:
    assert data_end(sample) == datetime(2026, 10, 1, tzinfo=UTC)
    young = [deposit for deposit in credited_deposits(sample) if deposit.at >= data_end(sample)]
    assert {deposit.currency for deposit in young} == {"usd", "eur"}
    assert not {deposit.case_id for deposit in young} & set(payments(sample))


def test_nothing_is_newer_than_the_data(sample: Sample) -> None:
    made = [row["created_utc"] for row in sample.activity.values()] + [
        row["effective_at_utc"] for row in sample.payouts
    ]
    assert max(made) < f"{AS_OF}"
    assert max(row["paid_at"] for row in sample.transfers) < f"{AS_OF}"
    assert max(session["created"] for session in sample.sessions.values()) < data_end(sample).timestamp()


def test_a_payment_without_key_is_recognised_by_user_amount_and_time_alone(sample: Sample) -> None:
    (lone,) = [deposit for deposit in credited_deposits(sample) if not keys_of(sample, deposit)]
    user = sample.entries[lone.entry_id]["user"]
    (row,) = [
        r
        for r in sample.activity.values()
        if r["payment_metadata[user]"] == user and Decimal(r["gross"]) == lone.amount
    ]
    assert lone.at - utc(row["created_utc"]) == timedelta(minutes=4)
    assert f"stripe:{row['payment_intent_id']}" in sample.summary.planted["processor_only"]


def test_what_only_looks_like_a_break_is_there_too(sample: Sample) -> None:
    """A dispute that was won, one that was clawed back, a refund that bounced, a transfer that failed,
    refunds that both sides know.
    """
    categories = Counter(row["reporting_category"] for row in sample.activity.values())
    assert (categories["dispute"], categories["dispute_reversal"], categories["refund_failure"]) == (4, 1, 1)
    assert categories["refund"] >= 8
    reasons = Counter(entry.get("metadata", {}).get("reason") for entry in sample.entries.values())
    assert (reasons["dispute_lost"], reasons["webhook_retry"]) == (1, 2)
    assert [row["status"] for row in sample.transfers].count("failed") == 1


def test_refunds_carry_their_charge_alone(sample: Sample) -> None:
    refunds = [row for row in sample.activity.values() if row["reporting_category"].startswith("refund")]
    assert {row["payment_intent_id"] for row in refunds} == {""}
    assert all(row["charge_id"] for row in refunds)


# ---- Stripe's reports


def test_net_is_gross_less_fee_on_every_row(sample: Sample) -> None:
    for row in [*sample.activity.values(), *sample.payouts, *sample.items]:
        assert Decimal(row["net"]) == Decimal(row["gross"]) - Decimal(row["fee"])


def test_card_fees_are_those_of_the_price_list(sample: Sample) -> None:
    for row in sample.activity.values():
        if row["reporting_category"] == "charge":
            exact = Decimal(row["gross"]) * Decimal("0.029") + Decimal("0.30")
            assert abs(Decimal(row["fee"]) - exact) <= Decimal("0.005")


def test_money_has_the_decimals_of_its_currency(sample: Sample) -> None:
    rows = [*sample.activity.values(), *sample.payouts, *sample.items, *sample.transfers]
    rows += [row for table in sample.summaries.values() for row in table]
    names = ("gross", "fee", "net", "net_amount", "customer_facing_amount", "amount", "refunded_amount")
    written = [row[name] for row in rows for name in names if row.get(name)]
    assert all(re.fullmatch(r"-?\d+\.\d\d", text) for text in written)


def test_the_two_downloads_overlap_and_differ_in_when_one_charge_became_available(sample: Sample) -> None:
    (first, first_rows), (second, second_rows) = sorted(sample.downloads.items())
    assert days_of(first)[1] - days_of(second)[0] == timedelta(days=35)
    assert set(second_rows[0]) - set(first_rows[0]) == {"description", "customer_email"}
    assert [name for name in second_rows[0] if name in first_rows[0]] != list(first_rows[0])
    again = {row["balance_transaction_id"]: row for row in second_rows}
    repeated = [
        (row, again[row["balance_transaction_id"]])
        for row in first_rows
        if row["balance_transaction_id"] in again
    ]
    assert len(repeated) > 30
    differences = [{name for name in row if row[name] != other[name]} for row, other in repeated]
    assert [names for names in differences if names] == [{"available_on_utc"}]
    for name, rows in sample.downloads.items():
        since, until = days_of(name)
        assert [r["balance_transaction_id"] for r in rows] == [
            r["balance_transaction_id"]
            for r in sample.activity.values()
            if since <= utc(r["created_utc"]) < until
        ]


def test_the_second_download_has_other_habits(sample: Sample) -> None:
    path = sorted((sample.landing / "stripe/balance_change_from_activity.itemized.7").iterdir())[-1]
    content = path.read_bytes()
    assert content.startswith(b"\xef\xbb\xbf")
    assert content.count(b"\r\n") == content.count(b"\n")
    assert b"customer_email" in content


def test_summaries_close_chain_and_equal_their_items(sample: Sample) -> None:
    closing = {"usd": Decimal("250.00"), "eur": Decimal("0.00")}
    covered = days_of(min(sample.downloads))[0]
    for name, rows in sorted(sample.summaries.items()):
        since, until = days_of(name)
        assert since == covered
        assert {"usd", "eur"} == {row["currency"] for row in rows}
        for currency, opening in closing.items():
            stated = {
                row["category"]: Decimal(row["net_amount"]) for row in rows if row["currency"] == currency
            }
            changed = [
                r
                for r in sample.activity.values()
                if r["currency"] == currency and since <= utc(r["created_utc"]) < until
            ]
            paid_out = [
                r
                for r in sample.payouts
                if r["currency"] == currency and since <= utc(r["effective_at_utc"]) < until
            ]
            assert stated["starting_balance"] == opening
            assert stated["activity"] == sum(Decimal(row["net"]) for row in changed)
            assert stated["payouts"] == sum(Decimal(row["net"]) for row in paid_out)
            closing[currency] = opening + stated["activity"] + stated["payouts"]
            assert stated["ending_balance"] == closing[currency]
        covered = until
    assert covered == data_end(sample)
    assert closing["eur"] > 0


def test_payouts_equal_their_items(sample: Sample) -> None:
    sums: dict[str, Decimal] = {}
    for item in sample.items:
        sums[item["automatic_payout_id"]] = sums.get(item["automatic_payout_id"], Decimal(0)) + Decimal(
            item["net"]
        )
    paid = {row["payout_id"]: row for row in sample.payouts if row["reporting_category"] == "payout"}
    assert {payout: -Decimal(row["net"]) for payout, row in paid.items()} == sums
    assert len({item["balance_transaction_id"] for item in sample.items}) == len(sample.items)
    for item in sample.items:
        payout = paid[item["automatic_payout_id"]]
        assert payout["currency"] == item["currency"]
        assert payout["effective_at_utc"] == item["automatic_payout_effective_at_utc"]
        assert utc(payout["effective_at_utc"]) - utc(item["created_utc"]) >= timedelta(days=2)
        assert item["available_on_utc"] <= payout["effective_at_utc"]
        if item["reporting_category"] != "payout_reversal":
            assert (
                sample.activity[item["balance_transaction_id"]]["automatic_payout_id"]
                == item["automatic_payout_id"]
            )


def test_one_payout_came_back_and_the_next_one_includes_it(sample: Sample) -> None:
    (back,) = [row for row in sample.payouts if row["reporting_category"] == "payout_reversal"]
    (item,) = [item for item in sample.items if item["reporting_category"] == "payout_reversal"]
    assert (item["source_id"], item["net"]) == (back["payout_id"], back["net"])
    dollars = [
        row for row in sample.payouts if row["currency"] == "usd" and row["reporting_category"] == "payout"
    ]
    places = {row["payout_id"]: place for place, row in enumerate(dollars)}
    assert places[item["automatic_payout_id"]] == places[back["payout_id"]] + 1
    assert Counter(row["payout_status"] for row in dollars) == {
        "paid": len(dollars) - 2,
        "failed": 1,
        "in_transit": 1,
    }
    assert dollars[-1]["payout_status"] == "in_transit"


def test_payments_in_one_currency_settle_in_another(sample: Sample) -> None:
    settled = Counter(
        (r["customer_facing_currency"], r["currency"])
        for r in sample.activity.values()
        if r["reporting_category"] == "charge"
    )
    assert set(settled) == {("usd", "usd"), ("eur", "usd"), ("eur", "eur"), ("gbp", "usd")}
    rates = {
        Decimal(r["gross"]) / Decimal(r["customer_facing_amount"])
        for r in sample.activity.values()
        if r["customer_facing_amount"]
    }
    assert len(rates) > 3


def test_addresses_of_customers_are_invented(sample: Sample) -> None:
    (rows,) = [rows for rows in sample.downloads.values() if "customer_email" in rows[0]]
    assert all(
        re.fullmatch(r"[0-9a-f]{8}@example\.com", row["customer_email"])
        for row in rows
        if row["customer_email"]
    )


# ---- paid and promo credit


@pytest.fixture(scope="module")
def credit(sample: Sample) -> dict[tuple[str, str], dict[str, Any]]:
    """The credit days of the wallets in euro, computed sequentially, by user and day."""
    (path,) = (sample.landing / "ledger").glob("*-eu.csv")
    file = LandedFile("ledger", path.name, path.read_bytes())
    books = books_of_files([file], OracleSettings(as_of=datetime(2026, 10, 1, 12, tzinfo=UTC)))
    return {(row["user_id"], f"{row['date_day']}"): row for row in books.credit_days}


def amounts(row: dict[str, Any]) -> dict[str, str]:
    """The amounts of a credit day that are not 0, without trailing zeros."""
    return {name: f"{one.normalize():f}" for name, one in row.items() if isinstance(one, Decimal) and one}


def test_a_bonus_that_was_not_used_up_expires_after_30_days(
    credit: dict[tuple[str, str], dict[str, Any]],
) -> None:
    # Five charges: 0.000129276 + 0.00959364 + 0.002539836 + 0.00345384 + 0.00231984 = 0.018036432.
    assert amounts(credit["usr_c0678ddd", "2026-08-05"]) == {
        "promo_opening": "0.081963568",
        "promo_expired": "0.081963568",
        "promo_used_to_date": "0.018036432",
    }


def test_paid_credit_expires_where_the_expiry_states_so(
    credit: dict[tuple[str, str], dict[str, Any]], sample: Sample
) -> None:
    # Three deposits of 1, of which 1.3882324588 were used, after a bonus of 0.1 and goodwill of 0.1.
    assert amounts(credit["usr_c97f0a5d", "2026-09-22"]) == {
        "paid_opening": "1.6117675412",
        "paid_expired": "1.6117675412",
        "paid_used_to_date": "1.3882324588",
        "promo_used_to_date": "0.2",
    }
    expiries = [one for one in sample.entries.values() if one.get("metadata", {}).get("reason") == "expired"]
    assert [one["metadata"].get("funding") for one in expiries] == [None, "paid"]
    # What names a deposit would count as a payment that was taken back.
    assert not any("related_id" in one for one in expiries)


def test_a_deposit_settles_an_overdraft(credit: dict[tuple[str, str], dict[str, Any]]) -> None:
    # A bonus of 0.1 less charges of 0.000424602, 0.0000743742 and 0.000443232; then a correction of -0.3.
    corrected = amounts(credit["usr_672e2c9d", "2026-08-25"])
    assert (corrected["promo_returned"], corrected["unfunded_returned"]) == ("0.0990577918", "0.2009422082")
    settled = amounts(credit["usr_672e2c9d", "2026-09-01"])
    assert (settled["paid_added"], settled["overdraft_settled_paid"]) == ("1", "0.2009422082")
    assert settled["paid_closing"] == "0.7990577918"
    assert "overdraft_closing" not in settled


def test_a_correction_states_that_it_is_paid(credit: dict[tuple[str, str], dict[str, Any]]) -> None:
    moved = amounts(credit["usr_68c62192", "2026-06-14"])
    assert (moved["paid_added"], moved["paid_closing"]) == ("0.5", "0.5")
    # 0.1 less six charges, 0.010574064 together.
    assert moved["promo_closing"] == "0.089425936"


def test_usage_that_promo_credit_paid_for_is_refunded(
    credit: dict[tuple[str, str], dict[str, Any]],
) -> None:
    given_back = {key: row["refunds_promo"] for key, row in credit.items() if row["refunds_promo"]}
    assert given_back == {
        ("usr_6cb9adbe", "2026-06-19"): Decimal("0.00178416"),
        ("usr_c46d8fab", "2026-07-19"): Decimal("0.00130464"),
    }


# ---- the late entry


@pytest.mark.parametrize(
    ("as_of", "zone", "day", "noon"),
    [
        (AS_OF, "UTC", "2026-07-31", "2026-07-31T12:00:00.000Z"),
        *in_soak((date(2027, 3, 1), "Europe/Berlin", "2026-12-31", "2026-12-31T11:00:00.000Z")),
    ],
)
def test_the_late_entry_is_of_the_last_day_of_the_second_month(
    sample: Sample, tmp_path: Path, as_of: date, zone: str, day: str, noon: str
) -> None:
    place = ZoneInfo(zone)
    if (as_of, zone) == (AS_OF, "UTC"):
        shutil.copytree(sample.landing, tmp_path, dirs_exist_ok=True)
    else:
        land_sample(tmp_path, as_of, place)
    late = late_entry(tmp_path, place)
    assert not late.path.exists()
    assert day in late.land()
    (line,) = late.path.read_text().splitlines()
    entry = json.loads(line)
    assert (entry["timestamp"], entry["amount"], entry["metadata"]["funding"]) == (noon, "0.50", "paid")
    second = late.day.replace(day=1)
    assert late.months == ((second - timedelta(days=1)).replace(day=1), second)
    # The sample may be landed again beside it.
    land_sample(tmp_path, as_of, place)


# ---- the bills

COST_BREAKS = {
    *("currency_mismatch", "billed_not_metered", "metered_not_billed", "token_mismatch"),
    *("estimated_off", "rate_mismatch"),
}


def bill(sample: Sample, folder: str, words: str) -> LandedFile:
    (found,) = [file for file in sample.bills if file.folder == f"bills/{folder}" and words in file.name]
    return found


def test_every_cost_break_that_was_planted_is_there_and_no_other(sample: Sample, costs: CostTables) -> None:
    assert cost_breaks(costs) == {kind: set(cases) for kind, cases in sample.summary.planted_costs.items()}
    counts = {kind: len(cases) for kind, cases in cost_breaks(costs).items()}
    assert counts == sample.summary.cost_breaks
    natural = counts.pop("estimated_off") - 2
    assert counts == {
        "currency_mismatch": 2,
        "billed_not_metered": 6,
        "metered_not_billed": 2,
        "token_mismatch": 3,
        "rate_mismatch": 2,
    }
    # Charges in euro whose cost nobody knows.
    assert 0 <= natural <= 8
    for kind, count in sample.summary.cost_breaks.items():
        assert f"{count} {kind}" in describe(sample.summary)


def test_billed_usage_without_charges_is_urgent_but_for_web_searches(costs: CostTables) -> None:
    priorities = Counter(
        row["priority"] for row in costs.cases.values() if row["break_type"] == "billed_not_metered"
    )
    assert priorities == {1: 3, 3: 3}


def test_exact_bills_equal_the_stated_costs_to_the_last_digit(costs: CostTables) -> None:
    """Those of Anthropic in August are rounded to cents, and of charges in euro some costs are unknown."""
    matched = [
        (case, row)
        for case, row in costs.cases.items()
        if row["status"] == "matched" and not row["charges_without_cost"]
    ]
    exact = [row for case, row in matched if case[0] == "openai" or f"{case[1]}" >= "2026-09-01"]
    assert {row["difference"] for row in exact} == {0}
    assert len(exact) > 250
    counted = [row for case, row in matched if case[0] == "openai"]
    assert all(row["billed_tokens"] == row["ledger_tokens"] for row in counted)
    # Half a cent for each of at most three lines.
    assert 0 < max(abs(row["difference"]) for _, row in matched) <= Decimal("0.015")


def test_one_month_is_complete_and_invoiced_to_the_cent(costs: CostTables) -> None:
    for provider in ("openai", "anthropic"):
        for currency in ("usd", "eur"):
            month = costs.months[provider, date(2026, 8, 1), currency]
            assert (month["verdict"], month["days_compared"]) == ("complete", 31)
            # The console's rows are rounded, the invoice is not.
            most = Decimal(2) if (provider, currency) == ("anthropic", "usd") else Decimal("0.005")
            assert abs(month["invoice_difference"]) <= most
    assert costs.months["openai", date(2026, 9, 1), "usd"]["verdict"] == "partial"
    assert costs.months["mistral", date(2026, 8, 1), "usd"]["verdict"] == "missing"


def test_bills_reach_from_a_month_ago_to_the_last_day_that_is_over(costs: CostTables) -> None:
    days = [row["usage_date"] for row in costs.bill_lines]
    assert (min(days), max(days)) == (date(2026, 8, 1), date(2026, 9, 30))
    compared = [case[1] for case, row in costs.cases.items() if row["status"] != "pending"]
    assert (min(compared), max(compared)) == (date(2026, 8, 1), date(2026, 9, 28))


def test_two_downloads_overlap_and_the_first_one_ends_with_a_day_that_was_not_over(sample: Sample) -> None:
    def totals(words: str) -> dict[date, Decimal]:
        return {
            datetime.fromtimestamp(int(bucket["start_time"]), UTC).date(): sum(
                (one["amount"]["value"] for one in bucket["results"]), Decimal(0)
            )
            for bucket in bill_rows(bill(sample, "openai_costs", words))
        }

    first, second = totals("sample-2026-08-01_2026-09-05.json"), totals("sample-2026-08-31_2026-09-30.jsonl")
    *equal, last = sorted(first.keys() & second.keys())
    assert (len(equal), last) == (5, date(2026, 9, 5))
    assert [first[day] for day in equal] == [second[day] for day in equal]
    assert first[last] == second[last] * Decimal("0.4")
    assert second[last] - first[last] > Decimal("0.01")


def test_models_have_dated_ids_and_display_names_and_two_are_unknown(costs: CostTables) -> None:
    named = {(row["model_as_billed"], row["model_id"]) for row in costs.bill_lines}
    assert ("claude-sonnet-4-5-20250929", "anthropic/claude-sonnet-4-5") in named
    assert ("Claude Sonnet 4.5", "anthropic/claude-sonnet-4-5") in named
    assert {name for name, model in named if model == "unknown"} == {
        None,
        "claude-opus-4-1-20250805",
        "ft:gpt-4.1-mini-2025-04-14:acme:triage:Bx7kQ2",
    }


def test_what_is_not_sold_is_outside_of_the_comparison(costs: CostTables) -> None:
    outside = {row["project"] for row in costs.bill_lines if row["scope"] == "outside"}
    assert outside == {"proj_Zc2lab", "wrkspc_01JwQ8lab", "Lab"}


def test_the_console_shows_an_address_that_no_line_keeps(sample: Sample, costs: CostTables) -> None:
    console = bill(sample, "anthropic_costs", "console")
    assert b"mira.lindqvist@example.com" in console.content
    assert not any("@" in str(value) for row in costs.bill_lines for value in row.values())
