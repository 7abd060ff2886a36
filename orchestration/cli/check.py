"""The lines that the subcommand `check` prints."""

from collections.abc import Iterator

from ingestion.judge import Judgement, RejectReason
from orchestration import markdown

UNREAD_SHOWN = 20


def judgement_lines(judgement: Judgement) -> Iterator[str]:
    """Yield a judgement for people: counts, rejects by reason, columns that nothing reads, first records."""
    how = ", by its columns" if judgement.is_guessed else ""
    yield (
        f"{judgement.path} (source {judgement.source}{how}): {markdown.count(judgement.records, 'record')},"
        f" {judgement.accepted:,} accepted, {judgement.rejected:,} rejected"
    )
    for reason in judgement.reasons:
        yield f"  {reason.records:,} × {reason.code}{_lines(reason)}: {reason.first_reason}"
    if judgement.unread:
        shown = ", ".join(judgement.unread[:UNREAD_SHOWN])
        more = (
            f" and {len(judgement.unread) - UNREAD_SHOWN} more"
            if len(judgement.unread) > UNREAD_SHOWN
            else ""
        )
        kept = "kept in metadata.extra" if judgement.keeps_unread else "dropped"
        yield f"  Nothing reads: {shown}{more} ({kept})"
    for number, record in enumerate(judgement.first, 1):
        values = ", ".join(f"{name} = {value}" for name, value in record.items())
        yield f"  Accepted record {number}: {values}"


def _lines(reason: RejectReason) -> str:
    """Return where the first of the records are; nothing for a file that is refused as a whole."""
    if not reason.first_lines:
        return ""
    more = ", …" if len(reason.first_lines) < reason.records else ""
    return f", line{'s' * (reason.records > 1)} {', '.join(map(str, reason.first_lines))}{more}"
