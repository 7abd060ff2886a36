with

summaries as (select * from {{ ref('stg_stripe__balance_summaries') }}),

transactions as (select * from {{ ref('int_stripe__transactions') }}),

mode as (select * from {{ ref('stg_stripe__mode') }}),

files as (

    select loaded_files.*
    from {{ source('raw', 'loaded_files') }} as loaded_files
    inner join mode on loaded_files.livemode = mode.livemode
    where loaded_files.status = 'loaded'

),

payout_rows as (

    select *
    from {{ ref('stg_stripe__payouts') }}
    qualify
        row_number() over (
            partition by payout_id, reporting_category
            order by batch_seq desc, file_no desc, line desc
        ) = 1

),

-- Of several summaries of the same span the last landed one holds; one that does not tell its span stands for itself.
pivoted as (

    select
        account_id,
        currency,
        covered_from,
        covered_until,
        batch_seq,
        file_no,
        path,
        min(line) as line,
        max(line) as last_line,
        coalesce(sum(net_amount) filter (where category = 'starting_balance'), 0) as opening_balance,
        coalesce(sum(net_amount) filter (where category = 'activity'), 0) as activity,
        coalesce(sum(net_amount) filter (where category = 'payouts'), 0) as payouts,
        coalesce(sum(net_amount) filter (where category = 'ending_balance'), 0) as closing_balance
    from summaries
    group by account_id, currency, covered_from, covered_until, batch_seq, file_no, path
    qualify
        row_number() over (
            partition by account_id, currency, covered_from, covered_until, case when covered_until is null then path end
            order by batch_seq desc, file_no desc
        ) = 1

),

balances as (

    select
        account_id,
        currency,
        covered_from,
        covered_until,
        path,
        line,
        last_line,
        opening_balance,
        activity,
        -- Stripe shows payouts with the sign of what they do to the balance. Files that show them as what was paid out close the other way.
        case when opening_balance + activity - payouts = closing_balance then payouts else -payouts end as payouts,
        closing_balance,
        count(*) over (partition by account_id, currency) = 1 and covered_until is null as is_all_there_is
    from pivoted

),

reports as (

    select
        *,
        case when report_type like 'balance_change_from_activity.%' then 'activity' when report_type like 'payouts.%' then 'payouts' end as report
    from files

),

coverage as (

    select
        account_id,
        report,
        min(covered_from) as covered_from,
        max(covered_until) as covered_until,
        bool_or(covered_until is null) as is_unknown
    from reports
    group by account_id, report

),

activity_sums as (

    select
        balances.account_id,
        balances.currency,
        balances.path,
        sum(transactions.net) as net
    from balances
    inner join transactions
        on balances.account_id = transactions.account_id and balances.currency = transactions.currency
    where
        transactions.movement <> 'payout'
        and (balances.is_all_there_is or transactions.created_at >= balances.covered_from and transactions.created_at < balances.covered_until)
    group by balances.account_id, balances.currency, balances.path

),

payout_sums as (

    select
        balances.account_id,
        balances.currency,
        balances.path,
        -sum(payout_rows.net) as paid_out
    from balances
    inner join payout_rows
        on balances.account_id = payout_rows.account_id and balances.currency = payout_rows.currency
    where balances.is_all_there_is or payout_rows.effective_at >= balances.covered_from and payout_rows.effective_at < balances.covered_until
    group by balances.account_id, balances.currency, balances.path

),

-- Where the itemised reports do not reach over the span of the summary there is nothing to compare.
itemized as (

    select
        balances.*,
        case
            when
                balances.is_all_there_is
                or activity_coverage.is_unknown and balances.covered_until is not null
                or activity_coverage.covered_from <= balances.covered_from and activity_coverage.covered_until >= balances.covered_until
                then coalesce(activity_sums.net, 0)
        end as itemized_activity,
        case
            when
                balances.is_all_there_is
                or payouts_coverage.is_unknown and balances.covered_until is not null
                or payouts_coverage.covered_from <= balances.covered_from and payouts_coverage.covered_until >= balances.covered_until
                then coalesce(payout_sums.paid_out, 0)
        end as itemized_payouts,
        activity_coverage.account_id is not null as has_activity,
        payouts_coverage.account_id is not null as has_payouts,
        lag(balances.closing_balance) over (partition by balances.account_id, balances.currency order by balances.covered_from) as closing_before,
        lag(balances.covered_until) over (partition by balances.account_id, balances.currency order by balances.covered_from) as covered_before
    from balances
    left join coverage as activity_coverage
        on balances.account_id = activity_coverage.account_id and activity_coverage.report = 'activity'
    left join coverage as payouts_coverage on balances.account_id = payouts_coverage.account_id and payouts_coverage.report = 'payouts'
    left join activity_sums
        on balances.account_id = activity_sums.account_id and balances.currency = activity_sums.currency and balances.path = activity_sums.path
    left join payout_sums
        on balances.account_id = payout_sums.account_id and balances.currency = payout_sums.currency and balances.path = payout_sums.path

)

select
    ---------- whose, and of which time
    account_id,
    currency,
    covered_from,
    covered_until,
    path,
    cast(line as bigint) as line,
    cast(last_line as bigint) as last_line,

    ---------- as the summary states it
    cast(opening_balance as decimal(38, 12)) as opening_balance,
    cast(activity as decimal(38, 12)) as activity,
    cast(payouts as decimal(38, 12)) as payouts,
    cast(closing_balance as decimal(38, 12)) as closing_balance,

    ---------- as the itemised reports add up
    cast(case when has_activity then itemized_activity end as decimal(38, 12)) as itemized_activity,
    cast(case when has_payouts then itemized_payouts end as decimal(38, 12)) as itemized_payouts,

    ---------- as the summary before it closed, where the one follows on the other
    cast(case when covered_before = covered_from then closing_before end as decimal(38, 12)) as closing_before
from itemized
