"""Anthropic's costs: the pages of the cost report, and the console's cost CSV.

The API states cents as a decimal text, the CSV dollars, rounded to cents a row.
"""

from functools import partial

from ingestion.readers.layout import Layout
from ingestion.sources.bills.bill_format import BillFormat
from ingestion.sources.bills.flatten import EMPTY, MADE as FLAT, Row, flatten
from ingestion.sources.bills.lines import MADE, LineSql, Stated, lines_sql, utc_time
from ingestion.sources.bills.records import either, midnight

OF_BUCKETS = ("starting_at", "ending_at")
OF_RESULTS = ("amount", "currency", "cost_type", "token_type", "model", "workspace_id", "api_key_id")
FIELDS = (*OF_BUCKETS, *OF_RESULTS, "usage_date_utc", "cost_usd", "workspace", "api_key")
# Their costs may have a model, and are not of tokens.
NO_TOKENS = "('web_search', 'code_execution', 'session_usage')"


def _of_result(bucket: Row, result: Row) -> Row:
    return {name: bucket.get(name) for name in OF_BUCKETS} | {name: result.get(name) for name in OF_RESULTS}


LAYOUT = Layout(
    columns=(*FIELDS, *FLAT),
    required=(
        ("usage_date_utc", "starting_at"),
        ("cost_usd", "amount"),
        "token_type",
        "model",
    ),
    keeps_unknown=False,
    any_case=True,
    flatten=flatten(FIELDS, _of_result),
)

LINE = LineSql(
    provider=Stated("'anthropic'", ""),
    start=Stated("coalesce(f_starting_at, f_usage_date_utc)", either("starting_at", "usage_date_utc")),
    end=Stated("coalesce(f_ending_at, f_usage_date_utc)", "ending_at"),
    start_value=f"""case when f_starting_at is not null then {utc_time("f_starting_at")}
        else {midnight(utc_time("f_usage_date_utc"))} end""",
    end_value=f"""case when f_ending_at is not null then {utc_time("f_ending_at")}
        when f_starting_at is null then {midnight(utc_time("f_usage_date_utc"))} + interval 24 hour end""",
    amount=Stated("coalesce(with_exponent(f_amount, -2), f_cost_usd)", either("amount", "cost_usd")),
    currency=Stated("coalesce(f_currency, case when f_cost_usd is not null then 'usd' end)", "currency"),
    quantity=Stated("null::varchar", ""),
    unit="null::varchar",
    model="f_model",
    kind=f"""case
        when lower(f_cost_type) in {NO_TOKENS} then 'other'
        when lower(f_token_type) in ('uncached_input_tokens', 'input_no_cache') then 'input'
        when regexp_matches(lower(f_token_type), '^(input_)?cache_read') then 'cached_input'
        when regexp_matches(lower(f_token_type), '^(cache_creation|input_cache_write)') then 'cache_write'
        when starts_with(lower(f_token_type), 'output') then 'output'
        else 'other'
    end""",
    project="coalesce(f_workspace_id, f_workspace)",
    key="coalesce(f_api_key_id, f_api_key)",
    is_empty=f"coalesce(f_shape = '{EMPTY}', false)",
    is_rounded="f_amount is null and f_cost_usd is not null",
    covers_buckets="f_starting_at is not null",
)

ANTHROPIC_COSTS = BillFormat(
    "anthropic_costs", "bill_lines", LAYOUT, partial(lines_sql, "anthropic_costs", LINE, LAYOUT), MADE
)
