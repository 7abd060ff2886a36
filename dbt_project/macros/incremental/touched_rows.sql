{#-
    Queries for the rows that a build has to replace, one for each incremental mart. All start from the keys
    in build.touched_keys.
-#}

{% macro touched_entries() -%}
    select entry_id from {{ ref('int_touched__entries') }}
{%- endmacro %}

{% macro touched_days() -%}
    select distinct entry_date from {{ source('build', 'touched_keys') }}
{%- endmacro %}

{% macro touched_user_days() -%}
    select distinct
        entry_date,
        user_id
    from {{ source('build', 'touched_keys') }}
    where user_id is not null
{%- endmacro %}

{% macro touched_user_months() -%}
    select distinct
        cast(date_trunc('month', entry_date) as date) as month_start,
        user_id
    from {{ source('build', 'touched_keys') }}
    where user_id is not null
{%- endmacro %}

{% macro touched_wallet_days() -%}
    select distinct
        entry_date,
        user_id,
        paywall_id,
        currency
    from {{ source('build', 'touched_keys') }}
    where user_id is not null
{%- endmacro %}

{#-
    A wallet's balances change from its first touched day on. The day before is replaced too, because its
    valid_to may change.
-#}
{% macro touched_wallets() -%}
    select
        touched.user_id,
        touched.paywall_id,
        touched.currency,
        coalesce(max(known.date_day), min(touched.first_date)) as start_date,
        coalesce(max_by(known.opening_balance, known.date_day), 0) as opening_balance,
        coalesce(max_by(known.day_number, known.date_day) - 1, 0) as days_before,
        coalesce(max_by(known.net_usage_to_date - known.charged + known.refunds, known.date_day), 0) as net_usage_before
    from (
        select
            user_id,
            paywall_id,
            currency,
            min(entry_date) as first_date
        from {{ source('build', 'touched_keys') }}
        where user_id is not null
        group by user_id, paywall_id, currency
    ) as touched
    left join {{ this }} as known
        on
            touched.user_id = known.user_id
            and touched.paywall_id = known.paywall_id
            and touched.currency = known.currency
            and touched.first_date > known.date_day
    group by touched.user_id, touched.paywall_id, touched.currency
{%- endmacro %}

{#-
    Hook of fct_ledger_entries: save the keys of the sums that its touched rows belong to, before and after
    they are replaced.
-#}
{% macro remember_touched_keys() -%}
    {% if is_incremental() %}
    insert into {{ source('build', 'touched_keys') }} (entry_date, user_id, paywall_id, currency)
    select distinct
        entry_date,
        user_id,
        paywall_id,
        currency
    from {{ this }}
    where entry_id in (select entry_id from {{ ref('int_touched__entries') }})
    {% endif %}
{%- endmacro %}

{#- A wallet's credit changes from its first touched day on. -#}
{% macro touched_credit() -%}
    select
        user_id,
        paywall_id,
        currency,
        min(entry_date) as first_date
    from {{ source('build', 'touched_keys') }}
    where user_id is not null
    group by user_id, paywall_id, currency
{%- endmacro %}

{#- The sums of a day change if any wallet's credit does, which goes on from its first touched day. -#}
{% macro touched_credit_totals() -%}
    select min(entry_date) as first_date
    from {{ source('build', 'touched_keys') }}
    where user_id is not null
{%- endmacro %}
