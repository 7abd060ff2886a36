"""Ledger entries, and what is related to one."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from dashboard.filters import Filters, any_of, entry_conditions
from dashboard.queries.paging import PageRequest, count_rows
from dashboard.snapshot import Row, Snapshot
from exports.filters import Filter, all_of

LEDGER_COLUMNS = (
    "occurred_at",
    "entry_id",
    "entry_type",
    "status",
    "user_id",
    "paywall_id",
    "model_id",
    "amount",
    "balance_effect",
    "provider_cost",
    "provider_cost_currency",
    "provider_cost_basis",
    "platform_fees",
    "total_tokens",
    "request_id",
    "currency",
)
ID_COLUMNS = (
    "entry_id",
    "request_id",
    "user_id",
    "related_entry_id",
    "payment_intent_id",
    "charge_id",
    "checkout_session_id",
    "payment_id",
)


@dataclass(frozen=True)
class LedgerSearch:
    """The filters of a ledger besides those of the page."""

    user_id: str | None = None
    statuses: tuple[str, ...] = ()
    any_id: str = ""
    """The complete id of an entry, request, user or payment. If it is given, no other filter applies."""

    def conditions(self, filters: Filters) -> list[Filter]:
        """Return the conditions on rows of `fct_ledger_entries`."""
        if self.any_id:
            return [
                Filter(
                    " or ".join(f"{column} = ?" for column in ID_COLUMNS), (self.any_id,) * len(ID_COLUMNS)
                )
            ]
        conditions = entry_conditions(filters)
        if self.user_id is not None:
            conditions.append(Filter("user_id = ?", (self.user_id,)))
        if self.statuses:
            conditions.append(any_of("status", self.statuses))
        return conditions


def count_ledger(snapshot: Snapshot, filters: Filters, search: LedgerSearch) -> int:
    """Return the number of entries."""
    where, values = all_of(search.conditions(filters))
    return count_rows(
        snapshot, f"select count(*) as rows from marts.fct_ledger_entries where {where}", values
    )


def ledger(snapshot: Snapshot, filters: Filters, search: LedgerSearch, page: PageRequest) -> list[Row]:
    """Return a page of the ledger."""
    where, values = all_of(search.conditions(filters))
    chosen = ", ".join(LEDGER_COLUMNS)
    return snapshot.rows(
        f"select {chosen} from marts.fct_ledger_entries where {where} {page.sql(LEDGER_COLUMNS, 'entry_id')}",
        values,
    )


def entry(snapshot: Snapshot, entry_id: str) -> Row | None:
    """Return an entry with all columns."""
    return next(
        iter(snapshot.rows("select * from marts.fct_ledger_entries where entry_id = ?", [entry_id])), None
    )


def related_entries(snapshot: Snapshot, row: Mapping[str, Any]) -> list[Row]:
    """Return the entries that are related to an entry, or that have the same request.

    `connection` names the relation.
    """
    chosen = ", ".join(LEDGER_COLUMNS)
    return snapshot.rows(
        f"""select case when entry_id = $2 then 'this entry relates to it' when related_entry_id = $1
            then 'relates to this entry'
            else 'same request' end as connection, {chosen}
        from marts.fct_ledger_entries
        where entry_id <> $1 and (entry_id = $2 or related_entry_id = $1 or request_id = $3)
        order by occurred_at, entry_id limit 100""",
        [row["entry_id"], row["related_entry_id"], row["request_id"]],
    )


def errors_of_request(snapshot: Snapshot, request_id: str | None) -> list[Row]:
    """Return the errors of a request."""
    return snapshot.rows(
        "select * from marts.fct_usage_errors where request_id = ? order by occurred_at, event_id limit 100",
        [request_id],
    )


def cases_of_entry(snapshot: Snapshot, entry_id: str) -> list[Row]:
    """Return the reconciliation cases that contain a deposit."""
    return snapshot.rows(
        "select * from marts.fct_reconciliation where list_contains(deposit_entry_ids, ?)", [entry_id]
    )


def elsewhere(snapshot: Snapshot, any_id: str) -> Row:
    """Return where an id occurs that no ledger entry has: as a user, in payments, and in errors."""
    return snapshot.rows(
        """select
            (select any_value(user_id) from marts.dim_users where user_id = $1) as user_id,
            (select count(*) from marts.fct_usage_errors where event_id = $1 or request_id = $1) as errors,
            coalesce((
                select list(case_id order by case_id)[:20] from marts.fct_reconciliation
                where $1 in (case_id, payment_intent_id, charge_id, checkout_session_id, payment_id)
            ), []) as case_ids""",
        [any_id],
    )[0]
