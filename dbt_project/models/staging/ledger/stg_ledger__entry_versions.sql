with

entries as (select * from {{ source('ledger', 'ledger_entries') }}),

settings as (select * from {{ ref('stg_run__settings') }}),

entry_versions as (

    select
        ---------- landing order
        entries.batch_seq,
        entries.file_no,
        entries.line,

        ---------- ids
        entries.entry_id,
        entries.related_entry_id,
        entries.user_id,
        entries.paywall_id,
        entries.request_id,
        entries.payment_intent_id,
        entries.charge_id,
        entries.checkout_session_id,
        entries.payment_id,

        ---------- what
        entries.entry_type,
        entries.status,
        coalesce(entries.billing, 'prepaid') as billing,
        entries.model,
        entries.rail,
        entries.funding,
        entries.reason,
        entries.metadata,

        ---------- money
        coalesce(entries.currency, settings.default_currency) as currency,
        entries.amount,
        entries.provider_cost,
        entries.provider_cost_currency,
        entries.platform_fees,

        ---------- tokens
        entries.prompt_tokens,
        entries.completion_tokens,
        entries.total_tokens,
        entries.cached_tokens,
        entries.reasoning_tokens,

        ---------- time
        entries.occurred_at,
        entries.updated_at,

        ---------- where from
        coalesce(entries.source, 'ledger') as source
    from entries
    cross join settings

)

select * from entry_versions
