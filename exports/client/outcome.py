"""The outcome of a pull: the changes of each dataset, or an error."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

from exports.manifest import Partition
from paywall_warehouse.sizes import size

DAYS_LISTED = 5


@dataclass(frozen=True)
class Pulled:
    """What a pull changed in one dataset of the mirror."""

    dataset: str
    changed: tuple[Partition, ...]
    """Partitions that are new or have another revision."""
    gone: tuple[date | None, ...]
    """Partitions that the export no longer has."""
    files: int
    """The number of files that were fetched."""
    bytes: int
    """Their size."""


class PullError(Exception):
    """The mirror could not be brought up to date. The message says what is wrong and what to do.

    Complete datasets are kept.
    """

    def __init__(self, message: str, *, is_wrong_usage: bool = False) -> None:
        super().__init__(message)
        self.is_wrong_usage = is_wrong_usage
        self.pulled: list[Pulled] = []
        """The datasets that were brought up to date before the error. The next pull finds them unchanged."""


class DatasetError(PullError):
    """One dataset cannot be pulled. The others can."""


def describe(pulled: Pulled) -> str:
    """Return one line about what a pull changed in a dataset."""
    if not pulled.changed and not pulled.gone:
        return f"{pulled.dataset}: unchanged"
    fetched = f"{pulled.files:,} {'file' if pulled.files == 1 else 'files'}, {size(pulled.bytes)}"
    if any(partition.date is None for partition in pulled.changed):
        return (
            f"{pulled.dataset}: revision {pulled.changed[-1].revision}, {pulled.changed[-1].rows:,} rows;"
            f" {fetched}"
        )
    latest = sorted(pulled.changed, key=lambda partition: partition.date or date.min, reverse=True)
    listed = ", ".join(f"{one.date} (revision {one.revision})" for one in latest[:DAYS_LISTED])
    more = f" and {len(latest) - DAYS_LISTED:,} more" if len(latest) > DAYS_LISTED else ""
    changed = [f"{_days(latest)} changed: {listed}{more}"] if latest else []
    gone = [f"{_days(pulled.gone)} gone"] if pulled.gone else []
    return f"{pulled.dataset}: {'; '.join([*changed, *gone, fetched])}"


def _days(days: Sequence[object]) -> str:
    return f"{len(days):,} {'day' if len(days) == 1 else 'days'}"


def merged(earlier: Pulled, later: Pulled) -> Pulled:
    """Return the outcome of two rounds over one dataset in the same pull."""
    changed = {one.date: one for one in (*earlier.changed, *later.changed)}
    gone = dict.fromkeys((*earlier.gone, *later.gone))
    return Pulled(
        later.dataset,
        tuple(changed.values()),
        tuple(gone),
        earlier.files + later.files,
        earlier.bytes + later.bytes,
    )
