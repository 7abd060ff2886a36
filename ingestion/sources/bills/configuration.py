"""The operator's own files about bills: what is not sold (`bills/scope.csv`), and the names of models and
providers (`bills/models.csv`, `bills/providers.csv`). Of each the file that landed last holds.
"""

from collections.abc import Callable, Sequence

from ingestion.readers.layout import Layout
from ingestion.sources.bills.bill_format import BillFormat
from ingestion.sources.bills.flatten import MADE as FLAT, flatten
from ingestion.sources.bills.records import choice_rule, rules_of_texts, stated, stated_rule, validated
from ingestion.validation import reject_codes
from ingestion.validation.rules import Rule, known_fields

SCOPES = ("sold", "outside")


def _layout(fields: Sequence[str], required: Sequence[str]) -> Layout:
    return Layout(
        columns=(*fields, *FLAT),
        required=tuple(required),
        keeps_unknown=False,
        refuses_unknown=True,
        any_case=True,
        flatten=flatten(fields, keeps_unknown=True),
    )


def _records_sql(
    layout: Layout, lower: Sequence[str], more_rules: Sequence[Rule] = ()
) -> Callable[[str], str]:
    """Return the function that returns SQL for the records; `lower` are the columns in lower case."""
    fields = [name for name in layout.columns if name not in FLAT]
    rules = [
        *rules_of_texts(fields),
        known_fields(fields, "unknown_fields"),
        *(stated_rule(f"f_{name} is null", name) for name in layout.required if isinstance(name, str)),
        *more_rules,
    ]
    columns = {
        name: f"lower(trim(f_{name}))" if name in lower else f"nullif(trim(f_{name}), '')" for name in fields
    }
    return lambda texts: validated(stated(texts, layout), columns, rules, fields)


SCOPE_LAYOUT = _layout(("provider", "project", "key", "scope"), ("scope",))
MODELS_LAYOUT = _layout(
    ("provider", "model_as_billed", "model_id"), ("provider", "model_as_billed", "model_id")
)
PROVIDERS_LAYOUT = _layout(("name", "provider"), ("name", "provider"))

SCOPE = BillFormat(
    "scope",
    "bill_scopes",
    SCOPE_LAYOUT,
    _records_sql(
        SCOPE_LAYOUT,
        ("provider", "scope"),
        [choice_rule("lower(trim(f_scope))", "scope", SCOPES, reject_codes.UNKNOWN_SCOPE)],
    ),
    is_configuration=True,
)
MODELS = BillFormat(
    "models", "bill_models", MODELS_LAYOUT, _records_sql(MODELS_LAYOUT, ("provider",)), is_configuration=True
)
PROVIDERS = BillFormat(
    "providers",
    "bill_providers",
    PROVIDERS_LAYOUT,
    _records_sql(PROVIDERS_LAYOUT, ("name", "provider")),
    is_configuration=True,
)
