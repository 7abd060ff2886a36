"""What must hold of payments before anything is published: Stripe's reports agree with themselves and with
one another, and every deposit and every payment is in one reconciliation case.

A fault of a row is told with the file and the line that it stands in: somebody has to look there.
"""

from collections.abc import Iterator
from dataclasses import replace
from decimal import Decimal
from typing import Final

from paywall_warehouse.settings import Settings
from warehouse.checks import deposit_keys
from warehouse.checks.invariant import ERROR, WARN, Invariant, Queries, invariant, none_of, number

PAYMENT_INVARIANTS: Final = {
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
    deposit_keys.NAME: deposit_keys.WORDS,
    "priority_1_breaks": (
        "At most MAX_PRIORITY_1_BREAKS open breaks of priority 1: money without credit, credit without money."
    ),
}
ROWS_TOLD: Final = 20

# Rows of the payout reconciliation as they were last stated: a transaction may be in a payout that came back
# and in the next.
PAYOUT_ITEMS: Final = """(
    select * from staging.stg_stripe__payout_items
    qualify row_number() over (partition by payout_id, balance_transaction_id
        order by batch_seq desc, file_no desc, line desc) = 1
)"""

ROWS_THAT_DO_NOT_ADD_UP: Final = f"""
select files.path, rows.line, rows.id, rows.gross - rows.fee as expected, rows.net as actual
from (
    select batch_seq, file_no, line, balance_transaction_id as id, gross, fee, net
        from intermediate.int_stripe__transactions
    union all
    select * from (
        select batch_seq, file_no, line, coalesce(balance_transaction_id, payout_id) as id, gross, fee, net
            from staging.stg_stripe__payouts
        qualify row_number() over (partition by payout_id, reporting_category
            order by batch_seq desc, file_no desc, line desc) = 1
    )
    union all
    select batch_seq, file_no, line, balance_transaction_id as id, gross, fee, net from {PAYOUT_ITEMS}
) as rows
join raw.loaded_files as files using (batch_seq, file_no)
where rows.net <> rows.gross - rows.fee
order by files.path, rows.line
"""

# One download of a row has been altered; which one, a third can tell.
UNCONFIRMED_ROWS: Final = """
select files.path, rows.line, rows.balance_transaction_id as id, 2 as expected,
    rows.agreeing_statements as actual
from intermediate.int_stripe__transactions as rows
join raw.loaded_files as files using (batch_seq, file_no)
where rows.agreeing_statements < rows.statements and rows.agreeing_statements < 2
order by files.path, rows.line
"""

ROWS_THAT_DISAGREE: Final = f"""
select files.path, items.line, items.balance_transaction_id as id, activity.net as expected,
    items.net as actual
from {PAYOUT_ITEMS} as items
join intermediate.int_stripe__transactions as activity using (balance_transaction_id)
join raw.loaded_files as files on items.batch_seq = files.batch_seq and items.file_no = files.file_no
where items.gross <> activity.gross or items.fee <> activity.fee or items.net <> activity.net
    or items.currency <> activity.currency
order by files.path, items.line
"""

# A later landed row of the same payout puts it right.
PAYOUTS_OF_MIXED_SIGNS: Final = """
select rows.path, min(rows.line) as line, rows.account_id || ' ' || rows.currency as id, 0 as expected,
    count(*) as actual
from (
    select * from intermediate.int_stripe__payouts
    qualify row_number() over (partition by payout_id, reporting_category
        order by batch_seq desc, file_no desc, line desc) = 1
) as rows
where rows.has_mixed_signs
group by rows.path, rows.account_id, rows.currency
order by rows.path, rows.account_id, rows.currency
"""

BALANCES: Final = """
select path, line || '-' || last_line as line, account_id || ' ' || currency as id, {expected} as expected,
    {actual} as actual
from marts.fct_stripe_balances
where {expected} is not null and {actual} is not null and ({expected}) <> ({actual})
order by path, line
"""

# A part that was not captured may be in one of the two amounts alone.
PRESENTMENT_THAT_DIFFERS: Final = """
select files.path, rows.line, rows.balance_transaction_id as id, rows.gross as expected,
    rows.presentment_amount as actual
from intermediate.int_stripe__transactions as rows
join raw.loaded_files as files using (batch_seq, file_no)
where rows.reporting_category in ('charge', 'refund') and rows.presentment_currency = rows.currency
    and rows.presentment_amount <> rows.gross
    and rows.payment_key not in (
        select payment_key from intermediate.int_stripe__transactions
            where reporting_category = 'partial_capture_reversal'
    )
order by files.path, rows.line
"""

# Their charge may be older than the first report: a credit for it cannot be judged.
RETURNS_WITHOUT_PAYMENT: Final = """
select files.path, rows.line, rows.balance_transaction_id as id, 1 as expected, 0 as actual
from intermediate.int_stripe__transactions as rows
join raw.loaded_files as files using (batch_seq, file_no)
where rows.movement in ('refund', 'dispute') and rows.payment_key not in (select payment_key
    from intermediate.int_payments)
order by files.path, rows.line
"""

NOT_IN_ONE_CASE: Final = """
select 'deposit ' || entry_id as id, count(cases.case_id) as cases
from intermediate.int_deposits
left join (select case_id, unnest(deposit_entry_ids) as entry_id
    from marts.fct_reconciliation) as cases using (entry_id)
group by entry_id having count(cases.case_id) <> 1
union all
select 'payment ' || payment_key as id, count(cases.case_id) as cases
from intermediate.int_payments left join marts.fct_reconciliation as cases on payment_key = case_id
group by payment_key having count(cases.case_id) <> 1
"""


def check_payments(queries: Queries, settings: Settings) -> list[Invariant]:
    """Every invariant of `PAYMENT_INVARIANTS` over the books of a build, in that order."""
    closes = BALANCES.format(expected="opening_balance + activity - payouts", actual="closing_balance")
    follows = BALANCES.format(expected="closing_before", actual="opening_balance")
    return [
        *_no_rows(queries, "stripe_rows_add_up", ROWS_THAT_DO_NOT_ADD_UP),
        *_no_rows(queries, "stripe_rows_are_confirmed", UNCONFIRMED_ROWS),
        *_no_rows(queries, "stripe_reports_agree", ROWS_THAT_DISAGREE),
        *_no_rows(queries, "stripe_payouts_have_one_sign", PAYOUTS_OF_MIXED_SIGNS),
        *_no_rows(queries, "stripe_balances_close", f"(from ({closes})) union all (from ({follows}))"),
        *_no_rows(
            queries,
            "stripe_activity_equals_summary",
            BALANCES.format(expected="itemized_activity", actual="activity"),
        ),
        *_no_rows(
            queries,
            "stripe_payouts_equal_summary",
            BALANCES.format(expected="itemized_payouts", actual="payouts"),
        ),
        none_of(queries, "deposits_and_payments_are_in_one_case", "all", NOT_IN_ONE_CASE),
        *_no_rows(queries, "stripe_presentment_is_the_settlement", PRESENTMENT_THAT_DIFFERS),
        *(
            replace(one, severity=WARN)
            for one in _no_rows(queries, "stripe_returns_have_a_payment", RETURNS_WITHOUT_PAYMENT)
        ),
        *deposit_keys.check_deposit_keys(queries),
        _priority_1(queries, settings),
    ]


def _no_rows(queries: Queries, name: str, query: str) -> Iterator[Invariant]:
    """One row for every fault, named by file, line and id; one for all where there is none."""
    faults = queries.execute(query).fetchall()
    look = " ".join(query.split())
    for path, line, identity, expected, actual in faults[:ROWS_TOLD]:
        yield invariant(name, f"{path}:{line} {identity}", expected, actual, look)
    if len(faults) > ROWS_TOLD:
        yield invariant(name, "more rows", 0, len(faults) - ROWS_TOLD, look)
    if not faults:
        yield invariant(name, "all", 0, 0, look)


def _priority_1(queries: Queries, settings: Settings) -> Invariant:
    query = "select * from marts.fct_reconciliation where priority = 1 order by first_event_at"
    found = number(queries, f"select count(*) from ({query})")
    return Invariant(
        name="priority_1_breaks",
        scope="all",
        expected=Decimal(settings.max_priority_1_breaks),
        actual=Decimal(found),
        passed=found <= settings.max_priority_1_breaks,
        query=query,
        severity=ERROR if settings.priority_1_breaks == "fail" else WARN,
    )
