"""Checks of a request's host name, and of the origin of the page that sent it."""

import ipaddress
import re
from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import urlsplit

from starlette.datastructures import Headers

LOCAL_NAMES = frozenset({"localhost", "127.0.0.1", "::1"})
WILDCARDS = ("0.0.0.0", "::")  # noqa: S104  only compared with
# Requests by these methods change nothing.
READS = ("GET", "HEAD")


@dataclass(frozen=True)
class Hosts:
    """The host names that a server answers to. A page elsewhere can let its own name resolve to this
    machine.
    """

    names: frozenset[str] = LOCAL_NAMES
    addresses: bool = False
    """Whether every IP address is accepted: a page elsewhere cannot be reached by an address of this machine.
    """

    @classmethod
    def of(cls, listens_on: str, others: Iterable[str] = ()) -> "Hosts":
        """Return the names of a server that listens on an address, with others by which it is reached."""
        any_address = listens_on in WILDCARDS
        names = LOCAL_NAMES | {name.lower() for name in others}
        return cls(names if any_address else names | {listens_on.lower()}, any_address)

    def has(self, headers: Headers) -> bool:
        """Return whether a request names this server."""
        named = headers.getlist("host")
        name = host_name(named[0]) if len(named) == 1 else ""
        return name in self.names or (self.addresses and _is_address(name))


def host_name(host: str) -> str:
    """Return the name in a Host header, without the port; '' if it is not a name."""
    found = re.fullmatch(r"(?:\[([^\]]+)\]|([^:\[\]]+))(?::\d{1,5})?", host.strip())
    return (found[1] or found[2]).lower() if found else ""


def is_foreign(headers: Headers) -> bool:
    """Return whether a page of another origin sent the request, by the headers of the browser.

    Browsers state the origin with every WebSocket and every request that is not a plain read. Programs state
    none.
    """
    if origins := headers.getlist("origin"):
        return not all(_is_own(origin, headers.get("host", "")) for origin in origins)
    return headers.get("sec-fetch-site", "none") not in ("none", "same-origin")


def _is_own(origin: str, host: str) -> bool:
    return origin.startswith(("http://", "https://")) and urlsplit(origin).netloc.lower() == host.lower()


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
