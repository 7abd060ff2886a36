"""The three admin APIs with bills: what a request asks for, and which days a page states.

The facts are in docs/sources/bill-apis.md.
"""

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any, Final

from ingestion.bill_pull.client import AdminClient, BillsRefusedError, Parameters
from ingestion.pulls.requesting import Pace
from ingestion.pulls.windows import Span
from paywall_warehouse.settings import BILL_APIS, Settings

FOLDER: Final = "bills"
DAY: Final = timedelta(days=1)
# The default of both APIs. Each day may have thousands of results, one for each line item, project and key.
DAYS_PER_PAGE: Final = 7
ANTHROPIC_VERSION: Final = "2023-06-01"


@dataclass(frozen=True)
class StatedDay:
    """What an API states for one UTC day."""

    day: date
    digest: str
    """A digest of its results that does not depend on their order."""


class PageError(ValueError):
    """A page that is not as documented."""


# What reading a wrong page raises: a `PageError`, or the error of an access to a wrong value.
WRONG_PAGE: Final = (ValueError, LookupError, TypeError, AttributeError, OverflowError, OSError)


@dataclass(frozen=True)
class BillApi:
    """An admin API with the bills of one provider."""

    format: str
    """The folder below `landing/bills/`."""
    provider: str
    """For messages."""
    base_setting: str
    """The setting with another address; `BILL_APIS` has the setting with the key."""
    key_hint: str
    path: str
    headers: Callable[[str], dict[str, str]]
    """The headers of a request with a key."""
    parameters: Callable[[Span, str | None, bool], Parameters]
    """The parameters of a request for a span, with the cursor of the page, and with or without keys."""
    days: Callable[[Any, Span, str | None], list[StatedDay]]
    """The days that a page states. Raises `PageError`, or an error of an access to a wrong value."""
    following: Callable[[Any, Span, str | None], str | None]
    """The cursor of the next page; None after the last."""
    history: timedelta | None = None
    """How far back the API goes."""

    @property
    def source(self) -> str:
        """Return the name of the source that loads the files."""
        return f"{FOLDER}/{self.format}"

    @property
    def key_setting(self) -> str:
        """Return the name of the setting with the key."""
        return BILL_APIS[self.base_setting][0]

    def is_active(self, settings: Settings) -> bool:
        """Check whether the key is set."""
        return getattr(settings, self.key_setting) is not None

    def client(self, settings: Settings, pace: Pace) -> AdminClient:
        """Return a client with the key. Raises `ValueError` without one."""
        secret = getattr(settings, self.key_setting)
        if secret is None:
            raise ValueError(f"{self.key_setting.upper()} is not set")
        key = secret.get_secret_value()
        base = getattr(settings, self.base_setting) or f"https://{BILL_APIS[self.base_setting][1]}"
        hint = f"{self.key_setting.upper()} must be {self.key_hint}"
        return AdminClient(self.provider, base, key, self.headers(key), hint, pace)

    def pages(self, client: AdminClient, span: Span) -> Iterator[tuple[bytes, list[StatedDay]]]:
        """Yield the text of each page of a span, and the days that it states.

        Days outside of the span are not yielded: they may be incomplete, and are requested when it is their
        turn. Raises `BillsRefusedError` if a page is not as documented. If a day was stated twice, only one
        of its statements would count.
        """
        with_keys, cursor = True, None
        cursors: set[str] = set()
        known: set[date] = set()
        while True:
            try:
                answer = client.get(self.path, self.parameters(span, cursor, with_keys))
            except BillsRefusedError as error:
                if not (with_keys and cursor is None and error.status == 400 and "api_key_id" in str(error)):
                    raise
                with_keys = False
                continue
            try:
                stated = self.days(answer.page, span, cursor)
                cursor = self.following(answer.page, span, cursor)
                _check_days(stated, known)
                if cursor in cursors:
                    raise PageError("it names the same next page twice")
            except (
                PageError,
                LookupError,
                TypeError,
                ValueError,
                AttributeError,
                OverflowError,
                OSError,
            ) as error:
                detail = str(error) if isinstance(error, PageError) else f"{type(error).__name__}: {error}"
                raise BillsRefusedError(
                    f"{self.provider} answers with a page that is not as documented: {detail}", 200
                ) from None
            known |= {one.day for one in stated}
            yield answer.text, [one for one in stated if span[0].date() <= one.day < span[1].date()]
            if cursor is None:
                return
            cursors.add(cursor)


def _check_days(stated: list[StatedDay], known: set[date]) -> None:
    """Raise `PageError` if a day is stated twice. `known` are the days of earlier pages."""
    days = [one.day for one in stated]
    if twice := [day for day in days if day in known or days.count(day) > 1]:
        raise PageError(f"{twice[0]} is stated twice")


def _list(value: Any, name: str) -> list[Any]:
    if not isinstance(value, list):
        raise PageError(f'"{name}" is not a list')
    return value


def _stated(start: datetime, end: datetime, results: Any) -> StatedDay:
    if end - start != DAY or start.astimezone(UTC).time() != datetime.min.time():
        raise PageError(f"a bucket from {start.isoformat()} to {end.isoformat()} is not a UTC day")
    return StatedDay(start.astimezone(UTC).date(), digest_of(_list(results, "results")))


def digest_of(results: list[Any]) -> str:
    """Return the digest of the results of a day, in any order."""
    texts = sorted(json.dumps(one, sort_keys=True) for one in results)
    return hashlib.sha256("\n".join(texts).encode()).hexdigest()


def _next_page(page: Mapping[str, Any], span: Span, cursor: str | None) -> str | None:
    """Return the cursor of the page that follows a page of OpenAI or Anthropic."""
    if not page.get("has_more"):
        return None
    following = page["next_page"]
    if not isinstance(following, str) or not following:
        raise PageError('it has no "next_page", although "has_more" is true')
    return following


# ---- OpenAI


def openai_parameters(span: Span, cursor: str | None, with_keys: bool) -> Parameters:
    """Return the parameters of a request for costs by line item, project and, with keys, API key."""
    groups = ["line_item", "project_id", *(["api_key_id"] if with_keys else [])]
    return [
        ("start_time", str(int(span[0].timestamp()))),
        ("end_time", str(int(span[1].timestamp()))),
        ("bucket_width", "1d"),
        *(("group_by[]", group) for group in groups),
        ("limit", str(DAYS_PER_PAGE)),
        *([("page", cursor)] if cursor else []),
    ]


def _openai_days(page: Any, span: Span, cursor: str | None) -> list[StatedDay]:
    return [
        _stated(
            datetime.fromtimestamp(bucket["start_time"], UTC),
            datetime.fromtimestamp(bucket["end_time"], UTC),
            bucket["results"],
        )
        for bucket in _list(page["data"], "data")
    ]


OPENAI: Final = BillApi(
    format="openai_costs",
    provider="OpenAI",
    base_setting="openai_api_base",
    key_hint=(
        "an admin key (sk-admin-…) that may read usage, from"
        " https://platform.openai.com/settings/organization/admin-keys; a project's key may not"
    ),
    path="/v1/organization/costs",
    headers=lambda key: {"Authorization": f"Bearer {key}"},
    parameters=openai_parameters,
    days=_openai_days,
    following=_next_page,
)


# ---- Anthropic


def anthropic_parameters(span: Span, cursor: str | None, with_keys: bool) -> Parameters:
    """Return the parameters of a request for costs by description and workspace. There are none by key."""
    return [
        ("starting_at", f"{span[0]:%Y-%m-%dT%H:%M:%SZ}"),
        ("ending_at", f"{span[1]:%Y-%m-%dT%H:%M:%SZ}"),
        ("bucket_width", "1d"),
        ("group_by[]", "description"),
        ("group_by[]", "workspace_id"),
        ("limit", str(DAYS_PER_PAGE)),
        *([("page", cursor)] if cursor else []),
    ]


def _anthropic_days(page: Any, span: Span, cursor: str | None) -> list[StatedDay]:
    return [
        _stated(_instant(bucket["starting_at"]), _instant(bucket["ending_at"]), bucket["results"])
        for bucket in _list(page["data"], "data")
    ]


def _instant(text: str) -> datetime:
    instant = datetime.fromisoformat(text)
    if instant.tzinfo is None:
        raise PageError(f"{text} has no offset")
    return instant


ANTHROPIC: Final = BillApi(
    format="anthropic_costs",
    provider="Anthropic",
    base_setting="anthropic_api_base",
    key_hint=(
        "an admin key (sk-ant-admin…) from https://platform.claude.com/settings/admin-keys; a workspace's key"
        " may not read costs"
    ),
    path="/v1/organizations/cost_report",
    headers=lambda key: {"x-api-key": key, "anthropic-version": ANTHROPIC_VERSION},
    parameters=anthropic_parameters,
    days=_anthropic_days,
    following=_next_page,
)


# ---- OpenRouter


def openrouter_parameters(span: Span, cursor: str | None, with_keys: bool) -> Parameters:
    """Return the parameters of a request for the activity of one day. The cursor is the day."""
    return [("date", cursor or span[0].date().isoformat())]


def _openrouter_days(page: Any, span: Span, cursor: str | None) -> list[StatedDay]:
    day = date.fromisoformat(cursor) if cursor else span[0].date()
    rows = _list(page["data"], "data")
    for row in rows:
        if str(row["date"])[:10] != day.isoformat():
            raise PageError(f"it states {row['date']}, which was not requested")
    return [StatedDay(day, digest_of(rows))]


def _next_day(page: Any, span: Span, cursor: str | None) -> str | None:
    following = (date.fromisoformat(cursor) if cursor else span[0].date()) + DAY
    return following.isoformat() if following < span[1].date() else None


OPENROUTER: Final = BillApi(
    format="openrouter_activity",
    provider="OpenRouter",
    base_setting="openrouter_api_base",
    key_hint=(
        "a management key from https://openrouter.ai/settings/management-keys; a key for requests may not"
        " read the activity"
    ),
    path="/api/v1/activity",
    headers=lambda key: {"Authorization": f"Bearer {key}"},
    parameters=openrouter_parameters,
    days=_openrouter_days,
    following=_next_day,
    history=timedelta(days=30),
)

APIS: Final = (OPENAI, ANTHROPIC, OPENROUTER)
