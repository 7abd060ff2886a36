"""The oracle of cost reconciliation against numbers worked out by hand."""

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from itertools import count
from typing import Any

import pytest

from tests.support.bill_files import money
from tests.support.builders import Raw, Record, charge, csv_text, dumps, jsonl, landed, prices_file
from tests.support.cost_oracle import PRIORITIES, CostSettings, CostTables, reconcile_costs
from tests.support.oracle import Either, LandedFile
from tests.support.random_bills import ALIASES, PROVIDERS, build_case

D = Decimal
DAY, MONTH = date(2026, 11, 5), date(2026, 11, 1)
FIRST, LAST = date(2026, 11, 1), date(2026, 11, 12)
SETTINGS = CostSettings(datetime(2026, 11, 20, tzinfo=UTC), providers=PROVIDERS, models=ALIASES)
MODEL, BILLED = "openai/gpt-test-1", "gpt-test-1"
CASE = ("openai", DAY, MODEL, "usd")
UNKNOWN = ("openai", DAY, "unknown", "usd")


NUMBERS = count()


def used(
    cost: Any = "1", tokens: int | None = 1000, day: date = DAY, time: str = "12:00:00Z", **more: Any
) -> Record:
    """Return a charge of `MODEL`, at noon if nothing else is said."""
    fields: Record = {"model": MODEL, "provider_cost": cost, "prompt_tokens": tokens}
    return charge(f"c{next(NUMBERS)}", f"{day}T{time}", "5", **(fields | more))


def result(
    amount: str, tokens: Any = 1000, item: str | None = f"{BILLED}, input_tokens", **more: Any
) -> Record:
    """Return a result of OpenAI's costs API."""
    currency, unit = more.pop("currency", "usd"), more.pop("unit", "tokens")
    row = {"amount": {"value": Raw(amount), "currency": currency}, "line_item": item, "quantity": tokens}
    return row | {"quantity_unit": None if tokens is None else unit} | more


def page(
    results: Sequence[Record] = (),
    *,
    first: date = FIRST,
    last: date = LAST,
    day: date = DAY,
    account: str = "",
    name: str = "a",
) -> LandedFile:
    """Return a page of OpenAI's costs with buckets from `first` through `last`, all results on one day."""
    buckets = []
    for number in range((last - first).days + 1):
        of_day = first + timedelta(days=number)
        start = int(datetime(of_day.year, of_day.month, of_day.day, tzinfo=UTC).timestamp())
        buckets.append({"start_time": start, "results": list(results) if of_day == day else []})
    folder = f"bills/openai_costs/{account}".rstrip("/")
    return landed(
        folder, f"{name}.json", dumps({"object": "page", "data": buckets, "has_more": False}).encode()
    )


def table(bill_format: str, rows: Sequence[Record], name: str = "a") -> LandedFile:
    return landed(f"bills/{bill_format}", f"{name}.csv", csv_text(rows))


def focus(amount: str, **more: Any) -> Record:
    row = {
        "ServiceProviderName": "OpenAI",
        "BilledCost": amount,
        "BillingCurrency": "USD",
        "BillingPeriodStart": "2026-11-01T00:00:00Z",
        "ChargePeriodStart": f"{DAY}T00:00:00Z",
        "ChargePeriodEnd": f"{DAY + timedelta(days=1)}T00:00:00Z",
        "ChargeCategory": "Usage",
        "ChargeClass": "",
        "SkuMeter": BILLED,
        "ConsumedQuantity": "1000",
        "ConsumedUnit": "Tokens",
    }
    return row | more


def invoice(amount: str, status: str = "paid", number: str = "in-1", **more: Any) -> Record:
    row = {
        "provider": "OpenAI",
        "invoice_id": number,
        "period_start": "2026-11-01",
        "period_end": "2026-12-01",
        "currency": "USD",
        "amount": amount,
        "status": status,
    }
    return row | more


def reconciled(records: Sequence[Record], *files: LandedFile, **settings: Any) -> CostTables:
    return reconcile_costs(records, files, CostSettings(**(vars(SETTINGS) | settings)))


def case(records: Sequence[Record], *files: LandedFile, **settings: Any) -> Record:
    return reconciled(records, *files, **settings).cases[CASE]


def verdict(row: Record) -> tuple[Any, ...]:
    return row["status"], row["break_type"], row["priority"]


# ---- tolerance


@pytest.mark.parametrize(
    ("ledger", "billed", "status"),
    [
        ("1", "1.01", "matched"),
        ("1", "1.010000000001", "break"),
        ("1.01", "1", "matched"),
        ("1.010000000001", "1", "break"),
        ("199", "200", "matched"),  # 0.005 × 200 = 1
        ("198.999999999999", "200", "break"),
        ("201", "200", "matched"),
        ("201.000000000001", "200", "break"),
    ],
)
def test_a_difference_of_exactly_the_tolerance_matches(ledger: str, billed: str, status: str) -> None:
    row = case([used(ledger)], page([result(billed)]))
    assert row["status"] == status
    assert row["break_type"] == ("rate_mismatch" if status == "break" else None)


@pytest.mark.parametrize(("ledger", "status"), [("1", "matched"), ("0.999999999999", "break")])
def test_a_line_rounded_to_cents_adds_half_a_cent(ledger: str, status: str) -> None:
    row = {"Date": str(DAY), "Slug": "acme/llm", "BYOK Usage": "0.00", "Prompt Tokens": "9"}
    bill = table("openrouter_activity", [row | {"Usage": "0.50"}, row | {"Usage": "0.52"}])
    charges = [used(ledger, 18, model="openrouter/acme/llm")]
    tables = reconciled(charges, bill)
    found = tables.cases[("openrouter", DAY, "openrouter/acme/llm", "usd")]
    assert (found["status"], found["billed_cost"], found["billed_tokens"]) == (status, D("1.02"), 18)


# ---- breaks


@pytest.mark.parametrize(("tokens", "kind"), [(1005, "rate_mismatch"), (1006, "token_mismatch")])
def test_tokens_differ_by_more_than_the_relative_tolerance(tokens: int, kind: str) -> None:
    # 0.005 × 1005 = 5.025, 0.005 × 1006 = 5.03
    row = case([used("1", 1000)], page([result("2", tokens)]))
    assert verdict(row) == ("break", kind, 2)


def test_tokens_of_thousands_and_of_all_kinds_are_added() -> None:
    results = [
        result("0.5", Raw("1.5"), unit="1000_Tokens"),
        result("0.5", 20, f"{BILLED}, cached_input_tokens"),
        result("0.5", 3, f"{BILLED}, output_tokens"),
    ]
    row = case([used("1.5", 1523)], page(results))
    assert (row["billed_tokens"], row["status"]) == (1523, "matched")


def test_what_is_billed_without_a_charge() -> None:
    row = case([used(day=FIRST)], page([result("0.02")]))
    assert verdict(row) == ("break", "billed_not_metered", 1)
    assert (row["charges"], row["ledger_cost"], row["ledger_tokens"], row["difference"]) == (
        0,
        0,
        0,
        D("0.02"),
    )
    assert (row["volume_difference"], row["rate_difference"]) == (None, D("0.02"))


def test_a_service_without_tokens_and_model_is_of_less_priority() -> None:
    search = result("0.3", None, "web search tool calls")
    only = reconciled([], page([search])).cases[UNKNOWN]
    assert (*verdict(only), only["billed_tokens"]) == ("break", "billed_not_metered", 3, None)
    both = reconciled([], page([search, result("0.3", 5, "mystery, input_tokens")])).cases[UNKNOWN]
    assert (*verdict(both), both["billed_tokens"]) == ("break", "billed_not_metered", 1, 5)


@pytest.mark.parametrize(
    ("last", "expected"),
    [
        (DAY + timedelta(days=3), ("break", "metered_not_billed", 1)),
        (DAY + timedelta(days=2), ("pending", None, None)),
        (DAY, ("pending", None, None)),
    ],
)
def test_a_charge_without_a_line_waits_until_the_bill_passes_it(
    last: date, expected: tuple[Any, ...]
) -> None:
    row = case([used("1")], page(last=last))
    assert verdict(row) == expected
    assert (row["billed_cost"], row["billed_tokens"], row["difference"]) == (0, 0, -1)
    assert (row["volume_difference"], row["rate_difference"]) == (None, -1)


def test_a_cost_within_the_tolerance_needs_no_line() -> None:
    assert verdict(case([used("0.01")], page())) == ("matched", None, None)


def test_another_currency_is_a_break_on_both_sides() -> None:
    tables = reconciled([used("1", provider_cost_currency="EUR")], page([result("1.1")]))
    assert {key[3]: verdict(row) for key, row in tables.cases.items()} == {
        "eur": ("break", "currency_mismatch", 2),
        "usd": ("break", "currency_mismatch", 2),
    }


def test_a_cost_that_is_wholly_unknown() -> None:
    row = case([used(None), used(None)], page([result("1")]))
    assert verdict(row) == ("break", "estimated_off", 3)
    assert (row["charges"], row["charges_without_cost"], row["ledger_tokens"]) == (2, 2, 2000)
    assert [row[n] for n in ("ledger_cost", "difference", "volume_difference", "rate_difference")] == [
        None
    ] * 4
    assert row["billed_cost"] == 1


def test_a_cost_that_is_partly_unknown_or_estimated() -> None:
    row = case([used("1"), used(None)], page([result("3", 2000)]))
    assert (*verdict(row), row["difference"]) == ("break", "estimated_off", 3, 2)
    rates = prices_file("a.csv", [(MODEL, "", "", "700", "", "", "", "usd")])
    # 1000 tokens at 700 a million are 0.7.
    row = case([used(None)], rates, page([result("0.71")]))
    assert (row["status"], row["ledger_cost"], row["ledger_cost_estimated"]) == (
        "matched",
        D("0.7"),
        D("0.7"),
    )
    assert verdict(case([used(None)], rates, page([result("0.72")]))) == ("break", "estimated_off", 3)


def test_which_charges_count() -> None:
    records = [used("1", status=status) for status in ("settled", "failed", "reversed", "pending")]
    row = case(records, page([result("3", 3000)]))
    assert (row["charges"], row["ledger_cost"], row["ledger_tokens"], row["status"]) == (
        3,
        3,
        3000,
        "matched",
    )


def test_the_latest_version_of_an_entry_counts() -> None:
    first = used("1", status="pending")
    later = first | {"status": "settled", "provider_cost": "2", "updated_at": "2026-11-06T00:00:00Z"}
    assert case([later, first], page())["ledger_cost"] == 2


# ---- NULL or 0, volume and rate


def test_tokens_that_nobody_states_are_unknown() -> None:
    row = case([used("1", None)], page([result("2", None)]))
    assert [row[n] for n in ("ledger_tokens", "billed_tokens", "volume_difference")] == [None] * 3
    assert (row["rate_difference"], row["break_type"]) == (1, "rate_mismatch")


@pytest.mark.parametrize(
    ("ledger", "ledger_tokens", "billed", "billed_tokens", "volume", "rate"),
    [
        ("0.1", 1000, "1", 3000, "0.666666666667", "0.233333333333"),  # 2000 × 1 ÷ 3000
        ("0", 1, "0.000000000001", 2, "0", "0.000000000001"),  # 0.0000000000005: half to even
        ("0", 1, "0.000000000003", 2, "0.000000000002", "0.000000000001"),
        ("0", 3, "0.000000000003", 2, "-0.000000000002", "0.000000000005"),
        ("2", 0, "1", 10, None, "-1"),
    ],
)
def test_volume_and_rate(
    ledger: str, ledger_tokens: int, billed: str, billed_tokens: int, volume: str | None, rate: str
) -> None:
    row = case([used(ledger, ledger_tokens)], page([result(billed, billed_tokens)]))
    assert row["volume_difference"] == (None if volume is None else D(volume))
    assert row["rate_difference"] == D(rate)
    assert row["difference"] == D(billed) - D(ledger)


def test_amounts_are_rounded_half_even_a_line() -> None:
    assert [money(text) for text in ("0.0000000000005", "0.0000000000015", "0.00000000000250001")] == [
        0,
        D("0.000000000002"),
        D("0.000000000003"),
    ]
    assert money("123.45", -2) == D("1.2345")


# ---- pending


@pytest.mark.parametrize(("microseconds", "status"), [(0, "matched"), (-1, "pending")])
def test_a_day_waits_for_the_grace_after_its_end(microseconds: int, status: str) -> None:
    # The day ends on 6 November; two days after that is the 8th.
    as_of = datetime(2026, 11, 8, tzinfo=UTC) + timedelta(microseconds=microseconds)
    assert case([used()], page([result("1")]), as_of=as_of)["status"] == status


def test_days_that_no_bill_covers() -> None:
    names = ("billed_cost", "billed_tokens", "difference", "volume_difference", "rate_difference")
    for files in ([], [page(first=DAY + timedelta(days=1))], [page(last=DAY - timedelta(days=1))]):
        row = case([used()], *files)
        assert verdict(row) == ("pending", None, None)
        assert [row[name] for name in names] == [None] * 5
        assert row["ledger_cost"] == 1


def test_rows_of_a_table_cover_from_the_first_to_the_last_day() -> None:
    def row(day: date) -> Record:
        return {"Date": str(day), "Slug": "acme/other", "Usage": "1.00", "Prompt Tokens": "9"}

    charges = [used("1", model="openrouter/acme/llm", day=day) for day in (DAY, DAY - timedelta(days=5))]
    bill = table("openrouter_activity", [row(DAY - timedelta(days=4)), row(DAY + timedelta(days=4))])
    tables = reconciled(charges, bill)
    key = ("openrouter", DAY, "openrouter/acme/llm", "usd")
    assert tables.cases[key]["break_type"] == "metered_not_billed"
    assert tables.cases[(key[0], DAY - timedelta(days=5), *key[2:])]["status"] == "pending"


def test_every_account_must_cover_a_day_from_its_first_one_on() -> None:
    starts, ends = DAY + timedelta(days=1), DAY + timedelta(days=3)
    both = [page(), page([result("1")], first=starts, last=ends, day=starts, account="b")]
    days = [DAY, starts, ends + timedelta(days=1)]
    tables = reconciled([used("1", day=day) for day in days], *both)
    statuses = [tables.cases[("openai", day, MODEL, "usd")]["status"] for day in days]
    # Covered by the only account that there was; billed by the second one; not covered by the second one.
    assert statuses == ["break", "matched", "pending"]
    assert {row["account"] for row in tables.bill_lines} == {"b"}


# ---- which statement of a bucket counts


def amounts(tables: CostTables) -> list[Decimal]:
    return sorted(row["billed_amount"] for row in tables.bill_lines)


def test_a_later_statement_replaces_a_bucket_whole() -> None:
    files = [
        page([result("1"), result("2", project_id="p")], name="a"),
        page([result("4", project_id="p")], name="b"),
    ]
    assert amounts(reconciled([], *files)) == [4]
    assert amounts(reconciled([], *files[::-1])) == [1, 2]


def test_the_grouping_with_more_counts() -> None:
    whole = page([result("5", None, None)], name="later")
    by_item, by_both = page([result("3")], name="item"), page([result("4", project_id="p")], name="both")
    assert amounts(reconciled([], by_both, by_item, whole)) == [4]
    assert amounts(reconciled([], by_item, whole)) == [3]


def test_an_exact_source_and_an_own_format_count_first() -> None:
    console = table(
        "anthropic_costs",
        [
            {
                "usage_date_utc": str(DAY),
                "model": "Claude Sonnet 4.5",
                "token_type": "output",
                "cost_usd": "1.00",
                "workspace": "w",
                "api_key": "k",
            }
        ],
    )
    api_result = {"amount": "250", "currency": "USD", "model": "claude-sonnet-4-5-20250929"}
    bucket = {"starting_at": f"{DAY}T00:00:00Z", "results": [api_result | {"token_type": "output_tokens"}]}
    api = landed("bills/anthropic_costs", "b.jsonl", jsonl([{"data": [bucket], "has_more": False}]))
    other = table("focus", [focus("9", ServiceProviderName="Anthropic", SubAccountId="p")])
    assert amounts(reconciled([], api, console, other)) == [D("2.5")]
    assert amounts(reconciled([], other, console)) == [9]
    assert amounts(reconciled([], console)) == [1]


# ---- FOCUS


def test_corrections_add_and_a_repeated_one_counts_once() -> None:
    correction = {"ChargeClass": "Correction", "BillingPeriodStart": "2026-12-01T00:00:00Z"}
    fixes = [focus("-0.25", **correction), focus("-0.5", ConsumedQuantity="", **correction)]
    files = [page([result("1")]), table("focus", fixes[:1], "x"), table("focus", fixes, "y")]
    row = case([used("0.25")], *files)
    assert (row["billed_cost"], row["billed_tokens"], row["status"]) == (D("0.25"), 2000, "matched")
    alone = case([used("0.25")], *files[1:])
    assert (alone["status"], alone["billed_cost"]) == ("pending", None)


def test_long_periods_are_in_the_invoice_difference_only() -> None:
    plan = focus("30", ChargePeriodStart="2026-11-01T00:00:00Z", ChargePeriodEnd="2026-12-01T00:00:00Z")
    files = [page([result("1")]), table("focus", [plan]), table("invoices", [invoice("29")])]
    tables = reconciled([used()], *files)
    month = tables.months[("openai", MONTH, "usd")]
    assert tables.cases[CASE]["status"] == "matched"
    assert len(tables.cases) == 1
    assert (month["billed_cost"], month["invoiced_amount"], month["invoice_difference"]) == (1, 29, 2)
    assert [row["usage_date"] for row in tables.bill_lines if row["billed_amount"] == 30] == [MONTH]


def test_taxes_and_credits_are_no_usage() -> None:
    rows = [
        focus("1"),
        focus("0.19", ChargeCategory="Tax", SkuMeter=""),
        focus("-0.5", ChargeCategory="Credit"),
    ]
    tables = reconciled([used()], table("focus", rows), table("invoices", [invoice("0.69")]))
    assert tables.cases[CASE]["billed_cost"] == 1
    assert tables.months[("openai", MONTH, "usd")]["invoice_difference"] == 0


def test_a_gateway_s_estimate_is_no_bill() -> None:
    same = dict.fromkeys(("ProviderName", "PublisherName", "InvoiceIssuerName"), "openai")
    assert reconciled([], table("focus", [focus("1", ConsumedUnit="Requests", **same)])).bill_lines == []


def test_rows_of_own_keys_are_left_out() -> None:
    row = {"date": str(DAY), "model": "acme/llm", "usage": Raw("0.5"), "byok_usage_inference": 0}
    row |= {"prompt_tokens": 4, "completion_tokens": 3, "reasoning_tokens": 2}
    own = row | {"usage": 0, "byok_usage_inference": Raw("2.5")}
    tables = reconciled(
        [], landed("bills/openrouter_activity", "a.json", dumps({"data": [row, own]}).encode())
    )
    assert [(one["billed_amount"], one["quantity"]) for one in tables.bill_lines] == [(D("0.5"), 7)]


# ---- names and scope


def resolved(name: str, *ledger: str, provider: str = "OpenAI", config: Sequence[LandedFile] = ()) -> str:
    charges = [used(model=model, metadata={"billed_by": provider}) for model in ledger]
    bill = table("focus", [focus("1", ServiceProviderName=provider, SkuMeter=name)])
    (line,) = reconciled(charges, bill, *config).bill_lines
    return str(line["model_id"])


def test_the_steps_of_a_name() -> None:
    own = landed(
        "bills",
        "models.csv",
        csv_text([{"provider": "openai", "model_as_billed": "X", "model_id": "openai/b"}]),
    )
    assert resolved("a", "openai/a", "azure/a") == "openai/a"
    assert resolved("azure/a", "openai/a", "azure/a") == "azure/a"
    assert resolved("a", "azure/a") == "azure/a"
    assert resolved("a", "azure/a", "eu/a") == "unknown"
    assert resolved("x", "openai/b", config=[own]) == "openai/b"
    assert resolved("x", "openai/x", config=[own]) == "openai/x"
    assert resolved("gpt-4o-mini-2024-07-18", "openai/gpt-4o-mini") == "openai/gpt-4o-mini"
    assert resolved("Claude Sonnet 4.5", "vertex_ai/claude-sonnet-4-5") == "vertex_ai/claude-sonnet-4-5"
    assert resolved("Claude Sonnet 4.5", "a/claude-sonnet-4-5", "b/claude-sonnet-4-5") == "unknown"
    assert resolved("acme/llm", "openrouter/acme/llm", provider="OpenRouter") == "openrouter/acme/llm"


def test_providers_have_aliases_on_both_sides() -> None:
    own = landed("bills", "providers.csv", csv_text([{"name": "Acme, Inc.", "provider": "google"}]))
    bill = table("focus", [focus("1", ServiceProviderName="ACME, Inc.", SkuMeter="g")])
    tables = reconciled([used(model="vertex_ai/g")], own, bill)
    assert tables.cases[("google", DAY, "vertex_ai/g", "usd")]["status"] == "matched"


def test_the_scope_with_most_fields_wins_of_equals_the_later() -> None:
    scopes = [
        {"provider": "", "project": "p", "key": "", "scope": "outside"},
        {"provider": "OpenAI", "project": "p", "key": "k", "scope": "sold"},
        {"provider": "", "project": "q", "key": "", "scope": "sold"},
        {"provider": "", "project": "q", "key": "", "scope": "outside"},
    ]
    results = [
        result("1", project_id="p"),
        result("2", project_id="p", api_key_id="k"),
        result("4", project_id="q"),
        result("8"),
    ]
    tables = reconciled([used(day=FIRST)], page(results), landed("bills", "scope.csv", csv_text(scopes)))
    assert {row["billed_amount"]: row["scope"] for row in tables.bill_lines} == {
        1: "outside",
        2: "sold",
        4: "outside",
        8: "sold",
    }
    assert tables.cases[CASE]["billed_cost"] == 10


# ---- months and profit


def test_invoices_of_a_month() -> None:
    rows = [
        invoice("9", number="in-1"),
        invoice("7", "void", "in-2"),
        invoice("5", "draft", "in-3"),
        invoice("2.5", number="in-1"),
        invoice("1", "open", "in-4"),
    ]
    tables = reconciled([], page([result("3")]), table("invoices", rows))
    row = tables.months[("openai", MONTH, "usd")]
    assert (row["invoiced_amount"], row["invoice_difference"]) == (D("3.5"), D("-0.5"))
    row = reconciled([], page([result("3")]), table("invoices", rows[1:3])).months[("openai", MONTH, "usd")]
    assert (row["invoiced_amount"], row["invoice_difference"]) == (None, None)


def test_the_verdict_of_a_month() -> None:
    october = page(first=date(2026, 10, 1), last=date(2026, 10, 31))
    key = ("openai", date(2026, 10, 1), "usd")
    charges = [used(day=date(2026, 10, 31))]
    whole = reconciled(charges, october, page()).months[key]
    assert (whole["verdict"], whole["days_compared"], whole["difference"]) == ("complete", 31, -1)
    # Nothing follows the last day: its charge is pending.
    partly = reconciled(charges, october).months[key]
    assert (partly["verdict"], partly["days_compared"]) == ("partial", 30)
    assert partly["difference"] == Either((0, None))
    missing = reconciled(charges, page()).months[key]
    assert (missing["verdict"], missing["days_compared"]) == ("missing", 0)


def test_a_wholly_unknown_case_is_left_out_of_sums() -> None:
    other = "openai/gpt-test-2"
    results = [result("1.5"), result("2", item="gpt-test-2, input_tokens")]
    tables = reconciled([used(), used(None, model=other)], page(results))
    row = tables.months[("openai", MONTH, "usd")]
    assert (row["ledger_cost"], row["billed_cost"], row["difference"]) == (1, D("1.5"), D("0.5"))
    assert (row["days_compared"], tables.profit[(MONTH, "usd")]["cost_difference"]) == (12, D("0.5"))


def test_profit_is_by_reporting_month_and_its_cost_difference_by_utc_month() -> None:
    # 2026-11-01T03:00Z is 31 October in Los Angeles.
    record = used("1", day=FIRST, time="03:00:00Z", platform_fees="0.5")
    bill = page([result("1.25")], day=FIRST)
    tables = reconciled([record], bill, reporting_timezone="America/Los_Angeles")
    assert tables.profit == {
        (date(2026, 10, 1), "usd"): {"profit": D("3.5"), "cost_difference": 0, "profit_at_bill": D("3.5")},
        (MONTH, "usd"): {"profit": 0, "cost_difference": D("0.25"), "profit_at_bill": D("-0.25")},
    }


def test_a_cost_in_another_currency_is_unknown_in_profit() -> None:
    tables = reconciled([used("1", provider_cost_currency="eur")], page())
    assert tables.profit[(MONTH, "usd")]["profit"] == 5
    assert tables.profit[(MONTH, "eur")] == {"profit": 0, "cost_difference": -1, "profit_at_bill": 1}


# ---- generated cases


def test_generated_cases_have_every_break_and_verdict() -> None:
    cases = [build_case(seed) for seed in range(3)]
    tables = [reconcile_costs(one.records, one.files, one.settings) for one in cases]
    rows = [row for one in tables for row in one.cases.values()]
    assert {row["break_type"] for row in rows} == {None, *PRIORITIES}
    assert {row["status"] for row in rows} == {"matched", "break", "pending"}
    assert {row["priority"] for row in rows if row["break_type"] == "billed_not_metered"} == {1, 3}
    assert {row["verdict"] for one in tables for row in one.months.values()} == {
        "complete",
        "partial",
        "missing",
    }
    assert {line["charge_category"] for one in tables for line in one.bill_lines} >= {
        "usage",
        "tax",
        "credit",
    }
    text = str([one.bill_lines for one in tables])
    assert not [secret for one in cases for secret in one.secrets if secret in text]
    assert build_case(1) == cases[1]


@pytest.mark.parametrize("seed", range(3))
def test_what_the_contract_promises_of_any_case(seed: int) -> None:
    made = build_case(seed)
    tables = reconcile_costs(made.records, made.files, made.settings)
    for row in tables.cases.values():
        if row["difference"] is not None:
            assert (row["volume_difference"] or 0) + row["rate_difference"] == row["difference"]
            assert row["billed_cost"] - row["ledger_cost"] == row["difference"]
    latest = {record["id"]: record["status"] for record in made.records}
    counted = sum(status != "pending" for status in latest.values())
    assert sum(row["charges"] for row in tables.cases.values()) == counted
