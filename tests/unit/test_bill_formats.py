"""Answers of billing APIs become flat records with all digits, and a broken part loses nothing beside it."""

import json
from collections.abc import Iterable

import pytest

from ingestion.landing.area import Landing, LandingFile
from ingestion.readers.layout import MAX_NESTED_BYTES, FlatRecord
from ingestion.sources.bills import anthropic, openai, openrouter
from ingestion.sources.bills.files import facts_of, is_of_format
from ingestion.sources.bills.names import provider_aliases
from paywall_warehouse.settings import load_settings

DAY = '"start_time": 1790812800, "end_time": 1790899200'


def bucket(*results: str) -> str:
    return f'{{"object": "bucket", {DAY}, "results": [{", ".join(results)}]}}'


def result(value: str, line_item: str = "null") -> str:
    amount = f'{{"value": {value}, "currency": "usd"}}'
    return f'{{"amount": {amount}, "line_item": {line_item}, "user_email": "a@b.de"}}'


def openai_records(*texts: str | bytes) -> list[FlatRecord]:
    assert openai.LAYOUT.flatten is not None
    encoded = [text if isinstance(text, bytes) else text.encode() for text in texts]
    return list(openai.LAYOUT.flatten(enumerate(encoded, 1)))


def places(records: Iterable[FlatRecord]) -> list[tuple[int, int, int | None, str | None]]:
    """Return line, position, bucket and amount of records."""
    flat = [(record.line, json.loads(record.text)) for record in records if record.problem is None]
    return [(line, one["_position"], one.get("_bucket_no"), one.get("amount_value")) for line, one in flat]


FIRST, SECOND, NONE = bucket(result("0.1"), result("0.2")), bucket(result("0.3")), bucket()
PAGE, NEXT = f'{{"object": "page", "data": [{FIRST}, {NONE}]}}', f'{{"object": "page", "data": [{SECOND}]}}'


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        # A bucket on each line: the results are counted within their line.
        ([FIRST, NONE, SECOND], [(1, 1, 1, "0.1"), (1, 2, 1, "0.2"), (2, 1, 2, None), (3, 1, 3, "0.3")]),
        # A page on each line: they are counted within the page.
        ([PAGE, NEXT], [(1, 1, 1, "0.1"), (1, 2, 1, "0.2"), (1, 3, 2, None), (2, 1, 3, "0.3")]),
        # An array of pages, and an array of buckets.
        ([f"[{PAGE}, {NEXT}]"], [(1, 1, 1, "0.1"), (1, 2, 1, "0.2"), (1, 3, 2, None), (1, 4, 3, "0.3")]),
        ([f"[{NONE}, {SECOND}]"], [(1, 1, 1, None), (1, 2, 2, "0.3")]),
        (['{"object": "page", "data": []}'], []),
    ],
)
def test_every_shape_gives_the_same_results_in_their_order(
    texts: list[str], expected: list[tuple[int, int, int, str | None]]
) -> None:
    assert places(openai_records(*texts)) == expected


@pytest.mark.parametrize(
    "number",
    [
        "0.003835980000000000000000000000",
        "1e-30",
        "123456789012345678901234567890",
        "0.1000000000000000055511",
    ],
)
def test_a_number_keeps_its_text(number: str) -> None:
    [record] = openai_records(bucket(result(number)))
    assert json.loads(record.text)["amount_value"] == number


def test_only_known_fields_are_kept() -> None:
    [record] = openai_records(bucket(result("1", '{"note": "anna@example.com"}')))
    assert "@" not in record.text
    assert json.loads(record.text)["line_item"] == {}, "it is an object, and its content is dropped"


@pytest.mark.parametrize(
    ("broken", "problem"),
    [
        ('{"amount": }', "invalid_json"),
        ('{"amount": {"value": NaN, "currency": "usd"}}', "invalid_json"),
        ('{"amount": 1, "amount": 2}', "duplicate_field"),
        ("7", "not_an_object"),
    ],
)
def test_a_broken_bucket_of_a_page_is_one_record_and_the_others_stay(broken: str, problem: str) -> None:
    page = f'{{"data": [{FIRST}, {bucket(broken)}, {SECOND}]}}'
    records = openai_records(page)
    assert [record.problem for record in records] == [None, None, problem, None]
    assert [amount for _, _, _, amount in places(records)] == ["0.1", "0.2", "0.3"]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("nothing", "invalid_json"),
        (b"\xff", "invalid_utf8"),
        ('"text"', "not_an_object"),
        ("[" * 100_000, "invalid_json"),
        ("[[[[[[{}]]]]]]", "not_an_object"),
        (f'{{"object": "bucket", {DAY}}}', "without_results"),
        (f'{{"object": "bucket", {DAY}, "results": null}}', "without_results"),
        (b" " * (MAX_NESTED_BYTES + 1), "page_too_long"),
    ],
)
def test_what_is_no_answer_of_the_api_is_one_record_with_its_fault(text: str | bytes, problem: str) -> None:
    [record] = openai_records(text)
    assert (record.line, record.text, record.problem) == (1, "", problem)


def test_a_result_of_anthropic_has_the_times_of_its_bucket() -> None:
    times = {"starting_at": "2026-10-01T00:00:00Z", "ending_at": "2026-10-02T00:00:00Z"}
    page = {"data": [{**times, "results": [{"amount": "123.45", "currency": "USD", "description": "x"}]}]}
    assert anthropic.LAYOUT.flatten is not None
    [record] = anthropic.LAYOUT.flatten([(1, json.dumps(page).encode())])
    assert json.loads(record.text) == {
        **times,
        "amount": "123.45",
        "currency": "USD",
        "_shape": "result",
        "_bucket_no": 1,
        "_position": 1,
    }


def test_names_of_columns_are_compared_without_case_and_blanks() -> None:
    known_as = openrouter.LAYOUT.known_as
    assert [known_as(name) for name in ("Date", " SLUG", "BYOK Usage", "Prompt Tokens", "User")] == [
        "date",
        "slug",
        "byok_usage",
        "prompt_tokens",
        "User",
    ]


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("bills/focus/a.csv", "focus"),
        ("bills/focus/team/2026/a.parquet", "focus"),
        ("bills/scope.csv", "scope"),
        ("bills/Scope.jsonl.gz", "scope"),
        ("bills/models.csv", "models"),
        ("bills/focus.csv", None),
        ("bills/scope/a.csv", None),
        ("bills/openai/a.csv", None),
    ],
)
def test_the_format_follows_from_the_place(path: str, name: str | None) -> None:
    formats = ("openai_costs", "focus", "scope", "models", "providers")
    assert [one for one in formats if is_of_format(one, path)] == ([name] if name else [])


@pytest.mark.parametrize(
    ("path", "account"),
    [
        ("bills/focus/a.csv", "default"),
        ("bills/focus/team-a/a.csv", "team-a"),
        ("bills/focus/team-a/2026/a.csv", "team-a"),
        ("bills/scope.csv", "default"),
    ],
)
def test_the_first_folder_is_the_account(path: str, account: str) -> None:
    landing = Landing.of(load_settings(_env_file=None, warehouse_home="/nowhere"))
    assert facts_of(landing, LandingFile("", path, path, 1, 0, "")).account == account


def test_the_shipped_names_of_providers_are_in_lower_case_and_lead_to_a_provider_at_once() -> None:
    aliases = provider_aliases()
    for name, provider in aliases.items():
        assert (name, provider) == (name.strip().lower(), provider.strip().lower())
        assert provider not in aliases
    # Who bills: the cloud that a model of someone else runs on.
    assert aliases["vertex_ai"] == aliases["gemini"] == aliases["google ai studio"] == "google"
    assert aliases["bedrock"] == aliases["amazon web services"] == "aws"
    assert aliases["microsoft azure"] == aliases["azure_ai"] == "azure"
    assert aliases["anthropic pbc"] == "anthropic"
