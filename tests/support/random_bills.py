"""A small ledger and what providers bill for it, in every format and file shape, made up from a seed.

Bills follow the ledger's true costs, with faults of every kind planted. E-mail addresses and names of keys
that must not reach the warehouse have a text of their own, by which they are found wherever they went. The
forms are those of the providers' documentation (docs/sources), not of any reader.
"""

import json
import os
import random
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from decimal import ROUND_DOWN, ROUND_HALF_EVEN, Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa

from tests.support.bill_files import ONE_DAY
from tests.support.builders import (
    Raw,
    Record,
    charge,
    csv_text,
    deposit,
    dumps,
    jsonl,
    landed,
    ledger_file,
    parquet_table,
    prices_file,
)
from tests.support.cost_oracle import CostSettings
from tests.support.oracle import LAST_UNIT, LandedFile, Row
from tests.support.secret_texts import MARK

D = Decimal
FIRST_DAY, FIRST_BILLED = date(2026, 10, 3), date(2026, 10, 1)
DAYS = 40
LAST_DAY = FIRST_DAY + timedelta(days=DAYS - 1)
SECOND_ACCOUNT, SECOND_STARTS = "org-b", date(2026, 10, 18)
CENT = D("0.01")
# The shipped aliases that the cases rely on.
PROVIDERS = {"vertex_ai": "google", "gemini": "google"}
ALIASES = {
    "claude-sonnet-4-5-20250929": "claude-sonnet-4-5",
    "claude sonnet 4.5": "claude-sonnet-4-5",
    "gpt-4o-mini-2024-07-18": "gpt-4o-mini",
}
ZONES = ("UTC", "America/Los_Angeles", "Asia/Kolkata")
USERS = ("alice", "bob", "carol", "dave", "user, with comma", "jörg")
PROJECTS = {
    "alice": "proj_1",
    "bob": "proj_1",
    "carol": "proj_2",
    "dave": "proj_2",
    "jörg": "proj_3",
    "user, with comma": "proj_3",
}
INTERNAL = "proj_internal"
ESTIMATED = "openai/gpt-test-est"
FAULTS = {
    "none": 44, "missing": 7, "tokens": 7, "token edge": 5, "rate": 7, "tiny": 4, "edge": 5, "over": 5,
    "digits": 5, "currency": 3, "relative": 4, "relative over": 4, "doubled": 5,
}  # fmt: skip
OPENAI_COLUMNS = (
    "start_time", "end_time", "start_time_iso", "end_time_iso", "amount_value", "amount_currency",
    "quantity", "quantity_unit", "line_item", "user_id", "api_key_id", "project_id", "organization_id",
    "project_name", "organization_name", "user_email", "api_source",
)  # fmt: skip
CONSOLE_COLUMNS = (
    "usage_date_utc", "model", "workspace", "api_key", "usage_type", "context_window", "token_type",
    "cost_usd", "list_price_usd", "cost_type", "inference_geo", "speed",
)  # fmt: skip


@dataclass(frozen=True)
class Model:
    """A model as the ledger names it, and as its provider's bills do."""

    name: str | None
    provider: str
    billed: str
    prompt: Decimal
    completion: Decimal
    display: str = ""
    billed_by: str | None = None
    currency: str = "usd"
    priced: bool = False
    """The built-in price book knows it: its cost is always stated."""


MODELS = (
    Model("openai/gpt-test-1", "openai", "gpt-test-1", D("0.00002"), D("0.00008")),
    Model("OpenAI/GPT-Test-2", "openai", "gpt-test-2", D("0.00001"), D("0.00003")),
    # The name after the provider is that of another model.
    Model("azure/gpt-test-1", "openai", "azure/gpt-test-1", D("0.00004"), D("0.00008"), billed_by="openai"),
    Model("openai/gpt-4o-mini", "openai", "gpt-4o-mini-2024-07-18", D("0.000015"), D("0.00006"), priced=True),
    Model(ESTIMATED, "openai", "gpt-test-est", D("0.00005"), D("0.0001")),
    Model("gpt-bare-1", "openai", "gpt-bare-1", D("0.00003"), D("0.00009"), billed_by="OpenAI"),
    Model("anthropic/claude-sonnet-4-5", "anthropic", "claude-sonnet-4-5-20250929", D("0.00003"),
          D("0.00015"), display="Claude Sonnet 4.5", priced=True),
    Model("anthropic/claude-test-1", "anthropic", "claude-test-1", D("0.00001"), D("0.00005"),
          display="Claude Test 1"),
    Model("openrouter/acme/llm-1", "openrouter", "acme/llm-1", D("0.00001"), D("0.00004")),
    Model("mistral/mist-test", "openrouter", "mistral/mist-test", D("0.00002"), D("0.00002"),
          billed_by="openrouter"),
    Model("vertex_ai/gemini-test-1", "google", "gemini-test-1", D("0.00001"), D("0.00003")),
    Model("google/gemini-test-2", "google", "gemini-test-2", D("0.00002"), D("0.00006"),
          billed_by="vertex_ai"),
    Model("acme_ai/big-1", "acme", "big-1", D("0.00007"), D("0.0001"), currency="eur"),
    Model("together/free-1", "together", "free-1", D("0.00001"), D("0.00001")),
    Model(None, "unknown", "", D("0.00001"), D("0.00001")),
)  # fmt: skip


@dataclass(frozen=True)
class Billed:
    """A line of a true bill, before a format is chosen."""

    provider: str
    account: str | None
    day: date
    model: Model | None
    amount: Decimal
    currency: str = "usd"
    kind: str = "other"
    quantity: int | None = None
    project: str | None = None
    key: str | None = None
    service: str = ""
    """What a line without a model is for."""
    mystery: str = ""
    """A model that nobody knows."""

    def name(self, display: bool = False) -> str | None:
        if self.mystery or self.model is None:
            return self.mystery or None
        return (display and self.model.display) or self.model.billed


@dataclass
class BillCase:
    """A generated case: `files` are all landing files in landing order, `records` those of the ledger."""

    seed: int
    records: list[Record]
    files: list[LandedFile]
    settings: CostSettings
    secrets: list[str] = field(default_factory=list)
    not_bills: int = 0
    """Files of which each is one reject, `not_a_bill`."""


def build_case(seed: int, charges: int = 300) -> BillCase:
    """Return the case of a seed."""
    return Generator(seed, charges).case()


def write_landing(
    home_landing: Path,
    case: BillCase,
    files: Sequence[LandedFile] | None = None,
    first_at: datetime = datetime(2026, 11, 1, tzinfo=UTC),
) -> None:
    """Write a case's files, or some of them, with modification times in landing order from `first_at` on."""
    for number, file in enumerate(case.files if files is None else files):
        path = home_landing / file.folder / file.name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(file.content)
        landed_at = first_at.timestamp() + 60 * number
        os.utime(path, (landed_at, landed_at))


class Generator:
    """Ledger, true bill, faults and files, from one seed."""

    def __init__(self, seed: int, charges: int) -> None:
        self.seed, self.random = seed, random.Random(seed)
        self.secrets: list[str] = []
        self.number = 0
        self.with_ids = self.chance(0.5)
        self.records: list[Record] = []
        self.later: list[Record] = []
        self.true: list[Billed] = []
        self.files: list[LandedFile] = []
        for _ in range(charges):
            self.charge()
        self.bill = list(self.faulty(self.true))
        self.bill += list(self.lines_beside_services())

    # ---- small choices

    def chance(self, probability: float) -> bool:
        return self.random.random() < probability

    def next_number(self) -> int:
        self.number += 1
        return self.number

    def secret(self) -> str:
        self.secrets.append(f"{MARK}{self.seed}n{len(self.secrets):05d}z")
        return self.secrets[-1]

    def moment(self) -> datetime:
        """Return an instant, often close to midnight."""
        start = datetime(FIRST_DAY.year, FIRST_DAY.month, FIRST_DAY.day, tzinfo=UTC)
        day = start + timedelta(days=self.random.randrange(DAYS))
        if self.chance(0.25):
            return day + timedelta(microseconds=self.random.choice((0, 1, 86_399_999_999)))
        return day + timedelta(seconds=self.random.randrange(86_400))

    # ---- ledger and true costs

    def charge(self) -> None:
        model = self.random.choices(MODELS, [11, 9, 9, 8, 5, 5, 12, 8, 9, 6, 9, 6, 8, 3, 2])[0]
        moment, user = self.moment(), self.random.choice(USERS)
        prompt, completion = self.random.randrange(1, 40) * 500, self.random.randrange(0, 30) * 250
        if self.chance(0.15):  # enough for the relative tolerance
            prompt, completion = prompt * 200, completion * 200
        cached = prompt // 2 if self.chance(0.2) else None
        half = model.prompt / 2 * (cached or 0)
        lines = [
            ("input", prompt - (cached or 0), model.prompt * (prompt - (cached or 0))),
            ("cached_input", cached or 0, half),
            ("output", completion, model.completion * completion),
        ]
        cost = sum((amount for _, _, amount in lines), D(0))
        status = self.random.choices(("settled", "failed", "reversed", "pending"), (80, 8, 6, 6))[0]
        fields: Row = {
            "status": status,
            "user": user,
            "model": model.name,
            "provider_cost": cost,
            "platform_fees": self.random.choice((None, D("0.01"))),
            "billing": self.random.choice((None, "postpaid")),
        }
        if not self.chance(0.08):
            fields |= {"prompt_tokens": prompt, "completion_tokens": completion, "cached_tokens": cached}
        self.restate_cost(model, fields)
        metadata = {"billed_by": model.billed_by} if model.billed_by else {}
        if self.chance(0.03) and model.provider == "openai" and not model.billed_by:
            metadata = {"billed_by": "openrouter"}
            model = replace(model, provider="openrouter", billed=str(model.name).lower())
        currency = self.cost_currency(model, fields)
        record = charge(
            f"c{self.seed}-{self.next_number():05d}",
            moment.isoformat().replace("+00:00", "Z"),
            cost * 2,
            **fields,
            metadata=metadata or None,
        )
        self.put(record, moment)
        if status == "pending":
            return
        second = model.provider == "openai" and user in ("carol", "dave") and moment.date() >= SECOND_STARTS
        for kind, quantity, amount in lines:
            if quantity:
                self.true.append(
                    Billed(
                        model.provider,
                        SECOND_ACCOUNT if second else None,
                        moment.date(),
                        model,
                        amount,
                        currency,
                        kind,
                        quantity,
                        PROJECTS[user],
                        f"key_{user[:3]}",
                    )
                )

    def restate_cost(self, model: Model, fields: Row) -> None:
        """Leave a cost out, or state another one."""
        if not model.priced and self.chance(0.5 if model.name == ESTIMATED else 0.07):
            fields["provider_cost"] = None
        elif self.chance(0.05):
            fields["provider_cost"] *= D("1.1")

    def cost_currency(self, model: Model, fields: Row) -> str:
        """Choose the entry's currency and that of its cost; return the one that the bill is in."""
        if model.currency == "eur":
            fields |= self.random.choice(({"currency": "EUR"}, {"provider_cost_currency": "eur"}))
        elif fields["provider_cost"] is not None and self.chance(0.06):
            fields |= self.random.choice(
                ({"currency": "eur"}, {"provider_cost_currency": "EUR"}, {"provider_cost_currency": "usd"})
            )
            kept = str(fields.get("provider_cost_currency") or fields.get("currency")).lower()
            return self.random.choice((kept, "usd"))
        # An estimate is in the entry's currency, whatever the cost's would be.
        if fields["provider_cost"] is None and "provider_cost_currency" in fields:
            del fields["provider_cost_currency"]
            fields["currency"] = "eur"
        return model.currency

    def put(self, record: Record, moment: datetime) -> None:
        """Put a charge into the ledger, now and then as two versions."""
        if record["status"] != "pending" and self.chance(0.06):
            earlier = record | {"status": "pending", "amount": D("0.5")}
            earlier.pop("provider_cost", None)
            updated_at = (moment + timedelta(minutes=5)).isoformat().replace("+00:00", "Z")
            self.records.append(earlier)
            self.later.append(record | {"updated_at": updated_at})
        else:
            self.records.append(record)

    # ---- faults

    def faulty(self, true: Sequence[Billed]) -> Iterable[Billed]:
        """Yield the true lines, and what is wrong about them."""
        groups: dict[tuple[Any, ...], list[Billed]] = defaultdict(list)
        for line in true:
            groups[(line.provider, line.day, line.name(), line.currency)].append(line)
        for lines in groups.values():
            yield from self.with_fault(lines)
            first = lines[0]
            if self.chance(0.06):
                yield replace(
                    first, model=None, mystery="mystery-model-9", amount=D("0.25"), kind="input", quantity=9
                )
            if self.chance(0.06) and first.provider in ("openai", "anthropic"):
                service = self.random.choice(("web_search", "code_execution"))
                yield replace(
                    first, model=None, service=service, amount=D("0.125"), kind="other", quantity=None
                )
            if self.chance(0.08):
                yield replace(first, project=INTERNAL, key="key_internal", amount=D("3.5"))
            if self.chance(0.05):
                day = first.day + timedelta(days=self.random.randrange(1, 4))
                yield replace(first, day=day, amount=D("0.75"))

    def lines_beside_services(self) -> Iterator[Billed]:
        """Yield a line with a model for every bucket that has none, so that its grouping shows."""
        buckets: dict[tuple[Any, ...], list[Billed]] = defaultdict(list)
        for line in self.bill:
            buckets[(line.provider, line.account, line.day)].append(line)
        for lines in buckets.values():
            if all(line.service for line in lines):
                yield replace(lines[0], service="", mystery="mystery-model-8", kind="output", quantity=3)

    def with_fault(self, lines: list[Billed]) -> list[Billed]:
        first, rest = lines[0], lines[1:]
        billed = sum((line.amount for line in lines), D(0))
        tokens = sum(line.quantity or 0 for line in lines)
        fault = self.random.choices(list(FAULTS), list(FAULTS.values()))[0]
        # The tolerance is 0.01 as long as 0.005 of what is billed is less.
        added = {"tiny": "0.004", "edge": "0.01", "over": "0.010000000001", "digits": "0.0000000000005"}
        if fault == "missing":
            return []
        if fault == "tokens":
            return [
                replace(line, quantity=(line.quantity or 0) * 5 // 4, amount=line.amount * D("1.25"))
                for line in lines
            ]
        if fault == "token edge":  # no more than 0.005 of the billed tokens, but of the ledger's
            more = tokens * 1000 // 995 - tokens
            return [
                replace(first, quantity=(first.quantity or 0) + more, amount=first.amount + billed),
                *rest,
            ]
        if fault == "doubled":  # half of an amount that ends in 1: a tie of the volume
            twice = [replace(line, quantity=(line.quantity or 0) * 2) for line in rest]
            amount = first.amount + LAST_UNIT
            return [replace(first, quantity=(first.quantity or 0) * 2, amount=amount), *twice]
        if fault == "rate":
            return [replace(line, amount=line.amount * D("1.3") + D("0.02")) for line in lines]
        if fault == "currency":
            other = "eur" if first.currency == "usd" else "usd"
            return [replace(line, currency=other) for line in lines]
        if fault.startswith("relative"):  # the most that 0.005 of the billed allows, and one unit more
            most = (billed / D("0.995")).quantize(LAST_UNIT, ROUND_DOWN)
            more = most - billed + (LAST_UNIT if fault == "relative over" else 0)
            return [replace(first, amount=first.amount + more), *rest]
        return [replace(first, amount=first.amount + D(added.get(fault, "0"))), *rest]

    # ---- files

    def case(self) -> BillCase:
        self.all_bills()
        bills = self.files
        if self.seed % 3 == 2:
            self.random.shuffle(bills)
        half = len(self.records) // 2
        self.files = [
            ledger_file("1.jsonl", self.records[:half]),
            ledger_file("2.csv.gz", self.records[half:]),
            ledger_file("3.parquet", [*self.later, deposit("d1", "2026-10-03T00:00:00Z", "100")]),
            prices_file("own.csv", [(ESTIMATED, "2026-01-01", "", "50", "100", "25", "", "usd")]),
            self.config(
                "providers.csv", ("name", "provider"), [("acme_ai", "acme"), ("Acme AI, Inc.", "acme")]
            ),
            self.config(
                "models.csv",
                ("provider", "model_as_billed", "model_id"),
                [
                    ("Anthropic", "Claude Test 1", "anthropic/claude-test-1"),
                    ("openai", "gpt-test-1", "openai/never"),
                ],
            ),
            self.config(
                "scope.csv",
                ("provider", "project", "key", "scope"),
                [
                    ("", INTERNAL, "", "outside"),
                    ("openai", "proj_2", "", "outside"),
                    ("OpenAI", "proj_2", "key_dav", "outside"),
                    ("openai", "proj_2", "", "sold"),
                    ("anthropic", "", "key_bob", "outside"),
                ],
            ),
            *bills,
        ]  # fmt: skip
        as_of = datetime(2026, 11, 12, 12 * (self.seed % 2), tzinfo=UTC)
        settings = CostSettings(as_of, ZONES[self.seed % 3], providers=PROVIDERS, models=ALIASES)
        records = [*self.records, *self.later]
        return BillCase(self.seed, records, self.files, settings, self.secrets, self.not_bills)

    @staticmethod
    def config(name: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> LandedFile:
        return landed(
            "bills", name, csv_text([dict(zip(columns, row, strict=True)) for row in rows], columns)
        )

    def add(self, bill_format: str, account: str | None, ending: str, content: bytes) -> None:
        if ending != "json" and ending != "parquet":
            ending += self.random.choice(("", "", ".gz", ".zst"))
        folder = f"bills/{bill_format}" + (f"/{account}" if account else "")
        file = landed(folder, f"{self.next_number():05d}.{ending}", content)
        # The same content under another name would be loaded once.
        if all(one.content != file.content for one in self.files):
            self.files.append(file)

    def all_bills(self) -> None:
        self.not_bills = 0
        for account in (None, SECOND_ACCOUNT):
            self.provider_files("openai", account, self.openai_file)
        self.provider_files("anthropic", None, self.anthropic_file)
        self.provider_files("openrouter", None, self.openrouter_file)
        self.provider_files("google", None, self.focus_file)
        self.provider_files("acme", None, self.focus_file)
        self.focus_extras()
        self.invoices()
        self.estimate_export()

    def lines_of(self, provider: str, account: str | None, start: date, end: date) -> list[Billed]:
        return [
            line
            for line in self.bill
            if (line.provider, line.account) == (provider, account) and start <= line.day < end
        ]

    def provider_files(
        self,
        provider: str,
        account: str | None,
        write: Callable[[str | None, date, date, list[Billed]], None],
    ) -> None:
        """Write a provider's downloads span by span, some of them twice, some not at all."""
        start = FIRST_BILLED if account is None else SECOND_STARTS
        last = LAST_DAY - timedelta(days=self.random.randrange(0, 4))
        while start <= last:
            end = min(start + timedelta(days=self.random.randrange(4, 13)), last + ONE_DAY)
            lines = self.lines_of(provider, account, start, end)
            if self.chance(0.3):  # the last day was still growing
                early = [
                    replace(line, amount=line.amount / 2, quantity=line.quantity and line.quantity // 2)
                    if line.day == end - ONE_DAY
                    else line
                    for line in lines
                ]
                write(account, start, end, early)
            write(account, start, end, lines)
            if self.chance(0.55):  # once more, in another shape or grouping, and not quite the same
                middle = start + (end - start) // 2
                again = [replace(line, amount=line.amount + CENT) for line in lines if line.day >= middle]
                write(account, middle, end, again)
            if self.chance(0.4) and provider in ("openai", "anthropic", "openrouter"):
                other = [replace(one, amount=one.amount + CENT / 2) for one in lines]
                self.focus_file(account, start, end, other)
            start = end + timedelta(days=self.random.choices((0, 1), (80, 20))[0])

    # ---- OpenAI

    def openai_file(self, account: str | None, start: date, end: date, lines: list[Billed]) -> None:
        groupings = (
            (("line_item",), ()),  # the second one, later and without any grouping, must not count
            (("line_item",),),
            (("line_item", "project_id"),),
            (("line_item", "project_id", "api_key_id"),),
            (("project_id",),),
        )
        if self.chance(0.3):
            self.openai_csv(account, start, end, lines)
            return
        for grouped_by in self.random.choice(groupings):
            self.openai_pages(account, start, end, lines, grouped_by)

    def openai_pages(
        self, account: str | None, start: date, end: date, lines: list[Billed], grouped_by: Sequence[str]
    ) -> None:
        buckets = [
            {
                "object": "bucket",
                "start_time": unix(day),
                "end_time": unix(day + ONE_DAY),
                "results": [
                    self.openai_result(key, amount, quantity, grouped_by)
                    for key, amount, quantity in grouped(lines, day, grouped_by)
                ],
            }
            for day in days(start, end)
        ]
        self.pages("openai_costs", account, buckets, {"object": "page"})

    def openai_result(
        self, key: Row, amount: Decimal, quantity: int | None, grouped_by: Sequence[str]
    ) -> Row:
        per_thousand = quantity is not None and self.chance(0.2)
        stated = "line_item" in grouped_by and quantity is not None
        return {
            "object": "organization.costs.result",
            "amount": {"value": Raw(format(amount, "f")), "currency": key["currency"]},
            "line_item": key["line_item"],
            "project_id": key["project_id"],
            "api_key_id": key["api_key_id"],
            "quantity": (Raw(D(quantity or 0).scaleb(-3 if per_thousand else 0)) if stated else None),
            "quantity_unit": ("1000_tokens" if per_thousand else "tokens") if stated else None,
        }

    def openai_csv(self, account: str | None, start: date, end: date, lines: list[Billed]) -> None:
        offset = self.random.choice(("", "+00:00"))
        rows = []
        for day in days(start, end):
            times = {
                "start_time": str(unix(day)),
                "end_time": str(unix(day + ONE_DAY)),
                "start_time_iso": f"{day}T00:00:00{offset}",
                "end_time_iso": f"{day + ONE_DAY}T00:00:00{offset}",
            }
            of_day = [line for line in lines if line.day == day]
            rows += [
                times
                | {
                    "amount_value": f"{line.amount:.30f}",
                    "amount_currency": line.currency,
                    "quantity": "" if line.quantity is None else f"{line.quantity}.000",
                    "quantity_unit": "" if line.quantity is None else "tokens",
                    "line_item": line_item(line),
                    "user_id": "user-1",
                    "api_key_id": line.key or "",
                    "project_id": line.project or "",
                    "organization_id": "org-1",
                    "project_name": self.secret(),
                    "organization_name": "Shop",
                    "user_email": f"{self.secret()}@example.com",
                    "api_source": "api",
                }
                for line in of_day
            ] or [times]
        self.add("openai_costs", account, "csv", csv_text(rows, OPENAI_COLUMNS))

    def pages(self, bill_format: str, account: str | None, items: list[Row], page: Row) -> None:
        """Write an API's answer in one of the shapes in which it is kept."""
        shape = self.random.choice(("page", "pages", "lines", "array"))
        if shape == "page":
            content = dumps(page | {"data": items, "has_more": False, "next_page": None}).encode()
            self.add(bill_format, account, "json", content)
        elif shape == "array":
            self.add(bill_format, account, "json", dumps(items).encode())
        elif shape == "lines":
            self.add(bill_format, account, "jsonl", jsonl(items))
        else:
            both = [
                page | {"data": part, "has_more": more, "next_page": "page_2" if more else None}
                for part, more in ((items[:3], True), (items[3:], False))
            ]
            self.add(bill_format, account, "jsonl", jsonl(both))

    # ---- Anthropic

    def anthropic_file(self, account: str | None, start: date, end: date, lines: list[Billed]) -> None:
        if self.chance(0.55):
            self.console_csv(account, lines)
            return
        kinds = {
            "input": "uncached_input_tokens",
            "cached_input": "cache_read_input_tokens",
            "output": "output_tokens",
        }
        buckets = [
            {
                "starting_at": f"{day}T00:00:00Z",
                "ending_at": f"{day + ONE_DAY}T00:00:00Z",
                "results": [
                    {
                        "currency": line.currency.upper(),
                        "amount": format(line.amount * 100, "f"),
                        "workspace_id": line.project,
                        "description": f"{line.name() or line.service} usage",
                        "cost_type": line.service or "tokens",
                        "context_window": None if line.service else "0-200k",
                        "model": line.name(),
                        "service_tier": None if line.service else "standard",
                        "token_type": kinds.get(line.kind),
                        "inference_geo": None,
                    }
                    for line in lines
                    if line.day == day
                ],
            }
            for day in days(start, end)
        ]
        self.pages("anthropic_costs", account, buckets, {})

    def console_csv(self, account: str | None, lines: list[Billed]) -> None:
        """Write the console's CSV, in dollars only, rounded to cents a row; without lines there is none."""
        kinds = {"input": "input_no_cache", "cached_input": "input_cache_read", "output": "output"}
        self.with_ids = not self.with_ids
        rows = [
            {
                "usage_date_utc": str(line.day),
                "model": line.name(display=True),
                "workspace": line.project,
                "api_key": self.secret() if self.with_ids else line.key,
                "usage_type": "message",
                "context_window": "≤ 200k",
                "token_type": kinds.get(line.kind, ""),
                "cost_usd": str(cents(line.amount)),
                "list_price_usd": str(cents(line.amount)),
                "cost_type": line.service or "token",
                "inference_geo": "global",
                "speed": "standard",
                "api_key_id": line.key,
                "api_key_status": "active",
            }
            for line in lines
            if line.currency == "usd"
        ]
        if rows:
            names = [*CONSOLE_COLUMNS, *(("api_key_id", "api_key_status") if self.with_ids else ())]
            self.add("anthropic_costs", account, "csv", csv_text(rows, names, bom=self.chance(0.5)))

    # ---- OpenRouter

    def openrouter_file(self, account: str | None, _start: date, _end: date, lines: list[Billed]) -> None:
        """Write the activity, rows of own keys among it, which reach no further than the others."""
        rows = [
            {
                "date": str(day),
                "model": key["line_item"],
                "model_permaslug": f"{key['line_item']}-20260910",
                "endpoint_id": f"endpoint-{number}",
                "provider_name": "Acme",
                "usage": Raw(format(amount, "f")),
                "byok_usage_inference": 0,
                "requests": 3,
                "prompt_tokens": (quantity or 0) * 2 // 3,
                "completion_tokens": (quantity or 0) - (quantity or 0) * 2 // 3,
                "reasoning_tokens": 5,
            }
            for number, day in enumerate(days(FIRST_BILLED, LAST_DAY + timedelta(days=9)))
            for key, amount, quantity in grouped(
                [one for one in lines if one.currency == "usd"], day, ("model",)
            )
        ]
        if not rows:
            return
        if self.chance(0.5):
            rows.insert(
                1, rows[0] | {"usage": 0, "byok_usage_inference": Raw("1.25"), "endpoint_id": "endpoint-own"}
            )
        if self.chance(0.4):
            names = {
                "Date": "date", "Slug": "model", "Usage": "usage", "BYOK Usage": "byok_usage_inference",
                "Requests": "requests", "Prompt Tokens": "prompt_tokens",
                "Completion Tokens": "completion_tokens", "Reasoning Tokens": "reasoning_tokens",
            }  # fmt: skip
            money = ("usage", "byok_usage_inference")
            table = [
                {
                    title: str(cents(D(str(row[name])))) if name in money else row[name]
                    for title, name in names.items()
                }
                for row in rows
            ]
            self.add("openrouter_activity", account, "csv", csv_text(table))
            return
        shape = self.random.choice(("page", "array", "lines"))
        if shape == "lines":
            self.add("openrouter_activity", account, "jsonl", jsonl(rows))
        else:
            content = dumps({"data": rows} if shape == "page" else rows).encode()
            self.add("openrouter_activity", account, "json", content)

    # ---- FOCUS

    def focus_row(self, line: Billed, **more: Any) -> Row:
        start = datetime(line.day.year, line.day.month, line.day.day, tzinfo=UTC)
        names = {
            "acme": "Acme AI, Inc.",
            "google": "Vertex_AI",
            "openai": "OpenAI",
            "anthropic": "Anthropic",
            "openrouter": "OpenRouter",
        }
        row: Row = {
            "BilledCost": line.amount,
            "BillingCurrency": line.currency.upper(),
            "BillingPeriodStart": start.replace(day=1),
            "ChargePeriodStart": start,
            "ChargePeriodEnd": start + ONE_DAY,
            "ChargeCategory": "Usage",
            "ChargeClass": None,
            "Provider": names[line.provider],
            "PublisherName": "Publisher",
            "InvoiceIssuerName": "Issuer",
            "Model": line.name() or line.service or None,
            "ConsumedQuantity": None if line.quantity is None else D(line.quantity),
            "ConsumedUnit": None if line.quantity is None else "Tokens",
            "SubAccountId": line.project,
            "SubAccountName": self.secret(),
            "InvoiceId": "inv-1",
        }
        return row | more

    def focus_file(self, account: str | None, _start: date, _end: date, lines: list[Billed]) -> None:
        rows = []
        for line in lines:
            row = self.focus_row(line)
            if line.service:
                row["Model"] = None
            if self.chance(0.3):  # an hour instead of the day
                row["ChargePeriodStart"] += timedelta(hours=self.random.randrange(24))
                row["ChargePeriodEnd"] = row["ChargePeriodStart"] + timedelta(hours=1)
            rows.append(row)
        if rows and self.chance(0.4):
            day = lines[0]
            tax = {"Model": None, "ConsumedQuantity": None, "ConsumedUnit": None}
            rows.append(self.focus_row(replace(day, amount=D("0.19")), ChargeCategory="Tax", **tax))
            rows.append(self.focus_row(replace(day, amount=D("-0.5")), ChargeCategory="Credit", **tax))
        self.write_focus(account, rows)

    def focus_extras(self) -> None:
        """Write corrections, one of them twice, and lines of long periods, in files of their own."""
        for provider in ("google", "acme", "openai"):
            lines = [
                line for line in self.true if line.provider == provider and line.model and not line.account
            ]
            chosen = self.random.sample(lines, min(4, len(lines)))
            november = datetime(2026, 11, 1, tzinfo=UTC)
            correction = {"ChargeClass": "Correction", "BillingPeriodStart": november}
            rows = [
                self.focus_row(replace(line, amount=-line.amount / 4, quantity=None), **correction)
                for line in chosen
            ]
            self.write_focus(None, rows[:1])
            self.write_focus(None, rows)
            if not chosen:
                continue
            first = replace(chosen[0], day=date(2026, 10, 1), amount=D("25"), quantity=1000)
            month, days_3 = (
                {"ChargePeriodEnd": november},
                {"ChargePeriodEnd": datetime(2026, 10, 4, tzinfo=UTC)},
            )
            plan = self.focus_row(first, ChargeCategory="Purchase", ConsumedUnit=None, **month)
            self.write_focus(None, [plan, self.focus_row(replace(first, amount=D("1.5")), **days_3)])

    def write_focus(self, account: str | None, rows: list[Row]) -> None:
        """Write rows in one of the forms that producers of FOCUS have."""
        if not rows:
            return
        provider = self.random.choice(("ServiceProviderName", "ProviderName"))
        model = self.random.choice(("SkuMeter", "ResourceName", "Tags", "x_model"))
        table = []
        for made in rows:
            row = {name: value for name, value in made.items() if name not in ("Provider", "Model")}
            row[provider], name, row[model] = made["Provider"], made["Model"], None
            owner = {"owner": f"{self.secret()}@example.com"}
            row["Tags"] = json.dumps(owner | ({"model": name} if model == "Tags" and name else {}))
            if model != "Tags":
                row[model] = name
            table.append(row)
        if self.chance(0.5):
            self.add("focus", account, "parquet", focus_parquet(table))
        else:
            as_text = [
                {
                    n: v.isoformat().replace("+00:00", "Z") if isinstance(v, datetime) else v
                    for n, v in row.items()
                }
                for row in table
            ]
            self.add("focus", account, "csv", csv_text(as_text))

    def estimate_export(self) -> None:
        """Write a gateway's own estimate, which is no bill."""
        lines = [line for line in self.true if line.provider == "google"][:2]
        same = {"Provider": "google", "PublisherName": "google", "InvoiceIssuerName": "google"}
        rows = [
            self.focus_row(replace(line, amount=D("99")), ConsumedUnit="Requests", **same) for line in lines
        ]
        for row in rows:
            row["ProviderName"], row["SkuMeter"] = row.pop("Provider"), row.pop("Model")
        as_text = [{n: str(v) if isinstance(v, datetime) else v for n, v in row.items()} for row in rows]
        self.add("focus", None, "csv", csv_text(as_text))
        self.not_bills += 1

    # ---- invoices

    def invoices(self) -> None:
        columns = ("provider", "invoice_id", "period_start", "period_end", "currency", "amount", "status")
        rows = []
        for provider, currency in (
            ("OpenAI", "USD"),
            ("anthropic", "usd"),
            ("Vertex_AI", "usd"),
            ("acme", "eur"),
        ):
            for start, end in (("2026-10-01", "2026-11-01"), ("2026-11-01", "2026-12-01")):
                status = self.random.choice(("paid", "open", "void", "draft"))
                amount = str(D(self.random.randrange(100, 9000)) / 100)
                number = f"in-{self.next_number()}"
                rows.append((provider, number, start, end, currency, amount, status))
                if self.chance(0.4):  # stated anew
                    rows.append((provider, number, start, end, currency, "12.34", "paid"))
        both = [dict(zip(columns, row, strict=True)) for row in rows]
        self.add("invoices", None, "csv", csv_text(both[:5], columns))
        self.add("invoices", None, "jsonl", jsonl(both[5:]))
        detail = {
            "InvoiceId": f"in-{self.next_number()}",
            "InvoiceDetailId": "1",
            "InvoiceIssuerName": "OpenRouter",
            "InvoiceIssueStatus": "Issued",
            "BillingPeriodStart": "2026-10-01T00:00:00Z",
            "BillingPeriodEnd": "2026-11-01T00:00:00Z",
            "BillingCurrency": "USD",
            "BilledCost": "17.5",
            "BillingAccountId": "acc",
            "ChargeCategory": "Usage",
        }
        self.add("invoices", None, "csv", csv_text([detail]))


# ---- parts


def days(start: date, end: date) -> list[date]:
    return [start + timedelta(days=n) for n in range((end - start).days)]


def unix(day: date) -> int:
    return int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp())


def cents(amount: Decimal) -> Decimal:
    return amount.quantize(CENT, ROUND_HALF_EVEN)


def line_item(line: Billed) -> str:
    kind = {"input": "input_tokens", "cached_input": "cached_input_tokens", "output": "output_tokens"}
    name = line.name()
    return f"{name}, {kind[line.kind]}" if name else line.service.replace("_", " ") + " tool calls"


def grouped(lines: Iterable[Billed], day: date, by: Sequence[str]) -> list[tuple[Row, Decimal, int | None]]:
    """Return what a day's lines are grouped by, with amount and, if one is stated, quantity.

    `model` groups by the model alone, as OpenRouter does.
    """
    sums: dict[tuple[Any, ...], list[Billed]] = defaultdict(list)
    for line in lines:
        if line.day == day:
            item = line_item(line) if "line_item" in by else (line.name() if "model" in by else None)
            project = line.project if "project_id" in by else None
            key = line.key if "api_key_id" in by else None
            sums[(item, project, key, line.currency)].append(line)
    result = []
    for (item, project, key, currency), part in sums.items():
        stated = [one.quantity for one in part if one.quantity is not None]
        result.append(
            (
                {"line_item": item, "project_id": project, "api_key_id": key, "currency": currency},
                sum((one.amount for one in part), D(0)),
                sum(stated) if stated else None,
            )
        )
    return result


def focus_parquet(rows: Sequence[Row]) -> bytes:
    """Write money and quantities as decimals, instants as instants, tags as a map."""
    arrays = {}
    for name in dict.fromkeys(name for row in rows for name in row):
        values = [row.get(name) for row in rows]
        if name in ("BilledCost", "ConsumedQuantity"):
            arrays[name] = pa.array(values, pa.decimal128(38, 15))
        elif name.endswith(("Start", "End")):
            arrays[name] = pa.array(values, pa.timestamp("us", "UTC"))
        elif name == "Tags":
            tags = [list(json.loads(str(one)).items()) for one in values]
            arrays[name] = pa.array(tags, pa.map_(pa.string(), pa.string()))
        else:
            arrays[name] = pa.array(values, pa.string())
    return parquet_table(pa.table(arrays))
