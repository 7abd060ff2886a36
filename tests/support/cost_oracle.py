"""The expected results of cost reconciliation, computed from ledger records and landed bills alone.

Plain Python and Decimal, no product code, slow and obvious on purpose. It follows docs/contract.md, "Provider
bills" and "Cost reconciliation". Where the contract leaves room, the choice is marked `choice:`. A cell that
may hold more than one value is an `Either`.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from decimal import ROUND_HALF_EVEN, Decimal, localcontext
from typing import Any
from zoneinfo import ZoneInfo

from tests.support.bill_files import (
    BILLS,
    ONE_DAY,
    TOKEN_UNITS,
    WIDE,
    BillFile,
    Invoice,
    Line,
    format_and_account,
    read_bill,
    read_invoices,
    rows,
    text,
)
from tests.support.oracle import (
    LAST_UNIT,
    ZERO,
    Either,
    Expected,
    LandedFile,
    Row,
    Rows,
    estimated_cost,
    ledger_version,
    model_name,
    read_rates,
)

PRIORITIES = {
    "currency_mismatch": 2,
    "billed_not_metered": 1,
    "metered_not_billed": 1,
    "token_mismatch": 2,
    "estimated_off": 3,
    "rate_mismatch": 2,
}
# Lines of a service without tokens and model, such as web search.
PRIORITY_OF_SERVICES = 3
HALF_A_CENT = Decimal("0.005")
COUNTED = ("settled", "failed", "reversed")
TOKEN_KINDS = ("input", "cached_input", "cache_write", "output", "all")
SCOPE_FIELDS = ("provider", "project", "key")
Case = tuple[str, date, str, str]


@dataclass(frozen=True)
class CostSettings:
    """Settings, and the shipped aliases that a test relies on, all in lower case."""

    as_of: datetime
    reporting_timezone: str = "UTC"
    default_currency: str = "usd"
    tolerance_abs: Decimal = Decimal("0.01")
    tolerance_rel: Decimal = Decimal("0.005")
    grace_days: int = 2
    providers: Mapping[str, str] = field(default_factory=dict)
    models: Mapping[str, str] = field(default_factory=dict)


@dataclass
class CostTables:
    """The four tables of cost reconciliation: the lines without ids, path and line, the others by grain."""

    bill_lines: list[Row] = field(default_factory=list)
    cases: Rows = field(default_factory=dict)
    months: Rows = field(default_factory=dict)
    profit: Rows = field(default_factory=dict)


@dataclass(frozen=True)
class CountedLine:
    """A line of the statement that counts, with what was looked up for it."""

    line: Line
    account: str
    exact: bool
    model_id: str
    scope: str

    @property
    def is_compared(self) -> bool:
        """Whether the line belongs to a case."""
        return self.line.period is None and self.scope == "sold" and self.line.category == "usage"

    @property
    def tokens(self) -> Decimal | None:
        factor = TOKEN_UNITS.get((self.line.unit or "").lower())
        if self.line.kind not in TOKEN_KINDS or self.line.quantity is None or factor is None:
            return None
        return self.line.quantity * factor


def reconcile_costs(
    records: Iterable[Row], files: Sequence[LandedFile], settings: CostSettings
) -> CostTables:
    """Return what must be published for ledger records and `files`, both in landing order.

    Of `files` the bills count, what configures them (`bills/*.csv`), and own rates (`prices/`).
    """
    with localcontext(WIDE):
        return Reconciliation(records, files, settings).tables()


class Reconciliation:
    def __init__(self, records: Iterable[Row], files: Sequence[LandedFile], settings: CostSettings) -> None:
        self.settings = settings
        self.own_providers = {
            row["name"].strip().lower(): row["provider"].strip().lower()
            for row in configured(files, "providers.csv")
        }
        self.scopes = configured(files, "scope.csv")
        self.own_models = {
            (self.provider_of(row["provider"]), row["model_as_billed"].lower()): model_name(row["model_id"])
            for row in configured(files, "models.csv")
        }
        self.entries = ledger_entries(records, files, settings)
        self.charges = [one for one in self.entries if one["entry_type"] == "charge"]
        self.models: dict[str, set[str]] = defaultdict(set)
        for charge in self.charges:
            charge["billed_by"] = self.billed_by(charge)
            # choice: a pending charge names a model as well.
            self.models[charge["billed_by"]].add(charge["model_id"])
        self.bills, self.invoices = self.read(files)
        self.lines = [self.counted(file, line) for file, line in self.counting_lines()]
        self.reach: dict[str, set[date]] = defaultdict(set)
        self.covered = self.covered_days()

    # ---- reading

    def read(self, files: Sequence[LandedFile]) -> tuple[list[BillFile], list[Invoice]]:
        bills, invoices = [], {}
        seen: set[bytes] = set()
        for file in files:
            if not file.folder.startswith(BILLS) or file.content in seen:
                continue
            seen.add(file.content)
            if format_and_account(file)[0] != "invoices":
                bills.append(read_bill(file, self.provider_of))
                continue
            for one in read_invoices(file):
                # choice: ids are unique per provider and account.
                invoices[(self.provider_of(one.provider), one.account, one.invoice_id)] = one
        return bills, list(invoices.values())

    def provider_of(self, name: str) -> str:
        """Look a provider up. choice: the operator's names before the shipped ones, one step only."""
        name = name.strip().lower()
        return self.own_providers.get(name) or self.settings.providers.get(name) or name

    def billed_by(self, charge: Row) -> str:
        stated = text((charge["metadata"] or {}).get("billed_by"))
        if stated is None and "/" in charge["model_id"]:
            stated = charge["model_id"].split("/", 1)[0]
        return self.provider_of(stated or "unknown")

    # ---- bills

    def counting_lines(self) -> Iterator[tuple[BillFile, Line]]:
        """Yield the lines of the statement that counts of every bucket.

        choice: a file has one statement of a bucket, whatever its pages. A statement without lines has no
        grouping.
        """
        statements: dict[tuple[Any, ...], list[tuple[tuple[Any, ...], BillFile, list[Line]]]] = defaultdict(
            list
        )
        for number, file in enumerate(self.bills):
            lines: dict[tuple[Any, ...], list[Line]] = defaultdict(list)
            for provider, day in file.buckets:
                lines[(provider, file.account, day, None, None)] = []
            for line in file.lines:
                period = line.period or line.day
                # choice: all corrections of a day and billing period are one bucket per file.
                lines[(line.provider, file.account, period, line.corrects, bool(line.period) or None)].append(
                    line
                )
            for bucket, of_bucket in lines.items():
                grouping = sum(
                    any(getattr(one, name) is not None for one in of_bucket)
                    for name in ("model", "project", "key")
                )
                statements[bucket].append(((file.exact, file.own_format, grouping, number), file, of_bucket))
        for candidates in statements.values():
            _, file, of_bucket = max(candidates, key=lambda one: one[0])
            for line in of_bucket:
                yield file, line

    def counted(self, file: BillFile, line: Line) -> CountedLine:
        return CountedLine(line, file.account, file.exact, self.model_of(line), self.scope_of(line))

    def scope_of(self, line: Line) -> str:
        best, scope = -1, "sold"
        for row in self.scopes:
            stated = {name: row[name] for name in SCOPE_FIELDS if row.get(name)}
            if "provider" in stated:
                stated["provider"] = self.provider_of(stated["provider"])
            fits = all(getattr(line, name) == value for name, value in stated.items())
            if fits and len(stated) >= best:
                best, scope = len(stated), row["scope"]
        return scope

    def model_of(self, line: Line) -> str:
        """Look a billed model up. choice: texts are compared in lower case; no name at all is `unknown`."""
        if line.model is None:
            return "unknown"
        models, billed = sorted(self.models[line.provider]), self.short(line.provider, line.model)
        for wanted in (billed, f"{line.provider}/{billed}"):
            exact = [one for one in models if self.short(line.provider, one) == wanted]
            if exact:
                return exact[0]
        by_part = [one for one in models if name_part(one) == billed]
        if len(by_part) == 1:
            return by_part[0]
        own = self.own_models.get((line.provider, line.model.lower()))
        if own is not None:
            return own
        # choice: aliases hold for both sides, so that a bill's display name finds a ledger's dated id.
        fits = [one for one in models if self.alias_of(name_part(one)) == self.alias_of(name_part(billed))]
        return fits[0] if len(fits) == 1 else "unknown"

    def alias_of(self, name: str) -> str:
        return self.settings.models.get(name, name)

    @staticmethod
    def short(provider: str, name: str) -> str:
        name = name.lower()
        return name.removeprefix("openrouter/") if provider == "openrouter" else name

    def covered_days(self) -> dict[str, set[date]]:
        """Return the days of each provider that each of its accounts covers from its first one on."""
        by_account: dict[str, dict[str, set[date]]] = defaultdict(lambda: defaultdict(set))
        for file in self.bills:
            for provider, days in file.covered.items():
                by_account[provider][file.account] |= days
        for provider, accounts in by_account.items():
            self.reach[provider] = set().union(*accounts.values())
        return {
            provider: {
                day
                for day in self.reach[provider]
                if all(day in days for days in accounts.values() if min(days) <= day)
            }
            for provider, accounts in by_account.items()
        }

    # ---- tables

    def tables(self) -> CostTables:
        result = CostTables([self.line_row(one) for one in self.lines])
        self.of_charges: dict[Case, list[Row]] = defaultdict(list)
        self.of_lines: dict[Case, list[CountedLine]] = defaultdict(list)
        for charge in self.charges:
            if charge["status"] in COUNTED:
                day = charge["occurred_at"].astimezone(UTC).date()
                case = (charge["billed_by"], day, charge["model_id"], charge["provider_cost_currency"])
                self.of_charges[case].append(charge)
        for one in self.lines:
            if one.is_compared:
                self.of_lines[(one.line.provider, one.line.day, one.model_id, one.line.currency)].append(one)
        for case in sorted({*self.of_charges, *self.of_lines}):
            result.cases[case] = self.case_row(case)
        result.months = self.month_rows(result.cases)
        result.profit = self.profit_rows(result.cases)
        return result

    @staticmethod
    def line_row(one: CountedLine) -> Row:
        line = one.line
        return {
            "provider": line.provider,
            "account": one.account,
            "usage_date": line.day,
            "model_id": one.model_id,
            "model_as_billed": line.model,
            "charge_category": line.category,
            "token_kind": line.kind,
            "quantity": line.quantity,
            "unit": line.unit,
            "billed_amount": line.amount,
            "currency": line.currency,
            "project": line.project,
            "key": line.key,
            "scope": one.scope,
        }

    def case_row(self, case: Case) -> Row:
        provider, day, _, _ = case
        charges, lines = self.of_charges.get(case, []), self.of_lines.get(case, [])
        known = [one["provider_cost"] for one in charges if one["provider_cost"] is not None]
        estimated = [one["provider_cost"] for one in charges if one["basis"] == "estimated"]
        row: Row = {
            "case_id": ":".join(map(str, case)),
            "charges": len(charges),
            "charges_without_cost": len(charges) - len(known),
            "ledger_cost": None if charges and not known else sum(known, ZERO),
            # choice: 0 where all costs are unknown.
            "ledger_cost_estimated": sum(estimated, ZERO),
            "ledger_tokens": tokens_of([one["total_tokens"] for one in charges]),
            "billed_cost": sum((one.line.amount for one in lines), ZERO),
            "billed_tokens": tokens_of([one.tokens for one in lines]),
        }
        if day not in self.covered.get(provider, set()):
            row["billed_cost"] = row["billed_tokens"] = None
        row |= split(row["ledger_cost"], row["billed_cost"], row["ledger_tokens"], row["billed_tokens"])
        row |= {"status": "matched", "break_type": None, "priority": None}
        if self.is_pending(provider, day, charges, lines):
            row["status"] = "pending"
        elif kind := self.break_of(case, row, charges, lines):
            row |= {"status": "break", "break_type": kind, "priority": PRIORITIES[kind]}
            if kind == "billed_not_metered" and all(
                one.line.kind == "other" and one.line.model is None for one in lines
            ):
                row["priority"] = PRIORITY_OF_SERVICES
        return row

    def is_pending(self, provider: str, day: date, charges: list[Row], lines: list[CountedLine]) -> bool:
        """Check whether it is too early to compare.

        choice: a charge has no line where its own row of the table has none, whatever its cost.
        """
        covered, grace = self.covered.get(provider, set()), timedelta(days=self.settings.grace_days)
        if day not in covered:
            return True
        ended_at = datetime.combine(day + ONE_DAY, time(), UTC)
        if self.settings.as_of - ended_at < grace:
            return True
        return bool(charges) and not lines and max(covered) - day <= grace

    def break_of(self, case: Case, row: Row, charges: list[Row], lines: list[CountedLine]) -> str | None:
        if row["difference"] is None:  # no cost is known
            return "estimated_off"
        relative = self.settings.tolerance_rel
        tolerance = max(self.settings.tolerance_abs, relative * row["billed_cost"])
        tolerance += HALF_A_CENT * sum(not one.exact for one in lines)
        if abs(row["difference"]) <= tolerance:
            return None
        if not (charges and lines):
            missing = self.of_lines if charges else self.of_charges
            if any(other[:3] == case[:3] and other[3] != case[3] for other in missing):
                return "currency_mismatch"
            return "metered_not_billed" if charges else "billed_not_metered"
        ledger, billed = row["ledger_tokens"], row["billed_tokens"]
        if ledger is not None and billed is not None and abs(billed - ledger) > relative * billed:
            return "token_mismatch"
        any_unsure = any(one["basis"] != "reported" for one in charges)
        return "estimated_off" if any_unsure else "rate_mismatch"

    def month_rows(self, cases: Rows) -> Rows:
        """Return a row for every month with a case, a line or an invoice that counts."""
        found: dict[tuple[Any, ...], list[Row]] = defaultdict(list)
        pending: dict[str, set[date]] = defaultdict(set)
        for (provider, day, _, currency), row in cases.items():
            found[(provider, day.replace(day=1), currency)].append(row)
            if row["status"] == "pending":
                pending[provider].add(day)
        billed: dict[tuple[Any, ...], Decimal] = defaultdict(Decimal)
        for one in self.lines:
            billed[(one.line.provider, one.line.day.replace(day=1), one.line.currency)] += one.line.amount
        invoiced: dict[tuple[Any, ...], Decimal] = defaultdict(Decimal)
        for invoice in self.invoices:
            if invoice.status not in ("void", "draft"):
                invoiced[(self.provider_of(invoice.provider), invoice.month, invoice.currency)] += (
                    invoice.amount
                )
        result: Rows = {}
        for key in sorted({*found, *billed, *invoiced}):
            provider, month, _ = key
            days = set(month_days(month))
            compared = days & self.covered.get(provider, set()) - pending[provider]
            # choice: a bill landed for a month where it covers a day of it or has a line in it.
            landed = days & self.reach[provider] or any(
                (one.line.provider, one.line.day.replace(day=1)) == (provider, month) for one in self.lines
            )
            verdict = "complete" if compared == days else "partial" if landed else "missing"
            result[key] = {
                **compared_sums(found[key]),
                "invoiced_amount": invoiced.get(key),
                "invoice_difference": billed[key] - invoiced[key] if key in invoiced else None,
                "days_compared": len(compared),
                "verdict": verdict,
            }
        return result

    def profit_rows(self, cases: Rows) -> Rows:
        """Return months with charges, refunds or compared cases. choice: others may have a row of zeros."""
        zone = ZoneInfo(self.settings.reporting_timezone)
        profit: dict[tuple[Any, ...], Decimal] = defaultdict(Decimal)
        for entry in self.entries:
            if entry["entry_type"] != "charge" or entry["status"] == "pending":
                continue
            key = (entry["occurred_at"].astimezone(zone).date().replace(day=1), entry["currency"])
            if entry["status"] == "settled":
                profit[key] += entry["amount"] - (entry["platform_fees"] or ZERO)
            if entry["provider_cost_currency"] == entry["currency"]:
                profit[key] -= entry["provider_cost"] or ZERO
            else:  # unknown in totals of the currency, and the row is there
                profit[key] += ZERO
        off: dict[tuple[Any, ...], Decimal] = defaultdict(Decimal)
        for (_, day, _, currency), row in cases.items():
            if row["status"] != "pending" and row["difference"] is not None:
                off[(day.replace(day=1), currency)] += row["difference"]
        return {
            key: {
                "profit": profit[key],
                "cost_difference": off[key],
                "profit_at_bill": profit[key] - off[key],
            }
            for key in sorted({*profit, *off})
        }


# ---- parts


def configured(files: Sequence[LandedFile], name: str) -> list[Row]:
    """Return the rows of the last landed file of a name."""
    landed = [file for file in files if file.folder == "bills" and file.name == name]
    return list(rows(landed[-1])) if landed else []


def ledger_entries(records: Iterable[Row], files: Sequence[LandedFile], settings: CostSettings) -> list[Row]:
    """Return the latest version of every entry, with its model and cost."""
    rates = read_rates(files, Expected(), settings.default_currency)
    zone = ZoneInfo(settings.reporting_timezone)
    latest: dict[str, Row] = {}
    for record in records:
        version = ledger_version(record)
        current = latest.get(version["entry_id"])
        if current is None or version["updated_at"] >= current["updated_at"]:
            latest[version["entry_id"]] = version | {"cost_currency": record.get("provider_cost_currency")}
    for entry in latest.values():
        entry["entry_date"] = entry["occurred_at"].astimezone(zone).date()
        entry["currency"] = entry["currency"] or settings.default_currency
        entry["provider_cost_currency"] = (entry["cost_currency"] or entry["currency"]).lower()
        entry["model_id"] = model_name(entry["model"]) or "unknown"
        entry["basis"] = "reported"
        if entry["provider_cost"] is None and entry["entry_type"] == "charge":
            entry["provider_cost"] = estimated_cost(entry, rates)
            entry["basis"] = "unknown" if entry["provider_cost"] is None else "estimated"
    return list(latest.values())


def name_part(model: str) -> str:
    """Return what follows the provider, in lower case."""
    return model.lower().split("/", 1)[-1]


def tokens_of(stated: Sequence[Decimal | int | None]) -> Decimal | None:
    """Return 0 for a side without rows, None where nobody states tokens."""
    known = [Decimal(one) for one in stated if one is not None]
    return sum(known, ZERO) if known or not stated else None


def split(
    ledger: Decimal | None,
    billed: Decimal | None,
    ledger_tokens: Decimal | None,
    billed_tokens: Decimal | None,
) -> Row:
    """Return the difference, and how much of it is volume and how much is rate."""
    if ledger is None or billed is None:
        return dict.fromkeys(("difference", "volume_difference", "rate_difference"))
    difference, volume = billed - ledger, None
    if ledger_tokens and billed_tokens:
        exact = (billed_tokens - ledger_tokens) * billed / billed_tokens
        volume = exact.quantize(LAST_UNIT, ROUND_HALF_EVEN)
    rate = difference - (volume or ZERO)
    return {"difference": difference, "volume_difference": volume, "rate_difference": rate}


def compared_sums(cases: Sequence[Row]) -> Row:
    """Return the sums over compared cases. choice: where there are none, they may be 0 or unknown."""
    compared = [one for one in cases if one["status"] != "pending" and one["difference"] is not None]
    return {
        name: sum((one[name] for one in compared), ZERO) if compared else Either((ZERO, None))
        for name in ("ledger_cost", "billed_cost", "difference")
    }


def month_days(month: date) -> Iterator[date]:
    day = month
    while day.month == month.month:
        yield day
        day += ONE_DAY
