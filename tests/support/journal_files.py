"""Published files that have a journal and nothing else, and the real hledger."""

import csv
import io
import os
import shutil
import subprocess
from collections.abc import Iterable
from decimal import Decimal
from pathlib import Path
from typing import NamedTuple

import duckdb
import pytest


class JournalLine(NamedTuple):
    """A row of `marts.fct_journal_lines`, with its columns in the contract's order."""

    journal_date: str
    journal: str
    account: str
    debit: str
    credit: str
    currency: str
    relates_to_date: str


def booked(
    day: str,
    journal: str,
    debit: str,
    credit: str,
    amount: str,
    currency: str = "usd",
    relates_to: str | None = None,
) -> list[JournalLine]:
    """The two lines of an amount that is debited to one account and credited to another."""
    about = relates_to or day
    return [
        JournalLine(day, journal, debit, amount, "0", currency, about),
        JournalLine(day, journal, credit, "0", amount, currency, about),
    ]


def used(day: str, amount: str, currency: str = "usd", relates_to: str | None = None) -> list[JournalLine]:
    """Usage that was paid from credit."""
    return booked(day, "usage", "deferred_revenue", "usage_revenue", amount, currency, relates_to)


def publish_journal(home: Path, lines: Iterable[JournalLine]) -> Path:
    """Write a published file with these lines, in no helpful order, and return the home."""
    published = home / "published" / "warehouse.duckdb"
    published.parent.mkdir(parents=True, exist_ok=True)
    with duckdb.connect(str(published)) as connection:
        connection.execute("create schema marts")
        connection.execute(
            """create table marts.fct_journal_lines (journal_date date, journal varchar, account varchar,
                debit decimal(38, 12), credit decimal(38, 12), currency varchar, relates_to_date date)"""
        )
        rows = [list(line) for line in reversed(list(lines))]
        if rows:
            connection.executemany("insert into marts.fct_journal_lines values (?, ?, ?, ?, ?, ?, ?)", rows)
    return home


def hledger(*arguments: str) -> str:
    """The output of hledger; without one a test is skipped, but in CI it fails."""
    program = shutil.which("hledger")
    if program is None:
        (pytest.fail if "CI" in os.environ else pytest.skip)(
            "no hledger was found: `apt-get install hledger`"
        )
    done = subprocess.run([program, *arguments], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def hledger_balances(file: Path, *query: str) -> dict[tuple[str, str], Decimal]:
    """The balance of each account and commodity, as hledger computes it; those of 0 are left out."""
    table = hledger("-f", str(file), "balance", "--flat", "--no-total", "--layout=bare", "-O", "csv", *query)
    return {
        (row["account"], row["commodity"]): Decimal(row["balance"])
        for row in csv.DictReader(io.StringIO(table))
        if Decimal(row["balance"])
    }
