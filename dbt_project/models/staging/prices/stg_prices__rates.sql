select
    ---------- ids
    model_id,

    ---------- where the rate applies
    effective_from,
    effective_to,
    min_prompt_tokens,
    max_prompt_tokens,

    ---------- money
    currency,
    prompt_rate,
    completion_rate,
    cached_prompt_rate,
    request_fee,

    source
from {{ source('price_book', 'model_rates') }}
