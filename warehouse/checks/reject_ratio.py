"""The check of the share of rejected records. Its message lists the files, the reasons and the remedies.

Rejects of a file count while the file is unchanged in the landing area and not published. If the file was
corrected under its name or removed, its rejects no longer count.
"""

import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import ROUND_UP, Decimal
from typing import Final

from paywall_warehouse.quoting import literal
from paywall_warehouse.settings import Settings
from warehouse.checks.invariant import Invariant, Queries

NAME: Final = "reject_ratio"
UNITS = Decimal(1).scaleb(-12)
FILES_SHOWN, REASONS_SHOWN, LINES_SHOWN, REASON_CHARACTERS = 5, 4, 5, 200
# Metadata may contain personal data, and the message is stored where `erase` does not remove it.
QUOTES_METADATA: Final = "bad_metadata"
ACKNOWLEDGED: Final = "events/received/"

# Files without rejects need not be in the landing area. The records that were accepted from them are new
# wherever the file is now.
COUNTED = """
select batch_seq, path, standing_path, records, accepted, rejected from raw.loaded_files
where batch_seq > (select through from build.published) and (rejected = 0 or standing_path is not null)
"""

REASONS = f"""
select counted.batch_seq, counted.path, rejected_records.reason_code, count(*) as occurrences
from raw.rejected_records as rejected_records
join (select batch_seq, path from ({COUNTED}) as files where rejected > 0) as counted
    on rejected_records.batch_seq = counted.batch_seq and rejected_records.path = counted.path
group by counted.batch_seq, counted.path, rejected_records.reason_code
order by counted.batch_seq, counted.path, occurrences desc, rejected_records.reason_code
"""

FIRST_LINES = """
select line, reason from raw.rejected_records
where batch_seq = {batch_seq} and path = {path} and reason_code = {code} order by line limit {limit}
"""


def check_rejects(queries: Queries, settings: Settings) -> Invariant:
    """Check the share of rejected records among those that are not published yet.

    A refused batch stays refused in the next run.
    """
    records, rejected = queries.execute(
        f"select coalesce(sum(records), 0), coalesce(sum(rejected), 0) from ({COUNTED}) as files"
    ).fetchall()[0]
    ratio = Decimal(rejected) / Decimal(records) if records else Decimal(0)
    allowed = Decimal(repr(settings.max_reject_ratio))
    passed = ratio <= allowed
    return Invariant(
        name=NAME,
        scope="all",
        expected=allowed.quantize(UNITS),
        actual=ratio.quantize(UNITS),
        passed=passed,
        query=(
            "select path, line, reason_code, reason from raw.rejected_records order by batch_seq desc, path,"
            " line"
        ),
        details="" if passed else "\n".join(refusal(queries, settings)),
    )


@dataclass(frozen=True)
class _File:
    """A file with rejects."""

    batch_seq: int
    path: str
    standing_path: str
    records: int
    accepted: int
    rejected: int


def refusal(queries: Queries, settings: Settings) -> Iterator[str]:
    """Yield the rejects of each file, then the remedies. Yield nothing if no rejects count."""
    counted = [_File(*row) for row in queries.execute(COUNTED).fetchall()]
    records, rejected = sum(file.records for file in counted), sum(file.rejected for file in counted)
    files = sorted(
        (file for file in counted if file.rejected),
        key=lambda file: (-file.rejected, file.path, file.batch_seq),
    )
    if not files:
        return
    yield (
        f"{rejected:,} of the {records:,} records that are not published yet were rejected, in"
        f" {_count(len(files), 'file')} below {settings.landing_shown}:"
    )
    reasons = queries.execute(REASONS).fetchall()
    for file in files[:FILES_SHOWN]:
        own = [
            (code, rejects)
            for batch, path, code, rejects in reasons
            if (batch, path) == (file.batch_seq, file.path)
        ]
        yield from _file_lines(queries, file, own)
    if len(files) > FILES_SHOWN:
        yield f"  … and {len(files) - FILES_SHOWN:,} more files; raw.rejected_records lists all."
    yield from _remedies(files, Decimal(rejected) / Decimal(records))


def _file_lines(queries: Queries, file: _File, reasons: Sequence[tuple[str, int]]) -> Iterator[str]:
    moved = "" if file.standing_path == file.path else f" (loaded as {file.path})"
    yield f"  {file.standing_path}{moved}: {file.rejected:,} of {_count(file.records, 'record')}"
    for code, rejects in reasons[:REASONS_SHOWN]:
        query = FIRST_LINES.format(
            batch_seq=file.batch_seq, path=literal(file.path), code=literal(code), limit=LINES_SHOWN
        )
        first = queries.execute(query).fetchall()
        lines = [line for line, _ in first if line is not None]
        yield f"    {rejects:,} × {code}{_lines(lines, rejects)}: {_words(code, first[0][1])}"
    if len(reasons) > REASONS_SHOWN:
        yield f"    … and {len(reasons) - REASONS_SHOWN} more reasons"


def _lines(lines: Sequence[int], rejects: int) -> str:
    """Return the lines of the first rejects. A file that cannot be read has none."""
    if not lines:
        return ""
    more = f" and {rejects - len(lines):,} more" if rejects > len(lines) else ""
    return f", line{'s' if rejects > 1 else ''} {', '.join(map(str, lines))}{more}"


def _words(code: str, reason: str) -> str:
    words = reason.partition(": ")[0] if code == QUOTES_METADATA else reason
    return words if len(words) <= REASON_CHARACTERS else f"{words[:REASON_CHARACTERS]}…"


def _remedies(files: Sequence[_File], ratio: Decimal) -> Iterator[str]:
    """Yield the remedies. Each of them is sufficient."""
    yield (
        "There are three remedies. The first two are per file, and take effect with the next"
        " `paywall-warehouse run`."
    )
    yield (
        "  1. Correct the file and land it under the same name. Its new content is loaded, and its old"
        " rejects no longer count. A corrected copy under another name is not enough: the bad file must"
        " be removed."
    )
    own = [file for file in files if not file.path.startswith(ACKNOWLEDGED)]
    if own:
        names = " ".join(shlex.quote(file.path) for file in own[:FILES_SHOWN])
        accepted = sum(file.accepted for file in own)
        yield (
            "  2. Remove the file from the landing area. Its rejects no longer count. Its accepted records"
            f" ({accepted:,}) stay, unless you drop them too: `paywall-warehouse discard"
            f" {names}`{' …' if len(own) > FILES_SHOWN else ''}"
        )
    else:
        yield (
            "  2. Remove the file from the landing area. Its rejects no longer count, and its accepted"
            " records stay. The file holds acknowledged webhooks, which are sent only once, so keep it"
            " elsewhere."
        )
    enough = ratio.quantize(Decimal("0.0001"), ROUND_UP).normalize()
    yield (
        f"  3. Publish once without the rejected records: `MAX_REJECT_RATIO={enough:f} paywall-warehouse"
        " run`. They stay listed in ops.rejected_records."
    )


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
