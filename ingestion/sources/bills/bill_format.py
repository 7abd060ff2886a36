"""What is defined for each format of the folder `bills/`."""

from collections.abc import Callable
from dataclasses import dataclass

from ingestion.readers.layout import Layout


@dataclass(frozen=True)
class BillFormat:
    """A format of files in `bills/`, and the lake table that it is loaded into."""

    name: str
    table: str
    layout: Layout
    records_sql: Callable[[str], str]
    """Returns SQL that types and validates the records of a relation of texts."""
    made: tuple[str, ...] = ()
    """Columns of staged records that the lake's table does not have."""
    is_configuration: bool = False
    """Whether its files are in `bills/` itself, with the name of the format."""

    @property
    def subfolder(self) -> str:
        """Return where in `bills/` the files are."""
        return "" if self.is_configuration else self.name
