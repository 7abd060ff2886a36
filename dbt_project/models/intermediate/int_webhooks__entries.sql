{%- set latest_known = [
    'paywall_id', 'wallet_user_id', 'external_user_id', 'request_id', 'payment_intent_id', 'charge_id', 'checkout_session_id', 'payment_id',
    'entry_type', 'source', 'model', 'rail', 'funding', 'metadata_reason', 'metadata', 'currency', 'amount', 'prompt_tokens', 'completion_tokens',
] -%}
with

identity as (select * from {{ ref('int_users__identity') }}),

settings as (select * from {{ ref('stg_run__settings') }}),

touched as (select * from {{ ref('int_touched__entries') }}),

statements as (select * from {{ ref('stg_paywalls__events') }} where entry_type is not null),

{% if is_rebuild() %}
deliveries as (select * from statements),
{% else %}
-- Grouped by event: only all deliveries of an event together show which one is the last.
touched_events as (

    select distinct statements.event_id
    from statements
    semi join touched on statements.activity_id = touched.entry_id

),

deliveries as (

    select statements.*
    from statements
    semi join touched_events on statements.event_id = touched_events.event_id

),
{% endif %}
delivered as (

    select
        activity_id,
        count(*) as versions
    from deliveries
    group by activity_id

),

repeated_events as (select event_id from deliveries group by event_id having count(*) > 1),

repeated_deliveries as (

    select
        deliveries.*,
        row_number() over (
            partition by deliveries.event_id
            order by deliveries.batch_seq desc, deliveries.file_no desc, deliveries.line desc
        ) as recency
    from deliveries
    semi join repeated_events on deliveries.event_id = repeated_events.event_id

),

events as (

    select
        deliveries.*,
        1 as recency
    from deliveries
    anti join repeated_events on deliveries.event_id = repeated_events.event_id

    union all

    select *
    from repeated_deliveries
    where recency = 1

),

-- Most activities have only one event. Only the others are ordered.
longer_activities as (select activity_id from events group by activity_id having count(*) > 1),

ordered as (

    select
        events.*,
        row_number() over (
            partition by events.activity_id
            order by events.occurred_at, events.lifecycle_rank, events.batch_seq, events.file_no, events.line
        ) as position
    from events
    semi join longer_activities on events.activity_id = longer_activities.activity_id

),

activities as (

    select
        events.activity_id,
        {%- for column in latest_known %}
        events.{{ column }},
        {%- endfor %}
        events.entry_status,
        events.event_type = 'balance.trial.granted' as is_trial,
        events.occurred_at,
        events.occurred_at as updated_at
    from events
    anti join longer_activities on events.activity_id = longer_activities.activity_id

    union all

    select
        activity_id,
        {%- for column in latest_known %}
        max_by({{ column }}, position) filter (where {{ column }} is not null) as {{ column }},
        {%- endfor %}
        -- A settled or failed charge is never pending again. Clocks differ, and a usage charge may belong to
        -- the same activity as a manual one.
        coalesce(max_by(entry_status, position) filter (where entry_status <> 'pending'), 'pending') as entry_status,
        bool_or(event_type = 'balance.trial.granted') as is_trial,
        min(occurred_at) as occurred_at,
        max(occurred_at) as updated_at
    from ordered
    group by activity_id

),

entries as (

    select
        ---------- ids
        delivered.activity_id as entry_id,
        cast(null as {{ text_type() }}) as related_entry_id,
        coalesce(activities.external_user_id, identity.user_id, activities.wallet_user_id) as user_id,
        activities.paywall_id,
        activities.request_id,
        activities.payment_intent_id,
        activities.charge_id,
        activities.checkout_session_id,
        activities.payment_id,

        ---------- what
        activities.entry_type,
        activities.entry_status as status,
        'prepaid' as billing,
        activities.model,
        case
            when activities.rail is not null then activities.rail
            when activities.entry_type = 'deposit' and lower(activities.source) like 'stripe%' then 'stripe'
        end as rail,
        case when activities.is_trial then 'promo' else activities.funding end as funding,
        activities.metadata_reason as reason,
        activities.metadata,

        ---------- money, where the owner of the fee in processingFeeAmount is not documented
        coalesce(activities.currency, settings.default_currency) as currency,
        activities.amount,
        cast(null as decimal(38, 12)) as provider_cost,
        cast(null as {{ text_type() }}) as provider_cost_currency,
        cast(null as decimal(38, 12)) as platform_fees,

        ---------- tokens
        activities.prompt_tokens,
        activities.completion_tokens,
        coalesce(activities.prompt_tokens + activities.completion_tokens, activities.prompt_tokens, activities.completion_tokens) as total_tokens,
        cast(null as bigint) as cached_tokens,
        cast(null as bigint) as reasoning_tokens,

        ---------- time
        activities.occurred_at,
        activities.updated_at,

        cast(delivered.versions as bigint) as versions
    from delivered
    cross join settings
    left join activities on delivered.activity_id = activities.activity_id
    left join identity on activities.wallet_user_id = identity.wallet_user_id
    {%- if not is_rebuild() %}
    semi join touched on delivered.activity_id = touched.entry_id
    {%- endif %}

)

select
    *,
    user_id is not null and paywall_id is not null and amount is not null as makes_entry
from entries
