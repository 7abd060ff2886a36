"""The check of the share of rejected records. Its message lists the files, the reasons and the remedies.

Rejects of a file count while the file is unchanged in the landing area and not published. If the file was
corrected under its name or removed, its rejects no longer count.
"""

import shlex
from collections.abc import Iterator, Sequence
from decimal import ROUND_UP, Decimal
from typing import Final

from ingestion.sources.registry import BUILT_IN
from paywall_warehouse.quoting import printable
from paywall_warehouse.settings import Settings
from warehouse.checks.invariant import Invariant, exact_text
from warehouse.checks.queries import Queries
from warehouse.checks.rejected_files import ReasonCount, RejectedFile, Unpublished, unpublished_rejects

NAME: Final = "reject_ratio"
UNITS = Decimal(1).scaleb(-12)
FILES_SHOWN, REASONS_SHOWN = 5, 4
FILES_IN_SUMMARY, REASONS_IN_SUMMARY = 3, 3
ACKNOWLEDGED: Final = "events/received/"


def check_rejects(queries: Queries, settings: Settings) -> Invariant:
    """Check the share of rejected records among those that are not published yet.

    A refused batch stays refused in the next run.
    """
    unpublished = unpublished_rejects(queries)
    ratio = _ratio(unpublished)
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
        details="" if passed else "\n".join(_refusal(unpublished, settings)),
        summary="" if passed else _summary(unpublished, allowed),
        rejected_files=() if passed else unpublished.files,
    )


def refusal(queries: Queries, settings: Settings) -> Iterator[str]:
    """Yield the rejects of each file, then the remedies. Yield nothing if no rejects count."""
    yield from _refusal(unpublished_rejects(queries), settings)


def _ratio(unpublished: Unpublished) -> Decimal:
    return Decimal(unpublished.rejected) / Decimal(unpublished.records) if unpublished.records else Decimal(0)


def _summary(unpublished: Unpublished, allowed: Decimal) -> str:
    """Return one sentence with the share, the files and their reasons, and one with the first reject."""
    # Rounded up, so that a share just above the limit is not shown as the limit.
    share = exact_text((_ratio(unpublished) * 100).quantize(Decimal("0.01"), ROUND_UP))
    files = unpublished.files
    named = ", ".join(map(_file_summary, files[:FILES_IN_SUMMARY]))
    further = len(files) - FILES_IN_SUMMARY
    more = f" and {_count(further, 'more file')}" if further > 0 else ""
    first = f" First: {files[0].first_place}: {files[0].reasons[0].shown_reason}" if files[0].reasons else ""
    return printable(
        f"{unpublished.rejected:,} of the {_count(unpublished.records, 'record')} that are not published yet"
        f" were rejected ({share} %, allowed {exact_text(allowed * 100)} %): {named}{more}.{first}"
    )


def _file_summary(file: RejectedFile) -> str:
    reasons = ", ".join(f"{one.records:,} × {one.code}" for one in file.reasons[:REASONS_IN_SUMMARY])
    further = len(file.reasons) - REASONS_IN_SUMMARY
    more = f" and {_count(further, 'more reason')}" if further > 0 else ""
    return f"{file.rejected:,} of {_count(file.records, 'record')} of {file.standing_path} ({reasons}{more})"


def _refusal(unpublished: Unpublished, settings: Settings) -> Iterator[str]:
    files = unpublished.files
    if not files:
        return
    yield (
        f"{unpublished.rejected:,} of the {unpublished.records:,} records that are not published yet were"
        f" rejected, in {_count(len(files), 'file')} below {settings.landing_shown}:"
    )
    for file in files[:FILES_SHOWN]:
        yield from _file_lines(file)
    if len(files) > FILES_SHOWN:
        yield f"  … and {len(files) - FILES_SHOWN:,} more files; raw.rejected_records lists all."
    yield from _remedies(files, _ratio(unpublished))


def _file_lines(file: RejectedFile) -> Iterator[str]:
    moved = "" if file.standing_path == file.path else f" (loaded as {file.path})"
    yield f"  {file.standing_path}{moved}: {file.rejected:,} of {_count(file.records, 'record')}"
    for one in file.reasons[:REASONS_SHOWN]:
        yield f"    {one.records:,} × {one.code}{_lines(one)}: {one.shown_reason}"
    if len(file.reasons) > REASONS_SHOWN:
        yield f"    … and {len(file.reasons) - REASONS_SHOWN} more reasons"


def _lines(one: ReasonCount) -> str:
    """Return the lines of the first rejects. A file that cannot be read has none."""
    lines = one.first_lines
    if not lines:
        return ""
    more = f" and {one.records - len(lines):,} more" if one.records > len(lines) else ""
    return f", line{'s' if one.records > 1 else ''} {', '.join(map(str, lines))}{more}"


def _remedies(files: Sequence[RejectedFile], ratio: Decimal) -> Iterator[str]:
    """Yield the remedies. Each of them is sufficient."""
    built_in = {source.folder for source in BUILT_IN.values()}
    mapped = any(file.path.partition("/")[0] not in built_in for file in files)
    yield (
        "There are three remedies. The first two are per file, and take effect with the next"
        " `paywall-warehouse run`."
    )
    yield (
        "  1. Correct the file and land it under the same name. Its new content is loaded, and its old"
        " rejects no longer count. A corrected copy under another name is not enough: the bad file must"
        " be removed."
        + (" Or correct the mapping of the source: the next run reads its files again." if mapped else "")
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
