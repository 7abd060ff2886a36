"""The catalog and the descriptions of datasets, computed from what a token may see."""

from typing import Any

import duckdb

from exports.datasets import DATASETS
from exports.fingerprints import read_totals, totals_to_text
from exports.server.cursors import Digest
from exports.server.publications import Publication
from exports.server.scope import View, view_of
from exports.server.slices import digest_of
from exports.server.tokens import Token
from paywall_warehouse.quoting import quoted


def visible_datasets(publication: Publication, token: Token) -> dict[str, View]:
    """Return what a token may see of each dataset, without the datasets of which that is nothing."""
    views = {name: view_of(token, DATASETS[name], table) for name, table in publication.tables.items()}
    return {name: view for name, view in views.items() if view is not None}


def describe_catalog(
    cursor: duckdb.DuckDBPyConnection, publication: Publication, token: Token
) -> dict[str, Any]:
    """Return the description of all visible datasets."""
    published = publication.published
    return {
        "published_at": published.published_at.isoformat(),
        "as_of": published.as_of.isoformat(),
        "reporting_timezone": published.reporting_timezone,
        "datasets": [
            {
                key: value
                for key, value in describe(cursor, publication, view, token).items()
                if key != "partitions"
            }
            for view in visible_datasets(publication, token).values()
        ],
    }


def describe(
    cursor: duckdb.DuckDBPyConnection, publication: Publication, view: View, token: Token
) -> dict[str, Any]:
    """Return columns, days, rows, totals and revisions of a dataset. It is computed once a publication."""
    described: dict[str, Any] = publication.kept(
        (view.dataset.name, token.scope_digest),
        lambda: _describe(
            cursor, view, has_files=view.is_whole and view.dataset.name in publication.exported
        ),
    )
    return described


def _describe(cursor: duckdb.DuckDBPyConnection, view: View, *, has_files: bool) -> dict[str, Any]:
    shape = [[column.name, column.type] for column in view.columns.values()]
    names = ", ".join(map(quoted, view.columns))
    day = quoted(view.day) if view.day else "cast(null as date)"
    digests = {
        key: digest_of(tuple(row))
        for key, *row in cursor.execute(
            f"select {day}, count(*), sum(hash({names})), bit_xor(hash({names}))"
            f" from {view.relation} group by 1 order by 1"
        ).fetchall()
    }
    if not view.day:
        digests = digests or {None: Digest()}
    totals = read_totals(cursor, view.dataset, view.amounts, view.relation, day)
    whole = Digest()
    for digest in digests.values():
        whole = whole.plus(digest)
    days = [key for key in digests if key is not None]
    return {
        "name": view.dataset.name,
        "description": view.description,
        "rows_url": f"/v1/datasets/{view.dataset.name}/rows",
        "columns": [
            {"name": column.name, "type": column.type, "description": column.description}
            for column in view.columns.values()
        ],
        "partitioned_by": view.day,
        "ordered_by": [name for name in view.dataset.order if name in view.columns],
        "first_day": str(days[0]) if days else None,
        "last_day": str(days[-1]) if days else None,
        "rows": whole.rows,
        "revision": whole.revision(shape),
        "has_files": has_files,
        "partitions": [
            {
                "date": str(key) if key is not None else None,
                "rows": digest.rows,
                "revision": digest.revision(shape),
                "totals": totals_to_text(totals.get(key, {})),
            }
            for key, digest in digests.items()
        ],
    }
