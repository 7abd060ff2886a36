{#-
    Shared parts of the table macros of the published file: lists of texts that limit what is counted, where
    NULL means any. DuckDB folds a condition on parameters alone before it reads anything. Of the branches of
    a union that such conditions separate, it therefore reads only one.
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

{#- Return whether a value is in the list. A NULL list contains every value. -#}
{% macro is_listed(value, list) -%}
    ({{ list }} is null or list_contains(cast({{ list }} as varchar[]), {{ value }}))
{%- endmacro %}

{#- Return the CTE of the users in the users view that the lists allow, one row per user and currency. -#}
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

{#-
    Return the rows of a table that meet the conditions and belong to the listed users. Users are compared
    only if there are lists of them.
-#}
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
    Return the CTEs of the ledger entries within all filters, with the columns of `counted_as`. `is_needed` is
    a condition on parameters alone. The other conditions limit the days. A refund without a model counts
    under `unknown`.
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

{#-
    Return the ledger. If its rows have stayed on a cluster, return an empty relation that raises an error
    where entries are needed.
-#}
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
