"""Landing the sample: all files are built in memory, then each is written atomically."""

import json
import os
from collections import Counter
from dataclasses import dataclass
from datetime import UTC, date, tzinfo
from decimal import Decimal
from pathlib import Path
from random import Random

from sample_data import formats
from sample_data.bills import FOLDER as BILLS, SCOPE, make_bills
from sample_data.breaks import move_money
from sample_data.credit import change_credit
from sample_data.litellm import FOLDER, MARKUPS, gateway_log
from sample_data.payment_files import payment_files
from sample_data.pricing import OWN_MODEL, OWN_RATES, text
from sample_data.requests import real_requests
from sample_data.statements import LEDGER_DAYS, Statement, Statements, make_statements
from sample_data.stripe_account import open_account
from sample_data.world import CHAT, CODE, Calendar, make_world

SEED = 20231116
BAD_RECORDS = 9
"""One each of: a cut line, an unknown type, a time without offset, a comma in an amount, too many fields, no
user, an event without an id, a JSON array, a time as a spreadsheet writes it (in the log of the gateway).
"""

LEDGER_FORMATS = ("parquet", "csv.gz", "jsonl.zst", "jsonl.gz", "csv", "jsonl")
"""The ledger consists of six exports, each in the style of another system."""
EVENT_FORMATS = {
    ("a", True): "jsonl.gz",
    ("b", True): "jsonl",
    ("a", False): "jsonl",
    ("b", False): "jsonl.zst",
}
"""The format by body shape, and by whether events have the `paywall.` prefix."""


@dataclass(frozen=True, slots=True)
class SampleSummary:
    """The summary of the landed sample."""

    first_day: date
    last_day: date
    files: tuple[Path, ...]
    records: int
    """Ledger entry versions, webhook deliveries, rows about payments, rows of the gateway's log, rows of
    prices and markups, lines of bills, and rows of invoices and scopes, including bad ones.
    """
    bad_records: int
    requests: int
    """Real requests, each of which is a charge of a paywall."""
    repeated: int
    """Real requests whose token counts are repeated in the gateway's log, as postpaid charges."""
    users: int
    """Users of the paywalls, and customers of the gateway."""
    kinds: dict[str, int]
    """Statements by ledger type and status or by event type, without bad ones. Those of the gateway's log
    are `postpaid charge`, lines of bills that count are `bill line`.
    """
    payments: int
    """Payments in Stripe's reports and the bank transfers, including failed ones."""
    planted: dict[str, tuple[str, ...]]
    """Planted breaks between ledger and payments: case ids by break type (docs/contract.md#53-breaks)."""
    planted_costs: dict[str, tuple[str, ...]]
    """Planted breaks between ledger and bills: case ids by break type (docs/costs.md)."""

    @property
    def breaks(self) -> dict[str, int]:
        """Return the number of planted breaks between ledger and payments, by type."""
        return {break_type: len(cases) for break_type, cases in self.planted.items()}

    @property
    def cost_breaks(self) -> dict[str, int]:
        """Return the number of planted breaks between ledger and bills, by type."""
        return {break_type: len(cases) for break_type, cases in self.planted_costs.items()}


def describe(summary: SampleSummary) -> str:
    """Return what was landed, what of it is real and what is invented."""

    def counted(breaks: dict[str, int]) -> str:
        types = ", ".join(f"{count} {break_type}" for break_type, count in breaks.items())
        return f"{sum(breaks.values())} breaks are planted: {types}."

    return (
        f"Sample data, {summary.first_day} to {summary.last_day}: {summary.records:,} records in"
        f" {len(summary.files)} files, {summary.requests:,} requests, {summary.users} users.\nReal: the"
        f" prompt and completion tokens of each of the {summary.requests:,} requests and their relative"
        " times, recorded at two Azure LLM services on 16 November 2023 (Azure Public Dataset, CC-BY 4.0;"
        " Patel et al., Splitwise: Efficient generative LLM inference using phase splitting, ISCA 2024),"
        f" stretched from an hour to a day. For {summary.repeated} of them, their token counts are repeated"
        " in an invented LiteLLM log. Real too: the models' list prices, from genai-prices.\nMade:"
        " everything else. Users, dates, which model answered, markups, deposits, refunds, expiries,"
        " failures, cached and reasoning tokens, the rates of euro and pound, Stripe's reports, bank"
        " transfers, the LiteLLM log, the bills of OpenAI and Anthropic and all ids are invented;"
        f" {summary.bad_records} records are bad on purpose. Between the ledger and its {summary.payments}"
        f" payments, {counted(summary.breaks)} Between it and the bills, {counted(summary.cost_breaks)}"
    )


def land_sample(landing: Path, as_of: date, zone: tzinfo = UTC) -> SampleSummary:
    """Write the sample whose last day is `as_of` (a day in `zone`) into a landing area.

    The same arguments give the same bytes. A landing area with another sample is refused, because two samples
    are not consistent with each other.
    """
    calendar = Calendar(as_of, zone)
    traces = real_requests()
    random = Random(SEED)  # noqa: S311  not secret: the sample must be the same every time
    wallets = make_world(traces, calendar, random)
    statements = make_statements(wallets, calendar, random)
    money = move_money(statements, wallets)
    money.payments += change_credit(statements, wallets)
    account = open_account(money.payments, calendar)
    paid, paid_records = payment_files(account, money.payments)
    ledger, ledger_records = ledger_files(statements)
    events, event_records = event_files(statements)
    # Generators of their own, so that the rest of the sample does not depend on them.
    gateway = gateway_log(traces, calendar, Random(SEED))  # noqa: S311
    files = ledger | events | paid | {f"prices/sample-own-rates-{as_of}.csv": own_rates(calendar)}
    bills = make_bills(statements, gateway, Random(SEED))  # noqa: S311
    files |= gateway.files | bills.files
    refuse_another_sample(landing, files)
    for name, content in files.items():
        put(landing / name, content)
    kinds = Counter(
        f"{entry['type']} {entry['status']}"
        for entry in [*statements.ledger, *statements.euro_ledger, *statements.late_ledger]
    )
    kinds.update(event["type"].removeprefix("paywall.") for event in statements.events)
    kinds.update(f"postpaid charge {status}" for status in gateway.statuses)
    kinds.update({f"bill line of {provider}": lines for provider, lines in bills.lines.items()})
    return SampleSummary(
        first_day=calendar.first_day,
        last_day=as_of,
        files=tuple(landing / name for name in files),
        records=ledger_records + event_records + paid_records + gateway.records + bills.records + 1,
        bad_records=BAD_RECORDS,
        requests=sum(map(len, traces.values())),
        repeated=gateway.statuses.count("settled"),
        users=len({wallet.user for wallet in wallets}.union(gateway.customers)),
        kinds=dict(sorted(kinds.items())),
        payments=sum(payment.paid_at < account.until for payment in money.payments),
        planted=money.planted,
        planted_costs=bills.planted,
    )


def refuse_another_sample(landing: Path, files: dict[str, bytes]) -> None:
    """Raise `FileExistsError` if a landed sample file differs from `files`, or is not one of them."""
    landed = [
        path
        for folder in ("ledger", "events", "payments", "prices", FOLDER, BILLS)
        for path in sorted((landing / folder).rglob("sample-*"))
    ]
    # The names of Stripe's files, of the markups and of the scopes do not show that they are part of the
    # sample: only equal names are compared.
    nameless = [name for name in files if name.startswith("stripe/") or name in (MARKUPS, SCOPE)]
    landed += [path for name in nameless if (path := landing / name).exists()]
    for path in landed:
        if files.get(path.relative_to(landing).as_posix()) != path.read_bytes():
            raise FileExistsError(
                f"{path}: another sample (other last day, time zone or version) is landed already. "
                "Use it as it is, or start an empty WAREHOUSE_HOME for a new one."
            )


def put(path: Path, content: bytes) -> None:
    """Write beside `path`, then swap. An existing file stays as it is, because landed files never change."""
    if path.exists():
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.partial")
    partial.write_bytes(content)
    os.replace(partial, path)


def in_order(entries: list[Statement]) -> list[Statement]:
    """Return the entries in the order of an export: by the instant of the version."""
    return sorted(entries, key=lambda entry: (entry["updated_at"], entry["id"], entry["status"]))


def ledger_files(statements: Statements) -> tuple[dict[str, bytes], int]:
    """Return six exports in US dollar, one in euro, and one with late statements, and the number of
    records.
    """
    calendar = statements.calendar
    bounds = [LEDGER_DAYS * part // len(LEDGER_FORMATS) for part in range(len(LEDGER_FORMATS) + 1)]
    exports: list[list[Statement]] = [[] for _ in LEDGER_FORMATS]
    late = list(statements.late_ledger)
    for entry in statements.ledger:
        number = calendar.number(entry["updated_at"])
        export = next((part for part, end in enumerate(bounds[1:]) if number < end), None)
        (late if export is None else exports[export]).append(entry)
    files: dict[str, bytes] = {}
    records = 0
    for part, suffix in enumerate(LEDGER_FORMATS):
        name = f"ledger/sample-{calendar.day(bounds[part])}_{calendar.day(bounds[part + 1] - 1)}.{suffix}"
        entries = in_order(exports[part])
        if suffix == "parquet":
            files[name] = formats.parquet(entries)
            records += len(entries)
            continue
        rows, corrected = export_rows(suffix, entries)
        late += corrected
        files[name] = formats.lines(name, rows)
        records += len(rows) - suffix.startswith("csv")
    euro = formats.csv_rows(
        in_order(statements.euro_ledger + [e for e in late if e["currency"] == "eur"]), offset_hours=1
    )
    name = f"ledger/sample-{calendar.day(0)}_{calendar.last_day}-eu.csv"
    files[name] = formats.lines(name, euro)
    rows = [formats.entry_line(entry) for entry in in_order([e for e in late if e["currency"] != "eur"])]
    without_user = bad_charge("no_user", calendar.ends)
    del without_user["user"]
    rows.insert(len(rows) // 2, json.dumps(without_user))
    name = f"ledger/sample-{calendar.last_day}-late.jsonl"
    files[name] = formats.lines(name, rows)
    return files, records + len(euro) - 1 + len(rows)


def bad_charge(name: str, instant: int) -> dict[str, str]:
    """Return a charge that is almost valid, for the caller to make invalid."""
    fields = {"type": "charge", "user": "usr_bad", "paywall": CODE.id, "amount": "0.01"}
    return {"id": f"act_sample_bad_{name}", "timestamp": formats.rfc3339(instant)} | fields


def export_rows(suffix: str, entries: list[Statement]) -> tuple[list[str], list[Statement]]:
    """Return the lines of one export in its own style with one bad record, and the entries that must be
    stated again because of it.
    """
    bad = bad_charge(suffix.replace(".", "_"), entries[len(entries) // 2]["updated_at"])
    when = bad["timestamp"]
    corrected: list[Statement] = []
    if suffix == "csv.gz":
        rows = formats.csv_rows(entries)
        surplus = (
            f"{bad['id']},{when},{when},charge,settled,usr_bad,{CODE.id},0.01,usd,,,,,,,,,,,,surplus,surplus"
        )
        rows.insert(len(rows) // 2, surplus)
    elif suffix == "jsonl.zst":
        rows = [formats.entry_line(entry, pricing_rule="token_markup") for entry in entries]
        place = next(
            place
            for place, entry in enumerate(entries)
            if entry["type"] == "deposit" and entry["status"] == "settled"
        )
        corrected = [entries[place]]
        line = json.loads(rows[place])
        rows[place] = json.dumps(
            line | {"timestamp": formats.naive(entries[place]["timestamp"])}, ensure_ascii=False
        )
    elif suffix == "jsonl.gz":
        rows = [formats.entry_line(entry) for entry in entries]
        rows.insert(len(rows) // 2, json.dumps(bad | {"type": "bonus"}))
    elif suffix == "csv":
        rows = formats.csv_rows(entries, own_words=True)
        comma = f'{bad["id"]},{when},{when},charge,completed,usr_bad,{CODE.id},"0,01",USD'
        rows.insert(len(rows) // 2, comma + "," * (len(formats.FIELDS) - 9))
    else:
        rows = [formats.entry_line(entry, numbers=True) for entry in entries]
        rows.insert(len(rows) // 2, json.dumps(bad)[:-30])
    return rows, corrected


def event_files(statements: Statements) -> tuple[dict[str, bytes], int]:
    """Return files in both body shapes, each with and without the prefix, and the number of records."""
    last_day = statements.calendar.last_day
    groups: dict[tuple[str, bool], list[Statement]] = {}
    for event in sorted(statements.events, key=lambda event: (event["at"], event["id"], event["attempts"])):
        shape = "b" if event["paywall"] is CHAT else "a"
        groups.setdefault((shape, event["type"].startswith("paywall.")), []).append(event)
    files: dict[str, bytes] = {}
    records = 0
    for (shape, prefixed), suffix in EVENT_FORMATS.items():
        write = formats.shape_a if shape == "a" else formats.shape_b
        rows = [write(event) for event in groups[shape, prefixed]]
        if (shape, prefixed) == ("a", False):
            rows.insert(len(rows) // 2, f"[{rows[0]}]")
        if (shape, prefixed) == ("b", True):
            nameless = json.loads(rows[0])
            del nameless["id"]
            rows.insert(len(rows) // 2, json.dumps(nameless))
        name = f"events/sample-{last_day}-shape-{shape}-{'paywall' if prefixed else 'renamed'}.{suffix}"
        files[name] = formats.lines(name, rows)
        records += len(rows)
    return files, records


def own_rates(calendar: Calendar) -> bytes:
    """Return the operator's own price list (docs/contract.md#26-provider-rates), for the model that no
    price book has.
    """
    rate = OWN_RATES[OWN_MODEL]
    row = {
        "model": OWN_MODEL,
        "effective_from": calendar.first_day.isoformat(),
        "effective_to": "",
        "prompt_per_million": text(rate.prompt),
        "completion_per_million": text(rate.completion),
        "cached_prompt_per_million": text(rate.cached_prompt or Decimal(0)),
        "per_request": "",
        "currency": "usd",
    }
    return f"{','.join(row)}\n{','.join(row.values())}\n".encode()
