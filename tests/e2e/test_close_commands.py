"""`close` and `reopen` as people start them: exit codes, what they print, and what is published then.

In this process, so that dbt's statements are repeated; `test_cli.py` shows that a process of its own does the
same.
"""

import subprocess
from contextlib import nullcontext
from pathlib import Path

import pytest

from ingestion.lake.period_acts import read_acts
from paywall_warehouse.home import Home
from tests.support.builders import charge, deposit
from tests.support.command import command_here
from tests.support.harness import unread_histories
from tests.support.period_homes import AS_OF, ask, journal, land_entries, publish
from tests.support.replayed_dbt import replayed_builds

pytestmark = pytest.mark.slow


def replayed(home: Path, *arguments: str, history: bool = True) -> subprocess.CompletedProcess[str]:
    """Run the command; without `history`, Dagster keeps nothing of its run."""
    with replayed_builds(), nullcontext() if history else unread_histories():
        return command_here(home, *arguments, AS_OF=AS_OF, EXPORT_FORMATS="parquet")


def test_a_month_is_closed_adjusted_and_reopened(tmp_path: Path) -> None:
    home = tmp_path / "home"
    land_entries(
        home,
        "a",
        [deposit("d1", "2026-10-01T08:00:00Z", "100"), charge("c1", "2026-10-20T08:00:00Z", "3.5")],
    )
    early = command_here(home, "close", "2026-10", "--by", "Ann", AS_OF=AS_OF)
    assert early.returncode == 2
    assert "Nothing is published yet" in early.stderr
    assert early.stderr.endswith("Nothing was changed.\n")
    publish(home)

    closed = replayed(home, "close", "2026-10", "--by", " Ann Lee ", "--note", "as reported")
    assert closed.returncode == 0, closed.stderr
    [act] = read_acts(Home(home))
    assert f"2026-10 is closed: 4 journal lines, digest {act.digest}." in closed.stderr
    assert "✓ check, publish" in closed.stderr
    assert "✓ ledger" not in closed.stderr, "nothing is loaded"
    assert "Closed months: 2026-10\n" in closed.stdout
    assert "Published: " in closed.stdout
    assert "Exported: " in closed.stdout
    assert ask(home, "select status, closed_by, note from ops.periods where closed_at is not null") == [
        ("closed", "Ann Lee", "as reported")
    ]

    # The example of docs/finance.md.
    land_entries(
        home,
        "b",
        [
            charge("c1", "2026-10-20T08:00:00Z", "3", updated_at="2026-11-09T00:00:00Z"),
            charge("c2", "2026-10-25T08:00:00Z", "7"),
        ],
    )
    waiting = command_here(home, "close", "2026-11", "--by", "Ann", AS_OF=AS_OF)
    assert waiting.returncode == 2
    assert "Landed files are not loaded yet: ledger/b.jsonl." in waiting.stderr
    publish(home)
    # The summary of a run prints the same line: see `test_cli.py`.
    status = command_here(home, "status", AS_OF=AS_OF)
    assert "Closed months: 2026-10; changed since: 4 lines on 2026-11-01" in status.stdout
    assert journal(home, "journal_date = '2026-11-01'") == [
        ("2026-11-01", "usage", "deferred_revenue", "0", "0.5", "2026-10-20"),
        ("2026-11-01", "usage", "deferred_revenue", "7", "0", "2026-10-25"),
        ("2026-11-01", "usage", "usage_revenue", "0", "7", "2026-10-25"),
        ("2026-11-01", "usage", "usage_revenue", "0.5", "0", "2026-10-20"),
    ]

    reopened = replayed(home, "reopen", "2026-10", "--by", "Bob", "--reason", "a late bill", history=False)
    assert reopened.returncode == 0, reopened.stderr
    assert "2026-10 is open again: its journal lines are restated." in reopened.stderr
    assert journal(home, "journal_date <> relates_to_date") == []
    assert ask(home, "select action, acted_by, note from ops.period_events order by act_no") == [
        ("close", "Ann Lee", "as reported"),
        ("reopen", "Bob", "a late bill"),
    ]
    assert replayed(home, "run").stdout.startswith("\nNothing new: ")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("close", "2026-13", "--by", "Ann"), "MONTH '2026-13' is not allowed: write a month as 2026-10."),
        (("close", "October", "--by", "Ann"), "MONTH 'October' is not allowed"),
        (("close", "2026-10-01", "--by", "Ann"), "MONTH '2026-10-01' is not allowed"),
        (("close", "2026-10"), "Missing option '--by'"),
        (("close", "2026-10", "--by", "  "), "--by is empty"),
        (("close", "2026-10", "--by", "Ann", "--note", "a\x1b[2J"), "--note 'a\\x1b[2J' has characters"),
        (("close", "2026-10", "--by", "A" * 256), "--by has 256 characters; at most 255 are allowed."),
        (("reopen", "2026-10", "--by", "Ann"), "Missing option '--reason'"),
        (("reopen", "2026-10", "--by", "Ann", "--reason", ""), "--reason is empty"),
        (("reopen", "2026-10", "--by", "Ann", "--reason", "x"), "No month is closed"),
    ],
)
def test_wrong_use_changes_nothing(tmp_path: Path, arguments: tuple[str, ...], message: str) -> None:
    done = command_here(tmp_path / "home", *arguments, AS_OF=AS_OF)
    assert done.returncode == 2
    assert message in done.stderr
    assert read_acts(Home(tmp_path / "home")) == []
