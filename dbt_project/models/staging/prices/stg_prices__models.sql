select
    model,
    model_id,
    provider,
    model_name,
    in_price_book,
    book_model
from {{ source('price_book', 'models') }}
