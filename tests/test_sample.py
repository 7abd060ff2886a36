"""The sample data: real requests told by an invented business, the same every time."""

import csv
import gzip
import io
import json
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pyarrow.parquet as pq
import pytest
import zstandard
from genai_prices import Usage, calc_price

from ingestion.sample import SampleSummary, describe, land_sample
from ingestion.sample.land import BAD_RECORDS
from ingestion.sample.pricing import OWN_RATES
from ingestion.sample.requests import REQUESTS_FILE

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
        self.records = 1  # the one row of prices/
        self.versions = list(self._ledger())
        self.bodies = list(self._events())
        self.events = {body.get("event", body)["id"]: body.get("event", body) for body in self.bodies}
        self.entries = {version["id"]: version for version in sorted(self.versions, key=updated_at)}

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
            for tokens in ("prompt_tokens", "completion_tokens", "total_tokens", "cached_tokens", "reasoning_tokens"):
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

    def of_kind(self, kind: str) -> list[dict[str, Any]]:
        return [event for event in self.events.values() if event["type"].removeprefix("paywall.") == kind]

    def charges(self) -> dict[str, tuple[int, int]]:
        """Prompt and completion tokens of every usage charge by id, from the ledger or from webhooks."""
        told = {
            event["data"]["activityId"]: (event["data"]["promptTokens"], event["data"]["completionTokens"])
            for event in self.of_kind("usage.charge.created")
        }
        for entry in self.entries.values():
            if entry["type"] == "charge":
                told[entry["id"]] = (entry["prompt_tokens"], entry["completion_tokens"])
        return told


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


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Sample:
    landing = tmp_path_factory.mktemp("landing")
    return Sample(landing, land_sample(landing, AS_OF))


def contents(landing: Path) -> dict[str, bytes]:
    return {str(path.relative_to(landing)): path.read_bytes() for path in landing.rglob("*") if path.is_file()}


# ---------------------------------------------------------------------------------------------- the same every time


def test_the_same_day_gives_the_same_bytes(sample: Sample, tmp_path: Path) -> None:
    land_sample(tmp_path, AS_OF)
    assert contents(tmp_path) == contents(sample.landing)


def test_landing_it_again_changes_nothing(sample: Sample) -> None:
    before = {path: path.stat().st_mtime_ns for path in sample.summary.files}
    assert land_sample(sample.landing, AS_OF) == sample.summary
    assert {path: path.stat().st_mtime_ns for path in sample.summary.files} == before


def test_a_second_sample_of_another_day_is_refused_and_nothing_is_written(sample: Sample) -> None:
    before = contents(sample.landing)
    with pytest.raises(FileExistsError, match="another sample"):
        land_sample(sample.landing, date(2026, 10, 2))
    assert contents(sample.landing) == before


def test_only_finished_files_are_left(sample: Sample) -> None:
    assert sorted(sample.landing / name for name in contents(sample.landing)) == sorted(sample.summary.files)


@pytest.mark.parametrize("as_of", [date(2026, 5, 31), date(2027, 1, 4)])
def test_any_last_day_will_do(as_of: date, tmp_path: Path) -> None:
    later = Sample(tmp_path, land_sample(tmp_path, as_of))
    assert len(later.charges()) == 28_185
    assert len(later.bad) == BAD_RECORDS


# ------------------------------------------------------------------------------------------------------ what is real


def test_every_real_request_is_charged_once_with_its_own_tokens(sample: Sample) -> None:
    table = pq.read_table(REQUESTS_FILE)
    real = Counter(zip(table["context_tokens"].to_pylist(), table["generated_tokens"].to_pylist(), strict=True))
    assert Counter(sample.charges().values()) == real


def test_the_real_requests_are_the_published_ones() -> None:
    """Counts and sums of the two CSV files of the Azure Public Dataset, added up with awk."""
    rows = pq.read_table(REQUESTS_FILE).to_pylist()
    sums = {
        source: tuple(
            sum(values)
            for values in zip(*[(1, r["context_tokens"], r["generated_tokens"]) for r in rows if r["source"] == source], strict=True)
        )
        for source in ("conv", "code")
    }
    assert sums == {"conv": (19_366, 22_361_870, 4_088_665), "code": (8_819, 18_059_974, 245_896)}


def test_what_is_real_and_what_is_made_is_said(sample: Sample) -> None:
    text = describe(sample.summary)
    assert "Real: the prompt and completion tokens" in text
    assert "Made: everything else" in text
    attribution = REQUESTS_FILE.with_name("ATTRIBUTION.md").read_text()
    for words in ("CC-BY 4.0", "Splitwise: Efficient generative LLM inference using phase splitting", "ISCA 2024"):
        assert words in text
        assert words in attribution


# --------------------------------------------------------------------------------------------------------- the money


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
    settled = [e for e in sample.entries.values() if status(e) == "settled" and e["currency"].lower() == "usd"]
    revenue = sum(Decimal(e["amount"]) for e in settled if e["type"] == "charge")
    deposits = sum(Decimal(e["amount"]) for e in settled if e["type"] in ("deposit", "topup"))
    priced = [e for e in settled if e["type"] == "charge" and "provider_cost" in e]
    profit = sum(Decimal(e["amount"]) - Decimal(e["provider_cost"]) - Decimal(e.get("platform_fees", 0)) for e in priced)
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


# ---------------------------------------------------------------------------------------------- what it must contain


def test_all_records_are_counted(sample: Sample) -> None:
    assert sample.summary.records == sample.records
    assert 31_000 < sample.records < 33_500


def test_eight_records_are_bad_each_in_its_own_way(sample: Sample) -> None:
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
    seen = {("event" in body, body.get("event", body)["type"].startswith("paywall.")) for body in sample.bodies}
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
    about = Counter(sample.entries[refund["related_id"]]["type"].replace("topup", "deposit") for refund in refunds)
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


def test_a_part_of_the_ledger_is_told_by_webhooks_alone_and_a_part_twice(sample: Sample) -> None:
    told = {event["data"]["activityId"] for event in sample.of_kind("usage.charge.created")}
    told |= {event["data"]["activityId"] for event in sample.of_kind("balance.deposit.created")}
    assert len(told - set(sample.entries)) > 500
    assert len(told & set(sample.entries)) > 100


def test_wallets_of_the_webhooks_are_named_but_for_three(sample: Sample) -> None:
    named = {event["data"]["walletUserId"] for event in sample.of_kind("authorization.completed")}
    charged = {event["data"]["walletUserId"] for event in sample.of_kind("usage.charge.created")}
    assert 1 <= len(charged - named) <= 3


# ----------------------------------------------------------------------------------------------------------- its days


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
