{#-
    What the table macros of the published file have in common: lists of texts that limit what is counted, NULL for any. A condition on parameters alone is folded
    before anything is read, so that DuckDB reads only one of the branches of a union that such conditions separate.
-#}
{% macro filter_parameters() -%}
    paywalls := null, models := null, entry_types := null, user_statuses := null, balance_bands := null, payer_types := null
{%- endmacro %}

{% macro are_any(lists) -%}
    ({% for list in lists %}{{ list }} is null{% if not loop.last %} and {% endif %}{% endfor %})
{%- endmacro %}

{% macro are_any_users() -%}
    {{ are_any(['user_statuses', 'balance_bands', 'payer_types']) }}
{%- endmacro %}

{#- A value is one of those listed. -#}
{% macro is_listed(value, list) -%}
    ({{ list }} is null or list_contains(cast({{ list }} as varchar[]), {{ value }}))
{%- endmacro %}

{#- Those of the users view whom the lists let through: its rows, users by currency. -#}
{% macro listed_users() -%}
listed_users as (

    select
        user_id,
        currency
    from marts.rpt_users
    where
        {{ is_listed('status', 'user_statuses') }}
        and {{ is_listed('balance_band', 'balance_bands') }}
        and {{ is_listed('payer_type', 'payer_types') }}

)
{%- endmacro %}

{#- Rows of a table for which conditions hold, of the listed users: compared with those only where there are lists. -#}
{% macro of_listed_users(columns, table, conditions) -%}
    select {{ columns }}
    from {{ table }}
    where {{ conditions | join(' and ') }} and {{ are_any_users() }}
    union all
    select {{ columns }}
    from {{ table }} as known
    semi join listed_users on known.user_id = listed_users.user_id and known.currency = listed_users.currency
    where {{ conditions | join(' and ') }} and not {{ are_any_users() }}
{%- endmacro %}

{#-
    The ledger entries within all filters, with what they count as. `is_needed` is a condition on parameters alone, the others say for which days. A refund without a
    model is one of `unknown`.
-#}
{% macro classified_entries(is_needed, conditions=[]) -%}
entries as (

    {{ of_listed_users(
        '*',
        ledger_entries(is_needed),
        [is_needed] + conditions + [
            is_listed('paywall_id', 'paywalls'),
            is_listed("case when entry_type = 'refund' then coalesce(model_id, 'unknown') else model_id end", 'models'),
            is_listed('entry_type', 'entry_types'),
        ],
    ) }}

),

classified as (

    select
        entries.*,
        {{ counted_as() }}
    from entries

)
{%- endmacro %}

{#- The ledger; where its rows have stayed on a cluster, nothing, and an error where they are needed. -#}
{% macro ledger_entries(is_needed) -%}
    {%- set is_here = adapter.get_relation(database=target.database, schema='marts', identifier='fct_ledger_entries') is not none -%}
    {%- set why = 'This needs entries, and marts.fct_ledger_entries is on the cluster, as it has more than SPARK_PUBLISH_MAX_ROWS rows: ask there.' -%}
    {%- set nothing -%}
    (
        select entries.*
        from (select case when {{ is_needed }} then error('{{ why }}') end as fault) as faults
        inner join on_cluster.fct_ledger_entries as entries on faults.fault is null
    )
    {%- endset -%}
    {{ return('marts.fct_ledger_entries' if is_here else nothing) }}
{%- endmacro %}
