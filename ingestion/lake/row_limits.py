"""Limits on rows that are otherwise valid: the settings `EARLIEST_ENTRY` and `EXTRA_CURRENCIES`, and the
bounds of the contract.

The lake keeps a row that is outside the limits and counts it as rejected; the views of schema `raw` leave it
out. A changed setting therefore moves rows in or out without another load, and a row that an earlier version
of the program accepted cannot stop a build.
"""

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

import duckdb

from ingestion.lake.schemas import LAKE_TABLES, MONEY, ORIGIN
from ingestion.sources.webhooks import COUNTS, ENTRY
from ingestion.validation import reject_codes
from ingestion.validation.macros import MAX_AMOUNT_DIGITS, MAX_COUNT
from paywall_warehouse.currencies import known_currencies, nearest_currencies
from paywall_warehouse.duckdb_connections import insert_rows
from paywall_warehouse.quoting import literal
from paywall_warehouse.settings import Settings

# Raise this if rows have to be counted again although no setting has changed.
VERSION: Final = 1
# For this many unknown codes, rejects name the nearest known one. More codes are not typing errors.
HINTS: Final = 1000


@dataclass(frozen=True)
class _Limited:
    """The limits on a lake table: settings restrict its instants and its currencies."""

    times: Mapping[str, str] = field(default_factory=dict)
    """The columns with instants, each with the name of the field that states it."""
    currencies: tuple[str, ...] = ("currency",)
    """The columns with currencies. Each has the name of the field that states it."""
    where: str = "true"
    """SQL that selects the rows whose currency, amounts and counts matter."""
    keeps_text: bool = True
    """Whether a row outside keeps the text of its record. The export of a bank has content that must not stay
    once the row is accepted.
    """
    states_entry: str = "false"
    """SQL for whether a row states a ledger entry."""


# A row without a user, which the entry that it belongs to states (`user_of` of a mapping).
WAITS: Final = "(user_id is null and entry_type <> 'withdrawal')"

LIMITED: Final[Mapping[str, _Limited]] = {
    "ledger_entries": _Limited(
        {"occurred_at": "timestamp", "updated_at": "updated_at"},
        ("currency", "provider_cost_currency"),
        states_entry="true",
    ),
    "webhook_events": _Limited({"occurred_at": "createdAt"}, where=COUNTS, states_entry=ENTRY),
    "rail_payments": _Limited({"paid_at": "paid_at"}, keeps_text=False),
    "provider_rates": _Limited(),
    "bill_lines": _Limited(keeps_text=False),
    "bill_invoices": _Limited(keeps_text=False),
}


NO_LIMITS: Final = _Limited(currencies=())


@dataclass(frozen=True)
class _Limit:
    """One limit as SQL over the columns of a lake table. `message` may use `nearest_<column>`, the known
    currency that is nearest to that of a column.
    """

    broken: str
    code: str
    message: str


@dataclass(frozen=True)
class RowLimits:
    """The limits that rows are compared with."""

    earliest: datetime
    earliest_stated: str
    """`EARLIEST_ENTRY` as it was set, for messages."""
    currencies: tuple[str, ...]

    @classmethod
    def of(cls, settings: Settings) -> "RowLimits":
        """Return the limits that the settings state."""
        return cls(
            settings.earliest_instant,
            settings.earliest_entry.isoformat(),
            known_currencies(settings.extra_currencies),
        )

    @property
    def digest(self) -> str:
        """Return a digest that identifies these limits."""
        stated = [
            VERSION,
            self.earliest.isoformat(),
            sorted(self.currencies),
            10**MAX_AMOUNT_DIGITS,
            MAX_COUNT,
        ]
        return hashlib.sha256(json.dumps(stated).encode()).hexdigest()[:16]

    @staticmethod
    def keeps_text(table: str) -> bool:
        """Return whether a row of a table that is outside keeps the text of its record."""
        return LIMITED.get(table, NO_LIMITS).keeps_text

    @staticmethod
    def states_entry(table: str) -> str:
        """Return SQL for whether a row states a ledger entry."""
        return LIMITED.get(table, NO_LIMITS).states_entry

    def settings_broken(self, table: str) -> str:
        """Return SQL for whether a setting keeps a row out; never NULL."""
        return _any_of(self._of_settings(table))

    def broken(self, table: str, instant: str = "timestamptz") -> str:
        """Return SQL for whether a row is outside; never NULL. `instant` is the engine's type of instants."""
        return _any_of([*self._of_settings(table, instant), *self._of_contract(table)])

    def write_rejects(
        self, connection: duckdb.DuckDBPyConnection, table: str, rows: str, target: str
    ) -> None:
        """Insert a reject into the table `target` for each row of the relation `rows` that is outside.

        The raw text of the reject is that of the record. For a row that was accepted once, it is the row in
        the lake.
        """
        limits = [*self._of_settings(table), *self._of_contract(table)]
        connection.execute(
            f"create or replace temp table outside_rows as from {rows} where {_any_of(limits)}"
        )
        # Only rows of mapped sources have it.
        connection.execute("alter table outside_rows add column if not exists user_of varchar")
        connection.execute("create or replace temp table nearest_currencies (code varchar, nearest varchar)")
        limited = LIMITED.get(table, NO_LIMITS)
        if limited.currencies:
            codes = " union all ".join(
                f"select {column} as code from outside_rows where {_unknown(column, self.currencies)}"
                for column in limited.currencies
            )
            # The shortest codes first: a typing error is about as long as the code that was meant.
            stated = f"select code from ({codes}) group by code order by length(code), code limit {HINTS}"
            hints = nearest_currencies(
                [code for (code,) in connection.execute(stated).fetchall()], self.currencies
            )
            insert_rows(connection, "nearest_currencies", list(hints.items()))
        chosen = {
            part: " ".join(f"when {one.broken} then {getattr(one, part)}" for one in limits)
            for part in ("code", "message")
        }
        kept = ", ".join(f"{literal(name)}, {name}" for name in LAKE_TABLES[table] if name not in ORIGIN)
        nearest = " ".join(
            f"left join (select code as {column}, nearest as nearest_{column} from nearest_currencies)"
            f" using ({column})"
            for column in limited.currencies
        )
        connection.execute(
            f"""insert into {target} select file_no, line, case {chosen["code"]} end,
                case {chosen["message"]} end,
                coalesce(reject_raw, cast(json_merge_patch('{{}}', json_object({kept})) as varchar))
            from outside_rows {nearest}"""
        )
        connection.execute("drop table outside_rows; drop table nearest_currencies")

    def _of_settings(self, table: str, instant: str = "timestamptz") -> Iterator[_Limit]:
        limited = LIMITED.get(table, NO_LIMITS)
        if table == "ledger_entries":
            yield _Limit(
                WAITS,
                literal(reject_codes.UNKNOWN_GRANT),
                "'the record states no user, and the entry that it belongs to'"
                " || coalesce(' (' || user_of || ')', '') || ' has not landed yet; land that entry,'"
                " || ' and this record is accepted'",
            )
        earliest = f"cast('{self.earliest:%Y-%m-%d %H:%M:%S.%f}+00:00' as {instant})"
        for column, name in limited.times.items():
            yield _Limit(
                f"(coalesce({column} < {earliest}, false))",
                "'time_out_of_range'",
                f"""'field "{name}" is before {self.earliest_stated}, the earliest time that EARLIEST_ENTRY'
                    || ' allows: ' || strftime({column}, '%Y-%m-%dT%H:%M:%SZ')
                    || '; correct the time and land it again, or set EARLIEST_ENTRY to an earlier day'""",
            )
        for column in limited.currencies:
            yield _Limit(
                f"(({limited.where}) and {_unknown(column, self.currencies)})",
                literal(reject_codes.UNKNOWN_CURRENCY),
                f"""'field "{column}" is not a known currency: ' || {column}
                    || coalesce('; the nearest known code is ' || nearest_{column}, '')
                    || '. Correct it and land it again, or, if it is yours, add it to EXTRA_CURRENCIES'""",
            )

    def _of_contract(self, table: str) -> Iterator[_Limit]:
        """Yield the bounds by which records are rejected when they are read: rows that earlier versions
        accepted may be beyond them.
        """
        where = LIMITED.get(table, NO_LIMITS).where
        bound = f"cast('1{'0' * MAX_AMOUNT_DIGITS}' as {MONEY})"
        for column, kind in LAKE_TABLES[table].items():
            if kind == MONEY:
                yield _Limit(
                    f"(({where}) and coalesce(abs({column}) >= {bound}, false))",
                    "'amount_too_large'",
                    f"""'"{column}" is 10^{MAX_AMOUNT_DIGITS} or more: ' || {column}
                    || '; correct it and land it again'""",
                )
            elif column.endswith("_tokens"):
                # A total of two counts may be twice as large.
                most = MAX_COUNT * (2 if column == "total_tokens" else 1)
                yield _Limit(
                    f"(({where}) and coalesce({column} > {most}, false))",
                    "'count_too_large'",
                    f"""'"{column}" is more than {most:,}: ' || {column}
                    || '; correct it and land it again'""",
                )


def _any_of(limits: Iterable[_Limit]) -> str:
    return " or ".join(one.broken for one in limits) or "false"


def _unknown(column: str, currencies: Sequence[str]) -> str:
    """Return SQL for whether a column has a code in lower case that is none of these; never NULL."""
    # Searching one text takes a third of the time of comparing with a list of 300 codes. Comparing with the
    # most frequent code first takes even less.
    codes = literal(f" {' '.join(currencies)} ")
    known = f"{column} = {literal(currencies[0])} or contains({codes}, ' ' || {column} || ' ')"
    return f"not coalesce({known}, true)"
