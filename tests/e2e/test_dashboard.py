"""The dashboard on the sample, in a browser: what stands on the screen equals SQL on the published file."""

import csv
import io
import re
import subprocess
from collections.abc import Iterator
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path
from urllib.parse import quote

import duckdb
import pytest
from playwright.sync_api import Browser

from dashboard.error_help import CODES, KINDS
from tests.support.browser import Screen, new_context, published_alone, serving
from tests.support.command import command
from tests.support.dashboard_words import Sql, average, column, count, money, share, short, step, text
from tests.support.shared import in_soak

pytestmark = pytest.mark.slow

PERIODS = {
    "today": "Today",
    "yesterday": "Yesterday",
    "last_7_days": "Last 7 days",
    "last_30_days": "Last 30 days",
    "last_90_days": "Last 90 days",
    "month_to_date": "Month to date",
    "previous_month": "Previous month",
    "all_time": "All time",
}
LINKS = {
    "AUTHORIZATION_LINK": "https://pay.example/{paywall_id}?for={user_id}",
    "TOP_UP_LINK": "https://pay.example/top-up?user={user_id}",
}
OCTOBER = "period=Custom+days&days=2026-10-01&days=2026-10-10"
IN_OCTOBER = "entry_date between '2026-10-01' and '2026-10-10'"


@pytest.fixture(scope="module")
def home(
    first_run: tuple[Path, subprocess.CompletedProcess[str]], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    return published_alone(first_run[0], tmp_path_factory.mktemp("dashboard") / "home")


@pytest.fixture(scope="module")
def address(home: Path) -> Iterator[str]:
    with serving(home, **LINKS) as base:
        yield base


@pytest.fixture(scope="module")
def sql(home: Path) -> Iterator[Sql]:
    with duckdb.connect(str(home / "published" / "warehouse.duckdb"), read_only=True) as connection:
        connection.execute("set TimeZone = 'UTC'")
        yield lambda query, *values: connection.execute(query, values).fetchall()


# ---- words, as a person expects them


# ---- every page


# For every change that page which no other test opens.
@pytest.mark.parametrize(
    "page",
    [
        "users?view=Top+spenders+of+the+period",
        *in_soak("", "models", "cohorts", "users", "ledger", "reconciliation", "runs"),
    ],
)
def test_a_page_comes_up(screen: Screen, page: str) -> None:
    screen.open(page)
    assert "Last 30 days" in screen.page.get_by_label("Period", exact=True).input_value()
    assert re.search(
        r"2026-10-03 to 2026-11-01 \(30 days, the last one until 12:00\) · USD · compared with 2026-09-03 to"
        r" 2026-10-02, 12:00 · times in UTC",
        screen.text,
    )


@pytest.mark.soak
@pytest.mark.parametrize(
    "page", ["", "ledger", "models", "cohorts", "users", "reconciliation", "runs", "user", "entry", "case"]
)
def test_nonsense_in_an_address_gives_a_page(screen: Screen, page: str) -> None:
    words = (
        "period=xyz",
        "days=foo",
        "currency=QQQ",
        "page=-5",
        "sort=zzz",
        "desc=perhaps",
        "compare=2",
        "model=%F0%9F%A6%84",
        "by=eon",
    )
    more = (
        "user=%22%27",
        "entry=%00",
        "case=..%2F",
        "status=%5B",
        "q=%25",
        "id=",
        "view=none",
        "number=pi",
        "case_page=1e9",
        "reason=x",
    )
    screen.open(f"{page}?{'&'.join((*words, *more))}")
    assert "2026-10-03 to 2026-11-01 (30 days, the last one until 12:00) · USD" in screen.text
    for problem in (
        "The period “xyz” does not exist; the last 30 days are shown.",
        "The currency “QQQ” does not exist; USD is shown.",
        "The model “🦄” does not exist; it is left out of the filter.",
    ):
        assert problem in screen.text


# ---- overview


# A day that is not over, one that is, and a period before which the data do not go back.
FEW_PERIODS = ("today", "yesterday", "last_90_days")


@pytest.mark.parametrize(
    ("currency", "periods"), [("usd", FEW_PERIODS), *in_soak(("usd", (*PERIODS,)), ("eur", (*PERIODS,)))]
)
def test_the_overview_is_the_period_table(
    screen: Screen, sql: Sql, currency: str, periods: tuple[str, ...]
) -> None:
    screen.open(f"?currency={currency.upper()}&period=Today" if currency == "eur" else "?period=Today")
    for period in periods:
        label = PERIODS[period]
        if period != "today":
            screen.choose("Period", label)
        tiles = screen.tiles()
        # It is in `test_dashboard_costs`.
        tiles.pop("Profit at bill", None)
        [kpis] = sql(
            """select revenue, provider_cost, platform_fees, profit, margin, active_payers, arpu, deposits,
                cost_coverage, previous_start, previous_end, revenue_promo, revenue_unfunded
            from marts.fct_period_kpis where period = ? and currency = ?""",
            period,
            currency,
        )
        revenue, cost, fees, profit, margin, payers, arpu, deposits, coverage, since, until, *credit = kpis
        code, mark = currency.upper(), "" if coverage == 1 else "≤ "
        not_paid = dict(zip(("Usage from promo credit", "Unfunded usage"), credit, strict=True))
        assert {
            label: tile.value for label, tile in tiles.items() if not re.match("On |Overdrawn|Users", label)
        } == {
            "Revenue": f"{short(revenue)} {code}",
            "− Provider cost": f"{short(cost)} {code}",
            "− Fees": f"{short(fees)} {code}",
            "= Profit": f"{mark}{short(profit)} {code}",
            "Margin": f"{mark}{share(margin)}",
            "Active payers": count(payers),
            "ARPU": f"{short(Decimal(repr(arpu)))} {code}",
            "Deposits": f"{short(deposits)} {code}",
            # Where there is any.
            **{label: f"{short(amount)} {code}" for label, amount in not_paid.items() if amount},
        }, period
        # The 90 days before begin before the data.
        if period in ("all_time", "last_90_days"):
            assert not [tile for tile in tiles.values() if tile.before or tile.change]
            continue
        # The sample ends at noon today: of the last day of the period before, only the morning is counted.
        cut = "" if period in ("yesterday", "previous_month") else "and occurred_at < ?"
        [(revenue_before, cost_before, payers_before)] = sql(
            f"""select sum(revenue), sum(provider_cost) filter (
                    where entry_type = 'charge' and status in ('settled', 'failed', 'reversed')),
                count(distinct user_id) filter (where revenue > 0)
            from marts.fct_ledger_entries
            where currency = ? and entry_date >= ? and entry_date < ? {cut}""",
            *(currency, since, until),
            *([f"{until - timedelta(days=1)} 12:00:00+00"] if cut else []),
        )
        names = ("Revenue", "− Provider cost", "Active payers")
        words = [f"{short(revenue_before)} {code}", f"{short(cost_before)} {code}", count(payers_before)]
        assert [tiles[name].before for name in names] == [f"before: {word}" for word in words], period
        changed = (revenue - revenue_before) / revenue_before * 100
        assert tiles["Revenue"].change == f"{changed:+,.1f} %", period


@pytest.mark.soak
def test_without_comparison_there_is_none(screen: Screen) -> None:
    screen.open("?period=Last+7+days")
    screen.switch("Compare with the previous period")
    assert screen.address == "?compare=false&period=Last+7+days"
    tiles = screen.tiles()
    # It is compared with profit, not with an earlier period.
    del tiles["Profit at bill"]
    assert not [tile for tile in tiles.values() if tile.before or tile.change]
    assert "compared with" not in screen.text


@pytest.mark.soak
@pytest.mark.parametrize(("by", "step"), [("week", "week"), *in_soak(("", "day"), ("month", "month"))])
def test_the_chart_of_the_overview_stands_below_it_in_numbers(
    screen: Screen, sql: Sql, by: str, step: str
) -> None:
    screen.open(f"?period=Last+90+days{by and f'&by={by}'}")
    screen.expand("Numbers of the chart")
    shown = screen.table(f"Numbers by {step}")
    expected = sql(
        f"""select date_trunc('{step}', date_day) as starts_on, sum(revenue), sum(refunds),
            sum(provider_cost), sum(platform_fees),
            sum(profit), sum(charges), sum(total_tokens)
        from marts.fct_daily_revenue where currency = 'usd' and date_day between '2026-08-04'
            and '2026-11-01' group by 1 order by 1"""
    )
    assert [list(row.values()) for row in shown] == [
        [str(starts_on)[:10], *map(money, amounts), *(count(int(number)) for number in counts)]
        for starts_on, *amounts, counts in ((*row[:6], row[6:]) for row in expected)
    ]


@pytest.mark.soak
def test_what_is_owed_is_the_sum_of_the_wallets(screen: Screen, sql: Sql) -> None:
    screen.open(f"?{OCTOBER}")
    [(owed, overdrawn)] = sql("""select sum(balance), sum(balance) filter (where balance < 0) from (
            select sum(balance_effect) as balance from marts.fct_ledger_entries
            where currency = 'usd' and entry_date <= '2026-10-10' group by user_id, paywall_id)""")
    assert (screen.tiles()["On 2026-10-10"].value, screen.tiles()["Overdrawn part"].value) == (
        f"{short(owed)} USD",
        f"{short(overdrawn)} USD",
    )


USERS = "select user_id from marts.rpt_users where currency = '{currency}'"
# Twelve sets of filters: the address, the currency, the days and what the entries must be.
SEPTEMBER = "period=Custom+days&days=2026-09-15&days=2026-10-31"
IN_SEPTEMBER = "entry_date between '2026-09-15' and '2026-10-31'"
FILTERED = [
    (OCTOBER, "usd", IN_OCTOBER, "", "true"),
    (OCTOBER, "eur", IN_OCTOBER, "", "true"),
    (SEPTEMBER, "usd", IN_SEPTEMBER, "", "true"),
    (
        OCTOBER,
        "usd",
        IN_OCTOBER,
        "model=openai%2Fgpt-4.1&model=google%2Fgemini-2.5-flash",
        "model_id in ('openai/gpt-4.1', 'google/gemini-2.5-flash')",
    ),
    (SEPTEMBER, "eur", IN_SEPTEMBER, "model=openai%2Fgpt-4.1", "model_id = 'openai/gpt-4.1'"),
    (OCTOBER, "usd", IN_OCTOBER, "paywall=pw_assistant", "paywall_id = 'pw_assistant'"),
    (SEPTEMBER, "eur", IN_SEPTEMBER, "paywall=pw_assistant_eu", "paywall_id = 'pw_assistant_eu'"),
    (OCTOBER, "usd", IN_OCTOBER, "type=charge", "entry_type = 'charge'"),
    (SEPTEMBER, "usd", IN_SEPTEMBER, "type=deposit&type=refund", "entry_type in ('deposit', 'refund')"),
    (
        OCTOBER,
        "usd",
        IN_OCTOBER,
        "status=connected&band=low",
        f"user_id in ({USERS} and status = 'connected' and balance_band = 'low')",
    ),
    (
        OCTOBER,
        "usd",
        IN_OCTOBER,
        "payer=new&model=unknown",
        f"user_id in ({USERS} and payer_type = 'new') and model_id = 'unknown'",
    ),
    (
        SEPTEMBER,
        "usd",
        IN_SEPTEMBER,
        "payer=returning&paywall=pw_assistant&type=charge",
        f"user_id in ({USERS} and payer_type = 'returning') and paywall_id = 'pw_assistant'"
        " and entry_type = 'charge'",
    ),
]


# In `make test`: `test_filtered_macros`, and the choices below.
@pytest.mark.soak
@pytest.mark.parametrize(("days", "currency", "in_days", "parameters", "where"), FILTERED)
def test_numbers_are_those_of_the_entries_within_the_filters(
    screen: Screen, sql: Sql, days: str, currency: str, in_days: str, parameters: str, where: str
) -> None:
    """Eight tiles and the rows of a table, for each of the twelve sets: more than 100 numbers."""
    screen.open(f"?{days}&currency={currency.upper()}&{parameters}")
    where, code = where.format(currency=currency), currency.upper()
    [(revenue, cost, fees, payers, active, deposits, counted, unknown)] = sql(
        f"""select coalesce(sum(revenue), 0),
            coalesce(sum(provider_cost) filter (where counts), 0),
            coalesce(sum(platform_fees) filter (where entry_type = 'charge' and status = 'settled'), 0),
            count(distinct user_id) filter (where revenue > 0),
            count(distinct user_id) filter (where entry_type = 'charge' and status in ('settled', 'failed')),
            coalesce(sum(amount) filter (where entry_type = 'deposit' and status = 'settled'
                and funding <> 'promo'), 0),
            count(*) filter (where counts),
            count(*) filter (where counts and provider_cost is null)
        from (
            select *, entry_type = 'charge' and status in ('settled', 'failed', 'reversed') as counts
            from marts.fct_ledger_entries where currency = '{currency}' and {in_days} and {where}
        )"""
    )
    profit = revenue - cost - fees
    mark, nothing = ("≤ " if unknown else ""), counted > 0 and unknown == counted
    assert {name: tile.value for name, tile in screen.tiles().items() if name in NAMES} == {
        "Revenue": f"{short(revenue)} {code}",
        "− Provider cost": "–" if nothing else f"{short(cost)} {code}",
        "− Fees": f"{short(fees)} {code}",
        "= Profit": "–" if nothing else f"{mark}{short(profit)} {code}",
        "Margin": "–" if nothing or not revenue else f"{mark}{share(float(profit / revenue))}",
        "Active payers": count(payers),
        "ARPU": f"{short(Decimal(repr(float(revenue / payers))))} {code}" if payers else "–",
        "Deposits": f"{short(deposits)} {code}",
    }
    payer_rows = {row[f"In {code}"]: row["Period"] for row in screen.table("Payers")}
    assert (payer_rows["Active users"], payer_rows["Active payers"]) == (count(active), count(payers))


NAMES = (
    "Revenue",
    "− Provider cost",
    "− Fees",
    "= Profit",
    "Margin",
    "Active payers",
    "ARPU",
    "Deposits",
)


def test_choices_are_in_the_address_and_the_address_restores_them(
    browser: Browser, screen: Screen, address: str, sql: Sql
) -> None:
    screen.open("?period=Last+90+days")
    screen.choose("Currency", "EUR")
    screen.expand("More filters")
    screen.choose("Paywall", "pw_assistant_eu")
    [(model, revenue), *_] = sql("""select model_id, sum(revenue) as revenue from marts.fct_ledger_entries
        where currency = 'eur' and entry_date between '2026-08-04' and '2026-11-01'
            and paywall_id = 'pw_assistant_eu'
        group by model_id order by revenue desc nulls last""")
    screen.choose("Model", model)
    tiles = screen.tiles()
    assert tiles["Revenue"].value == f"{short(revenue)} EUR"
    parameters = {
        "period=Last+90+days",
        "currency=EUR",
        "paywall=pw_assistant_eu",
        f"model={quote(model, safe='')}",
    }
    assert set(screen.address.removeprefix("?").split("&")) == parameters
    elsewhere = new_context(browser)
    assert Screen(elsewhere, address).open(screen.address).tiles() == tiles
    elsewhere.close()
    # The other pages keep it.
    screen.page.get_by_test_id("stTopNav").get_by_role("link", name="Models").click()
    screen.page.wait_for_url("**/models?**")
    screen.wait()
    assert screen.table("Usage by model")[0]["Revenue (EUR)"] == money(revenue)
    screen.follow(screen.page.get_by_role("link", name="Clear all filters").click)
    assert (screen.address.rstrip("?"), len(screen.table("Usage by model"))) == ("models", 11)


def test_filters_are_reached_and_changed_with_the_keyboard(screen: Screen, sql: Sql) -> None:
    screen.open()
    for _ in range(40):
        screen.page.keyboard.press("Tab")
        if screen.page.evaluate("document.activeElement.getAttribute('aria-label')") == "Period":
            break
    for key in ("ArrowDown", "ArrowDown"):
        screen.page.keyboard.press(key)
    screen.change(lambda: screen.page.keyboard.press("Enter"))
    chosen = screen.page.get_by_label("Period", exact=True).input_value()
    period = next(name for name, label in PERIODS.items() if label == chosen)
    assert period != "last_30_days"
    [(revenue,)] = sql(
        "select revenue from marts.fct_period_kpis where period = ? and currency = 'usd'", period
    )
    assert screen.tiles()["Revenue"].value == f"{short(revenue)} USD"


# ---- models, cohorts


@pytest.mark.soak
@pytest.mark.parametrize(
    ("period", "label"), [("all_time", "period=All+time&currency=EUR"), ("last_30_days", "")]
)
def test_models_are_the_models_view(screen: Screen, sql: Sql, period: str, label: str) -> None:
    code = "EUR" if "EUR" in label else "USD"
    screen.open(f"models?{label}")
    names = (
        "Model",
        f"Revenue ({code})",
        f"Provider cost ({code})",
        f"Profit ({code})",
        "Margin",
        "Share of revenue",
        "Charges",
        "Tokens",
    )
    assert [[row[name] for name in names] for row in screen.table("Usage by model")] == [
        [model, money(revenue), *known(cost, profit, margin, counted, without), share(of_all), count(charges),
         count(tokens)]
        for model, revenue, cost, profit, margin, of_all, charges, tokens, counted, without in sql(
            """select model_id, any_value(m.revenue) as revenue, any_value(m.provider_cost),
                any_value(m.profit), any_value(m.margin), any_value(m.revenue_share), any_value(m.charges),
                any_value(m.total_tokens), sum(counted_charges), sum(charges_without_cost)
            from marts.rpt_models as m join marts.fct_period_kpis as p using (period, currency)
            join marts.fct_daily_revenue as d using (model_id, currency)
            where period = ? and currency = ? and date_day >= period_start and date_day < period_end
            group by model_id order by revenue desc, model_id""",
            period, code.lower(),
        )
    ]  # fmt: skip


def known(cost: Decimal, profit: Decimal, margin: float | None, counted: int, without: int) -> list[str]:
    """Cost, profit and margin: unknown if no cost is known, and at most this if some are not."""
    if counted and counted == without:
        return ["–", "–", "–"]
    mark = "≤ " if without else ""
    return [money(cost), f"{mark}{money(profit)}", "–" if margin is None else f"{mark}{share(margin)}"]


@pytest.mark.soak
def test_a_model_leads_to_its_ledger_and_back(screen: Screen, sql: Sql) -> None:
    screen.open(f"models?{OCTOBER}&model=openai%2Fgpt-4.1&model=google%2Fgemini-2.5-flash")
    first = screen.table("Usage by model")[0]["Model"]
    screen.open_row("Usage by model")
    [(entries,)] = sql(
        f"select count(*) from marts.fct_ledger_entries where currency = 'usd' and {IN_OCTOBER} and"
        " model_id = ?",
        first,
    )
    assert f"of {entries:,}\n" in screen.text
    assert set(column(screen.table("Ledger entries"), "Model")) == {first}
    screen.back()
    assert len(screen.table("Usage by model")) == 2


@pytest.mark.soak
def test_cohorts_are_the_cohort_table(screen: Screen, sql: Sql) -> None:
    screen.open("cohorts")
    screen.expand("Numbers")
    shown = screen.table("Cohorts")
    assert [list(row.values()) for row in shown] == [
        [
            f"{month:%Y-%m}",
            str(since),
            count(size),
            count(payers),
            share(rate),
            money(revenue),
            average(each),
            money(all_in),
            money(profit),
            "yes" if complete else "not yet",
        ]
        for month, since, size, payers, rate, revenue, each, all_in, profit, complete in sql(
            """select cohort_month, months_since, cohort_size, active_payers, retention_rate, revenue,
                revenue_per_user, cumulative_revenue,
                cumulative_profit, is_complete
            from marts.fct_cohorts where currency = 'usd' order by cohort_month, months_since"""
        )
    ]


# ---- users


def test_users_are_searched_sorted_and_paged(screen: Screen, sql: Sql) -> None:
    def expected(order: str, offset: int = 0, search: str = "") -> list[str]:
        rows = sql(
            f"""select user_id from marts.rpt_users where currency = 'usd' and contains(lower(user_id), ?)
            order by {order} nulls last, user_id limit 50 offset {offset}""",
            search,
        )  # fmt: skip
        return [user for (user,) in rows]

    screen.open("users")
    assert column(screen.table("Users"), "User") == expected("total_spend desc")
    screen.change(lambda: step(screen))
    assert column(screen.table("Users"), "User") == expected("total_spend desc", 50)
    screen.sort_by("Users", "Balance (USD)")
    assert (column(screen.table("Users"), "User"), "page=" in screen.address) == (
        expected("balance desc"),
        False,
    )
    screen.sort_by("Users", "Balance (USD)")
    assert column(screen.table("Users"), "User") == expected("balance asc")
    screen.type("User id contains", "ACME:0")
    found = screen.table("Users")
    assert column(found, "User") == expected("balance asc", 0, "acme:0")
    [(spend, balance, charges, errors, active)] = sql(
        "select total_spend, balance, charges, errors_30d, last_activity_at from marts.rpt_users"
        " where user_id = ? and currency = 'usd'",
        found[0]["User"],
    )
    names = ("Total spend (USD)", "Balance (USD)", "Charges", "Errors (30 days)", "Last activity (UTC)")
    assert [found[0][name] for name in names] == [
        money(spend),
        money(balance),
        count(charges),
        count(errors),
        text(active),
    ]
    screen.open_row("Users", 1)
    assert screen.codes[0] == found[1]["User"]
    screen.back()
    assert column(screen.table("Users"), "User") == column(found, "User")


@pytest.mark.soak
def test_top_spenders(screen: Screen, sql: Sql) -> None:
    screen.open(f"users?view=Top+spenders+of+the+period&{OCTOBER}&paywall=pw_codepilot")
    shown = screen.table("Top spenders of the period")
    assert [[row["User"], row["Revenue (USD)"], row["Provider cost (USD)"]] for row in shown] == [
        [user, money(revenue), money(cost)]
        for user, revenue, cost in sql(
            f"""select user_id, sum(revenue) as revenue, sum(coalesce(provider_cost, 0))
                from marts.fct_ledger_entries
            where currency = 'usd' and paywall_id = 'pw_codepilot' and {IN_OCTOBER} and entry_type = 'charge'
                group by user_id
            having count(*) filter (where status = 'settled') > 0 or sum(provider_cost) > 0
                order by revenue desc, user_id limit 50"""
        )
    ]


@pytest.mark.soak
def test_a_user_with_balances_ledger_errors_and_links(screen: Screen, sql: Sql) -> None:
    user = "usr_0d46efc8"
    screen.open(f"user?user={user}&period=All+time")
    wallets = sql(
        "select paywall_id, currency, sum(balance_effect) from marts.fct_ledger_entries where user_id = ?"
        " group by all order by 2, 1",
        user,
    )
    tiles = screen.tiles()
    [(spend, balance)] = sql(
        "select total_spend, balance from marts.rpt_users where user_id = ? and currency = 'usd'", user
    )
    assert (tiles["Total spend"].value, tiles["Balance"].value) == (
        f"{short(spend)} USD",
        f"{short(balance)} USD",
    )
    assert [list(row.values())[:3] for row in screen.table("Wallets")] == [
        [paywall, money(amount), code] for paywall, code, amount in wallets
    ]
    paywalls = [paywall for paywall, _, _ in wallets]
    assert screen.codes == [
        user,
        *(f"https://pay.example/{paywall}?for={user}" for paywall in paywalls),
        f"https://pay.example/top-up?user={user}",
    ]
    assert screen.copied("Copy the id") == user
    assert screen.copied("Copy top-up link") == f"https://pay.example/top-up?user={user}"
    screen.expand("Numbers of the chart")
    assert [list(row.values()) for row in screen.table("Balance by day")] == [
        [str(day), paywall, money(opening), money(closing)]
        for day, paywall, opening, closing in sql(
            """select date_day, paywall_id, opening_balance, closing_balance from marts.fct_wallet_days
            where user_id = ? and currency = 'usd' order by date_day, paywall_id""",
            user,
        )
    ]  # fmt: skip
    errors = sql(
        """select error_kind, error_code, occurred_at from marts.fct_usage_errors where user_id = ?
        order by occurred_at desc, event_id limit 20""",
        user,
    )  # fmt: skip
    assert [
        (row["Event"], row["Code"], row["Time (UTC)"], row["What it means"])
        for row in screen.table("Recent errors")
    ] == [(kind, code, text(at), CODES.get(code) or KINDS[kind]) for kind, code, at in errors]
    [(entries,)] = sql(
        "select count(*) from marts.fct_ledger_entries where user_id = ? and currency = 'usd'", user
    )
    assert f"1 to {min(entries, 50)} of {entries:,}\n" in screen.text


# ---- ledger


@pytest.mark.soak
def test_over_all_pages_every_entry_stands_once(screen: Screen, sql: Sql) -> None:
    screen.open("ledger?period=Last+7+days&type=charge&model=openai%2Fgpt-4.1&sort=Status")
    [(entries,)] = sql("""select list(entry_id order by status desc, entry_id) from marts.fct_ledger_entries
        where currency = 'usd' and entry_date between '2026-10-26' and '2026-11-01' and entry_type = 'charge'
            and model_id = 'openai/gpt-4.1'""")
    shown = column(screen.table("Ledger entries"), "Entry")
    while len(shown) < len(entries):
        screen.change(lambda: step(screen))
        shown += column(screen.table("Ledger entries"), "Entry")
    assert len(entries) > 100
    assert shown == entries


@pytest.mark.soak
def test_the_ledger_is_sorted_by_amounts_not_by_their_texts(screen: Screen, sql: Sql) -> None:
    screen.open(f"ledger?{OCTOBER}")
    screen.sort_by("Ledger entries", "Amount")
    amounts = sql(
        f"""select entry_id, amount, provider_cost, occurred_at from marts.fct_ledger_entries
            where currency = 'usd' and {IN_OCTOBER}
        order by amount desc, entry_id limit 50"""
    )
    assert [
        [row[name] for name in ("Entry", "Amount", "Provider cost", "Time (UTC)")]
        for row in screen.table("Ledger entries")
    ] == [[entry, money(amount), money(cost), text(at)] for entry, amount, cost, at in amounts]


# A markup's charge with a request, which another entry names.
ENTRY = """select entry_id, amount, user_id, request_id, occurred_at from marts.fct_ledger_entries
    where entry_type = 'charge' and metadata like '%token_markup%' and request_id is not null
        and currency = 'usd'
        and entry_id in (select related_entry_id from marts.fct_ledger_entries)
    order by entry_id limit 1"""


@pytest.mark.soak
def test_an_entry_with_all_that_it_hangs_together_with(screen: Screen, sql: Sql) -> None:
    [(entry, amount, user, _, at)] = sql(ENTRY)
    screen.open(f"entry?entry={entry}&period=All+time")
    fields = {row["Field"]: row["Value"] for row in screen.table("Fields of the entry")}
    assert (fields["amount"], fields["user_id"], fields["occurred_at"]) == (
        f"{money(amount)} USD",
        user,
        f"{text(at)} UTC",
    )
    assert screen.codes[0] == entry
    assert '"pricing_rule": "token_markup"' in screen.codes[1]
    connected = screen.table("Related entries")
    number = column(connected, "Relation").index("relates to this entry")
    screen.open_row("Related entries", number)
    assert screen.codes[0] == connected[number]["Entry"]
    screen.go(re.compile(f"^Related entry {entry}$"))
    assert screen.address == f"entry?period=All+time&entry={entry}"


@pytest.mark.soak
def test_an_entry_leads_to_its_request_and_its_user(screen: Screen, sql: Sql) -> None:
    [(entry, _, user, request, _)] = sql(ENTRY)
    screen.open(f"entry?entry={entry}&period=All+time")
    screen.go(f"Request {request}")
    assert column(screen.table("Ledger entries"), "Entry")[:1] == [entry]
    screen.back()
    screen.go(f"User {user}")
    assert screen.codes[0] == user
    screen.back()
    assert screen.codes[0] == entry


@pytest.mark.soak
def test_an_id_is_found_in_any_period(screen: Screen, sql: Sql) -> None:
    [(payment, entry, case)] = sql(
        """select payment_intent_id, entry_id, case_id from marts.fct_ledger_entries
        join (select case_id, unnest(deposit_entry_ids) as entry_id
            from marts.fct_reconciliation) using (entry_id)
        where entry_date < '2026-08-01' and payment_intent_id is not null order by entry_id limit 1"""
    )
    screen.open("ledger")
    screen.type("Find an id", payment)
    assert column(screen.table("Ledger entries"), "Entry") == [entry]
    screen.open_row("Ledger entries")
    screen.go("Reconciliation case")
    assert (screen.address, screen.codes[0]) == (f"case?case={case.replace(':', '%3A')}", case)


@pytest.mark.soak
def test_a_download_is_what_the_command_exports(screen: Screen, home: Path) -> None:
    screen.open(f"ledger?{OCTOBER}&type=refund&type=deposit&entry_status=settled")
    screen.expand("Download ledger")
    for name in ("amount", "entry_id"):
        screen.pick("Columns", name)
    link = screen.page.get_by_role("link", name="Download")
    screen.page.wait_for_function("() => document.querySelector('a[href*=\"column=entry_id\"]')")
    with screen.page.expect_download() as started:
        link.click()
    assert started.value.suggested_filename == "ledger-2026-10-01-to-2026-10-10-usd.csv"
    conditions = ["currency=usd", "status=settled", "entry_type in refund,deposit"]
    arguments = [word for condition in conditions for word in ("--where", condition)]
    done = command(
        home,
        "export",
        "ledger",
        "--columns",
        "amount,entry_id",
        "--from",
        "2026-10-01",
        "--to",
        "2026-10-11",
        *arguments,
    )
    assert done.returncode == 0, done.stderr
    assert started.value.path().read_text(encoding="utf-8") == done.stdout
    assert len(list(csv.reader(io.StringIO(done.stdout)))) > 10


# ---- reconciliation


def test_breaks_lead_to_their_cases_and_to_the_evidence(screen: Screen, sql: Sql) -> None:
    screen.open("reconciliation")
    breaks = screen.table("Open breaks by type")
    in_sql = sql(
        """select break_type, coalesce(paid_currency, ledger_currency),
            sum(coalesce(paid_amount, ledger_amount)), count(*), max(age_days)
        from marts.fct_reconciliation where status = 'break' group by priority, 1, 2"""
    )
    assert sorted(
        [row["Code"], row["Currency"], row["At risk"], row["Cases"], row["Oldest (days)"]] for row in breaks
    ) == sorted(
        [kind, currency.upper(), money(amount), count(cases), count(oldest)]
        for kind, currency, amount, cases, oldest in in_sql
    )
    assert column(breaks, "Priority") == sorted(column(breaks, "Priority"))
    number = column(breaks, "Code").index("amount_mismatch")
    assert breaks[number]["Break"] == "Credited another amount"
    screen.open_row("Open breaks by type", number)
    cases = screen.table("Reconciliation cases")
    expected = sql(
        """select case_id, ledger_amount, paid_amount, difference, deposit_entry_ids, payment_intent_id
            from marts.fct_reconciliation
        where break_type = 'amount_mismatch' and 'usd' in (ledger_currency, paid_currency)
            order by paid_amount desc, age_days desc, case_id"""
    )
    assert [[row["Case"], row["Credited"], row["Paid"], row["Difference"]] for row in cases] == [
        [case, f"{money(ledger)} USD", f"{money(paid)} USD", money(difference)]
        for case, ledger, paid, difference, *_ in expected
    ]
    screen.open_row("Reconciliation cases")
    case, ledger, paid, _, deposits, intent = expected[0]
    assert screen.codes[0] == case
    sides = [
        {row["Field"]: row["Value"] for row in screen.table(alt)}
        for alt in ("The ledger's side", "The processor's side")
    ]
    assert (sides[0]["Credited"], sides[1]["Paid"]) == (
        f"{money(ledger)} USD",
        f"{money(paid)} USD",
    )
    assert sides[1]["Payment intent"] == intent
    assert set(deposits) <= set(column(screen.table("Entries of the case"), "Entry"))
    assert "What to do:" in screen.text
    screen.back()
    assert column(screen.table("Reconciliation cases"), "Case") == column(cases, "Case")


@pytest.mark.soak
@pytest.mark.parametrize("by", ["week", *in_soak("day")])
def test_in_the_rollforward_a_step_opens_with_what_the_one_before_closed(
    screen: Screen, sql: Sql, by: str
) -> None:
    screen.open(f"reconciliation?period=Last+90+days{'' if by == 'day' else '&by=week'}")
    rows = screen.table("Balance roll-forward")
    assert column(rows, "Opening")[1:] == column(rows, "= Closing")[:-1]
    [(closing,)] = sql("select sum(balance_effect) from marts.fct_ledger_entries where currency = 'usd'")
    assert rows[-1]["= Closing"] == money(closing)
    [(deposits,)] = sql(
        "select sum(deposits) from marts.fct_balance_rollforward where currency = 'usd' and date_day >="
        " '2026-08-04'"
    )
    assert sum(Decimal(row["+ Deposits"].replace(",", "")) for row in rows) == deposits


# ---- runs


@pytest.mark.soak
def test_runs_with_checks_rejects_and_files(screen: Screen, sql: Sql) -> None:
    screen.open("runs")
    checks = sql(
        """select name, scope, passed from ops.invariants
        where run_id = (select max_by(run_id, checked_at) from ops.invariants) order by passed, name, scope"""
    )
    warnings = sum(not passed for _, _, passed in checks)
    assert warnings, "the sample has some"
    assert f"{len(checks)} checks, {warnings} with a warning." in screen.text
    assert [list(row.values())[:3] for row in screen.table("Checks before publication")] == [
        ["yes" if passed else "no", name, scope] for name, scope, passed in checks
    ]
    reasons = sql(
        "select source, reason_code, count(*) from ops.rejected_records group by all order by 3 desc, 1, 2"
    )
    assert [list(row.values())[:3] for row in screen.table("Rejected records by reason")] == [
        [source, code, count(records)] for source, code, records in reasons
    ]
    files = sql("select path, records from ops.loaded_files order by loaded_at desc, path, sha256")
    assert sorted((row["File"], row["Records"]) for row in screen.table("Loaded files")) == sorted(
        (path, count(number)) for path, number in files
    )
    assert screen.page.get_by_role("link", name="Dagster").get_attribute("href") == "http://127.0.0.1:3000"


@pytest.mark.soak
def test_the_whole_raw_text_of_a_reject_is_in_its_row(screen: Screen, sql: Sql) -> None:
    screen.open("runs?reason=invalid_json")
    [(path, line, raw)] = sql(
        "select path, line, raw from ops.rejected_records where reason_code = 'invalid_json'"
    )
    assert [(row["File"], row["Line"], row["Raw text"]) for row in screen.table("Rejected records")] == [
        (path, f"{line:,}", raw)
    ]


@pytest.mark.soak
def test_custom_days_are_compared_with_as_many_before_them(screen: Screen, sql: Sql) -> None:
    screen.open(f"?{OCTOBER}&by=week")
    first = date(2026, 10, 1)
    [(revenue, before)] = sql(
        f"""select sum(revenue) filter (where {IN_OCTOBER}),
            sum(revenue) filter (where entry_date between ? and ?)
        from marts.fct_ledger_entries where currency = 'usd'""",
        first - timedelta(days=10),
        first - timedelta(days=1),
    )
    tile = screen.tiles()["Revenue"]
    assert (tile.value, tile.before) == (f"{short(revenue)} USD", f"before: {short(before)} USD")
