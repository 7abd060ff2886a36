"""What the dashboard writes about a case of costs follows the evidence of the case."""

from decimal import Decimal
from typing import Any

import pytest

from dashboard.cost_break_help import (
    ADVICE,
    BREAKS,
    NOTHING_TO_DO,
    UNKNOWN,
    WORDS,
    cost_break_help,
    difference_words,
    line_of_model,
    words_for,
)
from dashboard.snapshot import Row
from dashboard.views.overview import profit_at_bill

ONE_SIDE = "Only one side has usage, so it is not split into volume and rate."


def case(break_type: str | None = None, **columns: Any) -> Row:
    """A case in dollars in which 2 charges with 1,000 tokens cost 1, and 1 was billed for 1,000 tokens.

    Texts of amounts become decimals.
    """
    row: Row = {
        "provider": "openai",
        "model_id": "openai/m",
        "currency": "usd",
        "status": "matched" if break_type is None else "break",
        "break_type": break_type,
        "priority": None if break_type is None else 2,
        "charges": 2,
        "charges_without_cost": 0,
        "ledger_cost": "1",
        "ledger_cost_estimated": "0",
        "ledger_tokens": 1000,
        "billed_cost": "1",
        "billed_tokens": "1000",
        "difference": "0",
        "volume_difference": "0",
        "rate_difference": "0",
    } | columns
    amounts = [name for name in row if name.endswith(("_cost", "estimated", "billed_tokens", "difference"))]
    return row | {name: Decimal(row[name]) for name in amounts if row[name] is not None}


def test_every_type_has_words_a_meaning_and_a_remedy() -> None:
    assert set(WORDS) == set(BREAKS)
    assert set(ADVICE) <= set(BREAKS)
    assert len(set(WORDS.values())) == len(WORDS)
    assert all(known.meaning and known.remedy for known in BREAKS.values())
    assert (words_for("of_tomorrow"), words_for(None)) == ("of_tomorrow", "–")
    assert cost_break_help(case("of_tomorrow")) == UNKNOWN
    assert cost_break_help(case()) == NOTHING_TO_DO


@pytest.mark.parametrize(
    ("columns", "words"),
    [
        (
            # 250 more tokens at 2 / 1,250 each are 0.40 of the difference of 1.
            {
                "billed_cost": "2",
                "billed_tokens": "1250",
                "difference": "1",
                "volume_difference": "0.4",
                "rate_difference": "0.6",
            },
            "The bill is 1.00 USD more than the ledger. Volume: it has 250 more tokens, which makes 0.40 USD"
            " more at the billed price. Rate: another price for the same tokens makes 0.60 USD more.",
        ),
        (
            {
                "billed_cost": "0.9",
                "billed_tokens": "500.5",
                "difference": "-0.1",
                "volume_difference": "-0.4",
                "rate_difference": "0.3",
            },
            "The bill is 0.10 USD less than the ledger. Volume: it has 499.5 fewer tokens, which makes 0.40"
            " USD less at the billed price. Rate: another price for the same tokens makes 0.30 USD more.",
        ),
        (
            {"billed_cost": "1.5", "difference": "0.5", "rate_difference": "0.5"},
            "The bill is 0.50 USD more than the ledger. Volume: it has the same tokens. Rate: another price"
            " for the same tokens makes 0.50 USD more.",
        ),
        (
            {},
            "The bill and the ledger have the same cost. Volume: it has the same tokens. Rate: it has the"
            " same price for the same tokens.",
        ),
        (
            {"billed_cost": None, "billed_tokens": None, "difference": None, "volume_difference": None},
            "There is no difference yet, because no bill covers the day.",
        ),
        (
            {"ledger_cost": None, "difference": None, "volume_difference": None},
            "The difference is unknown, because the cost of none of the charges is known.",
        ),
        (
            {"billed_tokens": None, "billed_cost": "3", "difference": "2", "volume_difference": None},
            "The bill is 2.00 USD more than the ledger. It is not split into volume and rate, because the"
            " bill states no tokens.",
        ),
        (
            {"billed_tokens": "0", "billed_cost": "0", "difference": "-1", "volume_difference": None},
            f"The bill is 1.00 USD less than the ledger. {ONE_SIDE}",
        ),
        (
            {
                "charges": 0,
                "ledger_cost": "0",
                "ledger_tokens": 0,
                "difference": "1",
                "volume_difference": None,
            },
            f"The bill is 1.00 USD more than the ledger. {ONE_SIDE}",
        ),
    ],
)
def test_the_difference_in_words(columns: Row, words: str) -> None:
    assert difference_words(case("token_mismatch", **columns)) == words


def test_amounts_keep_every_digit() -> None:
    tokens, ledger = "12345678901234567890123456.000000000001", 1
    row = case(
        "token_mismatch",
        billed_tokens=tokens,
        ledger_tokens=ledger,
        difference="98765432109876543210987654.000000000003",
        volume_difference="0.000000000001",
        rate_difference="98765432109876543210987654.000000000002",
    )
    words = difference_words(row)
    assert "98,765,432,109,876,543,210,987,654.000000000003 USD more than the ledger" in words
    assert "12,345,678,901,234,567,890,123,455.000000000001 more tokens" in words
    profit = Decimal("98765432109876543210987654.000000000003")
    assert profit_at_bill(profit, Decimal("0.000000000001")) == (
        Decimal("98765432109876543210987654.000000000002"),
        Decimal("-0.000000000001"),
    )


@pytest.mark.parametrize(
    ("row", "names", "meaning", "remedy"),
    [
        (
            case("billed_not_metered", priority=1, charges=0, billed_cost="3.5"),
            (),
            "openai billed 3.50 USD, and the ledger has no charge for it.",
            "state that in bills/scope.csv",
        ),
        (
            case("billed_not_metered", priority=1, charges=0, model_id="unknown"),
            ("mystery-9",),
            "The bill names mystery-9, which no rule resolves",
            "state it in bills/models.csv",
        ),
        (
            case("billed_not_metered", priority=3, charges=0, model_id="unknown"),
            (),
            "services that are no tokens and have no model",
            "add it to the price of the calls",
        ),
        (
            case("metered_not_billed", priority=1),
            (),
            "The ledger has 2 charges that cost 1.00 USD, and the bill of openai has no line for openai/m",
            "metadata.billed_by",
        ),
        (
            case("currency_mismatch"),
            (),
            "The charges have their cost in USD",
            "State provider_cost_currency",
        ),
        (
            case("currency_mismatch", charges=0),
            (),
            "The bill is in USD",
            "State provider_cost_currency",
        ),
        (
            case("token_mismatch", billed_tokens="1001"),
            (),
            "The provider billed more tokens than the ledger recorded",
            "let the gateway record what is missing",
        ),
        (
            case("token_mismatch", billed_tokens="999"),
            (),
            "The ledger recorded more tokens than the provider billed",
            "Look for repeated charges",
        ),
        (
            case("estimated_off", ledger_cost_estimated="0.25", charges_without_cost=1),
            (),
            "0.25 USD of the ledger's cost is estimated from the price list, and 1 of 2 charges has no cost.",
            "Let the gateway state provider_cost",
        ),
        (
            case("estimated_off", ledger_cost=None),
            (),
            "No cost is known of 2 charges",
            "Let the gateway state provider_cost",
        ),
        (case("rate_mismatch"), (), "The tokens agree, and the price differs", "Correct the price"),
        (
            case(status="pending", billed_cost=None),
            (),
            "No bill of openai covers this day yet.",
            "land the bill of this day",
        ),
        (case(status="pending"), (), "The bill of this day may still grow.", "COST_GRACE_DAYS"),
    ],
)
def test_advice_follows_the_evidence(row: Row, names: tuple[str, ...], meaning: str, remedy: str) -> None:
    known = cost_break_help(row, names)
    assert meaning in known.meaning
    assert remedy in known.remedy


def test_a_line_of_models_names_a_model_only_if_there_is_one() -> None:
    assert line_of_model("openai", "gpt-9", ["openai/gpt-9x"]) == "openai,gpt-9,openai/gpt-9x"
    assert line_of_model("openai", "gpt-9", []) == "openai,gpt-9,MODEL_ID"
    assert line_of_model("openai", 'a, "b"', ["openai/a", "openai/b"]) == 'openai,"a, ""b""",MODEL_ID'
