"""Access control for a server's pages: which hosts and origins are answered, and which users are let in.

It wraps an application as plain ASGI, so that it covers pages, files, downloads and the WebSocket alike. A
request that is not let in gets nothing of the application.
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
# The limits of the login form, which has a password and an address to continue to.
BODY_BYTES, BODY_SECONDS = 16_384, 10
# Characters that browsers neither drop nor read as a slash: they read `/\t/elsewhere` as `//elsewhere`.
LOCAL_ADDRESS = re.compile(r"/(?!/)[!-\[\]-~]*")

SECURITY_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    # Addresses contain ids of users.
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    # Streamlit needs its own scripts, styles in elements, and functions that Vega compiles. Nothing is loaded
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
    """The rules of access. Without a password and a header, every request to a known host is let in."""

    name: str
    """The name of the server in its answers."""
    remedy: str
    """What to do if the server does not know a host name."""
    hosts: Hosts = field(default_factory=Hosts)
    """The known hosts. They are checked on a server without a password, and on one that trusts a proxy's
    header, because a page elsewhere could send that header.
    """
    password: SecretStr | None = None
    header: str | None = None
    """The header that a proxy sets when it knows the user."""
    proxies: tuple[str, ...] = ()
    """Addresses and networks from which the header is trusted."""
    health: str | None = None
    """A path that a supervisor may request without a password."""

    @property
    def protected(self) -> bool:
        """Return whether users have to identify themselves."""
        return self.password is not None or self.header is not None


class Guard:
    """The access control of an ASGI application."""

    def __init__(
        self, app: ASGIApp, access: Access, tries: Tries | None = None, sessions: Sessions | None = None
    ) -> None:
        self._app, self._access = app, access
        self._sessions = sessions or Sessions()
        self._tries = tries or (Tries(access.password.get_secret_value()) if access.password else None)
        self._proxies = [ipaddress.ip_network(proxy) for proxy in access.proxies]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request to the application, or answer it."""
        if scope["type"] == "http":
            await self._http(scope, receive, _with_security_headers(send))
        elif scope["type"] == "websocket":
            if not is_foreign(Headers(scope=scope)) and self._refusal(scope) is None:
                await self._app(scope, receive, send)
            else:
                # Closed before it is accepted, so that the browser gets HTTP 403.
                await send({"type": "websocket.close", "code": 1008})
        else:
            await self._app(scope, receive, send)

    async def _http(self, scope: Scope, receive: Receive, send: Send) -> None:
        answer: Response | None
        if scope["method"] not in READS and is_foreign(Headers(scope=scope)):
            message = (
                "A page of another origin may not send this. A proxy has to pass on the host name that the"
                " browser used."
            )
            answer = _message(403, message)
        elif self._tries is not None and scope["path"] in (LOGIN, LOGOUT):
            answer = await self._entrance(scope, receive)
        elif self._access.protected and scope["path"] == self._access.health and scope["method"] in READS:
            answer = None
        else:
            answer = self._refusal(scope)
        await (answer or self._app)(scope, receive, send)

    def _refusal(self, scope: Scope) -> Response | None:
        """Return the answer to a request that is not let in; None for one that is."""
        access, headers = self._access, Headers(scope=scope)
        is_known_host = access.hosts.has(headers)
        if not access.protected:
            if is_known_host:
                return None
            message = (
                f"{access.name} asks for no password, and so answers only to the names that it knows, such as"
                " localhost."
            )
            return _message(403, f"{message} {access.remedy}")
        is_named = self._is_named_by_proxy(scope, headers)
        if is_named and is_known_host:
            return None
        if access.password is None:
            if is_named:
                return _message(
                    403,
                    f"{access.name} trusts its proxy only for the host names that it knows. {access.remedy}",
                )
            return _message(
                403,
                f"{access.name} can be reached only through the proxy that knows its users.",
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
        """Return the address that tries a password: the peer, or the one that a proxy names."""
        peer = _peer(scope)
        forwarded = ",".join(headers.getlist("x-forwarded-for")).rpartition(",")[2].strip()
        if forwarded and self._is_proxy(peer):
            try:
                return str(ipaddress.ip_address(forwarded))
            except ValueError:
                pass
        return peer

    async def _entrance(self, scope: Scope, receive: Receive) -> Response:
        """Answer with the login page, check a password, or log out."""
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
            return _message(400, "This is not a form of the login page.")
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
        # If the header is false, only its sender is affected.
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
    """Return an address of this server to continue to; `/` for any other address."""
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


def _message(status: int, message: str) -> Response:
    return PlainTextResponse(f"{message}\n", status, headers={"Cache-Control": "no-store"})


def _to(address: str) -> Response:
    return RedirectResponse(address, 303, headers={"Cache-Control": "no-store"})


async def _form(headers: Headers, receive: Receive) -> dict[str, str] | None:
    """Return the fields of a form; None if the body is too long, too slow or not a form."""
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
