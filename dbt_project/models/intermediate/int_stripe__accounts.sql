{#- The account of files that state no account (ingestion/sources/stripe/coverage.py). -#}
{%- set unnamed = "'default'" -%}
with

mode as (select * from {{ ref('stg_stripe__mode') }}),

files as (

    select files.*
    from {{ source('run', 'loaded_files') }} as files
    inner join mode on files.livemode = mode.livemode
    where files.status = 'loaded' and files.source like 'stripe/%'

),

statements as (

    select distinct
        account_id,
        balance_transaction_id,
        created_at,
        currency
    from {{ ref('stg_stripe__balance_transactions') }}

),

stated as (select distinct account_id from files),

-- Files that do not state their span reach from their first row to their last.
spanless as (

    select distinct account_id
    from files
    where source = 'stripe/balance_change_from_activity.itemized' and covered_until is null

),

spans as (

    select
        account_id,
        currency,
        covered_from,
        covered_until
    from {{ ref('int_stripe__coverage') }}
    where source = 'stripe/balance_change_from_activity.itemized'

    union all

    select
        statements.account_id,
        cast(null as {{ text_type() }}) as currency,
        min(statements.created_at) as covered_from,
        max(statements.created_at) as covered_until
    from statements
    inner join spanless on statements.account_id = spanless.account_id
    group by statements.account_id

),

only_named as (

    select min(account_id) as account_id
    from stated
    where account_id <> {{ unnamed }}
    having count(*) = 1

),

-- A file contains everything that its account did in its span. A row that lies in the span of another
-- account's files, but is not in them, belongs to another account.
contradictions as (

    select count(*) as statements
    from statements
    cross join only_named
    inner join spans
        on
            statements.account_id <> spans.account_id
            and (spans.currency is null or statements.currency = spans.currency)
            and statements.created_at >= spans.covered_from
            and statements.created_at < spans.covered_until
    left join statements as restated
        on spans.account_id = restated.account_id and statements.balance_transaction_id = restated.balance_transaction_id
    where
        statements.account_id in (only_named.account_id, {{ unnamed }})
        and spans.account_id in (only_named.account_id, {{ unnamed }})
        and restated.balance_transaction_id is null

)

select
    stated.account_id as stated_account_id,
    case
        when stated.account_id = {{ unnamed }} and contradictions.statements = 0 then coalesce(only_named.account_id, stated.account_id)
        else stated.account_id
    end as account_id
from stated
cross join contradictions
left join only_named on stated.account_id = {{ unnamed }}
