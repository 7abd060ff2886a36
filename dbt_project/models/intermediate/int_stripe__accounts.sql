{#- The account of files of which nobody says whose they are (ingestion/stripe/coverage.py). -#}
{%- set unnamed = "'default'" -%}
with

mode as (select * from {{ ref('stg_stripe__mode') }}),

coverage as (select * from {{ ref('int_stripe__coverage') }} where source = 'stripe/balance_change_from_activity.itemized'),

statements as (

    select distinct
        account_id,
        balance_transaction_id,
        created_at,
        currency
    from {{ ref('stg_stripe__balance_transactions') }}

),

stated as (

    select distinct files.account_id
    from {{ source('raw', 'loaded_files') }} as files
    inner join mode on files.livemode = mode.livemode
    where files.status = 'loaded' and files.source like 'stripe/%'

),

only_named as (

    select min(account_id) as account_id
    from stated
    where account_id <> {{ unnamed }}
    having count(*) = 1

),

-- Files cover all that an account did in their span. A row that lies in the span of the other's files, and is not in them, is of another account.
contradictions as (

    select count(*) as statements
    from statements
    cross join only_named
    inner join coverage
        on
            coverage.account_id <> statements.account_id
            and coverage.account_id in (only_named.account_id, {{ unnamed }})
            and statements.account_id in (only_named.account_id, {{ unnamed }})
            and (coverage.currency is null or coverage.currency = statements.currency)
            and statements.created_at >= coverage.covered_from
            and statements.created_at < coverage.covered_until
    left join statements as restated
        on coverage.account_id = restated.account_id and statements.balance_transaction_id = restated.balance_transaction_id
    where restated.balance_transaction_id is null

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
