"""The subcommands `close` and `reopen`: months whose journal stays as it was reported."""

# ruff: noqa: PLC0415  slow imports belong into the functions that need them

import re
from datetime import date
from typing import Annotated

import typer

from orchestration.cli.common import WrongUsageError, ready_settings, say
from paywall_warehouse.quoting import printable

MONTH = re.compile(r"([0-9]{4})-(0[1-9]|1[0-2])")
LONGEST_NAME, LONGEST_TEXT = 255, 4000

Month = Annotated[
    str, typer.Argument(help="The month, such as 2026-10.", metavar="MONTH", show_default=False)
]
By = Annotated[str, typer.Option("--by", help="Who is responsible.", metavar="NAME", show_default=False)]


def close(
    month: Month,
    by: By,
    note: Annotated[str | None, typer.Option("--note", help="A note to keep.", metavar="TEXT")] = None,
) -> None:
    """Close a month: its published journal lines are booked and never change again. Then publish.

    The first close is that of the month of the first journal line. Then months are closed in order, once
    they have ended. Exit code 0: closed and published. 1: closed, but not published yet. 2: not closed.
    """
    first_day, name = _month(month), _text("--by", by, LONGEST_NAME)
    stated = None if note is None else _text("--note", note, LONGEST_TEXT)
    settings = ready_settings(builds=True)
    from orchestration.cli.periods import close_and_publish

    raise typer.Exit(close_and_publish(settings, first_day, name, stated, progress=say))


def reopen(
    month: Month,
    by: By,
    reason: Annotated[str, typer.Option("--reason", help="The reason to keep.", metavar="TEXT")],
) -> None:
    """Reopen the latest closed month: its lines are restated again. Then publish.

    Exit code 0: reopened and published. 1: reopened, but not published yet. 2: not reopened.
    """
    first_day, name = _month(month), _text("--by", by, LONGEST_NAME)
    stated = _text("--reason", reason, LONGEST_TEXT)
    settings = ready_settings(builds=True)
    from orchestration.cli.periods import reopen_and_publish

    raise typer.Exit(reopen_and_publish(settings, first_day, name, stated, progress=say))


def _month(text: str) -> date:
    found = MONTH.fullmatch(text)
    if not found or found[1] == "0000":
        raise WrongUsageError(f"MONTH '{printable(text)}' is not allowed: write a month as 2026-10.")
    return date(int(found[1]), int(found[2]), 1)


def _text(option: str, text: str, longest: int) -> str:
    """Return a text for the record without spaces around it, if it can be stored as one."""
    stripped = text.strip()
    if not stripped:
        raise WrongUsageError(f"{option} is empty: it is kept with the act, so it must say something.")
    if len(stripped) > longest:
        raise WrongUsageError(f"{option} has {len(stripped):,} characters; at most {longest:,} are allowed.")
    if printable(stripped) != stripped or not stripped.isprintable():
        raise WrongUsageError(f"{option} '{printable(stripped)}' has characters that cannot be printed.")
    return stripped
