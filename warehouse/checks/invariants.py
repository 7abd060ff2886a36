"""What every check before publication means, in the order in which checks are reported.

All but `reject_ratio` are rows of the check models (`dbt_project/models/checks/`).
"""

from typing import Final

from ingestion.sources.ledger import METADATA_KEYS

READ_KEYS: Final = [
    key for name in ("payment_intent_id", "charge_id", "checkout_session_id") for key in METADATA_KEYS[name]
]

INVARIANTS: Final = {
    "records_are_accounted_for": (
        "Accepted records that state an entry = entries + versions that a later one superseded."
    ),
    "entry_ids_are_unique": "No entry id stands twice in fct_ledger_entries.",
    "daily_revenue_equals_entries": (
        "fct_daily_revenue adds up to fct_ledger_entries, per currency and measure."
    ),
    "user_days_equal_entries": "fct_user_days adds up to fct_ledger_entries, per currency and measure.",
    "user_months_equal_entries": "fct_user_months adds up to fct_ledger_entries, per currency and measure.",
    "wallet_days_balance": (
        "closing = opening + movements on every wallet day, and opening = the closing before."
    ),
    "wallets_equal_entries": (
        "The wallets' current balances add up to the balance effects of all entries, per currency."
    ),
    "rollforward_equals_wallets": (
        "On every day the liability roll-forward shows the movements and the closing of all wallets."
    ),
    "rollforward_has_no_gaps": "The roll-forward has a row for every day and currency.",
    "all_time_kpis_equal_entries": (
        "The KPIs of all_time add up to the entries through today, per currency and measure."
    ),
    "cached_tokens_are_part_of_prompt_tokens": (
        "No entry has more cached_tokens than prompt_tokens. Where one has, its cost is not estimated. Count"
        " cached tokens in prompt_tokens too (Anthropic states them apart: prompt_tokens = input_tokens +"
        " cache_creation_input_tokens + cache_read_input_tokens), or state provider_cost, and land the"
        " entries again with a later updated_at."
    ),
    "reject_ratio": (
        "Of the records that are not published yet at most MAX_REJECT_RATIO were rejected, but for files put"
        " right or removed."
    ),
    "stripe_rows_add_up": "net = gross − fee on every row of Stripe's itemised reports.",
    "stripe_rows_are_confirmed": (
        "Where downloads of a balance transaction differ in its money, another one confirms the last."
    ),
    "stripe_reports_agree": (
        "A balance transaction has the same money in the activity and in the payout reconciliation."
    ),
    "stripe_payouts_have_one_sign": (
        "Every payout of an account, currency and file is signed in one way: below zero as Stripe does, or"
        " above zero as what was paid out. Here rows are signed in both, and which of them take money from"
        " the bank cannot be told. Land the payout reconciliation of these payouts, or the payouts as Stripe"
        " writes them (STRIPE_API_KEY pulls both)."
    ),
    "stripe_balances_close": (
        "opening + activity − payouts = closing in every balance summary, which opens as the one before it"
        " closed."
    ),
    "stripe_activity_equals_summary": "The itemised activity adds up to the balance summary of its span.",
    "stripe_payouts_equal_summary": "The itemised payouts add up to the balance summary of their span.",
    "deposits_and_payments_are_in_one_case": (
        "Every settled paid deposit and every payment is in exactly one reconciliation case."
    ),
    "stripe_presentment_is_the_settlement": (
        "Without a conversion the customer paid, and got back, what the account's balance shows."
    ),
    "stripe_returns_have_a_payment": (
        "Every refund and dispute of Stripe's belongs to a payment that was landed."
    ),
    "deposit_keys_are_read": (
        "No deposit without a payment key has an id of Stripe's under a metadata key that nothing reads."
        " State a later version of the deposit with the id at the top level of metadata under one of"
        f" {', '.join(READ_KEYS)}."
    ),
    "priority_1_breaks": (
        "At most MAX_PRIORITY_1_BREAKS open breaks of priority 1: money without credit, credit without money."
    ),
}
