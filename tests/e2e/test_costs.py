"""What a run estimates where the ledger states no cost; the expected values are worked out by hand from the
rates beside them.
"""

from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pytest

from tests.support.builders import charge, land, ledger_file, prices_file
from tests.support.harness import RunResult, publish_home, run_pipeline

AS_OF = "2026-03-15T12:00:00Z"
BEFORE, SINCE = "2026-03-02T10:00:00Z", "2026-03-09T10:00:00Z"
TOKENS = {"prompt_tokens": 1000, "completion_tokens": 200}
BEYOND_THE_PROMPT = {"prompt_tokens": 8, "cached_tokens": 100_000, "completion_tokens": 500}
CHARGES = [
    charge("dollars_before", BEFORE, model="gpt-4o", currency="usd", **TOKENS),
    charge("dollars_since", SINCE, model="gpt-4o", currency="usd", **TOKENS),
    charge("euros_before", BEFORE, model="GPT-4o", currency="eur", **TOKENS),
    charge("euros_since", SINCE, model="openai/gpt-4o", currency="eur", **TOKENS),
    charge("euros_without_completion", SINCE, model="gpt-4o", currency="eur", prompt_tokens=1000),
    charge("pounds", SINCE, model="gpt-4o", currency="gbp", **TOKENS),
]
EUROS = prices_file(
    "euros.csv",
    (
        ("gpt-4o", "2026-03-01", "2026-03-08", "2", "9", "", "", "eur"),
        # No rate for completions: a prompt alone has a cost.
        ("gpt-4o", "2026-03-08", "", "3", "", "", "", "eur"),
    ),
)
DOLLARS = prices_file("dollars.csv", (("openai/gpt-4o", "2026-03-08", "", "4", "20", "", "0.001", "usd"),))


def run(home: Path) -> RunResult:
    result = run_pipeline(home, as_of=AS_OF)
    assert result.exit_code == 0, result
    return result


def rows(home: Path, query: str) -> list[Any]:
    with duckdb.connect(str(home / "published" / "warehouse.duckdb"), read_only=True) as connection:
        return connection.execute(query).fetchall()


def costs(home: Path) -> dict[str, tuple[Decimal | None, str]]:
    found = rows(home, "select entry_id, provider_cost, provider_cost_basis from marts.fct_ledger_entries")
    return {entry: (cost, basis) for entry, cost, basis in found}


def estimated(cost: str) -> tuple[Decimal, str]:
    return Decimal(cost), "estimated"


UNKNOWN = (None, "unknown")


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The rates in euros first, those in dollars in a run of their own."""
    home: Path = tmp_path_factory.mktemp("home")
    land(home, [ledger_file("a.jsonl", CHARGES), EUROS])
    publish_home(home, as_of=AS_OF)
    # Built-in: 2.5 and 10 US dollars a million.
    assert costs(home)["dollars_before"] == costs(home)["dollars_since"] == estimated("0.0045")
    land(home, [DOLLARS])
    publish_home(home, as_of=AS_OF)
    return home


def test_each_currency_has_its_own_rates(home: Path) -> None:
    assert costs(home) == {
        "dollars_before": estimated("0.0045"),  # 1000 × 2.5 + 200 × 10 per million
        "dollars_since": estimated("0.009"),  # 1000 × 4 + 200 × 20 per million + 0.001
        "euros_before": estimated("0.0038"),  # 1000 × 2 + 200 × 9 per million
        "euros_since": UNKNOWN,  # nobody knows what completions cost
        "euros_without_completion": estimated("0.003"),
        "pounds": UNKNOWN,
    }
    # What is unknown is not in the sum, and is counted.
    sums = (
        "select currency, sum(provider_cost), sum(charges_without_cost) from marts.fct_daily_revenue group by"
        " 1 order by 1"
    )
    assert rows(home, sums) == [
        ("eur", Decimal("0.0068"), 1),
        ("gbp", Decimal(0), 1),
        ("usd", Decimal("0.0135"), 0),
    ]
    assert rows(home, "select model_id, in_price_book from marts.dim_models") == [("openai/gpt-4o", True)]


@pytest.mark.soak
@pytest.mark.parametrize(
    "batches", [[[DOLLARS, EUROS]], [[DOLLARS], [EUROS]]], ids=["at once", "the other way round"]
)
def test_rates_that_land_later_change_what_they_would_have_changed_at_once(
    home: Path, tmp_path: Path, batches: Sequence[Any]
) -> None:
    land(tmp_path, [ledger_file("a.jsonl", CHARGES)])
    for files in batches:
        land(tmp_path, files)
        run(tmp_path)
    assert costs(tmp_path) == costs(home)
    sums = "select * from marts.fct_daily_revenue order by all"
    assert rows(tmp_path, sums) == rows(home, sums)


@pytest.mark.soak
def test_more_cached_tokens_than_prompt_tokens_are_counted_and_the_remedy_is_named(tmp_path: Path) -> None:
    model = {"model": "claude-sonnet-4-5", **BEYOND_THE_PROMPT}
    ledger = [
        charge("beside", SINCE, **model),
        charge("beside_too", SINCE, **(model | {"prompt_tokens": 99_999})),
        charge("stated", SINCE, provider_cost="0.0375", **model),
        charge("within", SINCE, **(model | {"prompt_tokens": 100_008})),
        charge("none", SINCE, model="claude-sonnet-4-5", **TOKENS),
    ]
    land(tmp_path, [ledger_file("a.jsonl", ledger)])
    result = run(tmp_path)
    assert costs(tmp_path) == {
        "beside": UNKNOWN,
        "beside_too": UNKNOWN,
        "stated": (Decimal("0.0375"), "reported"),
        "within": estimated("0.037524"),  # 8 × 3 + 100000 × 0.3 + 500 × 15 per million
        "none": estimated("0.006"),  # 1000 × 3 + 200 × 15 per million
    }
    check = (
        "select actual, passed, severity from ops.invariants where name ="
        " 'cached_tokens_are_part_of_prompt_tokens'"
    )
    assert rows(tmp_path, check) == [(3, False, "warn")]
    assert "cached_tokens_are_part_of_prompt_tokens (all): expected 0, actual 3." in result.output
    assert "Count cached tokens in prompt_tokens too" in result.output

    # The remedy: a later version that counts them so.
    mended = [one | {"updated_at": "2026-03-10T00:00:00Z", "prompt_tokens": 100_008} for one in ledger[:3]]
    land(tmp_path, [ledger_file("b.jsonl", mended)])
    result = run(tmp_path)
    assert costs(tmp_path)["beside"] == costs(tmp_path)["beside_too"] == estimated("0.037524")
    assert rows(tmp_path, check)[-1] == (0, True, "warn")
    assert "cached_tokens_are_part_of_prompt_tokens" not in result.output
