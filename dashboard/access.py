"""Who gets to the dashboard: this machine, whoever knows the password, whoever a proxy has let in. Everybody else gets nothing at all.

It stands before Streamlit as plain ASGI, so that pages, files, downloads and the WebSocket go through the same door.
"""

import asyncio
import hashlib
import hmac
import html
import ipaddress
import logging
import re
import secrets
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from http.cookies import CookieError, SimpleCookie
from urllib.parse import parse_qsl, quote, urlencode, urlsplit

from pydantic import SecretStr
from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import HTMLResponse, PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from paywall_warehouse.settings import Settings

LOGIN, LOGOUT, HEALTH = "/login", "/logout", "/_stcore/health"
COOKIE = "paywall_warehouse_dashboard"
SESSION_SECONDS = 12 * 3600
LOCAL_NAMES = frozenset({"localhost", "127.0.0.1", "::1"})
WILDCARDS = ("0.0.0.0", "::")  # noqa: S104  compared with, not listened on
# Of the form: a password, and an address to go on to.
BODY_BYTES, BODY_SECONDS = 16_384, 10
# A guess takes 0.5 s, then 1, 2, 4 s, whoever made it; who comes when so many wait is told to come again.
FIRST_PAUSE, LONGEST_PAUSE, WAITING = 0.5, 4.0, 8
# Who has logged out stays out, though the cookie was copied; more of them than this within 12 hours are not remembered.
LOGGED_OUT = 10_000
# Characters that browsers neither drop nor take for a slash: `/\t/elsewhere` is `//elsewhere` to them.
LOCAL_ADDRESS = re.compile(r"/(?!/)[!-\[\]-~]*")

SECURITY_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    # Addresses have ids of users in them.
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    # Streamlit needs its own scripts, styles in elements, and functions that Vega compiles; nothing comes from another machine.
    "Content-Security-Policy": (
        "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval'; style-src 'self' 'unsafe-inline';"
        " img-src 'self' data: blob:; font-src 'self' data:; worker-src 'self' blob:; object-src 'none'; base-uri 'self';"
        " form-action 'self'; frame-ancestors 'none'"
    ),
}

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Access:
    """Who gets in. Without a password and a header: whoever reaches the server by one of its names."""

    password: SecretStr | None = None
    header: str | None = None
    """The header that a proxy sets when it knows the user."""
    proxies: tuple[str, ...] = ()
    """Addresses and networks from which the header is believed."""
    hosts: frozenset[str] | None = LOCAL_NAMES
    """The names that an unprotected server answers to; None: any. A page elsewhere can give its own name this machine's address."""

    @classmethod
    def of(cls, settings: Settings, host: str) -> "Access":
        """What the settings say, for a server that listens on `host`."""
        hosts = None if host in WILDCARDS else LOCAL_NAMES | {host.lower()}
        return cls(settings.dashboard_password, settings.dashboard_trusted_header, settings.dashboard_trusted_proxies, hosts)

    @property
    def protected(self) -> bool:
        """Whether somebody has to be known to get in."""
        return self.password is not None or self.header is not None


class TooManyError(Exception):
    """Too many wait to try a password."""


class Tries:
    """One try at a time, and the next one the later, the more have been wrong: a thousand connections guess no faster than one."""

    def __init__(self, password: str, pause: Callable[[float], Awaitable[None]] = asyncio.sleep) -> None:
        self._digest, self._pause = _digest(password), pause
        self._turn = asyncio.Lock()
        self._wrong = self._waiting = 0

    async def is_right(self, given: str) -> bool:
        """Whether this is the password. A wrong one is told after a pause, in which nobody else is heard; raises `TooManyError`."""
        if self._waiting >= WAITING:
            raise TooManyError
        self._waiting += 1
        try:
            async with self._turn:
                if hmac.compare_digest(_digest(given), self._digest):
                    self._wrong = 0
                    return True
                pause = min(FIRST_PAUSE * 2**self._wrong, LONGEST_PAUSE)
                self._wrong = min(self._wrong + 1, 16)
                await self._pause(pause)
                return False
        finally:
            self._waiting -= 1


class Sessions:
    """Cookies that only this process can make, and takes for 12 hours: an end and a random id, signed."""

    def __init__(self, now: Callable[[], float] = time.time) -> None:
        self._key, self._now = secrets.token_bytes(32), now
        self._logged_out: dict[str, int] = {}

    def new(self) -> str:
        """The value of a new cookie."""
        content = f"{int(self._now()) + SESSION_SECONDS}.{secrets.token_hex(16)}"
        return f"{content}.{self._signature(content)}"

    def is_valid(self, cookie: str | None) -> bool:
        """Whether a cookie was made here, has not expired and has not been logged out."""
        content, _, signature = (cookie or "").rpartition(".")
        if not hmac.compare_digest(signature.encode(), self._signature(content).encode()):
            return False
        return int(content.partition(".")[0]) > self._now() and content not in self._logged_out

    def end(self, cookie: str | None) -> None:
        """Take a cookie no more."""
        if cookie is None or not self.is_valid(cookie):
            return
        self._logged_out = {content: end for content, end in self._logged_out.items() if end > self._now()}
        if len(self._logged_out) < LOGGED_OUT:
            content = cookie.rpartition(".")[0]
            self._logged_out[content] = int(content.partition(".")[0])

    def _signature(self, content: str) -> str:
        return hmac.new(self._key, content.encode(), hashlib.sha256).hexdigest()


class Guard:
    """The door before an ASGI application."""

    def __init__(self, app: ASGIApp, access: Access, tries: Tries | None = None, sessions: Sessions | None = None) -> None:
        self._app, self._access = app, access
        self._sessions = sessions or Sessions()
        self._tries = tries or (Tries(access.password.get_secret_value()) if access.password else None)
        self._proxies = [ipaddress.ip_network(proxy) for proxy in access.proxies]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request through, or answer it here."""
        if scope["type"] == "http":
            await self._http(scope, receive, _with_security_headers(send))
        elif scope["type"] == "websocket":
            if _same_origin(scope) and self._refusal(scope) is None:
                await self._app(scope, receive, send)
            else:
                # Before it is accepted: the browser sees HTTP 403.
                await send({"type": "websocket.close", "code": 1008})
        else:
            await self._app(scope, receive, send)

    async def _http(self, scope: Scope, receive: Receive, send: Send) -> None:
        answer: Response | None
        if self._tries is not None and scope["path"] in (LOGIN, LOGOUT):
            answer = await self._entrance(scope, receive)
        elif self._access.protected and scope["path"] == HEALTH and scope["method"] in ("GET", "HEAD"):
            answer = None  # it says `ok`, which a supervisor that knows no password may hear
        else:
            answer = self._refusal(scope)
        await (answer or self._app)(scope, receive, send)

    def _refusal(self, scope: Scope) -> Response | None:
        """The answer to somebody who does not get in; None for who does."""
        access, headers = self._access, Headers(scope=scope)
        if not access.protected:
            if access.hosts is None or _host_name(headers.get("host", "")) in access.hosts:
                return None
            return _told(
                403,
                "This dashboard asks for no password, and so answers only to the name that it listens on, such as localhost."
                " To let others in, set DASHBOARD_PASSWORD or DASHBOARD_TRUSTED_HEADER.",
            )
        if access.header is not None and self._is_proxy(scope) and len(named := headers.getlist(access.header)) == 1 and named[0].strip():
            return None
        if access.password is None:
            return _told(403, "This dashboard is reached through the proxy that knows its users, and not in another way.")
        if self._sessions.is_valid(_cookie(headers)):
            return None
        if scope["type"] == "http" and scope["method"] in ("GET", "HEAD") and "text/html" in headers.get("accept", ""):
            query = scope["query_string"].decode("latin-1")
            wanted = quote(scope["path"]) + (f"?{query}" if query else "")
            return _to(f"{LOGIN}?{urlencode({'next': local_address(wanted)})}" if wanted != "/" else LOGIN)
        return _told(401, f"Log in first: {LOGIN}")

    def _is_proxy(self, scope: Scope) -> bool:
        """Whether the other end of the connection is a proxy whose word counts."""
        try:
            peer = ipaddress.ip_address((scope.get("client") or ("",))[0])
        except ValueError:
            return False
        if isinstance(peer, ipaddress.IPv6Address) and peer.ipv4_mapped is not None:
            peer = peer.ipv4_mapped
        return any(peer in network for network in self._proxies)

    async def _entrance(self, scope: Scope, receive: Receive) -> Response:
        """The login page, a try, and the way out."""
        headers = Headers(scope=scope)
        if scope["path"] == LOGOUT:
            if scope["method"] not in ("GET", "POST"):
                return _told(405, "Only GET and POST.")
            self._sessions.end(_cookie(headers))
            answer = _to(LOGIN)
            answer.delete_cookie(COOKIE, httponly=True, samesite="lax")
            return answer
        query = dict(parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True))
        if scope["method"] in ("GET", "HEAD"):
            return _login_page(local_address(query.get("next", "/")))
        if scope["method"] != "POST":
            return _told(405, "Only GET and POST.")
        form = await _form(headers, receive)
        if form is None:
            return _told(400, "This is no form of the login page.")
        wanted = local_address(form.get("next", "/"))
        assert self._tries is not None
        try:
            if not await self._tries.is_right(form.get("password", "")):
                logger.warning("A wrong password was tried from %s.", (scope.get("client") or ("an unknown address",))[0])
                return _login_page(wanted, "This is not the password.", 401)
        except TooManyError:
            return _login_page(wanted, "Too many passwords are being tried. Wait a minute, and try again.", 429)
        answer = _to(wanted)
        # Nobody but the sender loses if this is not true.
        by_https = headers.get("x-forwarded-proto", scope["scheme"]) == "https"
        answer.set_cookie(COOKIE, self._sessions.new(), max_age=SESSION_SECONDS, httponly=True, samesite="lax", secure=by_https)
        return answer


def local_address(wanted: str) -> str:
    """An address of this server to go on to; `/` for any other."""
    path = wanted.partition("?")[0]
    return wanted if LOCAL_ADDRESS.fullmatch(wanted) and path not in (LOGIN, LOGOUT) else "/"


def _digest(text: str) -> bytes:
    """What is compared: both sides have the same length, and any characters."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()


def _cookie(headers: Headers) -> str | None:
    try:
        morsel = SimpleCookie(headers.get("cookie", "")).get(COOKIE)
    except CookieError:
        return None
    return morsel.value if morsel else None


def _host_name(host: str) -> str:
    """The name in a Host header, without the port."""
    found = re.fullmatch(r"(?:\[([^\]]+)\]|([^:\[\]]+))(?::\d{1,5})?", host.strip())
    return (found[1] or found[2]).lower() if found else ""


def _same_origin(scope: Scope) -> bool:
    """Whether no page of another origin opens the WebSocket: browsers send cookies with it, and Streamlit takes any port of localhost."""
    headers = Headers(scope=scope)
    origin = headers.get("origin")
    return origin is None or (
        origin.startswith(("http://", "https://")) and urlsplit(origin).netloc.lower() == headers.get("host", "").lower()
    )


def _told(status: int, words: str) -> Response:
    return PlainTextResponse(f"{words}\n", status, headers={"Cache-Control": "no-store"})


def _to(address: str) -> Response:
    return RedirectResponse(address, 303, headers={"Cache-Control": "no-store"})


async def _form(headers: Headers, receive: Receive) -> dict[str, str] | None:
    """The fields of a form; None for what is too long, too slow or no form."""
    if headers.get("content-type", "").partition(";")[0].strip().lower() != "application/x-www-form-urlencoded":
        return None
    body = b""
    try:
        async with asyncio.timeout(BODY_SECONDS):
            while True:
                message = await receive()
                body += message.get("body", b"")
                if message["type"] != "http.request" or len(body) > BODY_BYTES:
                    return None
                if not message.get("more_body"):
                    return dict(parse_qsl(body.decode("ascii"), keep_blank_values=True, max_num_fields=8))
    except (TimeoutError, ValueError):
        return None


def _with_security_headers(send: Send) -> Send:
    async def send_with_headers(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(raw=message.setdefault("headers", []))
            for name, value in SECURITY_HEADERS.items():
                headers.setdefault(name, value)
        await send(message)

    return send_with_headers


# Readable without a script, with a keyboard, in light and in dark.
LOGIN_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>Log in · paywall-warehouse</title>
<style>
:root {{ color-scheme: light dark; font: 1rem/1.5 system-ui, sans-serif; }}
body {{ display: grid; place-items: center; min-height: 90vh; margin: 1rem; }}
form {{ display: grid; gap: .75rem; width: min(22rem, 100%); }}
h1 {{ font-size: 1.25rem; margin: 0; }}
input, button {{ font: inherit; padding: .5rem .75rem; }}
[role=alert] {{ margin: 0; padding: .5rem .75rem; border: 2px solid; }}
</style>
</head>
<body>
<main>
<form method="post" action="{action}">
<h1>paywall-warehouse</h1>
{fault}<label for="password">Password of the dashboard</label>
<input id="password" name="password" type="password" autocomplete="current-password" required autofocus{described}>
<input name="next" type="hidden" value="{wanted}">
<button type="submit">Log in</button>
</form>
</main>
</body>
</html>
"""


def _login_page(wanted: str, fault: str = "", status: int = 200) -> Response:
    page = LOGIN_PAGE.format(
        action=LOGIN,
        fault=f'<p role="alert" id="fault">{html.escape(fault)}</p>\n' if fault else "",
        described=' aria-describedby="fault" aria-invalid="true"' if fault else "",
        wanted=html.escape(wanted),
    )
    headers = {"Cache-Control": "no-store"} | ({"Retry-After": "60"} if status == 429 else {})
    return HTMLResponse(page, status, headers=headers)
