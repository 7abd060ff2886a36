"""OpenAI's costs: the pages of `GET /v1/organization/costs`, and the dashboard's cost CSV.

Costs have no column for the model. Grouped by `line_item` they have texts such as `gpt-5-nano, input_tokens`:
the model is the text before the first comma, and there is none in a text without a comma (web search). No
known source has the model second, as in `web search, gpt-4o`. Should one come, it is read: names of models
have no blank, and the words after a model name a kind of tokens.
"""

from functools import partial

from ingestion.readers.layout import Layout
from ingestion.sources.bills.bill_format import BillFormat
from ingestion.sources.bills.flatten import EMPTY, MADE as FLAT, Row, flatten
from ingestion.sources.bills.lines import MADE, LineSql, Stated, kind_of_words, lines_sql, utc_time
from ingestion.sources.bills.records import either

FIELDS = (
    "start_time",
    "end_time",
    "start_time_iso",
    "end_time_iso",
    "amount_value",
    "amount_currency",
    "quantity",
    "quantity_unit",
    "line_item",
    "project_id",
    "api_key_id",
)


def _of_result(bucket: Row, result: Row) -> Row:
    amount = result.get("amount")
    stated = amount if isinstance(amount, dict) else {}
    return {
        **{name: bucket.get(name) for name in FIELDS if "time" in name},
        "amount_value": stated.get("value"),
        "amount_currency": stated.get("currency"),
        **{name: result.get(name) for name in FIELDS[6:]},
    }


LAYOUT = Layout(
    columns=(*FIELDS, *FLAT),
    required=(
        ("start_time", "start_time_iso"),
        ("end_time", "end_time_iso"),
        "amount_value",
        "amount_currency",
    ),
    keeps_unknown=False,
    any_case=True,
    flatten=flatten(FIELDS, _of_result),
)
# A row of the CSV that has nothing but times, or a bucket without results.
NOTHING = " and ".join(f"f_{name} is null" for name in FIELDS if "time" not in name)

# Of a text with a comma.
FIRST = "trim(split_part(f_line_item, ',', 1))"
REST = "trim(f_line_item[strpos(f_line_item, ',') + 1:])"
KIND = kind_of_words(REST)

LINE = LineSql(
    provider=Stated("'openai'", ""),
    start=Stated("coalesce(f_start_time, f_start_time_iso)", either("start_time", "start_time_iso")),
    end=Stated("coalesce(f_end_time, f_end_time_iso)", either("end_time", "end_time_iso")),
    start_value=utc_time("coalesce(f_start_time, f_start_time_iso)"),
    end_value=utc_time("coalesce(f_end_time, f_end_time_iso)"),
    amount=Stated("f_amount_value", either("amount.value", "amount_value")),
    currency=Stated("f_amount_currency", either("amount.currency", "amount_currency")),
    quantity=Stated("f_quantity", "quantity"),
    unit="f_quantity_unit",
    model=f"""case
        when not contains(f_line_item, ',') then null
        when contains({FIRST}, ' ') and not contains({REST}, ' ') and {KIND} is null then nullif({REST}, '')
        else nullif({FIRST}, '') end""",
    kind=f"coalesce(case when contains(f_line_item, ',') then {KIND} end, 'other')",
    project="f_project_id",
    key="f_api_key_id",
    is_empty=f"(coalesce(f_shape, '{EMPTY}') = '{EMPTY}' and {NOTHING})",
    covers_buckets="true",
)

OPENAI_COSTS = BillFormat(
    "openai_costs", "bill_lines", LAYOUT, partial(lines_sql, "openai_costs", LINE, LAYOUT), MADE
)
