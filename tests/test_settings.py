"""Settings are refused before anything starts, by name and with what is allowed."""

from datetime import UTC, datetime

import pytest

from ingestion.build import reporting_today
from paywall_warehouse.settings import SettingsError, load_settings


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("REPORTING_TIMEZONE", "Berlin", "allowed: an IANA time zone name"),
        ("MAX_REJECT_RATIO", "2", "less than or equal to 1"),
        ("MANUAL_CHARGE_SETTLES_ON", "never", "'created' or 'completed'"),
        ("EXPORT_FORMATS", "parquet,xls", "allowed: a comma-separated list of parquet, csv"),
        ("DEFAULT_CURRENCY", "dollars", "allowed: a currency code of 3 to 5 letters"),
        ("LOW_BALANCE", "NaN", "finite number"),
        ("AS_OF", "2026-11-01T00:00:00", "timezone"),
        ("AS_OF", "20261101", "such as 2026-11-01"),
        ("AS_OF", "2026-02-30", "such as 2026-11-01"),
        ("AS_OF", "9999-12-31", "year is out of range"),
        ("AS_OF", "9999-12-31T23:59:59-12:00", "year is out of range"),
        ("DUCKDB_MEMORY_LIMIT", "plenty", "allowed: a size such as"),
        ("DASHBOARD_TRUSTED_HEADER", "X User", "such as X-Forwarded-User"),
        ("DASHBOARD_TRUSTED_HEADER", "authorization", "that only the proxy sets"),
        ("DASHBOARD_TRUSTED_PROXIES", "proxy.example", "allowed: addresses or networks"),
        ("DASHBOARD_TRUSTED_PROXIES", "127.0.0.1,0.0.0.0/0", "allowed: addresses or networks"),
        ("AUTHORIZATION_LINK", "https://example.com/users", "with {user_id}"),
        ("AUTHORIZATION_LINK", "https://{user_id}.example.com/", "behind the host"),
        ("AUTHORIZATION_LINK", "javascript:alert({user_id})", "an http or https address"),
        ("TOP_UP_LINK", "https://example.com/{user_id}/{token}", "with {user_id}"),
        ("TOP_UP_LINK", "https://example.com/{user_id}}", "with {user_id}"),
        ("DAGSTER_UI_URL", "localhost:3000", "allowed: an http or https address"),
        ("DUCKDB_THREADS", "0", "greater than or equal to 1"),
    ],
)
def test_a_value_that_is_not_allowed_is_refused_by_name(monkeypatch: pytest.MonkeyPatch, name: str, value: str, words: str) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError) as refused:
        load_settings()
    assert str(refused.value).startswith(f"{name} '{value}' is not allowed: ")
    assert words in str(refused.value)


def test_a_secret_is_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STRIPE_API_KEY", "rk_live_very_secret")
    assert "very_secret" not in repr(load_settings())
    assert "very_secret" not in str(load_settings().tool_environment())


def test_a_cluster_over_https_has_a_name_and_a_token(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SettingsError, match=r"SPARK_CLUSTER is not allowed.*\nSPARK_TOKEN is not allowed.*SPARK_METHOD=http"):
        load_settings(_env_file=None, spark_method="http")
    with pytest.raises(SettingsError, match="SPARK_TOKEN is not allowed"):
        load_settings(_env_file=None, spark_method="http", spark_cluster="one", spark_token="  ")
    monkeypatch.setenv("SPARK_TOKEN", "dapi very_secret")
    with pytest.raises(SettingsError, match="SPARK_TOKEN is not allowed: allowed: a text without spaces"):
        load_settings(_env_file=None)
    monkeypatch.setenv("SPARK_TOKEN", "dapi_very_secret")
    settings = load_settings(_env_file=None, spark_method="http", spark_cluster="0123-456789-abc")
    assert "very_secret" not in f"{settings!r} {settings.tool_environment()}"
    assert settings.secrets == ["dapi_very_secret"]


def test_a_password_in_a_url_is_not_shown_to_people() -> None:
    settings = load_settings(landing_uri="ftp://robot:very_secret@files.example/landing")
    assert settings.landing_shown == "ftp://***@files.example/landing"


def test_a_key_out_of_a_file_loses_its_line_feed_and_is_never_told() -> None:
    key = load_settings(_env_file=None, stripe_api_key="rk_live_topsecret\n").stripe_api_key
    assert key is not None
    assert key.get_secret_value() == "rk_live_topsecret"
    with pytest.raises(SettingsError, match="STRIPE_API_KEY is not allowed: allowed: a text without spaces") as caught:
        load_settings(_env_file=None, stripe_api_key="rk_live topsecret")
    assert "topsecret" not in str(caught.value)


@pytest.mark.parametrize("password", ["short", "two lines\nof it", "\x1b[31mcoloured"])
def test_a_password_that_is_not_allowed_is_not_told(monkeypatch: pytest.MonkeyPatch, password: str) -> None:
    monkeypatch.setenv("DASHBOARD_PASSWORD", password)
    with pytest.raises(SettingsError) as refused:
        load_settings(_env_file=None)
    assert str(refused.value) == "DASHBOARD_PASSWORD is not allowed: allowed: a text of 8 characters or more, in one line"


@pytest.mark.parametrize(
    "link",
    ["https://example.com/users/{user_id}", "http://localhost:8000?user={user_id}&paywall={paywall_id}", "https://example.com/#{user_id}"],
)
def test_a_link_has_the_user_behind_the_host(link: str) -> None:
    assert load_settings(_env_file=None, authorization_link=link).authorization_link == link


@pytest.mark.parametrize(
    ("zone", "day", "last"),
    [
        ("UTC", "2026-10-01", "2026-10-01T23:59:59.999999+00:00"),
        ("Europe/Berlin", "2026-10-01", "2026-10-01T21:59:59.999999+00:00"),  # UTC+2
        ("America/Los_Angeles", "2026-10-01", "2026-10-02T06:59:59.999999+00:00"),  # UTC-7
        ("Pacific/Auckland", "2026-10-01", "2026-10-01T10:59:59.999999+00:00"),  # UTC+13
        ("Europe/Berlin", "2026-10-25", "2026-10-25T22:59:59.999999+00:00"),  # 25 hours, UTC+1 at their end
        ("America/Havana", "2025-11-01", "2025-11-02T03:59:59.999999+00:00"),  # the clock strikes the next midnight twice
        ("America/Sao_Paulo", "2018-02-17", "2018-02-18T02:59:59.999999+00:00"),  # at midnight the clock goes back into this day
    ],
)
def test_a_bare_date_is_that_reporting_day_to_its_end(zone: str, day: str, last: str) -> None:
    settings = load_settings(_env_file=None, as_of=day, reporting_timezone=zone)
    assert settings.now().isoformat() == last
    assert str(reporting_today(settings)) == day
    assert str(settings.reporting_day(settings.now())) == day


def test_a_bare_date_of_the_present_day_is_the_present_instant() -> None:
    before = datetime.now(UTC)
    settings = load_settings(_env_file=None, as_of=before.date(), reporting_timezone="UTC")
    after = datetime.now(UTC)
    assert before.date() < after.date() or before <= settings.now() <= after


def test_an_instant_is_taken_as_it_is() -> None:
    settings = load_settings(_env_file=None, as_of="2026-10-01T06:00:00+02:00", reporting_timezone="America/Los_Angeles")
    assert settings.now() == datetime(2026, 10, 1, 4, tzinfo=UTC)


def test_a_day_that_a_zone_left_out_is_refused() -> None:
    """Samoa went from the 29th to the 31st, to the other side of the date line."""
    with pytest.raises(SettingsError, match="AS_OF is not allowed: Pacific/Apia never had that day"):
        load_settings(_env_file=None, as_of="2011-12-30", reporting_timezone="Pacific/Apia")
