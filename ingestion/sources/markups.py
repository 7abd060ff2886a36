"""The operator's own markups (`prices/markups.csv`), which price charges whose source states only its cost:
their rules, and the columns that the lake keeps.

They are specified in docs/contract.md#28-mapped-sources.
"""

from pathlib import PurePosixPath

from ingestion.readers.layout import Layout
from ingestion.sources.prices import DATES, dates_sql, fits_limit, is_date, is_range
from ingestion.validation.fields import stated_fields
from ingestion.validation.rules import RULES_OF_FORM, first_broken, known_fields, money, of_broken_rule
from paywall_warehouse.quoting import literal

FACTORS = ("multiplier", "per_request")
FIELDS = ("source", "model", *DATES, *FACTORS)
LAYOUT = Layout(columns=FIELDS, required=(FACTORS,), money=FACTORS, refuses_unknown=True)

ANY = "*"
# Costs are below 10^18, so that the product with the largest multiplier fits DECIMAL(38,12).
LIMITS = {"multiplier": 10**6, "per_request": 10**6}


def is_markups(path: str) -> bool:
    """Return whether a file of the folder `prices/` holds markups: `markups.csv`, `markups.jsonl.gz`, …"""
    return PurePosixPath(path).name.lower().startswith("markups.")


RULES = (
    *RULES_OF_FORM,
    # Without its misspelled `model`, a markup would hold for every model.
    known_fields(FIELDS, "json_keys(extra)"),
    *(is_date(field) for field in DATES),
    is_range(),
    *(rule for field in FACTORS for rule in (*money(field), fits_limit(field, LIMITS[field]))),
)


def records_sql(texts: str) -> str:
    """Return SQL for every markup of `texts`, typed, with its text as `raw`.

    A markup that breaks a rule has `reject_code` and `reject_words`; otherwise both are NULL.
    """
    stated = stated_fields(
        texts,
        fields={name: f"$.{name}" for name in FIELDS},
        scalars=("source", "model"),
        objects={},
        known=FIELDS,
    )
    factors = ", ".join(f"exact_money(f_{name}) as v_{name}" for name in FACTORS)
    return f"""
    select file_no, line,
        coalesce(f_source, {literal(ANY)}) as source, coalesce(f_model, {literal(ANY)}) as model,
        v_effective_from as effective_from, v_effective_to as effective_to,
        coalesce(v_multiplier, 1) as multiplier, coalesce(v_per_request, 0) as per_request,
        {of_broken_rule(RULES, "code")} as reject_code,
        {of_broken_rule(RULES, "message")} as reject_words,
        raw
    from (
        select *, {first_broken(RULES)} as broken
        from (select *, {dates_sql()}, {factors} from ({stated}))
    )"""
