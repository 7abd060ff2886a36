{{
    config(
        materialized='incremental',
        incremental_strategy='replace_touched',
        meta={'day': 'date_day'},
        partition_by=day_partition('date_day'),
        touched_rows='touched_credit',
        touched_match='present.user_id = touched.user_id and present.paywall_id = touched.paywall_id and present.currency = touched.currency'
            ~ ' and present.date_day >= touched.first_date',
    )
}}

with

movements as (select * from {{ ref('int_credit__movements') }}),

settings as (select * from {{ ref('stg_run__settings') }}),

{% if is_incremental() %}
touched_wallets as (

    {{ touched_credit() }}

),

-- Each touched wallet's days from its first touched one on, and the last day before. An earlier day is followed by
-- another one (`valid_to`) before the first touched day.
reached_days as (

    select
        wallet_days.*,
        wallet_days.date_day < touched_wallets.first_date as is_before
    from {{ ref('fct_wallet_days') }} as wallet_days
    inner join touched_wallets
        on
            wallet_days.user_id = touched_wallets.user_id
            and wallet_days.paywall_id = touched_wallets.paywall_id
            and wallet_days.currency = touched_wallets.currency
            and (wallet_days.valid_to is null or wallet_days.valid_to >= touched_wallets.first_date)

),

-- The last day before is not touched, so its row states what the wallet goes on with.
starts as (

    select
        last_days.user_id,
        last_days.paywall_id,
        last_days.currency,
        last_days.day_number,
        known.promo_closing,
        known.paid_used_to_date,
        known.promo_used_to_date
    from reached_days as last_days
    inner join {{ this }} as known
        on
            last_days.user_id = known.user_id
            and last_days.paywall_id = known.paywall_id
            and last_days.currency = known.currency
            and last_days.date_day = known.date_day
    where last_days.is_before

),

wallet_days as (

    select
        reached_days.*,
        coalesce(starts.day_number, 0) as days_before,
        {{ money('starts.promo_closing') }} as promo_start,
        {{ money('starts.paid_used_to_date') }} as paid_used_start,
        {{ money('starts.promo_used_to_date') }} as promo_used_start
    from reached_days
    left join starts
        on
            reached_days.user_id = starts.user_id
            and reached_days.paywall_id = starts.paywall_id
            and reached_days.currency = starts.currency
    where not reached_days.is_before

),

{% else %}
-- depends_on: {{ source('build', 'touched_keys') }}
wallet_days as {{ recomputed() }} (

    select
        *,
        0 as days_before,
        cast(0 as decimal(38, 12)) as promo_start,
        cast(0 as decimal(38, 12)) as paid_used_start,
        cast(0 as decimal(38, 12)) as promo_used_start
    from {{ ref('fct_wallet_days') }}

),

{% endif %}
-- Wallets in which promo credit, adjustments, withdrawals or refunds beyond all usage decide what is left of paid
-- credit. In all others all credit is paid, and balances state it. A wallet with earlier days may have either.
mixed_wallets as (

    select
        user_id,
        paywall_id,
        currency
    from wallet_days
    where promo_deposits > 0 or days_before > 0 or net_usage_to_date < greatest(-closing_balance, 0)

    union

    select
        user_id,
        paywall_id,
        currency
    from movements

),

paid_days as {{ recomputed() }} (

    select
        wallet_days.*,
        {{ money('greatest(wallet_days.opening_balance, 0)') }} as paid_opening,
        {{ money('greatest(-wallet_days.opening_balance, 0)') }} as overdraft_opening,
        {{ money('greatest(wallet_days.closing_balance, 0)') }} as paid_closing,
        {{ money('greatest(-wallet_days.closing_balance, 0)') }} as overdraft_closing,
        {{ money('least(greatest(-wallet_days.opening_balance, 0), wallet_days.deposits)') }} as settled,
        {{ money('greatest(wallet_days.charged - wallet_days.refunds, 0)') }} as used,
        {{ money('greatest(wallet_days.refunds - wallet_days.charged, 0)') }} as refunded
    from wallet_days
    anti join mixed_wallets
        on
            wallet_days.user_id = mixed_wallets.user_id
            and wallet_days.paywall_id = mixed_wallets.paywall_id
            and wallet_days.currency = mixed_wallets.currency

),

mixed_days as {{ recomputed() }} (

    select wallet_days.*
    from wallet_days
    semi join mixed_wallets
        on
            wallet_days.user_id = mixed_wallets.user_id
            and wallet_days.paywall_id = mixed_wallets.paywall_id
            and wallet_days.currency = mixed_wallets.currency

),

-- Days are numbered through all wallets, so that a number finds the next day of a wallet.
wallets as (

    select
        user_id,
        paywall_id,
        currency,
        sum(day_number) over (order by user_id, paywall_id, currency rows between unbounded preceding and current row) - day_number as days_of_others
    from mixed_days
    where valid_to is null

),

moved as (

    select
        user_id,
        paywall_id,
        currency,
        date_day,
        sum(amount) filter (where kind = 'added' and funding = 'paid') as paid_adjusted,
        sum(amount) filter (where kind = 'added' and funding = 'paid' and is_clearing) as paid_adjusted_clearing,
        sum(amount) filter (where kind = 'added' and funding = 'promo') as promo_adjusted,
        sum(amount) filter (where kind <> 'added' and funding = 'promo') as from_promo_first,
        sum(amount) filter (where kind <> 'added' and funding = 'paid') as from_paid_first
    from movements
    group by user_id, paywall_id, currency, date_day

),

-- Amounts whose total the balances know, whatever is paid or promo.
inputs as {{ recomputed() }} (

    select
        mixed_days.user_id,
        mixed_days.paywall_id,
        mixed_days.currency,
        mixed_days.date_day,
        wallets.days_of_others + mixed_days.day_number as day_key,
        mixed_days.day_number = mixed_days.days_before + 1 as is_first,
        mixed_days.valid_to is null as is_last,
        mixed_days.promo_start,
        mixed_days.paid_used_start,
        mixed_days.promo_used_start,
        settings.promo_first,
        {{ money('greatest(mixed_days.opening_balance, 0)') }} as credit_opening,
        {{ money('greatest(-mixed_days.opening_balance, 0)') }} as overdraft_opening,
        {{ money('mixed_days.deposits + coalesce(moved.paid_adjusted, 0)') }} as paid_added,
        {{ money('mixed_days.deposits + coalesce(moved.paid_adjusted_clearing, 0)') }} as paid_added_clearing,
        {{ money('mixed_days.promo_deposits + coalesce(moved.promo_adjusted, 0)') }} as promo_added,
        {{ money('moved.from_promo_first') }} as from_promo_first,
        {{ money('moved.from_paid_first') }} as from_paid_first,
        {{ money('greatest(mixed_days.charged - mixed_days.refunds, 0)') }} as used,
        {{ money('greatest(mixed_days.refunds - mixed_days.charged, 0)') }} as refunded
    from mixed_days
    cross join settings
    inner join wallets
        on
            mixed_days.user_id = wallets.user_id
            and mixed_days.paywall_id = wallets.paywall_id
            and mixed_days.currency = wallets.currency
    left join moved
        on
            mixed_days.user_id = moved.user_id
            and mixed_days.paywall_id = moved.paywall_id
            and mixed_days.currency = moved.currency
            and mixed_days.date_day = moved.date_day

),

settled as (

    select
        *,
        {{ money('least(overdraft_opening, paid_added)') }} as settled_paid,
        {{ money('least(overdraft_opening - least(overdraft_opening, paid_added), promo_added)') }} as settled_promo
    from inputs

),

taken as (

    select
        *,
        {{ money('credit_opening + paid_added + promo_added - settled_paid - settled_promo') }} as credit_added,
        {{ money('from_promo_first + from_paid_first') }} as all_taken
    from settled

),

left_after as (

    select
        *,
        {{ money('greatest(credit_added - all_taken, 0)') }} as held,
        {{ money('greatest(all_taken - credit_added, 0)') }} as unfunded_taken
    from taken

),

days as {{ recomputed() }} (

    select
        *,
        {{ money('promo_added - settled_promo - from_promo_first') }} as promo_change,
        {{ money('least(used, held)') }} as used_credit,
        {{ money('least(refunded, overdraft_opening - settled_paid - settled_promo + unfunded_taken)') }} as refunds_unfunded,
        {{ money('refunded - least(refunded, overdraft_opening - settled_paid - settled_promo + unfunded_taken)') }} as given_back
    from left_after

),

states as (

    {{ credit_before('days') | indent(4) }}

),

split as {{ recomputed() }} (

    select
        days.*,
        states.promo_before,
        states.paid_used_before,
        states.promo_used_before,
        {{ money(promo_held('states', 'days')) }} as promo_held,
        {{ money(promo_used('states', 'days')) }} as revenue_promo,
        {{ money(paid_given_back('states', 'days')) }} as refunds_paid,
        {{ money('states.promo_before + days.promo_added - days.settled_promo') }} as promo_available
    from days
    inner join states on days.day_key = states.day_key

),

-- The few days that have takings. Those from promo first come first.
takings as (

    select
        split.day_key,
        movements.kind,
        movements.funding,
        movements.is_clearing,
        movements.amount,
        split.promo_available,
        {{ money('split.credit_added - split.promo_available') }} as paid_available,
        split.from_promo_first,
        {{ money('sum(movements.amount) over (
            partition by split.day_key, movements.funding order by movements.taking_order rows between unbounded preceding and current row
        )') }} as taken_through
    from movements
    inner join split
        on
            movements.user_id = split.user_id
            and movements.paywall_id = split.paywall_id
            and movements.currency = split.currency
            and movements.date_day = split.date_day
    where movements.kind <> 'added' and split.all_taken > 0

),

-- What is left of both kinds when takings from paid first begin.
reached as (

    select
        *,
        case when funding = 'promo' then promo_available else {{ money('greatest(promo_available - from_promo_first, 0)') }} end as promo_left,
        case
            when funding = 'promo' then paid_available
            else {{ money('greatest(paid_available - greatest(from_promo_first - promo_available, 0), 0)') }}
        end as paid_left
    from takings

),

sources as (

    select
        *,
        {{ taken_from('promo_left', 'paid_left', "funding = 'promo'") }} as promo_taken,
        {{ taken_from('paid_left', 'promo_left', "funding = 'paid'") }} as paid_taken
    from reached

),

returned as (

    select
        day_key,
        sum(paid_taken) filter (where kind = 'returned') as paid_returned,
        sum(paid_taken) filter (where kind = 'returned' and is_clearing) as paid_returned_clearing,
        sum(promo_taken) filter (where kind = 'returned') as promo_returned,
        sum(promo_taken) filter (where kind = 'returned' and is_clearing) as promo_returned_clearing,
        sum(amount - paid_taken - promo_taken) filter (where is_clearing) as unfunded_returned_clearing,
        sum(paid_taken) filter (where kind = 'expired') as paid_expired,
        sum(promo_taken) filter (where kind = 'expired') as promo_expired,
        sum(amount - paid_taken - promo_taken) filter (where kind = 'expired') as unfunded_expired
    from sources
    group by day_key

)

select
    ---------- grain
    split.user_id,
    split.paywall_id,
    split.currency,
    split.date_day,

    ---------- openings
    {{ money('split.credit_opening - split.promo_before') }} as paid_opening,
    split.promo_before as promo_opening,
    split.overdraft_opening,

    ---------- added
    split.paid_added,
    split.promo_added,
    split.settled_paid as overdraft_settled_paid,
    split.settled_promo as overdraft_settled_promo,

    ---------- taken
    {{ money('returned.paid_returned') }} as paid_returned,
    {{ money('returned.promo_returned') }} as promo_returned,
    split.unfunded_taken as unfunded_returned,
    {{ money('returned.paid_expired') }} as paid_expired,
    {{ money('returned.promo_expired') }} as promo_expired,

    ---------- used
    {{ money('split.used_credit - split.revenue_promo') }} as revenue_paid,
    split.revenue_promo,
    {{ money('split.used - split.used_credit') }} as revenue_unfunded,

    ---------- given back
    split.refunds_paid,
    {{ money('split.given_back - split.refunds_paid') }} as refunds_promo,
    split.refunds_unfunded,

    ---------- used so far
    {{ money('split.paid_used_before + split.settled_paid + split.used_credit - split.revenue_promo - split.refunds_paid') }} as paid_used_to_date,
    {{ money('split.promo_used_before + split.settled_promo + split.revenue_promo - split.given_back + split.refunds_paid') }} as promo_used_to_date,

    ---------- closings
    {{ money('split.held - split.promo_held - split.used_credit + split.revenue_promo + split.refunds_paid') }} as paid_closing,
    {{ money('split.promo_held - split.revenue_promo + split.given_back - split.refunds_paid') }} as promo_closing,
    {{ money('split.overdraft_opening - split.settled_paid - split.settled_promo + split.unfunded_taken + split.used - split.used_credit'
        ~ ' - split.refunds_unfunded') }} as overdraft_closing,

    ---------- of them, by what the journal books them against
    split.paid_added_clearing,
    {{ money('returned.paid_returned_clearing') }} as paid_returned_clearing,
    {{ money('returned.promo_returned_clearing') }} as promo_returned_clearing,
    {{ money('returned.unfunded_returned_clearing') }} as unfunded_returned_clearing,
    {{ money('returned.unfunded_expired') }} as unfunded_expired
from split
left join returned on split.day_key = returned.day_key

union all

select
    ---------- grain
    user_id,
    paywall_id,
    currency,
    date_day,

    ---------- openings
    paid_opening,
    {{ money('0') }} as promo_opening,
    overdraft_opening,

    ---------- added
    deposits as paid_added,
    {{ money('0') }} as promo_added,
    settled as overdraft_settled_paid,
    {{ money('0') }} as overdraft_settled_promo,

    ---------- taken
    {{ money('0') }} as paid_returned,
    {{ money('0') }} as promo_returned,
    {{ money('0') }} as unfunded_returned,
    {{ money('0') }} as paid_expired,
    {{ money('0') }} as promo_expired,

    ---------- used
    {{ money('least(used, paid_opening + deposits - settled)') }} as revenue_paid,
    {{ money('0') }} as revenue_promo,
    {{ money('greatest(used - paid_opening - deposits + settled, 0)') }} as revenue_unfunded,

    ---------- given back
    {{ money('greatest(refunded - overdraft_opening + settled, 0)') }} as refunds_paid,
    {{ money('0') }} as refunds_promo,
    {{ money('least(refunded, overdraft_opening - settled)') }} as refunds_unfunded,

    ---------- used so far
    {{ money('net_usage_to_date - overdraft_closing') }} as paid_used_to_date,
    {{ money('0') }} as promo_used_to_date,

    ---------- closings
    paid_closing,
    {{ money('0') }} as promo_closing,
    overdraft_closing,

    ---------- of them, by what the journal books them against
    deposits as paid_added_clearing,
    {{ money('0') }} as paid_returned_clearing,
    {{ money('0') }} as promo_returned_clearing,
    {{ money('0') }} as unfunded_returned_clearing,
    {{ money('0') }} as unfunded_expired
from paid_days
