"""The `pull:` block of a mapping: which table is pulled, and by which cursor."""

from dataclasses import dataclass
from datetime import timedelta


@dataclass(frozen=True)
class PostgresPull:
    """The `pull:` block of a mapping, validated."""

    dsn_variable: str
    """The variable, in the environment or in `.env`, with the DSN."""
    table: str
    """`table` or `schema.table`, in the case that Postgres has it in."""
    cursor: str
    """A column that grows: a timestamp, a date or a number."""
    key: tuple[str, ...]
    """The columns that identify a row; they order rows with equal cursor values."""
    look_back: timedelta
    """How far before the last cursor value rows are read again, because they may be late or have changed. For
    a cursor that is a number, a second counts as 1.
    """
    columns: tuple[str, ...]
    """The columns that the mapping reads. No other column is selected."""
