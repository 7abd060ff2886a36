"""Streamlit's scripts, styles and fonts, and the list of those that a page needs.

A browser requests some hundred files for its first page. Streamlit opens each one in a thread, below a
handful of middleware, and names most of them only when the page shows the first element of its kind.
"""

import mimetypes
import re
from collections.abc import Iterable
from html import escape
from pathlib import Path

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from streamlit.file_util import get_static_dir

PREFIX = "/static/"
# Their names contain a digest of what they contain.
CACHE_CONTROL = "public, immutable, max-age=31536000"
# The scripts of the elements that Streamlit imports when a page shows the first of them.
ON_EVERY_PAGE = ("Selectbox", "Checkbox", "Html")
OF_CHARTS = ("ArrowVegaLiteChart", "ButtonGroup", "DownloadButton", "Metric")
WITH_CHARTS = ("/", "/overview", "/models", "/cohorts", "/user", "/reconciliation", "/costs")
IMPORTED = re.compile(rb"""(?:from|import)\s*["'`]\./([\w.\-]+\.js)["'`]""")


class StaticFiles:
    """An application, with Streamlit's static files in front of it."""

    def __init__(self, app: ASGIApp, root: Path | None = None) -> None:
        self._app = app
        root = root or Path(get_static_dir())
        self._files = {
            f"/{file.relative_to(root).as_posix()}": file
            for file in sorted((root / "static").rglob("*"))
            if file.is_file()
        }
        scripts = root / "static" / "js"
        loaded = scripts_of(scripts, ("index",))
        common = scripts_of(scripts, ON_EVERY_PAGE)
        charts = scripts_of(scripts, OF_CHARTS)
        self._common = _links(name for name in common if name not in loaded)
        self._charts = self._common + _links(
            name for name in charts if name not in loaded and name not in common
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request of a static file, or pass it on."""
        if scope["type"] != "http" or scope["method"] != "GET":
            await self._app(scope, receive, send)
        elif scope["path"].startswith(PREFIX):
            file = self._files.get(scope["path"])
            if file is None or "range" in Headers(scope=scope):
                await self._app(scope, receive, send)
            else:
                await _send_file(file, send)
        elif "text/html" in Headers(scope=scope).get("accept", ""):
            links = self._charts if scope["path"] in WITH_CHARTS else self._common
            # A compressed page could not be added to.
            headers = [pair for pair in scope["headers"] if pair[0] != b"accept-encoding"]
            await self._app({**scope, "headers": headers}, receive, _with_links(send, links))
        else:
            await self._app(scope, receive, send)


def scripts_of(folder: Path, elements: Iterable[str]) -> list[str]:
    """Return the names of the scripts of some elements, with those that they import."""
    names: dict[str, None] = {}
    todo = [file.name for element in elements for file in sorted(folder.glob(f"{element}.*.js"))]
    while todo:
        name = todo.pop()
        if name not in names:
            names[name] = None
            file = folder / name
            todo += [found.decode() for found in IMPORTED.findall(file.read_bytes())] if file.exists() else []
    return list(names)


def _links(names: Iterable[str]) -> bytes:
    # With the usual priority, they would hold up the requests that begin the session.
    link = '<link rel="modulepreload" fetchpriority="low" crossorigin href="./static/js/{}">'
    return "".join(link.format(escape(name)) for name in names).encode()


async def _send_file(file: Path, send: Send) -> None:
    content = file.read_bytes()
    kind = mimetypes.guess_type(file.name)[0] or "application/octet-stream"
    headers = [
        (b"content-type", kind.encode()),
        (b"content-length", str(len(content)).encode()),
        (b"cache-control", CACHE_CONTROL.encode()),
    ]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": content})


def _with_links(send: Send, links: bytes) -> Send:
    """Return a `send` that adds links to the head of a page."""
    start: Message = {}
    body = bytearray()

    async def send_with_links(message: Message) -> None:
        nonlocal start
        if message["type"] == "http.response.start":
            headers = Headers(raw=message["headers"])
            if message["status"] == 200 and headers.get("content-type", "").startswith("text/html"):
                start = message
                return
        if not start:
            await send(message)
            return
        body.extend(message.get("body", b""))
        if not message.get("more_body"):
            page = bytes(body).replace(b"</head>", links + b"</head>", 1)
            MutableHeaders(raw=start["headers"])["content-length"] = str(len(page))
            await send(start)
            await send({"type": "http.response.body", "body": page})

    return send_with_links
