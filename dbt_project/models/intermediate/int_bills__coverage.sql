{{ config(tags=['bills']) }}

{#- A bill of several accounts shows a day only if that of each account does, from its first day on. -#}
with

lines as (select * from {{ ref('stg_bills__lines') }} where covers_days),

bucket_days as (

    select distinct
        provider,
        account,
        usage_date as date_day
    from lines
    where covers_buckets

),

spans as (

    select
        batch_seq,
        file_no,
        min(usage_date) as first_day,
        max(usage_date) as last_day
    from lines
    where not covers_buckets
    group by batch_seq, file_no

),

accounts_of_spans as (

    select distinct
        batch_seq,
        file_no,
        provider,
        account
    from lines
    where not covers_buckets

),

span_days as (

    select
        accounts_of_spans.provider,
        accounts_of_spans.account,
        {{ day_series('spans.first_day', 'spans.last_day') }} as date_day
    from accounts_of_spans
    inner join spans on accounts_of_spans.batch_seq = spans.batch_seq and accounts_of_spans.file_no = spans.file_no

),

account_days as (

    select * from bucket_days
    union
    select * from span_days

),

accounts as (

    select
        provider,
        account,
        min(date_day) as first_day
    from account_days
    group by provider, account

),

days as (

    select
        provider,
        date_day,
        count(*) as covering_accounts
    from account_days
    group by provider, date_day

),

covered as (

    select
        days.provider,
        days.date_day
    from days
    inner join accounts on days.provider = accounts.provider and days.date_day >= accounts.first_day
    group by days.provider, days.date_day, days.covering_accounts
    having count(*) = days.covering_accounts

)

select
    provider,
    date_day,
    max(date_day) over (partition by provider) as last_covered_day
from covered
