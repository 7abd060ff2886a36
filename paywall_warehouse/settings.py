"""The settings, from the environment or `.env`, validated before anything starts."""

import hashlib
import ipaddress
import json
import os
import re
import tempfile
from collections.abc import Collection, Mapping
from datetime import UTC, date, datetime, time
from decimal import Decimal
from functools import cache
from pathlib import Path
from socket import gethostname
from typing import Annotated, Any, Literal, get_args
from zoneinfo import ZoneInfo, available_timezones

import fsspec
from pydantic import (
    AwareDatetime,
    BeforeValidator,
    Field,
    SecretStr,
    ValidationError,
    ValidationInfo,
    field_validator,
)
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from paywall_warehouse import env_file
from paywall_warehouse.currencies import known_currencies, nearest_currencies
from paywall_warehouse.home import Home
from paywall_warehouse.uris import check_uri, shown_uri

# Headers that a proxy may pass on from the browser, and headers that do not identify a person.
HEADERS_WITHOUT_USER = {
    "accept",
    "accept-encoding",
    "accept-language",
    "authorization",
    "connection",
    "content-length",
    "content-type",
    "cookie",
    "forwarded",
    "host",
    "origin",
    "referer",
    "upgrade",
    "user-agent",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-proto",
    "x-real-ip",
}
SHORTEST_PASSWORD, SHORTEST_SECRET = 8, 8
LONGEST_NAME = 100
WEB_ADDRESS = re.compile(r"https?://[^/@?#\s]+(/[^?#\s]*)?")
MEMORY_SIZE = re.compile(r"[0-9]+(\.[0-9]+)?\s*([KMGT]i?)?B", re.IGNORECASE)
EXPORT_FORMATS = ("parquet", "csv")
# Names of a system's own zone, which DuckDB does not know.
LOCAL_ZONES = {"localtime", "Factory", "posixrules"}
# The reasons that the product's documentation uses for credits that were not paid for.
PROMO_REASONS = ("signup_bonus", "trial", "promo", "goodwill")
EXPIRY_REASONS = ("expired", "expiry", "breakage")
# Pinned, because a newer version of a report may have other column names.
STRIPE_REPORT_TYPES = (
    "balance_change_from_activity.itemized.7",
    "payouts.itemized.5",
    "payout_reconciliation.itemized.7",
    "balance.summary.1",
)
CURRENCY_CODE = re.compile(r"[A-Za-z]{3,5}")
# Instants outside of these bounds are rejected for any value of EARLIEST_ENTRY.
EARLIEST, LATEST = datetime(1970, 1, 1, tzinfo=UTC), datetime(2100, 1, 1, tzinfo=UTC)
STRIPE_REPORT_TYPE = re.compile(
    r"((balance_change_from_activity|payouts|payout_reconciliation)\.itemized\.[1-7]|balance\.summary\.1)"
)


# The address of each provider of bills: the setting with its key, its host, and the path that other software
# adds to the host.
BILL_APIS = {
    "openai_api_base": ("openai_admin_key", "api.openai.com", "/v1"),
    "anthropic_api_base": ("anthropic_admin_key", "api.anthropic.com", "/v1"),
    "openrouter_api_base": ("openrouter_management_key", "openrouter.ai", "/api/v1"),
}
ENV_FILE = ".env"


class SettingsError(Exception):
    """A setting with a value that is not allowed. The text names the setting, the fault and what is
    allowed.
    """


def _split(value: Any) -> Any:
    return [word.strip() for word in value.split(",") if word.strip()] if isinstance(value, str) else value


def _as_date(text: str) -> date | str:
    if not re.match(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", text):
        # Pydantic reads 20261101 as seconds since 1970.
        raise ValueError("it is neither a date nor an instant")
    try:
        return date.fromisoformat(text)
    except ValueError:
        return text


def _check_year(value: date) -> None:
    """Raise `ValueError` for a date without neighbouring years in Python's calendar."""
    if not date.min.year + 1 < value.year < date.max.year - 1:
        raise ValueError("the year is out of range")


Words = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_split)]


def _day_or_instant(value: Any) -> Any:
    """Distinguish a date from an instant by its form: pydantic would read midnight as a date."""
    if not isinstance(value, str):
        return value
    try:
        parsed = (
            date.fromisoformat(value)
            if re.fullmatch(r"\d{4}-\d{2}-\d{2}", value)
            else datetime.fromisoformat(value)
        )
    except ValueError:
        parsed = None
    if parsed is None or (isinstance(parsed, datetime) and parsed.tzinfo is None):
        raise ValueError(
            "allowed: a date such as 2015-01-01, or an instant with offset such as 2015-01-01T00:00:00Z"
        )
    return parsed


def _day(value: Any) -> Any:
    """Return a date. Pydantic would read 20260901 as seconds since 1970."""
    if not isinstance(value, str):
        return value
    try:
        day = date.fromisoformat(value) if re.fullmatch(r"\d{4}-\d{2}-\d{2}", value) else None
    except ValueError:
        day = None
    if day is None or not EARLIEST.date() <= day < LATEST.date():
        raise ValueError("allowed: a date between 1970 and 2100, such as 2026-09-01")
    return day


class Settings(BaseSettings):
    """All settings (docs/contract.md#7-how-it-is-started). Field names are the lower-case names of the
    variables.
    """

    model_config = SettingsConfigDict(
        env_file=ENV_FILE,
        env_file_encoding=env_file.ENCODING,
        extra="ignore",
        frozen=True,
        env_ignore_empty=True,
    )

    warehouse_home: Path = Path("data")
    landing_uri: str | None = None
    export_uri: str | None = None
    export_formats: Words = EXPORT_FORMATS
    export_focus: bool = False
    focus_provider_name: str | None = None
    reporting_timezone: str = "UTC"
    earliest_entry: Annotated[date | datetime, BeforeValidator(_day_or_instant)] = date(2015, 1, 1)
    extra_currencies: Words = ()
    # After `extra_currencies`, because its validator needs them.
    default_currency: str = "usd"
    as_of: AwareDatetime | None = None
    max_reject_ratio: float = Field(default=0.01, ge=0, le=1, allow_inf_nan=False)
    recon_grace_days: int = Field(default=3, ge=0)
    # The products with sums of costs have to fit DECIMAL(38,12) (dbt_project/macros/costs/).
    cost_tolerance_abs: Decimal = Field(
        default=Decimal("0.01"), ge=0, le=10**9, allow_inf_nan=False, decimal_places=12
    )
    cost_tolerance_rel: Decimal = Field(
        default=Decimal("0.005"), ge=0, le=1, allow_inf_nan=False, decimal_places=8
    )
    cost_grace_days: int = Field(default=2, ge=0, le=366)
    manual_charge_settles_on: Literal["created", "completed"] = "created"
    promo_reasons: Words = PROMO_REASONS
    expiry_reasons: Words = EXPIRY_REASONS
    promo_first: bool = True
    low_balance: Decimal = Field(
        default=Decimal(1), ge=0, allow_inf_nan=False, max_digits=38, decimal_places=12
    )
    stripe_api_key: SecretStr | None = None
    stripe_api_base: str | None = None
    stripe_report_types: Words = STRIPE_REPORT_TYPES
    stripe_look_back_days: int = Field(default=35, ge=0, le=366)
    stripe_deadline_seconds: float = Field(default=600, ge=0, allow_inf_nan=False)
    stripe_required: bool = False
    stripe_read_budget: int = Field(default=5000, ge=1)
    openai_admin_key: SecretStr | None = None
    anthropic_admin_key: SecretStr | None = None
    openrouter_management_key: SecretStr | None = None
    # After the keys, because their validator needs them.
    openai_api_base: str | None = None
    anthropic_api_base: str | None = None
    openrouter_api_base: str | None = None
    bills_first_day: Annotated[date | None, BeforeValidator(_day)] = None
    bills_look_back_days: int = Field(default=3, ge=0, le=60)
    bills_deadline_seconds: float = Field(default=300, ge=0, allow_inf_nan=False)
    max_priority_1_breaks: int = Field(default=0, ge=0)
    priority_1_breaks: Literal["warn", "fail"] = "warn"
    paywalls_webhook_secret: SecretStr | None = None
    webhook_max_age_seconds: float = Field(default=86_400, ge=0, allow_inf_nan=False)
    dashboard_password: SecretStr | None = None
    dashboard_trusted_header: str | None = None
    dashboard_trusted_proxies: Words = ("127.0.0.1", "::1")
    dashboard_hosts: Words = ()
    authorization_link: str | None = None
    top_up_link: str | None = None
    dagster_ui_url: str = "http://127.0.0.1:3000"
    dagster_ui_hosts: Words = ()
    duckdb_memory_limit: str = "2GB"
    duckdb_threads: int | None = Field(default=None, ge=1)
    warehouse_target: Literal["duckdb", "spark"] = "duckdb"
    lake_uri: str | None = None
    spark_method: Literal["thrift", "http", "session"] = "thrift"
    spark_host: str = "127.0.0.1"
    spark_port: int = Field(default=10_000, ge=1, le=65_535)
    spark_user: str = "warehouse"
    spark_organization: str = Field(default="0", pattern=r"^[A-Za-z0-9_-]+$")
    spark_cluster: str | None = Field(default=None, pattern=r"^[A-Za-z0-9_-]+$", validate_default=True)
    spark_token: SecretStr | None = Field(default=None, validate_default=True)
    spark_threads: int = Field(default=4, ge=1)
    spark_table_format: Literal["parquet", "iceberg"] = "parquet"
    spark_schema_prefix: str = Field(default="", pattern=r"^([a-z][a-z0-9_]*)?$")
    spark_publish_max_rows: int = Field(default=100_000_000, ge=0)
    spark_copy_every: int = Field(default=10, ge=0)

    @field_validator("warehouse_home", mode="before")
    @classmethod
    def _on_this_machine(cls, value: Any) -> Any:
        if isinstance(value, str):
            check_uri(value)
            if "://" in value:
                raise ValueError("allowed: a folder on this machine; LANDING_URI and EXPORT_URI may be URLs")
        return value

    @field_validator("warehouse_home")
    @classmethod
    def _absolute(cls, value: Path) -> Path:
        path = value.expanduser().resolve()
        if set(str(path)) & set("#?*["):
            raise ValueError("allowed: a folder whose path has none of # ? * [, which the tools interpret")
        return path

    @field_validator("landing_uri", "export_uri", "lake_uri")
    @classmethod
    def _a_path_or_a_url(cls, value: str | None) -> str | None:
        if value:
            check_uri(value)
        return value

    @field_validator("landing_uri", "export_uri")
    @classmethod
    def _openable(cls, value: str | None) -> str | None:
        protocol = value.split("://")[0] if value and "://" in value else "file"
        try:
            fsspec.get_filesystem_class(protocol)
        except (ValueError, ImportError) as error:
            raise ValueError(f"allowed: a path or a URL that fsspec can open ({error})") from None
        return value

    @field_validator("export_uri")
    @classmethod
    def _writable(cls, value: str | None) -> str | None:
        if value is None or "://" not in value:
            # Absolute, so that it does not depend on the working directory.
            return str(Path(value).expanduser().resolve()) if value else None
        if value.startswith(("http://", "https://")) or not value.partition("://")[2].strip("/"):
            raise ValueError("allowed: a folder or a URL that can be written to, such as s3://bucket/exports")
        return value

    @field_validator("lake_uri")
    @classmethod
    def _quotable(cls, value: str | None) -> str | None:
        if value is not None and (set(value) & set("`'\\") or not (value.startswith("/") or "://" in value)):
            raise ValueError(
                "allowed: a folder or a URL that the cluster can read, such as s3a://bucket/lake, without"
                " quotes"
            )
        return value.rstrip("/") if value else None

    @field_validator("spark_host")
    @classmethod
    def _host(cls, value: str) -> str:
        if not re.fullmatch(r"[A-Za-z0-9._-]+|[0-9a-fA-F:]+", value):
            raise ValueError("allowed: the name or address of a host, such as 127.0.0.1")
        return value

    @field_validator(
        "stripe_api_key",
        "paywalls_webhook_secret",
        "spark_token",
        "openai_admin_key",
        "anthropic_admin_key",
        "openrouter_management_key",
    )
    @classmethod
    def _one_word(cls, value: SecretStr | None) -> SecretStr | None:
        """Strip the line feed of a secret that comes from a file: a library would show it in its error, with
        the secret.
        """
        text = value.get_secret_value().strip() if value is not None else ""
        if not re.fullmatch(r"[!-~]*", text):
            raise ValueError("allowed: a text without spaces and line feeds")
        return SecretStr(text) if text else None

    @field_validator("paywalls_webhook_secret")
    @classmethod
    def _hard_to_guess(cls, value: SecretStr | None) -> SecretStr | None:
        """Check each of the secrets: with an empty or short one, anybody could sign a delivery."""
        if value is not None and any(
            len(part) < SHORTEST_SECRET for part in value.get_secret_value().split(",")
        ):
            raise ValueError(
                f"allowed: the secret of the webhook's subscription, {SHORTEST_SECRET} characters or more;"
                " several are separated by commas"
            )
        return value

    @field_validator("spark_cluster", "spark_token")
    @classmethod
    def _there_for_http(cls, value: Any, info: ValidationInfo) -> Any:
        """Require the settings of SPARK_METHOD=http. It runs after `_one_word`, which removes spaces."""
        if value is None and info.data.get("spark_method") == "http":
            raise ValueError(
                "allowed: the value with which the cluster is reached, because SPARK_METHOD=http requires"
                f" {str(info.field_name).upper()}"
            )
        return value

    @field_validator("stripe_api_base")
    @classmethod
    def _web_address(cls, value: str | None) -> str | None:
        if value is not None and not WEB_ADDRESS.fullmatch(value):
            raise ValueError("allowed: an http or https address, such as https://api.stripe.com")
        return value

    @field_validator(*BILL_APIS)
    @classmethod
    def _host_of_the_provider(cls, value: str | None, info: ValidationInfo) -> str | None:
        """Check that an admin key is sent to its provider or to this machine only.

        Other software reads variables of these names, too: LiteLLM's may be the address of a gateway, which
        must not get the key. Without the key, nothing is sent, and any value is allowed.
        """
        key, host, path = BILL_APIS[str(info.field_name)]
        if value is None or info.data.get(key) is None:
            return None
        own = rf"https://([a-z0-9-]+\.)?{re.escape(host)}"
        here = r"https?://(127\.0\.0\.1|localhost|\[::1\])(:\d+)?"
        base = value.rstrip("/").removesuffix(path).rstrip("/")
        if not re.fullmatch(f"{own}|{here}", base, re.IGNORECASE):
            raise ValueError(
                f"allowed: https://{host} or an address of this machine, because {key.upper()} is sent there"
            )
        return base

    @field_validator("dashboard_password")
    @classmethod
    def _long_enough(cls, value: SecretStr | None) -> SecretStr | None:
        text = value.get_secret_value().strip() if value is not None else ""
        if text and (len(text) < SHORTEST_PASSWORD or not text.isprintable()):
            raise ValueError(f"allowed: a text of {SHORTEST_PASSWORD} characters or more, in one line")
        return SecretStr(text) if text else None

    @field_validator("dashboard_trusted_header")
    @classmethod
    def _names_a_user(cls, value: str | None) -> str | None:
        if value is not None and (
            not re.fullmatch(r"[A-Za-z0-9-]+", value) or value.lower() in HEADERS_WITHOUT_USER
        ):
            raise ValueError(
                "allowed: the name of a header that only the proxy sets, such as X-Forwarded-User"
            )
        return value

    @field_validator("dashboard_trusted_proxies")
    @classmethod
    def _addresses(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        try:
            networks = [ipaddress.ip_network(address) for address in value]
        except ValueError:
            networks = []
        if not networks or any(network.prefixlen == 0 for network in networks):
            raise ValueError(
                "allowed: addresses or networks, comma-separated, such as 127.0.0.1,::1 or 10.0.3.0/24"
            )
        return value

    @field_validator("dashboard_hosts", "dagster_ui_hosts")
    @classmethod
    def _host_names(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        """Check that the names have no ports."""
        if not all(re.fullmatch(r"[A-Za-z0-9._-]+|[0-9a-fA-F:]+", name) for name in value):
            raise ValueError(
                "allowed: names of hosts without ports, comma-separated, such as warehouse.example.com"
            )
        return value

    @field_validator("authorization_link", "top_up_link")
    @classmethod
    def _link_of_a_user(cls, value: str | None) -> str | None:
        """Allow braces only after the host, so that an id from the ledger cannot change the host."""
        hole = r"\{(?:user_id|paywall_id)\}"
        if value is not None and (
            "{user_id}" not in value
            or not re.fullmatch(rf"https?://[^/@?#\s{{}}]+[/?#](?:[^\s{{}}]|{hole})*", value)
        ):
            raise ValueError(
                "allowed: an http or https address with {user_id}, and optionally {paywall_id}, after the"
                " host, such as https://example.com/users/{user_id}"
            )
        return value

    @field_validator("dagster_ui_url")
    @classmethod
    def _address_of_dagster(cls, value: str) -> str:
        if not WEB_ADDRESS.fullmatch(value):
            raise ValueError("allowed: an http or https address, such as http://127.0.0.1:3000")
        return value.rstrip("/")

    @field_validator("stripe_report_types")
    @classmethod
    def _known_reports(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        stripe_reports = [name.rsplit(".", 1)[0] for name in value]
        if (
            "balance_change_from_activity.itemized" not in stripe_reports
            or not all(map(STRIPE_REPORT_TYPE.fullmatch, value))
            or len(set(stripe_reports)) < len(stripe_reports)
        ):
            example = ",".join(STRIPE_REPORT_TYPES)
            raise ValueError(
                "allowed: report types, comma-separated, one version of each, including the activity,"
                f" such as {example}"
            )
        return value

    @field_validator("export_formats")
    @classmethod
    def _known_formats(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if not value or set(value) - set(EXPORT_FORMATS):
            raise ValueError(f"allowed: a comma-separated list of {', '.join(EXPORT_FORMATS)}")
        return value

    @field_validator("focus_provider_name")
    @classmethod
    def _printable_name(cls, value: str | None) -> str | None:
        if value is None or not value.strip():
            return None
        if len(value) > LONGEST_NAME or not value.isprintable():
            raise ValueError(f"allowed: a name of up to {LONGEST_NAME} printable characters, such as Acme AI")
        return value.strip()

    @field_validator("reporting_timezone")
    @classmethod
    def _known_timezone(cls, value: str) -> str:
        if value not in known_timezones():
            raise ValueError("allowed: an IANA time zone name, such as UTC or Europe/Berlin")
        return value

    @field_validator("earliest_entry")
    @classmethod
    def _plausible(cls, value: date | datetime) -> date | datetime:
        if not EARLIEST.date() <= (value.date() if isinstance(value, datetime) else value) < LATEST.date():
            raise ValueError("allowed: a date or an instant between 1970 and 2100, such as 2015-01-01")
        return value

    @field_validator("extra_currencies")
    @classmethod
    def _codes(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if wrong := [code for code in value if not CURRENCY_CODE.fullmatch(code)]:
            raise ValueError(
                f"{wrong[0]!r} is not a currency code; allowed: codes of 3 to 5 letters, comma-separated,"
                " such as gems,coins"
            )
        return tuple(sorted({code.lower() for code in value} - set(known_currencies())))

    @field_validator("default_currency")
    @classmethod
    def _currency(cls, value: str, info: ValidationInfo) -> str:
        if not CURRENCY_CODE.fullmatch(value):
            raise ValueError("allowed: a currency code of 3 to 5 letters")
        known = known_currencies(info.data.get("extra_currencies", ()))
        # If EXTRA_CURRENCIES is not allowed, only that is reported.
        if value.lower() not in known and "extra_currencies" in info.data:
            nearest = nearest_currencies([value], known)[value]
            raise ValueError(
                f"it is not a known currency, the nearest one is {nearest}; allowed: a code of ISO 4217, a"
                " common token such as usdc, or one of EXTRA_CURRENCIES"
            )
        return value.lower()

    @field_validator("as_of", mode="before")
    @classmethod
    def _end_of_day(cls, value: Any, info: ValidationInfo) -> Any:
        """Return the last instant of a date in `REPORTING_TIMEZONE`: the whole reporting day has passed."""
        if isinstance(value, str):
            value = _as_date(value.strip())
        if not isinstance(value, date) or isinstance(value, datetime):
            return value
        _check_year(value)
        # This loads DuckDB, which most commands that read settings do not need.
        from paywall_warehouse.reporting_days import last_instant  # noqa: PLC0415

        zone = info.data.get("reporting_timezone", "UTC")
        if (instant := last_instant(value, zone, datetime.now(UTC))) is None:
            raise ValueError(f"{zone} never had that day")
        return instant

    @field_validator("as_of")
    @classmethod
    def _in_the_calendar(cls, value: datetime | None) -> datetime | None:
        if value is not None:
            _check_year(value)
        return value

    @field_validator("duckdb_memory_limit")
    @classmethod
    def _memory_size(cls, value: str) -> str:
        if not MEMORY_SIZE.fullmatch(value):
            raise ValueError("allowed: a size such as 512MB, 2GB or 1.5GiB")
        return value

    @property
    def home(self) -> Home:
        """The paths under `WAREHOUSE_HOME`."""
        return Home(self.warehouse_home)

    @property
    def landing(self) -> str:
        """The landing area: `LANDING_URI`, or else the home's own folder."""
        return self.landing_uri or str(self.home.landing)

    @property
    def landing_shown(self) -> str:
        """`landing` for messages, without a password."""
        return shown_uri(self.landing)

    @property
    def lake(self) -> str:
        """The place from which a cluster reads the lake: `LAKE_URI`, or else the home's own folder.

        A URL names a copy; a path names the lake itself.
        """
        return self.lake_uri or str(self.home.lake)

    @property
    def is_lake_copied(self) -> bool:
        """Whether the cluster reads a copy of the lake in an object store: `LAKE_URI` is a URL."""
        return "://" in self.lake

    @property
    def exports(self) -> str:
        """The destination of exports: `EXPORT_URI`, or else the home's own folder."""
        return self.export_uri or str(self.home.exports)

    @property
    def exports_shown(self) -> str:
        """`exports` for messages, without a password."""
        return shown_uri(self.exports).rstrip("/") or "/"

    @property
    def dashboard_temporary(self) -> Path:
        """The folder for the dashboard's temporary files: it may run as a user who can only read."""
        return self.home.tmp if os.access(self.home.tmp, os.W_OK | os.X_OK) else Path(tempfile.gettempdir())

    @property
    def dashboard_is_protected(self) -> bool:
        """Whether the dashboard identifies its users."""
        return self.dashboard_password is not None or self.dashboard_trusted_header is not None

    @property
    def secrets(self) -> list[str]:
        """The texts that must not appear in a log, the longest first."""
        values = [getattr(self, name) for name in type(self).model_fields]
        return sorted(
            (value.get_secret_value() for value in values if isinstance(value, SecretStr)),
            key=len,
            reverse=True,
        )

    def now(self) -> datetime:
        """Return `AS_OF`, or else the present instant, in UTC."""
        return (self.as_of or datetime.now(UTC)).astimezone(UTC)

    def reporting_day(self, instant: datetime) -> date:
        """Return the reporting day of an instant."""
        return instant.astimezone(ZoneInfo(self.reporting_timezone)).date()

    @property
    def earliest_instant(self) -> datetime:
        """`EARLIEST_ENTRY` in UTC; a date means the start of that reporting day."""
        if isinstance(self.earliest_entry, datetime):
            return self.earliest_entry.astimezone(UTC)
        return datetime.combine(self.earliest_entry, time.min, ZoneInfo(self.reporting_timezone)).astimezone(
            UTC
        )

    def semantics_digest(self) -> str:
        """Return a digest of the settings that change the meaning of loaded records.

        When it changes, everything is rebuilt.
        """
        parts = [
            self.reporting_timezone,
            self.default_currency,
            self.manual_charge_settles_on,
            sorted(self.promo_reasons),
            sorted(self.expiry_reasons),
            self.promo_first,
            self.earliest_instant.isoformat(),
            self.extra_currencies,
        ]
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()

    def tool_environment(self) -> dict[str, str]:
        """Return the variables that dbt's profile and Dagster read, for child processes, without secrets."""
        variables = {
            "WAREHOUSE_HOME": str(self.warehouse_home),
            "DAGSTER_HOME": str(self.home.dagster),
            "DUCKDB_MEMORY_LIMIT": self.duckdb_memory_limit,
            "WAREHOUSE_TARGET": self.warehouse_target,
            "SPARK_METHOD": self.spark_method,
            "SPARK_HOST": self.spark_host,
            "SPARK_PORT": str(self.spark_port),
            "SPARK_USER": self.spark_user,
            "SPARK_ORGANIZATION": self.spark_organization,
            "SPARK_CLUSTER": self.spark_cluster or "",
            "SPARK_THREADS": str(self.spark_threads),
            "SPARK_TABLE_FORMAT": self.spark_table_format,
        }
        if self.duckdb_threads is not None:
            variables["DUCKDB_THREADS"] = str(self.duckdb_threads)
        return variables

    def duckdb_config(self) -> dict[str, str | bool | int | float | list[str]]:
        """Return DuckDB's configuration for the connections that this project opens."""
        config: dict[str, str | bool | int | float | list[str]] = {
            "memory_limit": self.duckdb_memory_limit,
            # For this process alone: two processes that spill into one folder overwrite each other's files.
            "temp_directory": str(self.home.tmp / f"spill-{gethostname()}-{os.getpid()}"),
            "preserve_insertion_order": "false",
        }
        if self.duckdb_threads is not None:
            config["threads"] = str(self.duckdb_threads)
        return config


@cache
def known_timezones() -> frozenset[str]:
    """Return the names of the time zones that may be set. Python looks through 600 files for them."""
    return frozenset(available_timezones() - LOCAL_ZONES)


def load_settings(**overrides: Any) -> Settings:
    """Return the settings of this process.

    `_env_file` is the path of a file instead of `.env`, or None for no file. Raises `SettingsError` with one
    line for each value that is not allowed.
    """
    for name in map(str.upper, Settings.model_fields):
        # Bytes that are not UTF-8 become surrogates, on which pydantic fails without naming the setting.
        if any("\ud800" <= character <= "\udfff" for character in os.environ.get(name, "")):
            raise SettingsError(f"{name} is not allowed: allowed: UTF-8 text")
    path = overrides.get("_env_file", ENV_FILE)
    stated = _stated_in(Path(path)) if path is not None else {}
    try:
        return Settings(**overrides)
    except ValidationError as error:
        raise SettingsError(
            "\n".join(_explain(problem, stated, path) for problem in error.errors())
        ) from None


def settings_warnings(others: Collection[str] = ()) -> list[str]:
    """Return warnings about probable mistakes: unknown names in `.env`, and misspelt environment
    variables.

    `others` are variables that are read although they are not settings, such as the DSN of a pull.
    """
    known, path = [*(name.upper() for name in Settings.model_fields), *map(str.upper, others)], Path(ENV_FILE)
    return [*env_file.unknown_names(path, _stated_in(path), known), *env_file.misspelt_variables(known)]


def _stated_in(path: Path) -> dict[str, int]:
    try:
        return env_file.read_env_file(path)
    except env_file.EnvFileError as error:
        raise SettingsError(str(error)) from None


HINTS = {
    "AS_OF": (
        "; allowed: a date such as 2026-11-01 (that reporting day), or an instant with offset such as"
        " 2026-11-01T06:00:00Z"
    ),
    "RECON_GRACE_DAYS": "; allowed: a whole number of days, such as 3",
    "COST_GRACE_DAYS": "; allowed: a whole number of days from 0 to 366, such as 2",
    "COST_TOLERANCE_ABS": "; allowed: an amount of money from 0 with at most 12 decimals, such as 0.01",
    "COST_TOLERANCE_REL": "; allowed: a share from 0 to 1 with at most 8 decimals, such as 0.005",
    "STRIPE_REQUIRED": "; allowed: true or false",
    "EXPORT_FOCUS": "; allowed: true or false",
    "PROMO_FIRST": "; allowed: true or false",
    "BILLS_LOOK_BACK_DAYS": "; allowed: a whole number of days from 0 to 60, such as 3",
    "BILLS_DEADLINE_SECONDS": "; allowed: a number of seconds, such as 300",
    "LOW_BALANCE": "; allowed: a decimal of 0 or more, such as 1 or 0.50",
}


def _explain(problem: Any, stated: Mapping[str, int], path: object) -> str:
    name = str(problem["loc"][0]).upper() if problem["loc"] else "settings"
    field = Settings.model_fields.get(name.lower())
    secret = field is not None and SecretStr in get_args(field.annotation)
    hidden = secret or "@" in os.environ.get(name, "")
    value = "" if hidden or name not in os.environ else f" {os.environ[name]!r}"
    message = problem["msg"].removeprefix("Value error, ") + HINTS.get(name, "")
    # The environment takes precedence over the file.
    where = f" ({path}, line {stated[name]})" if name in stated and not os.environ.get(name) else ""
    return f"{name}{value}{where} is not allowed: {message}"
