{#- Two statements about a wallet rarely share the latest instant. Only those that do are ordered. -#}
with

statements as (

    select
        events.wallet_user_id,
        events.external_user_id,
        events.occurred_at,
        events.event_id,
        events.batch_seq,
        events.file_no,
        events.line,
        events.batch_seq > state.built_through as is_new
    from {{ ref('stg_paywalls__events') }} as events
    cross join {{ source('ops', 'build_state') }} as state
    where events.wallet_user_id is not null and events.external_user_id is not null

),

latest as (

    select
        wallet_user_id,
        max(occurred_at) as latest_at,
        max(occurred_at) filter (where not is_new) as latest_built_at
    from statements
    group by wallet_user_id

),

latest_now as (

    select
        statements.wallet_user_id,
        statements.external_user_id as user_id,
        row_number() over (
            partition by statements.wallet_user_id
            order by statements.event_id desc, statements.batch_seq desc, statements.file_no desc, statements.line desc
        ) as recency
    from statements
    inner join latest on statements.wallet_user_id = latest.wallet_user_id and statements.occurred_at = latest.latest_at

),

mapped_now as (select * from latest_now where recency = 1),

latest_before as (

    select
        statements.wallet_user_id,
        statements.external_user_id as user_id,
        row_number() over (
            partition by statements.wallet_user_id
            order by statements.event_id desc, statements.batch_seq desc, statements.file_no desc, statements.line desc
        ) as recency
    from statements
    inner join latest on statements.wallet_user_id = latest.wallet_user_id and statements.occurred_at = latest.latest_built_at
    where not statements.is_new

),

mapped_before as (select * from latest_before where recency = 1),

-- An unfinished build may have mapped the wallet to any user that the new batches name.
said_since as (

    select
        statements.wallet_user_id,
        bool_or(statements.external_user_id <> mapped_now.user_id) as says_otherwise
    from statements
    inner join mapped_now on statements.wallet_user_id = mapped_now.wallet_user_id
    where statements.is_new
    group by statements.wallet_user_id

)

select
    mapped_now.wallet_user_id,
    mapped_now.user_id,
    coalesce(mapped_before.user_id <> mapped_now.user_id, true) or coalesce(said_since.says_otherwise, false) as is_remapped
from mapped_now
left join mapped_before on mapped_now.wallet_user_id = mapped_before.wallet_user_id
left join said_since on mapped_now.wallet_user_id = said_since.wallet_user_id
