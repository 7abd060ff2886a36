"""Saved views: what is kept, what is refused, and files that nobody wrote like this."""

from pathlib import Path

import pytest

from dashboard.saved_views import MOST_VIEWS, View, WrongViewError, delete_view, save_view, saved_views
from paywall_warehouse.home import Home


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path / "home")


def test_views_are_kept_by_name_and_replaced_by_the_same_name(home: Home) -> None:
    save_view(home, "October,  EUR ", "models?period=Custom+days&currency=EUR")
    save_view(home, "all", "./?period=All+time")
    save_view(home, "October, EUR", "models?currency=EUR")
    assert saved_views(home) == [
        View("all", "./?period=All+time"),
        View("October, EUR", "models?currency=EUR"),
    ]
    delete_view(home, "all")
    delete_view(home, "no such view")
    assert saved_views(home) == [View("October, EUR", "models?currency=EUR")]


@pytest.mark.parametrize("name", ["", "   ", "x" * 61, "a\x1b[31mb"])
def test_a_name_that_cannot_be_shown_is_refused(home: Home, name: str) -> None:
    with pytest.raises(WrongViewError):
        save_view(home, name, "./?")
    assert saved_views(home) == []


@pytest.mark.parametrize(
    "address", ["javascript:alert(1)", "https://elsewhere.example", "//x", "?" + "x" * 9000]
)
def test_a_view_leads_to_a_page_of_the_dashboard(home: Home, address: str) -> None:
    with pytest.raises(WrongViewError):
        save_view(home, "bad", address)


def test_there_is_a_limit(home: Home) -> None:
    for number in range(MOST_VIEWS):
        save_view(home, f"view {number}", "./?")
    with pytest.raises(WrongViewError, match="Delete one first"):
        save_view(home, "one more", "./?")
    save_view(home, "view 7", "models?")
    assert len(saved_views(home)) == MOST_VIEWS


@pytest.mark.parametrize(
    "text",
    [
        "",
        "no json",
        "{}",
        "[1]",
        '[{"name": 1, "address": "./?"}]',
        '[{"name": "a", "address": "javascript:x"}]',
    ],
)
def test_a_damaged_file_shows_no_view_and_stops_nothing(home: Home, text: str) -> None:
    home.make()
    home.saved_views_file.write_text(text, encoding="utf-8")
    assert saved_views(home) == []
    save_view(home, "new", "./?")
    assert saved_views(home) == [View("new", "./?")]
