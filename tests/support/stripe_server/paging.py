"""Stripe's lists: newest first, `limit`, `starting_after`, `ending_before`, `created[gte|gt|lt|lte]`,
`has_more`.
"""

import operator
from collections.abc import Iterable
from typing import Any

from tests.support.loopback.errors import ApiError, as_integer, missing_resource, unknown_parameter
from tests.support.loopback.form import Params

LIST_PARAMETERS = ("limit", "starting_after", "ending_before", "created", "expand")
COMPARISONS = {"gte": operator.ge, "gt": operator.gt, "lt": operator.lt, "lte": operator.le}


def page(objects: Iterable[dict[str, Any]], params: Params, url: str, kind: str) -> dict[str, Any]:
    """One page of `objects`, which come oldest first; of one second, the later ones come first."""
    newest_first = sorted(objects, key=lambda item: item["created"])[::-1]
    limit = _limit(params)
    positions = {item["id"]: number for number, item in enumerate(newest_first)}
    after, before = (_position(params, name, positions, kind) for name in ("starting_after", "ending_before"))
    left = [
        item
        for number, item in enumerate(newest_first)
        if (after is None or number > after)
        and (before is None or number < before)
        and _created_within(item["created"], params)
    ]
    shown = left[-limit:] if before is not None else left[:limit]
    return {"object": "list", "url": url, "has_more": len(left) > len(shown), "data": shown}


def _limit(params: Params) -> int:
    limit = as_integer(params.get("limit", "10"), "limit")
    if limit > 100:
        raise ApiError(
            400, f"This value must be less than or equal to 100 (it currently is '{limit}').", param="limit"
        )
    if limit < 1:
        raise ApiError(
            400, f"This value must be greater than or equal to 1 (it currently is '{limit}').", param="limit"
        )
    return limit


def _position(params: Params, name: str, positions: dict[str, int], kind: str) -> int | None:
    cursor = params.get(name)
    if cursor is not None and cursor not in positions:
        raise missing_resource(kind, cursor, status=400, param=name)
    return None if cursor is None else positions[cursor]


def _created_within(created: int, params: Params) -> bool:
    asked = params.get("created", {})
    if not isinstance(asked, dict):
        return created == as_integer(asked, "created")
    for name in asked.keys() - COMPARISONS.keys():
        raise unknown_parameter(f"created[{name}]")
    return all(
        COMPARISONS[name](created, as_integer(value, f"created[{name}]")) for name, value in asked.items()
    )
