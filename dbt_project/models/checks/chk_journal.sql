{%- set balance_query -%}
select journal_date, currency, journal, sum(debit), sum(credit) from marts.fct_journal_lines group by all having sum(debit) <> sum(credit)
{%- endset -%}
{%- set restated_query -%}
select relates_to_date, account, currency, sum(amount) from (
    select relates_to_date, account, currency, debit - credit as amount from marts.fct_journal_lines
    union all
    select relates_to_date, account, currency, credit - debit from intermediate.int_journal__restated
) group by all having sum(amount) <> 0
{%- endset -%}
{%- set booked_query -%}
select * from (
    select journal_date, journal, account, debit, credit, currency, relates_to_date, 1 as lines from raw.booked_lines
    union all
    select journal_date, journal, account, debit, credit, currency, relates_to_date, -1 from marts.fct_journal_lines
    where journal_date < (select first_open_day from staging.stg_periods__first_open_day)
) group by all having sum(lines) <> 0
{%- endset -%}
with

journal_lines as (select * from {{ ref('fct_journal_lines') }}),

restated as (select * from {{ ref('int_journal__restated') }}),

booked as (select * from {{ ref('stg_periods__booked_lines') }}),

calendar as (select * from {{ ref('stg_periods__first_open_day') }}),

unbalanced as (

    select
        journal_date,
        currency,
        journal
    from journal_lines
    group by journal_date, currency, journal
    having sum(debit) <> sum(credit)

),

unbalanced_journals as (select count(*) as faults from unbalanced),

amounts as (

    select
        relates_to_date,
        account,
        currency,
        debit,
        credit
    from journal_lines

    union all

    select
        relates_to_date,
        account,
        currency,
        credit as debit,
        debit as credit
    from restated

),

different_days as (

    select
        relates_to_date,
        account,
        currency
    from amounts
    group by relates_to_date, account, currency
    having sum(debit) <> sum(credit)

),

differences as (select count(*) as faults from different_days),

lines_of_closed_months as (

    select
        journal_date,
        journal,
        account,
        debit,
        credit,
        currency,
        relates_to_date,
        1 as shown,
        0 as booked
    from journal_lines
    cross join calendar
    where journal_date < first_open_day

    union all

    select
        journal_date,
        journal,
        account,
        debit,
        credit,
        currency,
        relates_to_date,
        0 as shown,
        1 as booked
    from booked

),

changed_lines as (

    select
        journal_date,
        journal,
        account,
        debit,
        credit,
        currency,
        relates_to_date
    from lines_of_closed_months
    group by journal_date, journal, account, debit, credit, currency, relates_to_date
    having sum(shown) <> sum(booked)

),

changed as (select count(*) as faults from changed_lines)

select {{ check_columns('journal_balances', '0', 'faults', query_literal(balance_query)) }}
from unbalanced_journals

union all

select {{ check_columns('journal_equals_restated', '0', 'faults', query_literal(restated_query)) }}
from differences

union all

select {{ check_columns('closed_months_are_as_booked', '0', 'faults', query_literal(booked_query)) }}
from changed
