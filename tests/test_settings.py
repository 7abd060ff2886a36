"""Settings are refused before anything starts, by name and with what is allowed."""

import pytest

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


BROKEN_URLS = [
    "s3:/bucket", "s3:bucket", "s3//bucket/x", "s3:///bucket", "gs:/bucket", "gs:bucket", "abfs:/c", "S3:/bucket", "file:/srv/x",
    " s3:/b", "s3:",
]  # fmt: skip


@pytest.mark.parametrize("uri", BROKEN_URLS)
@pytest.mark.parametrize("name", ["EXPORT_URI", "LANDING_URI", "LAKE_URI", "WAREHOUSE_HOME"])
def test_a_url_that_lacks_a_slash_is_no_folder(monkeypatch: pytest.MonkeyPatch, name: str, uri: str) -> None:
    monkeypatch.setenv(name, uri)
    with pytest.raises(SettingsError, match=rf"^{name} .* is not allowed: allowed: a URL, [a-z0-9]+:// and what follows, or a path"):
        load_settings(_env_file=None)


@pytest.mark.parametrize(
    "uri", ["/srv/exports", "exports", "./s3:/bucket", "/srv/s3:/x", "s3", "s3/x", "a:b/c", "s3://bucket/x", "memory://x"]
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
