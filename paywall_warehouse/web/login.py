"""Login with one shared password: tries take turns, and this process signs the cookies."""

import asyncio
import hashlib
import hmac
import html
import secrets
import time
from collections import deque
from collections.abc import Awaitable, Callable

from starlette.responses import HTMLResponse, Response

LOGIN, LOGOUT = "/login", "/logout"
SESSION_SECONDS = 12 * 3600
# Two guesses per second in total, over any number of connections. Eight addresses that guess delay a user who
# knows the password by 4 s.
PAUSE_SECONDS = 0.5
# Tries that may wait per address, which is a minute. Further ones are refused.
WAITING = 120
# A session that was logged out stays invalid, even if its cookie was copied. Within 12 hours, at most this
# many
# are kept.
LOGGED_OUT = 10_000


class TooManyError(Exception):
    """Too many tries from the same address are waiting."""


class Turns:
    """One turn at a time: first come, first served within an address, and the addresses in turn."""

    def __init__(self) -> None:
        self._lines: dict[str, deque[asyncio.Future[None]]] = {}
        self._is_taken = False

    async def take(self, address: str) -> None:
        """Wait for a turn. Raises `TooManyError` if too many tries of the address wait already."""
        if not self._is_taken:
            self._is_taken = True
            return
        line = self._lines.setdefault(address, deque())
        if len(line) >= WAITING:
            raise TooManyError
        turn = asyncio.get_running_loop().create_future()
        line.append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self.give_back()
            raise

    def give_back(self) -> None:
        """Give the turn to the next try that is still waiting."""
        while self._lines:
            address = next(iter(self._lines))
            line = self._lines.pop(address)
            turn = line.popleft()
            if line:
                self._lines[address] = line  # after all other addresses
            if not turn.done():
                turn.set_result(None)
                return
        self._is_taken = False


class Tries:
    """Checks tries of the password one at a time: a thousand connections guess no faster than one."""

    def __init__(self, password: str, pause: Callable[[float], Awaitable[None]] = asyncio.sleep) -> None:
        self._digest, self._pause = _digest(password), pause
        self._turns = Turns()

    async def is_right(self, given: str, address: str = "") -> bool:
        """Return whether this is the password. A wrong one keeps its turn for a while.

        Raises `TooManyError`.
        """
        await self._turns.take(address)
        try:
            if hmac.compare_digest(_digest(given), self._digest):
                return True
            await self._pause(PAUSE_SECONDS)
            return False
        finally:
            self._turns.give_back()


class Sessions:
    """Session cookies that only this process can issue, valid for 12 hours: a signed expiry and a
    random id.
    """

    def __init__(self, now: Callable[[], float] = time.time) -> None:
        self._key, self._now = secrets.token_bytes(32), now
        self._logged_out: dict[str, int] = {}

    def new(self) -> str:
        """Return the value of a new cookie."""
        content = f"{int(self._now()) + SESSION_SECONDS}.{secrets.token_hex(16)}"
        return f"{content}.{self._signature(content)}"

    def is_valid(self, cookie: str | None) -> bool:
        """Check whether a cookie was issued here, has not expired and has not been logged out."""
        content, _, signature = (cookie or "").rpartition(".")
        if not hmac.compare_digest(signature.encode(), self._signature(content).encode()):
            return False
        return int(content.partition(".")[0]) > self._now() and content not in self._logged_out

    def end(self, cookie: str | None) -> None:
        """Make a cookie invalid."""
        if cookie is None or not self.is_valid(cookie):
            return
        self._logged_out = {content: end for content, end in self._logged_out.items() if end > self._now()}
        if len(self._logged_out) < LOGGED_OUT:
            content = cookie.rpartition(".")[0]
            self._logged_out[content] = int(content.partition(".")[0])

    def _signature(self, content: str) -> str:
        return hmac.new(self._key, content.encode(), hashlib.sha256).hexdigest()


def _digest(text: str) -> bytes:
    """Return a digest to compare, so that both sides have the same length and may have any characters."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()


# Usable without scripts, with a keyboard, and in light and dark mode.
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
<input id="password" name="password" type="password" autocomplete="current-password"
 required autofocus{described}>
<input name="next" type="hidden" value="{wanted}">
<button type="submit">Log in</button>
</form>
</main>
</body>
</html>
"""


def login_page(wanted: str, fault: str = "", status: int = 200) -> Response:
    """Return the page that asks for the password and continues to `wanted`, with a `fault` if a try
    failed.
    """
    page = LOGIN_PAGE.format(
        action=LOGIN,
        fault=f'<p role="alert" id="fault">{html.escape(fault)}</p>\n' if fault else "",
        described=' aria-describedby="fault" aria-invalid="true"' if fault else "",
        wanted=html.escape(wanted),
    )
    headers = {"Cache-Control": "no-store"} | ({"Retry-After": "60"} if status == 429 else {})
    return HTMLResponse(page, status, headers=headers)
