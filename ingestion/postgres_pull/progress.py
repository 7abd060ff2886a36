"""The progress of a pull: how far it has come, and what has landed within the look-back.

One Parquet file per source below `state/postgres_pull/`: a digest and a cursor position for each row of the
window, and the rest as JSON in the file's metadata. If it is lost, everything lands again, which doubles
nothing, because entries have ids.
"""

import json
import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final
from uuid import uuid4

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from paywall_warehouse.files import replace_file
from paywall_warehouse.home import Home

METADATA: Final = b"paywall_warehouse.postgres_pull"
VERSION: Final = 1
Digests = npt.NDArray[np.uint64]
Positions = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Progress:
    """What earlier pulls of a source have landed."""

    origin: str
    """The database, the table and the cursor: with another one, a pull starts over."""
    columns: tuple[str, ...]
    """The columns that landed. With a further one, a pull starts over, so that all rows have it."""
    lineage: str = field(default_factory=lambda: uuid4().hex[:8])
    """Part of the file names. A pull that starts over cannot meet the files of an earlier one."""
    files: int = 0
    """The number of files that have landed since the start."""
    through: str | None = None
    """The cursor value up to which everything has landed, as Postgres writes it; None at the start."""
    position: float = -math.inf
    """The position of `through`."""
    digests: Digests = field(default_factory=lambda: np.empty(0, np.uint64))
    """The rows of the look-back as they landed, in ascending order."""
    positions: Positions = field(default_factory=lambda: np.empty(0, np.float64))
    """The cursor positions of `digests`."""

    def contains(self, digests: Digests) -> npt.NDArray[np.bool_]:
        """Return for each row whether it has landed as it is."""
        if not len(self.digests):
            return np.zeros(len(digests), np.bool_)
        places = np.searchsorted(self.digests, digests)
        return np.equal(self.digests[np.minimum(places, len(self.digests) - 1)], digests, dtype=np.bool_)

    def advanced(
        self,
        through: tuple[float, str | None],
        seen: tuple[Digests, Positions],
        scanned: float,
        units: float,
        files: int,
    ) -> "Progress":
        """Return the progress after a pull has seen all rows up to the position `scanned`.

        `through` never goes back. Rows more than `units` before it are forgotten. What was known of
        a scanned position is replaced by what was seen there: a row that has changed back is a new change.
        """
        position, text = through if through[0] > self.position else (self.position, self.through)
        ahead = self.positions > scanned
        digests = np.concatenate([self.digests[ahead], seen[0]])
        positions = np.concatenate([self.positions[ahead], seen[1]])
        is_kept = positions >= position - units
        digests, positions = digests[is_kept], positions[is_kept]
        order = np.argsort(digests, kind="stable")
        return replace(
            self,
            files=files,
            through=text,
            position=position,
            digests=digests[order],
            positions=positions[order],
        )

    def is_same(self, other: "Progress") -> bool:
        """Check whether writing the other one would change nothing."""
        return (self.lineage, self.files, self.through) == (
            other.lineage,
            other.files,
            other.through,
        ) and np.array_equal(self.digests, other.digests)


def read_progress(home: Home, source: str, log: Callable[[str], None]) -> Progress | None:
    """Return the progress of a source; None if there is none, or if it cannot be read."""
    path = _path(home, source)
    try:
        table = pq.read_table(path)
        stated = json.loads((table.schema.metadata or {})[METADATA])
        if stated.pop("version") != VERSION:
            raise ValueError("it was written by another version")
        stated["columns"] = tuple(stated["columns"])
        return Progress(
            **stated,
            digests=table.column("digest").to_numpy(),
            positions=table.column("position").to_numpy(),
        )
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError, pa.ArrowException) as error:
        log(f"{source}: {path} cannot be read ({type(error).__name__}); the whole table lands again")
        return None


def write_progress(home: Home, source: str, progress: Progress) -> None:
    """Write the progress of a source; a reader sees the old one or the new one."""
    stated = {
        "version": VERSION,
        "origin": progress.origin,
        "columns": progress.columns,
        "lineage": progress.lineage,
        "files": progress.files,
        "through": progress.through,
        "position": progress.position,
    }
    table = pa.table({"digest": progress.digests, "position": progress.positions})
    table = table.replace_schema_metadata({METADATA: json.dumps(stated)})
    # Digests do not compress; positions are nearly a row's own.
    replace_file(_path(home, source), lambda partial: pq.write_table(table, partial, use_dictionary=False))


def _path(home: Home, source: str) -> Path:
    return home.root / "state" / "postgres_pull" / f"{source.replace('/', '-')}.parquet"
