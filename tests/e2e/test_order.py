"""The same records give the same marts however they land; a reversal takes back what it reverses; sums grow
as amounts do.

Each property holds runs of the whole product against one plain run of the same seed. `ORDER_EXAMPLES` sets
how many seeds; `make soak` raises it.
"""

import os
import random
import shutil
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal, InvalidOperation
from itertools import cycle, islice
from pathlib import Path
from typing import Any

import duckdb
import pytest
from hypothesis import HealthCheck, Phase, example, given, settings as hypothesis_settings, strategies as st

from paywall_warehouse.home import Home
from tests.support.builders import Raw, Record, events_file, land, ledger_file
from tests.support.crash_drill import differences, tables
from tests.support.harness import publish_home
from tests.support.strategies import EVENT_ENDINGS, LEDGER_ENDINGS, World

pytestmark = [pytest.mark.slow, pytest.mark.timeout(0)]

EXAMPLES = int(os.environ.get("ORDER_EXAMPLES", "1"))
AS_OF = "2026-06-03T15:00:00+00:00"
MONEY_FIELDS = ("amount", "provider_cost", "platform_fees")
EVENT_MONEY = ("amount", "credits", "cost", "processingFeeAmount", "requestedAmount", "availableBalance")

several_seeds = hypothesis_settings(
    max_examples=EXAMPLES,
    derandomize="ORDER_EXAMPLES" not in os.environ,
    phases=(Phase.explicit, Phase.generate) if EXAMPLES > 1 else (Phase.explicit,),
    suppress_health_check=list(HealthCheck),
    print_blob=True,
)
seeds = st.integers(0, 2**32 - 1)


class Books:
    """The records of a seed: units of the ledger, each of which lands whole and in its order, and webhook
    deliveries.
    """

    def __init__(self, seed: int) -> None:
        world = World(seed, "Europe/Berlin")
        world.big_left = 0  # the largest amounts that there are have no multiples
        self.units: list[list[Record]] = world.ledger_units(90)
        self.deliveries = [world.shape(body) for body in world.events(25)]

    @property
    def records(self) -> list[Record]:
        return [record for unit in self.units for record in unit]


def run(home: Home, **settings: Any) -> None:
    publish_home(home.root, as_of=AS_OF, **settings)


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Callable[[int], Home]:
    """The home of a seed whose records landed in one file of each kind, in one run; not to be changed."""
    made: dict[int, Home] = {}

    def of(seed: int) -> Home:
        if seed not in made:
            made[seed] = Home(tmp_path_factory.mktemp("plain"))
            books = Books(seed)
            land(
                made[seed].root,
                [ledger_file("all.jsonl", books.records), events_file("all.jsonl", books.deliveries)],
            )
            run(made[seed])
        return made[seed]

    return of


def marts(home: Home) -> dict[str, list[str]]:
    # `versions` counts how often an entry was stated, repetitions included.
    selected = "select * exclude (versions) from marts.fct_ledger_entries"
    return {
        name: rows
        for name, rows in tables(home, {"marts.fct_ledger_entries": selected})
        if name.startswith("marts.")
    }


# ---- order


@pytest.mark.soak
@several_seeds
@given(seed=seeds, dealer=st.randoms(use_true_random=False))
@example(seed=1, dealer=random.Random(1))
def test_the_same_records_in_any_order_files_formats_and_runs_give_the_same_marts(
    plain: Callable[[int], Home], tmp_path_factory: pytest.TempPathFactory, seed: int, dealer: random.Random
) -> None:
    home, books = Home(tmp_path_factory.mktemp("dealt")), Books(seed)
    endings = dealer.sample(LEDGER_ENDINGS, 6)
    units, deliveries = (
        dealt(dealer, one, len(endings)) for one in (books.units, [[body] for body in books.deliveries])
    )
    for number, ending in enumerate(endings):
        files = [ledger_file(f"{number}.{ending}", units[number])]
        files.append(events_file(f"{number}.{dealer.choice(EVENT_ENDINGS)}", deliveries[number]))
        land(home.root, files)
        if number in (2, len(endings) - 1):
            run(home)
    assert "\n".join(differences(marts(plain(seed)), marts(home))) == ""


def dealt(dealer: random.Random, units: Sequence[Sequence[Any]], hands: int) -> list[list[Any]]:
    """Every unit in some hand, every fourth in another one too, each hand shuffled."""
    piles: list[list[Sequence[Any]]] = [[] for _ in range(hands)]
    for unit in units:
        for hand in dealer.sample(range(hands), 2 if dealer.random() < 0.25 else 1):
            piles[hand].append(unit)
    for pile in piles:
        dealer.shuffle(pile)
    return [[record for unit in pile for record in unit] for pile in piles]


# ---- reversals

# What a reversal takes back whole. What a reversed charge cost its provider stays, and with it every profit
# (docs/contract.md#41-per-entry).
USAGE = (
    "charges",
    "prompt_tokens",
    "completion_tokens",
    "total_tokens",
    "revenue",
    "refunds",
    "net_revenue",
    "platform_fees",
)
UNMOVED = {
    "fct_wallet_days": ("*",),
    "fct_balance_rollforward": ("*",),
    "fct_reconciliation": ("*",),
    "fct_daily_revenue": ("date_day", "paywall_id", "model_id", "currency", *USAGE),
    "fct_user_days": (
        "date_day",
        "user_id",
        "paywall_id",
        "currency",
        *USAGE,
        "deposits",
        "promo_deposits",
        "is_new_payer",
    ),
    "fct_period_kpis": (
        "period",
        "currency",
        "charges",
        "total_tokens",
        "revenue",
        "refunds",
        "net_revenue",
        "platform_fees",
        "active_users",
        "active_payers",
        "new_payers",
        "returning_payers",
        "arpu",
        "deposits",
        "promo_deposits",
        "previous_revenue",
        "previous_active_payers",
        "previous_arpu",
    ),
    "fct_cohorts": (
        "cohort_month",
        "currency",
        "months_since",
        "cohort_size",
        "active_payers",
        "retention_rate",
        "revenue",
        "cumulative_revenue",
    ),
}
COSTS = (
    "select currency, sum(provider_cost), sum(profit), sum(net_profit), sum(charges_without_cost) from {}"
    " group by all order by all"
)


@pytest.mark.soak
@several_seeds
@given(seed=seeds)
@example(seed=1)
def test_an_entry_and_its_reversal_leave_the_books_as_they_were_but_for_what_the_provider_took(
    plain: Callable[[int], Home], tmp_path_factory: pytest.TempPathFactory, seed: int
) -> None:
    before = plain(seed)
    home = Home(Path(shutil.copytree(before.root, tmp_path_factory.mktemp("reversed") / "home")))
    kinds = ("charge", "deposit", "withdrawal", "adjustment", "refund")
    added = [
        copy
        for kind in kinds
        for copy in copies([one for one in Books(seed).records if one["type"] == kind], 5)
    ]
    reversals = [one | {"status": "reversed", "updated_at": a_day_later(one["timestamp"])} for one in added]
    land(home.root, [ledger_file("added.csv", added), ledger_file("reversed.jsonl.gz", reversals)])
    run(home)
    assert entries(home) == entries(before) + len(added)
    for table, columns in UNMOVED.items():
        assert moving(home, table, columns) == moving(before, table, columns), table
    cost = Decimal("0.125") * 5  # of the five charges, all in one currency
    for table in ("fct_daily_revenue", "fct_user_days"):
        wanted = [
            (
                currency,
                *((sums[0] + cost, sums[1] - cost, sums[2] - cost, sums[3]) if currency == "usd" else sums),
            )
            for currency, *sums in rows(before, COSTS.format(f"marts.{table}"))
        ]
        assert rows(home, COSTS.format(f"marts.{table}")) == wanted, table


def copies(known: Sequence[Record], number: int) -> list[Record]:
    """New entries on the days and wallets of known ones."""
    chosen = list(islice(cycle(one for one in known if one.get("user")), number))
    more = {"amount": "3.21", "status": "settled", "currency": "usd"}
    found = []
    for count, one in enumerate(chosen):
        own = (
            {name: one[name] for name in ("timestamp", "type", "user", "paywall")}
            | more
            | {"id": f"{one['type']} {count}, reversed"}
        )
        found.append(
            own
            | (
                {"provider_cost": "0.125", "prompt_tokens": 7, "platform_fees": "0.01"}
                if one["type"] == "charge"
                else {}
            )
        )
    return found


def a_day_later(instant: str) -> str:
    moment = datetime.fromisoformat(instant[:19]).replace(tzinfo=UTC)
    return (moment + timedelta(days=3)).isoformat()


def entries(home: Home) -> int:
    ((number,),) = rows(home, "select count(*) from marts.fct_ledger_entries")
    return int(number)


def moving(home: Home, table: str, columns: Sequence[str]) -> Counter[str]:
    """The rows of a table in which anything moves: a day on which nothing is left may have a row or none."""
    with connected(home) as connection:
        found = connection.execute(f"select {', '.join(columns)} from marts.{table}")
        numbers = [
            n
            for n, (_, kind, *_) in enumerate(found.description or [])
            if str(kind) not in ("VARCHAR", "STRING", "DATE", "Date")
        ]
        return Counter(
            str(row) for row in found.fetchall() if any(row[n] not in (None, 0, False) for n in numbers)
        )


# ---- scale


@pytest.mark.soak
@several_seeds
@given(seed=seeds, factor=st.sampled_from((3, 10, 1000)))
@example(seed=1, factor=1000)
def test_every_amount_times_a_number_makes_every_sum_as_many_times_as_large_and_leaves_the_ratios(
    plain: Callable[[int], Home], tmp_path_factory: pytest.TempPathFactory, seed: int, factor: int
) -> None:
    home, books = Home(tmp_path_factory.mktemp("scaled")), Books(seed)
    ledger = [scaled(record, MONEY_FIELDS, factor) for record in books.records]
    land(
        home.root,
        [
            ledger_file("all.jsonl", ledger),
            events_file("all.jsonl", [with_scaled_event(one, factor) for one in books.deliveries]),
        ],
    )
    run(home, low_balance=str(factor))
    wanted, found = scaled_marts(plain(seed), factor), scaled_marts(home, 1)
    assert differences(wanted, found) == []
    assert sum(map(len, found.values())) > 500


def scaled(record: Record, names: Sequence[str], factor: int) -> Record:
    return record | {name: times(record[name], factor) for name in names if record.get(name) is not None}


def times(value: Any, factor: int) -> Any:
    """A number as it was written, so many times; what is none stays."""
    try:
        product = format(Decimal(str(value)) * factor, "f")
    except InvalidOperation:
        return value
    return product if type(value) is str else Raw(product)


def with_scaled_event(body: Record, factor: int) -> Record:
    """A delivery in any of its shapes."""
    if "event" in body:
        return body | {"event": with_scaled_event(body["event"], factor)}
    return body | {"data": scaled(body["data"], EVENT_MONEY, factor)}


def scaled_marts(home: Home, factor: int) -> dict[str, list[str]]:
    """Every mart with its money so many times; ratios to twelve digits, for they are binary."""
    found = {}
    with connected(home) as connection:
        for (table,) in connection.execute(
            "select table_name from duckdb_tables() where schema_name = 'marts'"
        ).fetchall():
            columns = connection.execute(f"describe marts.{table}").fetchall()
            selected = [
                cell_sql(name, kind, table, factor) for name, kind, *_ in columns if name != "metadata"
            ]
            lines = connection.execute(f"select {', '.join(selected)} from marts.{table}").fetchall()
            found[table] = sorted(map(str, lines))
    return found


def cell_sql(name: str, kind: str, table: str, factor: int) -> str:
    if kind.startswith("DECIMAL"):
        return f'cast("{name}" * {factor} as varchar)'
    if (
        name == "arpu"
        or name.endswith(("_arpu", "_per_user"))
        or (table, name) == ("rpt_users", "cost_to_serve")
    ):
        return f"printf('%.12g', \"{name}\" * {factor})"  # money for each of them
    return f"printf('%.12g', \"{name}\")" if kind == "DOUBLE" else f'cast("{name}" as varchar)'


# ---- what is there


def connected(home: Home) -> duckdb.DuckDBPyConnection:
    connection = duckdb.connect(str(home.published_file), read_only=True)
    connection.execute("set TimeZone = 'UTC'")
    return connection


def rows(home: Home, query: str) -> list[tuple[Any, ...]]:
    with connected(home) as connection:
        return connection.execute(query).fetchall()
