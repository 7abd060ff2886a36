select
    model,
    model_id,
    provider,
    model_name,
    in_price_book
from {{ source('price_book', 'models') }}
