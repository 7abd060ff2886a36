"""The dashboard as a person sees it: the real command, Debian's Chromium, what stands on the screen and what
is clicked.
"""

import os
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple, cast

import pytest
from playwright.sync_api import (
    Browser,
    BrowserContext,
    Locator,
    Page,
    TimeoutError as PlaywrightTimeoutError,
    sync_playwright,
)

from tests.support.command import environment
from tests.support.warm_start import WarmCommand

CHROMIUM = ("chromium", "chromium-browser", "google-chrome")
# So wide that every column of every table is in view.
WIDTH, HEIGHT = 2600, 1400
TIMEOUT_MS = 60_000
# What is folded opens slowly, and closes every list that is open then.
UNFOLDED_MS = 600
READY = """(
    document.querySelector('[data-testid=stApp]')?.dataset.testScriptState === 'notRunning'
    && !!document.querySelector('[data-testid=stMainBlockContainer] [data-testid=stElementContainer]')
    && !document.querySelector('[data-testid=stSkeleton], [data-stale=true]')
)"""
# Counts the runs of the script that this window has seen.
COUNT_RUNS = """
    window.runs = 0;
    new MutationObserver((changes) => {
        const app = document.querySelector('[data-testid=stApp]');
        if (app?.dataset.testScriptState === 'running') window.runs++;
    }).observe(document, {subtree: true, childList: true, attributeFilter: ['data-test-script-state']});
"""
NOW = "({origin: performance.timeOrigin, runs: window.runs, href: location.href})"
IN_THIS_WINDOW = f"(before) => window.runs > before.runs && location.href !== before.href && {READY}"
BY_ADDRESS = f"(before) => performance.timeOrigin !== before.origin && {READY}"
# The browser draws for a moment after the script has ended.
SETTLED_MS = 250
SETTLED = """(quiet) => new Promise((resolve) => {
    const done = () => { observer.disconnect(); resolve(true); };
    let timer = setTimeout(done, quiet);
    const observer = new MutationObserver(() => { clearTimeout(timer); timer = setTimeout(done, quiet); });
    observer.observe(document.querySelector('[data-testid=stApp]') ?? document.body,
        {subtree: true, childList: true, characterData: true});
    setTimeout(done, 40 * quiet);
})"""
# Of a table: the labels of its columns without the arrow of the sorted one, and the texts of its rows.
SHOWN = """(table) => ({
    header: [...table.querySelectorAll('th span')].map((label) => label.textContent),
    rows: [...table.querySelectorAll('tbody tr')].map((row) => [...row.cells].map((cell) =>
        (cell.querySelector('details code') ?? cell).textContent)),
})"""
# Streamlit looks for its own two addresses below the page's, then at the root.
LOOKED_FOR = re.compile(r"/_stcore/(health|host-config)$")


class Tile(NamedTuple):
    """A number in a frame: its words, and those about the change."""

    value: str
    change: str | None
    before: str | None


def chromium() -> str:
    """The browser of this machine; without one a test is skipped, but in CI it fails."""
    found = next(filter(None, map(shutil.which, CHROMIUM)), None)
    if found is None:
        words = "no Chromium was found: `apt-get install chromium`"
        if "CI" in os.environ:
            pytest.fail(words)
        pytest.skip(words)
    return found


@contextmanager
def browsing() -> Iterator[Browser]:
    """A browser without windows."""
    executable = chromium()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=executable,
            args=["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"],
        )
        yield browser
        browser.close()


def new_context(browser: Browser, width: int = WIDTH, height: int = HEIGHT, **options: Any) -> BrowserContext:
    """A context of windows in which nothing moves: to draw that takes as much CPU as all else in the
    browser.
    """
    return browser.new_context(
        viewport={"width": width, "height": height}, reduced_motion="reduce", **options
    )


@contextmanager
def serving(home: Path, **variables: str) -> Iterator[str]:
    """`paywall-warehouse dashboard` on a home; its address."""
    home.mkdir(parents=True, exist_ok=True)
    log = home.with_name(f"{home.name}-dashboard.log")
    with log.open("w", encoding="utf-8") as said:
        process = WarmCommand(
            ["dashboard", "--port", "0"],
            cwd=home,
            env=environment(home, **variables),
            stderr=subprocess.PIPE,
            text=True,
        )
        assert process.stderr is not None
        first = process.stderr.readline()
        said.write(first)
        try:
            assert first.startswith("http://"), first + process.stderr.read()
            yield first.split()[0]
        finally:
            process.terminate()
            said.write(process.communicate()[1])
    errors = [
        line
        for line in log.read_text(encoding="utf-8").splitlines()
        if "Traceback" in line or "Error" in line
    ]
    assert not errors, log.read_text(encoding="utf-8")


def published_alone(home: Path, copy: Path) -> Path:
    """A home with nothing but what another one has published."""
    (copy / "published").mkdir(parents=True)
    shutil.copy(home / "published" / "warehouse.duckdb", copy / "published" / "warehouse.duckdb")
    return copy


class Screen:
    """One window on the dashboard."""

    def __init__(self, context: BrowserContext, base: str) -> None:
        self.page: Page = context.new_page()
        self.page.set_default_timeout(TIMEOUT_MS)
        self.page.add_init_script(COUNT_RUNS)
        self._base = base
        self.complaints: list[str] = []
        """Errors of the browser's console, dialogs, requests that leave the machine."""
        self.page.on(
            "console",
            lambda message: self._heard(message.type, message.text, message.location.get("url", "")),
        )
        self.page.on("pageerror", lambda error: self.complaints.append(f"error: {error}"))
        self.page.on(
            "dialog", lambda dialog: (self.complaints.append(f"dialog: {dialog.message}"), dialog.dismiss())
        )
        self.page.on("request", lambda request: self._asked(request.url))

    def _heard(self, kind: str, text: str, url: str) -> None:
        if kind == "error" and not LOOKED_FOR.search(url):
            self.complaints.append(f"console: {text} ({url})")

    def _asked(self, url: str) -> None:
        if not url.startswith((self._base, self._base.replace("http", "ws"), "data:", "blob:")):
            self.complaints.append(f"request: {url}")

    # ------------------------------------------------------------------------------------------------- going

    def open(self, path: str = "") -> "Screen":
        """A page by its address."""
        self.page.goto(f"{self._base}/{path}")
        self.wait()
        return self

    def wait(self) -> None:
        """Until the page is up."""
        self.page.wait_for_function(f"() => {READY}", timeout=TIMEOUT_MS)
        self._settle()

    def _settle(self) -> None:
        # A run of the script may begin another one, such as after a choice that the address keeps.
        while True:
            self.page.evaluate(SETTLED, SETTLED_MS)
            if self.page.evaluate(READY):
                return
            self.page.wait_for_function(f"() => {READY}", timeout=TIMEOUT_MS)

    def change(self, act: Callable[[], Any]) -> None:
        """Do something that changes what this window shows, and its address."""
        before = self.page.evaluate(NOW)
        act()
        self.page.wait_for_function(IN_THIS_WINDOW, arg=before, timeout=TIMEOUT_MS)
        self._settle()

    def follow(self, act: Callable[[], Any]) -> None:
        """Do something that leads to another address."""
        before = self.page.evaluate(NOW)
        act()
        self.page.wait_for_function(BY_ADDRESS, arg=before, timeout=TIMEOUT_MS)
        self._settle()

    def back(self) -> None:
        """The browser's own button."""
        self.page.go_back()
        self.wait()

    @property
    def address(self) -> str:
        """The page and its parameters."""
        return self.page.url.removeprefix(f"{self._base}/")

    # --------------------------------------------------------------------------------------------- filters

    def choose(self, label: str, option: str) -> None:
        """Choose an option of a list that the address keeps."""
        self.change(lambda: self.pick(label, option))

    def pick(self, label: str, option: str) -> None:
        """Choose an option of a list: long ones show what has been typed."""
        field = self.page.get_by_label(label, exact=True)
        chosen = self.page.get_by_test_id("stMultiSelect").filter(has=field)
        offered = self.page.get_by_role("option")
        for _ in range(4):
            field.click()
            with suppress(PlaywrightTimeoutError):
                offered.first.wait_for(timeout=TIMEOUT_MS / 6)
                # At once: the list is drawn anew after every key.
                field.fill(option)
                self.page.get_by_role("option", name=option, exact=True).click(timeout=TIMEOUT_MS / 4)
                break
            # A busy machine loses keys, closes lists, and reports a click late: a person would look, and
            # begin again.
            if chosen.filter(has_text=option).count():
                break
            found = offered.all_inner_texts()
            field.blur()
        else:
            raise AssertionError(f"{label} offers {found} for {option}")
        # A list from which several are chosen stays open. Where it has closed, Escape would clear the choice.
        field.blur()

    def switch(self, label: str) -> None:
        """Turn a switch."""
        self.change(self.page.locator("label").filter(has=self.page.get_by_label(label, exact=True)).click)

    def type(self, label: str, text: str) -> None:
        """Write into a field."""
        field = self.page.get_by_label(label, exact=True)
        field.fill(text)
        self.change(lambda: field.press("Enter"))

    def expand(self, words: str) -> None:
        """Open what is folded."""
        self.page.locator("summary", has_text=words).click()
        self.page.wait_for_timeout(UNFOLDED_MS)
        self.wait()

    def go(self, link: str | re.Pattern[str]) -> None:
        """Click on a link to another address."""
        self.follow(self.main.get_by_role("link", name=link).first.click)

    # -------------------------------------------------------------------------------------- what is shown

    @property
    def main(self) -> Locator:
        """The page without the sidebar."""
        return self.page.locator("[data-testid=stMainBlockContainer]")

    @property
    def text(self) -> str:
        """All of the page's words outside tables."""
        return self.main.inner_text()

    @property
    def codes(self) -> list[str]:
        """What can be copied: ids, links, raw texts."""
        return [code.text_content() or "" for code in self.page.locator(".copyable code").all()]

    def copied(self, button: str) -> str:
        """What lies in the clipboard after a click on a button that copies."""
        self.page.context.grant_permissions(["clipboard-read", "clipboard-write"])
        clicked = self.main.get_by_role("button", name=button)
        clicked.click()
        clicked.filter(has_text="Copied").wait_for()
        return cast(str, self.page.evaluate("navigator.clipboard.readText()"))

    def errors(self) -> list[str]:
        """Frames that say that something went wrong."""
        return self.page.locator(
            "[data-testid=stAlertContentError], [data-testid=stException]"
        ).all_inner_texts()

    def tiles(self) -> dict[str, Tile]:
        """Numbers in frames by their labels."""
        return {
            self._words(tile, "stMetricLabel") or "": self._tile(tile)
            for tile in self.main.locator("[data-testid=stMetric]").all()
        }

    def _tile(self, tile: Locator) -> Tile:
        return Tile(
            self._words(tile, "stMetricValue") or "",
            self._words(tile, "stMetricDelta"),
            self._words(tile, "stMetricDeltaDescription"),
        )

    def _words(self, tile: Locator, part: str) -> str | None:
        found = tile.locator(f"[data-testid={part}]")
        return found.inner_text().strip() if found.count() else None

    def grid(self, alt: str) -> Locator:
        """A table by its accessible name."""
        return self.page.get_by_role("table", name=alt, exact=True)

    def table(self, alt: str) -> list[dict[str, str]]:
        """All rows of a table, with what is folded in them."""
        grid = self.grid(alt)
        grid.wait_for()
        shown = cast(dict[str, Any], grid.evaluate(SHOWN))
        return [dict(zip(shown["header"], row, strict=True)) for row in shown["rows"]]

    def open_row(self, alt: str, row: int = 0) -> None:
        """Go where the first link of a row leads."""
        self.follow(self.grid(alt).locator("tbody tr").nth(row).get_by_role("link").first.click)

    def sort_by(self, alt: str, header: str) -> None:
        """Click on the header of a column."""
        self.follow(self.grid(alt).get_by_role("columnheader", name=header).get_by_role("link").click)
