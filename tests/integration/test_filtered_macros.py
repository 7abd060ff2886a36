"""What the table macros answer for any filters, against the oracle over the entries that these let through;
one run for all.
"""

import random
import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import localcontext
from pathlib import Path
from typing import Any

import duckdb
import pytest

from paywall_warehouse.settings import load_settings
from tests.support.builders import charge, deposit, land, ledger_file, refund
from tests.support.harness import publish_home
from tests.support.oracle import (
    EXACT,
    Expected,
    Row,
    Rows,
    cohort_rows,
    expected,
    first_payments,
    group,
    measures,
    with_previous,
)
from tests.support.published_tables import Published, differences
from tests.support.strategies import build_scenario
from warehouse.dbt_runner import Dbt

pytestmark = [pytest.mark.slow, pytest.mark.timeout(0)]

OF_ENTRIES = ("paywalls", "models", "entry_types")
OF_USERS = {"user_statuses": "status", "balance_bands": "balance_band", "payer_types": "payer_type"}
TYPES = ("deposit", "charge", "refund", "adjustment", "withdrawal")
SUMS = (
    "charges",
    "counted_charges",
    "charges_without_cost",
    "prompt_tokens",
    "completion_tokens",
    "total_tokens",
    "revenue",
    "refunds",
    "net_revenue",
    "provider_cost",
    "platform_fees",
    "profit",
    "net_profit",
)
# What the scenario leaves out: a deposit with a model, refunds without one and a charge that is pending for
# good, of a user of its own.
MORE = [
    deposit("deposit of a model", "2026-03-20T12:00:00Z", "7", user="alice", model="acme/alpha-1"),
    refund("refund of no model", "2026-03-21T12:00:00Z", "0.25", "nobody_knows", user="alice"),
    refund("refund of nothing", "2026-03-22T12:00:00Z", "0", "nobody_knows", user="Bob"),
    charge("pending", "2026-03-22T12:00:00Z", "3", user="only pending", status="pending"),
]


@dataclass(frozen=True)
class PublishedLedger:
    """The published file, open, beside what the oracle makes of the same landing files."""

    db: duckdb.DuckDBPyConnection
    published: Published
    want: Expected
    users: Rows
    values: dict[str, list[str]]

    def rows(self, sql: str, *values: Any) -> list[Any]:
        return self.db.execute(sql, list(values)).fetchall()

    def table(self, sql: str, values: Sequence[Any], grain: Sequence[str]) -> Rows:
        result = self.db.execute(sql, list(values))
        names = [name for name, *_ in result.description or []]
        rows = [dict(zip(names, found, strict=True)) for found in result.fetchall()]
        by_key = {tuple(row[name] for name in grain): row for row in rows}
        assert len(by_key) == len(rows), f"{sql}: more than one row for {grain}"
        return by_key

    def lets_through(self, lists: "Lists") -> Callable[[Row], bool]:
        return lambda one: entry_is_listed(one, lists) and self.user_is_listed(one, lists)

    def user_is_listed(self, one: Row, lists: "Lists") -> bool:
        given = {column: lists[name] for name, column in OF_USERS.items() if name in lists}
        if not given:
            return True
        user = self.users.get((one["user_id"], one["currency"]))
        return user is not None and all(user[column] in allowed for column, allowed in given.items())

    def entries(self, lists: "Lists") -> list[Row]:
        return list(filter(self.lets_through(lists), self.want.ledger))


Lists = dict[str, list[str]]


def entry_is_listed(one: Row, lists: Lists) -> bool:
    model = "unknown" if one["model_id"] is None and one["entry_type"] == "refund" else one["model_id"]
    value = {"paywalls": one["paywall_id"], "models": model, "entry_types": one["entry_type"]}
    return all(value[name] in lists[name] for name in OF_ENTRIES if name in lists)


@pytest.fixture(scope="module")
def ledger(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PublishedLedger]:
    home = tmp_path_factory.mktemp("filtered")
    scenario = build_scenario(11, "Europe/Berlin", "usd", "created", "2026-04-01T12:00:00+00:00", 700)
    # Users of the last weeks only, so that some payers are new; and the first of a month, on which the one
    # before is complete.
    late = [
        charge(
            f"late {n}",
            f"2026-03-{n + 10}T12:00:00Z",
            f"0.{n + 1}",
            user=f"late {n % 4}",
            model="acme/beta-2",
        )
        for n in range(12)
    ]
    files = [*scenario.files, ledger_file("more.jsonl", [*MORE, *late])]
    land(home, files)
    publish_home(
        home, as_of=scenario.settings.as_of, reporting_timezone="Europe/Berlin", max_reject_ratio="1"
    )
    published = Published(home)
    users = published.table("marts.rpt_users", ("user_id", "currency"))
    want = expected(files, scenario.settings)
    values = {
        "paywalls": sorted({one["paywall_id"] for one in want.ledger}),
        "models": sorted({one["model_id"] or "unknown" for one in want.ledger}),
        "entry_types": list(TYPES),
        **{name: sorted({user[column] for user in users.values()}) for name, column in OF_USERS.items()},
    }
    with duckdb.connect(str(published.path), read_only=True) as db:
        yield PublishedLedger(db, published, want, users, values)


@pytest.fixture(autouse=True)
def exact() -> Iterator[None]:
    """Sums of the oracle that would be rounded raise."""
    with localcontext(EXACT):
        yield


def some_lists(ledger: PublishedLedger, dice: random.Random, share: float = 0.35) -> Lists:
    """Each list at times, with one value, several, or one that nothing has."""
    lists = {}
    for name, values in ledger.values.items():
        if dice.random() < share:
            lists[name] = dice.sample(values, dice.randrange(1, len(values) + 1))
            if dice.random() < 0.1:
                lists[name].append("nothing's value")
    return lists


def some_days(ledger: PublishedLedger, dice: random.Random) -> tuple[date, date]:
    first, last = (
        min(one["entry_date"] for one in ledger.want.ledger),
        max(one["entry_date"] for one in ledger.want.ledger),
    )
    since = first + timedelta(days=dice.randrange(-20, (last - first).days + 20))
    return since, since + timedelta(days=dice.choice((1, 2, 7, 30, 31, 90, 400)))


def some_cut(dice: random.Random, until: date) -> datetime | None:
    """At times an instant of the last day, after which entries are left out."""
    last_day = datetime.combine(until, time(), UTC) - timedelta(days=1)
    return last_day + timedelta(minutes=dice.randrange(-120, 1440)) if dice.random() < 0.5 else None


def before_cut(entries: list[Row], until: date, cut: datetime | None) -> list[Row]:
    last_day = until - timedelta(days=1)
    return [
        one for one in entries if cut is None or one["entry_date"] != last_day or one["occurred_at"] < cut
    ]


def arguments(lists: Lists) -> str:
    return "".join(f", {name} := ?" for name in lists)


def test_the_ledger_holds_what_filters_distinguish(ledger: PublishedLedger) -> None:
    assert {name: len(values) for name, values in ledger.values.items() if name != "models"} == {
        "paywalls": 4, "entry_types": 5, "user_statuses": 5, "balance_bands": 4, "payer_types": 3,
    }  # fmt: skip
    assert {"unknown", "acme/alpha-1", "acme/beta-2"} < set(ledger.values["models"])
    assert {one["currency"] for one in ledger.want.ledger} == {"usd", "eur", "jpy", "usdc"}


# ---- any filters


@pytest.mark.parametrize("seed", range(60))
def test_kpis_are_those_of_the_entries_within_the_filters(ledger: PublishedLedger, seed: int) -> None:
    dice = random.Random(seed)
    lists, (since, until) = some_lists(ledger, dice), some_days(ledger, dice)
    before = (since - (until - since), since) if dice.random() < 0.5 else some_days(ledger, dice)
    given = ", previous_from := ?, previous_to := ?" if before[1] != since or dice.random() < 0.5 else ""
    cut = some_cut(dice, until)
    values = [since, until, *(before if given else ()), cut, *lists.values()]
    found = ledger.table(
        f"select * from marts.kpis(?, ?{given}, until := ?{arguments(lists)})", values, ("currency",)
    )
    entries = before_cut(ledger.entries(lists), until, cut)
    first_paid = first_payments(ledger.want.ledger)
    wanted = {}
    for currency in {one["currency"] for one in ledger.want.ledger}:
        row = with_previous(entries, currency, (since, until, *before), first_paid)
        wanted[(currency,)] = {
            name: value for name, value in row.items() if name not in ("previous_start", "previous_end")
        }
    assert not differences("kpis", wanted, found), (lists, since, until, before, cut)
    assert not any(row.keys() - found[key].keys() for key, row in wanted.items())


KEYS = {
    "day": ("date_day",),
    "paywall": ("paywall_id",),
    "model": ("model_id",),
    "user": ("user_id",),
    "both": ("model_id", "user_id"),
}


@pytest.mark.parametrize("seed", range(60))
def test_usage_adds_up_to_that_of_the_entries_within_the_filters(ledger: PublishedLedger, seed: int) -> None:
    dice = random.Random(1000 + seed)
    lists, (since, until) = some_lists(ledger, dice), some_days(ledger, dice)
    by = list(KEYS)[seed % len(KEYS)]
    grain = (*KEYS[by], "currency")
    by_user, by_model = by in ("user", "both"), by in ("model", "both")
    sums = ", ".join(f"sum({name}) as {name}" for name in SUMS)
    sql = (
        f"select {', '.join(grain)}, {sums} from marts.usage(?, ?, by_user := ?, by_model := ?, until :="
        f" ?{arguments(lists)}) group by all"
    )
    cut = some_cut(dice, until)
    found = ledger.table(sql, [since, until, by_user, by_model, cut, *lists.values()], grain)
    entries = before_cut(ledger.entries(lists), until, cut)
    wanted = usage_rows(one for one in entries if since <= one["entry_date"] < until)
    assert not differences("usage", dict(grouped(wanted, grain)), found), (by, lists, since, until, cut)


def usage_rows(entries: Iterable[Row]) -> list[Row]:
    """Those that count for usage, under the names of the macro."""
    return [
        one | {"date_day": one["entry_date"], "model_id": one["model_id"] or "unknown"}
        for one in entries
        if one["refunds"] or (one["entry_type"] == "charge" and one["status"] != "pending")
    ]


def grouped(entries: list[Row], grain: Sequence[str]) -> Iterator[tuple[tuple[Any, ...], Row]]:
    for key, part in group(entries, *grain).items():
        row = measures(part)
        yield key, {name: row["counted" if name == "counted_charges" else name] for name in SUMS}


@pytest.mark.parametrize("seed", range(25))
def test_cohorts_are_of_the_listed_users_and_count_the_entries_within_the_filters(
    ledger: PublishedLedger, seed: int
) -> None:
    lists = some_lists(ledger, random.Random(2000 + seed))
    found = ledger.table(
        f"select * from marts.cohorts({arguments(lists).removeprefix(', ')})",
        list(lists.values()),
        ("cohort_month", "currency", "months_since"),
    )
    wanted = cohort_rows(
        ledger.want.ledger,
        ledger.want.today,
        ledger.lets_through(lists),
        belongs=lambda one: ledger.user_is_listed(one, lists),
    )
    assert not differences("cohorts", wanted, found), lists


# ---- no filters

EVERYTHING = [
    {},
    {"entry_types": list(TYPES)},
    {"paywalls": "every"},
    {"user_statuses": "every", "balance_bands": "every"},
]


def everything(ledger: PublishedLedger, which: dict[str, Any]) -> Lists:
    """Lists that let everything through, which are answered from other tables than no lists."""
    return {name: ledger.values[name] for name in which}


@pytest.mark.parametrize("which", EVERYTHING, ids=str)
def test_kpis_of_everything_are_those_of_the_periods(ledger: PublishedLedger, which: dict[str, Any]) -> None:
    lists = everything(ledger, which)
    periods = ledger.rows(
        "select distinct period, period_start, period_end, previous_start, previous_end from"
        " marts.fct_period_kpis"
    )
    assert len(periods) == 8
    for period, *bounds in periods:
        # What types of entries were paid from is unknown, as credit is used by the day as a whole.
        credit = ", ".join(
            f"{'null' if 'entry_types' in which else name} as {name}"
            for name in ("revenue_paid", "revenue_promo", "revenue_unfunded")
        )
        mart = ledger.rows(
            f"""select * exclude (period, previous_start, previous_end)
                replace ({credit})
            from marts.fct_period_kpis where period = ? order by currency""",
            period,
        )
        found = ledger.rows(
            f"select * from marts.kpis(?, ?, previous_from := ?, previous_to := ?{arguments(lists)})",
            *bounds,
            *lists.values(),
        )
        compared = -5 if period == "all_time" else None  # nothing is compared with all time
        assert [row[:compared] for row in found] == [row[:compared] for row in mart], period


@pytest.mark.parametrize("which", EVERYTHING, ids=str)
def test_usage_of_everything_is_that_of_the_marts(ledger: PublishedLedger, which: dict[str, Any]) -> None:
    lists = everything(ledger, which)
    for mart, by in (("fct_daily_revenue", "model"), ("fct_user_days", "user")):
        columns = ", ".join(("date_day", "paywall_id", f"{by}_id", "currency", *SUMS))
        counted = ledger.rows(
            f"select {columns} from marts.{mart} where counted_charges > 0 or refunds > 0 order by all"
        )
        sums = ", ".join(f"sum({name})" for name in SUMS)
        usage = f"marts.usage(date '2025-01-01', date '2027-01-01', by_{by} := true{arguments(lists)})"
        found = ledger.rows(
            f"select date_day, paywall_id, {by}_id, currency, {sums} from {usage} group by all order by all",
            *lists.values(),
        )
        assert found == counted


@pytest.mark.parametrize("which", EVERYTHING, ids=str)
def test_cohorts_of_everything_are_those_of_the_mart(ledger: PublishedLedger, which: dict[str, Any]) -> None:
    lists = everything(ledger, which)
    found = ledger.rows(
        f"select * from marts.cohorts({arguments(lists).removeprefix(', ')})", *lists.values()
    )
    assert found == ledger.rows(
        "select * from marts.fct_cohorts order by cohort_month, currency, months_since"
    )


def test_usage_by_model_with_ratios_is_the_models_view(ledger: PublishedLedger) -> None:
    periods = ledger.rows("select distinct period, period_start, period_end from marts.fct_period_kpis")
    for period, since, until in periods:
        found = ledger.rows(
            """
            select
                model_id, currency, sum(charges), sum(total_tokens), sum(revenue), sum(provider_cost),
                    sum(profit),
                marts.ratio(sum(profit), sum(revenue)), marts.ratio(sum(revenue),
                    sum(sum(revenue)) over (partition by currency))
            from marts.usage(?, ?, by_model := true) group by model_id, currency order by all
            """,
            since,
            until,
        )
        models = "select * exclude (period) from marts.rpt_models where period = ? order by all"
        assert [row for row in ledger.rows(models, period) if any(row[2:7])] == [
            row for row in found if any(row[2:7])
        ], period


def test_ratios_are_doubles_and_nothing_over_nothing(ledger: PublishedLedger) -> None:
    sql = (
        "select marts.ratio(1, 3), marts.ratio(1, 0), marts.ratio(null, 2), typeof(marts.ratio(cast(1 as"
        " decimal(38, 12)), 2))"
    )
    assert ledger.rows(sql) == [(1 / 3, None, None, "DOUBLE")]


# ---- shapes and reading


def test_columns_are_those_of_the_marts(ledger: PublishedLedger) -> None:
    def shape(sql: str) -> list[Any]:
        return [row[:2] for row in ledger.rows(f"describe {sql}")]

    range_ = "date '2026-01-01', date '2026-02-01'"
    assert shape(f"from marts.kpis({range_})") == shape(
        "select * exclude (period, previous_start, previous_end) from marts.fct_period_kpis"
    )
    assert shape("from marts.cohorts()") == shape("from marts.fct_cohorts")
    keys = [
        ("date_day", "DATE"),
        *((name, "VARCHAR") for name in ("paywall_id", "model_id", "user_id", "currency")),
    ]
    daily = dict(shape("from marts.fct_daily_revenue"))
    assert shape(f"from marts.usage({range_})") == [*keys, *((name, daily[name]) for name in SUMS)]


@pytest.mark.parametrize(
    ("by", "users", "models"),
    [
        ({}, False, False),
        ({"by_user": True}, True, False),
        ({"by_model": True}, False, True),
        ({"by_user": True, "by_model": True}, True, True),
        ({"models": ["acme/alpha-1", "unknown"]}, False, True),
        ({"user_statuses": ["connected", "unknown"]}, True, False),
        ({"by_user": False, "user_statuses": ["connected", "unknown"]}, False, False),
        ({"by_user": False, "by_model": True, "user_statuses": ["connected", "unknown"]}, False, True),
        ({"entry_types": ["charge"]}, False, False),
    ],
)
def test_users_and_models_are_named_where_they_are_asked_for(
    ledger: PublishedLedger, by: dict[str, Any], users: bool, models: bool
) -> None:
    usage = f"marts.usage(date '2025-01-01', date '2027-01-01'{arguments(by)})"
    found = ledger.rows(
        "select count(*) > 0, count(user_id) = count(*), count(model_id) = count(*), count(user_id),"
        f" count(model_id) from {usage}",
        *by.values(),
    )
    ((some, every_user, every_model, named_users, named_models),) = found
    assert (
        some,
        every_user if users else named_users == 0,
        every_model if models else named_models == 0,
    ) == (
        True,
        True,
        True,
    )


@pytest.mark.parametrize(
    ("call", "values", "read"),
    [
        ("kpis(?, ?)", {}, {"fct_daily_revenue", "fct_balance_rollforward", "fct_user_days"}),
        (
            "kpis(?, ?{})",
            {"models": None, "payer_types": None},
            {"fct_daily_revenue", "fct_balance_rollforward", "fct_user_days"},
        ),
        ("kpis(?, ?{})", {"paywalls": ["pw_main"]}, {"fct_daily_revenue", "fct_user_days"}),
        ("kpis(?, ?{})", {"balance_bands": ["low"]}, {"fct_user_days", "rpt_users"}),
        (
            "kpis(?, ?{})",
            {"models": ["zorble-9"]},
            {"fct_daily_revenue", "fct_ledger_entries", "fct_user_days"},
        ),
        ("usage(?, ?{})", {"by_model": True}, {"fct_daily_revenue"}),
        ("usage(?, ?{})", {"models": ["zorble-9"], "paywalls": ["pw_main"]}, {"fct_daily_revenue"}),
        ("usage(?, ?{})", {"by_user": True, "payer_types": ["new"]}, {"fct_user_days", "rpt_users"}),
        ("usage(?, ?{})", {"by_user": True, "models": ["zorble-9"]}, {"fct_ledger_entries"}),
        ("cohorts()", {}, {"fct_user_months"}),
        ("cohorts({})", {"user_statuses": ["unknown"]}, {"fct_user_months", "rpt_users"}),
        ("cohorts({})", {"paywalls": ["pw_main"]}, {"fct_user_months", "fct_user_days"}),
        ("cohorts({})", {"models": ["zorble-9"]}, {"fct_user_months", "fct_ledger_entries"}),
    ],
)
def test_only_the_narrowest_tables_are_read(
    ledger: PublishedLedger, call: str, values: dict[str, Any], read: set[str]
) -> None:
    days = [date(2026, 1, 1), date(2026, 2, 1)] if "?" in call else []
    listed = arguments(values) if days else arguments(values).removeprefix(", ")
    (_, plan), *_ = ledger.rows(
        f"explain (format json) select * from marts.{call.format(listed)}", *days, *values.values()
    )
    scanned = {name for name in MARTS if f".{name}" in plan} - {"fct_period_kpis"}
    assert scanned == read


def test_the_days_of_users_are_in_order_so_that_a_period_skips_the_others(ledger: PublishedLedger) -> None:
    days = [day for (day,) in ledger.rows("select date_day from marts.fct_user_days order by rowid")]
    assert days == sorted(days)
    assert len(set(days)) > 1


@pytest.fixture(scope="module")
def without_ledger(
    ledger: PublishedLedger, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[duckdb.DuckDBPyConnection]:
    """The same file as a run on a cluster leaves it where the ledger has more than SPARK_PUBLISH_MAX_ROWS
    rows.
    """
    settings = load_settings(_env_file=None, warehouse_home=tmp_path_factory.mktemp("without_ledger"))
    with duckdb.connect(shutil.copy(ledger.published.path, settings.home.build_file)) as db:
        db.execute("create schema on_cluster")
        db.execute("create table on_cluster.fct_ledger_entries as from marts.fct_ledger_entries limit 0")
        db.execute("drop table marts.fct_ledger_entries")
    Dbt(settings).run_operation("describe_marts")
    with duckdb.connect(str(settings.home.build_file), read_only=True) as db:
        yield db


WITHOUT_ENTRIES = [
    "kpis(date '2026-01-01', date '2026-04-01')",
    "kpis(date '2026-03-01', date '2026-03-15', paywalls := ['pw_main'], payer_types := ['returning'])",
    "usage(date '2026-01-01', date '2026-04-01', by_user := true, balance_bands := ['low'])",
    "usage(date '2026-01-01', date '2026-04-01', by_model := true, models := ['acme/alpha-1'])",
    "cohorts()",
    "cohorts(paywalls := ['pw_main'])",
    "balances(date '2026-03-15')",
]
WITH_ENTRIES = [
    "kpis(date '2026-01-01', date '2026-04-01', models := ['acme/alpha-1'])",
    "kpis(date '2026-01-01', date '2026-04-01', entry_types := ['charge'], payer_types := ['returning'])",
    "usage(date '2026-01-01', date '2026-04-01', by_user := true, by_model := true)",
    "usage(date '2026-01-01', date '2026-04-01', entry_types := ['refund'])",
    "cohorts(models := ['acme/alpha-1'])",
    "cohorts(entry_types := ['charge'], balance_bands := ['low'])",
]


@pytest.mark.parametrize("call", WITHOUT_ENTRIES)
def test_where_the_ledger_is_on_a_cluster_the_macros_answer_what_needs_no_entries(
    ledger: PublishedLedger, without_ledger: duckdb.DuckDBPyConnection, call: str
) -> None:
    expected_rows = ledger.rows(f"from marts.{call} order by all")
    assert expected_rows
    assert without_ledger.execute(f"from marts.{call} order by all").fetchall() == expected_rows


@pytest.mark.parametrize("call", WITH_ENTRIES)
def test_where_the_ledger_is_on_a_cluster_the_macros_refuse_what_needs_entries(
    ledger: PublishedLedger, without_ledger: duckdb.DuckDBPyConnection, call: str
) -> None:
    assert ledger.rows(f"from marts.{call}")
    with pytest.raises(
        duckdb.InvalidInputException, match=r"marts\.fct_ledger_entries is on the cluster.*: ask there"
    ):
        without_ledger.execute(f"from marts.{call}").fetchall()


VIEWS = "select view_name, comment like 'One row per %' from duckdb_views() where schema_name = 'marts'"


def test_where_the_ledger_is_on_a_cluster_there_is_no_view_of_it(
    ledger: PublishedLedger, without_ledger: duckdb.DuckDBPyConnection
) -> None:
    assert ledger.rows(VIEWS) == [("rpt_focus", True)]
    assert without_ledger.execute(VIEWS).fetchall() == []


def test_without_another_of_the_large_marts_there_are_no_macros(
    without_ledger: duckdb.DuckDBPyConnection, tmp_path: Path
) -> None:
    """Those of the build before would read what is not there. With the ledger, its view comes back."""
    settings = load_settings(_env_file=None, warehouse_home=tmp_path)
    ((file,),) = without_ledger.execute("select path from duckdb_databases() where not internal").fetchall()
    with duckdb.connect(shutil.copy(file, settings.home.build_file)) as db:
        db.execute("drop table marts.fct_user_days")
        db.execute("create table marts.fct_ledger_entries as from on_cluster.fct_ledger_entries")
    Dbt(settings).run_operation("describe_marts")
    with duckdb.connect(str(settings.home.build_file), read_only=True) as db:
        assert (
            db.execute(
                "select function_name from duckdb_functions() where function_type = 'table_macro' and not"
                " internal"
            ).fetchall()
            == []
        )
        assert db.execute(VIEWS).fetchall() == [("rpt_focus", True)]


MARTS = (
    "fct_balance_rollforward",
    "fct_daily_revenue",
    "fct_ledger_entries",
    "fct_period_kpis",
    "fct_user_days",
    "fct_user_months",
    "rpt_users",
)
