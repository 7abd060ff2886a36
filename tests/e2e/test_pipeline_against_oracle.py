"""Whole runs of the product against the oracle: what is published is exactly what the landing files say.

`ORACLE_EXAMPLES` sets how many scenarios hypothesis tries (a run costs seconds); `make soak` raises it.
"""

import os
import shutil
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from itertools import permutations
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, strategies as st

from tests.support.builders import (
    Raw,
    charge,
    columns_of,
    csv_text,
    delivered,
    deposit,
    event,
    jsonl,
    land,
    landed,
    ledger_file,
    parquet,
    parquet_table,
    withdrawal,
)
from tests.support.harness import publish_home
from tests.support.oracle import (
    Expected,
    LandedFile,
    OracleSettings,
    Rows,
    expected,
    json_value,
    parse_json,
)
from tests.support.published_tables import Published, differences, few
from tests.support.strategies import (
    BAD_EVENTS,
    BAD_LEDGER_RECORDS,
    Scenario,
    build_scenario,
    good_usage,
    scenarios,
)

pytestmark = [pytest.mark.slow, pytest.mark.timeout(0)]

EXAMPLES = int(os.environ.get("ORACLE_EXAMPLES", "1"))
NOON = "2026-03-10T12:00:00Z"


# ---- reading the file


# ---- comparing

GRAINS = {
    "entries": ("fct_ledger_entries", ("entry_id",)),
    "daily_revenue": ("fct_daily_revenue", ("date_day", "paywall_id", "model_id", "currency")),
    "user_days": ("fct_user_days", ("date_day", "user_id", "paywall_id", "currency")),
    "wallet_days": ("fct_wallet_days", ("user_id", "paywall_id", "currency", "date_day")),
    "balance_rollforward": ("fct_balance_rollforward", ("date_day", "currency")),
    "cohorts": ("fct_cohorts", ("cohort_month", "currency", "months_since")),
    "period_kpis": ("fct_period_kpis", ("period", "currency")),
    "usage_errors": ("fct_usage_errors", ("event_id",)),
    "users": ("dim_users", ("user_id",)),
    "rpt_users": ("rpt_users", ("user_id", "currency")),
    "rpt_models": ("rpt_models", ("model_id", "currency", "period")),
}


def plain_metadata(rows: Rows, wanted: Rows) -> Rows:
    """Published entries with their metadata parsed; of a webhook's, only what the event's own metadata
    said.
    """
    plain = {}
    for key, row in rows.items():
        metadata = json_value(parse_json(row["metadata"])) if row["metadata"] else None
        if row["source"] == "webhook" and metadata is not None:
            stated = wanted.get(key, {}).get("metadata") or {}
            metadata = {name: value for name, value in metadata.items() if name in stated}
        plain[key] = row | {"metadata": metadata or None}
    return plain


def rejects_differ(want: Expected, published: Published) -> str:
    found: Counter[tuple[str, int | None]] = Counter()
    lines = []
    for row in published.rows("ops.rejected_records"):
        path = "/".join(row["path"].split("/")[-2:])
        found[(path, row["line"])] += 1
        if not row["reason_code"] or not row["reason"]:
            lines.append(f"  {path} line {row['line']}: no reason")
    whole_files = {path for path, line in want.rejects if line is None} | want.loose_files
    rejected_files = {path for path, _ in found}
    lines += [f"  {path}: expected to be rejected, is not" for path in sorted(whole_files - rejected_files)]
    wanted = Counter({key: count for key, count in want.rejects.items() if key[0] not in whole_files})
    found = Counter({key: count for key, count in found.items() if key[0] not in whole_files})
    for key in sorted((wanted - found).keys(), key=str):
        lines.append(f"  {key}: expected ({want.reject_reasons[key]}), not published")
    for key in sorted((found - wanted).keys(), key=str):
        lines.append(f"  {key}: published, not expected")
    return "rejects (path, line) differ\n" + "\n".join(lines[:20]) if lines else ""


def files_differ(want: Expected, published: Published) -> str:
    """Records per landed file, as `ops.loaded_files` states them."""
    found: Counter[str] = Counter()
    for row in published.rows("ops.loaded_files"):
        found["/".join(row["path"].split("/")[-2:])] += row["records"]
    special = {path for path, line in want.rejects if line is None} | want.loose_files
    lines = [
        f"  {path}: expected {want.file_records[path]} records, published {found[path]}"
        for path in sorted(want.file_records.keys() | found.keys())
        if want.file_records[path] != found[path] and path not in special and not path.startswith("prices/")
    ]
    return "loaded files differ\n" + "\n".join(lines) if lines else ""


def ranges(want: Expected) -> Iterator[tuple[date, date]]:
    """Custom ranges: one day, a few weeks, before the ledger, past its end."""
    days = sorted(row["entry_date"] for row in want.entries.values())
    if days:
        middle = days[len(days) // 2]
        yield middle, middle + timedelta(days=1)
        yield middle - timedelta(days=20), middle + timedelta(days=17)
        yield days[0] - timedelta(days=40), days[0]
        yield days[0], days[-1] + timedelta(days=9)


def compare(
    home: Path, files: Iterable[LandedFile], settings: OracleSettings, only: Sequence[str] = ()
) -> None:
    """Fails with every table that differs; `only` names the tables to look at."""
    want = expected(files, settings)
    published = Published(home)
    problems = []
    comes_later = any(row["occurred_at"] > settings.as_of for row in want.entries.values())
    for name, (table, grain) in GRAINS.items():
        if (only and name not in only) or (name == "rpt_users" and comes_later):
            continue  # the users view of entries that are still to come is nobody's promise
        rows = published.table(f"marts.{table}", grain)
        wanted = getattr(want, name)
        problems.append(
            differences(name, wanted, plain_metadata(rows, wanted) if name == "entries" else rows)
        )
    if not only:
        for start, end in ranges(want):
            rows = published.table(f"marts.kpis(date '{start}', date '{end}')", ("currency",))
            problems.append(differences(f"kpis({start}, {end})", want.kpis(start, end), rows))
            wallets = published.table(
                f"marts.balances(date '{start}')", ("user_id", "paywall_id", "currency")
            )
            problems.append(differences(f"balances({start})", want.balances(start), wallets))
        problems += [rejects_differ(want, published), files_differ(want, published)]
    report = "\n\n".join(problem for problem in problems if problem)
    if report:
        pytest.fail(f"{home}\n{settings}\n\n{report}", pytrace=False)


def run(home: Path, settings: OracleSettings) -> None:
    overrides = {
        "as_of": settings.as_of.isoformat(),
        "reporting_timezone": settings.reporting_timezone,
        "default_currency": settings.default_currency,
        "low_balance": str(settings.low_balance),
        "manual_charge_settles_on": settings.manual_charge_settles_on,
        "max_reject_ratio": "1",
    }
    publish_home(home, **overrides)


HomeMaker = Callable[[], Path]


@pytest.fixture
def new_home(tmp_path: Path) -> Iterator[HomeMaker]:
    """Fresh homes; those of tests that passed are removed, as each holds a warehouse."""
    made: list[Path] = []

    def make() -> Path:
        made.append(tmp_path / f"home{len(made)}")
        made[-1].mkdir()
        return made[-1]

    yield make
    for home in made:
        if not os.environ.get("KEEP_HOMES"):
            shutil.rmtree(home, ignore_errors=True)


# ---- properties


@few(EXAMPLES)
@given(scenario=scenarios())
def test_what_is_published_is_what_the_oracle_computes(new_home: HomeMaker, scenario: Scenario) -> None:
    home = new_home()
    land(home, scenario.files)
    run(home, scenario.settings)
    compare(home, scenario.files, scenario.settings)


# In `make test`, `test_order.py` deals the same records out to several runs.
@pytest.mark.soak
@few(EXAMPLES - 2)
@given(scenario=scenarios(), order=st.sampled_from(list(permutations(range(3)))[::-1]))
def test_three_batches_in_any_order_equal_one_run_of_all(
    new_home: HomeMaker, scenario: Scenario, order: tuple[int, ...]
) -> None:
    step_by_step, at_once = new_home(), new_home()
    files: list[LandedFile] = []
    for batch in order:
        land(step_by_step, scenario.batches[batch])
        files += scenario.batches[batch]
        run(step_by_step, scenario.settings)
        compare(step_by_step, files, scenario.settings)
    land(at_once, scenario.files)
    run(at_once, scenario.settings)
    stepped, whole = Published(step_by_step).marts(), Published(at_once).marts()
    assert stepped.keys() == whole.keys()
    for table, rows in whole.items():
        assert stepped[table] == rows, table


@pytest.mark.soak
def test_the_life_of_a_home(new_home: HomeMaker) -> None:
    """Copies, nothing new, a tie, a known name with new content, another day, other settings: run after
    run.
    """
    scenario = build_scenario(7, "Europe/Berlin", "usd", "created", "2026-06-03T15:00:00+00:00", 120)
    home, settings = new_home(), scenario.settings
    tied = ledger_file("tied.jsonl", [charge("tied", NOON, "1", user="first", updated_at=NOON)])
    files = [*scenario.files, tied]
    land(home, files)
    run(home, settings)
    before = Published(home).marts()

    # the same files under other names
    for file in files:
        land(home, [replace(file, name=f"copy of {file.name}")])
    run(home, settings)
    assert Published(home).marts() == before
    compare(home, files, settings)

    # nothing new
    digest = Published(home).digest()
    run(home, settings)
    assert Published(home).digest() == digest

    # a version that ties lands later and wins, in a file of a name that is known
    tied_again = ledger_file("tied.jsonl", [charge("tied", NOON, "2", user="second", updated_at=NOON)])
    land(home, [tied_again])
    files.append(tied_again)
    run(home, settings)
    compare(home, files, settings)
    assert Published(home).table("marts.fct_ledger_entries", ["entry_id"])[("tied",)]["user_id"] == "second"

    # nothing new, but a day has passed
    settings = replace(settings, as_of=settings.as_of + timedelta(days=28))
    run(home, settings)
    compare(home, files, settings)

    # settings that change what the same records mean
    settings = replace(
        settings,
        reporting_timezone="America/New_York",
        default_currency="eur",
        manual_charge_settles_on="completed",
        low_balance=Decimal("12.5"),
    )
    run(home, settings)
    compare(home, files, settings)


# ---- bad input


def bad_ledger_file(kind: str) -> LandedFile:
    """Every bad kind that the format can hold, each between good records."""
    records: list[Any] = []
    for number, bad in enumerate(bad for bad in BAD_LEDGER_RECORDS if kind in bad.formats):
        records.append(
            charge(f"good-{kind}-{number}", NOON, user="two\nlines" if number % 7 == 3 else "alice")
        )
        records.append(bad.spoil(charge(f"bad-{kind}-{bad.name}", NOON)))
    return ledger_file(f"every bad kind.{kind}", [*records, charge(f"good-{kind}-last", NOON)])


def test_every_kind_of_bad_record_is_rejected_at_its_line_and_costs_no_good_one(new_home: HomeMaker) -> None:
    home, settings = new_home(), OracleSettings(as_of=datetime(2026, 3, 15, tzinfo=UTC))
    events = [
        one for n, bad in enumerate(BAD_EVENTS) for one in (good_usage(n), bad.spoil(good_usage(1000 + n)))
    ]
    files = [bad_ledger_file(kind) for kind in ("jsonl", "csv", "parquet")]
    files.append(landed("events", "every bad event.jsonl", jsonl(events)))
    # Good versions of the same entries are loaded as usual.
    ids = [f"bad-{kind}-{bad.name}" for kind in ("jsonl", "csv", "parquet") for bad in BAD_LEDGER_RECORDS]
    files.append(ledger_file("repaired.csv", [charge(entry_id, NOON, "5") for entry_id in ids[::2]]))
    land(home, files)
    run(home, settings)
    compare(home, files, settings)


def floats(entry_id: str) -> bytes:
    one = {"id": entry_id, "timestamp": NOON, "type": "charge", "user": "u", "paywall": "p", "amount": 0.1}
    return parquet_table(pa.table({name: [value] for name, value in one.items()}))


def times_without_zone() -> bytes:
    one = {"id": "naive", "timestamp": datetime(2026, 3, 10), "type": "charge", "user": "u", "paywall": "p",  # noqa: DTZ001
           "amount": "1"}  # fmt: skip
    return parquet_table(pa.table({name: [value] for name, value in one.items()}))


@pytest.mark.soak
def test_files_that_cannot_be_read_are_rejected_and_tried_again(new_home: HomeMaker) -> None:
    home, settings = new_home(), OracleSettings(as_of=datetime(2026, 3, 15, tzinfo=UTC))
    whole = {
        name: ledger_file(name, [charge(f"{name} {number}", NOON) for number in range(500)])
        for name in ("cut.jsonl.gz", "cut.csv.zst", "cut.parquet", "good.jsonl")
    }
    misnamed = ledger_file("a.jsonl", [charge("misnamed", NOON)]).content
    cut = [
        replace(file, content=file.content[:-40]) for name, file in whole.items() if name.startswith("cut")
    ]
    liars = [
        LandedFile("ledger", "empty.jsonl", b""),
        LandedFile("ledger", "text.jsonl.gz", b'{"id": "a"}\n'),
        LandedFile("ledger", "text.csv.zst", b"id,amount\na,1\n"),
        LandedFile("ledger", "text.parquet", b"id,amount\nb,1\n"),
        LandedFile("ledger", "misnamed.jsonl.zst", misnamed),
        LandedFile("ledger", "floats.parquet", floats("float"), loose=True),
        LandedFile("ledger", "naive.parquet", times_without_zone(), loose=True),
        LandedFile("ledger", "really parquet.csv", floats("csv"), loose=True),
        LandedFile("ledger", "really parquet.jsonl", floats("jsonl"), loose=True),
        LandedFile(
            "ledger", "ammount.csv", b"id,timestamp,type,user,paywall,ammount\na,,charge,u,p,1\n", loose=True
        ),
    ]
    ignored = [LandedFile("ledger", name, whole["good.jsonl"].content[:-5]) for name in
               (".hidden.jsonl", "a.jsonl.tmp", "b.csv.part", "c.jsonl.partial")]  # fmt: skip
    files = [*cut, *liars, *ignored, whole["good.jsonl"]]
    land(home, files)
    run(home, settings)
    # loose files are read by the oracle as well: none of their records is good
    compare(home, [file for file in files if not file.name.startswith("really")], settings, only=["entries"])
    rejected = {"/".join(row["path"].split("/")[-2:]) for row in Published(home).rows("ops.rejected_records")}
    assert rejected == {file.path for file in [*cut, *liars]}

    # the uploads are finished: the same names, now whole; and a file gets the name that it should have had
    repaired = [*whole.values(), LandedFile("ledger", "misnamed.jsonl", misnamed)]
    land(home, repaired)
    run(home, settings)
    compare(home, repaired, settings, only=["entries", "daily_revenue", "wallet_days"])


# ---- odd but good


def odd_records() -> list[Any]:
    nothing = dict.fromkeys(
        (
            "status",
            "updated_at",
            "currency",
            "request_id",
            "model",
            "prompt_tokens",
            "provider_cost",
            "related_id",
            "metadata",
        )
    )
    base = {"timestamp": NOON, "type": "charge", "user": "alice", "paywall": "pw", "amount": "1"}
    return [
        charge("lower-case t and z", "2026-03-10t12:00:00z"),
        charge("minus zero", "2026-03-10T12:00:00-00:00"),
        charge("nanoseconds", "2026-03-10T12:00:00.123456000+05:45"),
        charge("leap day", "2024-02-29T23:59:59.999999-12:00"),
        charge("ï" * 255, NOON, user="u" * 255, paywall="ß" * 255),
        deposit("mixed case", NOON, type="ToPuP", currency="uSdC"),
        withdrawal("no user", NOON, "1", user=None),
        {"id": "nulls"} | base | nothing,
        {"id": "empty texts"} | base | dict.fromkeys(nothing, ""),
        Raw('  { "amount" : 2 , "\\u0069d": "escaped key", "user":"\\ud83d\\ude00", "paywall":"\\u00e9\\/",'
            ' "type":"charge","timestamp":"2026-03-10T12:00:00Z", "metadata": { } }  '),
        charge("request in metadata", NOON, metadata={"requestId": "req 1", "extra words": "ü"}),
        charge("request stated", NOON, request_id="req 2", metadata={"requestId": "req 3"}),
        charge("unknown fields", NOON, zone={"a": [1, Raw("1e-7")]}, flag=True, note="x"),
        charge("digits in metadata", NOON, metadata={"n": Raw("12345678901234567890.1234567890123456789")}),
        charge("tokens of one side", NOON, prompt_tokens=7, model="acme/odd"),
        charge("a stated total", NOON, prompt_tokens=7, completion_tokens=1, total_tokens=100),
        charge("largest", NOON, "999999999999999999.999999999999", currency="xpt"),
        charge("smallest", NOON, Raw("1e-12")),
        charge("zeros", NOON, "000.1000000000000000000"),
    ]  # fmt: skip


def odd_csv() -> bytes:
    records = [charge("bom", NOON, metadata={"a": 'q"uo,te'}, note="n"), charge('i"d', NOON, user="a\r\nb,c")]
    return csv_text(records, columns_of(records)[::-1], bom=True)


def odd_parquet() -> bytes:
    at = datetime(2026, 3, 10, 12, 0, 0, 123000, UTC)
    columns = {
        "id": pa.array(["parquet types"], pa.large_string()),
        "timestamp": pa.array([at], pa.timestamp("ms", "Europe/Berlin")),
        "type": pa.array(["charge"]).dictionary_encode(),
        "user": pa.array(["parquet, user"]),
        "paywall": pa.array(["pw"]),
        "amount": pa.array([Decimal("1.123456789012000000")], pa.decimal128(38, 18)),
        "prompt_tokens": pa.array([5], pa.int32()),
        "provider_cost": pa.array([2], pa.int64()),
    }
    return parquet_table(pa.table(columns))


def odd_events() -> list[Any]:
    return [
        event(
            "flat",
            "balance.deposit.created",
            NOON,
            walletUserId="w",
            amount=Raw("50.0"),
            activityId="flat deposit",
            currency="USD",
            source="stripe.checkout",
        ),
        delivered(
            event(
                "wrapped",
                "usage.charge.created",
                NOON,
                walletUserId="w",
                cost=Raw("0.018"),
                activityId="wrapped charge",
                model="acme/odd",
                promptTokens=1200,
                completionTokens=850,
            )
        ),
        event(
            "text",
            "balance.trial.granted",
            NOON,
            prefix=False,
            walletUserId="w",
            credits="500",
            activityId="trial",
        ),
        event(
            "big",
            "usage.charge.created",
            NOON,
            walletUserId="w",
            activityId="big charge",
            cost=Raw("123456789012345678.123456789012"),
        ),
    ]


def test_odd_but_good_input_is_taken_with_every_digit(new_home: HomeMaker) -> None:
    home, settings = new_home(), OracleSettings(as_of=datetime(2026, 3, 15, tzinfo=UTC))
    row = [
        event(
            f"{kind} event",
            "usage.charge.created",
            NOON,
            walletUserId="w",
            cost=Raw("0.5"),
            activityId=f"{kind} charge",
            metadata={"requestId": f"r {kind}"},
        )
        for kind in ("csv", "parquet")
    ]
    two = [ledger_file("a.jsonl.gz", [charge(f"gzip member {number}", NOON)]).content for number in range(2)]
    files = [
        landed("ledger", "odd.jsonl", jsonl(odd_records()).rstrip(b"\n")),
        landed("ledger", "odd.csv", odd_csv()),
        landed("ledger", "odd.parquet", odd_parquet()),
        LandedFile("ledger", "two members.jsonl.gz", b"".join(two)),
        landed("events", "odd.jsonl", jsonl(odd_events())),
        landed("events", "odd.csv", csv_text(row[:1])),
        landed("events", "odd.parquet", parquet(row[1:])),
    ]
    land(home, files)
    run(home, settings)
    compare(home, files, settings)
