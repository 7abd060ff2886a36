"""The lake's tables: columns and types of their Parquet files, which the warehouse shows under the same names
in schema `raw`.

The files also have the columns with which a load validates its records, such as `reject_code`. They are not
part of the tables.
"""

from collections.abc import Collection, Container
from typing import Final

MONEY: Final = "decimal(38, 12)"

ORIGIN: Final = {"batch_seq": "bigint", "file_no": "bigint", "line": "bigint"}

LEDGER_ENTRIES: Final = {
    **ORIGIN,
    "entry_id": "varchar",
    "occurred_at": "timestamptz",
    "updated_at": "timestamptz",
    "entry_type": "varchar",
    "status": "varchar",
    "user_id": "varchar",
    "paywall_id": "varchar",
    "amount": MONEY,
    "currency": "varchar",
    "request_id": "varchar",
    "model": "varchar",
    "prompt_tokens": "bigint",
    "completion_tokens": "bigint",
    "total_tokens": "bigint",
    "cached_tokens": "bigint",
    "reasoning_tokens": "bigint",
    "provider_cost": MONEY,
    "platform_fees": MONEY,
    "related_entry_id": "varchar",
    "metadata": "varchar",
    "payment_intent_id": "varchar",
    "charge_id": "varchar",
    "checkout_session_id": "varchar",
    "payment_id": "varchar",
    "rail": "varchar",
    "funding": "varchar",
    "reason": "varchar",
    "source": "varchar",
    "billing": "varchar",
    "provider_cost_currency": "varchar",
}

WEBHOOK_EVENTS: Final = {
    **ORIGIN,
    "event_id": "varchar",
    "event_type": "varchar",
    "paywall_id": "varchar",
    "occurred_at": "timestamptz",
    "attempts": "bigint",
    "wallet_user_id": "varchar",
    "external_user_id": "varchar",
    "activity_id": "varchar",
    "amount": MONEY,
    "currency": "varchar",
    "model": "varchar",
    "prompt_tokens": "bigint",
    "completion_tokens": "bigint",
    "request_id": "varchar",
    "error_code": "varchar",
    "reason": "varchar",
    "source": "varchar",
    "checkout_session_id": "varchar",
    "payment_intent_id": "varchar",
    "charge_id": "varchar",
    "payment_id": "varchar",
    "rail": "varchar",
    "funding": "varchar",
    "metadata_reason": "varchar",
    "requested_amount": MONEY,
    "available_balance": MONEY,
    "metadata": "varchar",
    "body": "varchar",
}

PROVIDER_RATES: Final = {
    **ORIGIN,
    "model": "varchar",
    "effective_from": "date",
    "effective_to": "date",
    "prompt_per_million": MONEY,
    "completion_per_million": MONEY,
    "cached_prompt_per_million": MONEY,
    "per_request": MONEY,
    "currency": "varchar",
}

MARKUPS: Final = {
    **ORIGIN,
    "source": "varchar",
    "model": "varchar",
    "effective_from": "date",
    "effective_to": "date",
    "multiplier": MONEY,
    "per_request": MONEY,
}

# The account that a row of Stripe's belongs to. No report has a column for it: it is a fact of the file. Test
# rows must never be counted with live ones.
ACCOUNT: Final = {"account_id": "varchar", "livemode": "boolean"}
GROSS_FEE_NET: Final = {"gross": MONEY, "fee": MONEY, "net": MONEY}

STRIPE_BALANCE_TRANSACTIONS: Final = {
    **ORIGIN,
    **ACCOUNT,
    "balance_transaction_id": "varchar",
    "created_at": "timestamptz",
    "available_at": "timestamptz",
    "currency": "varchar",
    **GROSS_FEE_NET,
    "reporting_category": "varchar",
    "source_id": "varchar",
    "charge_id": "varchar",
    "payment_intent_id": "varchar",
    "customer_facing_amount": MONEY,
    "customer_facing_currency": "varchar",
    "automatic_payout_id": "varchar",
    "user_id": "varchar",
}

STRIPE_PAYOUTS: Final = {
    **ORIGIN,
    **ACCOUNT,
    "payout_id": "varchar",
    "payout_status": "varchar",
    "arrival_date": "date",
    "effective_at": "timestamptz",
    "balance_transaction_id": "varchar",
    "currency": "varchar",
    **GROSS_FEE_NET,
    "reporting_category": "varchar",
}

STRIPE_PAYOUT_ITEMS: Final = {
    **ORIGIN,
    **ACCOUNT,
    "automatic_payout_id": "varchar",
    "automatic_payout_effective_at": "timestamptz",
    "balance_transaction_id": "varchar",
    "created_at": "timestamptz",
    "available_at": "timestamptz",
    "currency": "varchar",
    **GROSS_FEE_NET,
    "reporting_category": "varchar",
    "source_id": "varchar",
    "charge_id": "varchar",
    "payment_intent_id": "varchar",
}

STRIPE_BALANCE_SUMMARIES: Final = {
    **ORIGIN,
    **ACCOUNT,
    "category": "varchar",
    "currency": "varchar",
    "net_amount": MONEY,
}

STRIPE_CHECKOUT_SESSIONS: Final = {
    **ORIGIN,
    **ACCOUNT,
    "checkout_session_id": "varchar",
    "payment_intent_id": "varchar",
    "user_id": "varchar",
    "session_status": "varchar",
    "payment_status": "varchar",
    "created_at": "timestamptz",
}

STRIPE_UNIFIED_PAYMENTS: Final = {
    **ORIGIN,
    **ACCOUNT,
    "payment_id": "varchar",
    "created_at": "timestamptz",
    "currency": "varchar",
    "amount": MONEY,
    "refunded_amount": MONEY,
    "payment_intent_id": "varchar",
    "payment_status": "varchar",
    "captured": "varchar",
    "converted_currency": "varchar",
    "converted_amount": MONEY,
    "fee": MONEY,
    "taxes_on_fee": MONEY,
    "refunded_at": "timestamptz",
    "disputed_amount": MONEY,
    "dispute_status": "varchar",
    "disputed_at": "timestamptz",
    "user_id": "varchar",
}

RAIL_PAYMENTS: Final = {
    **ORIGIN,
    "rail": "varchar",
    "payment_id": "varchar",
    "paid_at": "timestamptz",
    "amount": MONEY,
    "currency": "varchar",
    "status": "varchar",
    "fee": MONEY,
    "refunded_amount": MONEY,
    "user_id": "varchar",
}

BILL_LINES: Final = {
    **ORIGIN,
    # The number of the line within its record, such as a result within an API's bucket. CSV rows have 1.
    "position": "bigint",
    # The number of the API's bucket in its file; 0 for formats without bucket objects.
    "bucket_no": "bigint",
    "format": "varchar",
    "account": "varchar",
    "provider_as_billed": "varchar",
    "period_start": "timestamptz",
    "period_end": "timestamptz",
    "billing_period_start": "date",
    "is_correction": "boolean",
    "charge_category": "varchar",
    "model_as_billed": "varchar",
    "token_kind": "varchar",
    "quantity": MONEY,
    "unit": "varchar",
    # NULL for a day on which nothing was billed.
    "billed_amount": MONEY,
    "currency": "varchar",
    "project": "varchar",
    "key": "varchar",
    "invoice_id": "varchar",
    "is_rounded": "boolean",
    "covers_buckets": "boolean",
}

BILL_INVOICES: Final = {
    **ORIGIN,
    "account": "varchar",
    "provider_as_billed": "varchar",
    "invoice_id": "varchar",
    "invoice_detail_id": "varchar",
    "period_start": "date",
    "period_end": "date",
    "currency": "varchar",
    "amount": MONEY,
    "status": "varchar",
}

BILL_SCOPES: Final = {
    **ORIGIN,
    "provider": "varchar",
    "project": "varchar",
    "key": "varchar",
    "scope": "varchar",
}

BILL_MODELS: Final = {
    **ORIGIN,
    "provider": "varchar",
    "model_as_billed": "varchar",
    "model_id": "varchar",
}

BILL_PROVIDERS: Final = {**ORIGIN, "name": "varchar", "provider": "varchar"}

REJECTED_RECORDS: Final = {
    "batch_seq": "bigint",
    "source": "varchar",
    "path": "varchar",
    "line": "bigint",
    "reason_code": "varchar",
    "reason": "varchar",
    "raw": "varchar",
    "first_seen_at": "timestamptz",
}

# What a run shows beside the lake, on both engines: the files of the batches, the settings of the run, and
# so on.
LOADED_FILES: Final = {
    "batch_seq": "bigint",
    "file_no": "bigint",
    "source": "varchar",
    "path": "varchar",
    "sha256": "varchar",
    "bytes": "bigint",
    "records": "bigint",
    "accepted": "bigint",
    "rejected": "bigint",
    "entry_records": "bigint",
    "loaded_at": "timestamptz",
    "status": "varchar",
    "standing_path": "varchar",
    "report_type": "varchar",
    "account_id": "varchar",
    "livemode": "boolean",
    "covered_from": "timestamptz",
    "covered_until": "timestamptz",
    "covered_currency": "varchar",
    "filtered": "bigint",
    "rounded_amounts": "bigint",
    "cost_stated": MONEY,
}

UNMAPPED_COLUMNS: Final = {
    "source": "varchar",
    "path": "varchar",
    "column_name": "varchar",
    "first_seen_at": "timestamptz",
}

SETTINGS: Final = {
    "as_of": "timestamptz",
    "today": "date",
    "reporting_timezone": "varchar",
    "default_currency": "varchar",
    "low_balance": MONEY,
    "manual_charge_settles_on": "varchar",
    "promo_reasons": "varchar[]",
    "expiry_reasons": "varchar[]",
    "promo_first": "boolean",
    "recon_grace_days": "integer",
    "cost_tolerance_abs": MONEY,
    "cost_tolerance_rel": MONEY,
    "cost_grace_days": "integer",
    "focus_provider_name": "varchar",
}

FAILED_PULLS: Final = {"source": "varchar", "failed_at": "timestamptz", "reason": "varchar"}

# A row of the history of breaks, in the published file and in the file that keeps it between builds.
BREAKS: Final = {
    "case_id": "varchar",
    "break_type": "varchar",
    "priority": "integer",
    "opened_at": "timestamptz",
    "closed_at": "timestamptz",
}

# The acts that close and reopen months (`ingestion.lake.period_acts`).
PERIOD_ACTS: Final = {
    "act_no": "bigint",
    "action": "varchar",
    "month_start": "date",
    "acted_at": "timestamptz",
    "acted_by": "varchar",
    "note": "varchar",
    "digest": "varchar",
    "lines": "bigint",
    # Whether this is a close that no later act has taken back.
    "is_in_force": "boolean",
}

# The booked lines of the months that are closed now.
BOOKED_LINES: Final = {
    "act_no": "bigint",
    "line_no": "bigint",
    "journal_date": "date",
    "journal": "varchar",
    "account": "varchar",
    "debit": MONEY,
    "credit": MONEY,
    "currency": "varchar",
    "relates_to_date": "date",
}

TOUCHED_KEYS: Final = {
    "entry_date": "date",
    "user_id": "varchar",
    "paywall_id": "varchar",
    "currency": "varchar",
}

LAKE_TABLES: Final = {
    "ledger_entries": LEDGER_ENTRIES,
    "webhook_events": WEBHOOK_EVENTS,
    "provider_rates": PROVIDER_RATES,
    "markups": MARKUPS,
    "stripe_balance_transactions": STRIPE_BALANCE_TRANSACTIONS,
    "stripe_payouts": STRIPE_PAYOUTS,
    "stripe_payout_items": STRIPE_PAYOUT_ITEMS,
    "stripe_balance_summaries": STRIPE_BALANCE_SUMMARIES,
    "stripe_checkout_sessions": STRIPE_CHECKOUT_SESSIONS,
    "stripe_unified_payments": STRIPE_UNIFIED_PAYMENTS,
    "rail_payments": RAIL_PAYMENTS,
    "bill_lines": BILL_LINES,
    "bill_invoices": BILL_INVOICES,
    "bill_scopes": BILL_SCOPES,
    "bill_models": BILL_MODELS,
    "bill_providers": BILL_PROVIDERS,
    "rejects": REJECTED_RECORDS,
}

# The version of these tables that a load writes, which the manifest of a batch states. Raise it when a table
# gets a column, and list the column in `ADDED`: batches of earlier versions lack it.
SCHEMA_VERSION: Final = 2
ADDED: Final = {"ledger_entries": {"source": 1, "billing": 1, "provider_cost_currency": 2}}


def missing_columns(table: str, version: int) -> dict[str, str]:
    """Return the columns of a table that a batch of some version of the lake's schema lacks."""
    added = ADDED.get(table, {})
    return {name: kind for name, kind in LAKE_TABLES[table].items() if added.get(name, 0) > version}


def missing_as_null(table: str, version: int) -> str:
    """Return SQL that adds the columns of `missing_columns` to a select list, as NULL; may be empty."""
    missing = missing_columns(table, version)
    return "".join(f", cast(null as {kind}) as {name}" for name, kind in missing.items())


# `raw.markups` has the rows of the last file only, as the price book resolved them.
SHOWN_NAMES: Final = {
    "rejects": "rejected_records",
    "markups": "landed_markups",
    "bill_scopes": "landed_bill_scopes",
    "bill_models": "landed_bill_models",
    "bill_providers": "landed_bill_providers",
}


def shown_name(table: str) -> str:
    """Return the name that a table of the lake has in schema `raw`."""
    return SHOWN_NAMES.get(table, table)


def cost_column(table: str) -> str | None:
    """Return the column with the stated costs of a table; None if it has none."""
    return next((name for name in ("provider_cost", "billed_amount") if name in LAKE_TABLES[table]), None)


def stated_costs(table: str, columns: Collection[str], where: str) -> str:
    """Return SQL for two values: the sum of the costs that some rows of a table state, and the number of
    currencies of these costs.

    A currency that is not stated counts as one of its own, because it is that of a setting. `columns` are
    those of the rows, and `where` selects the rows.
    """
    cost = cost_column(table)
    if cost not in columns:
        return "null, 0"
    currencies = [name for name in ("provider_cost_currency", "currency") if name in columns]
    currency = f"coalesce({', '.join(currencies)}, '')"
    rows = f"filter (where {cost} is not null and {where})"
    return f"sum({cost}) {rows}, count(distinct {currency}) {rows}"


def model_column(table: str) -> str:
    """Return the column with the model texts of a table that has some."""
    return next(name for name in ("model", "model_as_billed") if name in LAKE_TABLES[table])


def defined(columns: dict[str, str]) -> str:
    """Return SQL for the column definitions of a table."""
    return ", ".join(f"{name} {kind}" for name, kind in columns.items())


def typed(columns: dict[str, str], missing: Container[str] = ()) -> str:
    """Return SQL for a select list that casts each column to its type; a missing one is NULL."""
    return ", ".join(
        f"cast({'null' if name in missing else name} as {kind}) as {name}" for name, kind in columns.items()
    )
