with

summaries as (select * from {{ ref('stg_stripe__balance_summaries') }}),

-- The same rows may have been landed by hand and by a pull, under two names of one account. They are
-- therefore counted per account.
landed_activity as (

    select
        *,
        row_number() over (partition by account_id, balance_transaction_id order by batch_seq desc, file_no desc, line desc) as recency
    from {{ ref('stg_stripe__balance_transactions') }}
    where reporting_category not like 'payout%'

),

activity_rows as (select * from landed_activity where recency = 1),

landed_payouts as (

    select
        *,
        row_number() over (partition by account_id, payout_id, reporting_category order by batch_seq desc, file_no desc, line desc) as recency
    from {{ ref('int_stripe__payouts') }}

),

payout_rows as (select * from landed_payouts where recency = 1),

coverage as (select * from {{ ref('int_stripe__coverage') }}),

mode as (select * from {{ ref('stg_stripe__mode') }}),

sources as (

    select
        files.account_id,
        files.source,
        bool_or(files.covered_until is null) as is_unknown
    from {{ source('run', 'loaded_files') }} as files
    inner join mode on files.livemode = mode.livemode
    where files.status = 'loaded' and files.source in ('stripe/balance_change_from_activity.itemized', 'stripe/payouts.itemized')
    group by files.account_id, files.source

),

-- The last landed summary of a span wins. A summary that does not state its span is kept separately.
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

),

ranked as (

    select
        *,
        row_number() over (
            partition by account_id, currency, covered_from, covered_until, case when covered_until is null then path end
            order by batch_seq desc, file_no desc
        ) as recency
    from pivoted

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
        -- Stripe signs payouts by their effect on the balance. In files that state the amounts paid out, the
        -- roll-forward closes with the opposite sign.
        case when opening_balance + activity - payouts = closing_balance then payouts else -payouts end as payouts,
        closing_balance,
        count(*) over (partition by account_id, currency) = 1 and covered_until is null as is_all_there_is
    from ranked
    where recency = 1

),

activity_sums as (

    select
        balances.account_id,
        balances.currency,
        balances.path,
        sum(activity_rows.net) as net
    from balances
    inner join activity_rows
        on balances.account_id = activity_rows.account_id and balances.currency = activity_rows.currency
    where
        balances.is_all_there_is
        or activity_rows.created_at >= balances.covered_from and activity_rows.created_at < balances.covered_until
    group by balances.account_id, balances.currency, balances.path

),

payout_sums as (

    select
        balances.account_id,
        balances.currency,
        balances.path,
        sum(payout_rows.paid_net) as paid_out
    from balances
    inner join payout_rows
        on balances.account_id = payout_rows.account_id and balances.currency = payout_rows.currency
    where balances.is_all_there_is or payout_rows.effective_at >= balances.covered_from and payout_rows.effective_at < balances.covered_until
    group by balances.account_id, balances.currency, balances.path

),

-- The itemised reports that cover the whole span of a summary. A file that does not state its span is assumed
-- to cover it.
compared as (

    select distinct
        balances.account_id,
        balances.path,
        balances.currency,
        sources.source
    from balances
    inner join sources on balances.account_id = sources.account_id
    left join coverage
        on
            sources.account_id = coverage.account_id
            and sources.source = coverage.source
            and (coverage.currency is null or balances.currency = coverage.currency)
            and balances.covered_from >= coverage.covered_from
            and balances.covered_until <= coverage.covered_until
    where balances.is_all_there_is or sources.is_unknown and balances.covered_until is not null or coverage.piece is not null

),

-- If the itemised reports do not cover the span of the summary, there is nothing to compare.
itemized as (

    select
        balances.*,
        case when activity.source is not null then coalesce(activity_sums.net, 0) end as itemized_activity,
        case when paid_out.source is not null then coalesce(payout_sums.paid_out, 0) end as itemized_payouts,
        lag(balances.closing_balance) over (partition by balances.account_id, balances.currency order by balances.covered_from) as closing_before,
        lag(balances.covered_until) over (partition by balances.account_id, balances.currency order by balances.covered_from) as covered_before
    from balances
    left join compared as activity
        on
            balances.account_id = activity.account_id and balances.currency = activity.currency and balances.path = activity.path
            and activity.source = 'stripe/balance_change_from_activity.itemized'
    left join compared as paid_out
        on
            balances.account_id = paid_out.account_id and balances.currency = paid_out.currency and balances.path = paid_out.path
            and paid_out.source = 'stripe/payouts.itemized'
    left join activity_sums
        on balances.account_id = activity_sums.account_id and balances.currency = activity_sums.currency and balances.path = activity_sums.path
    left join payout_sums
        on balances.account_id = payout_sums.account_id and balances.currency = payout_sums.currency and balances.path = payout_sums.path

)

select
    ---------- account and span
    account_id,
    currency,
    covered_from,
    covered_until,
    path,
    cast(line as bigint) as line,
    cast(last_line as bigint) as last_line,

    ---------- as stated by the summary
    cast(opening_balance as decimal(38, 12)) as opening_balance,
    cast(activity as decimal(38, 12)) as activity,
    cast(payouts as decimal(38, 12)) as payouts,
    cast(closing_balance as decimal(38, 12)) as closing_balance,

    ---------- sums of the itemised reports
    cast(itemized_activity as decimal(38, 12)) as itemized_activity,
    cast(itemized_payouts as decimal(38, 12)) as itemized_payouts,

    ---------- closing of the previous summary, if its span ends where this one starts
    cast(case when covered_before = covered_from then closing_before end as decimal(38, 12)) as closing_before
from itemized
