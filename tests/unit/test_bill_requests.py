"""What a pull of bills requests: parameters, spans, what counts as landed, and the settings."""

from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest

from ingestion.bill_pull.apis import (
    ANTHROPIC,
    OPENAI,
    OPENROUTER,
    anthropic_parameters,
    digest_of,
    openai_parameters,
    openrouter_parameters,
)
from ingestion.bill_pull.pull import BillSidecar, first_day, windows
from ingestion.pulls.requesting import asked_to_wait
from ingestion.pulls.windows import Span
from paywall_warehouse.settings import SettingsError, load_settings

NOVEMBER = (datetime(2026, 11, 1, tzinfo=UTC), datetime(2026, 11, 4, tzinfo=UTC))


def at(day: str) -> datetime:
    return datetime.fromisoformat(f"{day}T00:00:00+00:00")


def spans(*days: tuple[str, str]) -> list[Span]:
    return [(at(start), at(end)) for start, end in days]


# 2026-11-01 is 20,758 days after 1970-01-01: 20758 × 86400 = 1793491200.
def test_the_parameters_of_each_api() -> None:
    assert openai_parameters(NOVEMBER, None, True) == [
        ("start_time", "1793491200"),
        ("end_time", "1793750400"),
        ("bucket_width", "1d"),
        ("group_by[]", "line_item"),
        ("group_by[]", "project_id"),
        ("group_by[]", "api_key_id"),
        ("limit", "7"),
    ]
    assert openai_parameters(NOVEMBER, "page_2", False)[3:] == [
        ("group_by[]", "line_item"),
        ("group_by[]", "project_id"),
        ("limit", "7"),
        ("page", "page_2"),
    ]
    assert anthropic_parameters(NOVEMBER, "page_2", True) == [
        ("starting_at", "2026-11-01T00:00:00Z"),
        ("ending_at", "2026-11-04T00:00:00Z"),
        ("bucket_width", "1d"),
        ("group_by[]", "description"),
        ("group_by[]", "workspace_id"),
        ("limit", "7"),
        ("page", "page_2"),
    ]
    assert openrouter_parameters(NOVEMBER, None, True) == [("date", "2026-11-01")]
    assert openrouter_parameters(NOVEMBER, "2026-11-03", True) == [("date", "2026-11-03")]


def test_the_headers_of_each_api() -> None:
    assert OPENAI.headers("k") == {"Authorization": "Bearer k"}
    assert ANTHROPIC.headers("k") == {"x-api-key": "k", "anthropic-version": "2023-06-01"}
    assert OPENROUTER.headers("k") == {"Authorization": "Bearer k"}


@pytest.mark.parametrize(
    ("covered", "fresh", "wanted"),
    [
        # Nothing has landed.
        ([], [], [("2026-11-01", "2026-11-20")]),
        # A new day, and three days before it.
        ([("2026-11-01", "2026-11-19")], [], [("2026-11-16", "2026-11-20")]),
        # After an outage, the look-back begins where the pull had stopped.
        ([("2026-11-01", "2026-11-10")], [], [("2026-11-07", "2026-11-20")]),
        # The API has not stated the last day yet.
        (
            [("2026-11-01", "2026-11-19")],
            [("2026-11-16", "2026-11-19")],
            [("2026-11-17", "2026-11-20")],
        ),
        # Nothing new: the last days may have changed.
        ([("2026-11-01", "2026-11-20")], [("2026-11-19", "2026-11-20")], [("2026-11-17", "2026-11-20")]),
        # A file was deleted.
        (
            [("2026-11-01", "2026-11-05"), ("2026-11-07", "2026-11-20")],
            [],
            [("2026-11-05", "2026-11-07"), ("2026-11-17", "2026-11-20")],
        ),
        # A pull was interrupted: what it has just landed is not requested again.
        ([("2026-11-01", "2026-11-10")], [("2026-11-01", "2026-11-10")], [("2026-11-10", "2026-11-20")]),
    ],
)
def test_the_spans_to_request(
    covered: list[tuple[str, str]], fresh: list[tuple[str, str]], wanted: list[tuple[str, str]]
) -> None:
    found = windows(at("2026-11-01"), at("2026-11-20"), spans(*covered), spans(*fresh), timedelta(days=3))
    assert found == spans(*wanted)


def test_without_a_look_back_only_missing_days_are_requested() -> None:
    start, end = at("2026-11-01"), at("2026-11-20")
    known = spans(("2026-11-01", "2026-11-19"))
    assert windows(start, end, known, [], timedelta()) == spans(("2026-11-19", "2026-11-20"))
    assert windows(start, end, spans(("2026-11-01", "2026-11-20")), [], timedelta()) == []
    assert windows(end, end, [], [], timedelta(days=3)) == []


def test_a_first_pull_of_months_is_cut_where_they_end() -> None:
    start = at("2026-08-01")
    assert windows(start, at("2026-11-04"), [], [], timedelta(days=3)) == spans(
        ("2026-08-01", "2026-09-01"),
        ("2026-09-01", "2026-10-01"),
        ("2026-10-01", "2026-11-01"),
        ("2026-11-01", "2026-11-04"),
    )


def test_the_first_day_is_stated_or_that_of_the_month_90_days_before(tmp_path: Path) -> None:
    settings = load_settings(_env_file=None, warehouse_home=tmp_path)
    # 90 days before 2026-11-20 is 2026-08-22.
    assert first_day(settings, at("2026-11-20")) == at("2026-08-01")
    stated = settings.model_copy(update={"bills_first_day": date(2026, 9, 15)})
    assert first_day(stated, at("2026-11-20")) == at("2026-09-15")


def test_a_day_that_was_not_stated_is_complete_once_the_look_back_is_over() -> None:
    sidecar = BillSidecar(
        "openai_costs",
        {"start": "2026-11-01", "end": "2026-11-05"},
        {"2026-11-02": "digest"},
        "2026-11-05T00:00:00+00:00",
        1,
        "",
        0,
        "",
    )
    # The 1st ended three days before the 5th; the 3rd and the 4th may still be stated.
    assert sidecar.covered(timedelta(days=3)) == [date(2026, 11, 1), date(2026, 11, 2)]
    assert sidecar.covered(timedelta()) == [date(2026, 11, number) for number in (1, 2, 3, 4)]


def test_the_order_of_results_does_not_change_their_digest() -> None:
    first, second = {"a": "0.1", "b": None}, {"b": None, "a": "0.2"}
    assert digest_of([first, second]) == digest_of([second, {"b": None, "a": "0.1"}])
    assert digest_of([first]) != digest_of([second])
    assert digest_of([first]) != digest_of([first, first])


@pytest.mark.parametrize(
    ("stated", "seconds"),
    [("7", 7), ("0.25", 0.25), ("-5", 0), ("600", 30), ("soon", None), ("nan", None), ("inf", 30)],
)
def test_retry_after_is_a_bounded_number(stated: str, seconds: float | None) -> None:
    assert asked_to_wait({"retry-AFTER": stated}, 30) == seconds


def test_retry_after_may_be_a_date() -> None:
    later = datetime.now(UTC) + timedelta(seconds=20)
    wait = asked_to_wait({"Retry-After": f"{later:%a, %d %b %Y %H:%M:%S} GMT"}, 30)
    assert wait is not None
    assert 15 < wait <= 20
    assert asked_to_wait({}, 30) is None


# ---- settings


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("BILLS_FIRST_DAY", "20260901", "such as 2026-09-01"),
        ("BILLS_FIRST_DAY", "2026-02-30", "such as 2026-09-01"),
        ("BILLS_FIRST_DAY", "1969-01-01", "a date between 1970 and 2100"),
        ("BILLS_LOOK_BACK_DAYS", "-1", "a whole number of days from 0 to 60"),
        ("BILLS_LOOK_BACK_DAYS", "61", "a whole number of days from 0 to 60"),
        ("BILLS_DEADLINE_SECONDS", "inf", "a number of seconds, such as 300"),
    ],
)
def test_a_setting_that_is_not_allowed_is_refused(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, words: str
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError, match=rf"^{name} '{value}' is not allowed: ") as refused:
        load_settings(_env_file=None)
    assert words in str(refused.value)


KEYS = {
    "OPENAI_API_BASE": "OPENAI_ADMIN_KEY",
    "ANTHROPIC_API_BASE": "ANTHROPIC_ADMIN_KEY",
    "OPENROUTER_API_BASE": "OPENROUTER_MANAGEMENT_KEY",
}


@pytest.mark.parametrize(
    ("name", "value", "used"),
    [
        ("OPENAI_API_BASE", "https://api.openai.com", "https://api.openai.com"),
        ("OPENAI_API_BASE", "https://eu.api.openai.com/v1/", "https://eu.api.openai.com"),
        ("OPENAI_API_BASE", "http://127.0.0.1:12112", "http://127.0.0.1:12112"),
        ("ANTHROPIC_API_BASE", "http://localhost:12112/", "http://localhost:12112"),
        ("ANTHROPIC_API_BASE", "https://api.anthropic.com/v1", "https://api.anthropic.com"),
        ("OPENROUTER_API_BASE", "https://openrouter.ai/api/v1", "https://openrouter.ai"),
        ("OPENROUTER_API_BASE", "http://[::1]:5", "http://[::1]:5"),
    ],
)
def test_addresses_of_the_provider_and_of_this_machine(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, used: str
) -> None:
    monkeypatch.setenv(KEYS[name], "secret")
    monkeypatch.setenv(name, value)
    assert getattr(load_settings(_env_file=None), name.lower()) == used


@pytest.mark.parametrize(
    "value",
    [
        "https://litellm.example.com/v1",
        "http://api.openai.com",
        "https://api.openai.com.example.com",
        "https://xapi.openai.com",
        "https://example.com/api.openai.com",
        "https://user@example.com/",
        "http://127.0.0.1.example.com",
        "api.openai.com",
    ],
)
def test_an_admin_key_is_sent_to_nobody_else(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    """LiteLLM and older clients of OpenAI read OPENAI_API_BASE, too."""
    monkeypatch.setenv("OPENAI_API_BASE", value)
    assert load_settings(_env_file=None).openai_api_base is None
    monkeypatch.setenv("OPENAI_ADMIN_KEY", "sk-admin-topsecret")
    with pytest.raises(SettingsError, match=r"^OPENAI_API_BASE .*allowed: https://api\.openai\.com or"):
        load_settings(_env_file=None)


@pytest.mark.parametrize("name", sorted(KEYS.values()))
def test_the_keys_are_secrets(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv(name, "sk-topsecret\n")
    settings = load_settings(_env_file=None)
    assert settings.secrets == ["sk-topsecret"]
    assert "topsecret" not in repr(settings)
    assert "topsecret" not in str(settings.tool_environment())
    monkeypatch.setenv(name, "sk top secret")
    with pytest.raises(SettingsError, match=rf"^{name} is not allowed: allowed: a text without spaces"):
        load_settings(_env_file=None)
