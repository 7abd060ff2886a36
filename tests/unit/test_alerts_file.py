"""`alerts.yml`: what is accepted, what is refused and why; the schema for editors agrees."""

import json
from importlib.resources import files
from typing import Any

import jsonschema
import pytest
import yaml

from warehouse.alerts.definitions import (
    KINDS,
    ROUTE_KINDS,
    AlertsFileError,
    default_text,
    read_alerts,
)
from warehouse.alerts.evaluate import EVALUATORS

SCHEMA = json.loads(files("warehouse.alerts").joinpath("alerts.schema.json").read_text("utf-8"))
VALIDATOR = jsonschema.Draft202012Validator(SCHEMA)
SLACK = {"type": "slack", "url_env": "ALERTS_URL"}
SMTP = {"type": "smtp", "host": "mail.example.com", "from": "a@example.com", "to": ["b@example.com"]}
RULE = {"name": "spend", "type": "change", "metric": "provider_cost"}


def with_rule(**keys: Any) -> dict[str, Any]:
    return {"rules": [{"name": "r", **keys}]}


def with_route(**keys: Any) -> dict[str, Any]:
    return {"routes": {"team": keys}}


GOOD: dict[str, dict[str, Any]] = {
    "empty lists": {"rules": [], "routes": {}},
    "nothing yet": {"rules": None, "routes": None},
    "title": {"title": "Acme"},
    "slack": with_route(**SLACK, allow_http=True),
    "webhook": with_route(type="webhook", url_env="A", secret_env="B"),
    "smtp": with_route(**SMTP, port=2525, security="tls", user_env="U", password_env="P"),
    "threshold": with_rule(type="threshold", metric="margin", below=0.2, by="model", period="today"),
    "threshold of a period": with_rule(type="threshold", metric="arpu", above="12.5", currency="USD"),
    "change": with_rule(
        type="change", metric="revenue", direction="up", by_more_than=2, spread=3, weeks=4, days=7
    ),
    "run failed": with_rule(type="run_failed", in_a_row=2, routes=[], about="Two in a row."),
    "rejects": with_rule(type="rejects", above=0),
    "checks": with_rule(type="checks", ignore=["expiries_find_credit"]),
    "breaks": with_rule(type="breaks", of="costs", priority=3, with_ids=True),
    "incomplete": with_rule(type="incomplete", of="payments", for_days=0),
    "balances": with_rule(type="balances", below=-5, least_users=3),
    "silence": with_rule(type="silence", of="webhooks", times=2.5),
    "routes of a rule": {"routes": {"team": SLACK}, "rules": [RULE | {"routes": ["team"]}]},
}
BAD: dict[str, tuple[dict[str, Any], str]] = {
    "unknown key": ({"rule": []}, "'rule' is not a key here; allowed: title, routes, rules"),
    "no type": (with_rule(metric="margin"), "rules: r: type is missing"),
    "unknown type": (with_rule(type="anomaly"), "rules: r: type: allowed: threshold, change"),
    "unknown metric": (with_rule(type="change", metric="arpu"), "rules: r: metric: allowed: revenue"),
    "missing metric": (with_rule(type="change"), "rules: r: metric is missing"),
    "no limit": (with_rule(type="threshold", metric="margin"), "rules: r: state either above or below"),
    "both limits": (
        with_rule(type="threshold", metric="margin", above=1, below=0),
        "rules: r: state either above or below",
    ),
    "by of a period": (
        with_rule(type="threshold", metric="arpu", above=1, by="model"),
        "rules: r: by: arpu is not known by model",
    ),
    "true as number": (with_rule(type="run_failed", in_a_row=True), "in_a_row: allowed: a whole number"),
    "share above 1": (with_rule(type="rejects", above=1.5), "rules: r: above: allowed: a number from 0 to 1"),
    "name": ({"rules": [RULE | {"name": "Spend!"}]}, "a name has a to z, digits and _"),
    "key of another type": (with_rule(type="run_failed", metric="margin"), "'metric' is not a key here"),
    "a URL": (with_route(type="slack", url_env="https://hooks.example/T0/SECRET"), "never the value"),
    "no secret": (with_route(type="webhook", url_env="A"), "routes: team: secret_env is missing"),
    "password without user": (with_route(**SMTP, password_env="P"), "state both user_env and password_env"),
    "no recipient": (with_route(**SMTP | {"to": []}), "routes: team: to: allowed: a list of e-mail"),
}
# A schema cannot express these.
BAD_FOR_THE_PROGRAM = {
    "twice": ({"rules": [dict(RULE), dict(RULE)]}, "spend is there more than once"),
    "unknown route": ({"rules": [RULE | {"routes": ["team"]}]}, "there is no route 'team'"),
    "password in clear text": (
        with_route(**SMTP, security="none", user_env="U", password_env="P"),
        "would send the password in clear text",
    ),
    "number": (with_rule(type="balances", below="many"), "rules: r: below: allowed: a number"),
    "no number": (with_rule(type="balances", below=float("nan")), "rules: r: below: allowed: a number"),
}


@pytest.mark.parametrize("content", GOOD.values(), ids=GOOD)
def test_good_files_are_accepted(content: dict[str, Any]) -> None:
    VALIDATOR.validate(content)
    read_alerts(yaml.safe_dump(content), "alerts.yml")


@pytest.mark.parametrize(("content", "message"), BAD.values(), ids=BAD)
def test_bad_files_are_refused(content: dict[str, Any], message: str) -> None:
    assert not VALIDATOR.is_valid(content)
    with pytest.raises(AlertsFileError, match=r"^alerts\.yml: ") as raised:
        read_alerts(yaml.safe_dump(content), "alerts.yml")
    assert message in str(raised.value)


@pytest.mark.parametrize(("content", "message"), BAD_FOR_THE_PROGRAM.values(), ids=BAD_FOR_THE_PROGRAM)
def test_what_a_schema_cannot_refuse_is_refused(content: dict[str, Any], message: str) -> None:
    with pytest.raises(AlertsFileError) as raised:
        read_alerts(yaml.safe_dump(content), "alerts.yml")
    assert message in str(raised.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("rules: [", "line 1 is not YAML"),
        ("rules: []\nrules: []", "'rules' is there more than once"),
        ("a: &a []\nrules: *a", "aliases"),
        ("- rules", "it has no keys"),
        ("", "it has no keys"),
        ("rules: 5", "rules: allowed: a list of rules"),
        ("[" * 5000, "nested too deeply"),
    ],
)
def test_what_is_no_file_of_alerts_is_refused(text: str, message: str) -> None:
    with pytest.raises(AlertsFileError) as raised:
        read_alerts(text, "alerts.yml")
    assert message in str(raised.value)


def test_a_secret_in_place_of_a_name_is_not_shown() -> None:
    with pytest.raises(AlertsFileError) as raised:
        read_alerts(yaml.safe_dump(with_route(type="slack", url_env="https://x/T0/SECRET")), "alerts.yml")
    assert "SECRET" not in str(raised.value)


def test_every_kind_has_an_evaluator_and_a_schema_with_its_keys() -> None:
    rules = SCHEMA["properties"]["rules"]["items"]["oneOf"]
    routes = SCHEMA["properties"]["routes"]["additionalProperties"]["oneOf"]
    common = {"name", "type", "about", "routes", "with_ids"}
    assert EVALUATORS.keys() == KINDS.keys()
    assert {one["properties"]["type"]["const"]: set(one["properties"]) for one in rules} == {
        kind: {*common, *keys} for kind, keys in KINDS.items()
    }
    assert {one["properties"]["type"]["const"]: set(one["properties"]) for one in routes} == {
        kind: {"type", *keys} for kind, keys in ROUTE_KINDS.items()
    }


def test_the_default_file_is_valid_also_with_its_examples() -> None:
    text = default_text()
    VALIDATOR.validate(yaml.safe_load(text))
    assert {rule.name for rule in read_alerts(text, "alerts.yml").rules} >= {"margin_falls", "no_files"}
    lines = []
    for line in text.splitlines():
        bare = line.replace("# - ", "- ", 1) if line.startswith("  # - ") else line
        bare = bare.replace("  #   ", "    ", 1) if bare.startswith("  #   ") else bare
        bare = bare.replace("#  ", "  ", 1) if bare.startswith("#  ") else bare
        lines.append("routes:" if bare == "routes: {}" else bare)
    content = yaml.safe_load("\n".join(lines))
    VALIDATOR.validate(content)
    whole = read_alerts("\n".join(lines), "alerts.yml")
    assert set(whole.routes) == {"team", "pager", "finance"}
    assert {"budget_of_the_month", "negative_balances", "a_model_loses_money"} <= {
        rule.name for rule in whole.rules
    }
    assert whole.variables == [
        *("ALERTS_SLACK_URL", "ALERTS_WEBHOOK_URL", "ALERTS_WEBHOOK_SECRET"),
        *("ALERTS_SMTP_USER", "ALERTS_SMTP_PASSWORD"),
    ]
