{#-
    The file name that the pull uses: two instants in UTC. Such a file comes from Stripe, so its signs are
    those of Stripe.
-#}
{%- set pulled_name = '%/________T______Z-________T______Z%' -%}
with

-- A returned payout has the opposite sign of a payout. It counts for the sign only if the file has no payout,
-- because some files state it with the sign of a payout.
landed as (

    select
        payouts.*,
        files.path,
        case when payouts.reporting_category = 'payout' then payouts.gross else -payouts.gross end as gross_as_payout,
        max(case when payouts.reporting_category = 'payout' then 1 else 0 end)
            over (partition by payouts.batch_seq, payouts.file_no, payouts.account_id, payouts.currency) as has_payouts
    from {{ ref('stg_stripe__payouts') }} as payouts
    inner join {{ source('run', 'loaded_files') }} as files on payouts.batch_seq = files.batch_seq and payouts.file_no = files.file_no

),

voting as (

    select
        *,
        reporting_category = 'payout' or has_payouts = 0 as has_vote
    from landed

),

items as (select * from {{ ref('int_stripe__payout_items') }}),

-- The activity may name the payout of a row.
paid_out as (

    select
        automatic_payout_id as payout_id,
        sum(net) as net
    from {{ ref('int_stripe__transactions') }}
    where automatic_payout_id is not null and movement <> 'payout'
    group by automatic_payout_id

),

-- The sum of its items shows the sign of a payout row: −1 if the row states the effect on the balance, 1 if
-- it states what the bank gets.
compared as (

    select
        voting.*,
        case
            when not voting.has_vote or voting.gross_as_payout = 0 then null
            when voting.gross_as_payout = -items.items_net or voting.gross_as_payout = -paid_out.net then -1
            when voting.gross_as_payout = items.items_net or voting.gross_as_payout = paid_out.net then 1
        end as sign_of_row
    from voting
    left join items on voting.payout_id = items.payout_id
    left join paid_out on voting.payout_id = paid_out.payout_id

),

-- Each currency is decided separately. Currencies are never added together.
grouped as (

    select
        *,
        min(sign_of_row) over (partition by batch_seq, file_no, account_id, currency) as lowest_sign,
        max(sign_of_row) over (partition by batch_seq, file_no, account_id, currency) as highest_sign,
        min(case when has_vote then gross_as_payout end) over (partition by batch_seq, file_no, account_id, currency) as lowest_gross,
        max(case when has_vote then gross_as_payout end) over (partition by batch_seq, file_no, account_id, currency) as highest_gross,
        max(case when sign_of_row = -1 or sign_of_row is null and has_vote and gross_as_payout < 0 then 1 else 0 end)
            over (partition by batch_seq, file_no) as has_stripes_sign
    from compared

),

-- Stripe states the effect of a payout on the balance, which is below zero. A payout above zero takes money
-- from the bank. Files from elsewhere may state the amount paid out, above zero. In these no payout is below
-- zero. If rows contradict each other, the sign is unknown.
signed as (

    select
        *,
        case
            when lowest_sign <> highest_sign then null
            when lowest_sign is not null then lowest_sign
            when path like '{{ pulled_name }}' then -1
            when lowest_gross < 0 and highest_gross > 0 then null
            when highest_gross > 0 and has_stripes_sign = 0 then 1
            else -1
        end as sign_of_group
    from grouped

),

decided as (

    select
        *,
        coalesce(sign_of_row, sign_of_group) as sign
    from signed

)

select
    ---------- landing order
    batch_seq,
    file_no,
    line,
    path,

    ---------- ids
    payout_id,
    balance_transaction_id,
    account_id,

    ---------- what
    payout_status,
    reporting_category,
    sign_of_group is null as has_mixed_signs,

    ---------- money, above zero if the bank gets it
    currency,
    case when sign = -1 then -gross when sign = 1 then gross end as paid_gross,
    case when sign = -1 then -net when sign = 1 then net end as paid_net,

    ---------- time
    effective_at,
    arrival_date
from decided
