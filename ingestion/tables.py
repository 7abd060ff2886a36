"""The lake's tables: columns and types of their Parquet files, which the warehouse shows under the same names in schema `raw`."""

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

LAKE_TABLES: Final = {
    "ledger_entries": LEDGER_ENTRIES,
    "webhook_events": WEBHOOK_EVENTS,
    "provider_rates": PROVIDER_RATES,
    "rejects": REJECTED_RECORDS,
}


def typed(columns: dict[str, str]) -> str:
    """SQL: a select list that gives each column its type."""
    return ", ".join(f"cast({name} as {kind}) as {name}" for name, kind in columns.items())
