-- The few entries that add or take credit, apart from deposits and usage (docs/contract.md#5b1-credit).
-- Reading them all in each build is cheaper than finding out which have changed.
with

-- Two selections, because DuckDB reads only the wanted rows for a condition without `or`.
credited as (

    select * from {{ ref('fct_ledger_entries') }}
    where entry_type in ('adjustment', 'withdrawal')
    union all
    select * from {{ ref('fct_ledger_entries') }}
    where entry_type = 'refund' and related_entry_type = 'deposit'

),

entries as (

    select
        *,
        entry_type = 'adjustment' and amount > 0 as is_addition,
        entry_type = 'adjustment' and amount < 0 as is_reduction
    from credited

),

deposits as {{ kept() }} (

    select
        entry_id,
        funding
    from {{ ref('fct_ledger_entries') }}
    where entry_type = 'deposit'

),

settings as (select * from {{ ref('stg_run__settings') }}),

-- Deposits and additions that entries name, whatever their status and wallet.
named_ids as (select distinct related_entry_id as entry_id from entries where related_entry_type in ('deposit', 'adjustment')),

named_deposits as (

    select
        deposits.entry_id,
        deposits.funding
    from deposits
    semi join named_ids on deposits.entry_id = named_ids.entry_id

),

named_additions as (

    select
        entries.entry_id,
        {{ funding_of_addition('entries', 'named_deposits') }} as funding
    from entries
    semi join named_ids on entries.entry_id = named_ids.entry_id
    left join named_deposits on entries.related_entry_id = named_deposits.entry_id
    where entries.is_addition

),

classified as (

    select
        entries.user_id,
        entries.paywall_id,
        entries.currency,
        entries.entry_date as date_day,
        abs(entries.amount) as amount,
        entries.entry_type,
        entries.is_addition,
        entries.is_reduction,
        entries.stated_funding,
        named_deposits.entry_id is not null as names_deposit,
        coalesce(named_deposits.funding = 'paid', false) as names_paid_deposit,
        coalesce(named_deposits.funding, named_additions.funding) as named_funding,
        {{ funding_of_addition('entries', 'named_deposits') }} as added_funding,
        entries.is_reduction and entries.reason is not null and array_contains(settings.expiry_reasons, entries.reason) as is_expiry
    from entries
    cross join settings
    left join named_deposits on entries.related_entry_id = named_deposits.entry_id
    left join named_additions on entries.related_entry_id = named_additions.entry_id
    where entries.status = 'settled' and entries.user_id is not null and entries.amount <> 0

),

movements as (

    select
        *,
        case when is_addition then 'added' when is_expiry then 'expired' else 'returned' end as kind,
        case
            when is_addition then added_funding
            when named_funding = 'promo' or stated_funding = 'promo' then 'promo'
            when is_expiry and coalesce(named_funding = 'paid', false) = false and coalesce(stated_funding = 'paid', false) = false then 'promo'
            else 'paid'
        end as funding,
        case
            when is_addition then names_deposit
            when is_expiry then false
            when entry_type = 'withdrawal' then true
            else names_paid_deposit
        end as is_clearing
    from classified

)

select
    user_id,
    paywall_id,
    currency,
    date_day,
    kind,
    funding,
    is_clearing,
    -- The order in which the day's credit is taken, within paid and within promo.
    case
        when kind = 'added' then 0
        when kind = 'expired' then 5
        when is_reduction and is_clearing then 3
        when is_reduction then 4
        when is_clearing then 1
        else 2
    end as taking_order,
    {{ money('sum(amount)') }} as amount
from movements
group by user_id, paywall_id, currency, date_day, kind, funding, is_clearing, taking_order
