"""The file `alerts.yml`: rules that are evaluated, and routes by which messages leave.

docs/alerts.md documents the file, `alerts.schema.json` describes it for editors. The file names environment
variables for URLs, secrets and passwords, and never contains them.
"""

import ipaddress
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from importlib.resources import files
from typing import Any, Final

import yaml

from paywall_warehouse.home import Home
from paywall_warehouse.quoting import printable
from paywall_warehouse.strict_yaml import StrictLoader
from warehouse.checks.invariant import EXACT

MAX_BYTES: Final = 1 << 20
TWELVE_DECIMALS: Final = Decimal("0.000000000001")
NAME: Final = re.compile(r"[a-z][a-z0-9_]{0,62}")
VARIABLE: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,127}")
ADDRESS: Final = re.compile(r"[^@\s<>,]+@[^@\s<>,]+")
HOST: Final = re.compile(r"[A-Za-z0-9.:_-]{1,253}")

THRESHOLD, CHANGE, RUN_FAILED, REJECTS, CHECKS = "threshold", "change", "run_failed", "rejects", "checks"
BREAKS, INCOMPLETE, BALANCES, SILENCE = "breaks", "incomplete", "balances", "silence"
SLACK, WEBHOOK, SMTP = "slack", "webhook", "smtp"
PAYMENTS, COSTS = "payments", "costs"
FILES, WEBHOOKS, ENTRIES = "files", "webhooks", "entries"

# Columns of fct_daily_revenue, which can be added up over days, and margin = profit / revenue.
MARGIN: Final = "margin"
DAILY_METRICS: Final = (
    "revenue",
    "refunds",
    "net_revenue",
    "provider_cost",
    "platform_fees",
    "profit",
    "net_profit",
    "charges",
    "counted_charges",
    "charges_without_cost",
    "prompt_tokens",
    "completion_tokens",
    "total_tokens",
    MARGIN,
)
# Columns of fct_period_kpis that cannot be added up over days.
PERIOD_METRICS: Final = (
    "active_users",
    "active_payers",
    "new_payers",
    "returning_payers",
    "arpu",
    "deposits",
    "promo_deposits",
    "cost_coverage",
)
PERIODS: Final = (
    "today",
    "yesterday",
    "last_7_days",
    "last_30_days",
    "last_90_days",
    "month_to_date",
    "previous_month",
    "all_time",
)


class AlertsFileError(Exception):
    """A file that cannot be used. The message names the file, the place in it and what is allowed."""


@dataclass(frozen=True)
class Rule:
    """A rule: when it holds, an alert is open."""

    name: str
    kind: str
    """One of the keys of `KINDS`."""
    options: Mapping[str, Any]
    """A value for each key of the kind; None for an optional one that is not stated."""
    routes: tuple[str, ...]
    with_ids: bool = False
    """Whether messages may contain ids of users and cases."""


@dataclass(frozen=True)
class Route:
    """A way by which messages leave. Options that end in `_env` name environment variables."""

    name: str
    kind: str
    options: Mapping[str, Any]


@dataclass(frozen=True)
class AlertsFile:
    """The rules and routes of a home, in the order of the file."""

    rules: tuple[Rule, ...]
    routes: Mapping[str, Route]
    title: str | None = None
    """The name of the installation in messages."""

    @property
    def variables(self) -> list[str]:
        """The names of the environment variables that the routes read."""
        return [
            value
            for route in self.routes.values()
            for key, value in route.options.items()
            if key.endswith("_env") and value is not None
        ]


@dataclass(frozen=True)
class _Key:
    """A key of a rule or route."""

    check: Callable[[Any], Any]
    """Returns the value as it is used. Raises `ValueError` with what is allowed."""
    default: Any = None
    is_required: bool = False


def _words(*allowed: str) -> Callable[[Any], Any]:
    def check(value: Any) -> Any:
        if not isinstance(value, str) or value not in allowed:
            raise ValueError(f"allowed: {', '.join(allowed)}")
        return value

    return check


def _whole(least: int, most: int) -> Callable[[Any], Any]:
    def check(value: Any) -> Any:
        if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
            raise ValueError(f"allowed: a whole number from {least} to {most}")
        return value

    return check


def _number(least: float | None = None, most: float | None = None) -> Callable[[Any], Any]:
    """Return a check of an exact decimal, written as a number or a text."""
    bounds = "" if least is None else f" from {least:g}" + ("" if most is None else f" to {most:g}")

    def check(value: Any) -> Any:
        try:
            number = Decimal(str(value)) if isinstance(value, int | float | str) else None
        except InvalidOperation:
            number = None
        is_wrong = number is None or isinstance(value, bool) or not number.is_finite()
        if (
            is_wrong
            or number is None
            or abs(number) >= Decimal(10) ** 18
            or number != number.quantize(TWELVE_DECIMALS, context=EXACT)
        ):
            raise ValueError(f"allowed: a number{bounds} with at most 12 decimals, such as 0.2")
        if (least is not None and number < Decimal(str(least))) or (most is not None and number > most):
            raise ValueError(f"allowed: a number{bounds}")
        return number

    return check


def _texts(value: Any) -> Any:
    if not isinstance(value, list) or not all(isinstance(one, str) and one for one in value):
        raise ValueError("allowed: a list of texts")
    return tuple(value)


def _text(value: Any) -> Any:
    if not isinstance(value, str) or not value.strip() or len(value) > 255 or printable(value) != value:
        raise ValueError("allowed: a text of one line")
    return value


def _currency(value: Any) -> Any:
    if not isinstance(value, str) or not re.fullmatch(r"[A-Za-z]{3,5}", value):
        raise ValueError("allowed: a currency code, such as usd")
    return value.lower()


def _flag(value: Any) -> Any:
    if not isinstance(value, bool):
        raise ValueError("allowed: true or false")
    return value


def _variable(value: Any) -> Any:
    if not isinstance(value, str) or not VARIABLE.fullmatch(value):
        # The value is not shown: it may be the secret itself.
        raise ValueError("allowed: the name of an environment variable, such as ALERTS_URL; never the value")
    return value


def _address(value: Any) -> Any:
    if not isinstance(value, str) or not ADDRESS.fullmatch(value) or printable(value) != value:
        raise ValueError("allowed: an e-mail address")
    return value


def _addresses(value: Any) -> Any:
    if not isinstance(value, list) or not value:
        raise ValueError("allowed: a list of e-mail addresses")
    return tuple(_address(one) for one in value)


def _host(value: Any) -> Any:
    if not isinstance(value, str) or not HOST.fullmatch(value):
        raise ValueError("allowed: the name of a host")
    return value


_OF_METRICS: Final = {"currency": _Key(_currency), "by": _Key(_words("paywall", "model"))}
KINDS: Final[Mapping[str, Mapping[str, _Key]]] = {
    THRESHOLD: {
        "metric": _Key(_words(*DAILY_METRICS, *PERIOD_METRICS), is_required=True),
        "above": _Key(_number()),
        "below": _Key(_number()),
        "period": _Key(_words(*PERIODS), "yesterday"),
        **_OF_METRICS,
    },
    CHANGE: {
        "metric": _Key(_words(*DAILY_METRICS), is_required=True),
        "direction": _Key(_words("up", "down", "both"), "both"),
        "by_more_than": _Key(_number(0.01, 1000), Decimal("0.5")),
        "spread": _Key(_number(1, 100), Decimal(4)),
        "weeks": _Key(_whole(4, 26), 8),
        "days": _Key(_whole(1, 31), 1),
        "wait_days": _Key(_whole(0, 31), 0),
        "least_charges": _Key(_whole(0, 10**9), 0),
        **_OF_METRICS,
    },
    RUN_FAILED: {"in_a_row": _Key(_whole(1, 100), 1)},
    REJECTS: {"above": _Key(_number(0, 1), is_required=True)},
    CHECKS: {"ignore": _Key(_texts, ())},
    BREAKS: {"of": _Key(_words(PAYMENTS, COSTS), is_required=True), "priority": _Key(_whole(1, 3), 1)},
    INCOMPLETE: {"of": _Key(_words(PAYMENTS, COSTS), is_required=True), "for_days": _Key(_whole(0, 366), 3)},
    BALANCES: {
        "below": _Key(_number(), is_required=True),
        "least_users": _Key(_whole(1, 10**9), 1),
        "currency": _Key(_currency),
    },
    SILENCE: {
        "of": _Key(_words(FILES, WEBHOOKS, ENTRIES), is_required=True),
        "times": _Key(_number(1, 1000), Decimal(3)),
        "ignore": _Key(_texts, ()),
    },
}
_OF_RULES: Final = ("name", "type", "about", "routes", "with_ids")
ROUTE_KINDS: Final[Mapping[str, Mapping[str, _Key]]] = {
    SLACK: {"url_env": _Key(_variable, is_required=True), "allow_http": _Key(_flag, False)},
    WEBHOOK: {
        "url_env": _Key(_variable, is_required=True),
        "secret_env": _Key(_variable, is_required=True),
        "allow_http": _Key(_flag, False),
    },
    SMTP: {
        "host": _Key(_host, is_required=True),
        "port": _Key(_whole(1, 65535)),
        "security": _Key(_words("starttls", "tls", "none"), "starttls"),
        "user_env": _Key(_variable),
        "password_env": _Key(_variable),
        "from": _Key(_address, is_required=True),
        "to": _Key(_addresses, is_required=True),
    },
}


def default_text() -> str:
    """Return the commented file that `paywall-warehouse alerts init` writes."""
    return files(__package__).joinpath("default_alerts.yml").read_text("utf-8")


def read_home(home: Home) -> AlertsFile | None:
    """Return the rules and routes of a home; None without a file. Raises `AlertsFileError`."""
    try:
        content = home.alerts_file.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise AlertsFileError(f"{home.alerts_file} cannot be read: {error.strerror}") from None
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise AlertsFileError(f"{home.alerts_file} is not UTF-8 text. Save it as UTF-8.") from None
    return read_alerts(text, str(home.alerts_file))


def variables_of(home: Home) -> list[str]:
    """Return the environment variables that a home's routes read; none if the file cannot be used."""
    try:
        alerts_file = read_home(home)
    except AlertsFileError:  # the summary of a run and `status` show it
        return []
    return alerts_file.variables if alerts_file else []


def read_alerts(text: str, origin: str) -> AlertsFile:
    """Return the rules and routes of a YAML text. Raises `AlertsFileError`, which names `origin`."""
    if len(text.encode()) > MAX_BYTES:
        raise AlertsFileError(f"{origin}: it has more than 1 MiB")
    try:
        content = yaml.load(text, StrictLoader)  # noqa: S506  a safe loader
        return _read(content)
    except ValueError as error:
        raise AlertsFileError(f"{origin}: {error}") from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        place = f" line {mark.line + 1}" if mark else ""
        problem = getattr(error, "problem", None) or "it cannot be parsed"
        raise AlertsFileError(f"{origin}:{place} is not YAML: {problem}") from None
    except RecursionError:
        raise AlertsFileError(f"{origin}: it is nested too deeply") from None


def _read(content: Any) -> AlertsFile:
    if not isinstance(content, dict):
        raise ValueError("it has no keys; `paywall-warehouse alerts init` writes an example")
    _refuse_unknown(content, ("title", "routes", "rules"), "")
    routes = {}
    for name, node in _mapping(content.get("routes"), "routes").items():
        where = f"routes: {_name(name, 'routes')}"
        routes[name] = Route(name, *_options(node, ROUTE_KINDS, ("type",), where))
        _check_route(routes[name], where)
    stated = content.get("rules")
    if stated is not None and not isinstance(stated, list):
        raise ValueError("rules: allowed: a list of rules")
    rules: dict[str, Rule] = {}
    for number, node in enumerate(stated or [], 1):
        rule = _rule(node, f"rules: number {number}", tuple(routes))
        if rule.name in rules:
            raise ValueError(f"rules: {rule.name} is there more than once; give one of them another name")
        rules[rule.name] = rule
    title = content.get("title")
    return AlertsFile(tuple(rules.values()), routes, None if title is None else _at("title", _text, title))


def _rule(node: Any, where: str, routes: tuple[str, ...]) -> Rule:
    if not isinstance(node, dict):
        raise ValueError(f"{where}: allowed: keys such as name and type")
    if "name" not in node:
        raise ValueError(f"{where}: name is missing")
    where = f"rules: {_name(node['name'], where)}"
    kind, options = _options(node, KINDS, _OF_RULES, where)
    if kind == THRESHOLD:
        if (options["above"] is None) == (options["below"] is None):
            raise ValueError(f"{where}: state either above or below")
        if options["by"] is not None and options["metric"] not in DAILY_METRICS:
            raise ValueError(f"{where}: by: {options['metric']} is not known by {options['by']}")
    if "about" in node:
        _at(f"{where}: about", _text, node["about"])
    used = _at(f"{where}: routes", _texts, node["routes"]) if "routes" in node else routes
    if unknown := [name for name in used if name not in routes]:
        raise ValueError(f"{where}: routes: there is no route {unknown[0]!r}; there are: {', '.join(routes)}")
    with_ids = _at(f"{where}: with_ids", _flag, node.get("with_ids", False))
    return Rule(node["name"], kind, options, tuple(dict.fromkeys(used)), with_ids)


def _options(
    node: Any, kinds: Mapping[str, Mapping[str, _Key]], common: tuple[str, ...], where: str
) -> tuple[str, dict[str, Any]]:
    """Return the kind of a rule or route, and a value for each key of the kind."""
    node = _mapping(node, where)
    if "type" not in node:
        raise ValueError(f"{where}: type is missing; allowed: {', '.join(kinds)}")
    kind = _at(f"{where}: type", _words(*kinds), node["type"])
    keys = kinds[kind]
    _refuse_unknown(node, (*common, *keys), f"{where}: ")
    values = {}
    for name, key in keys.items():
        if name in node:
            values[name] = _at(f"{where}: {name}", key.check, node[name])
        elif key.is_required:
            raise ValueError(f"{where}: {name} is missing")
        else:
            values[name] = key.default
    return kind, values


def _check_route(route: Route, where: str) -> None:
    if route.kind != SMTP:
        return
    if (route.options["user_env"] is None) != (route.options["password_env"] is None):
        raise ValueError(f"{where}: state both user_env and password_env, or neither")
    has_password = route.options["password_env"] is not None
    if has_password and route.options["security"] == "none" and not is_loopback(route.options["host"]):
        raise ValueError(f"{where}: security: none would send the password in clear text")


def is_loopback(host: str) -> bool:
    """Check whether a host is this machine."""
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def _at(where: str, check: Callable[[Any], Any], value: Any) -> Any:
    try:
        return check(value)
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from None


def _name(value: Any, where: str) -> str:
    if not isinstance(value, str) or not NAME.fullmatch(value):
        raise ValueError(f"{where}: a name has a to z, digits and _, such as margin_falls")
    return value


def _mapping(value: Any, where: str) -> dict[Any, Any]:
    if value is None and where == "routes":
        return {}
    if not isinstance(value, dict):
        raise ValueError(f"{where}: allowed: keys with values")
    return value


def _refuse_unknown(node: Mapping[Any, Any], known: tuple[str, ...], where: str) -> None:
    for key in node:
        if key not in known:
            raise ValueError(f"{where}{str(key)[:60]!r} is not a key here; allowed: {', '.join(known)}")
