"""Bills of providers in the lake: every format and shape against numbers that were worked out by hand."""

import gzip
import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ingestion.lake.batches import FileRecord, Lake
from ingestion.load import LoadResult, load
from ingestion.unread_files import unread_warnings
from ingestion.validate_file import FileValidation, validate_file
from paywall_warehouse.duckdb_connections import open_duckdb
from paywall_warehouse.settings import Settings, load_settings

FIRST, SECOND, THIRD = (datetime(2026, 10, day, tzinfo=UTC) for day in (1, 2, 3))
SECONDS = {day: int(day.timestamp()) for day in (FIRST, SECOND, THIRD)}
PERSON, SECRET = "anna.muster@example.com", "sk-ant-admin01-AbCdEfGhIjKlMnOpQrStUv"
Row = dict[str, Any]


# The columns that say what was used, when, and for how much.
USAGE = ("period_start", "model_as_billed", "token_kind", "quantity", "unit", "billed_amount")


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return load_settings(_env_file=None, warehouse_home=tmp_path, duckdb_threads=1)


def put(settings: Settings, path: str, content: str | bytes) -> None:
    file = settings.home.landing / "bills" / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(content.encode() if isinstance(content, str) else content)


def loaded(settings: Settings, name: str) -> LoadResult:
    return load(settings, f"bills/{name}", drop_build=lambda _: None)


def rows(settings: Settings, table: str, *columns: str) -> list[tuple[Any, ...]]:
    """Return columns of a table of the lake, in the order of the files and their records."""
    lake = Lake(settings.home)
    files = [str(file) for file in lake.parquet_files(table, lake.manifests())]
    if not files:
        return []
    with open_duckdb() as connection:
        return connection.execute(
            f"select {', '.join(columns)} from read_parquet($files, union_by_name = true) order by all",
            {"files": files},
        ).fetchall()


def lines(settings: Settings, *columns: str) -> list[tuple[Any, ...]]:
    """Return columns of the bill lines, after batch, file, line and position, which order them."""
    order = ("batch_seq", "file_no", "line", "position")
    return [row[len(order) :] for row in rows(settings, "bill_lines", *order, *columns)]


def lines_of(settings: Settings, path: str, *columns: str) -> list[tuple[Any, ...]]:
    """Return columns of the bill lines of one file, in the order of its records."""
    [place] = [
        (manifest.batch_seq, file.file_no)
        for manifest in Lake(settings.home).manifests()
        for file in manifest.files
        if file.path == path
    ]
    return [row[2:] for row in lines(settings, "batch_seq", "file_no", *columns) if row[:2] == place]


def rejects(settings: Settings) -> list[tuple[Any, ...]]:
    return rows(settings, "rejects", "path", "line", "reason_code")


def files_of(settings: Settings) -> list[FileRecord]:
    return [file for manifest in Lake(settings.home).manifests() for file in manifest.files]


def counts(settings: Settings) -> list[tuple[int, int, int, int]]:
    return [(file.records, file.accepted, file.filtered, file.rejected) for file in files_of(settings)]


def counts_of(settings: Settings, path: str) -> tuple[int, int, int, int]:
    [file] = [file for file in files_of(settings) if file.path == path]
    return file.records, file.accepted, file.filtered, file.rejected


@pytest.fixture(scope="module")
def together(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """A home with a file for every case of the tables below, after one load of each format; not to be
    changed.
    """
    home = tmp_path_factory.mktemp("together")
    settings = load_settings(_env_file=None, warehouse_home=home, duckdb_threads=1)
    for number, (line_item, _, _) in enumerate(LINE_ITEMS):
        page = {"data": [openai_bucket(FIRST, openai_result(0.1, line_item))]}
        put(settings, f"openai_costs/item {number}.json", json.dumps(page))
    for shape in SHAPES:
        content, ending = page_in(shape)
        put(settings, f"openai_costs/{shape}.{ending}.gz", gzip.compress(f"\ufeff{content}".encode()))
    for number, (meter, resource, tags, own, _) in enumerate(MODELS_OF_FOCUS):
        quoted = tags.replace('"', '""')
        row = f'1,USD,,{DAY},Usage,,OpenAI,,,{meter},{resource},"{quoted}",{own},,,,,,'
        put(settings, f"focus/model {number}.csv", csv_of(FOCUS_CSV, row))
    for number, (unit, meter, description, _) in enumerate(METERS):
        row = f"1,USD,,{DAY},Usage,,OpenAI,Other,,{meter},,,,5,{unit},,,{description},"
        put(settings, f"focus/meter {number}.csv", csv_of(FOCUS_CSV, row))
    for number, (change, _) in enumerate(WRONG_LINES):
        good = dict.fromkeys(FOCUS_CSV.split(","), "") | GOOD_LINE
        both = [",".join(f'"{value}"' for value in row.values()) for row in (good | change, good)]
        put(settings, f"focus/wrong {number}.csv", csv_of(FOCUS_CSV, *both))
    for name in ("openai_costs", "focus"):
        loaded(settings, name)
    return settings


def csv_of(header: str, *given: str) -> str:
    return "\n".join([header, *given, ""])


# ---- OpenAI

OPENAI_CSV = (
    "start_time,end_time,start_time_iso,end_time_iso,amount_value,amount_currency,quantity,quantity_unit,"
    "line_item,user_id,api_key_id,project_id,organization_id,project_name,organization_name,user_email,api_source"
)


def openai_bucket(day: datetime, *results: Mapping[str, Any]) -> Row:
    return {
        "object": "bucket",
        "start_time": SECONDS[day],
        "end_time": SECONDS[day] + 86_400,
        "results": [{"object": "organization.costs.result", **result} for result in results],
    }


def openai_result(value: Any, item: str | None = None, **more: Any) -> Row:
    return {"amount": {"value": value, "currency": "usd"}, "line_item": item, **more}


def openai_page(*buckets: Mapping[str, Any]) -> Row:
    return {"object": "page", "data": list(buckets), "has_more": False, "next_page": None}


def test_a_page_of_openai_has_a_line_for_each_result_and_each_empty_bucket(settings: Settings) -> None:
    page = openai_page(
        openai_bucket(
            FIRST,
            openai_result(
                0.06,
                "gpt-5-nano, input_tokens",
                project_id="proj_1",
                api_key_id="key_1",
                quantity=1200,
                quantity_unit="1000_tokens",
            ),
            openai_result("0.1234567890125", "gpt-5-nano, cached input"),
            openai_result(-1.5e-7, "web search tool calls"),
        ),
        openai_bucket(SECOND),
        openai_bucket(SECOND, openai_result(0, None)),
    )
    put(settings, "openai_costs/october.json", json.dumps(page, indent=1))
    loaded(settings, "openai_costs")
    assert lines(settings, "bucket_no", *USAGE) == [
        (1, FIRST, "gpt-5-nano", "input", Decimal(1200), "1000_tokens", Decimal("0.06")),
        # The 13th decimal is 5, and the 12th is even.
        (1, FIRST, "gpt-5-nano", "cached_input", None, None, Decimal("0.123456789012")),
        (1, FIRST, None, "other", None, None, Decimal("-0.00000015")),
        (2, SECOND, None, "other", None, None, None),
        (3, SECOND, None, "other", None, None, Decimal(0)),
    ]
    assert lines(settings, "project", "key")[0] == ("proj_1", "key_1")
    assert rows(
        settings, "bill_lines", "format", "account", "provider_as_billed", "period_end", "currency",
        "charge_category", "is_rounded", "covers_buckets", "is_correction",
    )[0] == (
        "openai_costs", "default", "openai", SECOND, "usd", "usage", False, True, False,
    )  # fmt: skip
    [file] = files_of(settings)
    # 0.06 + 0.123456789012 − 0.00000015 + 0
    assert (file.records, file.rounded_amounts, file.cost_stated) == (5, 1, "0.183456639012")


LINE_ITEMS = [
    ("gpt-4o-2024-08-06, cached input", "gpt-4o-2024-08-06", "cached_input"),
    ("gpt-4o, web search", "gpt-4o", "other"),
    ("web search, gpt-4o", "gpt-4o", "other"),
    ("web search tool calls", None, "other"),
    # A name with a blank is a model if a kind of tokens follows.
    ("GPT-4 Turbo, input", "GPT-4 Turbo", "input"),
    ("gpt-4o", None, "other"),
]


@pytest.mark.parametrize(
    ("number", "model", "kind"), [(number, *expected) for number, (_, *expected) in enumerate(LINE_ITEMS)]
)
def test_the_model_of_a_line_item(together: Settings, number: int, model: str | None, kind: str) -> None:
    path = f"bills/openai_costs/item {number}.json"
    assert lines_of(together, path, "model_as_billed", "token_kind") == [(model, kind)]


def test_costs_in_several_currencies_have_no_sum(settings: Settings) -> None:
    header = "ChargePeriodStart,ChargePeriodEnd,BilledCost,BillingCurrency,ChargeCategory,ProviderName"
    days = "2026-10-01T00:00:00Z,2026-10-02T00:00:00Z"
    usd, eur = (f"{days},1.5,{currency},Usage,OpenAI" for currency in ("USD", "EUR"))
    put(settings, "focus/a.csv", csv_of(header, usd, eur))
    put(settings, "focus/b.csv", csv_of(header, usd, usd))
    loaded(settings, "focus")
    assert [file.cost_stated for file in files_of(settings)] == [None, "3.000000000000"]


SHAPES = ("page", "pages", "array of pages", "buckets", "array of buckets", "two pages")


def page_in(shape: str) -> tuple[str, str]:
    """Return the same buckets in one of the shapes, and the ending of a file that has it."""
    buckets = [
        openai_bucket(FIRST, openai_result(0.1, "a, input"), openai_result(0.2, "a, output")),
        openai_bucket(SECOND),
        openai_bucket(THIRD, openai_result(0.3, "b, input cache write")),
    ]
    pages = [openai_page(*buckets[:2]), openai_page(buckets[2])]
    return {
        "page": (json.dumps(openai_page(*buckets)), "json"),
        "pages": ("\n".join(map(json.dumps, pages)), "jsonl"),
        "array of pages": (json.dumps(pages), "json"),
        "buckets": ("\n\n".join(map(json.dumps, buckets)), "jsonl"),
        "array of buckets": (json.dumps(buckets), "jsonl"),
        "two pages": ("".join(map(json.dumps, pages)), "json"),
    }[shape]


@pytest.mark.parametrize("shape", SHAPES)
def test_all_shapes_of_the_api_give_the_same_lines(together: Settings, shape: str) -> None:
    path = f"bills/openai_costs/{shape}.{page_in(shape)[1]}.gz"
    assert counts_of(together, path) == (4, 4, 0, 0)
    assert lines_of(together, path, "bucket_no", "model_as_billed", "token_kind", "billed_amount") == [
        (1, "a", "input", Decimal("0.1")),
        (1, "a", "output", Decimal("0.2")),
        (2, None, "other", None),
        (3, "b", "cache_write", Decimal("0.3")),
    ]


def test_the_csv_of_openai_has_unix_seconds_or_iso_times_and_rows_of_nothing(settings: Settings) -> None:
    first, second, third = (SECONDS[day] for day in (FIRST, SECOND, THIRD))
    put(
        settings,
        "openai_costs/team-a/costs.csv",
        "\ufeff"
        + csv_of(
            OPENAI_CSV.replace("amount_value", "Amount_Value"),
            f"{first},{second},,,0.003835980000000000000000000000,usd,30,Tokens,"
            f'"gpt-5-nano, input_tokens",u,k,p,,,,{PERSON},',
            f"{second},{third}" + "," * 15,
            ',,2026-10-03T00:00:00,2026-10-04T02:00:00+02:00,2,USD,,,"x, y",,,,,,,,',
        ),
    )
    loaded(settings, "openai_costs")
    assert lines(
        settings, "account", "bucket_no", "period_start", "token_kind", "unit", "billed_amount", "currency"
    ) == [
        ("team-a", 0, FIRST, "input", "tokens", Decimal("0.00383598"), "usd"),
        ("team-a", 0, SECOND, "other", None, None, None),
        ("team-a", 0, THIRD, "other", None, Decimal(2), "usd"),
    ]
    assert lines(settings, "covers_buckets") == [(True,)] * 3


# ---- Anthropic


def anthropic_bucket(day: datetime, *results: Mapping[str, Any]) -> Row:
    return {
        "starting_at": day.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "ending_at": datetime.fromtimestamp(day.timestamp() + 86_400, UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "results": list(results),
    }


def test_amounts_of_anthropics_api_are_cents(settings: Settings) -> None:
    kinds = {
        "uncached_input_tokens": "input",
        "cache_read_input_tokens": "cached_input",
        "cache_creation.ephemeral_1h_input_tokens": "cache_write",
        "cache_creation.ephemeral_5m_input_tokens": "cache_write",
        "output_tokens": "output",
    }
    results: list[Row] = [
        {
            "amount": "123.45",
            "currency": "USD",
            "cost_type": "tokens",
            "token_type": kind,
            "model": "claude-opus-4-6",
        }
        for kind in kinds
    ]
    # 0.5e-12 dollars is half of the last decimal: it is rounded to the even 0.
    results += [
        {"amount": "0.00000000005", "currency": "USD", "cost_type": "web_search", "workspace_id": "wrk_1"},
        {"amount": 250, "currency": "USD", "cost_type": "code_execution", "model": "claude-opus-4@20250514"},
    ]
    put(
        settings,
        "anthropic_costs/a.json",
        json.dumps(
            {"data": [anthropic_bucket(FIRST, *results), anthropic_bucket(SECOND)], "has_more": False}
        ),
    )
    loaded(settings, "anthropic_costs")
    found = lines(settings, "token_kind", "model_as_billed", "billed_amount", "project", "period_end")
    assert found[:5] == [
        (kind, "claude-opus-4-6", Decimal("1.2345"), None, SECOND) for kind in kinds.values()
    ]
    assert found[5:] == [
        ("other", None, Decimal(0), "wrk_1", SECOND),
        ("other", "claude-opus-4@20250514", Decimal("2.5"), None, SECOND),
        ("other", None, None, None, THIRD),
    ]
    assert lines(settings, "covers_buckets", "is_rounded", "quantity")[0] == (True, False, None)


def test_the_csv_of_anthropics_console_is_in_dollars_rounded_to_cents(settings: Settings) -> None:
    header = (
        "usage_date_utc,model,workspace,api_key,usage_type,context_window,token_type,cost_usd,list_price_usd,"
        "cost_type,inference_geo,speed"
    )
    kinds = {
        "input_no_cache": "input",
        "input_cache_read": "cached_input",
        "input_cache_write_5m": "cache_write",
        "input_cache_write_1h": "cache_write",
        "output": "output",
        "": "other",
    }
    put(
        settings,
        "anthropic_costs/console.csv",
        "\ufeff"
        + csv_of(
            header,
            *(f"2026-10-01,Claude Opus 4.6,Default,main,m,≤ 200k,{kind},0.07,0.07,token,," for kind in kinds),
        ),
    )
    put(
        settings,
        "anthropic_costs/with_ids.csv",
        csv_of(
            f"{header},api_key_id,api_key_status",
            f"2026-10-02,C,W,{PERSON},m,,output,1,1,token,,,apikey_1,active",
        ),
    )
    loaded(settings, "anthropic_costs")
    found = lines(
        settings, "period_start", "period_end", "model_as_billed", "token_kind", "billed_amount", "key"
    )
    assert found[:6] == [
        (FIRST, SECOND, "Claude Opus 4.6", kind, Decimal("0.07"), "main") for kind in kinds.values()
    ]
    assert found[6:] == [(SECOND, THIRD, "C", "output", Decimal(1), "apikey_1")]
    assert lines(settings, "currency", "is_rounded", "covers_buckets", "project")[0] == (
        "usd",
        True,
        False,
        "Default",
    )


# ---- OpenRouter


def activity(day: str, usage: Any, byok: Any = 0, **more: Any) -> Row:
    tokens = {"prompt_tokens": 100, "completion_tokens": 20, "reasoning_tokens": 15}
    return {
        "date": day,
        "model": "deepseek/deepseek-v4.1-flash",
        "usage": usage,
        "byok_usage_inference": byok,
        **tokens,
        **more,
    }


@pytest.fixture(scope="module")
def of_openrouter(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """A home with an answer of the API and an aggregate CSV file, after one load; not to be changed."""
    home = tmp_path_factory.mktemp("openrouter")
    settings = load_settings(_env_file=None, warehouse_home=home, duckdb_threads=1)
    given = [
        activity("2026-10-01", 0.015, model_permaslug="deepseek/deepseek-v4.1-flash-20260910"),
        activity("2026-10-01", 0, 1.5),
        activity("2026-10-02", 0, 0),
        activity("2026-10-02", 0.5, 1.5, completion_tokens=None),
    ]
    put(settings, "openrouter_activity/a.json", json.dumps({"data": given}))
    put(
        settings,
        "openrouter_activity/a.csv",
        csv_of(
            "Date,Slug,Usage,BYOK Usage,Requests,Prompt Tokens,Completion Tokens,Reasoning Tokens",
            "2026-10-01,openai/gpt-5,0.02,0.00,3,1000,50,7",
            "2026-10-01,openai/gpt-5-mini,0.00,0.31,3,1000,50,7",
        ),
    )
    loaded(settings, "openrouter_activity")
    return settings


def test_rows_of_own_keys_are_no_bill_of_openrouter(of_openrouter: Settings) -> None:
    path = "bills/openrouter_activity/a.json"
    assert lines_of(of_openrouter, path, *USAGE) == [
        (FIRST, "deepseek/deepseek-v4.1-flash", "all", Decimal(120), "tokens", Decimal("0.015")),
        (SECOND, "deepseek/deepseek-v4.1-flash", "all", Decimal(120), "tokens", Decimal(0)),
        (SECOND, "deepseek/deepseek-v4.1-flash", "all", None, None, Decimal("0.5")),
    ]
    assert counts_of(of_openrouter, path) == (4, 3, 1, 0)
    assert lines_of(of_openrouter, path, "is_rounded", "covers_buckets", "currency")[0] == (
        False,
        False,
        "usd",
    )


def test_the_aggregate_csv_of_openrouter_is_rounded_to_cents(of_openrouter: Settings) -> None:
    path = "bills/openrouter_activity/a.csv"
    assert lines_of(of_openrouter, path, "model_as_billed", "quantity", "billed_amount", "is_rounded") == [
        ("openai/gpt-5", Decimal(1050), Decimal("0.02"), True)
    ]
    assert counts_of(of_openrouter, path) == (2, 1, 1, 0)


# ---- FOCUS

FOCUS_CSV = (
    "BilledCost,BillingCurrency,BillingPeriodStart,ChargePeriodStart,ChargePeriodEnd,ChargeCategory,"
    "ChargeClass,ProviderName,PublisherName,InvoiceIssuerName,SkuMeter,ResourceName,Tags,x_model,"
    "ConsumedQuantity,ConsumedUnit,SubAccountId,InvoiceId,ChargeDescription,BillingAccountName"
)
DAY = "2026-10-01T00:00:00Z,2026-10-02T00:00:00Z"


def test_lines_of_focus_state_period_category_and_class(settings: Settings) -> None:
    put(
        settings,
        "focus/a.csv",
        csv_of(
            FOCUS_CSV,
            f"1.5,USD,2026-10-01T00:00:00Z,{DAY},Usage,,OpenAI ,OpenAI,x,gpt-5,,,,9,Tokens,sub,in_1,,x",
            f"-0.25,eur,2026-09-01 00:00:00,{DAY},credit,Correction,Anthropic PBC,,,,,,,,,,,,",
            "7,usd,,2026-10-01,2026-11-01T00:00Z,Tax,,OpenAI,,,,,,,,,,,,",
        ),
    )
    loaded(settings, "focus")
    assert lines(
        settings, "provider_as_billed", "period_end", "cast(billing_period_start as varchar)",
        "charge_category", "is_correction", "billed_amount", "currency", "project", "invoice_id",
    ) == [
        ("openai", SECOND, "2026-10-01", "usage", False, Decimal("1.5"), "usd", "sub", "in_1"),
        ("anthropic pbc", SECOND, "2026-09-01", "credit", True, Decimal("-0.25"), "eur", None, None),
        ("openai", datetime(2026, 11, 1, tzinfo=UTC), None, "tax", False, Decimal(7), "usd", None, None),
    ]  # fmt: skip


MODELS_OF_FOCUS = [
    ("gpt-5", "r", '{"model": "t"}', "x", "gpt-5"),
    ("", "gpt-5", '{"model": "t"}', "x", "gpt-5"),
    ("", "", '{"model": "gpt-5", "owner": "anna"}', "x", "gpt-5"),
    ("", "", '{"owner": "anna"}', "gpt-5", "gpt-5"),
    ("", "", "team=a", "gpt-5", "gpt-5"),
    ("Input tokens", "gpt-5", "", "", "gpt-5"),
    ("", "", "", "", None),
]


@pytest.mark.parametrize(
    ("number", "model"), [(number, model) for number, (*_, model) in enumerate(MODELS_OF_FOCUS)]
)
def test_the_model_of_focus_is_the_first_that_is_stated(
    together: Settings, number: int, model: str | None
) -> None:
    assert lines_of(together, f"bills/focus/model {number}.csv", "model_as_billed") == [(model,)]


METERS = [
    ("Tokens", "gpt-5", "", "all"),
    ("Tokens", "gpt-5 input tokens", "", "input"),
    ("1000_tokens", "gpt-5", "Output tokens", "output"),
    ("tokens", "cached_input", "", "cached_input"),
    ("tokens", "Input cache write", "", "cache_write"),
    ("tokens", "gpt-5", "input and output tokens", "all"),
    ("Requests", "gpt-5 input tokens", "", "other"),
    ("", "", "", "other"),
]


@pytest.mark.parametrize(
    ("number", "unit", "kind"), [(number, unit, kind) for number, (unit, *_, kind) in enumerate(METERS)]
)
def test_words_of_the_meter_state_the_kind_of_tokens(
    together: Settings, number: int, unit: str, kind: str
) -> None:
    path = f"bills/focus/meter {number}.csv"
    assert lines_of(together, path, "token_kind", "unit") == [(kind, unit.lower() or None)]


def test_parquet_files_of_focus_have_types(settings: Settings) -> None:
    table = pa.table(
        {
            "billedcost": pa.array([Decimal("0.10"), Decimal("0.20")], pa.decimal128(38, 18)),
            "BillingCurrency": ["USD", "USD"],
            "ChargePeriodStart": pa.array([FIRST, FIRST], pa.timestamp("us", "UTC")),
            # Without a zone it is UTC.
            "ChargePeriodEnd": pa.array([SECOND.replace(tzinfo=None)] * 2, pa.timestamp("ms")),
            "ChargeCategory": ["Usage", "Usage"],
            "ServiceProviderName": ["Google Cloud", "Google Cloud"],
            "ProviderName": ["x", "x"],
            "ConsumedQuantity": [0.1, 3.0],
            "ConsumedUnit": ["Tokens", "Tokens"],
            "Tags": pa.array([[("model", "gemini-3")], []], pa.map_(pa.string(), pa.string())),
        }
    )
    path = settings.home.landing / "bills" / "focus" / "export.parquet"
    path.parent.mkdir(parents=True)
    pq.write_table(table, path)
    loaded(settings, "focus")
    assert lines(
        settings,
        "provider_as_billed",
        "period_start",
        "period_end",
        "model_as_billed",
        "quantity",
        "billed_amount",
    ) == [
        ("google cloud", FIRST, SECOND, "gemini-3", Decimal("0.1"), Decimal("0.1")),
        ("google cloud", FIRST, SECOND, None, Decimal(3), Decimal("0.2")),
    ]


def test_amounts_of_a_float_count_as_their_shortest_text(settings: Settings) -> None:
    names = FOCUS_CSV.split(",")[:8]
    values: Sequence[Any] = [0.1 + 0.2, "USD", "", "2026-10-01", "2026-10-02", "Usage", "", "OpenAI"]
    path = settings.home.landing / "bills" / "focus" / "export.parquet"
    path.parent.mkdir(parents=True)
    pq.write_table(pa.table({name: [value] for name, value in zip(names, values, strict=True)}), path)
    loaded(settings, "focus")
    # 0.30000000000000004
    assert lines(settings, "billed_amount") == [(Decimal("0.3"),)]
    assert [file.rounded_amounts for file in files_of(settings)] == [1]


def test_a_gateways_own_estimate_is_refused_as_a_whole(settings: Settings) -> None:
    row = f"1,USD,,{DAY},Usage,,OpenAI,openai,OpenAI,gpt-5,,,,1,Requests,,,,"
    put(settings, "focus/estimate.csv", csv_of(FOCUS_CSV, row, row))
    # One row of a real bill is enough to make it a bill.
    put(settings, "focus/bill.csv", csv_of(FOCUS_CSV, row, row.replace("Requests", "Tokens")))
    result = loaded(settings, "focus")
    assert (result.accepted, result.rejected) == (2, 1)
    assert rejects(settings) == [("bills/focus/estimate.csv", None, "not_a_bill")]
    assert loaded(settings, "focus").batch_seq is None, "it is reported once"


# ---- invoices and the operator's files


def test_invoices_are_an_own_list_or_those_of_focus(settings: Settings) -> None:
    put(
        settings,
        "invoices/own.csv",
        csv_of(
            "provider,invoice_id,period_start,period_end,currency,amount,status",
            "OpenAI,in_1,2026-10-01,2026-11-01,USD,12.5,Paid",
            "OpenAI,in_2,2026-10-01,2026-10-01,USD,12.5,paid",
        ),
    )
    put(
        settings,
        "invoices/team/focus.csv",
        csv_of(
            "InvoiceIssuerName,InvoiceId,InvoiceDetailId,BillingPeriodStart,BillingPeriodEnd,BillingCurrency,"
            "BilledCost,InvoiceIssueStatus,ChargeCategory",
            "Anthropic PBC,A-1,1,2026-10-01T00:00:00Z,2026-11-01T00:00:00Z,USD,-3,Issued,Credit",
        ),
    )
    loaded(settings, "invoices")
    assert rows(
        settings, "bill_invoices", "account", "provider_as_billed", "invoice_id", "invoice_detail_id",
        "cast(period_start as varchar)", "cast(period_end as varchar)", "currency", "amount", "status",
    ) == [
        ("default", "openai", "in_1", None, "2026-10-01", "2026-11-01", "usd", Decimal("12.5"), "paid"),
        ("team", "anthropic pbc", "A-1", "1", "2026-10-01", "2026-11-01", "usd", Decimal(-3), "issued"),
    ]  # fmt: skip
    assert rejects(settings) == [("bills/invoices/own.csv", 3, "bad_period")]


def test_scope_models_and_providers_are_files_of_the_folder_itself(settings: Settings) -> None:
    put(
        settings,
        "scope.csv",
        csv_of("provider,project,key,scope", "OpenAI,proj_Test,,outside", ",,key_1,SOLD", "openai,,,maybe"),
    )
    put(
        settings,
        "models.jsonl",
        '{"provider": "openai", "model_as_billed": "GPT 5", "model_id": "openai/gpt-5"}\n',
    )
    put(settings, "providers.csv", csv_of("name,provider", " Vertex_AI,Google", ",x"))
    for name in ("scope", "models", "providers"):
        loaded(settings, name)
    assert rows(settings, "bill_scopes", "line", "provider", "project", "key", "scope") == [
        (2, "openai", "proj_Test", None, "outside"),
        (3, None, None, "key_1", "sold"),
    ]
    assert rows(settings, "bill_models", "provider", "model_as_billed", "model_id") == [
        ("openai", "GPT 5", "openai/gpt-5")
    ]
    assert rows(settings, "bill_providers", "name", "provider") == [("vertex_ai", "google")]
    assert rejects(settings) == [
        ("bills/providers.csv", 3, "missing_field"),
        ("bills/scope.csv", 4, "unknown_scope"),
    ]


# ---- what is broken


GOOD_LINE = {
    "BilledCost": "1",
    "BillingCurrency": "USD",
    "ChargePeriodStart": "2026-10-01",
    "ChargePeriodEnd": "2026-10-02",
    "ChargeCategory": "Usage",
    "ProviderName": "OpenAI",
}
WRONG_LINES: list[tuple[Mapping[str, str], str]] = [
    ({"BilledCost": ""}, "missing_field"),
    ({"BilledCost": "1,5"}, "bad_amount"),
    ({"BilledCost": "1" + "0" * 18}, "amount_too_large"),
    ({"BillingCurrency": ""}, "missing_field"),
    ({"BillingCurrency": "$"}, "bad_currency"),
    ({"BillingCurrency": "usx"}, "unknown_currency"),
    ({"ChargePeriodStart": "yesterday"}, "bad_time"),
    ({"ChargePeriodStart": "1969-12-31"}, "time_out_of_range"),
    ({"ChargePeriodEnd": "2026-10-01"}, "bad_period"),
    ({"ChargePeriodEnd": "2027-10-03"}, "period_too_long"),
    ({"BillingPeriodStart": "October"}, "bad_time"),
    ({"ChargeCategory": "Other"}, "unknown_category"),
    ({"ChargeCategory": ""}, "missing_field"),
    ({"ProviderName": " "}, "missing_field"),
    ({"ConsumedQuantity": "many"}, "bad_amount"),
    ({"SkuMeter": "m" * 256}, "text_too_long"),
]


@pytest.mark.parametrize(("number", "code"), [(number, code) for number, (_, code) in enumerate(WRONG_LINES)])
def test_a_line_that_cannot_be_right_is_rejected_with_its_line(
    together: Settings, number: int, code: str
) -> None:
    path = f"bills/focus/wrong {number}.csv"
    assert [one for one in rejects(together) if one[0] == path] == [(path, 2, code)]
    assert counts_of(together, path) == (2, 1, 0, 1)


def test_a_broken_part_in_the_middle_costs_itself_alone(settings: Settings) -> None:
    good = [
        json.dumps(anthropic_bucket(day, {"amount": "100", "currency": "USD"})) for day in (FIRST, SECOND)
    ]
    put(settings, "anthropic_costs/a.jsonl", "\n".join([good[0], '{"starting_at": "2026', good[1]]))
    put(
        settings,
        "anthropic_costs/b.json",
        f'{{"data": [\n{good[0]},\n{{"results": [7, nope]}},\n{good[1]}]}}',
    )
    loaded(settings, "anthropic_costs")
    assert rejects(settings) == [
        ("bills/anthropic_costs/a.jsonl", 2, "invalid_json"),
        ("bills/anthropic_costs/b.json", 3, "invalid_json"),
    ]
    assert counts(settings) == [(3, 2, 0, 1)] * 2
    assert [file.cost_stated for file in files_of(settings)] == ["2.000000000000"] * 2


def test_columns_that_are_missing_are_named_all_at_once_and_values_are_not_shown(settings: Settings) -> None:
    put(settings, "anthropic_costs/usage.csv", csv_of(f"usage_date_utc,{PERSON}", "2026-10-01,1"))
    loaded(settings, "anthropic_costs")
    [(code, reason)] = rows(settings, "rejects", "reason_code", "reason")
    assert code == "missing_column"
    assert '"cost_usd" or "amount", "token_type", "model" are missing (found: usage_date_utc)' in reason
    assert "docs/inputs.md" in reason


def test_a_result_without_an_amount_is_no_empty_bucket(settings: Settings) -> None:
    put(
        settings,
        "openai_costs/a.json",
        json.dumps(openai_page(openai_bucket(FIRST, {}), {"object": "bucket"})),
    )
    loaded(settings, "openai_costs")
    assert [code for *_, code in rejects(settings)] == ["missing_field", "without_results"]


# ---- repeats, accounts, and what must not stay


def test_the_same_bytes_are_loaded_once_but_for_each_account(settings: Settings) -> None:
    page = json.dumps(openai_page(openai_bucket(FIRST)))
    for path in ("a.json", "b.json", "one/a.json", "two/a.json", "two/2026/b.json"):
        put(settings, f"openai_costs/{path}", page)
    loaded(settings, "openai_costs")
    assert sorted(lines(settings, "account")) == [("default",), ("one",), ("two",)]
    assert loaded(settings, "openai_costs").batch_seq is None


def test_a_later_download_of_the_same_days_is_loaded_beside_the_first(settings: Settings) -> None:
    put(settings, "openai_costs/a.json", json.dumps(openai_page(openai_bucket(FIRST, openai_result(1)))))
    loaded(settings, "openai_costs")
    put(settings, "openai_costs/b.json", json.dumps(openai_page(openai_bucket(FIRST, openai_result(2)))))
    loaded(settings, "openai_costs")
    assert rows(settings, "bill_lines", "batch_seq", "period_start", "billed_amount") == [
        (0, FIRST, Decimal(1)),
        (1, FIRST, Decimal(2)),
    ]


def test_no_address_and_no_secret_is_kept_outside_of_the_landed_files(settings: Settings) -> None:
    first, second = SECONDS[FIRST], SECONDS[SECOND]
    put(
        settings,
        "openai_costs/a.csv",
        csv_of(
            OPENAI_CSV,
            f'{first},{second},,,1,usd,1,tokens,"gpt-5, input",u,{SECRET},p,o,{PERSON},{PERSON},{PERSON},x',
            # A row whose values have moved by a column.
            f"{first},{second},,,{PERSON},usd,{SECRET},tokens,x,,,,,,,,",
            f"{first},{second},,,1,usd,{PERSON}",
            f'{PERSON},"{SECRET}',
        ),
    )
    put(
        settings,
        "openai_costs/a.jsonl",
        "\n".join(
            [
                f'{{"object": "bucket", "note": "{PERSON}", broken',
                json.dumps(
                    openai_bucket(FIRST, {"amount": PERSON, "user_email": PERSON}, openai_result(PERSON))
                ),
                json.dumps(
                    openai_bucket(FIRST, openai_result({"who": PERSON}), openai_result(1, {"who": PERSON}))
                ),
            ]
        ),
    )
    put(settings, "anthropic_costs/a.csv", csv_of(f"usage_date_utc,{PERSON};{SECRET}", "x"))
    put(settings, "anthropic_costs/b.json", f'[{{"who": "{PERSON}"')
    for name in ("openai_costs", "anthropic_costs"):
        result = loaded(settings, name)
        assert PERSON not in str(result)
    assert rows(settings, "bill_lines", "key") == [("[key]",)]
    for table in ("bill_lines", "rejects"):
        assert PERSON not in str(rows(settings, table, "*"))
        assert SECRET not in str(rows(settings, table, "*"))
    landing = settings.home.landing
    kept = [file for file in settings.home.root.rglob("*") if file.is_file() and landing not in file.parents]
    assert kept
    for file in kept:
        content = file.read_bytes()
        assert PERSON.encode() not in content
        assert SECRET.encode() not in content


# ---- validation before landing, and files that nothing reads


def validated(path: Path, source: str | None = None) -> FileValidation:
    return validate_file(load_settings(_env_file=None), path, source)


def test_check_recognises_bills_by_folder_or_columns(tmp_path: Path) -> None:
    page = tmp_path / "costs.json"
    page.write_text(json.dumps(openai_page(openai_bucket(FIRST, openai_result(0.5, "gpt-5, input")))))
    found = validated(page)
    assert (found.source, found.is_guessed, found.accepted) == ("bills/openai_costs", True, 1)
    assert found.first[0]["billed_amount"] == "0.500000000000"
    csv = tmp_path / "console.csv"
    csv.write_text("Usage_Date_UTC,Model,Token_Type,Cost_USD,list_price_usd\n2026-10-01,m,output,x,1\n")
    found = validated(csv)
    assert (found.source, found.rejected, found.unread) == ("bills/anthropic_costs", 1, ("list_price_usd",))
    scope = tmp_path / "landing" / "bills" / "scope.csv"
    scope.parent.mkdir(parents=True)
    scope.write_text("provider,scope\nopenai,outside\n")
    assert (validated(scope).source, validated(scope).accepted) == ("bills/scope", 1)


@pytest.mark.parametrize(
    ("path", "nearest"),
    [
        ("bills/opnai_costs/a.csv", "bills/openai_costs/"),
        ("bills/anthropic/a.csv", "bills/anthropic_costs/"),
        ("bills/openrouter.csv", "bills/openrouter_activity/"),
        ("focus/a.csv", "bills/focus/"),
        ("bills/a.csv", "bills/"),
    ],
)
def test_a_bill_in_a_folder_that_nothing_reads_is_reported(
    settings: Settings, path: str, nearest: str
) -> None:
    file = settings.home.landing / path
    file.parent.mkdir(parents=True)
    file.write_text("x")
    [warning] = unread_warnings(settings)
    assert warning.startswith(f"nothing reads {path}: move it to {settings.home.landing}/{nearest} ")


def test_a_record_of_deep_json_stops_no_load(settings: Settings) -> None:
    put(settings, "openai_costs/a.jsonl", "[" * 5000 + "]" * 5000 + "\n" + json.dumps(openai_bucket(FIRST)))
    assert loaded(settings, "openai_costs").accepted == 1


def test_texts_of_json_may_have_any_character(settings: Settings) -> None:
    item = "mo\u00fcdel \ud83d\ude00, input"
    put(
        settings, "openai_costs/a.json", json.dumps(openai_page(openai_bucket(FIRST, openai_result(1, item))))
    )
    loaded(settings, "openai_costs")
    assert lines(settings, "model_as_billed") == [("mo\u00fcdel \U0001f600",)]
