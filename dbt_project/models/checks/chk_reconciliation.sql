{%- set keys_shown = 20 -%}
{%- set cases_query -%}
select 'deposit ' || entry_id as id, count(cases.case_id) as cases
from intermediate.int_deposits
left join (select case_id, unnest(deposit_entry_ids) as entry_id from marts.fct_reconciliation) as cases using (entry_id)
group by entry_id having count(cases.case_id) <> 1
union all
select 'payment ' || payment_key as id, count(cases.case_id) as cases
from intermediate.int_payments left join marts.fct_reconciliation as cases on payment_key = case_id
group by payment_key having count(cases.case_id) <> 1
{%- endset -%}
{%- set keys_query -%}
select regexp_extract(metadata, '"([^"]*)" *: *"(pi|ch|py|cs)_[A-Za-z0-9_]+"', 1) as metadata_key, count(*) as deposits
from marts.fct_ledger_entries
where entry_id in (select entry_id from intermediate.int_deposits where not has_key)
    and regexp_matches(metadata, '"(pi|ch|py|cs)_[A-Za-z0-9_]+"')
group by metadata_key
order by deposits desc, metadata_key
{%- endset -%}
{%- set breaks_query -%}
select * from marts.fct_reconciliation where priority = 1 order by first_event_at
{%- endset -%}
{#- Matches the id of a payment intent, a charge (two forms) or a Checkout Session. -#}
{%- set id_pattern = '"(pi|ch|py|cs)_[A-Za-z0-9_]+"' -%}
with

entries as (select * from {{ ref('fct_ledger_entries') }}),

deposits as (select * from {{ ref('int_deposits') }}),

payments as (select * from {{ ref('int_payments') }}),

cases as (select * from {{ ref('fct_reconciliation') }}),

cases_of_deposits as (

    select
        case_id,
        {{ each_of('deposit_entry_ids') }} as entry_id
    from cases

),

not_in_one_case as (

    select 'deposit ' || deposits.entry_id as id
    from deposits
    left join cases_of_deposits on deposits.entry_id = cases_of_deposits.entry_id
    group by deposits.entry_id
    having count(cases_of_deposits.case_id) <> 1

    union all

    select 'payment ' || payments.payment_key as id
    from payments
    left join cases on payments.payment_key = cases.case_id
    group by payments.payment_key
    having count(cases.case_id) <> 1

),

not_in_one_case_count as (select count(*) as faults from not_in_one_case),

keyless_deposits as (select entry_id from deposits where not has_key),

-- Grouped by the key before the first id. The key is '' if the id is in a list.
unread_keys as (

    select
        regexp_extract(entries.metadata, '"([^"]*)" *: *{{ id_pattern }}', 1) as metadata_key,
        count(*) as deposits
    from entries
    semi join keyless_deposits on entries.entry_id = keyless_deposits.entry_id
    where regexp_extract(entries.metadata, '{{ id_pattern }}', 0) <> ''
    group by regexp_extract(entries.metadata, '"([^"]*)" *: *{{ id_pattern }}', 1)

),

numbered_keys as (

    select
        metadata_key,
        deposits,
        row_number() over (order by deposits desc, metadata_key asc) as position
    from unread_keys

),

-- Without unread keys there is one row, and it holds.
shown_keys as (

    select
        numbered_keys.metadata_key,
        coalesce(numbered_keys.deposits, 0) as deposits,
        coalesce(numbered_keys.position, 1) as position
    from (select {{ keys_shown }} as last_position) as shown
    left join numbered_keys on shown.last_position >= numbered_keys.position

),

open_breaks as (select count(*) as breaks from cases where priority = 1)

select {{ check_columns('deposits_and_payments_are_in_one_case', '0', 'faults', query_literal(cases_query)) }}
from not_in_one_case_count

union all

select
    {{ check_columns(
        'deposit_keys_are_read',
        '0',
        'deposits',
        query_literal(keys_query),
        scope="case when metadata_key is null then 'all' when metadata_key = '' then 'a list in metadata' else 'metadata key ' || metadata_key end",
        severity='warn',
        ordinal='position',
    ) }}
from shown_keys

union all

-- Settings decide how many breaks are allowed and whether more of them only warn. `warehouse.checks` applies
-- these settings.
select {{ check_columns('priority_1_breaks', '0', 'breaks', query_literal(breaks_query)) }}
from open_breaks
