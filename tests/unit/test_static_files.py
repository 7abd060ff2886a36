"""Streamlit's static files, and the scripts that a page names in its head."""

import re
from pathlib import Path

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, Response
from starlette.routing import Route
from starlette.testclient import TestClient
from streamlit.file_util import get_static_dir

from dashboard.static_files import OF_CHARTS, ON_EVERY_PAGE, WITH_CHARTS, StaticFiles

PAGE = "<html><head><title>é</title></head><body></body></html>"
HTML = {"Accept": "text/html,*/*;q=0.8"}
SCRIPTS = {
    "index.a1.js": 'import{t as e}from"./shared.b2.js";import("./Selectbox.c3.js");',
    "shared.b2.js": "export var t=1;",
    "Selectbox.c3.js": 'import"./index.a1.js";import{n}from"./list.d4.js";import{m}from"./gone.e5.js";',
    "list.d4.js": "export var n=1;",
    "Metric.f6.js": 'import{n}from"./list.d4.js";import{c}from"./chart.g7.js";',
    "chart.g7.js": "export var c=1;",
    "Other.h8.js": "",
}


@pytest.fixture
def browser(tmp_path: Path) -> TestClient:
    (tmp_path / "static" / "js").mkdir(parents=True)
    for name, script in SCRIPTS.items():
        (tmp_path / "static" / "js" / name).write_text(script, encoding="utf-8")
    (tmp_path / "secret.txt").write_text("secret", encoding="utf-8")

    async def answer(request: Request) -> Response:
        if request.url.path == "/download/ledger.csv":
            return PlainTextResponse("</head>")
        encoding = request.headers.get("accept-encoding", "none")
        return HTMLResponse(PAGE, headers={"Cache-Control": "no-cache", "X-Encoding": encoding})

    app = Starlette(routes=[Route("/{path:path}", answer, methods=["GET", "POST", "HEAD"])])
    return TestClient(StaticFiles(app, tmp_path))


def named(page: str) -> list[str]:
    return re.findall(r'<link rel="modulepreload" [^>]*href="\./static/js/([^"]+)">', page)


def test_a_page_names_the_scripts_of_its_elements_that_its_first_script_does_not_import(
    browser: TestClient,
) -> None:
    page = browser.get("/users?user=u1", headers=HTML)
    assert sorted(named(page.text)) == ["Selectbox.c3.js", "gone.e5.js", "list.d4.js"]
    assert int(page.headers["content-length"]) == len(page.content)
    assert re.sub("<link[^>]*>", "", page.text) == PAGE
    assert (page.headers["cache-control"], page.headers["x-encoding"]) == ("no-cache", "none")


def test_a_page_with_charts_also_names_their_scripts(browser: TestClient) -> None:
    for path in WITH_CHARTS:
        assert sorted(named(browser.get(path, headers=HTML).text)) == [
            "Metric.f6.js",
            "Selectbox.c3.js",
            "chart.g7.js",
            "gone.e5.js",
            "list.d4.js",
        ]


def test_a_script_is_sent_whole_and_kept_by_the_browser(browser: TestClient) -> None:
    script = browser.get("/static/js/list.d4.js")
    assert (script.status_code, script.text) == (200, SCRIPTS["list.d4.js"])
    assert script.headers["content-type"].startswith(("text/javascript", "application/javascript"))
    assert script.headers["content-length"] == str(len(SCRIPTS["list.d4.js"]))
    assert script.headers["cache-control"] == "public, immutable, max-age=31536000"


def test_everything_else_is_passed_on_unchanged(browser: TestClient) -> None:
    for path in ("/static/js/none.js", "/static/../secret.txt", "/static/%2e%2e/secret.txt", "/static/"):
        assert browser.get(path).text == PAGE
    assert browser.get("/static/js/list.d4.js", headers={"Range": "bytes=0-3"}).text == PAGE
    assert browser.post("/", headers=HTML).text == PAGE
    assert browser.get("/users").text == PAGE
    assert browser.get("/download/ledger.csv", headers=HTML).text == "</head>"


def test_the_installed_streamlit_has_the_scripts_of_every_element() -> None:
    scripts = Path(get_static_dir()) / "static" / "js"
    for element in ("index", *ON_EVERY_PAGE, *OF_CHARTS):
        assert list(scripts.glob(f"{element}.*.js")), element
