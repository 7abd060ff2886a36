"""The lines that the subcommand `check` prints."""

from collections.abc import Iterator

from ingestion.validate_file import FileValidation, RejectReason
from orchestration import markdown

UNREAD_SHOWN = 20


def validation_lines(validation: FileValidation) -> Iterator[str]:
    """Yield the lines of a file: counts, rejects by reason, columns that nothing reads, first records."""
    how = ", by its columns" if validation.is_guessed else ""
    records = markdown.count(validation.records, "record")
    yield (
        f"{validation.path} (source {validation.source}{how}): {records},"
        f" {validation.accepted:,} accepted, {validation.rejected:,} rejected"
        + (f", {validation.filtered:,} filtered" if validation.filtered else "")
    )
    for reason in validation.reasons:
        yield f"  {reason.records:,} × {reason.code}{_lines(reason)}: {reason.first_reason}"
    if validation.unread:
        shown = ", ".join(validation.unread[:UNREAD_SHOWN])
        more = (
            f" and {len(validation.unread) - UNREAD_SHOWN} more"
            if len(validation.unread) > UNREAD_SHOWN
            else ""
        )
        kept = "kept in metadata.extra" if validation.keeps_unread else "dropped"
        yield f"  Nothing reads: {shown}{more} ({kept})"
    if validation.missing:
        yield f"  The file does not have: {', '.join(validation.missing)}"
    for number, record in enumerate(validation.first, 1):
        values = ", ".join(f"{name} = {value}" for name, value in record.items())
        yield f"  Accepted record {number}: {values}"


def _lines(reason: RejectReason) -> str:
    """Return where the first of the records are; nothing for a file that is refused as a whole."""
    if not reason.first_lines:
        return ""
    more = ", …" if len(reason.first_lines) < reason.records else ""
    return f", line{'s' * (reason.records > 1)} {', '.join(map(str, reason.first_lines))}{more}"
