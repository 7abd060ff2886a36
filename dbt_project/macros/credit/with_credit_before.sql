{#-
    Return a query for the rows of a CTE of wallet days, with the state of the wallet before each day: promo_before,
    paid_used_before and promo_used_before (macros/credit/credit_step.sql). A wallet's first row has it in
    promo_start, paid_used_start and promo_used_start. A day's state depends on that of the day before, so that no
    window can compute it.
-#}
{% macro with_credit_before(days) -%}
    {{ return(adapter.dispatch('with_credit_before', 'paywall_warehouse')(days)) }}
{%- endmacro %}

{#- All wallets advance together, a day in each iteration. -#}
{% macro duckdb__with_credit_before(days) -%}
    {%- set promo, paid_used, promo_used = credit_after('before', 'day') -%}
    with recursive

    positioned as materialized (

        select
            *,
            row_number() over wallets as position,
            lag(valid_to) over wallets is null as is_first
        from {{ days }}
        window wallets as (order by user_id, paywall_id, currency, date_day)

    ),

    before_days as (

        select
            position,
            promo_start as promo_before,
            paid_used_start as paid_used_before,
            promo_used_start as promo_used_before
        from positioned
        where is_first

        union all

        select
            day.position + 1 as position,
            {{ money(promo) }} as promo_before,
            {{ money(paid_used) }} as paid_used_before,
            {{ money(promo_used) }} as promo_used_before
        from before_days as before
        inner join positioned as day on before.position = day.position
        where day.valid_to is not null

    )

    select
        positioned.*,
        before_days.promo_before,
        before_days.paid_used_before,
        before_days.promo_used_before
    from positioned
    inner join before_days on positioned.position = before_days.position
{%- endmacro %}

{#- Spark has no recursion. A wallet's days are a list that one function walks through. -#}
{% macro spark__with_credit_before(days) -%}
    {%- set promo, paid_used, promo_used = credit_after('element_at(states, -1)', 'day') -%}
    select
        day.*,
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
