"""What the docs list is what the code does."""

import re
from pathlib import Path

from ingestion import events, ledger, payments, prices, reasons
from ingestion.sql import MACROS, TEXT_PROBLEMS
from ingestion.stripe.families import FAMILIES
from ingestion.stripe.records import rules_of
from paywall_warehouse.settings import Settings

DOCS = Path(__file__).parents[1] / "docs"


def reason_codes() -> set[str]:
    """Every code that a reject may have."""
    stated = {value for name, value in vars(reasons).items() if name.isupper()}
    rules = [rule for source in (ledger, events, prices, payments) for rule in source.RULES]
    rules += [rule for family in FAMILIES for rule in rules_of(family)]
    in_rules = {code for rule in rules for code in re.findall(r"'(\w+)'", rule.code)}
    in_macros = set(re.findall(r"(?:then|else) '([a-z_0-9]+_[a-z_]+)'", MACROS))
    return stated | in_rules | in_macros | set(TEXT_PROBLEMS)


def test_every_reason_code_is_explained() -> None:
    table = (DOCS / "inputs.md").read_text(encoding="utf-8").split("| reason code |")[1]
    explained = {code for row in table.splitlines() if row.startswith("| `") for code in re.findall(r"`(\w+)`", row.split("|")[1])}
    assert explained == reason_codes()


def test_every_setting_is_explained() -> None:
    operations = (DOCS / "operations.md").read_text(encoding="utf-8")
    assert [name for name in Settings.model_fields if f"`{name.upper()}`" not in operations] == []
