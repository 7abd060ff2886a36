"""Stripe's form encoding: `parameters[columns][]=a` or `parameters[columns][0]=a`, `created[gte]=1`."""

import re
from typing import Any
from urllib.parse import parse_qsl

Params = dict[str, Any]
BRACKETS = re.compile(r"\[([^\]]*)\]")


def decode_form(text: str) -> Params:
    """The nested parameters of a query string or a form body; values stay text."""
    nested: Params = {}
    for name, value in parse_qsl(text, keep_blank_values=True):
        _put(nested, [name.split("[")[0], *BRACKETS.findall(name)], value)
    return {name: _lists(value) for name, value in nested.items()}


def _put(target: Params, path: list[str], value: str) -> None:
    for part in path[:-1]:
        target = target.setdefault(part, {})
    # An empty bracket appends: its position is the number of values so far.
    target[path[-1] or str(len(target))] = value


def _lists(value: Any) -> Any:
    """Objects whose keys are all numbers are lists."""
    if not isinstance(value, dict):
        return value
    if all(key.isdigit() for key in value):
        return [_lists(value[key]) for key in sorted(value, key=int)]
    return {key: _lists(inner) for key, inner in value.items()}
