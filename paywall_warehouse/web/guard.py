"""The door before a server's pages: what reaches it from elsewhere, and who gets in. Everybody else gets
nothing at all.

It stands before an application as plain ASGI, so that pages, files, downloads and the WebSocket go through
the same door.
"""

import asyncio
import ipaddress
import logging
import re
from dataclasses import dataclass, field
from http.cookies import CookieError, SimpleCookie
from urllib.parse import parse_qsl, quote, urlencode

from pydantic import SecretStr
from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from paywall_warehouse.web.login import (
    LOGIN,
    LOGOUT,
    SESSION_SECONDS,
    Sessions,
    TooManyError,
    Tries,
    login_page,
)
from paywall_warehouse.web.origins import READS, Hosts, is_foreign

COOKIE = "paywall_warehouse_dashboard"
# Of the form: a password, and an address to go on to.
BODY_BYTES, BODY_SECONDS = 16_384, 10
# Characters that browsers neither drop nor take for a slash: `/\t/elsewhere` is `//elsewhere` to them.
LOCAL_ADDRESS = re.compile(r"/(?!/)[!-\[\]-~]*")

SECURITY_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    # Addresses have ids of users in them.
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    # Streamlit needs its own scripts, styles in elements, and functions that Vega compiles; nothing comes
    # from another machine.
    "Content-Security-Policy": (
        "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval'; style-src 'self'"
        " 'unsafe-inline'; img-src 'self' data: blob:; font-src 'self' data:; worker-src 'self' blob:;"
        " object-src 'none'; base-uri 'self'; form-action 'self'; frame-ancestors 'none'"
    ),
}

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Access:
    """Who gets in. Without a password and a header: whoever reaches the server by one of its names."""

    name: str
    """What the server is called in its answers."""
    remedy: str
    """What to do where it does not know a host name."""
    hosts: Hosts = field(default_factory=Hosts)
    """Of a server without a password, and of one that a proxy tells who comes: a page elsewhere could state
    the proxy's header.
    """
    password: SecretStr | None = None
    header: str | None = None
    """The header that a proxy sets when it knows the user."""
    proxies: tuple[str, ...] = ()
    """Addresses and networks from which the header is believed."""
    health: str | None = None
    """A path that a supervisor may look at who knows no password."""

    @property
    def protected(self) -> bool:
        """Return whether somebody has to be known to get in."""
        return self.password is not None or self.header is not None


class Guard:
    """The door before an ASGI application."""

    def __init__(
        self, app: ASGIApp, access: Access, tries: Tries | None = None, sessions: Sessions | None = None
    ) -> None:
        self._app, self._access = app, access
        self._sessions = sessions or Sessions()
        self._tries = tries or (Tries(access.password.get_secret_value()) if access.password else None)
        self._proxies = [ipaddress.ip_network(proxy) for proxy in access.proxies]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request through, or answer it here."""
        if scope["type"] == "http":
            await self._http(scope, receive, _with_security_headers(send))
        elif scope["type"] == "websocket":
            if not is_foreign(Headers(scope=scope)) and self._refusal(scope) is None:
                await self._app(scope, receive, send)
            else:
                # Before it is accepted: the browser sees HTTP 403.
                await send({"type": "websocket.close", "code": 1008})
        else:
            await self._app(scope, receive, send)

    async def _http(self, scope: Scope, receive: Receive, send: Send) -> None:
        answer: Response | None
        if scope["method"] not in READS and is_foreign(Headers(scope=scope)):
            words = (
                "A page of another origin may not send this. A proxy has to pass on the host name that the"
                " browser used."
            )
            answer = _message(403, words)
        elif self._tries is not None and scope["path"] in (LOGIN, LOGOUT):
            answer = await self._entrance(scope, receive)
        elif self._access.protected and scope["path"] == self._access.health and scope["method"] in READS:
            answer = None
        else:
            answer = self._refusal(scope)
        await (answer or self._app)(scope, receive, send)

    def _refusal(self, scope: Scope) -> Response | None:
        """Return the answer to somebody who does not get in; None for who does."""
        access, headers = self._access, Headers(scope=scope)
        is_known_host = access.hosts.has(headers)
        if not access.protected:
            if is_known_host:
                return None
            words = (
                f"{access.name} asks for no password, and so answers only to the names that it knows, such as"
                " localhost."
            )
            return _message(403, f"{words} {access.remedy}")
        is_named = self._is_named_by_proxy(scope, headers)
        if is_named and is_known_host:
            return None
        if access.password is None:
            if is_named:
                return _message(
                    403,
                    f"{access.name} believes its proxy for the host names that it knows only."
                    f" {access.remedy}",
                )
            return _message(
                403,
                f"{access.name} is reached through the proxy that knows its users, and not in another way.",
            )
        if self._sessions.is_valid(_cookie(headers)):
            return None
        if scope["type"] == "http" and scope["method"] in READS and "text/html" in headers.get("accept", ""):
            query = scope["query_string"].decode("latin-1")
            wanted = quote(scope["path"]) + (f"?{query}" if query else "")
            return _to(f"{LOGIN}?{urlencode({'next': local_address(wanted)})}" if wanted != "/" else LOGIN)
        return _message(401, f"Log in first: {LOGIN}")

    def _is_named_by_proxy(self, scope: Scope, headers: Headers) -> bool:
        """Return whether a proxy whose word counts says who comes."""
        if self._access.header is None or not self._is_proxy(_peer(scope)):
            return False
        named = headers.getlist(self._access.header)
        return len(named) == 1 and bool(named[0].strip())

    def _is_proxy(self, peer: str) -> bool:
        """Return whether the other end of the connection is a proxy whose word counts."""
        try:
            address = ipaddress.ip_address(peer)
        except ValueError:
            return False
        if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
            address = address.ipv4_mapped
        return any(address in network for network in self._proxies)

    def _address_of(self, scope: Scope, headers: Headers) -> str:
        """Return who tries a password: the other end of the connection, or whom a proxy names there."""
        peer = _peer(scope)
        forwarded = ",".join(headers.getlist("x-forwarded-for")).rpartition(",")[2].strip()
        if forwarded and self._is_proxy(peer):
            try:
                return str(ipaddress.ip_address(forwarded))
            except ValueError:
                pass
        return peer

    async def _entrance(self, scope: Scope, receive: Receive) -> Response:
        """Answer with the login page, judge a try, or lead out."""
        headers = Headers(scope=scope)
        if scope["path"] == LOGOUT:
            if scope["method"] not in ("GET", "POST"):
                return _message(405, "Only GET and POST.")
            self._sessions.end(_cookie(headers))
            answer = _to(LOGIN)
            answer.delete_cookie(COOKIE, httponly=True, samesite="lax")
            return answer
        query = dict(parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True))
        if scope["method"] in READS:
            return login_page(local_address(query.get("next", "/")))
        if scope["method"] != "POST":
            return _message(405, "Only GET and POST.")
        form = await _form(headers, receive)
        if form is None:
            return _message(400, "This is no form of the login page.")
        wanted = local_address(form.get("next", "/"))
        assert self._tries is not None
        address = self._address_of(scope, headers)
        try:
            if not await self._tries.is_right(form.get("password", ""), address):
                logger.warning("A wrong password was tried from %s.", address or "an unknown address")
                return login_page(wanted, "This is not the password.", 401)
        except TooManyError:
            return login_page(
                wanted, "Too many passwords are being tried. Wait a minute, and try again.", 429
            )
        answer = _to(wanted)
        # Nobody but the sender loses if this is not true.
        by_https = headers.get("x-forwarded-proto", scope["scheme"]) == "https"
        answer.set_cookie(
            COOKIE,
            self._sessions.new(),
            max_age=SESSION_SECONDS,
            httponly=True,
            samesite="lax",
            secure=by_https,
        )
        return answer


def local_address(wanted: str) -> str:
    """Return an address of this server to go on to; `/` for any other."""
    path = wanted.partition("?")[0]
    return wanted if LOCAL_ADDRESS.fullmatch(wanted) and path not in (LOGIN, LOGOUT) else "/"


def _peer(scope: Scope) -> str:
    return str((scope.get("client") or ("",))[0])


def _cookie(headers: Headers) -> str | None:
    try:
        morsel = SimpleCookie(headers.get("cookie", "")).get(COOKIE)
    except CookieError:
        return None
    return morsel.value if morsel else None


def _message(status: int, words: str) -> Response:
    return PlainTextResponse(f"{words}\n", status, headers={"Cache-Control": "no-store"})


def _to(address: str) -> Response:
    return RedirectResponse(address, 303, headers={"Cache-Control": "no-store"})


async def _form(headers: Headers, receive: Receive) -> dict[str, str] | None:
    """The fields of a form; None for what is too long, too slow or no form."""
    if (
        headers.get("content-type", "").partition(";")[0].strip().lower()
        != "application/x-www-form-urlencoded"
    ):
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
