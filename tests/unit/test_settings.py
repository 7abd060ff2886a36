"""Settings are refused before anything starts, by name and with what is allowed."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from paywall_warehouse.settings import SettingsError, load_settings, settings_warnings
from warehouse.plan import reporting_today


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
        ("AUTHORIZATION_LINK", "https://{user_id}.example.com/", "after the host"),
        ("AUTHORIZATION_LINK", "javascript:alert({user_id})", "an http or https address"),
        ("TOP_UP_LINK", "https://example.com/{user_id}/{token}", "with {user_id}"),
        ("TOP_UP_LINK", "https://example.com/{user_id}}", "with {user_id}"),
        ("DAGSTER_UI_URL", "localhost:3000", "allowed: an http or https address"),
        ("DASHBOARD_HOSTS", "https://warehouse.example.com", "names of hosts without ports"),
        ("DAGSTER_UI_HOSTS", "warehouse.example.com:443", "names of hosts without ports"),
        ("DAGSTER_UI_HOSTS", "*", "names of hosts without ports"),
        ("DUCKDB_THREADS", "0", "greater than or equal to 1"),
    ],
)
def test_a_value_that_is_not_allowed_is_refused_by_name(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, words: str
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError) as refused:
        load_settings()
    assert str(refused.value).startswith(f"{name} '{value}' is not allowed: ")
    assert words in str(refused.value)


BROKEN_URLS = [
    "s3:/bucket",
    "s3:bucket",
    "s3//bucket/x",
    "s3:///bucket",
    "gs:/bucket",
    "gs:bucket",
    "abfs:/c",
    "S3:/bucket",
    "file:/srv/x",
    " s3:/b",
    "s3:",
]


@pytest.mark.parametrize("uri", BROKEN_URLS)
@pytest.mark.parametrize("name", ["EXPORT_URI", "LANDING_URI", "LAKE_URI", "WAREHOUSE_HOME"])
def test_a_url_that_lacks_a_slash_is_no_folder(monkeypatch: pytest.MonkeyPatch, name: str, uri: str) -> None:
    monkeypatch.setenv(name, uri)
    with pytest.raises(
        SettingsError,
        match=rf"^{name} .* is not allowed: allowed: a URL, [a-z0-9]+:// and what follows, or a path",
    ):
        load_settings(_env_file=None)


@pytest.mark.parametrize(
    "uri",
    [
        "/srv/exports",
        "exports",
        "./s3:/bucket",
        "/srv/s3:/x",
        "s3",
        "s3/x",
        "a:b/c",
        "s3://bucket/x",
        "memory://x",
    ],
)
def test_paths_and_urls_stay_what_they_are(monkeypatch: pytest.MonkeyPatch, uri: str) -> None:
    for name in ("EXPORT_URI", "LANDING_URI"):
        monkeypatch.setenv(name, uri)
    assert load_settings(_env_file=None).landing_uri == uri


def test_the_home_is_on_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WAREHOUSE_HOME", "s3://bucket/home")
    with pytest.raises(SettingsError, match=r"WAREHOUSE_HOME .*: allowed: a folder on this machine"):
        load_settings(_env_file=None)


def test_a_secret_is_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STRIPE_API_KEY", "rk_live_very_secret")
    assert "very_secret" not in repr(load_settings())
    assert "very_secret" not in str(load_settings().tool_environment())


SECRET = "whsec_0123456789abcdef"


@pytest.mark.parametrize(
    "secret", [",", ",,", "x", "1234567", f"{SECRET},", f",{SECRET}", f"{SECRET},x", f"a,{SECRET}"]
)
def test_a_webhook_secret_that_anybody_could_guess_is_refused_and_not_shown(
    monkeypatch: pytest.MonkeyPatch, secret: str
) -> None:
    monkeypatch.setenv("PAYWALLS_WEBHOOK_SECRET", secret)
    with pytest.raises(
        SettingsError, match=r"PAYWALLS_WEBHOOK_SECRET is not allowed: .* 8 characters or more"
    ) as refused:
        load_settings()
    assert SECRET not in str(refused.value)


def test_several_webhook_secrets_are_separated_by_commas(monkeypatch: pytest.MonkeyPatch) -> None:
    for secret in ("12345678", "whsec_0123456789abcdef,whsec_of_another"):
        monkeypatch.setenv("PAYWALLS_WEBHOOK_SECRET", secret)
        assert load_settings().paywalls_webhook_secret is not None


def test_a_cluster_over_https_has_a_name_and_a_token(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(
        SettingsError, match=r"SPARK_CLUSTER is not allowed.*\nSPARK_TOKEN is not allowed.*SPARK_METHOD=http"
    ):
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


def test_a_key_from_a_file_loses_its_line_feed_and_is_never_shown() -> None:
    key = load_settings(_env_file=None, stripe_api_key="rk_live_topsecret\n").stripe_api_key
    assert key is not None
    assert key.get_secret_value() == "rk_live_topsecret"
    with pytest.raises(
        SettingsError, match="STRIPE_API_KEY is not allowed: allowed: a text without spaces"
    ) as caught:
        load_settings(_env_file=None, stripe_api_key="rk_live topsecret")
    assert "topsecret" not in str(caught.value)


@pytest.mark.parametrize("password", ["short", "two lines\nof it", "\x1b[31mcoloured"])
def test_a_password_that_is_not_allowed_is_not_shown(monkeypatch: pytest.MonkeyPatch, password: str) -> None:
    monkeypatch.setenv("DASHBOARD_PASSWORD", password)
    with pytest.raises(SettingsError) as refused:
        load_settings(_env_file=None)
    assert (
        str(refused.value)
        == "DASHBOARD_PASSWORD is not allowed: allowed: a text of 8 characters or more, in one line"
    )


@pytest.mark.parametrize(
    "link",
    [
        "https://example.com/users/{user_id}",
        "http://localhost:8000?user={user_id}&paywall={paywall_id}",
        "https://example.com/#{user_id}",
    ],
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
        (
            "America/Havana",
            "2025-11-01",
            "2025-11-02T03:59:59.999999+00:00",
        ),  # the clock strikes the next midnight twice
        (
            "America/Sao_Paulo",
            "2018-02-17",
            "2018-02-18T02:59:59.999999+00:00",
        ),  # at midnight the clock goes back into this day
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
    settings = load_settings(
        _env_file=None, as_of="2026-10-01T06:00:00+02:00", reporting_timezone="America/Los_Angeles"
    )
    assert settings.now() == datetime(2026, 10, 1, 4, tzinfo=UTC)


def test_a_day_that_a_zone_left_out_is_refused() -> None:
    """Samoa went from the 29th to the 31st, to the other side of the date line."""
    with pytest.raises(SettingsError, match="AS_OF is not allowed: Pacific/Apia never had that day"):
        load_settings(_env_file=None, as_of="2011-12-30", reporting_timezone="Pacific/Apia")


# ---- .env


@pytest.fixture
def env_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("REPORTING_TIMEZONE", raising=False)
    return tmp_path / ".env"


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (
            b"LOW_BALANCE=2\n\nREPORTING_TIMEZONE: Europe/Berlin\n",
            ".env, line 3: it cannot be read. Write NAME=value",
        ),
        (b"# note\nSTRIPE_API_KEY='rk_live_secret\n", ".env, line 2: it cannot be read"),
        (b"LOW_BALANCE=2\nREPORTING_TIMEZONE\n", ".env, line 2: REPORTING_TIMEZONE has no value"),
        ("REPORTING_TIMEZONE=Europe/Berlin\n".encode("utf-16"), ".env is UTF-16"),
        ("REPORTING_TIMEZONE=Europe/Berlin\n".encode("utf-16-le"), ".env is UTF-16"),
        (b"LOW_BALANCE=2\nDASHBOARD_PASSWORD=schl\xfcssel-secret\n", ".env, line 2: it is not UTF-8 text"),
        (b"LOW_BALANCE=2\nMAX_REJECT_RATIO=2\n", "MAX_REJECT_RATIO (.env, line 2) is not allowed"),
    ],
)
def test_what_cannot_be_read_in_an_env_file_is_refused_with_its_line(
    env_file: Path, content: bytes, words: str
) -> None:
    env_file.write_bytes(content)
    with pytest.raises(SettingsError) as refused:
        load_settings()
    assert words in str(refused.value)
    assert "secret" not in str(refused.value)


def test_all_faults_of_an_env_file_are_named_at_once(env_file: Path) -> None:
    env_file.write_bytes(b"A: 1\nLOW_BALANCE=2\nB: 1\n")
    with pytest.raises(SettingsError, match=r"(?s)line 1: .*\n\.env, line 3: "):
        load_settings()


def test_a_folder_in_the_place_of_an_env_file_is_refused(env_file: Path) -> None:
    env_file.mkdir()
    with pytest.raises(SettingsError, match=r"\.env cannot be read: Is a directory"):
        load_settings()


def test_an_env_file_with_a_mark_of_utf_8_says_what_it_says(env_file: Path) -> None:
    """The first name had an invisible letter before it, and was ignored."""
    env_file.write_bytes(b"\xef\xbb\xbfREPORTING_TIMEZONE=Europe/Berlin\n")
    assert load_settings().reporting_timezone == "Europe/Berlin"
    assert settings_warnings() == []


def test_a_name_in_an_env_file_that_is_no_setting_is_warned_about(env_file: Path) -> None:
    env_file.write_text(
        "LOW_BALANCE=2\nREPORTING_TIMEZON=Europe/Berlin\n\nexport TIMEZONE=x\nAWS_REGION=y\nDAGSTER_HOME=/z\n"
    )
    assert [line for line in settings_warnings() if line.startswith(".env")] == [
        ".env, line 2: REPORTING_TIMEZON is not a setting and is ignored. Did you mean REPORTING_TIMEZONE?",
        ".env, line 4: TIMEZONE is not a setting and is ignored. Did you mean REPORTING_TIMEZONE?",
        ".env, line 5: AWS_REGION is not a setting and is ignored. docs/operations.md lists all settings.",
    ]
    # The variable of a pull is in no list of settings.
    assert not any("AWS_REGION" in line for line in settings_warnings(["AWS_REGION"]))


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("REPORTING_TIMEZON", "REPORTING_TIMEZONE"),
        ("WAREHOUSE_HOM", "WAREHOUSE_HOME"),
        ("WAREHOUSE_HOMES", "WAREHOUSE_HOME"),
        ("WAREHOUSEHOME", "WAREHOUSE_HOME"),
        ("WAREHOSUE_HOME", "WAREHOUSE_HOME"),
        ("EXPORT_URL", "EXPORT_URI"),
        ("REPORTING_TIMEZOEN", "REPORTING_TIMEZONE"),
    ],
)
def test_a_variable_misspelt_by_a_letter_is_warned_about(
    env_file: Path, monkeypatch: pytest.MonkeyPatch, name: str, meant: str
) -> None:
    monkeypatch.setenv(name, "x")
    assert settings_warnings() == [
        f"The environment variable {name} is not a setting and is ignored. Did you mean {meant}?"
    ]


@pytest.mark.parametrize(
    "name",
    ["SPARK_HOME", "AS_OFF", "HOME", "STRIPE_SECRET_KEY", "DAGSTER_HOME", "TIMEZONE", "warehouse_home"],
)
def test_a_variable_of_another_program_is_not(
    env_file: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv(name, "/somewhere")
    assert settings_warnings() == []


def test_a_name_next_to_the_right_one_is_not_warned_about(
    env_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both are set: somebody knows what he does."""
    monkeypatch.setenv("EXPORT_URI", "/exports")
    monkeypatch.setenv("EXPORT_URL", "https://example.com")
    assert settings_warnings() == []
