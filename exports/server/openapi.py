"""The OpenAPI document of the pull API. It describes requests and answers, and contains no data."""

from functools import cache
from typing import Any

from exports.datasets import DATASETS
from exports.encoding import OPTIONS
from exports.server.limits import Limits

ERRORS = {
    "400": "A parameter is not allowed. The message states what is.",
    "401": "The token is missing, unknown, revoked or expired.",
    "403": "The token may not see this.",
    "404": "There is no such dataset or file.",
    "503": "Too many requests, a slice that takes too long, or nothing is published. Send it again later.",
}
ROW_ERRORS = ERRORS | {
    "409": "The rows that were read so far have been restated. Begin again without `cursor`.",
    "413": "The slice is too large for one response. State `limit`, or request fewer days.",
    "416": "The range is behind the end.",
}
MEDIA = ("text/csv", "application/x-ndjson", "application/vnd.apache.parquet")
DATASET = {
    "name": "name",
    "in": "path",
    "required": True,
    "schema": {"type": "string", "enum": list(DATASETS)},
}
COLUMN = {
    "type": "object",
    "properties": {name: {"type": "string"} for name in ("name", "type", "description")},
}
PARTITION = {
    "type": "object",
    "properties": {
        "date": {"type": ["string", "null"], "format": "date"},
        "rows": {"type": "integer"},
        "revision": {"type": "string", "description": "Changes with any row of the day that the token sees."},
        "totals": {
            "type": "object",
            "description": "Exact sums of money as text, by currency and column.",
            "additionalProperties": {"type": "object", "additionalProperties": {"type": "string"}},
        },
    },
}
ENTRY = {
    "name": {"type": "string"},
    "description": {"type": "string"},
    "rows_url": {"type": "string"},
    "columns": {"type": "array", "items": COLUMN},
    "partitioned_by": {"type": ["string", "null"]},
    "ordered_by": {"type": "array", "items": {"type": "string"}},
    "first_day": {"type": ["string", "null"], "format": "date"},
    "last_day": {"type": ["string", "null"], "format": "date"},
    "rows": {"type": "integer"},
    "revision": {"type": "string"},
    "has_files": {"type": "boolean", "description": "Whether the token may read its files in /v1/exports."},
}
SCHEMAS = {
    "Error": {"type": "object", "properties": {"error": {"type": "string"}}, "required": ["error"]},
    "DatasetSummary": {"type": "object", "properties": ENTRY},
    "Dataset": {
        "type": "object",
        "properties": {**ENTRY, "partitions": {"type": "array", "items": PARTITION}},
    },
    "Catalog": {
        "type": "object",
        "properties": {
            "published_at": {"type": "string", "format": "date-time"},
            "as_of": {"type": "string", "format": "date-time"},
            "reporting_timezone": {"type": "string"},
            "datasets": {"type": "array", "items": {"$ref": "#/components/schemas/DatasetSummary"}},
        },
    },
    "Health": {
        "type": "object",
        "properties": {
            "status": {"type": "string"},
            "published_at": {"type": "string", "format": "date-time"},
            "age_seconds": {"type": "integer"},
            "as_of": {"type": "string", "format": "date-time"},
            "last_run": {
                "type": ["object", "null"],
                "properties": {
                    "status": {"type": "string"},
                    "finished_at": {"type": "string", "format": "date-time"},
                },
            },
            "open_breaks": {"type": ["boolean", "null"]},
        },
    },
}


@cache
def openapi_document() -> dict[str, Any]:
    """Return the document, as OpenAPI 3.1."""
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "paywall-warehouse pull API",
            "version": "1",
            "description": "Slices of the published warehouse, for tokens with a scope. See docs/serve.md.",
        },
        "security": [{"token": []}],
        "paths": {
            "/health": _get("Freshness, last run, open breaks", _json("Health"), {}, [], is_open=True),
            "/v1/openapi.json": _get("This document", _json(None), {}, [], is_open=True),
            "/v1/catalog": _get("What the token may see", _json("Catalog"), ERRORS, []),
            "/v1/datasets/{name}": _get("A dataset and its days", _json("Dataset"), ERRORS, [DATASET]),
            "/v1/datasets/{name}/rows": _get("A slice", _rows(), ROW_ERRORS, [DATASET, *_row_parameters()]),
            "/v1/exports/{path}": _get(
                "A file of the export, for `paywall-warehouse pull`",
                {"description": "The file", "content": {"application/octet-stream": {}}},
                ERRORS | {"416": ROW_ERRORS["416"]},
                [{"name": "path", "in": "path", "required": True, "schema": {"type": "string"}}],
            ),
        },
        "components": {
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
            "schemas": SCHEMAS,
        },
    }


def _get(
    summary: str,
    answer: dict[str, Any],
    errors: dict[str, str],
    parameters: list[dict[str, Any]],
    *,
    is_open: bool = False,
) -> dict[str, Any]:
    refused = {
        status: {"description": reason, "content": {"application/json": {"schema": _ref("Error")}}}
        for status, reason in errors.items()
    }
    known = {} if is_open else {"304": {"description": "`If-None-Match` names the current ETag."}}
    operation = {
        "summary": summary,
        "parameters": parameters,
        "responses": {"200": answer, **known, **refused},
    }
    return {"get": {**operation, **({"security": []} if is_open else {})}}


def _row_parameters() -> list[dict[str, Any]]:
    day = {"type": "string", "format": "date"}
    stated = {
        "from": ("The first day.", day),
        "to": ("The day after the last.", day),
        "columns": ("Columns, comma-separated. Default: all that the token may see.", {"type": "string"}),
        "where": (
            "column=value, and with != > >= < <= in place of =; column in value,value. All must hold.",
            {"type": "array", "items": {"type": "string"}},
        ),
        "format": ("Default: csv.", {"type": "string", "enum": sorted(OPTIONS)}),
        "limit": (
            "The rows of a page. Without it, the response is the whole slice.",
            {"type": "integer", "minimum": 1, "maximum": Limits().rows},
        ),
        "cursor": ("From the Link header of the page before.", {"type": "string"}),
    }
    return [
        {"name": name, "in": "query", "description": description, "schema": schema}
        for name, (description, schema) in stated.items()
    ]


def _rows() -> dict[str, Any]:
    headers = {
        "ETag": "The revision of the rows.",
        "Link": 'The next page, as rel="next". The last page has none.',
        "X-Rows": "The number of rows in the response.",
    }
    return {
        "description": "The rows, in the order of the dataset",
        "headers": {
            name: {"description": description, "schema": {"type": "string"}}
            for name, description in headers.items()
        },
        "content": {media: {} for media in MEDIA},
    }


def _json(schema: str | None) -> dict[str, Any]:
    return {
        "description": "OK",
        "content": {"application/json": {"schema": _ref(schema) if schema else {"type": "object"}}},
    }


def _ref(schema: str) -> dict[str, str]:
    return {"$ref": f"#/components/schemas/{schema}"}
