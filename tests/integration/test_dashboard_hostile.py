"""The dashboard shows every text as it is, whatever it looks like: nothing of it becomes an element, a link
or a request.
"""

import subprocess
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote, quote_plus

import duckdb
import pytest
from playwright.sync_api import BrowserContext

from paywall_warehouse.quoting import literal
from tests.support.browser import Screen, published_alone, serving
from tests.support.shared import in_soak

pytestmark = pytest.mark.slow

TEXTS = (
    "<img src=x onerror=alert(1)>",
    "<script>alert(2)</script>",
    "**bold** [link](http://evil.example)",
    r":red[x] $\frac{1}{2}$ ![i](http://evil.example/i.png)",
    '=HYPERLINK("http://evil.example")',
    (
        "{{7*7}} <b>b</b> http://evil.example :material/home: :smile: www.evil.example a@evil.example a -> b"
        " -- c >= ``d`"
    ),
    "\u202eright to left\u2066",
    "x" * 255,
    "two\nlines",
    "a b&c?d/e#f%g+h",
    "'\"><a href=http://evil.example>y</a>",
)
# Each takes some seconds: one of every kind of harm at once, the others in `make soak`.
LINKS = {
    "AUTHORIZATION_LINK": "https://pay.example/{paywall_id}?for={user_id}",
    "TOP_UP_LINK": "https://pay.example/top-up?user={user_id}",
}
# What no text may become; Streamlit's own bold words are none of these.
ELEMENTS = """() => {
    const main = document.querySelector('[data-testid=stMain]');
    const own = '[data-of=copying], [data-of=pictures], [data-of=tiles]';
    const foreign = `img, script:not(${own}), b, iframe, .katex,`
        + '[data-testid=stMarkdownColoredText]';
    const found = [...main.querySelectorAll(foreign)];
    const bold = [...document.querySelectorAll('strong')].filter((element) => element.textContent === 'bold');
    const links = [...document.querySelectorAll('a')]
        .filter((link) => new URL(link.href).hostname.includes('evil'));
    return [...found, ...bold, ...links].map((element) => element.outerHTML);
}"""


@pytest.fixture(scope="module")
def address(
    first_run: tuple[Path, subprocess.CompletedProcess[str]], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    home = published_alone(first_run[0], tmp_path_factory.mktemp("hostile") / "home")
    with duckdb.connect(str(home / "published" / "warehouse.duckdb")) as connection:
        make_hostile(connection)
    with serving(home, **LINKS) as base:
        yield base


def make_hostile(connection: duckdb.DuckDBPyConnection) -> None:
    """Put the texts in the place of ids, codes, paths and raw records."""
    texts = ", ".join(map(literal, TEXTS))
    connection.execute(
        f"create temp table texts as select unnest([{texts}]) as new_text, generate_subscripts([{texts}], 1)"
        " as n"
    )
    sources = {
        "user_id": (
            "select user_id, row_number() over (order by total_spend desc) from marts.rpt_users where"
            " currency = 'usd'"
        ),
        "model_id": "select model_id, row_number() over (order by model_id) from marts.dim_models",
        "paywall_id": "select paywall_id, row_number() over (order by paywall_id) from marts.dim_paywalls",
        "error_code": (
            "select error_code, row_number() over () from (select distinct error_code from"
            " marts.fct_usage_errors)"
        ),
        "case_id": (
            "select case_id, row_number() over (order by case_id) from marts.fct_reconciliation where status"
            " = 'break'"
        ),
        "reason_code": (
            "select reason_code, row_number() over () from (select distinct reason_code from"
            " ops.rejected_records)"
        ),
        "request_id": (
            "select distinct on (request_id) request_id, row_number() over (order by user_id) from"
            " marts.fct_usage_errors"
        ),
    }
    for column, query in sources.items():
        tables = connection.execute(
            "select schema_name, table_name from duckdb_columns() where column_name = ? and schema_name in"
            " ('marts', 'ops')",
            [column],
        ).fetchall()
        connection.execute(
            f"create temp table names as select old_text, new_text from ({query}) as t(old_text, n) join"
            " texts using (n)"
        )
        for schema, name in tables:
            connection.execute(
                f"update {schema}.{name} set {column} = new_text from names where {column} = old_text"
            )
        connection.execute("drop table names")
    for table, columns in {
        "ops.rejected_records": ("raw", "reason", "path"),
        "ops.loaded_files": ("path",),
        "marts.fct_ledger_entries": ("metadata",),
        "ops.runs": ("code_version",),
    }.items():
        for column in columns:
            connection.execute(
                f"update {table} as t set {column} = new_text from texts where n = 1 + t.rowid % {len(TEXTS)}"
            )


@pytest.fixture
def screen(context: BrowserContext, address: str) -> Iterator[Screen]:
    screen = Screen(context, address)
    yield screen
    assert (screen.page.evaluate(ELEMENTS), screen.complaints, screen.errors()) == ([], [], [])
    screen.page.close()


def column(rows: list[dict[str, str]], name: str) -> set[str]:
    return {row[name] for row in rows}


@pytest.mark.parametrize(
    ("page", "table", "name"),
    [
        ("users", "Users", "User"),
        *in_soak(
            ("models?period=All+time", "Usage by model", "Model"),
            ("runs", "Rejected records", "What is wrong"),
            ("users?view=Top+spenders+of+the+period&period=All+time", "Top spenders of the period", "User"),
            ("runs", "Loaded files", "File"),
            ("runs", "Rejected records by reason", "Reason"),
            ("runs", "Rejected records", "File"),
            ("reconciliation", "Reconciliation cases", "Case"),
        ),
    ],
)
def test_tables_show_texts_as_they_are(screen: Screen, page: str, table: str, name: str) -> None:
    screen.open(page)
    shown = column(screen.table(table), name) & set(TEXTS)
    assert len(shown) >= 7


@pytest.mark.soak
@pytest.mark.parametrize("text", TEXTS)
def test_a_users_page_shows_the_id_and_keeps_it_inside_the_links(screen: Screen, text: str) -> None:
    screen.open(f"user?user={quote_plus(text)}&period=All+time")
    paywalls = [row["Paywall"] for row in screen.table("Wallets")]
    assert set(paywalls) < set(TEXTS)
    assert screen.codes == [
        text,
        *(
            f"https://pay.example/{quote(paywall, safe='')}?for={quote(text, safe='')}"
            for paywall in dict.fromkeys(paywalls)
        ),
        f"https://pay.example/top-up?user={quote(text, safe='')}",
    ]
    screen.open_row("Ledger entries")
    fields = {row["Field"]: row["Value"] for row in screen.table("Fields of the entry")}
    assert fields["user_id"] == text
    assert screen.codes[1].strip() in {one.strip() for one in TEXTS}
    screen.go("User ")
    assert screen.codes[0] == text


@pytest.mark.soak
@pytest.mark.parametrize("text", TEXTS)
def test_filters_name_what_they_are_set_to(screen: Screen, text: str) -> None:
    screen.open(f"?model={quote_plus(text)}&period=All+time")
    caption = screen.main.locator("[data-testid=stCaptionContainer]").first.inner_text()
    assert f"model: {text.replace(chr(10), ' ')} · " in caption
    assert screen.page.evaluate(ELEMENTS) == []
    screen.open(f"models?model={quote_plus(text)}&period=All+time")
    assert column(screen.table("Usage by model"), "Model") == {text}
    over_charts(screen)
    tooltip = screen.page.locator("#vg-tooltip-element.visible")
    tooltip.wait_for()
    assert tooltip.locator("td.key").all_text_contents() == [
        text if len(text) <= 60 else f"{text[:36]}…{text[-20:]}"
    ]


def over_charts(screen: Screen) -> None:
    """Hover: the text about a mark is no HTML either."""
    for chart in screen.page.locator("[data-testid=stVegaLiteChart]").all():
        chart.locator("canvas, svg").first.wait_for()
        chart.scroll_into_view_if_needed()
        box = chart.bounding_box()
        assert box is not None
        for part in (0.2, 0.5, 0.95):
            screen.page.mouse.move(box["x"] + box["width"] * part, box["y"] + box["height"] / 3)


@pytest.mark.soak
def test_errors_and_their_codes(screen: Screen) -> None:
    seen: set[str] = set()
    for text in TEXTS[:3]:
        screen.open(f"user?user={quote_plus(text)}&period=All+time")
        seen |= column(screen.table("Recent errors"), "Code")
    assert len(seen & set(TEXTS)) >= 3


@pytest.mark.soak
def test_a_case_and_a_link_to_it(screen: Screen) -> None:
    for text in TEXTS[:6]:
        screen.open(f"case?case={quote_plus(text)}")
        assert screen.codes[0] == text
        assert "Nothing is published under this id" not in screen.text
    screen.open(f"case?case={quote_plus('no <b>such</b> case')}")
    assert "Nothing is published under this id" in screen.text


@pytest.mark.soak
def test_raw_records(screen: Screen) -> None:
    screen.open("runs")
    assert set(column(screen.table("Rejected records"), "Raw text")) <= set(TEXTS)


@pytest.mark.soak
def test_a_search_for_such_texts(screen: Screen) -> None:
    for text in ("<script>", "**bold**", '=HYPERLINK("', "%", "'\"><a"):
        screen.open(f"users?q={quote_plus(text)}")
        assert all(text in user for user in column(screen.table("Users"), "User"))
