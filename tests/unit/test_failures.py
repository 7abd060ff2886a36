"""Failures as Dagster's UI shows them: bounded, safe to render, and with the cause in the first line."""

from decimal import Decimal
from typing import Any

import dagster as dg
import pytest

from orchestration.assets.checks import describe_scopes
from orchestration.assets.failures import check_failure, dbt_failure, rejects_table
from orchestration.markdown import escaped
from warehouse.checks.invariant import invariant
from warehouse.checks.rejected_files import ReasonCount, RejectedFile
from warehouse.dbt_runner import DbtBuild, NodeFailure

MEANINGS = {"wallet_days_balance": "closing = opening + movements.", "entry_ids_are_unique": "No id repeats."}


def rows_of(value: Any) -> list[list[str]]:
    assert isinstance(value, dg.TableMetadataValue)
    return [list(record.data.values()) for record in value.records]


def test_a_failed_check_is_described_with_its_first_scope_and_the_number_of_others() -> None:
    broken = [invariant("x", scope, "1.00", "0.99", "q") for scope in ("<b>", "eur", "usd")]
    assert describe_scopes(broken) == (r"&lt;b>\: expected 1, actual 0.99, difference -0.01; 2 more below.")


def test_one_failed_check_is_named_with_scope_and_values_in_the_first_line() -> None:
    broken = invariant("wallet_days_balance", "usd", "1.00", "0.99", "select 1")
    failure = check_failure("Nothing is published", MEANINGS, [broken])
    assert failure.description == (
        "Nothing is published: wallet_days_balance (usd): expected 1, actual 0.99, difference -0.01. closing"
        " = opening + movements. To look further: select 1"
    )
    assert not failure.allow_retries


def test_several_failed_checks_are_counted_and_listed_up_to_a_limit() -> None:
    broken = [invariant("wallet_days_balance", f"c{number:02}", 1, 2, "q") for number in range(30)]
    broken.append(invariant("entry_ids_are_unique", "all", 0, 1, "q"))
    failure = check_failure("Nothing is published", MEANINGS, broken)
    lines = str(failure.description).splitlines()
    assert lines[0] == ("Nothing is published: 2 checks failed (wallet_days_balance, entry_ids_are_unique).")
    assert lines[-1] == "… and 26 more"
    shown = rows_of(failure.metadata["failed checks"])
    assert shown[0] == ["wallet_days_balance", "c00", "1", "2", "1"]
    assert (len(shown), shown[-1][0]) == (21, "… and 11 more")


def test_rejected_files_are_listed_up_to_a_limit() -> None:
    reasons = (
        ReasonCount("bad_amount", 8, (17, 18), 'field "amount"'),
        ReasonCount("unreadable", 1, (), "x"),
    )
    files = [RejectedFile(f"ledger/{n}.csv", f"ledger/{n}.csv", 40, 31, 9, reasons) for n in range(15)]
    rows = rows_of(rejects_table(files))
    assert rows[0] == ["ledger/0.csv", "8", "40", "bad_amount", "17", 'field "amount"']
    assert rows[1] == ["ledger/0.csv", "1", "40", "unreadable", "–", "x"]
    assert rows[-1][0] == "… and 10 more"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a|b", r"a\|b"),
        ("two\nlines", r"two\\nlines"),
        ("<img src=x onerror=alert(1)>", r"&lt;img src=x onerror=alert\(1\)>"),
        ("[x](javascript:1)", r"\[x\]\(javascript\:1\)"),
    ],
)
def test_markdown_shows_text_from_data_as_it_is(text: str, shown: str) -> None:
    assert escaped(text) == shown


def test_a_failed_build_names_the_first_test_and_how_many_more_failed() -> None:
    failures = [
        NodeFailure("test t1", "Got 3 results", "select 1", 3),
        NodeFailure("model m", "x" * 9000, None),
    ]
    failure = dbt_failure(DbtBuild(failures=failures))
    lines = str(failure.description).splitlines()
    assert (
        lines[0] == "Nothing is published: 2 of dbt's models and tests failed: test t1 (3 rows) and 1 more."
    )
    assert len(str(failure.description)) < 5000
    rows = rows_of(failure.metadata["failed models and tests"])
    assert rows == [["test t1", "3", "Got 3 results"], ["model m", "–", "x" * 240 + "…"]]


def test_the_query_of_a_large_model_is_named_by_its_file() -> None:
    failure = NodeFailure("model m", "no such column", "x" * 9000, None, "/home/dbt/target/m.sql")
    assert failure.describe() == (
        "model m: no such column\nTo look further, where it was built: the query in /home/dbt/target/m.sql"
    )


def test_values_of_38_digits_keep_them_all() -> None:
    broken = invariant("x", "usd", Decimal("99999999999999999999999999.000000000001"), 0, "q")
    assert "expected 99999999999999999999999999.000000000001" in str(
        check_failure("Nothing is published", {"x": "y"}, [broken]).description
    )
