select
    ---------- where the markup applies
    source,
    model_id,
    effective_from,
    effective_to,

    ---------- money
    multiplier,
    per_request
from {{ source('price_book', 'markups') }}
