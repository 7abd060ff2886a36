"""OpenRouter's activity: the answer of `GET /activity`, and the aggregate CSV, rounded to cents a row.

Rows of an own key cost nothing at OpenRouter: another provider bills them, so they are filtered.
"""

from functools import partial

from ingestion.readers.layout import Layout
from ingestion.sources.bills.bill_format import BillFormat
from ingestion.sources.bills.flatten import MADE as FLAT, flatten
from ingestion.sources.bills.lines import MADE, LineSql, Stated, lines_sql, utc_time
from ingestion.sources.bills.records import either, midnight

# The CSV has the headers Slug, BYOK Usage, Prompt Tokens, and so on. The permaslug is never the model: it is
# dated, and requests use the short one.
FIELDS = (
    "date",
    "model",
    "slug",
    "usage",
    "byok_usage_inference",
    "byok_usage",
    "prompt_tokens",
    "completion_tokens",
)
LAYOUT = Layout(
    columns=(*FIELDS, *FLAT),
    required=("date", ("model", "slug"), "usage"),
    keeps_unknown=False,
    any_case=True,
    flatten=flatten(FIELDS),
)
OWN_KEY = "coalesce(f_byok_usage_inference, f_byok_usage)"
# Reasoning tokens are part of the completion tokens. One count without the other says nothing.
TOKENS = "float_money(float_text(f_prompt_tokens)) + float_money(float_text(f_completion_tokens))"

LINE = LineSql(
    provider=Stated("'openrouter'", ""),
    start=Stated("f_date", "date"),
    end=None,
    start_value=midnight(utc_time("f_date")),
    end_value=f"{midnight(utc_time('f_date'))} + interval 24 hour",
    amount=Stated("f_usage", "usage"),
    currency=Stated("'usd'", ""),
    quantity=Stated(f"plain_text({TOKENS})", either("prompt_tokens", "completion_tokens")),
    unit=f"case when {TOKENS} is not null then 'tokens' end",
    model="coalesce(f_model, f_slug)",
    kind="'all'",
    is_filtered=f"""f_usage is not null and is_zero(f_usage)
        and is_decimal({OWN_KEY}) and not is_zero({OWN_KEY}) and not starts_with({OWN_KEY}, '-')""",
    is_rounded="f_slug is not null",
)

OPENROUTER_ACTIVITY = BillFormat(
    "openrouter_activity", "bill_lines", LAYOUT, partial(lines_sql, "openrouter_activity", LINE, LAYOUT), MADE
)
