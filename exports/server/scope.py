"""What a token may see of a dataset: columns and rows. Everything else reads a dataset through a `View`."""

from collections.abc import Mapping
from dataclasses import dataclass

from exports.datasets import Dataset
from exports.server.tokens import Token
from paywall_warehouse.quoting import literal, quoted
from warehouse.published_tables import Column, Table

# Columns that are computed from rows of others. With one's own revenue, the share reveals everybody's.
ACROSS_ROWS: Mapping[str, frozenset[str]] = {"models": frozenset({"revenue_share"})}
# A case may join deposits of several users to one payment.
ACROSS_USERS = frozenset({"reconciliation"})


@dataclass(frozen=True)
class View:
    """A dataset as a token sees it."""

    dataset: Dataset
    description: str
    columns: Mapping[str, Column]
    """The visible columns by name, in the order of the table."""
    hidden: frozenset[str]
    """The names of the other columns."""
    condition: str
    """The condition on visible rows (SQL)."""
    is_whole: bool
    """Whether the token may see every row and column, and so the files of the export."""
    is_computed: bool = False
    """Whether the rows are those of a view, and have no ids."""

    @property
    def day(self) -> str | None:
        """The column with the day, if it is visible."""
        return self.dataset.day if self.dataset.day in self.columns else None

    @property
    def relation(self) -> str:
        """The visible rows and columns (SQL)."""
        names = ", ".join(map(quoted, self.columns))
        return f"(select {names} from {self.dataset.relation} where {self.condition}) as visible"

    @property
    def amounts(self) -> list[str]:
        """The visible columns with money whose currency is visible, too."""
        return [
            amount
            for amount in Table("", tuple(self.columns.values())).amounts
            if all(currency in self.columns for currency in self.dataset.currency_columns(amount))
        ]


def view_of(token: Token, dataset: Dataset, table: Table) -> View | None:
    """Return what a token may see of a dataset; None if that is nothing.

    A dataset without the column of a row limit is not visible: its rows cannot be limited.
    """
    if token.datasets is not None and dataset.name not in token.datasets:
        return None
    every = {column.name: column for column in table.columns}
    user = dataset.user
    is_by_user = token.user_prefix is not None or any(name == user for name, _ in token.where)
    if is_by_user and (user not in every or dataset.name in ACROSS_USERS):
        return None
    conditions = []
    for name, value in token.where:
        if name not in every or every[name].type != "VARCHAR":
            return None
        conditions.append(f"{quoted(name)} = {literal(value)}")
    if token.user_prefix is not None:
        conditions.append(f"starts_with({quoted(user)}, {literal(token.user_prefix)})")
    hidden = {name for name in every if token.columns is not None and name not in token.columns}
    if token.has_row_limit:
        hidden |= ACROSS_ROWS.get(dataset.name, frozenset())
    columns = {name: column for name, column in every.items() if name not in hidden}
    if not columns:
        return None
    return View(
        dataset,
        table.description,
        columns,
        frozenset(hidden),
        " and ".join(conditions) or "true",
        is_whole=not hidden and not conditions,
        is_computed=table.is_view,
    )
