"""Bills that land again, in another grouping or a day at a time; and breaks that open and close."""

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

from tests.support.builders import LandedFile, charge, dumps, land, landed, ledger_file
from tests.support.harness import publish_home
from tests.support.published_tables import Published

AS_OF = "2026-10-20T00:00:00Z"
DAYS = [date(2026, 10, 1) + timedelta(days=number) for number in range(3)]
COST = "0.4"


def ledger() -> LandedFile:
    stated = {"model": "openai/gpt-test", "prompt_tokens": 100, "provider_cost": COST}
    return ledger_file("a.jsonl", [charge(f"on {day}", f"{day}T12:00:00Z", **stated) for day in DAYS])


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


def cases(home: Path) -> list[Any]:
    return Published(home).rows("(select * from marts.fct_cost_reconciliation order by all)")


def test_a_bill_again_in_another_grouping_or_a_day_at_a_time_changes_nothing(tmp_path: Path) -> None:
    whole, piecemeal = tmp_path / "whole", tmp_path / "piecemeal"
    land(whole, [ledger(), bill("all.json", *(bucket(day, ["0.25", "0.25"], **BY_ITEM) for day in DAYS))])
    publish_home(whole, as_of=AS_OF)
    expected = cases(whole)
    # 0.50 against 0.40 a day.
    assert [(str(row["difference"]), row["break_type"]) for row in expected] == [
        ("0.100000000000", "rate_mismatch")
    ] * len(DAYS)

    land(piecemeal, [ledger()])
    for number in (2, 0, 1):
        land(piecemeal, [bill(f"{number}.json", bucket(DAYS[number], ["0.25", "0.25"], **BY_ITEM))])
        publish_home(piecemeal, as_of=AS_OF)
    assert cases(piecemeal) == expected

    again = [
        # The same lines in other bytes, without the models, and by project instead.
        bill("again.json", *(bucket(day, ["0.25", "0.25"], note="again", **BY_ITEM) for day in DAYS)),
        bill("total.json", *(bucket(day, ["0.5"]) for day in DAYS)),
        bill("projects.json", *(bucket(day, ["0.3", "0.2"], project_id="p") for day in DAYS)),
    ]
    for file in again:
        land(piecemeal, [file])
        publish_home(piecemeal, as_of=AS_OF)
    assert cases(piecemeal) == expected


def test_a_break_closes_with_the_bill_that_replaces_it(tmp_path: Path) -> None:
    land(tmp_path, [ledger(), bill("first.json", *(bucket(day, ["0.5"], **BY_ITEM) for day in DAYS[:2]))])
    publish_home(tmp_path, as_of=AS_OF)
    assert [row["break_type"] for row in cases(tmp_path) if row["status"] == "break"] == ["rate_mismatch"] * 2
    land(tmp_path, [bill("second.json", bucket(DAYS[0], [COST], **BY_ITEM))])
    publish_home(tmp_path, as_of="2026-10-21T00:00:00Z")
    history = Published(tmp_path).rows(
        "(select * from marts.fct_cost_reconciliation_history order by case_id)"
    )
    closed, still_open = history
    # The bill of a day is final two days after its end.
    assert (closed["opened_at"], closed["closed_at"]) == (
        datetime(2026, 10, 4, tzinfo=UTC),
        datetime(2026, 10, 21, tzinfo=UTC),
    )
    assert (still_open["opened_at"], still_open["closed_at"]) == (datetime(2026, 10, 5, tzinfo=UTC), None)
