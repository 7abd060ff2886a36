"""What a source's files look like: their columns, and the error for a file that is refused as a whole."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Final, NamedTuple

from paywall_warehouse.quoting import printable

SEPARATORS: Final = {",": "a comma", ";": "a semicolon", "\t": "a tab", "|": "a vertical bar"}
# The names under which the page of an API has its list, unless a mapping adds one.
PAGE_LISTS: Final = ("data",)
# A page of an API with 100,000 results. Parsing it takes 500 MB.
MAX_NESTED_BYTES: Final = 32 << 20


class UnreadableFileError(Exception):
    """A file that is rejected as a whole: a reject code, and a message that names fault and remedy."""

    def __init__(self, code: str, message: str) -> None:
        # The message contains names of columns and files, and is read on terminals.
        self.message = printable(message)
        super().__init__(self.message)
        self.code = code


def folded(name: str) -> str:
    """Return a column's name as it is compared without regard to case: `Prompt Tokens` is `prompt_tokens`."""
    return name.strip().casefold().replace(" ", "_")


class FlatRecord(NamedTuple):
    """A record that was made of a part of a JSON text."""

    line: int
    text: str
    """A flat JSON object; empty if there is a `problem`."""
    problem: str | None = None
    """The reject code of a part that is no record."""


Flatten = Callable[[Iterable[tuple[int, bytes]]], Iterator[FlatRecord]]
"""Makes flat records of the JSON texts of one file, which come with their lines."""


@dataclass(frozen=True)
class Layout:
    """The known and the required columns of a source's CSV and Parquet files."""

    columns: tuple[str, ...]
    required: tuple[str | tuple[str, ...], ...]
    """Columns that the file must have; of several names in a tuple one is enough."""
    money: tuple[str, ...] = ()
    times: tuple[str, ...] = ()
    json: tuple[str, ...] = ()
    """The columns whose text is a JSON object."""
    separator: str = ","
    """What separates the fields of a CSV file: one of `SEPARATORS`, or several. The header shows which."""
    keeps_unknown: bool = True
    """Whether the texts of records have the other columns, too. Mapped sources never read them."""
    refuses_unknown: bool = False
    """Whether a file with other columns is refused. Without a misspelled column, a row of an operator's own
    file would mean more than it says, such as any model.
    """
    comma_decimals: tuple[str, ...] = ()
    """The columns whose numbers have a decimal comma in CSV files."""
    remedy: str = ""
    """What to do if columns are missing, if that is not to rename them."""
    page_lists: tuple[str, ...] = PAGE_LISTS
    """The names under which an object in a `.json` file has a list of records."""
    envelope: str | None = None
    """The name under which a JSON object may have the record."""
    is_mapped: bool = False
    """Whether a mapping defines the layout, so that correcting the mapping is a way to read a file."""
    any_case: bool = False
    """Whether names of columns are compared as `folded`."""
    flatten: Flatten | None = None
    """Set for a source whose JSON is nested, such as an API's buckets of results."""

    def known_as(self, name: str) -> str:
        """Return the column that a name in a file stands for; the name itself if that is no column."""
        return self._by_folded_name.get(folded(name), name) if self.any_case else name

    @property
    def stated_columns(self) -> tuple[str, ...]:
        """Return the columns that a file may state, without those that are made of its records."""
        return tuple(name for name in self.columns if not name.startswith("_"))

    @cached_property
    def _by_folded_name(self) -> dict[str, str]:
        return {folded(column): column for column in self.columns}
