"""The acts that close and reopen months, with the journal lines that each close booked.

An act is one text file in `lake/periods/`, which never changes. Its first line states the act as JSON. Each
further line is a booked line of the journal: the columns of `LINE_COLUMNS` as text, separated by commas, then
a hash, by which a damaged line is found. The digest of a close is the SHA-256 of its lines without their
hashes. The files are numbered without gaps, so a missing one is noticed.

A close counts until the same month is reopened. Its file stays.
"""

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from pathlib import Path
from typing import Any, Final

from ingestion.lake.batches import Lake
from paywall_warehouse.files import put_where_nothing_is, sha256_of
from paywall_warehouse.home import Home
from paywall_warehouse.quoting import printable

CLOSE: Final = "close"
REOPEN: Final = "reopen"
# The columns of `fct_journal_lines`.
LINE_COLUMNS: Final = ("journal_date", "journal", "account", "debit", "credit", "currency", "relates_to_date")
REMEDY: Final = (
    "Nothing is published. Restore this file of the lake from a backup, then run again (docs/finance.md)."
)
HASH_CHARACTERS: Final = 16


class DamagedActError(Exception):
    """A file of an act is missing or was changed. The message names the month, the line and the remedy."""


@dataclass(frozen=True)
class Act:
    """A month was closed or reopened."""

    number: int
    action: str
    """`CLOSE` or `REOPEN`."""
    month: date
    """The first day of the month."""
    acted_at: datetime
    acted_by: str
    note: str | None
    """The note of a close, the reason of a reopening."""
    digest: str
    """The digest of the booked lines. A reopening states that of the close that it takes back."""
    line_count: int
    lines: tuple[str, ...] = ()
    """The booked lines of a close: texts with the columns of `LINE_COLUMNS`. Amounts have 12 decimals."""

    @property
    def month_text(self) -> str:
        """Return the month as `2026-10`."""
        return month_text(self.month)

    @property
    def header(self) -> dict[str, Any]:
        """Return the fields of the file's first line."""
        return {
            "act": self.number,
            "action": self.action,
            "month": self.month_text,
            "acted_at": self.acted_at.isoformat(),
            "acted_by": self.acted_by,
            "note": self.note,
            "lines": self.line_count,
            "digest": self.digest,
        }

    def as_text(self) -> str:
        """Return the content of the file."""
        body = "".join(f"{line},{line_hash(number, line)}\n" for number, line in enumerate(self.lines, 1))
        header = {**self.header, "body": sha256_of(body.encode())}
        return f"{json.dumps({**header, 'hash': _header_hash(header)}, ensure_ascii=False)}\n{body}"


def month_text(month: date) -> str:
    """Return a month as `2026-10`."""
    return f"{month:%Y-%m}"


def month_after(month: date) -> date:
    """Return the first day of the next month."""
    return date(month.year + month.month // 12, month.month % 12 + 1, 1)


def lines_digest(lines: Iterable[str]) -> str:
    """Return the SHA-256 of booked lines, joined by line feeds, in hexadecimal."""
    return sha256_of("\n".join(lines).encode())


def line_hash(number: int, line: str) -> str:
    """Return the hash of a booked line, which also depends on its place (from 1)."""
    return sha256_of(f"{number},{line}".encode())[:HASH_CHARACTERS]


def read_acts(home: Home) -> list[Act]:
    """Return every act in order. Raises `DamagedActError` if a file is missing or was changed."""
    return [_read(_file(home, number), number) for number in range(_count(home))]


def closed_months(acts: Iterable[Act]) -> list[Act]:
    """Return the closes that count, the earliest month first."""
    closed: dict[date, Act] = {}
    for act in acts:
        if act.action == CLOSE:
            closed[act.month] = act
        else:
            closed.pop(act.month, None)
    return [closed[month] for month in sorted(closed)]


def booked_lines(act: Act) -> Iterator[dict[str, Any]]:
    """Yield the lines of a close with their numbers, as rows of `BOOKED_LINES` whose values are texts."""
    for number, line in enumerate(act.lines, 1):
        values = dict(zip(LINE_COLUMNS, line.split(","), strict=True))
        yield {"act_no": act.number, "line_no": number, **values}


def append_act(home: Home, act: Act) -> bool:
    """Write the file of an act, which books it at once or not at all.

    Return False if another process has taken the number in the meantime.
    """
    file = _file(home, act.number)
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with Lake(home).staging() as staging_dir:
        staged = staging_dir / file.name
        staged.write_text(act.as_text(), encoding="utf-8", newline="\n")
        return put_where_nothing_is(staged, file)


def check_published_acts(home: Home, acts: Sequence[Act], published: Iterable[tuple[int, str, str]]) -> None:
    """Raise `DamagedActError` if an act that was published is missing or another one.

    `published` has number, month (`2026-10`) and digest of each act in the published file.
    """
    found = {act.number: (act.month_text, act.digest) for act in acts}
    for number, month, digest in published:
        if number not in found:
            raise DamagedActError(
                f"{_shown(_file(home, number))} is missing: the published file lists this act about {month}."
                f" {REMEDY}"
            )
        if found[number] != (month, digest):
            raise DamagedActError(
                f"{_shown(_file(home, number))} is another act than the one that is published: {month} with"
                f" digest {digest}, found {found[number][0]} with {found[number][1]}. {REMEDY}"
            )


def _count(home: Home) -> int:
    numbers = [
        int(file.stem)
        for file in _folder(home).glob("*.txt")
        if file.stem.isdecimal() and len(file.stem) >= 8
    ]
    return max(numbers, default=-1) + 1


def _read(file: Path, number: int) -> Act:
    """Return the act of a file, after comparing its hashes."""
    try:
        header, _, body = file.read_bytes().partition(b"\n")
    except FileNotFoundError:
        raise DamagedActError(f"{_shown(file)} is missing: later acts exist. {REMEDY}") from None
    act, body_hash = _parse_header(file, header, number)
    stored = body.decode(errors="backslashreplace").split("\n")[:-1]
    if sha256_of(body) != body_hash:
        raise DamagedActError(_body_fault(file, act, stored))
    return replace(act, lines=tuple(line.rpartition(",")[0] for line in stored))


def _parse_header(file: Path, header: bytes, number: int) -> tuple[Act, str]:
    """Return the act without its lines, and the hash of the rest of the file."""
    try:
        fields: dict[str, Any] = json.loads(header)
        is_whole = fields.pop("hash") == _header_hash(fields) and fields["act"] == number
        if is_whole:
            act = Act(
                number=number,
                action=fields["action"],
                month=date.fromisoformat(f"{fields['month']}-01"),
                acted_at=datetime.fromisoformat(fields["acted_at"]),
                acted_by=fields["acted_by"],
                note=fields["note"],
                digest=fields["digest"],
                line_count=fields["lines"],
            )
            return act, fields["body"]
    except (ValueError, KeyError, AttributeError, TypeError):
        pass
    raise DamagedActError(f"{_shown(file)}: line 1, which states the act, was changed. {REMEDY}")


def _body_fault(file: Path, act: Act, stored: Sequence[str]) -> str:
    """Return the message about the first line that is not as it was booked."""
    closed = f"{act.month_text} is closed with {act.line_count:,} booked lines"
    for number, line in enumerate(stored[: act.line_count], 1):
        text, _, hashed = line.rpartition(",")
        if hashed != line_hash(number, text):
            return (
                f"{closed}, and booked line {number} was changed: '{printable(line)}' ({_shown(file)}, line"
                f" {number + 1}). {REMEDY}"
            )
    return f"{closed}, but {_shown(file)} ends after {len(stored):,}. {REMEDY}"


def _header_hash(fields: dict[str, Any]) -> str:
    return sha256_of(json.dumps(fields).encode())[:HASH_CHARACTERS]


def _folder(home: Home) -> Path:
    return home.lake / "periods"


def _file(home: Home, number: int) -> Path:
    return _folder(home) / f"{number:08d}.txt"


def _shown(file: Path) -> str:
    return f"lake/{file.parent.name}/{file.name}"
