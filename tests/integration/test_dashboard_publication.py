"""The dashboard while a new file is published, before there is one, and with one that it cannot read."""

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import duckdb
import pytest
from playwright.sync_api import BrowserContext

from tests.support.browser import Screen, published_alone, serving
from tests.support.shared import in_soak

pytestmark = pytest.mark.slow

SEEN_MS = 20_000
# Every number of the second publication is ten times that of the first; these two stand at the top and at the
# bottom of the page.
TENFOLD = (
    "update marts.fct_user_days set revenue = revenue * 10",
    "update marts.fct_daily_revenue set revenue = revenue * 10",
    "update marts.fct_wallet_days set closing_balance = closing_balance * 10",
    "update ops.runs set finished_at = timestamptz '2031-01-01 00:00:00+00'",
)
# What a person could read at one time: the line about the publication, the first and the last number.
SAMPLED = """() => {
    const app = document.querySelector('[data-testid=stMainBlockContainer]');
    const number = (tile) => tile?.querySelector('[data-testid=stMetricValue]')?.innerText ?? null;
    const tiles = [...app.querySelectorAll('[data-testid=stMetric]')];
    const named = (tile) => tile.querySelector('[data-testid=stMetricLabel]').innerText;
    const of = (label) => tiles.find((tile) => named(tile).startsWith(label));
    const line = app.querySelector('[data-testid=stCaptionContainer]')?.innerText.match(/published (\\S+)/);
    return [line ? line[1] : null, number(of('Revenue')), number(of('On '))];
}"""
WATCH = f"""() => {{
    window.seen = {{}};
    const look = () => {{ window.seen[JSON.stringify(({SAMPLED})())] = true; requestAnimationFrame(look); }};
    look();
}}"""


@pytest.fixture
def home(first_run: tuple[Path, subprocess.CompletedProcess[str]], tmp_path: Path) -> Path:
    return published_alone(first_run[0], tmp_path / "home")


@pytest.fixture
def base(home: Path) -> Iterator[str]:
    with serving(home) as base:
        yield base


def publish(home: Path, new: Path) -> None:
    """As a run does: beside, then in its place."""
    os.replace(new, home / "published" / "warehouse.duckdb")


def changed(home: Path, *statements: str) -> Path:
    """A copy of what is published, after some changes."""
    new = home / "new.duckdb"
    shutil.copy(home / "published" / "warehouse.duckdb", new)
    with duckdb.connect(str(new)) as connection:
        for statement in statements:
            connection.execute(statement)
    return new


def test_a_new_publication_comes_up_by_itself_and_never_in_part(
    context: BrowserContext, home: Path, base: str
) -> None:
    new = changed(home, *TENFOLD)
    screen = Screen(context, base).open("?period=All+time")
    before = screen.page.evaluate(SAMPLED)
    screen.page.evaluate(WATCH)
    publish(home, new)
    screen.page.wait_for_function(
        "() => document.body.innerText.includes('published 2031-01-01')", timeout=SEEN_MS
    )
    screen.wait()
    after = screen.page.evaluate(SAMPLED)
    assert all(one != other for one, other in zip(before, after, strict=True))
    mixed = []
    for seen in screen.page.evaluate("Object.keys(window.seen).map((text) => JSON.parse(text))"):
        sides = {
            "before" if word == before[place] else "after" if word == after[place] else word
            for place, word in enumerate(seen)
        }
        if len(sides - {None}) > 1:
            mixed.append(seen)
    assert mixed == []
    assert (screen.errors(), screen.complaints) == ([], [])
    screen.page.close()


@pytest.mark.soak
def test_a_publication_of_the_same_numbers_keeps_the_page_where_it_is(
    context: BrowserContext, home: Path, base: str
) -> None:
    screen = Screen(context, base).open("ledger?period=Last+7+days&page=3")
    shown = screen.table("Ledger entries")
    publish(home, changed(home, "update ops.runs set finished_at = timestamptz '2031-01-01 00:00:00+00'"))
    screen.page.wait_for_function(
        "() => document.body.innerText.includes('published 2031-01-01')", timeout=SEEN_MS
    )
    screen.wait()
    assert (screen.address, screen.table("Ledger entries")) == ("ledger?period=Last+7+days&page=3", shown)
    screen.page.close()


@pytest.mark.soak
def test_before_the_first_publication_the_page_says_what_to_do_and_then_shows_it(
    context: BrowserContext, home: Path
) -> None:
    new = changed(home)
    (home / "published" / "warehouse.duckdb").unlink()
    with serving(home) as base:
        screen = Screen(context, base)
        screen.page.goto(base)
        screen.page.get_by_text("Nothing has been published yet. paywall-warehouse run publishes").wait_for()
        assert f"Looked for: {home}/published/warehouse.duckdb" in screen.text
        publish(home, new)
        screen.page.get_by_text("Revenue", exact=True).first.wait_for(timeout=SEEN_MS)
        screen.wait()
        assert "USD" in screen.tiles()["Revenue"].value
        screen.page.close()


@pytest.mark.parametrize(
    ("statements", "words"),
    [
        (
            ("drop macro table marts.kpis",),
            "was written by an earlier version. Rebuild it with",
        ),
        *in_soak((None, "cannot be opened")),
    ],
)
def test_a_file_that_cannot_be_read_gives_words(
    context: BrowserContext, home: Path, statements: tuple[str, ...] | None, words: str
) -> None:
    good = changed(home)
    if statements is None:
        (home / "published" / "warehouse.duckdb").write_bytes(b"no database")
    else:
        kept = good.rename(home / "good.duckdb")
        publish(home, changed(home, *statements))
        good = kept
    with serving(home) as base:
        screen = Screen(context, base)
        screen.page.goto(base)
        screen.page.get_by_text("The published file cannot be read.").wait_for()
        assert re.search(re.escape(words), screen.text)
        assert "Traceback" not in screen.text
        publish(home, good)
        screen.page.get_by_text("Revenue", exact=True).first.wait_for(timeout=SEEN_MS)
        screen.page.close()


@pytest.mark.soak
def test_an_empty_ledger_gives_words(context: BrowserContext, home: Path) -> None:
    publish(home, changed(home, "delete from marts.fct_period_kpis"))
    with serving(home) as base:
        screen = Screen(context, base)
        screen.page.goto(base)
        screen.page.get_by_text("The published ledger has no entries yet.").wait_for()
        screen.page.close()
