"""The markups that price charges whose source states only its cost, from the last landed `prices/markups`
file.
"""

# ruff: noqa: PLC0415  the price book is slow to import, and `markup_warnings` does not need it

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import date
from decimal import Decimal
from difflib import get_close_matches

from ingestion.lake.batches import Lake
from ingestion.sources.markups import ANY
from ingestion.sources.registry import mapped_sources
from paywall_warehouse.home import Home
from paywall_warehouse.quoting import printable
from warehouse.last_file import last_file, rows_of_last_file

WARNINGS_SHOWN = 5


@dataclass(frozen=True)
class Markup:
    """The factor and the fee of charges of one source and model, or of any (`*`).

    They apply to the reporting days `[effective_from, effective_to)`. A missing bound is open.
    """

    source: str
    model_id: str
    effective_from: date | None
    effective_to: date | None
    multiplier: Decimal
    per_request: Decimal


def landed_markups(lake: Lake) -> list[Markup]:
    """Return the accepted rows of the last landed file that could be read, in their order."""
    from ingestion.model_names import model_identity

    columns = ("source", "model", "effective_from", "effective_to", "multiplier", "per_request")
    return [
        Markup(source, model if model == ANY else model_identity(model)[0].lower(), *rest)
        for source, model, *rest in rows_of_last_file(lake, "markups", "markups", columns)
    ]


def markup_warnings(home: Home) -> list[str]:
    """Return a sentence for each landed markup whose source no mapping has, with the name that was probably
    meant.
    """
    lake = Lake(home)
    landed = last_file(lake, "markups")
    if landed is None:
        return []
    path, rows = landed[1].path, rows_of_last_file(lake, "markups", "markups", ("line", "source"))
    known = list(mapped_sources(home)) if rows else []
    unknown = [(line, source) for line, source in rows if source != ANY and source not in known]
    more = f"{len(unknown) - WARNINGS_SHOWN:,} more markups of {path} are for sources that no mapping has"
    return [
        *(_warning(f"{path}:{line}", source, known) for line, source in unknown[:WARNINGS_SHOWN]),
        *([more] if len(unknown) > WARNINGS_SHOWN else []),
    ]


def _warning(place: str, source: str, known: list[str]) -> str:
    word = source.lower()
    # `litellm` means `litellm_spend_logs`, although the names are not alike.
    near = [name for name in known if name.startswith(word)] or get_close_matches(word, known, 1)
    meant = f"did you mean {near[0]}?" if near else f"mappings are {', '.join(known)}"
    return printable(f"{place} is a markup of the source {source}, which no mapping has: {meant}")


def resolve_markups(stated: Iterable[Markup]) -> list[Markup]:
    """Return markups whose days do not overlap within one source and model.

    If several rows cover a day, the one with the latest start applies. If they start on the same day, the
    last one in the file applies.
    """
    grouped: dict[tuple[str, str], list[Markup]] = {}
    for one in stated:
        grouped.setdefault((one.source, one.model_id), []).append(one)
    return [piece for _, rows in sorted(grouped.items()) for piece in _pieces(rows)]


def _pieces(rows: list[Markup]) -> Iterator[Markup]:
    ordered = sorted(rows, key=lambda one: one.effective_from or date.min)
    edges = sorted({day for one in rows for day in (one.effective_from, one.effective_to) if day is not None})
    for start, end in zip([None, *edges], [*edges, None], strict=True):
        if covering := [one for one in ordered if _covers(one, start)]:
            yield replace(covering[-1], effective_from=start, effective_to=end)


def _covers(markup: Markup, start: date | None) -> bool:
    """Check whether the markup applies from `start` (None: the beginning) to the next edge."""
    if start is None:
        return markup.effective_from is None
    begun = markup.effective_from is None or markup.effective_from <= start
    return begun and (markup.effective_to is None or start < markup.effective_to)
