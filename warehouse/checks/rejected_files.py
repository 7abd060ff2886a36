"""The files whose rejected records are not published yet, with the reasons."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from ingestion.validation.reject_codes import UNKNOWN_GRANT
from warehouse.checks.queries import Queries

LINES_SHOWN, REASON_CHARACTERS = 5, 200
# Metadata may contain personal data, and the message is stored where `erase` does not remove it.
QUOTES_METADATA: Final = "bad_metadata"

# Records that wait for another entry are accepted as soon as it lands: they are not the file's fault.
# Files without rejects need not be in the landing area. The records that were accepted from them are new
# wherever the file is now.
COUNTED: Final = f"""
select batch_seq, path, standing_path, records, accepted, rejected - waiting as rejected from (
    select
        files.batch_seq, files.path, files.standing_path, files.records, files.accepted, files.rejected,
        (
            select count(*) from raw.rejected_records as rejects
            where rejects.batch_seq = files.batch_seq and rejects.path = files.path
                and rejects.reason_code = '{UNKNOWN_GRANT}'
        ) as waiting
    from raw.loaded_files as files
)
where batch_seq > (select through from build.published) and (rejected = waiting or standing_path is not null)
"""

# A file that cannot be read has one reject, without a line.
REASONS: Final = f"""
select
    counted.batch_seq,
    counted.path,
    rejected_records.reason_code,
    count(*) as occurrences,
    min(rejected_records.line, {LINES_SHOWN}),
    coalesce(arg_min(rejected_records.reason, rejected_records.line), min(rejected_records.reason))
from raw.rejected_records as rejected_records
join (select batch_seq, path from ({COUNTED}) as files where rejected > 0) as counted
    on rejected_records.batch_seq = counted.batch_seq and rejected_records.path = counted.path
where rejected_records.reason_code <> '{UNKNOWN_GRANT}'
group by counted.batch_seq, counted.path, rejected_records.reason_code
order by counted.batch_seq, counted.path, occurrences desc, rejected_records.reason_code
"""


@dataclass(frozen=True)
class ReasonCount:
    """The rejected records of one file that share a reason."""

    code: str
    records: int
    first_lines: tuple[int, ...]
    """Empty for a file that cannot be read."""
    first_reason: str

    @property
    def shown_reason(self) -> str:
        """The reason of the first record, shortened, without quotations from metadata."""
        reason = self.first_reason
        words = reason.partition(": ")[0] if self.code == QUOTES_METADATA else reason
        return words if len(words) <= REASON_CHARACTERS else f"{words[:REASON_CHARACTERS]}…"


@dataclass(frozen=True)
class RejectedFile:
    """A file with rejects that are not published yet."""

    path: str
    """The path under which it was loaded."""
    standing_path: str
    """The path under which it is in the landing area now."""
    records: int
    accepted: int
    rejected: int
    reasons: tuple[ReasonCount, ...]
    """The most frequent reason first."""

    @property
    def first_place(self) -> str:
        """The path, with the line of the first record that was rejected for the most frequent reason."""
        lines = self.reasons[0].first_lines if self.reasons else ()
        return f"{self.standing_path}:{lines[0]}" if lines else self.standing_path


@dataclass(frozen=True)
class Unpublished:
    """The records that are not published yet, and the files with rejects among them."""

    records: int
    rejected: int
    files: tuple[RejectedFile, ...]
    """The file with the most rejects first."""


def unpublished_rejects(queries: Queries) -> Unpublished:
    """Return the counts of all records that are not published yet, and the files with rejects."""
    counted = queries.execute(COUNTED).fetchall()
    reasons: dict[tuple[int, str], list[ReasonCount]] = {}
    for batch, path, code, records, lines, reason in queries.execute(REASONS).fetchall():
        reasons.setdefault((batch, path), []).append(ReasonCount(code, records, tuple(lines or ()), reason))
    files = [
        (
            batch,
            RejectedFile(path, standing, records, accepted, rejected, tuple(reasons.get((batch, path), ()))),
        )
        for batch, path, standing, records, accepted, rejected in counted
        if rejected
    ]
    files.sort(key=lambda pair: (-pair[1].rejected, pair[1].path, pair[0]))
    return Unpublished(_sum(counted, 3), _sum(counted, 5), tuple(file for _, file in files))


def _sum(rows: Sequence[Sequence[int]], column: int) -> int:
    return sum(row[column] for row in rows)
