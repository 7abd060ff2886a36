"""The dashboard on a ledger of extremes: 30 currencies, 100 models, 15-digit amounts, ids of 200 characters.

Nothing is cut or wider than the window, on a desk, on a small laptop and on a phone, in light and in dark.
"""

from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext

from tests.support.browser import Screen, new_context, serving
from tests.support.builders import Record, charge, deposit, land, ledger_file
from tests.support.dashboard_words import column
from tests.support.harness import publish_home
from tests.support.payment_builders import payments_file, rail_payment
from tests.support.shared import once

pytestmark = [pytest.mark.slow, pytest.mark.soak]

CURRENCIES = (
    *("usd", "eur", "jpy", "kwd", "gbp", "chf", "sek", "nok", "dkk", "pln"),
    *("czk", "huf", "ron", "try", "ils", "aed", "sar", "inr", "idr", "krw"),
    *("cny", "hkd", "sgd", "thb", "myr", "php", "vnd", "aud", "nzd", "cad"),
)
MODELS = 100
USERS = [f"<b>user</b>&amp;{number}:" + "y" * 180 for number in range(3)]
# The greatest amounts that a ledger may have are below 10^18.
LARGE = Decimal("123456789012345.12")
PAGES = (
    *("", "models", "cohorts", "growth", "users", "ledger"),
    *("reconciliation", "costs", "finance", "connection", "runs"),
)
# Texts that need more room than they have, and parts of the page that are wider than the window. Tables and
# charts may scroll in their own frame.
CUT = """() => {
    const wide = document.documentElement.scrollWidth - innerWidth;
    const values = [...document.querySelectorAll('[data-testid=stMetricValue], [data-testid=stMetricLabel]')]
        .filter((value) => value.scrollWidth > value.clientWidth + 1).map((value) => value.innerText);
    const cells = [...document.querySelectorAll('.table td')]
        .filter((cell) => cell.scrollWidth > cell.clientWidth + 1).map((cell) => cell.innerText);
    return [...(wide > 1 ? [`the page is ${wide} px too wide`] : []), ...values, ...cells];
}"""


def entries() -> Iterator[Record]:
    """One deposit and five charges in each currency, of every model and user in turn."""
    for number, currency in enumerate(CURRENCIES):
        user = USERS[number % len(USERS)]
        yield deposit(f"d{number}", "2026-10-01T08:00:00Z", str(LARGE), user=user, currency=currency)
        for part in range(5):
            model = f"acme/model-{(5 * number + part) % MODELS:03}"
            yield charge(
                f"{'z' * 180}<i>{number}-{part}</i>",
                f"2026-10-0{1 + part}T09:00:00Z",
                str(LARGE / 1000 if part == 0 else Decimal("0.000000000012")),
                user=user,
                currency=currency,
                model=model,
                provider_cost="0.5" if part else None,
            )


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    def make(home: Path) -> None:
        paid = rail_payment("sepa", "never credited <b>", "2026-10-02T08:00:00Z", "250", currency="xof")
        land(home, [ledger_file("a.jsonl", list(entries())), payments_file("p.csv", [paid])])
        publish_home(home, as_of="2026-10-05T12:00:00Z")

    with serving(once(tmp_path_factory, "extremes", make)) as base:
        yield base


@pytest.fixture(scope="module", params=[(1440, "light"), (1024, "dark"), (390, "light"), (390, "dark")])
def window(request: pytest.FixtureRequest, browser: Browser) -> Iterator[BrowserContext]:
    width, scheme = request.param
    context = new_context(browser, width, 900, color_scheme=scheme)
    yield context
    context.close()


@pytest.mark.parametrize("page", PAGES)
def test_nothing_is_cut_or_too_wide(window: BrowserContext, address: str, page: str) -> None:
    screen = Screen(window, address).open(page)
    assert screen.page.evaluate(CUT) == []
    assert (screen.errors(), screen.complaints) == ([], [])
    screen.page.close()


def test_every_currency_is_offered_and_exact(context: BrowserContext, address: str) -> None:
    screen = Screen(context, address).open()
    rows = {row["Currency"]: row for row in screen.table("All currencies")}
    assert set(rows) == {currency.upper() for currency in CURRENCIES}
    # 123,456,789,012.34512 once, and four times 10⁻¹² × 12.
    assert {row["Revenue"] for row in rows.values()} == {"123,456,789,012.345120000048"}
    # The currency of a payment that was never credited.
    screen.choose("Currency", "XOF")
    assert "The ledger has no entry in XOF" in screen.text
    assert "250 XOF" in screen.text
    screen.choose("Currency", "JPY")
    assert screen.tiles()["Revenue"].value == "123.5 bn JPY"
    assert len(screen.open("models?currency=JPY").table("Usage by model")) == 5
    assert set(column(screen.open("users").table("Users"), "User")) <= set(USERS)
    screen.page.close()
