"""Pages of tables, sorted on the server."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from dashboard.snapshot import Snapshot


@dataclass(frozen=True)
class PageRequest:
    """A page of a table. It is sorted on the server, so that a million rows stay there."""

    sort: str
    descending: bool
    offset: int
    limit: int

    def sql(self, columns: Sequence[str], key: str) -> str:
        """Return `order by … limit … offset …`. The key breaks ties, so that no row is on two pages."""
        if self.sort not in columns:
            raise ValueError(self.sort)
        direction = "desc" if self.descending else "asc"
        return (
            f'order by "{self.sort}" {direction} nulls last, {key} limit {int(self.limit)} offset'
            f" {int(self.offset)}"
        )


def count_rows(snapshot: Snapshot, query: str, values: Sequence[Any]) -> int:
    """Return the `rows` of a query that counts them."""
    return int(snapshot.rows(query, values)[0]["rows"])
