"""Land the sample: build all files in memory, then put each in its place whole."""

import json
import os
from collections import Counter
from dataclasses import dataclass
from datetime import UTC, date, tzinfo
from decimal import Decimal
from pathlib import Path
from random import Random

from sample_data import formats
from sample_data.books import LEDGER_DAYS, Books, Statement, keep_books
from sample_data.breaks import move_money
from sample_data.payment_files import payment_files
from sample_data.pricing import OWN_MODEL, OWN_RATES, text
from sample_data.requests import real_requests
from sample_data.stripe_account import open_account
from sample_data.world import CHAT, CODE, Calendar, make_world

SEED = 20231116
BAD_RECORDS = 8
"""One each: a cut line, an unknown type, a time without offset, a comma in an amount, too many fields, no
user, an event without id, a JSON array.
"""

LEDGER_FORMATS = ("parquet", "csv.gz", "jsonl.zst", "jsonl.gz", "csv", "jsonl")
"""The ledger comes as six exports, each from a system with other habits."""
EVENT_FORMATS = {
    ("a", True): "jsonl.gz",
    ("b", True): "jsonl",
    ("a", False): "jsonl",
    ("b", False): "jsonl.zst",
}
"""By body shape, with the `paywall.` prefix or without."""


@dataclass(frozen=True, slots=True)
class SampleSummary:
    """What was landed."""

    first_day: date
    last_day: date
    files: tuple[Path, ...]
    records: int
    """Ledger entry versions, webhook deliveries, rows about payments and price rows, the bad ones included.
    """
    bad_records: int
    requests: int
    users: int
    kinds: dict[str, int]
    """Statements by ledger type and status or by event type, the bad ones left out."""
    payments: int
    """Payments that Stripe's reports and the bank transfers tell of, the failed ones included."""
    planted: dict[str, tuple[str, ...]]
    """Breaks between ledger and payments that are there on purpose: case ids (contract 5) by break type."""

    @property
    def breaks(self) -> dict[str, int]:
        """How many breaks were planted, by type."""
        return {break_type: len(cases) for break_type, cases in self.planted.items()}


def describe(summary: SampleSummary) -> str:
    """What was landed, what of it is real and what is made."""
    breaks = ", ".join(f"{count} {break_type}" for break_type, count in summary.breaks.items())
    return (
        f"Sample data, {summary.first_day} to {summary.last_day}: {summary.records:,} records in"
        f" {len(summary.files)} files, {summary.requests:,} requests, {summary.users} users.\nReal: the"
        f" prompt and completion tokens of each of the {summary.requests:,} requests and their relative"
        " times, recorded at two Azure LLM services on 16 November 2023 (Azure Public Dataset, CC-BY 4.0;"
        " Patel et al., Splitwise: Efficient generative LLM inference using phase splitting, ISCA 2024),"
        " stretched from an hour to a day. Real too: the models' list prices, from genai-prices.\nMade:"
        " everything else. Users, dates, which model answered, markups, deposits, refunds, failures, cached"
        " and reasoning tokens, the rates of euro and pound, Stripe's reports, bank transfers and all ids"
        f" are invented; {summary.bad_records} records are bad on purpose. Between the ledger and its"
        f" {summary.payments} payments, {sum(summary.breaks.values())} breaks are planted: {breaks}."
    )


def land_sample(landing: Path, as_of: date, zone: tzinfo = UTC) -> SampleSummary:
    """Write the sample whose last day is `as_of` (a day in `zone`) into a landing area.

    The same arguments give the same bytes. A landing area that holds another sample is refused: two would not
    add up.
    """
    calendar = Calendar(as_of, zone)
    traces = real_requests()
    random = Random(SEED)  # noqa: S311  nothing secret: the same sample every time
    wallets = make_world(traces, calendar, random)
    books = keep_books(wallets, calendar, random)
    money = move_money(books, wallets)
    account = open_account(money.payments, calendar)
    paid, paid_records = payment_files(account, money.payments)
    ledger, ledger_records = ledger_files(books)
    events, event_records = event_files(books)
    files = ledger | events | paid | {f"prices/sample-own-rates-{as_of}.csv": own_rates(calendar)}
    refuse_another_sample(landing, files)
    for name, content in files.items():
        put(landing / name, content)
    kinds = Counter(
        f"{entry['type']} {entry['status']}"
        for entry in [*books.ledger, *books.euro_ledger, *books.late_ledger]
    )
    kinds.update(event["type"].removeprefix("paywall.") for event in books.events)
    return SampleSummary(
        first_day=calendar.first_day,
        last_day=as_of,
        files=tuple(landing / name for name in files),
        records=ledger_records + event_records + paid_records + 1,
        bad_records=BAD_RECORDS,
        requests=sum(map(len, traces.values())),
        users=len({wallet.user for wallet in wallets}),
        kinds=dict(sorted(kinds.items())),
        payments=sum(payment.paid_at < account.until for payment in money.payments),
        planted=money.planted,
    )


def refuse_another_sample(landing: Path, files: dict[str, bytes]) -> None:
    """Raise where a sample file is landed that is not one of `files`, byte by byte."""
    landed = [
        path
        for folder in ("ledger", "events", "payments", "prices")
        for path in sorted((landing / folder).glob("sample-*"))
    ]
    # Stripe's names do not say that they are the sample's: only files of the same name are looked at.
    landed += [path for name in files if name.startswith("stripe/") and (path := landing / name).exists()]
    for path in landed:
        if files.get(path.relative_to(landing).as_posix()) != path.read_bytes():
            raise FileExistsError(
                f"{path}: another sample (other last day, time zone or version) is landed already. "
                "Use it as it is, or start an empty WAREHOUSE_HOME for a new one."
            )


def put(path: Path, content: bytes) -> None:
    """Write beside `path`, then swap. A file that is there already stays as it is: landed files never
    change.
    """
    if path.exists():
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.partial")
    partial.write_bytes(content)
    os.replace(partial, path)


def in_order(entries: list[Statement]) -> list[Statement]:
    """As an export lists them: by the instant of the version."""
    return sorted(entries, key=lambda entry: (entry["updated_at"], entry["id"], entry["status"]))


def ledger_files(books: Books) -> tuple[dict[str, bytes], int]:
    """Six exports in US dollar, one of the paywall in euro, and one with what came late. Files and their
    records.
    """
    calendar = books.calendar
    bounds = [LEDGER_DAYS * part // len(LEDGER_FORMATS) for part in range(len(LEDGER_FORMATS) + 1)]
    exports: list[list[Statement]] = [[] for _ in LEDGER_FORMATS]
    late = list(books.late_ledger)
    for entry in books.ledger:
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
        in_order(books.euro_ledger + [e for e in late if e["currency"] == "eur"]), offset_hours=1
    )
    name = f"ledger/sample-{calendar.day(0)}_{calendar.last_day}-eu.csv"
    files[name] = formats.lines(name, euro)
    rows = [formats.entry_line(entry) for entry in in_order([e for e in late if e["currency"] != "eur"])]
    nobody = bad_charge("no_user", calendar.ends)
    del nobody["user"]
    rows.insert(len(rows) // 2, json.dumps(nobody))
    name = f"ledger/sample-{calendar.last_day}-late.jsonl"
    files[name] = formats.lines(name, rows)
    return files, records + len(euro) - 1 + len(rows)


def bad_charge(name: str, instant: int) -> dict[str, str]:
    """A charge nearly like any other, for the caller to spoil."""
    fields = {"type": "charge", "user": "usr_bad", "paywall": CODE.id, "amount": "0.01"}
    return {"id": f"act_sample_bad_{name}", "timestamp": formats.rfc3339(instant)} | fields


def export_rows(suffix: str, entries: list[Statement]) -> tuple[list[str], list[Statement]]:
    """The lines of one export with its own habits and one bad record, and what must be stated again because
    of it.
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


def event_files(books: Books) -> tuple[dict[str, bytes], int]:
    """Both body shapes, each with and without the prefix. Files and their records."""
    last_day = books.calendar.last_day
    groups: dict[tuple[str, bool], list[Statement]] = {}
    for event in sorted(books.events, key=lambda event: (event["at"], event["id"], event["attempts"])):
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
    """The operator's own price list (contract 2.6), for the model that no price book knows."""
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
