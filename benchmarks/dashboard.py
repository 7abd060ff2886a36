"""The dashboard in a real browser: the time of pages and of filter changes, and the memory of its process.

    python -m benchmarks.dashboard [--entries 1000000 10000000] [--home A_HOME_THAT_HAS_PUBLISHED]
                                   [--results benchmarks/results]

Debian's Chromium and the dashboard share the machine's cores. A page is ready when the script has ended and
nothing on it is a placeholder or part of the previous page. Everything is done three times, each time with a
dashboard that was just started. No page repeats a query of another one, so that nothing is answered from the
cache, except the Overview of a named period, whose queries the dashboard answers when it starts. The Overview
of other days shows what it takes without.
"""

import argparse
import shutil
import statistics
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from playwright.sync_api import Browser, Page, sync_playwright

from benchmarks.contenders import COMMAND, pipeline
from benchmarks.ledgers import Ledger
from benchmarks.measure import clean_environment, scratch, watch
from benchmarks.tables import RESULTS, Target, head, spread, table, target_table, write
from paywall_warehouse.duckdb_connections import open_duckdb

CHROMIUM = ("chromium", "chromium-browser", "google-chrome")
READY = """() => {
    const app = document.querySelector('[data-testid=stApp]');
    return app && app.dataset.testScriptState === 'notRunning'
        && document.querySelector('[data-testid=stMainBlockContainer] [data-testid=stCaptionContainer]')
        && !document.querySelector('[data-testid=stSkeleton], [data-stale=true]');
}"""
CAPTION = "[data-testid=stMainBlockContainer] [data-testid=stCaptionContainer]"
# The caption has changed, and the page is ready.
CHANGED = f"(before) => document.querySelector('{CAPTION}')?.innerText !== before && ({READY})()"
# Entries, seconds for a page, seconds for a change of a filter.
PROMISED = {1_000_000: (2, 1), 10_000_000: (5, 3)}
MEMORY_MB = 1000
TIMEOUT_MS = 120_000
ROUNDS = 3


@dataclass(frozen=True)
class Timed:
    """The seconds of each round, from the request of a page or the click on a filter to the ready page."""

    what: str
    is_change: bool
    rounds: tuple[float, ...]

    @property
    def seconds(self) -> float:
        """The median."""
        return statistics.median(self.rounds)


def open_page(browser: Browser, address: str) -> tuple[Page, float]:
    """Open a page in a new browser context, and return it with the seconds until it is ready."""
    page = browser.new_context(viewport={"width": 1500, "height": 1200}).new_page()
    begin = time.perf_counter()
    page.goto(address)
    page.wait_for_function(READY, timeout=TIMEOUT_MS)
    return page, time.perf_counter() - begin


def change(page: Page, label: str, option: str) -> float:
    """Choose an option of a filter in the sidebar, and return the seconds until the page is ready again."""
    before = page.locator(CAPTION).first.inner_text()
    widget = page.locator(
        "[data-testid=stSidebar] :is([data-testid=stSelectbox],"
        f" [data-testid=stMultiSelect]):has(label:has-text('{label}'))"
    )
    # By keyboard, because a click while the previous list is closing opens nothing.
    widget.locator("input").focus()
    page.keyboard.press("ArrowDown")
    chosen = page.get_by_role("option", name=option, exact=True)
    chosen.wait_for()
    begin = time.perf_counter()
    chosen.click()
    page.wait_for_function(CHANGED, arg=before, timeout=TIMEOUT_MS)
    seconds = time.perf_counter() - begin
    # The list of a filter with several values stays open; where it has closed, Escape would clear the filter.
    widget.locator("input").blur()
    return seconds


@contextmanager
def dashboard(home: Path, peak: list[int]) -> Iterator[str]:
    """Run the dashboard of a home, and write the highest resident set of its process to `peak`."""
    process = subprocess.Popen(
        [COMMAND, "dashboard", "--port", "0"],
        cwd=home,
        env=clean_environment({"WAREHOUSE_HOME": str(home)}),
        stderr=subprocess.PIPE,
        text=True,
    )
    if process.stderr is None:
        raise RuntimeError("the dashboard has no standard error")
    address = process.stderr.readline().split()[0]
    watcher = threading.Thread(target=watch, args=(process, peak), daemon=True)
    watcher.start()
    try:
        yield address
    finally:
        process.terminate()
        process.communicate()


def walk(home: Path) -> tuple[dict[tuple[str, bool], float], float]:
    """Time every page, and filter changes on the pages whose numbers depend on them.

    Returns the seconds by (name, whether it is a change), and the peak memory in MB.
    """
    with open_duckdb(home / "published" / "warehouse.duckdb", read_only=True) as connection:
        [(user, entry, model)] = connection.execute(
            """select user_id, entry_id, model_id from marts.fct_ledger_entries
            where entry_type = 'charge' and user_id = (select user_id from marts.rpt_users
                order by total_spend desc limit 1) limit 1"""
        ).fetchall()
        # All days but one: the slowest range that is no named period.
        [(first, last)] = connection.execute(
            "select min(date_day) + 1, max(date_day) from marts.dim_dates"
        ).fetchall()
    pages = {
        "Overview": "",
        "Models": "models",
        "Cohorts": "cohorts",
        "Users": "users",
        "Top spenders": "users?view=Top+spenders+of+the+period",
        "The busiest user": f"user?user={user}",
        "Ledger": "ledger",
        "Entry": f"entry?entry={entry}",
        "Reconciliation": "reconciliation",
        "Costs": "costs",
        "Finance": "finance",
        "Growth": "growth",
        "Runs": "runs",
        "Overview of all time": "?period=All+time",
        "Overview of other days": f"?period=Custom+days&days={first:%Y-%m-%d}&days={last:%Y-%m-%d}",
    }
    changes = (("Period", "Last 90 days"), ("Model", model), ("Event type", "charge"), ("Balance", "high"))
    executable = next(filter(None, map(shutil.which, CHROMIUM)), None)
    if executable is None:
        raise SystemExit("No Chromium was found: `apt-get install chromium`.")
    timed: dict[tuple[str, bool], float] = {}
    peak = [0]
    with dashboard(home, peak) as address, sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=executable, args=["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]
        )
        # The first page of a process includes its imports.
        open_page(browser, f"{address}/runs")
        for name, path in pages.items():
            page, seconds = open_page(browser, f"{address}/{path}")
            timed[name, False] = seconds
            page.context.close()
        for name in ("Overview", "Models", "Cohorts", "Top spenders", "Ledger"):
            separator = "&" if "?" in pages[name] else "?"
            # Expand the further filters by an address with filters that change nothing.
            page, _ = open_page(
                browser,
                f"{address}/{pages[name]}{separator}status=unknown&status=connected&status=requested"
                "&period=Last+7+days",
            )
            for label, option in changes:
                timed[f"{name}, {label.lower()}", True] = change(page, label, option)
            page.context.close()
        browser.close()
    return timed, peak[0] / 1e6


def benchmark(entries: int, home: Path | None, results: Path) -> list[Target]:
    """Measure on `home`, or on a new home that is published first, and write the file."""
    ledger = Ledger(entries)
    with scratch() as built:
        if home is None:
            pipeline(ledger.make(), built, ledger.as_of)
        rounds, peaks = zip(*(walk(home or built) for _ in range(ROUNDS)), strict=True)
    timed = [
        Timed(what, is_change, tuple(one[what, is_change] for one in rounds)) for what, is_change in rounds[0]
    ]
    peak_mb = max(peaks)
    rows = [[one.what, "filter" if one.is_change else "page", spread(one.rounds, 2)] for one in timed]
    targets = []
    if entries in PROMISED:
        page, filters = PROMISED[entries]
        slowest = {
            is_change: max((one for one in timed if one.is_change is is_change), key=lambda one: one.seconds)
            for is_change in (False, True)
        }
        size = f"{entries:,} entries"
        targets = [
            Target(f"slowest page, {size}", page, slowest[False].seconds, "s", how=slowest[False].what),
            Target(
                f"slowest change of a filter, {size}",
                filters,
                slowest[True].seconds,
                "s",
                how=slowest[True].what,
            ),
            Target(
                f"memory of the dashboard, {size}",
                MEMORY_MB,
                peak_mb,
                "MB",
                how="highest resident set while all pages were looked at",
            ),
        ]
    lines = [
        *head(f"The dashboard on {entries:,} entries"),
        f"Peak memory: {peak_mb:.0f} MB.",
        "",
        *table(("what", "kind", "seconds"), rows),
    ]
    write(results, f"dashboard-{entries}", [*lines, *target_table(targets)])
    return targets


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--entries", type=int, nargs="+", default=[1_000_000, 10_000_000])
    parser.add_argument("--home", type=Path, help="a home that has published as many entries as are named")
    parser.add_argument("--results", type=Path, default=RESULTS)
    arguments = parser.parse_args()
    for entries in arguments.entries:
        benchmark(entries, arguments.home, arguments.results)


if __name__ == "__main__":
    main()
