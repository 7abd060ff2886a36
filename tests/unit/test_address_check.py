"""What a page says about values of its address that do not exist."""

from datetime import date

from dashboard.address_check import AddressCheck


def test_values_that_exist_are_not_mentioned() -> None:
    check = AddressCheck({"currency": ["USD"], "model": ["a", "b"]})
    check.check("currency", "The currency", ["USD", "EUR"], "USD is shown")
    check.check("model", "The model", ["a", "b", "c"], "it is left out of the filter")
    check.check("paywall", "The paywall", [], "it is left out of the filter")
    assert check.problems == []


def test_values_that_do_not_exist_are_named_with_what_is_shown_instead() -> None:
    check = AddressCheck({"currency": ["QQQ"], "model": ["a", "x" * 80, *"bcdefg"]})
    check.check("currency", "The currency", ["USD", "EUR"], "USD is shown")
    check.check("model", "The model", ["a"], "it is left out of the filter")
    assert check.problems == [
        "The currency “QQQ” does not exist; USD is shown.",
        f"The model “{'x' * 60}…”, “b”, “c”, “d”, “e” and 2 more do not exist; it is left out of the filter.",
    ]


def test_days_that_are_none_or_outside_the_data_are_named() -> None:
    days = (date(2026, 9, 1), date(2026, 11, 30))
    for values, problem in (
        (["2026-10-01", "2026-10-31"], None),
        (["foo"], "“foo” is not a day such as 2026-11-30; the last 30 days are shown."),
        (
            ["2026-08-31", "2026-10-01"],
            "2026-08-31 is outside the data, which are from 2026-09-01 to 2026-11-30;"
            " the last 30 days are shown.",
        ),
    ):
        check = AddressCheck({"days": values})
        check.check_days("days", *days)
        assert check.problems == ([problem] if problem else [])
