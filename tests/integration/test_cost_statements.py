"""Bills that land again, in another grouping or a day at a time; and breaks that open and close."""

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.support.builders import LandedFile, charge, dumps, land, landed, ledger_file
from tests.support.harness import publish_home
from tests.support.published_tables import Published

DAYS = [date(2026, 10, 1) + timedelta(days=number) for number in range(3)]
OTHER_DAYS = [date(2026, 10, 4), date(2026, 10, 5)]
COST = "0.4"


def ledger() -> LandedFile:
    stated = {"prompt_tokens": 100, "provider_cost": COST}
    days = {"openai/gpt-test": DAYS, "openai/gpt-other": OTHER_DAYS}
    return ledger_file(
        "a.jsonl",
        [
            charge(f"{model} on {day}", f"{day}T12:00:00Z", model=model, **stated)
            for model, charged in days.items()
            for day in charged
        ],
    )


def bucket(day: date, amounts: Sequence[str], **grouped: Any) -> dict[str, Any]:
    """A day of OpenAI's costs, with a line for each amount."""
    begin = int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp())
    lines = [
        {
            "amount": {"value": amount, "currency": "usd"},
            "quantity": 100 // len(amounts),
            "quantity_unit": "tokens",
            **grouped,
        }
        for amount in amounts
    ]
    return {"object": "bucket", "start_time": begin, "end_time": begin + 86_400, "results": lines}


def bill(name: str, *buckets: dict[str, Any]) -> LandedFile:
    return landed("bills/openai_costs", name, dumps({"object": "page", "data": buckets}).encode())


BY_ITEM = {"line_item": "gpt-test, input"}
OF_OTHER = {"line_item": "gpt-other, input"}
HALVES = ["0.25", "0.25"]
# Of another model, on days of its own: the second bill replaces that of the first day.
FIRST = bill("first.json", *(bucket(day, ["0.5"], **OF_OTHER) for day in OTHER_DAYS))
SECOND = bill("second.json", bucket(OTHER_DAYS[0], [COST], **OF_OTHER))


def a_day(number: int) -> LandedFile:
    return bill(f"{number}.json", bucket(DAYS[number], HALVES, **BY_ITEM))


def again(name: str, days: Sequence[date]) -> list[LandedFile]:
    """The same lines in other bytes, and without the models."""
    return [
        bill(f"again_{name}.json", *(bucket(day, HALVES, note="again", **BY_ITEM) for day in days)),
        bill(f"total_{name}.json", *(bucket(day, ["0.5"]) for day in days)),
    ]


# A day at a time, out of order. What was published lands again, at last by project instead of by model.
NIGHTS = (
    ("2026-10-20T00:00:00Z", [ledger(), a_day(2), FIRST]),
    ("2026-10-20T00:00:00Z", [a_day(0), *again("last", DAYS[2:])]),
    (
        "2026-10-21T00:00:00Z",
        [
            a_day(1),
            *again("first", DAYS[:2]),
            bill("projects.json", *(bucket(day, ["0.3", "0.2"], project_id="p") for day in DAYS)),
            SECOND,
        ],
    ),
)


def cases(home: Path, model: str) -> list[Any]:
    return Published(home).rows(
        f"(select * from marts.fct_cost_reconciliation where model_id = '{model}' order by all)"
    )


@pytest.fixture(scope="module")
def piecemeal(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Any]]:
    """The home after the last night, and the breaks of the other model after the first."""
    home, breaks = tmp_path_factory.mktemp("piecemeal"), []
    for as_of, files in NIGHTS:
        land(home, files)
        publish_home(home, as_of=as_of)
        breaks.append(
            [row["break_type"] for row in cases(home, "openai/gpt-other") if row["status"] == "break"]
        )
    return home, breaks[0]


def test_a_bill_again_in_another_grouping_or_a_day_at_a_time_changes_nothing(
    piecemeal: tuple[Path, list[Any]], tmp_path: Path
) -> None:
    land(tmp_path, [ledger(), bill("all.json", *(bucket(day, HALVES, **BY_ITEM) for day in DAYS))])
    as_of, _ = NIGHTS[-1]
    publish_home(tmp_path, as_of=as_of)
    expected = cases(tmp_path, "openai/gpt-test")
    # 0.50 against 0.40 a day.
    assert [(str(row["difference"]), row["break_type"]) for row in expected] == [
        ("0.100000000000", "rate_mismatch")
    ] * len(DAYS)
    assert cases(piecemeal[0], "openai/gpt-test") == expected


def test_a_break_closes_with_the_bill_that_replaces_it(piecemeal: tuple[Path, list[Any]]) -> None:
    home, before = piecemeal
    assert before == ["rate_mismatch"] * 2
    history = Published(home).rows(
        """(select * from marts.fct_cost_reconciliation_history
        where case_id like '%gpt-other%' order by case_id)"""
    )
    closed, still_open = history
    # The bill of a day is final two days after its end.
    assert (closed["opened_at"], closed["closed_at"]) == (
        datetime(2026, 10, 7, tzinfo=UTC),
        datetime(2026, 10, 21, tzinfo=UTC),
    )
    assert (still_open["opened_at"], still_open["closed_at"]) == (datetime(2026, 10, 8, tzinfo=UTC), None)
