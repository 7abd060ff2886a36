{#-
    Return a query for the state of each wallet before each of its days (macros/credit/credit_step.sql): day_key,
    promo_before, paid_used_before and promo_used_before. `days` is a CTE of wallet days: day_key counts them through
    all wallets, is_first and is_last mark the ends of a wallet, and its first row has the state before it in
    promo_start, paid_used_start and promo_used_start. A day's state depends
    on that of the day before, so that no window can compute it.
-#}
{% macro credit_before(days) -%}
    {{ return(adapter.dispatch('credit_before', 'paywall_warehouse')(days)) }}
{%- endmacro %}

{#- All wallets advance together, by a day in each iteration. -#}
{% macro duckdb__credit_before(days) -%}
    {%- set promo, paid_used, promo_used = credit_after('before', 'day') -%}
    {#- Materialized: otherwise each iteration could compute all days again. -#}
    with recursive

    steps as materialized (

        select
            day_key,
            is_first,
            is_last,
            promo_start,
            paid_used_start,
            promo_used_start,
            promo_first,
            promo_change,
            held,
            used_credit,
            given_back,
            settled_paid,
            settled_promo
        from {{ days }}

    ),

    before_days as (

        select
            day_key,
            promo_start as promo_before,
            paid_used_start as paid_used_before,
            promo_used_start as promo_used_before
        from steps
        where is_first

        union all

        select
            day.day_key + 1 as day_key,
            {{ money(promo) }} as promo_before,
            {{ money(paid_used) }} as paid_used_before,
            {{ money(promo_used) }} as promo_used_before
        from before_days as before
        inner join steps as day on before.day_key = day.day_key
        where not day.is_last

    )

    select * from before_days
{%- endmacro %}

{#- Spark has no recursion: a function walks through the list of a wallet's days. -#}
{% macro spark__credit_before(days) -%}
    {%- set promo, paid_used, promo_used = credit_after('element_at(states, -1)', 'day') -%}
    select
        day.day_key,
        state.promo_before,
        state.paid_used_before,
        state.promo_used_before
    from (
        select inline(arrays_zip(days, states)) as (day, state)
        from (
            select
                days,
                aggregate(
                    days,
                    array(named_struct(
                        'promo_before', days[0].promo_start,
                        'paid_used_before', days[0].paid_used_start,
                        'promo_used_before', days[0].promo_used_start
                    )),
                    (states, day) -> concat(states, array(named_struct(
                        'promo_before', {{ money(promo) }},
                        'paid_used_before', {{ money(paid_used) }},
                        'promo_used_before', {{ money(promo_used) }}
                    ))),
                    states -> slice(states, 1, size(days))
                ) as states
            from (
                select array_sort(collect_list(struct({{ days }}.date_day as sorted_by, {{ days }}.*))) as days
                from {{ days }}
                group by user_id, paywall_id, currency
            ) as wallets
        ) as walked
    ) as walked_days
{%- endmacro %}
