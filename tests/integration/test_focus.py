"""The dataset `focus`: rows of FOCUS 1.2 with the usage, the money and the balances of the ledger."""

import csv
import io
import json
import re
import shutil
from collections import defaultdict
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from starlette.testclient import TestClient

from exports.ad_hoc import SliceRequest, write_slice
from exports.datasets import DATASETS
from exports.server.limits import Limits
from tests.support.builders import adjustment, charge, deposit, land, ledger_file, refund, withdrawal
from tests.support.export_homes import export, finish, limit_datasets, manifest_of, opened, settings_of
from tests.support.harness import publish_home
from tests.support.pull_api import api, bearer, publish
from tests.support.shared import once

ZONE = "Europe/Berlin"
PROVIDER = "Acme AI"
ENTRIES = [
    deposit("d1", "2026-10-01T08:00:00Z", "20", user="acme:1", metadata={"payment_intent": "pi_1"}),
    deposit("d2", "2026-10-01T08:00:00Z", "5", user="acme:1", metadata={"funding": "promo"}),
    deposit("d3", "2026-10-01T08:00:00Z", "50", user="acme:1", status="pending"),
    deposit("d4", "2026-10-05T08:00:00Z", "30", user="acme:2", currency="eur"),
    deposit("d5", "2026-10-05T08:00:00Z", "7", user="beta:1"),
    charge(
        "c1", "2026-10-01T09:00:00Z", "1.5", user="acme:1", model="m", prompt_tokens=80, completion_tokens=20
    ),
    # The next day in Berlin.
    charge("c2", "2026-10-01T22:30:00Z", "0.25", user="acme:1", model="m", prompt_tokens=40),
    charge("c3", "2026-10-01T09:00:00Z", "0.1", user="acme:1", model="m"),
    charge("c4", "2026-10-31T10:00:00Z", "3", user="acme:1", model="m", billing="postpaid", prompt_tokens=5),
    charge("c5", "2026-10-01T09:00:00Z", "99", user="acme:1", model="m", status="failed"),
    charge("c6", "2026-10-06T09:00:00Z", "0.000000000001", user="acme:2", currency="eur", prompt_tokens=1),
    charge("c7", "2026-10-06T09:00:00Z", "2", user="beta:1", model="m", prompt_tokens=10),
    refund("r1", "2026-10-02T09:00:00Z", "0.5", of="c1", user="acme:1"),
    refund("r2", "2026-11-03T09:00:00Z", "0.2", of="c1", user="acme:1"),
    refund("r3", "2026-11-03T09:00:00Z", "1", of="c4", user="acme:1"),
    refund("r4", "2026-11-03T09:00:00Z", "4", of="d1", user="acme:1"),
    refund("r5", "2026-11-03T09:00:00Z", "1", of="d2", user="acme:1"),
    withdrawal("w1", "2026-11-04T09:00:00Z", "2.5", user="acme:2", currency="eur"),
    withdrawal("w2", "2026-11-04T09:00:00Z", "100", user=None),
    adjustment("a1", "2026-11-05T09:00:00Z", "-6", user="acme:1", related_id="d1"),
    adjustment("a2", "2026-11-06T09:00:00Z", "6", user="acme:1", related_id="d1"),
    adjustment("a3", "2026-11-06T09:00:00Z", "1", user="acme:1", metadata={"reason": "goodwill"}),
    adjustment("a4", "2026-11-06T09:00:00Z", "-2", user="acme:1", metadata={"reason": "expired"}),
]
# Per user and currency, by hand: net usage (postpaid included), money in less money out, postpaid net usage
# (which is billed), and the balance.
EXPECTED = {
    # 1.5 + 0.25 + 0.1 + 3 - 0.5 - 0.2 - 1; 20 - 4 - 6 + 6; 3 - 1;
    # 20 + 5 - 1.85 + 0.7 - 4 - 1 - 6 + 6 + 1 - 2.
    ("acme:1", "USD"): ("3.15", "16", "2", "17.85"),
    ("acme:2", "EUR"): ("0.000000000001", "27.5", "0", "27.499999999999"),
    ("beta:1", "USD"): ("2", "7", "0", "5"),
}


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    def make(home: Path) -> None:
        land(home, [ledger_file("a.jsonl", ENTRIES)])
        publish_home(
            home, as_of="2026-11-10T12:00:00Z", reporting_timezone=ZONE, focus_provider_name=PROVIDER
        )

    return once(tmp_path_factory, "focus", make)


@pytest.fixture(scope="module")
def rows(published: Path) -> list[dict[str, Any]]:
    with opened(published) as connection:
        found = connection.execute("select * from marts.rpt_focus")
        names = [name for name, *_ in found.description or ()]
        return [dict(zip(names, row, strict=True)) for row in found.fetchall()]


@pytest.fixture
def home(published: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(published, tmp_path / "home"))


# ---- what the sums are


def test_usage_money_and_balance_are_those_of_the_ledger(rows: list[dict[str, Any]]) -> None:
    sums: dict[tuple[str, str], list[Decimal]] = defaultdict(lambda: [Decimal()] * 4)
    for row in rows:
        is_postpaid = row["x_Billing"] == "postpaid"
        amounts = (
            row["EffectiveCost"],
            Decimal() if is_postpaid else row["BilledCost"],
            row["BilledCost"] if is_postpaid else Decimal(),
            row["x_BalanceEffect"],
        )
        key = row["BillingAccountId"], row["BillingCurrency"]
        sums[key] = [before + amount for before, amount in zip(sums[key], amounts, strict=True)]
    assert sums == {key: [Decimal(amount) for amount in amounts] for key, amounts in EXPECTED.items()}


def test_every_settled_entry_of_a_user_is_in_one_row(rows: list[dict[str, Any]]) -> None:
    # Without d3 (pending), c5 (failed) and w2 (no user's).
    assert sum(row["x_EntryCount"] for row in rows) == len(ENTRIES) - 3
    assert sum(row["x_RequestCount"] for row in rows) == 6
    tokens = [row["x_PromptTokens"] + row["x_CompletionTokens"] for row in rows]
    assert sum(tokens) == 100 + 40 + 5 + 1 + 10


def test_a_row_is_identified_by_its_grain(rows: list[dict[str, Any]]) -> None:
    keys = [tuple(row[name] for name in DATASETS["focus"].grain) for row in rows]
    assert len(set(keys)) == len(keys)
    assert not any(value is None for key in keys for value in key)


def test_the_sums_are_those_of_python_over_the_published_ledger(
    published: Path, rows: list[dict[str, Any]]
) -> None:
    """By day, user and currency, and by month of the reporting time zone."""
    with opened(published) as connection:
        entries = connection.execute(
            """select occurred_at, user_id, currency, entry_type, amount, related_entry_type
            from marts.fct_ledger_entries where status = 'settled' and user_id is not null"""
        ).fetchall()
    expected: dict[tuple[Any, ...], Decimal] = defaultdict(Decimal)
    for occurred_at, user, currency, kind, amount, related in entries:
        day = occurred_at.astimezone(ZoneInfo(ZONE)).date()
        if kind == "charge" or (kind == "refund" and related != "deposit"):
            expected[day, user, currency.upper()] += amount if kind == "charge" else -amount
    found: dict[tuple[Any, ...], Decimal] = defaultdict(Decimal)
    for row in rows:
        day, start = row["x_ReportingDate"], row["ChargePeriodStart"].astimezone(ZoneInfo(ZONE))
        month = row["BillingPeriodStart"].astimezone(ZoneInfo(ZONE))
        assert (start.date(), start.hour) == (day, 0)
        assert (month.date(), month.hour) == (day.replace(day=1), 0)
        if row["ChargeCategory"] == "Usage":
            found[day, row["BillingAccountId"], row["BillingCurrency"]] += row["EffectiveCost"]
    assert found == expected


# ---- what the specification demands

REQUIRED = [
    "BilledCost",
    "BillingAccountId",
    "BillingCurrency",
    "BillingPeriodEnd",
    "BillingPeriodStart",
    "ChargeCategory",
    "ChargePeriodEnd",
    "ChargePeriodStart",
    "ContractedCost",
    "EffectiveCost",
    "InvoiceIssuerName",
    "ListCost",
    "ProviderName",
    "PublisherName",
    "ServiceCategory",
    "ServiceName",
    "ChargeFrequency",
    "ServiceSubcategory",
]
NULLABLE = [
    "BillingAccountName",
    "ChargeClass",
    "ChargeDescription",
    "PricingQuantity",
    "PricingUnit",
    "InvoiceId",
    "CommitmentDiscountStatus",
    "ConsumedQuantity",
    "ConsumedUnit",
    "SkuId",
    "SkuMeter",
    "SubAccountId",
    "SubAccountName",
    "Tags",
]
# Rules of FOCUS 1.2, Cost and Usage, as the model of the public validator numbers them.
RULES: dict[str, Callable[[dict[str, Any]], object]] = {
    "BillingCurrency-C-006-M": lambda row: re.fullmatch("[A-Z]{3}", row["BillingCurrency"]),
    "ChargeCategory-C-004-M": lambda row: row["ChargeCategory"] in ("Usage", "Purchase", "Credit"),
    "ChargeClass-C-005-C": lambda row: row["ChargeClass"] in (None, "Correction"),
    "ChargeFrequency-C-004-C": lambda row: (
        row["ChargeCategory"] != "Purchase" or row["ChargeFrequency"] == "One-Time"
    ),
    "ConsumedQuantity-C-004-C": lambda row: (
        row["ChargeCategory"] == "Usage" or row["ConsumedQuantity"] is None
    ),
    "ConsumedQuantity-C-006-C": lambda row: (
        row["ChargeCategory"] != "Usage" or row["ConsumedQuantity"] is not None
    ),
    "ConsumedUnit-C-005-C": lambda row: (row["ConsumedUnit"] is None) == (row["ConsumedQuantity"] is None),
    "EffectiveCost-C-005-C": lambda row: row["ChargeCategory"] != "Purchase" or row["EffectiveCost"] == 0,
    "EffectiveCost-C-010-C": lambda row: (
        row["ChargeCategory"] != "Credit" or row["EffectiveCost"] == row["BilledCost"]
    ),
    "ContractedCost-C-008-C": lambda row: (
        row["ChargeCategory"] != "Credit" or row["ContractedCost"] == row["ListCost"] == row["BilledCost"]
    ),
    "BilledCost-C-005-C": lambda row: row["ProviderName"] == row["InvoiceIssuerName"],
    "PricingUnit-C-006-C": lambda row: row["PricingQuantity"] is not None and row["PricingUnit"] is not None,
    "SkuId-C-005-C": lambda row: row["SkuId"] is not None and row["SkuMeter"] is not None,
    "Tags-C-001-M": lambda row: set(map(type, json.loads(row["Tags"]).values())) <= {str, type(None)},
    "periods": lambda row: (
        row["BillingPeriodStart"]
        <= row["ChargePeriodStart"]
        < row["ChargePeriodEnd"]
        <= row["BillingPeriodEnd"]
    ),
}


def test_rows_meet_the_rules_of_the_specification(rows: list[dict[str, Any]]) -> None:
    names = list(rows[0])
    own = [name for name in names if not name.startswith("x_")]
    assert set(own) == {*REQUIRED, *NULLABLE}
    assert names == [*sorted(own), *sorted(names[len(own) :])], "own columns come last"
    for row in rows:
        assert [name for name in REQUIRED if row[name] in (None, "")] == []
        assert [rule for rule, holds in RULES.items() if not holds(row)] == [], row
        amounts = [name for name in own if name.endswith(("Cost", "Quantity"))]
        assert {type(row[name]) for name in amounts} <= {Decimal, type(None)}
    assert {row["ProviderName"] for row in rows} == {PROVIDER}


def test_what_is_about_an_earlier_month_is_a_correction(rows: list[dict[str, Any]]) -> None:
    corrections = {
        (row["x_Kind"], row["x_Billing"], row["EffectiveCost"], row["BilledCost"])
        for row in rows
        if row["ChargeClass"] == "Correction"
    }
    assert corrections == {
        ("usage_refund", "prepaid", Decimal("-0.2"), Decimal(0)),
        ("usage_refund", "postpaid", Decimal(-1), Decimal(-1)),
        ("deposit_refund", "prepaid", Decimal(0), Decimal(-4)),
        ("promo_refund", "prepaid", Decimal(0), Decimal(0)),
        ("deposit_adjustment", "prepaid", Decimal(0), Decimal(-6)),
        ("deposit_adjustment", "prepaid", Decimal(0), Decimal(6)),
    }
    october = datetime(2026, 9, 30, 22, tzinfo=UTC)
    assert {row["x_RelatedPeriodStart"] for row in rows if row["ChargeClass"]} == {october}


# ---- slices and the pull API

ROWS = "/v1/datasets/focus/rows"


@pytest.fixture(scope="module")
def served(published: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return Path(shutil.copytree(published, tmp_path_factory.mktemp("focus") / "home"))


@pytest.fixture(scope="module")
def client(served: Path) -> Iterator[TestClient]:
    with api(served) as client:
        yield client


@pytest.fixture(scope="module")
def acme(served: Path) -> dict[str, str]:
    return bearer(served, "acme", datasets=["focus"], where=["user_prefix=acme:"])


def cells(content: bytes) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(content.decode(), newline="")))


def test_a_customer_gets_the_rows_of_its_users(client: TestClient, acme: dict[str, str]) -> None:
    found = cells(client.get(f"{ROWS}?from=2026-10-01&to=2026-11-01", headers=acme).content)
    assert {row["BillingAccountId"] for row in found} == {"acme:1", "acme:2"}
    # 1.5 + 0.25 + 0.1 + 3 - 0.5, and a trifle in euros.
    usage = [Decimal(row["EffectiveCost"]) for row in found if row["BillingCurrency"] == "USD"]
    assert sum(usage) == Decimal("4.35")
    first = found[0]
    assert (first["ChargePeriodStart"], first["BillingPeriodEnd"]) == (
        "2026-09-30T22:00:00Z",
        "2026-10-31T23:00:00Z",
    )
    described = client.get("/v1/datasets/focus", headers=acme).json()
    # acme:1 has 4, 2 and 1 in October and 4, 1 and 2 in November; acme:2 has 3.
    assert described["rows"] == 17
    assert not described["has_files"]
    days = {one["date"]: one["totals"] for one in described["partitions"]}
    assert days["2026-10-05"]["EUR"]["BilledCost"] == "30.000000000000"
    assert "USD" not in days["2026-10-05"], "beta:1 paid on that day"
    assert client.get(f"{ROWS}?where=BillingAccountId=beta:1", headers=acme).text.count("\n") == 1


def test_pages_and_revisions_are_those_of_the_slice(client: TestClient, acme: dict[str, str]) -> None:
    whole = client.get(ROWS, headers=acme)
    assert client.get(ROWS, headers={**acme, "If-None-Match": whole.headers["ETag"]}).status_code == 304
    pages, path = [], f"{ROWS}?limit=4"
    while path:
        page = client.get(path, headers=acme)
        pages += cells(page.content)
        path = page.links.get("next", {}).get("url", "")
    assert pages == cells(whole.content)
    day = client.get(f"{ROWS}?from=2026-10-05&to=2026-10-06", headers=acme).headers["ETag"]
    revisions = {
        one["date"]: one["revision"]
        for one in client.get("/v1/datasets/focus", headers=acme).json()["partitions"]
    }
    assert day == f'"{revisions["2026-10-05"]}.csv"'


def test_too_large_a_slice_is_refused_before_it_is_computed_in_full(
    served: Path, acme: dict[str, str]
) -> None:
    with api(served, Limits(rows=10)) as client:
        assert client.get(ROWS, headers=acme).status_code == 413
        assert len(cells(client.get(f"{ROWS}?limit=10", headers=acme).content)) == 10


def test_a_revision_changes_with_the_token_s_rows_only(home: Path) -> None:
    token = bearer(home, "a", datasets=["focus"], where=["user_prefix=acme:"])
    with api(home) as client:
        before = client.get(ROWS, headers=token).headers["ETag"]
        publish(home, "update marts.fct_ledger_entries set amount = 3 where entry_id = 'c7'")
        assert client.get(ROWS, headers=token).headers["ETag"] == before
        publish(home, "update marts.fct_ledger_entries set amount = 3 where entry_id = 'c1'")
        assert client.get(ROWS, headers=token).headers["ETag"] != before


def test_a_slice_reads_only_its_days_and_users(published: Path) -> None:
    with opened(published) as connection:
        query = """explain (format json) select * from marts.rpt_focus
            where "x_ReportingDate" >= date '2026-10-05' and "BillingAccountId" = 'acme:2'"""
        plan = json.loads(connection.execute(query).fetchall()[0][1])
    scans = [scan for scan in every_node(plan[0]) if "fct_ledger_entries" in str(scan.get("extra_info"))]
    filters = [str(scan["extra_info"].get("Filters", "")) for scan in scans]
    # The third scan looks for the entries that refunds name.
    assert sorted("entry_date" in one and "user_id" in one for one in filters) == [False, True, True]


def every_node(node: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield node
    for child in node["children"]:
        yield from every_node(child)


def test_a_slice_of_one_s_own_machine(home: Path, tmp_path: Path) -> None:
    request = SliceRequest("focus", columns=["BilledCost"], where=["x_Kind=deposit", "BilledCost>10"])
    assert write_slice(settings_of(home, export_focus=False), request, "csv", tmp_path / "a.csv") == 2
    assert (tmp_path / "a.csv").read_text() == "BilledCost\n20.000000000000\n30.000000000000\n"


# ---- the export


def test_the_export_has_the_dataset_only_as_long_as_it_is_asked_for(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    exports = home / "exports"
    limit_datasets(monkeypatch, "models", "focus")
    export(home, ["models", "focus"])
    finish(home)
    assert {one["name"] for one in catalog(exports)} == {"models", "focus"}
    days = [one["date"] for one in manifest_of(exports, "focus")["partitions"]]
    assert days == sorted(
        {str(date(2026, 10, day)) for day in (1, 2, 5, 6, 31)}
        | {str(date(2026, 11, day)) for day in (3, 4, 5, 6)}
    )
    token = bearer(home, "all")
    with api(home) as client:
        assert client.get("/v1/datasets/focus", headers=token).json()["has_files"]
    export(home, ["models"], export_focus=False)
    done = finish(home, export_focus=False)
    # Nine days in two formats: nobody would update them, or take an erased person out.
    assert (done.removed, [check.passed for check in done.checks]) == (18, [True, True])
    assert {one["name"] for one in catalog(exports)} == {"models"}
    assert not [file for file in (exports / "v1" / "focus").rglob("*") if file.is_file()]


def catalog(exports: Path) -> list[dict[str, Any]]:
    listed: list[dict[str, Any]] = json.loads((exports / "v1" / "catalog.json").read_bytes())["datasets"]
    return listed
