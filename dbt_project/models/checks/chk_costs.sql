{{ config(tags=['bills']) }}

{%- set rows_shown = 20 -%}
{%- set case_sums_query -%}
select currency, sum(billed_amount) from marts.fct_bill_lines as lines
join intermediate.int_bills__coverage as days on lines.provider = days.provider and usage_date = date_day
where is_compared group by currency
{%- endset -%}
{%- set charges_query -%}
select sum(counted_charges) from marts.fct_daily_revenue
{%- endset -%}
{%- set split_query -%}
select * from marts.fct_cost_reconciliation where difference <> coalesce(volume_difference, 0) + rate_difference
{%- endset -%}
{%- set statements_query -%}
select statements.*, path, currency, sum(billed_amount) from intermediate.int_bills__statements as statements
join staging.stg_bills__lines using (bucket, batch_seq, file_no, bucket_no) group by all order by bucket
{%- endset -%}
{%- set models_query -%}
select provider, model_as_billed, sum(billed_amount) from marts.fct_bill_lines
where model_id = 'unknown' and model_as_billed is not null group by all
{%- endset -%}
{%- set breaks_query -%}
select * from marts.fct_cost_reconciliation where priority = 1 order by usage_date
{%- endset -%}
with

cases as (select * from {{ ref('fct_cost_reconciliation') }}),

lines as (select * from {{ ref('fct_bill_lines') }}),

landed_lines as (select * from {{ ref('stg_bills__lines') }}),

bills as (select distinct 1 as present from {{ ref('stg_bills__lines') }}),

statements as (select * from {{ ref('int_bills__statements') }}),

covered_days as (select * from {{ ref('int_bills__coverage') }}),

daily_revenue as (select * from {{ ref('fct_daily_revenue') }}),

settings as (select * from {{ ref('stg_run__settings') }}),

billed_in_cases as (

    select
        currency,
        sum(billed_cost) as billed_cost
    from cases
    group by currency

),

billed_on_covered_days as (

    select
        lines.currency,
        sum(lines.billed_amount) as billed_cost
    from lines
    semi join covered_days on lines.provider = covered_days.provider and lines.usage_date = covered_days.date_day
    where lines.is_compared
    group by lines.currency

),

currencies as (

    select currency from billed_in_cases
    union
    select currency from billed_on_covered_days

),

charges_in_cases as (select sum(charges) as charges from cases),

-- Without bills there are no cases.
counted_charges as (

    select sum(daily_revenue.counted_charges) as charges
    from daily_revenue
    cross join bills

),

wrong_splits as (

    select count(*) as faults from cases
    where difference <> coalesce(volume_difference, 0) + rate_difference

),

-- Totals of every statement, so that those of one bucket can be compared.
totals as (

    select
        statements.bucket,
        statements.batch_seq,
        statements.file_no,
        statements.bucket_no,
        statements.is_counted,
        landed_lines.currency,
        sum(landed_lines.billed_amount) as billed_amount,
        count(*) filter (where landed_lines.is_rounded) as rounded_lines,
        min(landed_lines.path) as path
    from statements
    inner join landed_lines
        on
            statements.bucket = landed_lines.bucket
            and statements.batch_seq = landed_lines.batch_seq
            and statements.file_no = landed_lines.file_no
            and statements.bucket_no = landed_lines.bucket_no
    where landed_lines.currency is not null
    group by
        statements.bucket, statements.batch_seq, statements.file_no, statements.bucket_no, statements.is_counted,
        landed_lines.currency

),

disagreements as (

    select
        counted.bucket,
        counted.currency,
        counted.billed_amount as expected,
        other.billed_amount as actual,
        row_number() over (order by counted.bucket, counted.currency, other.batch_seq, other.file_no, other.bucket_no) as position,
        count(*) over () as faults
    from totals as counted
    inner join totals as other on counted.bucket = other.bucket and counted.currency = other.currency
    cross join settings
    where
        counted.is_counted
        and not other.is_counted
        and abs(counted.billed_amount - other.billed_amount)
        > {{ cost_tolerance('counted.billed_amount', 'counted.rounded_lines + other.rounded_lines', 'settings.') }}

),

unknown_models as (

    select
        provider,
        model_as_billed,
        count(*) as bill_lines,
        row_number() over (order by provider, model_as_billed) as position,
        count(*) over () as faults
    from lines
    where model_id = 'unknown' and model_as_billed is not null
    group by provider, model_as_billed

),

open_breaks as (select count(*) as breaks from cases where priority = 1),

-- One row for each list, so that a list without faults has a check that holds.
one_row as (select {{ rows_shown }} as last_position)

select {{ check_columns(
    'bills_are_in_cases',
    'billed_on_covered_days.billed_cost',
    'billed_in_cases.billed_cost',
    query_literal(case_sums_query),
    scope="coalesce(currencies.currency, 'all')",
) }}
from one_row
left join currencies on one_row.last_position > 0
left join billed_in_cases on currencies.currency = billed_in_cases.currency
left join billed_on_covered_days on currencies.currency = billed_on_covered_days.currency

union all

select {{ check_columns('charges_are_in_one_cost_case', 'counted_charges.charges', 'charges_in_cases.charges', query_literal(charges_query)) }}
from counted_charges
cross join charges_in_cases

union all

select {{ check_columns('cost_differences_split', '0', 'faults', query_literal(split_query)) }}
from wrong_splits

union all

select {{ check_columns(
    'bill_statements_agree',
    'case when disagreements.position > ' ~ (rows_shown - 1) ~ ' then 0 else disagreements.expected end',
    'case when disagreements.position > ' ~ (rows_shown - 1) ~ ' then disagreements.faults - ' ~ (rows_shown - 1) ~ ' else disagreements.actual end',
    query_literal(statements_query),
    scope="case when disagreements.position is null then 'all' when disagreements.position > " ~ (rows_shown - 1)
        ~ " then 'more buckets' else disagreements.bucket || ' ' || disagreements.currency end",
    severity='warn',
    ordinal='coalesce(disagreements.position, 1)',
) }}
from one_row
left join disagreements on one_row.last_position >= disagreements.position

union all

select {{ check_columns(
    'billed_models_are_known',
    '0',
    'case when unknown_models.position > ' ~ (rows_shown - 1) ~ ' then unknown_models.faults - ' ~ (rows_shown - 1) ~ ' else unknown_models.bill_lines end',
    query_literal(models_query),
    scope="case when unknown_models.position is null then 'all' when unknown_models.position > " ~ (rows_shown - 1)
        ~ " then 'more models' else unknown_models.provider || ' ' || unknown_models.model_as_billed end",
    severity='warn',
    ordinal='coalesce(unknown_models.position, 1)',
) }}
from one_row
left join unknown_models on one_row.last_position >= unknown_models.position

union all

select {{ check_columns('priority_1_cost_breaks', '0', 'breaks', query_literal(breaks_query), severity='warn') }}
from open_breaks
