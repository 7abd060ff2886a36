"""The meaning of every check before publication, in the order in which checks are reported.

All but `reject_ratio` are rows of the check models (`dbt_project/models/checks/`).
"""

from typing import Final

from ingestion.sources.ledger import METADATA_KEYS
from paywall_warehouse.settings import Settings

READ_KEYS: Final = [
    key for name in ("payment_intent_id", "charge_id", "checkout_session_id") for key in METADATA_KEYS[name]
]

PRIORITY_1_COST_BREAKS: Final = "priority_1_cost_breaks"

INVARIANTS: Final = {
    "records_are_accounted_for": (
        "Accepted records that state an entry = entries + versions that a later version superseded."
    ),
    "entry_ids_are_unique": "No entry id occurs twice in fct_ledger_entries.",
    "daily_revenue_equals_entries": (
        "fct_daily_revenue adds up to fct_ledger_entries, per currency and measure."
    ),
    "user_days_equal_entries": "fct_user_days adds up to fct_ledger_entries, per currency and measure.",
    "user_months_equal_entries": "fct_user_months adds up to fct_ledger_entries, per currency and measure.",
    "wallet_days_balance": (
        "closing = opening + movements on every wallet day, and opening = the previous closing."
    ),
    "wallets_equal_entries": (
        "The wallets' current balances add up to the balance effects of all entries, per currency."
    ),
    "rollforward_equals_wallets": (
        "On every day the movements and the closing of the liability roll-forward are those of all wallets."
    ),
    "rollforward_has_no_gaps": "The roll-forward has a row for every day and currency.",
    "all_time_kpis_equal_entries": (
        "The KPIs of all_time equal the sums of the entries through today, per currency and measure."
    ),
    "credit_equals_wallet_days": (
        "In every row of fct_credit_days, paid + promo − overdraft is the balance of fct_wallet_days before"
        " and after the day, and the usage is that of fct_wallet_days. 1 means that some rows differ."
    ),
    "credit_is_carried_from_day_to_day": (
        "The days of each wallet add up to the paid and promo credit, and to the credit used, of its last"
        " day."
    ),
    "expiries_find_credit": (
        "Expiries take credit that is there. What they take beyond it becomes overdraft. Check the amounts of"
        " the adjustments that expire credit, and land them again with a later updated_at."
    ),
    "deferred_account_equals_deferred_revenue": (
        "The balance of the account deferred_revenue by relates_to_date is closing of fct_deferred_revenue on"
        " every day, per currency."
    ),
    "deferred_revenue_equal_the_wallets": (
        "The last day of fct_deferred_revenue closes at the paid credit of all wallets, per currency."
    ),
    "promo_credit_equal_the_wallets": (
        "The last day of fct_deferred_revenue states the promo credit of all wallets, per currency."
    ),
    "overdrafts_equal_the_wallets": (
        "The last day of fct_deferred_revenue states the overdrafts of all wallets, per currency."
    ),
    "growth_adds_up": (
        "revenue − previous_revenue = new + resurrected + expansion − contraction − churned in every row of"
        " fct_growth."
    ),
    "growth_periods_follow_each_other": (
        "In fct_growth, previous_revenue is the revenue of the period before, and 0 in the first period."
    ),
    "user_movements_equal_growth": (
        "fct_user_movements adds up to fct_growth, per period, currency and movement."
    ),
    "growth_equals_user_days": (
        "The revenue of all periods adds up to that of fct_user_days through today, per currency and kind of"
        " period."
    ),
    "cached_tokens_are_part_of_prompt_tokens": (
        "No entry has more cached_tokens than prompt_tokens. The cost of an entry that has more is not"
        " estimated. Include cached tokens in prompt_tokens (Anthropic states them separately: prompt_tokens"
        " = input_tokens + cache_creation_input_tokens + cache_read_input_tokens), or state provider_cost."
        " Then land the entries again with a later updated_at."
    ),
    "requests_are_logged_by_one_source": (
        "No charges of two mapped sources have the same request_id. Such a call was logged twice, and its"
        " revenue and cost count twice. Land the logs of one of the systems only, or leave these calls out of"
        " one of them."
    ),
    "reject_ratio": (
        "At most MAX_REJECT_RATIO of the records that are not published yet were rejected. Rejects of files"
        " that were corrected or removed do not count."
    ),
    "stripe_rows_add_up": "net = gross − fee on every row of Stripe's itemised reports.",
    "stripe_rows_are_confirmed": (
        "If downloads of a balance transaction differ in its money, another download confirms the last one."
    ),
    "stripe_reports_agree": (
        "A balance transaction has the same money in the activity and in the payout reconciliation."
    ),
    "stripe_payouts_have_one_sign": (
        "All payouts of an account, currency and file have the same sign: below zero, as Stripe states them,"
        " or above zero, as amounts paid out. If rows have both signs, it is unknown which of them take money"
        " from the bank. Land the payout reconciliation of these payouts, or the payouts as Stripe writes"
        " them (STRIPE_API_KEY pulls both)."
    ),
    "stripe_balances_close": (
        "opening + activity − payouts = closing in every balance summary, and its opening is the closing of"
        " the previous one."
    ),
    "stripe_activity_equals_summary": "The itemised activity adds up to the balance summary of its span.",
    "stripe_payouts_equal_summary": "The itemised payouts add up to the balance summary of their span.",
    "deposits_and_payments_are_in_one_case": (
        "Every settled paid deposit and every payment is in exactly one reconciliation case."
    ),
    "stripe_presentment_is_the_settlement": (
        "Without a currency conversion, the amounts that the customer paid and got back are those of the"
        " account's balance."
    ),
    "stripe_returns_have_a_payment": (
        "Every refund and dispute in Stripe's reports belongs to a landed payment."
    ),
    "deposit_keys_are_read": (
        "No deposit without a payment key has a Stripe id under a metadata key that is not read. Land a later"
        " version of the deposit with the id at the top level of metadata under one of"
        f" {', '.join(READ_KEYS)}."
    ),
    "priority_1_breaks": (
        "There are at most MAX_PRIORITY_1_BREAKS open breaks of priority 1, such as a payment without a"
        " credit or a credit without a payment."
    ),
    "bills_are_in_cases": (
        "Billed costs in the cost reconciliation add up to the compared bill lines of covered days, per"
        " currency."
    ),
    "charges_are_in_one_cost_case": (
        "Every settled, failed or reversed charge is in exactly one case of the cost reconciliation. Without"
        " bills there are no cases."
    ),
    "cost_differences_split": "volume_difference + rate_difference = difference in every case.",
    "bill_statements_agree": (
        "Overlapping downloads of a bill state the same total, within the tolerance. One of them counts: see"
        " docs/costs.md for which. The other one may be of a day that was not over yet."
    ),
    "billed_models_are_known": (
        "Every model name on a bill means a model of the ledger. Lines of other names count under the model"
        " unknown. State what the name means in bills/models.csv."
    ),
    "journal_balances": "Debits = credits in every journal, per journal_date and currency.",
    "journal_equals_restated": (
        "The lines of the journal that relate to a day, booked ones and adjustments, add up to the restated"
        " journal of that day, per account and currency."
    ),
    "closed_months_are_as_booked": (
        "The journal shows exactly the booked lines of every closed month, and no others."
    ),
    "closed_months_keep_their_digest": (
        "The journal's lines of every closed month have the digest that they were booked with. Rebuild with"
        " `paywall-warehouse run --full-refresh`. If this fails again, restore lake/periods/ from a backup."
    ),
    PRIORITY_1_COST_BREAKS: (
        "There are no open cost breaks of priority 1: usage that was billed and not metered, or metered and"
        " not billed."
    ),
}

# Their failures are only reported. The check models (`severity`) decide this, too.
WARNING_ONLY: Final = {
    "cached_tokens_are_part_of_prompt_tokens",
    "requests_are_logged_by_one_source",
    "stripe_returns_have_a_payment",
    "deposit_keys_are_read",
    "expiries_find_credit",
    "bill_statements_agree",
    "billed_models_are_known",
    PRIORITY_1_COST_BREAKS,
}
PRIORITY_1_BREAKS: Final = "priority_1_breaks"


def warning_only(settings: Settings) -> set[str]:
    """Return the names of the checks whose failure does not prevent publication under these settings."""
    return WARNING_ONLY if settings.priority_1_breaks == "fail" else WARNING_ONLY | {PRIORITY_1_BREAKS}
